//! What the records of a server are made from: its names, addresses, ports and keys.
//!
//! [`Facts::collect`] reads configuration and data directory, and asks the machine's own routing for its addresses, for
//! which nothing leaves the machine. What it cannot find out is left open; records say then what is to be filled in.

use super::super::config::Config;
use super::super::server::Service;
use crate::net::Leaf;
use crate::net::acme::account_uri;
use crate::net::https::is_public;
use crate::trust::signing::{Keyring, Published, State};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of documentation (RFC 5737, RFC 3849): the way there is the way to everybody, and nothing is sent.
const SOMEWHERE: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// Authorities that speak ACME, by the domain of their servers, and what they are called in CAA records by their own documents.
const AUTHORITIES: [(&str, &str); 4] =
    [("letsencrypt.org", "letsencrypt.org"), ("zerossl.com", "sectigo.com"), ("pki.goog", "pki.goog"), ("buypass.com", "buypass.com")];

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
    /// Where it is in its life.
    pub state: State,
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
        let delegated = !config.listen.dns.is_empty();
        let port = |service: Service| service.addresses(config).first().map(SocketAddr::port);
        Facts {
            hostname: in_dns(&config.hostname),
            addresses: own_addresses(&config.listen.smtp, config.queue.ipv6),
            domains: config.domains.iter().map(|domain| Domain::collect(domain, keyring, delegated)).collect(),
            ports: Ports {
                submissions: port(Service::Submissions),
                submission: port(Service::Submission),
                imaps: port(Service::Imaps),
                imap: port(Service::Imap),
                https: port(Service::Https),
            },
            sts: config.mta_sts_policy().record(),
            tlsa: Leaf::read(&config.tls.certificate_file).ok().map(|leaf| leaf.tlsa()),
            authority: authority(config),
        }
    }
}

impl Domain {
    fn collect(name: &str, keyring: &Keyring, delegated: bool) -> Domain {
        let key = |key: Published| DkimKey { state: key.selector.state, selector: key.selector.name, record: key.record };
        Domain { name: in_dns(name), dkim: keyring.published(name).into_iter().map(key).collect(), delegated }
    }
}

/// The authority that certificates are fetched from, if its name in CAA records is known, and our account there.
fn authority(config: &Config) -> Option<Authority> {
    let acme = &config.acme;
    let host = acme.directory_url.strip_prefix("https://")?.split(['/', ':']).next()?;
    let (_, domain) = AUTHORITIES.iter().find(|(theirs, _)| host == *theirs || host.ends_with(&format!(".{theirs}")))?;
    let account = account_uri(&config.data_directory.join("acme"), &acme.directory_url);
    Some(Authority { domain: (*domain).to_owned(), account }).filter(|_| acme.enabled)
}

/// RFC 5890 §2.3.2.1: letters of any alphabet become A-labels.
pub(in crate::cli) fn in_dns(name: &str) -> String {
    idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_ascii_lowercase())
}

/// Those that the owner named, else those by which this machine reaches others, unless they are of a closed network;
/// without `ipv6` mail does not leave by it, and no record is to lead there.
fn own_addresses(listen: &[SocketAddr], ipv6: bool) -> Vec<IpAddr> {
    let named: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    if !named.is_empty() {
        return named;
    }
    SOMEWHERE.iter().filter_map(|(from, to)| source(*from, *to)).filter(|ip| is_of_use(*ip, ipv6)).collect()
}

fn is_of_use(ip: IpAddr, ipv6: bool) -> bool {
    is_public(&ip) && (ipv6 || ip.is_ipv4())
}

fn source(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::signing::{Algorithm, Folder};

    #[test]
    fn what_the_owner_names_is_taken() {
        let listen = ["127.0.0.5:25".parse().unwrap(), "[::]:25".parse().unwrap()];
        assert_eq!(own_addresses(&listen, false), ["127.0.0.5".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn no_record_leads_to_ipv6_where_mail_does_not_leave_by_it() {
        let of_use = |ip: &str, ipv6| is_of_use(ip.parse().unwrap(), ipv6);
        assert!(of_use("2606:4700::1", true) && !of_use("2606:4700::1", false));
        assert!(of_use("9.9.9.9", true) && of_use("9.9.9.9", false) && !of_use("10.0.0.1", true));
    }

    #[test]
    fn names_are_those_of_dns() {
        let config = Config::parse("hostname = 'Mail.bücher.example'\ndomains = ['bücher.example']\nlisten.imap = []").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), &config.domains[0]);
        folder.change(|keys| keys.make(Algorithm::Ed25519, State::Active, 1_800_000_000)).unwrap();
        let facts = Facts::collect(&config, &Keyring::open(dir.path(), &config.domains, config.signing.settings()));
        assert_eq!((facts.hostname.as_str(), facts.domains[0].name.as_str()), ("mail.xn--bcher-kva.example", "xn--bcher-kva.example"));
        assert!(facts.authority.is_none() && !facts.domains[0].delegated);
        assert_eq!((facts.ports.imap, facts.ports.imaps), (None, Some(993)));
        assert!(facts.sts.starts_with("v=STSv1; id="));
        let key = &facts.domains[0].dkim[0];
        assert!(key.state == State::Active && key.record.starts_with("v=DKIM1; k=ed25519; p="), "{key:?}");
    }
}
