//! Looking at everything that is stored: does each record read, does each reference lead somewhere, has each body its bytes?
//!
//! Walks every table of an engine that nobody changes meanwhile (a snapshot, or a store that is not served), reads all of
//! it once and the lists of messages twice, and holds a page, one mailbox and a few numbers for each mailbox. What is
//! wrong is told as it is found, with whose it is and what can be done; it never ends the walk.
//!
//! What a record means to the rooms above they check themselves ([`MessageCheck`]).

mod bodies;
mod mailboxes;
mod messages;
mod people;
mod rows;
#[cfg(test)]
mod tests;

use super::accounts::Account;
use super::engine::{Engine, Row};
use super::holders::Holder;
use super::keys::{self, StagingId, Table};
use super::mailbox_log::Place;
use super::messages::Message;
use super::{FORMAT, HolderId, MailboxId, Result, StoreError};
use rows::{Rows, Step};
use std::collections::{BTreeMap, HashMap};
use stoa_mailbox::MessageId;
use stoa_record::{Reader, RecordError};

/// Rows of tables with small rows that are read at a time.
const PAGE: usize = 256;
/// Messages read at a time; each has some kilobytes.
const MESSAGES_PAGE: usize = 64;
/// Places that are named where a message or a body is damaged; more are counted.
const PLACES_NAMED_MAX: usize = 5;
/// Names that are remembered between findings.
const NAMES_MAX: usize = 1_000;

/// What the rooms above say of a message beside its body, of whose whole size it is told: nothing, or what is wrong.
pub type MessageCheck = fn(&Message, u64) -> Result<(), String>;

/// What is told while it is found.
#[derive(Debug)]
pub enum Told {
    /// Something is wrong.
    Wrong(Finding),
    /// How far it is: the table, and how many of its rows were read.
    At(Table, u64),
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, as a sentence.
    pub what: String,
    /// Whose: accounts, mailboxes and UIDs as a person knows them. Empty where it is nobody's.
    pub whose: Vec<String>,
    /// What it means.
    pub harm: Harm,
}

/// What a fault means to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Harm {
    /// Bytes of messages are gone.
    Content,
    /// A message is there, but is not shown rightly.
    Display,
    /// A mailbox or some of its messages cannot be opened.
    Mailbox,
    /// Somebody cannot log in or get mail.
    Account,
    /// A message for another host cannot be sent.
    Queue,
    /// A room above forgets something that it can learn again.
    Memory,
    /// Something takes room and is of no use.
    Room,
}

impl Harm {
    /// What can be done about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Content => {
                "its bytes are lost here: restore a backup into a new directory, take the message from there with `stoa export`, and delete it here"
            }
            Self::Display => "its text is whole: `stoa export` writes it; put that into the mailbox anew and delete this one",
            Self::Mailbox => {
                "restore a backup into a new directory; `stoa export` there gives what this mailbox held, and here what can still be read"
            }
            Self::Account => "set the password anew with `stoa account password`, or restore a backup into a new directory",
            Self::Queue => "send the message again: this one cannot be sent whole",
            Self::Memory => "nothing: the server learns it anew",
            Self::Room => "nothing: it costs room, and nothing else",
        }
    }
}

/// How much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are named for what they count")]
pub struct Counts {
    pub accounts: u64,
    pub mailboxes: u64,
    pub entries: u64,
    pub messages: u64,
    pub bodies: u64,
    pub body_bytes: u64,
    pub queued: u64,
    pub rows: u64,
    pub wrong: u64,
}

