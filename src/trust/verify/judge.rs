//! What follows from what was found: whom a message is trusted to be from, and what becomes of it.
//!
//! Pure: results in, decisions out. Level 2 is DMARC pass or an aligned signature where the domain publishes
//! no policy, level 1 is aligned SPF; a header that does not name one author is trusted for nothing.

use super::dmarc::{Outcome, Policy, author_domain};
use super::results::{ArcOutcome, Results, SignatureOutcome};
use super::spf;
use crate::trust::{Level, Principal, Trust};

/// What the owner says beside the domains' policies. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// Lists (RFC 2919) and domains whose mail is delivered whatever DMARC says.
    pub lists: Vec<String>,
    /// Domains whose ARC seals are believed.
    pub sealers: Vec<String>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It is delivered.
    Deliver,
    /// It is delivered although a policy says otherwise; why.
    Excepted(String),
    /// It goes to the recipients' mailbox for junk; why.
    Junk(String),
    /// It is refused for good, with this sentence.
    Refuse(String),
    /// It is refused for now, with this sentence.
    Defer(String),
}

/// The trust that the results prove.
pub fn trust(results: &Results) -> Trust {
    let dmarc = &results.dmarc;
    let ([author], 1) = (results.authors.addresses.as_slice(), results.authors.fields) else { return Trust::of_stranger() };
    let level = match dmarc.outcome {
        Outcome::Pass => Level::Dmarc,
        Outcome::None if dmarc.dkim_aligned => Level::Dmarc,
        Outcome::None if dmarc.spf_aligned => Level::Spf,
        _ => return Trust::of_stranger(),
    };
    Trust { level, principal: Principal::Address(author.clone()), origin: None }
}

/// What becomes of the message.
pub fn disposition(results: &Results, exceptions: &Exceptions) -> Disposition {
    let connection = &results.connection;
    // A report comes from the host itself, so no forwarder can be blamed where that host's name forbids this address.
    if connection.mail_from.is_empty() && connection.helo_spf.outcome == spf::Outcome::Fail {
        let (helo, peer) = (&connection.helo, connection.peer);
        return Disposition::Refuse(format!("this report comes from {peer}, and the SPF record of {helo} says that {helo} is not there"));
    }
    if let Some(why) = hides_its_author(results) {
        return Disposition::Junk(why.to_owned());
    }
    let Some(domain) = &results.dmarc.domain else { return Disposition::Deliver };
    let Some(policy) = results.dmarc.policy else { return without_policy(results, exceptions, domain) };
    match (results.dmarc.outcome, policy) {
        (Outcome::None | Outcome::Pass, _) | (_, Policy::None) => Disposition::Deliver,
        (Outcome::Fail | Outcome::TempError, _) if exception(results, exceptions).is_some() => {
            Disposition::Excepted(exception(results, exceptions).unwrap_or_default())
        }
        (Outcome::Fail, Policy::Quarantine) => Disposition::Junk(format!("{domain} asks to distrust mail that it does not sign")),
        (Outcome::Fail, Policy::Reject) => Disposition::Refuse(format!(
            "{domain} asks to refuse mail that claims to be from it and is not: neither its SPF record nor a DKIM signature of {domain} \
             covers this message; send it through the servers of {domain}"
        )),
        (Outcome::TempError, Policy::Reject) => Disposition::Defer(format!(
            "{domain} asks to refuse what is not from it, and its DNS records cannot be read now; try again later"
        )),
        (Outcome::TempError, Policy::Quarantine) => Disposition::Deliver,
    }
}

/// Programs show an author of the message whose domain nobody could be asked about; why.
fn hides_its_author(results: &Results) -> Option<&'static str> {
    let authors = &results.authors;
    if results.header_is_cut {
        Some("the message's header is longer than is read, so nobody knows what programs show of it")
    } else if authors.fields > 1 {
        Some("the message has more than one From, and programs differ in which one they show")
    } else if authors.addresses.is_empty() {
        Some("the message's From names nobody")
    } else if author_domain(&authors.addresses).is_none() {
        Some("the message names authors of several domains, and programs differ in which one they show")
    } else {
        None
    }
}

/// The domain publishes nothing, or its policy could not be read: then it may ask to refuse what is not from it, unless
/// this is.
fn without_policy(results: &Results, exceptions: &Exceptions, domain: &str) -> Disposition {
    if results.dmarc.outcome != Outcome::TempError || proven_domains(results).contains(&domain) {
        return Disposition::Deliver;
    }
    match exception(results, exceptions) {
        Some(why) => Disposition::Excepted(why),
        None => Disposition::Defer(format!("the DNS records of {domain} cannot be read now; try again later")),
    }
}

/// Why a failure of DMARC does not count, if it does not.
fn exception(results: &Results, exceptions: &Exceptions) -> Option<String> {
    if let Some(sealer) = results.arc.sealer.as_ref().filter(|sealer| exceptions.sealers.contains(sealer))
        && results.arc.outcome == ArcOutcome::Pass
        && says_pass(&results.arc.said)
    {
        return Some(format!("{sealer} sealed that it passed there"));
    }
    let proven = proven_domains(results);
    let excepted = |entry: &&String| {
        let is_proven = proven.iter().any(|domain| is_at_or_below(domain, entry));
        // What a message says of its list proves nothing: the list's domain must answer for it.
        let is_list = results.list_id.as_ref() == Some(*entry) && proven.iter().any(|domain| is_at_or_below(entry, domain));
        is_proven || is_list
    };
    exceptions.lists.iter().find(excepted).map(|entry| format!("{entry} is excepted by the owner"))
}

/// Domains that answer for the message, whoever its author is. A name of one label is nobody's.
fn proven_domains(results: &Results) -> Vec<&str> {
    let signed = results.signatures.iter().filter(|signature| signature.outcome == SignatureOutcome::Pass);
    let connection = &results.connection;
    let sent = connection.mail_from.rsplit_once('@').filter(|_| connection.mail_from_spf.outcome == spf::Outcome::Pass);
    let domains = signed.map(|signature| signature.domain.as_str()).chain(sent.map(|(_, domain)| domain));
    domains.filter(|domain| domain.contains('.')).collect()
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Does the value of an ARC-Authentication-Results say that DMARC passed? RFC 8617 §4.1.1: arc-info = instance [CFWS] ";"
/// authres-payload; RFC 8601 §2.2: the results are parted by semicolons, outside of comments and quotes.
fn says_pass(value: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut results = vec![String::new()];
    for &byte in value {
        let in_comment = depth > 0;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || in_comment => escaped = true,
            b'"' if !in_comment => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if in_comment => depth -= 1,
            b';' if !quoted && !in_comment => results.push(String::new()),
            byte if !quoted && !in_comment => results.iter_mut().last().into_iter().for_each(|last| last.push(char::from(byte))),
            _ => {}
        }
    }
    let method = |result: &String| {
        let (name, outcome) = result.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), outcome.split_ascii_whitespace().next()?.to_ascii_lowercase()))
    };
    // The first two are the instance and who says it.
    let mut said = results.iter().skip(2).filter_map(method).filter(|(name, _)| name == "dmarc");
    said.next().is_some_and(|(_, outcome)| outcome == "pass") && said.next().is_none()
}

#[cfg(test)]
mod tests;
