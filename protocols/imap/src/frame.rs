//! Commands out of a stream of bytes: lines and literals (RFC 3501 §2.2.1, §4.3; RFC 7888).
//!
//! Reads bytes from strangers, in pieces of any size, each byte once. Only CRLF ends a line. A command that is
//! broken or too large is taken away whole, its non-synchronising literals included, and never executed. The
//! message of an APPEND is not gathered: the command is handed over up to its literal. Keeps at most one command of the limit.

use crate::grammar::Cursor;
use crate::limits::LITERALS_PER_COMMAND_MAX;
use memchr::{memchr, memchr2};

/// The announcement of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Literal {
    pub size: u64,
    /// The client waits for our word (`{n}`, not `{n+}`).
    pub synchronising: bool,
    /// `~{n}` (RFC 3516).
    pub binary: bool,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole command or line with its CRLF.
    Command(Vec<u8>),
    /// A literal that fits was announced and the client waits.
    Continue,
    /// An APPEND up to its message, or from one message to the next, without the announcement.
    Append { prefix: Vec<u8>, literal: Literal },
    /// A command that is not executed, with its tag if it had one.
    Fault { tag: Option<String>, fault: Fault },
}

/// Why a command cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// CR or LF alone.
    BareLineEnd,
    /// Past the octets of a command.
    TooLong,
    /// Past [`LITERALS_PER_COMMAND_MAX`].
    TooManyLiterals,
    /// Past what is dropped in patience: nothing can be read after it.
    Flood,
}

/// What is expected, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// A command with its literals, or a line alone?
    pub literals: bool,
    /// Which literals are messages, to be handed over?
    pub messages: Messages,
    /// Octets of a command.
    pub command_bytes_max: usize,
    /// Octets of a refused command.
    pub dropped_bytes_max: u64,
}

/// Literals that are messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Messages {
    None,
    /// That of an APPEND.
    First,
    /// What follows is the rest of an APPEND: all of them.
    Next,
}

/// Of a line that is dropped, this much of the end is kept: the announcement of a literal fits.
const TAIL_BYTES: usize = 64;

/// Gathers one command after the other.
#[derive(Default)]
pub(crate) struct Framer {
    gathered: Vec<u8>,
    line_start: usize,
    /// Octets that are missing from the literal at hand.
    literal: u64,
    literals: usize,
    dropped: u64,
    fault: Option<Fault>,
    tag: Option<String>,
}

