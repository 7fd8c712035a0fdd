//! TLS: as DANE, a policy or nobody asks for it, and what somebody on the way can do to it.

use super::*;
use stoa_world::{Act, Certificate, Fault, Flaw, Stage};

/// A host of `signed.test` with this certificate, and these TLSA data.
async fn dane(world: &mut World, certificate: &Certificate, tlsa: &[&str]) -> Vec<String> {
    let name = format!("_{}._tcp.mx1.signed.test", world.port);
    let records: String = tlsa.iter().map(|data| format!("{name} TLSA {data}\n")).collect();
    world.change("signed.test", &records);
    world.peer(1, Script::new().tls(certificate)).await;
    short(&world.bring(&["b@signed.test"]).await)
}

#[tokio::test]
async fn a_certificate_that_dns_names_is_taken_whoever_issued_it_and_however_old() {
    let mut world = World::new().await;
    let certificate = Certificate::self_signed(&["other.test"]);
    let tlsa = certificate.tlsa();
    assert_eq!(dane(&mut world, &certificate, &[&tlsa]).await, ["+2.6.0"]);
    let heard = world.peers[0].heard();
    assert!(heard[0].tls && heard[0].server_name.as_deref() == Some("mx1.signed.test"));
    let mut world = World::new().await;
    let expired = world.authority.expired(&["mx1.signed.test"]);
    let tlsa = expired.tlsa();
    assert_eq!(dane(&mut world, &expired, &[&tlsa]).await, ["+2.6.0"]);
}

#[tokio::test]
async fn a_certificate_that_dns_does_not_name_is_refused() {
    let mut world = World::new().await;
    let (shown, named) = (world.authority.certificate(&["mx1.signed.test"]), Certificate::self_signed(&["mx1.signed.test"]).tlsa());
    assert_eq!(dane(&mut world, &shown, &[&named]).await, ["?4.7.5"]);
    assert!(world.peers[0].received().is_empty());
}

#[tokio::test]
async fn an_authority_that_dns_names_vouches_for_names_and_dates() {
    let authority = Authority::new();
    let tlsa = authority.tlsa();
    for (certificate, want) in [
        (authority.certificate(&["mx1.signed.test"]).with_authority(&authority), "+2.6.0"),
        (authority.certificate(&["signed.test"]).with_authority(&authority), "+2.6.0"),
        (authority.certificate(&["other.test"]).with_authority(&authority), "?4.7.5"),
        (authority.expired(&["mx1.signed.test"]).with_authority(&authority), "?4.7.5"),
        (authority.certificate(&["mx1.signed.test"]), "?4.7.5"),
        (Certificate::self_signed(&["mx1.signed.test"]).with_authority(&authority), "?4.7.5"),
    ] {
        let mut world = World::new().await;
        assert_eq!(dane(&mut world, &certificate, &[&tlsa]).await, [want]);
    }
}

#[tokio::test]
async fn records_that_cannot_be_used_ask_for_tls_of_whomever() {
    let mut world = World::new().await;
    let certificate = Certificate::self_signed(&["other.test"]);
    assert_eq!(dane(&mut world, &certificate, &["1 1 1 abcd", "3 9 1 abcd"]).await, ["+2.6.0"]);
    assert!(world.peers[0].received()[0].tls);
    let mut world = World::new().await;
    world.change("signed.test", &format!("_{}._tcp.mx1.signed.test TLSA 1 1 1 abcd", world.port));
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["?4.7.5"]);
}

#[tokio::test]
async fn with_dane_there_is_no_way_around_tls() {
    let certificate = Certificate::self_signed(&["mx1.signed.test"]);
    for script in [
        Script::new(),
        Script::new().tls(&certificate).at(Stage::StartTls, Act::Reply("454 4.7.0 not now")),
        Script::new().tls(&certificate).at(Stage::Handshake, Act::Drop),
        Script::new().tls(&certificate).at(Stage::Handshake, Act::Garbage),
    ] {
        let mut world = World::new().await;
        world.change("signed.test", &format!("_{}._tcp.mx1.signed.test TLSA {}", world.port, certificate.tlsa()));
        world.peer(1, script).await;
        assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["?4.7.5"]);
        assert!(world.peers[0].received().is_empty());
    }
}

#[tokio::test]
async fn a_lookup_of_tlsa_that_fails_is_waited_out_and_one_that_finds_none_is_not() {
    for (fault, want) in
        [(Fault::ServFail, "?4.4.3"), (Fault::Silence, "?4.4.3"), (Fault::NoName, "?4.4.3"), (Fault::Flaw(Flaw::Wrong), "?4.4.3")]
    {
        let mut world = World::new().await;
        let name = format!("_{}._tcp.mx1.signed.test", world.port);
        world.change("signed.test", &format!("{name} TLSA 3 1 1 {}", "ab".repeat(32)));
        world.dns.fail_type(&name, "TLSA", fault);
        world.peer(1, Script::new()).await;
        assert_eq!(short(&world.bring(&["b@signed.test"]).await), [want], "{fault:?}");
    }
    let mut world = World::new().await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn records_that_nobody_signed_bind_nobody() {
    let mut world = World::new().await;
    world.change("plain.test", &format!("_{}._tcp.mx1.plain.test TLSA 3 1 1 {}", world.port, "ab".repeat(32)));
    world.peer(1, Script::new().tls(&Certificate::self_signed(&["other.test"]))).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn an_alias_has_its_records_at_either_name() {
    for base in ["mx1.signed.test", "alias.signed.test"] {
        let mut world = World::new().await;
        let certificate = Certificate::self_signed(&["other.test"]);
        let wrong = Certificate::self_signed(&["other.test"]);
        let text = format!(
            "signed.test MX 10 alias.signed.test\nalias.signed.test CNAME mx1.signed.test\n_{}._tcp.{base} TLSA {}",
            world.port,
            wrong.tlsa()
        );
        world.change("signed.test", &text);
        world.peer(1, Script::new().tls(&certificate)).await;
        assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["?4.7.5"], "{base}");
    }
}

#[tokio::test]
async fn without_a_policy_any_tls_is_better_than_none() {
    let mut world = World::new().await;
    world.peer(1, Script::new().tls(&Certificate::self_signed(&["other.test"]))).await;
    let carrier = world.carrier();
    assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["+2.6.0"]);
    assert!(world.peers[0].received()[0].tls);
    assert_eq!(world.counted(&carrier, "plain.test"), (1, 0, vec![]));
}

