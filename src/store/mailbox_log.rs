//! A mailbox on disk: a head, packed segments of entries, and the edits since they were packed.
//!
//! Each change of a mailbox is one `Changes` row however many messages it concerns. After
//! [`CHANGES_BEFORE_PACKING`] rows the segments that they touched are written anew in the same batch and the
//! rows go. Opening a mailbox reads the segments and replays the rows.

use super::engine::{Batch, Engine};
use super::keys::{self, Table};
use super::{HolderId, MailboxId, Result, StoreError, entries};
use std::collections::BTreeSet;
use std::sync::Arc;
use stoa_mailbox::{Edit, Entry, FlagChange, Flags, ModSeq, Uid, UidSet, View};
use stoa_record::{Reader, RecordError, Writer};

/// UIDs of one segment row.
pub(super) const BLOCK_UIDS: u32 = 4_096;
/// So many small rows are read in a millisecond or two; packing them rewrites a few segments.
const CHANGES_BEFORE_PACKING: usize = 512;
/// Rows read at a time.
const PAGE: usize = 256;
/// RFC 7162 §3.1: a mod-sequence has 63 bits.
const MODSEQ_MAX: ModSeq = i64::MAX as ModSeq;

/// Which mailbox of which holder.
pub type Place = (HolderId, MailboxId);

/// A mailbox as the committer knows it.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub view: Arc<View>,
    /// The head's row as it is on disk, to assert; `None` before the mailbox is made.
    pub row: Option<bytes::Bytes>,
    /// Edits up to here are in the segments.
    pub packed: ModSeq,
    /// Rows above `packed`.
    pub changes: usize,
    /// Blocks that differ from their segment row.
    pub dirty: BTreeSet<u32>,
    /// Messages from here on were never shown as `\Recent`.
    pub recent_from: Uid,
    /// Nobody may use it any more; it is emptied in the background.
    pub deleted: bool,
    /// The head differs from its row.
    changed: bool,
}

/// The head of a mailbox: its row in `Mailboxes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub uid_validity: u32,
    pub uid_next: Uid,
    pub highest_modseq: ModSeq,
    /// See [`Mailbox`] for this and what follows.
    pub packed: ModSeq,
    pub recent_from: Uid,
    pub keywords: Vec<String>,
    pub deleted: bool,
}

impl Head {
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = Writer::new(1)
            .u64(1, self.uid_validity.into())
            .u64(2, self.uid_next.into())
            .u64(3, self.highest_modseq)
            .u64(4, self.packed)
            .u64(5, self.recent_from.into())
            .u64(7, self.deleted.into());
        self.keywords.iter().fold(record, |record, keyword| record.str(6, keyword)).finish()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let modseq = |field| record.u64(field)?.filter(|modseq| *modseq <= MODSEQ_MAX).ok_or(RecordError::Missing(field));
        Ok(Self {
            // Taken for what a new mailbox has, a lost counter would give out what was given out before.
            uid_validity: record.u32(1)?.ok_or(RecordError::Missing(1))?,
            uid_next: record.u32(2)?.ok_or(RecordError::Missing(2))?,
            highest_modseq: modseq(3)?,
            packed: modseq(4)?,
            recent_from: record.u32(5)?.unwrap_or(1),
            keywords: record.all_bytes(6)?.map(|keyword| String::from_utf8_lossy(keyword).into_owned()).collect(),
            deleted: record.u64(7)?.unwrap_or(0) != 0,
        })
    }
}

impl Mailbox {
    pub fn new(uid_validity: u32) -> Self {
        let view = Arc::new(View::empty(uid_validity));
        let packed = view.highest_modseq;
        Self { view, row: None, packed, changes: 0, dirty: BTreeSet::new(), recent_from: 1, deleted: false, changed: false }
    }

    /// Moves to the next version and writes what that needs, but for the head ([`Mailbox::write_head`]).
    pub fn commit(&mut self, place: Place, edits: &[Edit], batch: &mut Batch) {
        for edit in edits {
            self.mark_dirty(edit);
        }
        Arc::make_mut(&mut self.view).edit(edits);
        if !edits.is_empty() {
            let modseq = self.view.highest_modseq;
            batch.put(Table::Changes, keys::change(place.0, place.1, modseq), edits_to_bytes(edits));
            self.changes += 1;
            for edit in edits {
                if let Edit::Expunge { uids, modseq } = edit {
                    batch.put(Table::Vanished, keys::change(place.0, place.1, *modseq), set_to_record(Writer::new(1), uids).finish());
                }
            }
        }
        if self.changes >= CHANGES_BEFORE_PACKING {
            self.pack(place, batch);
        }
        self.changed = true;
    }

