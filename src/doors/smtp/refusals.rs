//! What a peer is told when something was not done: reasons in SMTP's words, never local details.

use crate::delivery::NotDelivered;
use crate::store::StoreError;
use stoa_smtp::Reply;

/// A refusal on its way to the peer.
pub(super) struct Refused(pub Reply);

/// Of something that the store could not do.
pub(super) fn failed(error: StoreError) -> Refused {
    tracing::error!(%error, "a message or its envelope could not be handled");
    Refused(Reply::LOCAL_ERROR)
}

/// Of a message that was not delivered.
pub(super) fn not_delivered(reason: NotDelivered) -> Refused {
    let text = reason.to_string();
    match reason {
        NotDelivered::Loop => Refused(Reply::MAIL_LOOP.text(text)),
        NotDelivered::ForeignFrom(_) | NotDelivered::NoFrom | NotDelivered::UnclearFrom => Refused(Reply::SENDER_NOT_OWNED.text(text)),
        NotDelivered::RecipientGone => Refused(Reply::LOCAL_ERROR),
        NotDelivered::Store(error) => failed(error),
    }
}
