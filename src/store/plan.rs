//! Planning: what a change does to the state. Pure: it reads what was loaded, and never waits.
//!
//! Each plan first decides whether the change is possible, then alters the working state and adds writes to
//! the batch. A refused change leaves both as they were, so one batch serves any number of changes.

use super::bodies::{Blob, BodyRef, drop_staged};
use super::change::{Change, DeliveredBody, Delivery, Filed, NewAccount, Outcome, Refusal};
use super::engine::Batch;
use super::holders::Holder;
use super::keys::{self, StagingId, Table};
use super::mailbox_log::{Mailbox, Place};
use super::notes::NoteChange;
use super::outbound::{Queued, Requeue};
use super::{Account, Credential, HolderId, MailboxId, NameProblem, accounts, messages::Message};
use bytes::Bytes;
use std::collections::HashMap;
use stoa_mailbox::{Edit, Entry, FlagChange, FlagNames, Flags, KEYWORDS_MAX, MessageId, ModSeq, SystemFlag, Uid, UidSet};
use stoa_record::{Reader, Writer};

/// The committed state that a batch's changes read, plus what those before did to it.
#[derive(Debug, Default)]
pub(super) struct Working {
    pub holders: HashMap<HolderId, Holder>,
    pub mailboxes: HashMap<Place, Mailbox>,
    pub rows: HashMap<(Table, Vec<u8>), Option<Bytes>>,
    pub garbage: Vec<Garbage>,
    /// There may be more than that.
    pub more_garbage: bool,
    /// A mailbox that was deleted and still has rows.
    pub dying: Option<(Place, Mailbox)>,
    /// Mailboxes that are gone after the batch.
    pub deleted: Vec<Place>,
    /// These messages of the queue came, were altered, or went.
    pub queued: Vec<u64>,
}

/// A message that may have no reference any more, with what was found about it.
#[derive(Debug, Clone)]
pub(super) struct Garbage {
    pub holder: HolderId,
    pub message: MessageId,
    pub in_use: bool,
    pub body: Option<BodyRef>,
    /// The body's row, if it goes with this message.
    pub blob: Option<Blob>,
}

/// Queued messages hold their bodies as messages of this holder.
pub(super) const QUEUE_HOLDER: HolderId = HolderId(0);
/// The first holder that is given out.
const FIRST_HOLDER: u64 = 1;
/// Nobody makes so many: a counter that says more is damaged.
const HOLDERS_END: u64 = 1 << 48;

pub(super) fn plan(work: &mut Working, change: &Change, batch: &mut Batch) -> Result<Outcome, Refusal> {
    match change {
        Change::CreateAccount { account, password } => create_account(work, account, password, batch),
        Change::RemoveAccount { account } => remove_account(work, account, batch),
        Change::PutCredential { holder, credential } => {
            work.need_account(*holder)?;
            batch.put(Table::Credentials, keys::credential(*holder, credential.id), credential.to_bytes());
            Ok(Outcome::Done)
        }
        Change::RemoveCredential { holder, credential } => {
            work.need_account(*holder)?;
            batch.delete(Table::Credentials, keys::credential(*holder, *credential));
            Ok(Outcome::Done)
        }
        Change::CreateMailbox { holder, name, special_use, now } => {
            work.change_tree(*holder, batch, |tree| tree.create(name, *special_use, *now).map(Some))
        }
        Change::DeleteMailbox { place, name } => delete_mailbox(work, *place, name, batch),
        Change::RenameMailbox { holder, from, to, now } => {
            work.change_tree(*holder, batch, |tree| tree.rename(from, to, *now).map(|()| None))
        }
        Change::Subscribe { holder, name, on } => work.change_tree(*holder, batch, |tree| tree.subscribe(name, *on).map(|()| None)),
        Change::Deliver(delivery) => deliver_all(work, std::slice::from_ref(delivery.as_ref()), batch),
        Change::DeliverAll(deliveries) => deliver_all(work, deliveries, batch),
        Change::Copy { holder, from, to, uids, take, now } => {
            let copied = copy(work, *holder, (*from, *to), uids, *now, batch)?;
            if *take {
                work.take_out((*holder, *from), uids, batch);
            }
            Ok(copied)
        }
        Change::Store { place, uids, change, flags, unchanged_since } => {
            let mailbox = work.mailboxes.get_mut(place).ok_or(Refusal::NoMailbox)?;
            Ok(Outcome::Stored { modified: store(mailbox, *place, uids, (*change, flags), *unchanged_since, batch) })
        }
        Change::Expunge { place, uids } => {
            let mailbox = work.mailboxes.get_mut(place).ok_or(Refusal::NoMailbox)?;
            let deleted = |e: &&Entry| e.flags.has(SystemFlag::Deleted) && uids.as_ref().is_none_or(|set| set.contains(e.uid));
            let gone: Vec<Entry> = mailbox.view.iter().filter(deleted).copied().collect();
            expunge(mailbox, *place, &gone, batch);
            Ok(Outcome::Done)
        }
        Change::ClaimRecent { place } => {
            let mailbox = work.mailboxes.get_mut(place).ok_or(Refusal::NoMailbox)?;
            mailbox.recent_from = mailbox.view.uid_next;
            mailbox.commit(*place, &[], batch);
            Ok(Outcome::Done)
        }
        Change::Requeue(change) => requeue(work, change, batch),
        Change::Notes(notes) => {
            are_as_expected(work, notes)?;
            write_notes(work, notes, batch);
            Ok(Outcome::Done)
        }
        Change::Reclaim { limit } => Ok(reclaim(work, *limit, batch)),
    }
}

