//! One exchange over HTTPS: a request with what it carries, and the answer, within limits.
//!
//! Connects through our own [`Resolver`], checks the certificate against [`super::authorities()`], speaks HTTP/1.1, follows
//! no redirect and keeps no connection. Reads bytes from strangers: the time for all of it and the size of the answer
//! are limited by the caller, header lines here. A URL that a stranger gave can be kept from reaching into the
//! owner's network ([`Reach::Public`]).
//!
//! Also a client for the ACME crate. Standards: RFC 9110, RFC 9112. Known gaps: no proxy, no HTTP/2.

use super::dns::{DnsError, Resolver};
use super::tls::provider;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Header lines of an answer, and their octets together.
const HEADERS_MAX: usize = 100;
const HEADERS_BYTES_MAX: usize = 32 << 10;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// The connection may use this share of the time for all, so that a dead address leaves time for the next.
const CONNECT_SHARE: u32 = 4;

const USER_AGENT: &str = concat!("stoa/", env!("CARGO_PKG_VERSION"));

/// How long an exchange may take, and how much may come back.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For everything: names, connection, TLS, request and answer.
    pub time: Duration,
    /// Of the answer's body.
    pub body_bytes_max: usize,
}

/// What ACME servers send is small; their work takes a while.
const ACME: Bounds = Bounds { time: Duration::from_secs(60), body_bytes_max: 1 << 20 };

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The owner named the host.
    Anywhere,
    /// Strangers named it: to public addresses alone, unless the server stands in a closed network.
    Public,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Not an address we can fetch from.
    #[error("the URL is not of the form https://host/path")]
    Url,
    /// The host has no address.
    #[error("the host cannot be found: {0}")]
    Name(#[from] DnsError),
    /// [`Reach::Public`].
    #[error("the host has no public address")]
    Private,
    /// No connection.
    #[error("the host cannot be reached: {0}")]
    Connect(std::io::Error),
    /// No TLS, or not with a certificate that is believed.
    #[error("TLS failed: {0}")]
    Tls(std::io::Error),
    /// It does not speak HTTP as it should.
    #[error("the host does not speak HTTP: {0}")]
    Protocol(hyper::Error),
    /// Broken off at this many octets.
    #[error("the answer is longer than {0} octets")]
    TooLong(usize),
    /// [`Bounds::time`].
    #[error("the host took too long")]
    Slow,
}

/// A client. Clones share everything.
#[derive(Clone)]
pub struct Https {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Resolver,
    tls: TlsConnector,
    port: u16,
    closed_network: bool,
}

impl Https {
    /// A client that believes these authorities; `port` is for URLs that name none. In a closed network strangers'
    /// hosts may have private addresses.
    pub fn new(resolver: Resolver, authorities: RootCertStore, port: u16, closed_network: bool) -> anyhow::Result<Self> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { inner: Arc::new(Inner { resolver, tls, port, closed_network }) })
    }

    /// Fetches a page.
    pub async fn get(&self, url: &str, reach: Reach, bounds: Bounds) -> Result<Response<Bytes>, HttpsError> {
        let request = Request::builder().method(Method::GET).uri(url).body(Bytes::new());
        self.exchange(request.map_err(|_| HttpsError::Url)?, reach, bounds).await
    }

    /// Hands something over.
    pub async fn post(&self, url: &str, kind: &str, body: Bytes, reach: Reach, bounds: Bounds) -> Result<Response<Bytes>, HttpsError> {
        let request = Request::builder().method(Method::POST).uri(url).header(header::CONTENT_TYPE, kind).body(body);
        self.exchange(request.map_err(|_| HttpsError::Url)?, reach, bounds).await
    }

    /// Any request whose URI is a full URL.
    pub async fn exchange(&self, request: Request<Bytes>, reach: Reach, bounds: Bounds) -> Result<Response<Bytes>, HttpsError> {
        tokio::time::timeout(bounds.time, self.unhurried(request, reach, bounds)).await.unwrap_or(Err(HttpsError::Slow))
    }

    async fn unhurried(&self, request: Request<Bytes>, reach: Reach, bounds: Bounds) -> Result<Response<Bytes>, HttpsError> {
        let host = host(request.uri()).ok_or(HttpsError::Url)?;
        let port = request.uri().port_u16().unwrap_or(self.inner.port);
        let stream = self.connect(&host, port, reach, bounds.time / CONNECT_SHARE).await?;
        let mut builder = http1::Builder::new();
        builder.max_headers(HEADERS_MAX).max_buf_size(HEADERS_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(HttpsError::Protocol)?;
        let answer = async {
            let response = sender.send_request(wire_form(request)?).await.map_err(HttpsError::Protocol)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, bounds.body_bytes_max).collect().await;
            let body = body.map_err(|error| unfinished(error, bounds.body_bytes_max))?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // What the connection has read by its end may still be the whole answer.
            _ = connection => answer.await,
        }
    }

    async fn connect(&self, host: &str, port: u16, reach: Reach, patience: Duration) -> Result<TlsStream<TcpStream>, HttpsError> {
        let mut addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.inner.resolver.addresses(host).await?.records,
        };
        if reach == Reach::Public && !self.inner.closed_network {
            addresses.retain(is_public);
            if addresses.is_empty() {
                return Err(HttpsError::Private);
            }
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpsError::Url)?;
        let mut problem = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(patience, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => return self.inner.tls.connect(name, stream).await.map_err(HttpsError::Tls),
                Ok(Err(error)) => problem = error,
                Err(_) => problem = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(HttpsError::Connect(problem))
    }
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

