//! FETCH, straight from the store to the client, and SEARCH, SORT and THREAD, which read as much but tell only numbers.
//!
//! Messages are looked up a page at a time and bodies are read a chunk at a time, each written before the next is read:
//! a slow client costs no memory. A message that was removed meanwhile is left out. What is written of a message, and
//! whether it is found, is decided in `protocols/imap`.

mod fetch;
mod search;

use crate::net::Outbox;
use crate::store::{BodyReader, HolderId, Message, Store, StoreError};
use fetch::{Fetch, Written};
pub(super) use search::Search;
use std::io;
use std::iter::Peekable;
use stoa_imap::{Answer, Query, Refusal, RefusalCode};
use stoa_mailbox::Entry;

/// Messages looked up at once: their summaries are a few kilobytes each.
const PAGE_MESSAGES: usize = 64;
/// Entries of which no message is looked up, before others get their turn.
const PAGE_ENTRIES: usize = 1_024;
/// Octets of messages looked up at once, if they are several: a summary may have twice as many as its message.
const PAGE_BYTES: u64 = 4 << 20;
/// No summary is larger, whatever the message.
const SUMMARY_BYTES_MAX: u64 = 4 << 20;

/// The next messages to be looked up together: one, or as many as do not cost too much memory.
fn take_page<T>(items: &mut Peekable<impl Iterator<Item = T>>, size: impl Fn(&T) -> u32) -> Vec<T> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(item) = items.next_if(|item| {
        bytes += u64::from(size(item)).min(SUMMARY_BYTES_MAX);
        page.is_empty() || page.len() < PAGE_MESSAGES && bytes <= PAGE_BYTES
    }) {
        page.push(item);
    }
    page
}

/// Writes the outcome of a query.
pub(super) async fn write(store: &Store, holder: HolderId, query: Query, out: &mut Outbox) -> io::Result<Answer> {
    match query {
        Query::Fetch { uids, plan, numbering, recent_from } => {
            let fetch = Fetch { reader: Reader { store, holder }, plan, numbering, recent_from };
            Ok(match fetch.write(&uids, out).await? {
                Written::All => Answer::Streamed,
                Written::NotDecoded => Answer::Refused(Refusal {
                    code: Some(RefusalCode::UnknownCte),
                    text: "Some parts have an encoding that is not known here".into(),
                }),
                Written::Damaged => Answer::Refused(Refusal {
                    code: Some(RefusalCode::ServerBug),
                    text: "Some messages cannot be read and were left out; the server's log names them".into(),
                }),
            })
        }
    }
}

/// Reads messages of one holder.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub store: &'a Store,
    pub holder: HolderId,
}

impl Reader<'_> {
    async fn messages(&self, entries: &[Entry]) -> io::Result<Vec<Option<Message>>> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.message).collect();
        self.store.messages(self.holder, &ids).await.map_err(failed)
    }

    async fn open(&self, message: &Message) -> Result<BodyReader, StoreError> {
        self.store.contents(message).await
    }

    /// Nothing, if the message was removed since it was named.
    async fn body(&self, message: &Message) -> io::Result<Option<BodyReader>> {
        match self.open(message).await {
            Ok(body) => Ok(Some(body)),
            Err(StoreError::Gone) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// A response that cannot be finished ends the connection: half of it may be with the client.
fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_costs_little_and_is_never_empty() {
        let pages = |sizes: Vec<u32>| {
            let (mut pages, mut sizes) = (Vec::new(), sizes.into_iter().peekable());
            while sizes.peek().is_some() {
                pages.push(take_page(&mut sizes, |size| *size).len());
            }
            pages
        };
        assert_eq!(pages(vec![4_000; PAGE_MESSAGES + 1]), [PAGE_MESSAGES, 1]);
        assert_eq!(pages(vec![u32::MAX, 1, 3 << 20, u32::MAX]), [1, 2, 1]);
    }
}
