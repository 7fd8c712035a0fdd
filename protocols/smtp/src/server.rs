//! The conversation: what state it is in, what it asks, what it waits for.
//!
//! Reads bytes from strangers. While a question is with the door, nothing more is read. Commands are in
//! `commands/`; content is framed here. A 250 for a message is sent only after the door said `Stored`.

use crate::address::{Address, ReversePath};
use crate::commands;
use crate::content::{DataReader, Fault};
use crate::envelope::{Client, Envelope, Recipient};
use crate::limits::{COMMAND_BYTES_MAX, UNREAD_BYTES_IDLE};
use crate::line::{LineFault, LineReader};
use crate::reply::Reply;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use stoa_sasl::Exchange;
use stoa_session::{BODY_CHUNK_BYTES_MAX, Input, Session, Step};

/// What the listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Port 25: mail from other servers.
    Relay,
    /// Ports 587 and 465: mail from accounts (RFC 6409).
    Submission,
}

/// What a conversation must know from the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the listener is for.
    pub role: Role,
    /// Our name in greeting and trace headers.
    pub hostname: String,
    /// The other end.
    pub peer: IpAddr,
    /// Octets of a message.
    pub size_max: u64,
    /// Recipients of a transaction.
    pub recipients_max: usize,
    /// Whether STARTTLS can be offered.
    pub tls_available: bool,
    /// Whether TLS comes first of all (RFC 8314 §3); `TlsUp` is then the first input.
    pub tls_on: bool,
    /// Fresh, unguessable, printable and without a comma.
    pub auth_nonce: String,
    /// RFC 5321 §4.5.3.2.7 asks for 300 seconds at least.
    pub command_seconds: u64,
    /// RFC 5321 §4.5.3.2.5 lets a sender take 180 seconds for a block of content.
    pub data_seconds: u64,
    /// Breaches of the protocol before the connection is closed.
    pub bad_commands_max: u32,
}

/// What a conversation asks of the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Answered with [`Answer::Authentication`].
    Authenticate(stoa_sasl::Question),
    /// May this sender send? Accept or refuse.
    Sender {
        /// Where reports will go.
        reverse_path: ReversePath,
        /// The declared size in octets.
        size: Option<u64>,
        /// Whether the message needs RFC 6531.
        smtputf8: bool,
        /// Who asks.
        client: Client,
    },
    /// Is this recipient taken? Accept or refuse.
    Recipient {
        /// Whom the message is for.
        address: Address,
        /// Who sends it.
        reverse_path: ReversePath,
        /// Who asks.
        client: Client,
    },
    /// Content follows in [`Step::Body`]. Accept or refuse.
    BeginBody(Envelope),
    /// The content is complete and good: store it. Stored or refuse.
    EndBody,
    /// Forget the content. Accept.
    AbortBody,
}

/// What the door replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Authenticate`].
    Authentication(stoa_sasl::Answer),
    /// Yes.
    Accept,
    /// No, and what the peer is told.
    Refuse(Reply),
    /// The message is safe, whatever happens now.
    Stored {
        /// Its name in logs and trace headers.
        id: String,
    },
}

/// One conversation with one client.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) state: State,
    pub(crate) auth_attempts: u32,
    pub(crate) auth_failures: u32,
    steps: VecDeque<Step<Question, Infallible>>,
    unread: Vec<u8>,
    used: usize,
    lines: LineReader,
    now: Instant,
    deadline: Instant,
    bad_commands: u32,
    leaving: bool,
}

/// What comes next, and from whom.
#[derive(Debug)]
pub(crate) enum State {
    TlsAwaited,
    Command,
    Authenticating(Exchange),
    Data(DataReader),
    Chunk(Chunk),
    Asked(Asked),
    Closed,
}

/// From MAIL to the end of the message.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub envelope: Envelope,
    /// Set while the door holds content.
    pub content: Option<Content>,
}

/// Content that came in chunks so far.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub size: u64,
    after_cr: bool,
    fault: Option<Fault>,
}

/// One BDAT (RFC 3030 §2). The octets of a refused one are read and dropped, to stay in step.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub size: u64,
    pub remaining: u64,
    pub last: bool,
    pub refused: Option<Reply>,
}

