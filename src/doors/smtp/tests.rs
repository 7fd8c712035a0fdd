//! What becomes of strangers' mail at the door, on scripted DNS and the store in memory.

use super::*;
use crate::delivery::tests::{House, contents, envelope, house};
use crate::trust::verify::script::Script;
use crate::trust::verify::{Exceptions, Verifier};
use crate::trust::{Level, Principal};
use stoa_smtp::Notify;

const MESSAGE: &str = "Authentication-Results: mx.stoa.example; dmarc=pass\nFrom: Crito <crito@athens.example>\nSubject: x\n\nhello\n";

/// A message of crito@athens.example to socrates, with these records in DNS; verified if there are any.
async fn brought(house: &House, records: Option<&str>) -> Result<Answer, Reply> {
    let mut services = Services::of(house.store.clone(), house.delivery.clone(), 1 << 20);
    services.verifier = records.map(|records| {
        let exceptions = Exceptions { lists: vec!["lists.example".into()], sealers: Vec::new() };
        Arc::new(Verifier::new(Arc::new(Script::of(records)), "mx.stoa.example", exceptions).unwrap())
    });
    let mut envelope = envelope("crito@athens.example", &["socrates@stoa.example"]);
    envelope.recipients[0].notify = Some(Notify::On { success: true, failure: true, delay: true });
    let mut door = SmtpDoor { services: Arc::new(services), peer: envelope.client.peer, account: None, scrutiny: None, message: None };
    let (reverse_path, client) = (envelope.reverse_path.clone(), envelope.client.clone());
    let address = envelope.recipients[0].address.clone();
    let questions = [
        Question::Sender { reverse_path: reverse_path.clone(), client: client.clone(), size: None, smtputf8: false },
        Question::Recipient { address, reverse_path, client },
        Question::BeginBody(envelope),
    ];
    for question in questions {
        assert_eq!(door.ask(question).await, Answer::Accept);
    }
    for piece in MESSAGE.replace('\n', "\r\n").as_bytes().chunks(10) {
        door.body(piece.to_vec()).await;
    }
    match door.ask(Question::EndBody).await {
        Answer::Refuse(reply) => Err(reply),
        answer => Ok(answer),
    }
}

async fn trust_of_first(house: &House, mailbox: &str) -> Trust {
    let leaf = house.store.holder(house.socrates).await.unwrap().unwrap().find(mailbox).unwrap().id;
    let view = house.store.watch((house.socrates, leaf)).await.unwrap().borrow().clone();
    let id = view.iter().next().unwrap().message;
    Trust::of_message(house.store.messages(house.socrates, &[id]).await.unwrap()[0].as_ref().unwrap()).unwrap()
}

const SENDS: &str = "athens.example TXT v=spf1 ip4:192.0.2.7 -all";
const OTHERS_SEND: &str = "athens.example TXT v=spf1 ip4:192.0.2.99 -all";

#[tokio::test]
async fn what_passes_is_filed_with_its_results_and_its_trust() {
    let house = house().await;
    brought(&house, Some(&format!("{SENDS}\n_dmarc.athens.example TXT v=DMARC1; p=reject"))).await.unwrap();
    let all = contents(&house.store, house.socrates, "INBOX").await;
    let (return_path, rest) = all[0].split_once("\r\n").unwrap();
    assert_eq!(return_path, "Return-Path: <crito@athens.example>");
    assert!(rest.starts_with("Authentication-Results: mx.stoa.example;\r\n\tiprev="), "{rest}");
    assert!(rest.contains("\r\n\tdmarc=pass header.from=athens.example policy.dmarc=reject;\r\n"), "{rest}");
    assert_eq!(rest.matches("Authentication-Results:").count(), 1, "results in our name from outside are not believed");
    assert!(
        rest.contains("arc=none\r\nStoa-Doubt: 2:\r\n\tits address has no name (2)\r\nReceived: from out.example")
            && rest.ends_with("Subject: x\r\n\r\nhello\r\n"),
        "{rest}"
    );
    let trust = trust_of_first(&house, "INBOX").await;
    assert_eq!((trust.level(), trust.principal()), (Level::Dmarc, &Principal::Address("crito@athens.example".into())));
    assert_eq!(trust.origin(), Some("192.0.2.7".parse().unwrap()));
}

