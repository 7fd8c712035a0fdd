//! DNS block lists (RFC 5782): off unless the owner names some, since each is told who sends mail here.
//!
//! Whoever keeps such a list, or the name servers on the way, may answer anything: only 127.0.0.0/8 means "listed", and of
//! that 127.255.255.0/24 means that the question was not answered. No answer within the time is no listing.

use crate::net::dns::Resolver;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A sender waits for this at MAIL; whoever answers later is not heard.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Answers of a list that say something about the question, not about the address.
const NOT_ANSWERED: [u8; 3] = [127, 255, 255];

/// The lists that are asked.
pub struct Blocklists {
    resolver: Resolver,
    lists: Vec<String>,
}

impl Blocklists {
    /// These, in their order.
    pub fn new(resolver: Resolver, lists: Vec<String>) -> Self {
        Self { resolver, lists }
    }

    /// The first list that has this address, if one does.
    pub async fn listing(&self, peer: IpAddr) -> Option<&str> {
        for list in &self.lists {
            let question = question(peer, list);
            let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.resolver.addresses(&question)).await;
            let Ok(Ok(found)) = answer else { continue };
            if found.records.iter().any(|address| means_listed(*address)) {
                return Some(list);
            }
        }
        None
    }
}

/// RFC 5782 §2.1 and §2.4: the octets of IPv4 or the nibbles of IPv6, the last first, and the list.
fn question(peer: IpAddr, list: &str) -> String {
    let labels: Vec<String> = match peer.to_canonical() {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => v6.octets().iter().rev().flat_map(|octet| [octet & 15, octet >> 4]).map(|nibble| format!("{nibble:x}")).collect(),
    };
    format!("{}.{list}.", labels.join("."))
}

fn means_listed(address: IpAddr) -> bool {
    let IpAddr::V4(v4) = address else { return false };
    Ipv4Addr::is_loopback(&v4) && v4.octets()[..3] != NOT_ANSWERED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::ResolverSettings;
    use stoa_world::{Dns, Zone};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn how_a_list_is_asked() {
        assert_eq!(question(ip("192.0.2.7"), "bl.example"), "7.2.0.192.bl.example.");
        assert_eq!(question(ip("::ffff:192.0.2.7"), "bl.example"), "7.2.0.192.bl.example.");
        let v6 = question(ip("2001:db8::f1"), "bl.example");
        assert!(v6.starts_with("1.f.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.bl.example."), "{v6}");
    }

    #[test]
    fn what_an_answer_means() {
        let table = [("127.0.0.2", true), ("127.1.2.3", true), ("127.255.255.254", false), ("192.0.2.1", false), ("::1", false)];
        for (answer, listed) in table {
            assert_eq!(means_listed(ip(answer)), listed, "{answer}");
        }
    }

    #[tokio::test]
    async fn the_first_list_that_has_the_address_is_told() {
        let one = Zone::unsigned("one.example", "7.2.0.192 A 127.255.255.254\n");
        let two = Zone::unsigned("two.example", "7.2.0.192 A 127.0.0.4\n");
        let dns = Dns::serve(&[one, two]).await;
        let settings = ResolverSettings {
            servers: vec![dns.address()],
            trust_anchors: Some(dns.trust_anchor()),
            timeout: Duration::from_secs(2),
            attempts: 1,
        };
        let lists = ["gone.example", "one.example", "two.example"].map(String::from).to_vec();
        let lists = Blocklists::new(Resolver::new(&settings).unwrap(), lists);
        assert_eq!(lists.listing(ip("192.0.2.7")).await, Some("two.example"));
        assert_eq!(lists.listing(ip("192.0.2.8")).await, None);
    }
}
