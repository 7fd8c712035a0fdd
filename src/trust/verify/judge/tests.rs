//! What follows from results: a table of trust, and one of what becomes of a message.

use super::super::dmarc::Dmarc;
use super::super::results::{Arc, Connection, Iprev, Signature};
use super::super::witness::Authors;
use super::*;

fn spf(outcome: spf::Outcome) -> spf::Answer {
    spf::Answer { outcome, explanation: None }
}

fn results(outcome: Outcome, policy: Option<Policy>) -> Results {
    let connection = Connection {
        peer: "192.0.2.7".parse().unwrap(),
        iprev: Iprev::Fail,
        helo: "out.example.com".into(),
        helo_spf: spf(spf::Outcome::None),
        mail_from: "b@lists.example.org".into(),
        mail_from_spf: spf(spf::Outcome::None),
    };
    Results {
        connection,
        signatures: Vec::new(),
        arc: Arc { outcome: ArcOutcome::None, sealer: None, said: Vec::new(), reason: "" },
        dmarc: Dmarc { outcome, domain: Some("example.com".into()), policy, spf_aligned: false, dkim_aligned: false },
        authors: Authors { fields: 1, addresses: vec!["a@example.com".into()] },
        header_is_cut: false,
        list_id: None,
    }
}

#[test]
fn how_far_a_message_is_trusted() {
    // Result of DMARC, SPF aligned, DKIM aligned, level.
    let table = [
        (Outcome::Pass, true, false, Level::Dmarc),
        (Outcome::Pass, false, true, Level::Dmarc),
        (Outcome::None, false, true, Level::Dmarc),
        (Outcome::None, true, true, Level::Dmarc),
        (Outcome::None, true, false, Level::Spf),
        (Outcome::None, false, false, Level::None),
        (Outcome::Fail, false, false, Level::None),
        (Outcome::TempError, false, false, Level::None),
    ];
    for (outcome, spf_aligned, dkim_aligned, level) in table {
        let mut results = results(outcome, None);
        (results.dmarc.spf_aligned, results.dmarc.dkim_aligned) = (spf_aligned, dkim_aligned);
        let proven = trust(&results);
        assert_eq!(proven.level(), level, "{outcome:?} {spf_aligned} {dkim_aligned}");
        assert_eq!(*proven.principal() == Principal::Address("a@example.com".into()), level != Level::None);
        // Who hides behind others is trusted for nothing.
        for authors in [
            Authors { fields: 2, addresses: vec!["a@example.com".into()] },
            Authors { fields: 1, addresses: vec!["a@example.com".into(), "b@example.com".into()] },
            Authors { fields: 1, addresses: Vec::new() },
            Authors { fields: 0, addresses: Vec::new() },
        ] {
            assert_eq!(trust(&Results { authors, ..results.clone() }), Trust::of_stranger());
        }
    }
}

fn kind(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Deliver => "deliver",
        Disposition::Excepted(_) => "excepted",
        Disposition::Junk(_) => "junk",
        Disposition::Refuse(_) => "refuse",
        Disposition::Defer(_) => "defer",
    }
}

#[test]
fn a_policy_is_honoured() {
    let table = [
        (Outcome::Pass, Some(Policy::Reject), "deliver"),
        (Outcome::None, None, "deliver"),
        (Outcome::Fail, Some(Policy::None), "deliver"),
        (Outcome::Fail, Some(Policy::Quarantine), "junk"),
        (Outcome::Fail, Some(Policy::Reject), "refuse"),
        (Outcome::TempError, Some(Policy::Reject), "defer"),
        (Outcome::TempError, Some(Policy::Quarantine), "deliver"),
        (Outcome::TempError, None, "defer"),
    ];
    for (outcome, policy, expected) in table {
        let decided = disposition(&results(outcome, policy), &Exceptions::default());
        assert_eq!(kind(&decided), expected, "{outcome:?} {policy:?}");
        if let Disposition::Refuse(sentence) | Disposition::Defer(sentence) = decided {
            assert!(sentence.contains("example.com"), "{sentence}");
        }
    }
}

#[test]
fn spf_alone_refuses_nothing_but_reports_of_a_host_that_is_not_there() {
    let mut results = results(Outcome::None, None);
    (results.connection.mail_from_spf, results.connection.helo_spf) = (spf(spf::Outcome::Fail), spf(spf::Outcome::Fail));
    assert_eq!(kind(&disposition(&results, &Exceptions::default())), "deliver");
    results.connection.mail_from.clear();
    assert_eq!(kind(&disposition(&results, &Exceptions::default())), "refuse");
    results.connection.helo_spf = spf(spf::Outcome::SoftFail);
    assert_eq!(kind(&disposition(&results, &Exceptions::default())), "deliver");
}

#[test]
fn two_from_fields_are_junk() {
    let mut results = results(Outcome::None, None);
    results.authors.fields = 2;
    assert_eq!(kind(&disposition(&results, &Exceptions::default())), "junk");
}

