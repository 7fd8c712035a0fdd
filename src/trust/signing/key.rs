//! One key: made, written as PKCS#8 in PEM, read again, and what DNS has to say of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, SigningKey};
use mail_auth::dkim::generate::DkimKeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use stoa_dkim::Algorithm;

use super::selector::algorithm_name;

/// RFC 8301 §3.2: 2048 bits at least for signers. Larger ones do not fit into one string of a TXT record.
const RSA_BITS: usize = 2048;

/// PEM lines (RFC 7468 §2).
const PEM_LINE_CHARS: usize = 64;

/// `AlgorithmIdentifier`s (RFC 5280 §4.1.1.2) of rsaEncryption (RFC 3279 §2.3.1) and Ed25519 (RFC 8410 §3), as DER.
const RSA_IDENTIFIER: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ED25519_IDENTIFIER: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Tags of DER.
const INTEGER_ZERO: &[u8] = &[0x02, 0x01, 0x00];
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// A key that can sign, and the TXT record of its other half.
pub(super) struct Key {
    key: DkimKey,
    pub record: String,
}

/// A new key, in PEM. RSA takes a second or more of work.
pub(super) fn make(algorithm: Algorithm) -> Result<String, mail_auth::Error> {
    let (identifier, key) = match algorithm {
        Algorithm::Rsa => (RSA_IDENTIFIER, DkimKeyPair::generate_rsa(RSA_BITS)?.into_inner().0),
        Algorithm::Ed25519 => (ED25519_IDENTIFIER, der(OCTET_STRING, &[&rand::random::<[u8; 32]>()])),
    };
    Ok(pem(&der(SEQUENCE, &[INTEGER_ZERO, identifier, &der(OCTET_STRING, &[&key])])))
}

impl Key {
    /// Reads a PEM file's text; says what is wrong with it.
    pub fn read(algorithm: Algorithm, text: &[u8]) -> Result<Self, String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|error| format!("it holds no PKCS#8 key in PEM: {error}"))?;
        let wrong = |error: mail_auth::Error| format!("its key is not of kind {}: {error}", algorithm_name(algorithm));
        let (key, public) = match algorithm {
            Algorithm::Rsa => {
                let key = RsaKey::from_key_der(PrivateKeyDer::Pkcs8(der)).map_err(wrong)?;
                let public = subject_public_key_info(&key.public_key());
                (DkimKey::Rsa(key), public)
            }
            Algorithm::Ed25519 => {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der()).map_err(wrong)?;
                let public = key.public_key();
                (DkimKey::Ed25519(key), public)
            }
        };
        let record = format!("v=DKIM1; k={}; p={}", algorithm_name(algorithm), STANDARD.encode(public));
        Ok(Self { key, record })
    }

    /// Signs canonical octets.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, mail_auth::Error> {
        self.key.sign(input)
    }
}

/// Does a TXT record, its strings joined, say what ours says? Space and the order of tags are free (RFC 6376 §3.2).
pub fn is_shown(record: &str, ours: &str) -> bool {
    let tag = |text: &str, name: &str| -> Option<String> {
        let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
        let value = tags.find(|(found, _)| found.trim() == name)?.1;
        Some(value.chars().filter(|character| !character.is_ascii_whitespace()).collect())
    };
    let kind = |text: &str| tag(text, "k").unwrap_or_else(|| "rsa".to_owned());
    let version = tag(record, "v").is_none_or(|version| version == "DKIM1");
    let is_for_tests = tag(record, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y"));
    version && !is_for_tests && tag(record, "p").is_some_and(|key| Some(key) == tag(ours, "p")) && kind(record) == kind(ours)
}

/// RFC 5280 §4.1: what the `p=` of an RSA key holds in practice, other than RFC 6376 §3.6.1 says.
fn subject_public_key_info(key: &[u8]) -> Vec<u8> {
    // No bit of the last octet is unused.
    der(SEQUENCE, &[RSA_IDENTIFIER, &der(BIT_STRING, &[&[0], key])])
}

/// A value of DER: tag, length, contents.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let octets = length.to_be_bytes();
    let octets: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
    let mut value = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => value.push(short),
        // A length has eight octets at most.
        _ => value.push(0x80 | octets.len() as u8),
    }
    if length >= 0x80 {
        value.extend(octets);
    }
    contents.iter().for_each(|part| value.extend_from_slice(part));
    value
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(PEM_LINE_CHARS.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_again_however_it_is_written() {
        let ours = "v=DKIM1; k=ed25519; p=AbC=";
        for (record, shown) in [
            (ours, true),
            ("v=DKIM1;k=ed25519;p=AbC=", true),
            ("p= A b\tC= ; k = ed25519 ; v=DKIM1; n=note", true),
            ("v=DKIM1; p=AbC=", false),
            ("v=DKIM1; k=ed25519; p=", false),
            ("v=DKIM1; k=ed25519; p=AbD=", false),
            ("v=DKIM1; k=ed25519; t=y; p=AbC=", false),
            ("v=spf1 -all", false),
            ("", false),
        ] {
            assert_eq!(is_shown(record, ours), shown, "{record}");
        }
        assert!(is_shown("p=x", "v=DKIM1; k=rsa; p=x"), "RFC 6376 §3.6.1: a key is RSA unless it says other");
    }

    #[test]
    fn lengths_of_der_are_as_short_as_can_be() {
        for (length, head) in [(0, &[4_u8, 0][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (256, &[4, 0x82, 1, 0])] {
            let value = der(OCTET_STRING, &[&vec![0; length]]);
            assert_eq!((&value[..head.len()], value.len()), (head, head.len() + length));
        }
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let text = make(Algorithm::Ed25519).unwrap();
        assert!(Key::read(Algorithm::Ed25519, text.as_bytes()).unwrap().record.starts_with("v=DKIM1; k=ed25519; p="));
        assert!(Key::read(Algorithm::Rsa, text.as_bytes()).err().unwrap().contains("not of kind rsa"));
        assert!(Key::read(Algorithm::Rsa, b"rubbish").err().unwrap().contains("PEM"));
    }
}
