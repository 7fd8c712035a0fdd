//! The committer: the single writer of the process.
//!
//! While one sync runs, the next changes gather. Then their read set is loaded, each is planned in order on
//! the committed state plus what those before did, and all become one batch with one sync. The batch asserts
//! all that was read, so that it is right beside other processes on the same engine: after a conflict the
//! row is loaded anew and the batch planned again. After an uncertain commit nothing is planned any more:
//! the store must be opened again, which the daemon does by ending.

use super::bodies::{Blob, BodyRef};
use super::change::{Change, Outcome};
use super::engine::{Batch, Committed, Engine, Sync};
use super::holders::Holder;
use super::keys::{self, Table};
use super::mailbox_log::{Mailbox, Place};
use super::messages::Message;
use super::outbound::News;
use super::plan::{Garbage, QUEUE_HOLDER, Working, plan};
use super::{HolderId, Result, StoreError};
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use stoa_mailbox::View;
use stoa_record::Writer;
use tokio::sync::{mpsc, oneshot, watch};

/// Changes of one batch: enough for every connection that waits, little enough to answer soon.
const CHANGES_PER_BATCH_MAX: usize = 512;
/// A batch over this goes as it is; a change over it goes alone.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Mailboxes that nobody watches and that stay loaded: those that mail keeps coming to.
const IDLE_MAILBOXES_MAX: usize = 64;
/// Another process can win so often before a change is given up as temporarily impossible.
const CONFLICTS_MAX: usize = 200;

pub(super) enum Request {
    Change(Box<Change>, oneshot::Sender<Result<Outcome>>),
    Watch(Place, oneshot::Sender<Result<watch::Receiver<Arc<View>>>>),
}

/// What the committer keeps loaded.
pub(super) struct Committer {
    engine: Arc<dyn Engine>,
    requests: mpsc::Receiver<Request>,
    holders: HashMap<HolderId, Loaded<Holder>>,
    mailboxes: HashMap<Place, (Mailbox, watch::Sender<Arc<View>>)>,
    queue: Arc<News>,
    failed: watch::Sender<bool>,
    writer: u64,
    commits: u64,
    /// Where garbage is looked for next.
    garbage_from: Vec<u8>,
}

struct Loaded<T> {
    value: T,
    row: Bytes,
}

type Waiting = (Box<Change>, oneshot::Sender<Result<Outcome>>);

impl Committer {
    pub fn new(engine: Arc<dyn Engine>, requests: mpsc::Receiver<Request>, queue: Arc<News>, failed: watch::Sender<bool>) -> Self {
        let (holders, mailboxes) = (HashMap::new(), HashMap::new());
        Self { engine, requests, holders, mailboxes, queue, failed, writer: rand::random(), commits: 0, garbage_from: Vec::new() }
    }

    /// Runs until every handle of the store is gone, or a commit was uncertain.
    pub async fn run(mut self) {
        let mut next = None;
        while let Some(request) = match next.take() {
            Some(request) => Some(request),
            None => self.requests.recv().await,
        } {
            match request {
                Request::Watch(place, reply) => {
                    let _ = reply.send(self.watch(place).await);
                    self.forget_idle();
                }
                Request::Change(change, reply) => {
                    let mut waiting = vec![(change, reply)];
                    next = self.gather(&mut waiting);
                    if !self.commit(waiting).await {
                        self.failed.send_replace(true);
                        return;
                    }
                    self.forget_idle();
                }
            }
        }
    }

    /// Takes what else waits and may go into the same batch; returns the first request that may not.
    fn gather(&mut self, waiting: &mut Vec<Waiting>) -> Option<Request> {
        let mut size: usize = waiting.iter().map(|(change, _)| change.size()).sum();
        let alone = waiting.iter().any(|(change, _)| change.goes_alone());
        while !alone && waiting.len() < CHANGES_PER_BATCH_MAX && size < BATCH_BYTES_MAX {
            match self.requests.try_recv().ok()? {
                Request::Change(change, reply) if !change.goes_alone() => {
                    size += change.size();
                    waiting.push((change, reply));
                }
                other => return Some(other),
            }
        }
        None
    }

    async fn watch(&mut self, place: Place) -> Result<watch::Receiver<Arc<View>>> {
        self.load_mailbox(place).await?;
        let alive = self.mailboxes.get(&place).filter(|(mailbox, _)| !mailbox.deleted);
        alive.map(|(_, views)| views.subscribe()).ok_or(StoreError::Refused(super::Refusal::NoMailbox))
    }

