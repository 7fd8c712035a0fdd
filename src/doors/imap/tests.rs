//! What the door answers when the server changes under a conversation.

use super::*;
use crate::delivery::tests::{House, house};
use crate::doors::Limits;
use crate::trust::Logins;
use stoa_mailbox::{FlagNames, UidSet};

fn door(house: &House, account: Trust) -> ImapDoor {
    let services = Services {
        store: house.store.clone(),
        logins: Logins::new(house.store.clone(), [0; 32], 1),
        delivery: house.delivery.clone(),
        limits: Limits { message_bytes_max: 1_000, recipients_max: 10 },
    };
    let peer = "192.0.2.7:1024".parse().unwrap();
    ImapDoor { services: Arc::new(services), peer, account: Some(account), open: None, append: None }
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
