//! A message as it is stored: immutable, one row for all copies within a holder.

use super::bodies::BodyRef;
use super::keys::StagingId;
use bytes::Bytes;
use stoa_mailbox::MessageId;
use stoa_record::{Reader, RecordError, Writer};

/// What is kept of a message beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Header lines that this server put in front of the body: Return-Path and Received.
    pub prefix: Bytes,
    /// The body as it was received, header included.
    pub body: BodyRef,
    /// Where the body's chunks are, so that reading it needs no search by hash; none in rows of older programs.
    pub(super) chunks: Option<StagingId>,
    /// Computed once at delivery; the layers above know its form.
    pub summary: Bytes,
    /// Who vouches for it; the layers above know its form.
    pub trust: Bytes,
}

impl Message {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let record = Writer::new(1).bytes(1, &self.prefix).bytes(2, &self.body.hash).u64(3, self.body.size);
        let record = self.chunks.iter().fold(record, |record, chunks| record.bytes(6, chunks));
        record.bytes(4, &self.summary).bytes(5, &self.trust).finish()
    }

    /// Shares the row's bytes: a list of messages copies none of them.
    pub(super) fn from_bytes(row: &Bytes) -> Result<Self, RecordError> {
        let record = Reader::parse(row, 1)?;
        let bytes = |field| record.bytes(field).map(|bytes| row.slice_ref(bytes.unwrap_or_default()));
        let hash = record.bytes(2)?.and_then(|b| b.try_into().ok()).ok_or(RecordError::Missing(2))?;
        let body = BodyRef { hash, size: record.u64(3)?.unwrap_or(0) };
        let chunks = record.bytes(6)?.and_then(|b| b.try_into().ok());
        Ok(Self { prefix: bytes(1)?, body, chunks, summary: bytes(4)?, trust: bytes(5)? })
    }
}

/// The first and the last of these numbers, if they ascend, none twice, and leave little out: what is between them is read, too.
pub(super) fn neighbours(ids: &[MessageId]) -> Option<(MessageId, MessageId)> {
    let (first, last) = (*ids.first()?, *ids.last()?);
    let asked = ids.len() as u64;
    let is_close = last.checked_sub(first)? < asked + asked / 4;
    (is_close && ids.is_sorted_by(|a, b| a < b)).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_neighbour() {
        let table: [(&[MessageId], bool); 7] = [
            (&[], false),
            (&[7], true),
            (&[7, 7], false),
            (&[7, 8, 9, 11], true),
            (&[7, 12, 13], false),
            (&[9, 8], false),
            (&[7, 9, 8], false),
        ];
        for (ids, expected) in table {
            assert_eq!(neighbours(ids).is_some(), expected, "{ids:?}");
        }
    }
}