#[test]
fn a_list_is_excepted_only_if_its_domain_answers_for_it() {
    let signed = |domain: &str| {
        let domain = domain.to_owned();
        vec![Signature { outcome: SignatureOutcome::Pass, domain, selector: "s".into(), algorithm: "rsa-sha256", reason: "" }]
    };
    // Exception, List-Id, signer, SPF of lists.example.org passes, expected.
    let table = [
        ("dev.lists.example.org", "dev.lists.example.org", "", false, "refuse"),
        ("dev.lists.example.org", "dev.lists.example.org", "lists.example.org", false, "excepted"),
        ("dev.lists.example.org", "dev.lists.example.org", "example.org", false, "excepted"),
        ("dev.lists.example.org", "dev.lists.example.org", "", true, "excepted"),
        ("dev.lists.example.org", "dev.lists.example.org", "evil.example", false, "refuse"),
        ("dev.lists.example.org", "dev.lists.example.org", "org", false, "refuse"),
        ("dev.lists.example.org", "other.lists.example.org", "lists.example.org", false, "refuse"),
        ("example.org", "", "lists.example.org", false, "excepted"),
        ("example.org", "", "", true, "excepted"),
        ("example.org", "", "badexample.org", false, "refuse"),
    ];
    for (entry, list_id, signer, spf_passes, expected) in table {
        let mut results = results(Outcome::Fail, Some(Policy::Reject));
        results.list_id = Some(list_id.to_owned()).filter(|id| !id.is_empty());
        results.signatures = if signer.is_empty() { Vec::new() } else { signed(signer) };
        if spf_passes {
            results.connection.mail_from_spf = spf(spf::Outcome::Pass);
        }
        let exceptions = Exceptions { lists: vec![entry.to_owned()], sealers: Vec::new() };
        assert_eq!(kind(&disposition(&results, &exceptions)), expected, "{entry} {list_id} {signer} {spf_passes}");
    }
}

#[test]
fn a_seal_is_believed_only_of_whom_the_owner_trusts() {
    let passed = "i=1; mx.example.org; dkim=pass header.d=example.com; dmarc=pass (p=reject) header.from=example.com";
    let table = [
        (passed, "example.org", ArcOutcome::Pass, "excepted"),
        (passed, "example.net", ArcOutcome::Pass, "refuse"),
        (passed, "example.org", ArcOutcome::Fail, "refuse"),
        ("i=1; mx.example.org; dmarc=fail", "example.org", ArcOutcome::Pass, "refuse"),
        ("i=1; mx.example.org; spf=pass (; dmarc=pass) smtp.mailfrom=\"; dmarc=pass\"", "example.org", ArcOutcome::Pass, "refuse"),
        ("i=1; dmarc=pass", "example.org", ArcOutcome::Pass, "refuse"),
        ("i=1; mx; dmarc=fail; dmarc=pass", "example.org", ArcOutcome::Pass, "refuse"),
    ];
    for (said, sealer, outcome, expected) in table {
        let mut results = results(Outcome::Fail, Some(Policy::Reject));
        results.arc = Arc { outcome, sealer: Some(sealer.into()), said: said.into(), reason: "" };
        let exceptions = Exceptions { lists: Vec::new(), sealers: vec!["example.org".into()] };
        assert_eq!(kind(&disposition(&results, &exceptions)), expected, "{said} {sealer}");
    }
}

#[test]
fn whoever_hides_an_author_is_junk() {
    let of = |fields, addresses: &[&str]| Authors { fields, addresses: addresses.iter().map(|a| (*a).to_owned()).collect() };
    let table = [
        (of(1, &["a@example.com"]), false, "deliver"),
        (of(1, &["a@example.com", "b@example.com"]), false, "deliver"),
        (of(1, &["a@example.com"]), true, "junk"),
        (of(2, &["a@example.com"]), false, "junk"),
        (of(1, &["a@example.com", "b@evil.example"]), false, "junk"),
        (of(1, &[]), false, "junk"),
        (of(0, &[]), false, "junk"),
    ];
    for (authors, header_is_cut, expected) in table {
        let results = Results { authors: authors.clone(), header_is_cut, ..results(Outcome::None, None) };
        assert_eq!(kind(&disposition(&results, &Exceptions::default())), expected, "{authors:?} {header_is_cut}");
    }
}

#[test]
fn a_policy_that_cannot_be_read_puts_off_what_it_might_refuse() {
    let unread = results(Outcome::TempError, None);
    assert_eq!(kind(&disposition(&unread, &Exceptions::default())), "defer");
    let mut sent_from_there = unread.clone();
    sent_from_there.connection.mail_from = "b@example.com".into();
    sent_from_there.connection.mail_from_spf = spf(spf::Outcome::Pass);
    assert_eq!(kind(&disposition(&sent_from_there, &Exceptions::default())), "deliver", "it passes whatever the policy is");
}
