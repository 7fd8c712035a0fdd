//! FETCH: one message after the other, its parts as they are read.
//!
//! What the mailbox's entry tells costs no look-up, and no body is opened unless octets of it are wanted.

use super::{PAGE_ENTRIES, Reader, failed, take_page};
use crate::delivery::summarize;
use crate::net::{OUTBOX_BYTES_MAX, Outbox};
use crate::store::{BodyReader, Message, StoreError};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use stoa_imap::Summary;
use stoa_imap::fetch::{self, Decoding, Header, Output, Pass, Piece, Plan, fit_for_wire};
use stoa_mailbox::{Entry, Numbering, Uid, UidSet};
use stoa_record::RecordError;

/// What is fetched, and for whom.
pub(super) struct Fetch<'a> {
    pub reader: Reader<'a>,
    pub plan: Plan,
    pub numbering: Numbering,
    pub recent_from: Uid,
}

/// Was everything written?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    All,
    /// Messages were left out, since nobody here takes off the encoding of a part of theirs.
    NotDecoded,
    /// Messages were left out, since what is kept of them cannot be read.
    Damaged,
}

/// A message, and its body once something of it is wanted.
struct Opened<'a> {
    reader: Reader<'a>,
    message: &'a Message,
    body: Option<BodyReader>,
}

impl Fetch<'_> {
    /// Writes of each of these messages what is planned.
    pub async fn write(&self, uids: &UidSet, out: &mut Outbox) -> io::Result<Written> {
        let (mut output, mut written) = (Output::default(), Written::All);
        let mut entries = self.numbering.numbered(uids).peekable();
        while entries.peek().is_some() {
            if !self.plan.needs_messages() {
                let mut page = entries.by_ref().take(PAGE_ENTRIES);
                page.try_for_each(|(number, entry)| self.plan.write(&self.facts(number, entry), &mut output)).map_err(io::Error::other)?;
                send(&mut output, out).await?;
                continue;
            }
            let page = take_page(&mut entries, |(_, entry)| entry.size);
            let ids: Vec<Entry> = page.iter().map(|(_, entry)| **entry).collect();
            for ((number, entry), message) in page.into_iter().zip(self.reader.messages(&ids).await?) {
                let Some(message) = message else { continue };
                let mut opened = Opened { reader: self.reader, message: &message, body: None };
                written = written.max(self.write_one(self.facts(number, entry), &mut opened, &mut output).await?);
                if output.has_bodies() {
                    opened.send(&mut output, out).await?;
                } else if output.len() >= OUTBOX_BYTES_MAX {
                    send(&mut output, out).await?;
                }
            }
        }
        send(&mut output, out).await?;
        Ok(written)
    }

    fn facts<'f>(&'f self, number: usize, entry: &'f Entry) -> fetch::Message<'f> {
        fetch::Message {
            number,
            entry,
            holder: self.reader.holder.0,
            keywords: &self.numbering.view().keywords,
            recent: entry.uid >= self.recent_from,
            summary: None,
            headers: &[],
            decodings: &[],
        }
    }

    /// Writes the message, but of its octets only where they belong. One that was removed meanwhile is left out, and so is one
    /// that cannot be read: the client would come back for it for ever if that ended the connection.
    async fn write_one(&self, facts: fetch::Message<'_>, opened: &mut Opened<'_>, output: &mut Output) -> io::Result<Written> {
        let (before, entry) = (output.mark(), facts.entry);
        let written = match self.try_write(facts, opened, output).await {
            Err(error) if is_gone(&error) => Ok(Written::All),
            Err(error) if is_damaged(&error) => {
                tracing::error!(holder = self.reader.holder.0, message = entry.message, uid = entry.uid, %error, "a message cannot be read");
                Ok(Written::Damaged)
            }
            other => return other,
        };
        output.back_to(before);
        written
    }

    async fn try_write(&self, facts: fetch::Message<'_>, opened: &mut Opened<'_>, output: &mut Output) -> io::Result<Written> {
        let made = self.with_preview(opened).await?;
        let summary = Summary::read(made.as_ref().unwrap_or(&opened.message.summary)).map_err(io::Error::other)?;
        let mut headers: Vec<Header> = self.plan.headers(&summary).map_err(io::Error::other)?;
        for header in &mut headers {
            header.bytes = opened.body().await?.read_all(header.range.clone()).await.map_err(failed)?;
        }
        let facts = fetch::Message { summary: Some(&summary), headers: &headers, ..facts };
        let Ok(mut decodings) = self.plan.decodings(&facts).map_err(io::Error::other)? else { return Ok(Written::NotDecoded) };
        for decoding in &mut decodings {
            let mut decoded = Decoded::new(opened.body().await?, decoding);
            while let Some(some) = decoded.next().await? {
                decoding.note(&some);
                // What the engine reads is there at once, so that only this lets others run.
                tokio::task::yield_now().await;
            }
        }
        self.plan.write(&fetch::Message { decodings: &decodings, ..facts }, output).map_err(io::Error::other)?;
        if output.has_bodies() {
            opened.body().await?;
        }
        Ok(Written::All)
    }

    /// RFC 8970 §3.1: a summary with a preview, where one is wanted and the stored summary is older than previews.
    async fn with_preview(&self, opened: &mut Opened<'_>) -> io::Result<Option<Bytes>> {
        if !self.plan.wants_preview() {
            return Ok(None);
        }
        let stored = Summary::read(&opened.message.summary).map_err(io::Error::other)?;
        match stored.preview().map_err(io::Error::other)? {
            Some(_) => Ok(None),
            None => Ok(Some(summarize(opened.body().await?).await.map_err(failed)?)),
        }
    }
}

