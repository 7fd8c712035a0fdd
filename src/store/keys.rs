//! Every table of the store, its keys, and every state that may exist after a crash.
//!
//! Keys are big-endian, so that byte order is number order; a holder's keys begin with the holder. All
//! writes of one change stand in one batch, so a crash leaves the state before it or after it. The states:
//!
//! | found after a crash | means | guarantee |
//! |---|---|---|
//! | `Staging` row | a body was being received, or a batch that would have used it never came | swept at start and after a day, with its `Chunks` |
//! | `Chunks` without `Staging`, with a `Blobs` row | a whole body | synced with the row |
//! | `Blobs` row without `BlobRefs` | nobody needs the body any more | its holder's `Garbage` row is still there and leads to it |
//! | `Messages` row without `MessageRefs` | expunged everywhere | a `Garbage` row leads to it |
//! | `Garbage` row | a message may have lost its last reference | reclaimed in the background, any number of times |
//! | `Deleted` row | the mailbox was deleted; its head says so, too | emptied and dropped in the background, slice by slice |
//! | `Changes` rows at or below the head's packed mod-sequence | never | packing deletes them in the batch that moves the mark |
//! | `Queue` row | accepted for another host, not yet handed over to all, or a report is owed | synced before the 250; keeps its body by a `BlobRefs` row; `outbound` has its states |
//! | `BlobRefs` row of the queue (holder 0) without its `Queue` row | the message left the queue | a `Garbage` row that holds the body's hash leads to it |

use super::{HolderId, MailboxId};
use stoa_mailbox::{MessageId, ModSeq, Uid};

/// A table: a column family of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Single values: `format`, `counters`, `commit`.
    Meta,
    /// `folded address` -> holder.
    Names,
    /// `holder` -> account.
    Accounts,
    /// `holder, credential` -> credential.
    Credentials,
    /// `holder` -> mailbox tree, subscriptions, next message.
    Holders,
    /// `holder, mailbox` -> head: next UID, highest mod-sequence, keywords, packed mark.
    Mailboxes,
    /// `holder, mailbox` -> nothing.
    Deleted,
    /// `holder, mailbox, block` -> packed entries of UIDs `block * BLOCK_UIDS ..`.
    Segments,
    /// `holder, mailbox, mod-sequence` -> edits since the packed mark.
    Changes,
    /// `holder, mailbox, mod-sequence` -> UIDs expunged by that change.
    Vanished,
    /// `holder, message` -> message: trace header, body hash, summary.
    Messages,
    /// `holder, message, mailbox, uid` -> nothing.
    MessageRefs,
    /// `hash` -> where the body's chunks are.
    Blobs,
    /// `hash, holder, message` -> nothing.
    BlobRefs,
    /// `staging, n` -> the n-th chunk of a body.
    Chunks,
    /// `staging` -> when it began.
    Staging,
    /// `holder, message` -> nothing, or the body's hash of what left the queue.
    Garbage,
    /// `queue id` -> message for other hosts.
    Queue,
    /// `kind, key` -> what a room above remembers.
    Notes,
}

impl Table {
    /// Every table, by number.
    pub const ALL: &[Self] = &[
        Self::Meta,
        Self::Names,
        Self::Accounts,
        Self::Credentials,
        Self::Holders,
        Self::Mailboxes,
        Self::Deleted,
        Self::Segments,
        Self::Changes,
        Self::Vanished,
        Self::Messages,
        Self::MessageRefs,
        Self::Blobs,
        Self::BlobRefs,
        Self::Chunks,
        Self::Staging,
        Self::Garbage,
        Self::Queue,
        Self::Notes,
    ];

    /// The name under which the engine keeps it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Names => "names",
            Self::Accounts => "accounts",
            Self::Credentials => "credentials",
            Self::Holders => "holders",
            Self::Mailboxes => "mailboxes",
            Self::Deleted => "deleted",
            Self::Segments => "segments",
            Self::Changes => "changes",
            Self::Vanished => "vanished",
            Self::Messages => "messages",
            Self::MessageRefs => "message_refs",
            Self::Blobs => "blobs",
            Self::BlobRefs => "blob_refs",
            Self::Chunks => "chunks",
            Self::Staging => "staging",
            Self::Garbage => "garbage",
            Self::Queue => "queue",
            Self::Notes => "notes",
        }
    }
}

