//! The configuration: the compiled-in defaults with the owner's file laid over them.
//!
//! Takes a TOML file written by the owner, who is trusted but mistypes. [`Config::read`] gives a checked value
//! or all that is wrong with the file at once, each problem with its key, its value and what is allowed. Every
//! key stands in `conf/default.toml`, which is the reference for people too.

mod abuse;
mod acme;
mod dns;
mod doctor;
mod mta_sts;
mod problems;
mod queue;
mod reports;
mod signing;
#[cfg(test)]
mod tests;
mod verify;

use crate::store::engine::rocksdb::RocksConfig;
pub use abuse::Abuse;
pub use acme::Acme;
use anyhow::Context;
pub use dns::Dns;
pub use doctor::Doctor;
pub use mta_sts::MtaSts;
pub use problems::{Problem, Problems};
pub use queue::Queue;
pub use reports::Reports;
use serde::Deserialize;
pub use signing::Signing;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use stoa_smtp::Address;
use toml::Table;
pub use verify::Verify;

/// Every key, its default and its meaning.
pub const DEFAULT: &str = include_str!("../../../conf/default.toml");

/// The configuration file's name within the data directory.
pub const FILE_NAME: &str = "stoa.toml";

/// A checked configuration; files and directories are absolute or relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this host.
    pub hostname: String,
    /// Mail domains, the primary one first.
    pub domains: Vec<String>,
    /// Where everything is kept.
    pub data_directory: PathBuf,
    /// Addresses of each service.
    pub listen: Listen,
    /// Certificate files.
    pub tls: TlsFiles,
    /// Where names are looked up.
    pub dns: Dns,
    /// How strangers are treated.
    pub abuse: Abuse,
    /// How mail of strangers is judged.
    pub verify: Verify,
    /// What others report of our domains.
    pub reports: Reports,
    /// How our mail is signed.
    pub signing: Signing,
    /// How mail for other hosts leaves.
    pub queue: Queue,
    /// A certificate that comes by itself.
    pub acme: Acme,
    /// What other servers keep to.
    pub mta_sts: MtaSts,
    /// The daily look of the server at itself.
    pub doctor: Doctor,
    /// How much is taken.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Memory and files of the store.
    pub store: StoreMemory,
    /// What is told about the running server.
    pub log: Log,
}

/// Addresses of each service; none turns it off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are named for their services")]
pub struct Listen {
    pub smtp: Vec<SocketAddr>,
    pub submission: Vec<SocketAddr>,
    pub submissions: Vec<SocketAddr>,
    pub imap: Vec<SocketAddr>,
    pub imaps: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub dns: Vec<SocketAddr>,
}

/// Certificate files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, in PEM.
    pub certificate_file: PathBuf,
    /// The key, in PEM.
    pub key_file: PathBuf,
    /// Holds `.well-known/acme-challenge`.
    pub challenge_directory: PathBuf,
}

/// How much is taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A message.
    pub message_bytes_max: u64,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// From everybody.
    pub connections_max: usize,
    /// From one address.
    pub connections_per_address_max: usize,
    /// Passwords that are checked at the same time.
    pub argon2_at_once_max: usize,
}

/// How long is waited.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// For connections to end when the server stops.
    pub shutdown_seconds: u64,
}

/// Memory and files of the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "RocksConfig documents the same fields")]
pub struct StoreMemory {
    pub cache_bytes: usize,
    pub write_buffer_bytes: usize,
    pub write_buffers_bytes: usize,
    pub open_files_max: i32,
}

impl From<&StoreMemory> for RocksConfig {
    fn from(memory: &StoreMemory) -> RocksConfig {
        RocksConfig {
            cache_bytes: memory.cache_bytes,
            write_buffer_bytes: memory.write_buffer_bytes,
            write_buffers_bytes: memory.write_buffers_bytes,
            open_files_max: memory.open_files_max,
        }
    }
}

/// What is told about the running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the words of the file")]
pub enum LogFormat {
    Text,
    Json,
}

/// How much is logged: each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the words of the file")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Config {
    /// Reads a file; its problems are an error that lists them all.
    pub fn read(file: &Path) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        let mut config = Config::parse(&text).with_context(|| format!("the configuration {} is wrong", file.display()))?;
        config.resolve(file.parent().unwrap_or(Path::new(".")));
        Ok(config)
    }

    /// Lays the text over the defaults and checks it.
    pub fn parse(text: &str) -> Result<Config, Problems> {
        let own: Table = text.parse().map_err(|error: toml::de::Error| Problems::syntax(text, &error))?;
        let mut all: Table = toml::from_str(DEFAULT).map_err(|error| Problems::syntax(DEFAULT, &error))?;
        let mut problems = Problems::default();
        problems.compare(&own, &all);
        problems.or_else(|| {
            overlay(&mut all, own);
            Config::from_table(all)
        })
    }

    fn from_table(table: Table) -> Result<Config, Problems> {
        let mut config: Config = table.try_into().map_err(|error: toml::de::Error| Problems::meaning(&error))?;
        let mut problems = Problems::default();
        problems.check(&config);
        config.fold_names();
        problems.or_else(|| Ok(config))
    }

    /// Names as SMTP compares them: in lower case and in A-labels (RFC 5890 §2.3.2.1).
    fn fold_names(&mut self) {
        for name in std::iter::once(&mut self.hostname).chain(&mut self.domains) {
            if let Some(address) = Address::parse(&format!("a@{name}")) {
                *name = address.domain;
            }
        }
    }

    /// Files and directories count from the directory of the configuration file.
    fn resolve(&mut self, directory: &Path) {
        let tls = &mut self.tls;
        for path in [&mut self.data_directory, &mut tls.certificate_file, &mut tls.key_file, &mut tls.challenge_directory] {
            // The components of a path leave out a "." in its middle or at its end.
            *path = directory.join(&path).components().collect();
        }
        let queue = &mut self.queue;
        let optional =
            [&mut self.dns.trust_anchor_file, &mut queue.smarthost_password_file, &mut queue.extra_ca_file, &mut self.acme.ca_file];
        for path in optional.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            *path = directory.join(&path).components().collect();
        }
    }

    /// The mail domain that stands for the server.
    pub fn primary_domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> anyhow::Error {
    let way_out = match error.kind() {
        ErrorKind::NotFound => "there is none; `stoa init` makes one, or name its place with --dir DIR or --config FILE".to_owned(),
        ErrorKind::PermissionDenied => "run this as the user that owns it, such as with sudo -u".to_owned(),
        _ => error.to_string(),
    };
    anyhow::anyhow!("cannot read the configuration {}: {way_out}", file.display())
}

/// Keys of `over` win; tables are merged.
fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => overlay(base, over),
            (_, value) => _ = base.insert(key, value),
        }
    }
}
