//! Taking a message in while it streams by: its body goes to the store, its structure into a summary.
//!
//! Reads bytes from strangers, in chunks; holds a chunk and a header at most. What the server puts in front of the
//! message is given at the start, since all positions count from there.

use crate::store::{BodyReader, BodyWriter, DeliveredBody, Delivery as Filing, StagedBody, Store, StoreError};
use crate::trust::Trust;
use bytes::Bytes;
use stoa_imap::summarise;
use stoa_mime::{Address, Scanned, Scanner, header};

/// A message that is coming in.
pub struct Intake {
    writer: BodyWriter,
    scanner: Scanner,
    prefix: Bytes,
    return_path_bytes: usize,
}

/// A message that came in whole.
#[derive(Debug)]
pub struct Received {
    /// What came.
    pub body: StagedBody,
    /// What this server put in front of it.
    pub prefix: Bytes,
    /// How much of the prefix is a Return-Path field.
    pub return_path_bytes: usize,
    /// A [`stoa_imap::Summary`] of both, as stored.
    pub summary: Bytes,
    /// The addresses of From, `local@domain`.
    pub from: Vec<String>,
    /// How many Received fields it has.
    pub hops: usize,
}

impl Intake {
    /// Begins; `prefix` holds whole header lines, `now` is seconds since 1970.
    pub fn new(store: &Store, prefix: Bytes, now: i64) -> Self {
        Self::with_trace(store, (prefix, 0), now)
    }

    /// Begins with a prefix of which the first octets are a Return-Path field.
    pub fn with_trace(store: &Store, (prefix, return_path_bytes): (Bytes, usize), now: i64) -> Self {
        let mut scanner = Scanner::new();
        scanner.feed(&prefix);
        Self { writer: store.write_body(now), scanner, prefix, return_path_bytes }
    }

    /// Takes what comes next.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.scanner.feed(bytes);
        self.writer.write(bytes).await
    }

    /// The whole message.
    pub async fn finish(self) -> Result<Received, StoreError> {
        let scanned = self.scanner.finish();
        let envelope = scanned.part.description.envelope.as_deref();
        let from = envelope.map(|envelope| envelope.from.iter().filter_map(written).collect()).unwrap_or_default();
        let hops = header::fields(&scanned.header).filter(|field| field.is("Received")).count();
        let summary = summary(&scanned);
        let Self { writer, prefix, return_path_bytes, .. } = self;
        Ok(Received { body: writer.finish(), prefix, return_path_bytes, summary, from, hops })
    }

    /// Forgets what came.
    pub async fn discard(self) {
        self.writer.discard().await;
    }
}

impl Received {
    /// A filing of this message that goes nowhere yet.
    pub fn filing(&self, trust: &Trust) -> Filing {
        let body = DeliveredBody::Staged(self.body.clone());
        Filing::of(body, self.prefix.clone(), self.summary.clone(), trust.to_bytes())
    }
}

/// The summary of a message that is stored already: `prefix` with the body behind it.
pub async fn summarize(message: &BodyReader) -> Result<Bytes, StoreError> {
    let mut scanner = Scanner::new();
    let mut at = 0;
    loop {
        let chunk = message.read(at..u64::MAX).await?;
        if chunk.is_empty() {
            return Ok(summary(&scanner.finish()));
        }
        scanner.feed(&chunk);
        at += chunk.len() as u64;
    }
}

fn summary(scanned: &Scanned) -> Bytes {
    summarise(scanned).into()
}

fn written(address: &Address) -> Option<String> {
    match address {
        Address::Mailbox { local, host, .. } => {
            // Quotes were taken away; a local part that needs them gets them back where it is read again.
            let (local, host) = (String::from_utf8_lossy(local), String::from_utf8_lossy(host));
            Some(match needs_quotes(&local) {
                true => format!("\"{}\"@{host}", local.replace('\\', "\\\\").replace('"', "\\\"")),
                false => format!("{local}@{host}"),
            })
        }
        Address::GroupStart(_) | Address::GroupEnd => None,
    }
}

/// RFC 5322 §3.2.3: what is not a dot-atom stands in quotes.
fn needs_quotes(local: &str) -> bool {
    local.is_empty() || local.chars().any(|c| c.is_whitespace() || c.is_control() || "()<>[]:;@\\,\"".contains(c))
}
