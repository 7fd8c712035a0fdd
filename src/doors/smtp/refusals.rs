//! What a peer is told when something was not done: reasons in SMTP's words, never local details.

use crate::delivery::NotDelivered;
use crate::store::StoreError;
use stoa_smtp::Reply;

/// A refusal on its way to the peer.
pub(super) struct Refused(pub Reply);

/// Of something that the store could not do.
pub(super) fn failed(error: StoreError) -> Refused {
    tracing::error!(%error, "a message or its envelope could not be handled");
    Refused(if error.is_out_of_room() { Reply::NO_ROOM } else { Reply::LOCAL_ERROR })
}

/// Of a message that was not delivered.
pub(super) fn not_delivered(reason: NotDelivered) -> Refused {
    let text = reason.to_string();
    match reason {
        NotDelivered::Loop => Refused(Reply::MAIL_LOOP.text(text)),
        NotDelivered::ForeignFrom(_) | NotDelivered::NoFrom | NotDelivered::UnclearFrom => Refused(Reply::SENDER_NOT_OWNED.text(text)),
        NotDelivered::OverBudget(_) => Refused(Reply::OVER_BUDGET.text(text)),
        NotDelivered::RecipientGone => Refused(Reply::LOCAL_ERROR),
        NotDelivered::Store(error) => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::governor::OverBudget;
    use crate::store::Refusal;
    use crate::store::engine::EngineError;
    use std::sync::Arc;

    #[test]
    fn whose_fault_it_is_and_whether_to_try_again() {
        let engine = |error| NotDelivered::Store(StoreError::Engine(Arc::new(error)));
        let table = [
            (NotDelivered::Loop, 554, Some((5, 4, 6))),
            (NotDelivered::NoFrom, 550, Some((5, 7, 1))),
            (NotDelivered::OverBudget(OverBudget(9)), 452, Some((4, 5, 3))),
            (NotDelivered::UnclearFrom, 550, Some((5, 7, 1))),
            (NotDelivered::ForeignFrom("a@b.example".into()), 550, Some((5, 7, 1))),
            (NotDelivered::RecipientGone, 451, Some((4, 3, 0))),
            (StoreError::Uncertain.into(), 451, Some((4, 3, 0))),
            (StoreError::Refused(Refusal::NoMailbox).into(), 451, Some((4, 3, 0))),
            (StoreError::Refused(Refusal::UidsExhausted).into(), 452, Some((4, 3, 1))),
            (engine(EngineError::Failed("/a/path".into())), 451, Some((4, 3, 0))),
            (engine(EngineError::NoRoom("/a/path".into())), 452, Some((4, 3, 1))),
        ];
        for (reason, code, enhanced) in table {
            let shown = reason.to_string();
            let Refused(reply) = not_delivered(reason);
            assert_eq!((reply.code, reply.enhanced), (code, enhanced), "{shown}");
            assert!(!reply.text.contains("/a/path"), "local details stay here: {}", reply.text);
        }
    }
}
