//! One immutable version of a mailbox, cheap to derive the next from.

use crate::{FlagChange, Flags, MessageId, ModSeq, Uid, UidSet};
use std::sync::Arc;

/// A segment holds at most this many entries: small enough to copy on a change (40 KB), large enough that
/// 100,000 messages are a hundred pointers.
pub const SEGMENT_ENTRIES_MAX: usize = 1024;

/// One message in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the mailbox's order, for good.
    pub uid: Uid,
    /// Size in octets (RFC822.SIZE); messages are below 4 GiB.
    pub size: u32,
    /// Which message of the holder it is.
    pub message: MessageId,
    /// When it was last changed.
    pub modseq: ModSeq,
    /// Its flags and keywords.
    pub flags: Flags,
    /// INTERNALDATE in seconds since 1970-01-01T00:00:00Z.
    pub received: i64,
    /// When it came into this mailbox, in seconds since 1970 (RFC 8514); 0 where nobody knows.
    pub saved: u32,
}

/// One change of a mailbox; a list of them leads from a version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A message came; its UID is at least `uid_next`, which moves past it.
    Append(Entry),
    /// STORE on the messages of `uids` that exist; those that differ after it get `modseq`.
    Flag {
        /// Which messages.
        uids: UidSet,
        /// Replace, add or remove.
        change: FlagChange,
        /// The flags named.
        named: Flags,
        /// The mod-sequence of the change.
        modseq: ModSeq,
    },
    /// The messages of `uids` that exist go.
    Expunge {
        /// Which messages.
        uids: UidSet,
        /// The mod-sequence of the change.
        modseq: ModSeq,
    },
    /// A new name at the end of the keyword list.
    Keyword(String),
}

/// One version of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// RFC 9051 §2.3.1.1.
    pub uid_validity: u32,
    /// Above every UID ever given out.
    pub uid_next: Uid,
    /// The mod-sequence of the newest change; at least 1.
    pub highest_modseq: ModSeq,
    /// What the keyword bits mean, by place.
    pub keywords: Arc<Vec<String>>,
    segments: Vec<Arc<Segment>>,
    /// Index of the first entry of each segment.
    starts: Vec<usize>,
    len: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    entries: Vec<Entry>,
    highest_modseq: ModSeq,
}

impl Segment {
    fn new(entries: Vec<Entry>) -> Arc<Self> {
        let highest_modseq = entries.iter().map(|e| e.modseq).max().unwrap_or(0);
        Arc::new(Self { entries, highest_modseq })
    }

    /// The lowest and highest UID; a segment is never empty.
    fn span(&self) -> (Uid, Uid) {
        let first = self.entries.first().map_or(Uid::MAX, |e| e.uid);
        (first, self.entries.last().map_or(0, |e| e.uid))
    }
}

impl View {
    /// A mailbox that never held a message.
    pub fn empty(uid_validity: u32) -> Self {
        Self::restore(uid_validity, 1, 1, Vec::new(), Vec::new())
    }

    /// The version with these entries, which ascend by UID, all below `uid_next`.
    pub fn restore(
        uid_validity: u32,
        uid_next: Uid,
        highest_modseq: ModSeq,
        keywords: Vec<String>,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let (keywords, segments, starts) = (Arc::new(keywords), Vec::new(), Vec::new());
        let mut view = Self { uid_validity, uid_next, highest_modseq, keywords, segments, starts, len: 0 };
        view.extend(entries);
        view
    }

