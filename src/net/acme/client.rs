//! How an order talks to its authority: through whatever carries HTTPS here, with two things added.
//!
//! Each exchange has a time limit, and the header Retry-After of a refusal is kept, which the ACME client drops: it is how
//! an authority says that one of its limits is reached, and when to come again (RFC 8555 §6.6). Size limits are the
//! carrier's.

use hyper::Request;
use hyper::header::RETRY_AFTER;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::Timestamp;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An authority that works on a certificate answers at once and has us ask again.
const EXCHANGE_SECONDS: Duration = Duration::from_secs(60);

/// Makes a client for one order.
pub type Connect = Arc<dyn Fn() -> Box<dyn HttpClient> + Send + Sync>;

/// The header of the last refusal.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish(Arc<Mutex<Option<String>>>);

impl Wish {
    /// Seconds that the authority wants to be left alone, if it said so.
    pub(super) fn seconds(&self, now: i64) -> Option<i64> {
        seconds(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_deref()?, now)
    }
}

/// RFC 9110 §10.2.3: seconds or a date.
fn seconds(value: &str, now: i64) -> Option<i64> {
    match value.trim().parse::<u32>() {
        Ok(seconds) => Some(seconds.into()),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim());
            date.ok().map(|date: Timestamp| date.as_second().saturating_sub(now).max(0))
        }
    }
}

/// A carrier that listens for wishes.
pub(super) struct Client {
    pub(super) carrier: Box<dyn HttpClient>,
    pub(super) wish: Wish,
}

impl HttpClient for Client {
    fn request(&self, request: Request<BodyWrapper<bytes::Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (exchange, wish) = (self.carrier.request(request), self.wish.clone());
        Box::pin(async move {
            let late = |_| Error::Other(format!("no answer within {} seconds", EXCHANGE_SECONDS.as_secs()).into());
            let response = tokio::time::timeout(EXCHANGE_SECONDS, exchange).await.map_err(late)??;
            if !response.parts.status.is_success() {
                let value = response.parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                *wish.0.lock().unwrap_or_else(PoisonError::into_inner) = value.map(str::to_owned);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date() {
        let now = 784_111_777;
        for (value, want) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("99999999999999", None),
            ("", None),
        ] {
            assert_eq!(seconds(value, now), want, "{value}");
        }
    }
}
