//! Whether others believe what we send: SPF, DKIM, DMARC, and a way out to them.

use super::{Asked, put, unknown};
use crate::cli::dns::facts::Domain;
use crate::cli::dns::records::{Data, Purpose};
use crate::cli::doctor::answers::{Kind, Silence};
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::{Area, Finding};
use crate::cli::doctor::spf::{Verdict, ending, evaluate};
use crate::delivery::AS_SERVER;
use crate::trust::signing::{State, is_shown};

const AREA: Area = Area::Outgoing;

pub(super) fn check(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for domain in &asked.facts.ours.domains {
        findings.extend(spf(asked, &domain.name, Purpose::Spf));
        findings.extend(dkim(asked, domain));
        findings.extend(dmarc(asked, &domain.name));
    }
    if asked.ours(Purpose::HostSpf, None).next().is_some() {
        findings.extend(spf(asked, &asked.facts.ours.hostname, Purpose::HostSpf));
    }
    findings.extend(way_out(asked.facts));
    findings
}

fn spf(asked: &Asked<'_>, domain: &str, purpose: Purpose) -> Vec<Finding> {
    const WHY: &str = "Receivers look there for who may send for the domain, and refuse or distrust the rest.";
    let texts = match asked.facts.dns.texts(domain, "v=spf1") {
        Ok(texts) => texts,
        Err(silence) => return unknown(AREA, "SPF", domain, &silence),
    };
    let lines = || asked.lines(purpose, Some(domain));
    match texts.as_slice() {
        [] => {
            let (id, what) = (format!("spf-missing {domain}"), format!("{domain} has no SPF record"));
            let finding = match purpose {
                Purpose::HostSpf => Finding::better(AREA, id, what, "Reports of failed delivery are sent in the name of the host."),
                _ => Finding::wrong(AREA, id, what, WHY),
            };
            vec![finding.fix(put(domain), lines())]
        }
        [record] => one_spf(asked, domain, record, lines()),
        // RFC 7208 §3.2.
        several => {
            let what = format!("{domain} has {} SPF records", several.len());
            let why = "Only one is allowed: with more receivers take all of them for broken.";
            vec![Finding::wrong(AREA, format!("spf-two {domain}"), what, why).fix("Remove all of them but one, such as:", lines())]
        }
    }
}

fn one_spf(asked: &Asked<'_>, domain: &str, record: &str, lines: Vec<String>) -> Vec<Finding> {
    let outcomes: Vec<_> = asked.facts.addresses().into_iter().map(|ip| (ip, evaluate(&asked.facts.dns, domain, record, ip))).collect();
    let replace = || format!("In the zone of {domain}, replace \"{record}\" with this, or mend it:");
    for (ip, outcome) in &outcomes {
        let what = match &outcome.verdict {
            Err(problem) => {
                let what = format!("the SPF record of {domain} is broken: {problem}");
                let why = "Receivers cannot use it, and treat mail as if anybody might send it.";
                return vec![Finding::wrong(AREA, format!("spf-broken {domain}"), what, why).fix(replace(), lines)];
            }
            Ok(Verdict::Pass) => continue,
            Ok(_) if outcome.unknown || outcome.uncertain => {
                let what = format!("whether the SPF record of {domain} lets {ip} send could not be found out");
                return vec![Finding::remark(AREA, format!("spf-unknown {domain}"), what)];
            }
            Ok(_) => format!("the SPF record of {domain} does not let {ip}, which is this server, send"),
        };
        let why = "Receivers take your own mail for forged.";
        return vec![Finding::wrong(AREA, format!("spf-not-us {domain}"), what, why).fix(replace(), lines)];
    }
    let (id, what, why) = match ending(record) {
        Some(Verdict::Fail | Verdict::SoftFail) => return vec![Finding::good(AREA, format!("{domain} says who may send for it (SPF)"))],
        Some(Verdict::Pass) => ("spf-open", "lets everybody send (+all)", "It helps those who forge your mail."),
        // A record with redirect ends where that leads.
        None if record.to_ascii_lowercase().contains("redirect=") => {
            return vec![Finding::good(AREA, format!("{domain} says who may send for it (SPF)"))];
        }
        Some(Verdict::Neutral) | None => ("spf-weak", "says nothing of those who may not send", "Forged mail in your name is not refused."),
    };
    let what = format!("the SPF record of {domain} {what}");
    let id = format!("{id} {domain}");
    let finding = if id.starts_with("spf-open") { Finding::wrong(AREA, id, what, why) } else { Finding::better(AREA, id, what, why) };
    vec![finding.fix(replace(), lines)]
}