    /// Adds entries above all others while a version is restored.
    pub fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let (at_least, _) = entries.size_hint();
            let mut segment = Vec::with_capacity(at_least.min(SEGMENT_ENTRIES_MAX));
            segment.extend(entries.by_ref().take(SEGMENT_ENTRIES_MAX));
            self.starts.push(self.len);
            self.len += segment.len();
            self.segments.push(Segment::new(segment));
        }
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry at this place, from 0.
    pub fn get(&self, index: usize) -> Option<&Entry> {
        let segment = self.starts.partition_point(|&start| start <= index).checked_sub(1)?;
        self.segments.get(segment)?.entries.get(index - self.starts.get(segment)?)
    }

    /// The place of this UID, or where it would stand.
    pub fn position(&self, uid: Uid) -> Result<usize, usize> {
        let segment = self.segments.partition_point(|s| s.span().1 < uid);
        let (Some(found), Some(start)) = (self.segments.get(segment), self.starts.get(segment)) else {
            return Err(self.len);
        };
        found.entries.binary_search_by_key(&uid, |e| e.uid).map(|i| start + i).map_err(|i| start + i)
    }

    /// The entry with this UID.
    pub fn find(&self, uid: Uid) -> Option<&Entry> {
        self.position(uid).ok().and_then(|index| self.get(index))
    }

    /// All entries, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.segments.iter().flat_map(|s| s.entries.iter())
    }

    /// The entries of a set that exist, ascending; costs what it yields, not what the set spans.
    pub fn select<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Entry> {
        uids.ranges().flat_map(move |range| {
            let first = self.position(*range.start()).unwrap_or_else(|place| place);
            self.iter_from(first).take_while(move |e| range.contains(&e.uid))
        })
    }

    /// The entries from this place on, ascending.
    pub(crate) fn iter_from(&self, place: usize) -> impl Iterator<Item = &Entry> {
        let at = self.starts.partition_point(|&start| start <= place).saturating_sub(1);
        let within = place - self.starts.get(at).copied().unwrap_or(0);
        let mut segments = self.segments.iter().skip(at).map(|s| s.entries.as_slice());
        let first = segments.next().and_then(|entries| entries.get(within..)).unwrap_or_default();
        first.iter().chain(segments.flatten())
    }

    /// The entries whose mod-sequence is above `modseq`; segments without any are passed over.
    pub fn changed_since(&self, modseq: ModSeq) -> impl Iterator<Item = &Entry> {
        let segments = self.segments.iter().filter(move |s| s.highest_modseq > modseq);
        segments.flat_map(|s| s.entries.iter()).filter(move |e| e.modseq > modseq)
    }

    /// The place of a keyword in the list, compared without case (RFC 9051 §2.3.2).
    pub fn keyword(&self, name: &str) -> Option<usize> {
        self.keywords.iter().position(|k| k.eq_ignore_ascii_case(name))
    }

    /// The next version.
    #[must_use]
    pub fn apply<'a>(&self, edits: impl IntoIterator<Item = &'a Edit>) -> Self {
        let mut next = self.clone();
        next.edit(edits);
        next
    }

    /// Becomes the next version, without copying what no other version shares.
    pub fn edit<'a>(&mut self, edits: impl IntoIterator<Item = &'a Edit>) {
        for edit in edits {
            self.apply_one(edit);
        }
        self.starts.clear();
        self.len = 0;
        for segment in &self.segments {
            self.starts.push(self.len);
            self.len += segment.entries.len();
        }
    }

    /// Leaves `starts` and `len` as they were; `edit` counts once at the end.
    fn apply_one(&mut self, edit: &Edit) {
        match edit {
            Edit::Append(entry) => {
                self.uid_next = self.uid_next.max(entry.uid.saturating_add(1));
                self.highest_modseq = self.highest_modseq.max(entry.modseq);
                self.append(*entry);
            }
            Edit::Flag { uids, change, named, modseq } => {
                self.highest_modseq = self.highest_modseq.max(*modseq);
                self.rewrite(uids, |entry| {
                    let flags = change.apply(entry.flags, *named);
                    let modseq = if flags == entry.flags { entry.modseq } else { *modseq };
                    Some(Entry { flags, modseq, ..*entry })
                });
            }
            Edit::Expunge { uids, modseq } => {
                self.highest_modseq = self.highest_modseq.max(*modseq);
                self.rewrite(uids, |_| None);
            }
            Edit::Keyword(name) => {
                if self.keyword(name).is_none() && self.keywords.len() < crate::KEYWORDS_MAX {
                    Arc::make_mut(&mut self.keywords).push(name.clone());
                }
            }
        }
    }

    fn append(&mut self, entry: Entry) {
        match self.segments.last_mut() {
            Some(last) if last.entries.len() < SEGMENT_ENTRIES_MAX => match Arc::get_mut(last) {
                Some(last) => {
                    last.entries.push(entry);
                    last.highest_modseq = last.highest_modseq.max(entry.modseq);
                }
                // With room for what comes next, which then finds the segment unshared.
                None => {
                    let mut entries = Vec::with_capacity((last.entries.len() + 1).next_power_of_two().min(SEGMENT_ENTRIES_MAX));
                    entries.extend_from_slice(&last.entries);
                    entries.push(entry);
                    *last = Segment::new(entries);
                }
            },
            _ => {
                // After a full segment comes another one, but most mailboxes never fill the first.
                let mut entries = Vec::with_capacity(if self.segments.is_empty() { 1 } else { SEGMENT_ENTRIES_MAX });
                entries.push(entry);
                self.segments.push(Segment::new(entries));
            }
        }
    }

    /// Copies the segments that hold one of `uids`, with each such entry changed or dropped.
    fn rewrite(&mut self, uids: &UidSet, change: impl Fn(&Entry) -> Option<Entry>) {
        self.segments.retain_mut(|segment| {
            let (first, last) = segment.span();
            if !uids.ranges().any(|r| *r.start() <= last && *r.end() >= first) {
                return true;
            }
            let new = |e: &Entry| if uids.contains(e.uid) { change(e) } else { Some(*e) };
            let entries: Vec<Entry> = segment.entries.iter().filter_map(new).collect();
            let stays = !entries.is_empty();
            *segment = Segment::new(entries);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemFlag;
    use proptest::prelude::*;

    fn entry(uid: Uid, modseq: ModSeq) -> Entry {
        Entry { uid, size: 10, message: uid.into(), modseq, flags: Flags::NONE, received: 0, saved: 0 }
    }

    fn arbitrary_edit() -> impl Strategy<Value = (u8, Uid, Uid)> {
        (0u8..4, 1..40u32, 0..20u32)
    }

    proptest! {
        /// Against the plainest model there is: a vector of entries.
        #[test]
        fn edits_do_what_a_vector_does(start in 0..2100u32, steps in prop::collection::vec(arbitrary_edit(), 0..30)) {
            let mut model: Vec<Entry> = (1..=start).map(|uid| entry(uid * 2, 1)).collect();
            let mut view = View::restore(7, start * 2 + 1, 1, vec![], model.clone());
            for (n, (kind, at, span)) in steps.into_iter().enumerate() {
                let modseq = n as u64 + 2;
                let uids = UidSet::from_ranges([at * 50..=at * 50 + span]);
                let edit = match kind {
                    0 | 1 => Edit::Append(entry(view.uid_next, modseq)),
                    2 => Edit::Flag { uids: uids.clone(), change: FlagChange::Add, named: SystemFlag::Seen.into(), modseq },
                    _ => Edit::Expunge { uids: uids.clone(), modseq },
                };
                match &edit {
                    Edit::Append(e) => model.push(*e),
                    Edit::Flag { named, .. } => for e in model.iter_mut().filter(|e| uids.contains(e.uid) && !e.flags.contains(*named)) {
                        e.flags = e.flags.with(*named);
                        e.modseq = modseq;
                    },
                    _ => model.retain(|e| !uids.contains(e.uid)),
                }
                view = view.apply([&edit]);
                prop_assert_eq!(view.highest_modseq, modseq);
            }
            prop_assert_eq!(view.iter().copied().collect::<Vec<_>>(), model.clone());
            prop_assert_eq!(view.len(), model.len());
            for (i, e) in model.iter().enumerate() {
                prop_assert_eq!(view.get(i), Some(e));
                prop_assert_eq!(view.position(e.uid), Ok(i));
            }
            let some = UidSet::from_ranges([10..=300, 1000..=1001]);
            let selected: Vec<Uid> = model.iter().map(|e| e.uid).filter(|&u| some.contains(u)).collect();
            prop_assert_eq!(view.select(&some).map(|e| e.uid).collect::<Vec<_>>(), selected);
            let changed = model.iter().filter(|e| e.modseq > 3).count();
            prop_assert_eq!(view.changed_since(3).count(), changed);
        }
    }

    #[test]
    fn a_uid_is_never_given_out_twice_after_the_last_message_went() {
        let view = View::empty(1).apply([&Edit::Append(entry(1, 2)), &Edit::Expunge { uids: [1].into_iter().collect(), modseq: 3 }]);
        assert!(view.is_empty());
        assert_eq!((view.uid_next, view.highest_modseq), (2, 3));
    }
}
