//! How strings, flags and dates are written (RFC 3501 §4.3, §9).
//!
//! Texts come from strangers' messages. What is not 7-bit goes out as a literal, byte by byte as it stands in the
//! message: RFC 3501 has no 8-bit in quoted strings and clients stumble over it, while encoding it here (RFC 2047) would
//! tell another text than the header itself does. NUL is in no string of IMAP; it goes out as 0x80, which keeps sizes true.

use stoa_mailbox::{Flags, SystemFlag};
use stoa_mime::date;

/// The years of date-time: 0000-01-01 00:00:00 to 9999-12-31 23:59:59, in seconds since 1970.
const DATE_TIME_SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// What goes out for NUL, which CHAR8 leaves out (RFC 3501 §9).
const INSTEAD_OF_NUL: u8 = 0x80;

/// Takes NUL out of what goes into a literal.
pub(crate) fn replace_nul(bytes: &mut [u8]) {
    if memchr::memchr(0, bytes).is_some() {
        bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = INSTEAD_OF_NUL);
    }
}

/// string: quoted where that is possible, else a literal.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | 0x80..)) {
        return literal(out, text);
    }
    quote(out, text);
}

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// mailbox: modified UTF-7, or once it is enabled UTF-8, which quoted strings may then hold (RFC 6855 §3).
pub(crate) fn mailbox(out: &mut Vec<u8>, name: &str, utf8: bool) {
    if utf8 { quote(out, name.as_bytes()) } else { quoted(out, crate::names::encode(name, false).as_bytes()) }
}

/// literal = "{" number "}" CRLF *CHAR8
pub(crate) fn literal(out: &mut Vec<u8>, text: &[u8]) {
    literal_start(out, text.len() as u64);
    let start = out.len();
    out.extend_from_slice(text);
    replace_nul(out.get_mut(start..).unwrap_or_default());
}

/// Makes a literal of all that follows this place.
pub(crate) fn literal_from(out: &mut Vec<u8>, start: usize) {
    let octets = out.len().saturating_sub(start);
    literal_start(out, octets as u64);
    if let Some(literal) = out.get_mut(start..) {
        literal.rotate_left(octets);
        replace_nul(literal);
    }
}

/// What comes before the octets of a literal.
pub(crate) fn literal_start(out: &mut Vec<u8>, octets: u64) {
    out.push(b'{');
    number(out, octets);
    out.extend_from_slice(b"}\r\n");
}

/// nstring = string / nil
pub(crate) fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => quoted(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// number = 1*DIGIT
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut left) = ([b'0'; DIGITS_MAX], DIGITS_MAX, number);
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
        if left == 0 {
            return out.extend_from_slice(digits.get(at..).unwrap_or_default());
        }
    }
}

/// Of a number of 64 bits.
const DIGITS_MAX: usize = 20;

/// flag-list = "(" [flag *(SP flag)] ")"
pub(crate) fn flag_list(out: &mut Vec<u8>, flags: Flags, keywords: &[String], recent: bool) {
    let start = out.len();
    let mut add = |name: &str| {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
    };
    SystemFlag::ALL.into_iter().filter(|flag| flags.has(*flag)).for_each(|flag| add(flag.name()));
    if recent {
        add("\\Recent");
    }
    flags.keywords().filter_map(|place| keywords.get(place)).for_each(|name| add(name));
    match out.get_mut(start) {
        Some(first) => *first = b'(',
        None => out.push(b'('),
    }
    out.push(b')');
}

/// date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE; in UTC.
pub(crate) fn date_time(out: &mut Vec<u8>, seconds: i64) {
    let seconds = seconds.clamp(*DATE_TIME_SECONDS.start(), *DATE_TIME_SECONDS.end());
    let (year, month, day) = date::civil(seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    let mut text = *b"\"dd-Mmm-yyyy hh:mm:ss +0000\"";
    let mut put = |at: usize, mut value: i64, digits: usize| {
        for digit in text.iter_mut().skip(at).take(digits).rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(1, day, 2);
    put(8, year, 4);
    put(13, clock / 3600, 2);
    put(16, clock / 60 % 60, 2);
    put(19, clock % 60, 2);
    let name = usize::try_from(month - 1).ok().and_then(|month| date::MONTHS.get(month)).copied().unwrap_or_default();
    text.iter_mut().skip(4).zip(name.bytes()).for_each(|(place, letter)| *place = letter);
    // date-day-fixed = (SP DIGIT) / 2DIGIT
    if let Some(first) = text.get_mut(1).filter(|first| **first == b'0') {
        *first = b' ';
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn strings() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"", b"\"\""),
            (b"a \"b\" \\", b"\"a \\\"b\\\" \\\\\""),
            (b"tab\there", b"\"tab\there\""),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
            (b"caf\xe9", b"{4}\r\ncaf\xe9"),
            (b"a\0b", b"{3}\r\na\x80b"),
        ];
        for (text, wire) in table {
            assert_eq!(written(|out| quoted(out, text)), wire);
            assert_eq!(written(|out| nstring(out, Some(text))), wire);
        }
        assert_eq!(written(|out| nstring(out, None)), b"NIL");
    }

    #[test]
    fn flags() {
        let keywords = ["$Work".to_owned(), "Junk".to_owned()];
        let flags = Flags::from(SystemFlag::Seen).with(SystemFlag::Answered.into()).with(Flags::keyword(1)).with(Flags::keyword(5));
        assert_eq!(written(|out| flag_list(out, flags, &keywords, true)), b"(\\Answered \\Seen \\Recent Junk)");
        assert_eq!(written(|out| flag_list(out, Flags::NONE, &keywords, false)), b"()");
    }

    #[test]
    fn dates() {
        let table = [
            (847_333_405, "\" 7-Nov-1996 02:23:25 +0000\""),
            (1_795_596_334, "\"25-Nov-2026 08:45:34 +0000\""),
            (i64::MIN, "\" 1-Jan-0000 00:00:00 +0000\""),
            (i64::MAX, "\"31-Dec-9999 23:59:59 +0000\""),
        ];
        for (seconds, wire) in table {
            assert_eq!(String::from_utf8(written(|out| date_time(out, seconds))).unwrap(), wire);
        }
    }
}
