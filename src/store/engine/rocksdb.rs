//! The engine on disk: RocksDB, one column family a table.
//!
//! Every batch goes through the write-ahead log; [`Sync::Now`] returns after `fdatasync` of that log, which
//! covers all batches before it. Bodies lie in blob files, so that compaction does not copy them. One process
//! at a time has the directory open: RocksDB's own lock sees to it.

use super::{Assert, Batch, Committed, Engine, EngineError, Future, Row, Sync, Table, Write};
use bytes::{Bytes, BytesMut};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, ErrorKind,
    FlushOptions, LogLevel, LruCacheOptions, Options, WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How much memory and how many files RocksDB may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocksConfig {
    /// Blocks of rows that were read, for all tables together.
    pub cache_bytes: usize,
    /// New rows of a table before they are written to a file.
    pub write_buffer_bytes: usize,
    /// New rows of all tables together.
    pub write_buffers_bytes: usize,
    /// Open files.
    pub open_files_max: i32,
}

impl Default for RocksConfig {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, write_buffer_bytes: 8 << 20, write_buffers_bytes: 32 << 20, open_files_max: 256 }
    }
}

/// A value of this size or more goes to a blob file.
const BLOB_BYTES_MIN: u64 = 4 << 10;
/// Rows that are read and unpacked together. Rows of messages have a few kilobytes, and are mostly read in a run.
const BLOCK_BYTES: usize = 16 << 10;
/// What a range mostly holds; one that is larger is moved once or twice.
const RANGE_BYTES_USUAL: usize = 64 << 10;
/// The cache has two to this power shards.
const CACHE_SHARD_BITS: i32 = 2;
/// RocksDB's own messages, which hold no mail: two files of this size.
const INFO_LOG_BYTES: usize = 1 << 20;

/// RocksDB in a directory.
pub struct Rocks(Arc<Inner>);

struct Inner {
    db: DB,
    /// Held while a batch with asserts is checked and written.
    asserting: Mutex<()>,
}

impl Rocks {
    /// Opens the directory, or makes it.
    pub fn open(path: &Path, config: &RocksConfig) -> Result<Self, EngineError> {
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(config.cache_bytes);
        // Of a cache of many shards, each would be too small for a block.
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        let cache = Cache::new_lru_cache_opts(&cache);
        let families = Table::ALL.iter().map(|table| ColumnFamilyDescriptor::new(table.name(), family_options(*table, config, &cache)));
        let db = DB::open_cf_descriptors(&options(config), path, families).map_err(|error| open_error(path, &error))?;
        Ok(Self(Arc::new(Inner { db, asserting: Mutex::new(()) })))
    }
}

fn open_error(path: &Path, error: &rocksdb::Error) -> EngineError {
    let reason = error.to_string();
    if error.kind() == ErrorKind::IOError && reason.contains("lock") {
        EngineError::InUse(path.to_owned())
    } else {
        EngineError::Unreadable { path: path.to_owned(), reason }
    }
}

fn options(config: &RocksConfig) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(config.write_buffers_bytes);
    options.set_max_open_files(config.open_files_max);
    options.set_max_background_jobs(2);
    // After a power failure the log may end within an unsynced record: what is before it is whole and holds all
    // that was acknowledged. A record that is broken in the middle ends the replay there too, never skips it.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_max_manifest_file_size(4 << 20);
    options
}

fn family_options(table: Table, config: &RocksConfig, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    // Indexes and filters count as memory, too. In parts, so that one search does not need all of a table's, which may be
    // more than the cache holds.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_block_size(BLOCK_BYTES);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(config.write_buffer_bytes);
    // zstd would save a third of the room and cost a quarter of the time in which a list of messages is read. Segments are
    // packed already.
    options.set_compression_type(if table == Table::Segments { DBCompressionType::None } else { DBCompressionType::Lz4 });
    if table == Table::Chunks {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
        options.set_blob_compression_type(DBCompressionType::Lz4);
        options.set_enable_blob_gc(true);
    }
    options
}

impl Inner {
    fn family(&self, table: Table) -> Result<&ColumnFamily, EngineError> {
        self.db.cf_handle(table.name()).ok_or_else(|| EngineError::Failed(format!("table {} is missing", table.name())))
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.db.get_cf(self.family(table)?, key).map_err(failed)?;
        Ok(value.map(Bytes::from))
    }

    fn multi_get(&self, table: Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let values = self.db.batched_multi_get_cf(self.family(table)?, keys, false);
        values.into_iter().map(|value| Ok(value.map_err(failed)?.map(|bytes| Bytes::copy_from_slice(&bytes)))).collect()
    }

