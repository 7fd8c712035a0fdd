//! What the courier catches, and what the dispatcher does within five days; also while commits fail.

use super::carrier::Verdict;
use super::world::{Scripted, Time, dispatcher, dispatcher_within, let_pass, said};
use super::*;
use crate::delivery::Delivery;
use crate::delivery::tests::{House, contents, envelope, house, received};
use crate::store::engine::memory::Fault;
use crate::trust::Trust;
use std::collections::BTreeSet;
use std::sync::Arc;
use stoa_smtp::Notify;

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

pub(super) const HOUR: i64 = 3_600;
/// When the tests' messages are accepted.
pub(super) const THEN: i64 = 1_000_000;

/// Plato hands in a message.
pub(super) async fn submit(house: &House, id: u64, to: &[&str], notify: Option<Notify>) {
    let mut envelope = envelope("plato@stoa.example", to);
    envelope.recipients.iter_mut().for_each(|recipient| recipient.notify.clone_from(&notify));
    envelope.client.account = Some("plato@stoa.example".into());
    let text = format!("From: plato@stoa.example\nSubject: letter {id}\n\nhello\n");
    let message = received(&house.delivery, &envelope, &text).await;
    house.delivery.deliver(id, &envelope, &house.plato().await, message, THEN).await.unwrap();
}

fn deferred(status: (u16, u16, u16)) -> Verdict {
    Verdict::Deferred(said(status, "450 come again"))
}

#[tokio::test]
async fn five_days_of_deferrals_end_with_one_delay_notice_and_one_failure_report() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("net.example", deferred((4, 2, 1)));
    submit(&house, 1, &["b@net.example", "c@net.example", "d@good.example"], None).await;
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + 3 * HOUR).await;
    assert!(contents(&house.store, house.plato, "INBOX").await.is_empty(), "three hours are no delay");
    let_pass(&mut dispatcher, &time, THEN + 100 * HOUR).await;
    let reports = contents(&house.store, house.plato, "INBOX").await;
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Action: delayed\r\nStatus: 4.2.1\r\n") && reports[0].contains("Will-Retry-Until: "), "{}", reports[0]);
    let_pass(&mut dispatcher, &time, THEN + 1_000 * HOUR).await;
    let reports = contents(&house.store, house.plato, "INBOX").await;
    assert_eq!(reports.len(), 2);
    let last = &reports[1];
    for want in [
        "Return-Path: <>\r\nFrom: Mail delivery at mx.stoa.example <mailer-daemon@stoa.example>",
        "rfc822; b@net.example\r\nAction: failed\r\nStatus: 4.4.7",
        "rfc822; c@net.example",
        "smtp; 450 come again",
        "Subject: letter 1",
    ] {
        assert!(last.contains(want), "{want} in {last}");
    }
    assert!(!last.contains("good.example") && !last.contains("hello"), "{last}");
    let tried: Vec<i64> = carrier.heard().iter().filter(|heard| heard.route == "net.example").map(|heard| (heard.at - THEN) / 60).collect();
    assert_eq!(tried[..3], [0, 5, 20], "{tried:?}");
    assert!(tried.len() > 15 && tried.len() < 25 && *tried.last().unwrap() == 120 * 60, "{tried:?}");
    assert!(
        carrier.heard().iter().filter(|heard| heard.route == "net.example").all(|heard| heard.to.len() == 2),
        "one parcel to one destination"
    );
    assert!(house.store.queued(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn success_is_reported_as_asked_and_one_report_tells_of_a_round() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("bad.example", Verdict::Failed(said((5, 1, 1), "550 5.1.1 no such user")));
    carrier.answer("dsn.example", Verdict::Delivered { said: said((2, 0, 0), "250 ok"), dsn: true });
    let all = Some(Notify::On { success: true, failure: true, delay: true });
    submit(&house, 1, &["a@good.example", "b@bad.example", "c@dsn.example"], all).await;
    submit(&house, 2, &["a@good.example", "b@bad.example"], Some(Notify::Never)).await;
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + HOUR).await;
    assert!(carrier.heard()[0].text.starts_with("Seal: stoa.example to "), "an account's mail is signed: {:?}", carrier.heard());
    let reports = contents(&house.store, house.plato, "INBOX").await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    for want in ["a@good.example\r\nAction: relayed\r\nStatus: 2.0.0", "b@bad.example\r\nAction: failed\r\nStatus: 5.1.1"] {
        assert!(reports[0].contains(want), "{want} in {}", reports[0]);
    }
    assert!(!reports[0].contains("dsn.example"), "the next host reports that: {}", reports[0]);
    assert!(house.store.queued(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stranger_far_away_is_told_by_mail_and_a_report_leads_to_no_other() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("net.example", Verdict::Failed(said((5, 1, 1), "550 no")));
    let envelope = envelope("a@net.example", &["b@net.example"]);
    let message = received(&house.delivery, &envelope, "Subject: x\n\n").await;
    house.delivery.deliver(9, &envelope, &Trust::of_stranger(), message, THEN).await.unwrap();
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + 200 * HOUR).await;
    let heard = carrier.heard();
    assert_eq!(heard.len(), 2, "the message and its report: {heard:?}");
    assert!(!heard[0].text.contains("Seal"), "what others wrote is not ours to sign: {heard:?}");
    assert!(heard[1].text.starts_with("Seal: stoa.example to net.example, "), "{heard:?}");
    assert!(heard[1].to == ["a@net.example"] && heard[1].text.contains("multipart/report"), "{heard:?}");
    assert!(house.store.queued(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dead_host_is_not_tried_once_for_each_message() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("dead.example", deferred((4, 4, 1)));
    for id in 1..=100 {
        submit(&house, id, &["b@dead.example", &format!("b@good{}.example", id % 3)], None).await;
    }
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + 24 * HOUR).await;
    let tries = carrier.heard().iter().filter(|heard| heard.route == "dead.example").count();
    assert!((10..=30).contains(&tries), "{tries}");
    // All know why, and whoever comes later waits, too.
    let rows = house.store.queued(200).await.unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|(_, row)| row.recipients.len() == 1 && row.recipients[0].last.as_ref().unwrap().status == (4, 4, 1)));
    assert_eq!(contents(&house.store, house.plato, "INBOX").await.len(), 100, "a delay notice for each");
    // It comes back, and one line after the other takes all.
    carrier.answer("dead.example", Verdict::Delivered { said: said((2, 0, 0), "250 ok"), dsn: false });
    dispatcher.handle().tell(Order::Forgive(Some("dead.example".into())));
    let before = carrier.heard().len();
    let_pass(&mut dispatcher, &time, THEN + 48 * HOUR).await;
    assert!(house.store.queued(1).await.unwrap().is_empty());
    let late = carrier.heard().split_off(before);
    let lines: BTreeSet<u32> = late.iter().map(|heard| heard.line).collect();
    assert!(late.len() == 100 && lines.len() < 30, "{} messages on {} lines", late.len(), lines.len());
}