#[tokio::test]
async fn what_the_header_says_is_where_it_is_found() {
    use stoa_imap::Summary;
    let house = house().await;
    brought(&house, Some(SENDS)).await.unwrap();
    let leaf = house.store.holder(house.socrates).await.unwrap().unwrap().find("INBOX").unwrap().id;
    let view = house.store.watch((house.socrates, leaf)).await.unwrap().borrow().clone();
    let message = house.store.messages(house.socrates, &[view.iter().next().unwrap().message]).await.unwrap().remove(0).unwrap();
    let whole = house.store.contents(&message).await.unwrap().read_all(0..u64::MAX).await.unwrap();
    let summary = Summary::read(&message.summary).unwrap();
    assert_eq!(summary.size().unwrap(), whole.len() as u64);
    assert_eq!(summary.header().unwrap().unwrap(), &whole[..summary.header_length().unwrap() as usize]);
    assert!(whole[summary.header_length().unwrap() as usize..].starts_with(b"hello"));
    let again = crate::delivery::summarize(&house.store.contents(&message).await.unwrap()).await.unwrap();
    assert_eq!(message.summary, again, "the same as if all had been known at the start");
}

#[tokio::test]
async fn a_policy_decides_where_a_message_goes() {
    // Records, code, mailbox.
    let reject = "_dmarc.athens.example TXT v=DMARC1; p=reject";
    let quarantine = "_dmarc.athens.example TXT v=DMARC1; p=quarantine";
    let table = [
        (format!("{OTHERS_SEND}\n{reject}"), Err(550), ""),
        (format!("{OTHERS_SEND}\n{quarantine}"), Ok(()), "Junk"),
        (format!("{OTHERS_SEND}\n_dmarc.athens.example TXT v=DMARC1; p=none"), Ok(()), "INBOX"),
        (OTHERS_SEND.to_owned(), Ok(()), "INBOX"),
        (format!("athens.example SILENCE\n{reject}"), Err(451), ""),
        (format!("athens.example SILENCE\n{quarantine}"), Ok(()), "INBOX"),
        ("_dmarc.athens.example SILENCE".to_owned(), Err(451), ""),
        (format!("{SENDS}\n_dmarc.athens.example SILENCE"), Ok(()), "INBOX"),
    ];
    for (records, expected, mailbox) in table {
        let house = house().await;
        let answer = brought(&house, Some(&records)).await;
        assert_eq!(answer.as_ref().map(|_| ()).map_err(|reply| reply.code), expected, "{records}");
        if let Err(reply) = answer {
            assert!(reply.text.contains("athens.example"), "{}", reply.text);
            assert_eq!(reply.enhanced.map(|(_, subject, detail)| (subject, detail)), Some((7, 1)));
        }
        for name in ["INBOX", "Junk"] {
            let filed = contents(&house.store, house.socrates, name).await.len();
            assert_eq!(filed, usize::from(name == mailbox), "{records} in {name}");
        }
    }
}

#[tokio::test]
async fn whoever_may_not_use_a_reverse_path_has_nothing_reported_to_it() {
    for (records, reports) in [(SENDS, 1), ("athens.example TXT v=spf1 ?all", 1), (OTHERS_SEND, 0)] {
        let house = house().await;
        brought(&house, Some(records)).await.unwrap();
        assert_eq!(contents(&house.store, house.socrates, "INBOX").await.len(), 1, "{records}");
        assert_eq!(house.store.queued(9).await.unwrap().len(), reports, "{records}");
    }
}

#[tokio::test]
async fn where_nobody_may_be_asked_nothing_is_verified() {
    let house = house().await;
    brought(&house, None).await.unwrap();
    let all = contents(&house.store, house.socrates, "INBOX").await;
    assert!(!all[0].contains("Authentication-Results"), "{}", all[0]);
    assert_eq!(trust_of_first(&house, "INBOX").await.level(), Level::None);
}
