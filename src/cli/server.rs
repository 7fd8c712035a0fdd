//! The server put together: store, doors, ports, and an end in good order.
//!
//! Takes a checked [`Config`] and a store that is open; [`Server`] listens port by port, so that what one needs of
//! another (the web names the mail ports) is known, then [`Server::run`] waits for a signal. `serve` and `demo` differ
//! only in what they give it. Knows no protocol.

use super::config::Config;
use super::home::return_key;
use crate::delivery::governor::Budgets;
use crate::delivery::{Delivery, Names};
use crate::doors::{self, Limits, Services, http::Site};
use crate::net::dns::Resolver;
use crate::net::questions::{answer_datagrams, answer_stream};
use crate::net::{Challenges, Connection, ConnectionLimits, Crowd, Ended, Listening, Patience, Purpose, Tls, listen};
use crate::store::Store;
use crate::trust::Logins;
use crate::trust::guard::{Blocklists, Greylist, Guard};
use crate::trust::reputation::Reputation;
use crate::trust::verify::Verifier;
use anyhow::{Context, bail};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stoa_smtp::Role;
use stoa_webapp::{MailServer, Security};
use tokio::net::{TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often what nothing refers to any more is dropped.
const RECLAIM_EVERY: Duration = Duration::from_secs(600);

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Smtp,
    Submission,
    Submissions,
    Imap,
    Imaps,
    Http,
    Https,
}

impl Service {
    pub(super) const ALL: [Service; 7] =
        [Self::Smtp, Self::Submission, Self::Submissions, Self::Imap, Self::Imaps, Self::Http, Self::Https];

    /// The registered name of the service, but for `submissions` (RFC 8314 §7.3), whose port had another.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The registered port.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Submission => 587,
            Self::Submissions => 465,
            Self::Imap => 143,
            Self::Imaps => 993,
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Where the configuration has it listen.
    pub(super) fn addresses(self, config: &Config) -> &[SocketAddr] {
        let listen = &config.listen;
        match self {
            Self::Smtp => &listen.smtp,
            Self::Submission => &listen.submission,
            Self::Submissions => &listen.submissions,
            Self::Imap => &listen.imap,
            Self::Imaps => &listen.imaps,
            Self::Http => &listen.http,
            Self::Https => &listen.https,
        }
    }

    fn begins_with_tls(self) -> bool {
        matches!(self, Self::Submissions | Self::Imaps | Self::Https)
    }

    fn purpose(self) -> Purpose {
        match self {
            Self::Smtp => Purpose::Relays,
            Self::Http | Self::Https => Purpose::Web,
            _ => Purpose::Clients,
        }
    }

