//! Mail between whole servers: real daemons, a DNS of their own with DNSSEC, and scripted mail servers between them.
//!
//! A [`World`] is a random network of 127.0.0.0/8. Each server has an address of its own and all listen on the same
//! ports, as MX records ask for; their configuration names the world's DNS, its trust anchor and its authority, so that
//! nothing leaves the machine. Zones `peer.test` (signed) and `plain.test` (not signed) are for scripted servers.

mod crash;
mod dialogue;
mod house;
mod meeting;
mod ways;

use house::{House, overlay, table};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use stoa_world::{Authority, Dns, Network, Peer, Script, Zone};
use tokio::runtime::Runtime;
use toml::Table;

/// The hosts of the network: real servers from 1 on, scripted ones from here on.
const PEERS_FROM: u8 = 100;

/// Hosts whose ports have to be free.
const HOSTS: [u8; 10] = [1, 2, 100, 101, 102, 103, 104, 105, 106, 107];

/// A queue that does in seconds what takes days, and waits for other hosts but a moment.
pub const QUICK: &str = "
    queue.retry_seconds = [1]
    queue.give_up_seconds = 25
    queue.delay_notice_seconds = 6
    queue.patience_percent = 1
";

/// Long enough for several attempts of [`QUICK`], in which nothing must arrive.
pub const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(5);

/// For several attempts of [`QUICK`] on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(90);

/// In the subject of a report of failure, as all reports begin with "Your message".
pub const LOST: &str = "could not be delivered";

/// The ports that all servers of a world share.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub smtp: u16,
    pub submissions: u16,
    pub imaps: u16,
    pub https: u16,
}

impl Ports {
    fn draw(network: Network) -> Ports {
        let mut drawn: Vec<u16> = Vec::new();
        while drawn.len() < 4 {
            let port = network.free_port(&HOSTS);
            if !drawn.contains(&port) {
                drawn.push(port);
            }
        }
        Ports { smtp: drawn[0], submissions: drawn[1], imaps: drawn[2], https: drawn[3] }
    }

    pub fn all(self) -> [u16; 4] {
        [self.smtp, self.submissions, self.imaps, self.https]
    }
}

/// Servers, their DNS, their authority.
pub struct World {
    runtime: Runtime,
    pub network: Network,
    pub ports: Ports,
    pub authority: Authority,
    pub dns: Dns,
    pub houses: Vec<House>,
}

impl World {
    /// Servers of these owners, running with what every test wants and these settings.
    pub fn of(owners: &[&str], settings: &str) -> World {
        let world = World::set_up(owners);
        world.start(settings)
    }

    fn set_up(owners: &[&str]) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let network = Network::random();
        let (ports, authority) = (Ports::draw(network), Authority::new());
        let house = |(owner, host): (&&str, u8)| House::init(owner, network.address(host), ports, &authority);
        let houses: Vec<House> = owners.iter().zip(1..).map(house).collect();
        let mut zones: Vec<Zone> = houses.iter().map(|house| Zone::signed(&house.domain, &records(house))).collect();
        zones.extend([Zone::signed("peer.test", ""), Zone::unsigned("plain.test", "")]);
        let dns = runtime.block_on(Dns::serve(&zones));
        World { runtime, network, ports, authority, dns, houses }
    }

    fn start(mut self, settings: &str) -> World {
        let settings = table(settings);
        for at in 0..self.houses.len() {
            self.start_house(at, &settings);
        }
        self
    }

    /// Starts one server with the world's settings and these.
    pub fn start_house(&mut self, at: usize, settings: &Table) {
        let mut all = self.settings(at);
        overlay(&mut all, settings);
        let house = &mut self.houses[at];
        house.show(&house.certificate);
        house.start(&all);
    }

    /// What ties a server to this world, and what makes it quick.
    fn settings(&self, at: usize) -> Table {
        let folder = self.houses[at].path();
        let (anchor, authority) = (folder.join("anchor"), folder.join("authority.pem"));
        fs::write(&anchor, self.dns.trust_anchor()).expect("an anchor can be written");
        fs::write(&authority, self.authority.pem()).expect("an authority can be written");
        table(&format!(
            "dns.servers = ['{}']\ndns.trust_anchor_file = '{}'\nqueue.smtp_port = {}\nqueue.https_port = {}\n\
             queue.extra_ca_file = '{}'\nabuse.first_time_delay_seconds = 0\n\
             abuse.connections_per_minute_max = 100_000\nlog.level = 'debug'",
            self.dns.address(),
            anchor.display(),
            self.ports.smtp,
            self.ports.https,
            authority.display(),
        ))
    }

    /// A scripted server at an address of its own: the first is host 0, and so on.
    pub fn peer(&self, host: u8, script: Script) -> Peer {
        self.peer_at((self.network.address(PEERS_FROM + host), self.ports.smtp).into(), script)
    }

    /// A scripted server at any address of this machine.
    pub fn peer_at(&self, address: SocketAddr, script: Script) -> Peer {
        self.runtime.block_on(Peer::serve(script, address))
    }

    /// A scripted server that is the one mail host of a domain at or below `peer.test` or `plain.test`.
    pub fn host(&self, host: u8, domain: &str, script: Script) -> Peer {
        let labels: Vec<&str> = domain.rsplitn(3, '.').collect();
        let zone = format!("{}.{}", labels[1], labels[0]);
        self.dns.change(&zone, &format!("{domain}. MX 10 mx.{domain}.\nmx.{domain}. A {}", self.peer_address(host)));
        self.peer(host, script)
    }

    /// The address of a scripted server.
    pub fn peer_address(&self, host: u8) -> IpAddr {
        self.network.address(PEERS_FROM + host)
    }
}

/// What a domain of a real server has in DNS. Connections between loopback addresses come from 127.0.0.1.
fn records(house: &House) -> String {
    let keys = house.key_records();
    assert!(keys.contains("TXT"), "`stoa dns` names no key: {keys}");
    format!(
        "@ MX 10 mail\nmail A {0}\nmta-sts A {0}\n@ TXT \"v=spf1 ip4:127.0.0.1 -all\"\nmail TXT \"v=spf1 ip4:127.0.0.1 -all\"\n\
         _dmarc TXT \"v=DMARC1; p=reject\"\n{keys}",
        house.address
    )
}

/// A message of the owner's.
pub fn letter(from: &str, to: &str, subject: &str) -> Vec<u8> {
    format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@test>\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\n\r\nHail.\r\n.\r\n..\r\n")
        .into_bytes()
}
