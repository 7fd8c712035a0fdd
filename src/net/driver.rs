//! THE loop that turns a session without a socket into a conversation on one.
//!
//! [`drive`] keeps the promises of [`stoa_session`]: it takes every step of a [`Session`], has its questions
//! answered by a [`Door`], and gives it one input at a time. What a session sends is gathered in an [`Outbox`]
//! and written when the session waits or the outbox is full; a peer that does not read is waited for, then let
//! go. Reads bytes from strangers and passes them on unread, decompressed where the session agreed on that.
//!
//! RFC 3207 §4.2 and RFC 9051 §6.2.1: what came in plain after STARTTLS must not be believed; it is thrown away.

use crate::net::connection::{Connection, Stream, shake_hands};
use crate::net::deflate::{Deflater, Inflater};
use crate::net::listen::told;
use crate::net::tls::Tls;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use stoa_session::{Input, Session, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What is gathered before it is written: enough to fill packets, little enough to hold per connection.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// The read buffer while little comes: thousands of idle connections hold one each.
const READ_BYTES_IDLE: usize = 1024;

/// The read buffer while much comes, such as a message.
const READ_BYTES_BUSY: usize = 64 * 1024;

/// After this long without bytes a busy buffer is given back.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// After our goodbye a peer's last bytes are read and dropped, up to this many, so that a reset does not overtake it.
const LAST_BYTES_MAX: usize = 256 * 1024;

/// Answers a session's questions from the server's state.
pub trait Door<S: Session>: Send {
    /// Finds out or does what is asked. It is never cancelled but by the end of the server.
    fn ask(&mut self, question: S::Question) -> impl Future<Output = S::Answer> + Send;

    /// Takes a chunk of the body that an earlier question opened.
    fn body(&mut self, chunk: Vec<u8>) -> impl Future<Output = ()> + Send;

    /// Writes what is asked for into `out`, which waits for a slow peer; an error ends the connection.
    fn stream(&mut self, query: S::Query, out: &mut Outbox) -> impl Future<Output = io::Result<S::Answer>> + Send;

    /// Waits for something that concerns the session, forever if there is nothing.
    ///
    /// Must be safe to cancel: it is dropped and called again whenever the peer or the clock is faster, and an event
    /// that was not returned must be returned by a later call.
    fn event(&mut self) -> impl Future<Output = S::Event> + Send;
}

/// How long a peer is waited for, beside the session's own deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the peer to take [`OUTBOX_BYTES_MAX`] bytes.
    pub write: Duration,
    /// For the peer to close after we did.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { handshake: Duration::from_secs(30), write: Duration::from_secs(120), goodbye: Duration::from_secs(2) }
    }
}

/// Why a conversation is over.
#[derive(Debug)]
pub enum Ended {
    /// The session closed it.
    Closed,
    /// The peer went away first.
    PeerGone,
    /// The peer did not take what it was sent.
    TimedOut,
    /// The peer and we could not agree on TLS.
    NoTls(io::Error),
    /// Anything else, such as a door that could not stream.
    Broken(io::Error),
}

impl Ended {
    fn because(error: io::Error) -> Ended {
        match error.kind() {
            ErrorKind::TimedOut => Ended::TimedOut,
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Ended::PeerGone,
            _ => Ended::Broken(error),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed => f.write_str("closed"),
            Ended::PeerGone => f.write_str("the peer went away"),
            Ended::TimedOut => f.write_str("the peer took nothing for too long"),
            Ended::NoTls(error) => write!(f, "no TLS: {error}"),
            Ended::Broken(error) => write!(f, "broken: {error}"),
        }
    }
}

/// What waits to be sent to the peer.
#[derive(Debug)]
pub struct Outbox {
    stream: Stream,
    gathered: Vec<u8>,
    patience: Duration,
    /// After an error nobody knows what the peer has got, so nothing may follow.
    failed: bool,
    /// Once the session has agreed on it.
    deflater: Option<Deflater>,
}

#[cfg(test)]
impl Outbox {
    /// Without a peer: what is gathered is taken out again, and more than fits fails.
    pub(crate) fn unconnected() -> Self {
        Self { stream: Stream::Gone, gathered: Vec::new(), patience: Duration::ZERO, failed: false, deflater: None }
    }

    pub(crate) fn take_gathered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.gathered)
    }
}

impl Outbox {
    /// Sends bytes: gathers them while they are few, else writes and waits until the peer takes them.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(OUTBOX_BYTES_MAX) {
            if self.gathered.len() + part.len() > OUTBOX_BYTES_MAX {
                self.flush().await?;
            }
            self.gathered.extend_from_slice(part);
        }
        Ok(())
    }

    /// Writes what was gathered, so that the peer can read all of it.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if self.failed {
            return Err(ErrorKind::NotConnected.into());
        }
        self.failed = true;
        if let Some(deflater) = &mut self.deflater {
            self.gathered = deflater.compress(&self.gathered)?;
        }
        let writing = async {
            self.stream.write_all(&self.gathered).await?;
            self.stream.flush().await
        };
        timeout(self.patience, writing).await??;
        self.failed = false;
        self.gathered.clear();
        // An idle connection must not hold what a busy moment needed.
        self.gathered.shrink_to(READ_BYTES_IDLE);
        Ok(())
    }
}