impl Framer {
    /// Returns how many bytes were used, and a frame when one is complete.
    pub(crate) fn read(&mut self, bytes: &[u8], expected: Expected) -> (usize, Option<Frame>) {
        let mut rest = bytes;
        let used = |rest: &[u8]| bytes.len() - rest.len();
        while !rest.is_empty() && self.fault != Some(Fault::Flood) {
            if self.literal > 0 {
                let (octets, after) = rest.split_at(usize::try_from(self.literal).unwrap_or(usize::MAX).min(rest.len()));
                self.literal -= octets.len() as u64;
                self.keep(octets, expected);
                self.line_start = self.gathered.len();
                rest = after;
                continue;
            }
            let (line, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |at| at + 1));
            self.keep(line, expected);
            rest = after;
            let current = self.gathered.get(self.line_start..).unwrap_or_default();
            if current.ends_with(b"\r\n")
                && let Some(frame) = self.end_of_line(expected)
            {
                return (used(rest), Some(frame));
            }
        }
        let flood = (self.fault == Some(Fault::Flood)).then(|| self.take_fault(Fault::Flood));
        (used(rest), flood)
    }

    /// What there is of the command at hand, up to the literal just announced.
    pub(crate) fn gathered(&self) -> &[u8] {
        &self.gathered
    }

    fn keep(&mut self, bytes: &[u8], expected: Expected) {
        if self.fault.is_none() && self.gathered.len() + bytes.len() > expected.command_bytes_max {
            // The tag is looked for in what a whole read and one in pieces have in common.
            let room = expected.command_bytes_max.saturating_sub(self.gathered.len());
            self.gathered.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.fail(Fault::TooLong);
            return self.drop(bytes.get(room..).unwrap_or_default(), expected);
        }
        if self.fault.is_some() { self.drop(bytes, expected) } else { self.gathered.extend_from_slice(bytes) }
    }

    fn drop(&mut self, bytes: &[u8], expected: Expected) {
        self.dropped = self.dropped.saturating_add(bytes.len() as u64);
        if self.dropped > expected.dropped_bytes_max {
            self.fault = Some(Fault::Flood);
        }
        self.gathered.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        let excess = self.gathered.len().saturating_sub(TAIL_BYTES);
        self.gathered.drain(..excess);
        self.line_start = self.line_start.saturating_sub(excess);
    }

    fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.tag = Cursor::new(&self.gathered).tag().map(str::to_owned);
        }
    }

    fn end_of_line(&mut self, expected: Expected) -> Option<Frame> {
        let (before, line) = self.gathered.split_at_checked(self.line_start)?;
        let line = line.strip_suffix(b"\r\n")?;
        let announced = if expected.literals { announcement(line) } else { None };
        let bare = memchr2(b'\r', b'\n', line).is_some();
        let prefix_len = before.len() + announced.map_or(line.len(), |(start, _)| start);
        if bare {
            self.fail(Fault::BareLineEnd);
        }
        let Some((_, literal)) = announced else {
            return Some(match self.fault {
                Some(fault) => self.take_fault(fault),
                None => Frame::Command(std::mem::take(self).gathered),
            });
        };
        let is_message = match expected.messages {
            Messages::None => false,
            Messages::First => precedes_message(self.gathered.get(..prefix_len)?),
            Messages::Next => true,
        };
        if self.fault.is_none() && is_message {
            let mut prefix = std::mem::take(self).gathered;
            prefix.truncate(prefix_len);
            return Some(Frame::Append { prefix, literal });
        }
        self.announced(literal, expected)
    }

    fn announced(&mut self, literal: Literal, expected: Expected) -> Option<Frame> {
        self.literals += 1;
        if self.literals > LITERALS_PER_COMMAND_MAX {
            self.fail(Fault::TooManyLiterals);
        }
        if literal.size > expected.command_bytes_max.saturating_sub(self.gathered.len()) as u64 {
            self.fail(Fault::TooLong);
        }
        match self.fault {
            // The client waits for our word, and gets another one than it hoped for.
            Some(fault) if literal.synchronising => return Some(self.take_fault(fault)),
            Some(_) if literal.size > expected.dropped_bytes_max => return Some(self.take_fault(Fault::Flood)),
            _ => {}
        }
        self.literal = literal.size;
        self.line_start = self.gathered.len();
        literal.synchronising.then_some(Frame::Continue)
    }

    fn take_fault(&mut self, fault: Fault) -> Frame {
        Frame::Fault { tag: std::mem::take(self).tag, fault }
    }
}

/// RFC 3501 §9, RFC 7888 §8, RFC 3516 §7: literal = ["~"] "{" number ["+"] "}" CRLF; and where it starts in the line.
fn announcement(line: &[u8]) -> Option<(usize, Literal)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, synchronising) = inner.strip_suffix(b"+").map_or((inner, true), |inner| (inner, false));
    let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = inner.split_at_checked(inner.len() - digits)?;
    let before = before.strip_suffix(b"{")?;
    let size = std::str::from_utf8(number).ok().filter(|number| !number.is_empty())?;
    // A number past 64 bits is past every limit.
    let size = size.parse().unwrap_or(u64::MAX);
    let (before, binary) = before.strip_suffix(b"~").map_or((before, false), |before| (before, true));
    Some((before.len(), Literal { size, synchronising, binary }))
}

