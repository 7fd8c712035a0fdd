//! How much is to be doubted that a message is wanted: marks with points and reasons, and their sum.
//!
//! Pure. No mark alone sends a message to Junk, since each of them is also found on honest mail; a person can read in the
//! message which were given. Mail of a sender whom the account knows well weighs less, of one it sorted out, more.

use super::Level;
use super::reputation::Standing;
use super::verify::{Iprev, Results, spf};
use std::net::IpAddr;

/// What the name of the peer's address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseName {
    /// There is one, and it leads back (RFC 8601 §2.7.3).
    Confirmed,
    /// There is one that leads elsewhere.
    Mismatch,
    /// There is none.
    Missing,
    /// Nobody can say now.
    Unknown,
}

/// What the sender's domain says of the peer (RFC 7208 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpfDoubt {
    /// `fail`.
    Fail,
    /// `softfail`.
    SoftFail,
    /// All else.
    None,
}

/// What is known of a message and of who brought it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who brought it.
    pub peer: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// What we are called.
    pub our_names: &'a [String],
    /// The name of its address.
    pub reverse: ReverseName,
    /// Of the envelope's sender.
    pub spf: SpfDoubt,
    /// Who vouches for the message.
    pub level: Level,
}

impl<'a> Facts<'a> {
    /// What verification found.
    pub fn of(results: &'a Results, our_names: &'a [String], level: Level) -> Self {
        let connection = &results.connection;
        let reverse = match &connection.iprev {
            Iprev::Pass(_) => ReverseName::Confirmed,
            Iprev::Fail => ReverseName::Mismatch,
            Iprev::PermError => ReverseName::Missing,
            Iprev::TempError => ReverseName::Unknown,
        };
        let spf = match connection.mail_from_spf.outcome {
            spf::Outcome::Fail => SpfDoubt::Fail,
            spf::Outcome::SoftFail => SpfDoubt::SoftFail,
            _ => SpfDoubt::None,
        };
        Self { peer: connection.peer, helo: &connection.helo, our_names, reverse, spf, level }
    }
}

/// A reason for doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How much it weighs.
    pub points: i32,
    /// A few words for the owner.
    pub why: &'static str,
}

const fn mark(points: i32, why: &'static str) -> Mark {
    Mark { points, why }
}

const NO_REVERSE_NAME: Mark = mark(2, "its address has no name");
const REVERSE_NAME_ELSEWHERE: Mark = mark(1, "the name of its address leads elsewhere");
const HELO_IS_OURS: Mark = mark(4, "it called itself by our name");
const HELO_IS_NO_NAME: Mark = mark(2, "it called itself by no full name");
const HELO_IS_OTHER_ADDRESS: Mark = mark(3, "it called itself by another address");
const SPF_FAILED: Mark = mark(3, "the sender's domain denies it (SPF)");
const SPF_SOFTLY_FAILED: Mark = mark(1, "the sender's domain hardly knows it (SPF)");
const NOBODY_VOUCHES: Mark = mark(1, "nobody vouches for it");

/// The marks of a message, whoever gets it.
pub fn marks(facts: &Facts<'_>) -> Vec<Mark> {
    let reverse = match facts.reverse {
        ReverseName::Missing => Some(NO_REVERSE_NAME),
        ReverseName::Mismatch => Some(REVERSE_NAME_ELSEWHERE),
        ReverseName::Confirmed | ReverseName::Unknown => None,
    };
    let spf = match facts.spf {
        SpfDoubt::Fail => Some(SPF_FAILED),
        SpfDoubt::SoftFail => Some(SPF_SOFTLY_FAILED),
        SpfDoubt::None => None,
    };
    let nobody = (facts.level == Level::None).then_some(NOBODY_VOUCHES);
    [reverse, helo(facts), spf, nobody].into_iter().flatten().collect()
}

/// RFC 5321 §4.1.4 forbids to refuse mail for this alone; it says nothing against doubt.
fn helo(facts: &Facts<'_>) -> Option<Mark> {
    let helo = facts.helo.trim_end_matches('.').to_lowercase();
    if facts.our_names.contains(&helo) {
        return Some(HELO_IS_OURS);
    }
    if let Some(literal) = helo.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let literal: Option<IpAddr> = literal.strip_prefix("ipv6:").unwrap_or(literal).parse().ok();
        let own = literal.is_some_and(|literal| literal.to_canonical() == facts.peer.to_canonical());
        return (!own).then_some(HELO_IS_OTHER_ADDRESS);
    }
    let is_full = helo.contains('.') && helo.parse::<IpAddr>().is_err();
    (!is_full).then_some(HELO_IS_NO_NAME)
}