#[tokio::test]
async fn without_a_policy_mail_goes_in_clear_when_tls_fails() {
    let certificate = Certificate::self_signed(&["mx1.plain.test"]);
    for (script, why) in [
        (Script::new(), ResultType::StartTlsNotSupported),
        (Script::new().tls(&certificate).at(Stage::StartTls, Act::Reply("454 4.7.0 not now")), ResultType::StartTlsNotSupported),
        (Script::new().tls(&certificate).at(Stage::Handshake, Act::Drop), ResultType::ValidationFailure),
        (Script::new().tls(&certificate).at(Stage::Handshake, Act::Garbage), ResultType::ValidationFailure),
        (Script::new().tls(&certificate).at(Stage::Handshake, Act::Silence), ResultType::ValidationFailure),
    ] {
        let mut world = World::new().await;
        world.peer(1, script).await;
        let carrier = world.carrier();
        assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["+2.6.0"]);
        assert!(!world.peers[0].received()[0].tls);
        assert_eq!(world.counted(&carrier, "plain.test"), (0, 1, vec![why]));
    }
}

#[tokio::test]
async fn what_comes_in_clear_behind_starttls_is_dropped() {
    // Were the second line believed, it would be the reply to EHLO within TLS, and the host would offer 8BITMIME no more.
    let certificate = Certificate::self_signed(&["mx1.plain.test"]);
    let injected = "220 go\r\n250 evil.test";
    let mut world = World::new().await;
    world.peer(1, Script::new().tls(&certificate).at(Stage::StartTls, Act::Reply(injected))).await;
    let verdicts = short(&world.bring(&["b@plain.test"]).await);
    assert_eq!(verdicts, ["+2.6.0"]);
    let heard = world.peers[0].heard();
    assert!(heard.iter().all(|heard| heard.messages.iter().all(|message| message.sender.contains("BODY=8BITMIME"))), "{heard:?}");
}

#[tokio::test]
async fn a_smarthost_takes_all_with_a_login_and_only_over_good_tls() {
    for (good, implicit) in [(true, false), (false, false)] {
        let mut world = World::new().await;
        let certificate =
            if good { world.authority.certificate(&["mx2.plain.test"]) } else { Certificate::self_signed(&["mx2.plain.test"]) };
        world.peer(2, Script::new().tls(&certificate).offering("AUTH PLAIN")).await;
        world.settings.smarthost = Some(Smarthost {
            host: "mx2.plain.test".to_owned(),
            port: world.port,
            implicit_tls: implicit,
            login: Some(("me".to_owned(), "secret".to_owned())),
        });
        let verdicts = short(&world.bring(&["b@somewhere.test"]).await);
        assert_eq!(verdicts, [if good { "+2.6.0" } else { "?4.7.5" }]);
        let heard = world.peers[0].heard();
        assert_eq!(heard[0].commands.iter().any(|command| command.starts_with("AUTH PLAIN")), good, "{heard:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_for_the_smarthost_keeps_the_mail() {
    let mut world = World::new().await;
    let certificate = world.authority.certificate(&["mx2.plain.test"]);
    let script = Script::new().tls(&certificate).offering("AUTH PLAIN").at(Stage::Auth, Act::Reply("535 5.7.8 wrong"));
    world.peer(2, script).await;
    let login = Some(("me".to_owned(), "secret".to_owned()));
    world.settings.smarthost = Some(Smarthost { host: "mx2.plain.test".to_owned(), port: world.port, implicit_tls: false, login });
    let verdicts = world.bring(&["b@somewhere.test"]).await;
    assert!(short(&verdicts)[0].starts_with("?4.") && said(&verdicts[0]).text.contains("login"), "{verdicts:?}");
}

#[tokio::test]
async fn a_smarthost_that_is_not_there_or_refuses_us_keeps_the_mail() {
    for (host, script) in
        [("nobody.plain.test", Script::new()), ("mx2.plain.test", Script::new().at(Stage::Banner, Act::Reply("554 5.7.1 go away")))]
    {
        let mut world = World::new().await;
        world.peer(2, script).await;
        world.settings.smarthost = Some(Smarthost { host: host.to_owned(), port: world.port, implicit_tls: false, login: None });
        let verdicts = short(&world.bring(&["b@somewhere.test"]).await);
        assert!(verdicts[0].starts_with("?4."), "{host} {verdicts:?}");
    }
}

#[tokio::test]
async fn a_host_of_an_address_literal_may_have_tls() {
    let mut world = World::new().await;
    let address = world.network.address(1).to_string();
    world.peer(1, Script::new().tls(&Certificate::self_signed(&[&address]))).await;
    assert_eq!(short(&world.bring(&[&format!("b@[{address}]")]).await), ["+2.6.0"]);
    assert!(world.peers[0].received()[0].tls);
}
