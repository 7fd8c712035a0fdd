//! Signatures that others made, and whole messages on scripted DNS.

use super::script::{Entry, Script};
use super::*;
use crate::trust::{Level, Principal};
use std::path::{Path, PathBuf};
use std::sync::Arc as Shared;

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rfc-fixtures").join(folder)
}

/// Rows of a table of a folder; none if there is no such table.
fn rows(folder: &str, table: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(fixtures(folder).join(table)).unwrap_or_default();
    text.lines().map(|line| line.split_once('\t').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

pub(super) fn keys_of(folder: &str) -> Script {
    let mut script = Script::default();
    for (name, text) in rows(folder, "keys.tsv") {
        script.add(&name, Entry::Txt(text.into()));
    }
    script
}

pub(super) fn message(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(fixtures(folder).join(format!("{name}.msg"))).unwrap()
}

pub(super) fn verifier(script: Script, exceptions: Exceptions) -> Verifier {
    Verifier::new(Shared::new(script), "mx.stoa.example", exceptions).unwrap()
}

pub(super) async fn results(verifier: &Verifier, mail_from: &str, message: &[u8]) -> Results {
    let mut witness = Witness::new();
    message.chunks(7).for_each(|piece| witness.push(piece));
    let connection = verifier.of_connection("192.0.2.7".parse().unwrap(), "out.example.com", mail_from, 1_000).await;
    verifier.of_message(connection, &witness.finish()).await
}

#[tokio::test]
async fn signatures_that_others_made_are_judged_as_they_should_be() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for folder in ["dkimpy", "rfc6376", "rfc8463"] {
        let verifier = verifier(keys_of(folder), Exceptions::default());
        for (name, expected) in rows(folder, "cases.tsv") {
            cases += 1;
            let found = results(&verifier, "", &message(folder, &name)).await.signatures;
            let told = |s: &Signature| format!("{} {} {}", s.outcome, s.domain, s.selector).trim().to_owned();
            let found = if found.is_empty() { "none".to_owned() } else { found.iter().map(told).collect::<Vec<_>>().join(", ") };
            if found != expected {
                wrong.push(format!("{folder}/{name}: {found} and not {expected}"));
            }
        }
        for (name, expected) in rows(folder, "arc.tsv") {
            cases += 1;
            let arc = results(&verifier, "", &message(folder, &name)).await.arc;
            let found = format!("{} {}", arc.outcome, arc.sealer.unwrap_or_default());
            if found.trim() != expected {
                wrong.push(format!("{folder}/{name}: {found} ({}) and not {expected}", arc.reason));
            }
        }
    }
    assert!(cases > 60, "the cases were not read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a message of dkimpy's, from test@example.com, comes to with these records beside the keys.
async fn judged(records: &str, mail_from: &str, name: &str) -> Results {
    let mut script = keys_of("dkimpy");
    script.merge(Script::of(records));
    results(&verifier(script, Exceptions::default()), mail_from, &message("dkimpy", name)).await
}

#[tokio::test]
async fn a_message_is_trusted_as_far_as_its_proofs_go() {
    let reject = "_dmarc.example.com TXT v=DMARC1; p=reject";
    let spf = "example.com TXT v=spf1 ip4:192.0.2.7 -all";
    let both = format!("{reject}\n{spf}");
    let table = [
        // Records, reverse-path, message, level.
        ("", "", "rsa-relaxed-relaxed", Level::Dmarc),
        (reject, "", "rsa-relaxed-relaxed", Level::Dmarc),
        (&both, "x@example.com", "unsigned", Level::Dmarc),
        (spf, "x@example.com", "unsigned", Level::Spf),
        (spf, "x@sub.example.com", "unsigned", Level::None),
        ("", "", "unsigned", Level::None),
        (reject, "", "unsigned", Level::None),
        ("", "", "changed-relaxed-relaxed", Level::None),
        // A signature of a domain that is not the author's.
        ("", "", "exim", Level::None),
    ];
    for (records, mail_from, name, level) in table {
        let results = judged(records, mail_from, name).await;
        let trust = judge::trust(&results);
        let principal = match level {
            Level::None => Principal::Nobody,
            _ => Principal::Address("test@example.com".to_owned()),
        };
        assert_eq!((trust.level(), trust.principal()), (level, &principal), "{name} {records:?}: {results:?}");
    }
}

#[tokio::test]
async fn the_field_tells_what_was_found_in_our_name() {
    let records = "_dmarc.example.com TXT v=DMARC1; p=reject\nexample.com TXT v=spf1 ip4:192.0.2.7 -all\n\
                   7.2.0.192.in-addr.arpa PTR out.example.com.\nout.example.com A 192.0.2.7";
    let results = judged(records, "\"a;\\\" b\"@example.com", "rsa-relaxed-relaxed").await;
    let expected = "Authentication-Results: mx.stoa.example;\r\n\
        \tiprev=pass (out.example.com) policy.iprev=192.0.2.7;\r\n\
        \tspf=pass smtp.mailfrom=\"\\\"a;\\\\\\\" b\\\"@example.com\";\r\n\
        \tspf=none smtp.helo=out.example.com;\r\n\
        \tdkim=pass header.d=example.com header.s=test header.a=rsa-sha256;\r\n\
        \tdmarc=pass header.from=example.com policy.dmarc=reject;\r\n\
        \tarc=none\r\n";
    assert_eq!(results.field("mx.stoa.example"), expected);
}

#[tokio::test]
async fn more_signatures_than_anybody_needs_are_not_looked_at() {
    let signed = message("dkimpy", "rsa-relaxed-relaxed");
    let foreign = b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=a; h=from; bh=AAAA; b=AAAA\r\n".repeat(30);
    let results = results(&verifier(keys_of("dkimpy"), Exceptions::default()), "", &[foreign, signed].concat()).await;
    // That of the author's domain is among those that are, wherever it stands.
    let first = results.signatures.first().unwrap();
    assert_eq!((first.outcome, first.domain.as_str()), (SignatureOutcome::Pass, "example.com"));
    assert!(results.signatures.len() <= 16 && results.signatures.iter().any(|s| s.reason == "too many signatures"));
    assert!(results.field("mx.stoa.example").len() < 4_096);
}

#[tokio::test]
async fn a_header_that_is_too_long_proves_nothing() {
    let signed = message("dkimpy", "rsa-relaxed-relaxed");
    let long = [&signed[..], b""].concat();
    let padded = [b"X: y\r\n".repeat(1_000), long].concat();
    let results = results(&verifier(keys_of("dkimpy"), Exceptions::default()), "", &padded).await;
    assert!(results.signatures.is_empty());
    assert_eq!(judge::trust(&results), Trust::of_stranger());
}

#[tokio::test]
async fn a_resolver_that_never_answers_is_not_waited_for_forever() {
    struct Silent;
    impl Lookup for Silent {
        fn txt<'a>(&'a self, _: &'a str) -> lookup::Answer<'a, Vec<u8>> {
            Box::pin(std::future::pending())
        }
        fn addresses<'a>(&'a self, _: &'a str, _: Family) -> lookup::Answer<'a, IpAddr> {
            Box::pin(std::future::pending())
        }
        fn exchangers<'a>(&'a self, _: &'a str) -> lookup::Answer<'a, String> {
            Box::pin(std::future::pending())
        }
        fn names_of(&self, _: IpAddr) -> lookup::Answer<'_, String> {
            Box::pin(std::future::pending())
        }
    }
    let mut verifier = Verifier::new(Shared::new(Silent), "mx.stoa.example", Exceptions::default()).unwrap();
    verifier.patience = Duration::from_millis(20);
    let results = results(&verifier, "x@example.com", &message("dkimpy", "rsa-relaxed-relaxed")).await;
    assert_eq!(results.signatures.first().unwrap().outcome, SignatureOutcome::TempError);
    assert_eq!((results.dmarc.outcome, results.connection.helo_spf.outcome), (dmarc::Outcome::TempError, spf::Outcome::TempError));
    assert!(matches!(verifier.disposition(&results), Disposition::Defer(_)), "the policy may be to refuse it");
}

#[tokio::test]
async fn keys_that_never_come_do_not_keep_a_policy_from_being_read() {
    /// Is silent about keys and answers all else.
    struct Tarpit(Script);
    impl Lookup for Tarpit {
        fn txt<'a>(&'a self, name: &'a str) -> lookup::Answer<'a, Vec<u8>> {
            if name.contains("_domainkey") { Box::pin(std::future::pending()) } else { self.0.txt(name) }
        }
        fn addresses<'a>(&'a self, name: &'a str, family: Family) -> lookup::Answer<'a, IpAddr> {
            self.0.addresses(name, family)
        }
        fn exchangers<'a>(&'a self, name: &'a str) -> lookup::Answer<'a, String> {
            self.0.exchangers(name)
        }
        fn names_of(&self, address: IpAddr) -> lookup::Answer<'_, String> {
            self.0.names_of(address)
        }
    }
    let script = Script::of("_dmarc.bank.example TXT v=DMARC1; p=reject\nbank.example TXT v=spf1 -all");
    let mut verifier = Verifier::new(Shared::new(Tarpit(script)), "mx.stoa.example", Exceptions::default()).unwrap();
    verifier.patience = Duration::from_millis(50);
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=evil.example; s=slow; h=From; bh=AAAA; b=AAAA\r\n";
    let forged = format!("{signature}From: ceo@bank.example\r\nSubject: x\r\n\r\npay\r\n");
    let results = results(&verifier, "a@evil.example", forged.as_bytes()).await;
    assert!(matches!(verifier.disposition(&results), Disposition::Refuse(_)), "{:?}", results.dmarc);
}
