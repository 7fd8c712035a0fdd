//! DNS: what other domains say of themselves, and how far that can be believed.
//!
//! A [`Resolver`] asks the machine's name servers, or those of the configuration, and validates DNSSEC itself
//! (RFC 4035): nobody between us and a signed zone is trusted. Every answer says whether its whole chain was
//! signed. Some name servers leave signatures out; then nothing could be validated and nothing found, so this is
//! noticed ([`sight`]), told loudly, and names are looked up without DNSSEC until it works.
//! Reads bytes from strangers; time, the size of answers and the number of them that is kept have limits.
//!
//! Standards: RFC 1035, 4035 (DNSSEC), 5890 (IDNA names), 7505 (null MX), 6698 (TLSA).
//! Known gaps: names of loopback addresses are always `localhost` (RFC 6761 §6.3); no DNS over TLS or HTTPS.

mod answer;
mod name;
mod records;
mod sight;

use answer::Answer;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::rr::{Name, RecordType};
pub use records::{Caa, Mx, Soa, Srv, Tlsa};
use sight::Sight;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Answers kept, each at most 64 KB on the wire; large ones are not kept.
const ANSWERS_KEPT_MAX: u64 = 2048;

/// Records of one answer. Nobody needs as many MX hosts, addresses or texts; an attacker does.
const RECORDS_MAX: usize = 128;

/// However long a zone says it is true: a day, and a quarter of an hour for what is not there.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3600);
const ABSENCE_KEPT_MAX: Duration = Duration::from_secs(900);

/// A validated lookup asks for keys on its way; all of it may take this many times the timeout of one question.
const TIMEOUTS_PER_LOOKUP: u32 = 4;

/// What the validator remembers has no limit of its own but a large number of entries: it begins anew at times.
const RENEW_AFTER: Duration = Duration::from_secs(6 * 3600);

/// Where to ask, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverSettings {
    /// Name servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// DNSKEY records as in a zone file, to believe in place of the root's; for closed networks.
    pub trust_anchors: Option<String>,
    /// For one question to one server.
    pub timeout: Duration,
    /// Repetitions of a question that got no answer.
    pub attempts: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// One at least.
    pub records: Vec<T>,
    /// The whole chain of signatures was validated, aliases included.
    pub secure: bool,
    /// The name that holds the records, when the one asked for is an alias; else the one asked for. In lower case.
    pub name: String,
    /// There was an alias, and its first link was validated, whatever became of the rest (RFC 7672 §2.1.3).
    pub alias_secure: bool,
    /// How long this may be believed.
    pub ttl: Duration,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name.
    #[error("there is no such name")]
    NoName {
        /// And that was validated.
        secure: bool,
    },
    /// The name has no records of this type.
    #[error("the name has no such records")]
    NoData {
        /// And that was validated.
        secure: bool,
    },
    /// Signatures are missing or wrong where there must be right ones: somebody forged it, or the zone is broken.
    #[error("the DNSSEC signatures of the answer are missing or wrong")]
    Bogus,
    /// No answer, or none of use; it may be another time.
    #[error("{0}")]
    Unavailable(String),
}

/// Looks names up. Clones share what is known already.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    config: ResolverConfig,
    options: ResolverOpts,
    anchors: Arc<TrustAnchors>,
    /// A zone that must be signed if anything is.
    anchored_zone: Name,
    state: Mutex<State>,
    probing: tokio::sync::Mutex<()>,
}

struct State {
    validating: TokioResolver,
    plain: TokioResolver,
    built: Instant,
    sight: Sight,
}

