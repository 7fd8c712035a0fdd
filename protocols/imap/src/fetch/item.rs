//! One item of a FETCH: how it is called and what is written for it (RFC 3501 §7.4.2).

use super::binary::Decoding;
use super::output::Output;
use super::section::{Octets, Section};
use super::{Message, slice};
use crate::objects::email_id;
use crate::parts::Parts;
use crate::summary::Summary;
use crate::write::{date_time, flag_list, literal, literal_from, nstring, number};
use std::ops::Range;
use stoa_record::RecordError;

/// msg-att
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    /// RFC 7162.
    ModSeq,
    Envelope,
    Body,
    Structure,
    Stored(Stored),
    /// RFC 3516.
    Binary(Binary),
    BinarySize(Vec<u32>),
    /// RFC 8970; what is not at hand is made, unless it is lazy.
    Preview {
        lazy: bool,
    },
    /// RFC 8474.
    EmailId,
    ThreadId,
    /// RFC 8514.
    SaveDate,
}

/// Octets of the message as they stand there, and how their item is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    name: Vec<u8>,
    pub(super) section: Section,
    partial: Option<Partial>,
}

/// RFC 3516: the body of a part, or the whole message, without its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binary {
    pub(super) numbers: Vec<u32>,
    pub(super) partial: Option<Partial>,
}

/// First octet and at most how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) origin: u32,
    pub(super) count: u32,
}

/// How much of a message an item needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Entry,
    /// Octets of the body alone.
    Body,
    Summary,
}

