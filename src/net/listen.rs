//! Accepts connections, within limits, and lets go of them in good order.
//!
//! [`listen`] binds a socket and runs one task per connection until it is told to shut down; then it accepts
//! no more, lets those that run finish for a while, and ends the rest. A [`Crowd`] counts who is connected; one
//! may be shared by several ports. Trusts nobody: whoever opens connections by the thousand is told so in one
//! line and let go. Knows neither TLS nor any protocol.

use super::rates::{Limit, Rates, subscriber};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

/// How long to wait when the system has no more files or memory for connections; others must end first.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// How many connections there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From everybody together.
    pub in_all: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits, which is what one subscriber has.
    pub per_address: usize,
    /// New ones within a minute, from the same; the network around it may open three times as many.
    pub per_minute: u32,
    /// This machine's own programs are not counted per address.
    pub exempt_loopback: bool,
}

/// Who is connected.
#[derive(Debug)]
pub struct Crowd {
    limits: ConnectionLimits,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    in_all: usize,
    per_address: HashMap<IpAddr, usize>,
    lately: Rates,
}

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(limits: ConnectionLimits) -> Arc<Crowd> {
        let lately = Rates::new([Limit { within: Duration::from_secs(60), per_address: limits.per_minute }]);
        let count = Count { in_all: 0, per_address: HashMap::new(), lately };
        Arc::new(Crowd { limits, count: Mutex::new(count) })
    }

    /// Counts a connection from this address, or refuses it.
    pub fn admit(self: &Arc<Crowd>, peer: IpAddr, now: Instant) -> Option<Place> {
        let address = counted_as(peer, self.limits.exempt_loopback);
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = address.and_then(|address| count.per_address.get(&address)).copied().unwrap_or(0);
        if count.in_all >= self.limits.in_all || from_there >= self.limits.per_address {
            return None;
        }
        if let Some(address) = address {
            if count.lately.is_used_up(address, now) {
                return None;
            }
            count.lately.note(address, now);
        }
        count.in_all += 1;
        if let Some(address) = address {
            count.per_address.insert(address, from_there + 1);
        }
        Some(Place { crowd: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.crowd.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.in_all -= 1;
        let Some(address) = self.address else { return };
        match count.per_address.get_mut(&address) {
            Some(from_there) if *from_there > 1 => *from_there -= 1,
            _ => _ = count.per_address.remove(&address),
        }
    }
}

/// The address under which a peer is counted; `None` when it is not.
fn counted_as(peer: IpAddr, exempt_loopback: bool) -> Option<IpAddr> {
    match peer.to_canonical() {
        own if own.is_loopback() && exempt_loopback => None,
        other => Some(subscriber(other)),
    }
}

/// A socket that accepts connections.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens; the port is known even if 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Waits until it was shut down and the last connection has ended.
    pub async fn ended(self) {
        if let Err(error) = self.task.await {
            report(error);
        }
    }
}

/// Listens on `at` and has each connection served by `serve` in a task of its own.
///
/// A connection beyond the limits of `crowd` gets the line `too_many`, if there is one, and is closed; a port that
/// begins with TLS has none. When `shutdown` becomes true no more are accepted and those that run get `graceful`
/// to end by themselves: whoever serves them watches `shutdown` too.
pub async fn listen<S, F>(
    at: SocketAddr,
    crowd: Arc<Crowd>,
    too_many: Option<&'static [u8]>,
    shutdown: watch::Receiver<bool>,
    graceful: Duration,
    serve: S,
) -> io::Result<Listening>
where
    S: Fn(TcpStream, SocketAddr) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(at).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let mut running = JoinSet::new();
        accept_until_shutdown(listener, &crowd, too_many, shutdown, &mut running, serve).await;
        finish(running, graceful).await;
    });
    Ok(Listening { address, task })
}

