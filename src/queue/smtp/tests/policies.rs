//! MTA-STS: policies that hold, that are tried out, that lie, and that cannot be had.

use super::*;
use crate::store::NoteKind;
use stoa_world::{Act, Certificate, Fault, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ENFORCE: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx1.plain.test\r\nmax_age: 86400\r\n";

/// Serves this over HTTPS at the address of `mta-sts.plain.test`, as often as it is asked.
async fn serve_policy(world: &World, certificate: &Certificate, answer: Vec<u8>) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind((world.network.address(4), world.https_port)).await.unwrap();
    let acceptor = TlsAcceptor::from(certificate.server());
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            _ = stream.read(&mut [0; 4096]).await;
            _ = stream.write_all(&answer).await;
            _ = stream.shutdown().await;
        }
    })
}

fn page(kind: &str, text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

/// A world whose `plain.test` announces a policy, and serves this.
async fn world(answer: Vec<u8>) -> (World, tokio::task::JoinHandle<()>) {
    let world = World::new().await;
    world.change("plain.test", "_mta-sts.plain.test TXT \"v=STSv1; id=1;\"");
    let certificate = world.authority.certificate(&["mta-sts.plain.test"]);
    let serving = serve_policy(&world, &certificate, answer).await;
    (world, serving)
}

#[tokio::test]
async fn an_enforced_policy_demands_a_good_certificate() {
    for (good, want) in [(true, "+2.6.0"), (false, "?4.7.5")] {
        let (mut world, _serving) = world(page("text/plain", ENFORCE)).await;
        let issued = world.authority.certificate(&["mx1.plain.test"]);
        let certificate = if good { issued } else { world.authority.certificate(&["other.test"]) };
        world.peer(1, Script::new().tls(&certificate)).await;
        let carrier = world.carrier();
        assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), [want]);
        let counted = world.counted(&carrier, "plain.test");
        assert_eq!(counted, if good { (1, 0, vec![]) } else { (0, 1, vec![ResultType::CertificateHostMismatch]) });
    }
    let (mut world, _serving) = world(page("text/plain; charset=utf-8", ENFORCE)).await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_by_its_name() {
    for (certificate, want) in [(Certificate::self_signed(&["mx1.plain.test"]), ResultType::CertificateNotTrusted)] {
        let (mut world, _serving) = world(page("text/plain", ENFORCE)).await;
        world.peer(1, Script::new().tls(&certificate)).await;
        let carrier = world.carrier();
        assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["?4.7.5"]);
        assert_eq!(world.counted(&carrier, "plain.test").2, [want]);
    }
    let (mut world, _serving) = world(page("text/plain", ENFORCE)).await;
    let expired = world.authority.expired(&["mx1.plain.test"]);
    world.peer(1, Script::new().tls(&expired)).await;
    let carrier = world.carrier();
    assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["?4.7.5"]);
    assert_eq!(world.counted(&carrier, "plain.test").2, [ResultType::CertificateExpired]);
}

