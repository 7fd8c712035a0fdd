//! An ordered key-value engine: what the store stands on.
//!
//! `rocksdb` is the default, `memory` serves tests and can crash; one suite runs on both. A [`Batch`] carries
//! asserts, so that the store is right beside other processes on an engine that allows them. Nothing above
//! this folder may rely on there being one process.

pub mod memory;
pub mod rocksdb;
#[cfg(test)]
mod suite;

use super::keys::Table;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// What every operation returns: boxed, so that engines can be chosen at run time.
pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
/// A key and its value.
pub type Row = (Bytes, Bytes);

/// An ordered key-value engine.
pub trait Engine: Send + std::marker::Sync + 'static {
    /// The value of a key.
    fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Future<'a, Result<Option<Bytes>, EngineError>>;
    /// The values of many keys, in their order.
    fn multi_get<'a>(&'a self, table: Table, keys: &'a [Vec<u8>]) -> Future<'a, Result<Vec<Option<Bytes>>, EngineError>>;
    /// Up to `limit` rows with `start <= key < end`, ascending. No snapshot outlives the call.
    fn range<'a>(&'a self, table: Table, start: &'a [u8], end: &'a [u8], limit: usize) -> Future<'a, Result<Vec<Row>, EngineError>>;
    /// Applies a batch whole or not at all.
    fn commit(&self, batch: Batch, sync: Sync) -> Future<'_, Committed>;
    /// Makes a directory that can be opened by itself and holds all that is committed now, as it is at one moment. Its
    /// parent is there, it is not.
    fn checkpoint<'a>(&'a self, path: &'a Path) -> Future<'a, Result<(), EngineError>>;
}

/// When a batch has to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before `commit` returns, with all batches before it.
    Now,
    /// With the next batch that is synced.
    Later,
}

/// What became of a batch.
#[derive(Debug)]
pub enum Committed {
    /// It is applied, and durable if that was asked for.
    Done,
    /// Nothing is applied: the assert of this place does not hold.
    Conflict(usize),
    /// It may or may not be applied. Nothing may be planned until the engine was opened again.
    Unknown(EngineError),
}

/// Why an engine cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process has it open.
    #[error("{0} is in use by another process, probably a running server: stop that first, or use another --dir")]
    InUse(PathBuf),
    /// Not ours, not allowed, or broken.
    #[error("{path} cannot be opened: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
    /// The disk is full.
    #[error("the storage engine has no room: {0}")]
    NoRoom(String),
    /// There is no such thing with this engine.
    #[error("{0}")]
    Impossible(&'static str),
    /// An operation failed.
    #[error("the storage engine failed: {0}")]
    Failed(String),
}

/// Writes that happen together, if all asserts hold.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    asserts: Vec<Assert>,
    writes: Vec<Write>,
    bytes: usize,
}

/// A key still has this value, or none.
#[derive(Debug, Clone)]
struct Assert {
    table: Table,
    key: Vec<u8>,
    value: Option<Bytes>,
}

#[derive(Debug, Clone)]
enum Write {
    Put(Table, Vec<u8>, Bytes),
    Delete(Table, Vec<u8>),
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: impl Into<Bytes>) {
        let value = value.into();
        self.bytes += key.len() + value.len();
        self.writes.push(Write::Put(table, key, value));
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.bytes += key.len();
        self.writes.push(Write::Delete(table, key));
    }

    /// Removes all keys with `start <= key < end`.
    pub fn delete_range(&mut self, table: Table, start: Vec<u8>, end: Vec<u8>) {
        self.bytes += start.len() + end.len();
        self.writes.push(Write::DeleteRange(table, start, end));
    }

    /// Asserts that the key has this value when the batch is applied.
    pub fn expect(&mut self, table: Table, key: Vec<u8>, value: Option<Bytes>) {
        self.asserts.push(Assert { table, key, value });
    }

    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// About how much it writes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
