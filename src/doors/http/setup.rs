//! Settings for mail programs: the page for people, the profile for Apple's devices, and Autodiscover for Outlook.
//!
//! Nothing here is looked up: an address of a domain of ours gets its settings whether or not it has an account, so that
//! nobody learns who has one. Reads an address from strangers, in a query or in a little XML, and gives it back escaped.
//!
//! Standards: RFC 9562 §5.8 (UUIDs that are made from something), RFC 6186 §1 (what such helps are for).

use super::{Site, host, pages};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use qrcode::{Color, EcLevel};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stoa_smtp::Address;
use stoa_webapp::autodiscover;
use stoa_webapp::profile::{self, Profile};
use stoa_webapp::setup::{ForAddress, QrCode, SetupPage};

/// Light modules around a QR code (ISO/IEC 18004 asks for four).
const QUIET_MODULES: usize = 4;

/// What is personal is for the one who asked.
const PERSONAL: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

#[derive(Deserialize)]
pub(super) struct AddressQuery {
    #[serde(alias = "Email", alias = "email", alias = "emailaddress")]
    address: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ProtocolQuery {
    #[serde(alias = "Protocol")]
    protocol: Option<String>,
}

type Asked = Result<Query<AddressQuery>, QueryRejection>;

/// The page.
pub(super) async fn page(State(site): State<Arc<Site>>, query: Asked) -> Response {
    let typed = query.ok().and_then(|Query(query)| query.address).unwrap_or_default();
    let typed = typed.trim();
    let (found, problem) = match checked(&site, typed) {
        _ if typed.is_empty() => (None, None),
        Ok((address, _)) => (Some(for_address(&site, address)), None),
        Err(problem) => (None, Some(problem)),
    };
    let page = SetupPage {
        domain: site.primary_domain().to_owned(),
        typed: typed.to_owned(),
        problem,
        found,
        imap: site.imap.clone(),
        submission: site.submission.clone(),
        demo: site.demo.is_some(),
    };
    ([PERSONAL], Html(page.render())).into_response()
}

fn for_address(site: &Site, address: String) -> ForAddress {
    let has_profile = !site.imap.is_empty() && !site.submission.is_empty();
    let profile = has_profile.then(|| format!("{}?address={}", profile::PATH, in_query(&address)));
    let qr = site.base.as_ref().zip(profile.as_ref()).and_then(|(base, path)| qr(&format!("{base}{path}")));
    ForAddress { address, profile, qr }
}

/// The profile.
pub(super) async fn apple_profile(State(site): State<Arc<Site>>, query: Asked) -> Response {
    let typed = query.ok().and_then(|Query(query)| query.address).unwrap_or_default();
    let (address, domain) = match checked(&site, typed.trim()) {
        Ok(found) => found,
        Err(problem) => return pages::failed(StatusCode::BAD_REQUEST, "There is no profile for that", &problem),
    };
    let (Some(imap), Some(submission)) = (site.imap.first(), site.submission.first()) else { return pages::missing().await };
    let profile = Profile {
        domain: domain.to_owned(),
        reversed: domain.rsplit('.').collect::<Vec<_>>().join("."),
        imap: imap.clone(),
        submission: submission.clone(),
        profile_uuid: uuid("profile", &address),
        account_uuid: uuid("account", &address),
        address,
    };
    let headers = [PERSONAL, (CONTENT_TYPE, profile::CONTENT_TYPE), (CONTENT_DISPOSITION, "attachment; filename=\"mail.mobileconfig\"")];
    (headers, profile.xml()).into_response()
}

/// Outlook's older form; what is posted is XML with the address in it.
pub(super) async fn outlook_post(State(site): State<Arc<Site>>, body: Bytes) -> Response {
    match autodiscover::address(&String::from_utf8_lossy(&body)).map(|address| checked(&site, &address)) {
        Some(Ok((address, _))) => outlook(&site, Some(address)),
        Some(Err(_)) => outlook_says(autodiscover::not_here()),
        None => outlook_says(autodiscover::invalid()),
    }
}

/// The same without a body: for the domain, or for the address in the query.
pub(super) async fn outlook_get(State(site): State<Arc<Site>>, query: Asked) -> Response {
    match query.ok().and_then(|Query(query)| query.address).map(|address| checked(&site, &address)) {
        Some(Ok((address, _))) => outlook(&site, Some(address)),
        Some(Err(_)) => outlook_says(autodiscover::not_here()),
        None => outlook(&site, None),
    }
}

fn outlook(site: &Site, login: Option<String>) -> Response {
    let settings = autodiscover::Settings { login, imap: site.imap.clone(), submission: site.submission.clone() };
    outlook_says(autodiscover::xml(&settings))
}

fn outlook_says(xml: String) -> Response {
    ([PERSONAL, (CONTENT_TYPE, autodiscover::CONTENT_TYPE)], xml).into_response()
}

/// Outlook's newer form, which only leads to the older one.
pub(super) async fn outlook_json(
    State(site): State<Arc<Site>>,
    query: Result<Query<ProtocolQuery>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let protocol = query.ok().and_then(|Query(query)| query.protocol).unwrap_or_default();
    let json = |status, text: String| (status, [PERSONAL, (CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response();
    if !protocol.eq_ignore_ascii_case("AutodiscoverV1") {
        return json(StatusCode::BAD_REQUEST, autodiscover::json_refusal());
    }
    // The host comes from our configuration; a name that only the request knows would lead anywhere.
    let own = host::name(&uri, &headers).filter(|name| host::domain_below(&site.domains, "autodiscover", name).is_some());
    let base = site.base.clone().or_else(|| own.map(|name| format!("https://{name}")));
    match base {
        Some(base) => json(StatusCode::OK, autodiscover::json(&format!("{base}{}", autodiscover::PATHS[0]))),
        None => pages::missing().await,
    }
}

/// The address as it is written here, and its domain; or what is wrong with it.
fn checked<'a>(site: &'a Site, typed: &str) -> Result<(String, &'a str), String> {
    let parsed = Address::parse(typed).and_then(|_| typed.rsplit_once('@'));
    let Some((local, domain)) = parsed else {
        return Err(format!("That is not a mail address such as name@{}.", site.primary_domain()));
    };
    match host::domain(&site.domains, domain) {
        Some(domain) => Ok((format!("{local}@{domain}"), domain)),
        None => Err(format!("This server keeps no mail of that domain. Addresses here end in @{}.", site.domains.join(" or @"))),
    }
}

/// RFC 9562 §5.8: the same for the same address, and nothing that others could tell the address from but by trying.
fn uuid(what: &str, address: &str) -> String {
    let digest = Sha256::digest(format!("stoa mail-setup {what}\0{}", address.to_lowercase()));
    let mut bytes: [u8; 16] = *digest.first_chunk().expect("a digest of 32 octets");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// RFC 3986 §2.1: all but letters and digits.
fn in_query(text: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// A code of this text; none if it is too long for one.
fn qr(text: &str) -> Option<QrCode> {
    let code = qrcode::QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                path.push_str(&format!("M{} {}h{2}v1h-{2}z", x + QUIET_MODULES, y + QUIET_MODULES, run.len()));
            }
            x += run.len();
        }
    }
    Some(QrCode { side: width + 2 * QUIET_MODULES, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_their_address() {
        let one = uuid("profile", "john@example.org");
        assert_eq!(uuid("profile", "John@Example.org"), one);
        assert_ne!(uuid("account", "john@example.org"), one);
        assert_ne!(uuid("profile", "mary@example.org"), one);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!((parts, &one[14..15]), (vec![8, 4, 4, 4, 12], "8"));
        assert!("89AB".contains(&one[19..20]), "{one}");
    }

    #[test]
    fn a_qr_code_has_its_corners_and_its_border() {
        let code = qr("https://mail.example.org/mail-setup/profile.mobileconfig?address=john%40example.org").unwrap();
        // The upper edge of the two finder patterns at the top, each of seven modules.
        let far = code.side - QUIET_MODULES - 7;
        assert!(code.path.starts_with("M4 4h7v1h-7z"), "{}", code.path);
        assert!(code.path.contains(&format!("M{far} 4h7v1h-7z")) && code.path.contains(&format!("M4 {far}h7v1h-7z")));
        assert!(code.path.bytes().all(|byte| byte.is_ascii_digit() || b"Mhvz -".contains(&byte)));
        assert_eq!(qr(&"x".repeat(4_000)), None);
    }

    #[test]
    fn queries_hold_letters_and_digits_alone() {
        assert_eq!(in_query("a+b&c@d.é"), "a%2Bb%26c%40d%2E%C3%A9");
    }
}
