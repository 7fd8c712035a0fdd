//! FETCH: what is asked of a message, and how it is written (RFC 3501 §6.4.5, §7.4.2).
//!
//! A [`Plan`] is made of a client's words once and runs on any number of messages. The door brings what is known of each:
//! for flags, UID, date and size the mailbox's entry is enough; all else comes from the [`Summary`], and sometimes from
//! a header that the plan asks for ([`Plan::headers`]). What is written is one buffer with places at which octets of the
//! stored message belong ([`Piece::Body`]); the door streams those, so that memory does not grow with the message.
//!
//! A section that a message does not have is NIL, as with Cyrus; one that is there and empty is an empty string.
//! Not offered: BINARY (RFC 3516).

pub(crate) mod envelope;
mod output;
mod section;
pub(crate) mod structure;

pub use output::{Output, Piece, fit_for_wire};

use crate::parts::Parts;
use crate::summary::Summary;
use crate::write::{date_time, flag_list, literal, number};
use imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use section::{Octets, Section};
use std::ops::Range;
use stoa_mailbox::{Entry, UidSet};
use stoa_record::RecordError;

/// Items of one FETCH: programs ask for a dozen, and each may be the whole message.
pub const ITEMS_MAX: usize = 200;

/// Octets of headers that are read of one message to pick fields; of a longer one the fields up to here are seen.
pub const HEADERS_READ_BYTES_MAX: u64 = 256 * 1024;

/// What to write of each message.
#[derive(Debug, Clone)]
pub struct Plan {
    items: Vec<Item>,
    sets_seen: bool,
    /// FLAGS for these, too.
    flags_of: UidSet,
}

/// msg-att
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    ModSeq,
    Envelope,
    Body,
    Structure,
    Section(Wanted),
}

/// Octets of the message, and how their item is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: Vec<u8>,
    section: Section,
    /// First octet and at most how many.
    partial: Option<(u32, u32)>,
}

/// Why something is not fetched; a text for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// What is known of a message when it is written.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Its number, from 1, as the client knows it.
    pub number: usize,
    /// Its place in the mailbox.
    pub entry: &'a Entry,
    /// What the keyword bits mean.
    pub keywords: &'a [String],
    /// Is it `\Recent`?
    pub recent: bool,
    /// Of no matter unless [`Plan::needs_summary`].
    pub summary: Option<&'a Summary<'a>>,
    /// What [`Plan::headers`] asked for, filled.
    pub headers: &'a [Header],
}

/// A header that must be at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Where it lies in the message.
    pub range: Range<u64>,
    /// Its octets, once they are read.
    pub bytes: Vec<u8>,
}

impl Plan {
    /// A plan of these items, each of them once; with the UID if the command is by UID (RFC 3501 §6.4.8).
    pub fn new(asked: MacroOrMessageDataItemNames<'_>, by_uid: bool) -> Result<Self, Fault> {
        let names = match &asked {
            MacroOrMessageDataItemNames::Macro(shorthand) => shorthand.expand(),
            MacroOrMessageDataItemNames::MessageDataItemNames(names) => names.clone(),
        };
        if names.len() > ITEMS_MAX {
            return Err(Fault("Too many items"));
        }
        let mut items = if by_uid { vec![Item::Uid] } else { Vec::new() };
        for name in &names {
            let item = Item::new(name)?;
            if !items.contains(&item) {
                items.push(item);
            }
        }
        let sets_seen = names.iter().any(|name| {
            matches!(name, MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Text | MessageDataItemName::BodyExt { peek: false, .. })
        });
        Ok(Self { items, sets_seen, flags_of: UidSet::default() })
    }

    /// What a client that was away is told of each message that changed (RFC 7162 §3.2.5.2).
    pub fn changes() -> Self {
        Self { items: vec![Item::Uid, Item::Flags, Item::ModSeq], sets_seen: false, flags_of: UidSet::default() }
    }

    /// Does any item set `\Seen`?
    pub fn sets_seen(&self) -> bool {
        self.sets_seen
    }

    /// Writes FLAGS of these messages, too.
    #[must_use]
    pub fn with_flags_of(mut self, uids: UidSet) -> Self {
        self.flags_of = uids;
        self
    }

    /// Is more to be known than the entry?
    pub fn needs_summary(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Uid | Item::Flags | Item::InternalDate | Item::Size | Item::ModSeq => false,
            Item::Envelope | Item::Body | Item::Structure => true,
            Item::Section(wanted) => !wanted.section.is_whole(),
        })
    }

    /// Is anything but the entry to be looked up: a summary, or octets of the message?
    pub fn needs_messages(&self) -> bool {
        self.needs_summary() || self.items.iter().any(|item| matches!(item, Item::Section(_)))
    }

    /// The headers that must be read from this message, none twice, [`HEADERS_READ_BYTES_MAX`] octets together at most;
    /// mostly none.
    pub fn headers(&self, summary: &Summary<'_>) -> Result<Vec<Header>, RecordError> {
        let parts = self.parts(summary)?;
        let (mut headers, mut left): (Vec<Header>, u64) = (Vec::new(), HEADERS_READ_BYTES_MAX);
        for section in self.sections() {
            let Some(Octets::Fields(_, range)) = section.find(summary, parts.as_ref())? else { continue };
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
        let with_flags = self.flags_of.contains(message.entry.uid) && !self.items.contains(&Item::Flags);
        for (place, item) in self.items.iter().chain(with_flags.then_some(&Item::Flags)).enumerate() {
            if place > 0 {
                out.bytes.push(b' ');
            }
            item.write(message, parts.as_ref(), out)?;
        }
        out.bytes.extend_from_slice(b")\r\n");
        Ok(())
    }

    fn sections(&self) -> impl Iterator<Item = &Section> {
        self.items.iter().filter_map(|item| if let Item::Section(wanted) = item { Some(&wanted.section) } else { None })
    }

    fn parts(&self, summary: &Summary<'_>) -> Result<Option<Parts>, RecordError> {
        self.sections().any(Section::needs_parts).then(|| summary.parts()).transpose()
    }
}

