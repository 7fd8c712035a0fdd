//! DANE for SMTP (RFC 7672): which records of a host's TLSA set count, and whether a certificate is what they say.

use crate::net::dns::{DnsError, Found, Resolver, Tlsa};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256, Sha512};
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Records of one host that are looked at; each may cost a hash of each certificate.
const RECORDS_MAX: usize = 32;

/// Certificates of a chain that are looked at.
const CHAIN_MAX: usize = 10;

const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;

/// What DNS asks of a host's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// RFC 7672 §2.2: there are records, but none that can be used: TLS, of whomever.
    Tls,
    /// A certificate that one of these records describes.
    Certificate(Anchors),
    /// RFC 7672 §2.1.2: whether there are records cannot be told, so the host is left alone for now.
    Unknown(DnsError),
}

/// Usable records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchors {
    records: Vec<Tlsa>,
    /// The name that the records were found at (RFC 7672 §2.2.2); it is asked for in the handshake.
    pub base: String,
}

/// Asks what a host's TLS must be, given its addresses; its MX record was validated.
pub(super) async fn asked(resolver: &Resolver, host: &str, addresses: &Found<IpAddr>, port: u16) -> Asked {
    // RFC 7672 §2.2.2: the name that an alias stands for, if all of it is signed; then the alias itself.
    let mut bases = Vec::new();
    if addresses.secure {
        bases.push(addresses.name.as_str());
    }
    if addresses.name != host && (addresses.secure || addresses.alias_secure) {
        bases.push(host);
    }
    for base in bases {
        match resolver.tlsa(&format!("_{port}._tcp.{base}")).await {
            Ok(found) if found.secure => return of_records(found.records, base),
            Ok(_) | Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => {}
            Err(error) => return Asked::Unknown(error),
        }
    }
    Asked::Nothing
}

fn of_records(mut records: Vec<Tlsa>, base: &str) -> Asked {
    records.truncate(RECORDS_MAX);
    records.retain(is_usable);
    // RFC 7671 §9: of several hashes of one thing only the strongest counts.
    let strongest: Vec<Tlsa> = records.iter().filter(|record| !is_outdone(record, &records)).cloned().collect();
    if strongest.is_empty() { Asked::Tls } else { Asked::Certificate(Anchors { records: strongest, base: base.to_owned() }) }
}

/// RFC 7672 §3.1: DANE-TA and DANE-EE alone.
fn is_usable(record: &Tlsa) -> bool {
    let length_fits = match record.matching {
        0 => !record.data.is_empty(),
        1 => record.data.len() == 32,
        2 => record.data.len() == 64,
        _ => false,
    };
    matches!(record.usage, DANE_TA | DANE_EE) && record.selector <= 1 && length_fits
}

fn is_outdone(record: &Tlsa, all: &[Tlsa]) -> bool {
    let same = |other: &&Tlsa| other.usage == record.usage && other.selector == record.selector && other.matching == 2;
    record.matching == 1 && all.iter().any(|other| same(&other))
}

impl Anchors {
    /// Is this chain what the records say, for one of these names?
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        names: &[ServerName<'static>],
        now: UnixTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), rustls::Error> {
        // RFC 7672 §3.1.1: with DANE-EE neither names nor dates count.
        if self.of_usage(DANE_EE).any(|record| matches(record, leaf)) {
            return Ok(());
        }
        let mut problem = CertificateError::UnknownIssuer.into();
        for authority in others.iter().take(CHAIN_MAX) {
            if !self.of_usage(DANE_TA).any(|record| matches(record, authority)) {
                continue;
            }
            match issued_by(authority, leaf, others, names, now, provider) {
                Ok(()) => return Ok(()),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    fn of_usage(&self, usage: u8) -> impl Iterator<Item = &Tlsa> {
        self.records.iter().filter(move |record| record.usage == usage)
    }

    /// Each record as RFC 8460 §4.4 wants a policy's string.
    pub(super) fn strings(&self) -> Vec<String> {
        let text = |record: &Tlsa| {
            let data: String = record.data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {} {} {data}", record.usage, record.selector, record.matching)
        };
        self.records.iter().map(text).collect()
    }
}

/// RFC 6698 §2.1.2 and §2.1.3.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let key;
    let subject: &[u8] = match record.selector {
        0 => certificate.as_ref(),
        _ => {
            let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
            key = parsed.tbs_certificate.subject_pki.raw.to_vec();
            &key
        }
    };
    match record.matching {
        0 => record.data == subject,
        1 => record.data == Sha256::digest(subject).as_slice(),
        _ => record.data == Sha512::digest(subject).as_slice(),
    }
}

/// RFC 7672 §3.1.2 and §3.2.3: the chain leads to the authority, is valid now, and names the host.
fn issued_by(
    authority: &CertificateDer<'_>,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    names: &[ServerName<'static>],
    now: UnixTime,
    provider: &Arc<CryptoProvider>,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut outcome = Err(CertificateError::NotValidForName.into());
    for name in names {
        outcome = verifier.verify_server_cert(leaf, others, name, &[], now).map(|_| ());
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
        Tlsa { usage, selector, matching, data: data.to_vec() }
    }

    #[test]
    fn records_that_mail_cannot_use_still_ask_for_tls() {
        for unusable in [
            record(0, 1, 1, &[0; 32]),
            record(1, 1, 1, &[0; 32]),
            record(3, 2, 1, &[0; 32]),
            record(3, 1, 3, &[0; 32]),
            record(3, 1, 1, &[0; 31]),
            record(3, 0, 0, &[]),
        ] {
            assert_eq!(of_records(vec![unusable], "mx.test"), Asked::Tls);
        }
    }

    #[test]
    fn a_weak_hash_does_not_count_beside_a_strong_one() {
        let (weak, strong) = (record(3, 1, 1, &[1; 32]), record(3, 1, 2, &[2; 64]));
        let other = record(2, 1, 1, &[3; 32]);
        let Asked::Certificate(anchors) = of_records(vec![weak.clone(), strong.clone(), other.clone()], "mx.test") else { panic!() };
        assert_eq!(anchors.records, [strong, other]);
        let Asked::Certificate(anchors) = of_records(vec![weak.clone()], "mx.test") else { panic!() };
        assert_eq!(anchors.strings(), [format!("3 1 1 {}", "01".repeat(32))]);
    }

    #[test]
    fn a_certificate_matches_by_itself_or_its_key() {
        let issued = rcgen::generate_simple_self_signed(vec!["mx.test".to_owned()]).unwrap();
        let certificate = issued.cert.der();
        let key = X509Certificate::from_der(certificate).unwrap().1.tbs_certificate.subject_pki.raw.to_vec();
        for (selector, subject) in [(0, certificate.to_vec()), (1, key)] {
            assert!(matches(&record(3, selector, 0, &subject), certificate));
            assert!(matches(&record(3, selector, 1, &Sha256::digest(&subject)), certificate));
            assert!(matches(&record(3, selector, 2, &Sha512::digest(&subject)), certificate));
            assert!(!matches(&record(3, 1 - selector, 1, &Sha256::digest(&subject)), certificate));
        }
        assert!(!matches(&record(3, 1, 1, &[0; 32]), &CertificateDer::from(vec![1, 2, 3])));
    }
}
