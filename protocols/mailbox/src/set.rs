//! A set of UIDs as sorted, disjoint, non-adjacent ranges.

use crate::Uid;
use std::ops::RangeInclusive;

/// UIDs as ranges: `1:4294967295` costs as much as `1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UidSet(Vec<(Uid, Uid)>);

impl UidSet {
    /// The set of these ranges, in any order; an empty or reversed range counts for nothing.
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<Uid>>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().map(RangeInclusive::into_inner).filter(|(a, b)| a <= b).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(Uid, Uid)> = Vec::with_capacity(sorted.len());
        for (from, to) in sorted {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<Uid>> + '_ {
        self.0.iter().map(|&(a, b)| a..=b)
    }

    /// No UID at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is this UID in the set?
    pub fn contains(&self, uid: Uid) -> bool {
        let after = self.0.partition_point(|&(from, _)| from <= uid);
        after.checked_sub(1).and_then(|i| self.0.get(i)).is_some_and(|&(_, to)| uid <= to)
    }

    /// How many UIDs.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|&(from, to)| u64::from(to - from) + 1).sum()
    }

    /// The UIDs that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut common = Vec::new();
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(&&(a, b)), Some(&&(c, d))) = (ours.peek(), theirs.peek()) {
            if a.max(c) <= b.min(d) {
                common.push((a.max(c), b.min(d)));
            }
            if b < d {
                ours.next()
            } else {
                theirs.next()
            };
        }
        Self(common)
    }

    /// The UIDs that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.common(&other.others())
    }

    /// All UIDs that are not in this set.
    fn others(&self) -> Self {
        let ends = self.0.iter().map(|&(from, to)| (from, Some(to))).chain([(Uid::MAX, None)]);
        let (mut others, mut next) = (Vec::new(), Some(0));
        for (from, to) in ends {
            let until = if to.is_some() { from.checked_sub(1) } else { Some(from) };
            others.extend(next.zip(until).filter(|(from, until)| from <= until));
            next = to.and_then(|to| to.checked_add(1));
        }
        Self(others)
    }

    /// Adds a UID that is above all others, the usual way a set is gathered.
    pub fn push(&mut self, uid: Uid) {
        match self.0.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(uid) => last.1 = uid,
            Some(last) if last.1 >= uid => *self = Self::from_ranges(self.ranges().chain([uid..=uid])),
            _ => self.0.push((uid, uid)),
        }
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = Self::default();
        uids.into_iter().for_each(|uid| set.push(uid));
        set
    }
}

/// RFC 9051 §9: `sequence-set`, as COPYUID and VANISHED print it.
impl std::fmt::Display for UidSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, &(from, to)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if from == to { write!(f, "{comma}{from}")? } else { write!(f, "{comma}{from}:{to}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_print() {
        let cases: [(&[RangeInclusive<Uid>], &str); 5] = [
            (&[], ""),
            (&[3..=3, 1..=2], "1:3"),
            (&[5..=9, 1..=2, 7..=12], "1:2,5:12"),
            (&[4..=4, 2..=2], "2,4"),
            (&[1..=u32::MAX, 7..=7], "1:4294967295"),
        ];
        for (ranges, printed) in cases {
            assert_eq!(UidSet::from_ranges(ranges.iter().cloned()).to_string(), printed);
        }
    }

    proptest::proptest! {
        #[test]
        fn sets_behave_as_sets(a in ranges(), b in ranges()) {
            let set = |ranges: &[(Uid, Uid)]| UidSet::from_ranges(ranges.iter().map(|&(from, to)| from..=to));
            let (a, b) = (set(&a), set(&b));
            let edges = [0, 1, 2, Uid::MAX - 1, Uid::MAX];
            for uid in (0..60).chain(edges) {
                assert_eq!(a.common(&b).contains(uid), a.contains(uid) && b.contains(uid), "{uid}");
                assert_eq!(a.without(&b).contains(uid), a.contains(uid) && !b.contains(uid), "{uid}");
            }
            assert_eq!(a.without(&b).len() + a.common(&b).len(), a.len());
        }
    }

    fn ranges() -> impl proptest::strategy::Strategy<Value = Vec<(Uid, Uid)>> {
        use proptest::prelude::*;
        let end = prop_oneof![6 => 0u32..60, 1 => Just(Uid::MAX), 1 => Just(Uid::MAX - 1)];
        proptest::collection::vec((end.clone(), end), 0..6)
    }

    #[test]
    fn gathering_keeps_order() {
        let set: UidSet = [1, 2, 4, 3, 9].into_iter().collect();
        assert_eq!(set.to_string(), "1:4,9");
        assert!(set.contains(4) && !set.contains(5) && set.contains(9) && !set.contains(10));
    }
}