/// The question that is with the door.
#[derive(Debug)]
pub(crate) enum Asked {
    Authentication(Exchange),
    Sender(Envelope),
    Recipient(Recipient),
    BeginData,
    BeginChunk(Chunk),
    End,
    Abort(Then),
}

/// What to do after the content is forgotten.
#[derive(Debug)]
pub(crate) enum Then {
    Reply(Reply),
    Command(String),
    Close(Option<Reply>),
}

impl Server {
    /// A conversation that begins now, with the greeting unless TLS comes first.
    pub fn new(config: Config, now: Instant) -> Self {
        let client = Client { peer: config.peer, helo: String::new(), esmtp: false, tls: None, account: None };
        let state = if config.tls_on { State::TlsAwaited } else { State::Command };
        let mut server = Self {
            client,
            transaction: None,
            state,
            auth_attempts: 0,
            auth_failures: 0,
            steps: VecDeque::new(),
            unread: Vec::new(),
            used: 0,
            lines: LineReader::default(),
            now,
            deadline: now,
            bad_commands: 0,
            leaving: false,
            config,
        };
        server.wait(server.config.command_seconds);
        if !server.config.tls_on {
            server.greet();
        }
        server
    }

    /// Sends a reply; one breach of the protocol too many ends the conversation, so this comes last.
    pub(crate) fn reply(&mut self, reply: Reply) {
        self.bad_commands += u32::from(reply.blames_the_protocol());
        self.steps.push_back(Step::Send(reply.to_wire()));
        self.wait(self.config.command_seconds);
        if self.bad_commands >= self.config.bad_commands_max {
            self.close(Some(Reply::TOO_MANY_ERRORS));
        }
    }

    pub(crate) fn ask(&mut self, question: Question, asked: Asked) {
        self.steps.push_back(Step::Ask(question));
        self.state = State::Asked(asked);
    }

    /// Says goodbye; content the door holds is forgotten first.
    pub(crate) fn close(&mut self, reply: Option<Reply>) {
        if self.has_content() {
            return self.abort(Then::Close(reply));
        }
        if let Some(reply) = reply {
            self.steps.push_back(Step::Send(reply.to_wire()));
        }
        self.steps.push_back(Step::Close);
        self.state = State::Closed;
        self.unread = Vec::new();
    }

    pub(crate) fn abort(&mut self, then: Then) {
        self.transaction = None;
        self.ask(Question::AbortBody, Asked::Abort(then));
    }

    /// RFC 3207 §4.2: what was said without TLS is forgotten, and so is what was sent along with STARTTLS.
    pub(crate) fn start_tls(&mut self) {
        self.steps.push_back(Step::Send(Reply::READY_FOR_TLS.to_wire()));
        self.steps.push_back(Step::StartTls);
        self.client = Client { peer: self.config.peer, helo: String::new(), esmtp: false, tls: None, account: None };
        self.transaction = None;
        self.unread = Vec::new();
        self.used = 0;
        self.lines = LineReader::default();
        self.state = State::TlsAwaited;
        self.wait(self.config.command_seconds);
    }