impl instant_acme::HttpClient for Https {
    fn request(
        &self,
        request: Request<instant_acme::BodyWrapper<Bytes>>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<instant_acme::BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let other = |error: Box<dyn Error + Send + Sync>| instant_acme::Error::Other(error);
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| other(error.into()))?.to_bytes();
            let answer = client.exchange(Request::from_parts(parts, body), Reach::Anywhere, ACME).await;
            Ok(answer.map_err(|error| other(error.into()))?.map(Full::new).into())
        })
    }
}

/// The host of an https URL, without the brackets of an IPv6 address.
fn host(url: &Uri) -> Option<String> {
    let userinfo = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if url.scheme_str() != Some("https") || userinfo {
        return None;
    }
    let host = url.host()?;
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_ascii_lowercase())
}

/// RFC 9112 §3.2.1: the path as target, the host in a line of its own.
fn wire_form(request: Request<Bytes>) -> Result<Request<Full<Bytes>>, HttpsError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or(HttpsError::Url)?.as_str().parse().map_err(|_| HttpsError::Url)?;
    parts.headers.insert(header::HOST, authority);
    parts.headers.entry(header::USER_AGENT).or_insert(header::HeaderValue::from_static(USER_AGENT));
    parts.headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| HttpsError::Url)?;
    Ok(Request::from_parts(parts, Full::new(body)))
}

fn unfinished(error: Box<dyn Error + Send + Sync>, bytes_max: usize) -> HttpsError {
    match error.downcast::<hyper::Error>() {
        Ok(error) => HttpsError::Protocol(*error),
        Err(error) => {
            debug_assert!(error.is::<LengthLimitError>());
            HttpsError::TooLong(bytes_max)
        }
    }
}

/// Can this be the address of a server that a stranger may name? Not those of this machine, of the networks behind
/// it, or of no host at all (RFC 6890).
pub fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(*four),
        IpAddr::V6(six) => is_public_v6(*six),
    }
}

fn is_public_v4(four: Ipv4Addr) -> bool {
    let [first, second, ..] = four.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let benchmarks = first == 198 && (second == 18 || second == 19);
    let special = four.is_private() || four.is_loopback() || four.is_link_local() || shared || benchmarks;
    !special && first != 0 && first < 224
}

fn is_public_v6(six: Ipv6Addr) -> bool {
    if let Some(four) = six.to_ipv4_mapped() {
        return is_public_v4(four);
    }
    let [first, second, ..] = six.segments();
    // RFC 6052 and RFC 3056: IPv4 addresses within may be anything.
    let translated = first == 0x64 && second == 0xff9b || first == 0x2002;
    first & 0xe000 == 0x2000 && !translated
}

#[cfg(test)]
mod tests;
