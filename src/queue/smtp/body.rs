//! A message on its way out: dots stuffed, line ends put right, block by block; and what a message really holds.
//!
//! RFC 5321 §4.5.2: a line that begins with a dot gets another. §2.3.8: CR and LF go out as CRLF alone, so whatever a
//! message holds, the next host sees its lines as we do, and nothing in it can end it early.

use crate::store::{BodyReader, StoreError};

/// Turns a message into what follows DATA, the final dot included.
#[derive(Debug)]
pub(super) struct Stuffing {
    last: Option<u8>,
    /// The last octet was a CR whose line end was written already.
    after_cr: bool,
}

impl Stuffing {
    pub(super) fn new() -> Self {
        Self { last: None, after_cr: false }
    }

    /// Adds what these octets of the message become.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\r' | b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.after_cr = byte == b'\r';
                }
                _ => {
                    if byte == b'.' && self.at_line_start() {
                        out.push(b'.');
                    }
                    out.push(byte);
                    self.after_cr = false;
                }
            }
            self.last = Some(byte);
        }
    }

    /// Adds the end of the message.
    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        if !self.at_line_start() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    fn at_line_start(&self) -> bool {
        matches!(self.last, None | Some(b'\r' | b'\n'))
    }
}

/// What a message really holds, whatever was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Nature {
    /// Octets above 127 in the header.
    pub header_8bit: bool,
    /// Octets above 127 anywhere.
    pub eight_bit: bool,
    /// NUL, bare CR or LF, or lines of more than 998 octets: what only BDAT can carry (RFC 3030 §3).
    pub binary: bool,
}

/// RFC 5321 §4.5.3.1.6, without the CRLF.
const LINE_BYTES_MAX: usize = 998;

/// Looks at the whole message, block by block.
pub(super) async fn nature(content: &BodyReader) -> Result<Nature, StoreError> {
    let (mut look, mut at) = (Look::default(), 0);
    while at < content.size() {
        let block = content.read(at..content.size()).await?;
        if block.is_empty() {
            return Err(StoreError::Gone);
        }
        look.push(&block);
        at += block.len() as u64;
    }
    Ok(look.finish())
}

#[derive(Default)]
struct Look {
    nature: Nature,
    line: usize,
    last: u8,
    in_body: bool,
}

impl Look {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let nature = &mut self.nature;
            nature.binary |= byte == 0 || (self.last == b'\r') != (byte == b'\n');
            nature.eight_bit |= byte > 127;
            nature.header_8bit |= byte > 127 && !self.in_body;
            match byte {
                b'\n' => {
                    self.in_body |= self.line == 0;
                    self.line = 0;
                }
                b'\r' => {}
                _ => self.line += 1,
            }
            nature.binary |= self.line > LINE_BYTES_MAX;
            self.last = byte;
        }
    }

    fn finish(mut self) -> Nature {
        self.nature.binary |= self.last == b'\r';
        self.nature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(parts: &[&[u8]]) -> Vec<u8> {
        let (mut stuffing, mut out) = (Stuffing::new(), Vec::new());
        parts.iter().for_each(|part| stuffing.push(part, &mut out));
        stuffing.finish(&mut out);
        out
    }

    #[test]
    fn dots_at_the_start_of_lines_are_doubled() {
        for (message, want) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"),
            ("..a\r\n", "...a\r\n.\r\n"),
            ("a.b", "a.b\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8(stuffed(&[message.as_bytes()])).unwrap(), want, "{message:?}");
        }
    }

    #[test]
    fn nothing_in_a_message_ends_it() {
        for message in ["a\n.\nMAIL", "a\r.\rMAIL", "a\r\n.\rMAIL", "a\n.\r\nMAIL", "a\r.\nMAIL", "a\r\r\n.\r\nMAIL"] {
            let out = String::from_utf8(stuffed(&[message.as_bytes()])).unwrap();
            assert!(!out.strip_suffix(".\r\n").unwrap().contains("\n.\r"), "{message:?} {out:?}");
            assert_eq!(out.replace("\r\n", "").find(['\r', '\n']), None, "{message:?} {out:?}");
        }
    }

    proptest! {
        #[test]
        fn where_blocks_end_changes_nothing(message in "[.a\\r\\n]{0,40}", cut in 0_usize..40) {
            let (first, second) = message.as_bytes().split_at(cut.min(message.len()));
            prop_assert_eq!(stuffed(&[first, second]), stuffed(&[message.as_bytes()]));
        }

        #[test]
        fn lines_come_back_as_they_were(lines in proptest::collection::vec("[.a]{0,4}", 0..6)) {
            let message = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let out = String::from_utf8(stuffed(&[message.as_bytes()])).unwrap();
            let body = out.strip_suffix(".\r\n").unwrap();
            let back: Vec<&str> = body.split_terminator("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            prop_assert_eq!(back, lines);
        }
    }

    #[test]
    fn what_a_message_holds_is_seen_wherever_it_stands() {
        let look = |parts: &[&[u8]]| {
            let mut look = Look::default();
            parts.iter().for_each(|part| look.push(part));
            look.finish()
        };
        let plain = Nature::default();
        assert_eq!(look(&[b"A: b\r\n\r\nhello\r\n"]), plain);
        assert_eq!(look(&[b"A: b\r", b"\n\r\nhello"]), plain);
        assert_eq!(look(&["A: b\r\n\r\n\u{e9}\r\n".as_bytes()]), Nature { eight_bit: true, ..plain });
        assert_eq!(look(&["A: \u{e9}\r\n\r\nb\r\n".as_bytes()]), Nature { eight_bit: true, header_8bit: true, ..plain });
        for binary in [&b"a\nb"[..], b"a\rb", b"a\r", b"a\0", &[b'x'; 999]] {
            assert!(look(&[binary]).binary, "{binary:?}");
        }
        assert!(!look(&[&[b'x'; 998], b"\r\n"]).binary);
    }
}
