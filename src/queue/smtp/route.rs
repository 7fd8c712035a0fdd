//! From a domain to the hosts that are tried for it, each with its addresses and with what a connection to it must be.

use super::super::carrier::Status;
use super::dane::{self, Asked};
use super::hosts::{self, Destination, Nowhere, destination, interleave};
use super::ledger::Session;
use super::security::Demand;
use super::sts::{Mode, Policy};
use super::{Smarthost, SmtpCarrier};
use crate::net::dns::{DnsError, Found};
use mail_auth::report::tlsrpt::{PolicyType, ResultType};
use std::net::{IpAddr, UdpSocket};

/// The hosts of a domain.
pub(super) struct Route {
    pub domain: String,
    pub destination: Destination,
    pub policy: Option<Policy>,
    pub smarthost: bool,
}

/// One host, ready to be tried.
pub(super) struct Target {
    pub host: String,
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    pub demand: Demand,
    pub implicit_tls: bool,
    /// For the ledger: what kind of policy holds, and its words.
    pub kind: PolicyType,
    pub policy: Vec<String>,
}

impl SmtpCarrier {
    /// Finds the way to a domain or address literal.
    pub(super) async fn route(&self, domain: &str, now: i64) -> Result<Route, Nowhere> {
        if let Some(Smarthost { host, .. }) = &self.settings.smarthost {
            let destination = Destination { hosts: vec![host.clone()], secure: false };
            return Ok(Route { domain: domain.to_owned(), destination, policy: None, smarthost: true });
        }
        if domain.starts_with('[') {
            let destination = Destination { hosts: vec![domain.to_owned()], secure: false };
            return Ok(Route { domain: domain.to_owned(), destination, policy: None, smarthost: false });
        }
        let destination = destination(&self.resolver, domain, &self.settings.own_name, rand::random).await?;
        let known = self.policies.of(domain, now).await;
        if let Some(problem) = known.problem {
            let failure = Some(problem);
            let kind = PolicyType::Sts;
            self.ledger.enter(now, Session { domain, kind, policy: Vec::new(), hosts: Vec::new(), host: None, address: None, failure });
        }
        let policy = known.policy.filter(|policy| policy.mode != Mode::None);
        Ok(Route { domain: domain.to_owned(), destination, policy, smarthost: false })
    }

    /// Finds a host's addresses and what is demanded of it.
    pub(super) async fn target(&self, route: &Route, host: &str, now: i64) -> Result<Target, Nowhere> {
        if let (true, Some(smarthost)) = (route.smarthost, &self.settings.smarthost) {
            let found = self.addresses(host).await?;
            let (demand, implicit_tls) = (Demand::Named { enforced: true }, smarthost.implicit_tls);
            let addresses = self.usable(host, found.records)?;
            return Ok(Target {
                host: host.to_owned(),
                addresses,
                port: smarthost.port,
                demand,
                implicit_tls,
                kind: PolicyType::Other,
                policy: Vec::new(),
            });
        }
        if let Some(policy) = route.policy.as_ref().filter(|policy| !policy.allows(host)) {
            self.enter_policy(route, policy, host, Some(ResultType::ValidationFailure), now);
            if policy.mode == Mode::Enforce {
                return Err(Nowhere {
                    status: Status(4, 7, 5),
                    text: format!("the MTA-STS policy of {} does not name {host}", route.domain),
                });
            }
        }
        let found = self.addresses(host).await?;
        let asked = match route.destination.secure {
            true => dane::asked(&self.resolver, host, &found, self.settings.port).await,
            false => Asked::Nothing,
        };
        let (demand, kind, policy) = match (asked, &route.policy) {
            (Asked::Unknown(error), _) => {
                let text = format!("the TLSA records of {host} cannot be looked up: {error}");
                self.enter_unknown(route, host, &error, now);
                return Err(Nowhere { status: Status(4, 4, 3), text });
            }
            // RFC 8461 §2: MTA-STS never weakens what DANE asks for.
            (Asked::Certificate(anchors), _) => {
                let words = anchors.strings();
                let names = vec![anchors.base.clone(), host.to_owned(), route.domain.clone()];
                (Demand::Dane { anchors, names }, PolicyType::Tlsa, words)
            }
            (Asked::Tls, _) => (Demand::Encrypted, PolicyType::Tlsa, Vec::new()),
            (Asked::Nothing, Some(policy)) => (Demand::Named { enforced: policy.mode == Mode::Enforce }, PolicyType::Sts, policy.strings()),
            (Asked::Nothing, None) => (Demand::Opportunistic, PolicyType::NoPolicyFound, Vec::new()),
        };
        let addresses = self.usable(host, found.records)?;
        Ok(Target { host: host.to_owned(), addresses, port: self.settings.port, demand, implicit_tls: false, kind, policy })
    }

    async fn addresses(&self, host: &str) -> Result<Found<IpAddr>, Nowhere> {
        let literal = hosts::literal(host).or_else(|| host.parse().ok());
        if let Some(address) = literal {
            let (name, ttl) = (host.to_owned(), std::time::Duration::ZERO);
            return Ok(Found { records: vec![address], secure: false, name, alias_secure: false, ttl });
        }
        match self.resolver.addresses(host).await {
            Ok(found) => Ok(found),
            Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => {
                Err(Nowhere { status: Status(5, 4, 4), text: format!("the host {host} has no address") })
            }
            Err(error) => Err(Nowhere { status: Status(4, 4, 3), text: format!("the address of {host} cannot be looked up: {error}") }),
        }
    }

    fn usable(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Nowhere> {
        let all = interleave(addresses, self.settings.ipv6 && machine_has_ipv6());
        if all.is_empty() {
            let text = format!("{host} has no address that this server can reach: its addresses may be IPv6 alone");
            return Err(Nowhere { status: Status(4, 4, 4), text });
        }
        Ok(all)
    }

    fn enter_policy(&self, route: &Route, policy: &Policy, host: &str, failure: Option<ResultType>, now: i64) {
        let (kind, hosts) = (PolicyType::Sts, policy.hosts().to_vec());
        let domain = &route.domain;
        self.ledger.enter(now, Session { domain, kind, policy: policy.strings(), hosts, host: Some(host), address: None, failure });
    }

    fn enter_unknown(&self, route: &Route, host: &str, error: &DnsError, now: i64) {
        // RFC 8460 §4.3.2.1: silence is no result, a broken signature is one.
        if *error != DnsError::Bogus {
            return;
        }
        let (kind, failure) = (PolicyType::Tlsa, Some(ResultType::DnssecInvalid));
        let domain = &route.domain;
        self.ledger.enter(now, Session { domain, kind, policy: Vec::new(), hosts: Vec::new(), host: Some(host), address: None, failure });
    }
}

/// Is there a way to the IPv6 Internet? Nothing is sent: a socket is told of an address that nobody has (RFC 3849).
fn machine_has_ipv6() -> bool {
    UdpSocket::bind("[::]:0").and_then(|socket| socket.connect("[2001:db8::1]:25")).is_ok()
}