impl Resolver {
    /// A resolver; it asks nothing yet. Fails when the system names no servers or the trust anchors cannot be read.
    pub fn new(settings: &ResolverSettings) -> anyhow::Result<Self> {
        let config = ResolverConfig::from_name_servers(servers(&settings.servers)?);
        let options = options(settings);
        let (anchors, anchored_zone) = sight::anchors(settings.trust_anchors.as_deref())?;
        let anchors = Arc::new(anchors);
        let state = Mutex::new(State::build(&config, &options, &anchors, Sight::Unknown { looked: None })?);
        Ok(Self { inner: Arc::new(Inner { config, options, anchors, anchored_zone, state, probing: tokio::sync::Mutex::new(()) }) })
    }

    /// The same, but believes whatever the name servers say: for questions of a person who names the server to ask.
    pub fn trusting(settings: &ResolverSettings) -> anyhow::Result<Self> {
        let resolver = Self::new(settings)?;
        resolver.state().sight = Sight::Blind { looked: Instant::now() };
        Ok(resolver)
    }

    /// Hosts that take mail for a domain, as they stand: not ordered. A null MX (RFC 7505) has an empty host.
    pub async fn mx(&self, domain: &str) -> Result<Found<Mx>, DnsError> {
        self.ask(domain, RecordType::MX).await?.records(records::mx)
    }

    /// All addresses of a host, IPv6 first.
    pub async fn addresses(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        let (six, four) = tokio::join!(self.ask(host, RecordType::AAAA), self.ask(host, RecordType::A));
        answer::both(six.and_then(|answer| answer.records(records::address)), four.and_then(|answer| answer.records(records::address)))
    }

    /// The IPv4 addresses of a host alone.
    pub async fn ipv4(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        self.ask(host, RecordType::A).await?.records(records::address)
    }

    /// The IPv6 addresses of a host alone.
    pub async fn ipv6(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        self.ask(host, RecordType::AAAA).await?.records(records::address)
    }

    /// TLSA records, as they stand: usable or not.
    pub async fn tlsa(&self, name: &str) -> Result<Found<Tlsa>, DnsError> {
        self.ask(name, RecordType::TLSA).await?.records(records::tlsa)
    }

    /// Texts; the strings of one record are one text.
    pub async fn txt(&self, name: &str) -> Result<Found<String>, DnsError> {
        self.ask(name, RecordType::TXT).await?.records(records::txt)
    }

    /// The names of an address.
    pub async fn names_of(&self, ip: IpAddr) -> Result<Found<String>, DnsError> {
        self.ask_name(Name::from(ip), RecordType::PTR).await?.records(records::target)
    }

    /// Name servers of a zone.
    pub async fn ns(&self, zone: &str) -> Result<Found<String>, DnsError> {
        self.ask(zone, RecordType::NS).await?.records(records::target)
    }

    /// What an alias stands for.
    pub async fn cname(&self, name: &str) -> Result<Found<String>, DnsError> {
        self.ask(name, RecordType::CNAME).await?.records(records::target)
    }

    /// The start of authority at a zone's top.
    pub async fn soa(&self, zone: &str) -> Result<Found<Soa>, DnsError> {
        self.ask(zone, RecordType::SOA).await?.records(records::soa)
    }

    /// Who may issue certificates (RFC 8659).
    pub async fn caa(&self, name: &str) -> Result<Found<Caa>, DnsError> {
        self.ask(name, RecordType::CAA).await?.records(records::caa)
    }

    /// Where a service is (RFC 2782).
    pub async fn srv(&self, name: &str) -> Result<Found<Srv>, DnsError> {
        self.ask(name, RecordType::SRV).await?.records(records::srv)
    }

    /// Whether answers are validated; finds out if it is not known. For a report on the state of the server.
    pub async fn validates(&self) -> bool {
        self.look().await;
        matches!(self.state().sight, Sight::Clear)
    }

    /// The same without our own limits, for crates that bring their own questions. It is renewed at times and changes
    /// when validation turns out to be impossible: ask for it anew for each use.
    pub fn hickory(&self) -> TokioResolver {
        self.current().0
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        // What cannot stand in DNS is not there.
        let name = name::parse(name).ok_or(DnsError::NoName { secure: false })?;
        self.ask_name(name, kind).await
    }

