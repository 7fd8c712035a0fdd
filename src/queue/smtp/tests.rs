//! The carrier in a scripted world: signed DNS, mail hosts that follow a script, hosts of policies.
//!
//! Every host has an address of its own in one loopback network, and all take mail at one port. Times are short: a
//! host that says nothing costs a fraction of a second.

mod dialogues;
mod hosts;
mod policies;
mod security;

use super::*;
use crate::net::dns::ResolverSettings;
use crate::store::engine::memory::Memory;
use crate::store::{Change, DeliveredBody, Delivery, Queued, QueuedRecipient};
use bytes::Bytes;
use std::time::Duration;
use stoa_world::{Authority, Dns, Network, Peer, Script, Zone};

/// In place of all times of RFC 5321.
const PATIENCE: Duration = Duration::from_millis(300);

const LIMITS: Limits = Limits {
    connect: PATIENCE,
    greeting: PATIENCE,
    all_hosts: Duration::from_secs(30),
    handshake: PATIENCE,
    command: PATIENCE,
    data_start: PATIENCE,
    data_block: PATIENCE,
    data_end: PATIENCE,
    quit: PATIENCE,
    bytes_per_second_min: 1024,
    hosts_max: 8,
    addresses_max: 12,
};

/// Seconds since 1970: what policies are dated with.
const NOW: i64 = 1_800_000_000;

const OWN_NAME: &str = "mail.own.test";

/// Everything that a carrier meets. Its domains are `signed.test` and `plain.test`; their hosts stand in the zones as
/// `mx1`, `mx2`, … with the addresses of these numbers.
struct World {
    dns: Dns,
    authority: Authority,
    network: Network,
    port: u16,
    https_port: u16,
    store: Store,
    settings: CarrierSettings,
    peers: Vec<Peer>,
}

impl World {
    async fn new() -> World {
        let network = Network::random();
        let hosts: Vec<u8> = (1..=4).collect();
        let port = network.free_port(&hosts);
        let https_port = loop {
            let drawn = network.free_port(&hosts);
            if drawn != port {
                break drawn;
            }
        };
        let text = |name: &str| {
            let addresses: String = hosts.iter().map(|host| format!("mx{host}.{name} A {}\n", network.address(*host))).collect();
            absolute(&format!("{addresses}{name} MX 10 mx1.{name}\nmta-sts.{name} A {}\n", network.address(4)))
        };
        let zones = [Zone::signed("signed.test", &text("signed.test")), Zone::unsigned("plain.test", &text("plain.test"))];
        let settings =
            CarrierSettings { own_name: OWN_NAME.to_owned(), port, ipv6: false, closed_network: true, smarthost: None, limits: LIMITS };
        World {
            dns: Dns::serve(&zones).await,
            authority: Authority::new(),
            network,
            port,
            https_port,
            store: Store::open(Arc::new(Memory::new())).await.unwrap(),
            settings,
            peers: Vec::new(),
        }
    }

    /// Changes records of a zone.
    fn change(&self, zone: &str, text: &str) {
        self.dns.change(zone, &absolute(text));
    }

    /// A mail host at the address of this number.
    async fn peer(&mut self, host: u8, script: Script) -> &Peer {
        self.peers.push(Peer::serve(script, SocketAddr::new(self.network.address(host), self.port)).await);
        self.peers.last().unwrap()
    }

    fn carrier(&self) -> SmtpCarrier {
        self.carrier_at(|| NOW)
    }

    fn carrier_at(&self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> SmtpCarrier {
        let settings = ResolverSettings {
            servers: vec![self.dns.address()],
            trust_anchors: Some(self.dns.trust_anchor()),
            timeout: Duration::from_millis(500),
            attempts: 1,
        };
        let resolver = Resolver::new(&settings).unwrap();
        let roots = (*self.authority.roots()).clone();
        let https = Https::new(resolver.clone(), roots.clone(), self.https_port, true).unwrap();
        SmtpCarrier::new(self.settings.clone(), resolver, https, roots, self.store.clone(), Arc::new(clock)).unwrap()
    }

    /// Brings a small message to these addresses of one domain, on a line of its own.
    async fn bring(&self, addresses: &[&str]) -> Vec<Verdict> {
        self.bring_by(&self.carrier(), addresses).await
    }

    async fn bring_by(&self, carrier: &SmtpCarrier, addresses: &[&str]) -> Vec<Verdict> {
        let mut line = carrier.line(addresses[0].rsplit_once('@').unwrap().1);
        let verdicts = carrier.hand_over(&mut line, &self.parcel(addresses, |_| {}, CONTENT).await).await;
        carrier.close(line).await;
        verdicts
    }

    async fn parcel(&self, addresses: &[&str], change: impl FnOnce(&mut Queued), content: &[u8]) -> Parcel {
        let mut body = self.store.write_body(NOW);
        body.write(content).await.unwrap();
        let staged = body.finish();
        let recipient = |address: &&str| QueuedRecipient::new((*address).to_owned(), NOW);
        let mut message = Queued {
            reverse_path: "a@own.test".to_owned(),
            prefix: Bytes::new(),
            body: staged.reference(),
            ret: 0,
            envelope_id: None,
            accepted: 0,
            smtputf8: false,
            content: 0,
            hold: None,
            signer: None,
            account: None,
            released: false,
            recipients: addresses.iter().map(recipient).collect(),
        };
        change(&mut message);
        let queue = Some((rand::random(), message.clone()));
        let empty = Bytes::new;
        let delivery = Delivery { queue, ..Delivery::of(DeliveredBody::Staged(staged), empty(), empty(), empty()) };
        self.store.commit(Change::Deliver(Box::new(delivery))).await.unwrap();
        let content = self.store.body(Bytes::new(), &message.body).await.unwrap();
        Parcel { id: 1, message: Arc::new(message), recipients: (0..addresses.len()).collect(), content }
    }

    /// Sessions that went well and that failed, and the kinds of failure, for a domain today.
    fn counted(&self, carrier: &SmtpCarrier, domain: &str) -> (u32, u32, Vec<ResultType>) {
        let counts = carrier.ledger.counts();
        let policies = counts.iter().filter(|((_, name), _)| name == domain).flat_map(|(_, policies)| policies);
        policies.fold((0, 0, Vec::new()), |(well, failed, mut kinds), policy| {
            kinds.extend(policy.failure_details.iter().map(|failure| failure.result_type));
            (well + policy.summary.total_success, failed + policy.summary.total_failure, kinds)
        })
    }
}

/// With a dot behind every name.
fn absolute(text: &str) -> String {
    let whole = |word: &str| if word.ends_with(".test") { format!("{word}.") } else { word.to_owned() };
    text.lines().map(|line| line.split(' ').map(whole).collect::<Vec<_>>().join(" ") + "\n").collect()
}

const CONTENT: &[u8] = b"From: a@own.test\r\nSubject: x\r\n\r\n.hello\r\n";

/// `+` and the status of who has it, `-` of who never will, `?` of who may another time.
fn short(verdicts: &[Verdict]) -> Vec<String> {
    let text = |verdict: &Verdict| match verdict {
        Verdict::Delivered { said, .. } => format!("+{}", said.status),
        Verdict::Failed(said) => format!("-{}", said.status),
        Verdict::Deferred(said) => format!("?{}", said.status),
    };
    verdicts.iter().map(text).collect()
}

fn said(verdict: &Verdict) -> &Said {
    match verdict {
        Verdict::Delivered { said, .. } | Verdict::Failed(said) | Verdict::Deferred(said) => said,
    }
}
