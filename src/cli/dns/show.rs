//! Records for a person: as a zone file to paste, or as a list that says why each is there.

use super::facts::Facts;
use super::records::{Data, Need, Purpose, Record, records};

/// Why the groups are apart.
const GROUPS: [(Need, &str); 3] = [
    (Need::First, "First: mail needs these."),
    (Need::Hoster, "First, too, but not in your zone: the reverse records, which belong to whoever owns the addresses."),
    (Need::Later, "Later, when mail works: these make it safer and mail programs easier to set up."),
];

/// A zone file (RFC 1035 §5) of all records; what cannot be in it stands there as a comment.
pub(in crate::cli) fn zone(facts: &Facts) -> String {
    let all = records(facts);
    let mut lines = vec![format!("; The DNS records of {}.", names(facts))];
    for (need, heading) in GROUPS {
        let group: Vec<&Record> = all.iter().filter(|record| record.need == need).collect();
        if group.is_empty() {
            continue;
        }
        lines.extend([String::new(), format!("; {heading}")]);
        for (record, new) in with_news(&group) {
            lines.extend(new.then(|| format!("; {}", record.purpose.why())));
            let comment = if need == Need::Hoster || matches!(record.data, Data::Missing(..)) { "; " } else { "" };
            lines.push(format!("{comment}{}", record.line()));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The records of the first hour, or all of them, with a sentence each.
pub(in crate::cli) fn list(facts: &Facts, with_later: bool) -> String {
    let all = records(facts);
    let mut lines = Vec::new();
    for (need, heading) in GROUPS.iter().filter(|(need, _)| with_later || *need != Need::Later) {
        let group: Vec<&Record> = all.iter().filter(|record| record.need == *need).collect();
        if group.is_empty() {
            continue;
        }
        lines.extend([heading.to_string(), String::new()]);
        for (record, new) in with_news(&group) {
            if new {
                lines.push(format!("  {}", record.purpose.why()));
            }
            if *need != Need::Hoster {
                lines.push(format!("    {}.  {}  {}", record.name, record.data.kind(), record.data));
            }
        }
        if *need == Need::Hoster {
            // Their forms ask for the address, and turn it round by themselves.
            lines.extend(facts.addresses.iter().map(|ip| format!("    {ip}  PTR  {}", facts.hostname)));
        }
        lines.push(String::new());
    }
    if facts.domains.iter().any(|domain| domain.dkim.is_empty() && !domain.delegated) {
        lines.push("The DKIM keys are not made yet: `stoa serve` makes them; then give this command again.".to_owned());
    }
    lines.join("\n")
}

/// Each record, and whether its purpose is another than that of the one before.
fn with_news<'a>(records: &'a [&'a Record]) -> impl Iterator<Item = (&'a Record, bool)> {
    let mut before: Option<Purpose> = None;
    records.iter().map(move |record| (*record, before.replace(record.purpose) != Some(record.purpose)))
}

fn names(facts: &Facts) -> String {
    let mut names: Vec<&str> = facts.domains.iter().map(|domain| domain.name.as_str()).collect();
    if !names.contains(&facts.hostname.as_str()) {
        names.push(&facts.hostname);
    }
    names.join(", ")
}
