//! Damage of every kind, sown into a store: each is found, told whose it is, and the rest still counted.
//! And whatever one row becomes, nothing that reads it panics.

use super::*;
use crate::store::engine::memory::Memory;
use crate::store::engine::rocksdb::{Rocks, RocksConfig};
use crate::store::engine::{Batch, Committed, Sync};
use crate::store::tests::{create_account, deliver, delivery, place, queued, with_account};
use crate::store::{CHUNK_BYTES, Change, NoteChange, NoteKind, Outcome, Store};
use bytes::Bytes;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, SystemFlag};

/// More changes than a mailbox keeps before it packs them.
const CHANGES: usize = 600;
/// The newest change of the first mailbox, of those that came after packing: it and three messages more were packed.
const LAST_CHANGE: usize = CHANGES + 4 - 512 - 1;

fn check(message: &Message, size: u64) -> Result<(), String> {
    if message.summary == "summary" && message.trust == "trust" && size > 0 { Ok(()) } else { Err("no summary of ours".to_owned()) }
}

/// A store with something in every table.
async fn fill(engine: impl Engine) -> Store {
    let (store, inbox) = with_account(engine).await;
    let Outcome::Holder(plato) = create_account(&store, "plato@stoa.localhost").await.unwrap() else { panic!() };
    let other = place(&store, plato, "INBOX").await;
    for size in [10, CHUNK_BYTES, 3 * CHUNK_BYTES + 17] {
        let both = delivery(&store, &vec![size as u8; size], vec![inbox, other]).await;
        store.commit(Change::Deliver(Box::new(both))).await.unwrap();
    }
    deliver(&store, b"only here", inbox).await.unwrap();
    let archive = place(&store, inbox.0, "Archive").await;
    let uids = [1, 2].into_iter().collect();
    store.commit(Change::Copy { holder: inbox.0, from: inbox.1, to: archive.1, uids, take: false, now: 9 }).await.unwrap();
    for n in 0..CHANGES {
        let change = if n % 2 == 0 { FlagChange::Add } else { FlagChange::Remove };
        let flags = FlagNames { system: SystemFlag::Seen.into(), keywords: vec!["$Loved".into()] };
        store.commit(Change::Store { place: inbox, uids: [1].into_iter().collect(), change, flags, unchanged_since: None }).await.unwrap();
    }
    let deleted = FlagNames { system: SystemFlag::Deleted.into(), keywords: Vec::new() };
    let (uids, change) = ([3].into_iter().collect(), FlagChange::Add);
    store.commit(Change::Store { place: other, uids, change, flags: deleted, unchanged_since: None }).await.unwrap();
    store.commit(Change::Expunge { place: other, uids: None }).await.unwrap();
    let trash = place(&store, plato, "Trash").await;
    deliver(&store, b"in a mailbox that goes", trash).await.unwrap();
    store.commit(Change::DeleteMailbox { place: trash, name: "Trash".into() }).await.unwrap();
    queued(&store, 77).await;
    store.commit(Change::Notes(vec![NoteChange::put(NoteKind::Budget, "key", "value")])).await.unwrap();
    let mut coming = store.write_body(1_000);
    coming.write(&vec![1; CHUNK_BYTES + 1]).await.unwrap();
    store
}

async fn look(engine: &dyn Engine) -> (Vec<Finding>, Counts) {
    let mut found = Vec::new();
    let mut tell = |told| {
        if let Told::Wrong(finding) = told {
            found.push(finding);
        }
    };
    let counts = verify(engine, check, &mut tell).await.unwrap();
    assert_eq!(counts.wrong, found.len() as u64);
    (found, counts)
}

async fn write(engine: &dyn Engine, table: Table, key: &[u8], value: Option<Vec<u8>>) {
    let mut batch = Batch::default();
    match value {
        Some(value) => batch.put(table, key.to_vec(), value),
        None => batch.delete(table, key.to_vec()),
    }
    assert!(matches!(engine.commit(batch, Sync::Now).await, Committed::Done));
}