impl Item {
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Uid | Self::Flags | Self::InternalDate | Self::Size | Self::ModSeq | Self::EmailId | Self::SaveDate => Need::Entry,
            Self::Stored(stored) if stored.section.is_whole() => Need::Body,
            _ => Need::Summary,
        }
    }

    /// May it need a header that the summary has not?
    pub(super) fn picks(&self) -> bool {
        matches!(self, Self::Stored(stored) if stored.section.picks()) || self.decodes().is_some()
    }

    /// The numbers of a part whose decoding is asked for.
    pub(super) fn decodes(&self) -> Option<&[u32]> {
        match self {
            Self::Binary(Binary { numbers, .. }) | Self::BinarySize(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// Must the parts be known?
    pub(super) fn needs_parts(&self) -> bool {
        match self {
            Self::Stored(stored) => stored.section.needs_parts(),
            _ => self.decodes().is_some_and(|numbers| !numbers.is_empty()),
        }
    }

    pub(super) fn write(&self, message: &Message<'_>, parts: Option<&Parts>, out: &mut Output) -> Result<(), RecordError> {
        // No summary at all reads as one without fields.
        let summary = || message.summary.ok_or(RecordError::Missing(0));
        let entry = message.entry;
        match self {
            Self::Uid => {
                out.bytes.extend_from_slice(b"UID ");
                number(&mut out.bytes, entry.uid.into());
            }
            Self::Flags => {
                out.bytes.extend_from_slice(b"FLAGS ");
                flag_list(&mut out.bytes, entry.flags, message.keywords, message.recent);
            }
            Self::InternalDate => {
                out.bytes.extend_from_slice(b"INTERNALDATE ");
                date_time(&mut out.bytes, entry.received);
            }
            Self::Size => {
                out.bytes.extend_from_slice(b"RFC822.SIZE ");
                number(&mut out.bytes, entry.size.into());
            }
            Self::ModSeq => {
                out.bytes.extend_from_slice(b"MODSEQ (");
                number(&mut out.bytes, entry.modseq);
                out.bytes.push(b')');
            }
            Self::EmailId => {
                out.copy(b"EMAILID (", email_id(message.holder, entry.message).as_bytes());
                out.bytes.push(b')');
            }
            Self::SaveDate => {
                out.bytes.extend_from_slice(b"SAVEDATE ");
                // RFC 8514 §4.2: NIL where nobody knows.
                match entry.saved {
                    0 => out.bytes.extend_from_slice(b"NIL"),
                    saved => date_time(&mut out.bytes, saved.into()),
                }
            }
            Self::ThreadId => match summary()?.thread_id()? {
                Some(thread) => out.copy(b"THREADID (", format!("{thread})").as_bytes()),
                None => out.bytes.extend_from_slice(b"THREADID NIL"),
            },
            Self::Preview { .. } => {
                out.bytes.extend_from_slice(b"PREVIEW ");
                nstring(&mut out.bytes, summary()?.preview()?.map(str::as_bytes));
            }
            Self::Envelope => out.copy(b"ENVELOPE ", summary()?.envelope()?),
            Self::Body => out.copy(b"BODY ", summary()?.body()?),
            Self::Structure => out.copy(b"BODYSTRUCTURE ", summary()?.structure()?),
            Self::Stored(stored) => stored.write(message, parts, out)?,
            Self::Binary(binary) => {
                out.copy(&self.asked_as(), b" ");
                binary.write(message.decodings, out);
            }
            Self::BinarySize(numbers) => {
                out.copy(&self.asked_as(), b" ");
                let decoding = message.decodings.iter().find(|decoding| decoding.is_of(numbers, None));
                number(&mut out.bytes, decoding.map_or(0, Decoding::len));
            }
        }
        Ok(())
    }

    /// What its octets are called: of a partial, the response names the origin alone (RFC 3501 §7.4.2).
    fn asked_as(&self) -> Vec<u8> {
        let (name, numbers, partial) = match self {
            Self::Stored(stored) => return stored.name.clone(),
            Self::Binary(Binary { numbers, partial }) => ("BINARY", numbers, *partial),
            Self::BinarySize(numbers) => ("BINARY.SIZE", numbers, None),
            _ => return Vec::new(),
        };
        let mut out = name.as_bytes().to_vec();
        Section::part(numbers.clone()).print(&mut out);
        print_origin(&mut out, partial);
        out
    }
}

fn print_origin(out: &mut Vec<u8>, partial: Option<Partial>) {
    if let Some(Partial { origin, .. }) = partial {
        out.extend_from_slice(format!("<{origin}>").as_bytes());
    }
}

impl Stored {
    pub(super) fn named(name: &str, section: Section) -> Self {
        Self { name: name.as_bytes().to_vec(), section, partial: None }
    }

    /// BODY with this section.
    pub(super) fn of(section: Section, partial: Option<Partial>) -> Self {
        let mut name = b"BODY".to_vec();
        section.print(&mut name);
        print_origin(&mut name, partial);
        Self { name, section, partial }
    }

    fn write(&self, message: &Message<'_>, parts: Option<&Parts>, out: &mut Output) -> Result<(), RecordError> {
        out.copy(&self.name, b" ");
        if self.section.is_whole() {
            out.body(message.entry.message, cut(0..message.entry.size.into(), self.partial));
            return Ok(());
        }
        let summary: &Summary<'_> = message.summary.ok_or(RecordError::Missing(0))?;
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
                let block = message.header(summary, &range)?;
                let start = out.bytes.len();
                fields.pick(block, &mut out.bytes);
                if let Some(partial) = self.partial {
                    // RFC 3501 §6.4.5: a part of it is counted after the picking.
                    let picked = out.bytes.split_off(start);
                    out.bytes.extend_from_slice(slice(&picked, &cut(0..picked.len() as u64, Some(partial))).unwrap_or_default());
                }
                literal_from(&mut out.bytes, start);
            }
        }
        Ok(())
    }
}

impl Binary {
    /// RFC 3516 §4.3: nstring / literal8
    fn write(&self, decodings: &[Decoding], out: &mut Output) {
        match decodings.iter().find(|decoding| decoding.is_of(&self.numbers, self.partial)) {
            Some(decoding) => out.decoded(decoding),
            None => out.bytes.extend_from_slice(b"NIL"),
        }
    }
}

/// Those octets of the range that a client wants; an empty range at its end if they begin behind it.
pub(super) fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { origin, count }) = partial else { return range };
    let start = range.start.saturating_add(origin.into()).min(range.end);
    start..start.saturating_add(count.into()).min(range.end)
}
