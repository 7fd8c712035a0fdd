//! Policies, alignment and the walk up the tree, on scripted DNS.

use super::*;
use crate::trust::verify::script::Script;

fn signature(domain: &str, outcome: SignatureOutcome) -> Signature {
    Signature { outcome, domain: domain.to_owned(), selector: "s".to_owned(), algorithm: "rsa-sha256", reason: "" }
}

/// What a message of this author comes to: SPF passes for `spf_domain`, a signature for `signer`.
async fn judged(records: &str, author: &str, spf_domain: &str, signer: &str) -> Dmarc {
    let signatures = [signature(signer, SignatureOutcome::Pass)];
    let spf = if spf_domain.is_empty() { spf::Outcome::Fail } else { spf::Outcome::Pass };
    check(&[author.to_owned()], Proofs { spf, spf_domain, signatures: &signatures }, &Script::of(records)).await
}

/// Records, author, SPF of, signed by, result, policy.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, Outcome, Option<Policy>);

async fn hold(table: &[Case<'_>]) {
    for (records, author, spf_domain, signer, outcome, policy) in table {
        let dmarc = judged(records, author, spf_domain, signer).await;
        assert_eq!((dmarc.outcome, dmarc.policy), (*outcome, *policy), "{records} | {author} {spf_domain} {signer}: {dmarc:?}");
    }
}

#[tokio::test]
async fn who_is_aligned_and_what_is_wanted() {
    use Outcome::{Fail, None as Nothing, Pass};
    let example = "_dmarc.example.com TXT v=DMARC1; p=reject; sp=quarantine; np=reject";
    let strict = "_dmarc.example.com TXT v=DMARC1; p=quarantine; adkim=s; aspf=s";
    let there = format!("{example}\nsub.example.com A 192.0.2.1");
    let table: &[Case<'_>] = &[
        ("", "a@example.com", "", "", Nothing, None),
        (example, "a@example.com", "", "", Fail, Some(Policy::Reject)),
        (example, "a@example.com", "example.com", "", Pass, Some(Policy::Reject)),
        (example, "a@example.com", "", "example.com", Pass, Some(Policy::Reject)),
        (example, "a@example.com", "bounce.example.com", "", Pass, Some(Policy::Reject)),
        (example, "a@example.com", "", "mail.example.com", Pass, Some(Policy::Reject)),
        (example, "a@example.com", "", "badexample.com", Fail, Some(Policy::Reject)),
        (example, "a@example.com", "", "com", Fail, Some(Policy::Reject)),
        (example, "a@example.com", "evil.example.net", "example.net", Fail, Some(Policy::Reject)),
        // A name that is there, and one that is not.
        (&there, "a@sub.example.com", "", "", Fail, Some(Policy::Quarantine)),
        (&there, "a@none.example.com", "", "", Fail, Some(Policy::Reject)),
        (&there, "a@sub.example.com", "", "example.com", Pass, Some(Policy::Quarantine)),
        (strict, "a@example.com", "bounce.example.com", "mail.example.com", Fail, Some(Policy::Quarantine)),
        (strict, "a@example.com", "example.com", "", Pass, Some(Policy::Quarantine)),
    ];
    hold(table).await;
}

#[tokio::test]
async fn an_organisation_ends_where_its_records_say() {
    use Outcome::{Fail, Pass};
    let registry = "_dmarc.bank TXT v=DMARC1; p=none; sp=reject; psd=y\n_dmarc.a.bank TXT v=DMARC1; p=quarantine";
    let split = "_dmarc.example.com TXT v=DMARC1; p=reject\n_dmarc.uni.example.com TXT v=DMARC1; p=none; psd=n";
    let deep = "_dmarc.c.d.e.f.g.h.example TXT v=DMARC1; p=reject";
    let table: &[Case<'_>] = &[
        // Under a registry, organisations are one label below it.
        (registry, "x@a.bank", "", "", Fail, Some(Policy::Quarantine)),
        (registry, "x@a.bank", "", "m.a.bank", Pass, Some(Policy::Quarantine)),
        (registry, "x@b.bank", "", "a.bank", Fail, Some(Policy::Reject)),
        (registry, "x@m.b.bank", "", "b.bank", Pass, Some(Policy::Reject)),
        // A part of an organisation that is one of its own.
        (split, "x@uni.example.com", "", "example.com", Fail, Some(Policy::None)),
        (split, "x@uni.example.com", "", "m.uni.example.com", Pass, Some(Policy::None)),
        (split, "x@example.com", "", "uni.example.com", Fail, Some(Policy::Reject)),
        // Eight questions reach any name.
        (deep, "x@1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g.h.example", "", "", Fail, Some(Policy::Reject)),
    ];
    hold(table).await;
}

#[tokio::test]
async fn records_that_are_wrong_or_cannot_be_read() {
    use Outcome::{Fail, None as Nothing, Pass, TempError};
    let table: &[Case<'_>] = &[
        // RFC 9989: several records are none, and so is one of another version.
        ("_dmarc.example.com TXT v=DMARC1; p=reject\n_dmarc.example.com TXT v=DMARC1; p=none", "a@example.com", "", "", Nothing, None),
        ("_dmarc.example.com TXT v=DMARC2; p=reject\n_dmarc.example.com TXT spf", "a@example.com", "", "", Nothing, None),
        // What is wrong in a record is as if it were not said; without p it only asks for reports.
        (
            "_dmarc.example.com TXT v=DMARC1; p=reject; adkim=x; junk; sp=!!",
            "a@b.example.com",
            "",
            "c.example.com",
            Pass,
            Some(Policy::Reject),
        ),
        ("_dmarc.example.com TXT v=DMARC1; p=refuse; rua=mailto:a@example.com", "a@example.com", "", "", Fail, Some(Policy::None)),
        ("_dmarc.example.com TXT v=DMARC1; p=refuse", "a@example.com", "", "", Nothing, None),
        // Who only tests is taken at one level less.
        ("_dmarc.example.com TXT v=DMARC1; p=reject; t=y", "a@example.com", "", "", Fail, Some(Policy::Quarantine)),
        // Whoever is just the author's domain needs no walk; others wait for it.
        ("_dmarc.com SILENCE\n_dmarc.example.com TXT v=DMARC1; p=reject", "a@example.com", "", "example.com", Pass, Some(Policy::Reject)),
        (
            "_dmarc.com SILENCE\n_dmarc.example.com TXT v=DMARC1; p=reject",
            "a@example.com",
            "",
            "m.example.com",
            TempError,
            Some(Policy::Reject),
        ),
        ("_dmarc.example.com SILENCE", "a@example.com", "example.com", "", TempError, None),
        ("_dmarc.com SILENCE\n_dmarc.example.com TXT v=DMARC1; p=reject; psd=n", "a@example.com", "", "", Fail, Some(Policy::Reject)),
    ];
    hold(table).await;
}

#[tokio::test]
async fn what_cannot_be_found_out_neither_passes_nor_fails() {
    let script = Script::of("_dmarc.example.com TXT v=DMARC1; p=reject");
    let check = async |spf, spf_domain, signatures: &[Signature]| {
        check(&["a@example.com".to_owned()], Proofs { spf, spf_domain, signatures }, &script).await.outcome
    };
    let unsure = |domain| [signature(domain, SignatureOutcome::TempError)];
    assert_eq!(check(spf::Outcome::TempError, "example.com", &[]).await, Outcome::TempError);
    assert_eq!(check(spf::Outcome::TempError, "example.net", &[]).await, Outcome::Fail);
    assert_eq!(check(spf::Outcome::Fail, "example.com", &unsure("example.com")).await, Outcome::TempError);
    assert_eq!(check(spf::Outcome::Fail, "example.com", &unsure("example.net")).await, Outcome::Fail);
    assert_eq!(check(spf::Outcome::Pass, "example.com", &unsure("example.com")).await, Outcome::Pass);
}

#[tokio::test]
async fn authors_of_several_domains_have_no_policy() {
    let script = Script::of("_dmarc.example.com TXT v=DMARC1; p=reject");
    let table: [(&[&str], Option<&str>); 5] = [
        (&[], None),
        (&["a@example.com", "b@example.com"], Some("example.com")),
        (&["a@example.com", "b@example.net"], None),
        (&["nobody"], None),
        (&["a@[192.0.2.1]"], None),
    ];
    for (authors, domain) in table {
        let authors: Vec<String> = authors.iter().map(|author| (*author).to_owned()).collect();
        let dmarc = check(&authors, Proofs { spf: spf::Outcome::None, spf_domain: "", signatures: &[] }, &script).await;
        assert_eq!(dmarc.domain.as_deref(), domain, "{authors:?}");
    }
}
