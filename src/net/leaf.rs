//! What a certificate says: its names, its life, its key.
//!
//! [`Leaf`] reads the first certificate of a PEM text, which is the server's own; those behind it belong to its
//! authority. Checks no signature: whether others would trust it is theirs to say. The digest of its key is what a
//! TLSA record of the kind 3 1 1 holds, so it stays the same for as long as the key does.
//!
//! Standards: RFC 5280 (certificates), RFC 9525 §6.3 (which names they cover), RFC 7671 §5.1 (TLSA 3 1 1).

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::path::Path;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A server's own certificate, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The names in DNS that it covers, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// It names itself as its authority.
    pub self_signed: bool,
    /// Who issued it, as people read it.
    pub issuer: String,
    /// SHA-256 of its key with the key's kind (SubjectPublicKeyInfo).
    pub key_sha256: [u8; 32],
    /// SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
}

impl Leaf {
    /// Reads the first certificate of a PEM file.
    pub fn read(file: &Path) -> anyhow::Result<Leaf> {
        let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
        Leaf::of_pem(&pem).with_context(|| file.display().to_string())
    }

    /// Reads the first certificate of a PEM text.
    pub fn of_pem(pem: &[u8]) -> anyhow::Result<Leaf> {
        Leaf::of_der(&CertificateDer::from_pem_slice(pem).context("there is no certificate in PEM")?)
    }

    /// Reads a certificate.
    pub fn of_der(der: &[u8]) -> anyhow::Result<Leaf> {
        let (_, certificate) = X509Certificate::from_der(der).context("this is not a certificate")?;
        let names = match certificate.subject_alternative_name().context("its names are broken")? {
            Some(names) => names.value.general_names.iter().filter_map(dns_name).collect(),
            None => Vec::new(),
        };
        Ok(Leaf {
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            self_signed: certificate.issuer().as_raw() == certificate.subject().as_raw(),
            issuer: certificate.issuer().to_string(),
            key_sha256: Sha256::digest(certificate.public_key().raw).into(),
            sha256: Sha256::digest(der).into(),
        })
    }

    /// Does it speak for this name?
    pub fn covers(&self, name: &str) -> bool {
        covers(&self.names, name)
    }

    /// RFC 7671 §5.1: the data of the TLSA record that stays valid while the key does.
    pub fn tlsa(&self) -> String {
        format!("3 1 1 {}", hex(&self.key_sha256))
    }
}

/// Does a certificate of these names speak for this one? RFC 9525 §6.3: `*` stands for one whole label.
pub fn covers(names: &[String], name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let below = name.split_once('.').map(|(_, below)| below);
    names.iter().any(|own| *own == name || own.strip_prefix("*.").is_some_and(|own| Some(own) == below))
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

/// In lower case, two digits an octet.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData, date_time_ymd};

    fn pem(key: &KeyPair, names: &[&str]) -> String {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        params.self_signed(key).unwrap().pem()
    }

    #[test]
    fn names_life_and_key_are_read() {
        let key = KeyPair::generate().unwrap();
        let leaf = Leaf::of_pem(pem(&key, &["Mail.example.org", "*.example.net", "127.0.0.1"]).as_bytes()).unwrap();
        assert_eq!(leaf.names, ["mail.example.org", "*.example.net"]);
        assert_eq!((leaf.not_before, leaf.not_after), (1_767_225_600, 1_775_001_600));
        assert!(leaf.self_signed);
        assert_eq!(leaf.key_sha256, <[u8; 32]>::from(Sha256::digest(key.subject_public_key_info())));
    }

    #[test]
    fn a_star_is_one_label() {
        let leaf = Leaf::of_pem(pem(&KeyPair::generate().unwrap(), &["mail.example.org", "*.example.net"]).as_bytes()).unwrap();
        for name in ["mail.example.org", "MAIL.example.org", "a.example.net"] {
            assert!(leaf.covers(name), "{name}");
        }
        for name in ["example.org", "x.mail.example.org", "example.net", "a.b.example.net", ""] {
            assert!(!leaf.covers(name), "{name}");
        }
    }

    #[test]
    fn the_record_stays_with_the_key() {
        let key = KeyPair::generate().unwrap();
        let read = |names: &[&str]| Leaf::of_pem(pem(&key, names).as_bytes()).unwrap();
        let (first, renewed) = (read(&["a.example"]), read(&["a.example", "b.example"]));
        assert_ne!(first.sha256, renewed.sha256);
        assert_eq!(first.tlsa(), renewed.tlsa());
        let data = first.tlsa();
        let digest = data.strip_prefix("3 1 1 ").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{data}");
        assert_ne!(Leaf::of_pem(pem(&KeyPair::generate().unwrap(), &["a.example"]).as_bytes()).unwrap().tlsa(), data);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let cut = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for text in ["", "certificate", cut] {
            assert!(Leaf::of_pem(text.as_bytes()).is_err(), "{text}");
        }
    }
}
