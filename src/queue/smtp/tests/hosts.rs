//! Which hosts are tried, and what DNS can do to us.

use super::*;
use stoa_world::{Act, Fault, Stage};

#[tokio::test]
async fn mail_goes_to_the_host_of_the_domain() {
    let mut world = World::new().await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"]);
    let received = world.peers[0].received();
    assert_eq!(received[0].body, CONTENT);
    assert!(received[0].sender.starts_with("MAIL FROM:<a@own.test>"), "{received:?}");
}

#[tokio::test]
async fn the_next_host_is_tried_when_the_first_cannot() {
    for (act, stage) in [
        (Act::Drop, Stage::Banner),
        (Act::Reply("421 busy"), Stage::Banner),
        (Act::Reply("554 5.7.1 go away"), Stage::Banner),
        (Act::Silence, Stage::Ehlo),
        (Act::Reply("451 4.3.0 not now"), Stage::Mail),
        (Act::Reply("450 4.2.1 later"), Stage::AnyRcpt),
        (Act::Drop, Stage::Data),
        (Act::Reply("452 4.3.1 full"), Stage::Message),
    ] {
        let mut world = World::new().await;
        world.change("plain.test", "plain.test MX 20 mx2.plain.test\nplain.test MX 10 mx1.plain.test");
        world.peer(1, Script::new().at(stage, act)).await;
        world.peer(2, Script::new()).await;
        assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"], "{act:?} {stage:?}");
        assert_eq!(world.peers[1].received().len(), 1, "{act:?} {stage:?}");
    }
}

#[tokio::test]
async fn a_host_that_may_have_the_message_is_the_last() {
    for act in [Act::Drop, Act::Silence, Act::Garbage] {
        let mut world = World::new().await;
        world.change("plain.test", "plain.test MX 20 mx2.plain.test\nplain.test MX 10 mx1.plain.test");
        world.peer(1, Script::new().at(Stage::Message, act)).await;
        world.peer(2, Script::new()).await;
        let verdicts = short(&world.bring(&["b@plain.test"]).await);
        assert!(verdicts[0].starts_with("?4.4."), "{act:?} {verdicts:?}");
        assert!(world.peers[1].heard().is_empty(), "{act:?}");
    }
}

#[tokio::test]
async fn what_dns_says_decides() {
    for (records, want) in [
        ("plain.test MX 0 .", "-5.1.10"),
        ("plain.test MX 10 mail.own.test", "-5.4.6"),
        ("plain.test MX 10 nobody.plain.test", "-5.4.4"),
        ("plain.test MX 10 broken.plain.test", "?4.4.3"),
        ("plain.test MX 10 alias.plain.test\nalias.plain.test CNAME mx1.plain.test", "+2.6.0"),
        ("plain.test MX 10 mx1.plain.test\nplain.test MX 20 mail.own.test", "+2.6.0"),
    ] {
        let mut world = World::new().await;
        world.change("plain.test", records);
        world.dns.fail("broken.plain.test", Fault::ServFail);
        world.peer(1, Script::new()).await;
        assert_eq!(short(&world.bring(&["b@plain.test"]).await), [want], "{records}");
    }
}

#[tokio::test]
async fn without_mx_the_domain_is_its_own_host() {
    let mut world = World::new().await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@mx1.plain.test"]).await), ["+2.6.0"]);
    assert_eq!(short(&world.bring(&["b@nobody.plain.test"]).await), ["-5.1.2"]);
    let literal = format!("b@[{}]", world.network.address(1));
    assert_eq!(short(&world.bring(&[&literal]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn faults_of_dns_are_waited_out() {
    for (name, fault) in [
        ("plain.test", Fault::ServFail),
        ("plain.test", Fault::Silence),
        ("plain.test", Fault::Refused),
        ("signed.test", Fault::NoName),
        ("signed.test", Fault::Flaw(stoa_world::Flaw::Wrong)),
        ("signed.test", Fault::Flaw(stoa_world::Flaw::Expired)),
    ] {
        let mut world = World::new().await;
        world.dns.fail_type(name, "MX", fault);
        world.peer(1, Script::new()).await;
        let verdicts = short(&world.bring(&[&format!("b@{name}")]).await);
        assert_eq!(verdicts, ["?4.4.3"], "{name} {fault:?}");
        world.dns.mend(name);
    }
}

#[tokio::test]
async fn many_hosts_that_do_not_answer_cost_no_more_than_the_limit() {
    let mut world = World::new().await;
    let many: String =
        (0..60).map(|n| format!("plain.test MX 10 h{n}.plain.test\nh{n}.plain.test A {}\n", world.network.address(1))).collect();
    world.change("plain.test", &many);
    world.peer(1, Script::new().at(Stage::Banner, Act::Drop)).await;
    let verdicts = short(&world.bring(&["b@plain.test"]).await);
    assert!(verdicts[0].starts_with("?4.4."), "{verdicts:?}");
    assert_eq!(world.peers[0].heard().len(), LIMITS.hosts_max);
}

#[tokio::test]
async fn a_host_that_is_ourselves_under_another_name_is_a_loop() {
    let mut world = World::new().await;
    let script = Script::new().at(Stage::Banner, Act::Reply("220 mail.own.test ESMTP")).at(Stage::Ehlo, Act::Reply("250 mail.own.test"));
    world.peer(1, script).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["-5.4.6"]);
}

#[tokio::test]
async fn a_stranger_leads_nobody_into_our_own_network() {
    let mut world = World::new().await;
    world.settings.closed_network = false;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.4.4"]);
    assert!(world.peers[0].heard().is_empty());
    let carrier = world.carrier();
    let mut line = carrier.line("plain.test");
    let of_an_account = |message: &mut Queued| message.account = Some(crate::store::HolderId(1));
    let verdicts = carrier.hand_over(&mut line, &world.parcel(&["b@plain.test"], of_an_account, CONTENT).await).await;
    assert_eq!(short(&verdicts), ["+2.6.0"], "whom an account writes to is its own affair");
}

#[tokio::test]
async fn slow_hosts_hold_a_line_no_longer_than_the_limit() {
    let mut world = World::new().await;
    world.settings.limits = Limits { all_hosts: Duration::from_millis(300), greeting: Duration::from_secs(60), ..LIMITS };
    world.peer(1, Script::new().at(Stage::Banner, Act::Silence)).await;
    let verdicts = tokio::time::timeout(Duration::from_secs(30), world.bring(&["b@plain.test"])).await.unwrap();
    assert_eq!(short(&verdicts), ["?4.4.1"]);
}
