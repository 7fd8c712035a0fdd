//! What the door answers when the server changes under a conversation.

use super::model::link::{Did, Link};
use super::*;
use crate::delivery::tests::{House, house};
use crate::store::{DeliveredBody, Delivery};
use bytes::Bytes;
use stoa_mailbox::{FlagNames, UidSet};

fn services(house: &House) -> Arc<Services> {
    Arc::new(Services::of(house.store.clone(), house.delivery.clone(), 1_000))
}

fn door(house: &House, account: Trust) -> ImapDoor {
    let peer = "192.0.2.7:1024".parse().unwrap();
    ImapDoor { services: services(house), peer, account: Some(account), open: None, append: None }
}

fn append() -> Question {
    Question::BeginAppend { mailbox: "INBOX".into(), flags: FlagNames::default(), received: None, size: 3 }
}

#[tokio::test]
async fn an_account_that_was_removed_can_do_nothing_more() {
    let house = house().await;
    let mut door = door(&house, house.plato().await);
    assert!(matches!(door.ask(Question::Select { mailbox: "INBOX".into(), read_only: false }).await, Answer::Selected(_)));
    assert!(matches!(door.ask(append()).await, Answer::Done(_)));
    door.body(b"a\r\n".to_vec()).await;
    let account = house.store.account(house.plato).await.unwrap().unwrap();
    house.store.commit(Change::RemoveAccount { account }).await.unwrap();
    let all = UidSet::from_ranges([1..=9]);
    for question in [
        Question::EndAppend,
        append(),
        Question::Mailboxes,
        Question::Refresh,
        Question::Expunge { uids: None },
        Question::Copy { uids: all, mailbox: "Trash".into(), take: true },
        Question::Create { mailbox: "mine".into(), special_use: None },
    ] {
        let shown = format!("{question:?}");
        let Answer::Refused(refusal) = door.ask(question).await else { panic!("{shown}") };
        assert_eq!(refusal.code, Some(RefusalCode::NoPerm), "{shown}");
    }
}

#[tokio::test]
async fn renaming_inbox_moves_its_mail_and_leaves_it_empty() {
    let house = house().await;
    let mut door = door(&house, house.plato().await);
    assert!(matches!(door.ask(append()).await, Answer::Done(_)));
    door.body(b"a\r\n".to_vec()).await;
    assert!(matches!(door.ask(Question::EndAppend).await, Answer::Appended { uids, .. } if uids.to_string() == "1"));
    let rename = Question::Rename { from: "INBOX".into(), to: "old".into() };
    assert!(matches!(door.ask(rename).await, Answer::Done(_)));
    for (mailbox, messages) in [("INBOX", 0), ("old", 1)] {
        let Answer::Status(status) = door.ask(Question::Status { mailbox: mailbox.into(), number: None }).await else {
            panic!("{mailbox}")
        };
        assert_eq!(status.messages, messages, "{mailbox}");
    }
}

#[tokio::test]
async fn a_mailbox_that_is_deleted_elsewhere_is_told_once() {
    let house = house().await;
    let mut door = door(&house, house.plato().await);
    assert!(matches!(door.ask(Question::Create { mailbox: "a".into(), special_use: None }).await, Answer::Created { .. }));
    assert!(matches!(door.ask(Question::Select { mailbox: "a".into(), read_only: false }).await, Answer::Selected(_)));
    let place = door.open.as_ref().unwrap().place;
    house.store.commit(Change::DeleteMailbox { place, name: "a".into() }).await.unwrap();
    let Answer::Refused(refusal) = door.ask(Question::Status { mailbox: "a".into(), number: Some(place.1.0) }).await else { panic!() };
    assert_eq!(refusal.code, Some(RefusalCode::NonExistent), "also to who just listed it");
    assert!(matches!(door.event().await, Event::Gone));
    let again = tokio::time::timeout(std::time::Duration::from_millis(20), door.event()).await;
    assert!(again.is_err(), "it is gone only once");
    let Answer::Refused(refusal) = door.ask(Question::Expunge { uids: None }).await else { panic!() };
    assert_eq!(refusal.code, Some(RefusalCode::NonExistent));
}

#[tokio::test]
async fn messages_that_wait_for_the_last_have_a_limit_together() {
    let house = house().await;
    let mut door = door(&house, house.plato().await);
    let next = || Question::NextAppend { flags: FlagNames::default(), received: None, size: 3 };
    let message = format!("X: {}\r\n\r\n", "x".repeat(15_000)).into_bytes();
    assert!(matches!(door.ask(append()).await, Answer::Done(_)));
    let mut held = 0;
    let refusal = loop {
        door.body(message.clone()).await;
        match door.ask(next()).await {
            Answer::Done(_) => held += 1,
            Answer::Refused(refusal) => break refusal,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal.code, Some(RefusalCode::Limit));
    assert!((200..300).contains(&held), "{held}");
    assert!(matches!(door.ask(Question::EndAppend).await, Answer::Refused(_)));
    let Answer::Status(status) = door.ask(Question::Status { mailbox: "INBOX".into(), number: None }).await else { panic!() };
    assert_eq!(status.messages, 0);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_left_out_and_the_others_come() {
    let house = house().await;
    let inbox = (house.plato, house.store.holder(house.plato).await.unwrap().unwrap().find("INBOX").unwrap().id);
    for summary in [&b"\xff"[..], &stoa_imap::summarise(&stoa_mime::Scanner::new().finish())] {
        let mut body = house.store.write_body(0);
        body.write(b"Subject: x\r\n\r\n").await.unwrap();
        let (staged, trust) = (DeliveredBody::Staged(body.finish()), Trust::of_stranger().to_bytes());
        let filing = Delivery::of(staged, Bytes::new(), Bytes::copy_from_slice(summary), trust);
        house.store.commit(Change::Deliver(Box::new(Delivery { mailboxes: vec![inbox], ..filing }))).await.unwrap();
    }
    let mut link = Link::new(services(&house), house.plato().await);
    link.say(b"a LOGIN plato wisdom\r\nb SELECT INBOX\r\nc FETCH 1:2 (UID ENVELOPE)\r\nd NOOP\r\n");
    let mut said = String::new();
    loop {
        match link.step().await {
            Did::Sent(bytes) => said.push_str(&String::from_utf8(bytes).unwrap()),
            Did::Waited | Did::Closed => break,
            _ => {}
        }
    }
    assert!(said.contains("* 2 FETCH (UID 2 ENVELOPE (") && !said.contains("* 1 FETCH"), "{said}");
    assert!(said.contains("c NO [SERVERBUG] ") && said.contains("d OK "), "{said}");
}