    /// Whether the door holds content that was not ended.
    pub(crate) fn has_content(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.content.is_some())
    }

    fn greet(&mut self) {
        let greeting = Reply::plain(220, format!("{} ESMTP Stoa", self.config.hostname).into());
        self.steps.push_back(Step::Send(greeting.to_wire()));
    }

    fn wait(&mut self, seconds: u64) {
        self.deadline = self.now + Duration::from_secs(seconds);
    }

    fn run(&mut self) {
        loop {
            let busy = self.has_content() || matches!(self.state, State::Asked(_) | State::Chunk(_) | State::Closed);
            if self.leaving && !busy {
                let plain = !matches!(self.state, State::TlsAwaited);
                return self.close(plain.then_some(Reply::GOING_DOWN));
            }
            let moved = match self.state {
                State::Command | State::Authenticating(_) => self.read_line(),
                State::Data(_) => self.read_data(),
                State::Chunk(_) => self.read_chunk(),
                State::Asked(_) | State::TlsAwaited | State::Closed => false,
            };
            if !moved {
                return;
            }
        }
    }

    fn consume(&mut self, used: usize) {
        self.used += used;
        if self.used >= self.unread.len() {
            // Who idles holds no room for much.
            self.unread.clear();
            self.unread.shrink_to(UNREAD_BYTES_IDLE);
            self.used = 0;
        }
    }

    fn read_line(&mut self) -> bool {
        let (used, line) = self.lines.read(self.unread.get(self.used..).unwrap_or_default());
        self.consume(used);
        let Some(line) = line else { return false };
        match (line, std::mem::replace(&mut self.state, State::Command)) {
            (line, State::Authenticating(exchange)) => commands::auth::response(self, exchange, line),
            (Err(LineFault::BareLineEnd), _) => self.reply(Reply::BARE_LINE_END),
            (Err(LineFault::TooLong), _) => self.reply(Reply::LINE_TOO_LONG),
            (Err(LineFault::NotText), _) => self.reply(Reply::BAD_LINE),
            (Ok(line), _) if line.len() + "\r\n".len() > COMMAND_BYTES_MAX && !commands::is_auth(&line) => self.reply(Reply::LINE_TOO_LONG),
            (Ok(line), _) => commands::run(self, &line),
        }
        true
    }

    fn read_data(&mut self) -> bool {
        let State::Data(reader) = &mut self.state else { return false };
        let bytes = self.unread.get(self.used..).unwrap_or_default();
        let mut content = Vec::new();
        let used = reader.read(bytes, &mut content);
        let (done, fault) = (reader.is_done(), reader.fault());
        self.consume(used);
        self.send_body(&content);
        self.wait(self.config.data_seconds);
        if done {
            self.end_of_content(fault);
        }
        done
    }

    fn read_chunk(&mut self) -> bool {
        let State::Chunk(chunk) = &mut self.state else { return false };
        let bytes = self.unread.get(self.used..).unwrap_or_default();
        let bytes = bytes.get(..usize::try_from(chunk.remaining).unwrap_or(usize::MAX)).unwrap_or(bytes).to_vec();
        chunk.remaining = chunk.remaining.saturating_sub(bytes.len() as u64);
        let done = chunk.remaining == 0;
        let dropped = chunk.refused.is_some();
        self.consume(bytes.len());
        self.wait(self.config.data_seconds);
        if !dropped && let Some(transaction) = &mut self.transaction {
            let binary = transaction.envelope.body == crate::BodyKind::Binary;
            if transaction.content.get_or_insert_default().take(&bytes, binary) {
                self.send_body(&bytes);
            }
        }
        if done {
            self.end_of_chunk();
        }
        done
    }

    fn end_of_chunk(&mut self) {
        let State::Chunk(chunk) = std::mem::replace(&mut self.state, State::Command) else { return };
        if let Some(refused) = chunk.refused {
            // RFC 3030 §2: after a failed chunk nothing of this transaction can be saved.
            return self.refuse_content(refused);
        }
        let Some(content) = self.transaction.as_ref().and_then(|transaction| transaction.content.as_ref()) else { return };
        let fault = content.fault.or((chunk.last && content.after_cr).then_some(Fault::BareLineEnd));
        if chunk.last || fault.is_some() {
            return self.end_of_content(fault);
        }
        self.reply(Reply::OK.text(format!("{} octets received", chunk.size)));
    }

    fn end_of_content(&mut self, fault: Option<Fault>) {
        match fault {
            None => self.ask(Question::EndBody, Asked::End),
            Some(Fault::BareLineEnd) => self.abort(Then::Reply(Reply::BARE_LINE_END_IN_CONTENT)),
            Some(Fault::TooLarge) => self.abort(Then::Reply(Reply::TOO_LARGE)),
        }
    }

    fn refuse_content(&mut self, reply: Reply) {
        if self.has_content() {
            return self.abort(Then::Reply(reply));
        }
        self.transaction = None;
        self.reply(reply);
    }

    fn send_body(&mut self, content: &[u8]) {
        self.steps.extend(content.chunks(BODY_CHUNK_BYTES_MAX).map(|chunk| Step::Body(chunk.to_vec())));
    }

    fn answered(&mut self, answer: Answer) {
        let State::Asked(asked) = std::mem::replace(&mut self.state, State::Command) else { return };
        match (asked, answer) {
            (Asked::Abort(then), _) => self.after_abort(then),
            (Asked::Authentication(exchange), Answer::Authentication(answer)) => commands::auth::answered(self, exchange, answer),
            (Asked::Sender(envelope), Answer::Accept) => {
                self.transaction = Some(Transaction { envelope, content: None });
                self.reply(Reply::SENDER_OK);
            }
            (Asked::Recipient(recipient), Answer::Accept) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.envelope.recipients.push(recipient);
                }
                self.reply(Reply::RECIPIENT_OK);
            }
            (Asked::BeginData, Answer::Accept) => {
                self.open_content();
                self.reply(Reply::START_CONTENT);
                self.state = State::Data(DataReader::new(self.config.size_max));
                self.wait(self.config.data_seconds);
            }
            (Asked::BeginChunk(chunk), Answer::Accept) => {
                self.open_content();
                self.state = State::Chunk(chunk);
            }
            (Asked::End, Answer::Stored { id }) => {
                self.transaction = None;
                self.reply(Reply::STORED.text(format!("Message accepted as {id}")));
            }
            (asked, Answer::Refuse(reply)) => self.refused(asked, reply),
            // An answer to another question is our own fault, and never a yes.
            (asked, _) => self.refused(asked, Reply::LOCAL_ERROR),
        }
    }

    fn refused(&mut self, asked: Asked, reply: Reply) {
        match asked {
            Asked::BeginChunk(chunk) => self.state = State::Chunk(Chunk { refused: Some(reply), ..chunk }),
            Asked::BeginData | Asked::End => {
                self.transaction = None;
                self.reply(reply);
            }
            _ => self.reply(reply),
        }
    }

    fn open_content(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.content = Some(Content::default());
        }
    }

    fn after_abort(&mut self, then: Then) {
        match then {
            Then::Reply(reply) => self.reply(reply),
            Then::Command(line) => commands::run(self, &line),
            Then::Close(reply) => self.close(reply),
        }
    }

    fn timed_out(&mut self) {
        match self.state {
            State::Asked(_) | State::Closed => {}
            State::TlsAwaited => self.close(None),
            _ => self.close(Some(Reply::TIMED_OUT)),
        }
    }

    /// The first time, a message that has begun may be finished; the second time nothing may.
    fn shut_down(&mut self) {
        let again = std::mem::replace(&mut self.leaving, true);
        if again && !matches!(self.state, State::Asked(_) | State::Closed | State::TlsAwaited) {
            self.close(Some(Reply::GOING_DOWN));
        }
    }
}

