//! The name that a request came to, and which mail domain of ours it speaks of.
//!
//! Takes what a stranger wrote into Host or `:authority`; it only ever chooses among our own names.

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};

/// The name without port and final dot, in lower case and as DNS writes it. HTTP/2 names the host in the URI.
pub(super) fn name(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or_else(header)?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    Some(in_dns(name))
}

/// The domain among `ours` that this name is.
pub(super) fn domain<'a>(ours: &'a [String], name: &str) -> Option<&'a str> {
    let name = in_dns(name);
    ours.iter().map(String::as_str).find(|domain| in_dns(domain) == name)
}

/// The domain among `ours` that stands behind `label.` in this name.
pub(super) fn domain_below<'a>(ours: &'a [String], label: &str, name: &str) -> Option<&'a str> {
    domain(ours, name.strip_prefix(label)?.strip_prefix('.')?)
}

/// RFC 5890 §2.3.2.1: letters of any alphabet become A-labels; what cannot be one is compared as it is.
fn in_dns(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_name_is_taken_from_uri_or_header() {
        let headers = |host: &str| HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        let plain: Uri = "/x".parse().unwrap();
        for (host, want) in [
            ("Example.ORG", "example.org"),
            ("example.org:8443", "example.org"),
            ("example.org.", "example.org"),
            ("example.org:x", "example.org:x"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(name(&plain, &headers(host)).as_deref(), Some(want), "{host}");
        }
        let two: Uri = "https://example.org:443/x".parse().unwrap();
        assert_eq!(name(&two, &headers("evil.example")).as_deref(), Some("example.org"));
        assert_eq!(name(&plain, &HeaderMap::new()), None);
    }

    #[test]
    fn domains_are_ours_in_either_form() {
        let ours = ["example.org".to_owned(), "bücher.example".to_owned()];
        assert_eq!(domain(&ours, "EXAMPLE.org"), Some("example.org"));
        assert_eq!(domain(&ours, "xn--bcher-kva.example"), Some("bücher.example"));
        assert_eq!(domain_below(&ours, "mta-sts", "mta-sts.xn--bcher-kva.example"), Some("bücher.example"));
        for name in ["mta-sts.evil.example", "mta-stsexample.org", "example.org", "x.mta-sts.example.org", ""] {
            assert_eq!(domain_below(&ours, "mta-sts", name), None, "{name}");
        }
    }
}
