//! The carrier over the real world: from "these recipients at this domain" to a verdict on each.
//!
//! [`route`] finds the hosts of a domain and what a connection to each must be, [`conversation`] is one connection,
//! [`orders`] what is said in it of one message. Hosts are tried in their order until one takes the message or says
//! that it never will; as soon as one may have the message, no other is tried. A line keeps its connection for the
//! next message of the same domain.
//!
//! Standards: RFC 5321 (client), 1870, 2920, 3030, 3207, 3461, 6152, 6531, 7505, 7672, 8460, 8461.
//! Known gaps: no REQUIRETLS (RFC 8689), no client certificates; TLS that is older than 1.2 counts as none.

mod body;
mod conversation;
mod dane;
mod hosts;
pub(crate) mod ledger;
mod limits;
mod offer;
mod orders;
mod reply;
mod route;
mod security;
mod sts;
#[cfg(test)]
mod tests;

use super::Clock;
use super::carrier::{Carrier, Parcel, Said, Status, Verdict};
use crate::net::dns::Resolver;
use crate::net::https::{Https, is_public};
use crate::store::{QueuedRecipient, Store};
use conversation::{Beginning, Conversation, Trouble};
use ledger::{Ledger, Session};
pub use limits::Limits;
use limits::RECIPIENTS_PER_TRANSACTION_MAX;
use mail_auth::report::tlsrpt::{PolicyType, ResultType};
use orders::{needs_a_look, orders};
use route::{Route, Target};
use rustls::RootCertStore;
use security::Security;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use sts::Policies;
use tokio::time::Instant;

/// A host that takes all mail for the outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Smarthost {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS from the first byte, not by STARTTLS.
    pub implicit_tls: bool,
    /// Name and password.
    pub login: Option<(String, String)>,
}

/// How mail leaves.
#[derive(Clone)]
pub struct CarrierSettings {
    /// The name of this host, for EHLO.
    pub own_name: String,
    /// Where other hosts take mail.
    pub port: u16,
    /// Whether IPv6 is used if there is any.
    pub ipv6: bool,
    /// Whether hosts that a stranger named may be in our own network: in a closed one all are.
    pub closed_network: bool,
    /// Instead of each domain's own hosts.
    pub smarthost: Option<Smarthost>,
    /// Times and numbers.
    pub limits: Limits,
}

/// Hands messages over to the hosts of their domains.
pub struct SmtpCarrier {
    settings: CarrierSettings,
    resolver: Resolver,
    security: Security,
    policies: Policies,
    ledger: Arc<Ledger>,
    store: Store,
    clock: Clock,
}

/// A way to one domain.
pub struct Line {
    domain: String,
    open: Option<Conversation>,
}

impl SmtpCarrier {
    /// A carrier that believes these authorities; the store keeps policies and results, the clock gives seconds since 1970.
    pub fn new(
        settings: CarrierSettings,
        resolver: Resolver,
        https: Https,
        authorities: RootCertStore,
        store: Store,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let policies = Policies::new(store.clone(), resolver.clone(), https);
        let (security, ledger) = (Security::new(authorities)?, Arc::default());
        Ok(Self { settings, resolver, security, policies, ledger, store, clock })
    }

    /// Writes down what is counted and forgets policies that have run out; to be done now and then.
    pub async fn tidy(&self) {
        if let Err(error) = self.ledger.write_down(&self.store).await {
            tracing::error!(%error, "the results of TLS cannot be written down");
        }
        self.policies.tidy((self.clock)()).await;
    }

    /// Tries the hosts in their order; fills in a verdict for each recipient that has none yet.
    async fn try_hosts(&self, route: &Route, line: &mut Line, parcel: &Parcel, pending: &mut Pending) {
        let limits = &self.settings.limits;
        let mut addresses_left = limits.addresses_max;
        let end = Instant::now() + limits.all_hosts;
        for host in route.destination.hosts.iter().take(limits.hosts_max) {
            let target = match self.target(route, host, (self.clock)()).await {
                Ok(target) => target,
                Err(nowhere) => {
                    pending.no_host(Said { status: nowhere.status, text: nowhere.text, host: Some(host.clone()) });
                    continue;
                }
            };
            let addresses: Vec<_> = target.addresses.iter().filter(|address| self.may_reach(address, route, parcel)).collect();
            if addresses.is_empty() {
                let text = "the host's addresses are none of the public network".to_owned();
                pending.no_host(Said { status: Status(4, 4, 4), text, host: Some(host.clone()) });
            }
            for address in addresses {
                let Some(left) = addresses_left.checked_sub(1) else { return };
                addresses_left = left;
                let conversation = match tokio::time::timeout_at(end, self.begin(route, &target, *address)).await {
                    Ok(Ok(conversation)) => conversation,
                    Err(_) => {
                        let text = "no host of the domain was ready for a message in time".to_owned();
                        return pending.no_host(Said { status: Status(4, 4, 1), text, host: Some(host.clone()) });
                    }
                    Ok(Err(trouble)) => {
                        pending.no_host(Said { status: trouble.status(), text: trouble.text(), host: Some(host.clone()) });
                        match trouble {
                            Trouble::Loop => return pending.give_up(),
                            // Another address of the same host says the same.
                            Trouble::Refused(_) | Trouble::NoTls(_) | Trouble::Handshake { .. } => break,
                            Trouble::Line { .. } | Trouble::Here(_) => continue,
                        }
                    }
                };
                if !self.hand_over_in(conversation, line, parcel, pending).await {
                    return;
                }
                // The host has spoken; the next may say better.
                break;
            }
        }
    }