/// `Meta`: the format of the data directory.
pub const FORMAT: &[u8] = b"format";
/// `Meta`: the counters that give out holders and credentials.
pub const COUNTERS: &[u8] = b"counters";
/// `Meta`: which batch came last, so that an uncertain one can be recognised.
pub const COMMIT: &[u8] = b"commit";

/// A body's hash (BLAKE3).
pub type Hash = [u8; 32];
/// Where a body's chunks are: time-ordered, so that neighbours in time are neighbours on disk.
pub type StagingId = [u8; 16];

/// Builds keys of big-endian parts.
#[derive(Default)]
struct Key(Vec<u8>);

impl Key {
    fn u32(mut self, n: u32) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    fn u64(mut self, n: u64) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// `Notes`.
pub fn note(kind: u8, key: &[u8]) -> Vec<u8> {
    Key::default().raw(&[kind]).raw(key).0
}

/// `Accounts`, `Holders`, and the first part of all that a holder has.
pub fn holder(holder: HolderId) -> Vec<u8> {
    Key::default().u64(holder.0).0
}

/// `Credentials`.
pub fn credential(holder: HolderId, credential: u64) -> Vec<u8> {
    Key::default().u64(holder.0).u64(credential).0
}

/// `Mailboxes` and `Deleted`, and the first part of a mailbox's keys.
pub fn mailbox(holder: HolderId, mailbox: MailboxId) -> Vec<u8> {
    Key::default().u64(holder.0).u32(mailbox.0).0
}

/// `Segments`.
pub fn segment(holder: HolderId, mailbox: MailboxId, block: u32) -> Vec<u8> {
    Key::default().u64(holder.0).u32(mailbox.0).u32(block).0
}

/// `Changes` and `Vanished`.
pub fn change(holder: HolderId, mailbox: MailboxId, modseq: ModSeq) -> Vec<u8> {
    Key::default().u64(holder.0).u32(mailbox.0).u64(modseq).0
}

/// `Messages` and `Garbage`.
pub fn message(holder: HolderId, message: MessageId) -> Vec<u8> {
    Key::default().u64(holder.0).u64(message).0
}

/// `MessageRefs`.
pub fn message_ref(holder: HolderId, message: MessageId, mailbox: MailboxId, uid: Uid) -> Vec<u8> {
    Key::default().u64(holder.0).u64(message).u32(mailbox.0).u32(uid).0
}

/// `BlobRefs`.
pub fn blob_ref(hash: &Hash, holder: HolderId, message: MessageId) -> Vec<u8> {
    Key::default().raw(hash).u64(holder.0).u64(message).0
}

/// `Chunks`.
pub fn chunk(staging: &StagingId, n: u32) -> Vec<u8> {
    Key::default().raw(staging).u32(n).0
}

/// `Queue`.
pub fn queued(id: u64) -> Vec<u8> {
    Key::default().u64(id).0
}

/// The key after all keys that begin with `prefix`: the end of a range over them.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Every byte was 255: no key of ours is that long.
    vec![u8::MAX; prefix.len() + 1]
}

/// The big-endian number at the end of a key.
pub fn last_u64(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The place of a `Deleted` key.
pub fn parse_mailbox(key: &[u8]) -> Option<(HolderId, MailboxId)> {
    let (holder, mailbox) = key.split_first_chunk()?;
    Some((HolderId(u64::from_be_bytes(*holder)), MailboxId(u32::from_be_bytes(mailbox.try_into().ok()?))))
}

/// The `holder, message` of a `Garbage` key.
pub fn parse_message(key: &[u8]) -> Option<(HolderId, MessageId)> {
    let holder = key.first_chunk().map(|bytes| HolderId(u64::from_be_bytes(*bytes)))?;
    (key.len() == 16).then_some((holder, last_u64(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_numbered_as_listed_and_named_once() {
        for (i, table) in Table::ALL.iter().enumerate() {
            assert_eq!(*table as usize, i);
            assert_eq!(Table::ALL.iter().filter(|t| t.name() == table.name()).count(), 1);
        }
    }

    #[test]
    fn a_range_ends_after_its_prefix() {
        assert_eq!(after(&[1, 2]), [1, 3]);
        assert_eq!(after(&[1, 255]), [2]);
        assert!(after(&[255, 255]) > vec![255, 255]);
        let key = change(HolderId(7), MailboxId(1), u64::MAX);
        assert!(key < after(&mailbox(HolderId(7), MailboxId(1))));
        assert!(key < mailbox(HolderId(7), MailboxId(2)));
    }
}
