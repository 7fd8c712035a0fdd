//! `[mta_sts]`: what other servers shall keep to when they bring mail (RFC 8461).

use super::Config;
use crate::doors::http::mta_sts::{Mode, Policy};
use serde::Deserialize;

/// The words of `mta_sts.mode`.
pub(super) const MODES: [&str; 3] = ["testing", "enforce", "none"];

/// The policy of all domains.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtaSts {
    /// What happens without TLS.
    pub mode: Mode,
    /// How long senders remember it.
    pub max_age_seconds: u64,
}

impl Config {
    /// The policy that is served, and from which the record at `_mta-sts.` in front of every domain is made.
    pub fn mta_sts_policy(&self) -> Policy {
        Policy { mode: self.mta_sts.mode, max_age_seconds: self.mta_sts.max_age_seconds, mx: self.hostname.clone() }
    }
}
