//! The web door: pages of the front end over HTTP/1.1 and HTTP/2, in plain and with TLS.
//!
//! [`router`] makes the routes of one [`Site`], [`serve`] leads one connection. Reads bytes from strangers; hyper
//! parses them, within the limits below. Nothing here changes anything on GET (but see `demo` for POST), sets a
//! cookie or tells one reader of another.
//!
//! Standards: RFC 9110 (HTTP), RFC 6797 (HSTS), RFC 8555 §8.3 (challenges of certificate authorities),
//! RFC 8461 (MTA-STS).

mod challenge;
mod demo;
mod headers;
mod host;
mod letters;
pub mod mta_sts;
mod outsider;
mod pages;
mod setup;
#[cfg(test)]
mod tests;

pub use demo::{Demo, OUTSIDE};

use crate::net::{Challenges, Connection, Ended};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stoa_webapp::{MailServer, STYLES_PATH, autoconfig, autodiscover, profile};
use tokio::sync::watch;
use tower::ServiceExt;

/// A request's header must be complete within this; it is also how long a connection may idle between requests.
const HEADER_SECONDS: Duration = Duration::from_secs(30);
/// Bytes of a request's header: browsers send 1 to 4 KB.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Requests at a time on one HTTP/2 connection; a page of ours needs two.
const STREAMS_MAX: u32 = 32;
/// A connection is closed in good order after this and cut off a minute later, however slow its peer.
const CONNECTION_SECONDS: Duration = Duration::from_secs(300);
const LAST_SECONDS: Duration = Duration::from_secs(60);
/// A request must be complete and answered within this; the demo's form waits for a conversation of 15 seconds.
const REQUEST_SECONDS: Duration = Duration::from_secs(60);
/// The body of a request: the demo's form at its longest, each byte of it written with three.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What one port shows.
#[derive(Clone)]
pub struct Site {
    /// The mail domains, the primary one first.
    pub domains: Vec<String>,
    /// Where mail is read, the preferred way first.
    pub imap: Vec<MailServer>,
    /// Where mail is handed in, the preferred way first.
    pub submission: Vec<MailServer>,
    /// Where everything but what must be had in plain is redirected to, such as `https://mail.example.org`.
    pub redirect: Option<String>,
    /// Where phones and mail programs reach this site, such as `https://mail.example.org`; none where only this machine can.
    pub base: Option<String>,
    /// Whether browsers shall come with TLS only from now on.
    pub hsts: bool,
    /// What certificate authorities are to find.
    pub challenges: Arc<Challenges>,
    /// Holds `.well-known/acme-challenge` of programs beside us.
    pub challenge_directory: Option<PathBuf>,
    /// What other servers keep to when they bring mail for the domains.
    pub mta_sts: Option<mta_sts::Policy>,
    /// The demo's own page.
    pub demo: Option<Arc<Demo>>,
}

impl Site {
    fn primary_domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

/// Who is at the other end; [`serve`] adds it to every request.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

/// The routes of a site.
pub fn router(site: Site) -> Router {
    let site = Arc::new(site);
    let mut routes = Router::new()
        .route("/", get(pages::front))
        .route(STYLES_PATH, get(pages::styles))
        .route(autoconfig::PATH, get(pages::autoconfig))
        // Where programs look on the host `autoconfig.` in front of the domain.
        .route("/mail/config-v1.1.xml", get(pages::autoconfig))
        .route(stoa_webapp::setup::PATH, get(setup::page))
        .route(profile::PATH, get(setup::apple_profile))
        .route(autodiscover::JSON_PATH, get(setup::outlook_json))
        .route("/autodiscover/autodiscover.json/v1.0/{address}", get(setup::outlook_json))
        .route(mta_sts::PATH, get(mta_sts::show))
        .route("/.well-known/acme-challenge/{token}", get(challenge::answer));
    for path in autodiscover::PATHS {
        routes = routes.route(path, get(setup::outlook_get).post(setup::outlook_post));
    }
    if let Some(demo) = &site.demo {
        routes = routes.route("/demo", get(demo::show).post(demo::send).with_state(Arc::clone(demo)));
    }
    routes
        .fallback(pages::missing)
        .method_not_allowed_fallback(pages::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&site), headers::redirect))
        .layer(from_fn_with_state(Arc::clone(&site), headers::protect))
        .with_state(site)
}

/// Leads a connection until its peer has enough or the server shuts down.
pub async fn serve(routes: Router, connection: Connection, mut shutdown: watch::Receiver<bool>) -> Ended {
    let peer = Peer(connection.peer);
    let asked = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let routes = routes.clone();
        noticed.store(true, Ordering::Relaxed);
        async move { answer(routes, peer, request.map(Body::new)).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_SECONDS).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(HEADER_SECONDS)
        .keep_alive_timeout(HEADER_SECONDS);
    let mut led = pin!(builder.serve_connection(TokioIo::new(connection.stream), service));
    let ended = tokio::select! {
        ended = led.as_mut() => ended,
        () = enough(&mut shutdown, &asked, HEADER_SECONDS) => {
            led.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_SECONDS, led).await {
                Ok(ended) => ended,
                Err(_) => return Ended::TimedOut,
            }
        }
    };
    ended.map_or_else(because, |()| Ended::Closed)
}

/// Whatever hyper complains of, the peer did: it went away, timed out or spoke something else. Browsers go away without a word.
fn because(error: Box<dyn std::error::Error + Send + Sync>) -> Ended {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(found) = cause {
        let kind = found.downcast_ref().map(io::Error::kind);
        if matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)) {
            return Ended::PeerGone;
        }
        cause = found.source();
    }
    Ended::Broken(io::Error::other(error))
}

async fn answer(routes: Router, peer: Peer, mut request: Request) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    match tokio::time::timeout(REQUEST_SECONDS, routes.oneshot(request)).await {
        Ok(answered) => answered,
        Err(_) => Ok(pages::failed(StatusCode::REQUEST_TIMEOUT, "That took too long", "Send it again.")),
    }
}

/// The server stops, the connection is old, or nothing was asked in time: hyper waits without end for the first byte.
async fn enough(shutdown: &mut watch::Receiver<bool>, asked: &AtomicBool, patience: Duration) {
    let silent = async {
        tokio::time::sleep(patience).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = told(shutdown) => {}
        () = tokio::time::sleep(CONNECTION_SECONDS) => {}
        () = silent => {}
    }
}

/// Waits forever if whoever could tell is gone.
async fn told(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|down| *down).await.is_err() {
        std::future::pending::<()>().await;
    }
}
