//! What FETCH and SEARCH write, straight from the store to the client.
//!
//! Messages are looked up a page at a time and bodies are read a chunk at a time, each written before the next is read:
//! a slow client costs no memory. A message that was removed meanwhile is left out. What is written of a message, and
//! whether it is found, is decided in `protocols/imap`.

use crate::net::Outbox;
use crate::store::{BodyReader, HolderId, Message, Store, StoreError};
use std::io;
use std::ops::Range;
use stoa_imap::fetch::{self, Header, Output, Piece, Plan, fit_for_wire};
use stoa_imap::search::{self, EntryFacts, Program, TextScan, Verdict};
use stoa_imap::{Query, Summary};
use stoa_mailbox::{Entry, Numbering, Uid};

/// Messages looked up at once: their summaries are some ten kilobytes each.
const PAGE_MESSAGES: usize = 32;
/// Entries that a search looks at before others get their turn.
const PAGE_ENTRIES: usize = 1_024;
/// Octets of a header that a search reads where the summary does not hold it.
const HEADER_READ_BYTES_MAX: u64 = 1 << 20;

/// Writes the outcome of a query.
pub(super) async fn write(store: &Store, holder: HolderId, query: Query, out: &mut Outbox) -> io::Result<()> {
    let view = |numbering: &Numbering| numbering.view().clone();
    match query {
        Query::Fetch { uids, plan, numbering, recent_from } => {
            let view = view(&numbering);
            let entries: Vec<Entry> = view.select(&uids).copied().collect();
            let fetch = Fetch { reader: Reader { store, holder }, plan, numbering, recent_from };
            for page in entries.chunks(PAGE_MESSAGES) {
                fetch.write(page, out).await?;
            }
            Ok(())
        }
        Query::Search { program, numbering, recent_from, by_uid } => {
            let view = view(&numbering);
            let search = Search { reader: Reader { store, holder }, program, numbering, recent_from };
            let (mut found, entries) = (Vec::new(), view.iter().copied().collect::<Vec<Entry>>());
            for page in entries.chunks(PAGE_ENTRIES) {
                search.look(page, by_uid, &mut found).await?;
                tokio::task::yield_now().await;
            }
            let mut line = Vec::new();
            search::response(&mut line, found.into_iter());
            out.send(&line).await
        }
    }
}

/// Reads messages of one holder.
#[derive(Clone, Copy)]
struct Reader<'a> {
    store: &'a Store,
    holder: HolderId,
}

impl Reader<'_> {
    async fn messages(&self, entries: &[Entry]) -> io::Result<Vec<Option<Message>>> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.message).collect();
        self.store.messages(self.holder, &ids).await.map_err(failed)
    }

    /// Nothing, if the message was removed since it was named.
    async fn body(&self, message: &Message) -> io::Result<Option<BodyReader>> {
        match self.store.body(message.prefix.clone(), &message.body).await {
            Ok(body) => Ok(Some(body)),
            Err(StoreError::Gone) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

struct Fetch<'a> {
    reader: Reader<'a>,
    plan: Plan,
    numbering: Numbering,
    recent_from: Uid,
}

impl Fetch<'_> {
    async fn write(&self, page: &[Entry], out: &mut Outbox) -> io::Result<()> {
        let messages = if self.plan.needs_messages() { self.reader.messages(page).await? } else { vec![None; page.len()] };
        let mut output = Output::default();
        for (entry, message) in page.iter().zip(messages) {
            let body = match &message {
                Some(message) => self.reader.body(message).await?,
                None if self.plan.needs_messages() => continue,
                None => None,
            };
            if message.is_some() && body.is_none() {
                continue;
            }
            self.write_one(entry, message.as_ref(), body.as_ref(), &mut output).await?;
            for piece in output.pieces() {
                match (piece, &body) {
                    (Piece::Bytes(bytes), _) => out.send(bytes).await?,
                    (Piece::Body { range, .. }, Some(body)) => copy(body, range, out).await?,
                    (Piece::Body { .. }, None) => return Err(io::Error::other("a body was promised and is not there")),
                }
            }
            output.clear();
        }
        Ok(())
    }

    async fn write_one(&self, entry: &Entry, message: Option<&Message>, body: Option<&BodyReader>, output: &mut Output) -> io::Result<()> {
        let Some(number) = self.numbering.number(entry.uid) else { return Ok(()) };
        let summary = message.map(|message| Summary::read(&message.summary)).transpose().map_err(io::Error::other)?;
        let mut headers: Vec<Header> = match &summary {
            Some(summary) => self.plan.headers(summary).map_err(io::Error::other)?,
            None => Vec::new(),
        };
        for header in &mut headers {
            if let Some(body) = body {
                header.bytes = body.read_all(header.range.clone()).await.map_err(failed)?;
            }
        }
        let facts = fetch::Message {
            number,
            entry,
            keywords: &self.numbering.view().keywords,
            recent: entry.uid >= self.recent_from,
            summary: summary.as_ref(),
            headers: &headers,
        };
        self.plan.write(&facts, output).map_err(io::Error::other)
    }
}

