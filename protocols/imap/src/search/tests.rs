//! Whole searches: every key on one entry and header, and texts in messages as they travel.

use super::grammar::{self, Fault};
use super::*;
use crate::fold::fold;
use crate::grammar::Cursor;
use crate::limits::{SCANNED_TEXTS_MAX, SEARCH_DEPTH_MAX, SEARCHED_FIELDS_MAX};
use crate::parts::{self, Parts};
use crate::sequence::{End, SequenceSet};
use proptest::prelude::*;
use stoa_mailbox::{Flags, SystemFlag, UidSet};
use stoa_mime::Scanner;
use stoa_mime::date::Date;

/// Message number 2 has UID 7; `$` is that one.
fn resolve(set: &SequenceSet, by_uid: bool) -> UidSet {
    let SequenceSet::Ranges(ranges) = set else { return UidSet::from_ranges([7..=7]) };
    let uid = |end: End| match end {
        End::Number(number) => {
            if by_uid {
                number
            } else {
                number + 5
            }
        }
        End::Last => 9,
    };
    UidSet::from_ranges(ranges.iter().map(|&(a, b)| uid(a).min(uid(b))..=uid(a).max(uid(b))))
}

/// Criteria as on the wire.
fn program(criteria: &str) -> Result<Program, Fault> {
    read(format!("{criteria}\r\n").as_bytes())
}

fn read(wire: &[u8]) -> Result<Program, Fault> {
    let mut cursor = Cursor::new(wire);
    grammar::optional_charset(&mut cursor)?;
    grammar::program(&mut cursor, &resolve)
}

fn of(key: &str, text: &str) -> Program {
    program(&format!("{key} {}", literal(text))).unwrap()
}

fn literal(text: &str) -> String {
    format!("{{{}}}\r\n{text}", text.len())
}

/// 2000-02-01 00:00 UTC.
const FEBRUARY: i64 = 949_363_200;

/// 2000-02-04 00:00 UTC.
const SAVED: u32 = 949_622_400;

fn entry() -> Entry {
    let flags = Flags::from(SystemFlag::Seen).with(SystemFlag::Draft.into()).with(Flags::keyword(1));
    Entry { uid: 7, size: 1000, message: 17, modseq: 12, flags, received: FEBRUARY + 84_600, saved: SAVED }
}

/// 2 February by its own clock, 1 February in UTC.
const SENT: Option<Date> = Some(Date { seconds: FEBRUARY + 82_800, offset_minutes: 120 });

const HEADER: &[u8] =
    b"Message-ID: <1@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC?= =?utf-8?Q?=C3=9Fe?= from afar\r\nFrom: Ann <ann@example.org>\r\nTo: bob@example.org\r\n\
Cc: carol@example.org\r\nBcc: dave@example.org\r\nX-Mark: blue\r\n sky\r\nX-None:\r\n\r\n";

