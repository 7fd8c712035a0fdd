//! `[verify]`: how mail of strangers is judged.

use super::problems::{Problems, is_domain, quoted};
use crate::trust::verify::Exceptions;
use serde::Deserialize;

/// How mail of strangers is judged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Whether it is.
    pub enabled: bool,
    /// Lists and domains whose mail is delivered whatever DMARC says.
    pub dmarc_override: Vec<String>,
    /// Domains whose ARC seals are believed.
    pub trusted_sealers: Vec<String>,
}

impl Verify {
    /// In the form that is compared.
    pub fn exceptions(&self) -> Exceptions {
        let lower = |names: &[String]| names.iter().map(|name| name.trim_end_matches('.').to_lowercase()).collect();
        Exceptions { lists: lower(&self.dmarc_override), sealers: lower(&self.trusted_sealers) }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let named = [("verify.dmarc_override", &self.dmarc_override), ("verify.trusted_sealers", &self.trusted_sealers)];
        for (key, names) in named {
            for name in names.iter().filter(|name| !is_domain(name) || !name.contains('.')) {
                problems.add(key, quoted(name), "this is neither a domain such as \"example.org\" nor a list such as \"list.example.org\"");
            }
        }
    }
}
