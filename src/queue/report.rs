//! What a report returns of a queued message, and the report itself, ready for the change that makes it true.

use crate::delivery::Delivery;
use crate::delivery::reports::{About, HEADER_RETURNED_BYTES_MAX};
use crate::store::{Delivery as Filing, Queued, Store, StoreError};
use stoa_report::{Action, Recipient};

/// Of a message that goes back whole, where its sender asked for that (RFC 3461 §4.3).
const MESSAGE_RETURNED_BYTES_MAX: u64 = 1 << 20;

/// RFC 3461 RET=FULL, as [`Queued::ret`] keeps it.
const RET_FULL: u8 = 1;
/// BODY=BINARYMIME, as [`Queued::content`] keeps it.
const BINARY: u8 = 2;

/// A report that tells its sender this of a queued message, if there is somebody to tell it.
pub(super) async fn report(
    delivery: &Delivery,
    store: &Store,
    message: &Queued,
    told: &[Recipient],
    now: i64,
) -> Result<Option<Filing>, StoreError> {
    if told.is_empty() {
        return Ok(None);
    }
    let content = store.body(message.prefix.clone(), &message.body).await;
    let beginning = match &content {
        Ok(content) => content.read_all(0..HEADER_RETURNED_BYTES_MAX).await,
        Err(error) => Err(error.clone()),
    };
    // Somebody must be told, also of a message that cannot be read any more.
    let beginning = beginning.unwrap_or_else(|error| {
        tracing::error!(%error, "a report goes out without the header of its message");
        Vec::new()
    });
    let whole = content.as_ref().ok().filter(|_| returns_all(message, told));
    let about = About {
        reverse_path: &message.reverse_path,
        envelope_id: message.envelope_id.as_deref(),
        arrived: message.accepted,
        utf8: message.smtputf8,
        beginning: &beginning,
        whole: whole.map(|whole| (whole, message.content > 0)),
    };
    match delivery.report(&about, told, now).await {
        Err(StoreError::Gone) if whole.is_some() => delivery.report(&About { whole: None, ..about }, told, now).await,
        other => other,
    }
}

/// RFC 3461 §4.3: RET speaks of failures; what tells of none returns the header. Binary content would not fit into a report.
fn returns_all(message: &Queued, told: &[Recipient]) -> bool {
    let size = message.prefix.len() as u64 + message.body.size;
    let fails = told.iter().any(|recipient| recipient.action == Action::Failed);
    fails && message.ret == RET_FULL && message.content != BINARY && size <= MESSAGE_RETURNED_BYTES_MAX
}
