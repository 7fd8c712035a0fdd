//! What others can know of our encryption: MTA-STS, TLS-RPT, TLSA, CAA.

use super::{Asked, put, unknown};
use crate::cli::dns::records::{Data, Purpose, Record};
use crate::cli::doctor::answers::{Kind, Silence};
use crate::cli::doctor::facts::Fetched;
use crate::cli::doctor::finding::{Area, Finding};

const AREA: Area = Area::Encryption;

pub(super) fn check(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for domain in &asked.facts.ours.domains {
        findings.extend(sts(asked, &domain.name));
        findings.extend(tls_reports(asked, &domain.name));
    }
    findings.extend(tlsa(asked));
    findings.extend(caa(asked));
    findings
}

fn sts(asked: &Asked<'_>, domain: &str) -> Vec<Finding> {
    let (text_name, host_name) = (format!("_mta-sts.{domain}"), format!("mta-sts.{domain}"));
    let Some(ours) = asked.ours(Purpose::StsText, Some(&text_name)).next() else { return Vec::new() };
    let mut lines = asked.lines(Purpose::StsHost, Some(&host_name));
    lines.push(ours.line());
    let texts = match asked.facts.dns.texts(&text_name, "v=STSv1") {
        Ok(texts) => texts,
        Err(silence) => return unknown(AREA, "MTA-STS", domain, &silence),
    };
    if texts.is_empty() {
        let what = format!("{domain} does not ask for encryption (MTA-STS)");
        let why = "Who sits between a sender and you can make the sender deliver in plain.";
        return vec![Finding::better(AREA, format!("sts-missing {domain}"), what, why).fix(put(domain), lines)];
    }
    let mut findings = Vec::new();
    let is_ours = |text: &String| without_blanks(text) == without_blanks(&ours.data.to_string());
    if texts.len() > 1 || !texts.iter().any(is_ours) {
        // RFC 8461 §3.1: one record, whose id changes with the policy.
        let what = format!("the MTA-STS record of {domain} is not that of the policy which is served");
        let why = "Senders keep to the policy that they know, and do not look for the new one.";
        findings.push(Finding::wrong(AREA, format!("sts-stale {domain}"), what, why).fix("Replace it with:", [ours.line()]));
    }
    findings.extend(policy(asked, domain, lines));
    if findings.is_empty() {
        findings.push(mode(asked, domain));
    }
    findings
}

fn policy(asked: &Asked<'_>, domain: &str, lines: Vec<String>) -> Option<Finding> {
    let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
    let why = "Senders see in DNS that there is a policy and cannot have it: they deliver without, and report it.";
    match asked.facts.policies.get(domain) {
        Some(Fetched { problem: None, text }) if *text == asked.facts.policy => None,
        Some(Fetched { problem: None, .. }) => {
            let what = format!("{url} is not the policy of this server: another one answers there");
            let finding = Finding::wrong(AREA, format!("sts-other {domain}"), what, why);
            Some(finding.fix(format!("Let the name lead here, in the zone of {domain}:"), lines))
        }
        Some(Fetched { problem: Some(problem), .. }) => {
            let what = format!("the policy cannot be fetched from {url}: {problem}");
            let todo = "The name must lead here, and the certificate must cover it; look at both, then try:";
            let lines = lines.into_iter().chain([format!("curl {url}")]);
            Some(Finding::wrong(AREA, format!("sts-unreachable {domain}"), what, why).fix(todo, lines))
        }
        None => Some(Finding::remark(AREA, format!("sts-untried {domain}"), format!("{url} was not fetched"))),
    }
}

fn mode(asked: &Asked<'_>, domain: &str) -> Finding {
    if !asked.facts.policy.contains("mode: testing") {
        return Finding::good(AREA, format!("senders are told to encrypt mail for {domain} (MTA-STS)"));
    }
    let what = format!("the MTA-STS policy of {domain} is a test: senders only report what fails");
    let todo =
        "After some weeks without such reports put this into stoa.toml, restart the server, and publish the new id that `stoa dns` prints:";
    let lines = ["[mta_sts]", "mode = \"enforce\""].map(str::to_owned);
    let finding = Finding::better(AREA, format!("sts-testing {domain}"), what, "Until it is enforced it protects nobody.");
    finding.fix(todo, lines)
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect::<String>().trim_end_matches(';').to_owned()
}

fn tls_reports(asked: &Asked<'_>, domain: &str) -> Vec<Finding> {
    let name = format!("_smtp._tls.{domain}");
    let lines = asked.lines(Purpose::TlsReports, Some(&name));
    let why = "You do not learn when others cannot encrypt what they bring.";
    match asked.facts.dns.texts(&name, "v=TLSRPTv1").as_deref() {
        Ok([text]) if text.contains("rua=") => {
            vec![Finding::good(AREA, format!("senders report failed encryption for {domain} (TLS-RPT)"))]
        }
        Ok([]) => {
            let what = format!("{domain} asks for no reports on encryption (TLS-RPT)");
            vec![Finding::better(AREA, format!("tlsrpt-missing {domain}"), what, why).fix(put(domain), lines)]
        }
        Ok(_) => {
            let what = format!("the TLS-RPT record of {domain} is broken");
            vec![Finding::better(AREA, format!("tlsrpt-broken {domain}"), what, why).fix("Replace it with:", lines)]
        }
        Err(silence) => unknown(AREA, "TLS-RPT", domain, silence),
    }
}

