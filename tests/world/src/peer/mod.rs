//! A mail server that follows a script: the other end for tests of an SMTP client.
//!
//! It takes every message unless its [`Script`] says otherwise, and writes down what it was told: each connection with
//! its commands, which of them came together, and the messages as they arrived. It believes everything.

mod conversation;
mod script;
#[cfg(test)]
mod tests;

pub use script::{Act, Script, Stage};

use conversation::Conversation;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 256;

/// A connection that lasts longer is forgotten by its test.
const CONVERSATION_MAX: Duration = Duration::from_secs(600);

/// What one connection said.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// It went over to TLS.
    pub tls: bool,
    /// The name that it asked for in TLS.
    pub server_name: Option<String>,
    /// Its command lines, without line ends.
    pub commands: Vec<String>,
    /// How many of them came together, in order; their sum is the number of commands.
    pub groups: Vec<usize>,
    /// Messages that were taken.
    pub messages: Vec<Received>,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The whole MAIL command.
    pub sender: String,
    /// The RCPT commands that were agreed to.
    pub recipients: Vec<String>,
    /// The message, without dots that were added on the way.
    pub body: Vec<u8>,
    /// It came over TLS.
    pub tls: bool,
}

/// A mail server that serves until it is dropped.
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    heard: Mutex<Vec<Heard>>,
}

impl Peer {
    /// Follows the script at this address; with port 0 the system chooses one.
    pub async fn serve(script: Script, address: SocketAddr) -> Peer {
        let listener = TcpListener::bind(address).await.unwrap_or_else(|error| panic!("{address} cannot be bound: {error}"));
        let address = listener.local_addr().expect("a socket that is bound has an address");
        let shared = Arc::new(Shared { script: Mutex::new(script), heard: Mutex::default() });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Peer { address, shared, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows another script from now on.
    pub fn follow(&self, script: Script) {
        *self.shared.script() = script;
    }

    /// Every connection so far, in the order in which they came.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard().clone()
    }

    /// Every message so far, by connections.
    pub fn received(&self) -> Vec<Received> {
        self.heard().into_iter().flat_map(|heard| heard.messages).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new connection.
    fn begin(&self) -> usize {
        let mut heard = self.heard();
        heard.push(Heard::default());
        heard.len() - 1
    }

    fn write_down(&self, number: usize, what: impl FnOnce(&mut Heard)) {
        what(&mut self.heard()[number]);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut conversations = JoinSet::new();
    loop {
        while conversations.len() >= CONNECTIONS_MAX {
            conversations.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else { continue };
        conversations.spawn(timeout(CONVERSATION_MAX, Conversation::new(stream, Arc::clone(&shared)).run()));
        while conversations.try_join_next().is_some() {}
    }
}
