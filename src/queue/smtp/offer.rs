//! What a host offers in its reply to EHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;

/// The extensions we make use of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Offer {
    /// The name the host gives itself.
    pub name: String,
    pub starttls: bool,
    pub pipelining: bool,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub chunking: bool,
    pub binary: bool,
    /// RFC 1870: offered, and how much it takes, if it says.
    pub size: Option<Option<u64>>,
}

impl Offer {
    pub(super) fn of(reply: &Reply) -> Self {
        let mut lines = reply.lines.iter();
        let name = lines.next().and_then(|line| line.split(' ').next()).unwrap_or_default();
        let mut offer = Self { name: name.to_ascii_lowercase(), ..Self::default() };
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => offer.starttls = true,
                "PIPELINING" => offer.pipelining = true,
                "8BITMIME" => offer.eight_bit = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "DSN" => offer.dsn = true,
                "CHUNKING" => offer.chunking = true,
                "BINARYMIME" => offer.binary = true,
                // RFC 1870 §4: zero is no limit.
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0)),
                _ => {}
            }
        }
        // RFC 3030 §3: without CHUNKING there is no way to hand over a binary body.
        offer.binary &= offer.chunking;
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_found_in_any_case() {
        let lines = ["MX.example hello", "size 1000", "PipeLining", "8BITMIME", "BINARYMIME", "X-UNKNOWN a", ""];
        let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
        let want = Offer { name: "mx.example".to_owned(), pipelining: true, eight_bit: true, size: Some(Some(1000)), ..Offer::default() };
        assert_eq!(Offer::of(&reply), want);
    }

    #[test]
    fn a_size_of_zero_or_none_is_no_limit() {
        for (line, want) in [("SIZE 0", Some(None)), ("SIZE", Some(None)), ("SIZE x", Some(None)), ("HELP", None)] {
            let reply = Reply { code: 250, lines: vec!["a".to_owned(), line.to_owned()] };
            assert_eq!(Offer::of(&reply).size, want, "{line}");
        }
    }
}
