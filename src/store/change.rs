//! What can be asked of the committer, and what it says.

use super::accounts::{Account, Credential};
use super::bodies::{BodyRef, StagedBody};
use super::holders::SpecialUse;
use super::keys::{self, Table};
use super::mailbox_log::Place;
use super::notes::NoteChange;
use super::outbound::{Queued, Requeue};
use super::{HolderId, MailboxId, NameProblem};
use bytes::Bytes;
use stoa_mailbox::{FlagChange, FlagNames, ModSeq, Uid, UidSet};

/// About what a recipient adds to the row of a queued message.
const RECIPIENT_BYTES: usize = 256;

/// One atomic change of the store, prepared by whoever wants it. Times are seconds since 1970.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named for what the command takes")]
pub enum Change {
    /// A new account with its password and the mailboxes of a new holder.
    CreateAccount { account: NewAccount, password: Credential },
    /// The account cannot sign in or get mail any more; its mailboxes stay until they are reclaimed.
    RemoveAccount { account: Account },
    /// Sets the password or an app password of this number.
    PutCredential { holder: HolderId, credential: Credential },
    /// Revokes an app password.
    RemoveCredential { holder: HolderId, credential: u64 },
    /// RFC 9051 §6.3.4.
    CreateMailbox { holder: HolderId, name: String, special_use: Option<SpecialUse>, now: i64 },
    /// RFC 9051 §6.3.5, with all messages in it.
    DeleteMailbox { place: Place, name: String },
    /// RFC 9051 §6.3.6.
    RenameMailbox { holder: HolderId, from: String, to: String, now: i64 },
    /// RFC 9051 §6.3.7 and §6.3.8.
    Subscribe { holder: HolderId, name: String, on: bool },
    /// A message for any number of mailboxes and for other hosts.
    Deliver(Box<Delivery>),
    /// Several of them: all are filed, or none is.
    DeliverAll(Vec<Delivery>),
    /// RFC 9051 §6.4.7, or §6.4.8 with `take`.
    Copy { holder: HolderId, from: MailboxId, to: MailboxId, uids: UidSet, take: bool, now: i64 },
    /// RFC 9051 §6.4.6; leaves out messages that changed after `unchanged_since` (RFC 7162 §3.1.3).
    Store { place: Place, uids: UidSet, change: FlagChange, flags: FlagNames, unchanged_since: Option<ModSeq> },
    /// Removes the messages of `uids`, or all, that are marked `\Deleted`.
    Expunge { place: Place, uids: Option<UidSet> },
    /// A session was shown the messages below `uid_next` as `\Recent`.
    ClaimRecent { place: Place },
    /// What came of an attempt to hand over a queued message, or what a person wants of it.
    Requeue(Box<Requeue>),
    /// What rooms above remember: all of it, or nothing if one note is not what was expected.
    Notes(Vec<NoteChange>),
    /// Drops what nothing refers to any more: at most so many messages.
    Reclaim { limit: usize },
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The canonical address.
    pub address: String,
    /// The owner of the server?
    pub owner: bool,
    /// Seconds since 1970.
    pub now: i64,
}

/// Where the bytes of a delivery come from.
#[derive(Debug, Clone)]
pub enum DeliveredBody {
    /// They just came.
    Staged(StagedBody),
    /// They are stored already, and something that is not yet reclaimed refers to them.
    Stored(BodyRef),
}

impl DeliveredBody {
    /// What they are known by.
    pub fn reference(&self) -> BodyRef {
        match self {
            Self::Staged(staged) => staged.reference(),
            Self::Stored(reference) => *reference,
        }
    }
}

impl Delivery {
    /// A message that goes nowhere yet.
    pub fn of(body: DeliveredBody, prefix: Bytes, summary: Bytes, trust: Bytes) -> Self {
        let (mailboxes, flags) = (Vec::new(), FlagNames::default());
        Self { body, prefix, summary, trust, received: 0, now: 0, mailboxes, flags, queue: None, dequeue: None, notes: Vec::new() }
    }

    fn add_reads(&self, reads: &mut ReadSet) {
        reads.holders.extend(self.mailboxes.iter().map(|place| place.0));
        reads.mailboxes.extend(&self.mailboxes);
        reads.rows.push((Table::Blobs, self.body.reference().hash.to_vec()));
        if let DeliveredBody::Staged(staged) = &self.body
            && staged.staged
        {
            reads.rows.push((Table::Staging, staged.staging.to_vec()));
        }
        let queue_ids = self.dequeue.into_iter().chain(self.queue.as_ref().map(|(id, _)| *id));
        reads.rows.extend(queue_ids.map(|id| (Table::Queue, keys::queued(id))));
        reads.rows.extend(self.notes.iter().map(|note| (Table::Notes, note.row_key())));
    }

    fn size(&self) -> usize {
        let body = match &self.body {
            DeliveredBody::Staged(staged) => staged.last.1.len(),
            DeliveredBody::Stored(_) => 0,
        };
        body + self.summary.len() + 1_024
    }
}

