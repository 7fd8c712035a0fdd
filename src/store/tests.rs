//! The store as its users see it, on an engine that crashes, fails and is shared.

use super::engine::memory::{Fault, Memory};
use super::engine::rocksdb::{Rocks, RocksConfig};
use super::*;
use std::collections::{HashMap, HashSet};
use stoa_mailbox::{FlagChange, FlagNames, Flags, SystemFlag, Uid, UidSet};

pub(super) fn credential(id: u64, name: &str) -> Credential {
    Credential {
        id,
        name: name.into(),
        argon2: "$argon2id$".into(),
        scram_salt: vec![1],
        scram_iterations: 4096,
        scram_stored_key: vec![2],
        scram_server_key: vec![3],
        created: 9,
    }
}

pub(super) async fn create_account(store: &Store, address: &str) -> Result<Outcome> {
    let account = NewAccount { address: address.into(), owner: true, now: 1_000 };
    store.commit(Change::CreateAccount { account, password: credential(0, "") }).await
}

/// A store with one account, and its INBOX.
pub(super) async fn with_account(engine: impl Engine) -> (Store, Place) {
    let store = Store::open(Arc::new(engine)).await.unwrap();
    let Outcome::Holder(holder) = create_account(&store, "Socrates@stoa.localhost").await.unwrap() else { panic!() };
    let inbox = place(&store, holder, "INBOX").await;
    (store, inbox)
}

pub(super) async fn place(store: &Store, holder: HolderId, name: &str) -> Place {
    (holder, store.holder(holder).await.unwrap().unwrap().find(name).unwrap().id)
}

pub(super) async fn delivery(store: &Store, body: &[u8], mailboxes: Vec<Place>) -> Delivery {
    let mut writer = store.write_body(1_000);
    for part in body.chunks(100_000) {
        writer.write(part).await.unwrap();
    }
    let (prefix, summary) = (Bytes::from_static(b"Received: here\r\n"), Bytes::from_static(b"summary"));
    let body = DeliveredBody::Staged(writer.finish());
    Delivery { received: 7, mailboxes, ..Delivery::of(body, prefix, summary, Bytes::from_static(b"trust")) }
}

