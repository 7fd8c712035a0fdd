//! A message for other hosts, as the queue keeps it: one row, with the recipients of whom something is still to be done.
//!
//! | recipient | how the row says it | guarantee | leads to |
//! |---|---|---|---|
//! | waiting | `next_attempt` is when it is tried | synced before the 250; the body is kept by a reference | handed over, waiting (later), failed |
//! | waiting, late | the same, with `delay_told` | the delay report was filed in the batch that says so, so once | as waiting |
//! | in flight | as waiting: nothing is written before an attempt | a crash leaves it waiting, so the one message in flight may be repeated | as waiting |
//! | done, to be told | `done` is [`Done::Relayed`] or [`Done::Failed`] | never tried again; the report is still owed | told |
//! | done and told | no more in the row | its report was filed in the batch that took it out, so once | — |
//!
//! | message | how the row says it | guarantee | leads to |
//! |---|---|---|---|
//! | accepted | a row and a reference to its body | synced before the 250 | held, gone |
//! | held | `hold` says why, by whom and since when | nothing of it is handed over until a person releases it | accepted, gone |
//! | gone | no row | it goes in one batch with the last reports, or with the copy that was filed here, which leaves the body to be reclaimed | — |
//!
//! Every change of a row after its acceptance is a [`Requeue`], refused if the row is not what it was when it was read.

use super::bodies::BodyRef;
use super::change::{Change, Delivery, Refusal};
use super::notes::NoteChange;
use super::{HolderId, Result, Store, StoreError, keys};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use stoa_record::{Reader, RecordError, Writer};
use tokio::sync::Notify;

/// Numbers that are remembered for whoever follows the queue; of more, all of it is to be looked at.
const NEWS_MAX: usize = 10_000;

/// A row may change so often while one change of it is tried.
const ALTER_TRIES_MAX: usize = 20;

/// A message with the recipients of whom something is still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Empty for the null reverse-path.
    pub reverse_path: String,
    /// Header lines in front of the body.
    pub prefix: Bytes,
    /// The shared body.
    pub body: BodyRef,
    /// RFC 3461 RET: 0 not given, 1 FULL, 2 HDRS.
    pub ret: u8,
    /// RFC 3461 ENVID.
    pub envelope_id: Option<String>,
    /// Seconds since 1970.
    pub accepted: i64,
    /// The message needs a host that offers SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RFC 6152 and RFC 3030 BODY: 0 7BIT, 1 8BITMIME, 2 BINARYMIME.
    pub content: u8,
    /// Nothing of it is handed over until it is released.
    pub hold: Option<Hold>,
    /// The domain of ours whose key signs it at hand-over; none signs what others wrote.
    pub signer: Option<String>,
    /// The account that sent it.
    pub account: Option<HolderId>,
    /// A person let it go: what its account may send holds it no more.
    pub released: bool,
    /// Of whom something is still to be done.
    pub recipients: Vec<QueuedRecipient>,
}

/// Why a message does not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The kind of reason.
    pub why: HoldReason,
    /// Who held it: a person's name for themselves, or a sentence that says what was exceeded.
    pub reason: String,
    /// Seconds since 1970.
    pub since: i64,
}

/// Kinds of reasons. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum HoldReason {
    /// A person asked for it.
    Asked = 1,
    /// Its account sent more than its budget.
    Budget = 2,
    /// Most of what its account sent failed.
    Failures = 3,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The address in wire form; no two of a message are the same.
    pub address: String,
    /// RFC 3461 NOTIFY bits: 0 not given, 1 NEVER, 2 SUCCESS, 4 FAILURE, 8 DELAY.
    pub notify: u8,
    /// RFC 3461 ORCPT, as `type;address`.
    pub original: Option<String>,
    /// When it is tried next, in seconds since 1970.
    pub next_attempt: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// What came of the last attempt.
    pub last: Option<LastResult>,
    /// The sender was told that it takes long.
    pub delay_told: bool,
    /// Nothing more will be tried, but the sender is still to be told.
    pub done: Option<Done>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResult {
    /// RFC 3463: class, subject and detail.
    pub status: (u16, u16, u16),
    /// The other host's reply, or our own words.
    pub text: String,
    /// The host that replied, or that was tried.
    pub host: Option<String>,
    /// Seconds since 1970.
    pub at: i64,
}

