//! What verification asks of DNS, as a seam: the resolver answers it, and tests answer it from a script.
//!
//! All names are those of strangers; [`Bounded`] sees to it that one message costs so many questions and so many seconds
//! at most, whatever its records lead to. What comes too late is a failure that may pass, never a proof.

use crate::net::dns::{DnsError, Found, Resolver};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// An answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, Failure>> + Send + 'a>>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The name does not exist (RFC 8020), and so nothing does below it.
    NoName,
    /// The name has nothing of this kind.
    NoData,
    /// Nobody can say now, or what was said is not believed.
    Temporary,
}

/// Which addresses are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Answers questions about names, never with an empty list.
pub trait Lookup: Send + Sync {
    /// TXT records, the strings of each put together.
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>>;
    /// Addresses of a host.
    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Answer<'a, IpAddr>;
    /// Mail exchangers, the preferred one first.
    fn exchangers<'a>(&'a self, name: &'a str) -> Answer<'a, String>;
    /// What an address is called (RFC 1035 §3.5).
    fn names_of(&self, address: IpAddr) -> Answer<'_, String>;
}

/// The resolver of the server.
impl Lookup for Resolver {
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { Ok(told(self.txt(name).await)?.into_iter().map(String::into_bytes).collect()) })
    }

    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Answer<'a, IpAddr> {
        Box::pin(async move {
            told(match family {
                Family::V4 => self.ipv4(name).await,
                Family::V6 => self.ipv6(name).await,
            })
        })
    }

    fn exchangers<'a>(&'a self, name: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let mut hosts = told(self.mx(name).await)?;
            hosts.sort_by_key(|mx| mx.preference);
            Ok(hosts.into_iter().map(|mx| mx.host).collect())
        })
    }

    fn names_of(&self, address: IpAddr) -> Answer<'_, String> {
        Box::pin(async move { told(self.names_of(address).await) })
    }
}

fn told<T>(found: Result<Found<T>, DnsError>) -> Result<Vec<T>, Failure> {
    found.map(|found| found.records).map_err(|error| match error {
        DnsError::NoName { .. } => Failure::NoName,
        DnsError::NoData { .. } => Failure::NoData,
        DnsError::Bogus | DnsError::Unavailable(_) => Failure::Temporary,
    })
}

/// Another's answers, up to a moment and a number of questions.
pub struct Bounded<'a> {
    lookup: &'a dyn Lookup,
    until: Instant,
    left: AtomicUsize,
}

impl<'a> Bounded<'a> {
    /// Asks until this moment, and so often.
    pub fn new(lookup: &'a dyn Lookup, until: Instant, questions: usize) -> Self {
        Self { lookup, until, left: AtomicUsize::new(questions) }
    }

    async fn within<T>(&self, answer: Answer<'_, T>) -> Result<Vec<T>, Failure> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            return Err(Failure::Temporary);
        }
        tokio::time::timeout_at(self.until, answer).await.unwrap_or(Err(Failure::Temporary))
    }
}

impl Lookup for Bounded<'_> {
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(self.within(self.lookup.txt(name)))
    }

    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Answer<'a, IpAddr> {
        Box::pin(self.within(self.lookup.addresses(name, family)))
    }

    fn exchangers<'a>(&'a self, name: &'a str) -> Answer<'a, String> {
        Box::pin(self.within(self.lookup.exchangers(name)))
    }

    fn names_of(&self, address: IpAddr) -> Answer<'_, String> {
        Box::pin(self.within(self.lookup.names_of(address)))
    }
}