pub(super) async fn deliver(store: &Store, body: &[u8], mailbox: Place) -> Result<Filed> {
    let delivery = delivery(store, body, vec![mailbox]).await;
    match store.commit(Change::Deliver(Box::new(delivery))).await? {
        Outcome::Filed(places) => Ok(places[0]),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn view(store: &Store, place: Place) -> Arc<View> {
    store.watch(place).await.unwrap().borrow().clone()
}

/// The bytes of a stored message.
async fn read(store: &Store, place: Place, uid: Uid) -> Vec<u8> {
    let message = view(store, place).await.find(uid).unwrap().message;
    let message = store.messages(place.0, &[message]).await.unwrap().remove(0).unwrap();
    let body = store.contents(&message).await.unwrap();
    body.read_all(0..u64::MAX).await.unwrap()
}

/// What a mail program would see of every message of a mailbox.
async fn bodies(store: &Store, place: Place) -> Vec<(Uid, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in view(store, place).await.iter() {
        all.push((entry.uid, read(store, place, entry.uid).await));
    }
    all
}

#[tokio::test]
async fn an_account_has_mailboxes_and_credentials_and_is_found_in_any_case() {
    let (store, inbox) = with_account(Memory::new()).await;
    assert_eq!(store.find_address("SOCRATES@stoa.localhost").await.unwrap(), Some(inbox.0));
    let taken = create_account(&store, "socrates@STOA.localhost").await;
    assert!(matches!(taken, Err(StoreError::Refused(Refusal::AddressTaken))));
    let tree = store.holder(inbox.0).await.unwrap().unwrap();
    let names: Vec<&str> = tree.mailboxes.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"]);
    store.commit(Change::PutCredential { holder: inbox.0, credential: credential(5, "phone") }).await.unwrap();
    assert_eq!(store.credentials(inbox.0).await.unwrap(), [credential(0, ""), credential(5, "phone")]);
    store.commit(Change::RemoveCredential { holder: inbox.0, credential: 5 }).await.unwrap();
    assert_eq!(store.credentials(inbox.0).await.unwrap().len(), 1);
    let account = store.account(inbox.0).await.unwrap().unwrap();
    assert_eq!(store.accounts().await.unwrap(), std::slice::from_ref(&account));
    store.commit(Change::RemoveAccount { account }).await.unwrap();
    assert_eq!(store.find_address("socrates@stoa.localhost").await.unwrap(), None);
    assert!(store.credentials(inbox.0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_reads_back_whatever_its_size() {
    let (store, inbox) = with_account(Memory::new()).await;
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17] {
        let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let filed = deliver(&store, &body, inbox).await.unwrap();
        let whole = [b"Received: here\r\n".as_slice(), &body].concat();
        assert_eq!(read(&store, inbox, filed.uid).await, whole);
        assert_eq!(view(&store, inbox).await.find(filed.uid).unwrap().size as usize, whole.len());
    }
    let message = store.messages(inbox.0, &[view(&store, inbox).await.get(5).unwrap().message]).await.unwrap().remove(0).unwrap();
    let body = store.contents(&message).await.unwrap();
    let across = CHUNK_BYTES as u64 + 10..CHUNK_BYTES as u64 + 30;
    assert_eq!(body.read_all(across.clone()).await.unwrap().len(), 20);
    assert_eq!(body.read_all(5..20).await.unwrap(), b"ved: here\r\n\x00\x01\x02\x03");
}

#[tokio::test]
async fn one_commit_serves_all_recipients_of_a_message() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let Outcome::Holder(plato) = create_account(&store, "plato@stoa.localhost").await.unwrap() else { panic!() };
    let other = place(&store, plato, "INBOX").await;
    let mut both = delivery(&store, b"hello", vec![inbox, other]).await;
    let to = vec![QueuedRecipient { notify: 2, ..QueuedRecipient::new("a@example.net".into(), 5) }];
    both.queue = Some((77, Queued::of("socrates@stoa.localhost".into(), both.prefix.clone(), both.body.reference(), 5, to)));
    let before = engine.synced_commits();
    store.commit(Change::Deliver(Box::new(both.clone()))).await.unwrap();
    assert_eq!(engine.synced_commits(), before + 1);
    assert_eq!(store.queue_news().await, QueueNews::These([77].into()));
    assert_eq!(store.queued(10).await.unwrap(), [both.queue.clone().unwrap()]);
    for mailbox in [inbox, other] {
        assert_eq!(bodies(&store, mailbox).await.len(), 1);
    }
    let taken = store.commit(Change::Deliver(Box::new(both.clone()))).await;
    assert!(matches!(taken, Err(StoreError::Refused(Refusal::QueueNumberTaken))), "no message takes the place of another");
    // Filing the queued copy here takes it out of the queue in the same commit.
    let body = DeliveredBody::Stored(both.body.reference());
    let filed = Delivery { mailboxes: vec![inbox], dequeue: Some(77), ..Delivery::of(body, Bytes::new(), Bytes::new(), Bytes::new()) };
    store.commit(Change::Deliver(Box::new(filed.clone()))).await.unwrap();
    assert!(store.queued(10).await.unwrap().is_empty());
    assert_eq!(read(&store, inbox, 2).await, b"hello");
    let again = store.commit(Change::Deliver(Box::new(filed))).await;
    assert!(matches!(again, Err(StoreError::Refused(Refusal::NotQueued))), "it is filed once");
}

#[tokio::test]
async fn changes_that_wait_for_a_sync_share_the_next_one() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let before = engine.synced_commits();
    let tasks: Vec<_> = (0..100)
        .map(|n: u32| {
            let store = store.clone();
            tokio::spawn(async move { deliver(&store, &n.to_be_bytes(), inbox).await.unwrap().uid })
        })
        .collect();
    let mut uids = HashSet::new();
    for task in tasks {
        uids.insert(task.await.unwrap());
    }
    assert_eq!(uids.len(), 100);
    let syncs = engine.synced_commits() - before;
    assert!(syncs < 50, "{syncs} syncs for 100 messages");
}

#[tokio::test]
async fn flags_copies_moves_and_expunges() {
    let (store, inbox) = with_account(Memory::new()).await;
    let trash = place(&store, inbox.0, "Trash").await;
    for n in 0..4u8 {
        deliver(&store, &[n], inbox).await.unwrap();
    }
    let some: UidSet = [2, 3].into_iter().collect();
    let flags = FlagNames { system: SystemFlag::Deleted.into(), keywords: vec!["$Work".into()] };
    store.commit(Change::Store { place: inbox, uids: some.clone(), change: FlagChange::Add, flags, unchanged_since: None }).await.unwrap();
    // In the other mailbox the keyword has another number.
    let first = FlagNames { system: Flags::NONE, keywords: vec!["other".into()] };
    let mut in_trash = delivery(&store, b"t", vec![trash]).await;
    in_trash.flags = first;
    store.commit(Change::Deliver(Box::new(in_trash))).await.unwrap();
    let change = Change::Copy { holder: inbox.0, from: inbox.1, to: trash.1, uids: some, take: false, now: 0 };
    let Outcome::Copied { from, to, .. } = store.commit(change).await.unwrap() else { panic!() };
    assert_eq!((from, to), (vec![2, 3], vec![2, 3]));
    let copied = view(&store, trash).await;
    assert_eq!(copied.keywords.as_slice(), ["other", "$Work"]);
    assert_eq!(copied.find(2).unwrap().flags, Flags::from(SystemFlag::Deleted).with(Flags::keyword(1)));

    let take = Change::Copy { holder: inbox.0, from: inbox.1, to: trash.1, uids: [1, 99].into_iter().collect(), take: true, now: 0 };
    let Outcome::Copied { from, to, .. } = store.commit(take).await.unwrap() else { panic!() };
    assert_eq!((from, to), (vec![1], vec![4]));
    store.commit(Change::Expunge { place: inbox, uids: Some([3].into_iter().collect()) }).await.unwrap();
    store.commit(Change::Expunge { place: inbox, uids: None }).await.unwrap();
    assert_eq!(bodies(&store, inbox).await.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), [4]);
    assert_eq!(store.reclaim().await.unwrap(), 0, "every message is still in Trash");
    assert_eq!(bodies(&store, trash).await.len(), 4);
}

#[tokio::test]
async fn what_nobody_refers_to_is_reclaimed_and_nothing_else() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let big = vec![7; CHUNK_BYTES * 2];
    for body in [&big[..], &big, b"small"] {
        deliver(&store, body, inbox).await.unwrap();
    }
    let deleted = FlagNames { system: SystemFlag::Deleted.into(), keywords: vec![] };
    let remove = async |uid: Uid| {
        let uids: UidSet = [uid].into_iter().collect();
        let flags = deleted.clone();
        store.commit(Change::Store { place: inbox, uids, change: FlagChange::Add, flags, unchanged_since: None }).await.unwrap();
        store.commit(Change::Expunge { place: inbox, uids: None }).await.unwrap();
    };
    let chunks = async || engine.range(Table::Chunks, &[], &[255; 30], 100).await.unwrap().len();
    assert_eq!(chunks().await, 3, "the same body twice is stored once, a small one beside it");
    remove(1).await;
    assert_eq!(store.reclaim().await.unwrap(), 1);
    assert_eq!(read(&store, inbox, 2).await.len(), big.len() + 16);
    remove(2).await;
    remove(3).await;
    assert_eq!(store.reclaim().await.unwrap(), 2);
    assert_eq!(chunks().await, 0);
    for table in [Table::Blobs, Table::BlobRefs, Table::Messages, Table::MessageRefs, Table::Garbage, Table::Staging] {
        assert!(engine.range(table, &[], &[255; 60], 1).await.unwrap().is_empty(), "{table:?}");
    }
}

