//! The parts of a message in a compact form: where each lies, and how its text is to be read.
//!
//! Made once at delivery, kept in the summary, read when a section is asked for (RFC 3501 §6.4.5) or a text is searched.
//! The parts stand in the order in which they come, each with its depth, so that no reader needs recursion.

use std::ops::Range;
use stoa_mime::transfer::Encoding;
use stoa_mime::{Content, Part, parameter};
use stoa_record::{Reader, RecordError, Writer};

/// All parts of a message; the first is the message itself. A [`Summary`](crate::Summary) holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts(Vec<Node>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Of the message 0, of its parts 1, and so on.
    depth: u64,
    /// With the empty line.
    pub header: Range<u64>,
    /// Without the line end before the next boundary.
    pub body: Range<u64>,
    pub kind: Kind,
    /// How a person's text comes of the body; none if it is not text.
    pub text: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Leaf,
    Multipart,
    /// The one part below is a message.
    Message,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub encoding: Encoding,
    /// As named in the message; empty for none.
    pub charset: String,
}

const VERSION: u8 = 1;
/// Of the whole: each part, as a record.
const PART: u32 = 1;
// Of a part.
const DEPTH: u32 = 1;
const HEADER_START: u32 = 2;
const HEADER_LENGTH: u32 = 3;
const BODY_START: u32 = 4;
const BODY_LENGTH: u32 = 5;
/// 0 leaf, 1 multipart, 2 message.
const KIND: u32 = 6;
/// Only of text: 0 as it is, 1 base64, 2 quoted-printable.
const ENCODING: u32 = 7;
const CHARSET: u32 = 8;

/// The parts of this message as bytes; [`Parts::from_bytes`] is the inverse.
pub(crate) fn to_bytes(message: &Part) -> Vec<u8> {
    let mut record = Writer::new(VERSION);
    let mut waiting = vec![(0, message)];
    while let Some((depth, part)) = waiting.pop() {
        record = record.bytes(PART, &part_record(depth, part));
        match &part.content {
            Content::Leaf => {}
            Content::Multipart(parts) => waiting.extend(parts.iter().rev().map(|part| (depth + 1, part))),
            Content::Message(message) => waiting.push((depth + 1, message)),
        }
    }
    record.finish()
}

fn part_record(depth: u64, part: &Part) -> Vec<u8> {
    let length = |range: &Range<u64>| range.end.saturating_sub(range.start);
    let kind = match part.content {
        Content::Leaf => 0,
        Content::Multipart(_) => 1,
        Content::Message(_) => 2,
    };
    let record = Writer::new(VERSION)
        .u64(DEPTH, depth)
        .u64(HEADER_START, part.header.start)
        .u64(HEADER_LENGTH, length(&part.header))
        .u64(BODY_START, part.body.start)
        .u64(BODY_LENGTH, length(&part.body))
        .u64(KIND, kind);
    // Of message/*, leaves are reports and the like, which people read.
    let is_text = kind == 0 && matches!(part.content_type.kind.as_str(), "text" | "message");
    if !is_text {
        return record.finish();
    }
    let encoding = match Encoding::of(part.description.encoding.as_deref()) {
        Encoding::Identity => 0,
        Encoding::Base64 => 1,
        Encoding::QuotedPrintable => 2,
    };
    let charset = parameter(&part.content_type.parameters, "charset").unwrap_or_default();
    record.u64(ENCODING, encoding).str(CHARSET, &charset).finish()
}

impl Node {
    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, VERSION)?;
        let number = |field| record.u64(field)?.ok_or(RecordError::Missing(field));
        let range = |start: u32, length: u32| -> Result<Range<u64>, RecordError> {
            let from = number(start)?;
            Ok(from..from.checked_add(number(length)?).ok_or(RecordError::Missing(length))?)
        };
        let kind = match number(KIND)? {
            0 => Kind::Leaf,
            1 => Kind::Multipart,
            2 => Kind::Message,
            _ => return Err(RecordError::Missing(KIND)),
        };
        let encoding = match record.u64(ENCODING)? {
            None => None,
            Some(0) => Some(Encoding::Identity),
            Some(1) => Some(Encoding::Base64),
            Some(2) => Some(Encoding::QuotedPrintable),
            Some(_) => return Err(RecordError::Missing(ENCODING)),
        };
        let charset = record.str(CHARSET)?.unwrap_or_default().to_owned();
        let text = encoding.map(|encoding| Text { encoding, charset });
        Ok(Self { depth: number(DEPTH)?, header: range(HEADER_START, HEADER_LENGTH)?, body: range(BODY_START, BODY_LENGTH)?, kind, text })
    }
}

impl Parts {
    /// The inverse of [`to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        Reader::parse(bytes, VERSION)?.all_bytes(PART)?.map(Node::from_bytes).collect::<Result<_, _>>().map(Self)
    }

    /// All, in the order in which they come; what is within a message follows it.
    pub(crate) fn all(&self) -> &[Node] {
        &self.0
    }

    /// RFC 3501 §6.4.5: the part with these numbers, not empty.
    ///
    /// Numbers pass through a message within to its parts. A message, whole or within, that is no multipart has itself as part 1.
    pub(crate) fn find(&self, numbers: &[u32]) -> Option<&Node> {
        let (mut at, mut is_message) = (0, true);
        for &number in numbers {
            at = match self.0.get(at)?.kind {
                _ if is_message => self.part_of_message(at, number)?,
                Kind::Multipart => self.child(at, number)?,
                Kind::Message => self.part_of_message(self.child(at, 1)?, number)?,
                Kind::Leaf => return None,
            };
            is_message = false;
        }
        self.0.get(at)
    }

    /// The message within the part with these numbers, if it is one.
    pub(crate) fn find_message(&self, numbers: &[u32]) -> Option<&Node> {
        let outer = self.find(numbers).filter(|node| node.kind == Kind::Message)?;
        let place = self.0.iter().position(|node| std::ptr::eq(node, outer))?;
        self.0.get(self.child(place, 1)?)
    }

    fn part_of_message(&self, message: usize, number: u32) -> Option<usize> {
        match self.0.get(message)?.kind {
            Kind::Multipart => self.child(message, number),
            _ => (number == 1).then_some(message),
        }
    }

    /// The place of the n-th part right below the one at `parent`, from 1.
    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        let depth = self.0.get(parent)?.depth;
        let below = self.0.iter().enumerate().skip(parent + 1).take_while(|(_, node)| node.depth > depth);
        let mut children = below.filter(|(_, node)| node.depth == depth + 1);
        children.nth(usize::try_from(number.checked_sub(1)?).ok()?).map(|(place, _)| place)
    }
}
