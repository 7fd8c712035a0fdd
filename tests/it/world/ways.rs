//! Which host gets a message, and over what kind of connection: MX in all its forms, DANE, and TLS that is broken.

use super::{LOST, QUICK, SEVERAL_ATTEMPTS, WITHIN, World, letter};
use crate::daemon::wait_for;
use std::net::{Ipv6Addr, UdpSocket};
use stoa_world::{Act, Certificate, Fault, Flaw, Peer, Script, Stage};

const ALICE: &str = "alice@one.test";

fn send(world: &World, to: &str) {
    world.houses[0].submits(&[to], "", &letter(ALICE, to, "way"));
}

fn arrived(peer: &Peer) -> stoa_world::Received {
    wait_for("the message", WITHIN, || peer.received().pop())
}

#[test]
fn the_next_host_takes_what_the_better_ones_cannot() {
    let world = World::of(&[ALICE], QUICK);
    let closing = world.peer(1, Script::new().at(Stage::Banner, Act::Reply("421 4.3.2 Not now")));
    let full = world.peer(2, Script::new().at(Stage::Mail, Act::Reply("452 4.3.1 No room")));
    let good = world.peer(3, Script::new());
    // Nobody listens at the first.
    let hosts: String = (0..4).map(|host| format!("@ MX {0}0 m{0}\nm{0} A {1}\n", host, world.peer_address(host))).collect();
    world.dns.change("peer.test", &hosts);
    send(&world, "a@peer.test");
    arrived(&good);
    assert_eq!((closing.heard().len(), full.heard().len()), (1, 1), "all in one attempt");
    assert!(world.houses[0].found("Your message").is_empty());
}

#[test]
fn a_host_that_says_no_for_good_is_believed() {
    let world = World::of(&[ALICE], QUICK);
    let first = world.peer(0, Script::new().at(Stage::AnyRcpt, Act::Reply("550 5.1.1 Not known here")));
    let second = world.peer(1, Script::new());
    world.dns.change("peer.test", &format!("@ MX 10 m0\n@ MX 20 m1\nm0 A {}\nm1 A {}", world.peer_address(0), world.peer_address(1)));
    send(&world, "a@peer.test");
    let report = world.houses[0].arrived(LOST);
    assert!(report.contains("Status: 5.1.1\r\n"), "{report}");
    assert!(first.heard().len() == 1 && second.heard().is_empty());
}

#[test]
fn domains_that_take_no_mail_bring_a_report_at_once() {
    let world = World::of(&[ALICE], QUICK);
    // A null MX, and a domain whose best host is ourselves although we do not know it.
    world.dns.change("peer.test", "null MX 0 .\nours MX 10 mail.one.test.");
    let domains = [("null.peer.test", "5.1.10"), ("ours.peer.test", "5.4.6"), ("nowhere.test", "5.1.2")];
    for (domain, _) in domains {
        send(&world, &format!("a@{domain}"));
    }
    let reports = wait_for("the reports", WITHIN, || Some(world.houses[0].found(LOST)).filter(|reports| reports.len() == domains.len()));
    for (domain, status) in domains {
        let mine =
            reports.iter().find(|report| report.contains(&format!("Final-Recipient: rfc822; a@{domain}"))).expect("a report of each");
        assert!(mine.contains(&format!("Status: {status}\r\n")) && mine.contains("Return-Path: <>"), "{status} in {mine}");
    }
}

#[test]
fn where_we_are_one_of_several_hosts_only_better_ones_are_tried() {
    let world = World::of(&[ALICE], QUICK);
    let (better, worse) = (world.peer(0, Script::new()), world.peer(1, Script::new()));
    let hosts = format!("@ MX 10 m0\n@ MX 20 mail.one.test.\n@ MX 30 m1\nm0 A {}\nm1 A {}", world.peer_address(0), world.peer_address(1));
    world.dns.change("peer.test", &hosts);
    send(&world, "a@peer.test");
    arrived(&better);
    better.follow(Script::new().at(Stage::Banner, Act::Drop));
    send(&world, "a@peer.test");
    std::thread::sleep(SEVERAL_ATTEMPTS);
    assert!(better.heard().len() > 2 && worse.heard().is_empty(), "nothing goes in circles");
}

#[test]
fn a_domain_without_mx_is_its_own_host_and_an_address_needs_no_name() {
    let world = World::of(&[ALICE], QUICK);
    let (domain, address) = (world.peer(0, Script::new()), world.peer(1, Script::new()));
    world.dns.change("plain.test", &format!("@ A {}", world.peer_address(0)));
    send(&world, "a@plain.test");
    arrived(&domain);
    send(&world, &format!("a@[{}]", world.peer_address(1)));
    arrived(&address);
}

#[test]
fn an_address_of_ipv6_needs_no_name_where_the_machine_has_ipv6() {
    // RFC 3849: nobody has this address, and telling a socket of it sends nothing.
    let has_ipv6 = UdpSocket::bind("[::]:0").and_then(|socket| socket.connect("[2001:db8::1]:25")).is_ok();
    if !has_ipv6 {
        println!("there is no way to IPv6 here");
        return;
    }
    let world = World::of(&[ALICE], QUICK);
    let peer = world.peer_at((Ipv6Addr::LOCALHOST, world.ports.smtp).into(), Script::new());
    send(&world, "a@[IPv6:::1]");
    assert!(arrived(&peer).recipients[0].starts_with("RCPT TO:<a@[IPv6:::1]>"));
}

