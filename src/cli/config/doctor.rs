//! `[doctor]`: the daily look of the server at itself.

use serde::Deserialize;

/// The daily look of the server at itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doctor {
    /// Whether there is one.
    pub daily: bool,
}