fn dkim(asked: &Asked<'_>, domain: &Domain) -> Vec<Finding> {
    if domain.dkim.iter().all(|key| key.state != State::Active) {
        let what = format!("there is no DKIM key with which mail of {} is signed", domain.name);
        let why = "Gmail and others refuse unsigned mail.";
        let found = Finding::wrong(AREA, format!("dkim-no-key {}", domain.name), what, why);
        return vec![found.fix(
            "Make new keys and publish what is printed:",
            [format!("{AS_SERVER} keys rotate {}", domain.name), format!("{AS_SERVER} dns")],
        )];
    }
    let mut findings = Vec::new();
    for key in domain.dkim.iter().filter(|key| key.state != State::Retired) {
        let name = format!("{}._domainkey.{}", key.selector, domain.name);
        let question = || format!("dig @{} {name} TXT +norecurse", asked.facts.ours.hostname);
        let record = || format!("{name}. 3600 IN TXT {}", Data::Txt(key.record.clone()).in_zone());
        let line = || vec![if domain.delegated { question() } else { record() }];
        let todo = || {
            if domain.delegated { "This server publishes it; see that its port 53 can be reached:".to_owned() } else { put(&domain.name) }
        };
        match asked.facts.dns.get(&name, Kind::Txt) {
            Ok(answer) if answer.records.iter().any(|data| matches!(data, Data::Txt(text) if is_shown(text, &key.record))) => {
                findings.push(Finding::good(AREA, format!("the DKIM key {name} is published")));
            }
            Err(Silence::Nothing) if key.state == State::Active => {
                let what = format!("the DKIM key {name} is not published");
                let why = "Mail is signed with it, and nobody can check the signature: it counts as forged.";
                findings.push(Finding::wrong(AREA, format!("dkim-missing {name}"), what, why).fix(todo(), line()));
            }
            Err(Silence::Nothing) => {
                let what = format!("the new DKIM key {name} is not published yet");
                let why = "As soon as it is, mail is signed with it; a key should not be used for years.";
                findings.push(Finding::better(AREA, format!("dkim-new {name}"), what, why).fix(todo(), line()));
            }
            Ok(_) => {
                let what = format!("the DKIM record {name} is not that of this server's key");
                let why = "Signatures of this server count as forged.";
                let replace = if domain.delegated {
                    "This server publishes it, so something else answers for that name; see what the server itself says:"
                } else {
                    "Replace it with:"
                };
                findings.push(Finding::wrong(AREA, format!("dkim-other {name}"), what, why).fix(replace, line()));
            }
            Err(silence) => findings.extend(unknown(AREA, "the DKIM key", &name, &silence)),
        }
    }
    findings
}

fn dmarc(asked: &Asked<'_>, domain: &str) -> Vec<Finding> {
    let name = format!("_dmarc.{domain}");
    let lines = || asked.lines(Purpose::Dmarc, Some(&name));
    let texts = match asked.facts.dns.texts(&name, "v=DMARC1") {
        Ok(texts) => texts,
        Err(silence) => return unknown(AREA, "DMARC", domain, &silence),
    };
    let wrong = |id: &str, what: String, why| Finding::wrong(AREA, format!("{id} {domain}"), what, why);
    let record = match texts.as_slice() {
        [] => {
            let what = format!("{domain} has no DMARC record");
            let why = "Large receivers ask for one, and without it anybody may forge your address unnoticed.";
            return vec![wrong("dmarc-missing", what, why).fix(put(domain), lines())];
        }
        [record] => record,
        several => {
            let what = format!("{domain} has {} DMARC records", several.len());
            return vec![
                wrong("dmarc-two", what, "With more than one there is none.").fix("Remove all of them but one, such as:", lines()),
            ];
        }
    };
    let replace = || format!("In the zone of {domain}, replace \"{record}\" with this, or mend it:");
    let policy = tag(record, "p").unwrap_or_default().to_ascii_lowercase();
    if !["none", "quarantine", "reject"].contains(&policy.as_str()) {
        let what = format!("the DMARC record of {domain} names no policy (p=none, p=quarantine or p=reject)");
        return vec![wrong("dmarc-broken", what, "Receivers do not use it.").fix(replace(), lines())];
    }
    let mut findings = reports(asked, domain, record, lines());
    if policy == "none" {
        let what = format!("the DMARC policy of {domain} only watches (p=none)");
        let why = "Forged mail in your name still gets through.";
        let strict = record.replacen("p=none", "p=quarantine", 1);
        let line = format!("{name}. 3600 IN TXT {}", Data::Txt(strict).in_zone());
        let todo = "When the reports of some weeks show that all your own mail passes (docs/deliverability.md), replace it with:";
        findings.push(Finding::better(AREA, format!("dmarc-watches {domain}"), what, why).fix(todo, [line]));
    }
    if findings.is_empty() {
        findings.push(Finding::good(AREA, format!("forged mail of {domain} is answered with {policy} (DMARC)")));
    }
    findings
}

