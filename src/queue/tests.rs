//! What the courier catches, also while commits fail.

use super::*;
use crate::delivery::tests::{contents, envelope, house, received};
use crate::store::engine::memory::Fault;
use crate::trust::Trust;
use std::sync::Arc;

const CAUGHT: &str = "Outside";

#[tokio::test]
async fn mail_for_the_outside_is_caught_with_what_the_outside_would_have_seen() {
    let house = house().await;
    let envelope = envelope("plato@stoa.example", &["a@net.example", "socrates@stoa.example", "b@net.example"]);
    let message = received(&house.delivery, &envelope, "From: plato@stoa.example\nSubject: x\n\nhello\n").await;
    house.delivery.deliver(5, &envelope, &house.plato().await, message, 2_000).await.unwrap();
    let courier = Courier::new(house.store.clone(), Outside::new(house.store.clone(), house.socrates, CAUGHT));
    courier.empty().await.unwrap();
    let caught = contents(&house.store, house.socrates, CAUGHT).await;
    assert_eq!(caught.len(), 1);
    let start = "Return-Path: <plato@stoa.example>\r\nX-Envelope-To: <a@net.example>\r\nX-Envelope-To: <b@net.example>\r\nReceived: ";
    assert!(caught[0].starts_with(start) && caught[0].ends_with("\r\n\r\nhello\r\n"), "{}", caught[0]);
    assert!(house.store.queued(1).await.unwrap().is_empty());
    // The body stays when the queue has let go of it.
    house.store.reclaim().await.unwrap();
    assert_eq!(contents(&house.store, house.socrates, CAUGHT).await, caught);
    assert!(house.store.holder(house.socrates).await.unwrap().unwrap().subscriptions.contains(CAUGHT));
}

/// Fails for one message, as one would whose body is damaged.
struct Choosy<'a>(Outside, u64, &'a std::sync::atomic::AtomicUsize);

impl Route for Choosy<'_> {
    async fn take(&self, id: u64, message: &Queued) -> Result<(), StoreError> {
        if id == self.1 {
            self.2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Err(StoreError::Gone);
        }
        self.0.take(id, message).await
    }
}

#[tokio::test]
async fn a_message_that_fails_does_not_keep_the_others() {
    let house = house().await;
    let all = MESSAGES_AT_ONCE_MAX as u64 + 3;
    for id in 1..=all {
        let envelope = envelope("a@out.example", &["b@net.example"]);
        let message = received(&house.delivery, &envelope, &format!("Subject: {id}\n\n")).await;
        house.delivery.deliver(id, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
    }
    let failures = std::sync::atomic::AtomicUsize::new(0);
    let outside = Outside::new(house.store.clone(), house.socrates, CAUGHT);
    let courier = Courier::new(house.store.clone(), Choosy(outside, 2, &failures));
    assert!(courier.empty().await.is_err());
    assert_eq!(failures.into_inner(), 1, "it is tried once a round");
    assert_eq!(contents(&house.store, house.socrates, CAUGHT).await.len() as u64, all - 1);
    assert_eq!(house.store.queued(9).await.unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
}

/// At whatever commit something goes wrong, and whoever else works on the same queue, each message is caught once.
#[tokio::test]
async fn a_message_is_caught_once_whatever_fails() {
    for fault in [Fault::Conflict, Fault::UnknownApplied, Fault::UnknownLost] {
        for nth in 1..=5 {
            let house = house().await;
            for id in 1..=3 {
                let envelope = envelope("a@out.example", &["b@net.example"]);
                let message = received(&house.delivery, &envelope, &format!("Subject: {id}\n\n")).await;
                house.delivery.deliver(id, &envelope, &Trust::of_stranger(), message, 2_000).await.unwrap();
            }
            house.engine.fail_at(nth, fault);
            let first = Courier::new(house.store.clone(), Outside::new(house.store.clone(), house.socrates, CAUGHT));
            _ = first.empty().await;
            let next = Store::open(Arc::new(house.engine.clone())).await.unwrap();
            Courier::new(next.clone(), Outside::new(next.clone(), house.socrates, CAUGHT)).empty().await.unwrap();
            let caught = contents(&next, house.socrates, CAUGHT).await;
            for id in 1..=3 {
                let count = caught.iter().filter(|message| message.contains(&format!("Subject: {id}\r\n"))).count();
                assert_eq!(count, 1, "{fault:?} at {nth}, message {id}");
            }
            assert!(next.queued(1).await.unwrap().is_empty());
            assert!(next.holder(house.socrates).await.unwrap().unwrap().subscriptions.contains(CAUGHT), "{fault:?} at {nth}");
        }
    }
}
