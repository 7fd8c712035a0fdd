//! What an account's doings say of those who write to it.
//!
//! Whoever moves a message to Junk, or out of it, says what mail of that sender is worth; whoever writes to somebody
//! wants the answer. Takes what was done already; whatever fails here is logged and undoes nothing.

use crate::store::{HolderId, MailboxId, NoteChange, Place, SpecialUse, Store, StoreError};
use crate::trust::Trust;
use crate::trust::reputation::{Event, Reputation, Sender};
use stoa_mailbox::{Entry, UidSet};
use stoa_smtp::{Address, Recipient};

/// Messages of one command that are learned from; of those who move more, the rest tells nothing new.
const LEARNED_AT_ONCE_MAX: usize = 200;

/// Recipients of one message that become contacts: more are a mailing, not a correspondence.
const CONTACTS_PER_MESSAGE_MAX: usize = 50;

/// A command that takes messages from one mailbox to another, before it is carried out.
pub(super) struct Sorting {
    holder: HolderId,
    event: Event,
    senders: Vec<Sender>,
}

impl Sorting {
    /// What a copy or a move will say, if it says anything.
    pub async fn look(store: &Store, from: Place, to: MailboxId, uids: &UidSet) -> Option<Self> {
        Self::find(store, from, to, uids).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see what was sorted out");
            None
        })
    }

    async fn find(store: &Store, from: Place, to: MailboxId, uids: &UidSet) -> Result<Option<Self>, StoreError> {
        let Some(tree) = store.holder(from.0).await? else { return Ok(None) };
        let usage = |id| tree.mailboxes.iter().find(|leaf| leaf.id == id).and_then(|leaf| leaf.special_use);
        let event = match (usage(from.1), usage(to)) {
            (Some(SpecialUse::Junk), Some(SpecialUse::Junk | SpecialUse::Trash)) => return Ok(None),
            (_, Some(SpecialUse::Junk)) => Event::Junk,
            (Some(SpecialUse::Junk), _) => Event::Wanted,
            _ => return Ok(None),
        };
        let view = store.watch(from).await?.borrow().clone();
        let ids: Vec<_> = view.select(uids).take(LEARNED_AT_ONCE_MAX).map(|entry: &Entry| entry.message).collect();
        let messages = store.messages(from.0, &ids).await?;
        let mut senders: Vec<_> = messages.iter().flatten().filter_map(|message| Sender::of(&Trust::of_message(message).ok()?)).collect();
        senders.sort();
        senders.dedup();
        Ok(Some(Self { holder: from.0, event, senders }))
    }

    /// It was done.
    pub async fn learn(self, store: &Store, now: i64) {
        if let Err(error) = Reputation::new(store.clone()).remember(self.holder, &self.senders, self.event, now).await {
            tracing::warn!(%error, "cannot remember what was sorted out");
        }
    }
}

/// What is remembered of an account that writes to these, in the change that takes its message.
pub(super) async fn contacts(store: &Store, account: HolderId, recipients: &[Recipient], now: i64) -> Vec<NoteChange> {
    if recipients.len() > CONTACTS_PER_MESSAGE_MAX {
        return Vec::new();
    }
    let address = |address: &Address| Sender::address(&address.to_string());
    let senders: Vec<_> = recipients.iter().map(|recipient| address(&recipient.address)).collect();
    Reputation::new(store.clone()).notes(account, &senders, Event::Contact, now).await
}

/// How many of these an account never wrote to, as far as is remembered.
pub(super) async fn never_written_to(store: &Store, account: HolderId, recipients: &[&Recipient]) -> Result<usize, StoreError> {
    let reputation = Reputation::new(store.clone());
    let mut never = 0;
    for recipient in recipients {
        let standing = reputation.standing(account, &Sender::address(&recipient.address.to_string())).await?;
        never += usize::from(!standing.contact);
    }
    Ok(never)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::admit::{Wish, admit};
    use crate::delivery::tests::{House, envelope, house, received};

    async fn moved(house: &House, from: &str, to: &str) {
        let tree = house.store.holder(house.plato).await.unwrap().unwrap();
        let place = |name| (house.plato, tree.find(name).unwrap().id);
        let wish = Wish::Copy { uids: UidSet::from_ranges([1..=99]), to: place(to), take: true };
        admit(&house.store, &house.plato().await, place(from), wish, 3_000).await.unwrap();
    }

    #[tokio::test]
    async fn sorting_out_and_fetching_back_are_remembered() {
        let house = house().await;
        let stranger = Trust::of_stranger().from_peer("192.0.2.7".parse().unwrap());
        let envelope = envelope("a@out.example", &["plato@stoa.example"]);
        let message = received(&house.delivery, &envelope, "Subject: x\n\n").await;
        house.delivery.deliver(1, &envelope, &stranger, message, 2_000).await.unwrap();
        let sender = Sender::of(&stranger).unwrap();
        let reputation = Reputation::new(house.store.clone());
        let mut seen = Vec::new();
        for (from, to) in [("INBOX", "Archive"), ("Archive", "Junk"), ("Junk", "Trash"), ("Trash", "Junk"), ("Junk", "INBOX")] {
            moved(&house, from, to).await;
            let standing = reputation.standing(house.plato, &sender).await.unwrap();
            seen.push((standing.junk, standing.wanted));
        }
        assert_eq!(seen, [(0, 0), (1, 0), (1, 0), (2, 0), (2, 1)]);
        let of_socrates = reputation.standing(house.socrates, &sender).await.unwrap();
        assert!(of_socrates.is_stranger(), "it is nobody else's opinion");
    }

    #[tokio::test]
    async fn whom_an_account_wrote_to_is_no_stranger_to_it() {
        let house = house().await;
        let envelope = envelope("plato@stoa.example", &["Dion@Syracuse.example"]);
        let message = received(&house.delivery, &envelope, "From: plato@stoa.example\n\n").await;
        house.delivery.deliver(1, &envelope, &house.plato().await, message, 2_000).await.unwrap();
        let standing = Reputation::new(house.store.clone()).standing(house.plato, &Sender::address("dion@syracuse.example")).await;
        assert!(standing.unwrap().contact);
    }
}