    /// Commits and answers all; false after an uncertain commit.
    async fn commit(&mut self, waiting: Vec<Waiting>) -> bool {
        for _ in 0..CONFLICTS_MAX {
            let (mut work, asserts) = match self.load(&waiting).await {
                Ok(loaded) => loaded,
                // A row that cannot be read must fail those alone who need it.
                Err(_) if waiting.len() > 1 => {
                    for one in waiting {
                        if !Box::pin(self.commit(vec![one])).await {
                            return false;
                        }
                    }
                    return true;
                }
                Err(error) => {
                    answer_all(waiting, || Err(error.clone()));
                    return true;
                }
            };
            let mut batch = Batch::default();
            let outcomes: Vec<_> = waiting.iter().map(|(change, _)| plan(&mut work, change, &mut batch)).collect();
            work.finish(&mut batch);
            if batch.is_empty() {
                self.answer(waiting, outcomes);
                return true;
            }
            for (table, key, value) in asserts.iter().cloned() {
                batch.expect(table, key, value);
            }
            self.commits += 1;
            batch.put(Table::Meta, keys::COMMIT.to_vec(), Writer::new(1).u64(1, self.writer).u64(2, self.commits).finish());
            let sync = if waiting.iter().any(|(change, _)| change.needs_sync()) { Sync::Now } else { Sync::Later };
            match self.engine.commit(batch, sync).await {
                Committed::Done => {
                    self.publish(work);
                    self.answer(waiting, outcomes);
                    return true;
                }
                Committed::Conflict(index) => self.forget(asserts.get(index)),
                Committed::Unknown(error) => {
                    tracing::error!(%error, "a commit is uncertain; the store must be opened again");
                    answer_all(waiting, || Err(StoreError::Uncertain));
                    return false;
                }
            }
        }
        answer_all(waiting, || Err(StoreError::Busy));
        true
    }

    fn answer(&self, waiting: Vec<Waiting>, outcomes: Vec<Result<Outcome, super::Refusal>>) {
        for ((_, reply), outcome) in waiting.into_iter().zip(outcomes) {
            let _ = reply.send(outcome.map_err(StoreError::Refused));
        }
    }

    /// Loads all that the changes read: the working state, and the rows as they are on disk, to assert.
    async fn load(&mut self, waiting: &[Waiting]) -> Result<(Working, Vec<(Table, Vec<u8>, Option<Bytes>)>)> {
        let mut work = Working::default();
        let mut asserts = Vec::new();
        for (change, _) in waiting {
            let reads = change.reads();
            for id in reads.holders {
                if !work.holders.contains_key(&id)
                    && let Some(row) = self.load_holder(id, &mut work).await?
                {
                    asserts.push((Table::Holders, keys::holder(id), Some(row)));
                }
            }
            for place in reads.mailboxes {
                if !work.mailboxes.contains_key(&place)
                    && let Some(row) = self.load_mailbox(place).await?
                {
                    if let Some((mailbox, _)) = self.mailboxes.get(&place).filter(|(mailbox, _)| !mailbox.deleted) {
                        work.mailboxes.insert(place, mailbox.clone());
                    }
                    asserts.push((Table::Mailboxes, keys::mailbox(place.0, place.1), Some(row)));
                }
            }
            for (table, key) in reads.rows {
                if let Entry::Vacant(vacant) = work.rows.entry((table, key)) {
                    let (_, key) = vacant.key();
                    let row = self.engine.get(table, key).await?;
                    asserts.push((table, key.clone(), row.clone()));
                    vacant.insert(row);
                }
            }
            if reads.garbage > 0 {
                self.load_dying(&mut work, &mut asserts).await?;
                self.load_garbage(reads.garbage, &mut work, &mut asserts).await?;
            }
        }
        Ok((work, asserts))
    }

    async fn load_holder(&mut self, id: HolderId, work: &mut Working) -> Result<Option<Bytes>> {
        if !self.holders.contains_key(&id) {
            let Some(row) = self.engine.get(Table::Holders, &keys::holder(id)).await? else { return Ok(None) };
            self.holders.insert(id, Loaded { value: Holder::from_bytes(&row)?, row });
        }
        let Some(loaded) = self.holders.get(&id) else { return Ok(None) };
        work.holders.insert(id, loaded.value.clone());
        Ok(Some(loaded.row.clone()))
    }

    async fn load_mailbox(&mut self, place: Place) -> Result<Option<Bytes>> {
        if !self.mailboxes.contains_key(&place) {
            let Some(mailbox) = Mailbox::load(self.engine.as_ref(), place).await? else { return Ok(None) };
            let views = watch::Sender::new(mailbox.view.clone());
            self.mailboxes.insert(place, (mailbox, views));
        }
        Ok(self.mailboxes.get(&place).and_then(|(mailbox, _)| mailbox.row.clone()))
    }

    /// The first mailbox that was deleted, as it is on disk: nobody else uses it, so it is not kept loaded.
    async fn load_dying(&self, work: &mut Working, asserts: &mut Vec<(Table, Vec<u8>, Option<Bytes>)>) -> Result<()> {
        let rows = self.engine.range(Table::Deleted, &[], &[u8::MAX; 13], 1).await?;
        let Some(place) = rows.first().and_then(|(key, _)| keys::parse_mailbox(key)) else { return Ok(()) };
        if let Some(mailbox) = Mailbox::load(self.engine.as_ref(), place).await? {
            asserts.push((Table::Mailboxes, keys::mailbox(place.0, place.1), mailbox.row.clone()));
            work.dying = Some((place, mailbox));
        }
        Ok(())
    }