/// What the sender is still to be told of a recipient. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Done {
    /// A host took it that will not report what comes of it (RFC 3461 §5.2.2).
    Relayed = 1,
    /// It will not get there.
    Failed = 2,
}

/// A change of a queued message, with all that follows from it in the same batch.
#[derive(Debug, Clone)]
pub struct Requeue {
    /// Its number.
    pub id: u64,
    /// What was read: if the row is not this any more, the change is refused.
    pub read: Queued,
    /// What becomes of it; `None` takes it out of the queue.
    pub becomes: Option<Queued>,
    /// Reports, filed here or queued for another host.
    pub filings: Vec<Delivery>,
    /// What is remembered with it.
    pub notes: Vec<NoteChange>,
}

impl Queued {
    /// A message of nobody in particular, for these recipients.
    pub fn of(reverse_path: String, prefix: Bytes, body: BodyRef, accepted: i64, recipients: Vec<QueuedRecipient>) -> Self {
        let (ret, envelope_id, smtputf8, content) = (0, None, false, 0);
        let (hold, signer, account, released) = (None, None, None, false);
        Self { reverse_path, prefix, body, ret, envelope_id, accepted, smtputf8, content, hold, signer, account, released, recipients }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut record = Writer::new(1)
            .str(1, &self.reverse_path)
            .bytes(2, &self.prefix)
            .bytes(3, &self.body.hash)
            .u64(4, self.body.size)
            .u64(5, self.ret.into())
            .i64(7, self.accepted)
            .u64(9, self.smtputf8.into())
            .u64(10, self.content.into());
        if let Some(id) = &self.envelope_id {
            record = record.str(6, id);
        }
        if let Some(hold) = &self.hold {
            record = record.bytes(11, &hold.to_bytes());
        }
        if let Some(signer) = &self.signer {
            record = record.str(12, signer);
        }
        if let Some(account) = self.account {
            record = record.u64(13, account.0);
        }
        if self.released {
            record = record.u64(14, 1);
        }
        for recipient in &self.recipients {
            record = record.bytes(8, &recipient.to_bytes());
        }
        record.finish()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let hash = record.bytes(3)?.and_then(|b| b.try_into().ok()).ok_or(RecordError::Missing(3))?;
        Ok(Self {
            reverse_path: record.str(1)?.unwrap_or_default().to_owned(),
            prefix: Bytes::copy_from_slice(record.bytes(2)?.unwrap_or_default()),
            body: BodyRef { hash, size: record.u64(4)?.unwrap_or(0) },
            ret: record.u64(5)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            envelope_id: record.str(6)?.map(str::to_owned),
            accepted: record.i64(7)?.unwrap_or(0),
            smtputf8: record.u64(9)?.unwrap_or(0) != 0,
            content: record.u64(10)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            hold: record.bytes(11)?.map(Hold::from_bytes).transpose()?,
            signer: record.str(12)?.map(str::to_owned),
            account: record.u64(13)?.map(HolderId),
            released: record.u64(14)?.unwrap_or(0) != 0,
            recipients: record.all_bytes(8)?.map(QueuedRecipient::from_bytes).collect::<Result<_, _>>()?,
        })
    }
}

impl Hold {
    fn to_bytes(&self) -> Vec<u8> {
        Writer::new(1).u64(1, self.why as u64).str(2, &self.reason).i64(3, self.since).finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        // A reason of a newer program holds all the same.
        let why = match record.u64(1)? {
            Some(2) => HoldReason::Budget,
            Some(3) => HoldReason::Failures,
            _ => HoldReason::Asked,
        };
        Ok(Self { why, reason: record.str(2)?.unwrap_or_default().to_owned(), since: record.i64(3)?.unwrap_or(0) })
    }
}

impl QueuedRecipient {
    /// Somebody who was not tried yet.
    pub fn new(address: String, now: i64) -> Self {
        let (notify, original, last, done) = (0, None, None, None);
        Self { address, notify, original, next_attempt: now, attempts: 0, last, delay_told: false, done }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut record =
            Writer::new(1).str(1, &self.address).u64(2, self.notify.into()).i64(4, self.next_attempt).u64(5, self.attempts.into());
        if let Some(original) = &self.original {
            record = record.str(3, original);
        }
        if let Some(last) = &self.last {
            record = record.bytes(6, &last.to_bytes());
        }
        if self.delay_told {
            record = record.u64(7, 1);
        }
        if let Some(done) = self.done {
            record = record.u64(8, done as u64);
        }
        record.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        Ok(Self {
            address: record.str(1)?.unwrap_or_default().to_owned(),
            notify: record.u64(2)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            original: record.str(3)?.map(str::to_owned),
            next_attempt: record.i64(4)?.unwrap_or(0),
            attempts: record.u32(5)?.unwrap_or(0),
            last: record.bytes(6)?.map(LastResult::from_bytes).transpose()?,
            delay_told: record.u64(7)?.unwrap_or(0) != 0,
            done: match record.u64(8)? {
                None => None,
                Some(1) => Some(Done::Relayed),
                Some(2) => Some(Done::Failed),
                Some(_) => return Err(RecordError::Missing(8)),
            },
        })
    }
}