#[tokio::test]
async fn garbage_that_comes_while_other_is_reclaimed_is_found_too() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    for number in 1..=50_u32 {
        deliver(&store, &number.to_be_bytes(), inbox).await.unwrap();
    }
    let remove = async |uids: UidSet| {
        let flags = FlagNames { system: SystemFlag::Deleted.into(), keywords: vec![] };
        store.commit(Change::Store { place: inbox, uids, change: FlagChange::Add, flags, unchanged_since: None }).await.unwrap();
        store.commit(Change::Expunge { place: inbox, uids: None }).await.unwrap();
    };
    remove(UidSet::from_ranges([2..=50])).await;
    let some = store.commit(Change::Reclaim { limit: 20 }).await.unwrap();
    assert_eq!(some, Outcome::Reclaimed { messages: 20, more: true });
    remove([1].into_iter().collect()).await;
    assert_eq!(store.reclaim().await.unwrap(), 30);
    for table in [Table::Garbage, Table::Messages, Table::Chunks] {
        assert!(engine.range(table, &[], &[255; 60], 1).await.unwrap().is_empty(), "{table:?}");
    }
}

#[tokio::test]
async fn a_body_that_no_change_used_is_swept_at_the_next_start() {
    let engine = Memory::new();
    let (store, _) = with_account(engine.clone()).await;
    let mut writer = store.write_body(5);
    writer.write(&vec![1; CHUNK_BYTES * 3]).await.unwrap();
    let rows = async |table| engine.range(table, &[], &[255; 30], 100).await.unwrap().len();
    assert_eq!((rows(Table::Chunks).await, rows(Table::Staging).await), (2, 1));
    store.sweep(5).await.unwrap();
    assert_eq!((rows(Table::Chunks).await, rows(Table::Staging).await), (2, 1), "it is still coming");
    drop((writer, store));
    Store::open(Arc::new(engine.clone())).await.unwrap();
    assert_eq!((rows(Table::Chunks).await, rows(Table::Staging).await), (0, 0));
}