fn with_facts<T>(ask: impl FnOnce(&EntryFacts<'_>) -> T) -> T {
    let keywords = ["$Other".to_owned(), "$Work".to_owned()];
    ask(&EntryFacts { entry: &entry(), keywords: &keywords, recent: true, holder: 10, now: FEBRUARY + 84_700 })
}

/// What the entry says, and what the header says then.
fn verdicts(program: &Program) -> (Verdict, Verdict) {
    with_facts(|facts| (program.by_entry(facts), program.by_header(facts, &Header::new(HEADER), SENT)))
}

#[test]
fn keys_that_the_entry_answers() {
    let table = [
        ("ALL", true),
        ("2", true),
        ("3", false),
        ("1,2", true),
        ("UID 7", true),
        ("UID 2", false),
        ("SEEN", true),
        ("UNSEEN", false),
        ("DRAFT", true),
        ("UNDRAFT", false),
        ("ANSWERED", false),
        ("UNANSWERED", true),
        ("DELETED", false),
        ("UNDELETED", true),
        ("FLAGGED", false),
        ("UNFLAGGED", true),
        ("RECENT", true),
        ("OLD", false),
        ("NEW", false),
        ("KEYWORD $work", true),
        ("KEYWORD $Other", false),
        ("KEYWORD $Unknown", false),
        ("UNKEYWORD $Work", false),
        ("UNKEYWORD $Other", true),
        ("UNKEYWORD $Unknown", true),
        ("SMALLER 1000", false),
        ("SMALLER 1001", true),
        ("LARGER 1000", false),
        ("LARGER 999", true),
        ("BEFORE 1-Feb-2000", false),
        ("BEFORE 2-Feb-2000", true),
        ("ON 1-Feb-2000", true),
        ("ON 2-Feb-2000", false),
        ("SINCE 1-Feb-2000", true),
        ("SINCE 2-Feb-2000", false),
        // Decided without the rest.
        ("FLAGGED BODY x", false),
        ("OR SUBJECT x SEEN", true),
    ];
    for (criteria, want) in table {
        assert_eq!(verdicts(&program(criteria).unwrap()), (want.into(), want.into()), "{criteria}");
    }
}

#[test]
fn keys_of_extensions_and_how_keys_are_put_together() {
    let table = [
        ("OLDER 99", true),
        ("OLDER 100", true),
        ("OLDER 101", false),
        ("YOUNGER 99", false),
        ("YOUNGER 100", true),
        ("YOUNGER 4294967295", true),
        ("OLDER 4294967295", false),
        ("SAVEDBEFORE 4-Feb-2000", false),
        ("SAVEDBEFORE 5-Feb-2000", true),
        ("SAVEDON \"4-Feb-2000\"", true),
        ("SAVEDON 1-Feb-2000", false),
        ("SAVEDSINCE 04-feb-2000", true),
        ("SAVEDSINCE 5-Feb-2000", false),
        ("SAVEDATESUPPORTED", true),
        ("MODSEQ 12", true),
        ("MODSEQ 13", false),
        ("MODSEQ 0", true),
        ("MODSEQ \"/flags/\\\\Seen\" all 12", true),
        ("MODSEQ \"/flags/\\\\Seen\" priv 9223372036854775807", false),
        ("EMAILID Ma-11", true),
        ("EMAILID MA-11", false),
        ("EMAILID M0a-11", false),
        ("EMAILID Ma-12", false),
        ("EMAILID Mb-11", false),
        ("EMAILID x", false),
        ("NOT EMAILID -", true),
        ("$", true),
        ("UID $", true),
        ("NOT $", false),
        ("SMALLER 99999999999", true),
        ("SINCE 1-Jan-0000", true),
        ("SINCE 31-Dec-9999", false),
        ("NOT SEEN", false),
        ("NOT NOT NOT SEEN", false),
        ("OR OR FLAGGED DELETED OR FLAGGED SEEN", true),
        ("OR OR FLAGGED DELETED NOT OR FLAGGED SEEN", false),
        ("NOT OR FLAGGED NOT (SEEN DRAFT)", true),
        ("OR SEEN FLAGGED FLAGGED", false),
        ("NOT NOT SEEN", true),
        ("OR FLAGGED SEEN", true),
        ("OR FLAGGED DELETED", false),
        ("SEEN DRAFT", true),
        ("SEEN FLAGGED", false),
        ("(SEEN (DRAFT 2))", true),
        ("NOT (SEEN FLAGGED)", true),
        ("TEXT \"\"", true),
        ("BODY \"\"", true),
    ];
    for (criteria, want) in table {
        assert_eq!(verdicts(&program(criteria).unwrap()), (want.into(), want.into()), "{criteria}");
    }
}

#[test]
fn keys_that_need_the_header() {
    let table = [
        ("SUBJECT AFAR", Verdict::Yes),
        ("SUBJECT ann", Verdict::No),
        ("SUBJECT \"\"", Verdict::Yes),
        ("FROM \"ann <\"", Verdict::Yes),
        ("FROM bob", Verdict::No),
        ("TO bob@", Verdict::Yes),
        ("TO carol", Verdict::No),
        ("CC carol", Verdict::Yes),
        ("CC dave", Verdict::No),
        ("BCC dave", Verdict::Yes),
        ("BCC ann", Verdict::No),
        ("HEADER x-mark \"Blue Sky\"", Verdict::Yes),
        ("HEADER X-Mark red", Verdict::No),
        ("HEADER X-None \"\"", Verdict::Yes),
        ("HEADER X-None x", Verdict::No),
        ("HEADER X-Missing \"\"", Verdict::No),
        ("SENTBEFORE 2-Feb-2000", Verdict::No),
        ("SENTBEFORE 3-Feb-2000", Verdict::Yes),
        ("SENTON 2-Feb-2000", Verdict::Yes),
        ("SENTON 1-Feb-2000", Verdict::No),
        ("SENTSINCE 2-Feb-2000", Verdict::Yes),
        ("SENTSINCE 3-Feb-2000", Verdict::No),
        ("THREADID T1", Verdict::No),
        ("THREADID Tab6f5b02dde3469748ca", Verdict::Yes),
        ("NOT TO bob", Verdict::No),
        ("TEXT afar", Verdict::Yes),
        ("TEXT x-mark:", Verdict::Yes),
        ("NOT TEXT afar", Verdict::No),
        ("TEXT elsewhere", Verdict::Unknown),
        ("BODY afar", Verdict::Unknown),
        ("NOT BODY afar", Verdict::Unknown),
        ("OR BODY x TO bob", Verdict::Yes),
        ("OR BODY x TO none", Verdict::Unknown),
        ("BODY x TO bob", Verdict::Unknown),
        ("BODY x TO none", Verdict::No),
    ];
    for (criteria, want) in table {
        assert_eq!(verdicts(&program(criteria).unwrap()), (Verdict::Unknown, want), "{criteria}");
    }
    assert_eq!(verdicts(&of("SUBJECT", "GRÜßE FROM")).1, Verdict::Yes);
}

#[test]
fn without_date() {
    for (criteria, want) in [("SENTON 2-Feb-2000", Verdict::No), ("NOT SENTSINCE 2-Feb-2000", Verdict::Yes)] {
        assert_eq!(with_facts(|facts| program(criteria).unwrap().by_header(facts, &Header::new(HEADER), None)), want, "{criteria}");
    }
}

#[test]
fn faults() {
    let table: [(&str, Option<Fault>); 43] = [
        ("CHARSET iso-8859-1 ALL", Some(Fault::BadCharset)),
        ("CHARSET us-ascii ALL", None),
        ("CHARSET \"Utf-8\" ALL", None),
        ("CHARSET utf-8", Some(Fault::Syntax)),
        ("CHARSET utf-8 CHARSET utf-8 ALL", Some(Fault::UnknownKey)),
        ("OLDER 0", Some(Fault::Syntax)),
        ("OLDER 4294967296", Some(Fault::Syntax)),
        ("YOUNGER -1", Some(Fault::Syntax)),
        ("FUZZY SUBJECT x", Some(Fault::UnknownKey)),
        ("LIKE x", Some(Fault::UnknownKey)),
        ("", Some(Fault::Syntax)),
        (" ALL", Some(Fault::Syntax)),
        ("ALL ", Some(Fault::Syntax)),
        ("ALL  ALL", Some(Fault::Syntax)),
        ("(ALL", Some(Fault::Syntax)),
        ("ALL)", Some(Fault::Syntax)),
        ("()", Some(Fault::Syntax)),
        ("(ALL )", Some(Fault::Syntax)),
        ("NOT", Some(Fault::Syntax)),
        ("NOT (ALL", Some(Fault::Syntax)),
        ("OR ALL", Some(Fault::Syntax)),
        ("OR ALL ", Some(Fault::Syntax)),
        ("(OR ALL) ALL", Some(Fault::Syntax)),
        ("SUBJECT", Some(Fault::Syntax)),
        ("SUBJECT (x)", Some(Fault::Syntax)),
        ("HEADER x", Some(Fault::Syntax)),
        ("UID ALL", Some(Fault::Syntax)),
        ("0", Some(Fault::Syntax)),
        ("1:", Some(Fault::Syntax)),
        ("KEYWORD \\Seen", Some(Fault::Syntax)),
        ("LARGER x", Some(Fault::Syntax)),
        ("BEFORE 30-Feb-2000", Some(Fault::Syntax)),
        ("BEFORE 29-Feb-1900", Some(Fault::Syntax)),
        ("BEFORE 29-Feb-2000", None),
        ("BEFORE \"1-Feb-2000", Some(Fault::Syntax)),
        ("BEFORE 1-Febr-2000", Some(Fault::Syntax)),
        ("BEFORE 001-Feb-2000", Some(Fault::Syntax)),
        ("BEFORE 1-Feb-2000-", Some(Fault::Syntax)),
        ("MODSEQ 9223372036854775808", Some(Fault::Syntax)),
        ("MODSEQ \"/flags/x\" some 1", Some(Fault::Syntax)),
        ("MODSEQ \"/marks/x\" all 1", Some(Fault::Syntax)),
        ("EMAILID a.b", Some(Fault::Syntax)),
        ("THREADID \"x\"", Some(Fault::Syntax)),
    ];
    for (criteria, want) in table {
        assert_eq!(program(criteria).err(), want, "{criteria}");
    }
    assert_eq!(read(b"BODY {1}\r\n\xff\r\n").err(), Some(Fault::NotText));
    assert_eq!(read(b"HEADER {1}\r\n\xff x\r\n").err(), Some(Fault::NotText));
    assert_eq!(read(b"BODY \"\xc3\xa4\"\r\n").err(), Some(Fault::Syntax));
    assert_eq!(read(b"ALL").err(), Some(Fault::Syntax));
}

#[test]
fn limits() {
    let nested = |open: &str, key: &str, close: &str, depth| format!("{}{key}{}", open.repeat(depth), close.repeat(depth));
    let texts = |count| ["BODY x"].repeat(count).join(" ");
    let fields = |count: usize| vec!["FROM x"; count].join(" ");
    let long: [(String, Option<Fault>); 11] = [
        (fields(SEARCHED_FIELDS_MAX), None),
        (fields(SEARCHED_FIELDS_MAX + 1), Some(Fault::TooMany)),
        (texts(SCANNED_TEXTS_MAX), None),
        (texts(SCANNED_TEXTS_MAX + 1), Some(Fault::TooMany)),
        (nested("(", "ALL", ")", SEARCH_DEPTH_MAX - 1), None),
        (nested("(", "ALL", ")", SEARCH_DEPTH_MAX), Some(Fault::TooDeep)),
        (nested("NOT (", "ALL", ")", SEARCH_DEPTH_MAX), Some(Fault::TooDeep)),
        (nested("NOT OR ALL ", "ALL", "", SEARCH_DEPTH_MAX), Some(Fault::TooDeep)),
        (nested("(", "", "", 60_000), Some(Fault::TooDeep)),
        // Chains are not deep.
        (nested("NOT ", "ALL", "", 1001), None),
        (nested("OR SEEN ", "ALL", "", 1000) + &nested(" OR", " SEEN", " ALL", 1000), None),
    ];
    for (criteria, want) in long {
        assert_eq!(program(&criteria).err(), want, "{criteria:.80}");
    }
}

/// The verdict on a message that comes in pieces, and how many octets of it were read.
fn scan(program: &Program, message: &[u8], piece: usize) -> (bool, usize) {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    let scanned = scanner.finish();
    let parts = Parts::from_bytes(&parts::to_bytes(&scanned.part)).unwrap();
    let (mut scan, mut read) = (TextScan::new(program, &parts, Header::new(&scanned.header)), 0);
    while let Some(range) = scan.next_range() {
        for piece in message[range.start as usize..range.end as usize].chunks(piece) {
            if !scan.is_decided() {
                scan.feed(piece);
                read += piece.len();
            }
        }
    }
    (with_facts(|facts| scan.verdict(facts, None)), read)
}

const MESSAGE: &[u8] = b"Subject: =?iso-2022-jp?b?GyRCJCobKEI=?=\r\n =?iso-2022-jp?b?GyRCJCobKEI=?= outside\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\nX-Part: hidden\r\n\r\nCaf=E9 am See=\r\nufer\r\n\
--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nU2Now7ZuZSBH\r\ncsO8w59l\r\n\
--b\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n\x1b$BF|K\\\x1b(B\r\n\
--b\r\nContent-Type: application/octet-stream\r\n\r\nsecret\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?=C3=84pfel?=\r\nContent-Transfer-Encoding: base64\r\n\r\nQmlybmVu\r\n\
--b--\r\nepilogue\r\n";

#[test]
fn texts_in_a_message() {
    let table = [
        ("CAFÉ AM SEEUFER", true, true),
        ("schöne grüße", true, true),
        ("日本", true, true),
        ("äPFEL", true, true),
        ("subject: äpfel", true, true),
        ("birnen", true, true),
        ("QmlybmVu", false, false),
        ("secret", false, false),
        ("hidden", false, true),
        ("x-part: hidden", false, true),
        ("preamble", false, false),
        ("epilogue", false, false),
        ("seeuferschöne", false, false),
        ("おお OUTSIDE", false, true),
    ];
    for (wanted, in_body, in_text) in table {
        for piece in [1, 3, 50, MESSAGE.len()] {
            let found = |key| scan(&of(key, wanted), MESSAGE, piece).0;
            assert_eq!(found("BODY"), in_body, "{wanted}");
            assert_eq!(found("TEXT"), in_text, "{wanted}");
            assert_eq!(found("NOT BODY"), !in_body, "not {wanted}");
        }
    }
}

#[test]
fn html_and_what_attachments_are_called() {
    let alone = b"Content-Type: text/HTML;charset=utf-8\r\n\r\n<title>Note</title><p>foo<b>bar</b> &uuml;ber\r\nall<script>no</script>\r\n";
    let mixed = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: \
quoted-printable\r\n\r\n<p class=3D\"tag\">foo<i>bar&uuml;<=\r\n/i></p>\r\n--b\r\nContent-Type: text/plain\r\n\r\na <b> &uuml;\r\n\
--b\r\nContent-Type: application/pdf; name=\"=?utf-8?Q?=C3=9Cbersicht?=\"\r\nContent-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf\r\n\
Content-Transfer-Encoding: base64\r\n\r\nc2VjcmV0\r\n--b--\r\n";
    let table: [(&[u8], &str, bool, bool); 17] = [
        (alone, "foobar über all", true, true),
        (alone, "note foobar", true, true),
        (alone, "<b>", false, false),
        (alone, "uuml", false, false),
        (alone, "no\u{a0}", false, false),
        (alone, "script", false, false),
        (mixed, "foobarü", true, true),
        (mixed, "tag", false, false),
        (mixed, "a <b> &uuml;", true, true),
        (mixed, "application/PDF", false, true),
        (mixed, "GRÜSSE.PDF", false, true),
        (mixed, "übersicht", false, true),
        (mixed, "attachment;", false, true),
        (mixed, "secret", false, false),
        (mixed, "c2VjcmV0", false, false),
        (mixed, "grüsse.pdf\nübersicht", false, false),
        (mixed, "", true, true),
    ];
    for (message, wanted, in_body, in_text) in table {
        for piece in [1, 5, 1000] {
            assert_eq!(scan(&of("BODY", wanted), message, piece).0, in_body, "BODY {wanted}");
            assert_eq!(scan(&of("TEXT", wanted), message, piece).0, in_text, "TEXT {wanted}");
        }
    }
}

#[test]
fn criteria_over_several_texts() {
    let table = [
        ("BODY ufer BODY birnen", true),
        ("BODY ufer BODY none", false),
        ("OR BODY none BODY birnen", true),
        ("OR (SEEN BODY none) (FLAGGED BODY ufer)", false),
        ("BODY ufer NOT BODY none SUBJECT outside", true),
        ("BODY ufer SUBJECT inside", false),
    ];
    for (criteria, want) in table {
        assert_eq!(scan(&program(criteria).unwrap(), MESSAGE, 7).0, want, "{criteria}");
    }
}

#[test]
fn no_more_is_read_than_must_be() {
    let all = scan(&program("BODY none").unwrap(), MESSAGE, 1000).1;
    for criteria in ["BODY ufer", "NOT BODY ufer", "OR BODY none BODY ufer", "SUBJECT x OR BODY none BODY ufer"] {
        let read = scan(&program(criteria).unwrap(), MESSAGE, 1000).1;
        assert!(read > 0 && read < all / 2, "{criteria}: {read} of {all}");
    }
    assert_eq!(scan(&program("SEEN").unwrap(), MESSAGE, 1000).1, 0);
}

#[test]
fn matches_across_the_seam_of_windows() {
    let needle = "Nädel";
    let program = of("BODY", "NÄDEL");
    for before in reader::WINDOW_BYTES - 8..reader::WINDOW_BYTES + 3 {
        for (charset, needle) in [("utf-8", needle.as_bytes()), ("iso-8859-1", b"N\xe4del"), ("none", needle.as_bytes())] {
            let mut message = format!("Content-Type: text/plain; charset={charset}\r\n\r\n").into_bytes();
            message.extend(std::iter::repeat_n(b"x\r\n", before / 3 + 1).flatten().take(before));
            message.extend_from_slice(needle);
            message.extend(std::iter::repeat_n(b'x', 2000));
            assert!(scan(&program, &message, 16 * 1024).0, "{charset} {before}");
        }
    }
}

proptest! {
    /// Parts of a few letters, searched in pieces of any size, as if each had been read at once.
    #[test]
    fn any_pieces_give_what_the_plain_model_gives(
        parts in prop::collection::vec("[aAäÄb \\r\\n]{0,12}", 1..5),
        needles in ("[aäb]{1,3}", "[aäb]{1,3}"),
        piece in 1_usize..20,
    ) {
        let mut message = "Content-Type: multipart/mixed; boundary=x\r\n".to_owned();
        for part in &parts {
            message += "\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
            message += &base64::Engine::encode(&base64::engine::general_purpose::STANDARD, part);
        }
        message += "\r\n--x--\r\n";
        let has = |needle: &str| parts.iter().any(|part| fold(part).contains(&fold(needle)));
        let key = |needle: &str| format!("BODY {}", literal(needle));
        let (one, other) = (&needles.0, &needles.1);
        let table = [
            (key(one), has(one)),
            (format!("NOT {}", key(one)), !has(one)),
            (format!("OR {} {}", key(one), key(other)), has(one) || has(other)),
            (format!("OR NOT {} {}", key(one), key(other)), !has(one) || has(other)),
        ];
        for (key, want) in table {
            prop_assert_eq!(scan(&program(&key).unwrap(), message.as_bytes(), piece).0, want, "{:?}", key);
        }
    }
}
