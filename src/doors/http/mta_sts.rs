//! The MTA-STS policy of our domains (RFC 8461): which host takes their mail, and that it must do so with TLS.
//!
//! [`Policy`] is pure: its text is what `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` serves, and its id, which a
//! TXT record at `_mta-sts.DOMAIN` tells, is made from the text. So whoever changes the policy finds the record that
//! belongs to it, and an id never stays behind a policy. All domains are served by one host, so they share the policy.

use super::{Site, host, pages};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// RFC 8461 §3.3: where the policy is, on the host `mta-sts.` in front of the domain.
pub const PATH: &str = "/.well-known/mta-sts.txt";

/// RFC 8461 §3.2: about a year.
pub const MAX_AGE_SECONDS_MAX: u64 = 31_557_600;

/// RFC 8461 §3.1 allows 32 letters and digits: 128 bits of a hash.
const ID_CHARS: usize = 32;

/// What senders do when TLS with a name that the certificate covers does not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They deliver nevertheless, and report it.
    Testing,
    /// They do not deliver.
    Enforce,
    /// They forget what an earlier policy said.
    None,
}

/// What senders are asked to keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What happens without TLS.
    pub mode: Mode,
    /// How long senders remember it.
    pub max_age_seconds: u64,
    /// The host that MX names.
    pub mx: String,
}

impl Policy {
    /// RFC 8461 §3.2, as it is served.
    pub fn text(&self) -> String {
        let mode = match self.mode {
            Mode::Testing => "testing",
            Mode::Enforce => "enforce",
            Mode::None => "none",
        };
        // A name in other alphabets goes out as DNS has it.
        let mx = idna::domain_to_ascii(&self.mx).unwrap_or_else(|_| self.mx.to_ascii_lowercase());
        format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {}\r\n", self.max_age_seconds)
    }

    /// RFC 8461 §3.1: changes whenever the policy does.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.text());
        digest.iter().take(ID_CHARS / 2).map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 8461 §3.1: the text of the record at `_mta-sts.DOMAIN`.
    pub fn record(&self) -> String {
        format!("v=STSv1; id={};", self.id())
    }
}

/// RFC 8461 §3.3: only on the host `mta-sts.` of a domain of ours.
pub(super) async fn show(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let host = host::name(&uri, &headers).unwrap_or_default();
    match &site.mta_sts {
        Some(policy) if host::domain_below(&site.domains, "mta-sts", &host).is_some() => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], policy.text()).into_response()
        }
        _ => pages::missing().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { mode: Mode::Testing, max_age_seconds: 604_800, mx: "Mail.Example.org".into() }
    }

    #[test]
    fn the_text_is_as_the_rfc_has_it() {
        assert_eq!(policy().text(), "version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 604800\r\n");
        assert!(Policy { mode: Mode::Enforce, ..policy() }.text().contains("\r\nmode: enforce\r\n"));
        assert!(Policy { mx: "bücher.example".into(), ..policy() }.text().contains("\r\nmx: xn--bcher-kva.example\r\n"));
    }

    #[test]
    fn the_id_follows_the_policy() {
        let id = policy().id();
        assert!(id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(policy().id(), id);
        assert_eq!(policy().record(), format!("v=STSv1; id={id};"));
        let others = [
            Policy { mode: Mode::Enforce, ..policy() },
            Policy { mode: Mode::None, ..policy() },
            Policy { max_age_seconds: 86_400, ..policy() },
            Policy { mx: "mx.example.org".into(), ..policy() },
        ];
        for other in others {
            assert_ne!(other.id(), id, "{other:?}");
        }
    }
}
