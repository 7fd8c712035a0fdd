//! Finds the parts of a message while it streams by.
//!
//! Reads bytes from strangers, in pieces of any size; gives the tree of parts and the header of the message. Keeps open
//! parts, one header block and the head of one line: what it holds is bounded by [`crate::limits`], and each byte is
//! looked at a few times at most. RFC 2046 §5.1 and §5.2.1, RFC 5322 §2.1, RFC 6532 §3.7.
//!
//! What breaks the rules: an outer delimiter, or the end, ends all within. A multipart without a usable boundary, or with no
//! delimiter at all, has one part of plain text, all of its body, so that its text can be read and IMAP's grammar is kept.
//! A leaf is never `multipart/*`, `message/rfc822` or `message/global`: such a part that lies too deep or past the number
//! of parts, and a message in base64 or quoted-printable, is `application/octet-stream`.
//! Parts past [`PARTS_MAX`] belong to the epilogue.

use memchr::memchr;

use crate::content::{describe, envelope, opaque, plain_text};
use crate::limits::*;
use crate::line::{Delimiter, Line};
use crate::parameters::parameter;
use crate::part::{Content, ContentType, Description, Part};
use crate::preview::Sources;

/// Takes a message piece by piece.
#[derive(Debug)]
pub struct Scanner {
    line: Line,
    /// Line ends so far, and what the line before this one was.
    lines: u64,
    before: Before,
    /// From the whole message to the innermost part.
    open: Vec<Open>,
    /// Of the innermost part, while its header is read.
    block: Option<Block>,
    top: Option<(Vec<u8>, bool)>,
    preview: Sources,
    parts_left: usize,
    kept_left: usize,
    addresses_left: usize,
}

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The whole message, with its envelope.
    pub part: Part,
    /// Its header block, in whole fields, with the empty line that ends it; [`HEADER_KEPT_BYTES_MAX`] bytes at most, and
    /// what was put in front by [`Scanned::behind`].
    pub header: Vec<u8>,
    /// Whether no field was too long to be kept.
    pub header_complete: bool,
    /// Octets in all.
    pub size: u64,
    /// One line of its text, perhaps empty, for lists of messages (RFC 8970).
    pub preview: String,
}

impl Scanned {
    /// The same message with whole header fields in front, which say nothing of what it is: trace fields that were known
    /// only at its end.
    pub fn behind(mut self, fields: &[u8]) -> Self {
        let by = fields.len() as u64;
        self.part.shift(by);
        self.part.header.start = 0;
        self.header.splice(0..0, fields.iter().copied());
        self.size += by;
        self
    }
}

/// The line before the current one.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    ending: u64,
    is_empty: bool,
}

/// A part that has not ended.
#[derive(Debug)]
struct Open {
    start: u64,
    body: u64,
    lines: u64,
    is_message: bool,
    /// RFC 2046 §5.1.5: within multipart/digest, message/rfc822 is what nothing said means.
    in_digest: bool,
    content_type: ContentType,
    description: Description,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Leaf,
    /// Once it is over, or if it has no boundary, nothing delimits its parts.
    Multipart {
        boundary: Vec<u8>,
        parts: Vec<Part>,
        is_over: bool,
    },
    Message(Option<Box<Part>>),
}

/// A header block that is being read.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Where in `bytes` the last field starts and the last line starts.
    field: usize,
    line: usize,
    /// Whether the current field is left out since it did not fit.
    skipping: bool,
    complete: bool,
}

/// Where parts end, and the line ends before.
#[derive(Debug, Clone, Copy)]
struct End {
    at: u64,
    lines: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// At the start of a message.
    pub fn new() -> Self {
        Self {
            line: Line::at(0),
            lines: 0,
            before: Before::default(),
            open: vec![Open::new(0, 0, true, false)],
            block: Some(Block::new(HEADER_KEPT_BYTES_MAX)),
            top: None,
            preview: Sources::default(),
            parts_left: PARTS_MAX - 1,
            kept_left: PART_HEADERS_KEPT_BYTES_MAX,
            addresses_left: ADDRESSES_MAX,
        }
    }

