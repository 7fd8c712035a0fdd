//! The seam between a protocol and the socket it is spoken on.
//!
//! A [`Session`] is a conversation without a socket: bytes and time go in, [`Step`]s come out. It opens no
//! file, reads no clock and never waits. What it must know or have done it asks for with [`Step::Ask`]; the
//! side that owns the server's state (the *door*) answers. One driver turns every session into a socket,
//! and a test is a driver without one.
//!
//! The driver's promises: it takes steps until there are none before it gives the next input; it answers an
//! `Ask` or `Stream` before anything else is put in, save that `Shutdown` may come at any time between two
//! inputs; after `Close` nothing more is put in.

use std::time::Instant;

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a, Answer, Event> {
    /// Bytes from the peer, decrypted and decompressed. The session keeps what it cannot use yet, within its own limits.
    Bytes(&'a [u8]),
    /// The peer will send no more.
    Eof,
    /// `deadline()` has passed.
    Tick,
    /// The handshake that `StartTls` asked for is done, or the connection began with TLS.
    TlsUp(TlsFacts),
    /// The reply to the one outstanding `Ask` or `Stream`.
    Answer(Answer),
    /// Something happened elsewhere, such as new mail in the selected mailbox.
    Event(Event),
    /// The server is going down: finish what was begun, say goodbye, close.
    Shutdown,
}

/// What a session wants done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<Question, Query> {
    /// Send these bytes. The driver may gather several before it writes.
    Send(Vec<u8>),
    /// Find out or do something; the reply comes as [`Input::Answer`].
    Ask(Question),
    /// Write the outcome of this query straight to the peer, with back-pressure; then [`Input::Answer`].
    Stream(Query),
    /// A chunk of the message body that an earlier question opened, at most [`BODY_CHUNK_BYTES_MAX`].
    Body(Vec<u8>),
    /// Send what was gathered, discard what the peer sent meanwhile, then begin TLS.
    StartTls,
    /// Send what was gathered, then compress: everything after it is compressed in both directions.
    Compress {
        /// What the session was given and has not used: it came after the agreement, so it is compressed already. The
        /// driver gives it again as [`Input::Bytes`], decompressed.
        unread: Vec<u8>,
    },
    /// Send what was gathered and close.
    Close,
}

/// A chunk of a body is never larger, so that a connection costs a chunk or two of memory.
pub const BODY_CHUNK_BYTES_MAX: usize = 256 * 1024;

/// A conversation without a socket.
pub trait Session {
    /// What it asks of the door.
    type Question: Send;
    /// What the door replies.
    type Answer: Send;
    /// What happens elsewhere and concerns it.
    type Event: Send;
    /// A query whose outcome is too large to pass through the session.
    type Query: Send;

    /// Takes one input; `now` is the driver's clock.
    fn input(&mut self, input: Input<'_, Self::Answer, Self::Event>, now: Instant);
    /// The next thing to do, or `None` when the session waits for input.
    fn step(&mut self) -> Option<Step<Self::Question, Self::Query>>;
    /// When to call with [`Input::Tick`], if nothing comes before.
    fn deadline(&self) -> Option<Instant>;
}

/// What a session may know of the TLS connection it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// For trace headers, such as `TLS1.3`.
    pub version: String,
    /// The cipher suite's standard name.
    pub cipher: String,
    /// 32 bytes of the `tls-exporter` channel binding (RFC 9266), where the connection offers it.
    pub exporter: Option<Vec<u8>>,
    /// The hash of our certificate for `tls-server-end-point` (RFC 5929 §4).
    pub server_end_point: Option<Vec<u8>>,
}
