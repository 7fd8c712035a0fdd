//! Tests: an account that sends too much is stopped, its mail waits for a person, and nothing is lost.

use super::Limits;
use super::carrier::Verdict;
use super::tests::{HOUR, THEN, submit};
use super::world::{Scripted, Time, dispatcher, dispatcher_within, let_pass, said};
use crate::delivery::governor::{self, Budget, Budgets};
use crate::delivery::tests::{House, contents, envelope, house, received};
use crate::delivery::{Delivery, NotDelivered};
use crate::store::HoldReason;

/// A house where an account sends five messages an hour.
async fn strict_house() -> House {
    let house = house().await;
    let account = Budget { messages_per_hour: 5, ..Budgets::default().account };
    let budgets = Budgets { account, held_max: 3, failures_per_hour: 4, ..Budgets::default() };
    House { delivery: house.delivery.clone().with_budgets(budgets), ..house }
}

async fn letters_to_the_owner(house: &House) -> Vec<String> {
    let all = contents(&house.store, house.socrates, "INBOX").await;
    all.into_iter().filter(|letter| letter.contains("Subject: Mail of plato@stoa.example is held\r\n")).collect()
}

#[tokio::test]
async fn past_its_budget_mail_is_held_the_owner_is_told_once_and_a_release_sends_it() {
    let (house, time) = (strict_house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    for id in 1..=8 {
        submit(&house, id, &["b@net.example"], None).await;
        dispatcher.work_off().await;
    }
    let_pass(&mut dispatcher, &time, THEN + HOUR).await;
    assert_eq!(carrier.heard().len(), 5);
    let held = house.store.queued(9).await.unwrap();
    assert_eq!(held.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [6, 7, 8]);
    assert!(held.iter().all(|(_, row)| row.hold.as_ref().unwrap().why == HoldReason::Budget));
    let letters = letters_to_the_owner(&house).await;
    assert!(letters.len() == 1 && letters[0].contains("more than 5 messages within an hour"), "{letters:?}");
    for command in ["account app-password plato@stoa.example --revoke NAME", "queue release --account plato@stoa.example"] {
        assert!(letters[0].contains(&format!("    sudo -u stoa stoa {command}\r\n")), "no {command} in {}", letters[0]);
    }
    // A new hour releases nothing by itself, nor does a restart; and there is a bound.
    let again = Delivery::new(house.store.clone(), house.delivery.names().clone()).with_budgets(house.delivery.budgets().clone());
    let envelope = envelope("plato@stoa.example", &["b@net.example"]);
    let message = received(&again, &envelope, "From: plato@stoa.example\n\n").await;
    let refused = again.deliver(9, &envelope, &house.plato().await, message, THEN + 5 * HOUR).await;
    assert!(matches!(refused, Err(NotDelivered::OverBudget(_))), "{refused:?}");
    // Mail to one another still comes.
    submit(&house, 10, &["socrates@stoa.example"], None).await;
    assert_eq!(governor::release(&house.store, house.plato).await.unwrap(), 3);
    let_pass(&mut dispatcher, &time, THEN + 2 * HOUR).await;
    assert_eq!(carrier.heard().len(), 8);
    assert!(house.store.queued(1).await.unwrap().is_empty());
    submit(&house, 11, &["b@net.example"], None).await;
    let_pass(&mut dispatcher, &time, THEN + 3 * HOUR).await;
    assert_eq!((carrier.heard().len(), letters_to_the_owner(&house).await.len()), (9, 1));
}

#[tokio::test]
async fn an_account_most_of_whose_mail_is_refused_is_stopped_with_all_that_waits() {
    let (house, time) = (strict_house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("bad.example", Verdict::Failed(said((5, 1, 1), "550 no")));
    carrier.answer("slow.example", Verdict::Deferred(said((4, 2, 1), "450 later")));
    submit(&house, 1, &["a@slow.example"], None).await;
    submit(&house, 2, &["a@bad.example", "b@bad.example", "c@bad.example", "d@bad.example"], None).await;
    let mut dispatcher = dispatcher(&house.store, &house.delivery, &carrier);
    let_pass(&mut dispatcher, &time, THEN + HOUR).await;
    let rows = house.store.queued(9).await.unwrap();
    assert_eq!(
        rows.iter().map(|(id, row)| (*id, row.hold.as_ref().map(|hold| hold.why))).collect::<Vec<_>>(),
        [(1, Some(HoldReason::Failures))]
    );
    let letters = letters_to_the_owner(&house).await;
    assert!(letters.len() == 1 && letters[0].contains("4 of its 4 recipients"), "{letters:?}");
    // One that a person lets go leaves, though its account is stopped.
    assert!(governor::free(&house.store, 1).await.unwrap());
    let tries = carrier.heard().len();
    let_pass(&mut dispatcher, &time, THEN + 2 * HOUR).await;
    assert!(carrier.heard().len() > tries && house.store.queued_message(1).await.unwrap().unwrap().hold.is_none());
}

#[tokio::test]
async fn what_is_planned_of_an_account_does_not_leave_when_it_is_stopped() {
    let (house, time) = (strict_house().await, Time::at(THEN));
    let carrier = Scripted::new(&time);
    carrier.answer("bad.example", Verdict::Failed(said((5, 1, 1), "550 no")));
    submit(&house, 1, &["a@bad.example", "b@bad.example", "c@bad.example", "d@bad.example"], None).await;
    submit(&house, 2, &["e@bad.example"], None).await;
    let limits = Limits { messages_per_minute_max: 1, ..Limits::default() };
    let_pass(&mut dispatcher_within(&house.store, &house.delivery, &carrier, limits), &time, THEN + HOUR).await;
    assert_eq!(carrier.heard().iter().map(|heard| heard.id).collect::<Vec<_>>(), [1]);
    let row = house.store.queued_message(2).await.unwrap().unwrap();
    assert_eq!(row.hold.map(|hold| hold.why), Some(HoldReason::Failures));
}

#[tokio::test]
async fn messages_of_one_moment_are_all_counted() {
    let house = strict_house().await;
    let mut all = tokio::task::JoinSet::new();
    for id in 1..=7 {
        let (delivery, plato) = (house.delivery.clone(), house.plato().await);
        all.spawn(async move {
            let envelope = envelope("plato@stoa.example", &["b@net.example"]);
            let message = received(&delivery, &envelope, &format!("From: plato@stoa.example\nSubject: {id}\n\n")).await;
            delivery.deliver(id, &envelope, &plato, message, THEN).await.unwrap();
        });
    }
    all.join_all().await;
    let rows = house.store.queued(9).await.unwrap();
    let held = rows.iter().filter(|(_, row)| row.hold.is_some()).count();
    assert_eq!((rows.len(), held, letters_to_the_owner(&house).await.len()), (7, 2, 1));
}
