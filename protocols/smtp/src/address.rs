//! Addresses: from their wire form to their meaning and back (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! Reads text from strangers. A local part is kept without its quotes; a domain is kept in lower case, a
//! non-ASCII one as A-labels, an address literal with its brackets. Whether an address exists is not known here.

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX, PATH_BYTES_MAX};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A mailbox's address by meaning; [`fmt::Display`] gives the wire form, quoted where it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Without quotes and backslashes; its case is kept.
    pub local: String,
    /// A name in lower case or a literal such as `[192.0.2.1]`. Empty only for `<postmaster>`
    /// (RFC 5321 §4.1.1.3): the postmaster of whoever is asked.
    pub domain: String,
}

/// Where reports go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`: nobody, as of reports themselves.
    Null,
    /// The sender.
    Address(Address),
}

impl Address {
    /// Reads `local@domain`; non-ASCII is allowed.
    /// RFC 5321 §4.1.2: Mailbox = Local-part "@" ( Domain / address-literal )
    pub fn parse(text: &str) -> Option<Self> {
        let (local, rest) = local_part(text)?;
        let domain = parse_domain(rest.strip_prefix('@')?)?;
        (local.len() <= LOCAL_PART_BYTES_MAX).then_some(Self { local, domain })
    }

    /// Whether it is `<postmaster>` without a domain.
    pub fn is_bare_postmaster(&self) -> bool {
        self.domain.is_empty()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                f.write_str(if matches!(c, '"' | '\\') { "\\" } else { "" })?;
                fmt::Write::write_char(f, c)?;
            }
            f.write_str("\"")?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// RFC 5321 §4.1.2: Reverse-path = Path / "<>"; returns what follows it, too.
pub(crate) fn parse_reverse_path(text: &str) -> Option<(ReversePath, &str)> {
    let (inside, rest) = bracketed(text)?;
    let path = if inside.is_empty() { ReversePath::Null } else { ReversePath::Address(path(inside)?) };
    Some((path, rest))
}

/// RFC 5321 §4.1.1.3: Forward-path = Path / "<Postmaster>"; returns what follows it, too.
pub(crate) fn parse_forward_path(text: &str) -> Option<(Address, &str)> {
    let (inside, rest) = bracketed(text)?;
    if inside.eq_ignore_ascii_case("postmaster") {
        return Some((Address { local: inside.to_owned(), domain: String::new() }, rest));
    }
    Some((path(inside)?, rest))
}

/// RFC 5321 §4.1.2: Domain = sub-domain *("." sub-domain), or an address-literal (§4.1.3).
pub(crate) fn parse_domain(text: &str) -> Option<String> {
    if let Some(literal) = text.strip_prefix('[') {
        let literal = literal.strip_suffix(']')?;
        let known = match literal.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => literal.get(5..)?.parse::<Ipv6Addr>().is_ok(),
            _ => literal.parse::<Ipv4Addr>().is_ok(),
        };
        return known.then(|| text.to_owned());
    }
    let name = if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii_strict(text).ok()? };
    let good = name.len() <= DOMAIN_BYTES_MAX && name.split('.').all(is_label);
    good.then_some(name)
}

/// RFC 5321 §4.1.2: sub-domain = Let-dig [Ldh-str]; 63 octets by RFC 1035 §2.3.4.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What stands between `<` and its `>`, and what follows; a `>` in quotes ends nothing.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some((inside.get(..at)?, inside.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// RFC 5321 §4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">"; the route is ignored, as its appendix C asks.
fn path(inside: &str) -> Option<Address> {
    let mailbox = if inside.starts_with('@') {
        let (route, mailbox) = inside.split_once(':')?;
        let good = route.split(',').all(|hop| hop.strip_prefix('@').and_then(parse_domain).is_some());
        good.then_some(mailbox)?
    } else {
        inside
    };
    (mailbox.len() + "<>".len() <= PATH_BYTES_MAX).then(|| Address::parse(mailbox))?
}

/// RFC 5321 §4.1.2: Local-part = Dot-string / Quoted-string; returns what follows it, too.
fn local_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (local, rest) = text.split_at(text.find('@')?);
        return is_dot_string(local).then(|| (local.to_owned(), rest));
    };
    let mut local = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((local, quoted.get(at + 1..)?)),
            // quoted-pairSMTP = %d92 %d32-126
            '\\' => local.push(characters.next().map(|(_, c)| c).filter(|c| matches!(c, ' '..='~'))?),
            c if c.is_control() => return None,
            c => local.push(c),
        }
    }
    None
}

/// RFC 5321 §4.1.2: Dot-string = Atom *("." Atom); RFC 6531 §3.3 adds non-ASCII to atext.
fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths() {
        let table = [
            ("<Bob@Example.ORG>", "Bob@example.org"),
            ("<a.b+c@x>", "a.b+c@x"),
            ("<\"a b\"@x.y>", "\"a b\"@x.y"),
            ("<\"plain\"@x.y>", "plain@x.y"),
            ("<\"a\\\"\\\\>\"@x.y>", "\"a\\\"\\\\>\"@x.y"),
            ("<@a.b,@c.d:user@e.f>", "user@e.f"),
            ("<u@[192.0.2.1]>", "u@[192.0.2.1]"),
            ("<u@[IPv6:2001:db8::1]>", "u@[IPv6:2001:db8::1]"),
            ("<jos\u{e9}@b\u{fc}cher.example>", "jos\u{e9}@xn--bcher-kva.example"),
            ("<postMaster>", "postMaster"),
        ];
        for (wire, meaning) in table {
            let (address, rest) = parse_forward_path(wire).unwrap_or_else(|| panic!("{wire}"));
            assert_eq!((address.to_string().as_str(), rest), (meaning, ""), "{wire}");
        }
        assert_eq!(parse_reverse_path("<> SIZE=1"), Some((ReversePath::Null, " SIZE=1")));
    }

    #[test]
    fn bad_paths() {
        let table = [
            "a@b",
            "<a@b",
            "<>",
            "<a>",
            "<@b>",
            "<a@>",
            "<a@b@c>",
            "<.a@b>",
            "<a.@b>",
            "<a..c@b>",
            "<a b@c>",
            "<a@b.>",
            "<a@-b>",
            "<a@b_c>",
            "<a@[1.2.3]>",
            "<a@[1.2.3.4>",
            "<a@[IPv6:1.2.3.4]>",
            "<a@[x:y]>",
            "<\"a@b>",
            "<\"a\"b@c>",
            "<@a:b>",
            "<@:b@c>",
            "<a@b..c>",
            "< a@b>",
            "<a\u{a0}b@c>",
        ];
        for wire in table {
            assert_eq!(parse_forward_path(wire), None, "{wire}");
        }
    }

    #[test]
    fn lengths() {
        let local = |n: usize| format!("<{}@x.y>", "a".repeat(n));
        assert!(parse_forward_path(&local(64)).is_some() && parse_forward_path(&local(65)).is_none());
        let domain = |n: usize| format!("<a@{}{}>", "a.".repeat(n / 2), "bc");
        assert!(parse_forward_path(&domain(250)).is_some() && parse_forward_path(&domain(252)).is_none());
    }
}
