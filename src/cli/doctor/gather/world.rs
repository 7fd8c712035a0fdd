//! What can be had over the network: our own ports and policy, and what the owner asked to be tried.

use super::super::facts::{Fetched, Port, WayOut};
use super::Sight;
use crate::cli::dns::facts::Facts as Ours;
use crate::cli::server::Service;
use crate::doors::http::mta_sts;
use crate::net::https::{Bounds, Reach};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A host that is far away answers within a second or two.
const CONNECT_SECONDS: Duration = Duration::from_secs(8);
/// Servers that keep strangers waiting begin to speak after some seconds.
const GREETING_SECONDS: Duration = Duration::from_secs(20);

/// RFC 8461 §3.3 lets senders give up after a minute; a policy is some lines.
const POLICY: Bounds = Bounds { time: Duration::from_secs(20), body_bytes_max: 64 << 10 };

/// Hosts of a domain that are tried, and addresses of ours.
const HOSTS_MAX: usize = 3;
const ADDRESSES_MAX: usize = 8;

/// Every port of ours at every address that DNS gives the host, or that we know if DNS gives none.
pub(super) async fn ports(sight: &Sight, ours: &Ours) -> Vec<Port> {
    let in_dns = sight.resolver.addresses(&ours.hostname).await.map(|found| found.records);
    let mut addresses = in_dns.unwrap_or_else(|_| ours.addresses.clone());
    addresses.truncate(ADDRESSES_MAX);
    let mut trying = JoinSet::new();
    for (n, (service, address, port)) in wanted(sight, &addresses).into_iter().enumerate() {
        trying.spawn(async move {
            let problem = reach(SocketAddr::new(address, port), service == Service::Smtp).await.err();
            (n, Port { service: service.name().to_owned(), address, port, problem })
        });
    }
    let mut all = trying.join_all().await;
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, port)| port).collect()
}

/// Services that listen for the world. One that listens to this machine alone has another program in front of it.
fn wanted(sight: &Sight, addresses: &[IpAddr]) -> Vec<(Service, IpAddr, u16)> {
    let mut all = Vec::new();
    for service in Service::ALL {
        let listens = service.addresses(&sight.config);
        let Some(port) = listens.first().map(SocketAddr::port) else { continue };
        let for_all = |listen: &SocketAddr, ip: &IpAddr| listen.ip() == *ip || (!listen.ip().is_loopback() && !ip.is_loopback());
        let open = addresses.iter().filter(|ip| listens.iter().any(|listen| for_all(listen, ip)));
        all.extend(open.map(|ip| (service, *ip, port)));
    }
    all
}

/// Connects; a mail server must greet, too. The problem is in words.
async fn reach(at: SocketAddr, greets: bool) -> Result<(), String> {
    let connected = timeout(CONNECT_SECONDS, TcpStream::connect(at)).await;
    let mut stream = connected.map_err(|_| "no answer in time".to_owned())?.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => format!("this machine has no way to {}", at.ip()),
        _ => error.to_string(),
    })?;
    if !greets {
        return Ok(());
    }
    let mut head = [0; 3];
    let read = timeout(GREETING_SECONDS, stream.read_exact(&mut head)).await;
    read.map_err(|_| "it does not greet in time".to_owned())?.map_err(|_| "it hangs up".to_owned())?;
    // RFC 5321 §4.3.2: 220, or 554 for whom it does not want.
    if &head == b"220" || &head == b"554" { Ok(()) } else { Err("it does not greet as a mail server".to_owned()) }
}

/// Whether port 25 is open for what goes out, tried on the server of a domain that the owner named.
pub(super) async fn way_out(sight: &Sight, domain: Option<&str>) -> Option<WayOut> {
    let domain = domain?;
    let mut hosts = match sight.resolver.mx(domain).await {
        Ok(found) => found.records,
        Err(error) => return Some(WayOut { host: domain.to_owned(), problem: Some(format!("its MX was not found: {error}")) }),
    };
    hosts.sort_by_key(|mx| mx.preference);
    let mut problem = None;
    for mx in hosts.iter().take(HOSTS_MAX) {
        for ip in sight.resolver.addresses(&mx.host).await.map_or_else(|_| Vec::new(), |found| found.records).iter().take(HOSTS_MAX) {
            match reach(SocketAddr::new(*ip, sight.config.queue.smtp_port), true).await {
                Ok(()) => return Some(WayOut { host: mx.host.clone(), problem: None }),
                Err(why) => problem = problem.or(Some((mx.host.clone(), why))),
            }
        }
    }
    let (host, why) = problem.unwrap_or_else(|| (domain.to_owned(), "its servers have no address".to_owned()));
    Some(WayOut { host, problem: Some(why) })
}

/// The policies of our domains, as others fetch them.
pub(super) async fn policies(sight: &Sight, ours: &Ours) -> BTreeMap<String, Fetched> {
    let mut fetching = JoinSet::new();
    for domain in &ours.domains {
        let (https, name) = (sight.https.clone(), domain.name.clone());
        fetching.spawn(async move {
            let url = format!("https://mta-sts.{name}{}", mta_sts::PATH);
            let fetched = match https.get(&url, Reach::Anywhere, POLICY).await {
                Ok(response) if response.status().is_success() => {
                    Fetched { text: String::from_utf8_lossy(response.body()).into_owned(), problem: None }
                }
                Ok(response) => Fetched { problem: Some(format!("the answer is {}", response.status())), ..Fetched::default() },
                Err(error) => Fetched { problem: Some(error.to_string()), ..Fetched::default() },
            };
            (name, fetched)
        });
    }
    fetching.join_all().await.into_iter().collect()
}

/// How far our clock is ahead of the certificate authority's, if the owner has one asked for certificates.
pub(super) async fn clock_ahead(sight: &Sight) -> Option<i64> {
    let acme = &sight.config.acme;
    if !acme.enabled {
        return None;
    }
    let answer = sight.https.get(&acme.directory_url, Reach::Anywhere, POLICY).await.ok()?;
    let date = answer.headers().get("date")?.to_str().ok()?;
    // RFC 9110 §5.6.7: the same form as in mail, but for the name of the zone.
    let there = jiff::fmt::rfc2822::parse(&date.replace("GMT", "+0000")).ok()?;
    Some(jiff::Timestamp::now().as_second() - there.timestamp().as_second())
}