/// A message on its way into the store.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The body.
    pub body: DeliveredBody,
    /// Header lines in front of it.
    pub prefix: Bytes,
    /// The summary of the whole, prefix included.
    pub summary: Bytes,
    /// Who vouches for it; the rooms above know its form.
    pub trust: Bytes,
    /// INTERNALDATE.
    pub received: i64,
    /// When it is filed.
    pub now: i64,
    /// Where it goes.
    pub mailboxes: Vec<Place>,
    /// With which flags.
    pub flags: FlagNames,
    /// Recipients elsewhere, under a new queue number.
    pub queue: Option<(u64, Queued)>,
    /// This queued message is done with, since it was filed here.
    pub dequeue: Option<u64>,
    /// What is remembered with it.
    pub notes: Vec<NoteChange>,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Outcome {
    /// Done, nothing to tell.
    Done,
    /// The holder of a new account.
    Holder(HolderId),
    /// Where a message was filed, in the order of the delivery's mailboxes.
    Filed(Vec<Filed>),
    /// The messages copied and their copies, in the same order.
    Copied { uid_validity: u32, from: Vec<Uid>, to: Vec<Uid> },
    /// The messages that a STORE left alone, since they had changed.
    Stored { modified: UidSet },
    /// How many messages were reclaimed, and whether there may be more.
    Reclaimed { messages: usize, more: bool },
}

/// A filed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filed {
    /// In which mailbox.
    pub place: Place,
    /// RFC 4315: for APPENDUID.
    pub uid_validity: u32,
    /// Its UID.
    pub uid: Uid,
}

/// Why a change was refused; the store is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The mailbox name.
    #[error("{0}")]
    Name(#[from] NameProblem),
    /// The address belongs to somebody.
    #[error("the address is taken")]
    AddressTaken,
    /// The number of the next account cannot be read.
    #[error("the counter of accounts is damaged, and no account can be made: see `stoa verify`")]
    CounterDamaged,
    /// The account is not there (any more).
    #[error("no such account")]
    NoAccount,
    /// The mailbox was deleted meanwhile.
    #[error("the mailbox does not exist any more")]
    NoMailbox,
    /// The message was taken out of the queue meanwhile.
    #[error("the message is not in the queue any more")]
    NotQueued,
    /// Somebody else recorded something of it since it was read.
    #[error("the message in the queue was changed meanwhile")]
    QueueChanged,
    /// Another message has this number in the queue.
    #[error("the number of the message is taken")]
    QueueNumberTaken,
    /// Nothing referred to the body any more, or it took so long to come that its beginning was swept.
    #[error("the message is not stored any more")]
    NoBody,
    /// Somebody else wrote it since it was read.
    #[error("the note was changed meanwhile")]
    NoteChanged,
    /// RFC 9051 allows 32-bit UIDs.
    #[error("the mailbox has used all its UIDs")]
    UidsExhausted,
}

/// What planning a change reads, so that the committer can load it first.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    pub holders: Vec<HolderId>,
    pub mailboxes: Vec<Place>,
    pub rows: Vec<(Table, Vec<u8>)>,
    pub garbage: usize,
}

impl Change {
    pub(super) fn reads(&self) -> ReadSet {
        let mut reads = ReadSet::default();
        match self {
            Self::CreateAccount { account, .. } => {
                reads.rows.push((Table::Names, super::accounts::fold_address(&account.address).into_bytes()));
                reads.rows.push((Table::Meta, keys::COUNTERS.to_vec()));
            }
            Self::RemoveAccount { account } => reads.rows.push((Table::Accounts, keys::holder(account.holder))),
            Self::PutCredential { holder, .. } | Self::RemoveCredential { holder, .. } => {
                reads.rows.push((Table::Accounts, keys::holder(*holder)));
            }
            Self::CreateMailbox { holder, .. } | Self::RenameMailbox { holder, .. } | Self::Subscribe { holder, .. } => {
                reads.holders.push(*holder);
            }
            Self::DeleteMailbox { place, .. } => {
                reads.holders.push(place.0);
                reads.mailboxes.push(*place);
            }
            Self::Deliver(delivery) => delivery.add_reads(&mut reads),
            Self::DeliverAll(deliveries) => deliveries.iter().for_each(|delivery| delivery.add_reads(&mut reads)),
            Self::Copy { holder, from, to, .. } => reads.mailboxes.extend([(*holder, *from), (*holder, *to)]),
            Self::Store { place, .. } | Self::Expunge { place, .. } | Self::ClaimRecent { place } => reads.mailboxes.push(*place),
            Self::Requeue(requeue) => {
                reads.rows.push((Table::Queue, keys::queued(requeue.id)));
                requeue.filings.iter().for_each(|filing| filing.add_reads(&mut reads));
                reads.rows.extend(requeue.notes.iter().map(|note| (Table::Notes, note.row_key())));
            }
            Self::Notes(notes) => reads.rows.extend(notes.iter().map(|note| (Table::Notes, note.row_key()))),
            Self::Reclaim { limit } => reads.garbage = *limit,
        }
        reads
    }

    /// Must it be alone in its batch? Reclaiming decides on what is committed, not on what a batch adds.
    pub(super) fn goes_alone(&self) -> bool {
        matches!(self, Self::Reclaim { .. })
    }

    /// May its batch be acknowledged before it is synced? Losing it would harm nobody.
    pub(super) fn needs_sync(&self) -> bool {
        match self {
            Self::ClaimRecent { .. } | Self::Reclaim { .. } => false,
            Self::Notes(notes) => notes.iter().any(NoteChange::needs_sync),
            _ => true,
        }
    }

    /// About how much it adds to a batch.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Deliver(delivery) => delivery.size(),
            Self::DeliverAll(deliveries) => deliveries.iter().map(Delivery::size).sum(),
            Self::Requeue(requeue) => {
                let row: usize = requeue.becomes.iter().flat_map(|queued| &queued.recipients).map(|_| RECIPIENT_BYTES).sum();
                row + requeue.filings.iter().map(Delivery::size).sum::<usize>() + 1_024
            }
            Self::Notes(notes) => notes.iter().map(|note| note.key.len() + note.value.as_ref().map_or(0, Bytes::len)).sum(),
            _ => 1_024,
        }
    }
}
