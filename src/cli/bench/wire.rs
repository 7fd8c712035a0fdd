//! A connection to the server that is measured, plain or under TLS. It holds one small buffer, whatever comes.
//!
//! Bytes are handed on where they lie. A server that says nothing for [`PATIENCE`] is given up.

use anyhow::{Context, bail};
use memchr::memchr;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// To say something: a search through a large mailbox says nothing until its end.
const PATIENCE: Duration = Duration::from_secs(900);
/// As much as a TLS record holds: a larger buffer is never filled.
const READ_BYTES: usize = 16 * 1024;

/// An open connection.
pub(super) struct Wire {
    stream: Stream,
    read: Box<[u8]>,
    /// What of `read` was not handed on.
    begin: usize,
    end: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

impl Wire {
    /// Connects in plain.
    pub(super) async fn connect(host: &str, port: u16) -> anyhow::Result<Wire> {
        let stream = TcpStream::connect((host, port)).await.with_context(|| format!("cannot connect to {host} port {port}"))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: Stream::Plain(stream), read: vec![0; READ_BYTES].into(), begin: 0, end: 0 })
    }

    /// Turns a plain connection to TLS.
    pub(super) async fn start_tls(&mut self, tls: &TlsConnector, name: ServerName<'static>) -> anyhow::Result<()> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else { bail!("TLS is on already") };
        if self.begin < self.end {
            bail!("the server sent plain bytes before its TLS handshake");
        }
        let shaking = timeout(PATIENCE, tls.connect(name, stream)).await?;
        self.stream =
            Stream::Tls(Box::new(shaking.context("no TLS with the server (--ca FILE trusts its authority, --insecure anybody)")?));
        Ok(())
    }

    /// Sends bytes at once.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sending = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await?,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                }
                Stream::Gone => bail!("the connection is closed"),
            }
            Ok(())
        };
        timeout(PATIENCE, sending).await.context("the server took nothing for too long")?
    }

    /// What came and was not handed on yet, at least a byte.
    pub(super) async fn bytes(&mut self) -> anyhow::Result<&[u8]> {
        if self.begin == self.end {
            self.begin = 0;
            self.end = self.fill(0).await?;
        }
        let bytes = &self.read[self.begin..self.end];
        self.begin = self.end;
        Ok(bytes)
    }

    /// A line without its end; only for lines that fit the buffer.
    pub(super) async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            let unread = &self.read[self.begin..self.end];
            if let Some(end) = memchr(b'\n', unread) {
                let line = String::from_utf8_lossy(&unread[..end]).trim_end().to_owned();
                self.begin += end + 1;
                return Ok(line);
            }
            self.read.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
            if self.end == self.read.len() {
                bail!("the server sent a line without end");
            }
            self.end += self.fill(self.end).await?;
        }
    }

    /// Reads into the buffer from there on.
    async fn fill(&mut self, from: usize) -> anyhow::Result<usize> {
        let room = &mut self.read[from..];
        let reading = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.read(room).await,
                Stream::Tls(stream) => stream.read(room).await,
                Stream::Gone => Ok(0),
            }
        };
        match timeout(PATIENCE, reading).await.context("the server said nothing for too long")?? {
            0 => bail!("the server closed the connection"),
            count => Ok(count),
        }
    }
}

/// Whom to trust: the authorities in a file, or anybody.
pub(super) fn tls(authorities: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match authorities {
        Some(file) => config.with_root_certificates(roots(file).with_context(|| format!("cannot use {}", file.display()))?),
        None => config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        bail!("it holds no certificate");
    }
    Ok(roots)
}

/// Believes any certificate: a benchmark's password is worth nothing, and a test server's certificate often as much.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
