//! The pages that anyone may see, and those that say what went wrong.

use super::{Site, host};
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use stoa_webapp::autoconfig::{self, MailSettings};
use stoa_webapp::{ErrorPage, FrontPage, STYLES};

pub(super) async fn front(State(site): State<Arc<Site>>) -> Html<String> {
    let page = FrontPage {
        domain: site.primary_domain().to_owned(),
        imap: site.imap.clone(),
        submission: site.submission.clone(),
        ca_note: site.demo.is_some(),
        demo: site.demo.is_some(),
    };
    Html(page.render())
}

pub(super) async fn styles() -> impl IntoResponse {
    // An hour: long enough for a visit, short enough that nobody sees new pages in old styles for long.
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")], STYLES)
}

#[derive(Deserialize)]
pub(super) struct AutoconfigQuery {
    /// Mozilla's format: whose mail program asks.
    emailaddress: Option<String>,
}

pub(super) async fn autoconfig(
    State(site): State<Arc<Site>>,
    query: Result<Query<AutoconfigQuery>, axum::extract::rejection::QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> impl IntoResponse {
    let address = query.ok().and_then(|Query(query)| query.emailaddress);
    let domain = asked_for(&site, address.as_deref(), host::name(&uri, &headers).as_deref());
    let settings = MailSettings {
        display_name: format!("Stoa at {domain}"),
        domain: domain.to_owned(),
        imap: site.imap.clone(),
        submission: site.submission.clone(),
    };
    ([(CONTENT_TYPE, autoconfig::CONTENT_TYPE)], autoconfig::xml(&settings))
}

/// The domain of ours that the mail program asks about: by the address, else by the host it came to.
fn asked_for<'a>(site: &'a Site, address: Option<&str>, host: Option<&str>) -> &'a str {
    let of_address = address.and_then(|address| address.rsplit_once('@')).and_then(|(_, domain)| host::domain(&site.domains, domain));
    let of_host = || host::domain(&site.domains, host?).or_else(|| host::domain_below(&site.domains, "autoconfig", host?));
    of_address.or_else(of_host).unwrap_or(site.primary_domain())
}

pub(super) async fn missing() -> Response {
    failed(StatusCode::NOT_FOUND, "There is no such page", "Check the address, or start from the front page.")
}

pub(super) async fn wrong_method() -> Response {
    failed(StatusCode::METHOD_NOT_ALLOWED, "That cannot be done here", "This page can be read, but takes nothing of this kind.")
}

/// A page that says what went wrong, without local details.
pub(super) fn failed(status: StatusCode, title: &str, text: &str) -> Response {
    let page = ErrorPage { status: status.as_u16(), title: title.to_owned(), text: text.to_owned() };
    (status, Html(page.render())).into_response()
}
