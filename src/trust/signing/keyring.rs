//! The keys that sign, in memory; they are read again when their files change.

use super::folder::{Folder, Stamp};
use super::key::Key;
use super::selector::{ALGORITHMS, Selector, State};
use crate::store::{BodyReader, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use stoa_dkim::{Algorithm, Content, Reader, Signer};

/// How mail is signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SigningSettings {
    /// Mail to these domains carries no Ed25519 signature.
    pub rsa_only_destinations: Vec<String>,
}

/// Signs for our domains; clones share the keys.
#[derive(Clone)]
pub struct Keyring {
    shared: Arc<Shared>,
}

struct Shared {
    settings: SigningSettings,
    domains: BTreeMap<String, Domain>,
}

struct Domain {
    folder: Folder,
    keys: RwLock<Loaded>,
}

#[derive(Clone, Default)]
struct Loaded {
    stamp: Option<Stamp>,
    keys: Arc<[(Selector, Key)]>,
}

/// A record that has to stand in DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Where: the domain below whose `_domainkey` it stands.
    pub domain: String,
    /// Its selector.
    pub selector: Selector,
    /// The text of the TXT record.
    pub record: String,
}

impl Published {
    /// The name of the record, without a dot at its end.
    pub fn name(&self) -> String {
        format!("{}._domainkey.{}", self.selector.name, self.domain)
    }

    /// The text as a zone file has it: in strings of 255 octets at most (RFC 1035 §3.3.14).
    pub fn text_strings(&self) -> String {
        let strings: Vec<String> = self.strings().map(|string| format!("\"{string}\"")).collect();
        strings.join(" ")
    }

    /// The strings of the text.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        const STRING_OCTETS_MAX: usize = 255;
        // A record is ASCII, so every cut is between characters.
        self.record.as_bytes().chunks(STRING_OCTETS_MAX).filter_map(|string| std::str::from_utf8(string).ok())
    }
}

impl Keyring {
    /// The keys of these domains, below `dkim` of the data directory. A domain whose keys cannot be read is told in the
    /// log and signs nothing until they can.
    pub fn open(dkim: &Path, domains: &[String], settings: SigningSettings) -> Self {
        let domain = |name: &String| {
            let name = name.to_ascii_lowercase();
            (name.clone(), Domain { folder: Folder::of(dkim, &name), keys: RwLock::default() })
        };
        let domains = domains.iter().map(domain).collect();
        Self { shared: Arc::new(Shared { settings, domains }) }
    }

    /// Makes the keys of domains that have none, in a while: RSA takes a second or more each.
    pub async fn ensure(&self, now: i64) {
        let shared = Arc::clone(&self.shared);
        let made = tokio::task::spawn_blocking(move || {
            for (name, domain) in &shared.domains {
                match first_keys(&domain.folder, now) {
                    Ok(0) => {}
                    Ok(keys) => tracing::info!(domain = name, keys, "made DKIM keys: `stoa dns` prints their records"),
                    Err(error) => tracing::error!(domain = name, %error, "cannot make DKIM keys"),
                }
            }
        });
        if made.await.is_err() {
            tracing::error!("DKIM keys could not be made");
        }
    }

