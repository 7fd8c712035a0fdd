//! The conversation: what state it is in, what it asks, what it waits for.
//!
//! Reads bytes from strangers. Commands are executed strictly one after another: while a question is with the
//! door, nothing more is read. Commands are in `commands/`, what a client is told of its mailbox in `opened.rs`.
//! An OK for a message is sent only after the door said that it is filed.

use crate::commands::append::Upload;
use crate::commands::enable::Enabled;
use crate::commands::{self, Running};
use crate::frame::{Expected, Fault, Frame, Framer, Messages};
use crate::limits::{
    BAD_COMMANDS_MAX, COMMAND_BYTES_BEFORE_LOGIN_MAX, COMMAND_BYTES_MAX, DROPPED_BYTES_BEFORE_LOGIN_MAX, DROPPED_BYTES_MAX,
    UNREAD_BYTES_IDLE,
};
use crate::opened::Opened;
use crate::questions::{Answer, Event, Query, Question};
use crate::response::{Condition, Response};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stoa_mailbox::View;
use stoa_sasl::Exchange;
use stoa_session::{Input, Session, Step, TlsFacts};

/// What a conversation must know from the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name in the greeting.
    pub hostname: String,
    /// Whether STARTTLS can be offered.
    pub tls_available: bool,
    /// Whether TLS comes first of all (RFC 8314 §3); `TlsUp` is then the first input.
    pub tls_on: bool,
    /// Fresh, unguessable, printable and without a comma.
    pub auth_nonce: String,
    /// From the beginning to the login.
    pub login_seconds: u64,
    /// RFC 3501 §5.4 asks for 1800 seconds at least.
    pub idle_seconds: u64,
    /// Octets of a message.
    pub message_bytes_max: u64,
    /// Failed logins before the connection is closed.
    pub login_failures_max: u32,
}

/// One conversation with one client.
pub struct Server {
    pub(crate) config: Config,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) state: State,
    pub(crate) phase: Phase,
    /// Written, but not yet handed over as a step.
    pub(crate) out: Vec<u8>,
    pub(crate) auth_attempts: u32,
    pub(crate) login_failures: u32,
    pub(crate) enabled: Enabled,
    /// Both ways, since a COMPRESS.
    pub(crate) compressed: bool,
    steps: VecDeque<Step<Question, Query>>,
    unread: Vec<u8>,
    used: usize,
    framer: Framer,
    now: Instant,
    deadline: Instant,
    /// When the login must be done.
    login_deadline: Instant,
    bad_commands: u32,
    /// Why the conversation ends after what is being done.
    leaving: Option<Response>,
    told_to_stop: bool,
}

/// RFC 3501 §3.
#[derive(Debug)]
pub(crate) enum State {
    NotAuthenticated,
    Authenticated,
    Selected(Box<Opened>),
}

/// What comes next, and from whom.
#[derive(Debug)]
pub(crate) enum Phase {
    TlsAwaited,
    Command,
    Authenticating(String, Exchange),
    Idle(Running),
    /// Octets of a message.
    Message(Upload),
    /// The end of the command after the message.
    MessageEnd(Upload),
    Asked(commands::Asked),
    Closed,
}

impl Server {
    /// A conversation that begins now, with the greeting unless TLS comes first.
    pub fn new(config: Config, now: Instant) -> Self {
        let login_deadline = now + Duration::from_secs(config.login_seconds);
        let mut server = Self {
            tls: None,
            state: State::NotAuthenticated,
            phase: if config.tls_on { Phase::TlsAwaited } else { Phase::Command },
            out: Vec::new(),
            auth_attempts: 0,
            login_failures: 0,
            enabled: Enabled::default(),
            compressed: false,
            steps: VecDeque::new(),
            unread: Vec::new(),
            used: 0,
            framer: Framer::default(),
            now,
            deadline: login_deadline,
            login_deadline,
            bad_commands: 0,
            leaving: None,
            told_to_stop: false,
            config,
        };
        if !server.config.tls_on {
            server.greet();
        }
        server
    }

    /// Sends a tagged response, or an untagged one with `*`; one BAD too many ends the conversation, so this comes last.
    pub(crate) fn respond(&mut self, tag: &str, response: &Response) {
        response.write(&mut self.out, tag);
        self.wait();
        match response.condition {
            Condition::Bad => self.bad_commands += 1,
            Condition::Ok if self.is_authenticated() => self.bad_commands = 0,
            _ => {}
        }
        if self.bad_commands >= BAD_COMMANDS_MAX {
            self.close(Some(&Response::TOO_MANY_ERRORS));
        }
    }

    /// Tells what has changed in the mailbox, then completes the command.
    pub(crate) fn finish(&mut self, running: &Running, response: &Response) {
        self.tell(running);
        self.respond(&running.tag, response);
    }

    /// Tells what has changed in the mailbox, as far as the command allows.
    pub(crate) fn tell(&mut self, running: &Running) {
        if let State::Selected(opened) = &mut self.state {
            opened.tell(&mut self.out, running, self.enabled, |_, flagged| flagged);
        }
    }

