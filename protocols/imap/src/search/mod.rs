//! SEARCH: what is looked for, and whether a message has it (RFC 3501 §6.4.4).
//!
//! A [`Program`] is made once of the criteria and asked for each message, the cheap way first: of its entry in the
//! mailbox, then of its header; only what is undecided still is read through, with a [`TextScan`]. Criteria and messages come
//! from strangers. Texts are compared as Unicode, after transfer encoding and charset are taken off, in lower case.
//! Gaps: HTML is looked through with its marks, text that is not in Unicode is not normalized, and the intervals of
//! RFC 5032 and the mod-sequences of RFC 7162 are refused.

mod header;
mod known;
mod needle;
mod program;
mod reader;
mod scan;

pub use program::Program;
pub use scan::TextScan;

use stoa_mailbox::Entry;

/// Why a search cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The charset is neither UTF-8 nor US-ASCII.
    BadCharset,
    /// A text that is looked for is not UTF-8.
    NotText,
    /// A key of an extension that is not offered.
    Unsupported,
    /// More than [`SCANNED_TEXTS_MAX`] texts are looked for in whole messages.
    TooMany,
}

/// Texts of BODY and TEXT keys in one search. For each, all text of the mailbox is run through; people write a few.
pub const SCANNED_TEXTS_MAX: usize = 100;

/// What is known of a message without reading it.
#[derive(Debug, Clone, Copy)]
pub struct EntryFacts<'a> {
    /// Its entry in the mailbox.
    pub entry: &'a Entry,
    /// The names of the mailbox's keywords, by their index in the flags.
    pub keywords: &'a [String],
    /// Whether it is \Recent in this session.
    pub recent: bool,
}

/// Whether a message is one of those looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// More of it must be read.
    Unknown,
}

impl From<bool> for Verdict {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

impl std::ops::Not for Verdict {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// Writes the response of a search (RFC 3501 §7.2.5): the numbers or UIDs found, perhaps none.
pub fn response(out: &mut Vec<u8>, found: impl Iterator<Item = u32>) {
    out.extend_from_slice(b"* SEARCH");
    for number in found {
        out.push(b' ');
        out.extend_from_slice(number.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