#[tokio::test]
async fn a_body_that_came_long_ago_and_was_never_used_is_swept() {
    let engine = Memory::new();
    let (store, _) = with_account(engine.clone()).await;
    for now in [5, 100] {
        let mut writer = store.write_body(now);
        writer.write(&vec![1; CHUNK_BYTES * 3]).await.unwrap();
    }
    store.sweep(100).await.unwrap();
    let rows = async |table| engine.range(table, &[], &[255; 30], 100).await.unwrap().len();
    assert_eq!((rows(Table::Chunks).await, rows(Table::Staging).await), (2, 1));
}

#[tokio::test]
async fn a_body_whose_beginning_was_swept_is_refused_and_can_come_again() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let body = vec![7; CHUNK_BYTES * 2];
    let late = delivery(&store, &body, vec![inbox]).await;
    store.sweep(i64::MAX).await.unwrap();
    let refused = store.commit(Change::Deliver(Box::new(late))).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::NoBody))));
    let filed = deliver(&store, &body, inbox).await.unwrap();
    assert_eq!(read(&store, inbox, filed.uid).await.len(), body.len() + 16);
}

#[tokio::test]
async fn of_several_deliveries_all_are_filed_or_none() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let (small, large) = (b"Subject: a\r\n\r\n".to_vec(), vec![7; CHUNK_BYTES * 2 + 1]);
    let waiting = async |body: &[u8]| {
        let mut writer = store.write_body(i64::MAX);
        writer.write(body).await.unwrap();
        let staged = writer.finish_staged().await.unwrap();
        assert!(staged.last.1.is_empty());
        Delivery { body: DeliveredBody::Staged(staged), ..delivery(&store, b"x", vec![inbox]).await }
    };
    let late = delivery(&store, &large, vec![inbox]).await;
    store.sweep(i64::MAX).await.unwrap();
    let all = vec![waiting(&small).await, late, waiting(&large).await];
    let before = store.watch(inbox).await.unwrap().borrow().clone();
    let refused = store.commit(Change::DeliverAll(all)).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::NoBody))));
    assert_eq!(*store.watch(inbox).await.unwrap().borrow(), before);

    // Twice the same octets, and some that were held in memory.
    let all = vec![waiting(&small).await, waiting(&large).await, waiting(&large).await, delivery(&store, &small, vec![inbox]).await];
    let Outcome::Filed(filed) = store.commit(Change::DeliverAll(all)).await.unwrap() else { panic!() };
    let bodies = [&small, &large, &large, &small];
    assert_eq!(filed.iter().map(|filed| filed.uid).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (filed, body) in filed.iter().zip(bodies) {
        assert!(read(&store, inbox, filed.uid).await.ends_with(body));
    }
    // Of what was refused, nobody has let go yet.
    assert_eq!(engine.range(Table::Staging, &[], &[255; 30], 100).await.unwrap().len(), 2);
}