impl LastResult {
    fn to_bytes(&self) -> Vec<u8> {
        let (class, subject, detail) = self.status;
        let record = Writer::new(1).u64(1, class.into()).u64(2, subject.into()).u64(3, detail.into()).str(4, &self.text).i64(6, self.at);
        self.host.iter().fold(record, |record, host| record.str(5, host)).finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let number = |field| record.u64(field).map(|n| n.and_then(|n| n.try_into().ok()).unwrap_or(0));
        Ok(Self {
            status: (number(1)?, number(2)?, number(3)?),
            text: record.str(4)?.unwrap_or_default().to_owned(),
            host: record.str(5)?.map(str::to_owned),
            at: record.i64(6)?.unwrap_or(0),
        })
    }
}

/// Which queued messages changed since they were last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueNews {
    /// Those of these numbers: they came, were altered, or went.
    These(BTreeSet<u64>),
    /// More than were counted.
    Everything,
}

/// Tells whoever follows the queue what to look at. Nothing is lost with it: the rows say all.
#[derive(Debug)]
pub(super) struct News {
    changed: Mutex<QueueNews>,
    notify: Notify,
}

impl Default for News {
    fn default() -> Self {
        Self { changed: Mutex::new(QueueNews::These(BTreeSet::new())), notify: Notify::new() }
    }
}

impl News {
    pub fn tell(&self, ids: Vec<u64>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if let QueueNews::These(known) = &mut *changed {
            known.extend(ids);
            if known.len() > NEWS_MAX {
                *changed = QueueNews::Everything;
            }
        }
        self.notify.notify_one();
    }

    async fn next(&self) -> QueueNews {
        self.notify.notified().await;
        self.take()
    }

    fn take(&self) -> QueueNews {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *changed, QueueNews::These(BTreeSet::new()))
    }
}

impl Store {
    /// Waits until something in the queue changes, and says what; for one who follows it.
    pub async fn queue_news(&self) -> QueueNews {
        self.queue.next().await
    }

    /// What changed in the queue since this was asked last.
    pub fn queue_news_now(&self) -> QueueNews {
        self.queue.take()
    }

    /// Queued messages by number, at most so many.
    pub async fn queued(&self, limit: usize) -> Result<Vec<(u64, Queued)>> {
        self.queued_from(0, limit).await
    }

    /// The same, from this number on. Empty at the end only: a row that cannot be read keeps none of the others, and is told
    /// in the log.
    pub async fn queued_from(&self, first: u64, limit: usize) -> Result<Vec<(u64, Queued)>> {
        let mut next = first;
        loop {
            let rows = self.engine.range(super::Table::Queue, &keys::queued(next), &[u8::MAX; 9], limit).await?;
            let Some(last) = rows.last().map(|(key, _)| keys::last_u64(key).unwrap_or(u64::MAX)) else { return Ok(Vec::new()) };
            let readable: Vec<_> = rows.iter().filter_map(|(key, row)| readable(keys::last_u64(key).unwrap_or(0), row)).collect();
            if !readable.is_empty() || last == u64::MAX {
                return Ok(readable);
            }
            next = last + 1;
        }
    }