/// Leads a session's conversation on a connection until it is over.
///
/// When `shutdown` becomes true the session is told and may finish; whoever started this limits how long.
///
/// What idles must be small. So all is put together before the future begins, which else would hold every part twice.
pub fn drive<S: Session, D: Door<S>>(
    session: S,
    door: D,
    connection: Connection,
    shutdown: watch::Receiver<bool>,
    patience: Patience,
) -> impl Future<Output = Ended> {
    let Connection { stream, tls, facts, .. } = connection;
    let outbox = Outbox { stream, gathered: Vec::new(), patience: patience.write, failed: false, deflater: None };
    let mut conversation = Conversation { session, door, outbox, tls, shutdown, told: false, read: Vec::new(), inflater: None, patience };
    if let Some(facts) = facts {
        conversation.input(Input::TlsUp(facts));
    }
    async move {
        let ended = conversation.lead().await;
        if matches!(ended, Ended::Closed | Ended::PeerGone) {
            Box::pin(conversation.say_goodbye()).await;
        }
        ended
    }
}

struct Conversation<S: Session, D: Door<S>> {
    session: S,
    door: D,
    outbox: Outbox,
    tls: Option<Arc<Tls>>,
    shutdown: watch::Receiver<bool>,
    told: bool,
    read: Vec<u8>,
    /// In place of `read`, once the session has agreed on it.
    inflater: Option<Inflater>,
    patience: Patience,
}

/// What came first while the session waited.
enum Heard<Event> {
    Bytes(usize),
    Garbage(io::Error),
    Silence,
    Tick,
    Event(Event),
    Shutdown,
}

