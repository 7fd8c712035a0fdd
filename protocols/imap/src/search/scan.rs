//! Looking for texts in the body of a message while it is read: BODY and TEXT (RFC 3501 §6.4.4).
//!
//! Asks for the octets of one part after the other and stops as soon as nothing that is left can matter. Looks at parts
//! of type text and at the header fields of messages within the message; what else is attached is no text.

use super::header::Header;
use super::known::Known;
use super::needle::Needle;
use super::program::Program;
use super::reader::Reader;
use super::{EntryFacts, Verdict};
use crate::parts::{Kind, Parts, Text};
use std::collections::VecDeque;
use std::ops::Range;
use stoa_mime::date::Date;
use stoa_mime::limits::HEADER_KEPT_BYTES_MAX;

/// A message that is being looked through.
#[derive(Debug)]
pub struct TextScan<'a> {
    program: &'a Program,
    spans: VecDeque<Span<'a>>,
    current: Current,
    overlap_bytes: usize,
    /// For each needle of the program.
    found: Vec<bool>,
    /// Needles not found that still matter.
    wanted: Vec<usize>,
}

/// Octets of the message to be read, and how.
#[derive(Debug)]
struct Span<'a> {
    range: Range<u64>,
    /// None for header fields.
    text: Option<&'a Text>,
}

/// What is being read.
#[derive(Debug)]
enum Current {
    Nothing,
    Text(Reader),
    Header(Vec<u8>),
}

impl<'a> TextScan<'a> {
    /// At the start of the message with these parts.
    pub fn new(program: &'a Program, parts: &'a Parts) -> Self {
        let longest = program.needles.iter().map(Needle::len).max().unwrap_or(0);
        let mut scan = Self {
            program,
            spans: gather(parts),
            current: Current::Nothing,
            overlap_bytes: longest.saturating_sub(1),
            found: vec![false; program.needles.len()],
            wanted: Vec::new(),
        };
        scan.update();
        scan
    }

    /// The next octets of the message to be fed, in order and to their end unless [`Self::is_decided`]; none when
    /// nothing more is wanted.
    #[allow(clippy::should_implement_trait, reason = "what is given must be fed before more is asked for")]
    pub fn next(&mut self) -> Option<Range<u64>> {
        self.close();
        if self.is_decided() {
            return None;
        }
        let span = self.spans.pop_front()?;
        self.current = match span.text {
            Some(text) => Current::Text(self.reader(text)),
            None => Current::Header(Vec::new()),
        };
        Some(span.range)
    }

    /// Takes octets of the range last given.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_decided() {
            return;
        }
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Text(mut reader) => {
                reader.feed(bytes, &mut |text| self.look(|needle| needle.is_in(text)));
                self.current = Current::Text(reader);
            }
            Current::Header(mut block) => {
                let room = HEADER_KEPT_BYTES_MAX.saturating_sub(block.len());
                block.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                self.current = Current::Header(block);
            }
        }
    }

    /// Whether nothing that may be fed can matter.
    pub fn is_decided(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether the message is one of those looked for. `header` and `sent` as for [`Program::by_header`].
    pub fn verdict(mut self, facts: &EntryFacts<'_>, header: &[u8], sent: Option<Date>) -> bool {
        self.close();
        let header = Header::new(header);
        let known =
            Known { needles: &self.program.needles, facts: Some(facts), header: Some((&header, sent)), found: &self.found, is_whole: true };
        known.judge(&self.program.root) == Verdict::Yes
    }

    /// The part is over.
    fn close(&mut self) {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Text(reader) => reader.finish(&mut |text| self.look(|needle| needle.is_in(text))),
            Current::Header(block) => {
                let header = Header::new(&block);
                self.look(|needle| header.contains(needle));
            }
        }
    }

    fn look(&mut self, is_here: impl Fn(&Needle) -> bool) {
        let mut any = false;
        for place in &self.wanted {
            if let (Some(needle), Some(found)) = (self.program.needles.get(*place), self.found.get_mut(*place))
                && is_here(needle)
            {
                (*found, any) = (true, true);
            }
        }
        if any {
            self.update();
        }
    }

    fn update(&mut self) {
        self.wanted.clear();
        let known = Known { found: &self.found, ..Known::nothing(&self.program.needles) };
        known.wanted(&self.program.root, &mut self.wanted);
    }

    fn reader(&self, text: &Text) -> Reader {
        Reader::new(text.encoding, Some(text.charset.as_str()).filter(|name| !name.is_empty()), self.overlap_bytes)
    }
}

/// In the order they lie. Of the header of a message within, no more is looked at than is kept of that of the message.
fn gather(parts: &Parts) -> VecDeque<Span<'_>> {
    let mut spans = VecDeque::new();
    let mut within = false;
    for part in parts.all() {
        if std::mem::replace(&mut within, part.kind == Kind::Message) {
            let kept = part.header.start.saturating_add(HEADER_KEPT_BYTES_MAX as u64);
            spans.push_back(Span { range: part.header.start..part.header.end.min(kept), text: None });
        }
        if part.kind == Kind::Leaf && part.text.is_some() {
            spans.push_back(Span { range: part.body.clone(), text: part.text.as_ref() });
        }
    }
    spans.retain(|span| !span.range.is_empty());
    spans
}
