//! APPEND (RFC 3501 §6.3.11) with APPENDUID (RFC 4315 §3): messages straight from the wire to the door.
//!
//! The command is parsed up to each message's literal. The octets are never gathered: each piece goes on as it comes.
//! Several messages are filed together or not at all (RFC 3502); a message of no octets takes all of them back (§3). Those of
//! a refused command that come unasked are read and dropped, to stay in step (RFC 7888 §4). A binary literal may hold NUL
//! (RFC 3516 §4.4): messages are kept octet by octet.

use super::{Asked, Running, decode_name, refusal, store};
use crate::frame::{Fault, Frame, Literal};
use crate::grammar::Cursor;
use crate::limits::MESSAGES_PER_APPEND_MAX;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Phase, Server, complaint};
use stoa_mailbox::FlagNames;
use stoa_session::{BODY_CHUNK_BYTES_MAX, Step};

/// A message on its way, and those before it in the same command.
#[derive(Debug)]
pub(crate) struct Upload {
    tag: String,
    /// How many messages were begun.
    count: usize,
    /// Octets of this one that are still to come.
    remaining: u64,
    /// May it hold NUL?
    binary: bool,
    /// A parenthesis ends it (RFC 6855 §4).
    enclosed: bool,
    /// The client waits for our word before it sends more, or has sent all.
    waits: bool,
    /// Octets of the command that were dropped.
    dropped: u64,
    /// The octets are dropped and this is said at the end; else the door holds the messages.
    pub refused: Option<Response>,
}

/// What is said of a message.
#[derive(Debug, PartialEq, Default)]
struct Options {
    flags: FlagNames,
    received: Option<i64>,
    /// RFC 6855 §4: "UTF8" SP "("
    enclosed: bool,
}

/// An APPEND came up to its first message.
pub(crate) fn begin(server: &mut Server, command: &[u8], literal: Literal) {
    let tag = Cursor::new(command).tag().unwrap_or("*").to_owned();
    let upload = Upload { tag, count: 0, remaining: 0, binary: false, enclosed: false, waits: false, dropped: 0, refused: None };
    let parsed = prefix(command, server.enabled.utf8_strings());
    match parsed.and_then(|(mailbox, options)| acceptable(server, &options, literal, 1).map(|()| (mailbox, options))) {
        Ok((mailbox, options)) => {
            let upload = upload.next(literal, options.enclosed);
            let Options { flags, received, .. } = options;
            server.ask(Question::BeginAppend { mailbox, flags, received, size: literal.size }, Asked::BeginAppend(upload));
        }
        Err(refused) => refuse(server, upload.next(literal, false), refused),
    }
}

/// Another message follows.
fn next(server: &mut Server, upload: Upload, between: &[u8], literal: Literal) {
    let count = upload.count + 1;
    if let Some(refused) = upload.refused.clone() {
        return refuse(server, upload.next(literal, false), refused);
    }
    let mut cursor = Cursor::new(between);
    let closed = !upload.enclosed || cursor.byte(b')');
    let parsed = if closed { options(&mut cursor) } else { Err(Response::BAD_ARGUMENTS) };
    match parsed.and_then(|options| acceptable(server, &options, literal, count).map(|()| options)) {
        Ok(Options { flags, received, enclosed }) => {
            let upload = upload.next(literal, enclosed);
            server.ask(Question::NextAppend { flags, received, size: literal.size }, Asked::BeginAppend(upload));
        }
        Err(refused) => abort(server, upload.next(literal, false), refused),
    }
}

impl Upload {
    fn next(self, literal: Literal, enclosed: bool) -> Self {
        let Literal { size: remaining, binary, synchronising: waits } = literal;
        Self { count: self.count + 1, remaining, binary, enclosed, waits, ..self }
    }
}

fn acceptable(server: &Server, options: &Options, literal: Literal, count: usize) -> Result<(), Response> {
    match () {
        () if options.enclosed && !server.enabled.utf8 => Err(Response::UTF8_NOT_ENABLED),
        () if options.enclosed && !literal.binary => Err(Response::BAD_ARGUMENTS.text("UTF8 takes a binary literal")),
        () if count > MESSAGES_PER_APPEND_MAX => Err(Response::TOO_MANY_MESSAGES),
        () if literal.size > server.config.message_bytes_max => Err(Response::TOO_BIG),
        () if literal.size == 0 => Err(Response::EMPTY_MESSAGE),
        () => Ok(()),
    }
}