/// Octets of a message to the client, whose number it was told before.
async fn copy(body: &BodyReader, range: Range<u64>, out: &mut Outbox) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let mut chunk = body.read(at..range.end).await.map_err(failed)?.to_vec();
        if chunk.is_empty() {
            return Err(io::Error::other("a message is shorter than its summary says"));
        }
        at += chunk.len() as u64;
        fit_for_wire(&mut chunk);
        out.send(&chunk).await?;
    }
    Ok(())
}

struct Search<'a> {
    reader: Reader<'a>,
    program: Program,
    numbering: Numbering,
    recent_from: Uid,
}

impl Search<'_> {
    /// Adds what is found among these entries, in their order.
    async fn look(&self, page: &[Entry], by_uid: bool, found: &mut Vec<u32>) -> io::Result<()> {
        let numbered = |entry: &Entry| self.numbering.number(entry.uid).map(|number| (*entry, number));
        let verdicts: Vec<(Entry, usize, Verdict)> =
            page.iter().filter_map(numbered).map(|(entry, number)| (entry, number, self.program.by_entry(&self.facts(&entry)))).collect();
        for some in verdicts.chunks(PAGE_MESSAGES) {
            let open: Vec<Entry> = some.iter().filter(|(_, _, verdict)| *verdict == Verdict::Unknown).map(|(entry, ..)| *entry).collect();
            let mut messages = self.reader.messages(&open).await?.into_iter();
            for (entry, number, verdict) in some {
                let matches = match verdict {
                    Verdict::Yes => true,
                    Verdict::No => false,
                    Verdict::Unknown => match messages.next().flatten() {
                        Some(message) => self.read(entry, &message).await?,
                        None => false,
                    },
                };
                if matches {
                    found.push(if by_uid { entry.uid } else { u32::try_from(*number).unwrap_or(u32::MAX) });
                }
            }
        }
        Ok(())
    }

    fn facts<'e>(&'e self, entry: &'e Entry) -> EntryFacts<'e> {
        EntryFacts { entry, keywords: &self.numbering.view().keywords, recent: entry.uid >= self.recent_from }
    }

    /// Looks at the header and, if that does not decide, at the text.
    async fn read(&self, entry: &Entry, message: &Message) -> io::Result<bool> {
        let Some(body) = self.reader.body(message).await? else { return Ok(false) };
        let summary = Summary::read(&message.summary).map_err(io::Error::other)?;
        let sent = summary.sent().map_err(io::Error::other)?;
        let long;
        let header = match summary.header().map_err(io::Error::other)? {
            Some(header) => header,
            None => {
                let length = summary.header_length().map_err(io::Error::other)?.min(HEADER_READ_BYTES_MAX);
                long = body.read_all(0..length).await.map_err(failed)?;
                &long
            }
        };
        let facts = self.facts(entry);
        match self.program.by_header(&facts, header, sent) {
            Verdict::Yes => return Ok(true),
            Verdict::No => return Ok(false),
            Verdict::Unknown => {}
        }
        let parts = summary.parts().map_err(io::Error::other)?;
        let mut scan = TextScan::new(&self.program, &parts);
        while let Some(range) = scan.next() {
            let mut at = range.start;
            while at < range.end && !scan.is_decided() {
                let chunk = body.read(at..range.end).await.map_err(failed)?;
                if chunk.is_empty() {
                    break;
                }
                at += chunk.len() as u64;
                scan.feed(&chunk);
            }
        }
        Ok(scan.verdict(&facts, header, sent))
    }
}

/// A response that cannot be finished ends the connection: half of it may be with the client.
fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}
