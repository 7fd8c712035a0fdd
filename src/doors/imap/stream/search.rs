//! SEARCH: by the entry, else by the header, else by the text that streams past. SORT and THREAD look at the headers of what is
//! found once more.

use super::{PAGE_ENTRIES, Reader, failed, take_page};
use crate::store::Message;
use bytes::Bytes;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use stoa_imap::fetch::HEADERS_READ_BYTES_MAX;
use stoa_imap::search::{EntryFacts, Header, Hit, Order, Program, TextScan, Verdict};
use stoa_imap::{Answer, Summary};
use stoa_mailbox::{Entry, Numbering, Uid};

/// What is looked for, and for whom.
pub(crate) struct Search<'a> {
    pub reader: Reader<'a>,
    pub program: Program,
    pub numbering: Numbering,
    pub recent_from: Uid,
    /// In seconds since 1970.
    pub now: i64,
}

impl Search<'_> {
    /// What is found, in this order.
    pub async fn run(&self, order: Order) -> io::Result<Answer> {
        let found = self.find().await?;
        let needs_headers = order.needs_headers();
        let mut arranging = order.begin();
        let entries: Vec<Entry> = found.iter().filter_map(|uid| self.numbering.view().find(*uid)).copied().collect();
        drop(found);
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let page = take_page(&mut entries, |entry| entry.size);
            if !needs_headers {
                page.iter().for_each(|entry| arranging.add(&Hit { entry, header: b"", sent: None }));
                continue;
            }
            for (entry, message) in page.iter().zip(self.reader.messages(&page).await?) {
                let Some(message) = message else { continue };
                let summary = Summary::read(&message.summary).map_err(io::Error::other)?;
                let header = self.header(&message, &summary).await?.unwrap_or_default();
                arranging.add(&Hit { entry, header: &header, sent: summary.sent().map_err(io::Error::other)? });
            }
            tokio::task::yield_now().await;
        }
        Ok(arranging.finish())
    }

    /// What is found among all messages that have a number, ascending.
    async fn find(&self) -> io::Result<Vec<Uid>> {
        let mut found = Vec::new();
        let mut entries = self.numbering.view().iter().filter(|entry| self.numbering.number(entry.uid).is_some()).copied();
        loop {
            let page: Vec<Entry> = entries.by_ref().take(PAGE_ENTRIES).collect();
            if page.is_empty() {
                return Ok(found);
            }
            self.look(&page, &mut found).await?;
            tokio::task::yield_now().await;
        }
    }

    async fn look(&self, page: &[Entry], found: &mut Vec<Uid>) -> io::Result<()> {
        let judged = page.iter().map(|entry| (*entry, self.program.by_entry(&self.facts(entry))));
        let open: Vec<(Entry, Verdict)> = judged.filter(|(_, verdict)| *verdict != Verdict::No).collect();
        let mut open = open.into_iter().peekable();
        while open.peek().is_some() {
            let some = take_page(&mut open, |(entry, _)| entry.size);
            let unknown: Vec<Entry> = some.iter().filter(|(_, verdict)| *verdict == Verdict::Unknown).map(|(entry, _)| *entry).collect();
            let mut messages = if unknown.is_empty() { Vec::new() } else { self.reader.messages(&unknown).await? }.into_iter();
            for (entry, verdict) in &some {
                let matches = match verdict {
                    Verdict::Unknown => match messages.next().flatten() {
                        Some(message) => self.read(entry, &message).await?,
                        None => false,
                    },
                    verdict => *verdict == Verdict::Yes,
                };
                if matches {
                    found.push(entry.uid);
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn facts<'e>(&'e self, entry: &'e Entry) -> EntryFacts<'e> {
        EntryFacts {
            entry,
            keywords: &self.numbering.view().keywords,
            recent: entry.uid >= self.recent_from,
            holder: self.reader.holder.0,
            now: self.now,
        }
    }

    /// The header of a message: from its summary or, where that has no room for it, from its body. Nothing, if that was removed.
    async fn header<'m>(&self, message: &Message, summary: &Summary<'m>) -> io::Result<Option<Cow<'m, [u8]>>> {
        if let Some(header) = summary.header().map_err(io::Error::other)? {
            return Ok(Some(Cow::Borrowed(header)));
        }
        let Some(body) = self.reader.body(message).await? else { return Ok(None) };
        let length = summary.header_length().map_err(io::Error::other)?.min(HEADERS_READ_BYTES_MAX);
        body.read_all(0..length).await.map(|header| Some(Cow::Owned(header))).map_err(failed)
    }

    /// Looks at the header and, if that does not decide, at the text.
    async fn read(&self, entry: &Entry, message: &Message) -> io::Result<bool> {
        let summary = Summary::read(&message.summary).map_err(io::Error::other)?;
        let sent = summary.sent().map_err(io::Error::other)?;
        let Some(block) = self.header(message, &summary).await? else { return Ok(false) };
        let header = Header::new(&block);
        let facts = self.facts(entry);
        match self.program.by_header(&facts, &header, sent) {
            Verdict::Yes => return Ok(true),
            Verdict::No => return Ok(false),
            Verdict::Unknown => {}
        }
        let Some(body) = self.reader.body(message).await? else { return Ok(false) };
        let parts = summary.parts().map_err(io::Error::other)?;
        let mut scan = TextScan::new(&self.program, &parts, header);
        let mut chunk = Chunk::default();
        while let Some(range) = scan.next_range() {
            let mut at = range.start;
            while at < range.end && !scan.is_decided() {
                if chunk.piece(at..range.end).is_empty() {
                    chunk = Chunk { at, bytes: body.read(at..body.size()).await.map_err(failed)? };
                    // What the engine reads is there at once, so that only this lets others run.
                    tokio::task::yield_now().await;
                }
                let piece = chunk.piece(at..range.end);
                // What is not there holds no text; FETCH, which has promised its octets, must break off.
                if piece.is_empty() {
                    break;
                }
                at += piece.len() as u64;
                scan.feed(piece);
            }
        }
        Ok(scan.verdict(&facts, sent))
    }
}

/// What was read of a body last: the parts of most messages lie in one chunk, which need not be read for each.
#[derive(Default)]
struct Chunk {
    at: u64,
    bytes: Bytes,
}

impl Chunk {
    /// What it has from the beginning of the range on, and within.
    fn piece(&self, range: Range<u64>) -> &[u8] {
        let place = |at: u64| usize::try_from(at.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.bytes.len());
        if range.start < self.at { &[] } else { &self.bytes[place(range.start)..place(range.end)] }
    }
}
