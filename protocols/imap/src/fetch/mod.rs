//! FETCH: what is asked of a message, and how it is written (RFC 3501 §6.4.5, §7.4.2).
//!
//! A [`Plan`] is made of a client's words once and runs on any number of messages. The door brings what is known of each:
//! for flags, UID, date and size the mailbox's entry is enough; all else comes from the [`Summary`], and sometimes from
//! a header that the plan asks for ([`Plan::headers`]). What is written is one buffer with places at which octets of the
//! stored message belong ([`Piece::Body`]); the door streams those, so that memory does not grow with the message.
//!
//! A section that a message does not have is NIL, as with Cyrus; one that is there and empty is an empty string.

mod binary;
pub(crate) mod envelope;
pub(crate) mod grammar;
mod item;
mod output;
mod section;
pub(crate) mod structure;

pub use binary::{Decoding, Pass, UnknownEncoding};
pub use output::{Output, Piece, fit_for_wire};

use crate::parts::{Kind, Parts};
use crate::summary::Summary;
use crate::write::number;
use binary::Form;
use grammar::Items;
use item::{Binary, Item, Need, Partial};
use section::Octets;
use std::borrow::Cow;
use std::ops::Range;
use stoa_mailbox::{Entry, UidSet};
use stoa_record::RecordError;

/// Items of one FETCH: programs ask for a dozen, and each may be the whole message.
pub const ITEMS_MAX: usize = 200;

/// Octets of headers that are read of one message to pick fields, or to search; of a longer one the fields up to here are seen.
pub const HEADERS_READ_BYTES_MAX: u64 = 256 * 1024;

/// What to write of each message.
#[derive(Debug, Clone)]
pub struct Plan {
    items: Vec<Item>,
    sets_seen: bool,
    need: Need,
    picks: bool,
    decodes: bool,
    needs_parts: bool,
    /// FLAGS for these, too, and perhaps the mod-sequence.
    flags_of: UidSet,
    modseq_of: bool,
}

/// Why something is not fetched; a text for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub Cow<'static, str>);

/// What is known of a message when it is written.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Its number, from 1, as the client knows it.
    pub number: usize,
    /// Its place in the mailbox.
    pub entry: &'a Entry,
    /// Whose it is.
    pub holder: u64,
    /// What the keyword bits mean.
    pub keywords: &'a [String],
    /// Is it `\Recent`?
    pub recent: bool,
    /// Of no matter unless [`Plan::needs_summary`].
    pub summary: Option<&'a Summary<'a>>,
    /// What [`Plan::headers`] asked for, filled.
    pub headers: &'a [Header],
    /// What [`Plan::decodings`] asked for, measured.
    pub decodings: &'a [Decoding],
}

/// A header that must be at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Where it lies in the message.
    pub range: Range<u64>,
    /// Its octets, once they are read.
    pub bytes: Vec<u8>,
}

