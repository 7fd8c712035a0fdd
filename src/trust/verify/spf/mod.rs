//! SPF (RFC 7208): may this address send in the name of this domain?
//!
//! Takes who is connected, the name in question and a way to ask DNS; gives one of the seven results and, of a failure,
//! what the domain has to say about it. Records are text of strangers that leads to other records of strangers: all
//! counts of RFC 7208 §4.6.4 are kept, and [`super::lookup::Bounded`] keeps the time. It is our own rather than that of
//! mail-auth, which takes records that the grammar forbids, counts no void lookups and takes the first of two records.

mod macros;
mod record;
#[cfg(test)]
mod suite;

use super::lookup::{Failure, Family, Lookup};
use macros::{Facts, Macros};
use record::{Mechanism, Prefixes, Qualifier, Record};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;

/// RFC 7208 §4.6.4: mechanisms and modifiers that ask DNS, in all records together.
const LOOKUPS_MAX: usize = 10;

/// RFC 7208 §4.6.4: of these, how many may find nothing.
const VOID_LOOKUPS_MAX: usize = 2;

/// RFC 7208 §4.6.4: exchangers of one `mx`, beyond which the record is wrong.
const EXCHANGERS_MAX: usize = 10;

/// RFC 7208 §4.6.4: names of one address that are looked at; others are as if they were not there.
const NAMES_MAX: usize = 10;

/// Octets of an explanation: one string of DNS is as long. More would not fit into a reply or a field.
const EXPLANATION_BYTES_MAX: usize = 255;

/// RFC 7208 §2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum Outcome {
    None,
    Neutral,
    Pass,
    Fail,
    SoftFail,
    TempError,
    PermError,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

