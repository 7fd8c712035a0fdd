//! Two real servers exchange mail, by each way of keeping it from others.

use super::{LOST, QUICK, SEVERAL_ATTEMPTS, WITHIN, World, letter};
use crate::daemon::wait_for;
use std::time::Duration;
use stoa_world::Certificate;

const OWNERS: [&str; 2] = ["alice@one.test", "bob@two.test"];

/// The one header field of our own results, unfolded and in lower case.
fn results(message: &str) -> String {
    let unfolded = message.replace("\r\n ", " ").replace("\r\n\t", " ").to_ascii_lowercase();
    let fields: Vec<&str> = unfolded.lines().filter(|line| line.starts_with("authentication-results:")).collect();
    assert_eq!(fields.len(), 1, "{message}");
    fields[0].to_owned()
}

fn send(world: &World, subject: &str) {
    world.houses[0].submits(&[OWNERS[1]], "", &letter(OWNERS[0], OWNERS[1], subject));
}

fn encrypted(message: &str) -> bool {
    message.contains("with ESMTPS\r\n") || message.contains("with ESMTPS ")
}

#[test]
fn a_message_goes_from_one_server_to_the_other_encrypted_and_is_believed() {
    let world = World::of(&OWNERS, QUICK);
    send(&world, "first");
    let message = world.houses[1].arrived("first");
    assert!(encrypted(&message) && message.starts_with("Return-Path: <alice@one.test>\r\n"), "{message}");
    assert!(message.ends_with("\r\n\r\nHail.\r\n.\r\n..\r\n"), "{message}");
    let results = results(&message);
    for want in ["mail.two.test;", "spf=pass", "dkim=pass", "dmarc=pass"] {
        assert!(results.contains(want), "{want} in {results}");
    }
    // And back, on the same day.
    world.houses[1].submits(&[OWNERS[0]], "", &letter(OWNERS[1], OWNERS[0], "answer"));
    world.houses[0].arrived("answer");
}

#[test]
fn with_dane_a_certificate_counts_that_dns_names_and_no_other() {
    let world = World::of(&OWNERS, QUICK);
    let (two, own) = (&world.houses[1], Certificate::self_signed(&["mail.two.test"]));
    let publish = |tlsa: String| world.dns.change("two.test", &format!("_{}._tcp.mail TLSA {tlsa}", world.ports.smtp));

    publish(own.tlsa());
    send(&world, "early");
    std::thread::sleep(SEVERAL_ATTEMPTS);
    assert!(two.found("early").is_empty(), "the certificate is good, but not the one that DNS names");
    two.show(&own);
    let message = two.arrived("early");
    assert!(encrypted(&message), "{message}");
    assert!(world.houses[0].found(LOST).is_empty());
}

#[test]
fn with_mta_sts_a_bad_certificate_keeps_mail_waiting_until_there_is_a_good_one() {
    let world = World::of(&OWNERS, &format!("{QUICK}\nmta_sts.mode = 'enforce'"));
    world.dns.change("two.test", "_mta-sts TXT \"v=STSv1; id=20261125\"");
    let two = &world.houses[1];
    send(&world, "policy");
    assert!(encrypted(&two.arrived("policy")));
    assert!(world.dns.asked().iter().any(|asked| asked.name == "mta-sts.two.test"), "the policy was fetched");

    for (subject, bad) in [
        ("expired", world.authority.expired(&["mail.two.test", "localhost"])),
        ("foreign", Certificate::self_signed(&["mail.two.test", "localhost"])),
        ("misnamed", world.authority.certificate(&["mail.other.test", "localhost"])),
    ] {
        // The files are looked at once a second.
        two.show(&bad);
        std::thread::sleep(Duration::from_secs(2));
        send(&world, subject);
        std::thread::sleep(SEVERAL_ATTEMPTS);
        two.show(&two.certificate);
        std::thread::sleep(Duration::from_secs(2));
        assert!(encrypted(&two.arrived(subject)));
        let deferred = world.houses[0].log().lines().filter(|line| line.contains("deferred") && line.contains("4.7.5")).count();
        assert!(deferred > 0, "{subject} went over a bad certificate");
    }
}

