//! SEARCH: what is looked for, and whether a message has it (RFC 3501 §6.4.4).

use imap_types::search::SearchKey;
use imap_types::sequence::SequenceSet;
use stoa_mailbox::UidSet;

/// A search, ready to be run on any number of messages.
#[derive(Debug, Clone)]
pub struct Program {
    /// The messages named.
    pub uids: Vec<UidSet>,
}

/// Why a search cannot be run.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Neither UTF-8 nor US-ASCII.
    BadCharset,
    /// Another reason.
    Other,
}

impl Program {
    /// A program of these criteria.
    pub fn new(charset: Option<&str>, criteria: &[SearchKey<'_>], resolve: impl Fn(&SequenceSet, bool) -> UidSet) -> Result<Self, Fault> {
        if charset.is_some_and(|charset| !["UTF-8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(charset))) {
            return Err(Fault::BadCharset);
        }
        let uids = criteria.iter().filter_map(|key| match key {
            SearchKey::Uid(set) => Some(resolve(set, true)),
            SearchKey::SequenceSet(set) => Some(resolve(set, false)),
            _ => None,
        });
        Ok(Self { uids: uids.collect() })
    }
}
