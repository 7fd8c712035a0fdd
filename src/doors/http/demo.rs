//! The demo's page: write as an outsider, and see what the owner has got.
//!
//! It shows mailboxes without a login, so it is for this machine alone: the peer must be on the loopback
//! address, the Host must be a name of it (else another site could have its own name resolve to us), and a POST
//! must carry the token that only this page shows. What is sent goes through the real SMTP door.

use super::Peer;
use super::letters;
use super::outsider::{self, Letter};
use super::pages::failed;
use crate::store::{HolderId, Store};
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Query, State};
use axum::http::header::{CACHE_CONTROL, HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use stoa_webapp::{DemoForm, DemoPage, DemoPost, Notice};
use subtle::ConstantTimeEq;

/// The names of this machine.
const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "stoa.localhost"];
/// Attempts whose outcome can still be shown; a browser asks for its own at once.
const ATTEMPTS_KEPT_MAX: usize = 16;
/// Messages of a mailbox that are shown.
const LETTERS_MAX: usize = 20;
/// Where mail to the outside is caught.
pub const OUTSIDE: &str = "Outside";

/// What the page is made from.
pub struct Demo {
    store: Store,
    owner: HolderId,
    address: String,
    smtp: SocketAddr,
    csrf: String,
    attempts: Mutex<VecDeque<Attempt>>,
}

/// What was sent and what came of it, to be shown once the browser was sent back to the page.
struct Attempt {
    id: String,
    notice: Notice,
    form: DemoForm,
}

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    sent: Option<String>,
}

impl Demo {
    /// The page of this owner; messages go in at `smtp`.
    pub fn new(store: Store, owner: HolderId, address: String, smtp: SocketAddr) -> Demo {
        Demo { store, owner, address, smtp, csrf: token(), attempts: Mutex::default() }
    }

    async fn page(&self, sent: Option<String>) -> crate::store::Result<DemoPage> {
        let attempt = sent.and_then(|id| self.attempt(&id));
        let (notice, form) = attempt.unwrap_or_else(|| (None, self.first_form()));
        Ok(DemoPage {
            owner: self.address.clone(),
            csrf: self.csrf.clone(),
            notice,
            form,
            inbox: letters::newest(&self.store, self.owner, "INBOX", LETTERS_MAX).await?,
            outside: letters::newest(&self.store, self.owner, OUTSIDE, LETTERS_MAX).await?,
        })
    }

    fn attempt(&self, id: &str) -> Option<(Option<Notice>, DemoForm)> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.iter().find(|attempt| attempt.id == id)?;
        // What was sent need not be sent again; what was refused is there to be put right.
        let form = if attempt.notice.ok { self.first_form() } else { attempt.form.clone() };
        Some((Some(attempt.notice.clone()), form))
    }

    fn first_form(&self) -> DemoForm {
        DemoForm {
            from: "diotima@mantinea.example".to_owned(),
            to: self.address.clone(),
            subject: "On love".to_owned(),
            text: "Dear Socrates,\n\nshall we go on where we stopped?\n\nDiotima\n".to_owned(),
        }
    }

    fn keep(&self, notice: Notice, form: DemoForm) -> String {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.truncate(ATTEMPTS_KEPT_MAX - 1);
        let id = token();
        attempts.push_front(Attempt { id: id.clone(), notice, form });
        id
    }
}

fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(super) async fn show(
    State(demo): State<Arc<Demo>>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<ShowQuery>, axum::extract::rejection::QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !is_local(peer, &uri, &headers) {
        return elsewhere();
    }
    match demo.page(query.ok().and_then(|Query(query)| query.sent)).await {
        Ok(page) => ([(CACHE_CONTROL, "no-store")], Html(page.render())).into_response(),
        Err(error) => {
            tracing::error!(%error, "the demo's mailboxes cannot be read");
            failed(StatusCode::INTERNAL_SERVER_ERROR, "The mailboxes cannot be read", "The log says why.")
        }
    }
}

pub(super) async fn send(
    State(demo): State<Arc<Demo>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    post: Result<Form<DemoPost>, FormRejection>,
) -> Response {
    if !is_local(peer, &uri, &headers) {
        return elsewhere();
    }
    let post = match post {
        Ok(Form(post)) => post,
        Err(rejection) => return failed(rejection.status(), "That is not the form", "Go back to the page and send it from there."),
    };
    if !bool::from(post.csrf.as_bytes().ct_eq(demo.csrf.as_bytes())) {
        return failed(StatusCode::FORBIDDEN, "The form is too old", "The server was started anew: open the page again, then send.");
    }
    let notice = match outsider::send(demo.smtp, &Letter::from(&post.form)).await {
        Ok(text) => Notice { ok: true, text },
        Err(error) => Notice { ok: false, text: error.to_string() },
    };
    let id = demo.keep(notice, post.form);
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/demo?sent={id}"))]).into_response()
}

fn elsewhere() -> Response {
    failed(StatusCode::FORBIDDEN, "Only this computer can see this page", "Open it on the computer that runs the demo, as localhost.")
}

/// Is the peer on this machine, and did it mean this machine? HTTP/2 names the host in the URI.
fn is_local(Peer(peer): Peer, uri: &Uri, headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = uri.authority().map(|authority| authority.as_str()).or(header(HOST));
    // Browsers name where a form comes from; "null" is a page that hides it.
    let origin = header(ORIGIN).is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| is_own_name(host)));
    peer.ip().to_canonical().is_loopback() && host.is_some_and(is_own_name) && origin
}

fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    HOSTS.iter().any(|own| own.eq_ignore_ascii_case(name))
}