/// Opens the mailbox anew from its rows, and compares it with the view that grew change by change.
#[tokio::test]
async fn a_mailbox_loads_as_it_was_also_after_packing() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    for round in 0..1_300u32 {
        match round % 13 {
            5 => {
                let uids = UidSet::from_ranges([round / 2..=round / 2 + 30]);
                let flags = FlagNames { system: SystemFlag::Deleted.into(), keywords: vec![format!("k{}", round % 3)] };
                store.commit(Change::Store { place: inbox, uids, change: FlagChange::Add, flags, unchanged_since: None }).await.unwrap();
            }
            11 => {
                let uids = Some(UidSet::from_ranges([round / 2 + 3..=round / 2 + 9]));
                store.commit(Change::Expunge { place: inbox, uids }).await.unwrap();
            }
            _ => {
                deliver(&store, &round.to_be_bytes(), inbox).await.unwrap();
            }
        }
    }
    let grown = view(&store, inbox).await;
    let loaded = view(&Store::open(Arc::new(engine.clone())).await.unwrap(), inbox).await;
    assert_eq!(loaded.iter().collect::<Vec<_>>(), grown.iter().collect::<Vec<_>>());
    assert_eq!((loaded.uid_next, loaded.highest_modseq), (grown.uid_next, grown.highest_modseq));
    assert_eq!(loaded.keywords, grown.keywords);
    let rows = engine.range(Table::Changes, &[], &[255; 30], 10_000).await.unwrap().len();
    assert!(rows < 600, "{rows} change records are left: packing did not happen");
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_deleted_with_their_mail() {
    let (store, inbox) = with_account(Memory::new()).await;
    let holder = inbox.0;
    store.commit(Change::CreateMailbox { holder, name: "a/b".into(), special_use: None, now: 2_000 }).await.unwrap();
    let made = place(&store, holder, "a/b").await;
    deliver(&store, b"x", made).await.unwrap();
    store.commit(Change::RenameMailbox { holder, from: "a".into(), to: "c".into(), now: 2_001 }).await.unwrap();
    assert_eq!(place(&store, holder, "c/b").await, made);
    let old = view(&store, made).await.uid_validity;
    store.commit(Change::DeleteMailbox { place: made, name: "c/b".into() }).await.unwrap();
    assert!(store.watch(made).await.is_err(), "nobody can open a mailbox that is gone");
    assert!(matches!(deliver(&store, b"y", made).await, Err(StoreError::Refused(Refusal::NoMailbox))));
    assert_eq!(store.reclaim().await.unwrap(), 1);
    store.commit(Change::CreateMailbox { holder, name: "c/b".into(), special_use: None, now: 2_000 }).await.unwrap();
    assert!(view(&store, place(&store, holder, "c/b").await).await.uid_validity > old);
    store.commit(Change::Subscribe { holder, name: "c/b".into(), on: true }).await.unwrap();
    assert!(store.holder(holder).await.unwrap().unwrap().subscriptions.contains("c/b"));
}

