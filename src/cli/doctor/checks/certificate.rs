//! The certificate: its age, its names, and whether programs believe it.

use crate::cli::doctor::facts::{Certificate, Facts};
use crate::cli::doctor::finding::{Area, Finding};
use crate::net::covers;

const AREA: Area = Area::Encryption;
const DAY_SECONDS: i64 = 86_400;

/// Authorities issue for 47 to 90 days and renewal begins with a third of that left: with less something does not work.
const DAYS_LEFT_MIN: i64 = 10;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let certificate = &facts.certificate;
    let (finding, why) = match trouble(facts) {
        Some(trouble) => trouble,
        None => {
            let day = jiff::Timestamp::from_second(certificate.not_after).unwrap_or_default().strftime("%Y-%m-%d");
            let mut findings = vec![Finding::good(AREA, format!("the certificate is believed, and good until {day}"))];
            findings.extend(missing_names(facts));
            return findings;
        }
    };
    let (id, what) = finding;
    vec![way_out(certificate, Finding::wrong(AREA, format!("certificate-{id}"), what, why))]
}

/// What is wrong with it first: a name for it and a sentence; and why it matters.
fn trouble(facts: &Facts) -> Option<((&'static str, String), &'static str)> {
    const REFUSED: &str = "Mail programs warn or refuse, and servers that keep to MTA-STS bring no mail.";
    let (certificate, host) = (&facts.certificate, &facts.ours.hostname);
    let day = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d").to_string();
    let found = if let Some(problem) = &certificate.problem {
        ("unreadable", format!("the certificate cannot be read: {problem}"))
    } else if certificate.not_after <= facts.now {
        ("expired", format!("the certificate expired on {}", day(certificate.not_after)))
    } else if certificate.not_before > facts.now {
        ("early", format!("the certificate is good from {} on, or the clock of this machine is slow", day(certificate.not_before)))
    } else if certificate.self_signed {
        ("self-made", "the certificate is the self-made one of the first day".to_owned())
    } else if !covers(&certificate.names, host) {
        ("name", format!("the certificate does not cover {host}, but {}", certificate.names.join(", ")))
    } else if let Some(distrust) = &certificate.distrust {
        ("distrusted", format!("programs do not believe the certificate: {distrust}"))
    } else if certificate.not_after - facts.now < DAYS_LEFT_MIN * DAY_SECONDS {
        ("ends", format!("the certificate is good until {} and was not renewed", day(certificate.not_after)))
    } else {
        return None;
    };
    Some((found, REFUSED))
}

fn way_out(certificate: &Certificate, finding: Finding) -> Finding {
    if certificate.automatic {
        let lines = ["sudo journalctl -u stoa | grep -i certificate | tail".to_owned()];
        return finding
            .fix("The server fetches certificates by itself; see what keeps it from doing so (ports 80 and 443, DNS, CAA):", lines);
    }
    let todo = "Let the server fetch certificates by itself: put this at the end of stoa.toml, then `sudo systemctl restart stoa` \
                (docs/certificates.md):";
    let lines = ["[acme]", "enabled = true"].map(str::to_owned);
    finding.fix(todo, lines)
}

/// Names on which programs look for their settings.
fn missing_names(facts: &Facts) -> Option<Finding> {
    let certificate = &facts.certificate;
    let labels = ["mta-sts", "autoconfig", "autodiscover"];
    let wanted = facts.ours.domains.iter().flat_map(|domain| labels.map(|label| format!("{label}.{}", domain.name)));
    // Only what DNS leads here can be asked for.
    let here = |name: &String| facts.dns.addresses(name).is_ok_and(|ips| ips.iter().any(|ip| facts.addresses().contains(ip)));
    let missing: Vec<String> = wanted.filter(here).filter(|name| !covers(&certificate.names, name)).collect();
    if missing.is_empty() {
        return None;
    }
    let what = format!("the certificate does not cover {}", missing.join(", "));
    let why = "Senders do not find the MTA-STS policy there, and mail programs not their settings.";
    Some(way_out(certificate, Finding::better(AREA, "certificate-names".to_owned(), what, why)))
}
