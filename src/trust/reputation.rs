//! Who wrote to an account before, and what its owner thought of it.
//!
//! Each account has its own opinion: what one person moves to Junk is another's newsletter. An opinion is of a verified
//! address or, of mail that nobody vouches for, of the network it came from; never of a From that anybody can write. It
//! is kept as notes that may be lost: then a sender is a stranger again, and nothing worse.

use super::Trust;
use crate::net::rates::neighbourhood;
use crate::store::{Change, HolderId, NoteChange, NoteKind, Refusal, Store, StoreError};
use bytes::Bytes;
use std::net::IpAddr;
use stoa_record::{Reader, RecordError, Writer};

/// An opinion is forgotten after so long without a letter.
const FORGOTTEN_AFTER_SECONDS: i64 = 400 * 86_400;

/// Letters are counted once within so long: a busy correspondent costs no commit for each.
const COUNTED_EVERY_SECONDS: i64 = 3_600;

/// Others change the same opinion at the same time; then it is read again, so often.
const CONFLICTS_MAX: usize = 3;

/// Opinions written in one change.
const OPINIONS_PER_CHANGE_MAX: usize = 200;

/// Of whom there is an opinion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// An address that was verified, in lower case.
    Address(String),
    /// The network that unverified mail came from.
    Network(IpAddr),
}

impl Sender {
    /// Whoever a message is from, if that can be said at all.
    pub fn of(trust: &Trust) -> Option<Self> {
        match trust.principal() {
            super::Principal::Address(address) => Some(Self::address(address)),
            super::Principal::Nobody => trust.origin().map(|origin| Self::Network(neighbourhood(origin))),
            super::Principal::Account(..) => None,
        }
    }

    /// An address, however it is written.
    pub fn address(address: &str) -> Self {
        Self::Address(address.to_lowercase())
    }

    fn key(&self, holder: HolderId) -> Vec<u8> {
        let mut key = holder.0.to_be_bytes().to_vec();
        match self {
            Self::Address(address) => key.extend([b"a", address.as_bytes()].concat()),
            Self::Network(network) => key.extend([b"n", network.to_string().as_bytes()].concat()),
        }
        key
    }
}

/// What is known of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Letters that came, at most one an hour counted.
    pub letters: u32,
    /// How often the owner moved one to Junk.
    pub junk: u32,
    /// How often the owner moved one out of Junk.
    pub wanted: u32,
    /// The owner wrote to this address.
    pub contact: bool,
    /// When something of this came last, in seconds since 1970.
    pub last: i64,
}

impl Standing {
    /// Never wrote, and nobody wrote there.
    pub fn is_stranger(&self) -> bool {
        self.letters == 0 && !self.contact
    }

    fn to_bytes(self) -> Bytes {
        let record = Writer::new(1).u64(1, self.letters.into()).u64(2, self.junk.into()).u64(3, self.wanted.into());
        record.u64(4, self.contact.into()).i64(5, self.last).finish().into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let number = |field| record.u32(field).map(Option::unwrap_or_default);
        Ok(Self { letters: number(1)?, junk: number(2)?, wanted: number(3)?, contact: number(4)? != 0, last: record.i64(5)?.unwrap_or(0) })
    }
}

/// What happened with a sender's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A letter came.
    Letter,
    /// The owner moved one to Junk.
    Junk,
    /// The owner moved one out of it.
    Wanted,
    /// The owner wrote there.
    Contact,
}

impl Event {
    /// The opinion after it; `None` if it stays as it is.
    fn change(self, old: Standing, now: i64) -> Option<Standing> {
        let new = Standing { last: now, ..old };
        match self {
            Self::Letter if old.letters > 0 && now - old.last < COUNTED_EVERY_SECONDS => None,
            Self::Letter => Some(Standing { letters: old.letters.saturating_add(1), ..new }),
            Self::Junk => Some(Standing { junk: old.junk.saturating_add(1), ..new }),
            Self::Wanted => Some(Standing { wanted: old.wanted.saturating_add(1), ..new }),
            Self::Contact if old.contact => None,
            Self::Contact => Some(Standing { contact: true, ..new }),
        }
    }
}

/// The opinions of all accounts; clones are handles to the same.
#[derive(Clone)]
pub struct Reputation {
    store: Store,
}

impl Reputation {
    /// Kept in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// What an account knows of a sender; nothing, if that is nothing.
    pub async fn standing(&self, holder: HolderId, sender: &Sender) -> Result<Standing, StoreError> {
        let note = self.store.note(NoteKind::Reputation, &sender.key(holder)).await?;
        Ok(note.map(|note| Standing::from_bytes(&note)).transpose()?.unwrap_or_default())
    }

