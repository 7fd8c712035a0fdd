//! Which names a certificate can be had for: those that lead to this host in DNS.
//!
//! The host's own name counts as soon as it has an address; a machine behind address translation cannot tell whether it is
//! the right one, the authority will. Every other name must have addresses of the host and no others: the authority may go
//! to any of them, and a domain whose web pages are elsewhere must not spoil the order for the rest.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Looks up the addresses of a host; none is an answer, too.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> + Send + Sync>;

/// Why a name is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Astray {
    /// It has no address.
    NoAddress,
    /// It has an address that is not the host's.
    Elsewhere(IpAddr),
    /// Nobody knows now.
    Unknown(String),
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Astray::NoAddress => f.write_str("it has no address in DNS"),
            Astray::Elsewhere(address) => write!(f, "it leads to {address}, which is not an address of this host"),
            Astray::Unknown(why) => write!(f, "DNS cannot tell where it leads: {why}"),
        }
    }
}

/// Names by where they lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sorted {
    /// Those that lead here, in the order in which they were given.
    pub here: Vec<String>,
    /// The others.
    pub astray: Vec<(String, Astray)>,
}

/// Sorts names, of which the first is the host's own.
pub async fn sort(names: &[String], lookup: &Lookup) -> Sorted {
    let mut sorted = Sorted::default();
    let Some((host, others)) = names.split_first() else { return sorted };
    let ours = match lookup(host.clone()).await {
        Ok(addresses) if !addresses.is_empty() => addresses.into_iter().collect::<BTreeSet<_>>(),
        Ok(_) => {
            sorted.astray.push((host.clone(), Astray::NoAddress));
            return sorted;
        }
        Err(why) => {
            sorted.astray.push((host.clone(), Astray::Unknown(why)));
            return sorted;
        }
    };
    sorted.here.push(host.clone());
    for name in others {
        match lookup(name.clone()).await.map_err(Astray::Unknown).and_then(|found| leads_here(&found, &ours)) {
            Ok(()) => sorted.here.push(name.clone()),
            Err(why) => sorted.astray.push((name.clone(), why)),
        }
    }
    sorted
}

fn leads_here(found: &[IpAddr], ours: &BTreeSet<IpAddr>) -> Result<(), Astray> {
    match found.iter().find(|address| !ours.contains(address)) {
        Some(&address) => Err(Astray::Elsewhere(address)),
        None if found.is_empty() => Err(Astray::NoAddress),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(records: &'static [(&'static str, &'static [&'static str])]) -> Lookup {
        Arc::new(move |name| {
            let found = records.iter().find(|(known, _)| *known == name);
            let answer = match found {
                Some((_, ["?"])) => Err("no answer".to_owned()),
                Some((_, addresses)) => Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
                None => Ok(Vec::new()),
            };
            Box::pin(std::future::ready(answer))
        })
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn names_must_lead_to_the_host_and_nowhere_else() {
        let lookup = world(&[
            ("mail.example", &["192.0.2.1", "2001:db8::1"]),
            ("autoconfig.example", &["192.0.2.1"]),
            ("mta-sts.example", &["2001:db8::1", "192.0.2.1"]),
            ("example", &["192.0.2.80"]),
            ("half.example", &["192.0.2.1", "192.0.2.80"]),
            ("lost.example", &["?"]),
        ]);
        let asked =
            names(&["mail.example", "autoconfig.example", "mta-sts.example", "example", "half.example", "lost.example", "no.example"]);
        let sorted = sort(&asked, &lookup).await;
        assert_eq!(sorted.here, names(&["mail.example", "autoconfig.example", "mta-sts.example"]));
        let elsewhere = Astray::Elsewhere("192.0.2.80".parse().unwrap());
        let astray = [("example", elsewhere.clone()), ("half.example", elsewhere), ("lost.example", Astray::Unknown("no answer".into()))];
        assert_eq!(sorted.astray[..3], astray.map(|(name, why)| (name.to_owned(), why)));
        assert_eq!(sorted.astray[3], ("no.example".to_owned(), Astray::NoAddress));
    }

    #[tokio::test]
    async fn without_the_host_there_is_nothing() {
        for host in ["no.example", "lost.example"] {
            let lookup = world(&[("lost.example", &["?"]), ("autoconfig.example", &["192.0.2.1"])]);
            let sorted = sort(&names(&[host, "autoconfig.example"]), &lookup).await;
            assert!(sorted.here.is_empty() && sorted.astray.len() == 1, "{sorted:?}");
        }
    }
}
