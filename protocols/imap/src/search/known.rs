//! Judging a criterion by what is known so far of a message: yes, no, or not yet.

use super::header::Header;
use super::program::{Key, Sought};
use super::{EntryFacts, Verdict};
use stoa_mime::date::Date;

/// What is known.
#[derive(Clone, Copy)]
pub(super) struct Known<'a, 'h> {
    pub sought: &'a [Sought],
    pub facts: Option<&'a EntryFacts<'a>>,
    /// The header of the message, and when it was sent.
    pub header: Option<(&'a Header<'h>, Option<Date>)>,
    /// For each text sought whether it was found; none where nothing was read.
    pub found: &'a [bool],
    /// Whether the body was read as far as need be: what was not found is not there.
    pub is_whole: bool,
}

impl<'a> Known<'a, '_> {
    /// Of a message not looked at.
    pub fn nothing(sought: &'a [Sought]) -> Self {
        Self { sought, facts: None, header: None, found: &[], is_whole: false }
    }

    /// Whether the criterion holds. What decides first is not looked past.
    pub fn judge(&self, key: &Key) -> Verdict {
        match key {
            Key::And(keys) => self.until(keys, Verdict::No),
            Key::Or(keys) => self.until(keys, Verdict::Yes),
            Key::Not(key) => !self.judge(key),
            Key::Field(name, needle) => self.header.map_or(Verdict::Unknown, |(header, _)| header.has(name, needle).into()),
            Key::Thread(name) => self.header.map_or(Verdict::Unknown, |(header, _)| header.is_of_thread(name).into()),
            // What has no date was sent on no day.
            Key::Sent(days) => self.header.map_or(Verdict::Unknown, |(_, sent)| {
                let local = |date: Date| date.seconds.saturating_add(i64::from(date.offset_minutes) * 60);
                sent.is_some_and(|date| days.contain(local(date))).into()
            }),
            Key::Scanned(place) => self.scanned(*place),
            _ => self.facts.map_or(Verdict::Unknown, |facts| by_facts(key, facts).into()),
        }
    }

    /// The deciding verdict if any key gives it, else unknown if any is, else the opposite.
    fn until(&self, keys: &[Key], deciding: Verdict) -> Verdict {
        let mut verdict = !deciding;
        for key in keys {
            match self.judge(key) {
                Verdict::Unknown => verdict = Verdict::Unknown,
                other if other == deciding => return deciding,
                _ => {}
            }
        }
        verdict
    }

    fn scanned(&self, place: usize) -> Verdict {
        let was_found = self.found.get(place).is_some_and(|found| *found);
        let in_header = |sought: &&Sought| sought.in_header && self.header.is_some_and(|(header, _)| header.contains(&sought.needle));
        match was_found || self.sought.get(place).filter(in_header).is_some() {
            false if !self.is_whole => Verdict::Unknown,
            found => found.into(),
        }
    }

    /// Adds the places of the texts by which an undecided criterion may still be decided.
    pub fn wanted(&self, key: &Key, places: &mut Vec<usize>) {
        if self.judge(key) != Verdict::Unknown {
            return;
        }
        match key {
            Key::And(keys) | Key::Or(keys) => keys.iter().for_each(|key| self.wanted(key, places)),
            Key::Not(key) => self.wanted(key, places),
            Key::Scanned(place) => places.push(*place),
            _ => {}
        }
    }
}

/// The keys that the entry answers.
fn by_facts(key: &Key, facts: &EntryFacts<'_>) -> bool {
    let entry = facts.entry;
    match key {
        Key::Flag(flag) => entry.flags.has(*flag),
        Key::Keyword(name) => {
            entry.flags.keywords().filter_map(|index| facts.keywords.get(index)).any(|known| known.eq_ignore_ascii_case(name))
        }
        Key::Recent => facts.recent,
        Key::Uids(uids) => uids.contains(entry.uid),
        Key::Smaller(octets) => u64::from(entry.size) < *octets,
        Key::Larger(octets) => u64::from(entry.size) > *octets,
        Key::ModSeq(from) => entry.modseq >= *from,
        Key::Email(holder, message) => (*holder, *message) == (facts.holder, entry.message),
        Key::Received(days) => days.contain(entry.received),
        // RFC 5032 §2: a message of that very second is both.
        Key::Older(seconds) => entry.received <= facts.now.saturating_sub(i64::from(*seconds)),
        Key::Younger(seconds) => entry.received >= facts.now.saturating_sub(i64::from(*seconds)),
        // RFC 8514 §4.3: where nobody knows, INTERNALDATE stands in.
        Key::Saved(days) => days.contain(if entry.saved == 0 { entry.received } else { i64::from(entry.saved) }),
        _ => false,
    }
}
