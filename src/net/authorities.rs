//! The certificate authorities that are believed: those that browsers believe, as compiled in, and those of a file of
//! the owner's, for closed networks.

use anyhow::{Context, ensure};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;

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
