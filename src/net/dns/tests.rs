//! Lookups in a scripted DNS, signed and not, with what can go wrong in it.

use super::*;
use stoa_world::{Dns, Fault, Flaw, Zone};

fn settings(server: SocketAddr) -> ResolverSettings {
    ResolverSettings { servers: vec![server], trust_anchors: None, timeout: Duration::from_millis(50), attempts: 0 }
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_not_asked_for() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(&settings(nobody.local_addr().unwrap())).unwrap();
    assert_eq!(resolver.mx("a b").await, Err(DnsError::NoName { secure: false }));
    let mut asked = [0; 512];
    assert!(nobody.try_recv(&mut asked).is_err());
}

#[tokio::test]
async fn silence_is_unavailable_and_ends_in_time() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(&settings(nobody.local_addr().unwrap())).unwrap();
    for _ in 0..2 {
        assert!(matches!(resolver.mx("one.test").await, Err(DnsError::Unavailable(_))));
    }
    assert!(matches!(resolver.addresses("one.test").await, Err(DnsError::Unavailable(_))));
    assert!(!resolver.validates().await);
}

const ZONE: &str = "@ MX 10 mx
@ TXT \"one \" \"text\"
mx A 192.0.2.1
mx AAAA 2001:db8::1
alias CNAME mx
away CNAME mx.plain.test.
_25._tcp.mx TLSA 3 1 1 abcd
@ CAA 0 issue \"ca.test\"
_imaps._tcp SRV 0 1 993 mx
";

/// `signed.test` and `plain.test` with the same records, and others that are broken.
async fn dns() -> Dns {
    let zones = [
        Zone::signed("signed.test", ZONE),
        Zone::signed("three.test", ZONE).nsec3().ecdsa(),
        Zone::unsigned("plain.test", ZONE),
        Zone::signed("wrong.test", ZONE).flawed(Flaw::Wrong),
        Zone::signed("old.test", ZONE).flawed(Flaw::Expired),
        Zone::signed("bare.test", ZONE).flawed(Flaw::Missing),
    ];
    Dns::serve(&zones).await
}

fn resolver(dns: &Dns) -> Resolver {
    let trust_anchors = Some(dns.trust_anchor());
    Resolver::new(&ResolverSettings { trust_anchors, timeout: Duration::from_millis(500), ..settings(dns.address()) }).unwrap()
}

#[tokio::test]
async fn what_is_signed_is_secure_and_what_is_not_is_found_too() {
    let dns = dns().await;
    let resolver = resolver(&dns);
    for (zone, secure) in [("signed.test", true), ("three.test", true), ("plain.test", false)] {
        let mx = resolver.mx(zone).await.unwrap();
        assert_eq!((mx.records, mx.secure), (vec![Mx { preference: 10, host: format!("mx.{zone}") }], secure));
        let addresses = resolver.addresses(&format!("MX.{zone}")).await.unwrap();
        let want: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        assert_eq!((addresses.records.as_slice(), addresses.secure, addresses.name.as_str()), (&want[..], secure, &*format!("mx.{zone}")));
        assert_eq!(resolver.txt(zone).await.unwrap().records, ["one text"]);
        let tlsa = resolver.tlsa(&format!("_25._tcp.mx.{zone}")).await.unwrap();
        assert_eq!((tlsa.records, tlsa.secure), (vec![Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab, 0xcd] }], secure));
        assert_eq!(resolver.caa(zone).await.unwrap().records[0].value, "ca.test");
        assert_eq!(resolver.srv(&format!("_imaps._tcp.{zone}")).await.unwrap().records[0].target, format!("mx.{zone}"));
        assert_eq!(resolver.soa(zone).await.unwrap().secure, secure);
    }
    assert!(resolver.validates().await);
}

