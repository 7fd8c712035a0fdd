//! Where mail for our domains goes.

use super::{Asked, put, unknown};
use crate::cli::dns::records::Purpose;
use crate::cli::doctor::answers::Silence;
use crate::cli::doctor::finding::{Area, Finding};

const AREA: Area = Area::Incoming;

pub(super) fn check(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = asked.facts.ours.domains.iter().flat_map(|domain| mx(asked, &domain.name)).collect();
    findings.extend(ports(asked));
    findings
}

fn mx(asked: &Asked<'_>, domain: &str) -> Vec<Finding> {
    let (facts, host) = (asked.facts, &asked.facts.ours.hostname);
    let lines = || asked.lines(Purpose::Mx, Some(domain));
    let found = match facts.dns.mx(domain) {
        Ok(found) => found,
        Err(Silence::Nothing) => {
            let (id, what) = (format!("mx-missing {domain}"), format!("{domain} has no MX record"));
            return vec![Finding::wrong(AREA, id, what, "Others do not know where to bring mail for it.").fix(put(domain), lines())];
        }
        Err(silence) => return unknown(AREA, "MX", domain, &silence),
    };
    let mut findings: Vec<Finding> = found.iter().filter_map(|(_, target)| target_trouble(asked, domain, target)).collect();
    if !findings.is_empty() {
        return findings;
    }
    let others: Vec<&str> = found.iter().map(|(_, target)| target.as_str()).filter(|target| target != host).collect();
    let list = others.join(" and ");
    if others.len() == found.len() {
        let what = format!("the MX of {domain} is {list}, not {host}");
        let todo = format!("In the zone of {domain}, replace it with:");
        findings
            .push(Finding::wrong(AREA, format!("mx-elsewhere {domain}"), what, "Mail for it goes to another server.").fix(todo, lines()));
    } else if !others.is_empty() {
        let what = format!("besides {host}, the MX of {domain} names {list}");
        let why = "Some mail goes there; unless it is a second server that you know to hand it on, it is lost to you.";
        let todo = format!("If it is not, leave this alone in the zone of {domain}:");
        findings.push(Finding::better(AREA, format!("mx-others {domain}"), what, why).fix(todo, lines()));
    } else {
        findings.push(Finding::good(AREA, format!("mail for {domain} goes to {host}")));
    }
    findings
}

fn target_trouble(asked: &Asked<'_>, domain: &str, target: &str) -> Option<Finding> {
    let lines = || asked.lines(Purpose::Mx, Some(domain));
    let todo = || format!("In the zone of {domain}, replace it with:");
    if target.is_empty() {
        // RFC 7505 §3.
        let what = format!("{domain} has a null MX");
        let why = "It says that the domain takes no mail at all.";
        return Some(Finding::wrong(AREA, format!("mx-null {domain}"), what, why).fix(todo(), lines()));
    }
    if let Ok(Some(real)) = asked.facts.dns.alias(target) {
        let what = format!("the MX of {domain} names {target}, which is an alias (CNAME) of {real}");
        // RFC 2181 §10.3.
        let why = "An MX must name a host itself; some senders refuse an alias.";
        return Some(Finding::wrong(AREA, format!("mx-alias {domain}"), what, why).fix(todo(), lines()));
    }
    if target != asked.facts.ours.hostname && asked.facts.dns.addresses(target) == Err(Silence::Nothing) {
        let what = format!("the MX of {domain} names {target}, which has no address");
        return Some(Finding::wrong(AREA, format!("mx-dead {domain}"), what, "Mail to it waits, then goes back.").fix(todo(), lines()));
    }
    None
}

/// From here only this machine's own view can be had: it says that the server listens, not that the world gets through.
fn ports(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // That nothing listens where nothing runs is said already.
    if !asked.facts.machine.running {
        return findings;
    }
    let (mut good, mut all_good) = (Vec::new(), true);
    for port in &asked.facts.ports {
        let at = std::net::SocketAddr::new(port.address, port.port);
        match &port.problem {
            None => good.push(format!("{} ({})", port.port, port.service)),
            Some(problem) => {
                all_good = false;
                let what = format!("this machine does not get to {at} ({}): {problem}", port.service);
                let why = match port.service.as_str() {
                    "smtp" => "No mail comes.",
                    "http" | "https" => "Web pages, settings of mail programs and certificates need it.",
                    _ => "Mail programs cannot connect.",
                };
                let todo = "See that the server listens there, and open the port in the firewall of this machine (the second line, \
                            if you use ufw) and of whoever rents it to you:";
                let lines = [format!("sudo ss -ltnp 'sport = :{}'", port.port), format!("sudo ufw allow {}/tcp", port.port)];
                let finding = Finding::wrong(AREA, format!("port-closed {at}"), what, why);
                findings.push(finding.fix(todo, lines));
            }
        }
    }
    good.dedup();
    if all_good && !good.is_empty() {
        findings.push(Finding::good(AREA, format!("from this machine its ports can be reached: {}", good.join(", "))));
        let what = "whether the world reaches them cannot be seen from here: write to yourself from an account elsewhere";
        findings.push(Finding::remark(AREA, "from-outside".to_owned(), what.to_owned()));
    }
    findings
}
