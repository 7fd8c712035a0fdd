//! Criteria made ready: owned, message numbers turned to UIDs, texts folded (RFC 9051 §6.4.4).
//!
//! The grammar makes them; keys that are short for others are those. How deep they nest is bounded there.

use super::known::Known;
use super::needle::Needle;
use super::{EntryFacts, Verdict, header::Header};
use stoa_mailbox::{MessageId, ModSeq, SystemFlag, UidSet};
use stoa_mime::date::Date;

/// A search, ready to be run on any number of messages.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) root: Key,
    /// What is looked for in whole messages; keys name them by their place.
    pub(super) sought: Vec<Sought>,
    /// A key asks for mod-sequences: the response tells them, too (RFC 7162 §3.1.5).
    pub(super) asks_modseq: bool,
}

/// One criterion.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// Of none: every message.
    And(Vec<Key>),
    /// Of none: no message.
    Or(Vec<Key>),
    Not(Box<Key>),
    Flag(SystemFlag),
    Keyword(String),
    Recent,
    Uids(UidSet),
    Smaller(u64),
    Larger(u64),
    /// Changed last at this mod-sequence, or after.
    ModSeq(ModSeq),
    /// This message, by its holder and its place there.
    Email(u64, MessageId),
    /// INTERNALDATE.
    Received(Days),
    /// So many seconds ago, or earlier.
    Older(u32),
    /// So many seconds ago, or later.
    Younger(u32),
    /// SAVEDATE.
    Saved(Days),
    /// The Date field.
    Sent(Days),
    /// A message of the thread of this name.
    Thread(String),
    /// A field by its folded name, and what its value contains.
    Field(String, Needle),
    /// By its place in what is sought.
    Scanned(usize),
}

/// A text that is looked for in a whole message.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    pub needle: Needle,
    /// Also in header fields (TEXT), or in the body alone (BODY).
    pub in_header: bool,
}

/// Days of a calendar, counted from 1970-01-01.
#[derive(Debug, Clone, Copy)]
pub(super) enum Days {
    Before(i64),
    On(i64),
    Since(i64),
}

impl Days {
    /// Whether a second by the local clock, counted from 1970-01-01 00:00, is in one of these days.
    pub fn contain(self, second: i64) -> bool {
        let day = second.div_euclid(DAY_SECONDS);
        match self {
            Self::Before(limit) => day < limit,
            Self::On(wanted) => day == wanted,
            Self::Since(limit) => day >= limit,
        }
    }
}

const DAY_SECONDS: i64 = 86_400;

impl Program {
    /// Judges by the entry alone.
    pub fn by_entry(&self, facts: &EntryFacts<'_>) -> Verdict {
        Known { facts: Some(facts), ..Known::nothing(&self.sought) }.judge(&self.root)
    }

    /// Judges by the entry and the whole header of the message; `sent` is its Date field, where that can be understood.
    pub fn by_header(&self, facts: &EntryFacts<'_>, header: &Header<'_>, sent: Option<Date>) -> Verdict {
        Known { facts: Some(facts), header: Some((header, sent)), ..Known::nothing(&self.sought) }.judge(&self.root)
    }

    /// Is a mod-sequence among what is asked for?
    pub(crate) fn asks_modseq(&self) -> bool {
        self.asks_modseq
    }
}