    /// The domains that it signs for.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.shared.domains.keys().map(String::as_str)
    }

    /// The folder of a domain's keys, if the domain is ours.
    pub fn folder(&self, domain: &str) -> Option<&Folder> {
        self.find(domain).map(|domain| &domain.folder)
    }

    /// The records that have to stand in DNS for a domain.
    pub fn published(&self, domain: &str) -> Vec<Published> {
        let Some(found) = self.find(domain) else { return Vec::new() };
        let record = |(selector, key): &(Selector, Key)| Published {
            domain: domain.to_ascii_lowercase(),
            selector: selector.clone(),
            record: key.record.clone(),
        };
        found.keys(domain).iter().map(record).collect()
    }

    /// DKIM-Signature fields with their line ends, to be put in front of a message on its way to a destination; nothing
    /// if the domain is not ours. A message that cannot be signed goes out without, which the log says.
    pub async fn signatures(&self, domain: &str, destination: &str, content: &BodyReader, now: i64) -> Result<Bytes, StoreError> {
        // Nobody else's mail is read for nothing.
        if self.find(domain).is_none() {
            return Ok(Bytes::new());
        }
        let (mut reader, mut at) = (Reader::new(), 0);
        loop {
            let chunk = content.read(at..u64::MAX).await?;
            if chunk.is_empty() {
                return Ok(self.sign(domain, destination, reader, now));
            }
            reader.feed(&chunk);
            at += chunk.len() as u64;
        }
    }

    /// The same of a message that was read already.
    pub fn sign(&self, domain: &str, destination: &str, message: Reader, now: i64) -> Bytes {
        let Some(found) = self.find(domain) else { return Bytes::new() };
        let keys = found.keys(domain);
        let rsa_only = self.shared.settings.rsa_only_destinations.iter().any(|other| other.eq_ignore_ascii_case(destination));
        let wanted = ALGORITHMS.into_iter().filter(|algorithm| *algorithm == Algorithm::Rsa || !rsa_only);
        let active = |algorithm| {
            keys.iter().find(move |(selector, _): &&(Selector, Key)| selector.state == State::Active && selector.algorithm == algorithm)
        };
        let signing: Vec<_> = wanted.filter_map(active).collect();
        if signing.is_empty() {
            tracing::error!(domain, "mail goes out without a signature: there is no DKIM key that is active; `stoa keys list` shows them");
            return Bytes::new();
        }
        let signed = message.finish().map_err(|reason| reason.to_string()).and_then(|content| sign(domain, &signing, &content, now));
        signed.unwrap_or_else(|reason| {
            tracing::warn!(domain, reason, "a message goes out without a signature");
            Bytes::new()
        })
    }

    fn find(&self, domain: &str) -> Option<&Domain> {
        self.shared.domains.get(domain.to_ascii_lowercase().as_str())
    }
}

impl Domain {
    /// The keys as their files say now.
    fn keys(&self, name: &str) -> Arc<[(Selector, Key)]> {
        let stamp = self.folder.stamp();
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.stamp == stamp {
            return known.keys;
        }
        let keys = load(&self.folder, name);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Loaded { stamp, keys: Arc::clone(&keys) };
        keys
    }
}

/// Reads what can be read, and tells of the rest.
fn load(folder: &Folder, name: &str) -> Arc<[(Selector, Key)]> {
    let tell = |error| tracing::error!(domain = name, %error, "a DKIM key cannot be used");
    let selectors = folder.selectors().unwrap_or_else(|error| {
        tell(error);
        Vec::new()
    });
    let key = |selector: Selector| folder.key(&selector).map_err(tell).ok().map(|key| (selector, key));
    selectors.into_iter().filter_map(key).collect()
}

/// Makes a first key of each algorithm of which there is none; it is active at once. Gives how many were made.
fn first_keys(folder: &Folder, now: i64) -> Result<usize, super::SigningError> {
    let missing = |selectors: &[Selector]| -> Vec<Algorithm> {
        let has = |algorithm| selectors.iter().any(|selector| selector.algorithm == algorithm);
        ALGORITHMS.into_iter().filter(|algorithm| !has(*algorithm)).collect()
    };
    if missing(&folder.selectors()?).is_empty() {
        return Ok(0);
    }
    folder.change(|changing| {
        let missing = missing(&changing.selectors);
        for algorithm in &missing {
            changing.make(*algorithm, State::Active, now)?;
        }
        Ok(missing.len())
    })
}

pub(super) fn sign(domain: &str, keys: &[&(Selector, Key)], content: &Content, time: i64) -> Result<Bytes, String> {
    let mut signers = Vec::new();
    for (selector, _) in keys {
        signers.push(Signer { domain, selector: &selector.name, algorithm: selector.algorithm, time });
    }
    let unsigned = content.unsigned(&signers).map_err(|reason| reason.to_string())?;
    let mut fields = String::new();
    for (field, (_, key)) in unsigned.into_iter().zip(keys) {
        let signature = key.sign(field.input()).map_err(|error| error.to_string())?;
        fields.push_str(&field.sign(&signature));
    }
    Ok(fields.into())
}
