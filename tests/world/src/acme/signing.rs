//! From a request for a certificate to the certificate (RFC 2986, RFC 8555 §7.4).

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use std::collections::BTreeSet;
use std::time::SystemTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// The key of a request.
pub(super) struct Requested {
    point: Vec<u8>,
}

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Requested {
    /// A key that nobody asked for.
    pub(super) fn other() -> Requested {
        Requested { point: KeyPair::generate().expect("a key can be made").public_key_raw().to_vec() }
    }
}

/// Checks a request for exactly these names; gives its key.
pub(super) fn read(csr: &[u8], names: &[String]) -> Result<Requested, String> {
    let (rest, request) = X509CertificationRequest::from_der(csr).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("something follows the request".into());
    }
    let wanted: BTreeSet<String> = request
        .requested_extensions()
        .into_iter()
        .flatten()
        .filter_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    // RFC 8555 §7.4: the same set of names as the order.
    if wanted != names.iter().cloned().collect() {
        return Err(format!("the request is for {wanted:?} and the order for {names:?}"));
    }
    let info = &request.certification_request_info;
    let point = info.subject_pki.subject_public_key.data.to_vec();
    let provider = ring::default_provider();
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let algorithms = provider.signature_verification_algorithms.mapping.iter().find(|(own, _)| *own == scheme).map(|(_, all)| *all);
    let signed = algorithms
        .into_iter()
        .flatten()
        .any(|algorithm| algorithm.verify_signature(&point, info.raw, &request.signature_value.data).is_ok());
    if signed { Ok(Requested { point }) } else { Err("the request is not signed by its key".into()) }
}

/// What the certificate says.
pub(super) fn params(names: &[String], (from, until): (SystemTime, SystemTime)) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names of an order are ASCII");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (from.into(), until.into());
    params
}
