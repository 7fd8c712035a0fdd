//! Our grammar of search keys against the codec's: what both read has one meaning, and what the codec reads so do we.

use super::grammar;
use super::*;
use crate::grammar::Cursor;
use crate::sequence::SequenceSet;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_types::command::CommandBody;
use imap_types::search::SearchKey;
use proptest::prelude::*;
use stoa_mailbox::{Flags, SystemFlag, UidSet};
use stoa_mime::date::Date;

fn resolve(set: &SequenceSet, by_uid: bool) -> UidSet {
    use crate::sequence::End;
    let SequenceSet::Ranges(ranges) = set else { return UidSet::default() };
    let value = |end: End| if let End::Number(number) = end { number } else { 3 };
    let shift = if by_uid { 0 } else { 1 };
    UidSet::from_ranges(ranges.iter().map(|&(a, b)| value(a).min(value(b)) + shift..=value(a).max(value(b)) + shift))
}

const HEADER: &[u8] = b"Subject: ab cd\r\nFrom: ab\r\nTo: cd\r\nX: e\r\n\r\n";

/// The meaning of what the codec read, key by key and without our program.
fn holds(key: &SearchKey<'_>, entry: &Entry, sent: Date) -> bool {
    let has = |flag: SystemFlag| entry.flags.has(flag);
    let text = |text: &imap_types::core::AString<'_>| String::from_utf8(text.as_ref().to_vec()).unwrap().to_lowercase();
    let field = |name: &str, value: &str| {
        let fields = std::str::from_utf8(HEADER).unwrap().trim_end().lines().map(|line| line.to_lowercase());
        fields
            .filter_map(|line| line.strip_prefix(&format!("{}: ", name.to_lowercase())).map(str::to_owned))
            .any(|found| found.contains(value))
    };
    let day = |date: &imap_types::datetime::NaiveDate| date.as_ref().and_time(Default::default()).and_utc().timestamp();
    let midnight = |seconds: i64| seconds - seconds.rem_euclid(86_400);
    let (received, sent_day) = (midnight(entry.received), midnight(sent.seconds + i64::from(sent.offset_minutes) * 60));
    let uids = |set: &imap_types::sequence::SequenceSet, by_uid| resolve(&set.into(), by_uid).contains(entry.uid);
    match key {
        SearchKey::And(keys) => keys.as_ref().iter().all(|key| holds(key, entry, sent)),
        SearchKey::Or(one, other) => holds(one, entry, sent) || holds(other, entry, sent),
        SearchKey::Not(key) => !holds(key, entry, sent),
        SearchKey::SequenceSet(set) => uids(set, false),
        SearchKey::Uid(set) => uids(set, true),
        SearchKey::All | SearchKey::Recent => true,
        SearchKey::Old => false,
        SearchKey::New | SearchKey::Unseen => !has(SystemFlag::Seen),
        SearchKey::Answered => has(SystemFlag::Answered),
        SearchKey::Deleted => has(SystemFlag::Deleted),
        SearchKey::Draft => has(SystemFlag::Draft),
        SearchKey::Flagged => has(SystemFlag::Flagged),
        SearchKey::Seen => has(SystemFlag::Seen),
        SearchKey::Unanswered => !has(SystemFlag::Answered),
        SearchKey::Undeleted => !has(SystemFlag::Deleted),
        SearchKey::Undraft => !has(SystemFlag::Draft),
        SearchKey::Unflagged => !has(SystemFlag::Flagged),
        SearchKey::Keyword(name) => name.as_ref().eq_ignore_ascii_case("k"),
        SearchKey::Unkeyword(name) => !name.as_ref().eq_ignore_ascii_case("k"),
        SearchKey::Smaller(octets) => entry.size < *octets,
        SearchKey::Larger(octets) => entry.size > *octets,
        SearchKey::Before(date) => received < day(date),
        SearchKey::On(date) => received == day(date),
        SearchKey::Since(date) => received >= day(date),
        SearchKey::SentBefore(date) => sent_day < day(date),
        SearchKey::SentOn(date) => sent_day == day(date),
        SearchKey::SentSince(date) => sent_day >= day(date),
        SearchKey::Subject(value) => field("Subject", &text(value)),
        SearchKey::From(value) => field("From", &text(value)),
        SearchKey::To(value) => field("To", &text(value)),
        SearchKey::Cc(value) => field("Cc", &text(value)),
        SearchKey::Bcc(value) => field("Bcc", &text(value)),
        SearchKey::Header(name, value) => field(&text(name), &text(value)),
        SearchKey::Text(_) | SearchKey::Body(_) => panic!("these have tests of their own"),
        SearchKey::Older(seconds) => entry.received <= NOW - i64::from(seconds.get()),
        SearchKey::Younger(seconds) => entry.received >= NOW - i64::from(seconds.get()),
        other => panic!("{other:?}"),
    }
}

