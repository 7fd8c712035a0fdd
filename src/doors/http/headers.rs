//! What every answer carries, and what plain HTTP leads to.

use super::Site;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use stoa_webapp::autoconfig;

/// A year, as RFC 6797 §6.1.1 shows. Subdomains are not ours to speak for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Pages may be kept but are asked for again; what is personal says so itself.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Has the browser keep to our pages' rules.
pub(super) async fn protect(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(stoa_webapp::CONTENT_SECURITY_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(ASK_AGAIN);
    if site.hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// Leads to HTTPS, but for what programs fetch before there is a certificate for the name they use.
pub(super) async fn redirect(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Some(base) = site.redirect.as_ref().filter(|_| !is_plain(request.uri().path())) else {
        return next.run(request).await;
    };
    // The host comes from our configuration, never from the request.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match HeaderValue::try_from(format!("{base}{path}")) {
        Ok(target) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, target)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// `autoconfig.` in front of a mail domain need not have a certificate, and a challenge comes before there is one.
fn is_plain(path: &str) -> bool {
    path.starts_with("/.well-known/acme-challenge/") || path == autoconfig::PATH || path == "/mail/config-v1.1.xml"
}