impl Fault {
    const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Plan {
    /// Of these items; with the UID if the command is by UID (RFC 3501 §6.4.8) or the client resynchronises (RFC 7162 §3.2.4).
    pub(crate) fn new(items: Items, with_uid: bool) -> Self {
        let Items { mut list, sets_seen } = items;
        if with_uid && !list.contains(&Item::Uid) {
            list.insert(0, Item::Uid);
        }
        Self::of(list, sets_seen)
    }

    fn of(items: Vec<Item>, sets_seen: bool) -> Self {
        let need = items.iter().map(Item::need).max().unwrap_or(Need::Entry);
        Self {
            need,
            picks: items.iter().any(Item::picks),
            decodes: items.iter().any(|item| item.decodes().is_some()),
            needs_parts: items.iter().any(Item::needs_parts),
            items,
            sets_seen,
            flags_of: UidSet::default(),
            modseq_of: false,
        }
    }

    /// What a client that was away is told of each message that changed (RFC 7162 §3.2.5.2).
    pub(crate) fn changes() -> Self {
        Self::of(vec![Item::Uid, Item::Flags, Item::ModSeq], false)
    }

    /// Does any item set `\Seen`?
    pub(crate) fn sets_seen(&self) -> bool {
        self.sets_seen
    }

    /// Is the mod-sequence asked for?
    pub(crate) fn tells_modseq(&self) -> bool {
        self.items.contains(&Item::ModSeq)
    }

    /// RFC 7162 §3.1.4.1: CHANGEDSINCE asks for the mod-sequence, too.
    #[must_use]
    pub(crate) fn with_modseq(mut self) -> Self {
        if !self.tells_modseq() {
            self.items.push(Item::ModSeq);
        }
        self
    }

    /// Writes FLAGS of these messages, too; to who knows mod-sequences also that (RFC 7162 §3.1).
    #[must_use]
    pub(crate) fn with_flags_of(self, uids: UidSet, modseq: bool) -> Self {
        Self { flags_of: uids, modseq_of: modseq, ..self }
    }

    /// Is more to be known than the entry?
    pub fn needs_summary(&self) -> bool {
        self.need == Need::Summary
    }

    /// Is anything but the entry to be looked up: a summary, or octets of the message?
    pub fn needs_messages(&self) -> bool {
        self.need > Need::Entry
    }

    /// Is a preview to be made, if the summary has none (RFC 8970 §3.1)?
    pub fn wants_preview(&self) -> bool {
        self.items.contains(&Item::Preview { lazy: false })
    }

    /// The headers that must be read from this message, none twice, [`HEADERS_READ_BYTES_MAX`] octets together at most;
    /// mostly none.
    pub fn headers(&self, summary: &Summary<'_>) -> Result<Vec<Header>, RecordError> {
        // What is picked from the message's own header is mostly kept.
        if !self.picks || (!self.needs_parts && summary.header()?.is_some()) {
            return Ok(Vec::new());
        }
        let parts = self.parts(summary)?;
        let (mut headers, mut left): (Vec<Header>, u64) = (Vec::new(), HEADERS_READ_BYTES_MAX);
        for item in &self.items {
            let range = match item {
                Item::Stored(stored) => match stored.section.find(summary, parts.as_ref())? {
                    Some(Octets::Fields(_, range)) => range,
                    _ => continue,
                },
                _ => match item.decodes().and_then(|numbers| parts.as_ref()?.find(numbers)) {
                    Some(node) => node.header.clone(),
                    None => continue,
                },
            };
            let is_kept = range.start == 0 && summary.header()?.is_some();
            if is_kept || range.is_empty() || left == 0 || headers.iter().any(|header| header.range.start == range.start) {
                continue;
            }
            let end = range.end.min(range.start.saturating_add(left));
            left -= end - range.start;
            headers.push(Header { range: range.start..end, bytes: Vec::new() });
        }
        Ok(headers)
    }

    /// What must be decoded of this message, and measured before it is written; mostly nothing.
    pub fn decodings(&self, message: &Message<'_>) -> Result<Result<Vec<Decoding>, UnknownEncoding>, RecordError> {
        let mut decodings = Vec::new();
        let Some(summary) = message.summary.filter(|_| self.decodes) else {
            return Ok(Ok(decodings));
        };
        let parts = self.parts(summary)?;
        for item in &self.items {
            let (numbers, partial) = match item {
                Item::Binary(Binary { numbers, partial }) => (numbers, *partial),
                Item::BinarySize(numbers) => (numbers, None),
                _ => continue,
            };
            match message.decoding(summary, parts.as_ref(), numbers, partial)? {
                Ok(decoding) => decodings.extend(decoding.filter(|_| !decodings.iter().any(|known| known.is_of(numbers, partial)))),
                Err(unknown) => return Ok(Err(unknown)),
            }
        }
        Ok(Ok(decodings))
    }

    /// RFC 3501 §7.4.2: writes one FETCH response, or nothing at all if the summary is missing or broken.
    pub fn write(&self, message: &Message<'_>, out: &mut Output) -> Result<(), RecordError> {
        let before = out.mark();
        let written = self.write_items(message, out);
        if written.is_err() {
            out.back_to(before);
        }
        written
    }

    fn write_items(&self, message: &Message<'_>, out: &mut Output) -> Result<(), RecordError> {
        let parts = message.summary.map_or(Ok(None), |summary| self.parts(summary))?;
        out.bytes.extend_from_slice(b"* ");
        number(&mut out.bytes, message.number as u64);
        out.bytes.extend_from_slice(b" FETCH (");
        for (place, item) in self.items.iter().enumerate() {
            if place > 0 {
                out.bytes.push(b' ');
            }
            item.write(message, parts.as_ref(), out)?;
        }
        if self.flags_of.contains(message.entry.uid) {
            self.write_news(message, out)?;
        }
        out.bytes.extend_from_slice(b")\r\n");
        Ok(())
    }

    /// What this FETCH has changed itself.
    fn write_news(&self, message: &Message<'_>, out: &mut Output) -> Result<(), RecordError> {
        for (item, wanted) in [(Item::Flags, true), (Item::ModSeq, self.modseq_of)] {
            if wanted && !self.items.contains(&item) {
                out.bytes.push(b' ');
                item.write(message, None, out)?;
            }
        }
        Ok(())
    }

    fn parts(&self, summary: &Summary<'_>) -> Result<Option<Parts>, RecordError> {
        self.needs_parts.then(|| summary.parts()).transpose()
    }
}

impl Message<'_> {
    /// The header that lies there, as far as it is at hand.
    fn header<'s>(&'s self, summary: &Summary<'s>, range: &Range<u64>) -> Result<&'s [u8], RecordError> {
        let kept = if range.start == 0 { summary.header()? } else { None };
        let read = || self.headers.iter().find(|header| header.range.start == range.start).map(|header| header.bytes.as_slice());
        Ok(kept.or_else(read).unwrap_or_default())
    }

    /// How the part with these numbers is decoded; none if there is no such part.
    fn decoding(
        &self,
        summary: &Summary<'_>,
        parts: Option<&Parts>,
        numbers: &[u32],
        partial: Option<Partial>,
    ) -> Result<Result<Option<Decoding>, UnknownEncoding>, RecordError> {
        if numbers.is_empty() {
            let whole = Decoding::new(Vec::new(), partial, 0..self.entry.size.into(), Form::default());
            return Ok(Ok(Some(whole)));
        }
        let Some(node) = parts.and_then(|parts| parts.find(numbers)) else { return Ok(Ok(None)) };
        let form = match node.kind {
            Kind::Leaf => Form::of(self.header(summary, &node.header)?),
            Kind::Multipart | Kind::Message => Ok(Form::default()),
        };
        Ok(form.map(|form| Some(Decoding::new(numbers.to_vec(), partial, node.body.clone(), form))))
    }
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests;
