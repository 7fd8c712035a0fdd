//! How often each address and each network did something lately.
//!
//! [`Rates`] counts one kind of deed, such as a connection or a wrong password, and says whether somebody did it too
//! often. One IPv4 address or one IPv6 network of 64 bits is what one subscriber has; the network around it (24 and 48
//! bits) may do three times as much, since whoever owns a whole one could go from address to address. Pure; time is an
//! argument. Memory is bounded: see [`SOURCES_MAX`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses and networks that are counted at a time; some 60 bytes each. Beyond it those that did least are forgotten.
const SOURCES_MAX: usize = 65_536;

/// How much more often the network around an address may do what the address may.
const NETWORK_FACTOR: u32 = 3;

/// So often within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The length of time.
    pub within: Duration,
    /// How often one address may.
    pub per_address: u32,
}

/// What was counted.
#[derive(Debug)]
pub struct Rates {
    limits: Vec<Limit>,
    sources: HashMap<IpNetwork, Vec<Window>>,
}

/// A network, by its first address and the bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct IpNetwork(IpAddr, u8);

/// How often within the running length of time and the one before: together they tell the sliding rate well enough.
#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    before: u32,
    count: u32,
}

impl Rates {
    /// Nothing yet; every limit holds.
    pub fn new(limits: impl Into<Vec<Limit>>) -> Self {
        Self { limits: limits.into(), sources: HashMap::new() }
    }

    /// Counts a deed.
    pub fn note(&mut self, peer: IpAddr, now: Instant) {
        if self.sources.len() >= SOURCES_MAX {
            self.forget(now);
        }
        for network in networks(peer) {
            let windows = self.sources.entry(network).or_insert_with(|| vec![Window::new(now); self.limits.len()]);
            for (window, limit) in windows.iter_mut().zip(&self.limits) {
                window.advance(limit.within, now);
                window.count = window.count.saturating_add(1);
            }
        }
    }

    /// How often the address did it within the first limit's length of time.
    pub fn lately(&self, peer: IpAddr, now: Instant) -> u32 {
        let [address, _] = networks(peer);
        let first = self.sources.get(&address).and_then(|windows| windows.first().copied());
        first.zip(self.limits.first()).map_or(0, |(window, limit)| window.rate(limit.within, now))
    }

    /// Did the address, or the network around it, do it as often as is allowed?
    pub fn is_used_up(&self, peer: IpAddr, now: Instant) -> bool {
        networks(peer).iter().zip([1, NETWORK_FACTOR]).any(|(network, factor)| {
            let windows = self.sources.get(network).map_or(&[][..], Vec::as_slice);
            windows
                .iter()
                .zip(&self.limits)
                .any(|(window, limit)| window.rate(limit.within, now) >= limit.per_address.saturating_mul(factor))
        })
    }

    /// Forgets who did nothing lately; if that is not enough, also those who did least.
    fn forget(&mut self, now: Instant) {
        let limits = std::mem::take(&mut self.limits);
        let most =
            |windows: &[Window]| windows.iter().zip(&limits).map(|(window, limit)| window.rate(limit.within, now)).max().unwrap_or(0);
        let mut least = 1;
        while self.sources.len() > SOURCES_MAX / 2 {
            self.sources.retain(|_, windows| most(windows) >= least);
            least = least.saturating_mul(2);
        }
        self.limits = limits;
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { began: now, before: 0, count: 0 }
    }

    fn advance(&mut self, within: Duration, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed >= within {
            let follows = passed < within * 2;
            *self = Self { began: if follows { self.began + within } else { now }, before: if follows { self.count } else { 0 }, count: 0 };
        }
    }

    /// As many as within the last `within`, if those of the window before came evenly.
    fn rate(mut self, within: Duration, now: Instant) -> u32 {
        self.advance(within, now);
        let passed = now.saturating_duration_since(self.began);
        let share = 1.0 - passed.as_secs_f64() / within.as_secs_f64().max(f64::MIN_POSITIVE);
        // Below u32::MAX, since the share is at most one.
        let before = (f64::from(self.before) * share.clamp(0.0, 1.0)) as u32;
        self.count.saturating_add(before)
    }
}

