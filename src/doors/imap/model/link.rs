//! A connection without a socket: does step by step what the driver of [`crate::net`] does, so that others can come between
//! any two steps.

use super::super::{ImapDoor, Services};
use crate::net::{Door, Outbox};
use crate::trust::Trust;
use std::sync::Arc;
use std::time::Instant;
use stoa_imap::{Answer, Config, Question, Server};
use stoa_session::{Input, Session, Step, TlsFacts};

/// What a step was.
pub(in crate::doors::imap) enum Did {
    /// The session waits for input.
    Waited,
    Sent(Vec<u8>),
    Asked(Moment),
    Answered,
    Closed,
}

/// Which question the door has just answered: then its effect took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doors::imap) enum Moment {
    Refresh,
    Select,
    Unselect,
    Status,
    Append,
    Copy,
    Store,
    Expunge,
    Other,
}

pub(in crate::doors::imap) struct Link {
    session: Server,
    door: ImapDoor,
    outbox: Outbox,
    answer: Option<Answer>,
}

impl Link {
    /// Its TLS is up; the greeting comes with the first step.
    pub fn new(services: Arc<Services>, account: Trust) -> Self {
        let config = Config {
            hostname: "mx.stoa.example".into(),
            tls_available: true,
            tls_on: true,
            auth_nonce: "nonce".into(),
            login_seconds: 60,
            idle_seconds: 1_800,
            message_bytes_max: 1_000_000,
            login_failures_max: 3,
        };
        let mut session = Server::new(config, Instant::now());
        session.input(Input::TlsUp(TlsFacts::default()), Instant::now());
        let peer = "192.0.2.7:1024".parse().expect("an address");
        let door = ImapDoor { peer, services, account: Some(account), open: None, append: None };
        Self { session, door, outbox: Outbox::unconnected(), answer: None }
    }

    /// What the client says.
    pub fn say(&mut self, bytes: &[u8]) {
        self.session.input(Input::Bytes(bytes), Instant::now());
    }

    /// One step of the driver.
    pub async fn step(&mut self) -> Did {
        match self.session.step() {
            None => match self.answer.take() {
                None => Did::Waited,
                Some(answer) => {
                    self.session.input(Input::Answer(answer), Instant::now());
                    Did::Answered
                }
            },
            Some(Step::Send(bytes)) => Did::Sent(bytes),
            Some(Step::Ask(Question::Authenticate(_))) => {
                let account = "plato@stoa.example".into();
                self.answer = Some(Answer::Authentication(stoa_sasl::Answer::Granted { account }));
                Did::Asked(Moment::Other)
            }
            Some(Step::Ask(question)) => {
                let moment = moment(&question);
                self.answer = Some(self.door.ask(question).await);
                Did::Asked(moment)
            }
            Some(Step::Body(chunk)) => {
                self.door.body(chunk).await;
                Did::Asked(Moment::Other)
            }
            Some(Step::Stream(query)) => {
                self.answer = Some(self.door.stream(query, &mut self.outbox).await.expect("memory can be read"));
                Did::Sent(self.outbox.take_gathered())
            }
            Some(_) => Did::Closed,
        }
    }

    /// Hands on what happened elsewhere, if there is something. The session must be waiting.
    pub async fn event(&mut self) -> bool {
        // Else the runtime may say that there is nothing, to let others have their turn.
        tokio::task::yield_now().await;
        let event = tokio::select! {
            biased;
            event = self.door.event() => Some(event),
            () = std::future::ready(()) => None,
        };
        let heard = event.is_some();
        event.into_iter().for_each(|event| self.session.input(Input::Event(event), Instant::now()));
        heard
    }
}

fn moment(question: &Question) -> Moment {
    match question {
        Question::Refresh => Moment::Refresh,
        Question::Select { .. } => Moment::Select,
        Question::Unselect => Moment::Unselect,
        Question::Status { .. } => Moment::Status,
        Question::EndAppend => Moment::Append,
        Question::Copy { .. } => Moment::Copy,
        Question::Store { .. } => Moment::Store,
        Question::Expunge { .. } => Moment::Expunge,
        _ => Moment::Other,
    }
}
