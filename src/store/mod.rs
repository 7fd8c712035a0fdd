//! The only room that knows a storage engine: accounts, mailboxes, messages, bodies and the queue.
//!
//! Whoever wants to change something hands a [`Change`] to [`Store::commit`] and is answered when it is
//! synced; whoever wants to follow a mailbox gets its views from [`Store::watch`]. Everything else reads.
//! The tables and every state that a crash may leave stand in `keys`. Knows no protocol and no rights.

mod accounts;
mod bodies;
mod change;
mod committer;
pub mod engine;
mod entries;
mod holders;
mod keys;
mod mailbox_log;
mod messages;
mod notes;
mod outbound;
mod plan;
mod renew;
#[cfg(test)]
mod tests;
pub mod verify;

pub use accounts::{Account, Credential, fold_address};
pub use bodies::{BodyReader, BodyRef, BodyWriter, CHUNK_BYTES, StagedBody};
pub use change::{Change, DeliveredBody, Delivery, Filed, NewAccount, Outcome, Refusal};
pub use holders::{Holder, Leaf, SEPARATOR, SpecialUse};
pub use keys::Table;
pub use mailbox_log::Place;
pub use messages::Message;
pub use notes::{NoteChange, NoteKind};
pub use outbound::{Done, Hold, HoldReason, LastResult, QueueNews, Queued, QueuedRecipient, Requeue};
pub use renew::renew_uid_validity;

use bytes::Bytes;
use engine::{Batch, Committed, Engine, EngineError, Sync};
use std::path::Path;
use std::sync::Arc;
use stoa_mailbox::{MessageId, ModSeq, UidSet, View};
use stoa_record::{Reader, RecordError, Writer};
use tokio::sync::{mpsc, oneshot, watch};

/// Who owns mailboxes: an account, later a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId(pub u64);

/// A mailbox of a holder; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(pub u32);

/// What the data directory is written in. A newer one is refused, an older one is upgraded.
const FORMAT: u64 = 1;
/// Changes that wait for the committer before those who want more have to wait themselves.
const REQUESTS_WAITING_MAX: usize = 1_024;
/// Rows read at a time.
const PAGE: usize = 256;
/// Messages reclaimed in one batch.
const RECLAIM_BATCH: usize = 200;

/// What is wrong with a mailbox name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Of SELECT, DELETE, RENAME.
    #[error("there is no such mailbox")]
    Missing,
    /// Of CREATE, RENAME.
    #[error("there is a mailbox of this name already")]
    Exists,
    /// Empty level, control character, or too long.
    #[error("a mailbox name has no empty levels, no control characters and at most 1000 octets")]
    Invalid,
    /// INBOX is always there.
    #[error("INBOX cannot be deleted")]
    Inbox,
    /// Its children would be left without it.
    #[error("there are mailboxes below it: delete those first")]
    HasChildren,
    /// RENAME a to a/b.
    #[error("a mailbox cannot be moved below itself")]
    BelowItself,
    /// Two for one use would share a person's mail out between them, each program choosing its own.
    #[error("another mailbox is for this use already: rename or delete that one")]
    UseTaken,
    /// See `MAILBOXES_PER_HOLDER_MAX`.
    #[error("there are 5000 mailboxes or subscriptions already, which is the limit")]
    TooMany,
}

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The change is not possible; nothing happened.
    #[error("{0}")]
    Refused(Refusal),
    /// Other processes changed the same rows again and again; try later.
    #[error("the store is busy")]
    Busy,
    /// The change may or may not have happened; the store is closed.
    #[error("it is uncertain whether the change was stored")]
    Uncertain,
    /// What was asked for was removed meanwhile.
    #[error("not stored any more")]
    Gone,
    /// The engine could not read.
    #[error(transparent)]
    Engine(Arc<EngineError>),
    /// A row cannot be read.
    #[error("a stored record is unreadable: {0}")]
    Record(#[from] RecordError),
    /// Rows contradict one another.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer version of this program.
    #[error("the data was written in format {0}, this version knows up to {FORMAT}: use a newer version")]
    Newer(u64),
}

impl StoreError {
    /// Would it work with more room, on the disk or in the mailbox?
    pub fn is_out_of_room(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal == Refusal::UidsExhausted,
            Self::Engine(error) => matches!(**error, EngineError::NoRoom(_)),
            _ => false,
        }
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Arc::new(error))
    }
}

/// The outcome of something asked of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The store; clones are handles to the same.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    requests: mpsc::Sender<committer::Request>,
    queue: Arc<outbound::News>,
    failed: watch::Receiver<bool>,
}