async fn send(output: &mut Output, out: &mut Outbox) -> io::Result<()> {
    for piece in output.pieces() {
        let Piece::Bytes(bytes) = piece else { return Err(io::Error::other("a body was promised and is not there")) };
        out.send(bytes).await?;
    }
    output.clear();
    Ok(())
}

impl Opened<'_> {
    async fn body(&mut self) -> io::Result<&BodyReader> {
        if self.body.is_none() {
            self.body = Some(self.reader.open(self.message).await.map_err(failed)?);
        }
        self.body.as_ref().ok_or_else(|| io::Error::other("a body was opened and is not there"))
    }

    /// Sends what was written, with the octets of this message.
    async fn send(&mut self, output: &mut Output, out: &mut Outbox) -> io::Result<()> {
        for piece in output.pieces() {
            match piece {
                Piece::Bytes(bytes) => out.send(bytes).await?,
                Piece::Body { range, .. } => copy(self.body().await?, range, out).await?,
                Piece::Decoded(decoding) => {
                    let mut decoded = Decoded::new(self.body().await?, decoding);
                    while let Some(some) = decoded.next().await? {
                        out.send(&some).await?;
                    }
                }
            }
        }
        output.clear();
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>()), Some(StoreError::Gone))
}

fn is_damaged(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<RecordError>())
}

fn truncated() -> io::Error {
    io::Error::other("a message is shorter than its summary says")
}

/// Octets of a message to the client, whose number it was told before.
async fn copy(body: &BodyReader, range: Range<u64>, out: &mut Outbox) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let chunk = body.read(at..range.end).await.map_err(failed)?;
        if chunk.is_empty() {
            return Err(truncated());
        }
        at += chunk.len() as u64;
        match chunk.contains(&0) {
            true => {
                let mut chunk = chunk.to_vec();
                fit_for_wire(&mut chunk);
                out.send(&chunk).await?;
            }
            false => out.send(&chunk).await?,
        }
    }
    Ok(())
}

/// A pass over a part without its encoding.
struct Decoded<'a> {
    body: &'a BodyReader,
    rest: Range<u64>,
    pass: Option<Pass>,
}

impl<'a> Decoded<'a> {
    fn new(body: &'a BodyReader, decoding: &Decoding) -> Self {
        Self { body, rest: decoding.range(), pass: Some(decoding.pass()) }
    }

    /// What comes of the next octets, perhaps nothing; none at the end.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(mut pass) = self.pass.take() else { return Ok(None) };
        if self.rest.is_empty() || pass.is_over() {
            return Ok(Some(pass.finish()));
        }
        let chunk = self.body.read(self.rest.clone()).await.map_err(failed)?;
        if chunk.is_empty() {
            return Err(truncated());
        }
        self.rest.start += chunk.len() as u64;
        let decoded = pass.feed(&chunk);
        self.pass = Some(pass);
        Ok(Some(decoded))
    }
}