    /// Reports go where a stranger's DNS leads; that must not be the owner's own network.
    fn may_reach(&self, address: &IpAddr, route: &Route, parcel: &Parcel) -> bool {
        self.settings.closed_network || route.smarthost || parcel.message.account.is_some() || is_public(address)
    }

    /// Begins a conversation; without TLS if TLS fails and nobody demands it (RFC 7435).
    async fn begin(&self, route: &Route, target: &Target, address: IpAddr) -> Result<Conversation, Trouble> {
        let smarthost = self.settings.smarthost.as_ref().filter(|_| route.smarthost);
        let mut beginning = Beginning {
            own_name: &self.settings.own_name,
            host: &target.host,
            address: SocketAddr::new(address, target.port),
            demand: &target.demand,
            in_clear: false,
            implicit_tls: target.implicit_tls,
            login: smarthost.and_then(|smarthost| smarthost.login.as_ref()),
        };
        let first = Conversation::begin(&beginning, &self.security, &self.settings.limits).await;
        self.enter(route, target, address, &first);
        match first {
            Err(trouble @ (Trouble::Handshake { .. } | Trouble::NoTls(_))) if !target.demand.needs_tls() => {
                tracing::warn!(host = target.host, domain = route.domain, "mail goes without TLS: {}", trouble.text());
                beginning.in_clear = true;
                Conversation::begin(&beginning, &self.security, &self.settings.limits).await
            }
            outcome => outcome,
        }
    }

    /// Counts how TLS went.
    fn enter(&self, route: &Route, target: &Target, address: IpAddr, outcome: &Result<Conversation, Trouble>) {
        let failure = match outcome {
            Ok(conversation) if !conversation.tls => Some(ResultType::StartTlsNotSupported),
            Ok(conversation) => conversation.remark.as_ref().map(|error| security::result_type(error, &target.demand)),
            Err(Trouble::NoTls(_)) => Some(ResultType::StartTlsNotSupported),
            Err(Trouble::Handshake { error: Some(error), .. }) => Some(security::result_type(error, &target.demand)),
            Err(Trouble::Handshake { error: None, .. }) => Some(ResultType::ValidationFailure),
            Err(Trouble::Line { .. } | Trouble::Refused(_) | Trouble::Loop | Trouble::Here(_)) => return,
        };
        let nobody_asks = route.smarthost || route.domain.starts_with('[');
        if nobody_asks {
            return;
        }
        let hosts = match (&route.policy, target.kind) {
            (Some(policy), PolicyType::Sts) => policy.hosts().to_vec(),
            _ => Vec::new(),
        };
        let (domain, kind, policy) = (route.domain.as_str(), target.kind, target.policy.clone());
        let session = Session { domain, kind, policy, hosts, host: Some(&target.host), address: Some(address), failure };
        self.ledger.enter((self.clock)(), session);
    }

    /// Hands the message over in this conversation, which the line keeps if it can go on. Gives whether another host may
    /// be tried for those that are still pending.
    async fn hand_over_in(&self, mut conversation: Conversation, line: &mut Line, parcel: &Parcel, pending: &mut Pending) -> bool {
        let message = parcel.message.as_ref();
        let nature = match needs_a_look(&conversation.offer, message) {
            false => None,
            true => match body::nature(&parcel.content).await {
                Ok(nature) => Some(nature),
                Err(error) => {
                    let text = format!("the message cannot be read here: {error}");
                    pending.no_host(Said { status: Status(4, 3, 0), text, host: None });
                    return false;
                }
            },
        };
        let mut another = true;
        for waiting in pending.waiting().chunks(RECIPIENTS_PER_TRANSACTION_MAX) {
            another &= Self::transact(&mut conversation, parcel, nature, waiting, pending).await;
        }
        if conversation.is_over() {
            conversation.quit().await;
        } else if let Some(former) = line.open.replace(conversation) {
            former.quit().await;
        }
        another && pending.is_open()
    }
}

