//! Selectors: under which name a key is published, and where it is in its life.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stoa_dkim::Algorithm;

/// A domain has a key of each; signatures come in this order, since some receivers look at the first alone.
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::Rsa, Algorithm::Ed25519];

/// A published name with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The label below `_domainkey`, such as `s20261125r`.
    pub name: String,
    /// Which kind of key it has.
    #[serde(serialize_with = "write_algorithm", deserialize_with = "read_algorithm")]
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: State,
    /// When its key was made, in seconds since 1970.
    pub created: i64,
    /// Since when it is in this state.
    pub since: i64,
    /// Since when DNS shows it without a break, while it is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<i64>,
    /// When somebody was last asked to publish it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
}

/// See the table of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the module's table says what they are")]
pub enum State {
    Prepared,
    Active,
    Retired,
}

impl State {
    /// As it is written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

impl Selector {
    /// A new one.
    pub fn new(name: String, algorithm: Algorithm, state: State, now: i64) -> Self {
        Self { name, algorithm, state, created: now, since: now, shown: None, asked: None }
    }

    /// Into another state.
    pub fn enter(&mut self, state: State, now: i64) {
        (self.state, self.since) = (state, now);
    }
}

/// A name for a new key: the day, a letter for the algorithm, and a number if that is taken.
pub(super) fn new_name(algorithm: Algorithm, now: i64, taken: impl Fn(&str) -> bool) -> String {
    let day = jiff::Timestamp::from_second(now).unwrap_or_default().strftime("%Y%m%d");
    let letter = match algorithm {
        Algorithm::Rsa => 'r',
        Algorithm::Ed25519 => 'e',
    };
    let first = format!("s{day}{letter}");
    if !taken(&first) {
        return first;
    }
    (2_u32..).map(|n| format!("{first}{n}")).find(|name| !taken(name)).unwrap_or(first)
}

/// A label that we could have made: it is part of file names.
pub(super) fn is_name(name: &str) -> bool {
    let long = 1..=63;
    long.contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// `rsa` or `ed25519`, as in `k=` (RFC 6376 §3.6.1, RFC 8463 §4).
pub(super) fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rsa => "rsa",
        Algorithm::Ed25519 => "ed25519",
    }
}

fn write_algorithm<S: Serializer>(algorithm: &Algorithm, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(algorithm_name(*algorithm))
}

fn read_algorithm<'de, D: Deserializer<'de>>(from: D) -> Result<Algorithm, D::Error> {
    let name = String::deserialize(from)?;
    let known = ALGORITHMS.into_iter().find(|algorithm| algorithm_name(*algorithm) == name);
    known.ok_or_else(|| serde::de::Error::custom(format!("the algorithm must be rsa or ed25519, not {name}")))
}
