//! FETCH, straight from the store to the client, and SEARCH, which reads as much but tells little.
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
use stoa_imap::{Answer, Query, Refusal, RefusalCode};
use stoa_mailbox::Entry;

/// Messages looked up at once: their summaries are some ten kilobytes each.
const PAGE_MESSAGES: usize = 64;

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
