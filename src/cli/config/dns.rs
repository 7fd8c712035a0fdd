//! `[dns]`: where names are looked up.

use crate::net::dns::ResolverSettings;
use anyhow::Context;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// None: those of the system.
    pub servers: Vec<SocketAddr>,
    /// Empty: the keys of the root that are built in.
    pub trust_anchor_file: PathBuf,
    /// For one question to one server.
    pub timeout_seconds: u64,
    /// How often an unanswered question is repeated.
    pub attempts: u64,
}

impl Dns {
    /// Reads the trust anchors.
    pub fn settings(&self) -> anyhow::Result<ResolverSettings> {
        let file = &self.trust_anchor_file;
        let trust_anchors = match file.as_os_str().is_empty() {
            true => None,
            false => Some(std::fs::read_to_string(file).with_context(|| format!("dns.trust_anchor_file = {}", file.display()))?),
        };
        let attempts = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        Ok(ResolverSettings { servers: self.servers.clone(), trust_anchors, timeout: Duration::from_secs(self.timeout_seconds), attempts })
    }
}