    /// Reads on.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let length = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let (segment, rest) = bytes.split_at(length);
            match &mut self.block {
                Some(block) => block.push(segment, self.line.length == 0),
                None => self.preview.push(segment, self.line.length == 0),
            }
            self.line.push(segment);
            if self.line.ending() > 0 {
                self.end_line();
            }
            bytes = rest;
        }
    }

    /// Ends the message.
    pub fn finish(mut self) -> Scanned {
        if self.line.length > 0 {
            self.end_line();
        }
        let end = End { at: self.line.start, lines: self.lines };
        let mut whole = None;
        while let Some(part) = self.close_innermost(end) {
            whole = self.attach(part);
        }
        let (header, header_complete) = self.top.take().unwrap_or_default();
        let part = whole.unwrap_or_else(|| Open::new(0, 0, true, false).end(end));
        Scanned { part, header, header_complete, size: end.at, preview: self.preview.finish() }
    }

    /// The line is whole; the last one may lack its end.
    fn end_line(&mut self) {
        let (start, next) = (self.line.start, self.line.end());
        let (ending, is_empty) = (self.line.ending(), self.line.is_empty());
        match self.delimiter() {
            Some((depth, delimiter)) => self.take_delimiter(depth, delimiter, start, next),
            None if self.block.is_some() && is_empty => {
                self.lines += 1;
                self.end_header(next);
            }
            None => self.lines += 1,
        }
        self.before = Before { ending, is_empty };
        self.line.next();
    }

    /// The innermost multipart to which the line is a delimiter, by its place among the open ones.
    fn delimiter(&self) -> Option<(usize, Delimiter)> {
        if !self.line.may_be_delimiter() {
            return None;
        }
        let of = |open: &Open| match &open.holds {
            Holds::Multipart { boundary, is_over: false, .. } => self.line.delimiter(boundary),
            _ => None,
        };
        self.open.iter().enumerate().rev().find_map(|(depth, open)| Some((depth, of(open)?)))
    }

    /// Ends the parts within the multipart at this depth; opens the next one, if there is one.
    fn take_delimiter(&mut self, depth: usize, delimiter: Delimiter, start: u64, next: u64) {
        let end = self.end_before(start);
        self.preview.end();
        if let Some(block) = &mut self.block {
            block.take_back();
        }
        while self.open.len() > depth + 1 {
            let Some(part) = self.close_innermost(end) else { break };
            self.attach(part);
        }
        self.lines += 1;
        let Some(Open { content_type, holds: Holds::Multipart { is_over, .. }, .. }) = self.open.last_mut() else { return };
        if delimiter == Delimiter::Close || self.parts_left == 0 {
            *is_over = true;
            return;
        }
        let in_digest = content_type.subtype == "digest";
        self.parts_left -= 1;
        self.begin(next, false, in_digest);
    }

    /// Where what comes before a delimiter ends: without the line end before it, which belongs to the delimiter (RFC 2046
    /// §5.1.1), unless that one ends a header or another delimiter.
    fn end_before(&self, start: u64) -> End {
        let in_header = self.block.is_some();
        if in_header || self.open.last().is_none_or(|open| open.body == start) {
            return End { at: start, lines: self.lines };
        }
        End { at: start - self.before.ending, lines: self.lines - u64::from(self.before.is_empty) }
    }

    fn begin(&mut self, start: u64, is_message: bool, in_digest: bool) {
        self.open.push(Open::new(start, self.lines, is_message, in_digest));
        self.block = Some(Block::new(PART_HEADER_KEPT_BYTES_MAX.min(self.kept_left)));
    }

    /// The header of the innermost part ends here; a message within it begins.
    fn end_header(&mut self, at: u64) {
        let Some(block) = self.block.take() else { return };
        let is_top = self.top.is_none();
        if !is_top {
            self.kept_left = self.kept_left.saturating_sub(block.bytes.len());
        }
        let may_hold = self.open.len() < DEPTH_MAX && self.parts_left > 0;
        let lines = self.lines;
        let is_inner = self.open.iter().skip(1).any(|part| part.is_message);
        let Some(part) = self.open.last_mut() else { return };
        (part.body, part.lines) = (at, lines);
        let holds_message = part.read(&block.bytes, may_hold, &mut self.addresses_left);
        if matches!(part.holds, Holds::Leaf) && !is_inner {
            self.preview.begin(&part.content_type, &part.description);
        }
        if is_top {
            self.top = Some((block.bytes, block.complete));
        }
        if holds_message {
            self.parts_left -= 1;
            self.begin(at, true, false);
        }
    }

    fn close_innermost(&mut self, end: End) -> Option<Part> {
        // A header may end with its part; then a message in it has an empty header, which ends here too.
        while self.block.is_some() {
            self.end_header(end.at);
        }
        self.open.pop().map(|open| open.end(end))
    }

    /// Gives a part that has ended to the one that holds it, or back, if it is the whole message.
    fn attach(&mut self, part: Part) -> Option<Part> {
        match self.open.last_mut().map(|open| &mut open.holds) {
            Some(Holds::Multipart { parts, .. }) => parts.push(part),
            Some(Holds::Message(message)) => *message = Some(Box::new(part)),
            Some(Holds::Leaf) => {}
            None => return Some(part),
        }
        None
    }
}