    /// RFC 3501 §7.5: continue-req = "+" SP text CRLF
    pub(crate) fn go_on(&mut self, text: &str) {
        self.out.extend_from_slice(format!("+ {text}\r\n").as_bytes());
        self.wait();
    }

    pub(crate) fn ask(&mut self, question: Question, asked: commands::Asked) {
        self.push(Step::Ask(question));
        self.phase = Phase::Asked(asked);
    }

    pub(crate) fn stream(&mut self, query: Query, asked: commands::Asked) {
        self.push(Step::Stream(query));
        self.phase = Phase::Asked(asked);
    }

    /// Says goodbye; a message that the door holds is forgotten first.
    pub(crate) fn close(&mut self, goodbye: Option<&Response>) {
        if let Phase::Message(upload) | Phase::MessageEnd(upload) = &self.phase
            && upload.refused.is_none()
        {
            return self.ask(Question::AbortAppend, commands::Asked::CloseAfterAbort(goodbye.cloned()));
        }
        if let Some(goodbye) = goodbye {
            goodbye.write(&mut self.out, "*");
        }
        self.push(Step::Close);
        self.phase = Phase::Closed;
        self.unread = Vec::new();
    }

    /// RFC 3501 §6.2.1: what was said without TLS is forgotten, and so is what was sent along with STARTTLS.
    pub(crate) fn start_tls(&mut self, tag: &str) {
        Response::BEGIN_TLS.write(&mut self.out, tag);
        self.push(Step::StartTls);
        self.unread = Vec::new();
        self.used = 0;
        self.framer = Framer::default();
        self.phase = Phase::TlsAwaited;
    }

    /// RFC 4978 §3: what lies behind the command is compressed already, so it goes back to whoever can read it.
    pub(crate) fn compress(&mut self) {
        self.compressed = true;
        let mut unread = std::mem::take(&mut self.unread);
        unread.drain(..std::mem::take(&mut self.used));
        self.push(Step::Compress { unread });
    }

    /// Takes the newest version of the selected mailbox; the client is told at the end of a command.
    pub(crate) fn learn(&mut self, view: Option<Arc<View>>) {
        if let (State::Selected(opened), Some(view)) = (&mut self.state, view) {
            opened.learn(view);
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        !matches!(self.state, State::NotAuthenticated)
    }

    /// The most that a refused command may hold.
    pub(crate) fn dropped_bytes_max(&self) -> u64 {
        if self.is_authenticated() { DROPPED_BYTES_MAX } else { DROPPED_BYTES_BEFORE_LOGIN_MAX }
    }

    pub(crate) fn push(&mut self, step: Step<Question, Query>) {
        self.flush();
        self.steps.push_back(step);
    }

    /// Starts the clock again; before the login it runs on, lest a stranger hold a connection by saying little.
    pub(crate) fn wait(&mut self) {
        let idle = self.now + Duration::from_secs(self.config.idle_seconds);
        self.deadline = if self.is_authenticated() { idle } else { self.login_deadline };
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.steps.push_back(Step::Send(std::mem::take(&mut self.out)));
        }
    }

    fn greet(&mut self) {
        let text = format!("{} is ready", self.config.hostname);
        let code = format!("CAPABILITY {}", commands::small::capabilities(self));
        Response::OK.code(code).text(text).write(&mut self.out, "*");
    }

    fn run(&mut self) {
        loop {
            let idle = matches!(self.phase, Phase::Command | Phase::Authenticating(..) | Phase::Idle(_) | Phase::TlsAwaited);
            if idle && let Some(goodbye) = self.leaving.take() {
                let plain = !matches!(self.phase, Phase::TlsAwaited);
                return self.close(plain.then_some(&goodbye));
            }
            let moved = match self.phase {
                Phase::Command | Phase::Authenticating(..) | Phase::Idle(_) | Phase::MessageEnd(_) => self.read_frame(),
                Phase::Message(_) => commands::append::read(self),
                Phase::Asked(_) | Phase::TlsAwaited | Phase::Closed => false,
            };
            if !moved {
                return;
            }
        }
    }