impl Working {
    /// Writes what all changes of the batch together did to each mailbox and holder.
    pub fn finish(&mut self, batch: &mut Batch) {
        for (place, mailbox) in &mut self.mailboxes {
            mailbox.write_head(*place, batch);
        }
    }

    fn row(&self, table: Table, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(&(table, key.to_vec())).and_then(Option::as_ref)
    }

    fn put(&mut self, batch: &mut Batch, table: Table, key: Vec<u8>, value: Vec<u8>) {
        let value = Bytes::from(value);
        batch.put(table, key.clone(), value.clone());
        self.rows.insert((table, key), Some(value));
    }

    fn remove(&mut self, batch: &mut Batch, table: Table, key: Vec<u8>) {
        batch.delete(table, key.clone());
        self.rows.insert((table, key), None);
    }

    /// A message leaves the queue. Its reference to the body goes when that is reclaimed, with the body if it was the last.
    fn dequeue(&mut self, id: u64, body: &BodyRef, batch: &mut Batch) {
        self.remove(batch, Table::Queue, keys::queued(id));
        batch.put(Table::Garbage, keys::message(QUEUE_HOLDER, id), body.hash.to_vec());
        self.queued.push(id);
    }

    /// Messages were copied elsewhere and go from here.
    fn take_out(&mut self, place: Place, uids: &UidSet, batch: &mut Batch) {
        if let Some(source) = self.mailboxes.get_mut(&place) {
            let entries: Vec<Entry> = source.view.select(uids).copied().collect();
            expunge(source, place, &entries, batch);
        }
    }

    fn need_account(&self, holder: HolderId) -> Result<(), Refusal> {
        self.row(Table::Accounts, &keys::holder(holder)).map(|_| ()).ok_or(Refusal::NoAccount)
    }

    fn change_tree(
        &mut self,
        id: HolderId,
        batch: &mut Batch,
        change: impl FnOnce(&mut Holder) -> Result<Option<MailboxId>, NameProblem>,
    ) -> Result<Outcome, Refusal> {
        let mut tree = self.holders.get(&id).cloned().ok_or(Refusal::NoAccount)?;
        let known = tree.next_mailbox;
        change(&mut tree)?;
        if self.holders.get(&id) == Some(&tree) {
            return Ok(Outcome::Done);
        }
        // Creating and renaming may have made several: the levels above come with the one that was asked for.
        for leaf in tree.mailboxes.iter().filter(|leaf| leaf.id.0 >= known) {
            let place = (id, leaf.id);
            let mut mailbox = Mailbox::new(leaf.uid_validity);
            mailbox.commit(place, &[], batch);
            self.mailboxes.insert(place, mailbox);
        }
        batch.put(Table::Holders, keys::holder(id), tree.to_bytes());
        self.holders.insert(id, tree);
        Ok(Outcome::Done)
    }
}