/// Where reports go: to us, or to somebody who agreed to get them (RFC 9990 §4).
fn reports(asked: &Asked<'_>, domain: &str, record: &str, lines: Vec<String>) -> Vec<Finding> {
    let replace = format!("In the zone of {domain}, replace \"{record}\" with this, or mend it:");
    let list = tag(record, "rua").unwrap_or_default();
    let addresses: Vec<&str> = list.split(',').map(str::trim).filter(|uri| !uri.is_empty()).collect();
    if addresses.is_empty() {
        let what = format!("the DMARC record of {domain} asks for no reports (rua)");
        let why = "You do not learn whether your own mail passes, nor who forges it.";
        return vec![Finding::better(AREA, format!("dmarc-no-reports {domain}"), what, why).fix(replace, lines)];
    }
    let mut findings = Vec::new();
    for uri in addresses {
        let address = uri.get(..7).filter(|head| head.eq_ignore_ascii_case("mailto:")).and(uri.get(7..)).unwrap_or_default();
        let Some((_, theirs)) = address.split('!').next().unwrap_or_default().rsplit_once('@') else {
            let what = format!("{uri}, where DMARC reports of {domain} go, is not of the form mailto:name@domain");
            findings.push(
                Finding::wrong(AREA, format!("dmarc-rua-broken {domain}"), what, "No reports come.").fix(replace.clone(), lines.clone()),
            );
            continue;
        };
        if asked.facts.ours.domains.iter().any(|own| own.name.eq_ignore_ascii_case(theirs)) {
            continue;
        }
        let permission = format!("{domain}._report._dmarc.{theirs}");
        match asked.facts.dns.texts(&permission, "v=DMARC1") {
            Ok(texts) if texts.is_empty() => {
                let what = format!("DMARC reports of {domain} go to {address}, but {theirs} does not agree to get them");
                let why = "No reports are sent there.";
                let todo = format!("Use your own address, or have this put into the zone of {theirs}:");
                let own = format!("{permission}. 3600 IN TXT \"v=DMARC1\"");
                let all = lines.iter().cloned().chain([own]);
                findings.push(Finding::wrong(AREA, format!("dmarc-rua-elsewhere {domain}"), what, why).fix(todo, all));
            }
            Ok(_) => {}
            Err(silence) => findings.extend(unknown(AREA, "the permission for DMARC reports", &permission, &silence)),
        }
    }
    findings
}

/// RFC 9989 §4.7: `name=value` between semicolons.
fn tag<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    let pair = |part: &'a str| part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
    record.split(';').filter_map(pair).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn way_out(facts: &Facts) -> Vec<Finding> {
    const WHY: &str = "Mail to other hosts leaves through port 25; many who rent machines close it until asked.";
    let todo = "Ask whoever rents you the machine to open port 25 for what goes out; see also:";
    let mut findings = Vec::new();
    match &facts.way_out {
        Some(way) => match &way.problem {
            None => findings.push(Finding::good(AREA, format!("port 25 of {} can be reached", way.host))),
            Some(problem) => {
                let what = format!("port 25 of {} cannot be reached: {problem}", way.host);
                // The name is a stranger's: nothing of it may mean something to a shell.
                let is_plain = way.host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) && !way.host.starts_with('-');
                let line = is_plain.then(|| format!("nc -vz {} 25", way.host));
                findings.push(Finding::wrong(AREA, "port-25-out".to_owned(), what, WHY).fix(todo, line));
            }
        },
        None => {
            let what = format!(
                "whether port 25 is open for what goes out was not tried: `{AS_SERVER} doctor --port-25 gmail.com` tries that domain's server"
            );
            findings.push(Finding::remark(AREA, "port-25-untried".to_owned(), what));
        }
    }
    findings.extend(facts.queue.iter().flat_map(|queue| super::machine::queue(queue, WHY, todo)));
    findings
}