async fn rows(engine: &dyn Engine, table: Table) -> Vec<Row> {
    engine.range(table, &[], &[u8::MAX; 64], usize::MAX).await.unwrap()
}

/// Another engine with the same rows.
async fn twin(engine: &dyn Engine) -> Memory {
    let twin = Memory::new();
    let mut batch = Batch::default();
    for table in Table::ALL {
        rows(engine, *table).await.into_iter().for_each(|(key, row)| batch.put(*table, key.to_vec(), row));
    }
    assert!(matches!(twin.commit(batch, Sync::Now).await, Committed::Done));
    twin
}

/// What is done to a row.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Gone,
    Cut,
    Flipped,
    Noise,
}

impl Damage {
    fn of(self, row: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gone => None,
            Self::Cut => Some(row[..row.len() / 2].to_vec()),
            Self::Flipped => {
                let mut row = row.to_vec();
                let last = row.len() - 1;
                row[last] ^= 0x40;
                Some(row)
            }
            Self::Noise => Some(vec![0xff; 20]),
        }
    }
}

#[tokio::test]
async fn a_store_with_something_in_every_table_is_whole() {
    let engine = Memory::new();
    let _store = fill(engine.clone()).await;
    for table in Table::ALL {
        assert!(!rows(&engine, *table).await.is_empty(), "{table:?} holds nothing: what is told of it shows nothing");
    }
    let (found, counts) = look(&engine).await;
    assert_eq!(found, []);
    assert_eq!((counts.accounts, counts.mailboxes, counts.queued), (2, 12, 1));
    // Four bodies in mailboxes that stay, one in the mailbox that goes, and one in the queue.
    assert_eq!((counts.messages, counts.entries, counts.bodies), (8, 4 + 2 + 2 + 1, 6));
}