/// Looks at everything; tells what is wrong, and counts the rest.
pub async fn verify(engine: &dyn Engine, check: MessageCheck, tell: &mut (dyn FnMut(Told) + Send)) -> Result<Counts> {
    let mut verifier = Verifier {
        engine,
        check,
        tell,
        counts: Counts::default(),
        addresses: HashMap::new(),
        mailboxes: HashMap::new(),
        entries: BTreeMap::new(),
        bad_bodies: BTreeMap::new(),
        good_bodies: 0,
        chunk_gap: None,
    };
    verifier.meta().await?;
    verifier.names().await;
    verifier.accounts().await;
    verifier.credentials().await;
    verifier.holders().await;
    verifier.all_mailboxes().await;
    verifier.deleted().await;
    verifier.rows_of_no_mailbox().await;
    verifier.chunks().await;
    verifier.blobs().await;
    verifier.messages().await;
    verifier.message_refs().await;
    verifier.blob_refs().await;
    verifier.garbage().await;
    verifier.queue().await;
    verifier.staging().await;
    verifier.notes().await;
    Ok(verifier.counts)
}

struct Verifier<'a> {
    engine: &'a dyn Engine,
    check: MessageCheck,
    tell: &'a mut (dyn FnMut(Told) + Send),
    counts: Counts,
    addresses: HashMap<HolderId, String>,
    mailboxes: HashMap<Place, String>,
    /// How many messages each mailbox lists, as far as all of its rows could be read.
    entries: BTreeMap<Place, u64>,
    /// Chunks that make no known body, and why not.
    bad_bodies: BTreeMap<StagingId, &'static str>,
    /// Bodies whose chunks are all there and have the right hash.
    good_bodies: u64,
    /// Why some chunks cannot be read.
    chunk_gap: Option<String>,
}

impl<'a> Verifier<'a> {
    fn wrong(&mut self, harm: Harm, what: impl Into<String>, whose: Vec<String>) {
        self.counts.wrong += 1;
        (self.tell)(Told::Wrong(Finding { what: what.into(), whose, harm }));
    }

    fn rows(&self, table: Table, page: usize) -> Rows<'a> {
        Rows::all(self.engine, table, page)
    }

    /// The next page of a table; what cannot be read of it is told.
    async fn page(&mut self, table: Table, rows: &mut Rows<'a>, read: &mut u64) -> Option<Vec<Row>> {
        loop {
            match rows.next().await? {
                Step::Rows(page) => {
                    *read += page.len() as u64;
                    self.counts.rows += page.len() as u64;
                    (self.tell)(Told::At(table, *read));
                    return Some(page);
                }
                Step::Gap(from, why) => self.gap(table, &from, &why).await,
            }
        }
    }

    async fn gap(&mut self, table: Table, from: &[u8], why: &str) {
        let whose = match holder_of(table, from) {
            Some(holder) => vec![format!("{}, or another account after it", self.address(holder).await)],
            None => Vec::new(),
        };
        self.wrong(harm_of(table), format!("rows of the table {} cannot be read: {why}", table.name()), whose);
    }

    /// A row that can be read and means nothing.
    async fn unreadable(&mut self, table: Table, key: &[u8], what: &str, error: &RecordError) {
        let whose = match holder_of(table, key) {
            Some(holder) => vec![self.address(holder).await],
            None => Vec::new(),
        };
        self.wrong(harm_of(table), format!("{what} cannot be read: {error}"), whose);
    }

    /// A row, if it is there and the engine can read it.
    async fn get(&self, table: Table, key: &[u8]) -> Option<bytes::Bytes> {
        // What the engine cannot read is told when its own table is walked.
        self.engine.get(table, key).await.ok().flatten()
    }

    async fn is_there(&self, table: Table, key: &[u8]) -> bool {
        !matches!(self.engine.get(table, key).await, Ok(None))
    }

    /// The address of an account, or what else can be said of a holder.
    async fn address(&mut self, holder: HolderId) -> String {
        if let Some(known) = self.addresses.get(&holder) {
            return known.clone();
        }
        let row = self.get(Table::Accounts, &keys::holder(holder)).await;
        let account = row.and_then(|row| Account::from_bytes(holder, &row).ok());
        let address = match account {
            Some(account) => account.address,
            None if holder == super::plan::QUEUE_HOLDER => "the queue".to_owned(),
            None => format!("a former or unknown account ({})", holder.0),
        };
        if self.addresses.len() < NAMES_MAX {
            self.addresses.insert(holder, address.clone());
        }
        address
    }

    /// A mailbox as a person knows it.
    async fn mailbox(&mut self, place: Place) -> String {
        if let Some(known) = self.mailboxes.get(&place) {
            return known.clone();
        }
        let row = self.get(Table::Holders, &keys::holder(place.0)).await;
        let tree = row.and_then(|row| Holder::from_bytes(&row).ok());
        let name = tree.and_then(|tree| tree.get(place.1).map(|leaf| leaf.name.clone()));
        let name = name.unwrap_or_else(|| format!("a deleted or unknown mailbox ({})", place.1.0));
        let name = format!("{}, {name}", self.address(place.0).await);
        if self.mailboxes.len() < NAMES_MAX {
            self.mailboxes.insert(place, name.clone());
        }
        name
    }

    /// Where a person finds a message.
    async fn places(&mut self, holder: HolderId, message: MessageId) -> Vec<String> {
        let prefix = keys::message(holder, message);
        let refs = self.engine.range(Table::MessageRefs, &prefix, &keys::after(&prefix), PLACES_NAMED_MAX + 1).await.unwrap_or_default();
        let mut places = Vec::new();
        for (key, _) in refs.iter().take(PLACES_NAMED_MAX) {
            if let Some((place, _, uid)) = parse_message_ref(key) {
                places.push(format!("{}, UID {uid}", self.mailbox(place).await));
            }
        }
        if refs.len() > PLACES_NAMED_MAX {
            places.push("and others".to_owned());
        }
        if places.is_empty() {
            places.push(format!("{}, in no mailbox any more", self.address(holder).await));
        }
        places
    }
}

