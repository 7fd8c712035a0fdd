//! `[abuse]`: how often strangers may be wrong, and what is asked of those who write for the first time.

use crate::trust::guard::GuardLimits;
use serde::Deserialize;
use std::time::Duration;

/// How strangers are treated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abuse {
    /// New connections of one address.
    pub connections_per_minute_max: u32,
    /// Wrong passwords of one address.
    pub failed_logins_per_hour_max: u32,
    /// And in the long run.
    pub failed_logins_per_day_max: u32,
    /// Recipients that are not here, of one address.
    pub unknown_recipients_per_hour_max: u32,
    /// How long an answer is held back at most.
    pub tarpit_seconds_max: u64,
    /// How long whoever writes to somebody for the first time waits for the answer.
    pub first_time_delay_seconds: u64,
    /// Whether strangers are asked to come again.
    pub greylisting: bool,
    /// After how long.
    pub greylisting_seconds: i64,
    /// Block lists that are asked.
    pub blocklists: Vec<String>,
    /// From this score on mail goes to Junk.
    pub junk_score: i32,
}

impl Abuse {
    /// The limits of guessers.
    pub fn guard(&self, exempt_loopback: bool) -> GuardLimits {
        GuardLimits {
            failed_logins_per_hour_max: self.failed_logins_per_hour_max,
            failed_logins_per_day_max: self.failed_logins_per_day_max,
            unknown_recipients_per_hour_max: self.unknown_recipients_per_hour_max,
            tarpit_max: Duration::from_secs(self.tarpit_seconds_max),
            exempt_loopback,
        }
    }
}
