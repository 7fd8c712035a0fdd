//! Message bodies: written in chunks as they come, known by their hash.
//!
//! A body of one chunk rides in the batch of the change that uses it. A larger one is written chunk by chunk
//! without a sync under a staging number; the sync of the change makes it durable, since the engine's log is
//! ordered. A body that no change used is swept (see the table in `keys`).

use super::engine::{Batch, Committed, Engine, Sync};
use super::keys::{self, Hash, StagingId, Table};
use super::{Result, StoreError};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;
use stoa_record::{Reader, RecordError, Writer};

/// What a connection holds of a body at a time.
pub const CHUNK_BYTES: usize = stoa_session::BODY_CHUNK_BYTES_MAX;

/// Names a stored body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRef {
    /// BLAKE3 of its bytes.
    pub hash: Hash,
    /// In bytes.
    pub size: u64,
}

/// Where a body's chunks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub staging: StagingId,
    pub size: u64,
    /// Grows with every new reference, so that reclaiming sees that one came.
    pub generation: u64,
}

impl Blob {
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new(1).bytes(1, &self.staging).u64(2, self.size).u64(3, self.generation).finish()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let staging = record.bytes(1)?.and_then(|b| b.try_into().ok()).ok_or(RecordError::Missing(1))?;
        Ok(Self { staging, size: record.u64(2)?.unwrap_or(0), generation: record.u64(3)?.unwrap_or(0) })
    }
}

/// Takes a body as it comes.
pub struct BodyWriter {
    engine: Arc<dyn Engine>,
    staging: StagingId,
    hasher: blake3::Hasher,
    pending: BytesMut,
    written: u32,
    size: u64,
}

/// A whole body that waits for the change that uses it.
#[derive(Debug, Clone)]
pub struct StagedBody {
    pub(super) body: BodyRef,
    pub(super) staging: StagingId,
    /// The last chunk, which rides in the batch: its number and bytes.
    pub(super) last: (u32, Bytes),
    /// Were earlier chunks written under the staging number?
    pub(super) staged: bool,
}

impl StagedBody {
    /// What it will be known by.
    pub fn reference(&self) -> BodyRef {
        self.body
    }

    pub(super) async fn discard(self, engine: &dyn Engine) {
        if self.staged {
            discard(engine, &self.staging).await;
        }
    }
}

impl BodyWriter {
    pub(super) fn new(engine: Arc<dyn Engine>, now: i64) -> Self {
        let mut staging = rand::random::<StagingId>();
        staging[..8].copy_from_slice(&now.to_be_bytes());
        Self { engine, staging, hasher: blake3::Hasher::new(), pending: BytesMut::new(), written: 0, size: 0 }
    }

    /// Takes more bytes; writes each full chunk.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        while self.pending.len() + bytes.len() > CHUNK_BYTES {
            let (now, later) = bytes.split_at(CHUNK_BYTES - self.pending.len());
            self.pending.extend_from_slice(now);
            bytes = later;
            self.flush().await?;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let mut batch = Batch::default();
        if self.written == 0 {
            batch.put(Table::Staging, self.staging.to_vec(), Vec::new());
        }
        batch.put(Table::Chunks, keys::chunk(&self.staging, self.written), self.pending.split().freeze());
        self.written += 1;
        match self.engine.commit(batch, Sync::Later).await {
            Committed::Done => Ok(()),
            Committed::Conflict(_) => Err(StoreError::Uncertain),
            Committed::Unknown(error) => Err(error.into()),
        }
    }

    /// The whole body, ready for a change.
    pub fn finish(mut self) -> StagedBody {
        let body = BodyRef { hash: *self.hasher.finalize().as_bytes(), size: self.size };
        // An empty piece of the buffer would keep all of it.
        let last = if self.pending.is_empty() { Bytes::new() } else { self.pending.split().freeze() };
        StagedBody { body, staging: self.staging, last: (self.written, last), staged: self.written > 0 }
    }

    /// The whole body, of which nothing is held in memory while it waits.
    pub async fn finish_staged(mut self) -> Result<StagedBody> {
        if !self.pending.is_empty() {
            self.flush().await?;
        }
        Ok(self.finish())
    }

    /// Drops what was staged. A body that is simply let go is swept later.
    pub async fn discard(self) {
        if self.written > 0 {
            discard(self.engine.as_ref(), &self.staging).await;
        }
    }
}

async fn discard(engine: &dyn Engine, staging: &StagingId) {
    let mut batch = Batch::default();
    drop_staged(&mut batch, staging);
    if let Committed::Unknown(error) = engine.commit(batch, Sync::Later).await {
        tracing::warn!(%error, "an unused body stays until the next sweep");
    }
}

/// Deletes a staged body's rows.
pub(super) fn drop_staged(batch: &mut Batch, staging: &StagingId) {
    batch.delete(Table::Staging, staging.to_vec());
    batch.delete_range(Table::Chunks, staging.to_vec(), keys::after(staging));
}

/// Reads ranges of one message: what the server put in front, then the body.
#[derive(Clone)]
pub struct BodyReader {
    engine: Arc<dyn Engine>,
    prefix: Bytes,
    staging: StagingId,
    size: u64,
}

impl BodyReader {
    pub(super) async fn open(engine: Arc<dyn Engine>, prefix: Bytes, body: &BodyRef) -> Result<Self> {
        let blob = engine.get(Table::Blobs, &body.hash).await?.ok_or(StoreError::Gone)?;
        let blob = Blob::from_bytes(&blob)?;
        Ok(Self::at(engine, prefix, blob.staging, blob.size))
    }

    pub(super) fn at(engine: Arc<dyn Engine>, prefix: Bytes, staging: StagingId, size: u64) -> Self {
        Self { engine, prefix, staging, size }
    }

    /// Octets in all.
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.size
    }

    /// Some bytes from the start of `range`, at most a chunk; empty at the end of the range or the message.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let wanted = usize::try_from(range.end.min(self.size()).saturating_sub(range.start)).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let prefix = self.prefix.len() as u64;
        if range.start < prefix {
            let from = range.start as usize;
            return Ok(self.prefix.slice(from..self.prefix.len().min(from.saturating_add(wanted))));
        }
        let at = range.start - prefix;
        let number = u32::try_from(at / CHUNK_BYTES as u64).map_err(|_| StoreError::Gone)?;
        let within = (at % CHUNK_BYTES as u64) as usize;
        let chunk = self.engine.get(Table::Chunks, &keys::chunk(&self.staging, number)).await?.ok_or(StoreError::Gone)?;
        let end = chunk.len().min(within.saturating_add(wanted));
        if within >= end { Err(StoreError::Gone) } else { Ok(chunk.slice(within..end)) }
    }

    /// The whole of a range; for what is known to be small.
    pub async fn read_all(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let part = self.read(range.start + bytes.len() as u64..range.end).await?;
            if part.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&part);
        }
    }
}
