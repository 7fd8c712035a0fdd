//! One line of a message while it comes in: where it starts, how it ends, and whether it is a delimiter.
//!
//! Keeps no more of a line than a boundary can have. CR LF and a lone LF end a line; a lone CR does not.

use crate::limits::BOUNDARY_BYTES_MAX;

/// `--`, the boundary, `--`.
const HEAD_BYTES_MAX: usize = BOUNDARY_BYTES_MAX + 4;

/// What a line is to a multipart with a certain boundary (RFC 2046 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// A part follows.
    Next,
    /// No part follows.
    Close,
}

/// The line that is being read.
#[derive(Debug, Default)]
pub struct Line {
    /// Octets of the message before it.
    pub start: u64,
    /// Octets of it so far.
    pub length: u64,
    /// Its first octets, as long as it may be a delimiter.
    head: Vec<u8>,
    /// Whether nothing but white space came after them.
    tail_is_blank: bool,
    /// Whether the last octet but one is CR and the last one LF; while the line goes on, whether the last is CR.
    cr: bool,
    lf: bool,
}

impl Line {
    /// A line from this position on.
    pub fn at(start: u64) -> Self {
        Self { start, tail_is_blank: true, ..Self::default() }
    }

    /// Starts over where this one ended; keeps its memory.
    pub fn next(&mut self) {
        self.start = self.end();
        self.length = 0;
        self.head.clear();
        (self.tail_is_blank, self.cr, self.lf) = (true, false, false);
    }

    /// Takes octets that have an LF at most at their end.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some((&last, before)) = bytes.split_last() else { return };
        self.length += bytes.len() as u64;
        self.lf = last == b'\n';
        if !self.lf {
            self.cr = last == b'\r';
        } else if let Some(&byte) = before.last() {
            self.cr = byte == b'\r';
        }
        if self.may_be_delimiter() {
            let (head, tail) = bytes.split_at(bytes.len().min(HEAD_BYTES_MAX - self.head.len()));
            self.head.extend_from_slice(head);
            self.tail_is_blank &= tail.iter().all(|byte| is_blank(*byte));
        }
    }

    /// The position after it.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Octets of its line end: 0 as long as there is none.
    pub fn ending(&self) -> u64 {
        if self.lf { 1 + u64::from(self.cr) } else { 0 }
    }

    /// Whether nothing comes before its line end.
    pub fn is_empty(&self) -> bool {
        self.length == self.ending()
    }

    /// RFC 2046 §5.1.1: delimiter = "--" boundary, close-delimiter = delimiter "--", each with transport padding.
    ///
    /// The line must hold nothing else. The RFC is content with a line that begins so, but then one boundary that is
    /// the beginning of another would end parts of the other.
    pub fn delimiter(&self, boundary: &[u8]) -> Option<Delimiter> {
        if !self.tail_is_blank {
            return None;
        }
        match self.head.strip_prefix(b"--")?.strip_prefix(boundary)? {
            rest if rest.iter().all(|byte| is_blank(*byte)) => Some(Delimiter::Next),
            rest if rest.strip_prefix(b"--")?.iter().all(|byte| is_blank(*byte)) => Some(Delimiter::Close),
            _ => None,
        }
    }

    /// Whether the line starts with the two hyphens of every delimiter, as far as it is known.
    pub fn may_be_delimiter(&self) -> bool {
        self.head.iter().zip(b"--").all(|(byte, hyphen)| byte == hyphen)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pieces: &[&[u8]]) -> Line {
        let mut line = Line::at(0);
        pieces.iter().for_each(|piece| line.push(piece));
        line
    }

    #[test]
    fn endings() {
        let table: [(&[&[u8]], u64, bool); 7] = [
            (&[b"a\r\n"], 2, false),
            (&[b"a\r", b"\n"], 2, false),
            (&[b"a\n"], 1, false),
            (&[b"\r", b"\n"], 2, true),
            (&[b"\n"], 1, true),
            (&[b"a\rb", b"\n"], 1, false),
            (&[b"a\r"], 0, false),
        ];
        for (pieces, ending, empty) in table {
            assert_eq!((line(pieces).ending(), line(pieces).is_empty()), (ending, empty), "{pieces:?}");
        }
    }

    #[test]
    fn delimiters() {
        let padded = [b"--b--".to_vec(), vec![b' '; 1000], b"\r\n".to_vec()].concat();
        let followed = [b"--b".to_vec(), vec![b' '; 1000], b"x\r\n".to_vec()].concat();
        let table: [(&[u8], Option<Delimiter>); 9] = [
            (b"--b\r\n", Some(Delimiter::Next)),
            (b"--b \t\n", Some(Delimiter::Next)),
            (b"--b--", Some(Delimiter::Close)),
            (&padded, Some(Delimiter::Close)),
            (&followed, None),
            (b"--b-\r\n", None),
            (b"--bc\r\n", None),
            (b"--b--c\r\n", None),
            (b" --b\r\n", None),
        ];
        for (text, want) in table {
            assert_eq!(line(&[text]).delimiter(b"b"), want, "{text:?}");
        }
    }
}
