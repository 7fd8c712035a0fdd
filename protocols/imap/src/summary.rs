//! What is computed once of a message, when it comes in, and stored beside it.
//!
//! The lists that mail programs ask for are then copies of stored bytes: ENVELOPE, BODY and BODYSTRUCTURE stand
//! here in wire form, the header of the message as it is, and an [`Outline`] says where every part lies. Reading one
//! thing of a stored summary decodes nothing else.

use std::ops::Range;
use stoa_mime::date::Date;
use stoa_mime::{Content, Part, parameter};
use stoa_record::{Reader, RecordError, Writer};

/// Octets of header kept in a summary: nearly every header is smaller, and a list of messages reads them all.
pub const SUMMARY_HEADER_BYTES_MAX: usize = 16 * 1024;

const VERSION: u8 = 1;

/// A summary that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// RFC 3501 §9: envelope.
    pub envelope: Vec<u8>,
    /// RFC 3501 §9: body, without extension data.
    pub body: Vec<u8>,
    /// RFC 3501 §9: body, with extension data.
    pub body_structure: Vec<u8>,
    /// The header fields with the empty line that ends them; empty where they are too many to keep.
    pub header: Vec<u8>,
    /// The Date field, where it can be understood.
    pub sent: Option<Date>,
    /// Where the parts lie.
    pub outline: Outline,
}

/// Where a part of a message lies, and what of it is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// As of [`Part`].
    pub header: Range<u64>,
    /// As of [`Part`].
    pub body: Range<u64>,
    /// How its text is written, if it is text.
    pub text: Option<Text>,
    /// What it holds.
    pub inside: Inside,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// No parts.
    Nothing,
    /// The parts of a multipart, never none.
    Parts(Vec<Outline>),
    /// The message of a message/rfc822.
    Message(Box<Outline>),
}

/// How text is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Content-Transfer-Encoding, in lower case.
    pub encoding: Option<String>,
    /// The charset parameter.
    pub charset: Option<String>,
}

impl Outline {
    /// The outline of a part.
    pub fn of(part: &Part) -> Self {
        let text = (part.content_type.kind == "text")
            .then(|| Text { encoding: part.description.encoding.clone(), charset: parameter(&part.content_type.parameters, "charset") });
        let inside = match &part.content {
            Content::Leaf => Inside::Nothing,
            Content::Multipart(parts) => Inside::Parts(parts.iter().map(Self::of).collect()),
            Content::Message(message) => Inside::Message(Box::new(Self::of(message))),
        };
        Self { header: part.header.clone(), body: part.body.clone(), text, inside }
    }

    /// Ranges share their middle: a part's body begins where its header ends.
    fn write(&self) -> Vec<u8> {
        let mut record =
            Writer::new(VERSION).u64(1, self.header.start).u64(2, self.header.end).u64(3, self.body.start).u64(4, self.body.end);
        if let Some(text) = &self.text {
            record = record.u64(5, 1);
            record = text.encoding.iter().fold(record, |record, encoding| record.str(6, encoding));
            record = text.charset.iter().fold(record, |record, charset| record.str(7, charset));
        }
        match &self.inside {
            Inside::Nothing => record,
            Inside::Parts(parts) => parts.iter().fold(record, |record, part| record.bytes(8, &part.write())),
            Inside::Message(message) => record.bytes(9, &message.write()),
        }
        .finish()
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, VERSION)?;
        let number = |field| record.u64(field).map(Option::unwrap_or_default);
        let owned = |field| record.str(field).map(|text| text.map(str::to_owned));
        let text = match number(5)? {
            0 => None,
            _ => Some(Text { encoding: owned(6)?, charset: owned(7)? }),
        };
        let parts = record.all_bytes(8)?.map(Self::read).collect::<Result<Vec<_>, _>>()?;
        let inside = match record.bytes(9)? {
            Some(message) => Inside::Message(Box::new(Self::read(message)?)),
            None if parts.is_empty() => Inside::Nothing,
            None => Inside::Parts(parts),
        };
        Ok(Self { header: number(1)?..number(2)?, body: number(3)?..number(4)?, text, inside })
    }
}

impl Summary {
    /// The record that is stored; [`Stored::parse`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut record = Writer::new(VERSION)
            .bytes(1, &self.envelope)
            .bytes(2, &self.body)
            .bytes(3, &self.body_structure)
            .bytes(4, &self.header)
            .bytes(5, &self.outline.write());
        if let Some(sent) = self.sent {
            record = record.i64(6, sent.seconds).i64(7, sent.offset_minutes.into());
        }
        record.finish()
    }
}

/// A stored summary, of which nothing is decoded before it is asked for.
pub struct Stored<'a> {
    record: Reader<'a>,
}

impl<'a> Stored<'a> {
    /// Looks at the record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        Ok(Self { record: Reader::parse(bytes, VERSION)? })
    }

    /// As of [`Summary`].
    pub fn envelope(&self) -> Result<&'a [u8], RecordError> {
        self.record.bytes(1)?.ok_or(RecordError::Missing(1))
    }

    /// As of [`Summary`].
    pub fn body(&self) -> Result<&'a [u8], RecordError> {
        self.record.bytes(2)?.ok_or(RecordError::Missing(2))
    }

    /// As of [`Summary`].
    pub fn body_structure(&self) -> Result<&'a [u8], RecordError> {
        self.record.bytes(3)?.ok_or(RecordError::Missing(3))
    }

    /// The whole header, or `None` where it was too large to keep.
    pub fn header(&self) -> Result<Option<&'a [u8]>, RecordError> {
        Ok(self.record.bytes(4)?.filter(|header| !header.is_empty()))
    }

    /// As of [`Summary`].
    pub fn sent(&self) -> Result<Option<Date>, RecordError> {
        let offset = self.record.i64(7)?.and_then(|minutes| minutes.try_into().ok());
        Ok(self.record.i64(6)?.zip(offset).map(|(seconds, offset_minutes)| Date { seconds, offset_minutes }))
    }

    /// As of [`Summary`].
    pub fn outline(&self) -> Result<Outline, RecordError> {
        Outline::read(self.record.bytes(5)?.ok_or(RecordError::Missing(5))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(from: u64) -> Outline {
        let text = Text { encoding: Some("base64".into()), charset: None };
        Outline { header: from..from + 2, body: from + 2..from + 9, text: Some(text), inside: Inside::Nothing }
    }

    #[test]
    fn what_is_written_is_read() {
        let message = Outline { inside: Inside::Message(Box::new(leaf(30))), text: None, ..leaf(20) };
        let outline = Outline { header: 0..10, body: 10..99, text: None, inside: Inside::Parts(vec![leaf(10), message]) };
        let summary = Summary {
            envelope: b"(e)".to_vec(),
            body: b"(b)".to_vec(),
            body_structure: b"(s)".to_vec(),
            header: b"A: b\r\n\r\n".to_vec(),
            sent: Some(Date { seconds: -5, offset_minutes: -90 }),
            outline: outline.clone(),
        };
        let bytes = summary.to_bytes();
        let stored = Stored::parse(&bytes).unwrap();
        assert_eq!(
            (stored.envelope().unwrap(), stored.body().unwrap(), stored.body_structure().unwrap()),
            (&b"(e)"[..], &b"(b)"[..], &b"(s)"[..])
        );
        assert_eq!(stored.header().unwrap(), Some(&b"A: b\r\n\r\n"[..]));
        assert_eq!((stored.sent().unwrap(), stored.outline().unwrap()), (summary.sent, outline));
    }
}
