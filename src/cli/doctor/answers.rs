//! What DNS says: questions and answers as plain values, and how the questions are found.
//!
//! A check asks [`Answers`] as it goes. What is not known yet is noted there and the check says nothing of it; whoever
//! collects facts runs the checks, asks DNS what was noted, and runs them again until nothing is missing. So nobody has
//! to say beforehand what a check wants to know, and a check remains a function over facts.

use super::super::dns::records::Data;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Of what kind a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::cli) enum Kind {
    /// Of both kinds.
    Addresses,
    Mx,
    Txt,
    Srv,
    Tlsa,
    Caa,
    Cname,
    /// The name is an address.
    Names,
}

/// A name and what is asked of it.
pub(in crate::cli) type Question = (String, Kind);

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Answer {
    /// One at least.
    pub records: Vec<Data>,
    /// Validated with DNSSEC.
    pub secure: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Silence {
    /// There is no such record.
    Nothing,
    /// DNSSEC signatures are wrong.
    Bogus,
    /// Nobody answered.
    Unavailable(String),
    /// It was not asked: too much had to be.
    Unasked,
}

/// All answers.
#[derive(Debug, Default)]
pub(in crate::cli) struct Answers {
    known: BTreeMap<Question, Result<Answer, Silence>>,
    missing: Mutex<BTreeSet<Question>>,
}

impl Answers {
    /// What is known; what is not is noted.
    pub fn get(&self, name: &str, kind: Kind) -> Result<Answer, Silence> {
        let question = (name.trim_end_matches('.').to_ascii_lowercase(), kind);
        if let Some(said) = self.known.get(&question) {
            return said.clone();
        }
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(question);
        Err(Silence::Unasked)
    }

    /// Takes an answer in.
    pub fn put(&mut self, question: Question, said: Result<Answer, Silence>) {
        self.known.insert(question, said);
    }

    /// What was wanted and is not known.
    pub fn take_missing(&self) -> Vec<Question> {
        std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// Why nobody answered, if nobody answered any question.
    pub fn all_unavailable(&self) -> Option<String> {
        let mut why = None;
        for said in self.known.values() {
            let Err(Silence::Unavailable(reason)) = said else { return None };
            why = Some(reason.clone());
        }
        why
    }

    /// Addresses of a host.
    pub fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Silence> {
        let address = |data: &Data| match data {
            Data::A(ip) => Some(IpAddr::V4(*ip)),
            Data::Aaaa(ip) => Some(IpAddr::V6(*ip)),
            _ => None,
        };
        Ok(self.get(host, Kind::Addresses)?.records.iter().filter_map(address).collect())
    }

    /// Hosts that take mail, with their preference.
    pub fn mx(&self, domain: &str) -> Result<Vec<(u16, String)>, Silence> {
        let host = |data: &Data| match data {
            Data::Mx { preference, host } => Some((*preference, host.clone())),
            _ => None,
        };
        Ok(self.get(domain, Kind::Mx)?.records.iter().filter_map(host).collect())
    }

    /// Texts that begin so, such as `v=spf1`, and then end or go on after a blank or semicolon.
    pub fn texts(&self, name: &str, begin: &str) -> Result<Vec<String>, Silence> {
        let is_one = |text: &String| {
            let head = text.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin));
            head && text.get(begin.len()..).is_some_and(|rest| rest.trim_start().is_empty() || rest.starts_with([' ', ';', '\t']))
        };
        match self.get(name, Kind::Txt) {
            Ok(answer) => Ok(answer.records.into_iter().filter_map(text).filter(is_one).collect()),
            Err(Silence::Nothing) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    /// The names of an address.
    pub fn names(&self, ip: IpAddr) -> Result<Vec<String>, Silence> {
        Ok(self.get(&ip.to_string(), Kind::Names)?.records.into_iter().filter_map(target).collect())
    }

    /// What a name is an alias of.
    pub fn alias(&self, name: &str) -> Result<Option<String>, Silence> {
        match self.get(name, Kind::Cname) {
            Ok(answer) => Ok(answer.records.into_iter().find_map(target)),
            Err(Silence::Nothing) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

fn text(data: Data) -> Option<String> {
    match data {
        Data::Txt(text) => Some(text),
        _ => None,
    }
}

fn target(data: Data) -> Option<String> {
    match data {
        Data::Cname(name) | Data::Ptr(name) => Some(name),
        _ => None,
    }
}