#[tokio::test]
async fn what_is_held_or_paused_waits() {
    use crate::store::{Change, Hold, HoldReason, Requeue};
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    submit(&house, 1, &["b@net.example"], None).await;
    submit(&house, 2, &["b@net.example"], None).await;
    let hold = async |id, hold: Option<Hold>| {
        let read = house.store.queued_message(id).await.unwrap().unwrap();
        let becomes = Some(Queued { hold, ..read.clone() });
        let change = Requeue { id, read, becomes, filings: Vec::new(), notes: Vec::new() };
        house.store.commit(Change::Requeue(Box::new(change))).await.unwrap();
    };
    hold(1, Some(Hold { why: HoldReason::Asked, reason: "socrates".into(), since: THEN })).await;
    pause::pause(&house.store, THEN).await.unwrap();
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + 10 * HOUR).await;
    assert!(carrier.heard().is_empty() && pause::paused(&house.store).await.unwrap() == Some(THEN));
    pause::resume(&house.store).await.unwrap();
    dispatcher.handle().tell(Order::Look);
    let_pass(&mut dispatcher, &time, THEN + 11 * HOUR).await;
    assert_eq!(carrier.heard().iter().map(|heard| heard.id).collect::<Vec<_>>(), [2]);
    hold(1, None).await;
    let_pass(&mut dispatcher, &time, THEN + 12 * HOUR).await;
    assert_eq!(carrier.heard().iter().map(|heard| heard.id).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn what_is_held_deleted_or_paused_while_it_waits_for_its_turn_does_not_leave() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    for id in 1..=5 {
        submit(&house, id, &["b@net.example"], None).await;
    }
    let limits = Limits { messages_per_minute_max: 1, ..Limits::default() };
    let mut dispatcher = dispatcher_within(&house.store, &house.delivery, &carrier, limits);
    dispatcher.work_off().await;
    let went = || carrier.heard().iter().map(|heard| heard.id).collect::<Vec<_>>();
    assert_eq!(went(), [1], "the others have to wait for the next minutes");
    assert!(manage::hold(&house.store, 2, "socrates", THEN).await.unwrap());
    assert!(manage::delete(&house.store, &house.delivery, &Schedule::default(), 3, false, THEN).await.unwrap());
    pause::pause(&house.store, THEN).await.unwrap();
    let_pass(&mut dispatcher, &time, THEN + HOUR).await;
    assert_eq!(went(), [1]);
    pause::resume(&house.store).await.unwrap();
    dispatcher.handle().tell(Order::Look);
    let_pass(&mut dispatcher, &time, THEN + 2 * HOUR).await;
    assert_eq!(went(), [1, 4, 5]);
    let left = house.store.queued(9).await.unwrap();
    assert!(left.len() == 1 && left[0].1.recipients[0].attempts == 0, "{left:?}");
}

