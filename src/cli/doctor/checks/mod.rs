//! The checks: each a pure function from [`Facts`] to [`Finding`]s. What cannot be known is a remark, never a complaint.

mod addresses;
mod certificate;
mod incoming;
mod machine;
mod outgoing;
mod programs;
mod transport;

use super::answers::{Kind, Silence};
use super::facts::Facts;
use super::finding::{Area, Finding};
use crate::cli::dns::records::{Purpose, Record, records};

/// All findings, by area and then by how bad they are.
pub(in crate::cli) fn all(facts: &Facts) -> Vec<Finding> {
    let asked = Asked { facts, records: records(&facts.ours) };
    let mut findings = machine::check(facts);
    findings.extend(addresses::check(&asked));
    findings.extend(incoming::check(&asked));
    findings.extend(outgoing::check(&asked));
    findings.extend(certificate::check(facts));
    findings.extend(transport::check(&asked));
    findings.extend(programs::check(&asked));
    if let Some(why) = facts.dns.all_unavailable() {
        findings.retain(|finding| !finding.id.starts_with("dns-"));
        findings.push(no_dns(&why));
    }
    findings.sort_by_key(|finding| (finding.area, finding.severity));
    findings
}

/// One sentence in place of one for each question.
fn no_dns(why: &str) -> Finding {
    let what = format!("DNS does not answer this machine at all: {why}");
    let todo = "See which name servers are asked (/etc/resolv.conf, or `servers` in section [dns] of stoa.toml), and try one:";
    let lines = ["cat /etc/resolv.conf".to_owned(), "dig example.org".to_owned()];
    Finding::wrong(Area::Machine, "dns-dead".to_owned(), what, "No mail can be sent, and none be judged.").fix(todo, lines)
}

/// The facts, with the records that follow from them.
struct Asked<'a> {
    facts: &'a Facts,
    records: Vec<Record>,
}

impl Asked<'_> {
    /// Lines of our records for a purpose, at a name or at all.
    fn lines(&self, purpose: Purpose, name: Option<&str>) -> Vec<String> {
        self.ours(purpose, name).map(Record::line).collect()
    }

    fn ours<'b>(&'b self, purpose: Purpose, name: Option<&'b str>) -> impl Iterator<Item = &'b Record> {
        let wanted = move |record: &&Record| record.purpose == purpose && name.is_none_or(|name| record.name == name);
        self.records.iter().filter(wanted)
    }
}

/// How to put records into a zone.
fn put(zone: &str) -> String {
    format!("Put this into the zone of {zone}:")
}

/// Why a question has no answer, where that is not for want of a record.
fn unknown(area: Area, what: &str, name: &str, silence: &Silence) -> Vec<Finding> {
    let id = format!("dns-{} {name}", what.to_ascii_lowercase());
    match silence {
        // Somebody is about to ask.
        Silence::Nothing => Vec::new(),
        Silence::Unasked => vec![Finding::remark(area, id, format!("{what} of {name} was not looked up: there was too much to ask"))],
        Silence::Unavailable(why) => vec![Finding::remark(area, id, format!("{what} of {name} could not be looked up: {why}"))],
        Silence::Bogus => {
            let what = format!("the DNSSEC signatures of {name} are wrong, so others see no {what} there");
            let why = "Whoever checks signatures takes the whole zone for forged and sends no mail to it.";
            let todo = "Have your DNS provider sign the zone anew, or remove the DS record at the registrar. If this machine's clock is off, set it first:";
            vec![Finding::wrong(area, id, what, why).fix(todo, ["sudo timedatectl set-ntp true".to_owned()])]
        }
    }
}

/// How it is with a record of ours.
enum Standing {
    There,
    Missing,
    /// Something else stands in its place.
    Other,
}

fn standing(facts: &Facts, record: &Record, kind: Kind) -> Result<Standing, Silence> {
    match facts.dns.get(&record.name, kind) {
        Ok(answer) if answer.records.contains(&record.data) => Ok(Standing::There),
        Ok(_) => Ok(Standing::Other),
        Err(Silence::Nothing) => Ok(Standing::Missing),
        Err(other) => Err(other),
    }
}