#[test]
fn utf8_in_header_and_addresses_comes_through() {
    let world = World::of(&OWNERS, QUICK);
    let two = &world.houses[1];
    two.add_account("χάρης@two.test");
    let message = letter(OWNERS[0], "χάρης@two.test", "Grüße");
    world.houses[0].submits(&["χάρης@two.test", OWNERS[1]], "SMTPUTF8 BODY=8BITMIME", &message);
    let read = wait_for("the message", WITHIN, || two.found("Gr").pop());
    assert!(read.contains("To: <χάρης@two.test>\r\nSubject: Grüße\r\n"), "{read}");
    assert!(world.houses[0].found(LOST).is_empty());
}

#[test]
fn who_asked_for_it_is_told_of_success_by_the_last_server() {
    let world = World::of(&OWNERS, QUICK);
    let one = &world.houses[0];
    let mut smtp = one.submission();
    let expect = |reply: std::io::Result<crate::smtp::Reply>, code| reply.and_then(|reply| reply.wants(code)).map(drop).expect("agreed to");
    expect(smtp.command("MAIL FROM:<alice@one.test> RET=HDRS ENVID=trip-7"), 250);
    expect(smtp.command("RCPT TO:<bob@two.test> NOTIFY=SUCCESS ORCPT=rfc822;bob@two.test"), 250);
    expect(smtp.data(&letter(OWNERS[0], OWNERS[1], "asked")), 250);
    world.houses[1].arrived("asked");
    let report = one.arrived("Your message was");
    for want in ["Return-Path: <>", "report-type=delivery-status", "Original-Envelope-Id: trip-7", "Action: delivered", "Status: 2."] {
        assert!(report.contains(want), "{want} in {report}");
    }
    assert!(report.contains("Reporting-MTA: dns; mail.two.test") && !report.contains("Hail."), "{report}");
}

#[test]
fn an_unknown_recipient_elsewhere_brings_a_report_that_says_so() {
    let world = World::of(&OWNERS, QUICK);
    let one = &world.houses[0];
    one.submits(&["nobody@two.test", OWNERS[1]], "", &letter(OWNERS[0], "nobody@two.test", "lost"));
    world.houses[1].arrived("lost");
    let report = one.arrived(LOST);
    let wanted = [
        "Return-Path: <>",
        "Action: failed",
        "Status: 5.1.1",
        "Final-Recipient: rfc822; nobody@two.test",
        "Remote-MTA: dns; mail.two.test",
    ];
    for want in wanted {
        assert!(report.contains(want), "{want} in {report}");
    }
    assert!(!report.contains("Final-Recipient: rfc822; bob@two.test"), "{report}");
}

#[test]
fn mail_that_two_accounts_forward_to_each_other_comes_to_rest() {
    let world = World::of(&OWNERS, QUICK);
    let [one, two] = world.houses.as_slice() else { panic!("there are two") };
    one.forward(OWNERS[1]);
    two.forward(OWNERS[0]);
    let mut smtp = crate::smtp::Smtp::plain(one.at(world.ports.smtp)).expect("it answers");
    smtp.ehlo().expect("it greets");
    smtp.deliver("x@peer.test", &[OWNERS[0]], &letter("x@peer.test", OWNERS[0], "circle")).expect("it is taken");
    two.arrived("circle");
    std::thread::sleep(SEVERAL_ATTEMPTS);
    let copies = || [one.found("circle").len(), two.found("circle").len()];
    let at_rest = copies();
    std::thread::sleep(SEVERAL_ATTEMPTS);
    assert_eq!(copies(), at_rest);
    assert!(at_rest.iter().all(|copies| (1..=2).contains(copies)), "{at_rest:?}");
}
