//! Notes: small records that the rooms above keep, each room in its own kind and its own form.
//!
//! A note is `kind, key -> value`; a room reads its kind by key or by prefix and writes through the committer. What it
//! costs to lose one is the room's affair: [`NoteChange`]s of kinds that are only remembered for speed are not synced.

use super::keys::Table;
use super::{Result, Store, keys, range_all};
use bytes::Bytes;

/// Notes read at a time.
const PAGE: usize = 256;

/// What a note is about. The numbers are on disk: none is used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NoteKind {
    /// MTA-STS policies of other domains, by domain (RFC 8461 §3.3).
    StsPolicy = 1,
    /// How TLS went with other domains, by day and domain (RFC 8460).
    TlsReport = 2,
    /// What DMARC aggregate reports of others said of us, by domain and report.
    DmarcReport = 3,
    /// What TLS reports of others said of us, by domain and report.
    TlsReportReceived = 4,
    /// What is known of those who write here, by holder and sender.
    Reputation = 5,
    /// Who was asked to come again, by network, sender and recipient.
    Greylist = 6,
    /// What was sent in an hour or a day, in all and by account.
    Budget = 7,
    /// What was found when the server looked at itself last.
    Findings = 8,
    /// When the owner was told of trouble with the certificate last.
    Certificate = 9,
    /// Where an account's mail is forwarded to, by holder.
    Forward = 10,
}

impl NoteKind {
    /// Would losing the last moments of it harm nobody?
    fn may_be_lost(self) -> bool {
        matches!(self, Self::StsPolicy | Self::Reputation | Self::Greylist)
    }
}

/// One note to be written, or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteChange {
    /// Whose it is.
    pub kind: NoteKind,
    /// Under what it is found.
    pub key: Vec<u8>,
    /// `None` removes it.
    pub value: Option<Bytes>,
    /// The change is refused unless the note still is this: `Some(None)` says that there is none.
    pub expect: Option<Option<Bytes>>,
}

impl NoteChange {
    /// A note, whatever was there.
    pub fn put(kind: NoteKind, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) -> Self {
        Self { kind, key: key.into(), value: Some(value.into()), expect: None }
    }

    /// No note any more.
    pub fn remove(kind: NoteKind, key: impl Into<Vec<u8>>) -> Self {
        Self { kind, key: key.into(), value: None, expect: None }
    }

    /// Only if the note still is what was read.
    pub fn if_still(mut self, read: Option<Bytes>) -> Self {
        self.expect = Some(read);
        self
    }

    pub(super) fn row_key(&self) -> Vec<u8> {
        keys::note(self.kind as u8, &self.key)
    }

    pub(super) fn needs_sync(&self) -> bool {
        !self.kind.may_be_lost()
    }
}

impl Store {
    /// The note under this key.
    pub async fn note(&self, kind: NoteKind, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.engine.get(Table::Notes, &keys::note(kind as u8, key)).await?)
    }

    /// The notes whose keys begin so, by key.
    pub async fn notes(&self, kind: NoteKind, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        let start = keys::note(kind as u8, prefix);
        let end = keys::after(&start);
        let rows = range_all(self.engine.as_ref(), Table::Notes, start, &end, PAGE).await?;
        Ok(rows.into_iter().map(|(key, value)| (key.slice(1..), value)).collect())
    }
}