/// What may go wrong with the answer to a question, so that nothing may be concluded from it.
const UNKNOWN: [Fault; 5] = [Fault::ServFail, Fault::Silence, Fault::NoName, Fault::Flaw(Flaw::Wrong), Fault::Flaw(Flaw::Expired)];

/// A server and a scripted one for each fault of `name` and type below its domain: mail waits, and goes when all is well.
fn waits_for_dns(name: impl Fn(&World, u8) -> String, kind: &str) {
    let world = World::of(&[ALICE], &format!("{QUICK}\ndns.timeout_seconds = 1\ndns.attempts = 1"));
    let peers: Vec<Peer> = (0..)
        .zip(UNKNOWN)
        .map(|(host, fault)| {
            let domain = format!("p{host}.peer.test");
            let script = Script::new().tls(&world.authority.certificate(&[&format!("mx.{domain}")]));
            let peer = world.host(host, &domain, script);
            world.dns.fail_type(&name(&world, host), kind, fault);
            send(&world, &format!("a@{domain}"));
            peer
        })
        .collect();
    std::thread::sleep(SEVERAL_ATTEMPTS);
    for (host, (peer, fault)) in (0..).zip(peers.iter().zip(UNKNOWN)) {
        assert!(peer.heard().is_empty(), "{fault:?}");
        world.dns.mend(&name(&world, host));
    }
    assert!(world.houses[0].found(LOST).is_empty());
    assert!(peers.iter().all(|peer| arrived(peer).tls));
}

#[test]
fn an_mx_that_cannot_be_looked_up_or_believed_keeps_mail_waiting() {
    waits_for_dns(|_, host| format!("p{host}.peer.test"), "MX");
}

#[test]
fn a_tlsa_that_cannot_be_looked_up_or_believed_keeps_mail_waiting() {
    waits_for_dns(|world, host| format!("_{}._tcp.mx.p{host}.peer.test", world.ports.smtp), "TLSA");
}

#[test]
fn without_a_policy_bad_certificates_are_taken_and_broken_tls_is_left_aside() {
    let world = World::of(&[ALICE], QUICK);
    let names = ["m.peer.test"];
    let good = world.authority.certificate(&names);
    let scripts = [
        (Script::new().tls(&good), true),
        (Script::new().tls(&world.authority.expired(&names)), true),
        (Script::new().tls(&Certificate::self_signed(&names)), true),
        (Script::new().tls(&world.authority.certificate(&["other.test"])), true),
        (Script::new().tls(&good).at(Stage::Handshake, Act::Garbage), false),
        (Script::new().tls(&good).at(Stage::StartTls, Act::Reply("454 4.7.0 Not now")), false),
        (Script::new(), false),
    ];
    for (host, (script, encrypted)) in (0..).zip(scripts) {
        let peer = world.host(host, &format!("p{host}.peer.test"), script);
        send(&world, &format!("a@p{host}.peer.test"));
        assert_eq!(arrived(&peer).tls, encrypted, "script {host}");
    }
}

#[test]
fn with_dane_mail_goes_over_the_named_key_or_waits() {
    let world = World::of(&[ALICE], QUICK);
    let name = |host: u8| format!("mx.p{host}.peer.test");
    let tls = |certificate: &Certificate| Script::new().tls(certificate);
    let (expired, own) = (world.authority.expired(&[&name(0)]), Certificate::self_signed(&[&name(1)]));
    let (issued, late) = (world.authority.certificate(&[&name(2)]), world.authority.expired(&[&name(4)]));
    let other = world.authority.certificate(&[&name(3)]);
    let cases = [
        // RFC 7672 §3.1.1: for DANE-EE neither dates nor names count.
        (tls(&expired), expired.tlsa(), true),
        (tls(&own), own.tlsa(), true),
        (tls(&issued.with_authority(&world.authority)), world.authority.tlsa(), true),
        (tls(&other), own.tlsa(), false),
        (tls(&late.with_authority(&world.authority)), world.authority.tlsa(), false),
        (Script::new(), own.tlsa(), false),
        (tls(&own).at(Stage::Handshake, Act::Garbage), own.tlsa(), false),
    ];
    let mut peers = Vec::new();
    for (host, (script, tlsa, _)) in (0..).zip(&cases) {
        peers.push(world.host(host, &format!("p{host}.peer.test"), script.clone()));
        world.dns.change("peer.test", &format!("_{}._tcp.mx.p{host} TLSA {tlsa}", world.ports.smtp));
        send(&world, &format!("a@p{host}.peer.test"));
    }
    for (host, (.., goes)) in cases.iter().enumerate().filter(|(_, (.., goes))| *goes) {
        assert_eq!(arrived(&peers[host]).tls, *goes, "case {host}");
    }
    std::thread::sleep(SEVERAL_ATTEMPTS);
    for (host, _) in cases.iter().enumerate().filter(|(_, (.., goes))| !*goes) {
        let heard = peers[host].heard();
        assert!(
            !heard.is_empty() && !heard.iter().any(|heard| heard.commands.iter().any(|line| line.starts_with("MAIL"))),
            "case {host}: {heard:?}"
        );
    }
}

#[test]
fn tlsa_records_without_dnssec_mean_nothing() {
    let world = World::of(&[ALICE], QUICK);
    let (shown, named) = (Certificate::self_signed(&["mx.plain.test"]), Certificate::self_signed(&["mx.plain.test"]));
    let peer = world.host(0, "plain.test", Script::new().tls(&shown));
    world.dns.change("plain.test", &format!("_{}._tcp.mx TLSA {}", world.ports.smtp, named.tlsa()));
    send(&world, "a@plain.test");
    assert!(arrived(&peer).tls);
}