/// RFC 7672: the record counts only where the zone is signed, and then it must be right.
fn tlsa(asked: &Asked<'_>) -> Vec<Finding> {
    let Some(ours) = asked.ours(Purpose::Tlsa, None).next() else { return Vec::new() };
    let host = &asked.facts.ours.hostname;
    let signed = asked.facts.dns.get(host, Kind::Addresses).is_ok_and(|answer| answer.secure);
    let lines = || [ours.line()];
    let found = match asked.facts.dns.get(&ours.name, Kind::Tlsa) {
        Ok(answer) => answer,
        Err(Silence::Nothing) if signed => {
            let what = format!("{host} has no TLSA record, although its zone is signed");
            let why = "With it senders that check DNSSEC know this server's key, and nobody can pose as it (DANE).";
            return vec![Finding::better(AREA, "tlsa-missing".to_owned(), what, why).fix(put(host), lines())];
        }
        Err(Silence::Nothing) => {
            let what =
                format!("the zone of {host} is not signed (DNSSEC), or your name servers hide it; so TLSA records would be of no use");
            return vec![Finding::remark(AREA, "dnssec-none".to_owned(), what)];
        }
        Err(silence) => return unknown(AREA, "TLSA", &ours.name, &silence),
    };
    let matches = found.records.iter().any(|data| same_tlsa(data, ours));
    if matches && found.secure {
        return vec![Finding::good(AREA, format!("the TLSA record of {host} is that of this server's key"))];
    }
    if matches {
        let what = format!("the TLSA record of {host} is right, but its zone is not signed (DNSSEC)");
        let why = "Nobody may believe it then: anybody could have changed it.";
        let todo =
            "Switch DNSSEC on at your DNS provider and have the DS record put in at the registrar; then this shows \"ad\" among the flags:";
        let line = format!("dig +dnssec TLSA {}", ours.name);
        return vec![Finding::better(AREA, "tlsa-unsigned".to_owned(), what, why).fix(todo, [line])];
    }
    let what = format!("the TLSA record of {host} is not that of this server's key");
    let why = "Senders that check it bring no mail: for them another server poses as this one.";
    vec![Finding::wrong(AREA, "tlsa-other".to_owned(), what, why).fix("Replace it with:", lines())]
}

fn same_tlsa(data: &Data, ours: &Record) -> bool {
    matches!((data, &ours.data), (Data::Tlsa(found), Data::Tlsa(ours)) if found.eq_ignore_ascii_case(ours))
}

/// RFC 8659 §3: the records of the closest name above count.
fn caa(asked: &Asked<'_>) -> Vec<Finding> {
    let Some(authority) = &asked.facts.ours.authority else { return Vec::new() };
    let host = &asked.facts.ours.hostname;
    let lines = || asked.lines(Purpose::Caa, None);
    let mut name = host.as_str();
    let found = loop {
        match asked.facts.dns.get(name, Kind::Caa) {
            Ok(answer) => break answer.records,
            Err(Silence::Nothing) => {}
            Err(silence) => return unknown(AREA, "CAA", name, &silence),
        }
        match name.split_once('.') {
            Some((_, above)) if above.contains('.') => name = above,
            _ => break Vec::new(),
        }
    };
    let issuers: Vec<&str> = found.iter().filter_map(issue).collect();
    if issuers.is_empty() {
        let what = format!("every authority may issue certificates for {host}");
        let why = "One that is tricked or careless can give a stranger a certificate in your name.";
        return vec![Finding::better(AREA, "caa-missing".to_owned(), what, why).fix(put(host), lines())];
    }
    let allows = |value: &&str| {
        let mut parts = value.split(';').map(str::trim);
        let domain = parts.next().is_some_and(|domain| domain.eq_ignore_ascii_case(&authority.domain));
        let account =
            parts.filter_map(|part| part.strip_prefix("accounturi=")).all(|uri| authority.account.as_deref().is_none_or(|own| own == uri));
        domain && account
    };
    if issuers.iter().any(allows) {
        return vec![Finding::good(AREA, format!("only {} may issue certificates for {host} (CAA)", authority.domain))];
    }
    let what = format!("the CAA records of {name} do not let {} issue our certificate", authority.domain);
    let why = "The certificate cannot be renewed.";
    let todo = "Put this beside them (a record at the host itself counts before those above):";
    vec![Finding::wrong(AREA, "caa-forbids".to_owned(), what, why).fix(todo, lines())]
}

fn issue(data: &Data) -> Option<&str> {
    match data {
        Data::Caa { tag, value, .. } if tag == "issue" => Some(value),
        _ => None,
    }
}