#[tokio::test]
async fn a_host_that_the_policy_does_not_name_gets_nothing() {
    let (mut world, _serving) = world(page("text/plain", &ENFORCE.replace("mx1", "mx2"))).await;
    let certificate = world.authority.certificate(&["mx1.plain.test"]);
    world.peer(1, Script::new().tls(&certificate)).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    assert!(world.peers[0].heard().is_empty());
    // The next host of the domain is named.
    world.change("plain.test", "plain.test MX 10 mx1.plain.test\nplain.test MX 20 mx2.plain.test");
    let certificate = world.authority.certificate(&["mx2.plain.test"]);
    world.peer(2, Script::new().tls(&certificate)).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn a_policy_that_is_tried_out_reports_and_delivers() {
    let testing = ENFORCE.replace("enforce", "testing");
    for script in [Script::new(), Script::new().tls(&Certificate::self_signed(&["mx1.plain.test"]))] {
        let (mut world, _serving) = world(page("text/plain", &testing)).await;
        world.peer(1, script).await;
        let carrier = world.carrier();
        assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["+2.6.0"]);
        assert_eq!(world.counted(&carrier, "plain.test").1, 1);
    }
    let (mut world, _serving) = world(page("text/plain", "version: STSv1\nmode: none\nmax_age: 86400\n")).await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn a_hostile_policy_is_none_and_costs_little() {
    let long = format!("{ENFORCE}{}", "x: y\r\n".repeat(20_000));
    for answer in [
        page("text/html", ENFORCE),
        page("text/plain", &long),
        page("text/plain", "version: STSv1\r\nmode: enforce\r\n"),
        page("text/plain", "\u{0}\u{1}"),
        b"HTTP/1.1 301 Moved\r\nLocation: https://mx1.plain.test/\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_vec(),
        b"hello".to_vec(),
    ] {
        let (mut world, _serving) = world(answer).await;
        world.peer(1, Script::new()).await;
        let carrier = world.carrier();
        assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["+2.6.0"]);
        let kinds = world.counted(&carrier, "plain.test").2;
        assert!(kinds.iter().any(|kind| matches!(kind, ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid)), "{kinds:?}");
        assert!(world.store.notes(NoteKind::StsPolicy, b"").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_policy_host_whose_certificate_is_bad_has_no_policy() {
    let mut world = World::new().await;
    world.change("plain.test", "_mta-sts.plain.test TXT \"v=STSv1; id=1;\"");
    let _serving = serve_policy(&world, &Certificate::self_signed(&["mta-sts.plain.test"]), page("text/plain", ENFORCE)).await;
    world.peer(1, Script::new()).await;
    let carrier = world.carrier();
    assert_eq!(short(&world.bring_by(&carrier, &["b@plain.test"]).await), ["+2.6.0"]);
    assert!(world.counted(&carrier, "plain.test").2.contains(&ResultType::StsWebpkiInvalid));
}

#[tokio::test]
async fn a_policy_once_seen_holds_until_it_is_old_whatever_comes_later() {
    let (mut world, serving) = world(page("text/plain", ENFORCE)).await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    // Somebody keeps the record from us, or the host of the policy, or announces one that cannot be had.
    serving.abort();
    world.dns.fail("_mta-sts.plain.test", Fault::ServFail);
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    world.dns.mend("_mta-sts.plain.test");
    world.dns.remove("_mta-sts.plain.test", "TXT");
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    world.change("plain.test", "_mta-sts.plain.test TXT \"v=STSv1; id=2;\"");
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    // max_age is a day.
    let later = world.carrier_at(|| NOW + 86_401);
    assert_eq!(short(&world.bring_by(&later, &["b@plain.test"]).await), ["+2.6.0"]);
    later.tidy().await;
    assert!(world.store.notes(NoteKind::StsPolicy, b"").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_id_brings_a_new_policy() {
    let (mut world, serving) = world(page("text/plain", ENFORCE)).await;
    world.peer(1, Script::new()).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"]);
    serving.abort();
    _ = serving.await;
    let certificate = world.authority.certificate(&["mta-sts.plain.test"]);
    let _serving = serve_policy(&world, &certificate, page("text/plain", &ENFORCE.replace("enforce", "none"))).await;
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["?4.7.5"], "the same id: the policy is not asked for again");
    world.change("plain.test", "_mta-sts.plain.test TXT \"v=STSv1; id=2;\"");
    assert_eq!(short(&world.bring(&["b@plain.test"]).await), ["+2.6.0"]);
}

#[tokio::test]
async fn dane_goes_before_a_policy() {
    let mut world = World::new().await;
    let dane = Certificate::self_signed(&["mx1.signed.test"]);
    world.change(
        "signed.test",
        &format!("_mta-sts.signed.test TXT \"v=STSv1; id=1;\"\n_{}._tcp.mx1.signed.test TLSA {}", world.port, dane.tlsa()),
    );
    let certificate = world.authority.certificate(&["mta-sts.signed.test"]);
    let _serving = serve_policy(&world, &certificate, page("text/plain", &ENFORCE.replace("plain", "signed"))).await;
    // Good for DANE, bad for the policy.
    world.peer(1, Script::new().tls(&dane)).await;
    assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["+2.6.0"]);
    // The other way round; a testing policy must not weaken it either.
    world.peers[0].follow(Script::new().tls(&world.authority.certificate(&["mx1.signed.test"])).at(Stage::Quit, Act::Drop));
    assert_eq!(short(&world.bring(&["b@signed.test"]).await), ["?4.7.5"]);
}
