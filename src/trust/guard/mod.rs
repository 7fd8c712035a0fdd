//! What is done about strangers who guess: at passwords, at addresses.
//!
//! Takes who did what and when; says how long to let a peer wait and whether to hear it at all. Nothing here is lost
//! that matters: everything is kept in memory, bounded, and forgotten when the server starts again. A refusal is always
//! a temporary one, so that whoever shares an address with a guesser loses no mail.

mod blocklists;
mod greylist;

pub use blocklists::Blocklists;
pub use greylist::{Greylist, Greylisted};

use crate::net::rates::{Limit, Rates};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Mistakes within an hour that cost nothing: a person mistypes, a program tries an old password twice.
const MISTAKES_FREE: u32 = 3;

/// How often a stranger may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// Wrong passwords of one address within an hour.
    pub failed_logins_per_hour_max: u32,
    /// And within a day.
    pub failed_logins_per_day_max: u32,
    /// Recipients that are not here, asked for by one address within an hour.
    pub unknown_recipients_per_hour_max: u32,
    /// The longest that an answer is held back; zero holds none back.
    pub tarpit_max: Duration,
    /// This machine's own programs may do everything.
    pub exempt_loopback: bool,
}

/// Remembers who was wrong.
#[derive(Debug)]
pub struct Guard {
    limits: GuardLimits,
    failed_logins: Mutex<Rates>,
    unknown_recipients: Mutex<Rates>,
}

impl Guard {
    /// Nobody was wrong yet.
    pub fn new(limits: GuardLimits) -> Self {
        let hour = |per_address| Limit { within: HOUR, per_address };
        let logins = [hour(limits.failed_logins_per_hour_max), Limit { within: DAY, per_address: limits.failed_logins_per_day_max }];
        let recipients = [hour(limits.unknown_recipients_per_hour_max)];
        Self { limits, failed_logins: Mutex::new(Rates::new(logins)), unknown_recipients: Mutex::new(Rates::new(recipients)) }
    }

    /// May a password of this peer be looked at? Once it may not, right ones are not looked at either: else a guesser
    /// would only have to go on.
    pub fn hears_logins(&self, peer: IpAddr, now: Instant) -> bool {
        self.is_exempt(peer) || !locked(&self.failed_logins).is_used_up(peer, now)
    }

    /// Counts a wrong password; says how long to hold the answer back.
    pub fn login_failed(&self, peer: IpAddr, now: Instant) -> Duration {
        self.count(&self.failed_logins, peer, now)
    }

    /// May this peer name recipients? Not when it named too many that are not here.
    pub fn hears_recipients(&self, peer: IpAddr, now: Instant) -> bool {
        self.is_exempt(peer) || !locked(&self.unknown_recipients).is_used_up(peer, now)
    }

    /// Counts a recipient that is not here; says how long to hold the answer back.
    pub fn recipient_unknown(&self, peer: IpAddr, now: Instant) -> Duration {
        self.count(&self.unknown_recipients, peer, now)
    }

    fn count(&self, rates: &Mutex<Rates>, peer: IpAddr, now: Instant) -> Duration {
        if self.is_exempt(peer) {
            return Duration::ZERO;
        }
        let mut rates = locked(rates);
        rates.note(peer, now);
        tarpit(rates.lately(peer, now), self.limits.tarpit_max)
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        self.limits.exempt_loopback && peer.to_canonical().is_loopback()
    }
}

/// Twice as long with each mistake beyond the free ones: nothing, one second, two, four …
fn tarpit(mistakes: u32, max: Duration) -> Duration {
    match mistakes.checked_sub(MISTAKES_FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(max),
    }
}

fn locked(rates: &Mutex<Rates>) -> MutexGuard<'_, Rates> {
    rates.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GuardLimits = GuardLimits {
        failed_logins_per_hour_max: 6,
        failed_logins_per_day_max: 20,
        unknown_recipients_per_hour_max: 5,
        tarpit_max: Duration::from_secs(5),
        exempt_loopback: true,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_guesser_waits_longer_each_time_and_then_is_not_heard() {
        let (guard, now, peer) = (Guard::new(LIMITS), Instant::now(), ip("192.0.2.1"));
        let waits: Vec<u64> = (0..6).map(|_| guard.login_failed(peer, now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4]);
        assert!(!guard.hears_logins(peer, now));
        assert_eq!(guard.login_failed(peer, now), LIMITS.tarpit_max);
        assert!(guard.hears_recipients(peer, now), "mail is still taken from there");
        assert!(guard.hears_logins(ip("192.0.2.2"), now) && guard.hears_logins(peer, now + 2 * HOUR));
    }

    #[test]
    fn patience_does_not_help_a_guesser() {
        let (guard, start, peer) = (Guard::new(LIMITS), Instant::now(), ip("2001:db8::1"));
        let heard = (0..24).take_while(|hour| {
            let now = start + HOUR * *hour;
            (0..2).for_each(|_| _ = guard.login_failed(peer, now));
            guard.hears_logins(peer, now)
        });
        assert_eq!(heard.count(), 9, "twenty within a day");
    }

    #[test]
    fn whoever_reads_out_a_list_of_names_is_not_heard_after_a_while() {
        let (guard, now, peer) = (Guard::new(LIMITS), Instant::now(), ip("198.51.100.9"));
        (0..5).for_each(|_| _ = guard.recipient_unknown(peer, now));
        assert!(!guard.hears_recipients(peer, now) && guard.hears_logins(peer, now));
    }

    #[test]
    fn this_machine_is_exempt_where_that_was_asked_for() {
        let now = Instant::now();
        for (exempt_loopback, heard) in [(true, true), (false, false)] {
            let guard = Guard::new(GuardLimits { exempt_loopback, ..LIMITS });
            (0..9).for_each(|_| _ = guard.login_failed(ip("127.0.0.1"), now));
            assert_eq!(guard.hears_logins(ip("127.0.0.1"), now), heard);
        }
    }
}