    /// The next so many, from where the last ended: an engine passes slowly over keys that were just deleted. What came behind
    /// that place, or was left there by a conflict, is found by the next round.
    async fn load_garbage(&mut self, limit: usize, work: &mut Working, asserts: &mut Vec<(Table, Vec<u8>, Option<Bytes>)>) -> Result<()> {
        let from = std::mem::take(&mut self.garbage_from);
        let rows = self.engine.range(Table::Garbage, &from, &[u8::MAX; 17], limit).await?;
        work.more_garbage = rows.len() >= limit || !from.is_empty();
        if let Some((last, _)) = rows.last().filter(|_| rows.len() >= limit) {
            self.garbage_from = last.to_vec();
        }
        for (key, row) in rows {
            let Some((holder, message)) = keys::parse_message(&key) else { continue };
            asserts.push((Table::Garbage, key.to_vec(), Some(row.clone())));
            let (in_use, body) = match holder == QUEUE_HOLDER {
                true => self.look_at_queued(message, &row).await?,
                false => self.look_at_message(&key).await?,
            };
            work.garbage.push(Garbage { holder, message, in_use, body: body.filter(|_| !in_use), blob: None });
        }
        self.load_unneeded_blobs(work, asserts).await
    }

    /// Does something refer to the message, and what is its body?
    async fn look_at_message(&self, key: &[u8]) -> Result<(bool, Option<BodyRef>)> {
        let in_use = !self.engine.range(Table::MessageRefs, key, &keys::after(key), 1).await?.is_empty();
        let stored = self.engine.get(Table::Messages, key).await?;
        Ok((in_use, stored.map(|row| Message::from_bytes(&row)).transpose()?.map(|message| message.body)))
    }

    /// The same of one that left the queue; its garbage names the body.
    async fn look_at_queued(&self, id: u64, row: &[u8]) -> Result<(bool, Option<BodyRef>)> {
        let in_use = self.engine.get(Table::Queue, &keys::queued(id)).await?.is_some();
        Ok((in_use, row.try_into().ok().map(|hash| BodyRef { hash, size: 0 })))
    }

    /// A body goes with the first of its messages if all that refer to it are among this garbage.
    async fn load_unneeded_blobs(&self, work: &mut Working, asserts: &mut Vec<(Table, Vec<u8>, Option<Bytes>)>) -> Result<()> {
        let mut going: HashMap<keys::Hash, (usize, usize)> = HashMap::new();
        for (place, garbage) in work.garbage.iter().enumerate() {
            if let Some(body) = garbage.body {
                going.entry(body.hash).or_insert((place, 0)).1 += 1;
            }
        }
        for (hash, (first, count)) in going {
            let references = self.engine.range(Table::BlobRefs, &hash, &keys::after(&hash), count + 1).await?;
            if references.len() == count
                && let Some(garbage) = work.garbage.get_mut(first)
            {
                let row = self.engine.get(Table::Blobs, &hash).await?;
                garbage.blob = row.as_ref().map(|row| Blob::from_bytes(row)).transpose()?;
                asserts.push((Table::Blobs, hash.to_vec(), row));
            }
        }
        Ok(())
    }

    fn publish(&mut self, work: Working) {
        for (id, value) in work.holders {
            let row = Bytes::from(value.to_bytes());
            self.holders.insert(id, Loaded { value, row });
        }
        for place in &work.deleted {
            self.mailboxes.remove(place);
        }
        for (place, mailbox) in work.mailboxes {
            match self.mailboxes.get_mut(&place) {
                Some((known, views)) => {
                    if !Arc::ptr_eq(&known.view, &mailbox.view) {
                        views.send_replace(mailbox.view.clone());
                    }
                    *known = mailbox;
                }
                None => {
                    let views = watch::Sender::new(mailbox.view.clone());
                    self.mailboxes.insert(place, (mailbox, views));
                }
            }
        }
        if !work.queued.is_empty() {
            self.queue.tell(work.queued);
        }
    }

    /// Another process changed this row: what was loaded of it is old.
    fn forget(&mut self, assert: Option<&(Table, Vec<u8>, Option<Bytes>)>) {
        match assert {
            Some((Table::Holders, key, _)) => self.holders.retain(|id, _| keys::holder(*id) != *key),
            Some((Table::Mailboxes, key, _)) => self.mailboxes.retain(|place, _| keys::mailbox(place.0, place.1) != *key),
            _ => {}
        }
    }

    fn forget_idle(&mut self) {
        if self.mailboxes.len() > IDLE_MAILBOXES_MAX {
            self.mailboxes.retain(|_, (_, views)| views.receiver_count() > 0);
        }
        if self.holders.len() > IDLE_MAILBOXES_MAX {
            self.holders.clear();
        }
    }
}

fn answer_all(waiting: Vec<Waiting>, outcome: impl Fn() -> Result<Outcome>) {
    for (_, reply) in waiting {
        let _ = reply.send(outcome());
    }
}
