//! SEARCH: by the entry, else by the header, else by the text that streams past.

use super::{PAGE_MESSAGES, Reader, failed};
use crate::store::Message;
use std::io;
use stoa_imap::Summary;
use stoa_imap::search::{EntryFacts, Program, TextScan, Verdict};
use stoa_mailbox::{Entry, Numbering, Uid};

/// Octets of a header that a search reads where the summary does not hold it.
const HEADER_READ_BYTES_MAX: u64 = 1 << 20;

/// Entries that a search looks at before others get their turn.
const PAGE_ENTRIES: usize = 1_024;

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
    /// What is found among all messages that have a number, ascending.
    pub async fn run(&self) -> io::Result<Vec<Uid>> {
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
        let judged = page.iter().map(|entry| (entry, self.program.by_entry(&self.facts(entry))));
        let open: Vec<(&Entry, Verdict)> = judged.filter(|(_, verdict)| *verdict != Verdict::No).collect();
        for some in open.chunks(PAGE_MESSAGES) {
            let unknown: Vec<Entry> = some.iter().filter(|(_, verdict)| *verdict == Verdict::Unknown).map(|(entry, _)| **entry).collect();
            let mut messages = if unknown.is_empty() { Vec::new() } else { self.reader.messages(&unknown).await? }.into_iter();
            for (entry, verdict) in some {
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