impl Item {
    fn new(name: &MessageDataItemName<'_>) -> Result<Self, Fault> {
        let named = |name: &[u8], section| Self::Section(Wanted { name: name.to_vec(), section, partial: None });
        Ok(match name {
            MessageDataItemName::Uid => Self::Uid,
            MessageDataItemName::Flags => Self::Flags,
            MessageDataItemName::InternalDate => Self::InternalDate,
            MessageDataItemName::Rfc822Size => Self::Size,
            MessageDataItemName::Envelope => Self::Envelope,
            MessageDataItemName::Body => Self::Body,
            MessageDataItemName::BodyStructure => Self::Structure,
            MessageDataItemName::Rfc822 => named(b"RFC822", Section::WHOLE),
            MessageDataItemName::Rfc822Header => named(b"RFC822.HEADER", Section::HEADER),
            MessageDataItemName::Rfc822Text => named(b"RFC822.TEXT", Section::TEXT),
            MessageDataItemName::BodyExt { section, partial, .. } => {
                let section = Section::new(section.as_ref());
                let mut name = b"BODY".to_vec();
                section.print(&mut name);
                // RFC 3501 §7.4.2: the response names the origin alone.
                name.extend(partial.map(|(origin, _)| format!("<{origin}>")).unwrap_or_default().bytes());
                Self::Section(Wanted { name, section, partial: partial.map(|(origin, count)| (origin, count.get())) })
            }
            MessageDataItemName::Binary { .. } | MessageDataItemName::BinarySize { .. } => {
                return Err(Fault("BINARY is not offered; fetch BODY[...] and decode it"));
            }
            MessageDataItemName::ModSeq => Self::ModSeq,
        })
    }

    fn write(&self, message: &Message<'_>, parts: Option<&Parts>, out: &mut Output) -> Result<(), RecordError> {
        // No summary at all reads as one without fields.
        let summary = || message.summary.ok_or(RecordError::Missing(0));
        match self {
            Self::Uid => {
                out.bytes.extend_from_slice(b"UID ");
                number(&mut out.bytes, message.entry.uid.into());
            }
            Self::Flags => {
                out.bytes.extend_from_slice(b"FLAGS ");
                flag_list(&mut out.bytes, message.entry.flags, message.keywords, message.recent);
            }
            Self::InternalDate => {
                out.bytes.extend_from_slice(b"INTERNALDATE ");
                date_time(&mut out.bytes, message.entry.received);
            }
            Self::Size => {
                out.bytes.extend_from_slice(b"RFC822.SIZE ");
                number(&mut out.bytes, message.entry.size.into());
            }
            Self::ModSeq => out.bytes.extend_from_slice(format!("MODSEQ ({})", message.entry.modseq).as_bytes()),
            Self::Envelope => out.copy(b"ENVELOPE ", summary()?.envelope()?),
            Self::Body => out.copy(b"BODY ", summary()?.body()?),
            Self::Structure => out.copy(b"BODYSTRUCTURE ", summary()?.structure()?),
            Self::Section(wanted) => {
                out.copy(&wanted.name, b" ");
                if wanted.section.is_whole() {
                    out.body(message.entry.message, cut(0..message.entry.size.into(), wanted.partial));
                } else {
                    wanted.write(message, summary()?, parts, out)?;
                }
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn write(&self, message: &Message<'_>, summary: &Summary<'_>, parts: Option<&Parts>, out: &mut Output) -> Result<(), RecordError> {
        match self.section.find(summary, parts)? {
            None => out.bytes.extend_from_slice(b"NIL"),
            Some(Octets::Body(range)) => {
                let range = cut(range, self.partial);
                let kept = summary.header()?.and_then(|header| slice(header, &range));
                match kept {
                    Some(header) => literal(&mut out.bytes, header),
                    None => out.body(message.entry.message, range),
                }
            }
            Some(Octets::Fields(fields, range)) => {
                let kept = if range.start == 0 { summary.header()? } else { None };
                let read = message.headers.iter().find(|header| header.range.start == range.start);
                let block = kept.or_else(|| read.map(|header| header.bytes.as_slice())).unwrap_or_default();
                let picked = fields.pick(block);
                // RFC 3501 §6.4.5: a part of it is counted after the picking.
                literal(&mut out.bytes, slice(&picked, &cut(0..picked.len() as u64, self.partial)).unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// Those octets of the range that a client wants; an empty range at its end if they begin behind it.
fn cut(range: Range<u64>, partial: Option<(u32, u32)>) -> Range<u64> {
    let Some((origin, count)) = partial else { return range };
    let start = range.start.saturating_add(origin.into()).min(range.end);
    start..start.saturating_add(count.into()).min(range.end)
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests;
