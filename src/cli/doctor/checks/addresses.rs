//! The host's own name: its addresses, and the names of these.

use super::{Asked, put, unknown};
use crate::cli::dns::records::{Data, Purpose, reverse_name};
use crate::cli::doctor::answers::Silence;
use crate::cli::doctor::finding::{Area, Finding};
use crate::net::https::is_public;
use std::net::IpAddr;

const AREA: Area = Area::Address;

pub(super) fn check(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = host(asked);
    for ip in asked.facts.addresses() {
        // Resolvers answer for loopback addresses by themselves (RFC 6761 §6.3), so the world's view cannot be had.
        if !ip.is_loopback() {
            findings.extend(reverse(asked, ip));
        }
        findings.extend(listed(asked, ip));
    }
    findings
}

fn host(asked: &Asked<'_>) -> Vec<Finding> {
    let (facts, host) = (asked.facts, &asked.facts.ours.hostname);
    let lines = asked.lines(Purpose::Address, None);
    let found = match facts.dns.addresses(host) {
        Ok(found) => found,
        Err(Silence::Nothing) => {
            let what = format!("{host} has no address in DNS");
            return vec![Finding::wrong(AREA, format!("host-missing {host}"), what, "Nobody finds this server.").fix(put(host), lines)];
        }
        Err(silence) => return unknown(AREA, "the address", host, &silence),
    };
    let mut findings = Vec::new();
    for ip in &found {
        let (known, stranger) = (&facts.ours.addresses, !facts.ours.addresses.contains(ip));
        let same_kind = known.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
        if !facts.closed_network && !is_public(ip) {
            findings.push(private(host, *ip));
        } else if stranger && !known.is_empty() && (same_kind || ip.is_ipv6()) {
            findings.push(elsewhere(asked, *ip));
        }
    }
    for ip in facts.ours.addresses.iter().filter(|ip| !found.contains(ip)) {
        let what = format!("this machine has the address {ip}, which DNS does not give to {host}");
        let why = "Mail leaves from every address of the machine, and receivers refuse it from one that does not belong to the name.";
        let line = lines.iter().filter(|line| line.ends_with(&format!(" {ip}"))).cloned();
        findings.push(Finding::wrong(AREA, format!("host-lacks {ip}"), what, why).fix(put(host), line));
    }
    if findings.is_empty() {
        let list: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        findings.push(Finding::good(AREA, format!("{host} is at {}", list.join(" and "))));
    }
    findings
}

fn private(host: &str, ip: IpAddr) -> Finding {
    let what = format!("DNS gives {host} the address {ip}, which nobody outside your own network can reach");
    let line = format!("{host}. 3600 IN {} <the public address>", Data::address(ip).kind());
    Finding::wrong(AREA, format!("host-private {ip}"), what, "No mail comes.").fix("Put the public address of this machine there:", [line])
}

fn elsewhere(asked: &Asked<'_>, ip: IpAddr) -> Finding {
    let host = &asked.facts.ours.hostname;
    let what = format!("DNS gives {host} the address {ip}, which this machine does not have");
    let why = "Some mail goes to another machine, or nowhere.";
    let todo = format!("Remove that {} record; this machine is at:", Data::address(ip).kind());
    Finding::wrong(AREA, format!("host-elsewhere {ip}"), what, why).fix(todo, asked.lines(Purpose::Address, None))
}

/// The name of an address, and whether the name has the address (iprev, RFC 8601 §2.7.3).
fn reverse(asked: &Asked<'_>, ip: IpAddr) -> Vec<Finding> {
    let (facts, host) = (asked.facts, &asked.facts.ours.hostname);
    const WHY: &str = "Gmail, Microsoft and many others refuse or distrust mail from an address whose name is missing or another's.";
    let todo = "Whoever rents you the machine sets it: look for \"reverse DNS\" or \"PTR\" in their panel, or ask them for:";
    let line = [format!("{}. IN PTR {host}.", reverse_name(ip))];
    let names = match facts.dns.names(ip) {
        Ok(names) => names,
        Err(Silence::Nothing) => {
            let what = format!("the address {ip} has no name (PTR)");
            return vec![Finding::wrong(AREA, format!("reverse-missing {ip}"), what, WHY).fix(todo, line)];
        }
        Err(silence) => return unknown(AREA, "the name", &ip.to_string(), &silence),
    };
    if names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return vec![Finding::good(AREA, format!("{ip} is called {host}"))];
    }
    let called = names.join(", ");
    let confirmed = names.iter().any(|name| facts.dns.addresses(name).is_ok_and(|addresses| addresses.contains(&ip)));
    let what = format!("the address {ip} is called {called}, not {host}");
    let found = match confirmed {
        true => Finding::better(AREA, format!("reverse-other {ip}"), what, "Receivers trust a server more whose name and address agree."),
        false => Finding::wrong(AREA, format!("reverse-wrong {ip}"), what, WHY),
    };
    vec![found.fix(todo, line)]
}

/// Block lists, where the owner asked for them. RFC 5782 §2.1: an address in 127.0.0.0/8 means that it is listed.
fn listed(asked: &Asked<'_>, ip: IpAddr) -> Vec<Finding> {
    let reversed = reverse_name(ip);
    let reversed = reversed.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
    let check = |list: &String| match asked.facts.dns.addresses(&format!("{reversed}.{list}")) {
        Err(Silence::Nothing) => Finding::good(AREA, format!("{ip} is not on the block list {list}")),
        Err(silence) => {
            let why = match silence {
                Silence::Unavailable(why) => why,
                _ => "it gives no answer".to_owned(),
            };
            Finding::remark(AREA, format!("list-silent {list} {ip}"), format!("the block list {list} could not be asked about {ip}: {why}"))
        }
        // By custom of the lists: not a listing, but a refusal to answer this resolver.
        Ok(said) if said.iter().any(|ip| matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == [127, 255])) => {
            let what = format!("the block list {list} does not answer your name servers: it refuses those that many people share");
            Finding::remark(AREA, format!("list-refuses {list}"), what)
        }
        Ok(_) => {
            let what = format!("the address {ip} is on the block list {list}");
            let why = "Receivers that use the list refuse your mail.";
            let todo = format!("Read there why, then ask to be taken off: search for \"{list}\" with the address");
            Finding::wrong(AREA, format!("listed {list} {ip}"), what, why).fix(todo, [ip.to_string()])
        }
    };
    asked.facts.block_lists.iter().map(check).collect()
}