    fn range(&self, table: Table, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<Row>, EngineError> {
        let mut read = rocksdb::ReadOptions::default();
        read.set_iterate_upper_bound(end);
        // Keys and values one after another in one allocation, which lists of messages are read much faster with.
        let (mut bytes, mut lengths) = (BytesMut::with_capacity(RANGE_BYTES_USUAL), Vec::new());
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(table)?, read);
        iterator.seek(start);
        while lengths.len() < limit
            && let Some((key, value)) = iterator.item()
        {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            lengths.push((key.len(), value.len()));
            // What is behind the last of them may be damaged, and was not asked for.
            if lengths.len() < limit {
                iterator.next();
            }
        }
        iterator.status().map_err(failed)?;
        let mut rest = bytes.freeze();
        Ok(lengths.into_iter().map(|(key, value)| (rest.split_to(key), rest.split_to(value))).collect())
    }

    fn commit(&self, batch: Batch, sync: Sync) -> Committed {
        let _asserting = (!batch.asserts.is_empty()).then(|| self.asserting.lock().unwrap_or_else(PoisonError::into_inner));
        for (place, assert) in batch.asserts.iter().enumerate() {
            match self.holds(assert) {
                Ok(true) => {}
                Ok(false) => return Committed::Conflict(place),
                Err(error) => return Committed::Unknown(error),
            }
        }
        match self.write(batch, sync) {
            Ok(()) => Committed::Done,
            Err(error) => Committed::Unknown(error),
        }
    }

    fn holds(&self, assert: &Assert) -> Result<bool, EngineError> {
        let value = self.db.get_pinned_cf(self.family(assert.table)?, &assert.key).map_err(failed)?;
        Ok(value.as_deref() == assert.value.as_deref())
    }

    fn write(&self, batch: Batch, sync: Sync) -> Result<(), EngineError> {
        let mut writes = WriteBatch::default();
        for write in &batch.writes {
            match write {
                Write::Put(table, key, value) => writes.put_cf(self.family(*table)?, key, value),
                Write::Delete(table, key) => writes.delete_cf(self.family(*table)?, key),
                Write::DeleteRange(table, start, end) => writes.delete_range_cf(self.family(*table)?, start, end),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Now);
        self.db.write_opt(writes, &options).map_err(failed)
    }
}

/// After a clean stop nothing has to be replayed from the log, so that the next start is quick.
impl Drop for Inner {
    fn drop(&mut self) {
        let families: Vec<&ColumnFamily> = Table::ALL.iter().filter_map(|table| self.db.cf_handle(table.name())).collect();
        if let Err(error) = self.db.flush_cfs_opt(&families, &FlushOptions::default()) {
            tracing::warn!(%error, "the next start will have to replay the log");
        }
    }
}

fn failed(error: rocksdb::Error) -> EngineError {
    let reason = error.to_string();
    // How RocksDB words its sub-code NoSpace; the binding passes on nothing but the text.
    if error.kind() == ErrorKind::IOError && reason.contains("No space left on device") {
        EngineError::NoRoom(reason)
    } else {
        EngineError::Failed(reason)
    }
}

/// Reads are done in place: they are microseconds from the block cache or the page cache, less than a thread
/// switch. Commits wait for a disk, so they go to a blocking thread.
impl Engine for Rocks {
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Future<'a, Result<Option<Bytes>, EngineError>> {
        Box::pin(std::future::ready(self.0.get(table, key)))
    }

    fn multi_get<'a>(&'a self, table: Table, keys: &'a [Vec<u8>]) -> Future<'a, Result<Vec<Option<Bytes>>, EngineError>> {
        Box::pin(std::future::ready(self.0.multi_get(table, keys)))
    }

    fn range<'a>(&'a self, table: Table, start: &'a [u8], end: &'a [u8], limit: usize) -> Future<'a, Result<Vec<Row>, EngineError>> {
        Box::pin(std::future::ready(self.0.range(table, start, end, limit)))
    }

    fn commit(&self, batch: Batch, sync: Sync) -> Future<'_, Committed> {
        let inner = self.0.clone();
        Box::pin(async move {
            let committed = tokio::task::spawn_blocking(move || inner.commit(batch, sync)).await;
            committed.unwrap_or_else(|error| Committed::Unknown(EngineError::Failed(error.to_string())))
        })
    }

    /// Hard links to the files that never change, so it costs neither time nor room as long as these stay in use here.
    fn checkpoint<'a>(&'a self, path: &'a Path) -> Future<'a, Result<(), EngineError>> {
        let (inner, path) = (self.0.clone(), path.to_owned());
        Box::pin(async move {
            let made = tokio::task::spawn_blocking(move || Checkpoint::new(&inner.db)?.create_checkpoint(&path)).await;
            made.map_err(|error| EngineError::Failed(error.to_string()))?.map_err(failed)
        })
    }
}