#[tokio::test]
async fn every_damage_is_found_with_whose_it_is_and_the_rest_is_counted() {
    use Damage::{Cut, Flipped, Gone, Noise};
    use Table::{
        Accounts, BlobRefs, Blobs, Changes, Chunks, Credentials, Holders, Mailboxes, MessageRefs, Messages, Meta, Names, Queue, Segments,
        Vanished,
    };
    let socrates = "Socrates@stoa.localhost";
    // The row of a table by its place, what is done to it, what is told, and of whom.
    let table = [
        (Messages, 0, Cut, "this message cannot be read", "Socrates@stoa.localhost, INBOX, UID 1"),
        (Messages, 0, Gone, "listed and not there", "Socrates@stoa.localhost, Archive, UID 1"),
        (Messages, 0, Flipped, "beside its text is damaged", "Socrates@stoa.localhost, INBOX, UID 1"),
        (MessageRefs, 0, Gone, "nothing keeps this message", "Socrates@stoa.localhost, INBOX, UID 1"),
        (Chunks, 0, Flipped, "another hash", "Socrates@stoa.localhost, INBOX, UID"),
        (Chunks, 0, Gone, "its text is missing", "Socrates@stoa.localhost, INBOX, UID"),
        (Blobs, 0, Gone, "the text of this message is missing", "stoa.localhost"),
        (Blobs, 0, Noise, "where the text of this message lies", "stoa.localhost"),
        (BlobRefs, 0, Gone, "nothing keeps the text", "stoa.localhost"),
        (Holders, 0, Noise, "the list of mailboxes cannot be read", socrates),
        (Holders, 0, Gone, "has no list of mailboxes", socrates),
        (Mailboxes, 0, Noise, "cannot be opened, its head", "Socrates@stoa.localhost, INBOX"),
        (Mailboxes, 0, Gone, "listed and not there", "Socrates@stoa.localhost, INBOX"),
        (Segments, 0, Cut, "UIDs 0 to 4095", "Socrates@stoa.localhost, INBOX"),
        (Segments, 0, Gone, "kept for mailboxes that do not list them", ""),
        (Changes, 3, Noise, "a change of this mailbox is damaged", "Socrates@stoa.localhost, INBOX"),
        (Changes, LAST_CHANGE, Gone, "changes of this mailbox are missing", "Socrates@stoa.localhost, INBOX"),
        (Vanished, 0, Noise, "what was removed from this mailbox", "plato@stoa.localhost, INBOX"),
        (Accounts, 1, Noise, "the account cannot be read", "(2)"),
        (Accounts, 1, Gone, "leads to no account", "plato@stoa.localhost"),
        (Credentials, 0, Cut, "a password cannot be read", socrates),
        (Credentials, 0, Gone, "has no password", socrates),
        (Names, 0, Gone, "does not lead to it", "plato@stoa.localhost"),
        (Names, 0, Noise, "leads to no account", "plato@stoa.localhost"),
        (Meta, 1, Noise, "the value `counters` cannot be read", ""),
        (Meta, 1, Gone, "the counter of accounts", socrates),
        (Queue, 0, Cut, "this message cannot be read", "the queue, message 000000000000004d"),
    ];
    let model = Memory::new();
    let _store = fill(model.clone()).await;
    let (_, before) = look(&model).await;
    for (table, at, damage, what, whose) in table {
        let engine = twin(&model).await;
        let mut all = rows(&engine, table).await;
        // Where chunks lie is left to chance.
        let at = all.iter().position(|(_, row)| row == "only here").unwrap_or(at);
        let (key, row) = all.remove(at);
        write(&engine, table, &key, damage.of(&row)).await;
        let (found, counts) = look(&engine).await;
        let case = format!("{table:?} {at} {damage:?}");
        let told = |finding: &Finding| finding.what.contains(what) && finding.whose.join("; ").contains(whose);
        assert!(found.iter().any(told), "{case}: {found:#?}");
        assert!(found.len() <= 12, "{case}: one damage is told in few words: {found:#?}");
        // Without its head, the rows of a mailbox say nothing.
        let allowed = if table == Mailboxes { before.rows * 2 / 3 } else { 0 };
        assert!(before.rows <= counts.rows + allowed + 1, "{case}: the rest is still read, {} rows of {}", counts.rows, before.rows);
        assert!(before.messages - counts.messages <= 1 && before.bodies - counts.bodies <= 1, "{case}: {counts:?}");
    }
}

#[tokio::test]
async fn a_piece_of_a_long_text_that_is_missing_is_noticed_wherever_it_was() {
    for number in [0u32, 1, 3] {
        let engine = Memory::new();
        let _store = fill(engine.clone()).await;
        let all = rows(&engine, Table::Chunks).await;
        // The one of four chunks.
        let long = all.iter().find(|(key, _)| key.ends_with(&3u32.to_be_bytes())).unwrap().0.slice(..16);
        write(&engine, Table::Chunks, &[&long[..], &number.to_be_bytes()].concat(), None).await;
        let (found, _) = look(&engine).await;
        assert_eq!(found.len(), 1, "{number}: {found:#?}");
        assert!(found[0].what.contains("missing") && found[0].harm == Harm::Content);
        assert!(found[0].whose.contains(&"Socrates@stoa.localhost, INBOX, UID 3".to_owned()), "{:?}", found[0].whose);
    }
}

#[tokio::test]
async fn what_belongs_to_nothing_is_only_room() {
    let engine = Memory::new();
    let _store = fill(engine.clone()).await;
    write(&engine, Table::Chunks, &[[7; 16].as_slice(), &[0; 4]].concat(), Some(b"stray".to_vec())).await;
    write(&engine, Table::BlobRefs, &[9; 48], Some(Vec::new())).await;
    write(&engine, Table::MessageRefs, &keys::message_ref(HolderId(1), 1, MailboxId(1), 99), Some(Vec::new())).await;
    let (found, _) = look(&engine).await;
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|finding| finding.harm == Harm::Room), "{found:#?}");
}

