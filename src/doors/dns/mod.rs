//! The DNS door: the few names that the owner delegates to this machine, and nothing else.
//!
//! Answers for `_domainkey.<domain>` (the keys that sign, RFC 6376 §3.6.2) and `_acme-challenge.<name>` (what a certificate
//! authority asks for, RFC 8555 §8.4), so that neither needs a person at the DNS provider. What stands in them is in
//! [`zones`]; [`reply`] makes an answer of a question. Recursion, transfers, updates and other names are refused, and an
//! answer over UDP is hardly larger than what it is about. Whoever seems to ask too often is told to come by TCP,
//! where an address is real. Reads bytes from strangers. The zones are not signed: their parents have no DS for them.

mod reply;
#[cfg(test)]
mod tests;
mod zones;

use crate::net::questions::{Answers, Way};
use crate::net::rates::{Limit, Rates};
use reply::Room;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
pub use zones::Zones;

/// A resolver asks some times a day, and twenty of them behind an address a little more often.
const ANSWERS_LATELY: Limit = Limit { within: Duration::from_secs(10), per_address: 100 };

/// Answers questions about our zones.
pub struct Dns {
    zones: Zones,
    rates: Mutex<Rates>,
}

impl Dns {
    /// For these zones.
    pub fn new(zones: Zones) -> Self {
        Self { zones, rates: Mutex::new(Rates::new([ANSWERS_LATELY])) }
    }

    /// How much may be said: over UDP, to an address that was told much lately, every other time no more than to ask again.
    fn room(&self, from: IpAddr, way: Way, now: Instant) -> Option<Room> {
        if way == Way::Stream {
            return Some(Room::Stream);
        }
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let used_up = rates.is_used_up(from, now);
        let lately = rates.lately(from, now);
        rates.note(from, now);
        match used_up {
            false => Some(Room::Datagram),
            true if lately.is_multiple_of(2) => Some(Room::OnlyToRetry),
            true => None,
        }
    }
}

impl Answers for Dns {
    fn answer(&self, question: &[u8], from: IpAddr, way: Way) -> Option<Vec<u8>> {
        let room = self.room(from, way, Instant::now())?;
        reply::reply(question, &self.zones, room, super::now())
    }
}
