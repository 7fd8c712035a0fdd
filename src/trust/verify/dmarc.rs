//! DMARC (RFC 9989): what the domain of an author wants to happen with mail that is not its own.
//!
//! Takes what SPF and DKIM found and asks DNS for the author's policy by a tree walk; gives a result and a policy, and
//! decides nothing. Its own rather than mail-auth's, which stops at the first of several records, ends with the first
//! faulty tag, and asks DNS by itself. Reads records of strangers.

use super::lookup::{Failure, Family, Lookup};
use super::results::{Signature, SignatureOutcome, comment, value};
use super::spf::{self, is_name};
use std::collections::HashMap;

/// RFC 9989 §4.10: names with more labels are cut to these after the first question, so that eight questions are enough.
const WALK_LABELS_MAX: usize = 7;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmarc {
    /// The result.
    pub outcome: Outcome,
    /// The author's domain in lower case, if there is just one.
    pub domain: Option<String>,
    /// What the domain wants, if it says so.
    pub policy: Option<Policy>,
    /// Whether SPF proves the author's domain.
    pub spf_aligned: bool,
    /// Whether a DKIM signature does.
    pub dkim_aligned: bool,
}

/// RFC 9989 §9.1 and RFC 8601 §2.7.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum Outcome {
    /// There is no policy, or nobody whose it would be.
    None,
    Pass,
    Fail,
    TempError,
}

/// RFC 9989 §4.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum Policy {
    None,
    Quarantine,
    Reject,
}

impl Policy {
    /// The word of a record, and of us.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|policy| policy.word().eq_ignore_ascii_case(word))
    }
}

impl Dmarc {
    fn nothing(outcome: Outcome, domain: Option<&str>) -> Self {
        Self { outcome, domain: domain.map(str::to_owned), policy: None, spf_aligned: false, dkim_aligned: false }
    }

    /// In the words of RFC 8601 §2.2, resinfo.
    pub fn words(&self) -> String {
        let outcome = match self.outcome {
            Outcome::None => "none",
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::TempError => "temperror",
        };
        let from = self.domain.as_deref().map(|domain| format!(" header.from={}", value(domain))).unwrap_or_default();
        let policy = self.policy.map(|policy| format!(" policy.dmarc={}", policy.word())).unwrap_or_default();
        let why = if self.domain.is_none() { comment("it does not have one author's domain") } else { String::new() };
        format!("dmarc={outcome}{why}{from}{policy}")
    }
}

/// A record, as far as it matters here. RFC 9989 §4.7: what is wrong in it counts as not said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    policy: Option<Policy>,
    subdomains: Option<Policy>,
    absent_subdomains: Option<Policy>,
    strict_dkim: bool,
    strict_spf: bool,
    /// `psd=`: the name is that of a registry, or it is not.
    public_suffix: Option<bool>,
    testing: bool,
    wants_reports: bool,
}

impl Record {
    /// RFC 9989 §4.8: dmarc-record = dmarc-version *( ";" dmarc-tag ) [ ";" ]
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut tags = text.split(';').map(|tag| tag.split_once('=').map(|(name, value)| (name.trim(), value.trim())));
        if tags.next()?? != ("v", "DMARC1") {
            return None;
        }
        let tags: HashMap<String, &str> = tags.flatten().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let tag = |name: &str| tags.get(name).copied().unwrap_or_default();
        let policy = Policy::parse(tag("p"));
        let subdomains = Policy::parse(tag("sp")).or(policy);
        let public_suffix = match tag("psd") {
            "y" | "Y" => Some(true),
            "n" | "N" => Some(false),
            _ => None,
        };
        Some(Self {
            policy,
            subdomains,
            absent_subdomains: Policy::parse(tag("np")).or(subdomains),
            strict_dkim: tag("adkim").eq_ignore_ascii_case("s"),
            strict_spf: tag("aspf").eq_ignore_ascii_case("s"),
            public_suffix,
            testing: tag("t").eq_ignore_ascii_case("y"),
            wants_reports: tag("rua").to_ascii_lowercase().contains("mailto:"),
        })
    }
}

/// What SPF and DKIM found.
#[derive(Debug, Clone, Copy)]
pub struct Proofs<'a> {
    /// SPF of the reverse-path.
    pub spf: spf::Outcome,
    /// The domain whose SPF it is, in lower case.
    pub spf_domain: &'a str,
    /// Of DKIM.
    pub signatures: &'a [Signature],
}

