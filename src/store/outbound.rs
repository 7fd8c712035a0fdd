//! A message for other hosts, as the queue keeps it.
//!
//! | state | means | leads to |
//! |---|---|---|
//! | waiting | accepted and synced; `next_attempt` says when it is tried | handed over, waiting (later), failed |
//! | handed over | the recipient's host said 250, or the message was filed here | taken out of the row in one batch with what was filed |
//!
//! The row disappears with its last recipient; its body is kept by a reference until then. A crash between an
//! attempt and the batch that records it leaves the recipient waiting: outbound mail may be repeated, never lost.

use super::bodies::BodyRef;
use bytes::Bytes;
use stoa_record::{Reader, RecordError, Writer};

/// A message with the recipients that still wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Empty for the null reverse-path.
    pub reverse_path: String,
    /// Header lines in front of the body.
    pub prefix: Bytes,
    /// The shared body.
    pub body: BodyRef,
    /// RFC 3461 RET: 0 not given, 1 FULL, 2 HDRS.
    pub ret: u8,
    /// RFC 3461 ENVID.
    pub envelope_id: Option<String>,
    /// Seconds since 1970.
    pub accepted: i64,
    /// The message needs a host that offers SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RFC 6152 and RFC 3030 BODY: 0 7BIT, 1 8BITMIME, 2 BINARYMIME.
    pub content: u8,
    /// Who still waits.
    pub recipients: Vec<QueuedRecipient>,
}

/// One recipient that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The address in wire form.
    pub address: String,
    /// RFC 3461 NOTIFY bits: 0 not given, 1 NEVER, 2 SUCCESS, 4 FAILURE, 8 DELAY.
    pub notify: u8,
    /// RFC 3461 ORCPT, as given.
    pub original: Option<String>,
    /// When it is tried next, in seconds since 1970.
    pub next_attempt: i64,
    /// How often it was tried.
    pub attempts: u32,
}

impl Queued {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut record = Writer::new(1)
            .str(1, &self.reverse_path)
            .bytes(2, &self.prefix)
            .bytes(3, &self.body.hash)
            .u64(4, self.body.size)
            .u64(5, self.ret.into())
            .i64(7, self.accepted)
            .u64(9, self.smtputf8.into())
            .u64(10, self.content.into());
        if let Some(id) = &self.envelope_id {
            record = record.str(6, id);
        }
        for recipient in &self.recipients {
            record = record.bytes(8, &recipient.to_bytes());
        }
        record.finish()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let hash = record.bytes(3)?.and_then(|b| b.try_into().ok()).ok_or(RecordError::Missing(3))?;
        Ok(Self {
            reverse_path: record.str(1)?.unwrap_or_default().to_owned(),
            prefix: Bytes::copy_from_slice(record.bytes(2)?.unwrap_or_default()),
            body: BodyRef { hash, size: record.u64(4)?.unwrap_or(0) },
            ret: record.u64(5)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            envelope_id: record.str(6)?.map(str::to_owned),
            accepted: record.i64(7)?.unwrap_or(0),
            smtputf8: record.u64(9)?.unwrap_or(0) != 0,
            content: record.u64(10)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            recipients: record.all_bytes(8)?.map(QueuedRecipient::from_bytes).collect::<Result<_, _>>()?,
        })
    }
}

impl QueuedRecipient {
    fn to_bytes(&self) -> Vec<u8> {
        let record = Writer::new(1).str(1, &self.address).u64(2, self.notify.into()).i64(4, self.next_attempt).u64(5, self.attempts.into());
        match &self.original {
            Some(original) => record.str(3, original).finish(),
            None => record.finish(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        Ok(Self {
            address: record.str(1)?.unwrap_or_default().to_owned(),
            notify: record.u64(2)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            original: record.str(3)?.map(str::to_owned),
            next_attempt: record.i64(4)?.unwrap_or(0),
            attempts: record.u32(5)?.unwrap_or(0),
        })
    }
}