impl Store {
    /// Opens what the engine holds, and starts the committer on the current runtime.
    pub async fn open(engine: Arc<dyn Engine>) -> Result<Self> {
        check_format(engine.as_ref()).await?;
        sweep_staged(engine.as_ref(), &[u8::MAX; 17]).await?;
        let (requests, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (failed_sender, failed) = watch::channel(false);
        let queue = Arc::new(outbound::News::default());
        tokio::spawn(committer::Committer::new(engine.clone(), receiver, queue.clone(), failed_sender).run());
        Ok(Self { engine, requests, queue, failed })
    }

    /// Makes a change. When this returns `Ok`, it is synced.
    pub async fn commit(&self, change: Change) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.requests.send(committer::Request::Change(Box::new(change), reply)).await.map_err(|_| StoreError::Uncertain)?;
        outcome.await.map_err(|_| StoreError::Uncertain)?
    }

    /// The versions of a mailbox, the newest first of all.
    pub async fn watch(&self, place: Place) -> Result<watch::Receiver<Arc<View>>> {
        let (reply, views) = oneshot::channel();
        self.requests.send(committer::Request::Watch(place, reply)).await.map_err(|_| StoreError::Uncertain)?;
        views.await.map_err(|_| StoreError::Uncertain)?
    }

    /// What can still be read of a mailbox that cannot be opened. Flags may be older than they were, and messages that were
    /// removed may be there again.
    pub async fn salvage(&self, place: Place) -> Result<View> {
        mailbox_log::salvage(self.engine.as_ref(), place).await
    }

    /// Returns when a commit was uncertain: nothing is stored any more until the store is opened again.
    pub async fn failed(&self) {
        let _ = self.failed.clone().wait_for(|failed| *failed).await;
    }

    /// The mailbox tree of a holder.
    pub async fn holder(&self, holder: HolderId) -> Result<Option<Holder>> {
        let row = self.engine.get(Table::Holders, &keys::holder(holder)).await?;
        Ok(row.map(|row| Holder::from_bytes(&row)).transpose()?)
    }

    /// The UIDs that were expunged from a mailbox after a mod-sequence (RFC 7162 §3.2.10).
    pub async fn vanished(&self, place: Place, since: ModSeq) -> Result<UidSet> {
        mailbox_log::vanished(&*self.engine, place, since).await
    }

    /// Below this UID everything was shown as `\Recent` to somebody.
    pub async fn recent_from(&self, place: Place) -> Result<u32> {
        let row = self.engine.get(Table::Mailboxes, &keys::mailbox(place.0, place.1)).await?;
        let record = row.as_ref().map(|row| Reader::parse(row, 1)).transpose()?;
        Ok(record.map(|r| r.u32(5)).transpose()?.flatten().unwrap_or(1))
    }

    /// Whose address this is.
    pub async fn find_address(&self, address: &str) -> Result<Option<HolderId>> {
        let row = self.engine.get(Table::Names, fold_address(address).as_bytes()).await?;
        Ok(row.and_then(|row| keys::last_u64(&row)).map(HolderId))
    }

    /// An account.
    pub async fn account(&self, holder: HolderId) -> Result<Option<Account>> {
        let row = self.engine.get(Table::Accounts, &keys::holder(holder)).await?;
        Ok(row.map(|row| Account::from_bytes(holder, &row)).transpose()?)
    }

