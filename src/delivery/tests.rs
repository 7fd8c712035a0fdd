//! Recipients, senders, filing and admission, on the engine in memory.

use super::admit::{Letter, NotAdmitted, Wish, admit};
use super::*;
use crate::store::engine::memory::Memory;
use crate::store::{Account, Credential, NewAccount, Outcome};
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, UidSet};
use stoa_smtp::{Client, ReversePath};

pub(crate) async fn account(store: &Store, address: &str, owner: bool) -> HolderId {
    let password = Credential {
        id: 0,
        name: String::new(),
        argon2: String::new(),
        scram_salt: Vec::new(),
        scram_iterations: 0,
        scram_stored_key: Vec::new(),
        scram_server_key: Vec::new(),
        created: 0,
    };
    let account = NewAccount { address: address.into(), owner, now: 1_000 };
    match store.commit(Change::CreateAccount { account, password }).await.unwrap() {
        Outcome::Holder(holder) => holder,
        other => panic!("{other:?}"),
    }
}

pub(crate) struct House {
    pub engine: Memory,
    pub store: Store,
    pub delivery: Delivery,
    pub socrates: HolderId,
    pub plato: HolderId,
}

impl House {
    pub async fn plato(&self) -> Trust {
        Trust::of_account(&self.store.account(self.plato).await.unwrap().unwrap())
    }
}

/// Socrates owns it, plato lives there.
pub(crate) async fn house() -> House {
    let engine = Memory::new();
    let store = Store::open(Arc::new(engine.clone())).await.unwrap();
    let socrates = account(&store, "socrates@stoa.example", true).await;
    let plato = account(&store, "plato@stoa.example", false).await;
    let domains = vec!["stoa.example".into(), "agora.example".into()];
    let delivery = Delivery::new(store.clone(), Names { hostname: "mx.stoa.example".into(), domains });
    House { engine, store, delivery, socrates, plato }
}

pub(crate) fn envelope(from: &str, to: &[&str]) -> Envelope {
    let recipient = |to: &&str| Recipient { address: Address::parse(to).unwrap(), notify: None, orcpt: None };
    let reverse_path = Address::parse(from).map_or(ReversePath::Null, ReversePath::Address);
    let client = Client { peer: "192.0.2.7".parse().unwrap(), helo: "out.example".into(), esmtp: true, tls: None, account: None };
    let recipients = to.iter().map(recipient).collect();
    Envelope { reverse_path, recipients, body: BodyKind::SevenBit, smtputf8: false, size: None, ret: None, envid: None, client }
}

