//! SPF macros (RFC 7208 §7): texts with blanks, which the facts of a connection fill in.
//!
//! Pure. What strangers said of themselves comes out again, so whoever shows an expansion makes it harmless first.

use std::net::IpAddr;

/// Octets of a name in DNS (RFC 1035 §2.3.4), written with dots.
const NAME_BYTES_MAX: usize = 253;

/// A text with blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macros(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Blank(Blank),
}

/// RFC 7208 §7.1: "%{" macro-letter transformers *delimiter "}"
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blank {
    letter: u8,
    /// An upper-case letter asks for URL escapes.
    escape: bool,
    /// How many parts from the right; 0 is all.
    parts: usize,
    reverse: bool,
    delimiters: Vec<char>,
}

/// What fills the blanks.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// `%{s}`: the sender, `local@domain`.
    pub sender: &'a str,
    /// `%{d}`: the domain whose record is read.
    pub domain: &'a str,
    /// `%{i}` and `%{c}`: who is connected.
    pub peer: IpAddr,
    /// `%{p}`: what the peer is called and has proven to be called.
    pub name: &'a str,
    /// `%{h}`: what the peer calls itself.
    pub helo: &'a str,
    /// `%{r}`: what this host is called.
    pub receiver: &'a str,
    /// `%{t}`: seconds since 1970.
    pub now: i64,
}

impl Macros {
    /// RFC 7208 §7.1: macro-string = *( macro-expand / macro-literal ); macro-literal = %x21-24 / %x26-7E
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, |c| ('\x21'..='\x7e').contains(&c), b"slodiphv")
    }

    /// RFC 7208 §6.2: explain-string = *( macro-string / SP ), with the letters of §7.2 that stand only here.
    pub fn explanation(text: &[u8]) -> Option<Self> {
        Self::read(std::str::from_utf8(text).ok()?, |c| ('\x20'..='\x7e').contains(&c), b"slodiphvcrt")
    }

    /// RFC 7208 §7.1: domain-spec = macro-string domain-end; domain-end = ( "." toplabel [ "." ] ) / macro-expand
    pub fn domain(text: &str) -> Option<Self> {
        let macros = Self::parse(text)?;
        let ends_well = match macros.0.last()? {
            Piece::Blank(_) => true,
            Piece::Text(_) if ["%%", "%_", "%-"].iter().any(|end| text.ends_with(end)) => true,
            Piece::Text(end) => {
                let (_, label) = end.strip_suffix('.').unwrap_or(end).rsplit_once('.')?;
                is_top_label(label)
            }
        };
        ends_well.then_some(macros)
    }

    fn read(text: &str, literal: impl Fn(char) -> bool, letters: &[u8]) -> Option<Self> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = rest.get(c.len_utf8()..)?;
            if c != '%' {
                plain.push(Some(c).filter(|c| literal(*c))?);
                continue;
            }
            let next = rest.chars().next()?;
            rest = rest.get(next.len_utf8()..)?;
            match next {
                '%' => plain.push('%'),
                '_' => plain.push(' '),
                '-' => plain.push_str("%20"),
                '{' => {
                    let (inner, after) = rest.split_once('}')?;
                    rest = after;
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Blank(Blank::parse(inner, letters)?));
                }
                _ => return None,
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Some(Self(pieces))
    }

    /// Does filling it in need the peer's name, which costs questions to DNS?
    pub fn needs_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Blank(blank) if blank.letter == b'p'))
    }

    /// The text.
    pub fn expand(&self, facts: &Facts<'_>) -> String {
        let expanded = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Blank(blank) => blank.expand(facts),
        };
        self.0.iter().map(expanded).collect()
    }

    /// The text as a name to ask for: without the last dot, and cut from the left where it is too long (RFC 7208 §7.3).
    pub fn expand_name(&self, facts: &Facts<'_>) -> String {
        let name = self.expand(facts);
        let mut name = name.strip_suffix('.').unwrap_or(&name);
        while name.len() > NAME_BYTES_MAX {
            name = name.split_once('.').map_or("", |(_, rest)| rest);
        }
        name.to_owned()
    }
}

/// RFC 7208 §7.1: toplabel = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
fn is_top_label(label: &str) -> bool {
    let proper = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !label.starts_with('-') && !label.ends_with('-');
    proper && label.chars().any(|c| !c.is_ascii_digit())
}

