//! What a connection to a host must be before mail goes over it, and TLS that checks just that.
//!
//! | demand | who asks for it | TLS | certificate |
//! |---|---|---|---|
//! | `Dane` | signed TLSA records (RFC 7672) | must | as the records say |
//! | `Encrypted` | signed TLSA records, none of them usable | must | any |
//! | `Named`, enforced | an MTA-STS policy in mode enforce (RFC 8461); the smarthost's configuration | must | of an authority that is believed, for the host |
//! | `Named`, not enforced | an MTA-STS policy in mode testing | if it can be | any; what is wrong is reported |
//! | `Opportunistic` | nobody | if it can be | any (RFC 7435) |

use super::dane::Anchors;
use mail_auth::report::tlsrpt::ResultType;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsConnector;

/// What a connection must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// RFC 7672, for one of these names: the host's and the domain's.
    Dane { anchors: Anchors, names: Vec<String> },
    /// TLS with any certificate.
    Encrypted,
    /// A certificate for the host from an authority that is believed.
    Named { enforced: bool },
    /// TLS if it can be had.
    Opportunistic,
}

impl Demand {
    /// Must there be TLS?
    pub(super) fn needs_tls(&self) -> bool {
        !matches!(self, Self::Named { enforced: false } | Self::Opportunistic)
    }

    /// The name to ask for in the handshake.
    pub(super) fn server_name<'a>(&'a self, host: &'a str) -> &'a str {
        // RFC 7672 §8.1: the TLSA base domain.
        if let Self::Dane { anchors, .. } = self { &anchors.base } else { host }
    }
}

/// Makes TLS for each demand.
pub(super) struct Security {
    provider: Arc<CryptoProvider>,
    believed: Arc<WebPkiServerVerifier>,
}

/// What was found wrong with a certificate that was let pass.
pub(super) type Remark = Arc<Mutex<Option<rustls::Error>>>;

impl Security {
    pub(super) fn new(authorities: RootCertStore) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let believed = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider.clone()).build()?;
        Ok(Self { provider, believed })
    }

    /// TLS that keeps to the demand, and a place where it says what it let pass.
    pub(super) fn connector(&self, demand: &Demand) -> Result<(TlsConnector, Remark), rustls::Error> {
        let remark = Remark::default();
        let verifier =
            Verifier { demand: demand.clone(), provider: self.provider.clone(), believed: self.believed.clone(), remark: remark.clone() };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // A resumed session would skip the check of the certificate, and tickets tell who comes again.
        config.resumption = Resumption::disabled();
        Ok((TlsConnector::from(Arc::new(config)), remark))
    }
}

#[derive(Debug)]
struct Verifier {
    demand: Demand,
    provider: Arc<CryptoProvider>,
    believed: Arc<WebPkiServerVerifier>,
    remark: Remark,
}

impl Verifier {
    /// Is the key that signs the handshake of any meaning? Without an authenticated host it is not.
    fn signatures_count(&self) -> bool {
        matches!(self.demand, Demand::Dane { .. } | Demand::Named { enforced: true })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.demand {
            Demand::Dane { anchors, names } => {
                let names: Vec<ServerName<'static>> = names.iter().filter_map(|name| ServerName::try_from(name.clone()).ok()).collect();
                anchors.check(leaf, others, &names, now, &self.provider)?;
            }
            Demand::Named { enforced } => match self.believed.verify_server_cert(leaf, others, name, ocsp, now) {
                Ok(_) => {}
                Err(error) if *enforced => return Err(error),
                Err(error) => *self.remark.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
            },
            Demand::Encrypted | Demand::Opportunistic => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.signatures_count() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.signatures_count() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong in the words of RFC 8460 §4.3.
pub(super) fn result_type(error: &rustls::Error, demand: &Demand) -> ResultType {
    let rustls::Error::InvalidCertificate(problem) = error else { return ResultType::ValidationFailure };
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ResultType::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => ResultType::CertificateHostMismatch,
        CertificateError::UnknownIssuer if matches!(demand, Demand::Dane { .. }) => ResultType::TlsaInvalid,
        CertificateError::UnknownIssuer => ResultType::CertificateNotTrusted,
        _ => ResultType::ValidationFailure,
    }
}
