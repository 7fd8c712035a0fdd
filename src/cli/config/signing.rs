//! `[signing]`: how mail of our domains is signed.

use crate::trust::signing::SigningSettings;
use serde::Deserialize;

/// A key is not changed so often that its record cannot follow, nor kept for a lifetime.
pub(super) const ROTATE_DAYS: std::ops::RangeInclusive<u64> = 14..=3650;

/// How mail of our domains is signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Zero: keys stay until a person changes them.
    pub rotate_days: u64,
    /// Domains whose servers do not get along with Ed25519.
    pub rsa_only_destinations: Vec<String>,
}

impl Signing {
    /// For the keyring.
    pub fn settings(&self) -> SigningSettings {
        SigningSettings { rsa_only_destinations: self.rsa_only_destinations.clone() }
    }

    /// How long a key signs, in seconds; `None` for ever.
    pub fn rotate_seconds(&self) -> Option<i64> {
        const DAY_SECONDS: u64 = 86_400;
        Some(self.rotate_days).filter(|days| *days > 0).and_then(|days| i64::try_from(days.saturating_mul(DAY_SECONDS)).ok())
    }
}
