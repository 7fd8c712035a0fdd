//! SPF as a receiver would see it (RFC 7208), over answers that are there already: may this address send for this domain?
//!
//! Terms that depend on the message (macros, `exists`, `ptr`) are counted and never match, which is said.

use super::answers::{Answers, Silence};
use std::net::IpAddr;

/// RFC 7208 §4.6.4: terms that make a receiver look something up.
pub(super) const LOOKUPS_MAX: usize = 10;

/// What a record ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What receivers make of the address, or why they cannot use the record.
    pub verdict: Result<Verdict, String>,
    pub lookups: usize,
    /// Some term depends on the message.
    pub uncertain: bool,
    /// Something could not be asked.
    pub unknown: bool,
}

/// The record of a domain, for one address.
pub(super) fn evaluate(dns: &Answers, domain: &str, record: &str, ip: IpAddr) -> Outcome {
    let mut walk = Walk { dns, ip, lookups: 0, uncertain: false, unknown: false };
    let verdict = walk.record(domain, record);
    // Past the limit the sum is not true any more, and need not be.
    Outcome { verdict, lookups: walk.lookups, uncertain: walk.uncertain, unknown: walk.unknown }
}

/// The qualifier before `all`, if the record has one.
pub(super) fn ending(record: &str) -> Option<Verdict> {
    record.split_whitespace().find_map(|term| {
        let (verdict, name) = qualifier(term);
        name.eq_ignore_ascii_case("all").then_some(verdict)
    })
}

struct Walk<'a> {
    dns: &'a Answers,
    ip: IpAddr,
    lookups: usize,
    uncertain: bool,
    unknown: bool,
}

impl Walk<'_> {
    fn record(&mut self, domain: &str, record: &str) -> Result<Verdict, String> {
        let mut redirect = None;
        for term in record.split_whitespace().skip(1) {
            if let Some((name, value)) = term.split_once('=') {
                redirect = name.eq_ignore_ascii_case("redirect").then(|| value.to_owned()).or(redirect);
                continue;
            }
            let (verdict, mechanism) = qualifier(term);
            if self.matches(domain, mechanism)? {
                return Ok(verdict);
            }
        }
        match redirect {
            Some(target) => {
                self.count()?;
                self.of(&target)?.ok_or_else(|| format!("redirect={target} leads to no SPF record"))
            }
            None => Ok(Verdict::Neutral),
        }
    }

    /// What the one record of another domain says.
    fn of(&mut self, domain: &str) -> Result<Option<Verdict>, String> {
        if domain.contains('%') {
            self.uncertain = true;
            return Ok(Some(Verdict::Neutral));
        }
        match self.dns.texts(domain, "v=spf1").as_deref() {
            Ok([record]) => self.record(domain, record).map(Some),
            Ok([]) => Ok(None),
            Ok(_) => Err(format!("{domain} has several SPF records")),
            Err(_) => {
                self.unknown = true;
                Ok(Some(Verdict::Neutral))
            }
        }
    }

    fn matches(&mut self, domain: &str, mechanism: &str) -> Result<bool, String> {
        let (name, value) = mechanism.find([':', '/']).map_or((mechanism, ""), |at| mechanism.split_at(at));
        let value = value.strip_prefix(':').unwrap_or(value);
        match name.to_ascii_lowercase().as_str() {
            "all" => Ok(true),
            "ip4" | "ip6" => within(self.ip, value).ok_or_else(|| format!("{mechanism} is not a network")),
            "include" => {
                self.count()?;
                let said = self.of(value)?.ok_or_else(|| format!("include:{value} leads to no SPF record"))?;
                Ok(said == Verdict::Pass)
            }
            kind @ ("a" | "mx") => {
                self.count()?;
                let (host, lengths) = value.find('/').map_or((value, ""), |at| value.split_at(at));
                let host = if host.is_empty() { domain } else { host };
                Ok(self.hosts(host, kind == "mx").iter().any(|ip| same_network(self.ip, *ip, lengths)))
            }
            "exists" | "ptr" => {
                self.uncertain = true;
                self.count().map(|()| false)
            }
            _ => Err(format!("{mechanism} is nothing that SPF knows")),
        }
    }

    fn hosts(&mut self, host: &str, mx: bool) -> Vec<IpAddr> {
        if host.contains('%') {
            self.uncertain = true;
            return Vec::new();
        }
        let names = match mx {
            true => self.known(self.dns.mx(host)).into_iter().map(|(_, host)| host).collect(),
            false => vec![host.to_owned()],
        };
        names.iter().flat_map(|name| self.known(self.dns.addresses(name))).collect()
    }

    fn known<T>(&mut self, said: Result<Vec<T>, Silence>) -> Vec<T> {
        self.unknown |= !matches!(said, Ok(_) | Err(Silence::Nothing));
        said.unwrap_or_default()
    }

    fn count(&mut self) -> Result<(), String> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX { Err(format!("it asks for more than {LOOKUPS_MAX} lookups")) } else { Ok(()) }
    }
}

fn qualifier(term: &str) -> (Verdict, &str) {
    let kinds = [('+', Verdict::Pass), ('-', Verdict::Fail), ('~', Verdict::SoftFail), ('?', Verdict::Neutral)];
    kinds.iter().find_map(|(sign, verdict)| Some((*verdict, term.strip_prefix(*sign)?))).unwrap_or((Verdict::Pass, term))
}

/// Is the address in a network such as `192.0.2.0/24`? `None` if that is no network.
fn within(ip: IpAddr, network: &str) -> Option<bool> {
    let (base, length) = network.split_once('/').unwrap_or((network, ""));
    let base: IpAddr = base.parse().ok()?;
    let width = if base.is_ipv4() { 32 } else { 128 };
    let length: u32 = if length.is_empty() { width } else { length.parse().ok().filter(|length| *length <= width)? };
    let head = |ip| bits(ip).checked_shr(width - length);
    Some(ip.is_ipv4() == base.is_ipv4() && head(ip) == head(base))
}

/// `lengths` is of the form `/24//64`, both parts optional (RFC 7208 §5.3).
fn same_network(ip: IpAddr, host: IpAddr, lengths: &str) -> bool {
    let (four, six) = lengths.split_once("//").unwrap_or((lengths, ""));
    let length = if host.is_ipv4() { four.trim_start_matches('/') } else { six };
    let network = if length.is_empty() { host.to_string() } else { format!("{host}/{length}") };
    within(ip, &network).unwrap_or(false)
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}
