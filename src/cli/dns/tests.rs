//! The records of a server, and that a name server would take them as they are printed.

use super::facts::{Authority, DkimKey, Domain, Facts, Ports};
use super::records::{Data, Need, Purpose, records, reverse_name};
use super::show::{list, zone};
use crate::trust::signing::State;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::serialize::txt::Parser;

fn facts() -> Facts {
    let key = |selector: &str, record: String| DkimKey { selector: selector.into(), record, state: State::Active };
    let dkim = vec![key("s1r", format!("v=DKIM1; k=rsa; p={}", "A".repeat(392))), key("s1e", "v=DKIM1; k=ed25519; p=abc=".into())];
    Facts {
        hostname: "mail.example.org".into(),
        addresses: vec!["192.0.2.25".parse().unwrap(), "2001:db8::25".parse().unwrap()],
        domains: vec![
            Domain { name: "example.org".into(), dkim, delegated: false },
            Domain { name: "example.net".into(), dkim: Vec::new(), delegated: true },
        ],
        ports: Ports { submissions: Some(465), submission: Some(587), imaps: Some(1993), imap: None, https: Some(443) },
        sts: "v=STSv1; id=7;".into(),
        tlsa: Some(format!("3 1 1 {}", "ab".repeat(32))),
        authority: Some(Authority { domain: "letsencrypt.org".into(), account: Some("https://acme.example/acct/1".into()) }),
    }
}

#[test]
fn every_domain_has_its_records() {
    let all: Vec<String> =
        records(&facts()).iter().map(|record| format!("{} {} {}", record.name, record.data.kind(), record.data)).collect();
    for want in [
        "mail.example.org A 192.0.2.25",
        "mail.example.org AAAA 2001:db8::25",
        "25.2.0.192.in-addr.arpa PTR mail.example.org.",
        "mail.example.org TXT v=spf1 a -all",
        "example.org MX 10 mail.example.org.",
        "example.net MX 10 mail.example.org.",
        "example.org TXT v=spf1 mx -all",
        "s1e._domainkey.example.org TXT v=DKIM1; k=ed25519; p=abc=",
        "_domainkey.example.net NS mail.example.org.",
        "_dmarc.example.net TXT v=DMARC1; p=none; rua=mailto:dmarc-reports@example.net",
        "_mta-sts.example.org TXT v=STSv1; id=7;",
        "mta-sts.example.org CNAME mail.example.org.",
        "_smtp._tls.example.org TXT v=TLSRPTv1; rua=mailto:tls-reports@example.org",
        "_imaps._tcp.example.net SRV 0 1 1993 mail.example.org.",
        "_imap._tcp.example.net SRV 0 0 0 .",
        "_pop3._tcp.example.org SRV 0 0 0 .",
        "autoconfig.example.org CNAME mail.example.org.",
    ] {
        assert!(all.iter().any(|record| record == want), "no {want} in {all:#?}");
    }
    let caa = "letsencrypt.org; validationmethods=http-01,tls-alpn-01,dns-01; accounturi=https://acme.example/acct/1";
    assert!(all.contains(&format!("mail.example.org CAA 0 issue \"{caa}\"")));
}

/// A parser that is not ours reads what we print, and it means the same.
#[test]
fn a_name_server_reads_the_zone() {
    let text = zone(&facts());
    assert!(text.lines().all(|line| line.len() < 1_000));
    let (_, sets) = Parser::new(text, None, Some(Name::root())).parse().unwrap();
    let read: usize = sets.values().map(|set| set.records_without_rrsigs().count()).sum();
    let ours = records(&facts());
    assert_eq!(read, ours.iter().filter(|record| record.need != Need::Hoster).count());
    let texts: Vec<String> =
        sets.values().flat_map(|set| set.records_without_rrsigs()).filter_map(|record| text_of(&record.data)).collect();
    for record in ours.iter().filter(|record| record.purpose == Purpose::Dkim) {
        assert!(texts.contains(&record.data.to_string()), "{}", record.name);
    }
    assert!(sets.keys().any(|key| key.record_type == RecordType::TLSA));
}

fn text_of(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(String::from_utf8(txt.txt_data.concat()).unwrap())
}

#[test]
fn a_long_text_is_split_and_a_strange_one_escaped() {
    let long = Data::Txt("x".repeat(300)).in_zone();
    assert_eq!(long, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    assert_eq!(Data::Txt("a\"b\\c;\u{e9}\n".into()).in_zone(), r#""a\"b\\c;\195\169\010""#);
}

#[test]
fn what_is_not_known_is_left_to_be_filled_in() {
    let unknown = Facts { addresses: Vec::new(), tlsa: None, authority: None, ..facts() };
    let text = zone(&unknown);
    assert!(text.contains("; mail.example.org. 3600 IN A <IPv4 address of this machine>"), "{text}");
    assert!(!text.contains("TLSA") && !text.contains("CAA"));
    Parser::new(text, None, Some(Name::root())).parse().unwrap();
}

#[test]
fn the_list_has_the_first_records_alone_or_all() {
    let (first, all) = (list(&facts(), false), list(&facts(), true));
    assert!(all.starts_with(first.trim_end()) && all.contains("_pop3"));
    assert!(first.contains("MX  10 mail.example.org.") && !first.contains("_mta-sts"), "{first}");
    assert!(first.contains("    192.0.2.25  PTR  mail.example.org\n") && !first.contains("in-addr"), "{first}");
    assert!(!first.contains("not made yet"));
    let mut without_keys = facts();
    without_keys.domains[0].dkim.clear();
    assert!(list(&without_keys, false).contains("not made yet"));
}

#[test]
fn a_host_that_is_its_own_domain_has_each_record_once() {
    let facts = Facts { hostname: "example.org".into(), ..facts() };
    let all = records(&facts);
    assert_eq!(all.iter().filter(|record| record.name == "example.org" && record.data.to_string().starts_with("v=spf1")).count(), 1);
}

#[test]
fn reverse_names_are_those_of_the_rfcs() {
    assert_eq!(reverse_name("192.0.2.5".parse().unwrap()), "5.2.0.192.in-addr.arpa");
    let long = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert_eq!(reverse_name("4321:0:1:2:3:4:567:89ab".parse().unwrap()), long);
}