/// The address as it is counted, and the network around it.
fn networks(peer: IpAddr) -> [IpNetwork; 2] {
    match peer.to_canonical() {
        IpAddr::V4(v4) => [32, 24].map(|bits| IpNetwork(masked_v4(v4, bits).into(), bits)),
        IpAddr::V6(v6) => [64, 48].map(|bits| IpNetwork(masked_v6(v6, bits).into(), bits)),
    }
}

fn masked_v4(address: Ipv4Addr, bits: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0))
}

fn masked_v6(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0))
}

/// The network of one subscriber: an IPv4 address or an IPv6 network of 64 bits.
pub fn subscriber(peer: IpAddr) -> IpAddr {
    let [IpNetwork(address, _), _] = networks(peer);
    address
}

/// The network around a subscriber: 24 bits of IPv4, 48 of IPv6.
pub fn neighbourhood(peer: IpAddr) -> IpAddr {
    let [_, IpNetwork(network, _)] = networks(peer);
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const LIMITS: [Limit; 2] = [Limit { within: MINUTE, per_address: 4 }, Limit { within: Duration::from_secs(3_600), per_address: 10 }];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_do_something_so_often() {
        let (mut rates, start) = (Rates::new(LIMITS), Instant::now());
        for _ in 0..3 {
            rates.note(ip("192.0.2.1"), start);
        }
        assert!(!rates.is_used_up(ip("192.0.2.1"), start));
        rates.note(ip("::ffff:192.0.2.1"), start);
        assert!(rates.is_used_up(ip("192.0.2.1"), start));
        assert!(!rates.is_used_up(ip("192.0.2.2"), start), "the neighbour has its own");
        assert_eq!(rates.lately(ip("192.0.2.1"), start), 4);
        // Half of them still count in the middle of the next minute, none at its end.
        assert_eq!(rates.lately(ip("192.0.2.1"), start + MINUTE * 3 / 2), 2);
        assert_eq!(rates.lately(ip("192.0.2.1"), start + MINUTE * 2), 0);
    }

    #[test]
    fn the_longer_limit_holds_too() {
        let (mut rates, start) = (Rates::new(LIMITS), Instant::now());
        for minute in 0..10 {
            assert!(!rates.is_used_up(ip("192.0.2.1"), start + MINUTE * minute));
            rates.note(ip("192.0.2.1"), start + MINUTE * minute);
        }
        assert!(rates.is_used_up(ip("192.0.2.1"), start + MINUTE * 11));
        assert!(!rates.is_used_up(ip("192.0.2.1"), start + MINUTE * 70));
    }

    #[test]
    fn whoever_owns_a_network_gains_little_by_changing_addresses() {
        let (mut rates, now) = (Rates::new(LIMITS), Instant::now());
        for n in 0..12 {
            rates.note(ip(&format!("198.51.100.{n}")), now);
            rates.note(ip(&format!("2001:db8:1:{n:x}::7")), now);
        }
        assert!(rates.is_used_up(ip("198.51.100.200"), now) && rates.is_used_up(ip("2001:db8:1:ffff::1"), now));
        assert!(!rates.is_used_up(ip("198.51.101.1"), now) && !rates.is_used_up(ip("2001:db8:2::1"), now));
    }

    #[test]
    fn an_ipv6_subscriber_counts_as_one() {
        assert_eq!(subscriber(ip("2001:db8::1:2:3")), ip("2001:db8::"));
        assert_eq!(subscriber(ip("192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(neighbourhood(ip("192.0.2.7")), ip("192.0.2.0"));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_hides_nobody() {
        let (mut rates, now) = (Rates::new(LIMITS), Instant::now());
        for _ in 0..4 {
            rates.note(ip("192.0.2.1"), now);
        }
        for n in 0..200_000u32 {
            rates.note(Ipv4Addr::from_bits(0x0a00_0000 | n << 4).into(), now);
        }
        assert!(rates.sources.len() <= SOURCES_MAX + 2);
        assert!(rates.is_used_up(ip("192.0.2.1"), now), "who did much is remembered");
    }
}
