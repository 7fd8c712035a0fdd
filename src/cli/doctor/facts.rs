//! All that the checks look at, collected beforehand, so that a check is a pure function.

use super::super::dns::facts::Facts as Ours;
use super::answers::Answers;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The state of a server and what the world sees of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Facts {
    /// Seconds since 1970.
    pub now: i64,
    /// What our records are made from.
    pub ours: Ours,
    /// Private addresses are what the owner means to use.
    pub closed_network: bool,
    /// What DNS says.
    #[serde(skip)]
    pub dns: Answers,
    pub machine: Machine,
    pub certificate: Certificate,
    /// Every port of ours that was tried, at every address.
    pub ports: Vec<Port>,
    /// The host of another domain that was tried on port 25, if one was named.
    pub way_out: Option<WayOut>,
    /// The text of our MTA-STS policy.
    pub policy: String,
    /// What was fetched as the policy of a domain.
    pub policies: BTreeMap<String, Fetched>,
    /// Mail for other hosts; none if the server could not be asked.
    pub queue: Option<Queue>,
    /// Block lists that were to be asked.
    pub block_lists: Vec<String>,
}

/// The computer and its data directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Machine {
    /// The server runs.
    pub running: bool,
    pub directory: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Files in it that others may read or change, and should not.
    pub open_files: Vec<PathBuf>,
    /// Why nothing can be written there.
    pub not_writable: Option<String>,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    /// Zero where the file system counts none.
    pub inodes: u64,
    pub inodes_free: u64,
    /// The clock follows a time server; none if nobody can say.
    pub clock_follows: Option<bool>,
    /// How far the clock is ahead of the certificate authority's.
    pub clock_ahead_seconds: Option<i64>,
    /// Why the store cannot be used.
    pub store_problem: Option<String>,
}

/// The certificate that is served.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Certificate {
    /// Why it cannot be read; then the rest says nothing.
    pub problem: Option<String>,
    pub names: Vec<String>,
    pub not_before: i64,
    pub not_after: i64,
    pub self_signed: bool,
    /// Why programs do not believe it, apart from its age.
    pub distrust: Option<String>,
    /// The server fetches it by itself.
    pub automatic: bool,
}

/// A port of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Port {
    pub service: String,
    pub address: IpAddr,
    pub port: u16,
    /// Why nobody gets there.
    pub problem: Option<String>,
}

/// A try to reach somebody else's mail server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct WayOut {
    pub host: String,
    pub problem: Option<String>,
}

/// A page, or why there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::cli) struct Fetched {
    pub text: String,
    pub problem: Option<String>,
}

/// What waits for other hosts.
#[derive(Debug, Deserialize, serde::Serialize, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Queue {
    pub messages: usize,
    /// Of them, those that a person or a budget holds back.
    pub held: usize,
    /// Of the rest, those that wait for longer than a host that is merely busy makes them.
    pub stuck: usize,
    /// Of these, those for which no host could be reached at all.
    pub unreached: usize,
}

impl Facts {
    /// Addresses of this host: those it knows, and those that DNS gives it.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all = self.ours.addresses.clone();
        for ip in self.dns.addresses(&self.ours.hostname).unwrap_or_default() {
            if !all.contains(&ip) {
                all.push(ip);
            }
        }
        all
    }
}
