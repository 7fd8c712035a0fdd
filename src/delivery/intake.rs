//! Taking a message in while it streams by: its header is filtered, its body goes to the store, its structure into a summary.
//!
//! Reads bytes from strangers, in chunks; holds a chunk and a header at most. What the server puts in front of a message of
//! SMTP may be added to until the end: all positions count from there, and are moved then.

use super::header::{Header, HeaderFilter, Rules};
use crate::store::{BodyReader, BodyWriter, DeliveredBody, Delivery as Filing, StagedBody, Store, StoreError};
use crate::trust::Trust;
use bytes::Bytes;
use stoa_imap::summarise;
use stoa_mime::{Address, Scanned, Scanner, address, header};

/// Authors that are looked at; a message with more is one whose authors are unclear.
const AUTHORS_MAX: usize = 1_000;

/// A message that is coming in.
pub struct Intake {
    filter: Option<HeaderFilter>,
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
    /// The addresses of From, `local@domain`. Of a message that came through SMTP, as all that follows.
    pub from: Vec<String>,
    /// Whether it has several From fields or one too long to read: then others may see other authors than `from` says.
    pub from_is_unclear: bool,
    /// The addresses of Sender, Resent-From and Resent-Sender.
    pub senders: Vec<String>,
    /// The marks of accounts that forwarded it; `None` if they cannot be read.
    pub marks: Option<Vec<String>>,
    /// How many Received fields it has, ours included.
    pub hops: usize,
    /// Whether it is filed as junk: whoever took it in says so.
    pub is_junk: bool,
    /// How much is to be doubted that it is wanted, in points.
    pub doubt: i32,
    /// Whether its reverse-path is that of whoever brought it.
    pub path: PathProof,
}

/// What is known of a reverse-path: reports to one that is another's are mail to somebody who wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathProof {
    /// An account's message, or SPF of the path passes.
    Proven,
    /// Nobody says anything of it.
    #[default]
    Unproven,
    /// SPF says that whoever brought the message may not use it.
    Denied,
}

impl Intake {
    /// Begins a message that is kept as it comes; `prefix` holds whole header lines, `now` is seconds since 1970.
    pub fn new(store: &Store, prefix: Bytes, now: i64) -> Self {
        Self::begin(store, (prefix, 0), None, now)
    }

    /// Begins a message of SMTP, with a prefix of which the first octets are a Return-Path field.
    pub(super) fn filtered(store: &Store, trace: (Bytes, usize), rules: Rules, now: i64) -> Self {
        Self::begin(store, trace, Some(HeaderFilter::new(rules)), now)
    }

    fn begin(store: &Store, (prefix, return_path_bytes): (Bytes, usize), filter: Option<HeaderFilter>, now: i64) -> Self {
        let mut scanner = Scanner::new();
        if filter.is_none() {
            // It may be a part of the header that says something of the message.
            scanner.feed(&prefix);
        }
        Self { filter, writer: store.write_body(now), scanner, prefix, return_path_bytes }
    }

    /// Takes what comes next.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match &mut self.filter {
            Some(filter) if !filter.is_over() => {
                let mut passed = Vec::with_capacity(bytes.len());
                filter.push(bytes, &mut passed);
                self.keep(&passed).await
            }
            _ => self.keep(bytes).await,
        }
    }

    /// Puts whole trace fields in front of a message of SMTP, below its Return-Path: what is known only at its end.
    pub fn add_trace(&mut self, fields: &str) {
        let (return_path, trace) = self.prefix.split_at(self.return_path_bytes);
        self.prefix = [return_path, fields.as_bytes(), trace].concat().into();
    }

    async fn keep(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.scanner.feed(bytes);
        self.writer.write(bytes).await
    }

    /// The whole message, ready to be filed.
    pub async fn finish(self) -> Result<Received, StoreError> {
        self.end(false).await
    }

    /// The whole message, which waits for others: of its body nothing is held in memory.
    pub async fn finish_waiting(self) -> Result<Received, StoreError> {
        self.end(true).await
    }

    async fn end(mut self, waits: bool) -> Result<Received, StoreError> {
        let mut said = Header::default();
        let is_behind = self.filter.is_some();
        if let Some(filter) = self.filter.take() {
            let mut rest = Vec::new();
            said = filter.finish(&mut rest);
            self.keep(&rest).await?;
        }
        let Self { writer, scanner, prefix, return_path_bytes, .. } = self;
        let authors: Vec<Address> = said.from.iter().flat_map(|raw| address::list(&header::unfold(raw), AUTHORS_MAX)).collect();
        let from_is_unclear = said.from_is_cut || said.from.len() > 1 || authors.len() + 1 >= AUTHORS_MAX;
        let from = authors.iter().filter_map(written).collect();
        let senders = said.senders.iter().flat_map(|raw| address::list(&header::unfold(raw), AUTHORS_MAX));
        let senders = senders.filter_map(|sender| written(&sender)).collect();
        let mark = |raw: &Vec<u8>| String::from_utf8_lossy(&header::unfold(raw)).trim().to_owned();
        let marks = (!said.from_is_cut).then(|| said.marks.iter().map(mark).collect());
        let scanned = scanner.finish();
        let summary = summary(&if is_behind { scanned.behind(&prefix) } else { scanned });
        // The prefix holds the one that is ours.
        let hops = said.hops + 1;
        let body = if waits { writer.finish_staged().await? } else { writer.finish() };
        let (is_junk, doubt, path) = (false, 0, PathProof::default());
        Ok(Received { body, prefix, return_path_bytes, summary, from, from_is_unclear, senders, marks, hops, is_junk, doubt, path })
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
