//! A validating resolver works through the server, and sees what was written.

use super::*;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::rr::Record;
use hickory_resolver::{Resolver, TokioResolver};

const RECORDS: &str = "
    @              MX    10 mail
    mail           A     127.9.8.7
    alias          CNAME mail
    away           CNAME www.plain.test.
    _25._tcp.mail  TLSA  3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    a.b.c          TXT   \"in the deep\"
    *.wild         TXT   \"for all\"
";

const PLAIN: &str = "www A 127.9.8.6";

fn resolver(dns: &Dns) -> TokioResolver {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = dns.address().port());
    let server = NameServerConfig::new(dns.address().ip(), true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_millis(500);
    options.attempts = 1;
    let anchors = Arc::new(dns.trust_anchors());
    let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
    builder.with_trust_anchor(anchors).build().expect("a resolver can be built")
}

async fn proofs(dns: &Dns, name: &str, kind: RecordType) -> Result<Vec<Proof>, NetError> {
    let lookup = resolver(dns).lookup(name, kind).await?;
    let asked = |record: &&Record| record.record_type() == kind;
    let proofs: Vec<Proof> = lookup.answers().iter().filter(asked).map(|record| record.proof).collect();
    assert!(!proofs.is_empty(), "{name} {kind} is empty");
    Ok(proofs)
}

/// Is this the end of a negative answer that was proven?
fn denied(error: &NetError, code: ResponseCode) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(found)) => {
            let secure = found.authorities.iter().flat_map(|records| records.iter()).any(|record| record.proof == Proof::Secure);
            found.response_code == code && secure
        }
        _ => false,
    }
}

