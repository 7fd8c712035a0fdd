//! SEARCH: what is looked for, whether a message has it, and how what was found is told (RFC 9051 §6.4.4).
//!
//! A [`Program`] is made once of the criteria and asked for each message, the cheap way first: of its entry in the
//! mailbox, then of its header; only what is undecided still is read through, with a [`TextScan`]. Criteria and messages come
//! from strangers. Texts are compared as Unicode, folded, after transfer encoding and charset are taken off.
//! Of HTML, what a person sees is looked through.

pub(crate) mod grammar;
mod header;
mod html;
mod known;
mod needle;
mod order;
mod program;
mod reader;
pub(crate) mod results;
mod scan;

pub use header::Header;
pub use order::{Arranging, Hit, Order};
pub use program::Program;
pub use scan::TextScan;

use stoa_mailbox::Entry;

/// What is known of a message without reading it.
#[derive(Debug, Clone, Copy)]
pub struct EntryFacts<'a> {
    /// Its entry in the mailbox.
    pub entry: &'a Entry,
    /// The names of the mailbox's keywords, by their index in the flags.
    pub keywords: &'a [String],
    /// Whether it is \Recent in this session.
    pub recent: bool,
    /// Whose message it is: with the number of the message it makes the EMAILID.
    pub holder: u64,
    /// When the search began, in seconds since 1970.
    pub now: i64,
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

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