/// The door holds nothing, and nothing will be filed: says so as soon as the client listens.
fn refuse(server: &mut Server, upload: Upload, refused: Response) {
    if upload.waits {
        return server.respond(&upload.tag, &refused);
    }
    let dropped = upload.dropped.saturating_add(upload.remaining);
    if dropped > server.dropped_bytes_max() {
        return server.close(Some(&Response::FLOOD));
    }
    let upload = Upload { dropped, refused: Some(refused), ..upload };
    server.phase = if upload.remaining > 0 { Phase::Message(upload) } else { Phase::MessageEnd(upload) };
}

/// The door takes the message, or not.
pub(super) fn begun(server: &mut Server, upload: Upload, answer: Answer) {
    match answer {
        Answer::Done(view) => {
            server.learn(view);
            if upload.waits {
                server.go_on("Send the message");
            }
            server.phase = Phase::Message(Upload { waits: false, ..upload });
        }
        other => refuse(server, upload, refusal(other)),
    }
}

/// Passes on what came of the message; says whether there is more to do.
pub(crate) fn read(server: &mut Server) -> bool {
    let Phase::Message(upload) = &server.phase else { return false };
    let bytes = server.take_bytes(upload.remaining);
    server.wait();
    let Phase::Message(upload) = &mut server.phase else { return false };
    upload.remaining = upload.remaining.saturating_sub(bytes.len() as u64);
    let (complete, refused) = (upload.remaining == 0, upload.refused.is_some());
    // RFC 3501 §9: CHAR8 is any octet but NUL.
    let nul = !refused && !upload.binary && memchr::memchr(0, &bytes).is_some();
    if !refused && !nul {
        for chunk in bytes.chunks(BODY_CHUNK_BYTES_MAX) {
            server.push(Step::Body(chunk.to_vec()));
        }
    }
    if !complete && !nul {
        return false;
    }
    if let Phase::Message(upload) = std::mem::replace(&mut server.phase, Phase::Command) {
        if nul {
            abort(server, upload, Response::NUL_IN_MESSAGE);
        } else {
            server.phase = Phase::MessageEnd(upload);
        }
    }
    true
}

/// What comes after a message: the end of the command, or another message.
pub(crate) fn end(server: &mut Server, upload: Upload, frame: Frame) {
    let enclosed = upload.enclosed && upload.refused.is_none();
    let wrong = match frame {
        Frame::Append { prefix, literal } => return next(server, upload, &prefix, literal),
        Frame::Command(line) if line == if enclosed { &b")\r\n"[..] } else { b"\r\n" } => None,
        Frame::Fault { fault, .. } if fault != Fault::Flood => Some(complaint(fault)),
        _ => Some(Response::AFTER_MESSAGE),
    };
    match (upload.refused.clone().or(wrong), &upload.refused) {
        (Some(refused), Some(_)) => server.respond(&upload.tag, &refused),
        (Some(refused), None) => abort(server, Upload { waits: true, ..upload }, refused),
        (None, _) => {
            let running = Running { tag: upload.tag, expunge: true, by_uid: false };
            server.ask(Question::EndAppend, Asked::EndAppend(running));
        }
    }
}

fn abort(server: &mut Server, upload: Upload, refused: Response) {
    server.ask(Question::AbortAppend, Asked::AbortAppend(Upload { refused: Some(refused), ..upload }));
}

/// The door has forgotten the messages; what is left of them is dropped.
pub(super) fn aborted(server: &mut Server, mut upload: Upload) {
    let refused = upload.refused.take().unwrap_or(Response::LOCAL_ERROR);
    refuse(server, upload, refused);
}

/// The messages are safe, or not.
pub(super) fn filed(server: &mut Server, running: &Running, answer: Answer) {
    let Answer::Appended { uid_validity, uids, view } = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    let text = if uids.len() == 1 { "The message is filed" } else { "The messages are filed" };
    server.finish(running, &Response::OK.code(format!("APPENDUID {uid_validity} {uids}")).text(text));
}

/// RFC 3501 §9: tag SP "APPEND" SP mailbox options, up to the literal
fn prefix(command: &[u8], utf8: bool) -> Result<(String, Options), Response> {
    let mut cursor = Cursor::new(command).utf8(utf8);
    let verb = cursor.tag().is_some() && cursor.space() && cursor.word().is_some() && cursor.space();
    let mailbox = cursor.astring().filter(|_| verb).ok_or(Response::BAD_ARGUMENTS)?;
    let options = options(&mut cursor)?;
    Ok((decode_name(&mailbox, utf8)?, options))
}

