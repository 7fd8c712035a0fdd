//! Which hosts take mail for a domain, in the order in which they are tried (RFC 5321 §5.1).

use super::super::carrier::Status;
use crate::net::dns::{DnsError, Found, Mx, Resolver};
use std::net::IpAddr;

/// Where mail for a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// In the order in which they are tried.
    pub hosts: Vec<String>,
    /// The list itself was validated with DNSSEC.
    pub secure: bool,
}

/// Mail for this domain goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nowhere {
    pub status: Status,
    pub text: String,
}

fn nowhere(status: Status, text: impl Into<String>) -> Nowhere {
    Nowhere { status, text: text.into() }
}

/// Looks up who takes mail for a domain; `own` is our own name, and `dice` decides among equals.
pub(super) async fn destination(resolver: &Resolver, domain: &str, own: &str, dice: impl FnMut() -> u32) -> Result<Destination, Nowhere> {
    match resolver.mx(domain).await {
        Ok(found) => order(found, domain, own, dice),
        // RFC 5321 §5.1: without MX records the domain itself is the host.
        Err(DnsError::NoData { secure }) => Ok(Destination { hosts: vec![domain.to_owned()], secure }),
        Err(DnsError::NoName { .. }) => Err(nowhere(Status(5, 1, 2), format!("there is no domain {domain}"))),
        Err(error) => Err(nowhere(Status(4, 4, 3), format!("the mail hosts of {domain} cannot be looked up: {error}"))),
    }
}

fn order(found: Found<Mx>, domain: &str, own: &str, mut dice: impl FnMut() -> u32) -> Result<Destination, Nowhere> {
    let (null, mut hosts): (Vec<Mx>, Vec<Mx>) = found.records.into_iter().partition(|mx| mx.host.is_empty());
    // RFC 7505 §3: alone it says that there is no mail; beside others it is a mistake.
    if hosts.is_empty() && !null.is_empty() {
        return Err(nowhere(Status(5, 1, 10), format!("{domain} takes no mail: it has a null MX record")));
    }
    // RFC 5321 §5.1: we, and all that is not better than us, are left out, or mail would go in circles.
    if let Some(ours) = hosts.iter().filter(|mx| mx.host.eq_ignore_ascii_case(own)).map(|mx| mx.preference).min() {
        hosts.retain(|mx| mx.preference < ours);
        if hosts.is_empty() {
            let text = format!("{domain} names this host, {own}, as its best mail host, but it is none of its mail domains");
            return Err(nowhere(Status(5, 4, 6), text));
        }
    }
    let mut drawn: Vec<(u16, u32, String)> = hosts.into_iter().map(|mx| (mx.preference, dice(), mx.host)).collect();
    drawn.sort();
    let mut hosts: Vec<String> = drawn.into_iter().map(|(_, _, host)| host).collect();
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    Ok(Destination { hosts, secure: found.secure })
}

/// Both families in turn, IPv6 first, without what cannot be a host's address.
pub(super) fn interleave(addresses: Vec<IpAddr>, ipv6: bool) -> Vec<IpAddr> {
    let fits = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast() && *address != IpAddr::from([255; 4]);
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().filter(fits).partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter().filter(|_| ipv6), four.into_iter());
    let mut turns = Vec::new();
    loop {
        match (six.next(), four.next()) {
            (None, None) => return turns,
            (one, other) => turns.extend(one.into_iter().chain(other)),
        }
    }
}

/// RFC 5321 §4.1.3: `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
pub(super) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        Some(_) => inner.get(5..)?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn found(list: &[(u16, &str)]) -> Found<Mx> {
        Found {
            records: list.iter().map(|(preference, host)| Mx { preference: *preference, host: (*host).to_owned() }).collect(),
            secure: true,
            name: "one.test".to_owned(),
            alias_secure: false,
            ttl: Duration::ZERO,
        }
    }

    fn ordered(list: &[(u16, &str)], dice: &[u32]) -> Result<Vec<String>, Status> {
        let mut dice = dice.iter().copied();
        let order = order(found(list), "one.test", "mail.own.test", || dice.next().unwrap_or(0));
        order.map(|destination| destination.hosts).map_err(|nowhere| nowhere.status)
    }

    #[test]
    fn the_best_come_first_and_equals_in_any_order() {
        let list = [(20, "c.test"), (10, "a.test"), (10, "b.test"), (20, "a.test")];
        assert_eq!(ordered(&list, &[0, 1, 2, 3]).unwrap(), ["a.test", "b.test", "c.test"]);
        assert_eq!(ordered(&list, &[0, 2, 1, 3]).unwrap(), ["b.test", "a.test", "c.test"]);
    }

    #[test]
    fn a_null_mx_takes_no_mail_unless_it_is_a_mistake() {
        assert_eq!(ordered(&[(0, "")], &[]), Err(Status(5, 1, 10)));
        assert_eq!(ordered(&[(0, ""), (10, "a.test")], &[]).unwrap(), ["a.test"]);
    }

    #[test]
    fn mail_is_never_brought_to_ourselves_or_behind_us() {
        let list = [(10, "a.test"), (20, "MAIL.own.test"), (20, "b.test"), (30, "c.test")];
        assert_eq!(ordered(&list, &[]).unwrap(), ["a.test"]);
        assert_eq!(ordered(&list[1..], &[]), Err(Status(5, 4, 6)));
    }

    #[test]
    fn both_families_take_turns() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all = list(&["::2", "::3", "1.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "1.0.0.2", "1.0.0.3"]);
        assert_eq!(interleave(all.clone(), true), list(&["::2", "1.0.0.1", "::3", "1.0.0.2", "1.0.0.3"]));
        assert_eq!(interleave(all, false), list(&["1.0.0.1", "1.0.0.2", "1.0.0.3"]));
    }

    #[test]
    fn literals_are_addresses() {
        assert_eq!(literal("[127.0.0.1]"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(literal("[ipv6:::1]"), Some("::1".parse().unwrap()));
        for wrong in ["127.0.0.1", "[one.test]", "[::1]", "[IPv6:127.0.0.1]", "[\u{e9}\u{e9}\u{e9}]", "[]"] {
            assert_eq!(literal(wrong), None, "{wrong}");
        }
    }
}