    /// Remembers what happened with the mail of these senders.
    pub async fn remember(&self, holder: HolderId, senders: &[Sender], event: Event, now: i64) -> Result<(), StoreError> {
        for some in senders.chunks(OPINIONS_PER_CHANGE_MAX) {
            for _ in 0..CONFLICTS_MAX {
                let changes = self.changes(holder, some, event, now).await?;
                if changes.is_empty() {
                    break;
                }
                match self.store.commit(Change::Notes(changes)).await {
                    Err(StoreError::Refused(Refusal::NoteChanged)) => {}
                    Ok(_) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The same, for whoever makes a change anyway. It need not be refused for an opinion, so one that cannot be read is left
    /// as it is, and of two at once the last one counts.
    pub async fn notes(&self, holder: HolderId, senders: &[Sender], event: Event, now: i64) -> Vec<NoteChange> {
        match self.changes(holder, senders, event, now).await {
            Ok(changes) => changes.into_iter().map(|change| NoteChange { expect: None, ..change }).collect(),
            Err(error) => {
                tracing::warn!(%error, "cannot remember what is thought of a sender");
                Vec::new()
            }
        }
    }

    async fn changes(&self, holder: HolderId, senders: &[Sender], event: Event, now: i64) -> Result<Vec<NoteChange>, StoreError> {
        let mut changes = Vec::new();
        for sender in senders {
            let key = sender.key(holder);
            let note = self.store.note(NoteKind::Reputation, &key).await?;
            let old = note.as_ref().map(|note| Standing::from_bytes(note)).transpose()?.unwrap_or_default();
            if let Some(new) = event.change(old, now) {
                changes.push(NoteChange::put(NoteKind::Reputation, key, new.to_bytes()).if_still(note));
            }
        }
        Ok(changes)
    }

    /// Forgets senders that were not heard of for long. Those the owner wrote to are remembered.
    pub async fn sweep(&self, now: i64) -> Result<(), StoreError> {
        let notes = self.store.notes(NoteKind::Reputation, b"").await?;
        let is_old = |value: &[u8]| {
            let standing = Standing::from_bytes(value);
            standing.map_or(true, |standing| !standing.contact && now - standing.last > FORGOTTEN_AFTER_SECONDS)
        };
        let old: Vec<_> = notes.into_iter().filter(|(_, value)| is_old(value)).collect();
        for some in old.chunks(OPINIONS_PER_CHANGE_MAX) {
            let removed = some.iter().map(|(key, value)| {
                let change = NoteChange::remove(NoteKind::Reputation, key.to_vec());
                change.if_still(Some(value.clone()))
            });
            match self.store.commit(Change::Notes(removed.collect())).await {
                // One of them wrote in this moment; the others go the next time.
                Ok(_) | Err(StoreError::Refused(Refusal::NoteChanged)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use std::sync::Arc;

    const PLATO: HolderId = HolderId(1);
    const OTHER: HolderId = HolderId(2);

    async fn reputation() -> Reputation {
        Reputation::new(Store::open(Arc::new(Memory::new())).await.unwrap())
    }

    #[tokio::test]
    async fn each_account_has_its_own_opinion() {
        let reputation = reputation().await;
        let (a, n) = (Sender::address("A@Shop.example"), Sender::Network("192.0.2.0".parse().unwrap()));
        reputation.remember(PLATO, &[a.clone(), n.clone()], Event::Letter, 10).await.unwrap();
        reputation.remember(PLATO, std::slice::from_ref(&a), Event::Junk, 20).await.unwrap();
        reputation.remember(OTHER, std::slice::from_ref(&a), Event::Contact, 30).await.unwrap();
        let of_plato = reputation.standing(PLATO, &Sender::address("a@shop.example")).await.unwrap();
        assert_eq!(of_plato, Standing { letters: 1, junk: 1, last: 20, ..Standing::default() });
        let of_other = reputation.standing(OTHER, &a).await.unwrap();
        assert!(of_other.contact && of_other.junk == 0 && !of_other.is_stranger());
        assert!(reputation.standing(OTHER, &n).await.unwrap().is_stranger());
    }

    #[tokio::test]
    async fn a_busy_correspondent_costs_little() {
        let reputation = reputation().await;
        let a = [Sender::address("a@b.example")];
        for now in [0, 1, 2, COUNTED_EVERY_SECONDS, COUNTED_EVERY_SECONDS + 5] {
            reputation.remember(PLATO, &a, Event::Letter, now).await.unwrap();
        }
        assert_eq!(reputation.standing(PLATO, &a[0]).await.unwrap().letters, 2);
    }

    #[tokio::test]
    async fn who_was_not_heard_of_for_long_is_forgotten_but_for_contacts() {
        let reputation = reputation().await;
        let (a, b) = (Sender::address("a@b.example"), Sender::address("b@b.example"));
        reputation.remember(PLATO, std::slice::from_ref(&a), Event::Letter, 0).await.unwrap();
        reputation.remember(PLATO, std::slice::from_ref(&b), Event::Contact, 0).await.unwrap();
        reputation.sweep(FORGOTTEN_AFTER_SECONDS).await.unwrap();
        assert!(!reputation.standing(PLATO, &a).await.unwrap().is_stranger());
        reputation.sweep(FORGOTTEN_AFTER_SECONDS + 1).await.unwrap();
        assert!(reputation.standing(PLATO, &a).await.unwrap().is_stranger());
        assert!(reputation.standing(PLATO, &b).await.unwrap().contact);
    }

    #[tokio::test]
    async fn two_events_at_once_are_both_remembered() {
        let reputation = reputation().await;
        let a = [Sender::address("a@b.example")];
        let (one, two) = tokio::join!(reputation.remember(PLATO, &a, Event::Junk, 1), reputation.remember(PLATO, &a, Event::Wanted, 1));
        one.and(two).unwrap();
        let standing = reputation.standing(PLATO, &a[0]).await.unwrap();
        assert_eq!((standing.junk, standing.wanted), (1, 1));
    }
}
