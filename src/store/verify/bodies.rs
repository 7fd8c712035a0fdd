//! Bodies: the chunks in the order in which they lie, each body hashed; then who refers to which.
//!
//! Chunks are read once, from the first to the last. A body whose hash is not known is put aside: it is a known one that
//! was damaged, which the walk through the blobs then finds out, or one that nobody refers to.

use super::rows::{Rows, Step};
use super::{Harm, PAGE, PLACES_NAMED_MAX, Verifier, parse_blob_ref};
use crate::store::bodies::{Blob, CHUNK_BYTES};
use crate::store::engine::Row;
use crate::store::keys::{self, Hash, StagingId, Table};
use crate::store::messages::Message;
use crate::store::outbound::Queued;
use crate::store::plan::QUEUE_HOLDER;

/// Chunks read at a time: 2 MB.
const CHUNKS_PAGE: usize = 8;

/// A body while its chunks come.
struct Gathering {
    staging: StagingId,
    hasher: blake3::Hasher,
    next: u32,
    bytes: u64,
    /// A chunk was shorter than all but the last are.
    ended: bool,
    fault: Option<&'static str>,
}

impl Gathering {
    fn new(staging: StagingId) -> Self {
        Self { staging, hasher: blake3::Hasher::new(), next: 0, bytes: 0, ended: false, fault: None }
    }

    fn take(&mut self, number: u32, chunk: &[u8]) {
        if number != self.next || self.ended || chunk.len() > CHUNK_BYTES {
            self.fault = Some("pieces of its text are missing");
        }
        self.ended = chunk.len() < CHUNK_BYTES;
        self.next = number.wrapping_add(1);
        self.bytes += chunk.len() as u64;
        self.hasher.update(chunk);
    }
}

impl<'a> Verifier<'a> {
    /// Reads all chunks.
    pub(super) async fn chunks(&mut self) {
        let mut rows = self.rows(Table::Chunks, CHUNKS_PAGE);
        let (mut body, mut read) = (None::<Gathering>, 0);
        while let Some(step) = rows.next().await {
            match step {
                Step::Rows(page) => {
                    read += page.len() as u64;
                    self.counts.rows += page.len() as u64;
                    (self.tell)(super::Told::At(Table::Chunks, read));
                    for row in page {
                        self.chunk(&mut body, row).await;
                    }
                }
                // Whose it is shows when the blobs are asked for their chunks.
                Step::Gap(_, why) => drop(self.chunk_gap.get_or_insert(why)),
            }
        }
        if let Some(body) = body {
            self.gathered(body).await;
        }
    }

    async fn chunk(&mut self, body: &mut Option<Gathering>, (key, chunk): Row) {
        let Some((staging, number)) = key.split_first_chunk::<16>().and_then(|(id, n)| Some((*id, u32::from_be_bytes(n.try_into().ok()?))))
        else {
            return self.wrong(Harm::Room, "a piece of a text has a key that is none", Vec::new());
        };
        if body.as_ref().is_none_or(|body| body.staging != staging)
            && let Some(before) = body.replace(Gathering::new(staging))
        {
            self.gathered(before).await;
        }
        if let Some(body) = body {
            body.take(number, &chunk);
        }
    }

    /// Is it one that is known?
    async fn gathered(&mut self, body: Gathering) {
        self.counts.body_bytes += body.bytes;
        let hash = *body.hasher.finalize().as_bytes();
        let known = self.get(Table::Blobs, &hash).await.and_then(|row| Blob::from_bytes(&row).ok());
        match known {
            Some(blob) if body.fault.is_none() && blob.staging == body.staging => self.good_bodies += 1,
            // It is being received.
            None if self.engine.get(Table::Staging, &body.staging).await.is_ok_and(|row| row.is_some()) => {}
            _ => {
                let fault = body.fault.unwrap_or("its text is not what it was, or a piece of it is missing: it has another hash");
                self.bad_bodies.insert(body.staging, fault);
            }
        }
    }