fn create_account(work: &mut Working, account: &NewAccount, password: &Credential, batch: &mut Batch) -> Result<Outcome, Refusal> {
    let name = accounts::fold_address(&account.address).into_bytes();
    if work.row(Table::Names, &name).is_some() {
        return Err(Refusal::AddressTaken);
    }
    let next = match work.row(Table::Meta, keys::COUNTERS) {
        None => FIRST_HOLDER,
        // Begun anew, it would give the next account the mailboxes of the first.
        Some(row) => read_counter(row).ok_or(Refusal::CounterDamaged)?,
    };
    let holder = HolderId(next);
    work.put(batch, Table::Meta, keys::COUNTERS.to_vec(), Writer::new(1).u64(1, holder.0 + 1).finish());
    work.put(batch, Table::Names, name, keys::holder(holder));
    let row = Account { holder, address: account.address.clone(), owner: account.owner, created: account.now }.to_bytes();
    work.put(batch, Table::Accounts, keys::holder(holder), row);
    batch.put(Table::Credentials, keys::credential(holder, password.id), password.to_bytes());
    let tree = Holder::with_default_mailboxes(account.now);
    for leaf in &tree.mailboxes {
        let mut mailbox = Mailbox::new(leaf.uid_validity);
        mailbox.commit((holder, leaf.id), &[], batch);
        work.mailboxes.insert((holder, leaf.id), mailbox);
    }
    batch.put(Table::Holders, keys::holder(holder), tree.to_bytes());
    work.holders.insert(holder, tree);
    Ok(Outcome::Holder(holder))
}

/// The number of the next holder.
fn read_counter(row: &[u8]) -> Option<u64> {
    Reader::parse(row, 1).ok()?.u64(1).ok()?.filter(|next| *next >= FIRST_HOLDER && *next < HOLDERS_END)
}

fn remove_account(work: &mut Working, account: &Account, batch: &mut Batch) -> Result<Outcome, Refusal> {
    work.need_account(account.holder)?;
    work.remove(batch, Table::Names, accounts::fold_address(&account.address).into_bytes());
    work.remove(batch, Table::Accounts, keys::holder(account.holder));
    let credentials = keys::holder(account.holder);
    batch.delete_range(Table::Credentials, credentials.clone(), keys::after(&credentials));
    Ok(Outcome::Done)
}

fn delete_mailbox(work: &mut Working, place: Place, name: &str, batch: &mut Batch) -> Result<Outcome, Refusal> {
    let mut tree = work.holders.get(&place.0).cloned().ok_or(Refusal::NoAccount)?;
    if tree.find(name).is_some_and(|leaf| leaf.id != place.1) {
        return Err(Refusal::NoMailbox);
    }
    tree.delete(name)?;
    // However many messages it holds: their entries go slice by slice, in the background.
    if let Some(mut mailbox) = work.mailboxes.remove(&place) {
        mailbox.deleted = true;
        mailbox.commit(place, &[], batch);
        mailbox.write_head(place, batch);
    }
    batch.put(Table::Deleted, keys::mailbox(place.0, place.1), Vec::new());
    work.deleted.push(place);
    batch.put(Table::Holders, keys::holder(place.0), tree.to_bytes());
    work.holders.insert(place.0, tree);
    Ok(Outcome::Done)
}

fn are_as_expected(work: &Working, notes: &[NoteChange]) -> Result<(), Refusal> {
    let as_expected = |note: &NoteChange| match &note.expect {
        Some(expected) => work.row(Table::Notes, &note.row_key()) == expected.as_ref(),
        None => true,
    };
    if notes.iter().all(as_expected) { Ok(()) } else { Err(Refusal::NoteChanged) }
}

fn write_notes(work: &mut Working, notes: &[NoteChange], batch: &mut Batch) {
    for note in notes {
        match &note.value {
            Some(value) => work.put(batch, Table::Notes, note.row_key(), value.to_vec()),
            None => work.remove(batch, Table::Notes, note.row_key()),
        }
    }
}

/// Gives the keywords numbers; what does not fit into the mailbox's list is left out, as PERMANENTFLAGS said.
fn name_flags(mailbox: &Mailbox, names: &FlagNames) -> (Vec<Edit>, Flags) {
    let mut known = mailbox.view.keywords.as_ref().clone();
    let mut edits = Vec::new();
    let mut flags = names.system;
    for name in &names.keywords {
        let place = known.iter().position(|k| k.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
            if known.len() < KEYWORDS_MAX {
                edits.push(Edit::Keyword(name.clone()));
                known.push(name.clone());
                known.len() - 1
            } else {
                KEYWORDS_MAX
            }
        });
        flags = flags.with(Flags::keyword(place));
    }
    (edits, flags)
}

/// All are possible before the first is made: each makes no other impossible, but for the UIDs.
fn deliver_all(work: &mut Working, deliveries: &[Delivery], batch: &mut Batch) -> Result<Outcome, Refusal> {
    are_deliverable(work, deliveries)?;
    let mut filed = Vec::new();
    for delivery in deliveries {
        filed.extend(deliver(work, delivery, batch)?);
    }
    Ok(Outcome::Filed(filed))
}

