//! Loopback networks for one test: some addresses of a random 127.x.y.0/24, and ports that are free on all of them.
//!
//! Mail servers must share one port number, since MX records name none. So each daemon of a world has an address of
//! its own and all listen on the same ports. Networks and ports are drawn at random: two runs at once do not meet.

use rand::RngExt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Draws until a network with a free port is found. One is nearly always enough.
const DRAWS_MAX: usize = 100;

/// Below the range from which Linux takes the ports of clients (32768 and up), and above what services use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A network `127.x.y.0/24` that nobody used when it was drawn.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    second: u8,
    third: u8,
}

impl Network {
    /// A random network.
    pub fn random() -> Network {
        let mut random = rand::rng();
        // 127.0.x.y is where people and systems put services of their own.
        Network { second: random.random_range(1..=254), third: random.random_range(0..=255) }
    }

    /// The address of this network that ends in `host`.
    pub fn address(self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.second, self.third, host))
    }

    /// The name of its reverse zone, as in RFC 1035 §3.5.
    pub fn reverse_zone(self) -> String {
        format!("{}.{}.127.in-addr.arpa", self.third, self.second)
    }

    /// A port that is free on all these hosts, for TCP and UDP.
    pub fn free_port(self, hosts: &[u8]) -> u16 {
        let drawn = (0..DRAWS_MAX).map(|_| rand::rng().random_range(PORTS));
        let free = |port: &u16| hosts.iter().all(|host| is_free(SocketAddr::new(self.address(*host), *port)));
        drawn.into_iter().find(free).expect("a loopback network has a free port")
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_used_on_every_host() {
        let network = Network::random();
        let port = network.free_port(&[1, 2, 3]);
        let listeners: Vec<TcpListener> =
            [1, 2, 3].map(|host| TcpListener::bind((network.address(host), port)).expect("the port is free")).into();
        assert!(listeners.iter().all(|listener| listener.local_addr().expect("it is bound").ip().is_loopback()));
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let held = TcpListener::bind((Network::random().address(1), 0)).expect("a loopback address can be bound");
        assert!(!is_free(held.local_addr().expect("it is bound")));
    }

    #[test]
    fn the_reverse_zone_names_the_network_backwards() {
        assert_eq!(Network { second: 7, third: 200 }.reverse_zone(), "200.7.127.in-addr.arpa");
    }
}