#[tokio::test]
async fn a_store_of_which_every_mailbox_got_a_new_uid_validity_is_whole() {
    let engine = Memory::new();
    let old = fill(engine.clone()).await;
    let inbox = (HolderId(1), place(&old, HolderId(1), "INBOX").await.1);
    let before = old.watch(inbox).await.unwrap().borrow().clone();
    drop(old);
    assert_eq!(crate::store::renew_uid_validity(&engine, 5_000).await.unwrap(), 11, "all but the one that goes");
    assert_eq!(look(&engine).await.0, []);
    let store = Store::open(Arc::new(engine)).await.unwrap();
    let after = store.watch(inbox).await.unwrap().borrow().clone();
    assert!(after.uid_validity >= 5_000 && after.uid_validity != before.uid_validity);
    assert!(after.iter().eq(before.iter()) && after.uid_next == before.uid_next, "messages keep their UIDs");
}

/// Copies a store's directory with one byte changed.
fn copy_with(from: &Path, to: &Path, victim: &Path, at: usize) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let mut bytes = fs::read(entry.path()).unwrap();
        if entry.path() == victim {
            bytes[at] ^= 0x10;
        }
        fs::write(to.join(entry.file_name()), bytes).unwrap();
    }
}

#[tokio::test]
async fn flipped_bits_of_files_are_found_and_the_walk_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (live, whole) = (dir.path().join("live"), dir.path().join("whole"));
    let store = fill(Rocks::open(&live, &RocksConfig::default()).unwrap()).await;
    store.checkpoint(&whole).await.unwrap();
    let before = look(&Rocks::open(&whole, &RocksConfig::default()).unwrap()).await;
    assert_eq!(before.0, []);
    let mut told = 0;
    let mut files: Vec<_> = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (n, victim) in files.iter().enumerate() {
        let size = fs::metadata(victim).unwrap().len() as usize;
        let kind = victim.extension().unwrap_or_default().to_string_lossy().into_owned();
        // The first block of a table's file holds rows; the middle of a blob file is within a body.
        let at = if kind == "blob" { size / 2 } else { 25 };
        if (kind != "sst" && kind != "blob") || size < 100 {
            continue;
        }
        let copy = dir.path().join(format!("copy-{n}"));
        copy_with(&whole, &copy, victim, at);
        let Ok(engine) = Rocks::open(&copy, &RocksConfig::default()) else { continue };
        let (found, counts) = look(&engine).await;
        assert!(!found.is_empty(), "a changed bit in {} was not found", victim.display());
        assert!(counts.rows > before.1.rows / 3, "{}: {} rows of {}", victim.display(), counts.rows, before.1.rows);
        told += 1;
    }
    assert!(told > 10, "only {told} files were damaged");
}

/// The next number of a sequence that a seed leads to everywhere (SplitMix64).
fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize
}

/// A row made into something else.
fn mutate(row: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut bytes = row.to_vec();
    let at = random(seed) % (bytes.len() + 1);
    match random(seed) % 5 {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random(seed) as u8),
        2 => drop(bytes.splice(at.., (0..random(seed) % 20).map(|_| 0xff))),
        3 => bytes = (0..random(seed) % 40).map(|n| (n as u8).wrapping_mul(random(seed) as u8)).collect(),
        _ => {
            for _ in 0..=random(seed) % 3 {
                let place = random(seed) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (random(seed) % 8);
                }
            }
        }
    }
    bytes
}

#[tokio::test]
async fn a_lost_counter_gives_nothing_out_twice() {
    let model = Memory::new();
    drop(fill(model.clone()).await);
    let without = |row: &[u8]| {
        // The first field of these records is their counter.
        let mut row = row.to_vec();
        row[1] = 0x7e;
        row
    };
    for (table, key) in [(Table::Meta, keys::COUNTERS.to_vec()), (Table::Holders, keys::holder(HolderId(1)))] {
        let engine = twin(&model).await;
        let row = engine.get(table, &key).await.unwrap().unwrap();
        write(&engine, table, &key, Some(without(&row))).await;
        let store = Store::open(Arc::new(engine)).await.unwrap();
        let refused = match table {
            Table::Meta => create_account(&store, "third@stoa.localhost").await.map(drop),
            _ => deliver(&store, b"one more", (HolderId(1), MailboxId(1))).await.map(drop),
        };
        assert!(refused.is_err(), "{table:?}");
        assert_eq!(store.account(HolderId(1)).await.unwrap().unwrap().address, "Socrates@stoa.localhost");
    }
}