/// What came of an attempt, with its reports: all of it, or nothing if the row is not what was read.
fn requeue(work: &mut Working, change: &Requeue, batch: &mut Batch) -> Result<Outcome, Refusal> {
    let key = keys::queued(change.id);
    let row = work.row(Table::Queue, &key).ok_or(Refusal::NotQueued)?;
    if !Queued::from_bytes(row).is_ok_and(|found| found == change.read) {
        return Err(Refusal::QueueChanged);
    }
    are_as_expected(work, &change.notes)?;
    are_deliverable(work, &change.filings)?;
    for filing in &change.filings {
        deliver(work, filing, batch)?;
    }
    write_notes(work, &change.notes, batch);
    match &change.becomes {
        Some(queued) => work.put(batch, Table::Queue, key, queued.to_bytes()),
        None => work.dequeue(change.id, &change.read.body, batch),
    }
    work.queued.push(change.id);
    Ok(Outcome::Done)
}

fn are_deliverable(work: &Working, deliveries: &[Delivery]) -> Result<(), Refusal> {
    let uids = deliveries.iter().fold(0, |count: Uid, _| count.saturating_add(1));
    deliveries.iter().try_for_each(|delivery| {
        are_as_expected(work, &delivery.notes)?;
        deliverable(work, delivery, uids)
    })
}

/// Can this be filed, and as many in each mailbox?
fn deliverable(work: &Working, delivery: &Delivery, uids: Uid) -> Result<(), Refusal> {
    for place in &delivery.mailboxes {
        let mailbox = work.mailboxes.get(place).ok_or(Refusal::NoMailbox)?;
        if mailbox.view.uid_next.checked_add(uids).is_none() {
            return Err(Refusal::UidsExhausted);
        }
        work.holders.get(&place.0).ok_or(Refusal::NoAccount)?;
    }
    if delivery.dequeue.is_some_and(|id| work.row(Table::Queue, &keys::queued(id)).is_none()) {
        return Err(Refusal::NotQueued);
    }
    if delivery.queue.as_ref().is_some_and(|(id, _)| work.row(Table::Queue, &keys::queued(*id)).is_some()) {
        return Err(Refusal::QueueNumberTaken);
    }
    let known = work.row(Table::Blobs, &delivery.body.reference().hash).is_some_and(|row| Blob::from_bytes(row).is_ok());
    let here = match &delivery.body {
        DeliveredBody::Stored(_) => false,
        DeliveredBody::Staged(staged) => !staged.staged || work.row(Table::Staging, &staged.staging).is_some(),
    };
    if known || here { Ok(()) } else { Err(Refusal::NoBody) }
}

fn deliver(work: &mut Working, delivery: &Delivery, batch: &mut Batch) -> Result<Vec<Filed>, Refusal> {
    let body = delivery.body.reference();
    let chunks = keep_body(work, &delivery.body, batch)?;
    let mut messages: HashMap<HolderId, MessageId> = HashMap::new();
    let mut places = Vec::with_capacity(delivery.mailboxes.len());
    for &place in &delivery.mailboxes {
        let message = match messages.get(&place.0) {
            Some(&message) => message,
            None => new_message(work, place.0, delivery, chunks, batch),
        };
        messages.insert(place.0, message);
        places.push(file(work, place, message, delivery, batch)?);
    }
    if let Some((id, queued)) = &delivery.queue {
        work.put(batch, Table::Queue, keys::queued(*id), queued.to_bytes());
        batch.put(Table::BlobRefs, keys::blob_ref(&body.hash, QUEUE_HOLDER, *id), Vec::new());
        work.queued.push(*id);
    }
    if let Some(id) = delivery.dequeue {
        work.dequeue(id, &body, batch);
    }
    write_notes(work, &delivery.notes, batch);
    Ok(places)
}