/// Is this an APPEND whose next literal is the message, not the mailbox's name?
fn precedes_message(prefix: &[u8]) -> bool {
    let mut cursor = Cursor::new(prefix);
    let append = cursor.tag().is_some() && cursor.space() && cursor.word().is_some_and(|verb| verb.eq_ignore_ascii_case("APPEND"));
    append && cursor.space() && !cursor.is_at_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected { literals: true, messages: Messages::First, command_bytes_max: 100, dropped_bytes_max: 1000 };

    fn frames(wire: &[u8], piece: usize) -> Vec<Frame> {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for mut piece in wire.chunks(piece) {
            while !piece.is_empty() {
                let (used, frame) = framer.read(piece, EXPECTED);
                frames.extend(frame);
                piece = &piece[used..];
            }
        }
        frames
    }

    fn command(text: &str) -> Frame {
        Frame::Command(text.as_bytes().to_vec())
    }

    fn fault(tag: &str, fault: Fault) -> Frame {
        Frame::Fault { tag: Some(tag.to_owned()).filter(|tag| !tag.is_empty()), fault }
    }

    #[test]
    fn commands_literals_and_faults() {
        let long = "x".repeat(200);
        let plain = Literal { size: 310, synchronising: true, binary: false };
        let table: Vec<(String, Vec<Frame>)> = vec![
            ("a NOOP\r\nb NOOP\r\n".into(), vec![command("a NOOP\r\n"), command("b NOOP\r\n")]),
            ("a NOOP\n\r\n".into(), vec![fault("a", Fault::BareLineEnd)]),
            ("a NO\rOP\r\nb X\r\n".into(), vec![fault("a", Fault::BareLineEnd), command("b X\r\n")]),
            ("a LOGIN {2}\r\n\r\n {1+}\r\ny\r\n".into(), vec![Frame::Continue, command("a LOGIN {2}\r\n\r\n {1+}\r\ny\r\n")]),
            ("a LOGIN {0+}\r\n x\r\n".into(), vec![command("a LOGIN {0+}\r\n x\r\n")]),
            ("a LOGIN {200}\r\nb NOOP\r\n".into(), vec![fault("a", Fault::TooLong), command("b NOOP\r\n")]),
            (format!("a LOGIN {{200+}}\r\n{long} {{3+}}\r\nc X\r\nb NOOP\r\n"), vec![fault("a", Fault::TooLong), command("b NOOP\r\n")]),
            (format!("a {long} {{6+}}\r\nc NOOP\r\nb NOOP\r\n"), vec![fault("a", Fault::TooLong), command("b NOOP\r\n")]),
            ("a LOGIN {2000+}\r\n".into(), vec![fault("a", Fault::Flood)]),
            ("a LOGIN {99999999999999999999999}\r\n".into(), vec![fault("a", Fault::TooLong)]),
            (format!("{}\r\n", "\x01".repeat(101)), vec![fault("", Fault::TooLong)]),
            ("a APPEND INBOX {310}\r\n".into(), vec![Frame::Append { prefix: b"a APPEND INBOX ".to_vec(), literal: plain }]),
            (
                "a append {5+}\r\nINBOX () ~{310}\r\n".into(),
                vec![Frame::Append { prefix: b"a append {5+}\r\nINBOX () ".to_vec(), literal: Literal { binary: true, ..plain } }],
            ),
            ("a X {}\r\nb X {+}\r\nc X {1 }\r\n".into(), vec![command("a X {}\r\n"), command("b X {+}\r\n"), command("c X {1 }\r\n")]),
        ];
        for (wire, expected) in table {
            for piece in [usize::MAX, 1, 3] {
                assert_eq!(frames(wire.as_bytes(), piece), expected, "{wire:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_is_refused_costs_no_memory() {
        let mut framer = Framer::default();
        for _ in 0..10 {
            assert_eq!(framer.read(&[b'x'; 100], EXPECTED), (100, None));
            assert!(framer.gathered.len() <= EXPECTED.command_bytes_max);
        }
        let (_, frame) = framer.read(&[b'x'; 200], EXPECTED);
        assert!(matches!(frame, Some(Frame::Fault { fault: Fault::Flood, .. })));
    }

    #[test]
    fn too_many_literals() {
        let wire = format!("a X{}\r\n", " {0+}\r\n".repeat(LITERALS_PER_COMMAND_MAX + 1));
        let mut framer = Framer::default();
        let (used, frame) = framer.read(wire.as_bytes(), Expected { command_bytes_max: 10_000, ..EXPECTED });
        assert_eq!((used, frame), (wire.len(), Some(fault("a", Fault::TooManyLiterals))));
    }
}
