//! The records that a server needs in DNS: one pure function from [`Facts`] to [`Record`]s, each with its reason.
//!
//! `stoa dns` prints them and `stoa doctor` looks for them, so what is asked for is what is checked.
//!
//! Standards: RFC 5321 §5 (MX), RFC 7208 (SPF), RFC 6376 §3.6.2 (DKIM), RFC 9989 §4 (DMARC), RFC 8461 §3.1 (MTA-STS),
//! RFC 8460 §3 (TLS-RPT), RFC 7672 §2.2.3 (TLSA), RFC 6186 and RFC 8314 §5.1 (SRV), RFC 8659 (CAA), RFC 8657 (accounturi).

use super::facts::{Authority, Domain, Facts};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035 §3.3.14: a string of a TXT record has 255 octets at most.
const STRING_BYTES_MAX: usize = 255;

/// How this server proves to an authority that a name is its own (RFC 8657 §4).
const VALIDATION_METHODS: &str = "http-01,tls-alpn-01,dns-01";

/// What a record says. Names are without a final dot; an empty target is the root: there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx {
        preference: u16,
        host: String,
    },
    Txt(String),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    Cname(String),
    /// As text: `3 1 1 …`.
    Tlsa(String),
    Caa {
        critical: bool,
        tag: String,
        value: String,
    },
    Ns(String),
    Ptr(String),
    /// An address that is not known here; what kind, as a type of records and as people say.
    Missing(&'static str, &'static str),
}

impl Data {
    /// The record of an address.
    pub fn address(ip: IpAddr) -> Data {
        match ip {
            IpAddr::V4(ip) => Data::A(ip),
            IpAddr::V6(ip) => Data::Aaaa(ip),
        }
    }

    /// The type of the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Data::A(_) => "A",
            Data::Aaaa(_) => "AAAA",
            Data::Mx { .. } => "MX",
            Data::Txt(_) => "TXT",
            Data::Srv { .. } => "SRV",
            Data::Cname(_) => "CNAME",
            Data::Tlsa(_) => "TLSA",
            Data::Caa { .. } => "CAA",
            Data::Ns(_) => "NS",
            Data::Ptr(_) => "PTR",
            Data::Missing(kind, _) => kind,
        }
    }

    /// As a zone file has it (RFC 1035 §5.1).
    pub fn in_zone(&self) -> String {
        match self {
            Data::Txt(text) => strings(text),
            Data::Caa { value, .. } => format!("{} {}", self.caa_head(), quoted(value.as_bytes())),
            other => other.to_string(),
        }
    }

    fn caa_head(&self) -> String {
        match self {
            Data::Caa { critical, tag, .. } => format!("{} {tag}", u8::from(*critical) << 7),
            _ => String::new(),
        }
    }
}

/// As the forms of providers take it: a text in one piece and without quotes.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::A(ip) => ip.fmt(f),
            Data::Aaaa(ip) => ip.fmt(f),
            Data::Mx { preference, host } => write!(f, "{preference} {host}."),
            Data::Txt(text) | Data::Tlsa(text) => f.write_str(text),
            Data::Srv { priority, weight, port, target } => write!(f, "{priority} {weight} {port} {target}."),
            Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => write!(f, "{name}."),
            Data::Caa { value, .. } => write!(f, "{} {}", self.caa_head(), quoted(value.as_bytes())),
            Data::Missing(_, what) => write!(f, "<{what} address of this machine>"),
        }
    }
}

/// RFC 1035 §5.1: quoted strings, each of 255 octets at most.
fn strings(text: &str) -> String {
    let strings: Vec<String> = text.as_bytes().chunks(STRING_BYTES_MAX).map(quoted).collect();
    if strings.is_empty() { "\"\"".to_owned() } else { strings.join(" ") }
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("\\{other:03}")),
        }
    }
    out + "\""
}

