//! Counts what an IMAP server says, and keeps nothing of it.
//!
//! Takes bytes as they come from a socket, gives one [`Line`] for each response with its beginning only: a literal is
//! skipped by its length (RFC 3501 §4.3), so an answer of any size costs the same few hundred bytes. Trusts the server
//! to be one: what it sends wrong is counted wrong, and nothing worse.

use memchr::{memchr, memchr_iter};

/// Kept of the beginning of a response: tag, status and the sentence that says what is wrong.
const HEAD_BYTES_MAX: usize = 240;
/// Kept of the end of a line: `{` digits `}` CRLF.
const TAIL_BYTES_MAX: usize = 24;

/// Where in an answer we are.
#[derive(Debug, Default)]
pub(super) struct Responses {
    head: Vec<u8>,
    tail: Vec<u8>,
    spaces: u64,
    /// Octets of a literal that are still to come.
    literal: u64,
}

/// A response without its literals, cut off after its beginning.
#[derive(Debug)]
pub(super) struct Line<'a> {
    head: &'a [u8],
    spaces: u64,
}

/// What a response says, as far as it is counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// `+`: the server waits for more.
    GoOn,
    /// `* 5 EXISTS` has a number, `* SEARCH 1 2` as many items as follow its name.
    Untagged { number: Option<u64>, name: &'a [u8], items: u64 },
    /// The end of the command with this tag.
    Tagged { tag: &'a [u8], ok: bool },
}

impl Responses {
    /// Takes the next bytes; calls `each` with every response that they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&Line<'_>)) {
        loop {
            let skipped = usize::try_from(self.literal).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.literal -= skipped as u64;
            bytes = &bytes[skipped..];
            let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
            let (line, rest) = bytes.split_at(end + 1);
            self.keep(line);
            bytes = rest;
            match literal_octets(&self.tail) {
                Some(octets) => self.literal = octets,
                None => {
                    each(&Line { head: self.head.trim_ascii_end(), spaces: self.spaces });
                    self.head.clear();
                    self.spaces = 0;
                }
            }
            self.tail.clear();
        }
    }

    /// Is nothing of a response held? Then the next byte begins one.
    pub(super) fn between_lines(&self) -> bool {
        self.head.is_empty() && self.literal == 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.spaces += memchr_iter(b' ', bytes).count() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES_MAX));
    }
}

/// RFC 3501 §9: literal = "{" number "}" CRLF *CHAR8
fn literal_octets(end_of_line: &[u8]) -> Option<u64> {
    let line = end_of_line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

impl<'a> Line<'a> {
    /// Its beginning, for whoever reads the reason of a refusal.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.head).into_owned()
    }

    /// What it says.
    pub(super) fn said(&self) -> Said<'a> {
        let mut words = self.head.split(|byte| *byte == b' ');
        let mut next = || words.next().unwrap_or_default();
        match next() {
            b"+" => Said::GoOn,
            b"*" => {
                let first = next();
                let number = str::from_utf8(first).ok().and_then(|text| text.parse().ok());
                let name = if number.is_some() { next() } else { first };
                Said::Untagged { number, name, items: self.spaces.saturating_sub(1) }
            }
            tag => Said::Tagged { tag, ok: next().eq_ignore_ascii_case(b"OK") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard when the bytes come in pieces of this size.
    fn heard(bytes: &[u8], piece: usize) -> Vec<String> {
        let mut responses = Responses::default();
        let mut lines = Vec::new();
        bytes.chunks(piece).for_each(|chunk| responses.feed(chunk, |line| lines.push(format!("{:?}", line.said()))));
        assert!(responses.head.len() <= HEAD_BYTES_MAX && responses.tail.len() <= TAIL_BYTES_MAX);
        lines
    }

    #[test]
    fn literals_are_skipped_however_they_are_cut() {
        let answer = b"* 1 FETCH (UID 7 BODY[] {23}\r\n* 9 EXISTS\r\nb1 OK done\r FLAGS () X ~{0}\r\n)\r\n* 2 FETCH ()\r\nb1 OK {5} done\r\n+ go\r\n";
        let want = heard(answer, answer.len());
        assert_eq!(want.len(), 4, "{want:?}");
        assert!(want[0].contains("number: Some(1)") && want[1].contains("number: Some(2)"));
        for piece in 1..answer.len() {
            assert_eq!(heard(answer, piece), want, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_said() {
        let said = |text: &'static str| Line { head: text.as_bytes(), spaces: memchr_iter(b' ', text.as_bytes()).count() as u64 }.said();
        assert_eq!(said("+ idling"), Said::GoOn);
        assert_eq!(said("+"), Said::GoOn);
        assert_eq!(said("* 12 EXISTS"), Said::Untagged { number: Some(12), name: b"EXISTS", items: 1 });
        assert_eq!(said("* SEARCH"), Said::Untagged { number: None, name: b"SEARCH", items: 0 });
        assert_eq!(said("* SEARCH 2 3 84"), Said::Untagged { number: None, name: b"SEARCH", items: 3 });
        assert_eq!(said("b17 OK [READ-WRITE] done"), Said::Tagged { tag: b"b17", ok: true });
        assert_eq!(said("b17 NO no"), Said::Tagged { tag: b"b17", ok: false });
        assert_eq!(said(""), Said::Tagged { tag: b"", ok: false });
    }

    #[test]
    fn a_line_of_any_length_keeps_its_beginning() {
        let mut line = b"* SEARCH".to_vec();
        (0..100_000).for_each(|number| line.extend_from_slice(format!(" {number}").as_bytes()));
        line.extend_from_slice(b"\r\n");
        let mut responses = Responses::default();
        let mut found = 0;
        for chunk in line.chunks(4096) {
            responses.feed(chunk, |line| match line.said() {
                Said::Untagged { items, .. } => found += items,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(found, 100_000);
    }

    #[test]
    fn a_literal_is_known_by_its_end() {
        for (line, want) in [("x {12}\r\n", Some(12)), ("~{0}\r\n", Some(0)), ("{x}\r\n", None), ("{1}\"\r\n", None), ("{-1}\r\n", None)] {
            assert_eq!(literal_octets(line.as_bytes()), want, "{line}");
        }
    }
}