impl SmtpCarrier {
    /// Hands the message over to some of its recipients. Gives whether nobody got it.
    async fn transact(
        conversation: &mut Conversation,
        parcel: &Parcel,
        nature: Option<body::Nature>,
        waiting: &[usize],
        pending: &mut Pending,
    ) -> bool {
        let told = |status, text| Said { status, text, host: Some(conversation.host.clone()) };
        if conversation.is_over() {
            let said = told(Status(4, 4, 2), "the host ended the conversation before it came to this recipient".to_owned());
            waiting.iter().for_each(|at| pending.decide(*at, Verdict::Deferred(said.clone())));
            return true;
        }
        let recipients: Vec<&QueuedRecipient> = waiting.iter().filter_map(|at| recipient(parcel, *at)).collect();
        match orders(&conversation.offer, &parcel.message, &recipients, parcel.content.size(), nature) {
            Ok(orders) => {
                let handed = conversation.hand_over(&orders, &parcel.content).await;
                waiting.iter().zip(handed.verdicts).for_each(|(at, verdict)| pending.decide(*at, verdict));
                handed.untouched
            }
            Err(refused) => {
                let said = told(refused.status, refused.text);
                waiting.iter().for_each(|at| pending.decide(*at, Verdict::Failed(said.clone())));
                false
            }
        }
    }
}

impl Carrier for SmtpCarrier {
    type Line = Line;

    fn route(&self, domain: &str) -> String {
        self.settings.smarthost.as_ref().map_or(domain, |smarthost| &smarthost.host).to_ascii_lowercase()
    }

    fn line(&self, domain: &str) -> Line {
        Line { domain: domain.to_ascii_lowercase(), open: None }
    }

    async fn hand_over(&self, line: &mut Line, parcel: &Parcel) -> Vec<Verdict> {
        let mut pending = Pending::new(parcel.recipients.len());
        if let Some(conversation) = line.open.take() {
            let another = self.hand_over_in(conversation, line, parcel, &mut pending).await;
            // A host that goes on talking was asked and has answered. A connection that was lost meanwhile says nothing.
            if !another || line.open.is_some() {
                return pending.verdicts();
            }
        }
        match self.route(&line.domain, (self.clock)()).await {
            Ok(route) => {
                self.try_hosts(&route, line, parcel, &mut pending).await;
                // The owner can put the smarthost right; until then nothing is lost because of it.
                pending.hope |= route.smarthost;
            }
            Err(nowhere) => {
                pending.no_host(Said { status: nowhere.status, text: nowhere.text, host: None });
            }
        }
        pending.verdicts()
    }

    async fn close(&self, line: Line) {
        if let Some(conversation) = line.open {
            conversation.quit().await;
        }
    }
}

/// Shared with the task that tidies.
impl<C: Carrier> Carrier for Arc<C> {
    type Line = C::Line;

    fn route(&self, domain: &str) -> String {
        C::route(self, domain)
    }

    fn line(&self, domain: &str) -> Self::Line {
        C::line(self, domain)
    }

    async fn hand_over(&self, line: &mut Self::Line, parcel: &Parcel) -> Vec<Verdict> {
        C::hand_over(self, line, parcel).await
    }

    async fn close(&self, line: Self::Line) {
        C::close(self, line).await;
    }
}

fn recipient(parcel: &Parcel, at: usize) -> Option<&QueuedRecipient> {
    parcel.message.recipients.get(*parcel.recipients.get(at)?)
}

/// The recipients of a parcel while hosts are tried.
struct Pending {
    decided: Vec<Option<Verdict>>,
    /// What was said last of those that are not decided.
    last: Vec<Option<Said>>,
    /// A host, or the way to one, failed for now: another time may be better.
    hope: bool,
}

impl Pending {
    fn new(recipients: usize) -> Self {
        Self { decided: vec![None; recipients], last: vec![None; recipients], hope: false }
    }

    fn waiting(&self) -> Vec<usize> {
        self.decided.iter().enumerate().filter(|(_, verdict)| verdict.is_none()).map(|(at, _)| at).collect()
    }

    fn is_open(&self) -> bool {
        self.decided.contains(&None)
    }

    fn decide(&mut self, at: usize, verdict: Verdict) {
        match verdict {
            Verdict::Deferred(said) => {
                self.hope = true;
                if let Some(last) = self.last.get_mut(at) {
                    *last = Some(said);
                }
            }
            verdict => {
                if let Some(place) = self.decided.get_mut(at) {
                    *place = Some(verdict);
                }
            }
        }
    }

    /// A host that could not be asked about anybody.
    fn no_host(&mut self, said: Said) {
        self.hope |= said.status.0 != 5;
        self.waiting().into_iter().filter_map(|at| Some(at).zip(Some(said.clone()))).for_each(|(at, said)| {
            if let Some(last) = self.last.get_mut(at) {
                *last = Some(said);
            }
        });
    }

    /// However the others ended, there is no hope.
    fn give_up(&mut self) {
        self.hope = false;
    }

    /// Who is not decided is deferred, unless every host said that it is for good.
    fn verdicts(self) -> Vec<Verdict> {
        let nobody = || Said { status: Status(4, 4, 4), text: "no host could be tried".to_owned(), host: None };
        let hope = self.hope;
        let pairs = self.decided.into_iter().zip(self.last);
        pairs
            .map(|(decided, last)| match (decided, last) {
                (Some(verdict), _) => verdict,
                (None, Some(said)) if !hope && said.status.0 == 5 => Verdict::Failed(said),
                (None, Some(said)) => Verdict::Deferred(Said { status: Status(4, said.status.1, said.status.2), ..said }),
                (None, None) => Verdict::Deferred(nobody()),
            })
            .collect()
    }
}
