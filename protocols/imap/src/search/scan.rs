//! Looking for texts in the body of a message while it is read: BODY and TEXT (RFC 9051 §6.4.4).
//!
//! Asks for the octets of one part after the other and stops as soon as nothing that is left can matter. Looks at parts
//! of type text and at the header fields of messages within the message; TEXT also at the fields of each part, so that it finds
//! what an attachment is called. What else is attached is no text.

use super::header::Header;
use super::known::Known;
use super::program::{Program, Sought};
use super::reader::Reader;
use super::{EntryFacts, Verdict};
use crate::fold::fold;
use crate::parts::{Kind, Parts, Text};
use std::cell::LazyCell;
use std::collections::VecDeque;
use std::ops::Range;
use stoa_mime::date::Date;
use stoa_mime::header::fields;
use stoa_mime::limits::HEADER_KEPT_BYTES_MAX;
use stoa_mime::{content, parameter};

/// A message that is being looked through.
pub struct TextScan<'a> {
    program: &'a Program,
    header: Header<'a>,
    spans: VecDeque<Span<'a>>,
    current: Current,
    /// The fields last read say that what follows is HTML.
    is_html: bool,
    overlap_bytes: usize,
    /// For each text sought.
    found: Vec<bool>,
    /// Places of those not found that still matter.
    wanted: Vec<usize>,
}

/// Octets of the message to be read, and what they are.
struct Span<'a> {
    range: Range<u64>,
    what: What<'a>,
}

enum What<'a> {
    Text(&'a Text),
    /// Of a message within, and so part of the body.
    Header,
    /// Of a part.
    Fields,
}

/// What is being read.
enum Current {
    Nothing,
    Text(Box<Reader>),
    Header(Vec<u8>),
    Fields(Vec<u8>),
}

impl<'a> TextScan<'a> {
    /// At the start of the message with these parts; `header` as for [`Program::by_header`].
    pub fn new(program: &'a Program, parts: &'a Parts, header: Header<'a>) -> Self {
        let longest = program.sought.iter().map(|sought| sought.needle.len()).max().unwrap_or(0);
        let mut scan = Self {
            program,
            spans: gather(parts, program.sought.iter().any(|sought| sought.in_header)),
            current: Current::Nothing,
            is_html: is_html(header.block()),
            header,
            overlap_bytes: longest.saturating_sub(1),
            found: Vec::new(),
            wanted: Vec::new(),
        };
        scan.found.extend(program.sought.iter().map(|sought| sought.in_header && scan.header.contains(&sought.needle)));
        scan.update();
        scan
    }

    /// The next octets of the message to be fed, in order and to their end unless [`Self::is_decided`]; none when
    /// nothing more is wanted.
    pub fn next_range(&mut self) -> Option<Range<u64>> {
        self.close();
        if self.is_decided() {
            return None;
        }
        let span = self.spans.pop_front()?;
        self.current = match span.what {
            What::Text(text) => Current::Text(Box::new(self.reader(text))),
            What::Header => Current::Header(Vec::new()),
            What::Fields => Current::Fields(Vec::new()),
        };
        Some(span.range)
    }

    /// Takes octets of the range last given.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_decided() {
            return;
        }
        match &mut self.current {
            Current::Nothing => {}
            Current::Header(block) | Current::Fields(block) => {
                let room = HEADER_KEPT_BYTES_MAX.saturating_sub(block.len());
                block.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Current::Text(_) => {
                let Current::Text(mut reader) = std::mem::replace(&mut self.current, Current::Nothing) else { return };
                reader.feed(bytes, &mut |text| self.look(|sought| sought.needle.is_in(text)));
                self.current = Current::Text(reader);
            }
        }
    }

    /// Whether nothing that may be fed can matter.
    pub fn is_decided(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether the message is one of those looked for; `sent` as for [`Program::by_header`].
    pub fn verdict(mut self, facts: &EntryFacts<'_>, sent: Option<Date>) -> bool {
        self.close();
        let header = Some((&self.header, sent));
        let known = Known { sought: &self.program.sought, facts: Some(facts), header, found: &self.found, is_whole: true };
        known.judge(&self.program.root) == Verdict::Yes
    }

    /// The part is over.
    fn close(&mut self) {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Text(reader) => {
                self.is_html = false;
                reader.finish(&mut |text| self.look(|sought| sought.needle.is_in(text)));
            }
            Current::Header(block) => {
                self.is_html = is_html(&block);
                let header = Header::new(&block);
                self.look(|sought| header.contains(&sought.needle));
            }
            Current::Fields(block) => {
                self.is_html = is_html(&block);
                let (header, names) = (Header::new(&block), LazyCell::new(|| file_names(&block)));
                self.look(|sought| sought.in_header && (header.contains(&sought.needle) || sought.needle.is_in(&names)));
            }
        }
    }

    fn look(&mut self, is_here: impl Fn(&Sought) -> bool) {
        let mut any = false;
        for place in &self.wanted {
            if let (Some(sought), Some(found)) = (self.program.sought.get(*place), self.found.get_mut(*place))
                && is_here(sought)
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
        let known = Known { found: &self.found, ..Known::nothing(&self.program.sought) };
        known.wanted(&self.program.root, &mut self.wanted);
    }

    fn reader(&self, text: &Text) -> Reader {
        let charset = Some(text.charset.as_str()).filter(|name| !name.is_empty());
        Reader::new(text.encoding, charset, self.is_html, self.overlap_bytes)
    }
}

/// In the order they lie. Of the header of a part within, no more is looked at than is kept of that of the message; and nothing, if
/// it neither is looked through nor says how a text is to be read.
fn gather(parts: &Parts, with_fields: bool) -> VecDeque<Span<'_>> {
    let mut spans = VecDeque::new();
    let mut within = false;
    for (place, part) in parts.all().iter().enumerate() {
        let text = part.text.as_ref().filter(|_| part.kind == Kind::Leaf);
        let is_message = std::mem::replace(&mut within, part.kind == Kind::Message);
        if place > 0 && (is_message || with_fields || text.is_some()) {
            let kept = part.header.start.saturating_add(HEADER_KEPT_BYTES_MAX as u64);
            let what = if is_message { What::Header } else { What::Fields };
            spans.push_back(Span { range: part.header.start..part.header.end.min(kept), what });
        }
        if let Some(text) = text {
            spans.push_back(Span { range: part.body.clone(), what: What::Text(text) });
        }
    }
    spans.retain(|span| !span.range.is_empty());
    spans
}

/// Does a part with these fields hold HTML?
fn is_html(block: &[u8]) -> bool {
    let kind = fields(block).find(|field| field.is("Content-Type"));
    let subtype = kind.as_ref().and_then(|field| field.raw.trim_ascii_start().split_at_checked("text/html".len()));
    subtype.is_some_and(|(start, rest)| start.eq_ignore_ascii_case(b"text/html") && !rest.first().is_some_and(|next| is_token(*next)))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte)
}

/// What a part with these fields is called, decoded (RFC 2231) and folded.
fn file_names(block: &[u8]) -> String {
    let named = fields(block).filter_map(|field| {
        let value = field.value();
        if field.is("Content-Disposition") {
            return parameter(&content::disposition(&value)?.1, "filename");
        }
        field.is("Content-Type").then(|| content::content_type(&value)).flatten().and_then(|kind| parameter(&kind.parameters, "name"))
    });
    named.map(|name| fold(&name)).collect::<Vec<_>>().join("\n")
}