async fn accept_until_shutdown<S, F>(
    listener: TcpListener,
    crowd: &Arc<Crowd>,
    too_many: Option<&'static [u8]>,
    mut shutdown: watch::Receiver<bool>,
    running: &mut JoinSet<()>,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = told(&mut shutdown) => return,
            Some(ended) = running.join_next() => {
                ended.unwrap_or_else(report);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                match crowd.admit(peer.ip(), Instant::now()) {
                    Some(place) => welcome(stream, peer, place, running, &serve),
                    None => turn_away(&stream, peer, too_many),
                }
            }
            Err(error) if peer_left(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("cannot accept connections: {error}");
                }
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

fn welcome<F>(stream: TcpStream, peer: SocketAddr, place: Place, running: &mut JoinSet<()>, serve: impl Fn(TcpStream, SocketAddr) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    // Replies are written whole; waiting to gather more only delays them. A peer that is gone shows at the first read.
    _ = stream.set_nodelay(true);
    let served = serve(stream, peer);
    running.spawn(async move {
        let _place = place;
        served.await;
    });
}

/// A fresh connection takes a line at once, so that nothing waits for a peer that is not welcome.
fn turn_away(stream: &TcpStream, peer: SocketAddr, too_many: Option<&'static [u8]>) {
    tracing::info!(peer = %peer.ip(), "too many connections");
    if let Some(line) = too_many {
        _ = stream.try_write(line);
    }
}

/// Errors of one connection, which is over before it began.
fn peer_left(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn finish(mut running: JoinSet<()>, graceful: Duration) {
    let all_ended = async {
        while let Some(ended) = running.join_next().await {
            ended.unwrap_or_else(report);
        }
    };
    if tokio::time::timeout(graceful, all_ended).await.is_err() {
        tracing::warn!(connections = running.len(), "connections did not end in time and are cut off");
        running.shutdown().await;
    }
}

/// A connection that panicked ends alone, but is a fault of ours.
fn report(error: JoinError) {
    if error.is_panic() {
        tracing::error!("a connection's task failed: {error}");
    }
}

/// Waits until the server is told to shut down: forever, if whoever could tell is gone.
pub(super) async fn told(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|down| *down).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits { in_all: 4, per_address: 2, per_minute: 20, exempt_loopback: true };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admit(crowd: &Arc<Crowd>, peer: &str) -> Option<Place> {
        crowd.admit(ip(peer), Instant::now())
    }

    #[test]
    fn each_address_has_its_share_and_gets_it_back() {
        let crowd = Crowd::new(LIMITS);
        let first = admit(&crowd, "192.0.2.1").unwrap();
        let _second = admit(&crowd, "::ffff:192.0.2.1").unwrap();
        assert!(admit(&crowd, "192.0.2.1").is_none());
        assert!(admit(&crowd, "192.0.2.2").is_some());
        drop(first);
        assert!(admit(&crowd, "192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let crowd = Crowd::new(LIMITS);
        let _places = [admit(&crowd, "2001:db8::1").unwrap(), admit(&crowd, "2001:db8::ffff:2").unwrap()];
        assert!(admit(&crowd, "2001:db8::3").is_none());
        assert!(admit(&crowd, "2001:db8:0:1::3").is_some());
    }

    #[test]
    fn all_together_are_limited_too_and_nothing_is_left_behind() {
        let crowd = Crowd::new(LIMITS);
        let places: Vec<_> = (0..4).map(|_| admit(&crowd, "127.0.0.1").unwrap()).collect();
        assert!(admit(&crowd, "192.0.2.1").is_none());
        drop(places);
        drop(admit(&crowd, "192.0.2.1").unwrap());
        let count = crowd.count.lock().unwrap();
        assert_eq!((count.in_all, count.per_address.len()), (0, 0));
    }

    #[test]
    fn loopback_is_exempt_only_if_asked() {
        let crowd = Crowd::new(ConnectionLimits { exempt_loopback: false, ..LIMITS });
        let _places = [admit(&crowd, "::1").unwrap(), admit(&crowd, "::1").unwrap()];
        assert!(admit(&crowd, "::1").is_none());
    }

    #[test]
    fn whoever_comes_again_and_again_has_to_wait() {
        let crowd = Crowd::new(ConnectionLimits { per_minute: 3, ..LIMITS });
        let start = Instant::now();
        let comes = |after| crowd.admit(ip("192.0.2.1"), start + Duration::from_secs(after)).is_some();
        assert!(comes(0) && comes(1) && comes(2) && !comes(3));
        assert!(admit(&crowd, "192.0.2.2").is_some());
        assert!(comes(100), "those of the minute before count for less and less");
    }
}