/// How soon a record is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Need {
    /// Without it mail does not come, or what is sent is refused.
    First,
    /// The same, but whoever owns the addresses sets it.
    Hoster,
    /// It makes mail safer or mail programs happier.
    Later,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Purpose {
    Address,
    Mx,
    Spf,
    Dkim,
    Dmarc,
    Reverse,
    HostSpf,
    StsText,
    StsHost,
    TlsReports,
    Tlsa,
    Service,
    Autoconfig,
    Autodiscover,
    Caa,
    Delegation,
}

impl Purpose {
    /// One sentence on why.
    pub fn why(self) -> &'static str {
        match self {
            Self::Address => "Where this host is.",
            Self::Mx => "Mail for the domain comes to this host.",
            Self::Spf => "Mail from the domain leaves from this host alone; receivers refuse what others send in its name.",
            Self::Dkim => "Receivers check with this key that a message is yours and was not changed.",
            Self::Dmarc => "What receivers do with mail that only claims to be yours, and where they report what they saw.",
            Self::Reverse => {
                "Receivers refuse mail from an address without a name. Whoever rents you the machine sets it, in their panel or on request."
            }
            Self::HostSpf => "Reports of failed delivery are sent in the name of the host, not of the domain.",
            Self::StsText => "Senders learn that a policy is served, and by the id when it changed (MTA-STS).",
            Self::StsHost => "Where senders fetch the policy that mail must come encrypted to this host (MTA-STS).",
            Self::TlsReports => "Senders report when encryption fails.",
            Self::Tlsa => {
                "Senders that check it know this server's key, so nobody can pose as it; of use only where the zone is signed (DNSSEC)."
            }
            Self::Service => "Mail programs find the servers by themselves; a lone dot says that a service is not offered.",
            Self::Autoconfig => "Thunderbird and others fetch their settings there.",
            Self::Autodiscover => "Outlook fetches its settings there.",
            Self::Caa => "No other authority may issue certificates for this host.",
            Self::Delegation => "This server answers for these names itself, so keys are changed without you.",
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Record {
    /// Its owner, without a final dot.
    pub name: String,
    pub data: Data,
    pub need: Need,
    pub purpose: Purpose,
}

impl Record {
    /// A line of a zone file.
    pub fn line(&self) -> String {
        format!("{}. {TTL_SECONDS} IN {} {}", self.name, self.data.kind(), self.data.in_zone())
    }
}

/// How long others remember a record: mistakes are put right within an hour, and nobody asks more often.
const TTL_SECONDS: u32 = 3600;

/// All records: those of the host, then those of each domain, by need.
pub(in crate::cli) fn records(facts: &Facts) -> Vec<Record> {
    let mut all = host(facts);
    for domain in &facts.domains {
        all.extend(mail(facts, domain));
        all.extend(transport(facts, domain));
        all.extend(programs(facts, domain));
    }
    // Domains may be one another's hosts.
    let mut seen = Vec::new();
    all.retain(|record| {
        let key = (record.name.clone(), record.data.clone());
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    all.sort_by_key(|record| record.need);
    all
}

fn host(facts: &Facts) -> Vec<Record> {
    let host = &facts.hostname;
    let mut all: Vec<Record> =
        addresses(facts).map(|data| Record { name: host.clone(), data, need: Need::First, purpose: Purpose::Address }).collect();
    all.extend(facts.addresses.iter().map(|ip| Record {
        name: reverse_name(*ip),
        data: Data::Ptr(host.clone()),
        need: Need::Hoster,
        purpose: Purpose::Reverse,
    }));
    if !facts.domains.iter().any(|domain| domain.name == *host) {
        all.push(later(host, Data::Txt("v=spf1 a -all".to_owned()), Purpose::HostSpf));
    }
    if let Some(tlsa) = &facts.tlsa {
        all.push(later(&format!("_25._tcp.{host}"), Data::Tlsa(tlsa.clone()), Purpose::Tlsa));
    }
    if let Some(authority) = &facts.authority {
        let data = Data::Caa { critical: false, tag: "issue".to_owned(), value: issuer(authority) };
        all.push(later(host, data, Purpose::Caa));
    }
    all
}

/// Without known addresses, what is to be filled in.
fn addresses(facts: &Facts) -> impl Iterator<Item = Data> {
    let known = facts.addresses.iter().copied().map(Data::address);
    let open = [Data::Missing("A", "IPv4"), Data::Missing("AAAA", "IPv6")];
    known.chain(open.into_iter().filter(|_| facts.addresses.is_empty()))
}

/// RFC 8659 §4.2 and RFC 8657.
fn issuer(authority: &Authority) -> String {
    match &authority.account {
        Some(account) => format!("{}; validationmethods={VALIDATION_METHODS}; accounturi={account}", authority.domain),
        None => authority.domain.clone(),
    }
}

/// What mail needs first.
fn mail(facts: &Facts, domain: &Domain) -> Vec<Record> {
    let first = |name: String, data, purpose| Record { name, data, need: Need::First, purpose };
    let name = &domain.name;
    let mut all = vec![
        first(name.clone(), Data::Mx { preference: 10, host: facts.hostname.clone() }, Purpose::Mx),
        first(name.clone(), Data::Txt("v=spf1 mx -all".to_owned()), Purpose::Spf),
    ];
    if domain.delegated {
        all.push(first(format!("_domainkey.{name}"), Data::Ns(facts.hostname.clone()), Purpose::Delegation));
    } else {
        all.extend(domain.dkim.iter().map(|key| {
            let at = format!("{}._domainkey.{name}", key.selector);
            first(at, Data::Txt(key.record.clone()), Purpose::Dkim)
        }));
    }
    let dmarc = format!("v=DMARC1; p=none; rua=mailto:dmarc-reports@{name}");
    all.push(first(format!("_dmarc.{name}"), Data::Txt(dmarc), Purpose::Dmarc));
    all
}

/// What keeps mail encrypted on its way.
fn transport(facts: &Facts, domain: &Domain) -> Vec<Record> {
    let name = &domain.name;
    let reports = format!("v=TLSRPTv1; rua=mailto:tls-reports@{name}");
    let mut all = Vec::new();
    if facts.ports.https.is_some() {
        all.push(later(&format!("mta-sts.{name}"), Data::Cname(facts.hostname.clone()), Purpose::StsHost));
        all.push(later(&format!("_mta-sts.{name}"), Data::Txt(facts.sts.clone()), Purpose::StsText));
    }
    all.push(later(&format!("_smtp._tls.{name}"), Data::Txt(reports), Purpose::TlsReports));
    all
}

/// What mail programs look for.
fn programs(facts: &Facts, domain: &Domain) -> Vec<Record> {
    let name = &domain.name;
    let ports = facts.ports;
    // RFC 6186 §3.4: what is not offered is said so; RFC 8314 §5.1 prefers TLS from the first byte.
    let services = [
        ("_submissions", ports.submissions),
        ("_imaps", ports.imaps),
        ("_submission", ports.submission),
        ("_imap", ports.imap),
        ("_pop3s", None),
        ("_pop3", None),
    ];
    let mut all: Vec<Record> = services
        .iter()
        .map(|(service, port)| later(&format!("{service}._tcp.{name}"), srv(*port, &facts.hostname), Purpose::Service))
        .collect();
    if ports.https.is_some() {
        all.push(later(&format!("autoconfig.{name}"), Data::Cname(facts.hostname.clone()), Purpose::Autoconfig));
        all.push(later(&format!("autodiscover.{name}"), Data::Cname(facts.hostname.clone()), Purpose::Autodiscover));
    }
    all
}

fn srv(port: Option<u16>, host: &str) -> Data {
    match port {
        Some(port) => Data::Srv { priority: 0, weight: 1, port, target: host.to_owned() },
        None => Data::Srv { priority: 0, weight: 0, port: 0, target: String::new() },
    }
}

fn later(name: &str, data: Data, purpose: Purpose) -> Record {
    Record { name: name.to_owned(), data, need: Need::Later, purpose }
}

/// RFC 1035 §3.5 and RFC 3596 §2.5.
pub(in crate::cli) fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}