/// What an account's opinion of the sender adds; below zero it takes away.
pub fn opinion(standing: &Standing) -> i32 {
    const CONTACT: i32 = -10;
    const WANTED: i32 = -5;
    const KNOWN: i32 = -2;
    const SORTED_OUT: i32 = 3;
    const SORTED_OUT_AGAIN: i32 = 6;
    let junk = standing.junk.saturating_sub(standing.wanted.saturating_mul(2));
    match junk {
        0 if standing.contact => CONTACT,
        0 if standing.wanted > 0 => WANTED,
        0 if standing.letters > 2 && standing.junk == 0 => KNOWN,
        0 => 0,
        1 => SORTED_OUT,
        _ => SORTED_OUT_AGAIN,
    }
}

/// The name of the header field that tells of doubts; one that comes from outside is taken out.
pub const FIELD: &str = "Stoa-Doubt";

/// All points together.
pub fn sum(marks: &[Mark]) -> i32 {
    marks.iter().map(|mark| mark.points).sum()
}

/// A header field for the owner: how much doubt there is and why; none, if there is none.
pub fn header(marks: &[Mark]) -> Option<String> {
    let reasons: Vec<String> = marks.iter().map(|mark| format!("\r\n\t{} ({})", mark.why, mark.points)).collect();
    (!marks.is_empty()).then(|| format!("{FIELD}: {}:{}\r\n", sum(marks), reasons.join(";")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(change: impl FnOnce(&mut Facts<'_>)) -> i32 {
        let our_names = ["mx.example.org".to_owned(), "example.org".to_owned()];
        let mut facts = Facts {
            peer: "192.0.2.1".parse().unwrap(),
            helo: "mail.example.net",
            our_names: &our_names,
            reverse: ReverseName::Confirmed,
            spf: SpfDoubt::None,
            level: Level::Dmarc,
        };
        change(&mut facts);
        sum(&marks(&facts))
    }

    #[test]
    fn what_is_doubted_and_how_much() {
        assert_eq!(points(|_| {}), 0, "honest mail bears no mark");
        let helo = |name: &'static str| points(|facts| facts.helo = name);
        for (name, expected) in [
            ("mx.example.org", 4),
            ("EXAMPLE.org.", 4),
            ("localhost", 2),
            ("192.0.2.1", 2),
            ("[192.0.2.1]", 0),
            ("[192.0.2.2]", 3),
            ("[IPv6:::ffff:192.0.2.1]", 0),
            ("[what]", 3),
            ("", 2),
            ("mail.other.example.", 0),
        ] {
            assert_eq!(helo(name), expected, "{name}");
        }
        assert_eq!(points(|facts| facts.reverse = ReverseName::Missing), 2);
        assert_eq!(points(|facts| facts.reverse = ReverseName::Mismatch), 1);
        assert_eq!(points(|facts| facts.reverse = ReverseName::Unknown), 0, "our own trouble is nobody's fault");
        assert_eq!(points(|facts| facts.spf = SpfDoubt::Fail), 3);
        assert_eq!(points(|facts| facts.level = Level::None), 1);
    }

    #[test]
    fn the_account_has_the_last_word() {
        let opinion = |letters, junk, wanted, contact| opinion(&Standing { letters, junk, wanted, contact, last: 0 });
        assert_eq!(opinion(0, 0, 0, false), 0);
        assert_eq!(opinion(9, 0, 0, false), -2);
        assert_eq!(opinion(9, 1, 0, false), 3);
        assert_eq!(opinion(9, 5, 0, false), 6);
        assert_eq!(opinion(9, 2, 1, false), -5, "fetched back");
        assert_eq!(opinion(0, 0, 0, true), -10);
        assert_eq!(opinion(3, 2, 0, true), 6, "who was a contact may be sorted out as well");
    }

    #[test]
    fn the_owner_can_read_why() {
        assert_eq!(header(&[]), None);
        let header = header(&[NO_REVERSE_NAME, SPF_FAILED]).unwrap();
        assert_eq!(header, "Stoa-Doubt: 5:\r\n\tits address has no name (2);\r\n\tthe sender's domain denies it (SPF) (3)\r\n");
    }
}