    /// Writes the head, once for all that a batch does to the mailbox.
    pub fn write_head(&mut self, place: Place, batch: &mut Batch) {
        if std::mem::take(&mut self.changed) {
            let head = bytes::Bytes::from(self.head_bytes());
            batch.put(Table::Mailboxes, keys::mailbox(place.0, place.1), head.clone());
            self.row = Some(head);
        }
    }

    fn mark_dirty(&mut self, edit: &Edit) {
        match edit {
            Edit::Append(entry) => {
                self.dirty.insert(entry.uid / BLOCK_UIDS);
            }
            Edit::Flag { uids, .. } | Edit::Expunge { uids, .. } => {
                let touched: Vec<u32> = self.view.select(uids).map(|e| e.uid / BLOCK_UIDS).collect();
                self.dirty.extend(touched);
            }
            Edit::Keyword(_) => {}
        }
    }

    fn pack(&mut self, (holder, mailbox): Place, batch: &mut Batch) {
        for block in std::mem::take(&mut self.dirty) {
            let first = block * BLOCK_UIDS;
            let uids = UidSet::from_ranges([first..=first.saturating_add(BLOCK_UIDS - 1)]);
            let entries: Vec<Entry> = self.view.select(&uids).copied().collect();
            let key = keys::segment(holder, mailbox, block);
            if entries.is_empty() {
                batch.delete(Table::Segments, key);
            } else {
                batch.put(Table::Segments, key, entries::to_bytes(&entries));
            }
        }
        let end = keys::change(holder, mailbox, self.view.highest_modseq + 1);
        batch.delete_range(Table::Changes, keys::mailbox(holder, mailbox), end);
        self.packed = self.view.highest_modseq;
        self.changes = 0;
    }

    fn head_bytes(&self) -> Vec<u8> {
        let head = Head {
            uid_validity: self.view.uid_validity,
            uid_next: self.view.uid_next,
            highest_modseq: self.view.highest_modseq,
            packed: self.packed,
            recent_from: self.recent_from,
            keywords: self.view.keywords.as_ref().clone(),
            deleted: self.deleted,
        };
        head.to_bytes()
    }

    /// Reads a mailbox; `None` if there is no such row.
    pub async fn load(engine: &dyn Engine, place: Place) -> Result<Option<Self>> {
        // A batch may come between two reads. It moves the head, so a head that stayed proves the rest.
        loop {
            let key = keys::mailbox(place.0, place.1);
            let Some(row) = engine.get(Table::Mailboxes, &key).await? else { return Ok(None) };
            let mailbox = Self::load_under(engine, place, row.clone()).await;
            if engine.get(Table::Mailboxes, &key).await? == Some(row) {
                return mailbox.map(Some);
            }
        }
    }

    async fn load_under(engine: &dyn Engine, place: Place, row: bytes::Bytes) -> Result<Self> {
        let head = Head::from_bytes(&row)?;
        let (packed, recent_from, deleted) = (head.packed, head.recent_from, head.deleted);
        let mut view = View::restore(head.uid_validity, head.uid_next, packed, head.keywords, []);
        let mut read = Vec::new();
        for (_, segment) in all(engine, Table::Segments, place, keys::segment(place.0, place.1, 0)).await? {
            read.clear();
            entries::read(&segment, |entry| read.push(entry))?;
            view.extend(read.drain(..));
        }
        let mut mailbox =
            Self { view: Arc::new(view), row: None, packed, changes: 0, dirty: BTreeSet::new(), recent_from, deleted, changed: false };
        for (_, change) in all(engine, Table::Changes, place, keys::change(place.0, place.1, packed + 1)).await? {
            let edits = edits_from_bytes(&change)?;
            edits.iter().for_each(|edit| mailbox.mark_dirty(edit));
            Arc::make_mut(&mut mailbox.view).edit(&edits);
            mailbox.changes += 1;
        }
        if mailbox.view.highest_modseq != head.highest_modseq {
            return Err(StoreError::Damaged("a mailbox's change records do not reach its head"));
        }
        mailbox.row = Some(row);
        Ok(mailbox)
    }
}

/// All that can still be read of a mailbox, whatever is damaged of it.
pub(super) async fn salvage(engine: &dyn Engine, place: Place) -> Result<View> {
    let row = engine.get(Table::Mailboxes, &keys::mailbox(place.0, place.1)).await?;
    let head = row.and_then(|row| Head::from_bytes(&row).ok());
    let (packed, keywords) = head.map(|head| (head.packed, head.keywords)).unwrap_or_default();
    let mut found = std::collections::BTreeMap::new();
    for (_, segment) in all(engine, Table::Segments, place, keys::segment(place.0, place.1, 0)).await? {
        // What was read before the damage is as it was.
        _ = entries::read(&segment, |entry| _ = found.insert(entry.uid, entry));
    }
    let mut view = View::restore(1, Uid::MAX, packed, keywords, found.into_values());
    for (_, change) in all(engine, Table::Changes, place, keys::change(place.0, place.1, packed.saturating_add(1))).await? {
        if let Ok(edits) = edits_from_bytes(&change) {
            let is_new = |edit: &Edit| !matches!(edit, Edit::Append(entry) if view.find(entry.uid).is_some());
            let edits: Vec<Edit> = edits.into_iter().filter(is_new).collect();
            view.edit(&edits);
        }
    }
    Ok(view)
}