#[tokio::test]
async fn a_deleted_mailbox_is_emptied_slice_by_slice_however_large() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    store.commit(Change::CreateMailbox { holder: inbox.0, name: "big".into(), special_use: None, now: 2_000 }).await.unwrap();
    let big = place(&store, inbox.0, "big").await;
    let count = RECLAIM_BATCH * 2 + 7;
    for _ in 0..count {
        deliver(&store, b"the same body", big).await.unwrap();
    }
    deliver(&store, b"the same body", inbox).await.unwrap();
    let mut views = store.watch(big).await.unwrap();
    views.mark_unchanged();
    store.commit(Change::DeleteMailbox { place: big, name: "big".into() }).await.unwrap();
    assert!(views.changed().await.is_err(), "whoever follows it is told that it is gone");
    // A crash between two slices: the next process goes on.
    store.commit(Change::Reclaim { limit: RECLAIM_BATCH }).await.unwrap();
    let store = Store::open(Arc::new(engine.clone())).await.unwrap();
    assert!(matches!(deliver(&store, b"y", big).await, Err(StoreError::Refused(Refusal::NoMailbox))));
    store.reclaim().await.unwrap();
    let rows = async |table| engine.range(table, &[], &[255; 60], 10_000).await.unwrap().len();
    assert_eq!((rows(Table::Messages).await, rows(Table::MessageRefs).await, rows(Table::Garbage).await), (1, 1, 0));
    assert_eq!((rows(Table::Deleted).await, rows(Table::Blobs).await, rows(Table::Mailboxes).await), (0, 1, 6));
    assert_eq!(read(&store, inbox, 1).await.len(), b"the same body".len() + 16);
}

/// Two stores are two processes: each loads what the other changed when its asserts fail.
#[tokio::test]
async fn two_stores_on_one_engine_lose_nothing_and_share_no_uid() {
    let engine = Memory::new();
    let (first, inbox) = with_account(engine.clone()).await;
    let second = Store::open(Arc::new(engine.clone())).await.unwrap();
    let tasks: Vec<_> = [first.clone(), second]
        .into_iter()
        .enumerate()
        .flat_map(|(process, store)| (0..4u8).map(move |task| (process as u8, task, store.clone())))
        .map(|(process, task, store)| {
            tokio::spawn(async move {
                let mut filed = Vec::new();
                for n in 0..15u8 {
                    let body = vec![process, task, n];
                    filed.push((deliver(&store, &body, inbox).await.unwrap().uid, body));
                    tokio::task::yield_now().await;
                }
                filed
            })
        })
        .collect();
    let mut expected = HashMap::new();
    for task in tasks {
        for (uid, body) in task.await.unwrap() {
            assert_eq!(expected.insert(uid, body), None, "UID {uid} was given out twice");
        }
    }
    drop(first);
    let reopened = Store::open(Arc::new(engine)).await.unwrap();
    let stored: HashMap<_, _> = bodies(&reopened, inbox).await.into_iter().map(|(uid, body)| (uid, body[16..].to_vec())).collect();
    assert_eq!(stored, expected);
}

