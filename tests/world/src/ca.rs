//! A certificate authority for one test: good certificates, expired ones, self-signed ones, and their TLSA data.
//!
//! Standards: RFC 6698 §2.1 and RFC 7671 (the forms of TLSA association data that DANE for SMTP uses).

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates are good from some day in the past until one that no test will see.
const FROM_YEAR: i32 = 2020;
const UNTIL_YEAR: i32 = 2100;

/// An authority that nobody trusts who was not told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// A new authority with a key of its own.
    pub fn new() -> Authority {
        let mut params = params(&[], UNTIL_YEAR);
        params.distinguished_name.push(DnType::CommonName, "Authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key();
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        Authority { pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A good certificate for these names; what reads as an IP address stands in it as one.
    pub fn certificate(&self, names: &[&str]) -> Certificate {
        self.sign(params(names, UNTIL_YEAR))
    }

    /// The same, but its time is over.
    pub fn expired(&self, names: &[&str]) -> Certificate {
        self.sign(params(names, FROM_YEAR + 1))
    }

    /// The authority's own certificate, for who is to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Trusts this authority and nobody else.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority can be trusted");
        Arc::new(roots)
    }

    /// The data of a TLSA record that names this authority, `2 1 1` (RFC 6698 §2.1: DANE-TA, public key, SHA-256).
    /// Servers found by it must show the authority in their chain, as [`Certificate::with_authority`] does.
    pub fn tlsa(&self) -> String {
        format!("2 1 1 {}", hex(&key_digest(&self.certificate)))
    }

    /// A certificate for somebody's key, with this authority behind it in the chain, as a PEM file holds it.
    pub(crate) fn sign_for(&self, params: CertificateParams, key: &impl PublicKeyData) -> String {
        let certificate = params.signed_by(key, &self.issuer).expect("an authority can sign");
        format!("{}{}", pem("CERTIFICATE", certificate.der()), self.pem)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority can sign");
        Certificate::new(vec![certificate.der().clone()], &key)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
    key_pem: String,
}

impl Certificate {
    /// Signed by itself alone, as a server has it that nobody set up.
    pub fn self_signed(names: &[&str]) -> Certificate {
        let key = key();
        let certificate = params(names, UNTIL_YEAR).self_signed(&key).expect("a key can sign its own certificate");
        Certificate::new(vec![certificate.der().clone()], &key)
    }

    /// The same with its authority behind it in the chain.
    pub fn with_authority(mut self, authority: &Authority) -> Certificate {
        self.chain.push(authority.certificate.clone());
        self
    }

    /// The data of a TLSA record for this certificate, `3 1 1` (RFC 6698 §2.1: DANE-EE, public key, SHA-256).
    pub fn tlsa(&self) -> String {
        format!("3 1 1 {}", hex(&key_digest(&self.chain[0])))
    }

    /// The chain as a PEM file holds it.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The key as a PEM file holds it.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// A server's TLS 1.2 and 1.3 with this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3 are known");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        Arc::new(config.with_no_client_auth().with_single_cert(self.chain.clone(), key).expect("certificate and key fit each other"))
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Certificate {
        Certificate { chain, key_der: key.serialize_der(), key_pem: key.serialize_pem() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn params(names: &[&str], until_year: i32) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of certificates are ASCII");
    (params.not_before, params.not_after) = (date_time_ymd(FROM_YEAR, 1, 1), date_time_ymd(until_year, 1, 1));
    params
}

/// SHA-256 over the SubjectPublicKeyInfo (RFC 6698 §2.1.2, selector 1).
fn key_digest(certificate: &CertificateDer) -> [u8; 32] {
    let (_, certificate) = X509Certificate::from_der(certificate).expect("our own certificates can be read");
    Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
