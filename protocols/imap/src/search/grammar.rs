//! Search keys as clients write them (RFC 9051 §6.4.4 and §9), read into a [`Program`].
//!
//! Reads bytes from strangers. Keys that hold others are kept on a list of our own, not on the stack, and that list has
//! a bound: no input nests deeper than what runs the program later can go. How many keys there are is bounded by the
//! command's length. Extensions: SEARCHRES (RFC 5182), WITHIN (RFC 5032), MODSEQ (RFC 7162 §3.1.5), EMAILID and THREADID
//! (RFC 8474 §6), SAVEDATE (RFC 8514 §4.3).

use super::needle::Needle;
use super::program::{Days, Key, Program, Sought};
use crate::fold::fold;
use crate::grammar::Cursor;
use crate::limits::{SCANNED_TEXTS_MAX, SEARCH_DEPTH_MAX, SEARCHED_FIELDS_MAX};
use crate::objects::email_id;
use crate::sequence::SequenceSet;
use stoa_mailbox::{SystemFlag, UidSet};

/// Why a search cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax,
    /// There is no key of this name.
    UnknownKey,
    /// There is no way of this name to put threads together.
    UnknownAlgorithm,
    /// The charset is neither UTF-8 nor US-ASCII.
    BadCharset,
    /// A text that is looked for is not UTF-8.
    NotText,
    /// More than [`SEARCH_DEPTH_MAX`] keys within one another.
    TooDeep,
    /// More than [`SCANNED_TEXTS_MAX`] texts are looked for in whole messages, or [`SEARCHED_FIELDS_MAX`] in fields.
    TooMany,
}

/// A charset in which criteria may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    UsAscii,
}

