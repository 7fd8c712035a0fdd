//! TLS for servers, with a certificate that may be renewed while the server runs.
//!
//! A [`Tls`] reads a certificate chain and a key from PEM files and offers TLS 1.2 and 1.3. The files are
//! looked at again when a connection comes, at most once a second; files that are half written or do not fit
//! each other are reported once, and the last good pair stays in use.
//!
//! For the web it also answers certificate authorities that look whether a name is ours, with what is posted in
//! [`Challenges`].
//!
//! Standards: RFC 8446 (TLS 1.3), RFC 9266 (`tls-exporter`), RFC 5929 §4 (`tls-server-end-point`), RFC 8737 (TLS-ALPN-01).
//! Known gap: no OCSP stapling, no client certificates.

use crate::net::challenges::{ACME_ALPN, Challenges};
use anyhow::Context;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stoa_session::TlsFacts;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

/// How often the files are looked at, at most: often enough that nobody waits, seldom enough to cost nothing.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The label of RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What a [`Tls`] is for; it changes the handshake only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// People's mail programs: submission and IMAP. Sessions can be resumed.
    Clients,
    /// Mail from other servers on port 25: no resumption, since some senders fail to resume and then give up on TLS.
    Relays,
    /// Web browsers: resumption, and ALPN with HTTP/2 and HTTP/1.1.
    Web,
}

/// A certificate with its key, for one purpose, read again when its files change.
#[derive(Debug)]
pub struct Tls {
    chain_file: PathBuf,
    key_file: PathBuf,
    purpose: Purpose,
    challenges: Option<Arc<Challenges>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    serving: Serving,
    /// The last content seen, good or bad, so that bad files are reported once.
    seen: Pair,
    unreadable: bool,
    looked: Instant,
}

/// What new connections get.
#[derive(Debug, Clone)]
struct Serving {
    config: Arc<ServerConfig>,
    server_end_point: Option<Vec<u8>>,
}

/// The bytes of both files. Its `Debug` shows neither.
#[derive(PartialEq, Eq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads both files; fails when they are missing, bad, or do not fit each other.
    pub fn load(chain_file: &Path, key_file: &Path, purpose: Purpose) -> anyhow::Result<Tls> {
        let seen = Pair::read(chain_file, key_file)?;
        let serving = serve(&seen, purpose).with_context(|| format!("{} with {}", chain_file.display(), key_file.display()))?;
        let state = Mutex::new(State { serving, seen, unreadable: false, looked: Instant::now() });
        Ok(Tls { chain_file: chain_file.to_owned(), key_file: key_file.to_owned(), purpose, challenges: None, state })
    }

    /// Answers authorities with what is posted there.
    pub fn with_challenges(self, challenges: Arc<Challenges>) -> Tls {
        Tls { challenges: Some(challenges), ..self }
    }

    /// Looks at the files now; true when a new certificate is in use from here on.
    ///
    /// Files that cannot be used are logged and the old certificate stays. Connections that are open keep theirs.
    pub fn reload_if_changed(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut state)
    }

    /// Shakes hands as the server; gives the stream and what a session may know of it.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<(TlsStream<TcpStream>, TlsFacts)> {
        let serving = self.serving();
        let stream = match &self.challenges {
            Some(challenges) => accept_or_answer(stream, serving.config, challenges).await?,
            None => TlsAcceptor::from(serving.config).accept(stream).await?,
        };
        let facts = facts(stream.get_ref().1, serving.server_end_point);
        Ok((stream, facts))
    }

    fn serving(&self) -> Serving {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            self.look(&mut state);
        }
        state.serving.clone()
    }

    /// The content decides, not its time: two renewals within a tick of the clock are two renewals.
    fn look(&self, state: &mut State) -> bool {
        state.looked = Instant::now();
        let files = match Pair::read(&self.chain_file, &self.key_file) {
            Ok(files) => files,
            Err(error) => {
                if !std::mem::replace(&mut state.unreadable, true) {
                    tracing::error!("TLS certificate cannot be read, the old one stays in use: {error:#}");
                }
                return false;
            }
        };
        state.unreadable = false;
        if files == state.seen {
            return false;
        }
        let renewed = serve(&files, self.purpose);
        state.seen = files;
        match renewed {
            Ok(serving) => {
                state.serving = serving;
                tracing::info!(file = %self.chain_file.display(), "TLS certificate renewed");
                true
            }
            Err(error) => {
                tracing::error!(file = %self.chain_file.display(), "new TLS certificate is bad, the old one stays in use: {error:#}");
                false
            }
        }
    }
}

impl Pair {
    fn read(chain_file: &Path, key_file: &Path) -> anyhow::Result<Pair> {
        let read = |file: &Path| std::fs::read(file).with_context(|| file.display().to_string());
        Ok(Pair { chain: read(chain_file)?, key: read(key_file)? })
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair(…)")
    }
}

/// The one cryptography provider of the server.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn serve(pair: &Pair, purpose: Purpose) -> anyhow::Result<Serving> {
    let chain = CertificateDer::pem_slice_iter(&pair.chain).collect::<Result<Vec<_>, _>>().context("the certificate file is not PEM")?;
    let leaf = chain.first().context("the certificate file holds no certificate")?;
    let server_end_point = server_end_point(leaf);
    let key = PrivateKeyDer::from_pem_slice(&pair.key).context("the key file holds no private key")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    match purpose {
        Purpose::Clients => config.ticketer = ring::Ticketer::new()?,
        Purpose::Relays => {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Purpose::Web => {
            config.ticketer = ring::Ticketer::new()?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
    }
    Ok(Serving { config: Arc::new(config), server_end_point })
}

/// RFC 8737 §3: an authority offers one protocol and names a host; it is answered and the connection closed, for nothing is
/// spoken on it. Without an answer for that host the handshake fails as with any protocol that we do not know.
async fn accept_or_answer(stream: TcpStream, config: Arc<ServerConfig>, challenges: &Challenges) -> std::io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    match answer_for(&start.client_hello(), challenges) {
        None => start.into_stream(config).await,
        Some(answer) => {
            start.into_stream(answer).await?.shutdown().await?;
            Err(std::io::Error::other("it was a certificate authority, which was answered"))
        }
    }
}