    /// All accounts, the oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let rows = range_all(self.engine.as_ref(), Table::Accounts, Vec::new(), &[u8::MAX; 9], PAGE).await?;
        let account = |(key, row): &(Bytes, Bytes)| Account::from_bytes(HolderId(keys::last_u64(key).unwrap_or(0)), row);
        Ok(rows.iter().map(account).collect::<Result<_, _>>()?)
    }

    /// The password and the app passwords of an account.
    pub async fn credentials(&self, holder: HolderId) -> Result<Vec<Credential>> {
        let prefix = keys::holder(holder);
        let rows = range_all(self.engine.as_ref(), Table::Credentials, prefix.clone(), &keys::after(&prefix), PAGE).await?;
        Ok(rows.iter().map(|(key, row)| Credential::from_key_value(key, row)).collect::<Result<_, _>>()?)
    }

    /// Messages, in the order asked for.
    pub async fn messages(&self, holder: HolderId, ids: &[MessageId]) -> Result<Vec<Option<Message>>> {
        let rows = match messages::neighbours(ids) {
            Some((first, last)) => self.messages_between(holder, first, last, ids).await?,
            None => {
                let wanted: Vec<Vec<u8>> = ids.iter().map(|id| keys::message(holder, *id)).collect();
                self.engine.multi_get(Table::Messages, &wanted).await?
            }
        };
        Ok(rows.into_iter().map(|row| row.map(|row| Message::from_bytes(&row)).transpose()).collect::<Result<_, _>>()?)
    }

    /// The rows of ascending numbers that lie close together: one scan costs less than so many searches.
    async fn messages_between(&self, holder: HolderId, first: MessageId, last: MessageId, ids: &[MessageId]) -> Result<Vec<Option<Bytes>>> {
        let (start, end) = (keys::message(holder, first), keys::after(&keys::message(holder, last)));
        // There are few more than were asked for, else they are no neighbours.
        let rows = self.engine.range(Table::Messages, &start, &end, usize::MAX).await?;
        let mut rows = rows.into_iter().filter_map(|(key, row)| keys::last_u64(&key).map(|id| (id, row))).peekable();
        let row = |id: &MessageId| {
            while rows.next_if(|(found, _)| found < id).is_some() {}
            rows.next_if(|(found, _)| found == id).map(|(_, row)| row)
        };
        Ok(ids.iter().map(row).collect())
    }

    /// The bytes of a message that is filed, what the server put in front of it included.
    pub async fn contents(&self, message: &Message) -> Result<BodyReader> {
        match message.chunks {
            Some(chunks) => Ok(BodyReader::at(self.engine.clone(), message.prefix.clone(), chunks, message.body.size)),
            None => self.body(message.prefix.clone(), &message.body).await,
        }
    }

    /// The bytes of a body, with something in front.
    pub async fn body(&self, prefix: Bytes, body: &BodyRef) -> Result<BodyReader> {
        BodyReader::open(self.engine.clone(), prefix, body).await
    }

    /// Takes a new body. `now` in seconds.
    pub fn write_body(&self, now: i64) -> BodyWriter {
        BodyWriter::new(self.engine.clone(), now)
    }

    /// Drops a whole body that no change will use. One that is simply let go is swept later.
    pub async fn discard(&self, body: StagedBody) {
        body.discard(self.engine.as_ref()).await;
    }

    /// Drops bodies that began to come before this time, in seconds since 1970, and that no change used.
    pub async fn sweep(&self, before: i64) -> Result<()> {
        sweep_staged(self.engine.as_ref(), &before.to_be_bytes()).await
    }

    /// A copy of all that is stored, as it is at one moment, in a new directory that can be opened as a store.
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        Ok(self.engine.checkpoint(path).await?)
    }

    /// Drops what nothing refers to any more; returns how many messages went.
    pub async fn reclaim(&self) -> Result<usize> {
        let mut all = 0;
        loop {
            match self.commit(Change::Reclaim { limit: RECLAIM_BATCH }).await? {
                Outcome::Reclaimed { messages, more } => {
                    all += messages;
                    if !more {
                        return Ok(all);
                    }
                }
                _ => return Ok(all),
            }
        }
    }
}

async fn check_format(engine: &dyn Engine) -> Result<()> {
    if let Some(row) = engine.get(Table::Meta, keys::FORMAT).await? {
        let format = Reader::parse(&row, u8::MAX)?.u64(1)?.unwrap_or(0);
        return if format > FORMAT { Err(StoreError::Newer(format)) } else { Ok(()) };
    }
    let mut batch = Batch::default();
    batch.put(Table::Meta, keys::FORMAT.to_vec(), Writer::new(1).u64(1, FORMAT).finish());
    apply(engine, batch, Sync::Now).await
}

/// Drops staged bodies whose number, which begins with the time, is below `end`.
async fn sweep_staged(engine: &dyn Engine, end: &[u8]) -> Result<()> {
    loop {
        let rows = engine.range(Table::Staging, &[], end, PAGE).await?;
        let mut batch = Batch::default();
        for (key, row) in &rows {
            if let Ok(staging) = key.as_ref().try_into() {
                // A body that a change uses in this very moment is no more staged.
                batch.expect(Table::Staging, key.to_vec(), Some(row.clone()));
                bodies::drop_staged(&mut batch, &staging);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        match engine.commit(batch, Sync::Later).await {
            Committed::Done | Committed::Conflict(_) => {}
            Committed::Unknown(error) => return Err(error.into()),
        }
    }
}

async fn apply(engine: &dyn Engine, batch: Batch, sync: Sync) -> Result<()> {
    match engine.commit(batch, sync).await {
        Committed::Done => Ok(()),
        Committed::Conflict(_) => Err(StoreError::Busy),
        Committed::Unknown(error) => Err(error.into()),
    }
}

/// All rows from `start` to `end`, read page by page.
async fn range_all(engine: &dyn Engine, table: Table, mut start: Vec<u8>, end: &[u8], page: usize) -> Result<Vec<(Bytes, Bytes)>> {
    let mut all = Vec::new();
    loop {
        let rows = engine.range(table, &start, end, page).await?;
        let more = rows.len() == page;
        if let Some((key, _)) = rows.last() {
            start = key.to_vec();
            start.push(0);
        }
        all.extend(rows);
        if !more {
            return Ok(all);
        }
    }
}
