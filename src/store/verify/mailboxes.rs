//! Mailboxes: heads, packed segments, changes since, and the messages that their entries lead to.

use super::rows::{Rows, Step};
use super::{Harm, MESSAGES_PAGE, PAGE, Verifier};
use crate::store::engine::Row;
use crate::store::entries;
use crate::store::holders::Holder;
use crate::store::keys::{self, Table};
use crate::store::mailbox_log::{BLOCK_UIDS, Head, Place, edits_from_bytes, uids_from_bytes};
use crate::store::messages::Message;
use stoa_mailbox::{Entry, KEYWORDS_MAX, Uid, View};
use stoa_record::RecordError;

impl Verifier<'_> {
    /// Every mailbox opens, and its entries lead to messages.
    pub(super) async fn all_mailboxes(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Mailboxes, PAGE);
        while let Some(page) = self.page(Table::Mailboxes, &mut rows, &mut read).await {
            for (key, row) in page {
                let Some(place) = keys::parse_mailbox(&key) else {
                    self.wrong(Harm::Room, "the head of a mailbox has a key that is none", Vec::new());
                    continue;
                };
                self.counts.mailboxes += 1;
                match Head::from_bytes(&row) {
                    Ok(head) => self.one_mailbox(place, &head).await,
                    Err(error) => {
                        let whose = vec![self.mailbox(place).await];
                        self.wrong(Harm::Mailbox, format!("this mailbox cannot be opened, its head cannot be read: {error}"), whose);
                    }
                }
            }
        }
    }

    async fn one_mailbox(&mut self, place: Place, head: &Head) {
        self.belongs(place, head).await;
        let mut faults = Vec::new();
        let mut view = View::restore(head.uid_validity, head.uid_next, head.packed, head.keywords.clone(), []);
        self.segments(place, head, &mut view, &mut faults).await;
        self.changes(place, head, &mut view, &mut faults).await;
        self.vanished(place, head, &mut faults).await;
        let is_whole = faults.is_empty();
        if is_whole && view.highest_modseq != head.highest_modseq {
            faults.push("changes of this mailbox are missing, and it cannot be opened".to_owned());
        }
        self.counts.entries += view.len() as u64;
        let entries: Vec<Entry> = view.iter().copied().collect();
        if entries.last().is_some_and(|last| last.uid >= head.uid_next) || view.highest_modseq > head.highest_modseq {
            faults.push("the counters of this mailbox lie behind its messages".to_owned());
        }
        let unnamed = |entry: &Entry| entry.flags.keywords().any(|keyword| keyword >= view.keywords.len());
        if view.keywords.len() > KEYWORDS_MAX || entries.iter().any(unnamed) {
            faults.push("messages of this mailbox have keywords that it does not name".to_owned());
        }
        if is_whole {
            self.entries.insert(place, entries.len() as u64);
        }
        for fault in faults {
            let whose = vec![self.mailbox(place).await];
            self.wrong(Harm::Mailbox, fault, whose);
        }
        for some in entries.chunks(MESSAGES_PAGE) {
            self.lead_to_messages(place, some).await;
        }
    }

    /// Is it in the tree, or on its way out of the store?
    async fn belongs(&mut self, place: Place, head: &Head) {
        let tree = self.get(Table::Holders, &keys::holder(place.0)).await.map(|row| Holder::from_bytes(&row));
        // A tree that cannot be read was told.
        let Some(Ok(tree)) = tree else { return };
        let whose = vec![self.mailbox(place).await];
        match tree.get(place.1) {
            Some(_) if head.deleted => self.wrong(Harm::Mailbox, "this mailbox is listed, and was deleted", whose),
            Some(leaf) if leaf.uid_validity != head.uid_validity => {
                self.wrong(Harm::Mailbox, "this mailbox has two values of UIDVALIDITY", whose);
            }
            None if !head.deleted => self.wrong(Harm::Mailbox, "this mailbox is there and not listed: nobody can open it", whose),
            None if !self.is_there(Table::Deleted, &keys::mailbox(place.0, place.1)).await => {
                self.wrong(Harm::Room, "this mailbox was deleted, and will never be emptied", whose);
            }
            _ => {}
        }
    }

    /// The rows of one mailbox in a table; what cannot be read is a fault of the mailbox.
    async fn rows_of(&mut self, table: Table, place: Place, faults: &mut Vec<String>) -> Vec<Row> {
        let mut all = Vec::new();
        let mut rows = Rows::below(self.engine, table, &keys::mailbox(place.0, place.1), PAGE);
        while let Some(step) = rows.next().await {
            match step {
                Step::Rows(page) => all.extend(page),
                Step::Gap(_, why) => {
                    faults.push(format!("a part of this mailbox ({}) cannot be read, so it cannot be opened: {why}", table.name()))
                }
            }
        }
        self.counts.rows += all.len() as u64;
        all
    }

    async fn segments(&mut self, place: Place, head: &Head, view: &mut View, faults: &mut Vec<String>) {
        let mut last: Uid = 0;
        for (key, row) in self.rows_of(Table::Segments, place, faults).await {
            let mut found = Vec::new();
            let mut parsed = entries::read(&row, |entry| found.push(entry));
            let block = key.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            if parsed.is_ok() {
                parsed = in_order(&found, &mut last, block, head);
            }
            match parsed {
                Ok(()) => view.extend(found),
                Err(error) => {
                    let (first, after) = (u64::from(block) * u64::from(BLOCK_UIDS), u64::from(BLOCK_UIDS));
                    let uids = format!("UIDs {first} to {}", first + after - 1);
                    faults.push(format!("a list of messages of this mailbox ({uids}) is damaged, so it cannot be opened: {error}"));
                }
            }
        }
    }

    async fn changes(&mut self, place: Place, head: &Head, view: &mut View, faults: &mut Vec<String>) {
        for (key, row) in self.rows_of(Table::Changes, place, faults).await {
            let modseq = keys::last_u64(&key).unwrap_or(0);
            match edits_from_bytes(&row) {
                Ok(_) if modseq <= head.packed => faults.push("a change that was packed is still there".to_owned()),
                Ok(edits) => view.edit(&edits),
                Err(error) => faults.push(format!("a change of this mailbox is damaged, so it cannot be opened: {error}")),
            }
        }
    }

    async fn vanished(&mut self, place: Place, head: &Head, faults: &mut Vec<String>) {
        for (key, row) in self.rows_of(Table::Vanished, place, faults).await {
            let is_early = keys::last_u64(&key).is_some_and(|modseq| modseq <= head.highest_modseq);
            match uids_from_bytes(&row) {
                Ok(uids) if is_early && uids.ranges().all(|range| *range.end() < head.uid_next) => {}
                Ok(_) => faults.push("messages are noted as removed that never were there".to_owned()),
                Err(error) => faults.push(format!("what was removed from this mailbox cannot be read: {error}")),
            }
        }
    }

    /// Each entry has its message, of the size that it says, and a reference that keeps it.
    async fn lead_to_messages(&mut self, place: Place, entries: &[Entry]) {
        for entry in entries {
            // Rows that the engine cannot read are told with their table.
            let Ok(row) = self.engine.get(Table::Messages, &keys::message(place.0, entry.message)).await else { continue };
            let message = row.as_ref().map(Message::from_bytes);
            let reference = keys::message_ref(place.0, entry.message, place.1, entry.uid);
            let fault = match message {
                None => Some((Harm::Content, "this message is listed and not there")),
                Some(Ok(message)) if !has_size(&message, entry) => {
                    Some((Harm::Display, "this message has another size than its mailbox says"))
                }
                _ if !self.is_there(Table::MessageRefs, &reference).await => {
                    Some((Harm::Content, "nothing keeps this message: it may be removed while it is still listed"))
                }
                _ => None,
            };
            if let Some((harm, what)) = fault {
                let whose = vec![format!("{}, UID {}", self.mailbox(place).await, entry.uid)];
                self.wrong(harm, what, whose);
            }
        }
    }

    /// Every deleted mailbox still has its head, by which it is emptied.
    pub(super) async fn deleted(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Deleted, PAGE);
        while let Some(page) = self.page(Table::Deleted, &mut rows, &mut read).await {
            for (key, _) in page {
                if !self.is_there(Table::Mailboxes, &key).await {
                    self.wrong(Harm::Room, "a mailbox that was deleted has no head any more", Vec::new());
                }
            }
        }
    }

    /// Rows of mailboxes that have no head.
    pub(super) async fn rows_of_no_mailbox(&mut self) {
        for table in [Table::Segments, Table::Changes, Table::Vanished] {
            let mut rows = self.rows(table, 1);
            while let Some(step) = rows.next().await {
                // Gaps were told with their mailbox.
                let Step::Rows(page) = step else { continue };
                let Some((key, _)) = page.first() else { continue };
                let head = key.get(..12).unwrap_or(key);
                if !self.is_there(Table::Mailboxes, head).await {
                    let what = format!("there are rows of a mailbox that is not there ({})", table.name());
                    let whose = match keys::parse_mailbox(head) {
                        Some(place) => vec![self.mailbox(place).await],
                        None => Vec::new(),
                    };
                    self.wrong(Harm::Mailbox, what, whose);
                }
                rows.skip_to(keys::after(head));
            }
        }
    }
}

/// UIDs ascend, belong to the block, and were given out.
fn in_order(entries: &[Entry], last: &mut Uid, block: u32, head: &Head) -> Result<(), RecordError> {
    for entry in entries {
        let in_place =
            entry.uid > *last && entry.uid / BLOCK_UIDS == block && entry.uid < head.uid_next && entry.modseq <= head.highest_modseq;
        if !in_place {
            return Err(RecordError::Missing(2));
        }
        *last = entry.uid;
    }
    Ok(())
}

fn has_size(message: &Message, entry: &Entry) -> bool {
    let size = message.prefix.len() as u64 + message.body.size;
    u32::try_from(size).unwrap_or(u32::MAX) == entry.size
}
