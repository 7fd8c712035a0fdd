//! SEARCH: by the entry, else by the header, else by the text that streams past.

use super::{PAGE_MESSAGES, Reader, failed};
use crate::store::Message;
use std::io;
use stoa_imap::Summary;
use stoa_imap::search::{EntryFacts, Program, TextScan, Verdict};
use stoa_mailbox::{Entry, Numbering, Uid};

/// Octets of a header that a search reads where the summary does not hold it.
const HEADER_READ_BYTES_MAX: u64 = 1 << 20;

/// What is looked for, and for whom.
pub(super) struct Search<'a> {
    pub reader: Reader<'a>,
    pub program: Program,
    pub numbering: Numbering,
    pub recent_from: Uid,
}

impl Search<'_> {
    /// Adds what is found among these entries, in their order.
    pub async fn look(&self, page: &[Entry], by_uid: bool, found: &mut Vec<u32>) -> io::Result<()> {
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
