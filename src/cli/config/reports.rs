//! `[reports]`: what others report of our domains.

use serde::Deserialize;

/// What others report of our domains.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// Whether the owner is written to once a week.
    pub weekly: bool,
}
