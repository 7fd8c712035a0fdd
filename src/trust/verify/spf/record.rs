//! SPF records: their text, which a stranger wrote, as directives and modifiers.
//!
//! Pure. Strict: a record with one mistake anywhere is of no use (RFC 7208 §4.6), so that all who read it see the same.

use super::macros::Macros;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 7208 §4.5: version = "v=spf1".
const VERSION: &[u8] = b"v=spf1";

/// A record that keeps the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In order.
    pub directives: Vec<Directive>,
    /// Whose record decides where none of the directives does.
    pub redirect: Option<Macros>,
    /// Where the explanation of a failure is.
    pub explanation: Option<Macros>,
}

/// RFC 7208 §4.6.1: directive = [ qualifier ] mechanism
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What a match means.
    pub qualifier: Qualifier,
    /// What matches.
    pub mechanism: Mechanism,
}

/// RFC 7208 §4.6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// RFC 7208 §5. A mechanism without a name of its own means the current domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    All,
    Include(Macros),
    A(Option<Macros>, Prefixes),
    Mx(Option<Macros>, Prefixes),
    Ptr(Option<Macros>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(Macros),
}

/// RFC 7208 §5.6: how many leading bits of an address count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    /// Of 32.
    pub v4: u8,
    /// Of 128.
    pub v6: u8,
}

/// Is this TXT record one of SPF? RFC 7208 §4.5: the version ends with a space or the record.
pub fn is_record(text: &[u8]) -> bool {
    text.split_at_checked(VERSION.len())
        .is_some_and(|(version, rest)| version.eq_ignore_ascii_case(VERSION) && matches!(rest.first(), None | Some(b' ')))
}

impl Record {
    /// RFC 7208 §4.6.1: record = version terms *SP; terms = *( 1*SP ( directive / modifier ) )
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && is_record(text.as_bytes()))?;
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        for term in text.get(VERSION.len()..)?.split(' ').filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some((name, value)) => record.modify(name, value)?,
                None => record.directives.push(directive(term)?),
            }
        }
        Some(record)
    }

    /// RFC 7208 §6: each of the two that are known stands once at most; others are passed over, if they keep the grammar.
    fn modify(&mut self, name: &str, value: &str) -> Option<()> {
        let known = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut self.redirect,
            "exp" => &mut self.explanation,
            _ => return Macros::parse(value).map(drop),
        };
        if known.is_some() {
            return None;
        }
        *known = Some(Macros::domain(value)?);
        Some(())
    }
}

/// RFC 7208 §4.6.1: name "=" macro-string; name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name.then_some((name, value))
}

fn directive(term: &str) -> Option<Directive> {
    let qualifier = match term.as_bytes().first()? {
        b'+' => Some(Qualifier::Pass),
        b'-' => Some(Qualifier::Fail),
        b'~' => Some(Qualifier::SoftFail),
        b'?' => Some(Qualifier::Neutral),
        _ => None,
    };
    let mechanism = mechanism(if qualifier.is_some() { term.get(1..)? } else { term })?;
    Some(Directive { qualifier: qualifier.unwrap_or(Qualifier::Pass), mechanism })
}

fn mechanism(term: &str) -> Option<Mechanism> {
    let end = term.find([':', '/']).unwrap_or(term.len());
    let (name, rest) = term.split_at(end);
    let value = rest.strip_prefix(':');
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" => rest.is_empty().then_some(Mechanism::All)?,
        "include" => Mechanism::Include(Macros::domain(value?)?),
        "exists" => Mechanism::Exists(Macros::domain(value?)?),
        "a" => target(rest).map(|(domain, prefixes)| Mechanism::A(domain, prefixes))?,
        "mx" => target(rest).map(|(domain, prefixes)| Mechanism::Mx(domain, prefixes))?,
        "ptr" if rest.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(Macros::domain(value?)?)),
        "ip4" => network(value?, 32).map(|(address, bits)| Mechanism::Ip4(address, bits))?,
        "ip6" => network(value?, 128).map(|(address, bits)| Mechanism::Ip6(address, bits))?,
        _ => return None,
    };
    Some(mechanism)
}

/// RFC 7208 §5.3: [ ":" domain-spec ] [ dual-cidr-length ]; dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
fn target(text: &str) -> Option<(Option<Macros>, Prefixes)> {
    // A domain-spec may hold a slash, but does not end with one and digits.
    let (text, v6) = cut_prefix(text, "//", 128)?;
    let (text, v4) = cut_prefix(text, "/", 32)?;
    let domain = match text.strip_prefix(':') {
        Some(domain) => Some(Macros::domain(domain)?),
        None if text.is_empty() => None,
        None => return None,
    };
    Some((domain, Prefixes { v4, v6 }))
}

/// Takes a prefix length from the end; without one it is all bits. Nothing if there is one that is wrong.
fn cut_prefix<'a>(text: &'a str, mark: &str, bits: u8) -> Option<(&'a str, u8)> {
    let rest = text.trim_end_matches(|c: char| c.is_ascii_digit());
    match rest.strip_suffix(mark) {
        Some(before) => Some((before, length(text.get(rest.len()..)?, bits)?)),
        None => Some((text, bits)),
    }
}

/// RFC 7208 §5.6: ip4-network [ ip4-cidr-length ], or the same for IPv6.
fn network<T: std::str::FromStr>(text: &str, bits: u8) -> Option<(T, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, length(prefix, bits)?),
        None => (text, bits),
    };
    Some((address.parse().ok()?, prefix))
}

/// RFC 7208 §5.6: "0" / %x31-39 0*2DIGIT
fn length(digits: &str, bits: u8) -> Option<u8> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|length| is_number && *length <= bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_grammar_and_what_does_not() {
        let good = [
            "v=spf1",
            "V=SPF1  +all  ",
            "v=spf1 a/8 a//64 a/8//64 mx:b.example/8//64 -A:%{d}/0",
            "v=spf1 ip4:192.0.2.1/0 ip6:2001:db8::1/0 ip6:::ffff:192.0.2.1 ?ptr ~ptr:b.example exists:%{i}._x.%{d2}",
            "v=spf1 redirect=b.example exp=c.example other=%{s}/8 moo.cow-far_out=man:dog/cat",
        ];
        for text in good {
            assert!(Record::parse(text.as_bytes()).is_some(), "{text}");
        }
        let bad = [
            "v=spf10 all",
            "v=spf1\tall",
            "v=spf1 all\tall",
            "v=spf1 all.",
            "v=spf1 all:b.example",
            "v=spf1 include",
            "v=spf1 a:",
            "v=spf1 a/",
            "v=spf1 a/33",
            "v=spf1 a/08",
            "v=spf1 a//129",
            "v=spf1 a/8//",
            "v=spf1 a:b.example/8//64//64",
            "v=spf1 ip4:192.0.2.1/",
            "v=spf1 ip4:192.0.2",
            "v=spf1 ip4:2001:db8::1",
            "v=spf1 ip6:192.0.2.1",
            "v=spf1 ptr:",
            "v=spf1 redirect=a.b redirect=a.b",
            "v=spf1 exp=",
            "v=spf1 x=%{z}",
            "v=spf1 =x",
            "v=spf1 whatever",
            "v=spf1 --all",
            "v=spf1 a:caf\u{e9}.example",
        ];
        for text in bad {
            assert!(Record::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
