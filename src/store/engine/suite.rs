//! What every engine does: one suite, run on each.

use super::memory::Memory;
use super::rocksdb::{Rocks, RocksConfig};
use super::{Batch, Committed, Engine, EngineError, Sync, Table};
use bytes::Bytes;
use std::sync::Arc;

const T: Table = Table::Meta;

async fn put(engine: &dyn Engine, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(T, key.to_vec(), value.to_vec());
    assert!(matches!(engine.commit(batch, Sync::Now).await, Committed::Done));
}

async fn get(engine: &dyn Engine, key: &[u8]) -> Option<Bytes> {
    engine.get(T, key).await.unwrap()
}

async fn suite(engine: Arc<dyn Engine>) {
    reads_and_ranges(engine.as_ref()).await;
    batches_are_whole_or_nothing(engine.as_ref()).await;
    increments_from_many_tasks_are_all_counted(engine).await;
}

async fn reads_and_ranges(engine: &dyn Engine) {
    for key in [&b"a"[..], b"ab", b"b", b"c"] {
        put(engine, key, key).await;
    }
    let other_table = engine.get(Table::Names, b"a").await.unwrap();
    assert_eq!(other_table, None);
    let found = engine.multi_get(T, &[b"b".to_vec(), b"x".to_vec(), b"a".to_vec()]).await.unwrap();
    assert_eq!(found, [Some(Bytes::from_static(b"b")), None, Some(Bytes::from_static(b"a"))]);
    let keys = |rows: Vec<(Bytes, Bytes)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(engine.range(T, b"a", b"c", 10).await.unwrap()), ["a", "ab", "b"]);
    assert_eq!(keys(engine.range(T, b"aa", b"z", 2).await.unwrap()), ["ab", "b"]);
    assert!(engine.range(T, b"z", b"a", 2).await.unwrap().is_empty());
    let mut batch = Batch::default();
    batch.delete_range(T, b"a".to_vec(), b"b".to_vec());
    batch.delete(T, b"c".to_vec());
    batch.put(T, b"large".to_vec(), vec![7; 1 << 20]);
    assert!(matches!(engine.commit(batch, Sync::Later).await, Committed::Done));
    assert_eq!(keys(engine.range(T, b"", b"z", 10).await.unwrap()), ["b", "large"]);
    assert_eq!(get(engine, b"large").await.unwrap().len(), 1 << 20);
}

async fn batches_are_whole_or_nothing(engine: &dyn Engine) {
    put(engine, b"version", b"1").await;
    let attempt = |expected: Option<&'static [u8]>, key: &'static [u8]| {
        let mut batch = Batch::default();
        batch.expect(T, b"absent".to_vec(), None);
        batch.expect(T, key.to_vec(), expected.map(Bytes::from_static));
        batch.put(T, b"version".to_vec(), &b"2"[..]);
        batch.put(T, b"beside".to_vec(), &b"x"[..]);
        engine.commit(batch, Sync::Now)
    };
    assert!(matches!(attempt(Some(b"0"), b"version").await, Committed::Conflict(1)));
    assert!(matches!(attempt(None, b"version").await, Committed::Conflict(1)));
    assert!(matches!(attempt(Some(b"1"), b"nowhere").await, Committed::Conflict(1)));
    assert_eq!(get(engine, b"beside").await, None);
    assert!(matches!(attempt(Some(b"1"), b"version").await, Committed::Done));
    assert_eq!(get(engine, b"version").await.as_deref(), Some(&b"2"[..]));
}

async fn increments_from_many_tasks_are_all_counted(engine: Arc<dyn Engine>) {
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(increment(engine.clone(), 20))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(get(engine.as_ref(), b"count").await.as_deref(), Some(&160u64.to_be_bytes()[..]));
}

async fn increment(engine: Arc<dyn Engine>, times: usize) {
    for _ in 0..times {
        loop {
            let old = get(engine.as_ref(), b"count").await;
            let count = old.as_deref().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
            let mut batch = Batch::default();
            batch.expect(T, b"count".to_vec(), old);
            batch.put(T, b"count".to_vec(), (count + 1).to_be_bytes().to_vec());
            match engine.commit(batch, Sync::Later).await {
                Committed::Done => break,
                Committed::Conflict(0) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn memory() {
    suite(Arc::new(Memory::new())).await;
}

#[tokio::test]
async fn rocksdb() {
    let dir = tempfile::tempdir().unwrap();
    suite(Arc::new(Rocks::open(dir.path(), &RocksConfig::default()).unwrap())).await;
}

#[tokio::test]
async fn rocksdb_keeps_what_was_synced_and_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Rocks::open(dir.path(), &RocksConfig::default()).unwrap();
    put(&engine, b"a", b"1").await;
    assert!(matches!(Rocks::open(dir.path(), &RocksConfig::default()).err(), Some(EngineError::InUse(_))));
    drop(engine);
    let engine = Rocks::open(dir.path(), &RocksConfig::default()).unwrap();
    assert_eq!(get(&engine, b"a").await.as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_checkpoint_is_a_whole_engine_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Rocks::open(&dir.path().join("live"), &RocksConfig::default()).unwrap();
    put(&engine, b"small", b"1").await;
    put(&engine, b"large", &vec![7; 1 << 20]).await;
    let copy = dir.path().join("copy");
    engine.checkpoint(&copy).await.unwrap();
    put(&engine, b"small", b"2").await;
    assert!(engine.checkpoint(&copy).await.is_err(), "what is there is not written over");
    let copy = Rocks::open(&copy, &RocksConfig::default()).unwrap();
    assert_eq!(get(&copy, b"small").await.as_deref(), Some(&b"1"[..]));
    put(&copy, b"small", b"3").await;
    drop(engine);
    let engine = Rocks::open(&dir.path().join("live"), &RocksConfig::default()).unwrap();
    assert_eq!(get(&engine, b"small").await.as_deref(), Some(&b"2"[..]), "neither changes the other");
    assert_eq!(get(&copy, b"large").await.unwrap().len(), 1 << 20);
    assert!(matches!(Memory::new().checkpoint(dir.path()).await, Err(EngineError::Impossible(_))));
}

#[tokio::test]
async fn a_crash_of_memory_keeps_what_a_sync_covered_and_a_prefix_of_the_rest() {
    for survivors in 0..3 {
        let engine = Memory::new();
        put(&engine, b"synced", b"1").await;
        for key in [b"x", b"y"] {
            let mut batch = Batch::default();
            batch.put(T, key.to_vec(), &b"1"[..]);
            assert!(matches!(engine.commit(batch, Sync::Later).await, Committed::Done));
        }
        engine.crash(survivors);
        assert!(get(&engine, b"synced").await.is_some());
        assert_eq!(get(&engine, b"x").await.is_some(), survivors > 0);
        assert_eq!(get(&engine, b"y").await.is_some(), survivors > 1);
    }
}