#[tokio::test]
async fn a_damaged_message_keeps_no_other_in_the_queue() {
    use crate::store::engine::{Batch, Engine, Sync};
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    submit(&house, 1, &["b@net.example"], None).await;
    submit(&house, 2, &["b@net.example"], None).await;
    let damage = async |id: u64| {
        let mut damage = Batch::default();
        damage.put(crate::store::Table::Queue, id.to_be_bytes().to_vec(), b"damaged".to_vec());
        house.engine.commit(damage, Sync::Now).await;
    };
    damage(1).await;
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + 10).await;
    let went = || carrier.heard().iter().map(|heard| heard.id).collect::<Vec<_>>();
    assert_eq!(went(), [2]);
    // One that is planned already.
    pause::pause(&house.store, THEN).await.unwrap();
    submit(&house, 3, &["b@net.example"], None).await;
    submit(&house, 4, &["b@net.example"], None).await;
    damage(3).await;
    pause::resume(&house.store).await.unwrap();
    assert_eq!(dispatcher.work_off().await.filter(|next| *next <= time.now() + 60), None, "it is not looked at again and again");
    assert_eq!(went(), [2, 4]);
    assert!(manage::find(&house.store, &manage::Which::All).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_line_that_fails_by_a_fault_of_ours_loses_nothing_and_ends_nothing() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.panics.store(2, std::sync::atomic::Ordering::SeqCst);
    for id in 1..=4 {
        submit(&house, id, &["b@net.example", "c@other.example"], None).await;
    }
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + HOUR).await;
    assert!(house.store.queued(1).await.unwrap().is_empty());
    let heard: Vec<_> = carrier.heard().into_iter().map(|heard| (heard.id, heard.route)).collect();
    assert_eq!((heard.len(), heard.iter().collect::<BTreeSet<_>>().len()), (8, 8), "{heard:?}");
}

#[tokio::test]
async fn new_mail_leaves_at_once_and_what_is_in_flight_at_the_end_is_finished() {
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    let (stop, told) = watch::channel(false);
    let running = tokio::spawn(dispatcher(&house.store, &house.delivery, &carrier).run(told));
    submit(&house, 1, &["b@net.example"], None).await;
    while carrier.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    carrier.pace.store(50, std::sync::atomic::Ordering::SeqCst);
    submit(&house, 2, &["b@net.example"], None).await;
    submit(&house, 3, &["b@net.example"], None).await;
    while carrier.begun.load(std::sync::atomic::Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    running.await.unwrap();
    let (begun, heard) = (carrier.begun.load(std::sync::atomic::Ordering::SeqCst), carrier.heard().len());
    assert_eq!(usize::try_from(begun).unwrap(), heard, "what was begun was finished");
    assert_eq!(house.store.queued(9).await.unwrap().len(), 3 - heard, "and recorded; the rest waits");
}

/// At whatever commit something goes wrong: nothing is lost, the sender is told once, and a message that was in flight, one
/// a line, is handed over twice at most.
async fn strike(fault: Fault, nth: u64, lines: usize) -> bool {
    let shown = format!("{fault:?} at {nth} with {lines} lines");
    let (house, time) = (house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("bad.example", Verdict::Failed(said((5, 1, 1), "550 no")));
    let all = Some(Notify::On { success: true, failure: true, delay: true });
    for id in 1..=3 {
        submit(&house, id, &["a@good.example", "b@bad.example"], all).await;
    }
    let before = house.engine.synced_commits();
    house.engine.fail_at(nth, fault);
    let limits = Limits { connections_max: lines, ..Limits::default() };
    let_pass(&mut dispatcher_within(&house.store, &house.delivery, &carrier, limits), &time, THEN + HOUR).await;
    let has_struck = house.engine.synced_commits() >= before + nth;
    // Another process takes over.
    let next = Store::open(Arc::new(house.engine.clone())).await.unwrap();
    let delivery = Delivery::new(next.clone(), house.delivery.names().clone());
    let_pass(&mut dispatcher(&next, &delivery, &carrier), &time, THEN + 2 * HOUR).await;
    assert!(next.queued(1).await.unwrap().is_empty(), "{shown}");
    let mut repeated = 0;
    for id in 1..=3 {
        for route in ["good.example", "bad.example"] {
            let times = carrier.heard().iter().filter(|heard| heard.id == id && heard.route == route).count();
            assert!((1..=2).contains(&times), "{shown}: message {id} was handed over to {route} {times} times");
            repeated += times - 1;
        }
    }
    assert!(repeated <= lines, "{shown}: {repeated} messages were repeated");
    let reports = contents(&next, house.plato, "INBOX").await;
    for id in 1..=3 {
        let about = reports.iter().filter(|report| report.contains(&format!("Subject: letter {id}\r\n")));
        let told = ["Action: relayed", "Action: failed"].map(|action| about.clone().filter(|report| report.contains(action)).count());
        assert_eq!(told, [1, 1], "{shown}: what was told of message {id}");
    }
    has_struck
}

#[tokio::test]
async fn whatever_commit_fails_nothing_is_lost_and_what_was_in_flight_is_repeated_once_at_most() {
    let mut struck = 0;
    for fault in [Fault::Conflict, Fault::UnknownApplied, Fault::UnknownLost] {
        for lines in [1, 3] {
            for nth in 1..=9 {
                struck += u32::from(strike(fault, nth, lines).await);
            }
        }
    }
    assert!(struck > 20, "the faults struck {struck} times");
}
