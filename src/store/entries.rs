//! Entries of a mailbox as bytes: what a segment row and a change row hold of messages.
//!
//! Each field is a varint, most of them the difference to the entry before, so that a hundred thousand entries are little
//! more than a megabyte, and opening such a mailbox is a matter of milliseconds. Field 1 of the record is the older form
//! of 40 octets each, which had no SAVEDATE.

use stoa_mailbox::{Entry, Flags};
use stoa_record::{Reader, RecordError, Writer, read_varint, write_varint};

const OLD: u32 = 1;
const PACKED: u32 = 2;
const OLD_ENTRY_BYTES: usize = 40;
/// Of a packed entry; with keywords and dates far apart it has a few more.
const ENTRY_BYTES_USUAL: usize = 12;

/// What the first entry differs from.
const NOTHING: Entry = Entry { uid: 0, size: 0, message: 0, modseq: 0, flags: Flags::NONE, received: 0, saved: 0 };

/// Entries that ascend by UID; [`read`] is the inverse.
pub(super) fn to_bytes(entries: &[Entry]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(entries.len() * ENTRY_BYTES_USUAL);
    let mut before = NOTHING;
    for entry in entries {
        let differences = [
            u64::from(entry.uid.wrapping_sub(before.uid)),
            u64::from(entry.size),
            difference(entry.message, before.message),
            difference(entry.modseq, before.modseq),
            entry.flags.bits(),
            difference(entry.received.cast_unsigned(), before.received.cast_unsigned()),
            difference(entry.saved.into(), before.saved.into()),
        ];
        differences.into_iter().for_each(|number| write_varint(&mut packed, number));
        before = *entry;
    }
    Writer::new(1).bytes(PACKED, &packed).finish()
}

/// Hands on each entry.
pub(super) fn read(bytes: &[u8], mut take: impl FnMut(Entry)) -> Result<(), RecordError> {
    let record = Reader::parse(bytes, 1)?;
    let mut rest = record.bytes(PACKED)?.unwrap_or_default();
    let mut before = NOTHING;
    while !rest.is_empty() {
        let mut number = || read_varint(&mut rest);
        let (uid, size) = (number()?, number()?);
        let (message, modseq) = (number()?, number()?);
        let (flags, received, saved) = (number()?, number()?, number()?);
        before = Entry {
            uid: before.uid.wrapping_add(narrow(uid)?),
            size: narrow(size)?,
            message: sum(before.message, message),
            modseq: sum(before.modseq, modseq),
            flags: Flags::from_bits(flags),
            received: sum(before.received.cast_unsigned(), received).cast_signed(),
            saved: narrow(sum(before.saved.into(), saved))?,
        };
        take(before);
    }
    let (entries, rest) = record.bytes(OLD)?.unwrap_or_default().as_chunks();
    entries.iter().map(old).for_each(take);
    if rest.is_empty() { Ok(()) } else { Err(RecordError::Truncated) }
}

/// A number that was written of 32 bits.
fn narrow(number: u64) -> Result<u32, RecordError> {
    u32::try_from(number).map_err(|_| RecordError::Missing(PACKED))
}

/// How a number differs from another, in either direction: small differences give small numbers.
fn difference(number: u64, from: u64) -> u64 {
    let difference = number.wrapping_sub(from).cast_signed();
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

/// The inverse of [`difference`].
fn sum(from: u64, difference: u64) -> u64 {
    let difference = (difference >> 1).cast_signed() ^ -((difference & 1).cast_signed());
    from.wrapping_add(difference.cast_unsigned())
}

/// UID, size, message, mod-sequence, flags and INTERNALDATE, big-endian.
fn old(chunk: &[u8; OLD_ENTRY_BYTES]) -> Entry {
    let u32_at = |at: usize| u32::from_be_bytes([chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    Entry {
        uid: u32_at(0),
        size: u32_at(4),
        message: u64_at(8),
        modseq: u64_at(16),
        flags: Flags::from_bits(u64_at(24)),
        received: u64_at(32).cast_signed(),
        saved: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        read(bytes, |entry| entries.push(entry)).unwrap();
        entries
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let numbers = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>(), any::<u32>());
        numbers.prop_map(|(uid, size, message, modseq, flags, received, saved)| Entry {
            uid,
            size,
            message,
            modseq,
            flags: Flags::from_bits(flags),
            received,
            saved,
        })
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(entries in prop::collection::vec(entry(), 0..20)) {
            prop_assert_eq!(read_all(&to_bytes(&entries)), entries);
        }

        #[test]
        fn noise_is_an_error_or_something(noise in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&Writer::new(1).bytes(PACKED, &noise).finish(), |_| {});
        }
    }

    #[test]
    fn neighbours_are_small() {
        let at = |n: u32| Entry {
            uid: n,
            size: 4_000,
            message: n.into(),
            modseq: n.into(),
            flags: Flags::NONE,
            received: i64::from(n),
            saved: n,
        };
        let entries: Vec<Entry> = (1..=1_000).map(at).collect();
        assert!(to_bytes(&entries).len() < 9 * entries.len(), "{}", to_bytes(&entries).len());
    }

    #[test]
    fn the_old_form_is_read() {
        let numbers = [7_u32.to_be_bytes(), 9_u32.to_be_bytes()].concat();
        let longer = [3_u64, 8, 5, u64::MAX].map(u64::to_be_bytes).concat();
        let row = Writer::new(1).bytes(OLD, &[numbers, longer].concat()).finish();
        let expected = Entry { uid: 7, size: 9, message: 3, modseq: 8, flags: Flags::from_bits(5), received: -1, saved: 0 };
        assert_eq!(read_all(&row), [expected]);
        let cut = Writer::new(1).bytes(OLD, &[0; OLD_ENTRY_BYTES + 1]).finish();
        assert!(read(&cut, |_| {}).is_err(), "half an entry is damage, not the end");
    }
}
