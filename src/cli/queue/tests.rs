//! What a person sees of the queue and does to it, on the engine in memory.

use super::*;
use crate::delivery::forward::{Forward, set_forward};
use crate::delivery::tests::{House, contents, envelope, house, received};
use crate::delivery::{PathProof, Received};
use crate::store::{LastResult, Requeue};
use crate::trust::Trust;

async fn desk(house: &House) -> Desk {
    for id in 1..=3 {
        let to = ["b@net.example", "c@other.example"];
        let envelope = envelope("plato@stoa.example", to.get(..if id == 3 { 2 } else { 1 }).unwrap());
        let message = received(&house.delivery, &envelope, &format!("From: plato@stoa.example\nSubject: letter {id}\n\n")).await;
        house.delivery.deliver(id, &envelope, &house.plato().await, message, now() - 10_000).await.unwrap();
    }
    let (store, delivery) = (house.store.clone(), house.delivery.clone());
    Desk { store, delivery, schedule: Schedule::default(), dispatcher: None }
}

async fn said(desk: &Desk, request: Request) -> String {
    perform(desk, request).await.unwrap_or_else(|error| format!("{error:#}"))
}

fn one(id: &str) -> Meant {
    Meant::One(id.to_owned())
}

#[tokio::test]
async fn messages_are_listed_held_released_retried_and_deleted() {
    let house = house().await;
    let desk = desk(&house).await;
    let to = |domain: &str| Meant::To(domain.to_owned());
    let plato = || Meant::Account("plato@stoa.example".to_owned());
    let table = [
        (
            Request::List,
            "3 messages wait for other servers.\n\n0000000000000001  from plato@stoa.example  2 h ago\n  to b@net.example: due now",
        ),
        (Request::Hold { which: one("2") }, "1 message is held."),
        (Request::Hold { which: Meant::All }, "2 messages are held; 1 was held already."),
        (Request::List, "3 messages wait for other servers, 3 of them held."),
        (Request::Show { id: "0000000000000002".into() }, "HELD since"),
        (Request::Show { id: "0000000000000002".into() }, ": asked for with `stoa queue hold`"),
        (Request::Retry { which: one("2") }, "No message is tried when the server runs; 1 is held"),
        (Request::Release { which: one("1") }, "1 message is released."),
        (Request::Release { which: plato() }, "may send again, with a whole budget. 2 messages are released."),
        (Request::Retry { which: to("NET.example") }, "3 messages are tried"),
        (Request::Show { id: "3".into() }, "Account: plato@stoa.example\n"),
        (Request::Show { id: "3".into() }, "Signed as: stoa.example\n"),
        (Request::Delete { which: to("other.example"), silent: true }, "1 message is deleted."),
        (Request::Delete { which: one("3"), silent: true }, "there is no message 3 in the queue"),
        (Request::Show { id: "x".into() }, "is not the number of a message"),
        (Request::Hold { which: Meant::Account("nobody@stoa.example".into()) }, "there is no account nobody@stoa.example"),
        (Request::Pause, "Nothing leaves"),
        (Request::List, "Outgoing mail is paused since"),
        (Request::Resume, "leaves for other servers again"),
    ];
    for (n, (request, want)) in table.into_iter().enumerate() {
        let said = said(&desk, request).await;
        assert!(said.contains(want), "{n}: {want:?} in {said}");
    }
    assert!(contents(&house.store, house.plato, "INBOX").await.is_empty(), "nobody is told of a silent end");
    assert_eq!(said(&desk, Request::Delete { which: Meant::All, silent: false }).await, "2 messages are deleted.");
    let reports = contents(&house.store, house.plato, "INBOX").await;
    assert!(reports.len() == 2 && reports.iter().all(|report| report.contains("Action: failed\r\nStatus: 5.7.0")), "{reports:?}");
    assert!(said(&desk, Request::List).await.starts_with("Nothing waits for other servers."));
}

#[tokio::test]
async fn a_retry_makes_due_what_is_meant() {
    let house = house().await;
    let desk = desk(&house).await;
    let read = house.store.queued_message(3).await.unwrap().unwrap();
    let mut late = read.clone();
    for recipient in &mut late.recipients {
        recipient.next_attempt = now() + 9_000;
        recipient.last = Some(LastResult { status: (4, 2, 1), text: "450 later".into(), host: Some("mx.net.example".into()), at: now() });
    }
    let change = Requeue { id: 3, read, becomes: Some(late), filings: Vec::new(), notes: Vec::new() };
    house.store.commit(crate::store::Change::Requeue(Box::new(change))).await.unwrap();
    let listed = said(&desk, Request::List).await;
    assert!(listed.contains("to c@other.example: next attempt in 2 h; mx.net.example: 450 later"), "{listed}");
    said(&desk, Request::Retry { which: Meant::To("net.example".into()) }).await;
    let due: Vec<bool> = house.store.queued_message(3).await.unwrap().unwrap().recipients.iter().map(|r| r.next_attempt <= now()).collect();
    assert_eq!(due, [true, false]);
}

#[tokio::test]
async fn whoever_is_behind_a_forwarded_message_hears_of_its_end_also_while_no_server_runs() {
    let (house, login_key) = (house().await, [7; 32]);
    let served = house.delivery.clone().with_return_key(return_key(&login_key));
    let forward = Forward { to: "plato@academy.example".to_owned(), keep: false };
    set_forward(&house.store, house.plato, Some(&forward)).await.unwrap();
    let envelope = envelope("crito@athens.example", &["plato@stoa.example"]);
    let message = Received { path: PathProof::Proven, ..received(&served, &envelope, "Subject: x\n\n").await };
    served.deliver(1, &envelope, &Trust::of_stranger(), message, now()).await.unwrap();
    let config = Config::parse("hostname = \"mx.stoa.example\"\ndomains = [\"stoa.example\"]").unwrap();
    let desk = Desk::without_server(&config, house.store.clone(), &login_key);
    assert_eq!(said(&desk, Request::Delete { which: one("1"), silent: false }).await, "1 message is deleted.");
    let left = house.store.queued(9).await.unwrap();
    let told: Vec<_> = left.iter().map(|(_, report)| (report.reverse_path.as_str(), report.recipients[0].address.as_str())).collect();
    assert_eq!(told, [("", "crito@athens.example")]);
}

#[test]
fn what_can_be_asked_and_what_not() {
    use clap::Parser;
    let parse = |line: &str| crate::cli::Arguments::try_parse_from(format!("stoa queue {line}").trim().split(' ')).is_ok();
    for good in ["list --dir d", "show 01ab", "retry --to net.example", "retry --all", "hold 01ab", "release --account a@b.example"] {
        assert!(parse(good), "{good}");
    }
    for good in ["delete 01ab --silent", "pause", "resume --config f"] {
        assert!(parse(good), "{good}");
    }
    for bad in ["", "show", "retry", "delete --silent", "delete 01ab --all", "hold --to a.example --all"] {
        assert!(!parse(bad), "{bad}");
    }
}