    /// What a connection beyond the limits is told, where it can be told in plain.
    fn too_many(self) -> Option<&'static [u8]> {
        match self {
            Self::Smtp | Self::Submission => Some(b"421 4.7.0 Too many connections, try again later\r\n"),
            Self::Imap => Some(b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"),
            Self::Http => Some(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            Self::Submissions | Self::Imaps | Self::Https => None,
        }
    }
}

/// Who answers on a port.
#[derive(Clone)]
enum Door {
    Smtp(Role),
    Imap,
    Web(axum::Router),
}

/// What each connection of a port needs.
#[derive(Clone)]
struct Port {
    service: Service,
    door: Door,
    tls: Arc<Tls>,
    services: Arc<Services>,
    shutdown: watch::Receiver<bool>,
}

/// Where a server stands.
pub(super) enum Standing {
    /// On one machine: it asks nobody outside, and does not limit this machine's own connections.
    Demo,
    /// Among other servers, which are found by this.
    World(Resolver),
}

impl Standing {
    fn resolver(&self) -> Option<&Resolver> {
        match self {
            Self::Demo => None,
            Self::World(resolver) => Some(resolver),
        }
    }
}

/// A server that listens.
pub(super) struct Server {
    services: Arc<Services>,
    certificates: BTreeMap<Service, Arc<Tls>>,
    challenges: Arc<Challenges>,
    crowd: Arc<Crowd>,
    shutdown: watch::Sender<bool>,
    graceful: Duration,
    listening: Vec<(Service, Listening)>,
    tasks: JoinSet<()>,
    /// What ends by itself when it is told to stop.
    leaving: JoinSet<()>,
}

impl Server {
    /// Reads the certificates; listens nowhere yet.
    pub(super) fn new(config: &Config, store: Store, login_key: [u8; 32], standing: &Standing) -> anyhow::Result<Server> {
        let challenges = Arc::new(Challenges::default());
        let tls = |service: Service| {
            let loaded = Tls::load(&config.tls.certificate_file, &config.tls.key_file, service.purpose());
            let answering = |tls: Tls| if service == Service::Https { tls.with_challenges(Arc::clone(&challenges)) } else { tls };
            loaded
                .map(|tls| (service, Arc::new(answering(tls))))
                .context("cannot use the TLS certificate (tls.certificate_file, tls.key_file)")
        };
        let limits = ConnectionLimits {
            in_all: config.limits.connections_max,
            per_address: config.limits.connections_per_address_max,
            per_minute: config.abuse.connections_per_minute_max,
            exempt_loopback: standing.resolver().is_none(),
        };
        Ok(Server {
            services: Arc::new(services(config, store, login_key, standing)?),
            certificates: Service::ALL.into_iter().map(tls).collect::<anyhow::Result<_>>()?,
            challenges,
            crowd: Crowd::new(limits),
            shutdown: watch::Sender::new(false),
            graceful: Duration::from_secs(config.timeouts.shutdown_seconds),
            listening: Vec::new(),
            tasks: JoinSet::new(),
            leaving: JoinSet::new(),
        })
    }

    /// Listens on the mail ports.
    pub(super) async fn listen_for_mail(&mut self, config: &Config) -> anyhow::Result<()> {
        for service in Service::ALL {
            let door = match service {
                Service::Smtp => Door::Smtp(Role::Relay),
                Service::Submission | Service::Submissions => Door::Smtp(Role::Submission),
                Service::Imap | Service::Imaps => Door::Imap,
                Service::Http | Service::Https => continue,
            };
            self.listen(service, door, service.addresses(config)).await?;
        }
        Ok(())
    }

    /// Listens on one of the web ports.
    pub(super) async fn listen_for_web(&mut self, service: Service, site: Site, config: &Config) -> anyhow::Result<()> {
        self.listen(service, Door::Web(doors::http::router(site)), service.addresses(config)).await
    }

    /// Answers for DNS, over UDP and TCP.
    pub(super) async fn listen_for_dns(&mut self, dns: doors::dns::Dns, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let dns = Arc::new(dns);
        for &at in addresses {
            let (streams, told) = (Arc::clone(&dns), self.shutdown.subscribe());
            let serve = move |stream, peer| answer_stream(stream, peer, Arc::clone(&streams), told.clone());
            let bound = listen(at, Arc::clone(&self.crowd), None, self.shutdown.subscribe(), self.graceful, serve).await;
            let refused = |error: std::io::Error| anyhow::anyhow!("cannot listen on {at} for DNS: {}", why_not(&error));
            let socket = match bound {
                Ok(bound) => UdpSocket::bind(bound.address).await.map_err(refused)?,
                Err(error) => return Err(refused(error)),
            };
            self.beside(answer_datagrams(socket, Arc::clone(&dns), self.shutdown.subscribe()));
        }
        Ok(())
    }

    async fn listen(&mut self, service: Service, door: Door, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let tls = self.certificates.get(&service).context("every service has its TLS")?;
        let shutdown = self.shutdown.subscribe();
        let port = Port { service, door, tls: Arc::clone(tls), services: Arc::clone(&self.services), shutdown };
        for &at in addresses {
            let port = port.clone();
            let serve = move |stream, peer| port.clone().serve(stream, peer);
            let bound = listen(at, Arc::clone(&self.crowd), service.too_many(), self.shutdown.subscribe(), self.graceful, serve).await;
            let bound = bound.map_err(|error| anyhow::anyhow!("cannot listen on {at} for {}: {}", service.name(), why_not(&error)))?;
            self.listening.push((service, bound));
        }
        Ok(())
    }

