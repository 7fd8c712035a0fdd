//! FETCH: one message after the other, its parts as they are read.

use super::{Reader, failed};
use crate::net::Outbox;
use crate::store::{BodyReader, Message};
use std::io;
use std::ops::Range;
use stoa_imap::Summary;
use stoa_imap::fetch::{self, Header, Output, Piece, Plan, fit_for_wire};
use stoa_mailbox::{Entry, Numbering, Uid};

/// What is fetched, and for whom.
pub(super) struct Fetch<'a> {
    pub reader: Reader<'a>,
    pub plan: Plan,
    pub numbering: Numbering,
    pub recent_from: Uid,
}

impl Fetch<'_> {
    /// Writes of each of these messages what is planned.
    pub async fn write(&self, page: &[Entry], out: &mut Outbox) -> io::Result<()> {
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