impl Blank {
    /// RFC 7208 §7.1: macro-letter transformers *delimiter; transformers = *DIGIT [ "r" ]
    fn parse(text: &str, letters: &[u8]) -> Option<Self> {
        let first = *text.as_bytes().first()?;
        let letter = first.to_ascii_lowercase();
        let rest = text.get(1..).filter(|_| letters.contains(&letter))?;
        let after_digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.get(..rest.len() - after_digits.len())?;
        // RFC 7208 §7.1: the number must not be zero. One that fits nowhere is more than there are parts.
        let parts = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX).max(1) };
        if !digits.is_empty() && digits.bytes().all(|digit| digit == b'0') {
            return None;
        }
        let reversed = after_digits.strip_prefix(['r', 'R']);
        let delimiters: Vec<char> = reversed.unwrap_or(after_digits).chars().collect();
        let proper = delimiters.iter().all(|c| ".-+,/_=".contains(*c));
        let delimiters = if delimiters.is_empty() { vec!['.'] } else { delimiters };
        proper.then_some(Self { letter, escape: first.is_ascii_uppercase(), parts, reverse: reversed.is_some(), delimiters })
    }

    fn expand(&self, facts: &Facts<'_>) -> String {
        let value = self.value(facts);
        let mut parts: Vec<&str> = value.split(self.delimiters.as_slice()).collect();
        if self.reverse {
            parts.reverse();
        }
        let from = if self.parts == 0 { 0 } else { parts.len().saturating_sub(self.parts) };
        let text = parts.get(from..).unwrap_or_default().join(".");
        if self.escape { escaped(&text) } else { text }
    }

    fn value(&self, facts: &Facts<'_>) -> String {
        let (local, domain) = facts.sender.rsplit_once('@').unwrap_or(("postmaster", facts.sender));
        match self.letter {
            b's' => facts.sender.to_owned(),
            b'l' => local.to_owned(),
            b'o' => domain.to_owned(),
            b'd' => facts.domain.to_owned(),
            b'i' => dotted(facts.peer),
            b'p' => facts.name.to_owned(),
            b'h' => facts.helo.to_owned(),
            b'c' => facts.peer.to_string(),
            b'r' => facts.receiver.to_owned(),
            b't' => facts.now.to_string(),
            // The grammar lets no other letter through.
            _ => if facts.peer.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
        }
    }
}

/// RFC 7208 §7.3: an IPv6 address as its 32 digits with dots between.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", u128::from(address));
            digits.chars().map(String::from).collect::<Vec<_>>().join(".")
        }
    }
}

/// RFC 3986 §2.3: all but unreserved characters.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7208 §7.4.
        let facts = |peer: &str| Facts {
            sender: "strong-bad@email.example.com",
            domain: "email.example.com",
            peer: peer.parse().unwrap(),
            name: "unknown",
            helo: "mx.example.org",
            receiver: "mx.example.net",
            now: 7,
        };
        let table = [
            ("192.0.2.3", "%{s}", "strong-bad@email.example.com"),
            ("192.0.2.3", "%{o}", "email.example.com"),
            ("192.0.2.3", "%{d}", "email.example.com"),
            ("192.0.2.3", "%{d4}", "email.example.com"),
            ("192.0.2.3", "%{d3}", "email.example.com"),
            ("192.0.2.3", "%{d2}", "example.com"),
            ("192.0.2.3", "%{d1}", "com"),
            ("192.0.2.3", "%{dr}", "com.example.email"),
            ("192.0.2.3", "%{d2r}", "example.email"),
            ("192.0.2.3", "%{l}", "strong-bad"),
            ("192.0.2.3", "%{l-}", "strong.bad"),
            ("192.0.2.3", "%{lr}", "strong-bad"),
            ("192.0.2.3", "%{lr-}", "bad.strong"),
            ("192.0.2.3", "%{l1r-}", "strong"),
            ("192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("192.0.2.3", "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
            ("192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
            ("192.0.2.3", "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
            (
                "2001:db8::cb01",
                "%{ir}.%{v}._spf.%{d2}",
                "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
            ),
            ("192.0.2.3", "%%%_%-%{S}", "% %20strong-bad%40email.example.com"),
        ];
        for (peer, text, expected) in table {
            assert_eq!(Macros::parse(text).unwrap().expand(&facts(peer)), expected, "{text}");
        }
        let text = Macros::explanation(b"%{c} is not of %{r} at %{t}").unwrap();
        assert_eq!(text.expand(&facts("192.0.2.3")), "192.0.2.3 is not of mx.example.net at 7");
        for bad in ["%", "%{", "%{}", "%{x}", "%{c}", "%{d0}", "%{d!}", "%{dr2}", "a b", "%(d)"] {
            assert!(Macros::parse(bad).is_none(), "{bad}");
        }
        for (domain, fine) in [("a.b", true), ("b", false), ("a.1", false), ("a.-b", false), ("a.b.", true), ("x%{d}", true), ("", false)] {
            assert_eq!(Macros::domain(domain).is_some(), fine, "{domain}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_from_the_left() {
        let helo = format!("{}end.example", "label.".repeat(60));
        let peer = "192.0.2.3".parse().unwrap();
        let facts = Facts { sender: "", domain: "", peer, name: "", helo: &helo, receiver: "", now: 0 };
        let name = Macros::domain("%{h}").unwrap().expand_name(&facts);
        assert!(name.len() <= NAME_BYTES_MAX && name.len() > 240 && name.starts_with("label.") && name.ends_with(".end.example"));
    }
}
