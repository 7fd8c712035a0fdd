//! Signed requests, opened and checked: RFC 7515 as RFC 8555 §6.2 narrows it down, with ES256 alone.
//!
//! Whatever an authority may refuse is refused here, so that a client that passes has kept to the rules.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The public key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Uncompressed: 4, x, y.
    point: Vec<u8>,
    /// RFC 7638.
    pub(super) thumbprint: String,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signer {
    /// A key that the request brings along.
    New(Key),
    /// An account, by its URL.
    Account(String),
}

/// A request whose signature is good.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) signer: Signer,
    pub(super) nonce: String,
    /// Empty for POST-as-GET.
    pub(super) payload: Vec<u8>,
}

/// Opens a request that was sent to `url`; `known` gives the keys of accounts.
pub(super) fn open(body: &[u8], url: &str, known: impl Fn(&str) -> Option<Key>) -> Result<Opened, String> {
    let envelope = object(body).ok_or("the body is not a JSON object")?;
    // RFC 8555 §6.2: flattened, nothing unprotected.
    only(&envelope, &["protected", "payload", "signature"])?;
    let (protected, payload) = (text(&envelope, "protected")?, text(&envelope, "payload")?);
    let header = object(&decoded(protected)?).ok_or("the protected header is not a JSON object")?;
    only(&header, &["alg", "jwk", "kid", "nonce", "url"])?;
    if text(&header, "alg")? != "ES256" {
        return Err("the algorithm is not ES256".into());
    }
    if text(&header, "url")? != url {
        return Err(format!("the url {:?} is not where it was sent, {url:?}", header["url"]));
    }
    let signer = match (header.get("jwk"), header.get("kid")) {
        (Some(jwk), None) => Signer::New(key(jwk)?),
        (None, Some(Value::String(kid))) => Signer::Account(kid.clone()),
        _ => return Err("there must be jwk or kid and not both".into()),
    };
    let key = match &signer {
        Signer::New(key) => key.clone(),
        Signer::Account(kid) => known(kid).ok_or("accountDoesNotExist")?,
    };
    let signed = format!("{protected}.{payload}");
    verify(&key, signed.as_bytes(), &decoded(text(&envelope, "signature")?)?)?;
    Ok(Opened { signer, nonce: text(&header, "nonce")?.to_owned(), payload: decoded(payload)? })
}

/// RFC 7518 §6.2 and RFC 7638 §3.
fn key(jwk: &Value) -> Result<Key, String> {
    let jwk = jwk.as_object().ok_or("jwk is not an object")?;
    if (text(jwk, "kty")?, text(jwk, "crv")?) != ("EC", "P-256") {
        return Err("the key is not of P-256".into());
    }
    let (x, y) = (text(jwk, "x")?, text(jwk, "y")?);
    let point = [vec![4], decoded(x)?, decoded(y)?].concat();
    if point.len() != 65 {
        return Err("the key has a wrong length".into());
    }
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Ok(Key { point, thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)) })
}

/// RFC 7518 §3.4: the signature is two numbers of 32 octets; the verifier wants them in DER.
fn verify(key: &Key, message: &[u8], signature: &[u8]) -> Result<(), String> {
    if signature.len() != 64 {
        return Err(format!("the signature has {} octets", signature.len()));
    }
    let (r, s) = signature.split_at(32);
    let numbers = [integer(r), integer(s)].concat();
    let der = [vec![0x30, u8::try_from(numbers.len()).expect("two short numbers")], numbers].concat();
    let provider = ring::default_provider();
    let (_, algorithms) = provider
        .signature_verification_algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256)
        .expect("ring knows ES256");
    let good = algorithms.iter().any(|algorithm| algorithm.verify_signature(&key.point, message, &der).is_ok());
    if good { Ok(()) } else { Err("the signature is wrong".into()) }
}

/// X.690 §8.3: the shortest form, with a zero in front of a number that would read as negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    [vec![2, u8::try_from(digits.len()).expect("at most 33 octets")], digits].concat()
}

pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(bytes).ok()
}

pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing"))
}

/// RFC 7515 §2: base64url without padding.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("this is not base64url: {error}"))
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("{name:?} does not belong there")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_of_the_canonical_form() {
        // The key of RFC 7517 §A.1; its thumbprint was computed with another program.
        let jwk = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;
        let key = key(&serde_json::from_str(jwk).unwrap()).unwrap();
        assert_eq!(key.thumbprint, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        for body in [
            "",
            "[]",
            r#"{"protected":"e30","payload":"","signature":""}"#,
            r#"{"protected":"e30","payload":"","signature":"","header":{}}"#,
        ] {
            assert!(open(body.as_bytes(), "https://acme.test/x", |_| None).is_err(), "{body}");
        }
    }
}