fn answer_for(hello: &ClientHello<'_>, challenges: &Challenges) -> Option<Arc<ServerConfig>> {
    let mut offered = hello.alpn()?;
    let alone = offered.next() == Some(ACME_ALPN) && offered.next().is_none();
    challenges.tls(hello.server_name().filter(|_| alone)?)
}

fn facts(connection: &ServerConnection, server_end_point: Option<Vec<u8>>) -> TlsFacts {
    let tls13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    // rustls writes TLS13_AES_…; the registered names of RFC 8446 §B.4 begin with TLS_.
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
    TlsFacts {
        version: if tls13 { "TLS1.3" } else { "TLS1.2" }.to_owned(),
        cipher: suite.replacen("TLS13_", "TLS_", 1),
        // RFC 9266 §4.2: below TLS 1.3 the exporter is not safe without further conditions; it is not offered.
        exporter: if tls13 { connection.export_keying_material(vec![0; 32], EXPORTER_LABEL, None).ok() } else { None },
        server_end_point,
    }
}

/// RFC 5929 §4.1: the hash function of the certificate's signature, SHA-256 in place of MD5 and SHA-1.
/// A signature without one, such as Ed25519, has no such channel binding.
fn server_end_point(leaf: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(leaf)?;
    let names = |part: &[u8]| algorithm.windows(part.len()).any(|window| window == part);
    if names(OID_ED25519) {
        None
    } else if names(OID_SHA384) || names(OID_ECDSA_SHA384) || names(OID_RSA_SHA384) {
        Some(Sha384::digest(leaf).to_vec())
    } else if names(OID_SHA512) || names(OID_ECDSA_SHA512) || names(OID_RSA_SHA512) {
        Some(Sha512::digest(leaf).to_vec())
    } else {
        Some(Sha256::digest(leaf).to_vec())
    }
}

// Object identifiers as they stand in DER, tag and length first. RSASSA-PSS names its hash as a parameter.
const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const OID_ECDSA_SHA384: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const OID_ECDSA_SHA512: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const OID_RSA_SHA384: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const OID_RSA_SHA512: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const OID_SHA384: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const OID_SHA512: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

/// RFC 5280 §4.1: Certificate = SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (fields, _) = der_value(certificate)?;
    let (_, after_tbs) = der_value(fields)?;
    Some(der_value(after_tbs)?.0)
}

/// Splits `der` into the content of its first value and what follows that value.
fn der_value(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificate;
    use std::time::SystemTime;

    fn issued() -> (tempfile::TempDir, certificate::Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = certificate::ensure(dir.path(), SystemTime::now()).unwrap();
        (dir, files)
    }

    fn load(files: &certificate::Files) -> Tls {
        Tls::load(&files.certificate, &files.key, Purpose::Clients).unwrap()
    }

    fn end_point(tls: &Tls) -> Option<Vec<u8>> {
        tls.state.lock().unwrap().serving.server_end_point.clone()
    }

    #[test]
    fn a_renewed_certificate_is_taken_up() {
        let (_dir, files) = issued();
        let (_other_dir, other) = issued();
        let tls = load(&files);
        let before = end_point(&tls);
        assert!(!tls.reload_if_changed());
        std::fs::copy(&other.key, &files.key).unwrap();
        assert!(!tls.reload_if_changed(), "a key without its certificate must not be used");
        assert_eq!(end_point(&tls), before);
        std::fs::copy(&other.certificate, &files.certificate).unwrap();
        assert!(tls.reload_if_changed());
        assert_ne!(end_point(&tls), before);
    }

    #[test]
    fn bad_files_leave_the_old_certificate_in_use() {
        let (_dir, files) = issued();
        let tls = load(&files);
        let before = end_point(&tls);
        std::fs::write(&files.certificate, "not a certificate").unwrap();
        assert!(!tls.reload_if_changed());
        std::fs::remove_file(&files.key).unwrap();
        assert!(!tls.reload_if_changed());
        assert_eq!(end_point(&tls), before);
        assert!(Tls::load(&files.certificate, &files.key, Purpose::Web).is_err());
    }

    #[test]
    fn the_end_point_is_hashed_as_the_signature_says() {
        let leaf_signed_with = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
        };
        let p256 = leaf_signed_with(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(server_end_point(&p256), Some(Sha256::digest(&p256).to_vec()));
        let p384 = leaf_signed_with(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(server_end_point(&p384), Some(Sha384::digest(&p384).to_vec()));
        assert_eq!(server_end_point(&leaf_signed_with(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn broken_der_has_no_end_point() {
        for der in [&b""[..], b"\x30", b"\x30\x85\xff\xff\xff\xff\xff", b"\x30\x82\xff", b"\x30\x02\x30\x05"] {
            assert_eq!(server_end_point(der), None);
        }
    }

    #[test]
    fn relays_get_no_tickets() {
        let (_dir, files) = issued();
        let config = |purpose| Tls::load(&files.certificate, &files.key, purpose).unwrap().serving().config;
        assert_eq!(config(Purpose::Relays).send_tls13_tickets, 0);
        assert!(!config(Purpose::Relays).ticketer.enabled());
        assert!(config(Purpose::Clients).ticketer.enabled());
        assert_eq!(config(Purpose::Web).alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