#[tokio::test]
async fn absence_is_told_apart_and_proven() {
    let dns = dns().await;
    let resolver = resolver(&dns);
    for (zone, secure) in [("signed.test", true), ("three.test", true), ("plain.test", false)] {
        assert_eq!(resolver.mx(&format!("nobody.{zone}")).await, Err(DnsError::NoName { secure }), "{zone}");
        assert_eq!(resolver.mx(&format!("mx.{zone}")).await, Err(DnsError::NoData { secure }), "{zone}");
        assert_eq!(resolver.mx(&format!("mx.{zone}")).await, Err(DnsError::NoData { secure }), "{zone}, from what is kept");
    }
}

#[tokio::test]
async fn broken_signatures_are_bogus() {
    let dns = dns().await;
    let resolver = resolver(&dns);
    for zone in ["wrong.test", "old.test", "bare.test"] {
        assert_eq!(resolver.mx(zone).await, Err(DnsError::Bogus), "{zone}");
        assert_eq!(resolver.addresses(&format!("mx.{zone}")).await, Err(DnsError::Bogus), "{zone}");
        assert_eq!(resolver.tlsa(&format!("_25._tcp.nobody.{zone}")).await, Err(DnsError::Bogus), "{zone}");
    }
    dns.fail("mx.signed.test", Fault::NoName);
    assert_eq!(resolver.addresses("mx.signed.test").await, Err(DnsError::Bogus));
    assert!(resolver.validates().await, "one broken zone is no reason to stop validating");
}

#[tokio::test]
async fn an_alias_is_as_secure_as_its_weakest_link() {
    let dns = dns().await;
    let resolver = resolver(&dns);
    let alias = resolver.addresses("alias.signed.test").await.unwrap();
    assert_eq!((alias.name.as_str(), alias.secure, alias.alias_secure), ("mx.signed.test", true, true));
    let away = resolver.addresses("away.signed.test").await.unwrap();
    assert_eq!((away.name.as_str(), away.secure, away.alias_secure), ("mx.plain.test", false, true));
    let own = resolver.addresses("mx.signed.test").await.unwrap();
    assert_eq!((own.secure, own.alias_secure), (true, false));
}

#[tokio::test]
async fn faults_of_servers_may_pass() {
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silence] {
        let dns = dns().await;
        let resolver = resolver(&dns);
        dns.fail("plain.test", fault);
        assert!(matches!(resolver.mx("plain.test").await, Err(DnsError::Unavailable(_))), "{fault:?}");
        dns.mend("plain.test");
        assert!(resolver.mx("plain.test").await.is_ok(), "{fault:?}");
    }
    let dns = dns().await;
    dns.fail("plain.test", Fault::Truncated);
    assert!(resolver(&dns).mx("plain.test").await.is_ok());
}

#[tokio::test]
async fn a_hostile_answer_costs_little() {
    let dns = dns().await;
    let resolver = resolver(&dns);
    for name in ["plain.test", "mx.plain.test"] {
        for (fault, few) in [(Fault::Huge, RECORDS_MAX), (Fault::EndlessAliases, 0), (Fault::Lame, 0)] {
            dns.fail(name, fault);
            let found = resolver.addresses(name).await.map_or(0, |found| found.records.len());
            assert!(found <= 2 * few, "{name} {fault:?}: {found}");
            dns.mend(name);
        }
    }
}

#[tokio::test]
async fn servers_that_hide_signatures_are_noticed_and_names_are_found_all_the_same() {
    let dns = dns().await;
    let anchors = "3600 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
    // No signature of these servers leads to the one key that is believed, as if there were none.
    let settings = ResolverSettings { trust_anchors: Some(format!(". {anchors}")), ..settings(dns.address()) };
    let blind = Resolver::new(&ResolverSettings { timeout: Duration::from_millis(500), ..settings }).unwrap();
    let found = blind.mx("signed.test").await.unwrap();
    assert_eq!((found.records.len(), found.secure), (1, false));
    assert_eq!(blind.mx("nobody.signed.test").await, Err(DnsError::NoName { secure: false }));
    assert!(!blind.validates().await);
}