    /// The port where a service listens first, if it does.
    pub(super) fn port(&self, service: Service) -> Option<u16> {
        self.ports(service).next()
    }

    /// Every port where a service listens, in the order of the configuration.
    pub(super) fn ports(&self, service: Service) -> impl Iterator<Item = u16> {
        self.listening.iter().filter(move |(other, _)| *other == service).map(|(_, listening)| listening.address.port())
    }

    /// Mail services as mail programs have to know them, the preferred way first.
    pub(super) fn mail_servers(&self, host: &str, tls: Service, starttls: Service) -> Vec<MailServer> {
        let server = |(service, security)| Some(MailServer { host: host.to_owned(), port: self.port(service)?, security });
        [(tls, Security::Tls), (starttls, Security::StartTls)].into_iter().filter_map(server).collect()
    }

    /// Runs beside the ports until the server stops.
    pub(super) fn beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// What certificate authorities are to find.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// The same, for what ends by itself when it is told to stop: it may finish what it has begun.
    pub(super) fn beside_until_done(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.leaving.spawn(task);
    }

    pub(super) fn told_to_stop(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    pub(super) fn delivery(&self) -> &Delivery {
        &self.services.delivery
    }

    pub(super) fn store(&self) -> &Store {
        &self.services.store
    }

    /// Serves until a signal comes or the store fails, then lets connections end.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        self.beside(reclaim(self.services.store.clone()));
        self.beside(forget_strangers(Arc::clone(&self.services)));
        let failed = tokio::select! {
            stopped = signalled() => {
                tracing::info!(signal = stopped?, "stopping");
                false
            }
            () = self.services.store.failed() => true,
        };
        self.shutdown.send_replace(true);
        if failed {
            bail!("the store is not sure of its last write and takes no more: look at the disk, then start the server again");
        }
        let ended = async {
            let left = async { while self.leaving.join_next().await.is_some() {} };
            let listened = async {
                for (_, listening) in self.listening {
                    listening.ended().await;
                }
            };
            tokio::join!(listened, tokio::time::timeout(self.graceful, left))
        };
        // Who asks twice does not want to wait; what was acknowledged is on disk anyway.
        tokio::select! {
            _ = ended => {}
            again = signalled() => {
                again?;
            }
        }
        self.tasks.shutdown().await;
        Ok(())
    }
}

fn services(config: &Config, store: Store, login_key: [u8; 32], standing: &Standing) -> anyhow::Result<Services> {
    let primary = config.domains.first().map_or("", String::as_str);
    let names = Names { hostname: config.hostname.clone(), domains: config.domains.clone() };
    Ok(Services {
        logins: Logins::new(store.clone(), login_key, config.limits.argon2_at_once_max).with_primary_domain(primary),
        delivery: Delivery::new(store.clone(), names)
            .with_return_key(return_key(&login_key))
            .with_budgets(budgets(config, standing))
            .with_junk_score(config.abuse.junk_score),
        guard: Guard::new(config.abuse.guard(standing.resolver().is_none())),
        blocklists: blocklists(config, standing),
        greylist: config.abuse.greylisting.then(|| Greylist::new(store.clone(), config.abuse.greylisting_seconds)),
        verifier: verifier(config, standing)?,
        limits: Limits {
            message_bytes_max: config.limits.message_bytes_max,
            recipients_max: config.limits.recipients_max,
            first_time_delay: match standing {
                Standing::Demo => Duration::ZERO,
                Standing::World(_) => Duration::from_secs(config.abuse.first_time_delay_seconds),
            },
        },
        store,
    })
}

/// Who is judged is asked about in DNS, which the demo has not.
fn verifier(config: &Config, standing: &Standing) -> anyhow::Result<Option<Arc<Verifier>>> {
    let Some(resolver) = standing.resolver().filter(|_| config.verify.enabled) else { return Ok(None) };
    let verifier = Verifier::new(Arc::new(resolver.clone()), &config.hostname, config.verify.exceptions())?;
    Ok(Some(Arc::new(verifier)))
}

/// Nothing of a demo leaves the machine, and whoever tries it out may send as much as they like.
fn budgets(config: &Config, standing: &Standing) -> Budgets {
    match standing {
        Standing::Demo => Budgets::unlimited(),
        Standing::World(_) => config.queue.budgets(),
    }
}

fn blocklists(config: &Config, standing: &Standing) -> Option<Blocklists> {
    let resolver = standing.resolver().filter(|_| !config.abuse.blocklists.is_empty())?;
    Some(Blocklists::new(resolver.clone(), config.abuse.blocklists.clone()))
}

impl Port {
    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let service = self.service.name();
        let ended = self.lead(stream, peer).await;
        match &ended {
            Ended::Broken(_) | Ended::NoTls(_) => tracing::info!(service, peer = %peer.ip(), "connection ended: {ended}"),
            _ => tracing::debug!(service, peer = %peer.ip(), "connection ended: {ended}"),
        }
    }

