//! In which order hits are told: as they lie in the mailbox, sorted, or as threads (RFC 5256).

use crate::questions::Answer;
use crate::sort::{Criteria, Sorter};
use crate::threads::{Algorithm, Threader};
use stoa_mailbox::{Entry, Uid};
use stoa_mime::date::Date;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// SEARCH.
    Mailbox,
    /// SORT.
    Sorted(Criteria),
    /// THREAD.
    Threads(Algorithm),
}

/// A message that was found.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// Its entry in the mailbox.
    pub entry: &'a Entry,
    /// Its header block; empty where [`Order::needs_headers`] asks for none.
    pub header: &'a [u8],
    /// Its Date field, where that can be understood.
    pub sent: Option<Date>,
}

impl Order {
    /// Must headers be known, and dates?
    pub fn needs_headers(&self) -> bool {
        match self {
            Self::Mailbox => false,
            Self::Sorted(criteria) => criteria.need_headers(),
            Self::Threads(_) => true,
        }
    }

    /// Nothing was found yet.
    pub fn begin(self) -> Arranging {
        Arranging(match self {
            Self::Mailbox => Kind::Mailbox(Vec::new()),
            Self::Sorted(criteria) => Kind::Sorted(Sorter::new(criteria)),
            Self::Threads(algorithm) => Kind::Threads(Threader::new(algorithm)),
        })
    }
}

/// Hits that are being put in order.
#[derive(Debug)]
pub struct Arranging(Kind);

#[derive(Debug)]
enum Kind {
    Mailbox(Vec<Uid>),
    Sorted(Sorter),
    Threads(Threader),
}

impl Arranging {
    /// Takes the next message that was found, in the order of the mailbox.
    pub fn add(&mut self, hit: &Hit<'_>) {
        match &mut self.0 {
            Kind::Mailbox(uids) => uids.push(hit.entry.uid),
            Kind::Sorted(sorter) => sorter.add(hit),
            Kind::Threads(threader) => threader.add(hit),
        }
    }

    /// All of them.
    pub fn finish(self) -> Answer {
        match self.0 {
            Kind::Mailbox(uids) => Answer::Found(uids),
            Kind::Sorted(sorter) => Answer::Found(sorter.finish()),
            Kind::Threads(threader) => Answer::Threads(threader.finish()),
        }
    }
}
