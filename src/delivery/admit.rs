//! Admission: the one way in which messages come into a mailbox or are changed there.
//!
//! Takes what an actor wants of a mailbox, asks whether the actor may, and makes one change of the store. All
//! doors come through here: filing, copying, moving, flags and expunging. Ordinary mailboxes take everything
//! their holder sends; a mailbox with a role will be asked before the change is made.

use super::Received;
use super::training::Sorting;
use crate::store::{Change, Delivery as Filing, Outcome, Place, Store, StoreError};
use crate::trust::Trust;
use stoa_mailbox::{FlagChange, FlagNames, ModSeq, UidSet};

/// What an actor may do with a mailbox: the rights of RFC 4314 §2.1 that have a meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `l` and `r`: see the name, read the messages.
    pub read: bool,
    /// `s` and `w`: change flags.
    pub write: bool,
    /// `i`: put messages in.
    pub insert: bool,
    /// `t` and `e`: mark for removal, and remove.
    pub expunge: bool,
    /// `k` and `x`: make, rename and delete mailboxes.
    pub administer: bool,
}

impl Rights {
    /// Everything: the holder's own mailboxes.
    pub const ALL: Self = Self { read: true, write: true, insert: true, expunge: true, administer: true };
    /// Nothing, not even to know that it is there.
    pub const NONE: Self = Self { read: false, write: false, insert: false, expunge: false, administer: false };
}

/// The rights of an actor in a mailbox.
pub fn rights(actor: &Trust, mailbox: Place) -> Rights {
    if actor.account() == Some(mailbox.0) { Rights::ALL } else { Rights::NONE }
}

/// What an actor wants of a mailbox.
#[derive(Debug)]
pub enum Wish {
    /// File messages: all of them, or none.
    Append(Vec<Letter>),
    /// Copy messages out of the mailbox, or move them.
    Copy {
        /// Which.
        uids: UidSet,
        /// Where to: a mailbox of the same holder.
        to: Place,
        /// Remove them here.
        take: bool,
    },
    /// Change flags.
    Flag {
        /// Of which messages.
        uids: UidSet,
        /// How.
        change: FlagChange,
        /// Which flags.
        flags: FlagNames,
        /// Only where nothing changed after this.
        unchanged_since: Option<ModSeq>,
    },
    /// Remove what is marked `\Deleted`.
    Expunge {
        /// Among these; `None` means all.
        uids: Option<UidSet>,
    },
}

/// A message to be filed.
#[derive(Debug)]
pub struct Letter {
    /// The message.
    pub message: Received,
    /// With these flags.
    pub flags: FlagNames,
    /// INTERNALDATE in seconds since 1970.
    pub received: i64,
}

/// Why a wish was not granted; nothing happened.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The actor has no right to it.
    #[error("you may not do this in that mailbox")]
    Forbidden,
    /// Mailboxes of different holders hold different messages.
    #[error("messages cannot be copied between these mailboxes")]
    OtherHolder,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Grants a wish at this moment, in seconds since 1970, or says why not. What the outcome tells is synced.
pub async fn admit(store: &Store, actor: &Trust, mailbox: Place, wish: Wish, now: i64) -> Result<Outcome, NotAdmitted> {
    let bodies: Vec<_> = match &wish {
        Wish::Append(letters) => letters.iter().map(|letter| letter.message.body.clone()).collect(),
        _ => Vec::new(),
    };
    let sorting = match &wish {
        Wish::Copy { uids, to, .. } if rights(actor, mailbox).read => Sorting::look(store, mailbox, to.1, uids).await,
        _ => None,
    };
    let outcome = match change(actor, mailbox, wish, now) {
        Ok(change) => store.commit(change).await.map_err(NotAdmitted::from),
        Err(refused) => Err(refused),
    };
    if let (Ok(_), Some(sorting)) = (&outcome, sorting) {
        sorting.learn(store, now).await;
    }
    // What a refused change brought is of no use; after an uncertain one nobody knows.
    if let Err(NotAdmitted::Forbidden | NotAdmitted::Store(StoreError::Refused(_))) = &outcome {
        for body in bodies {
            store.discard(body).await;
        }
    }
    outcome
}

/// The change that grants a wish, if the actor may have it.
fn change(actor: &Trust, mailbox: Place, wish: Wish, now: i64) -> Result<Change, NotAdmitted> {
    let here = rights(actor, mailbox);
    match wish {
        Wish::Append(letters) => {
            allowed(here.insert)?;
            let filing =
                |Letter { message, flags, received }| Filing { mailboxes: vec![mailbox], flags, received, now, ..message.filing(actor) };
            Ok(Change::DeliverAll(letters.into_iter().map(filing).collect()))
        }
        Wish::Copy { uids, to, take } => {
            allowed(here.read && rights(actor, to).insert && (here.expunge || !take))?;
            if to.0 != mailbox.0 {
                return Err(NotAdmitted::OtherHolder);
            }
            Ok(Change::Copy { holder: mailbox.0, from: mailbox.1, to: to.1, uids, take, now })
        }
        Wish::Flag { uids, change, flags, unchanged_since } => {
            allowed(here.write)?;
            Ok(Change::Store { place: mailbox, uids, change, flags, unchanged_since })
        }
        Wish::Expunge { uids } => {
            allowed(here.expunge)?;
            Ok(Change::Expunge { place: mailbox, uids })
        }
    }
}

fn allowed(may: bool) -> Result<(), NotAdmitted> {
    if may { Ok(()) } else { Err(NotAdmitted::Forbidden) }
}
