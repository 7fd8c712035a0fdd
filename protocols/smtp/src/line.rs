//! Command lines out of a stream of bytes (RFC 5321 §2.3.8).
//!
//! Reads bytes from strangers, in pieces of any size. Only CRLF ends a line; a line with a CR or LF alone, or
//! past the limit, is taken away whole and never executed. Keeps at most one line of the limit.

use crate::limits::AUTH_LINE_BYTES_MAX;

/// Why a line cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// CR or LF alone.
    BareLineEnd,
    /// Past [`AUTH_LINE_BYTES_MAX`].
    TooLong,
    /// Not UTF-8, or control characters.
    NotText,
}

/// Gathers one line after the other.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    line: Vec<u8>,
    after_cr: bool,
    fault: Option<LineFault>,
}

impl LineReader {
    /// Returns how many bytes were used, and a line when one is complete.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> (usize, Option<Result<String, LineFault>>) {
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == b'\n' && self.after_cr {
                return (at + 1, Some(self.finish()));
            }
            // This byte is no LF after CR, so a CR before it, or an LF in its place, stands alone.
            if self.after_cr || byte == b'\n' {
                self.fault.get_or_insert(LineFault::BareLineEnd);
            }
            self.after_cr = byte == b'\r';
            if !self.after_cr {
                self.keep(byte);
            }
        }
        (bytes.len(), None)
    }

    fn keep(&mut self, byte: u8) {
        if self.line.len() + "\r\n".len() >= AUTH_LINE_BYTES_MAX {
            self.fault.get_or_insert(LineFault::TooLong);
        }
        if self.fault.is_none() {
            self.line.push(byte);
        }
    }

    fn finish(&mut self) -> Result<String, LineFault> {
        let done = std::mem::take(self);
        if let Some(fault) = done.fault {
            return Err(fault);
        }
        let text = String::from_utf8(done.line).map_err(|_| LineFault::NotText)?;
        if text.chars().any(|c| c.is_control() && c != '\t') { Err(LineFault::NotText) } else { Ok(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_faults() {
        type Row = (&'static [u8], Option<Result<&'static str, LineFault>>);
        let table: [Row; 9] = [
            (b"NOOP\r\n", Some(Ok("NOOP"))),
            (b"\r\n", Some(Ok(""))),
            (b"NOOP\n", None),
            (b"NOOP\r", None),
            (b"A\nB\r\n", Some(Err(LineFault::BareLineEnd))),
            (b"A\rB\r\n", Some(Err(LineFault::BareLineEnd))),
            (b"A\r\r\n", Some(Err(LineFault::BareLineEnd))),
            (b"A\0\r\n", Some(Err(LineFault::NotText))),
            (b"A\xff\r\n", Some(Err(LineFault::NotText))),
        ];
        for (wire, expected) in table {
            let (used, line) = LineReader::default().read(wire);
            assert_eq!((used, line), (wire.len(), expected.map(|line| line.map(str::to_owned))), "{wire:?}");
        }
    }

    #[test]
    fn a_long_line_costs_no_memory_and_the_next_one_is_good() {
        let mut reader = LineReader::default();
        for _ in 0..100 {
            assert_eq!(reader.read(&[b'x'; 1000]), (1000, None));
            assert!(reader.line.len() < AUTH_LINE_BYTES_MAX);
        }
        assert_eq!(reader.read(b"\r\nQUIT\r\n"), (2, Some(Err(LineFault::TooLong))));
        assert_eq!(reader.read(b"QUIT\r\n"), (6, Some(Ok("QUIT".to_owned()))));
    }
}
