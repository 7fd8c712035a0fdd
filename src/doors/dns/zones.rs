//! What stands in the zones that this machine answers for.

use crate::net::Texts;
use crate::trust::signing::Keyring;
use std::sync::Arc;

/// Below a mail domain: its keys.
const KEYS: &str = "_domainkey.";
/// Below a name of a certificate: what its authority asks for.
const CHALLENGE: &str = "_acme-challenge.";

/// How long resolvers keep a key's record. A new key waits an hour to be used after it is seen.
const KEY_SECONDS: u32 = 3_600;
/// The same of a challenge, which is new each time.
const CHALLENGE_SECONDS: u32 = 30;

/// The zones of one server.
pub struct Zones {
    hostname: String,
    keyring: Keyring,
    texts: Arc<Texts>,
    challenged: Vec<String>,
}

/// A zone: where it begins, and where its contents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone<'a> {
    /// Its name, in lower case and without a dot at the end.
    pub apex: &'a str,
    /// The mail domain whose keys stand in it; `None` if it holds challenges.
    domain: Option<&'a str>,
}

/// A record of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub strings: Vec<String>,
    pub ttl: u32,
}

impl Zones {
    /// The keys of a keyring, and challenges for these names; `hostname` is the name server.
    pub fn new(hostname: &str, keyring: Keyring, texts: Arc<Texts>, challenged: &[String]) -> Self {
        let challenged = challenged.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { hostname: hostname.to_ascii_lowercase(), keyring, texts, challenged }
    }

    /// The name server of all zones.
    pub(super) fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The zone that a name is in; the name is in lower case and without a dot at the end.
    pub(super) fn zone<'a>(&'a self, name: &'a str) -> Option<Zone<'a>> {
        // Labels like those of an apex may stand before it: only one with a name of ours behind it counts.
        let starts = || std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        starts().find_map(|at| {
            let apex = name.get(at..)?;
            if let Some(domain) = apex.strip_prefix(KEYS) {
                return self.keyring.domains().any(|own| own == domain).then_some(Zone { apex, domain: Some(domain) });
            }
            let challenged = apex.strip_prefix(CHALLENGE)?;
            self.challenged.iter().any(|own| own == challenged).then_some(Zone { apex, domain: None })
        })
    }

    /// The texts under a name of a zone; `None` if there is no such name.
    pub(super) fn texts(&self, zone: &Zone<'_>, name: &str) -> Option<Vec<Text>> {
        if let Some(domain) = zone.domain {
            if name == zone.apex {
                return Some(Vec::new());
            }
            let keys = self.keyring.published(domain).into_iter().filter(|key| key.name() == name);
            let texts: Vec<Text> = keys.map(|key| Text { strings: key.strings().map(str::to_owned).collect(), ttl: KEY_SECONDS }).collect();
            return Some(texts).filter(|texts| !texts.is_empty());
        }
        let texts = || self.texts.of(name).into_iter().map(|text| Text { strings: vec![text], ttl: CHALLENGE_SECONDS });
        (name == zone.apex).then(|| texts().collect())
    }
}
