//! Challenges of certificate authorities (RFC 8555 §8.3): what this server posted itself, and small files that a program
//! beside us puts into a directory.

use super::{Site, pages};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// A token of 128 bits or more in base64url takes 22 to 43 characters.
const TOKEN_CHARS_MAX: usize = 128;
/// A token and a thumbprint.
const ANSWER_BYTES_MAX: u64 = 1024;

pub(super) async fn answer(State(site): State<Arc<Site>>, Path(token): Path<String>) -> Response {
    if let Some(text) = site.challenges.text(&token) {
        return ([(CONTENT_TYPE, "application/octet-stream")], text).into_response();
    }
    let Some(directory) = site.challenge_directory.as_ref().filter(|_| is_token(&token)) else {
        return pages::missing().await;
    };
    let file = directory.join(".well-known/acme-challenge").join(&token);
    let mut text = Vec::new();
    let read = async { tokio::fs::File::open(&file).await?.take(ANSWER_BYTES_MAX).read_to_end(&mut text).await };
    match read.await {
        Ok(_) => ([(CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        Err(_) => pages::missing().await,
    }
}

/// RFC 8555 §8.3: base64url without padding; so it cannot name a file elsewhere.
fn is_token(token: &str) -> bool {
    token.len() <= TOKEN_CHARS_MAX && !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
