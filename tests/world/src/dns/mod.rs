//! A scripted DNS server: zones as text, DNSSEC from a made-up root, faults on request, and a record of what was asked.
//!
//! It answers over UDP and TCP on one port of 127.0.0.1 as a recursive server would that validates nothing itself:
//! RA is set, AD where all of an answer is signed, and signatures and denials are handed on. So a validating stub
//! resolver with [`Dns::trust_anchor`] works through it and finds zones secure, insecure or bogus.
//!
//! Standards: RFC 1035 §4.2 (messages over UDP and TCP), RFC 6891 (EDNS), RFC 4035 §3.2 (AD and CD).
//! Known gap: reverse names of 127.0.0.0/8 are never asked for by some resolvers, which know that they are local.

mod denial;
#[cfg(test)]
mod tests;
mod tree;
mod zone;

pub use zone::Zone;

use hickory_resolver::proto::dnssec::{PublicKey, TrustAnchors};
use hickory_resolver::proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tree::Tree;
use zone::record_type;

/// How often a port is drawn that is free for UDP and turns out to be taken for TCP.
const DRAWS_MAX: usize = 100;

/// A client that says nothing on its connection for so long is gone.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;

/// Questions that are remembered; later ones are answered all the same.
const ASKED_MAX: usize = 100_000;

/// Without EDNS an answer over UDP has no more octets (RFC 1035 §4.2.1).
const UDP_OCTETS: u16 = 512;

/// What is wrong with signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// They do not fit the data.
    Wrong,
    /// They were good until yesterday.
    Expired,
    /// They are not there, although the parent says that the zone is signed.
    Missing,
}

/// What goes wrong with the answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// No answer at all.
    Silence,
    /// Over UDP nothing but the bit that says to ask over TCP, where all is well.
    Truncated,
    /// An answer without anything in it, as a server gives that does not serve the zone.
    Lame,
    /// NXDOMAIN without proof: bogus where the zone is signed.
    NoName,
    /// An alias to a name below, which is an alias to another, without end.
    EndlessAliases,
    /// As many records as one message over TCP can hold.
    Huge,
    /// All is there, but for the signatures.
    Flaw(Flaw),
}

/// A question that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In lower case, without the last dot.
    pub name: String,
    /// Such as `MX`.
    pub kind: String,
    /// Over TCP, not UDP.
    pub tcp: bool,
}

/// A DNS server that serves until it is dropped.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: [JoinHandle<()>; 2],
}

struct Shared {
    tree: Mutex<Tree>,
    asked: Mutex<Vec<Asked>>,
}

impl Dns {
    /// Serves these zones; what lies between them and the root is made up.
    pub async fn serve(zones: &[Zone]) -> Dns {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().expect("a socket that is bound has an address");
        let shared = Arc::new(Shared { tree: Mutex::new(Tree::new(zones)), asked: Mutex::default() });
        let serving = [tokio::spawn(serve_udp(udp, Arc::clone(&shared))), tokio::spawn(serve_tcp(tcp, Arc::clone(&shared)))];
        Dns { address, shared, serving }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of the root, as a resolver takes it.
    pub fn trust_anchors(&self) -> TrustAnchors {
        let mut anchors = TrustAnchors::empty();
        anchors.insert(&self.shared.tree().root_key());
        anchors
    }

    /// The same as a line of a zone file.
    pub fn trust_anchor(&self) -> String {
        use base64::Engine;
        let key = self.shared.tree().root_key();
        let text = base64::engine::general_purpose::STANDARD.encode(key.public_bytes());
        format!(". IN DNSKEY 257 3 {} {text}", u8::from(key.algorithm()))
    }

    /// Takes records into a zone, as lines of its zone file; each replaces what its name had of its type.
    pub fn change(&self, zone: &str, text: &str) {
        self.shared.tree().change(zone, text);
    }

    /// Takes all records of one type, such as `TLSA`, away from a name.
    pub fn remove(&self, name: &str, kind: &str) {
        self.shared.tree().remove(name, record_type(kind));
    }

    /// From now on every question for this name fails so.
    pub fn fail(&self, name: &str, fault: Fault) {
        self.shared.tree().fail(name, None, fault);
    }

    /// From now on the question for this name and type fails so.
    pub fn fail_type(&self, name: &str, kind: &str, fault: Fault) {
        self.shared.tree().fail(name, Some(record_type(kind)), fault);
    }

    /// All is well again with this name.
    pub fn mend(&self, name: &str) {
        self.shared.tree().mend(name);
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// A test that panicked with the lock in its hand has failed already; the server goes on for the others.
    fn tree(&self) -> std::sync::MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, name: &Name, kind: RecordType, tcp: bool) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < ASKED_MAX {
            let name = name.to_ascii();
            asked.push(Asked { name: name.strip_suffix('.').unwrap_or(&name).to_owned(), kind: kind.to_string(), tcp });
        }
    }

    /// The answer to a message, if it is a question and gets one.
    fn answer(&self, request: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let request = Message::from_vec(request).ok().filter(|request| request.metadata.message_type == MessageType::Query)?;
        let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
        reply.metadata.recursion_desired = request.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_queries(request.queries.iter().cloned());
        let wants_proof = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        if let Some(asked) = &request.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload()).set_dnssec_ok(wants_proof);
            reply.set_edns(edns);
        }
        let [query] = request.queries.as_slice() else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return reply.to_vec().ok();
        };
        let (name, kind) = (query.name().to_lowercase(), query.query_type());
        self.note(&name, kind, tcp);
        let (fault, answer) = {
            let tree = self.tree();
            (tree.fault(&name, kind), tree.answer(&name, kind, now()))
        };
        reply.metadata.response_code = answer.code;
        reply.metadata.authentic_data = answer.authentic && (wants_proof || request.metadata.authentic_data);
        reply.insert_answers(answer.answers);
        reply.insert_authorities(answer.authorities);
        let reply = reply.maybe_strip_dnssec_records(wants_proof);
        let octets = reply.to_vec().ok()?;
        let room = request.edns.as_ref().map_or(UDP_OCTETS, |edns| edns.max_payload().max(UDP_OCTETS));
        match fault {
            Some(Fault::Silence) => None,
            Some(Fault::Truncated) if !tcp => reply.truncate().to_vec().ok(),
            _ if !tcp && octets.len() > usize::from(room) => reply.truncate().to_vec().ok(),
            _ => Some(octets),
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// One port for both.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..DRAWS_MAX {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port can be bound");
        let address = udp.local_addr().expect("a socket that is bound has an address");
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for UDP and TCP");
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut request = vec![0; usize::from(u16::MAX)];
    loop {
        // An error here is about an answer that came nowhere (ICMP); the next question may come all the same.
        let Ok((length, from)) = socket.recv_from(&mut request).await else { continue };
        if let Some(reply) = shared.answer(&request[..length], false) {
            _ = socket.send_to(&reply, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(converse(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// RFC 1035 §4.2.2: each message stands behind its length in two octets.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok(Ok(length)) = timeout(TCP_IDLE, stream.read_u16()).await {
        let mut request = vec![0; usize::from(length)];
        if !matches!(timeout(TCP_IDLE, stream.read_exact(&mut request)).await, Ok(Ok(_))) {
            return;
        }
        let Some(reply) = shared.answer(&request, true) else { continue };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
        if !matches!(timeout(TCP_IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}