impl Proofs<'_> {
    /// Is there anything that proves a domain, or may prove one?
    fn may_be_aligned(&self) -> bool {
        let may = |signature: &Signature| matches!(signature.outcome, SignatureOutcome::Pass | SignatureOutcome::TempError);
        matches!(self.spf, spf::Outcome::Pass | spf::Outcome::TempError) || self.signatures.iter().any(may)
    }
}

/// Checks a message of these authors, `local@domain` with domains in lower case. RFC 9989 §5.3.1: with authors of several
/// domains, DMARC says nothing.
pub async fn check(authors: &[String], proofs: Proofs<'_>, lookup: &dyn Lookup) -> Dmarc {
    let Some(domain) = author_domain(authors) else { return Dmarc::nothing(Outcome::None, None) };
    if !is_name(domain) {
        return Dmarc::nothing(Outcome::None, None);
    }
    let mut walks = Walks { lookup, records: HashMap::new() };
    match walks.check(domain, proofs).await {
        Ok(dmarc) => dmarc,
        Err(_) => Dmarc::nothing(Outcome::TempError, Some(domain)),
    }
}

/// The one domain of all authors.
pub fn author_domain(authors: &[String]) -> Option<&str> {
    let mut domains = authors.iter().map(|author| author.rsplit_once('@').map_or("", |(_, domain)| domain));
    let first = domains.next().filter(|domain| !domain.is_empty())?;
    domains.all(|domain| domain == first).then_some(first)
}

/// Records along the way up from a name: the name with its record, the longest first.
type Walk = Vec<(String, Record)>;

struct Walks<'a> {
    lookup: &'a dyn Lookup,
    records: HashMap<String, Option<Record>>,
}

