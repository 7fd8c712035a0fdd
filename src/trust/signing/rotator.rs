//! Rotation done: asks DNS, decides by [`rotation`], and changes the keys.
//!
//! Whoever runs this tells the person what is to be published, and says so afterwards with [`asked`]: a letter may come
//! twice after a crash, never not at all.

use super::keyring::{Keyring, Published};
use super::rotation::{self, Shown, Step};
use super::selector::{Selector, State};
use super::{Folder, SigningError, is_shown};
use crate::net::dns::{DnsError, Resolver};
use std::collections::BTreeMap;

/// Looks up texts in DNS.
pub trait Texts: Sync {
    /// The TXT records of a name, none if there are none; an error if nobody knows.
    fn texts(&self, name: &str) -> impl Future<Output = Result<Vec<String>, DnsError>> + Send;
}

impl Texts for Resolver {
    async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        match self.txt(name).await {
            Ok(found) => Ok(found.records),
            Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// What DNS says of a record of ours.
pub async fn look(dns: &impl Texts, key: &Published) -> Shown {
    match dns.texts(&key.name()).await {
        Ok(texts) if texts.iter().any(|text| is_shown(text, &key.record)) => Shown::Right,
        Ok(texts) if texts.is_empty() => Shown::Missing,
        Ok(_) => Shown::Wrong,
        Err(_) => Shown::Unknown,
    }
}

/// Does what is due for all domains of a keyring; gives the records that a person has to publish, for which it is time
/// to ask. `rotate_seconds` is how long a key signs, `None` for ever.
pub async fn turn(keyring: &Keyring, dns: &impl Texts, now: i64, rotate_seconds: Option<i64>) -> Vec<Published> {
    let mut to_ask = Vec::new();
    for domain in keyring.domains() {
        let Some(folder) = keyring.folder(domain) else { continue };
        let mut shown = BTreeMap::new();
        for key in keyring.published(domain).iter().filter(|key| key.selector.state == State::Prepared) {
            shown.insert(key.selector.name.clone(), look(dns, key).await);
        }
        let folder = folder.clone();
        // Keys that cannot be read are told by whoever reads them; nothing is decided without knowing them.
        let done = tokio::task::spawn_blocking(move || take(&folder, &shown, now, rotate_seconds)).await;
        match done {
            Ok(Ok(names)) => to_ask.extend(keyring.published(domain).into_iter().filter(|key| names.contains(&key.selector.name))),
            Ok(Err(error)) => tracing::error!(domain, %error, "cannot rotate DKIM keys"),
            Err(_) => tracing::error!(domain, "DKIM keys could not be rotated"),
        }
    }
    to_ask
}

/// Takes the steps that are due; gives the selectors that a person has to publish.
fn take(folder: &Folder, shown: &BTreeMap<String, Shown>, now: i64, rotate_seconds: Option<i64>) -> Result<Vec<String>, SigningError> {
    let decide = |selectors: &[Selector]| rotation::decide(selectors, shown, now, rotate_seconds);
    if decide(&folder.selectors()?).is_empty() {
        return Ok(Vec::new());
    }
    folder.change(|changing| {
        let mut to_ask = Vec::new();
        // Somebody else may have changed them since.
        for step in decide(&changing.selectors) {
            match &step {
                Step::Make(algorithm, state) => {
                    let name = changing.make(*algorithm, *state, now)?;
                    tracing::info!(selector = name, state = state.name(), "made a DKIM key");
                }
                Step::Ask(names) => to_ask.extend_from_slice(names),
                Step::Activate(name) => {
                    tracing::info!(selector = name, "mail is signed with a new DKIM key");
                    rotation::note(&mut changing.selectors, &step, now);
                }
                _ => rotation::note(&mut changing.selectors, &step, now),
            }
        }
        Ok(to_ask)
    })
}

/// Remembers that a person was asked to publish these.
pub async fn asked(keyring: &Keyring, records: &[Published], now: i64) {
    for record in records {
        let Some(folder) = keyring.folder(&record.domain).cloned() else { continue };
        let step = Step::Ask(vec![record.selector.name.clone()]);
        let change = move || {
            folder.change(|changing| {
                rotation::note(&mut changing.selectors, &step, now);
                Ok(())
            })
        };
        if !matches!(tokio::task::spawn_blocking(change).await, Ok(Ok(()))) {
            tracing::error!(domain = record.domain, "it cannot be remembered that the owner was told of a DKIM key");
        }
    }
}

/// Makes new keys now, to be published; gives their names. None if there are prepared ones already.
pub async fn prepare(folder: &Folder, now: i64) -> Result<Vec<String>, SigningError> {
    let folder = folder.clone();
    let made = tokio::task::spawn_blocking(move || {
        folder.change(|changing| {
            if changing.selectors.iter().any(|selector| selector.state == State::Prepared) {
                return Ok(Vec::new());
            }
            super::ALGORITHMS.into_iter().map(|algorithm| changing.make(algorithm, State::Prepared, now)).collect()
        })
    });
    made.await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// Has these prepared selectors sign from now on.
pub async fn switch(folder: &Folder, names: Vec<String>, now: i64) -> Result<(), SigningError> {
    let folder = folder.clone();
    let switched = tokio::task::spawn_blocking(move || {
        folder.change(|changing| {
            names.iter().for_each(|name| rotation::activate(&mut changing.selectors, name, now));
            Ok(())
        })
    });
    switched.await.unwrap_or(Ok(()))
}