impl Charset {
    const ALL: [(&'static [u8], Self); 2] = [(b"UTF-8", Self::Utf8), (b"US-ASCII", Self::UsAscii)];
}

/// ["CHARSET" SP charset SP]
pub(crate) fn optional_charset(cursor: &mut Cursor<'_>) -> Result<Option<Charset>, Fault> {
    if !cursor.keyword("CHARSET") {
        return Ok(None);
    }
    cursor.space().then_some(()).ok_or(Fault::Syntax)?;
    charset(cursor).map(Some)
}

/// charset SP, where charset = atom / quoted. What is not understood is told from what is not written well.
pub(crate) fn charset(cursor: &mut Cursor<'_>) -> Result<Charset, Fault> {
    let name = cursor.astring().ok_or(Fault::Syntax)?;
    let known = Charset::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    let (_, charset) = known.ok_or(Fault::BadCharset)?;
    cursor.space().then_some(charset).ok_or(Fault::Syntax)
}

/// search-key *(SP search-key) CRLF: all must hold. `resolve` gives the UIDs of a set of UIDs (true) or of message numbers (false).
///
/// Texts are UTF-8, which US-ASCII is, too; without a charset nothing else can be meant by them.
pub(crate) fn program(cursor: &mut Cursor<'_>, resolve: &dyn Fn(&SequenceSet, bool) -> UidSet) -> Result<Program, Fault> {
    let mut reader = Reader { cursor, resolve, sought: Vec::new(), fields: 0, asks_modseq: false };
    let root = reader.keys()?;
    if !reader.cursor.end_of_command() {
        return Err(Fault::Syntax);
    }
    Ok(Program { root, sought: reader.sought, asks_modseq: reader.asks_modseq })
}

struct Reader<'r, 'c> {
    cursor: &'r mut Cursor<'c>,
    resolve: &'r dyn Fn(&SequenceSet, bool) -> UidSet,
    sought: Vec<Sought>,
    /// Fields that are looked at, each with a text.
    fields: usize,
    asks_modseq: bool,
}

/// A key that waits for those it holds.
enum Open {
    /// All of these, to the closing parenthesis or the end.
    All(Vec<Key>),
    /// Any of these and of so many more.
    Any(Vec<Key>, usize),
    Not,
}

impl Reader<'_, '_> {
    fn keys(&mut self) -> Result<Key, Fault> {
        let mut open = vec![Open::All(Vec::new())];
        loop {
            if self.begin(&mut open)? {
                if open.len() > SEARCH_DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
                continue;
            }
            let key = self.key()?;
            if let Some(all) = self.close(&mut open, key)? {
                return Ok(all);
            }
        }
    }

    /// "(" / "OR" SP / "NOT" SP: whether a key that holds others begins. Of ORs within an OR, one list is made.
    fn begin(&mut self, open: &mut Vec<Open>) -> Result<bool, Fault> {
        if self.cursor.byte(b'(') {
            open.push(Open::All(Vec::new()));
            return Ok(true);
        }
        if self.cursor.keyword("OR") {
            match open.last_mut() {
                Some(Open::Any(_, missing)) => *missing += 1,
                _ => open.push(Open::Any(Vec::new(), 2)),
            }
        } else if self.cursor.keyword("NOT") {
            match open.last() {
                Some(Open::Not) => drop(open.pop()),
                _ => open.push(Open::Not),
            }
        } else {
            return Ok(false);
        }
        self.space().map(|()| true)
    }

    /// Hands a key to the one that holds it, and that on in turn if it is complete; at the end of the outermost, gives it.
    fn close(&mut self, open: &mut Vec<Open>, mut key: Key) -> Result<Option<Key>, Fault> {
        while let Some(holder) = open.pop() {
            key = match holder {
                Open::Not => not(key),
                Open::Any(mut keys, missing) => {
                    keys.push(key);
                    if missing > 1 {
                        open.push(Open::Any(keys, missing - 1));
                        return self.space().map(|()| None);
                    }
                    Key::Or(keys)
                }
                Open::All(mut keys) => {
                    keys.push(key);
                    if self.cursor.space() {
                        open.push(Open::All(keys));
                        return Ok(None);
                    }
                    if !open.is_empty() && !self.cursor.byte(b')') {
                        return Err(Fault::Syntax);
                    }
                    Key::And(keys)
                }
            }
        }
        Ok(Some(key))
    }

    /// A key that holds no others.
    fn key(&mut self) -> Result<Key, Fault> {
        if let Some(key) = self.set()? {
            return Ok(key);
        }
        let name = self.cursor.atom().ok_or(Fault::Syntax)?.to_ascii_uppercase();
        if let Some(key) = flag(&name) {
            return Ok(key);
        }
        if !ARGUMENTS.contains(&name.as_str()) {
            return Err(Fault::UnknownKey);
        }
        self.space()?;
        match name.as_str() {
            "UID" => self.uids(),
            "MODSEQ" => self.modseq(),
            "KEYWORD" => self.cursor.atom().map(|name| Key::Keyword(name.to_owned())).ok_or(Fault::Syntax),
            "UNKEYWORD" => self.cursor.atom().map(|name| not(Key::Keyword(name.to_owned()))).ok_or(Fault::Syntax),
            "EMAILID" => self.object_id().map(email),
            "THREADID" => self.object_id().map(Key::Thread),
            "SMALLER" | "LARGER" | "OLDER" | "YOUNGER" => self.numbered(&name),
            "BODY" => self.scanned(false),
            "TEXT" => self.scanned(true),
            "HEADER" => {
                let name = self.text()?;
                self.space()?;
                self.field(&fold(&name))
            }
            "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => self.field(&name.to_ascii_lowercase()),
            _ => self.dated(&name),
        }
    }

    /// sequence-set
    fn set(&mut self) -> Result<Option<Key>, Fault> {
        if !(b'0'..=b'9').chain([b'*', b'$']).any(|byte| self.cursor.is_next(byte)) {
            return Ok(None);
        }
        let set = SequenceSet::read(self.cursor).ok_or(Fault::Syntax)?;
        Ok(Some(Key::Uids((self.resolve)(&set, false))))
    }

    /// "UID" SP sequence-set
    fn uids(&mut self) -> Result<Key, Fault> {
        let set = SequenceSet::read(self.cursor).ok_or(Fault::Syntax)?;
        Ok(Key::Uids((self.resolve)(&set, true)))
    }

    /// RFC 7162 §7: "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer, where entry-name = DQUOTE "/flags/" attr-flag DQUOTE.
    ///
    /// A message has one mod-sequence here, so the entry is read and left at that, as §3.1.5 asks.
    fn modseq(&mut self) -> Result<Key, Fault> {
        if self.cursor.is_next(b'"') {
            let entry = self.cursor.quoted().ok_or(Fault::Syntax)?;
            self.space()?;
            let kind = ["all", "priv", "shared"].into_iter().any(|kind| self.cursor.keyword(kind));
            (kind && entry.starts_with(b"/flags/")).then_some(()).ok_or(Fault::Syntax)?;
            self.space()?;
        }
        self.asks_modseq = true;
        self.cursor.modseq().map(Key::ModSeq).ok_or(Fault::Syntax)
    }

    /// "SMALLER" / "LARGER", SP number64; RFC 5032 §3: "OLDER" / "YOUNGER", SP nz-number
    fn numbered(&mut self, name: &str) -> Result<Key, Fault> {
        let number = self.cursor.modseq().ok_or(Fault::Syntax)?;
        let seconds = || u32::try_from(number).ok().filter(|seconds| *seconds > 0).ok_or(Fault::Syntax);
        Ok(match name {
            "SMALLER" => Key::Smaller(number),
            "LARGER" => Key::Larger(number),
            "OLDER" => Key::Older(seconds()?),
            _ => Key::Younger(seconds()?),
        })
    }

    fn dated(&mut self, name: &str) -> Result<Key, Fault> {
        let day = self.date()?;
        Ok(match name {
            "BEFORE" => Key::Received(Days::Before(day)),
            "ON" => Key::Received(Days::On(day)),
            "SINCE" => Key::Received(Days::Since(day)),
            "SENTBEFORE" => Key::Sent(Days::Before(day)),
            "SENTON" => Key::Sent(Days::On(day)),
            "SENTSINCE" => Key::Sent(Days::Since(day)),
            "SAVEDBEFORE" => Key::Saved(Days::Before(day)),
            "SAVEDON" => Key::Saved(Days::On(day)),
            _ => Key::Saved(Days::Since(day)),
        })
    }

    /// date = date-text / DQUOTE date-text DQUOTE, date-text = 1*2DIGIT "-" month "-" 4DIGIT; in days since 1970-01-01
    fn date(&mut self) -> Result<i64, Fault> {
        let quoted = self.cursor.byte(b'"');
        let day = self.cursor.atom().and_then(days).ok_or(Fault::Syntax)?;
        if quoted && !self.cursor.byte(b'"') { Err(Fault::Syntax) } else { Ok(day) }
    }

    /// RFC 8474 §7: objectid = 1*255(ALPHA / DIGIT / "_" / "-")
    fn object_id(&mut self) -> Result<String, Fault> {
        let id = self.cursor.atom().filter(|id| id.len() <= 255).ok_or(Fault::Syntax)?;
        let proper = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if proper { Ok(id.to_owned()) } else { Err(Fault::Syntax) }
    }

    fn field(&mut self, name: &str) -> Result<Key, Fault> {
        self.fields += 1;
        if self.fields > SEARCHED_FIELDS_MAX {
            return Err(Fault::TooMany);
        }
        Ok(Key::Field(name.to_owned(), Needle::new(&self.text()?)))
    }

    /// The empty text is in every message, and none need be read for it.
    fn scanned(&mut self, in_header: bool) -> Result<Key, Fault> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(Key::And(Vec::new()));
        }
        if self.sought.len() >= SCANNED_TEXTS_MAX {
            return Err(Fault::TooMany);
        }
        self.sought.push(Sought { needle: Needle::new(&text), in_header });
        Ok(Key::Scanned(self.sought.len() - 1))
    }

