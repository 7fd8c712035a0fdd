//! What a scripted server may do to a message of ours, at every stage of the dialogue, and what becomes of it.

use super::{LOST, QUICK, WITHIN, World, letter};
use crate::daemon::wait_for;
use std::time::Duration;
use stoa_world::{Act, Peer, Script, Stage};

const ALICE: &str = "alice@one.test";

/// One server, and a scripted one for `peer.test`.
fn world_with(script: Script) -> (World, Peer) {
    let world = World::of(&[ALICE], QUICK);
    let peer = world.host(0, "peer.test", script);
    (world, peer)
}

fn send(world: &World, to: &[&str], subject: &str) {
    world.houses[0].submits(to, "", &letter(ALICE, to[0], subject));
}

fn wait_for_message(peer: &Peer) {
    wait_for("the message", WITHIN, || (!peer.received().is_empty()).then_some(()));
}

/// The report of failure, which is the only one that came.
fn failure(world: &World) -> String {
    let report = world.houses[0].arrived(LOST);
    assert!(report.starts_with("Return-Path: <>\r\n") && report.contains("Action: failed"), "{report}");
    report
}

#[test]
fn a_message_is_handed_over_in_one_group_and_the_next_on_the_same_connection() {
    let (world, peer) = world_with(Script::new());
    send(&world, &["a@peer.test", "b@peer.test"], "one");
    wait_for_message(&peer);
    let received = peer.received().remove(0);
    assert!(received.sender.starts_with("MAIL FROM:<alice@one.test> SIZE="), "{received:?}");
    assert_eq!(
        received.recipients.iter().map(|line| line.split('>').next().unwrap_or_default()).collect::<Vec<_>>(),
        ["RCPT TO:<a@peer.test", "RCPT TO:<b@peer.test"]
    );
    let body = String::from_utf8_lossy(&received.body).into_owned();
    assert!(body.contains("DKIM-Signature: ") && body.ends_with("\r\n\r\nHail.\r\n.\r\n..\r\n") && !body.contains("Bcc"), "{body}");
    let heard = peer.heard().remove(0);
    let group = heard.groups.iter().max().copied().unwrap_or_default();
    assert!(group >= 3, "MAIL and both RCPT come together: {:?}", heard.groups);
}

#[test]
fn greylisting_delays_a_message_and_nobody_is_told() {
    let (world, peer) = world_with(Script::new().first(1, Stage::AnyRcpt, Act::Reply("450 4.7.1 Greylisted, come again")));
    send(&world, &["a@peer.test"], "grey");
    wait_for_message(&peer);
    assert_eq!(peer.heard().iter().flat_map(|heard| &heard.commands).filter(|line| line.starts_with("RCPT")).count(), 2);
    assert!(world.houses[0].found("Your message").is_empty());
}

#[test]
fn who_refuses_for_days_brings_a_notice_of_delay_and_at_the_end_a_report_of_failure() {
    let (world, peer) = world_with(Script::new().at(Stage::Mail, Act::Reply("451 4.3.0 Our disk is full")));
    send(&world, &["a@peer.test"], "days");
    let delay = world.houses[0].arrived("is not delivered yet");
    for want in ["Return-Path: <>", "Action: delayed", "Status: 4.3.0", "Our disk is full", "Will-Retry-Until: "] {
        assert!(delay.contains(want), "{want} in {delay}");
    }
    let report = failure(&world);
    assert!(report.contains("Status: 4.4.7") && report.contains("Our disk is full"), "{report}");
    let tries = peer.heard().len();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(peer.heard().len(), tries, "it was given up");
    assert_eq!(world.houses[0].found("is not delivered yet").len(), 1, "a delay is told once");
}

#[test]
fn a_refusal_for_good_at_any_stage_is_reported_at_once_in_the_words_of_the_host() {
    let world = World::of(&[ALICE], QUICK);
    let stages = [
        (Stage::Mail, "550 5.7.1 Not from you", "Status: 5.7.1"),
        (Stage::AnyRcpt, "550 5.1.1 Not known here", "Status: 5.1.1"),
        (Stage::Data, "554 5.5.0 No data please", "Status: 5.5.0"),
        (Stage::Message, "554 5.7.1 This smells of junk", "Status: 5.7.1"),
        // Without an enhanced code (RFC 3463) there is only the class.
        (Stage::AnyRcpt, "553 Go away", "Status: 5."),
    ];
    let mut peers = Vec::new();
    for (host, (stage, reply, _)) in (0..).zip(stages) {
        peers.push(world.host(host, &format!("p{host}.peer.test"), Script::new().at(stage, Act::Reply(reply))));
        send(&world, &[&format!("a@p{host}.peer.test")], "refused");
    }
    let reports = wait_for("the reports", WITHIN, || Some(world.houses[0].found(LOST)).filter(|reports| reports.len() == stages.len()));
    for (host, (_, reply, status)) in stages.iter().enumerate() {
        let mine = reports
            .iter()
            .find(|report| report.contains(&format!("Final-Recipient: rfc822; a@p{host}.peer.test")))
            .expect("a report of each");
        assert!(mine.contains(status) && mine.contains(reply) && mine.contains("Return-Path: <>"), "{reply} in {mine}");
        assert_eq!(peers[host].heard().len(), 1, "{reply}: it was not tried again");
    }
}