impl Content {
    /// Looks at a piece of a chunk; says whether it is to be kept.
    fn take(&mut self, bytes: &[u8], binary: bool) -> bool {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if !binary {
            for &byte in bytes {
                // RFC 5321 §2.3.8: CR and LF occur only together.
                if self.after_cr != (byte == b'\n') {
                    self.fault.get_or_insert(Fault::BareLineEnd);
                }
                self.after_cr = byte == b'\r';
            }
        }
        self.fault.is_none()
    }
}

impl Session for Server {
    type Question = Question;
    type Answer = Answer;
    type Event = Infallible;
    type Query = Infallible;

    fn input(&mut self, input: Input<'_, Answer, Infallible>, now: Instant) {
        self.now = now;
        match input {
            // Plain bytes that come after STARTTLS, or after the end, are not for us.
            Input::Bytes(_) if matches!(self.state, State::TlsAwaited | State::Closed) => {}
            Input::Bytes(bytes) => self.unread.extend_from_slice(bytes),
            Input::Eof if matches!(self.state, State::Asked(_) | State::Closed) => {}
            Input::Eof => self.close(None),
            Input::Tick if now >= self.deadline => self.timed_out(),
            Input::Tick => {}
            Input::TlsUp(_) if !matches!(self.state, State::TlsAwaited) => {}
            Input::TlsUp(facts) => {
                self.client.tls = Some(facts);
                self.state = State::Command;
                self.wait(self.config.command_seconds);
                if std::mem::take(&mut self.config.tls_on) {
                    self.greet();
                }
            }
            Input::Answer(answer) => self.answered(answer),
            Input::Event(never) => match never {},
            Input::Shutdown => self.shut_down(),
        }
        self.run();
    }

    fn step(&mut self) -> Option<Step<Question, Infallible>> {
        self.steps.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        (!matches!(self.state, State::Asked(_) | State::Closed)).then_some(self.deadline)
    }
}