/// The UIDs that changes after `since` took out.
pub(super) async fn vanished(engine: &dyn Engine, place: Place, since: ModSeq) -> Result<UidSet> {
    let mut ranges = Vec::new();
    for (_, row) in all(engine, Table::Vanished, place, keys::change(place.0, place.1, since.saturating_add(1))).await? {
        ranges.extend(uids_from_bytes(&row)?.ranges());
    }
    Ok(UidSet::from_ranges(ranges))
}

/// The UIDs of a `Vanished` row.
pub(super) fn uids_from_bytes(bytes: &[u8]) -> Result<UidSet, RecordError> {
    set_from_record(&Reader::parse(bytes, 1)?)
}

/// All rows of a mailbox's table from `start` on.
async fn all(engine: &dyn Engine, table: Table, place: Place, start: Vec<u8>) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>> {
    super::range_all(engine, table, start, &keys::after(&keys::mailbox(place.0, place.1)), PAGE).await
}

/// Field 1 of a record, repeated: a range of UIDs as two numbers in one.
fn set_to_record(record: Writer, uids: &UidSet) -> Writer {
    uids.ranges().fold(record, |record, r| record.u64(1, u64::from(*r.start()) << 32 | u64::from(*r.end())))
}

fn set_from_record(record: &Reader<'_>) -> Result<UidSet, RecordError> {
    let ranges: Vec<u64> = record.all_u64(1)?.collect();
    Ok(UidSet::from_ranges(ranges.into_iter().map(|n| (n >> 32) as Uid..=n as Uid)))
}

/// One edit a field: 1 append, 2 flag, 3 expunge, 4 keyword.
fn edits_to_bytes(edits: &[Edit]) -> Vec<u8> {
    let mut record = Writer::new(1);
    for edit in edits {
        record = match edit {
            Edit::Append(entry) => record.bytes(1, &entries::to_bytes(std::slice::from_ref(entry))),
            Edit::Flag { uids, change, named, modseq } => {
                let change = match change {
                    FlagChange::Replace => 0,
                    FlagChange::Add => 1,
                    FlagChange::Remove => 2,
                };
                let inner = Writer::new(1).u64(2, change).u64(3, named.bits()).u64(4, *modseq);
                record.bytes(2, &set_to_record(inner, uids).finish())
            }
            Edit::Expunge { uids, modseq } => record.bytes(3, &set_to_record(Writer::new(1).u64(4, *modseq), uids).finish()),
            Edit::Keyword(name) => record.str(4, name),
        };
    }
    record.finish()
}

pub(super) fn edits_from_bytes(bytes: &[u8]) -> Result<Vec<Edit>, RecordError> {
    let record = Reader::parse(bytes, 1)?;
    let mut edits = Vec::new();
    for (field, value) in record.all_byte_fields()? {
        match field {
            1 => {
                entries::read(value, |entry| edits.push(Edit::Append(entry)))?;
            }
            2 => edits.push(flag_from_bytes(value)?),
            3 => {
                let inner = Reader::parse(value, 1)?;
                edits.push(Edit::Expunge { uids: set_from_record(&inner)?, modseq: inner.u64(4)?.unwrap_or(0) });
            }
            4 => edits.push(Edit::Keyword(String::from_utf8_lossy(value).into_owned())),
            _ => {}
        }
    }
    Ok(edits)
}

fn flag_from_bytes(bytes: &[u8]) -> Result<Edit, RecordError> {
    let inner = Reader::parse(bytes, 1)?;
    let change = match inner.u64(2)?.unwrap_or(0) {
        1 => FlagChange::Add,
        2 => FlagChange::Remove,
        _ => FlagChange::Replace,
    };
    Ok(Edit::Flag {
        uids: set_from_record(&inner)?,
        change,
        named: Flags::from_bits(inner.u64(3)?.unwrap_or(0)),
        modseq: inner.u64(4)?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_read_back() {
        let entry = Entry { uid: 7, size: 9, message: 3, modseq: 8, flags: Flags::from_bits(5), received: -1, saved: 4 };
        let uids: UidSet = [1, 2, 3, 9].into_iter().collect();
        let edits = [
            Edit::Keyword("$Forwarded".into()),
            Edit::Append(entry),
            Edit::Flag { uids: uids.clone(), change: FlagChange::Remove, named: Flags::from_bits(1), modseq: 9 },
            Edit::Expunge { uids, modseq: 10 },
        ];
        assert_eq!(edits_from_bytes(&edits_to_bytes(&edits)).unwrap(), edits);
    }
}