    /// Every blob has its chunks, and somebody who refers to it.
    pub(super) async fn blobs(&mut self) {
        let (mut read, mut damaged) = (0, 0);
        let mut rows = self.rows(Table::Blobs, PAGE);
        while let Some(page) = self.page(Table::Blobs, &mut rows, &mut read).await {
            for (key, row) in page {
                let hash: Result<Hash, _> = key.as_ref().try_into();
                let (Ok(hash), Ok(blob)) = (hash, Blob::from_bytes(&row)) else {
                    let whose = self.readers(&key).await;
                    self.wrong(Harm::Content, "where the text of this message lies cannot be read", whose);
                    continue;
                };
                self.counts.bodies += 1;
                if let Some(why) = self.bad_bodies.remove(&blob.staging) {
                    damaged += 1;
                    let whose = self.readers(&hash).await;
                    self.wrong(Harm::Content, format!("this message is damaged: {why}"), whose);
                }
                let refs = self.engine.range(Table::BlobRefs, &hash, &keys::after(&hash), 1).await;
                if refs.is_ok_and(|refs| refs.is_empty()) {
                    self.wrong(Harm::Room, "the text of a message is kept that nobody refers to", Vec::new());
                }
            }
        }
        let lost = self.counts.bodies > self.good_bodies + damaged;
        if lost {
            self.blobs_without_chunks().await;
        }
        if let Some(why) = self.chunk_gap.take().filter(|_| !lost && damaged == 0) {
            self.wrong(Harm::Room, format!("stored texts that belong to no message cannot be read: {why}"), Vec::new());
        }
        if !self.bad_bodies.is_empty() {
            let what = format!("{} stored texts belong to no message", self.bad_bodies.len());
            self.wrong(Harm::Room, what, Vec::new());
        }
    }

    /// Finds the blobs that no chunk was seen of.
    async fn blobs_without_chunks(&mut self) {
        let mut rows = self.rows(Table::Blobs, PAGE);
        while let Some(step) = rows.next().await {
            let Step::Rows(page) = step else { continue };
            for (hash, row) in page {
                let Ok(blob) = Blob::from_bytes(&row) else { continue };
                let chunks = self.engine.range(Table::Chunks, &blob.staging, &keys::after(&blob.staging), 1).await;
                let why = match chunks {
                    Ok(chunks) if !chunks.is_empty() => continue,
                    Ok(_) => "its text is missing".to_owned(),
                    Err(error) => format!("its text cannot be read: {error}"),
                };
                let whose = self.readers(&hash).await;
                self.wrong(Harm::Content, format!("this message is damaged: {why}"), whose);
            }
        }
    }

    /// Where a person would find a body.
    pub(super) async fn readers(&mut self, hash: &[u8]) -> Vec<String> {
        let refs = self.engine.range(Table::BlobRefs, hash, &keys::after(hash), PLACES_NAMED_MAX).await.unwrap_or_default();
        let mut places = Vec::new();
        for (key, _) in refs {
            match parse_blob_ref(&key) {
                Some((_, QUEUE_HOLDER, id)) => places.push(format!("the queue, message {id:016x}")),
                Some((_, holder, message)) => places.extend(self.places(holder, message).await),
                None => {}
            }
        }
        places
    }

    /// Every reference to a body is of a message that has it.
    pub(super) async fn blob_refs(&mut self) {
        let (mut read, mut stray) = (0, 0u64);
        let mut rows: Rows<'a> = self.rows(Table::BlobRefs, PAGE);
        while let Some(page) = self.page(Table::BlobRefs, &mut rows, &mut read).await {
            for (key, _) in page {
                let is_used = match parse_blob_ref(&key) {
                    Some((hash, QUEUE_HOLDER, id)) => {
                        let row = self.get(Table::Queue, &keys::queued(id)).await;
                        row.is_some_and(|row| Queued::from_bytes(&row).map_or(true, |queued| queued.body.hash == hash))
                    }
                    Some((hash, holder, message)) => {
                        let row = self.get(Table::Messages, &keys::message(holder, message)).await;
                        row.is_some_and(|row| Message::from_bytes(&row).map_or(true, |message| message.body.hash == hash))
                    }
                    None => false,
                };
                stray += u64::from(!is_used);
            }
        }
        if stray > 0 {
            self.wrong(Harm::Room, format!("{stray} references to texts are of messages that are not there"), Vec::new());
        }
    }
}