fn signed_zones() -> [(&'static str, Zone); 3] {
    let zone = || Zone::signed("one.test", RECORDS);
    [("NSEC", zone()), ("NSEC3", zone().nsec3()), ("ECDSA", zone().ecdsa())]
}

#[tokio::test]
async fn a_signed_zone_is_secure() {
    for (what, zone) in signed_zones() {
        let dns = Dns::serve(&[zone]).await;
        for (name, kind) in [
            ("one.test.", RecordType::MX),
            ("MAIL.One.test.", RecordType::A),
            ("alias.one.test.", RecordType::A),
            ("_25._tcp.mail.one.test.", RecordType::TLSA),
            ("a.b.c.one.test.", RecordType::TXT),
            // One label less and NSEC, and the resolver asks for a proof against the very wildcard that answers.
            ("x.y.wild.one.test.", RecordType::TXT),
        ] {
            let proofs = proofs(&dns, name, kind).await.unwrap_or_else(|error| panic!("{what} {name} {kind}: {error}"));
            assert!(proofs.iter().all(|proof| proof.is_secure()), "{what} {name} {kind}: {proofs:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_in_a_signed_zone_is_proven_not_to_be_there() {
    for (what, zone) in signed_zones() {
        let dns = Dns::serve(&[zone]).await;
        for (name, kind, code) in [
            ("nobody.one.test.", RecordType::MX, ResponseCode::NXDomain),
            ("nobody.at.all.one.test.", RecordType::TLSA, ResponseCode::NXDomain),
            ("_26._tcp.mail.one.test.", RecordType::TLSA, ResponseCode::NXDomain),
            ("zzz.test.", RecordType::A, ResponseCode::NXDomain),
            ("nowhere.", RecordType::A, ResponseCode::NXDomain),
            ("mail.one.test.", RecordType::TLSA, ResponseCode::NoError),
            ("b.c.one.test.", RecordType::TXT, ResponseCode::NoError),
            ("one.test.", RecordType::TXT, ResponseCode::NoError),
        ] {
            let error = proofs(&dns, name, kind).await.expect_err("there is no such thing");
            assert!(denied(&error, code), "{what} {name} {kind}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_zone_that_is_not_signed_is_insecure_whatever_its_parent_denies_with() {
    for parent in [Zone::signed("test", ""), Zone::signed("test", "").nsec3()] {
        let dns = Dns::serve(&[parent, Zone::unsigned("plain.test", PLAIN)]).await;
        assert_eq!(proofs(&dns, "www.plain.test.", RecordType::A).await.expect("it answers"), [Proof::Insecure]);
        let error = proofs(&dns, "_25._tcp.www.plain.test.", RecordType::TLSA).await.expect_err("there is none");
        assert!(error.is_nx_domain() && !denied(&error, ResponseCode::NXDomain), "{error:?}");
    }
}

#[tokio::test]
async fn an_alias_from_a_signed_zone_to_another_is_followed() {
    let dns = Dns::serve(&[Zone::signed("one.test", RECORDS), Zone::unsigned("plain.test", PLAIN)]).await;
    assert_eq!(proofs(&dns, "away.one.test.", RecordType::A).await.expect("it answers"), [Proof::Insecure]);
}

#[tokio::test]
async fn a_flaw_in_a_signature_makes_an_answer_bogus() {
    for flaw in [Flaw::Wrong, Flaw::Expired, Flaw::Missing] {
        let zone_flawed = Dns::serve(&[Zone::signed("one.test", RECORDS).flawed(flaw)]).await;
        let name_flawed = Dns::serve(&[Zone::signed("one.test", RECORDS)]).await;
        name_flawed.fail("mail.one.test", Fault::Flaw(flaw));
        for dns in [&zone_flawed, &name_flawed] {
            let found = proofs(dns, "mail.one.test.", RecordType::A).await;
            assert!(!found.as_ref().is_ok_and(|proofs| proofs.iter().any(|proof| !proof.is_bogus())), "{flaw:?} {found:?}");
        }
        let other = proofs(&name_flawed, "one.test.", RecordType::MX).await.expect("it answers");
        assert!(other[0].is_secure(), "{flaw:?} {other:?}");
    }
}

#[tokio::test]
async fn faults_hit_what_they_are_for_until_it_is_mended() {
    let dns = Dns::serve(&[Zone::signed("one.test", RECORDS)]).await;
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silence, Fault::Lame, Fault::NoName, Fault::EndlessAliases] {
        dns.fail_type("mail.one.test", "A", fault);
        assert!(proofs(&dns, "mail.one.test.", RecordType::A).await.is_err(), "{fault:?}");
        assert!(proofs(&dns, "one.test.", RecordType::MX).await.is_ok(), "{fault:?}");
        dns.mend("mail.one.test");
        assert!(proofs(&dns, "mail.one.test.", RecordType::A).await.is_ok(), "{fault:?}");
    }
}

#[tokio::test]
async fn what_udp_cannot_hold_comes_over_tcp() {
    let dns = Dns::serve(&[Zone::signed("one.test", RECORDS)]).await;
    dns.fail("mail.one.test", Fault::Truncated);
    assert!(proofs(&dns, "mail.one.test.", RecordType::A).await.expect("it answers")[0].is_secure());
    for kind in [RecordType::A, RecordType::MX, RecordType::TXT] {
        dns.fail_type("one.test", &kind.to_string(), Fault::Huge);
        let proofs = proofs(&dns, "one.test.", kind).await.expect("it answers");
        assert!(proofs.len() >= 250 && proofs[0].is_secure(), "{kind}: {}", proofs.len());
    }
    let over_tcp = |name: &str| dns.asked().iter().any(|asked| asked.tcp && asked.name == name);
    assert!(over_tcp("mail.one.test") && over_tcp("one.test"));
}

#[tokio::test]
async fn records_can_change_while_it_serves() {
    let dns = Dns::serve(&[Zone::signed("one.test", RECORDS)]).await;
    dns.change("one.test", "@ MX 5 new\nnew A 127.9.8.5");
    let lookup = resolver(&dns).lookup("one.test.", RecordType::MX).await.expect("it answers");
    let exchanges: Vec<String> =
        lookup.answers().iter().filter(|found| found.record_type() == RecordType::MX).map(|mx| mx.data.to_string()).collect();
    assert_eq!(exchanges, ["5 new.one.test."]);
    dns.remove("_25._tcp.mail.one.test", "TLSA");
    let error = proofs(&dns, "_25._tcp.mail.one.test.", RecordType::TLSA).await.expect_err("it is gone");
    assert!(denied(&error, ResponseCode::NXDomain), "{error:?}");
}

#[tokio::test]
async fn the_trust_anchor_can_be_read_from_its_line() {
    let dns = Dns::serve(&[Zone::signed("one.test", RECORDS)]).await;
    let read: TrustAnchors = dns.trust_anchor().parse().expect("the line can be read");
    assert!(read.contains(&dns.shared.tree().root_key()));
}