/// At every commit in turn: power fails after it, or it conflicts, or it is uncertain and was or was not applied.
#[tokio::test]
async fn nothing_acknowledged_is_lost_or_repeated_whatever_commit_fails() {
    for fault in [Fault::Conflict, Fault::UnknownApplied, Fault::UnknownLost] {
        for nth in 1..=8 {
            let engine = Memory::new();
            let (store, inbox) = with_account(engine.clone()).await;
            engine.fail_at(nth, fault);
            let (mut acknowledged, mut uncertain) = (Vec::new(), Vec::new());
            for n in 0..10u8 {
                match deliver(&store, &[n], inbox).await {
                    Ok(filed) => acknowledged.push((filed.uid, n)),
                    Err(StoreError::Uncertain) => uncertain.push(n),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(uncertain.is_empty(), fault == Fault::Conflict);
            if fault != Fault::Conflict {
                store.failed().await;
            }
            drop(store);
            engine.crash(usize::from(fault == Fault::UnknownApplied));
            let reopened = Store::open(Arc::new(engine)).await.unwrap();
            let stored: Vec<(Uid, u8)> = bodies(&reopened, inbox).await.iter().map(|(uid, body)| (*uid, body[16])).collect();
            assert!(acknowledged.iter().all(|message| stored.contains(message)), "{fault:?} at {nth}");
            let extra: Vec<u8> = stored.iter().filter(|m| !acknowledged.contains(m)).map(|(_, n)| *n).collect();
            assert!(extra.len() <= 1 && extra.iter().all(|n| uncertain.first() == Some(n)), "{fault:?} at {nth}: {extra:?}");
            let next = deliver(&reopened, b"after", inbox).await.unwrap().uid;
            assert!(stored.iter().all(|(uid, _)| *uid < next), "a UID is never used again");
        }
    }
}

#[tokio::test]
async fn a_power_failure_keeps_every_acknowledged_change_of_many_tasks() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let tasks: Vec<_> = (0..6u8)
        .map(|task| {
            let store = store.clone();
            let big = if task % 2 == 0 { 3 } else { CHUNK_BYTES + 3 };
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..20 {
                    let Ok(filed) = deliver(&store, &vec![task * 20 + n; big], inbox).await else { break };
                    acknowledged.push((filed.uid, task * 20 + n, big));
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
    engine.fail_at(1, Fault::UnknownLost);
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    drop(store);
    engine.crash(0);
    let reopened = Store::open(Arc::new(engine)).await.unwrap();
    let stored = bodies(&reopened, inbox).await;
    for (uid, n, size) in &acknowledged {
        let body = &stored.iter().find(|(u, _)| u == uid).unwrap().1;
        assert_eq!(body[16..], vec![*n; *size], "UID {uid}");
    }
    let distinct: HashSet<u8> = stored.iter().map(|(_, body)| body[16]).collect();
    assert_eq!(distinct.len(), stored.len(), "no message is stored twice");
}

#[tokio::test]
async fn a_newer_format_is_refused_untouched() {
    let engine = Memory::new();
    let mut batch = Batch::default();
    batch.put(Table::Meta, keys::FORMAT.to_vec(), Writer::new(1).u64(1, FORMAT + 1).finish());
    apply(&engine, batch, Sync::Now).await.unwrap();
    let before = engine.synced_commits();
    assert!(matches!(Store::open(Arc::new(engine.clone())).await.err(), Some(StoreError::Newer(_))));
    assert_eq!(engine.synced_commits(), before);
}

#[tokio::test]
async fn recent_messages_are_claimed_without_waiting_for_a_sync() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    deliver(&store, b"x", inbox).await.unwrap();
    let before = engine.synced_commits();
    store.commit(Change::ClaimRecent { place: inbox }).await.unwrap();
    assert_eq!(engine.synced_commits(), before);
    assert_eq!(store.recent_from(inbox).await.unwrap(), 2);
}

#[tokio::test]
async fn on_disk_the_same_messages_are_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Rocks::open(dir.path(), &RocksConfig::default()).unwrap();
    let (store, inbox) = with_account(open()).await;
    for size in [10, CHUNK_BYTES * 2 + 5] {
        deliver(&store, &vec![9; size], inbox).await.unwrap();
    }
    let before = bodies(&store, inbox).await;
    drop(store);
    // The committer lets the engine go as soon as its last handle is gone.
    let store = loop {
        match Rocks::open(dir.path(), &RocksConfig::default()) {
            Ok(engine) => break Store::open(Arc::new(engine)).await.unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(bodies(&store, inbox).await, before);
}

#[tokio::test]
async fn notes_are_written_together_or_not_at_all() {
    let engine = Memory::new();
    let store = Store::open(Arc::new(engine.clone())).await.unwrap();
    let put = |key: &str, value: &str| NoteChange::put(NoteKind::Budget, key, Bytes::copy_from_slice(value.as_bytes()));
    let write = |notes| store.commit(Change::Notes(notes));
    write(vec![put("a", "1").if_still(None), put("ab", "2"), put("b", "3")]).await.unwrap();
    let refused = write(vec![put("c", "4"), put("a", "5").if_still(None)]).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::NoteChanged))));
    write(vec![put("a", "6").if_still(Some("1".into())), NoteChange::remove(NoteKind::Budget, "b")]).await.unwrap();
    let all = store.notes(NoteKind::Budget, b"").await.unwrap();
    assert_eq!(all, [("a".into(), "6".into()), ("ab".into(), "2".into())]);
    assert_eq!(store.notes(NoteKind::Budget, b"ab").await.unwrap().len(), 1);
    assert_eq!(store.note(NoteKind::Findings, b"a").await.unwrap(), None);
    let before = engine.synced_commits();
    write(vec![NoteChange::put(NoteKind::Reputation, "a", "1")]).await.unwrap();
    assert_eq!(engine.synced_commits(), before, "what may be lost costs no sync");
}