impl Open {
    fn new(start: u64, lines: u64, is_message: bool, in_digest: bool) -> Self {
        let (content_type, description) = (plain_text(), Description::default());
        Self { start, body: start, lines, is_message, in_digest, content_type, description, holds: Holds::Leaf }
    }

    /// Takes in what the header says; true if a message follows. Without `may_hold` it can have no parts.
    fn read(&mut self, block: &[u8], may_hold: bool, addresses_left: &mut usize) -> bool {
        let (content_type, description) = describe(block);
        let digested = || ContentType { kind: "message".to_owned(), subtype: "rfc822".to_owned(), parameters: Vec::new() };
        self.content_type = content_type.unwrap_or_else(|| if self.in_digest { digested() } else { plain_text() });
        self.description = description;
        if self.is_message {
            self.description.envelope = Some(Box::new(envelope(block, addresses_left)));
        }
        // RFC 2045 §6.4 allows no other encoding for a multipart; one that is claimed is not there.
        let is_encoded = !matches!(self.description.encoding.as_deref(), None | Some("7bit" | "8bit" | "binary"));
        match (self.content_type.kind.as_str(), self.content_type.subtype.as_str()) {
            ("multipart", _) if may_hold => {
                let boundary = self.boundary();
                let is_over = boundary.is_none();
                self.holds = Holds::Multipart { boundary: boundary.unwrap_or_default(), parts: Vec::new(), is_over };
            }
            ("multipart", _) => self.content_type = opaque(),
            ("message", "rfc822" | "global") if may_hold && !is_encoded => self.holds = Holds::Message(None),
            ("message", "rfc822" | "global") => self.content_type = opaque(),
            _ => {}
        }
        matches!(self.holds, Holds::Message(_))
    }

    /// RFC 2046 §5.1.1: a boundary does not end with space, and is not empty.
    fn boundary(&self) -> Option<Vec<u8>> {
        let plain = self.content_type.parameters.iter().find(|(name, _)| name == "boundary").map(|(_, value)| value.clone());
        let boundary = plain.or_else(|| parameter(&self.content_type.parameters, "boundary").map(String::into_bytes))?;
        let boundary = boundary.trim_ascii_end();
        (!boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX).then(|| boundary.to_vec())
    }

    fn end(self, end: End) -> Part {
        let (body, body_lines) = (self.body..end.at.max(self.body), end.lines.saturating_sub(self.lines));
        let stand_in = |is_message: bool| Part {
            header: body.start..body.start,
            body: body.clone(),
            body_lines,
            content_type: plain_text(),
            description: Description { envelope: is_message.then(Box::default), ..Description::default() },
            content: Content::Leaf,
        };
        let content = match self.holds {
            Holds::Leaf => Content::Leaf,
            Holds::Multipart { parts, .. } if parts.is_empty() => Content::Multipart(vec![stand_in(false)]),
            Holds::Multipart { parts, .. } => Content::Multipart(parts),
            Holds::Message(message) => Content::Message(message.unwrap_or_else(|| Box::new(stand_in(true)))),
        };
        let header = self.start..self.body;
        Part { header, body, body_lines, content_type: self.content_type, description: self.description, content }
    }
}

impl Block {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, field: 0, line: 0, skipping: false, complete: true }
    }

    /// Takes a piece of a line. A field that does not fit is left out from its start.
    fn push(&mut self, bytes: &[u8], is_line_start: bool) {
        if is_line_start {
            self.line = self.bytes.len();
            if !matches!(bytes.first(), Some(b' ' | b'\t')) {
                (self.field, self.skipping) = (self.bytes.len(), false);
            }
        }
        if self.skipping {
            return;
        }
        if self.bytes.len() + bytes.len() > self.bytes_max {
            self.bytes.truncate(self.field);
            (self.line, self.skipping, self.complete) = (self.field, true, false);
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The last line turned out to be no part of the header.
    fn take_back(&mut self) {
        self.bytes.truncate(self.line);
    }
}