impl<S: Session, D: Door<S>> Conversation<S, D> {
    async fn lead(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.take_steps().await {
                return ended;
            }
            if let Err(error) = self.outbox.flush().await {
                return Ended::because(error);
            }
            match self.hear().await {
                Heard::Bytes(0) => return Box::pin(self.hear_no_more()).await,
                Heard::Bytes(count) => self.pass_on(count),
                Heard::Garbage(error) => {
                    Box::pin(self.hear_no_more()).await;
                    Box::pin(self.say_goodbye()).await;
                    return Ended::Broken(error);
                }
                Heard::Silence => self.rest(),
                Heard::Tick => self.input(Input::Tick),
                Heard::Event(event) => self.input(Input::Event(event)),
                Heard::Shutdown => {
                    self.told = true;
                    self.input(Input::Shutdown);
                }
            }
        }
    }

    /// Takes steps until the session waits for input; an answer is given when there are no more before it.
    async fn take_steps(&mut self) -> Result<(), Ended> {
        let mut answer = None;
        loop {
            let Some(step) = self.session.step() else {
                let Some(answer) = answer.take() else { return Ok(()) };
                self.input(Input::Answer(answer));
                continue;
            };
            // Boxed is what is large and over before the session idles again.
            match step {
                Step::Send(bytes) => self.outbox.send(&bytes).await.map_err(Ended::because)?,
                Step::Ask(question) => answer = Some(Box::pin(self.door.ask(question)).await),
                Step::Body(chunk) => Box::pin(self.door.body(chunk)).await,
                Step::Stream(query) => answer = Some(Box::pin(self.stream(query)).await?),
                Step::StartTls => Box::pin(self.start_tls()).await?,
                Step::Compress { unread } => Box::pin(self.compress(unread)).await?,
                Step::Close => {
                    self.outbox.flush().await.map_err(Ended::because)?;
                    return Err(Ended::Closed);
                }
            }
        }
    }

    /// Waits for whatever comes first. Nothing is lost of what comes later.
    async fn hear(&mut self) -> Heard<S::Event> {
        let busy = self.is_busy();
        if self.read.is_empty() && self.inflater.is_none() {
            self.read = vec![0; READ_BYTES_IDLE];
        }
        let deadline = self.session.deadline().map(Instant::from_std);
        tokio::select! {
            heard = read(&mut self.outbox.stream, &mut self.read, self.inflater.as_mut()) => heard,
            event = self.door.event() => Heard::Event(event),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Heard::Tick,
            () = told(&mut self.shutdown), if !self.told => Heard::Shutdown,
            () = sleep(BUSY_FOR), if busy => Heard::Silence,
        }
    }

    fn pass_on(&mut self, count: usize) {
        let bytes = self.inflater.as_ref().map_or(&self.read[..], |inflater| inflater.piece(count));
        self.session.input(Input::Bytes(&bytes[..count]), Instant::now().into_std());
        if count == READ_BYTES_IDLE && self.read.len() == READ_BYTES_IDLE {
            self.read = vec![0; READ_BYTES_BUSY];
        }
    }

    /// Is there something to give back when nothing comes?
    fn is_busy(&self) -> bool {
        self.read.len() > READ_BYTES_IDLE
            || self.inflater.as_ref().is_some_and(Inflater::is_awake)
            || self.outbox.deflater.as_ref().is_some_and(Deflater::is_awake)
    }

    fn rest(&mut self) {
        self.read = Vec::new();
        self.inflater.iter_mut().for_each(Inflater::rest);
        self.outbox.deflater.iter_mut().for_each(Deflater::rest);
    }

    /// The session may still finish what the peer asked for, but nothing can come that would make it go on.
    async fn hear_no_more(&mut self) -> Ended {
        self.input(Input::Eof);
        if let Err(ended) = self.take_steps().await {
            return ended;
        }
        match self.outbox.flush().await {
            Ok(()) => Ended::PeerGone,
            Err(error) => Ended::because(error),
        }
    }

    fn input(&mut self, input: Input<'_, S::Answer, S::Event>) {
        self.session.input(input, Instant::now().into_std());
    }

    async fn stream(&mut self, query: S::Query) -> Result<S::Answer, Ended> {
        let outcome = self.door.stream(query, &mut self.outbox).await;
        // A fault of the door's own, such as a short file, must not look like one of the peer's.
        outcome.map_err(|error| if self.outbox.failed { Ended::because(error) } else { Ended::Broken(error) })
    }

    /// The session has forgotten what came after STARTTLS in the same read; the rest is forgotten here. That happens before
    /// our reply goes out: until then an honest peer sends nothing, and after it its handshake comes.
    async fn start_tls(&mut self) -> Result<(), Ended> {
        let Some(tls) = self.tls.clone() else {
            return Err(Ended::Broken(io::Error::other("the session began TLS where none was offered")));
        };
        if self.inflater.is_some() {
            return Err(Ended::Broken(io::Error::other("the session began TLS under compression")));
        }
        self.discard_what_came();
        self.outbox.flush().await.map_err(Ended::because)?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.outbox.stream, Stream::Gone) else {
            return Err(Ended::Broken(io::Error::other("the session began TLS twice")));
        };
        let (stream, facts) = shake_hands(stream, &tls, self.patience).await.map_err(Ended::NoTls)?;
        self.outbox.stream = Stream::Tls(Box::new(stream));
        self.input(Input::TlsUp(facts));
        Ok(())
    }

    /// What the session has not used is the beginning of what comes compressed; the rest lies in the socket still.
    async fn compress(&mut self, unread: Vec<u8>) -> Result<(), Ended> {
        if self.inflater.is_some() {
            return Err(Ended::Broken(io::Error::other("the session began compression twice")));
        }
        self.outbox.flush().await.map_err(Ended::because)?;
        self.outbox.deflater = Some(Deflater::default());
        self.inflater = Some(Inflater::new(unread));
        self.read = Vec::new();
        Ok(())
    }

    /// Drops what already lies in the socket. Without waiting, and not without end: plain bytes beyond this or later than
    /// this are no handshake and make it fail.
    fn discard_what_came(&mut self) {
        let Stream::Plain(stream) = &self.outbox.stream else { return };
        let mut discarded = 0;
        while discarded < READ_BYTES_BUSY {
            match stream.try_read(&mut self.read) {
                Ok(0) | Err(_) => return,
                Ok(count) => discarded += count,
            }
        }
    }

    /// Closes our side and lets the peer close its own.
    async fn say_goodbye(&mut self) {
        let stream = &mut self.outbox.stream;
        let mut read = vec![0; READ_BYTES_IDLE];
        let goodbye = async {
            stream.shutdown().await?;
            let mut dropped = 0;
            while dropped < LAST_BYTES_MAX {
                match stream.read(&mut read).await? {
                    0 => break,
                    count => dropped += count,
                }
            }
            io::Result::Ok(())
        };
        // The conversation is over: a peer that is late or gone misses nothing.
        _ = timeout(self.patience.goodbye, goodbye).await;
    }
}

/// Waits for bytes; a read that is dropped has read nothing.
async fn read<Event>(stream: &mut Stream, read: &mut [u8], inflater: Option<&mut Inflater>) -> Heard<Event> {
    let Some(inflater) = inflater else {
        // A peer that breaks off has no more to say either.
        return Heard::Bytes(stream.read(read).await.unwrap_or(0));
    };
    inflater.read(stream).await.map_or_else(Heard::Garbage, Heard::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn an_outbox_holds_little_and_says_nothing_after_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _reads_nothing = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0);
        let mut outbox = Outbox { stream, gathered: Vec::new(), patience: Duration::from_millis(200), failed: false, deflater: None };
        let error = loop {
            match outbox.send(&[b'x'; 3 * OUTBOX_BYTES_MAX / 2]).await {
                Ok(()) => assert!(outbox.gathered.len() <= OUTBOX_BYTES_MAX),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(outbox.flush().await.unwrap_err().kind(), ErrorKind::NotConnected);
    }
}
