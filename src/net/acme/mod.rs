//! A certificate that comes and is renewed by itself (ACME, RFC 8555).
//!
//! A [`Keeper`] looks after one certificate file: [`Keeper::step`] does what is to be done at a time and says when to come
//! again. `plan` decides, `names` asks DNS which names lead here, `order` fetches. The key file stays as it is over all
//! renewals, so that what is published of it (TLSA) stays true; a certificate that somebody else put in place is never
//! replaced. What was tried and when is on disk before the authority hears of it.
//!
//! | file | holds |
//! |---|---|
//! | `account.json` | the key of the account at the authority |
//! | `state.json` | [`State`]: what was fetched, what failed, when |
//!
//! Standards: RFC 8555 (ACME), RFC 8737 (TLS-ALPN-01). Known gaps: no external account binding, no revocation, no renewal
//! times by the authority's wish (RFC 9773).

mod client;
mod names;
mod order;
mod plan;
mod standing;
#[cfg(test)]
mod tests;

pub use client::Connect;
pub use names::{Astray, Lookup};
pub use order::{Pace, account_uri};
pub use plan::{Kind, State};
pub use standing::{MAIL_EVERY, Trouble, trouble};

use crate::net::certificate::{PUBLIC, SECRET, write};
use crate::net::{Challenges, Leaf, Texts};
use anyhow::Context;
use names::Sorted;
use order::Wanted;
use plan::{Facts, Plan};
use rcgen::KeyPair;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// After an error on our own disk.
const AFTER_ERROR: i64 = 600;

/// What a keeper keeps, and where it gets it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority.
    pub directory_url: String,
    /// The address that it may write to.
    pub contact: Option<String>,
    /// The names that the certificate shall cover if they lead here, as DNS writes them, the host's own first.
    pub names: Vec<String>,
    /// The chain, in PEM.
    pub certificate_file: PathBuf,
    /// The key, in PEM; made if there is none.
    pub key_file: PathBuf,
    /// Holds the account and the state.
    pub folder: PathBuf,
    /// The kinds of challenges that can be met here, the preferred first.
    pub kinds: Vec<Kind>,
    /// How long the authority is waited for.
    pub pace: Pace,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Nothing was to be done.
    Nothing,
    /// The certificate in place is somebody else's.
    Foreign,
    /// The host's own name does not lead here.
    NoHost(Astray),
    /// There is a new certificate.
    Fetched(Leaf),
    /// The order failed.
    Failed(String),
}

/// Where is posted what an authority is to find.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// On the web ports.
    pub challenges: Arc<Challenges>,
    /// In DNS.
    pub texts: Arc<Texts>,
}

/// Looks after one certificate.
pub struct Keeper {
    settings: Settings,
    lookup: Lookup,
    connect: Connect,
    board: Board,
    state: State,
    /// What was last told of names that do not lead here.
    told: Vec<(String, Astray)>,
}

impl Keeper {
    /// Reads what an earlier one left.
    pub fn open(settings: Settings, board: Board, lookup: Lookup, connect: Connect) -> anyhow::Result<Keeper> {
        let state = read_state(&state_file(&settings.folder))?;
        Ok(Keeper { settings, lookup, connect, board, state, told: Vec::new() })
    }

    /// What is remembered of orders.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Does what is to be done at `now`, in seconds since 1970; says what came of it and when to come again.
    pub async fn step(&mut self, now: i64) -> (Came, i64) {
        match self.try_step(now).await {
            Ok(done) => done,
            Err(error) => (Came::Failed(format!("{error:#}")), now + AFTER_ERROR),
        }
    }

    async fn try_step(&mut self, now: i64) -> anyhow::Result<(Came, i64)> {
        let leaf = Leaf::read(&self.settings.certificate_file).ok();
        let sorted = names::sort(&self.settings.names, &self.lookup).await;
        self.tell(&sorted);
        let hostname = self.settings.names.first().context("there is a hostname")?.clone();
        let facts = Facts { now, leaf: leaf.as_ref(), names: &sorted.here, hostname: &hostname, kinds: &self.settings.kinds };
        match plan::plan(&facts, &self.state) {
            Plan::Leave(until) => Ok((Came::Foreign, until)),
            Plan::Wait(until) => {
                let host = sorted.astray.into_iter().find(|(name, _)| *name == hostname);
                Ok((host.map_or(Came::Nothing, |(_, why)| Came::NoHost(why)), until))
            }
            Plan::Order { names, kind } => {
                let came = self.order(now, &names, kind, &hostname).await?;
                // What comes next, pauses included, is planned from what is known now.
                Ok((came, now))
            }
        }
    }

    /// Says of each name once why it is left out.
    fn tell(&mut self, sorted: &Sorted) {
        for (name, why) in sorted.astray.iter().filter(|news| !self.told.contains(news)) {
            tracing::info!(name, "the certificate leaves this name out: {why}");
        }
        self.told.clone_from(&sorted.astray);
    }

    async fn order(&mut self, now: i64, names: &[String], kind: Kind, hostname: &str) -> anyhow::Result<Came> {
        let key = self.key()?;
        self.state.begin(now);
        self.keep_state()?;
        tracing::info!(names = names.join(" "), ?kind, authority = self.settings.directory_url, "ordering a certificate");
        let wanted = Wanted {
            directory_url: &self.settings.directory_url,
            contact: self.settings.contact.as_deref(),
            account_file: &self.settings.folder.join(order::ACCOUNT_FILE),
            names,
            kind,
            key: &key,
            challenges: &self.board.challenges,
            texts: &self.board.texts,
            pace: self.settings.pace,
            now,
        };
        match order::fetch(&wanted, &self.connect).await {
            Ok((chain, leaf)) => {
                // First the state: a certificate in place that we do not know would be taken for somebody else's.
                self.state.succeeded(now, &leaf, kind);
                self.keep_state()?;
                write(&self.settings.certificate_file, &chain, PUBLIC)?;
                Ok(Came::Fetched(leaf))
            }
            Err(failure) => {
                self.state.failed(now, &failure, hostname, self.settings.kinds.len());
                self.keep_state()?;
                Ok(Came::Failed(failure.why))
            }
        }
    }

    /// The key that is there; a new one only if there is none.
    fn key(&self) -> anyhow::Result<KeyPair> {
        let file = &self.settings.key_file;
        match fs::read_to_string(file) {
            Ok(pem) => KeyPair::from_pem(&pem).with_context(|| {
                format!(
                    "cannot use the key in {}: it must be in PEM as PKCS #8 (BEGIN PRIVATE KEY), of a kind that is in use",
                    file.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write(file, &key.serialize_pem(), SECRET)?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    fn keep_state(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.settings.folder).with_context(|| self.settings.folder.display().to_string())?;
        write(&state_file(&self.settings.folder), &serde_json::to_string_pretty(&self.state)?, SECRET)
    }
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

fn read_state(file: &Path) -> anyhow::Result<State> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is broken: delete it", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}