    /// Takes at most so many of the bytes that came.
    pub(crate) fn take_bytes(&mut self, max: u64) -> Vec<u8> {
        let bytes = self.unread.get(self.used..).unwrap_or_default();
        let bytes = bytes.get(..usize::try_from(max).unwrap_or(usize::MAX)).unwrap_or(bytes).to_vec();
        self.consume(bytes.len());
        bytes
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

    fn expected(&self) -> Expected {
        let (literals, messages) = match self.phase {
            // What comes in place of DONE is read like a command.
            Phase::Command | Phase::Idle(_) if self.is_authenticated() => (true, Messages::First),
            Phase::Command => (true, Messages::None),
            Phase::MessageEnd(_) => (true, Messages::Next),
            _ => (false, Messages::None),
        };
        Expected {
            literals,
            messages,
            command_bytes_max: if self.is_authenticated() { COMMAND_BYTES_MAX } else { COMMAND_BYTES_BEFORE_LOGIN_MAX },
            dropped_bytes_max: self.dropped_bytes_max(),
        }
    }

    fn read_frame(&mut self) -> bool {
        let expected = self.expected();
        let (used, frame) = self.framer.read(self.unread.get(self.used..).unwrap_or_default(), expected);
        self.consume(used);
        let Some(frame) = frame else { return false };
        match (std::mem::replace(&mut self.phase, Phase::Command), frame) {
            (phase, Frame::Fault { fault: Fault::Flood, .. }) => {
                self.phase = phase;
                self.close(Some(&Response::FLOOD));
            }
            (Phase::Authenticating(tag, exchange), Frame::Command(line)) => commands::auth::response(self, tag, exchange, &line),
            (Phase::Authenticating(tag, _), _) => self.respond(&tag, &Response::BAD_RESPONSE),
            (Phase::Idle(running), frame) => {
                if let Some(frame) = commands::idle::line(self, &running, frame) {
                    self.take_frame(frame);
                }
            }
            (Phase::MessageEnd(upload), frame) => {
                // A literal that is not wanted is not waited for either.
                self.framer = Framer::default();
                commands::append::end(self, upload, frame);
            }
            (_, frame) => self.take_frame(frame),
        }
        true
    }

    fn take_frame(&mut self, frame: Frame) {
        match frame {
            Frame::Command(command) => commands::run(self, &command),
            Frame::Continue => match commands::refusal_before_literal(self, self.framer.gathered()) {
                None => self.go_on("Ready for the literal"),
                Some((tag, refusal)) => {
                    self.framer = Framer::default();
                    self.respond(&tag, &refusal);
                }
            },
            Frame::Append { prefix, literal } => commands::append::begin(self, &prefix, literal),
            Frame::Fault { tag, fault } => self.respond(tag.as_deref().unwrap_or("*"), &complaint(fault)),
        }
    }

    fn happened(&mut self, event: Event) {
        if !matches!(self.state, State::Selected(_)) {
            return;
        }
        match event {
            Event::Changed(view) => {
                self.learn(Some(view));
                if matches!(self.phase, Phase::Idle(_)) {
                    self.tell(&Running::idle());
                }
            }
            // RFC 2180 §3.3 lets a server disconnect; to go on would be to lie about numbers.
            Event::Gone => self.leaving = Some(Response::MAILBOX_GONE),
        }
    }

    fn timed_out(&mut self) {
        match self.phase {
            Phase::Asked(_) | Phase::Closed => {}
            Phase::TlsAwaited => self.close(None),
            _ => self.close(Some(&Response::TIMED_OUT)),
        }
    }

    /// The first time, a message that has begun may be finished; the second time nothing may.
    fn shut_down(&mut self) {
        self.leaving = Some(Response::GOING_DOWN);
        let again = std::mem::replace(&mut self.told_to_stop, true);
        if again && matches!(self.phase, Phase::Message(_) | Phase::MessageEnd(_)) {
            self.close(Some(&Response::GOING_DOWN));
        }
    }
}

pub(crate) fn complaint(fault: Fault) -> Response {
    match fault {
        Fault::BareLineEnd => Response::BARE_LINE_END,
        Fault::TooLong | Fault::Flood => Response::COMMAND_TOO_LONG,
        Fault::TooManyLiterals => Response::TOO_MANY_LITERALS,
    }
}

/// What was read or is to be written may hold passwords and letters, and is not shown.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("state", &self.state).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Session for Server {
    type Question = Question;
    type Answer = Answer;
    type Event = Event;
    type Query = Query;

    fn input(&mut self, input: Input<'_, Answer, Event>, now: Instant) {
        self.now = now;
        match input {
            // Plain bytes that come after STARTTLS, or after the end, are not for us.
            Input::Bytes(_) if matches!(self.phase, Phase::TlsAwaited | Phase::Closed) => {}
            Input::Bytes(bytes) => self.unread.extend_from_slice(bytes),
            Input::Eof if matches!(self.phase, Phase::Asked(_) | Phase::Closed) => {}
            Input::Eof => self.close(None),
            Input::Tick if now >= self.deadline => self.timed_out(),
            Input::Tick => {}
            Input::TlsUp(_) if !matches!(self.phase, Phase::TlsAwaited) => {}
            Input::TlsUp(facts) => {
                self.tls = Some(facts);
                self.phase = Phase::Command;
                if std::mem::take(&mut self.config.tls_on) {
                    self.greet();
                }
            }
            Input::Answer(answer) => commands::answered(self, answer),
            Input::Event(event) => self.happened(event),
            Input::Shutdown => self.shut_down(),
        }
        self.run();
    }

    fn step(&mut self) -> Option<Step<Question, Query>> {
        if self.steps.is_empty() {
            self.flush();
        }
        self.steps.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        (!matches!(self.phase, Phase::Asked(_) | Phase::Closed)).then_some(self.deadline)
    }
}
