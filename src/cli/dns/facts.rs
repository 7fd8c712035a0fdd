//! What the records of a server are made from: its names, addresses, ports and keys.
//!
//! [`Facts::collect`] reads configuration and data directory, and asks the machine's own routing for its addresses, for
//! which nothing leaves the machine. What it cannot find out is left open; records say then what is to be filled in.

use super::super::config::Config;
use super::super::server::Service;
use crate::net::Leaf;
use crate::trust::signing::{Keyring, Published, State};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of documentation (RFC 5737, RFC 3849): the way there is the way to everybody, and nothing is sent.
const SOMEWHERE: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// All that the records say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Facts {
    /// The host, as DNS writes it.
    pub hostname: String,
    /// The host's addresses, where they are known.
    pub addresses: Vec<IpAddr>,
    /// The mail domains, the primary one first.
    pub domains: Vec<Domain>,
    /// Where mail programs come to.
    pub ports: Ports,
    /// The text of the MTA-STS record.
    pub sts: String,
    /// The data of the TLSA record, of the form `3 1 1 …`.
    pub tlsa: Option<String>,
    /// Who issues the certificate.
    pub authority: Option<Authority>,
}

/// A mail domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Domain {
    /// As DNS writes it.
    pub name: String,
    /// Its DKIM keys.
    pub dkim: Vec<DkimKey>,
    /// Its keys are published by this server itself, to which `_domainkey` is delegated.
    #[serde(default)]
    pub delegated: bool,
}

/// A DKIM key that is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct DkimKey {
    pub selector: String,
    /// The text of the record.
    pub record: String,
    /// Mail is signed with it now.
    pub active: bool,
}

/// The ports of the services for mail programs; none where it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Ports {
    pub submissions: Option<u16>,
    pub submission: Option<u16>,
    pub imaps: Option<u16>,
    pub imap: Option<u16>,
    pub https: Option<u16>,
}

/// A certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Authority {
    /// By which it goes in CAA records (RFC 8659 §4.2).
    pub domain: String,
    /// Our account there (RFC 8657 §3).
    pub account: Option<String>,
}

impl Facts {
    /// What configuration, data directory and routing say.
    pub fn collect(config: &Config, keyring: &Keyring) -> Facts {
        let port = |service: Service| service.addresses(config).first().map(SocketAddr::port);
        Facts {
            hostname: in_dns(&config.hostname),
            addresses: own_addresses(&config.listen.smtp),
            domains: config.domains.iter().map(|domain| Domain::collect(domain, keyring)).collect(),
            ports: Ports {
                submissions: port(Service::Submissions),
                submission: port(Service::Submission),
                imaps: port(Service::Imaps),
                imap: port(Service::Imap),
                https: port(Service::Https),
            },
            sts: config.mta_sts_policy().record(),
            tlsa: Leaf::read(&config.tls.certificate_file).ok().map(|leaf| leaf.tlsa()),
            authority: None,
        }
    }

    /// The domain that stands for the server.
    pub fn primary(&self) -> &str {
        self.domains.first().map_or("", |domain| &domain.name)
    }
}

impl Domain {
    fn collect(name: &str, keyring: &Keyring) -> Domain {
        let key = |key: Published| DkimKey { active: key.selector.state == State::Active, selector: key.selector.name, record: key.record };
        Domain { name: in_dns(name), dkim: keyring.published(name).into_iter().map(key).collect(), delegated: false }
    }
}

/// RFC 5890 §2.3.2.1: letters of any alphabet become A-labels.
pub(in crate::cli) fn in_dns(name: &str) -> String {
    idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_ascii_lowercase())
}

/// Those that the owner named, else those by which this machine reaches others, unless they are of a closed network.
fn own_addresses(listen: &[SocketAddr]) -> Vec<IpAddr> {
    let named: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    if !named.is_empty() {
        return named;
    }
    SOMEWHERE.iter().filter_map(|(from, to)| source(*from, *to)).filter(|ip| is_public(*ip)).collect()
}

fn source(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Can the world reach it?
pub(in crate::cli) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // RFC 6598: between providers and their customers.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_documentation() || shared)
        }
        // RFC 4291 §2.4: global unicast.
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000 && !(ip.segments()[0] == 0x2001 && ip.segments()[1] == 0xdb8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::signing::{Algorithm, Folder};

    #[test]
    fn addresses_of_closed_networks_are_not_told_to_the_world() {
        for ip in ["10.0.0.1", "192.168.1.2", "127.0.0.1", "169.254.1.1", "100.64.0.1", "::1", "fe80::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn what_the_owner_names_is_taken() {
        let listen = ["127.0.0.5:25".parse().unwrap(), "[::]:25".parse().unwrap()];
        assert_eq!(own_addresses(&listen), ["127.0.0.5".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn names_are_those_of_dns() {
        let config = Config::parse("hostname = 'Mail.bücher.example'\ndomains = ['bücher.example']\nlisten.imap = []").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), "bücher.example");
        folder.change(|keys| keys.make(Algorithm::Ed25519, State::Active, 1_800_000_000)).unwrap();
        let facts = Facts::collect(&config, &Keyring::open(dir.path(), &config.domains, config.signing.settings()));
        assert_eq!((facts.hostname.as_str(), facts.primary()), ("mail.xn--bcher-kva.example", "xn--bcher-kva.example"));
        assert_eq!((facts.ports.imap, facts.ports.imaps), (None, Some(993)));
        assert!(facts.sts.starts_with("v=STSv1; id="));
        let key = &facts.domains[0].dkim[0];
        assert!(key.active && key.record.starts_with("v=DKIM1; k=ed25519; p="), "{key:?}");
    }
}