    /// Makes a change of a queued message, if there is one to be made, decided anew if others change it; whether there was.
    pub async fn alter_queued(&self, id: u64, change: impl Fn(&Queued) -> Option<Queued>) -> Result<bool> {
        for _ in 0..ALTER_TRIES_MAX {
            let Some(read) = self.queued_message(id).await? else { return Ok(false) };
            let Some(becomes) = change(&read) else { return Ok(false) };
            let change = Requeue { id, read, becomes: Some(becomes), filings: Vec::new(), notes: Vec::new() };
            match self.commit(Change::Requeue(Box::new(change))).await {
                Ok(_) => return Ok(true),
                Err(StoreError::Refused(Refusal::QueueChanged)) => {}
                Err(StoreError::Refused(Refusal::NotQueued)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Busy)
    }

    /// The queued message of this number.
    pub async fn queued_message(&self, id: u64) -> Result<Option<Queued>> {
        let row = self.engine.get(super::Table::Queue, &keys::queued(id)).await?;
        Ok(row.map(|row| Queued::from_bytes(&row)).transpose()?)
    }
}

fn readable(id: u64, row: &[u8]) -> Option<(u64, Queued)> {
    let read = Queued::from_bytes(row);
    if let Err(error) = &read {
        tracing::error!(id = format!("{id:016x}"), %error, "a queued message is damaged and stays where it is: `stoa verify` says more");
    }
    Some((id, read.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use crate::store::engine::{Batch, Engine, Sync};
    use std::sync::Arc;

    fn message() -> Queued {
        let recipient =
            QueuedRecipient { notify: 6, original: Some("rfc822;a@b".into()), attempts: 2, ..QueuedRecipient::new("c@d".into(), 5) };
        let body = BodyRef { hash: [7; 32], size: 9 };
        let base = Queued::of("a@b".into(), Bytes::from_static(b"x: y\r\n"), body, 3, vec![recipient]);
        Queued { ret: 1, envelope_id: Some("e".into()), smtputf8: true, content: 1, ..base }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = message();
        assert_eq!(Queued::from_bytes(&message.to_bytes()).unwrap(), message);
        message.hold = Some(Hold { why: HoldReason::Budget, reason: "x".into(), since: -1 });
        (message.signer, message.account, message.released) = (Some("d.example".into()), Some(HolderId(4)), true);
        let last = LastResult { status: (5, 1, 1), text: "no".into(), host: Some("mx".into()), at: 8 };
        let done = QueuedRecipient { delay_told: true, done: Some(Done::Failed), last: Some(last), ..message.recipients[0].clone() };
        message.recipients.push(done);
        assert_eq!(Queued::from_bytes(&message.to_bytes()).unwrap(), message);
    }

    /// As the first version of the program wrote it, octet for octet.
    #[test]
    fn a_row_of_an_older_program_is_read() {
        let recipient = Writer::new(1).str(1, "c@d").u64(2, 6).i64(4, 5).u64(5, 2).str(3, "rfc822;a@b").finish();
        let row = Writer::new(1).str(1, "a@b").bytes(2, b"x: y\r\n").bytes(3, &[7; 32]).u64(4, 9).u64(5, 1).i64(7, 3).u64(9, 1).u64(10, 1);
        let row = row.str(6, "e").bytes(8, &recipient).finish();
        assert_eq!(Queued::from_bytes(&row).unwrap(), message());
        assert_eq!(message().to_bytes(), row, "a program that is put back reads what this one wrote");
    }

    #[tokio::test]
    async fn rows_that_cannot_be_read_hide_no_others() {
        let engine = Memory::new();
        let mut rows = Batch::default();
        for id in 1..=9 {
            let damaged = [2, 3, 4, 6, 9].contains(&id);
            rows.put(super::super::Table::Queue, keys::queued(id), if damaged { b"damaged".to_vec() } else { message().to_bytes() });
        }
        engine.commit(rows, Sync::Now).await;
        let store = Store::open(Arc::new(engine)).await.unwrap();
        for limit in 1..=10 {
            let (mut next, mut found) = (0, Vec::new());
            while let Some((last, _)) = {
                let page = store.queued_from(next, limit).await.unwrap();
                found.extend(page.iter().map(|(id, _)| *id));
                page.last().cloned()
            } {
                next = last + 1;
            }
            assert_eq!(found, [1, 5, 7, 8], "{limit} at a time");
        }
        assert!(store.queued_message(2).await.is_err(), "whoever asks for it hears that it is damaged");
    }

    #[tokio::test]
    async fn news_are_told_once_and_are_bounded() {
        let news = News::default();
        news.tell(vec![1]);
        news.tell(vec![2, 1]);
        assert_eq!(news.next().await, QueueNews::These([1, 2].into()));
        news.tell((0..=NEWS_MAX as u64).collect());
        news.tell(vec![7]);
        assert_eq!(news.next().await, QueueNews::Everything);
    }
}
