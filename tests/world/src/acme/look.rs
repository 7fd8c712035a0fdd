//! The authority looks whether a name is its applicant's, by really connecting to where it was told that the name leads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The applicant is on this machine.
const LOOK_SECONDS: Duration = Duration::from_secs(20);
/// A token and a thumbprint take some 90 octets.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;
/// RFC 8737 §6.1, id-pe-acmeIdentifier.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// RFC 8555 §8.3.
pub(super) async fn http_01(at: SocketAddr, name: &str, token: &str, want: &str) -> Result<(), String> {
    let fetch = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = in_time(fetch).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the answer was {:?}", head.lines().next().unwrap_or_default()));
    }
    // RFC 8555 §8.3: white space at the end is ignored.
    if body.trim_end() == want { Ok(()) } else { Err(format!("the text was {body:?}")) }
}

/// RFC 8737 §3.
pub(super) async fn tls_alpn_01(at: SocketAddr, name: &str, want: &str) -> Result<(), String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3 are known");
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let host = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let shake = async {
        let stream = TcpStream::connect(at).await?;
        TlsConnector::from(Arc::new(config)).connect(host, stream).await
    };
    let stream = in_time(shake).await?;
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".into());
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or("there is no certificate")?;
    check(leaf, name, &Sha256::digest(want))
}

/// RFC 8555 §8.4: a text with the digest, at a name below the name.
pub(super) async fn dns_01(server: SocketAddr, name: &str, want: &str) -> Result<(), String> {
    let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let resolver =
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().map_err(|error| error.to_string())?;
    let found = resolver.txt_lookup(format!("_acme-challenge.{name}.")).await.map_err(|error| error.to_string())?;
    let want = URL_SAFE_NO_PAD.encode(Sha256::digest(want));
    let texts: Vec<String> = found.answers().iter().map(|record| record.data.to_string()).collect();
    if texts.iter().any(|text| text.trim_matches('"') == want) { Ok(()) } else { Err(format!("the texts are {texts:?}")) }
}

fn check(leaf: &CertificateDer, name: &str, digest: &[u8]) -> Result<(), String> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().ok().flatten().ok_or("the certificate has no names")?;
    match names.value.general_names.as_slice() {
        [GeneralName::DNSName(only)] if only.eq_ignore_ascii_case(name) => {}
        other => return Err(format!("the certificate's names are {other:?}")),
    }
    let mine = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER);
    let mine = mine.ok_or("the certificate has no acmeIdentifier")?;
    // An OCTET STRING of 32 octets.
    if mine.critical && mine.value == [&[4, 32], digest].concat() { Ok(()) } else { Err("the acmeIdentifier is wrong".into()) }
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(LOOK_SECONDS, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".into()),
    }
}

/// RFC 8737 §3: nobody signed this certificate; what it holds is the proof.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// By hand, for the library refuses certificates with an extension that it does not know and may not overlook.
fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let wrong = || rustls::Error::General("the signature of the handshake is wrong".into());
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
    let key = &certificate.public_key().subject_public_key.data;
    let known = ring::default_provider().signature_verification_algorithms.mapping;
    let mut algorithms = known.iter().filter(|(scheme, _)| *scheme == signed.scheme).flat_map(|(_, algorithms)| algorithms.iter());
    match algorithms.any(|algorithm| algorithm.verify_signature(key, message, signed.signature()).is_ok()) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(wrong()),
    }
}