/// RFC 3502 §6, RFC 6855 §4: [SP flag-list] [SP date-time] SP ["UTF8" SP "("]
fn options(cursor: &mut Cursor<'_>) -> Result<Options, Response> {
    let mut options = Options::default();
    space(cursor)?;
    if cursor.byte(b'(') {
        options.flags = store::flag_names(store::flag_list(cursor).ok_or(Response::BAD_ARGUMENTS)?.into_iter())?;
        space(cursor)?;
    }
    if cursor.is_next(b'"') {
        let text = cursor.quoted().ok_or(Response::BAD_ARGUMENTS)?;
        options.received = Some(date_time(&text).ok_or(Response::BAD_ARGUMENTS.text("Not a date-time"))?);
        space(cursor)?;
    }
    if cursor.keyword("UTF8") {
        space(cursor)?;
        options.enclosed = cursor.byte(b'(');
    }
    if cursor.is_at_end() { Ok(options) } else { Err(Response::BAD_ARGUMENTS) }
}

fn space(cursor: &mut Cursor<'_>) -> Result<(), Response> {
    if cursor.space() { Ok(()) } else { Err(Response::BAD_ARGUMENTS) }
}

/// RFC 3501 §9: date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE; seconds since 1970
fn date_time(text: &[u8]) -> Option<i64> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == "dd-mmm-yyyy hh:mm:ss +zzzz".len())?;
    let marks = [(2, "-"), (6, "-"), (11, " "), (14, ":"), (17, ":"), (20, " ")];
    marks.iter().all(|&(at, mark)| text.get(at..at + 1) == Some(mark)).then_some(())?;
    let number = |from: usize, to: usize, max: i64| -> Option<i64> {
        let digits = text.get(from..to)?;
        let digits = if from == 0 { digits.strip_prefix(' ').unwrap_or(digits) } else { digits };
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?.filter(|&value| value <= max)
    };
    let month = MONTHS.iter().position(|month| text.get(3..6).is_some_and(|name| name.eq_ignore_ascii_case(month)))?;
    let (day, year) = (number(0, 2, 31)?, number(7, 11, 9999)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = DAYS.get(month)? + i64::from(leap && month == 1);
    (1..=last).contains(&day).then_some(())?;
    // A leap second is taken for the one after it.
    let clock = number(12, 14, 23)? * 3600 + number(15, 17, 59)? * 60 + number(18, 20, 60)?;
    let zone = number(22, 24, 23)? * 3600 + number(24, 26, 59)? * 60;
    let zone = match text.get(21..22)? {
        "+" => zone,
        "-" => -zone,
        _ => return None,
    };
    // Years are counted from March, so that the leap day is the last (the proleptic Gregorian calendar).
    let (year, month) = if month < 2 { (year - 1, month as i64 + 10) } else { (year, month as i64 - 2) };
    let days = year.div_euclid(400) * 146_097 + year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4 - year.rem_euclid(400) / 100;
    let days = days + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + clock - zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_mailbox::{Flags, SystemFlag};

    #[test]
    fn date_times() {
        let table = [
            ("01-Jan-1970 00:00:00 +0000", Some(0)),
            (" 1-jan-1970 00:00:00 -0100", Some(3600)),
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            ("29-Feb-2000 12:00:00 +0000", Some(951_825_600)),
            ("31-Dec-1969 23:59:59 +0000", Some(-1)),
            ("29-Feb-1900 12:00:00 +0000", None),
            ("00-Jan-1970 00:00:00 +0000", None),
            ("01-Jan-1970 24:00:00 +0000", None),
            ("01-Jan-1970 00:00:00 0000", None),
            ("+1-Jan-1970 00:00:00 +0000", None),
            ("01-Jan-1970 00:00:00 +00\u{e9}", None),
        ];
        for (text, expected) in table {
            assert_eq!(date_time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn prefixes() {
        let plain = || Options::default();
        let seen = FlagNames { system: Flags::from(SystemFlag::Seen), keywords: vec!["$x".into()] };
        let table = [
            ("t APPEND a ", Some(plain())),
            ("t append {1}\r\na ", Some(plain())),
            ("t APPEND \"a\" () ", Some(plain())),
            ("t APPEND a utf8 (", Some(Options { enclosed: true, ..plain() })),
            ("t APPEND a (\\seen $x) \"01-Jan-1970 00:00:01 +0000\" ", Some(Options { flags: seen, received: Some(1), ..plain() })),
            ("t APPEND a", None),
            ("t APPEND a  ", None),
            ("t APPEND a UTF8", None),
            ("t APPEND a UTF8 () ", None),
            ("t APPEND a CATENATE (", None),
            ("t APPEND a (\\Recent) ", None),
            ("t APPEND a (x", None),
            ("t APPEND &bad ", None),
            ("t APPEND a \"1\" ", None),
        ];
        for (wire, expected) in table {
            assert_eq!(prefix(wire.as_bytes(), false).ok(), expected.map(|options| ("a".to_owned(), options)), "{wire}");
        }
    }
}