#[test]
fn a_refused_recipient_does_not_keep_the_others() {
    let (world, peer) = world_with(Script::new().at(Stage::Rcpt("b@peer.test"), Act::Reply("550 5.1.1 No b here")));
    send(&world, &["a@peer.test", "b@peer.test", "c@peer.test"], "some");
    wait_for_message(&peer);
    let report = failure(&world);
    assert!(report.contains("Final-Recipient: rfc822; b@peer.test") && !report.contains("rfc822; a@peer.test"), "{report}");
    assert_eq!(peer.received()[0].recipients.len(), 2);
}

/// At each stage the server does this once; the message arrives nevertheless, once, and is not reported as lost.
fn survives(act: Act, stages: &[Stage]) {
    let world = World::of(&[ALICE], QUICK);
    let certificate = world.authority.certificate(&["mx.peer.test"]);
    let mut peers = Vec::new();
    for (host, stage) in (0..).zip(stages) {
        let script = Script::new().tls(&certificate).first(1, *stage, act);
        peers.push(world.host(host, &format!("p{host}.peer.test"), script));
        send(&world, &[&format!("a@p{host}.peer.test")], "survivor");
    }
    for (peer, stage) in peers.iter().zip(stages) {
        wait_for(&format!("the message after {act:?} at {stage:?}"), WITHIN, || (!peer.received().is_empty()).then_some(()));
        assert!(peer.heard().len() > 1, "{act:?} at {stage:?} was seen");
    }
    assert!(world.houses[0].found(LOST).is_empty());
    std::thread::sleep(Duration::from_secs(3));
    for (peer, stage) in peers.iter().zip(stages) {
        assert_eq!(peer.received().len(), 1, "after {act:?} at {stage:?} it came twice");
    }
}

const STAGES: [Stage; 8] =
    [Stage::Banner, Stage::Ehlo, Stage::StartTls, Stage::Handshake, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message];

#[test]
fn silence_at_any_stage_ends_in_another_attempt() {
    survives(Act::Silence, &STAGES);
}

#[test]
fn a_lost_connection_at_any_stage_ends_in_another_attempt() {
    survives(Act::Drop, &STAGES);
}

#[test]
fn what_is_no_reply_ends_in_another_attempt() {
    survives(Act::Garbage, &STAGES);
}

#[test]
fn replies_without_end_are_not_read_to_their_end() {
    survives(Act::EndlessReply, &[Stage::Banner, Stage::Ehlo, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message]);
}

#[test]
fn lines_without_end_are_not_read_to_their_end() {
    survives(Act::EndlessLine, &[Stage::Banner, Stage::Ehlo, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message]);
}

#[test]
fn a_server_that_closes_for_now_is_asked_again() {
    survives(
        Act::Reply("421 4.3.2 Closing for now"),
        &[Stage::Banner, Stage::Ehlo, Stage::Mail, Stage::AnyRcpt, Stage::Data, Stage::Message],
    );
}

#[test]
fn a_goodbye_that_is_never_answered_harms_nobody() {
    let (world, peer) = world_with(Script::new().at(Stage::Quit, Act::Silence));
    send(&world, &["a@peer.test"], "bye");
    wait_for_message(&peer);
    send(&world, &["a@peer.test"], "again");
    wait_for("the second message", WITHIN, || (peer.received().len() == 2).then_some(()));
    assert!(world.houses[0].found("Your message").is_empty());
}

#[test]
fn an_utf8_address_at_a_host_without_smtputf8_is_refused_with_a_report_that_says_why() {
    let (world, peer) = world_with(Script::new().without("SMTPUTF8"));
    let message = letter(ALICE, "δ@peer.test", "Grüße");
    world.houses[0].submits(&["δ@peer.test"], "SMTPUTF8 BODY=8BITMIME", &message);
    let report = failure(&world);
    assert!(report.contains("Status: 5.6.7") && report.contains("SMTPUTF8"), "{report}");
    assert!(peer.received().is_empty() && !peer.heard().iter().any(|heard| heard.commands.iter().any(|line| line.contains('δ'))));
}

#[test]
fn a_report_that_cannot_be_delivered_leads_to_no_other() {
    let (world, peer) = world_with(Script::new().at(Stage::AnyRcpt, Act::Reply("550 5.1.1 Not known here")));
    // A stranger asks to be told of success, at an address that refuses.
    let mut smtp = crate::smtp::Smtp::plain(world.houses[0].at(world.ports.smtp)).expect("it answers");
    smtp.ehlo().expect("it greets");
    smtp.command("MAIL FROM:<x@peer.test>").and_then(|reply| reply.wants(250)).expect("agreed to");
    smtp.command("RCPT TO:<alice@one.test> NOTIFY=SUCCESS").and_then(|reply| reply.wants(250)).expect("agreed to");
    smtp.data(&letter("x@peer.test", ALICE, "asking")).and_then(|reply| reply.wants(250)).expect("taken");
    wait_for("the report", WITHIN, || {
        peer.heard().iter().any(|heard| heard.commands.iter().any(|line| line.starts_with("MAIL FROM:<> "))).then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(peer.heard().iter().flat_map(|heard| &heard.commands).filter(|line| line.starts_with("RCPT")).count(), 1);
    assert!(world.houses[0].found("Your message").is_empty());
}
