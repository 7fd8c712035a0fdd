//! Letters from the server to its owner: what it found, what it did, what a person has to do.
//!
//! Takes a subject and a text; gives a message that is filed in the owner's INBOX in one change with whatever is to be
//! remembered with it, so that nothing is told twice and nothing is remembered untold. Such a letter answers nobody, asks
//! for no answer, and says so (RFC 3834 §5). It has nobody's rights.

use super::{Delivery, Filing, Intake, Resolved};
use crate::store::{Change, DeliveredBody, NoteChange, StoreError};
use crate::trust::Trust;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stoa_mime::date::{self, Date};
use stoa_smtp::Address;

/// The local part that the server writes as.
const WRITER: &str = "stoa";

/// RFC 2047 §2: an encoded word has 75 characters at most, of which 12 are its frame; base64 makes four of three.
const WORD_BYTES_MAX: usize = 45;

impl Delivery {
    /// A letter to the owner that is to be filed, with a subject of one line; `None` on a server without an owner.
    pub async fn letter_to_owner(&self, subject: &str, text: &str, now: i64) -> Result<Option<Filing>, StoreError> {
        let accounts = self.store.accounts().await?;
        let Some(owner) = accounts.into_iter().find(|account| account.owner) else { return Ok(None) };
        let Some(Resolved::Local(place)) = (match Address::parse(&owner.address) {
            Some(address) => Some(self.recipient(&address).await?),
            None => None,
        }) else {
            return Ok(None);
        };
        let mut intake = Intake::new(&self.store, Bytes::from_static(b"Return-Path: <>\r\n"), now);
        intake.push(self.write(&owner.address, subject, text, now).as_bytes()).await?;
        let received = intake.finish().await?;
        Ok(Some(Filing { received: now, now, mailboxes: vec![place], ..received.filing(&Trust::of_stranger()) }))
    }

    /// Files a letter in the owner's INBOX and writes the notes, both or neither. Without an owner only the notes are written.
    pub async fn write_to_owner(&self, subject: &str, text: &str, notes: Vec<NoteChange>, now: i64) -> Result<(), StoreError> {
        let Some(filing) = self.letter_to_owner(subject, text, now).await? else {
            return self.store.commit(Change::Notes(notes)).await.map(drop);
        };
        let body = filing.body.clone();
        let committed = self.store.commit(Change::Deliver(Box::new(Filing { notes, ..filing }))).await;
        if let (Err(StoreError::Refused(_)), DeliveredBody::Staged(body)) = (&committed, body) {
            self.store.discard(body).await;
        }
        committed.map(drop)
    }

    fn write(&self, owner: &str, subject: &str, text: &str, now: i64) -> String {
        let from = format!("{WRITER}@{}", self.names.domains.first().unwrap_or(&self.names.hostname));
        let id = format!("{:016x}.{:016x}@{}", self.new_id(now), rand::random::<u64>(), self.names.hostname);
        let date = date::format(Date { seconds: now, offset_minutes: 0 });
        let text: String = text.lines().map(|line| format!("{line}\r\n")).collect();
        format!(
            "From: Stoa <{from}>\r\nTo: <{owner}>\r\nSubject: {}\r\nDate: {date}\r\nMessage-ID: <{id}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}",
            header_text(subject),
        )
    }
}

/// RFC 2047: what is not plain becomes encoded words, each of whole characters.
fn header_text(text: &str) -> String {
    if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= WORD_BYTES_MAX => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{contents, house};
    use crate::store::{NoteKind, Refusal};

    #[tokio::test]
    async fn the_owner_alone_gets_it_once() {
        let house = house().await;
        let note = |read: Option<&'static str>| {
            vec![NoteChange::put(NoteKind::Findings, "k", "new").if_still(read.map(|text| Bytes::from_static(text.as_bytes())))]
        };
        house.delivery.write_to_owner("Two things", "One\nTwo – three", note(None), 1_000).await.unwrap();
        // Whoever comes second with what was read before changes nothing and tells nothing.
        let again = house.delivery.write_to_owner("Two things", "One", note(None), 1_000).await;
        assert!(matches!(again, Err(StoreError::Refused(Refusal::NoteChanged))));
        let letters = contents(&house.store, house.socrates, "INBOX").await;
        assert_eq!(letters.len(), 1);
        let start = "Return-Path: <>\r\nFrom: Stoa <stoa@stoa.example>\r\nTo: <socrates@stoa.example>\r\nSubject: Two things\r\n";
        assert!(letters[0].starts_with(start) && letters[0].ends_with("\r\n\r\nOne\r\nTwo – three\r\n"), "{}", letters[0]);
        assert!(letters[0].contains("\r\nAuto-Submitted: auto-generated\r\n"));
        assert_eq!(house.store.note(NoteKind::Findings, b"k").await.unwrap().unwrap(), "new");
        assert!(contents(&house.store, house.plato, "INBOX").await.is_empty());
    }

    #[test]
    fn a_subject_is_one_field_whatever_it_holds() {
        assert_eq!(header_text("2 things to do"), "2 things to do");
        assert_eq!(header_text("bücher.example"), "=?utf-8?B?YsO8Y2hlci5leGFtcGxl?=");
        let hostile = header_text("a\r\nBcc: x@y.example");
        assert!(hostile.starts_with("=?utf-8?B?") && !hostile.contains('\n'), "{hostile}");
        let long = header_text(&"ü".repeat(50));
        assert!(long.split("\r\n ").count() > 1 && long.split("\r\n ").all(|word| word.len() <= 75), "{long}");
    }
}