/// Makes the staged body the stored one, or drops it if the same bytes are stored already; says where the chunks are.
fn keep_body(work: &mut Working, body: &DeliveredBody, batch: &mut Batch) -> Result<StagingId, Refusal> {
    let key = body.reference().hash.to_vec();
    let known = work.row(Table::Blobs, &key).and_then(|row| Blob::from_bytes(row).ok());
    let blob = match (known, body) {
        (None, DeliveredBody::Stored(_)) => return Err(Refusal::NoBody),
        (Some(known), body) => {
            if let DeliveredBody::Staged(staged) = body
                && staged.staged
                && known.staging != staged.staging
            {
                drop_staged(batch, &staged.staging);
            }
            Blob { generation: known.generation.wrapping_add(1), ..known }
        }
        (None, DeliveredBody::Staged(staged)) if staged.staged && work.row(Table::Staging, &staged.staging).is_none() => {
            return Err(Refusal::NoBody);
        }
        (None, DeliveredBody::Staged(staged)) => {
            let (number, last) = &staged.last;
            if !last.is_empty() || !staged.staged {
                batch.put(Table::Chunks, keys::chunk(&staged.staging, *number), last.clone());
            }
            if staged.staged {
                batch.delete(Table::Staging, staged.staging.to_vec());
            }
            Blob { staging: staged.staging, size: staged.body.size, generation: 1 }
        }
    };
    work.put(batch, Table::Blobs, key, blob.to_bytes());
    Ok(blob.staging)
}

fn new_message(work: &mut Working, holder: HolderId, delivery: &Delivery, chunks: StagingId, batch: &mut Batch) -> MessageId {
    let Some(tree) = work.holders.get_mut(&holder) else { return 0 };
    let (message, must_be_written) = tree.number_message();
    if must_be_written {
        batch.put(Table::Holders, keys::holder(holder), tree.to_bytes());
    }
    let body = delivery.body.reference();
    let (prefix, summary, trust) = (delivery.prefix.clone(), delivery.summary.clone(), delivery.trust.clone());
    let row = Message { prefix, body, chunks: Some(chunks), summary, trust };
    batch.put(Table::Messages, keys::message(holder, message), row.to_bytes());
    batch.put(Table::BlobRefs, keys::blob_ref(&body.hash, holder, message), Vec::new());
    message
}

fn file(work: &mut Working, place: Place, message: MessageId, delivery: &Delivery, batch: &mut Batch) -> Result<Filed, Refusal> {
    let mailbox = work.mailboxes.get_mut(&place).ok_or(Refusal::NoMailbox)?;
    let (mut edits, flags) = name_flags(mailbox, &delivery.flags);
    let size = delivery.prefix.len() as u64 + delivery.body.reference().size;
    let uid = mailbox.view.uid_next;
    edits.push(Edit::Append(Entry {
        uid,
        size: u32::try_from(size).unwrap_or(u32::MAX),
        message,
        modseq: mailbox.view.highest_modseq + 1,
        flags,
        received: delivery.received,
        saved: saved(delivery.now),
    }));
    mailbox.commit(place, &edits, batch);
    batch.put(Table::MessageRefs, keys::message_ref(place.0, message, place.1, uid), Vec::new());
    Ok(Filed { place, uid_validity: mailbox.view.uid_validity, uid })
}

/// RFC 8514: the moment as it is kept of an entry.
fn saved(now: i64) -> u32 {
    u32::try_from(now.max(0)).unwrap_or(u32::MAX)
}

/// Changes flags, and says which messages were left alone. What stays as it is gets no new mod-sequence.
fn store(
    mailbox: &mut Mailbox,
    place: Place,
    uids: &UidSet,
    (change, flags): (FlagChange, &FlagNames),
    unchanged_since: Option<ModSeq>,
    batch: &mut Batch,
) -> UidSet {
    let is_modified = |entry: &&Entry| unchanged_since.is_some_and(|limit| entry.modseq > limit);
    let modified: UidSet = mailbox.view.select(uids).filter(is_modified).map(|entry| entry.uid).collect();
    let uids = if modified.is_empty() { uids.clone() } else { uids.without(&modified) };
    let (mut edits, named) = name_flags(mailbox, flags);
    if mailbox.view.select(&uids).any(|entry| change.apply(entry.flags, named) != entry.flags) {
        let modseq = mailbox.view.highest_modseq + 1;
        edits.push(Edit::Flag { uids, change, named, modseq });
        mailbox.commit(place, &edits, batch);
    }
    modified
}