impl Walks<'_> {
    async fn check(&mut self, domain: &str, proofs: Proofs<'_>) -> Result<Dmarc, Failure> {
        let exact = self.without_policy(domain, proofs);
        let own = self.record(domain).await?;
        if let Some(own) = &own
            && let Some(policy) = self.policy(own, true, domain).await
        {
            if exact.spf_aligned || exact.dkim_aligned {
                // Nobody's organisation matters, so nobody is asked for it.
                return Ok(Dmarc { outcome: Outcome::Pass, policy: Some(policy), ..exact });
            }
            if !proofs.may_be_aligned() {
                return Ok(Dmarc { outcome: Outcome::Fail, policy: Some(policy), ..exact });
            }
            let unsure = Dmarc { policy: Some(policy), ..Dmarc::nothing(Outcome::TempError, Some(domain)) };
            return Ok(self.check_up(domain, proofs).await.unwrap_or(unsure));
        }
        self.check_up(domain, proofs).await
    }

    /// With all that is published from the domain upwards.
    async fn check_up(&mut self, domain: &str, proofs: Proofs<'_>) -> Result<Dmarc, Failure> {
        let walk = self.up_from(domain).await?;
        let organisation = organisation(&walk, domain);
        // RFC 9989 §4.10.1: the author's own record, else that of the organisation, else that of the registry.
        let own = walk.iter().find(|(name, _)| name == domain);
        let found = own.or_else(|| walk.iter().find(|(name, _)| *name == organisation)).or(walk.last());
        let Some((_, record)) = found else { return Ok(self.without_policy(domain, proofs)) };
        let Some(policy) = self.policy(record, own.is_some(), domain).await else { return Ok(self.without_policy(domain, proofs)) };
        let (mut pass, mut unsure) = ((false, false), false);
        if matches!(proofs.spf, spf::Outcome::Pass | spf::Outcome::TempError) {
            let aligned = self.is_aligned(proofs.spf_domain, domain, &organisation, record.strict_spf).await?;
            pass.0 = aligned && proofs.spf == spf::Outcome::Pass;
            unsure |= aligned && proofs.spf == spf::Outcome::TempError;
        }
        for signature in proofs.signatures {
            if !matches!(signature.outcome, SignatureOutcome::Pass | SignatureOutcome::TempError) {
                continue;
            }
            let aligned = self.is_aligned(&signature.domain, domain, &organisation, record.strict_dkim).await?;
            pass.1 |= aligned && signature.outcome == SignatureOutcome::Pass;
            unsure |= aligned && signature.outcome == SignatureOutcome::TempError;
        }
        let outcome = match pass {
            (false, false) if unsure => Outcome::TempError,
            (false, false) => Outcome::Fail,
            _ => Outcome::Pass,
        };
        let (spf_aligned, dkim_aligned) = pass;
        Ok(Dmarc { outcome, domain: Some(domain.to_owned()), policy: Some(policy), spf_aligned, dkim_aligned })
    }

    /// Without a record no organisation is known: only the author's domain itself counts as aligned.
    fn without_policy(&self, domain: &str, proofs: Proofs<'_>) -> Dmarc {
        let passes = |signature: &Signature| signature.outcome == SignatureOutcome::Pass && signature.domain == domain;
        Dmarc {
            spf_aligned: proofs.spf == spf::Outcome::Pass && proofs.spf_domain == domain,
            dkim_aligned: proofs.signatures.iter().any(passes),
            ..Dmarc::nothing(Outcome::None, Some(domain))
        }
    }

    /// RFC 9989 §4.10.1 and §4.7: the policy for this domain, if the record has one.
    async fn policy(&self, record: &Record, is_own: bool, domain: &str) -> Option<Policy> {
        let policy = match record.policy {
            None if record.wants_reports => return Some(Policy::None),
            None => return None,
            Some(policy) if is_own => policy,
            Some(policy) => {
                let (there, absent) = (record.subdomains.unwrap_or(policy), record.absent_subdomains.unwrap_or(policy));
                // RFC 8020 §2: a name that does not exist has nothing of any kind.
                let is_absent = async || self.lookup.addresses(domain, Family::V4).await == Err(Failure::NoName);
                if there != absent && is_absent().await { absent } else { there }
            }
        };
        Some(match policy {
            Policy::Reject if record.testing => Policy::Quarantine,
            Policy::Quarantine if record.testing => Policy::None,
            policy => policy,
        })
    }

    /// RFC 9989 §4.10.2.
    async fn is_aligned(&mut self, other: &str, domain: &str, organisation: &str, strict: bool) -> Result<bool, Failure> {
        if other == domain {
            return Ok(true);
        }
        // Only names of the same organisation can be, and those end with its name.
        let may_be = other.strip_suffix(organisation).is_some_and(|above| above.is_empty() || above.ends_with('.'));
        if strict || !may_be {
            return Ok(false);
        }
        let walk = self.up_from(other).await?;
        Ok(self::organisation(&walk, other) == organisation)
    }

    /// RFC 9989 §4.10: the tree walk.
    async fn up_from(&mut self, domain: &str) -> Result<Walk, Failure> {
        let mut walk = Walk::new();
        let labels: Vec<&str> = domain.split('.').collect();
        let mut count = labels.len();
        while count > 0 {
            let name = labels.get(labels.len() - count..).unwrap_or_default().join(".");
            if let Some(record) = self.record(&name).await? {
                let is_last = record.public_suffix.is_some();
                walk.push((name, record));
                if is_last {
                    break;
                }
            }
            count = (count - 1).min(WALK_LABELS_MAX);
        }
        Ok(walk)
    }

    /// RFC 9989 §4.10: one record counts, several are none.
    async fn record(&mut self, name: &str) -> Result<Option<Record>, Failure> {
        if let Some(record) = self.records.get(name) {
            return Ok(record.clone());
        }
        let place = format!("_dmarc.{name}");
        let found = if is_name(&place) { self.lookup.txt(&place).await } else { Err(Failure::NoName) };
        let texts = match found {
            Err(Failure::Temporary) => return Err(Failure::Temporary),
            found => found.unwrap_or_default(),
        };
        let mut records = texts.iter().filter_map(|text| Record::parse(text));
        let record = records.next().filter(|_| records.next().is_none());
        self.records.insert(name.to_owned(), record.clone());
        Ok(record)
    }
}

/// RFC 9989 §4.10.2: the name of the organisation to which the walk's start belongs.
fn organisation(walk: &Walk, start: &str) -> String {
    for (name, record) in walk {
        match record.public_suffix {
            Some(false) => return name.clone(),
            Some(true) if name != start => {
                let below = start.strip_suffix(name.as_str()).map(|above| above.trim_end_matches('.'));
                let label = below.and_then(|above| above.rsplit('.').next()).unwrap_or_default();
                return format!("{label}.{name}");
            }
            _ => {}
        }
    }
    walk.last().map_or(start, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests;