/// 2000-02-02 00:00 UTC.
const NOW: i64 = 949_449_600;

/// A key as clients write it, or nearly.
fn key() -> impl Strategy<Value = String> {
    let plain = "ALL|ANSWERED|DELETED|DRAFT|FLAGGED|SEEN|NEW|OLD|RECENT|UNANSWERED|UNDELETED|UNDRAFT|UNFLAGGED|UNSEEN|seen";
    let leaf = prop_oneof![
        plain,
        "(UID )?([1-4]|[1-4]:[1-4]|\\*|\\*:[1-3])(,[1-4])?",
        "(KEYWORD|UNKEYWORD) (k|K|other)",
        "(SMALLER|LARGER) (9|10|11)",
        "(OLDER|YOUNGER) (59|60|61)",
        "(|SENT)(BEFORE|ON|SINCE) (31-Jan|1-Feb|02-Feb|29-Feb)-(1999|2000)",
        "(|SENT)(BEFORE|ON|SINCE) \"1-Feb-2000\"",
        "(SUBJECT|FROM|TO|CC|BCC) (a|AB|\"b c\"|\"\"|\\{2\\}\r\ncd|\\{1\\+\\}\r\nb)",
        "HEADER (X|subject) (e|ab|\"\")",
        // What is none.
        "XYZ|NOT|OR ALL|\\(|ALL\\)| |SMALLER x|0|1:|BEFORE 1-Foo-2000|SUBJECT",
    ];
    leaf.prop_recursive(3, 12, 3, |key| {
        prop_oneof![
            key.clone().prop_map(|key| format!("NOT {key}")),
            (key.clone(), key.clone()).prop_map(|(one, other)| format!("OR {one} {other}")),
            prop::collection::vec(key, 1..3).prop_map(|keys| format!("({})", keys.join(" "))),
        ]
    })
}

proptest! {
    #[test]
    fn one_meaning(keys in prop::collection::vec(key(), 1..4), uid in 1_u32..5, bits in 0_u64..32, size in 9_u32..12, ago in 59_i64..62) {
        let criteria = keys.join(" ");
        let line = format!("a SEARCH {criteria}\r\n");
        let codec = CommandCodec::new().decode(line.as_bytes());
        let wire = format!("{criteria}\r\n");
        let mut cursor = Cursor::new(wire.as_bytes());
        let ours = grammar::program(&mut cursor, &resolve);
        match (codec, ours) {
            (Ok((b"", command)), Ok(program)) => {
                let CommandBody::Search { criteria, .. } = command.body else { panic!("{line}") };
                let flags = Flags::from_bits(bits).with(Flags::keyword(0));
                let entry = Entry { uid, size, message: 1, modseq: 1, flags, received: NOW - ago, saved: 0 };
                let sent = Date { seconds: NOW - ago, offset_minutes: 60 };
                let want = criteria.as_ref().iter().all(|key| holds(key, &entry, sent));
                let facts = EntryFacts { entry: &entry, keywords: &["k".to_owned()], recent: true, holder: 1, now: NOW };
                prop_assert_eq!(program.by_header(&facts, &Header::new(HEADER), Some(sent)), want.into(), "{}", line);
            }
            (Ok((b"", _)), Err(fault)) => prop_assert!(false, "{:?}: {}", fault, line),
            // The codec nests less deep, but is not asked to here.
            (_, Ok(_)) => prop_assert!(false, "the codec does not read {}", line),
            (_, Err(_)) => {}
        }
    }

    #[test]
    fn noise_never_panics(wire in "(ALL|NOT|OR|\\(|\\)| |BODY|x|\"|\\{2\\}|\r\n|1:\\*|\\$|UID|MODSEQ|HEADER|-|[\\x00-\\x7f]){0,30}") {
        let _ = grammar::program(&mut Cursor::new(wire.as_bytes()), &resolve);
    }
}