    /// astring
    fn text(&mut self) -> Result<String, Fault> {
        let text = self.cursor.astring().ok_or(Fault::Syntax)?;
        String::from_utf8(text.into_owned()).map_err(|_| Fault::NotText)
    }

    fn space(&mut self) -> Result<(), Fault> {
        self.cursor.space().then_some(()).ok_or(Fault::Syntax)
    }
}

/// The keys with argument, but for those that hold others.
#[rustfmt::skip]
const ARGUMENTS: [&str; 27] = [
    "BCC", "BEFORE", "BODY", "CC", "FROM", "HEADER", "KEYWORD", "LARGER", "ON", "SENTBEFORE", "SENTON", "SENTSINCE", "SINCE",
    "SMALLER", "SUBJECT", "TEXT", "TO", "UID", "UNKEYWORD", "OLDER", "YOUNGER", "MODSEQ", "EMAILID", "THREADID", "SAVEDBEFORE",
    "SAVEDON", "SAVEDSINCE",
];

/// The keys without.
fn flag(name: &str) -> Option<Key> {
    Some(match name {
        // RFC 8514 §4.3: every mailbox here keeps save dates.
        "ALL" | "SAVEDATESUPPORTED" => Key::And(Vec::new()),
        "ANSWERED" => Key::Flag(SystemFlag::Answered),
        "DELETED" => Key::Flag(SystemFlag::Deleted),
        "DRAFT" => Key::Flag(SystemFlag::Draft),
        "FLAGGED" => Key::Flag(SystemFlag::Flagged),
        "SEEN" => Key::Flag(SystemFlag::Seen),
        "UNANSWERED" => not(Key::Flag(SystemFlag::Answered)),
        "UNDELETED" => not(Key::Flag(SystemFlag::Deleted)),
        "UNDRAFT" => not(Key::Flag(SystemFlag::Draft)),
        "UNFLAGGED" => not(Key::Flag(SystemFlag::Flagged)),
        "UNSEEN" => not(Key::Flag(SystemFlag::Seen)),
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(Key::Flag(SystemFlag::Seen))]),
        _ => return None,
    })
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

/// The message of an EMAILID, which is as FETCH writes it; any other names none.
fn email(id: String) -> Key {
    let number = |text| u64::from_str_radix(text, 16).ok();
    let read = id.strip_prefix('M').and_then(|id| id.split_once('-')).and_then(|(holder, message)| number(holder).zip(number(message)));
    match read {
        Some((holder, message)) if email_id(holder, message) == id => Key::Email(holder, message),
        _ => Key::Or(Vec::new()),
    }
}

/// Since 1970-01-01; nothing, if there is no such day.
fn days(text: &str) -> Option<i64> {
    let mut pieces = text.split('-');
    let (day, month, year) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let proper = digits(day) && (1..=2).contains(&day.len()) && month.len() == 3 && digits(year) && year.len() == 4;
    (proper && pieces.next().is_none()).then_some(())?;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let place = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = if place == 1 && leaps { 29 } else { *MONTH_DAYS.get(place)? };
    (1..=length).contains(&day).then(|| number_of_day(year, i64::try_from(place).unwrap_or(0), day))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH_DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Of a day of the Gregorian calendar, since 1970-01-01. `month` counts from 0. Years begin in March here, so that the day that
/// not every year has is the last.
fn number_of_day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Months of 31, 30, 31, 30, 31 days, and again.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}
