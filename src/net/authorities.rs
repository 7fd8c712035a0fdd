//! The certificate authorities that are believed: those that browsers believe, as compiled in, and those of a file of
//! the owner's, for closed networks.

use super::tls::provider;
use anyhow::{Context, ensure};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// All authorities that are believed; the file holds certificates in PEM.
pub fn authorities(own: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(file) = own else { return Ok(store) };
    let name = || format!("the authorities in {}", file.display());
    let pem = std::fs::read(file).with_context(name)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().with_context(name)?;
    ensure!(!found.is_empty(), "{} holds no certificate in PEM", file.display());
    for certificate in found {
        store.add(certificate).with_context(name)?;
    }
    Ok(store)
}

/// Why programs that believe these authorities would not believe the chain in a PEM file for this name, in words that go
/// on after "because"; `now` is seconds since 1970.
pub fn distrust(file: &Path, name: &str, believed: RootCertStore, now: i64) -> Option<String> {
    let verify = || {
        let chain = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
        let (leaf, between) = chain.split_first().context("there is no certificate in it")?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(believed), provider()).build()?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.max(0).unsigned_abs()));
        match verifier.verify_server_cert(leaf, between, &ServerName::try_from(name.to_owned())?, &[], at) {
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let alone = if between.is_empty() { ", or the certificate between is missing in the file" } else { "" };
                anyhow::bail!("its authority is unknown{alone}")
            }
            verified => Ok(verified.map(drop)?),
        }
    };
    verify().err().map(|error| format!("{error:#}"))
}