pub(crate) async fn received(delivery: &Delivery, envelope: &Envelope, text: &str) -> Received {
    let mut intake = delivery.intake(1, envelope, 1_000);
    intake.push(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
    intake.finish().await.unwrap()
}

/// The messages of a mailbox, whole.
pub(crate) async fn contents(store: &Store, holder: HolderId, mailbox: &str) -> Vec<String> {
    let tree = store.holder(holder).await.unwrap().unwrap();
    let Some(leaf) = tree.find(mailbox) else { return Vec::new() };
    let view = store.watch((holder, leaf.id)).await.unwrap().borrow().clone();
    let ids: Vec<_> = view.iter().map(|entry| entry.message).collect();
    let mut all = Vec::new();
    for message in store.messages(holder, &ids).await.unwrap().into_iter().flatten() {
        let body = store.contents(&message).await.unwrap();
        all.push(String::from_utf8(body.read_all(0..u64::MAX).await.unwrap()).unwrap());
    }
    all
}

#[tokio::test]
async fn an_address_is_here_elsewhere_or_nobodys() {
    let house = house().await;
    let table = [
        ("socrates@stoa.example", Some(house.socrates), true),
        ("Socrates@stoa.example", Some(house.socrates), true),
        ("socrates+agora+x@stoa.example", Some(house.socrates), true),
        ("plato@stoa.example", Some(house.plato), true),
        ("postmaster@stoa.example", Some(house.socrates), true),
        ("PostMaster@agora.example", Some(house.socrates), true),
        ("abuse+case-7@stoa.example", Some(house.socrates), true),
        ("+socrates@stoa.example", None, true),
        ("xanthippe@stoa.example", None, true),
        ("socrates@agora.example", None, true),
        ("socrates@example.net", None, false),
        ("socrates@[192.0.2.1]", None, false),
    ];
    for (address, holder, ours) in table {
        let resolved = house.delivery.recipient(&Address::parse(address).unwrap()).await.unwrap();
        match (resolved, holder) {
            (Resolved::Local(place), Some(holder)) => assert_eq!(place.0, holder, "{address}"),
            (Resolved::Unknown, None) => assert!(ours, "{address}"),
            (Resolved::Elsewhere, None) => assert!(!ours, "{address}"),
            other => panic!("{address}: {other:?}"),
        }
    }
    let bare = Address { local: "postmaster".into(), domain: String::new() };
    assert!(matches!(house.delivery.recipient(&bare).await.unwrap(), Resolved::Local(place) if place.0 == house.socrates));
    for (address, owns) in [("plato+x@stoa.example", true), ("postmaster@stoa.example", false), ("a@example.net", false)] {
        assert_eq!(house.delivery.owns(house.plato, &Address::parse(address).unwrap()).await.unwrap(), owns, "{address}");
    }
}

#[tokio::test]
async fn one_commit_files_a_message_for_everybody_once() {
    let house = house().await;
    let to = ["socrates@stoa.example", "socrates+x@stoa.example", "plato@stoa.example", "b@net.example", "b@NET.example"];
    let envelope = Envelope { smtputf8: true, body: BodyKind::EightBit, ..envelope("a@out.example", &to) };
    let message = received(&house.delivery, &envelope, "Subject: x\n\nhello\n").await;
    let before = house.engine.synced_commits();
    house.delivery.deliver(9, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
    assert_eq!(house.engine.synced_commits(), before + 1);
    for holder in [house.socrates, house.plato] {
        let all = contents(&house.store, holder, "INBOX").await;
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("Return-Path: <a@out.example>\r\nReceived: from out.example ([192.0.2.7])"), "{}", all[0]);
        assert!(all[0].ends_with("Subject: x\r\n\r\nhello\r\n"));
    }
    let queued = house.store.queued(10).await.unwrap();
    let (id, message) = &queued[0];
    assert_eq!((*id, message.reverse_path.as_str(), message.recipients.len()), (9, "a@out.example", 1));
    assert_eq!(message.recipients[0].address, "b@net.example");
    assert_eq!((message.smtputf8, message.content), (true, 1), "the next host must be told");
    assert!(message.prefix.starts_with(b"Received: "), "the last server writes Return-Path, and that is another one");
}

#[tokio::test]
async fn an_account_writes_in_its_own_names() {
    let house = house().await;
    let plato = house.plato().await;
    let table = [
        ("From: Plato <plato@stoa.example>\n\n", true),
        ("From: PLATO+x@stoa.example\n\n", true),
        ("From: socrates@stoa.example\n\n", false),
        ("From: plato@stoa.example, socrates@stoa.example\n\n", false),
        ("From: \"plato@stoa.example\" <x@net.example>\n\n", false),
        ("From: plato@stoa.example\nFrom: x@net.example\n\n", false),
        ("From: plato@stoa.example\nSender: plato+desk@stoa.example\n\n", true),
        ("From: plato@stoa.example\nSender: socrates@stoa.example\n\n", false),
        ("From: plato@stoa.example\nResent-From: socrates@stoa.example\n\n", false),
        ("From: x: plato@stoa.example;\n\n", true),
        ("Subject: nobody\n\n", false),
    ];
    for (n, (text, fine)) in table.into_iter().enumerate() {
        let envelope = envelope("plato@stoa.example", &["socrates@stoa.example"]);
        let message = received(&house.delivery, &envelope, text).await;
        let delivered = house.delivery.deliver(n as u64, &envelope, &plato, message, 2_000).await;
        assert_eq!(delivered.is_ok(), fine, "{text}: {delivered:?}");
        let message = received(&house.delivery, &envelope, text).await;
        house.delivery.deliver(n as u64, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_account_hands_in_is_mended_and_blind_copies_stay_blind() {
    let house = house().await;
    let mut envelope = envelope("plato@stoa.example", &["socrates@stoa.example", "b@net.example"]);
    envelope.client.account = Some("plato@stoa.example".into());
    let text = "From: plato@stoa.example\nBcc: b@net.example,\n c@net.example\nSubject: x\n\nBcc: of the text\n";
    let message = received(&house.delivery, &envelope, text).await;
    house.delivery.deliver(7, &envelope, &house.plato().await, message, 2_000).await.unwrap();
    let all = contents(&house.store, house.socrates, "INBOX").await;
    let (header, body) = all[0].split_once("\r\n\r\n").unwrap();
    assert!(!header.contains("net.example"), "{header}");
    assert!(header.contains("\r\nDate: Thu, 1 Jan 1970 00:16:40 +0000\r\nMessage-ID: <0000000000000001."), "{header}");
    assert_eq!(body, "Bcc: of the text\r\n");
    // What would leave is the same body.
    let (_, queued) = house.store.queued(1).await.unwrap().remove(0);
    let leaving = house.store.body(queued.prefix, &queued.body).await.unwrap().read_all(0..u64::MAX).await.unwrap();
    assert!(!String::from_utf8(leaving).unwrap().contains("c@net.example"));
}

#[tokio::test]
async fn nobody_else_speaks_in_our_name() {
    let house = house().await;
    let envelope = envelope("a@out.example", &["socrates@stoa.example"]);
    let others = "Authentication-Results: out.example; none\nBcc: whoever\nSubject: x\n\nhello\n";
    let ours = "Return-Path: <x@y.example>\nAuthentication-Results: (c) MX.stoa.example 1;\n dmarc=pass\n";
    let message = received(&house.delivery, &envelope, &format!("{ours}{others}")).await;
    house.delivery.deliver(7, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
    let all = contents(&house.store, house.socrates, "INBOX").await;
    assert!(all[0].ends_with(&format!("+0000\r\n{}", others.replace('\n', "\r\n"))), "{}", all[0]);
    assert!(!all[0].contains("dmarc=pass") && all[0].matches("Return-Path").count() == 1, "{}", all[0]);
}

#[tokio::test]
async fn success_is_reported_to_whom_asks_in_the_commit_that_files_the_message() {
    let house = house().await;
    let notify = Some(Notify::On { success: true, failure: false, delay: false });
    let asking = |from: &str, to: &[&str]| {
        let mut envelope = envelope(from, to);
        envelope.recipients.iter_mut().for_each(|recipient| recipient.notify.clone_from(&notify));
        Envelope { ret: Some(Ret::Full), envid: Some("QQ".into()), ..envelope }
    };
    let deliver = async |id, envelope: &Envelope| {
        let message = received(&house.delivery, envelope, "Subject: x\nMessage-ID: <1@out.example>\n\nhello\n").await;
        house.delivery.deliver(id, envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
    };
    let before = house.engine.synced_commits();
    deliver(1, &asking("a@out.example", &["socrates@stoa.example", "plato+x@stoa.example"])).await;
    assert_eq!(house.engine.synced_commits(), before + 1);
    let (_, report) = house.store.queued(9).await.unwrap().remove(0);
    assert_eq!((report.reverse_path.as_str(), report.recipients[0].address.as_str()), ("", "a@out.example"));
    assert_eq!(report.signer.as_deref(), Some("stoa.example"));
    let text = house.store.body(report.prefix, &report.body).await.unwrap().read_all(0..u64::MAX).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    for want in [
        "rfc822; socrates@stoa.example\r\nAction: delivered\r\nStatus: 2.0.0",
        "rfc822; plato+x@stoa.example",
        "Original-Envelope-Id: QQ",
        "In-Reply-To: <1@out.example>",
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
    assert!(!text.contains("hello"), "what tells of success returns the header: {text}");
    // Here the sender's mailbox gets it; nobody is told of a report; and who does not ask hears nothing.
    deliver(2, &asking("plato@stoa.example", &["socrates@stoa.example"])).await;
    assert!(contents(&house.store, house.plato, "INBOX").await[1].contains("Action: delivered"));
    deliver(3, &asking("<>", &["socrates@stoa.example"])).await;
    deliver(4, &envelope("a@out.example", &["socrates@stoa.example"])).await;
    assert_eq!(house.store.queued(9).await.unwrap().len(), 1);
    // Whoever claims to be somebody else cannot flood them.
    for id in 5..=100 {
        deliver(id, &asking("a@out.example", &["socrates@stoa.example"])).await;
    }
    assert_eq!(house.store.queued(200).await.unwrap().len(), 59);
}

#[tokio::test]
async fn reports_of_success_are_as_free_as_the_reverse_path_is_proven_whoever_the_author_is() {
    let mut envelope = envelope("victim@bank.example", &["socrates@stoa.example"]);
    envelope.recipients[0].notify = Some(Notify::On { success: true, failure: false, delay: false });
    for (path, reports) in [(PathProof::Proven, 70), (PathProof::Unproven, 60), (PathProof::Denied, 0)] {
        let house = house().await;
        for id in 1..=70 {
            let message = received(&house.delivery, &envelope, "From: x@evil.example\n\n").await;
            house
                .delivery
                .deliver(id, &envelope, &Trust::of_proven_address("x@evil.example"), Received { path, ..message }, 2_000)
                .await
                .unwrap();
        }
        assert_eq!(house.store.queued(200).await.unwrap().len(), reports, "{path:?}");
    }
}

#[tokio::test]
async fn authors_cannot_hide_behind_a_long_header() {
    let house = house().await;
    let envelope = envelope("plato@stoa.example", &["socrates@stoa.example"]);
    let between = format!("X: {}\n", "x".repeat(900)).repeat(100);
    let text = format!("From: plato@stoa.example\n{between}From: socrates@stoa.example\n\n");
    let message = received(&house.delivery, &envelope, &text).await;
    let delivered = house.delivery.deliver(1, &envelope, &house.plato().await, message, 2_000).await;
    assert!(matches!(delivered, Err(NotDelivered::UnclearFrom)), "{delivered:?}");
}

#[tokio::test]
async fn a_refused_message_takes_no_room() {
    use crate::store::engine::Engine;
    let house = house().await;
    let envelope = envelope("a@out.example", &["xanthippe@stoa.example"]);
    let message = received(&house.delivery, &envelope, &format!("x: y\n\n{}", "line\n".repeat(100_000))).await;
    house.delivery.deliver(1, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap_err();
    for table in [crate::store::Table::Staging, crate::store::Table::Chunks] {
        assert!(house.engine.range(table, &[], &[u8::MAX; 21], 1).await.unwrap().is_empty(), "{table:?}");
    }
}

#[tokio::test]
async fn numbers_are_unique_and_ascend() {
    let house = house().await;
    let ids: Vec<u64> = [900, 900, 900, 901, 900, 902].iter().map(|now| house.delivery.new_id(*now)).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}

#[tokio::test]
async fn a_message_that_goes_in_circles_is_refused() {
    let house = house().await;
    let envelope = envelope("a@out.example", &["plato@stoa.example"]);
    // Our own Received counts, too.
    for (hops, fine) in [(RECEIVED_HOPS_MAX - 1, true), (RECEIVED_HOPS_MAX, false)] {
        let text = format!("{}\nx\n", "Received: by x; Tue, 1 Jul 2003 10:52:37 +0200\n".repeat(hops));
        let message = received(&house.delivery, &envelope, &text).await;
        let delivered = house.delivery.deliver(1, &envelope, &Trust::of_stranger(), message, 2_000).await;
        assert_eq!(delivered.is_ok(), fine, "{hops}");
    }
}

#[tokio::test]
async fn nobody_touches_a_mailbox_of_somebody_else() {
    let house = house().await;
    let inbox = async |holder| (holder, house.store.holder(holder).await.unwrap().unwrap().find("INBOX").unwrap().id);
    let (his, mine) = (inbox(house.socrates).await, inbox(house.plato).await);
    let plato = house.plato().await;
    let message = async || received(&house.delivery, &envelope("a@b.example", &[]), "x: y\n\n").await;
    let (all, flags) = (UidSet::from_ranges([1..=9]), FlagNames::default());
    let append = async || Wish::Append(vec![Letter { message: message().await, flags: flags.clone(), received: 1 }]);
    admit(&house.store, &plato, mine, append().await, 7).await.unwrap();
    let copy = |to, take| Wish::Copy { uids: all.clone(), to, take };
    let flag = Wish::Flag { uids: all.clone(), change: FlagChange::Add, flags: flags.clone(), unchanged_since: None };
    for (place, wish) in
        [(his, append().await), (his, copy(mine, false)), (mine, copy(his, true)), (his, flag), (his, Wish::Expunge { uids: None })]
    {
        let shown = format!("{wish:?}");
        assert!(matches!(admit(&house.store, &plato, place, wish, 7).await, Err(NotAdmitted::Forbidden)), "{shown}");
        assert!(matches!(admit(&house.store, &Trust::of_stranger(), mine, copy(mine, true), 7).await, Err(NotAdmitted::Forbidden)));
    }
    assert_eq!(
        (contents(&house.store, house.plato, "INBOX").await.len(), contents(&house.store, house.socrates, "INBOX").await.len()),
        (1, 0)
    );
}

#[tokio::test]
async fn a_recipient_that_went_away_is_noticed_and_nothing_is_stored() {
    let house = house().await;
    let envelope = envelope("a@out.example", &["socrates@stoa.example", "plato@stoa.example"]);
    let message = received(&house.delivery, &envelope, "x: y\n\n").await;
    let account: Account = house.store.account(house.plato).await.unwrap().unwrap();
    house.store.commit(Change::RemoveAccount { account }).await.unwrap();
    let delivered = house.delivery.deliver(1, &envelope, &Trust::of_stranger(), message, 2_000).await;
    assert!(matches!(delivered, Err(NotDelivered::RecipientGone)));
    assert!(contents(&house.store, house.socrates, "INBOX").await.is_empty());
}
