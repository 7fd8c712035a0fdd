//! The demo's route: mail for the outside is caught in a mailbox, and nothing leaves the machine.

use super::Route;
use crate::delivery::{find_or_make, summarize};
use crate::store::{Change, DeliveredBody, Delivery, HolderId, Queued, Refusal, Store, StoreError};
use crate::trust::Trust;
use bytes::Bytes;

/// Files what is queued in a mailbox.
pub struct Outside {
    store: Store,
    holder: HolderId,
    mailbox: String,
}

impl Outside {
    /// Files in this holder's mailbox of this name, which is made and subscribed when it is missing.
    pub fn new(store: Store, holder: HolderId, mailbox: &str) -> Self {
        Self { store, holder, mailbox: mailbox.to_owned() }
    }
}

impl Route for Outside {
    async fn take(&self, id: u64, message: &Queued) -> Result<(), StoreError> {
        let mailbox = find_or_make(&self.store, self.holder, &self.mailbox, message.accepted).await?;
        let prefix = prefix(message);
        let summary = summarize(&self.store.body(prefix.clone(), &message.body).await?).await?;
        let filing = Delivery {
            received: message.accepted,
            now: message.accepted,
            mailboxes: vec![(self.holder, mailbox)],
            dequeue: Some(id),
            ..Delivery::of(DeliveredBody::Stored(message.body), prefix, summary, Trust::of_stranger().to_bytes())
        };
        match self.store.commit(Change::Deliver(Box::new(filing))).await {
            // Somebody else took it. A mailbox that was just deleted is a failure like others: the next round makes it anew.
            Ok(_) | Err(StoreError::Refused(Refusal::NotQueued)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What another host would have been told, so that a reader of the mailbox sees it.
fn prefix(message: &Queued) -> Bytes {
    let mut prefix = format!("Return-Path: <{}>\r\n", message.reverse_path).into_bytes();
    for recipient in &message.recipients {
        prefix.extend(format!("X-Envelope-To: <{}>\r\n", recipient.address).into_bytes());
    }
    prefix.extend_from_slice(&message.prefix);
    prefix.into()
}
