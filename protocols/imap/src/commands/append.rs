//! APPEND (RFC 3501 §6.3.11) with APPENDUID (RFC 4315 §3): a message straight from the wire to the door.
//!
//! The command is parsed up to the message's literal. The octets are never gathered: each piece goes on as it
//! comes. Those of a refused message that come unasked are read and dropped, to stay in step (RFC 7888 §4).

use super::{Asked, Running, decode_name, refusal, store};
use crate::frame::{Frame, Literal};
use crate::grammar::Cursor;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Phase, Server};
use stoa_mailbox::FlagNames;
use stoa_session::{BODY_CHUNK_BYTES_MAX, Step};

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Upload {
    tag: String,
    remaining: u64,
    /// The octets are dropped and this is said at the end; else the door holds the message.
    pub refused: Option<Response>,
}

#[derive(Debug, PartialEq)]
struct Prefix {
    mailbox: String,
    flags: FlagNames,
    received: Option<i64>,
}

/// An APPEND came up to its message.
pub(crate) fn begin(server: &mut Server, command: &[u8], literal: Literal) {
    let tag = Cursor::new(command).tag().unwrap_or("*").to_owned();
    let upload = Upload { tag, remaining: literal.size, refused: None };
    let refused = match prefix(command, server.enabled.utf8_strings()) {
        _ if literal.binary => Response::NO_BINARY,
        Err(response) => response,
        Ok(_) if literal.size > server.config.message_bytes_max => Response::TOO_BIG,
        Ok(_) if literal.size == 0 => Response::EMPTY_MESSAGE,
        Ok(Prefix { mailbox, flags, received }) => {
            let question = Question::BeginAppend { mailbox, flags, received, size: literal.size };
            return server.ask(question, Asked::BeginAppend(upload, literal.synchronising));
        }
    };
    refuse(server, upload, literal.synchronising, refused);
}

fn refuse(server: &mut Server, upload: Upload, synchronising: bool, refused: Response) {
    if synchronising {
        return server.respond(&upload.tag, &refused);
    }
    if upload.remaining > server.dropped_bytes_max() {
        return server.close(Some(&Response::FLOOD));
    }
    server.phase = Phase::Message(Upload { refused: Some(refused), ..upload });
}

/// The door takes the message, or not.
pub(super) fn begun(server: &mut Server, upload: Upload, synchronising: bool, answer: Answer) {
    match answer {
        Answer::Done(view) => {
            server.learn(view);
            if synchronising {
                server.go_on("Send the message");
            }
            server.phase = Phase::Message(upload);
        }
        other => refuse(server, upload, synchronising, refusal(other)),
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
    // RFC 3501 §9: CHAR8 is any octet but NUL; a literal could not carry it back.
    let nul = !refused && memchr::memchr(0, &bytes).is_some();
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

/// The rest of the command after the message: CRLF.
pub(crate) fn end(server: &mut Server, upload: Upload, frame: &Frame) {
    let clean = matches!(frame, Frame::Command(line) if line == b"\r\n");
    match upload.refused {
        Some(refused) => server.respond(&upload.tag, &refused),
        None if clean => {
            let running = Running { tag: upload.tag, expunge: true, by_uid: false };
            server.ask(Question::EndAppend, Asked::EndAppend(running));
        }
        None => abort(server, upload, Response::ONE_MESSAGE_ONLY),
    }
}

fn abort(server: &mut Server, upload: Upload, refused: Response) {
    server.ask(Question::AbortAppend, Asked::AbortAppend(Upload { refused: Some(refused), ..upload }));
}

/// The door has forgotten the message; what is left of it is dropped.
pub(super) fn aborted(server: &mut Server, upload: Upload) {
    match &upload.refused {
        Some(refused) if *refused == Response::ONE_MESSAGE_ONLY => server.respond(&upload.tag, &Response::ONE_MESSAGE_ONLY),
        _ => server.phase = if upload.remaining > 0 { Phase::Message(upload) } else { Phase::MessageEnd(upload) },
    }
}

/// The message is safe, or not.
pub(super) fn filed(server: &mut Server, running: &Running, answer: Answer) {
    let Answer::Appended { uid_validity, uid, view } = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    server.finish(running, &Response::OK.code(format!("APPENDUID {uid_validity} {uid}")).text("The message is filed"));
}

/// RFC 3501 §9: tag SP "APPEND" SP mailbox [SP flag-list] [SP date-time] SP, up to the literal
fn prefix(command: &[u8], utf8: bool) -> Result<Prefix, Response> {
    let mut cursor = Cursor::new(command).utf8(utf8);
    let verb = cursor.tag().is_some() && cursor.space() && cursor.word().is_some() && cursor.space();
    let mailbox = cursor.astring().filter(|_| verb).ok_or(Response::BAD_ARGUMENTS)?;
    space(&mut cursor)?;
    let mut flags = FlagNames::default();
    if cursor.byte(b'(') {
        flags = store::flag_names(store::flag_list(&mut cursor).ok_or(Response::BAD_ARGUMENTS)?.into_iter())?;
        space(&mut cursor)?;
    }
    let mut received = None;
    if !cursor.is_at_end() {
        let text = cursor.quoted().ok_or(Response::BAD_ARGUMENTS)?;
        received = Some(date_time(&text).ok_or(Response::BAD_ARGUMENTS.text("Not a date-time"))?);
        space(&mut cursor)?;
    }
    if !cursor.is_at_end() {
        return Err(Response::BAD_ARGUMENTS);
    }
    Ok(Prefix { mailbox: decode_name(&mailbox, utf8)?, flags, received })
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
        let plain = || Prefix { mailbox: "a".into(), flags: FlagNames::default(), received: None };
        let seen = FlagNames { system: Flags::from(SystemFlag::Seen), keywords: vec!["$x".into()] };
        let table = [
            ("t APPEND a ", Some(plain())),
            ("t append {1}\r\na ", Some(plain())),
            ("t APPEND \"a\" () ", Some(plain())),
            ("t APPEND a (\\seen $x) \"01-Jan-1970 00:00:01 +0000\" ", Some(Prefix { flags: seen, received: Some(1), ..plain() })),
            ("t APPEND a", None),
            ("t APPEND a  ", None),
            ("t APPEND a (\\Recent) ", None),
            ("t APPEND a (x", None),
            ("t APPEND &bad ", None),
            ("t APPEND a \"1\" ", None),
        ];
        for (wire, expected) in table {
            assert_eq!(prefix(wire.as_bytes(), false).ok(), expected, "{wire}");
        }
    }
}
