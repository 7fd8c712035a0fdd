//! Messages, what keeps them, the queue, and the small tables beside.

use super::{Harm, MESSAGES_PAGE, PAGE, Verifier, parse_message_ref};
use crate::store::HolderId;
use crate::store::bodies::{Blob, BodyRef};
use crate::store::keys::{self, Table};
use crate::store::mailbox_log::Place;
use crate::store::messages::Message;
use crate::store::outbound::Queued;
use crate::store::plan::QUEUE_HOLDER;
use std::collections::BTreeMap;
use stoa_mailbox::MessageId;

impl Verifier<'_> {
    /// Every message reads, has its body, and is kept by a mailbox or on its way out.
    pub(super) async fn messages(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Messages, MESSAGES_PAGE);
        while let Some(page) = self.page(Table::Messages, &mut rows, &mut read).await {
            for (key, row) in page {
                let Some((holder, message)) = keys::parse_message(&key) else {
                    self.wrong(Harm::Room, "a message has a key that is none", Vec::new());
                    continue;
                };
                self.counts.messages += 1;
                let fault = match Message::from_bytes(&row) {
                    Err(error) => Some((Harm::Content, format!("this message cannot be read: {error}"))),
                    Ok(found) => self.message(holder, message, &found).await,
                };
                if let Some((harm, what)) = fault {
                    let whose = self.places(holder, message).await;
                    self.wrong(harm, what, whose);
                }
            }
        }
    }

    async fn message(&self, holder: HolderId, id: MessageId, message: &Message) -> Option<(Harm, String)> {
        if let Err(what) = self.body(holder, id, &message.body, message.chunks).await {
            return Some((Harm::Content, what.to_owned()));
        }
        let size = message.prefix.len() as u64 + message.body.size;
        if let Err(why) = (self.check)(message, size) {
            return Some((Harm::Display, format!("what is known of this message beside its text is damaged: {why}")));
        }
        let prefix = keys::message(holder, id);
        let refs = self.engine.range(Table::MessageRefs, &prefix, &keys::after(&prefix), 1).await;
        let is_forgotten = refs.is_ok_and(|refs| refs.is_empty()) && !self.is_there(Table::Garbage, &prefix).await;
        is_forgotten.then(|| (Harm::Room, "this message is in no mailbox, and will never be removed".to_owned()))
    }

    /// Is the body there, of this size, and kept for this message?
    async fn body(&self, holder: HolderId, id: MessageId, body: &BodyRef, chunks: Option<keys::StagingId>) -> Result<(), &'static str> {
        // What the engine cannot read is told with its table.
        let Ok(row) = self.engine.get(Table::Blobs, &body.hash).await else { return Ok(()) };
        let blob = row.ok_or("the text of this message is missing")?;
        // A row that does not parse is told with the blobs.
        let Ok(blob) = Blob::from_bytes(&blob) else { return Ok(()) };
        if blob.size != body.size || chunks.is_some_and(|chunks| chunks != blob.staging) {
            return Err("this message says something else of its text than what is stored");
        }
        let reference = keys::blob_ref(&body.hash, holder, id);
        if self.is_there(Table::BlobRefs, &reference).await {
            Ok(())
        } else {
            Err("nothing keeps the text of this message: it may be removed")
        }
    }

    /// Mailboxes are held by as many references as they have entries; each entry was found to have its own.
    pub(super) async fn message_refs(&mut self) {
        let (mut read, mut stray) = (0, 0u64);
        let mut counted: BTreeMap<Place, u64> = BTreeMap::new();
        let mut rows = self.rows(Table::MessageRefs, PAGE);
        while let Some(page) = self.page(Table::MessageRefs, &mut rows, &mut read).await {
            for (key, _) in page {
                match parse_message_ref(&key) {
                    Some((place, _, _)) => *counted.entry(place).or_default() += 1,
                    None => stray += 1,
                }
            }
        }
        let entries = std::mem::take(&mut self.entries);
        for (place, references) in counted {
            // Mailboxes whose entries could not all be read were told.
            let surplus = entries.get(&place).map_or(0, |entries| references.saturating_sub(*entries));
            let is_unknown = !entries.contains_key(&place) && !self.is_there(Table::Mailboxes, &keys::mailbox(place.0, place.1)).await;
            stray += if is_unknown { references } else { surplus };
        }
        if stray > 0 {
            self.wrong(Harm::Room, format!("{stray} messages are kept for mailboxes that do not list them"), Vec::new());
        }
    }

    /// What waits to be removed.
    pub(super) async fn garbage(&mut self) {
        self.keys_of(Table::Garbage, "a message that is to be removed", |key| keys::parse_message(key).is_some()).await;
    }

    /// What was being received.
    pub(super) async fn staging(&mut self) {
        self.keys_of(Table::Staging, "a message that was coming in", |key| key.len() == 16).await;
    }

    /// Notes are the rooms' own; they have a kind.
    pub(super) async fn notes(&mut self) {
        self.keys_of(Table::Notes, "a note", |key| key.first().is_some_and(|kind| *kind > 0)).await;
    }

    async fn keys_of(&mut self, table: Table, what: &str, is_good: fn(&[u8]) -> bool) {
        let mut read = 0;
        let mut rows = self.rows(table, PAGE);
        while let Some(page) = self.page(table, &mut rows, &mut read).await {
            for _ in page.iter().filter(|(key, _)| !is_good(key)) {
                self.wrong(super::harm_of(table), format!("{what} has a key that is none"), Vec::new());
            }
        }
    }

    /// Every message for another host reads, and has its body.
    pub(super) async fn queue(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Queue, MESSAGES_PAGE);
        while let Some(page) = self.page(Table::Queue, &mut rows, &mut read).await {
            for (key, row) in page {
                self.counts.queued += 1;
                let id = keys::last_u64(&key).unwrap_or(0);
                let fault = match Queued::from_bytes(&row) {
                    Err(error) => Some(format!("this message cannot be read: {error}")),
                    Ok(queued) if queued.recipients.is_empty() => Some("this message has no recipients".to_owned()),
                    Ok(queued) => self.body(QUEUE_HOLDER, id, &queued.body, None).await.err().map(str::to_owned),
                };
                if let Some(what) = fault {
                    self.wrong(Harm::Queue, what, vec![format!("the queue, message {id:016x}")]);
                }
            }
        }
    }
}
