//! Sets of messages as clients write them (RFC 9051 §9: sequence-set), before a mailbox gives them a meaning.
//!
//! Reads bytes from strangers. `1:4294967295` costs as much as `1`; how many ranges there are is bounded by the command's length.

use crate::grammar::Cursor;
use stoa_mailbox::Uid;

/// Numbers or UIDs, whichever the command takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SequenceSet {
    /// `$`: what the last SEARCH saved (RFC 5182).
    Saved,
    /// Both ends of each range, in any order; one number is a range of itself.
    Ranges(Vec<(End, End)>),
}

/// seq-number = nz-number / "*"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Never 0.
    Number(Uid),
    /// `*`: the last message.
    Last,
}

impl SequenceSet {
    /// RFC 9051 §9: sequence-set = (seq-number / seq-range) ["," sequence-set] / "$"
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        if cursor.byte(b'$') {
            return Some(Self::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let from = End::read(cursor)?;
            let to = if cursor.byte(b':') { End::read(cursor)? } else { from };
            ranges.push((from, to));
            if !cursor.byte(b',') {
                return Some(Self::Ranges(ranges));
            }
        }
    }
}

/// Of the codec's, which tests hold our grammar against.
#[cfg(test)]
impl From<&imap_types::sequence::SequenceSet> for SequenceSet {
    fn from(set: &imap_types::sequence::SequenceSet) -> Self {
        use imap_types::sequence::{SeqOrUid, Sequence};
        let end = |end: &SeqOrUid| match end {
            SeqOrUid::Value(value) => End::Number(value.get()),
            SeqOrUid::Asterisk => End::Last,
        };
        let range = |sequence: &Sequence| match sequence {
            Sequence::Single(one) => (end(one), end(one)),
            Sequence::Range(from, to) => (end(from), end(to)),
        };
        Self::Ranges(set.0.as_ref().iter().map(range).collect())
    }
}

impl End {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        if cursor.byte(b'*') {
            return Some(Self::Last);
        }
        cursor.number().filter(|&number| number > 0).map(Self::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        use End::{Last, Number};
        let table = [
            ("1", Some(vec![(Number(1), Number(1))])),
            ("2:4,*,*:1", Some(vec![(Number(2), Number(4)), (Last, Last), (Last, Number(1))])),
            ("4294967295", Some(vec![(Number(u32::MAX), Number(u32::MAX))])),
            ("4294967296", None),
            ("0", None),
            ("1:", None),
            ("1,", None),
            ("", None),
            (":1", None),
        ];
        for (wire, expected) in table {
            let read = SequenceSet::read(&mut Cursor::new(wire.as_bytes()));
            assert_eq!(read, expected.map(SequenceSet::Ranges), "{wire}");
        }
        assert_eq!(SequenceSet::read(&mut Cursor::new(b"$")), Some(SequenceSet::Saved));
    }
}
