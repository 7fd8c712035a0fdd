//! Criteria made ready: owned, message numbers turned to UIDs, texts folded (RFC 3501 §6.4.4).
//!
//! Takes the keys as the codec reads them, which bounds how deep they nest; keys that are short for others become those.

use super::known::Known;
use super::needle::{Needle, fold};
use super::{EntryFacts, Fault, SCANNED_TEXTS_MAX, Verdict, header::Header};
use imap_types::core::AString;
use imap_types::datetime::NaiveDate;
use imap_types::search::SearchKey;
use imap_types::sequence::SequenceSet;
use stoa_mailbox::{SystemFlag, UidSet};
use stoa_mime::date::Date;

/// A search, ready to be run on any number of messages.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) root: Key,
    /// What is looked for in whole messages; keys name them by their place.
    pub(super) needles: Vec<Needle>,
}

/// One criterion.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// Of none: every message.
    And(Vec<Key>),
    Or(Box<[Key; 2]>),
    Not(Box<Key>),
    Flag(SystemFlag),
    Keyword(String),
    Recent,
    Uids(UidSet),
    Smaller(u32),
    Larger(u32),
    /// INTERNALDATE.
    Received(Days),
    /// The Date field.
    Sent(Days),
    /// A field by its folded name, and what its value contains.
    Field(String, Needle),
    /// By its place among the program's needles; in the body or, perhaps, in the header.
    Scanned {
        needle: usize,
        in_header: bool,
    },
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
    /// A program of these criteria, all of which must hold. `resolve` gives the UIDs of a set of UIDs (true) or of message
    /// numbers (false). Without charset, texts are taken for UTF-8 as well, since nothing else can be meant by them.
    pub fn new(charset: Option<&str>, criteria: &[SearchKey<'_>], resolve: impl Fn(&SequenceSet, bool) -> UidSet) -> Result<Self, Fault> {
        if charset.is_some_and(|charset| !["UTF-8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(charset))) {
            return Err(Fault::BadCharset);
        }
        let mut compiler = Compiler { resolve: &resolve, needles: Vec::new() };
        let root = compiler.all(criteria)?;
        Ok(Self { root, needles: compiler.needles })
    }

    /// Judges by the entry alone.
    pub fn by_entry(&self, facts: &EntryFacts<'_>) -> Verdict {
        Known { facts: Some(facts), ..Known::nothing(&self.needles) }.judge(&self.root)
    }

    /// Judges by the entry and the whole header of the message; `sent` is its Date field, where that can be understood.
    pub fn by_header(&self, facts: &EntryFacts<'_>, header: &[u8], sent: Option<Date>) -> Verdict {
        let header = Header::new(header);
        Known { facts: Some(facts), header: Some((&header, sent)), ..Known::nothing(&self.needles) }.judge(&self.root)
    }
}

struct Compiler<'r> {
    resolve: &'r dyn Fn(&SequenceSet, bool) -> UidSet,
    needles: Vec<Needle>,
}

impl Compiler<'_> {
    fn all(&mut self, keys: &[SearchKey<'_>]) -> Result<Key, Fault> {
        keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>().map(Key::And)
    }

    fn key(&mut self, key: &SearchKey<'_>) -> Result<Key, Fault> {
        Ok(match key {
            SearchKey::And(keys) => self.all(keys.as_ref())?,
            SearchKey::Or(one, other) => Key::Or(Box::new([self.key(one)?, self.key(other)?])),
            SearchKey::Not(key) => not(self.key(key)?),
            SearchKey::SequenceSet(set) => Key::Uids((self.resolve)(set, false)),
            SearchKey::Uid(set) => Key::Uids((self.resolve)(set, true)),
            SearchKey::Keyword(name) => Key::Keyword(name.as_ref().to_owned()),
            SearchKey::Unkeyword(name) => not(Key::Keyword(name.as_ref().to_owned())),
            SearchKey::Smaller(octets) => Key::Smaller(*octets),
            SearchKey::Larger(octets) => Key::Larger(*octets),
            SearchKey::Before(date) => Key::Received(Days::Before(day(date))),
            SearchKey::On(date) => Key::Received(Days::On(day(date))),
            SearchKey::Since(date) => Key::Received(Days::Since(day(date))),
            SearchKey::SentBefore(date) => Key::Sent(Days::Before(day(date))),
            SearchKey::SentOn(date) => Key::Sent(Days::On(day(date))),
            SearchKey::SentSince(date) => Key::Sent(Days::Since(day(date))),
            SearchKey::Bcc(text) => field("bcc", text)?,
            SearchKey::Cc(text) => field("cc", text)?,
            SearchKey::From(text) => field("from", text)?,
            SearchKey::Subject(text) => field("subject", text)?,
            SearchKey::To(text) => field("to", text)?,
            SearchKey::Header(name, text) => field(&fold(read(name)?), text)?,
            SearchKey::Body(text) => self.scanned(text, false)?,
            SearchKey::Text(text) => self.scanned(text, true)?,
            _ => flag(key).ok_or(Fault::Unsupported)?,
        })
    }

    /// The empty text is in every message, and none need be read for it.
    fn scanned(&mut self, text: &AString<'_>, in_header: bool) -> Result<Key, Fault> {
        let text = read(text)?;
        if text.is_empty() {
            return Ok(Key::And(Vec::new()));
        }
        if self.needles.len() >= SCANNED_TEXTS_MAX {
            return Err(Fault::TooMany);
        }
        self.needles.push(Needle::new(text));
        Ok(Key::Scanned { needle: self.needles.len() - 1, in_header })
    }
}

/// The keys without argument.
fn flag(key: &SearchKey<'_>) -> Option<Key> {
    Some(match key {
        SearchKey::All => Key::And(Vec::new()),
        SearchKey::Answered => Key::Flag(SystemFlag::Answered),
        SearchKey::Deleted => Key::Flag(SystemFlag::Deleted),
        SearchKey::Draft => Key::Flag(SystemFlag::Draft),
        SearchKey::Flagged => Key::Flag(SystemFlag::Flagged),
        SearchKey::Seen => Key::Flag(SystemFlag::Seen),
        SearchKey::Unanswered => not(Key::Flag(SystemFlag::Answered)),
        SearchKey::Undeleted => not(Key::Flag(SystemFlag::Deleted)),
        SearchKey::Undraft => not(Key::Flag(SystemFlag::Draft)),
        SearchKey::Unflagged => not(Key::Flag(SystemFlag::Flagged)),
        SearchKey::Unseen => not(Key::Flag(SystemFlag::Seen)),
        SearchKey::Recent => Key::Recent,
        SearchKey::Old => not(Key::Recent),
        SearchKey::New => Key::And(vec![Key::Recent, not(Key::Flag(SystemFlag::Seen))]),
        _ => return None,
    })
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

fn field(name: &str, text: &AString<'_>) -> Result<Key, Fault> {
    Ok(Key::Field(name.to_owned(), Needle::new(read(text)?)))
}

fn read<'a>(text: &'a AString<'_>) -> Result<&'a str, Fault> {
    str::from_utf8(text.as_ref()).map_err(|_| Fault::NotText)
}

/// Since 1970-01-01.
fn day(date: &NaiveDate) -> i64 {
    date.as_ref().and_time(Default::default()).and_utc().timestamp().div_euclid(DAY_SECONDS)
}