/// Whose a key is, in the tables where keys begin with the holder.
fn holder_of(table: Table, key: &[u8]) -> Option<HolderId> {
    use Table::{Accounts, Changes, Credentials, Deleted, Garbage, Holders, Mailboxes, MessageRefs, Messages, Segments, Vanished};
    let begins_with_it = matches!(
        table,
        Accounts | Credentials | Holders | Mailboxes | Deleted | Segments | Changes | Vanished | Messages | MessageRefs | Garbage
    );
    let holder = key.first_chunk().map(|bytes| HolderId(u64::from_be_bytes(*bytes)));
    holder.filter(|_| begins_with_it)
}

/// What it means that a row of a table is lost.
fn harm_of(table: Table) -> Harm {
    match table {
        Table::Meta | Table::Names | Table::Accounts | Table::Credentials | Table::Holders => Harm::Account,
        Table::Mailboxes | Table::Segments | Table::Changes | Table::Vanished | Table::MessageRefs => Harm::Mailbox,
        Table::Messages | Table::Blobs | Table::Chunks | Table::BlobRefs => Harm::Content,
        Table::Queue => Harm::Queue,
        Table::Notes => Harm::Memory,
        Table::Deleted | Table::Staging | Table::Garbage => Harm::Room,
    }
}

/// The place, message and UID of a `MessageRefs` key.
fn parse_message_ref(key: &[u8]) -> Option<(Place, MessageId, u32)> {
    let (holder, rest) = key.split_first_chunk()?;
    let (message, rest) = rest.split_first_chunk()?;
    let (mailbox, uid) = rest.split_first_chunk()?;
    let place = (HolderId(u64::from_be_bytes(*holder)), MailboxId(u32::from_be_bytes(*mailbox)));
    Some((place, u64::from_be_bytes(*message), u32::from_be_bytes(uid.try_into().ok()?)))
}

/// The hash, holder and message of a `BlobRefs` key.
fn parse_blob_ref(key: &[u8]) -> Option<(keys::Hash, HolderId, MessageId)> {
    let (hash, rest) = key.split_first_chunk()?;
    let (holder, message) = keys::parse_message(rest)?;
    Some((*hash, holder, message))
}

/// `Meta` says that the data can be read at all.
fn format_of(row: &[u8]) -> Result<u64, StoreError> {
    let format = Reader::parse(row, u8::MAX)?.u64(1)?.unwrap_or(0);
    if format > FORMAT { Err(StoreError::Newer(format)) } else { Ok(format) }
}
