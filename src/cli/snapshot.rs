//! The store as it is at one moment, beside the store: what a backup, a check and an export read.
//!
//! A snapshot is a directory `snapshot-…` in the data directory, made of hard links, so it costs neither time nor room.
//! Who wants one makes the directory and holds a lock on it; the running server, or the command itself if none runs,
//! puts the store's checkpoint into it. It goes with its value. What a command left that was killed goes with the next
//! snapshot: nobody holds its lock any more.

use super::control::{self, Request};
use super::home::{self, Home, STORE};
use crate::store::Store;
use crate::store::engine::Engine;
use crate::store::engine::rocksdb::{Rocks, RocksConfig};
use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How the names begin.
const PREFIX: &str = "snapshot-";

/// The store of one moment.
pub(super) struct Snapshot {
    dir: PathBuf,
    /// As long as this is open, nobody takes the directory for one that was left behind.
    _lock: File,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

impl Snapshot {
    /// Takes one, of a server that runs or of one that does not.
    pub(super) async fn take(home: &Home, memory: &RocksConfig) -> anyhow::Result<Snapshot> {
        remove_abandoned(home.path());
        let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let snapshot = Snapshot::begin(home.path().join(&name))?;
        let request = Request::Snapshot { name };
        if control::ask(&home.control_socket(), &request).await?.is_none() {
            let engine = home.open_engine(memory).await?;
            engine.checkpoint(&snapshot.store()).await.context("cannot take a snapshot of the store")?;
        }
        Ok(snapshot)
    }

    fn begin(dir: PathBuf) -> anyhow::Result<Snapshot> {
        let begin = || {
            DirBuilder::new().mode(0o700).create(&dir)?;
            let lock = File::open(&dir)?;
            flock(&lock, FlockOperation::LockShared)?;
            std::io::Result::Ok(lock)
        };
        let lock = begin().with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Snapshot { dir, _lock: lock })
    }

    /// The directory in which the store lies.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.join(STORE)
    }

    /// Opens it. What is written to it goes with it.
    pub(super) async fn open(&self, memory: &RocksConfig) -> anyhow::Result<Rocks> {
        home::open_engine(self.store(), memory).await
    }
}

/// Removes what commands left behind that were killed. What cannot be removed is only room.
fn remove_abandoned(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let is_snapshot = entry.file_name().to_str().is_some_and(is_name);
        if is_snapshot
            && let Ok(dir) = File::open(entry.path())
            && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Is this the name of a snapshot, and of nothing elsewhere?
pub(super) fn is_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What the running server does: puts a checkpoint into the directory that the command has made.
pub(super) async fn perform(store: &Store, home: &Path, name: &str) -> anyhow::Result<String> {
    if !is_name(name) {
        bail!("{name:?} is no name for a snapshot");
    }
    store.checkpoint(&home.join(name).join(STORE)).await?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::control::Control;
    use crate::cli::queue;
    use crate::store::{Change, NoteChange, NoteKind};
    use std::sync::Arc;

    fn remember(value: &'static str) -> Change {
        Change::Notes(vec![NoteChange::put(NoteKind::Budget, "key", value)])
    }

    async fn remembered(snapshot: &Snapshot) -> Option<bytes::Bytes> {
        let store = Store::open(Arc::new(snapshot.open(&RocksConfig::default()).await.unwrap())).await.unwrap();
        store.note(NoteKind::Budget, b"key").await.unwrap()
    }

    fn snapshots(home: &Home) -> usize {
        fs::read_dir(home.path()).unwrap().filter(|entry| is_name(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
    }

    #[tokio::test]
    async fn a_snapshot_is_of_its_moment_and_goes_with_its_value_whether_a_server_runs_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::make(dir.path()).unwrap();
        let memory = RocksConfig::default();
        let store = home.open_store(&memory).await.unwrap();
        store.commit(remember("1")).await.unwrap();
        let answering =
            tokio::spawn(Control::listen(home.control_socket()).unwrap().answer(queue::Desk::quiet(store.clone()), Arc::from([])));
        let running = Snapshot::take(&home, &memory).await.unwrap();
        store.commit(remember("2")).await.unwrap();
        assert_eq!(remembered(&running).await.as_deref(), Some(&b"1"[..]));
        assert!(perform(&store, home.path(), "../elsewhere").await.is_err());
        answering.abort();
        _ = answering.await;
        drop(store);
        let stopped = loop {
            // The committer lets go of the store a moment after its last handle went.
            match Snapshot::take(&home, &memory).await {
                Ok(snapshot) => break snapshot,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(remembered(&stopped).await.as_deref(), Some(&b"2"[..]));
        assert_eq!(snapshots(&home), 2);
        drop((running, stopped));
        assert_eq!(snapshots(&home), 0);
    }

    #[tokio::test]
    async fn what_a_killed_command_left_is_removed_and_what_one_uses_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::make(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("snapshot-00ff/store")).unwrap();
        fs::create_dir_all(dir.path().join("snapshots")).unwrap();
        let used = Snapshot::begin(dir.path().join("snapshot-1234")).unwrap();
        remove_abandoned(home.path());
        assert!(!dir.path().join("snapshot-00ff").exists() && dir.path().join("snapshots").exists());
        assert!(dir.path().join("snapshot-1234").exists());
        drop(used);
    }
}
