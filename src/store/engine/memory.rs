//! An engine in memory, which can lose power.
//!
//! It keeps apart what a sync covered and what came after, so that a test can crash it: a prefix of the
//! unsynced batches survives, as in a real log. Clones share the data: a second store on a clone is another
//! process. Faults strike at the n-th synced commit from now.

use super::{Assert, Batch, Committed, Engine, EngineError, Future, Row, Sync, Table, Write};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Rows = BTreeMap<(Table, Vec<u8>), Bytes>;

/// What goes wrong at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The batch is applied, but its writer is not told.
    UnknownApplied,
    /// The batch is lost, and its writer is not told.
    UnknownLost,
    /// As if another process had just changed what the batch read.
    Conflict,
}

/// The engine; clones share the data.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Rows,
    synced: Rows,
    /// Batches since the last sync, oldest first.
    unsynced: Vec<Vec<Write>>,
    synced_commits: u64,
    fault: Option<(u64, Fault)>,
}

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses power: what a sync covered stays, and the first `survivors` of the batches after it.
    pub fn crash(&self, survivors: usize) {
        let mut state = self.lock();
        let batches: Vec<_> = std::mem::take(&mut state.unsynced);
        let mut rows = std::mem::take(&mut state.synced);
        batches.iter().take(survivors).flatten().for_each(|write| apply(&mut rows, write));
        state.synced = rows.clone();
        state.now = rows;
    }

    /// The fault strikes at the `nth` synced commit from now, from 1.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.synced_commits + nth, fault));
    }

    /// How many synced commits there were.
    pub fn synced_commits(&self) -> u64 {
        self.lock().synced_commits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere leaves whole batches only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, batch: Batch, sync: Sync) -> Committed {
        let holds = |a: &Assert| self.now.get(&(a.table, a.key.clone())) == a.value.as_ref();
        if let Some(failed) = batch.asserts.iter().position(|a| !holds(a)) {
            return Committed::Conflict(failed);
        }
        self.synced_commits += u64::from(sync == Sync::Now);
        let fault = self.fault.take_if(|(at, _)| sync == Sync::Now && *at == self.synced_commits).map(|(_, fault)| fault);
        if fault == Some(Fault::Conflict) {
            return Committed::Conflict(0);
        }
        if fault != Some(Fault::UnknownLost) {
            batch.writes.iter().for_each(|write| apply(&mut self.now, write));
            self.unsynced.push(batch.writes);
        }
        if fault.is_some() {
            return Committed::Unknown(EngineError::Failed("the test asked for it".into()));
        }
        if sync == Sync::Now {
            for write in std::mem::take(&mut self.unsynced).iter().flatten() {
                apply(&mut self.synced, write);
            }
        }
        Committed::Done
    }
}

fn apply(rows: &mut Rows, write: &Write) {
    match write {
        Write::Put(table, key, value) => {
            rows.insert((*table, key.clone()), value.clone());
        }
        Write::Delete(table, key) => {
            rows.remove(&(*table, key.clone()));
        }
        Write::DeleteRange(table, start, end) => {
            rows.retain(|(t, key), _| t != table || key < start || key >= end);
        }
    }
}

impl Engine for Memory {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Future<'a, Result<Option<Bytes>, EngineError>> {
        let value = self.lock().now.get(&(table, key.to_vec())).cloned();
        Box::pin(std::future::ready(Ok(value)))
    }

    fn multi_get<'a>(&'a self, table: Table, keys: &'a [Vec<u8>]) -> Future<'a, Result<Vec<Option<Bytes>>, EngineError>> {
        let state = self.lock();
        let values = keys.iter().map(|key| state.now.get(&(table, key.clone())).cloned()).collect();
        Box::pin(std::future::ready(Ok(values)))
    }

    fn range<'a>(&'a self, table: Table, start: &'a [u8], end: &'a [u8], limit: usize) -> Future<'a, Result<Vec<Row>, EngineError>> {
        let state = self.lock();
        let rows = if start < end {
            let range = state.now.range((table, start.to_vec())..(table, end.to_vec()));
            range.take(limit).map(|((_, key), value)| (Bytes::from(key.clone()), value.clone())).collect()
        } else {
            Vec::new()
        };
        Box::pin(std::future::ready(Ok(rows)))
    }

    fn commit(&self, batch: Batch, sync: Sync) -> Future<'_, Committed> {
        let committed = self.lock().commit(batch, sync);
        // Others run before the writer goes on, as they would while a disk syncs.
        Box::pin(async move {
            tokio::task::yield_now().await;
            committed
        })
    }

    fn checkpoint<'a>(&'a self, _: &'a Path) -> Future<'a, Result<(), EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::Impossible("what is only in memory cannot be copied to a disk"))))
    }
}
