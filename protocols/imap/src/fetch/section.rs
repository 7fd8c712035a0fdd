//! Sections of a message: what their names mean, and where their octets lie (RFC 3501 §6.4.5, §7.4.2).
//!
//! Names come from clients and go back as they came. What a section is made of is found in the summary; octets themselves
//! stay where they are, except headers of which fields are picked.

use crate::parts::{Node, Parts};
use crate::summary::Summary;
use crate::write::quoted;
use std::ops::Range;
use stoa_mime::header::fields;
use stoa_record::RecordError;

/// section-spec, without what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Empty for the message itself.
    pub(super) numbers: Vec<u32>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The message, or the body of a part.
    All,
    Header,
    Text,
    Mime,
    Fields(Fields),
}

/// Which fields of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    names: Vec<Vec<u8>>,
    /// In lower case, by length and letters.
    sorted: Vec<Vec<u8>>,
    /// A bit for each length of theirs; the last for all that are longer.
    lengths: u64,
    /// All but these.
    not: bool,
}

/// What a section is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Octets<'a> {
    /// These, of the message.
    Body(Range<u64>),
    /// These fields of the header that lies there.
    Fields(&'a Fields, Range<u64>),
}

impl Section {
    pub(super) const WHOLE: Self = Self { numbers: Vec::new(), what: What::All };
    pub(super) const HEADER: Self = Self { numbers: Vec::new(), what: What::Header };
    pub(super) const TEXT: Self = Self { numbers: Vec::new(), what: What::Text };

    /// The part with these numbers.
    pub(super) fn part(numbers: Vec<u32>) -> Self {
        Self { numbers, what: What::All }
    }

    /// section = "[" [section-spec] "]"; names of fields are written as they were asked for.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let numbers = self.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        out.push(b'[');
        out.extend_from_slice(numbers.as_bytes());
        if !numbers.is_empty() && self.what != What::All {
            out.push(b'.');
        }
        match &self.what {
            What::All => {}
            What::Header => out.extend_from_slice(b"HEADER"),
            What::Text => out.extend_from_slice(b"TEXT"),
            What::Mime => out.extend_from_slice(b"MIME"),
            What::Fields(fields) => fields.print(out),
        }
        out.push(b']');
    }

    /// Is it the whole message, of which nothing must be known?
    pub(super) fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// Are fields of a header picked?
    pub(super) fn picks(&self) -> bool {
        matches!(self.what, What::Fields(_))
    }

    /// Must the parts be known?
    pub(super) fn needs_parts(&self) -> bool {
        !self.numbers.is_empty()
    }

    /// What it is made of; none if the message has no such section. `parts` are looked at if they are needed.
    pub(super) fn find(&self, summary: &Summary<'_>, parts: Option<&Parts>) -> Result<Option<Octets<'_>>, RecordError> {
        let (header, body) = if self.numbers.is_empty() {
            let (header_length, size) = (summary.header_length()?, summary.size()?);
            let start = if self.what == What::All { 0 } else { header_length };
            (0..header_length, start..size)
        } else {
            match parts.and_then(|parts| self.node(parts)) {
                Some(node) => (node.header.clone(), node.body.clone()),
                None => return Ok(None),
            }
        };
        Ok(Some(match &self.what {
            What::All | What::Text => Octets::Body(body),
            What::Header | What::Mime => Octets::Body(header),
            What::Fields(fields) => Octets::Fields(fields, header),
        }))
    }

    /// HEADER and TEXT with numbers speak of the message in that part, and there is none in any other.
    fn node<'a>(&self, parts: &'a Parts) -> Option<&'a Node> {
        match self.what {
            What::All | What::Mime => parts.find(&self.numbers),
            What::Header | What::Text | What::Fields(_) => parts.find_message(&self.numbers),
        }
    }
}

impl Fields {
    /// Named as a client wrote them.
    pub(super) fn new(names: Vec<Vec<u8>>, not: bool) -> Self {
        let mut sorted: Vec<Vec<u8>> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        sorted.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        let lengths = sorted.iter().fold(0, |lengths, name| lengths | length_bit(name));
        Self { names, sorted, lengths, not }
    }

    /// Some clients name dozens, and a header may have thousands.
    fn has(&self, name: &[u8]) -> bool {
        let order = |known: &Vec<u8>| {
            let letters = || known.iter().copied().cmp(name.iter().map(u8::to_ascii_lowercase));
            known.len().cmp(&name.len()).then_with(letters)
        };
        self.lengths & length_bit(name) != 0 && self.sorted.binary_search_by(order).is_ok()
    }

    /// "HEADER.FIELDS" [".NOT"] SP "(" astring *(SP astring) ")"
    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.not { b"HEADER.FIELDS.NOT " } else { b"HEADER.FIELDS " });
        for (place, name) in self.names.iter().enumerate() {
            out.push(if place == 0 { b'(' } else { b' ' });
            let is_atom = !name.is_empty() && name.iter().all(|byte| crate::grammar::is_atom_char(*byte));
            if is_atom { out.extend_from_slice(name) } else { quoted(out, name) }
        }
        out.push(b')');
    }

    /// Those fields of a header block: whole, with their folds, in the order in which they stand; then the empty line, also
    /// where the block lacks it, since clients read up to it.
    pub(super) fn pick(&self, block: &[u8], picked: &mut Vec<u8>) {
        for field in fields(block) {
            if self.has(field.name) == self.not {
                continue;
            }
            picked.extend_from_slice(block.get(field.range).unwrap_or_default());
            if picked.last() != Some(&b'\n') {
                picked.extend_from_slice(b"\r\n");
            }
        }
        picked.extend_from_slice(b"\r\n");
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}