fn copy(
    work: &mut Working,
    holder: HolderId,
    (from, to): (MailboxId, MailboxId),
    uids: &UidSet,
    now: i64,
    batch: &mut Batch,
) -> Result<Outcome, Refusal> {
    let source = work.mailboxes.get(&(holder, from)).ok_or(Refusal::NoMailbox)?;
    let keywords = source.view.keywords.clone();
    let entries: Vec<Entry> = source.view.select(uids).copied().collect();
    let target = work.mailboxes.get_mut(&(holder, to)).ok_or(Refusal::NoMailbox)?;
    if target.view.uid_next.checked_add(u32::try_from(entries.len()).unwrap_or(u32::MAX)).is_none() {
        return Err(Refusal::UidsExhausted);
    }
    let uid_validity = target.view.uid_validity;
    let saved = saved(now);
    let entries: Vec<Entry> = entries.into_iter().map(|entry| Entry { saved, ..entry }).collect();
    let copies = append_copies(target, (holder, to), &entries, &keywords, batch);
    Ok(Outcome::Copied { uid_validity, from: entries.iter().map(|e| e.uid).collect(), to: copies })
}

fn append_copies(target: &mut Mailbox, place: Place, entries: &[Entry], keywords: &[String], batch: &mut Batch) -> Vec<Uid> {
    let modseq: ModSeq = target.view.highest_modseq + 1;
    let mut edits = Vec::new();
    let mut copies = Vec::with_capacity(entries.len());
    // Keywords have other numbers in the other mailbox; a set of flags is translated once.
    let mut translated: HashMap<Flags, Flags> = HashMap::new();
    for entry in entries {
        let flags = *translated.entry(entry.flags).or_insert_with(|| {
            let names = FlagNames {
                system: Flags::from_bits(entry.flags.bits() & SYSTEM_FLAG_BITS),
                keywords: entry.flags.keywords().filter_map(|i| keywords.get(i).cloned()).collect(),
            };
            let (named, flags) = name_flags(target, &names);
            std::sync::Arc::make_mut(&mut target.view).edit(&named);
            edits.extend(named);
            flags
        });
        let uid = target.view.uid_next + copies.len() as Uid;
        edits.push(Edit::Append(Entry { uid, modseq, flags, ..*entry }));
        batch.put(Table::MessageRefs, keys::message_ref(place.0, entry.message, place.1, uid), Vec::new());
        copies.push(uid);
    }
    if !copies.is_empty() {
        target.commit(place, &edits, batch);
    }
    copies
}

/// The bits below the keywords.
const SYSTEM_FLAG_BITS: u64 = 0xff;

fn expunge(mailbox: &mut Mailbox, place: Place, gone: &[Entry], batch: &mut Batch) {
    if gone.is_empty() {
        return;
    }
    for entry in gone {
        batch.delete(Table::MessageRefs, keys::message_ref(place.0, entry.message, place.1, entry.uid));
        batch.put(Table::Garbage, keys::message(place.0, entry.message), Vec::new());
    }
    let modseq = mailbox.view.highest_modseq + 1;
    mailbox.commit(place, &[Edit::Expunge { uids: gone.iter().map(|e| e.uid).collect(), modseq }], batch);
}

fn reclaim(work: &mut Working, limit: usize, batch: &mut Batch) -> Outcome {
    let emptying = work.dying.take().is_some_and(|(place, mailbox)| empty(place, mailbox, limit, batch));
    let mut messages = 0;
    for garbage in &work.garbage {
        let key = keys::message(garbage.holder, garbage.message);
        batch.delete(Table::Garbage, key.clone());
        if garbage.in_use {
            continue;
        }
        messages += 1;
        batch.delete(Table::Messages, key);
        if let Some(body) = &garbage.body {
            batch.delete(Table::BlobRefs, keys::blob_ref(&body.hash, garbage.holder, garbage.message));
            if let Some(blob) = &garbage.blob {
                batch.delete(Table::Blobs, body.hash.to_vec());
                drop_staged(batch, &blob.staging);
            }
        }
    }
    Outcome::Reclaimed { messages, more: emptying || work.more_garbage }
}

/// Takes so many entries out of a deleted mailbox, or its last rows; their messages become garbage. Always leaves
/// something more to reclaim.
fn empty(place: Place, mut mailbox: Mailbox, limit: usize, batch: &mut Batch) -> bool {
    let slice: Vec<Entry> = mailbox.view.iter().take(limit).copied().collect();
    if !slice.is_empty() {
        expunge(&mut mailbox, place, &slice, batch);
        mailbox.write_head(place, batch);
        return true;
    }
    let rows = keys::mailbox(place.0, place.1);
    for table in [Table::Segments, Table::Changes, Table::Vanished] {
        batch.delete_range(table, rows.clone(), keys::after(&rows));
    }
    batch.delete(Table::Mailboxes, rows.clone());
    batch.delete(Table::Deleted, rows);
    true
}