/// A queued message to two recipients, whose body is large enough to have chunks of its own.
pub(super) async fn queued(store: &Store, id: u64) -> Queued {
    let mut delivery = delivery(store, &vec![b'x'; CHUNK_BYTES + 9], Vec::new()).await;
    let to = ["a@example.net", "b@example.net"].map(|address| QueuedRecipient::new(address.into(), 5)).into();
    let message = Queued::of("socrates@stoa.localhost".into(), Bytes::new(), delivery.body.reference(), 5, to);
    delivery.queue = Some((id, message.clone()));
    store.commit(Change::Deliver(Box::new(delivery))).await.unwrap();
    message
}

fn requeue(id: u64, read: &Queued, becomes: Option<Queued>) -> Requeue {
    Requeue { id, read: read.clone(), becomes, filings: Vec::new(), notes: Vec::new() }
}

#[tokio::test]
async fn what_came_of_an_attempt_is_recorded_with_its_report_in_one_commit_or_not_at_all() {
    let engine = Memory::new();
    let (store, inbox) = with_account(engine.clone()).await;
    let first = queued(&store, 7).await;
    let mut second = first.clone();
    second.recipients.remove(0);
    let report = delivery(&store, b"report", vec![inbox]).await;
    let mut change = requeue(7, &first, Some(second.clone()));
    change.filings.push(report);
    change.notes.push(NoteChange::put(NoteKind::Budget, "a", "1").if_still(None));
    let before = engine.synced_commits();
    store.commit(Change::Requeue(Box::new(change.clone()))).await.unwrap();
    assert_eq!(engine.synced_commits(), before + 1);
    assert_eq!(store.queued_message(7).await.unwrap(), Some(second.clone()));
    assert_eq!(bodies(&store, inbox).await.len(), 1);
    // Who read the row before that knows too little.
    let late = store.commit(Change::Requeue(Box::new(change))).await;
    assert!(matches!(late, Err(StoreError::Refused(Refusal::QueueChanged))), "{late:?}");
    // Nor is anything recorded if what follows from it is not possible.
    let mut noted = requeue(7, &second, None);
    noted.notes.push(NoteChange::remove(NoteKind::Budget, "a").if_still(None));
    let refused = store.commit(Change::Requeue(Box::new(noted))).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::NoteChanged))), "{refused:?}");
    let mut homeless = requeue(7, &second, None);
    homeless.filings.push(delivery(&store, b"another", vec![(inbox.0, MailboxId(99))]).await);
    let refused = store.commit(Change::Requeue(Box::new(homeless))).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::NoMailbox))), "{refused:?}");
    assert_eq!((store.queued(9).await.unwrap(), bodies(&store, inbox).await.len()), (vec![(7, second)], 1));
}

#[tokio::test]
async fn a_body_stays_while_the_queue_needs_it_and_goes_with_the_last_recipient() {
    let engine = Memory::new();
    let (store, _) = with_account(engine.clone()).await;
    let message = queued(&store, 7).await;
    let twin = queued(&store, 8).await;
    let chunks = async || engine.range(Table::Chunks, &[], &[u8::MAX; 21], 9).await.unwrap().len();
    store.commit(Change::Requeue(Box::new(requeue(7, &message, None)))).await.unwrap();
    store.reclaim().await.unwrap();
    assert!(chunks().await > 0, "another message has the same body");
    assert!(store.body(Bytes::new(), &twin.body).await.is_ok());
    store.commit(Change::Requeue(Box::new(requeue(8, &twin, None)))).await.unwrap();
    let gone = store.commit(Change::Requeue(Box::new(requeue(8, &twin, None)))).await;
    assert!(matches!(gone, Err(StoreError::Refused(Refusal::NotQueued))));
    store.reclaim().await.unwrap();
    assert_eq!(chunks().await, 0);
    for table in [Table::Blobs, Table::BlobRefs, Table::Garbage, Table::Queue] {
        assert!(engine.range(table, &[], &[u8::MAX; 49], 1).await.unwrap().is_empty(), "{table:?}");
    }
}
