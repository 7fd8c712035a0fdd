//! What is computed once of each message at delivery and kept beside it, so that the lists of a mail program are copies.
//!
//! It holds ENVELOPE, BODY and BODYSTRUCTURE as they go on the wire, the header, the places of the parts, the date and
//! the size. Reading it borrows: whoever wants the envelope decodes nothing else. The record is read by later versions.

use crate::fetch::{envelope, structure};
use crate::objects::ThreadId;
use crate::parts::{self, Parts};
use stoa_mime::date::{self, Date};
use stoa_mime::{Part, Scanned};
use stoa_record::{Reader, RecordError, Writer};

/// Octets of a header that are kept here. Most have 4 to 8 KiB; a longer one is read from the message when it is asked for.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

const VERSION: u8 = 1;
const SIZE: u32 = 1;
const HEADER_LENGTH: u32 = 2;
const HEADER: u32 = 3;
const ENVELOPE: u32 = 4;
const BODY: u32 = 5;
const STRUCTURE: u32 = 6;
const PARTS: u32 = 7;
const SENT: u32 = 8;
const SENT_OFFSET: u32 = 9;
const THREAD: u32 = 10;
const PREVIEW: u32 = 11;

/// The summary of a message, as bytes to be kept; [`Summary::read`] reads them.
pub fn summarise(message: &Scanned) -> Vec<u8> {
    let Part { header, description, .. } = &message.part;
    let header_length = header.end.saturating_sub(header.start);
    let mut record = Writer::new(VERSION).u64(SIZE, message.size).u64(HEADER_LENGTH, header_length);
    // What lacks a field is not the header.
    let is_whole = message.header_complete && message.header.len() as u64 == header_length;
    if is_whole && message.header.len() <= HEADER_BYTES_MAX {
        record = record.bytes(HEADER, &message.header);
    }
    let envelope = description.envelope.as_deref().cloned().unwrap_or_default();
    record = record
        .bytes(ENVELOPE, &envelope::printed(&envelope))
        .bytes(BODY, &structure::printed(&message.part, false))
        .bytes(STRUCTURE, &structure::printed(&message.part, true))
        .bytes(PARTS, &parts::to_bytes(&message.part));
    if let Some(sent) = envelope.date.as_deref().and_then(date::parse) {
        record = record.i64(SENT, sent.seconds).i64(SENT_OFFSET, sent.offset_minutes.into());
    }
    if let Some(thread) = ThreadId::of(&message.header) {
        record = record.bytes(THREAD, thread.bytes());
    }
    record.str(PREVIEW, &message.preview).finish()
}

/// A summary that is being read.
pub struct Summary<'a>(Reader<'a>);

impl<'a> Summary<'a> {
    /// Of these bytes, made by [`summarise`]; they are an error if a newer program wrote them, or something else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, RecordError> {
        Reader::parse(bytes, VERSION).map(Self)
    }

    /// Reads all of it: nothing that a client may ask for is an error then.
    pub fn check(&self) -> Result<(), RecordError> {
        _ = (self.size()?, self.header_length()?, self.header()?, self.sent()?);
        _ = (self.thread_id()?, self.preview()?, self.parts()?);
        _ = (self.envelope()?, self.body()?, self.structure()?);
        Ok(())
    }

    /// Octets of the message.
    pub fn size(&self) -> Result<u64, RecordError> {
        self.0.u64(SIZE)?.ok_or(RecordError::Missing(SIZE))
    }

    /// Octets of its header, with the empty line; it stands at the start.
    pub fn header_length(&self) -> Result<u64, RecordError> {
        self.0.u64(HEADER_LENGTH)?.ok_or(RecordError::Missing(HEADER_LENGTH))
    }

    /// Its header, all of it, unless it is longer than [`HEADER_BYTES_MAX`].
    pub fn header(&self) -> Result<Option<&'a [u8]>, RecordError> {
        self.0.bytes(HEADER)
    }

    /// The moment that its Date field tells, if it tells one.
    pub fn sent(&self) -> Result<Option<Date>, RecordError> {
        let offset = self.0.i64(SENT_OFFSET)?.and_then(|minutes| i32::try_from(minutes).ok()).unwrap_or(0);
        Ok(self.0.i64(SENT)?.map(|seconds| Date { seconds, offset_minutes: offset }))
    }

    /// Its thread, if it names a message. Early summaries have only the header to tell it.
    pub fn thread_id(&self) -> Result<Option<ThreadId>, RecordError> {
        match self.0.bytes(THREAD)? {
            Some(bytes) => ThreadId::from_bytes(bytes).map(Some).ok_or(RecordError::Missing(THREAD)),
            None => Ok(self.header()?.and_then(ThreadId::of)),
        }
    }

    /// RFC 8970: the beginning of its text; none in a summary that was made before there were any.
    pub fn preview(&self) -> Result<Option<&'a str>, RecordError> {
        self.0.str(PREVIEW)
    }

    /// ENVELOPE on the wire.
    pub(crate) fn envelope(&self) -> Result<&'a [u8], RecordError> {
        self.0.bytes(ENVELOPE)?.ok_or(RecordError::Missing(ENVELOPE))
    }

    /// BODY on the wire.
    pub(crate) fn body(&self) -> Result<&'a [u8], RecordError> {
        self.0.bytes(BODY)?.ok_or(RecordError::Missing(BODY))
    }

    /// BODYSTRUCTURE on the wire.
    pub(crate) fn structure(&self) -> Result<&'a [u8], RecordError> {
        self.0.bytes(STRUCTURE)?.ok_or(RecordError::Missing(STRUCTURE))
    }

    /// Where its parts lie.
    pub fn parts(&self) -> Result<Parts, RecordError> {
        Parts::from_bytes(self.0.bytes(PARTS)?.ok_or(RecordError::Missing(PARTS))?)
    }
}