    async fn lead(mut self, stream: TcpStream, peer: SocketAddr) -> Ended {
        let connection = if self.service.begins_with_tls() {
            let greeted = tokio::select! {
                greeted = Box::pin(Connection::tls(stream, peer, &self.tls, Patience::default())) => greeted,
                // Nothing was begun that could be finished.
                _ = self.shutdown.wait_for(|down| *down) => return Ended::Closed,
            };
            match greeted {
                Ok(connection) => connection,
                Err(error) => return Ended::NoTls(error),
            }
        } else {
            Connection::plain(stream, peer, Some(self.tls))
        };
        let tls_available = !self.service.begins_with_tls();
        // Each in a box of its own size, for there may be thousands that idle.
        match self.door {
            Door::Smtp(role) => Box::pin(doors::smtp::serve(self.services, role, connection, tls_available, self.shutdown)).await,
            Door::Imap => Box::pin(doors::imap::serve(self.services, connection, tls_available, self.shutdown)).await,
            Door::Web(routes) => Box::pin(doors::http::serve(routes, connection, self.shutdown)).await,
        }
    }
}

fn why_not(error: &std::io::Error) -> String {
    if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) {
        return "this machine has no IPv6: write 0.0.0.0 instead of [::]".to_owned();
    }
    match error.kind() {
        ErrorKind::AddrInUse => "another program listens there".to_owned(),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE, which conf/stoa.service gives".to_owned()
        }
        ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// Waits for the wish that the server stops.
async fn signalled() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// A message takes hours at most to come in; after this long its sender is gone.
const STAGED_SECONDS_MAX: i64 = 86_400;

async fn reclaim(store: Store) {
    let mut every = tokio::time::interval(RECLAIM_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match store.reclaim().await {
            Ok(0) => {}
            Ok(messages) => tracing::info!(messages, "removed what nothing refers to any more"),
            Err(error) => tracing::error!(%error, "cannot remove what nothing refers to any more"),
        }
        let long_ago = jiff::Timestamp::now().as_second() - STAGED_SECONDS_MAX;
        if let Err(error) = store.sweep(long_ago).await {
            tracing::error!(%error, "cannot remove messages that never came to their end");
        }
    }
}

/// How often those are forgotten of whom nothing was heard for long.
const FORGET_EVERY: Duration = Duration::from_secs(86_400);

async fn forget_strangers(services: Arc<Services>) {
    let mut every = tokio::time::interval(FORGET_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let now = super::now();
        let forgotten = Reputation::new(services.store.clone()).sweep(now).await.and(Greylist::sweep(&services.store, now).await);
        if let Err(error) = forgotten {
            tracing::error!(%error, "cannot forget strangers of whom nothing was heard for long");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_port_from_us_is_said_with_a_way_out() {
        let cases = [
            (Errno::ADDRINUSE, "another program"),
            (Errno::ACCESS, "CAP_NET_BIND_SERVICE"),
            (Errno::ADDRNOTAVAIL, "no such address"),
            (Errno::AFNOSUPPORT, "0.0.0.0"),
        ];
        for (errno, want) in cases {
            assert!(why_not(&errno.into()).contains(want), "{errno}");
        }
    }

    #[test]
    fn ports_are_listed_once() {
        let mut ports: Vec<u16> = Service::ALL.iter().map(|service| service.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [25, 80, 143, 443, 465, 587, 993]);
    }
}
