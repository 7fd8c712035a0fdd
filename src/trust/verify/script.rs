//! DNS from a script, for tests: names with records, and names that nobody answers for.

use super::lookup::{Answer, Failure, Family, Lookup};
use std::collections::HashMap;
use std::net::IpAddr;

/// A record, or what keeps the records after it from being told.
#[derive(Debug, Clone)]
pub enum Entry {
    Txt(Vec<u8>),
    Address(IpAddr),
    Exchanger(u16, String),
    Pointer(String),
    Alias(String),
    /// Whatever was not found before this is not answered.
    Silence,
}

/// Names in lower case without a last dot.
#[derive(Debug, Clone, Default)]
pub struct Script(HashMap<String, Vec<Entry>>);

impl Script {
    pub fn add(&mut self, name: &str, entry: Entry) {
        self.0.entry(name.to_lowercase().trim_end_matches('.').to_owned()).or_default().push(entry);
    }

    /// A name that exists, with nothing yet.
    pub fn add_name(&mut self, name: &str) {
        self.0.entry(name.to_lowercase()).or_default();
    }

    /// From lines of `name TXT|A|AAAA|MX|PTR|CNAME|SILENCE data`.
    pub fn of(lines: &str) -> Self {
        let mut script = Self::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let (name, kind, data) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            let entry = match kind {
                "TXT" => Entry::Txt(data.into()),
                "A" | "AAAA" => Entry::Address(data.parse().unwrap()),
                "MX" => Entry::Exchanger(10, data.to_owned()),
                "PTR" => Entry::Pointer(data.to_owned()),
                "CNAME" => Entry::Alias(data.to_owned()),
                "SILENCE" => Entry::Silence,
                other => panic!("no kind of record: {other}"),
            };
            script.add(name, entry);
        }
        script
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn find<T>(&self, name: &str, of: impl Fn(&Entry) -> Option<T>) -> Result<Vec<T>, Failure> {
        let mut name = name.to_lowercase().trim_end_matches('.').to_owned();
        // As many aliases as a resolver follows.
        for _ in 0..8 {
            let Some(entries) = self.0.get(&name) else {
                let below = format!(".{name}");
                return Err(if self.0.keys().any(|other| other.ends_with(&below)) { Failure::NoData } else { Failure::NoName });
            };
            let mut found = Vec::new();
            let mut alias = None;
            for entry in entries {
                match entry {
                    Entry::Silence if found.is_empty() => return Err(Failure::Temporary),
                    Entry::Silence => break,
                    Entry::Alias(other) => alias = Some(other),
                    entry => found.extend(of(entry)),
                }
            }
            match alias {
                Some(other) if found.is_empty() => name = other.to_lowercase().trim_end_matches('.').to_owned(),
                _ if found.is_empty() => return Err(Failure::NoData),
                _ => return Ok(found),
            }
        }
        Err(Failure::Temporary)
    }
}

impl Lookup for Script {
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            self.find(name, |entry| match entry {
                Entry::Txt(text) => Some(text.clone()),
                _ => None,
            })
        })
    }

    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Answer<'a, IpAddr> {
        Box::pin(async move {
            self.find(name, |entry| match entry {
                Entry::Address(address) if Family::of(*address) == family => Some(*address),
                _ => None,
            })
        })
    }

    fn exchangers<'a>(&'a self, name: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let mut found = self.find(name, |entry| match entry {
                Entry::Exchanger(preference, host) => Some((*preference, host.clone())),
                _ => None,
            })?;
            found.sort();
            Ok(found.into_iter().map(|(_, host)| host).collect())
        })
    }

    fn names_of(&self, address: IpAddr) -> Answer<'_, String> {
        let name = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(address) => {
                let digits = format!("{:032x}", u128::from(address));
                let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
                format!("{}.ip6.arpa", digits.join("."))
            }
        };
        Box::pin(async move {
            self.find(&name, |entry| match entry {
                Entry::Pointer(name) => Some(name.clone()),
                _ => None,
            })
        })
    }
}