/// Everything that doors ask of a store. Errors are right here; a panic is not.
async fn read_everything(store: &Store) {
    let accounts = store.accounts().await.unwrap_or_default();
    _ = store.find_address("socrates@stoa.localhost").await;
    _ = store.queued(usize::MAX).await;
    _ = store.notes(NoteKind::Budget, b"").await;
    for holder in (1..4).map(HolderId) {
        _ = (store.account(holder).await, store.credentials(holder).await);
        let Ok(Some(tree)) = store.holder(holder).await else { continue };
        for leaf in tree.mailboxes.iter().take(20) {
            let place = (holder, leaf.id);
            _ = (store.vanished(place, 1).await, store.recent_from(place).await);
            let Ok(views) = store.watch(place).await else { continue };
            let ids: Vec<_> = views.borrow().iter().map(|entry| entry.message).take(50).collect();
            for message in store.messages(holder, &ids).await.into_iter().flatten().flatten() {
                if let Ok(body) = store.contents(&message).await {
                    _ = body.read_all(0..u64::MAX).await;
                }
            }
        }
    }
    drop(accounts);
}

/// What is changed of a store while it is used. Refusals are right here.
async fn change_something(store: &Store, inbox: Place) {
    _ = deliver(store, b"one more", inbox).await;
    let flags = FlagNames { system: SystemFlag::Flagged.into(), keywords: vec!["New".into()] };
    let uids = || stoa_mailbox::UidSet::from_ranges([1..=u32::MAX]);
    _ = store.commit(Change::Store { place: inbox, uids: uids(), change: FlagChange::Add, flags, unchanged_since: None }).await;
    let (from, to) = (inbox.1, MailboxId(3));
    _ = store.commit(Change::Copy { holder: inbox.0, from, to, uids: uids(), take: true, now: 9 }).await;
    _ = store.commit(Change::CreateMailbox { holder: inbox.0, name: "New".into(), special_use: None, now: 9 }).await;
    _ = create_account(store, "third@stoa.localhost").await;
    _ = store.reclaim().await;
}

#[tokio::test]
async fn whatever_one_row_becomes_nothing_that_reads_it_panics() {
    const ROUNDS: usize = 500;
    let mut seed = 7 + u64::from(std::process::id());
    println!("seed {seed}");
    let model = Memory::new();
    drop(fill(model.clone()).await);
    let mut all = Vec::new();
    for table in Table::ALL {
        let mut rows = rows(&model, *table).await;
        // Of hundreds of changes and of large bodies a few stand for the rest.
        rows.truncate(40);
        all.extend(rows.into_iter().map(|row| (*table, row)));
    }
    for round in 0..ROUNDS {
        let (table, (key, row)) = &all[random(&mut seed) % all.len()];
        let damaged = mutate(row, &mut seed);
        let engine = Memory::new();
        let mut batch = Batch::default();
        for (table, (key, row)) in &all {
            batch.put(*table, key.to_vec(), row.clone());
        }
        batch.put(*table, key.to_vec(), damaged.clone());
        assert!(matches!(engine.commit(batch, Sync::Now).await, Committed::Done));
        _ = verify(&engine, check, &mut |_| ()).await;
        let Ok(store) = Store::open(Arc::new(engine)).await else { continue };
        read_everything(&store).await;
        change_something(&store, (HolderId(1), MailboxId(1))).await;
        let alive = store.commit(Change::Notes(vec![NoteChange::put(NoteKind::Findings, "alive", Bytes::new())])).await;
        assert!(alive.is_ok(), "round {round}: the committer ended after {table:?} {key:?} became {damaged:?}: {alive:?}");
    }
}