impl From<Qualifier> for Outcome {
    fn from(qualifier: Qualifier) -> Self {
        match qualifier {
            Qualifier::Pass => Self::Pass,
            Qualifier::Fail => Self::Fail,
            Qualifier::SoftFail => Self::SoftFail,
            Qualifier::Neutral => Self::Neutral,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who is connected.
    pub peer: IpAddr,
    /// What it calls itself.
    pub helo: &'a str,
    /// `local@domain`; with an empty local part, or without one, postmaster is meant (RFC 7208 §4.3).
    pub sender: &'a str,
    /// What this host is called.
    pub receiver: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The result.
    pub outcome: Outcome,
    /// Of a failure: what the domain says of it, in printable ASCII, never more than [`EXPLANATION_BYTES_MAX`] octets.
    pub explanation: Option<String>,
}

/// RFC 7208 §4.1: check_host(), for the domain of the sender.
pub async fn check(request: Request<'_>, lookup: &dyn Lookup) -> Answer {
    let (local, domain) = request.sender.rsplit_once('@').unwrap_or(("", request.sender));
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let nothing = |outcome| Answer { outcome, explanation: None };
    if !is_name(domain) || !domain.contains('.') {
        // RFC 7208 §4.3: a name that no record can have.
        return nothing(Outcome::None);
    }
    let sender = format!("{}@{domain}", if local.is_empty() { "postmaster" } else { local });
    let peer = request.peer.to_canonical();
    let mut check = Check { request: Request { peer, sender: &sender, ..request }, lookup, lookups: 0, voids: 0, name: None };
    match check.host(domain.to_owned()).await {
        Ok((outcome, explanation)) => Answer { outcome, explanation },
        Err(outcome) => nothing(outcome),
    }
}

/// One check, over all its records.
struct Check<'a> {
    request: Request<'a>,
    lookup: &'a dyn Lookup,
    lookups: usize,
    voids: usize,
    /// `%{p}`, once it was found out.
    name: Option<String>,
}

/// What a record said, with its explanation; or an error that ends the whole check.
type Verdict = Result<(Outcome, Option<String>), Outcome>;

impl Check<'_> {
    /// RFC 7208 §4.4 to §4.7. In a box, since a record may include another.
    fn host(&mut self, domain: String) -> Pin<Box<dyn Future<Output = Verdict> + Send + '_>> {
        Box::pin(async move {
            let record = match self.record(&domain).await? {
                Some(record) => record,
                None => return Ok((Outcome::None, None)),
            };
            for directive in &record.directives {
                if self.matches(&directive.mechanism, &domain).await? {
                    let outcome = Outcome::from(directive.qualifier);
                    let explanation = match &record.explanation {
                        Some(explanation) if outcome == Outcome::Fail => self.explain(explanation, &domain).await,
                        _ => None,
                    };
                    return Ok((outcome, explanation));
                }
            }
            let Some(redirect) = &record.redirect else { return Ok((Outcome::Neutral, None)) };
            self.count()?;
            let target = self.expand(redirect, &domain).await;
            match self.host(target).await? {
                // RFC 7208 §6.1.
                (Outcome::None, _) => Err(Outcome::PermError),
                verdict => Ok(verdict),
            }
        })
    }

    /// RFC 7208 §4.5: the one record of a domain.
    async fn record(&self, domain: &str) -> Result<Option<Record>, Outcome> {
        let texts = match self.ask_txt(domain).await {
            Ok(texts) => texts,
            Err(Failure::Temporary) => return Err(Outcome::TempError),
            Err(_) => return Ok(None),
        };
        let mut records = texts.iter().filter(|text| record::is_record(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Outcome::PermError),
            (Some(text), None) => Record::parse(text).map(Some).ok_or(Outcome::PermError),
        }
    }

    /// RFC 7208 §5.
    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Outcome> {
        let peer = self.request.peer;
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, bits) => Ok(is_in(peer, IpAddr::V4(*network), *bits)),
            Mechanism::Ip6(network, bits) => Ok(is_in(peer, IpAddr::V6(*network), *bits)),
            Mechanism::Include(target) => {
                self.count()?;
                let target = self.expand(target, domain).await;
                // RFC 7208 §5.2: the table of what an included result means.
                match self.host(target).await? {
                    (Outcome::Pass, _) => Ok(true),
                    (Outcome::None, _) => Err(Outcome::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, prefixes) => {
                self.count()?;
                let host = self.target(target.as_ref(), domain).await;
                self.is_host(&host, *prefixes).await
            }
            Mechanism::Mx(target, prefixes) => {
                self.count()?;
                let target = self.target(target.as_ref(), domain).await;
                self.is_exchanger(&target, *prefixes).await
            }
            Mechanism::Ptr(target) => {
                self.count()?;
                let target = self.target(target.as_ref(), domain).await;
                Ok(self.proven_names().await?.iter().any(|name| is_at_or_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count()?;
                let target = self.expand(target, domain).await;
                // RFC 7208 §5.7: IPv4 addresses, whoever is connected.
                let found = self.ask_addresses(&target, Family::V4).await;
                Ok(self.found(found)?.is_some())
            }
        }
    }

    /// RFC 7208 §5.3.
    async fn is_host(&mut self, host: &str, prefixes: Prefixes) -> Result<bool, Outcome> {
        let peer = self.request.peer;
        let found = self.ask_addresses(host, Family::of(peer)).await;
        let bits = if peer.is_ipv4() { prefixes.v4 } else { prefixes.v6 };
        Ok(self.found(found)?.unwrap_or_default().into_iter().any(|address| is_in(peer, address, bits)))
    }

    /// RFC 7208 §5.4.
    async fn is_exchanger(&mut self, domain: &str, prefixes: Prefixes) -> Result<bool, Outcome> {
        let found = if is_name(domain) { self.lookup.exchangers(domain).await } else { Err(Failure::NoName) };
        let hosts = self.found(found)?.unwrap_or_default();
        if hosts.len() > EXCHANGERS_MAX {
            return Err(Outcome::PermError);
        }
        for host in hosts {
            if self.is_host(host.strip_suffix('.').unwrap_or(&host), prefixes).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.5: the peer's names that lead back to it. A failure to find out is a name that does not count.
    async fn proven_names(&mut self) -> Result<Vec<String>, Outcome> {
        let peer = self.request.peer;
        let names = match self.lookup.names_of(peer).await {
            Err(Failure::Temporary) => return Ok(Vec::new()),
            found => self.found(found)?.unwrap_or_default(),
        };
        let mut proven = Vec::new();
        for name in names.into_iter().take(NAMES_MAX) {
            let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
            if self.ask_addresses(&name, Family::of(peer)).await.is_ok_and(|found| found.contains(&peer)) {
                proven.push(name);
            }
        }
        Ok(proven)
    }

    /// RFC 7208 §7.3: of the proven names the domain itself, else one below it, else any.
    async fn name(&mut self, domain: &str) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let names = self.proven_names().await.unwrap_or_default();
        let exact = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
        let best = exact.or_else(|| names.iter().find(|name| is_at_or_below(name, domain))).or(names.first());
        let name = best.cloned().unwrap_or_else(|| "unknown".to_owned());
        self.name = Some(name.clone());
        name
    }

    async fn target(&mut self, target: Option<&Macros>, domain: &str) -> String {
        match target {
            Some(target) => self.expand(target, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn expand(&mut self, macros: &Macros, domain: &str) -> String {
        let name = if macros.needs_name() { self.name(domain).await } else { String::new() };
        macros.expand_name(&self.facts(domain, &name))
    }

    /// RFC 7208 §6.2: the text at that name, if there is just one and it keeps the grammar.
    async fn explain(&mut self, place: &Macros, domain: &str) -> Option<String> {
        let place = self.expand(place, domain).await;
        let texts = self.ask_txt(&place).await.ok()?;
        let [text] = texts.as_slice() else { return None };
        let explanation = Macros::explanation(text)?;
        let name = if explanation.needs_name() { self.name(domain).await } else { String::new() };
        let shown = explanation.expand(&self.facts(domain, &name));
        let shown = shown.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(EXPLANATION_BYTES_MAX);
        Some(shown.collect())
    }

    fn facts<'a>(&'a self, domain: &'a str, name: &'a str) -> Facts<'a> {
        let Request { peer, helo, sender, receiver, now } = self.request;
        Facts { sender, domain, peer, name, helo, receiver, now }
    }

    /// One more term that asks DNS.
    fn count(&mut self) -> Result<(), Outcome> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX { Err(Outcome::PermError) } else { Ok(()) }
    }

    /// What was found, if anything; RFC 7208 §4.6.4 counts how often it was nothing.
    fn found<T>(&mut self, found: Result<Vec<T>, Failure>) -> Result<Option<Vec<T>>, Outcome> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Failure::Temporary) => Err(Outcome::TempError),
            Err(Failure::NoName | Failure::NoData) => {
                self.voids += 1;
                if self.voids > VOID_LOOKUPS_MAX { Err(Outcome::PermError) } else { Ok(None) }
            }
        }
    }

    async fn ask_txt(&self, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
        if is_name(name) { self.lookup.txt(name).await } else { Err(Failure::NoName) }
    }

    async fn ask_addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, Failure> {
        if is_name(name) { self.lookup.addresses(name, family).await } else { Err(Failure::NoName) }
    }
}

/// Can DNS have such a name (RFC 1035 §2.3.4)? Others need not be asked for.
pub(super) fn is_name(name: &str) -> bool {
    let proper = |label: &str| (1..=63).contains(&label.len()) && !label.chars().any(char::is_control);
    name.len() <= 253 && !name.starts_with('[') && name.split('.').all(proper)
}

/// Is the name the domain or one below it?
fn is_at_or_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Do these many leading bits agree? Addresses of different families never do (RFC 7208 §5.6).
fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).checked_shr(32_u32.saturating_sub(bits)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).checked_shr(128_u32.saturating_sub(bits)).unwrap_or(0) == 0,
        _ => false,
    }
}