    async fn ask_name(&self, name: Name, kind: RecordType) -> Result<Answer, DnsError> {
        self.look().await;
        let (resolver, validates) = self.current();
        let limit = self.inner.options.timeout * TIMEOUTS_PER_LOOKUP;
        let outcome = match tokio::time::timeout(limit, resolver.lookup(name.clone(), kind)).await {
            Ok(outcome) => outcome.map_err(|error| answer::problem(&error, validates)),
            Err(_) => Err(DnsError::Unavailable("the name servers did not answer in time".to_owned())),
        };
        let lookup = outcome?;
        if lookup.answers().len() > 2 * RECORDS_MAX {
            resolver.clear_lookup_cache(name.clone(), kind);
        }
        Ok(Answer::new(name, kind, lookup, validates))
    }

    /// The resolver in use, and whether it validates.
    fn current(&self) -> (TokioResolver, bool) {
        let mut state = self.state();
        if state.built.elapsed() >= RENEW_AFTER {
            match State::build(&self.inner.config, &self.inner.options, &self.inner.anchors, state.sight) {
                Ok(fresh) => *state = fresh,
                Err(error) => tracing::error!("the resolver stays as it is: {error:#}"),
            }
        }
        match state.sight {
            Sight::Clear | Sight::Unknown { .. } => (state.validating.clone(), true),
            Sight::Blind { .. } => (state.plain.clone(), false),
        }
    }

    /// Finds out whether signatures reach us, if that is not known. Those who come meanwhile wait.
    async fn look(&self) {
        if !self.state().sight.wants_a_look() {
            return;
        }
        let _one_at_a_time = self.inner.probing.lock().await;
        let (resolver, before) = {
            let state = self.state();
            if !state.sight.wants_a_look() {
                return;
            }
            (state.validating.clone(), state.sight)
        };
        let limit = self.inner.options.timeout * TIMEOUTS_PER_LOOKUP;
        let seen = tokio::time::timeout(limit, sight::look(&resolver, &self.inner.anchored_zone)).await;
        let seen = seen.unwrap_or(Sight::Unknown { looked: Some(Instant::now()) });
        seen.tell(before);
        self.state().sight = seen.after(before);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("servers", &self.inner.config.name_servers()).finish_non_exhaustive()
    }
}

impl State {
    fn build(config: &ResolverConfig, options: &ResolverOpts, anchors: &Arc<TrustAnchors>, sight: Sight) -> anyhow::Result<Self> {
        let builder = || TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default()).with_options(options.clone());
        let validating = builder().with_trust_anchor(anchors.clone()).build()?;
        let plain = builder().build()?;
        Ok(Self { validating, plain, built: Instant::now(), sight })
    }
}

fn servers(wanted: &[SocketAddr]) -> anyhow::Result<Vec<NameServerConfig>> {
    if wanted.is_empty() {
        let system = hickory_resolver::system_conf::read_system_conf();
        let (config, _) = system.map_err(|error| {
            anyhow::anyhow!(
                "/etc/resolv.conf names no DNS servers ({error}): put them there, or into `servers` in section [dns] of the configuration"
            )
        })?;
        return Ok(config.into_parts().2);
    }
    let server = |address: &SocketAddr| {
        let connection = |protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        };
        NameServerConfig::new(address.ip(), true, vec![connection(ProtocolConfig::Udp), connection(ProtocolConfig::Tcp)])
    };
    Ok(wanted.iter().map(server).collect())
}

fn options(settings: &ResolverSettings) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = settings.timeout;
    options.attempts = settings.attempts;
    options.cache_size = ANSWERS_KEPT_MAX;
    // Mail goes where DNS says; a line in /etc/hosts is for other programs.
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(KEPT_MAX);
    options.negative_max_ttl = Some(ABSENCE_KEPT_MAX);
    options.try_tcp_on_error = true;
    options
}

#[cfg(test)]
mod tests;
