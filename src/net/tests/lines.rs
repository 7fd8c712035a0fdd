//! A session that takes a line at a time, whose first word says which step to take, and a door for it.
//!
//! Any other line is sent back. After `tls` it forgets what it has read, after `compress` it hands it over, as every session must.

use crate::net::{Door, Outbox};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};
use stoa_session::{Input, Session, Step};
use tokio::sync::mpsc;

/// When the clock strikes after it was asked to.
pub const TICK_AFTER: Duration = Duration::from_millis(50);

/// The session.
#[derive(Default)]
pub struct Lines {
    read: Vec<u8>,
    steps: VecDeque<Step<String, usize>>,
    deadline: Option<Instant>,
}

impl Lines {
    fn say(&mut self, text: &str) {
        self.steps.push_back(Step::Send(format!("{text}\n").into_bytes()));
    }

    fn take(&mut self, line: &str, now: Instant) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ask" => {
                self.steps.push_back(Step::Ask(rest.to_owned()));
                self.say("asked");
            }
            "body" => {
                self.steps.push_back(Step::Body(rest.as_bytes().to_vec()));
                self.steps.push_back(Step::Ask("body".to_owned()));
            }
            "stream" => self.steps.push_back(Step::Stream(rest.parse().unwrap())),
            "tls" => {
                self.read.clear();
                self.say("go ahead");
                self.steps.push_back(Step::StartTls);
            }
            "compress" => {
                self.say("go ahead");
                self.steps.push_back(Step::Compress { unread: std::mem::take(&mut self.read) });
            }
            "tick" => self.deadline = Some(now + TICK_AFTER),
            "quit" => {
                self.say("bye");
                self.steps.push_back(Step::Close);
            }
            _ => self.say(line),
        }
    }
}

impl Session for Lines {
    type Question = String;
    type Answer = String;
    type Event = String;
    type Query = usize;

    fn input(&mut self, input: Input<'_, String, String>, now: Instant) {
        match input {
            Input::Bytes(bytes) => self.read.extend_from_slice(bytes),
            Input::Eof => self.say("eof"),
            Input::Tick => {
                self.deadline = None;
                self.say("tick");
            }
            Input::TlsUp(facts) => {
                let hash_bytes = facts.server_end_point.map_or(0, |hash| hash.len());
                let exporter_bytes = facts.exporter.map_or(0, |exporter| exporter.len());
                self.say(&format!("{} {} {exporter_bytes} {hash_bytes}", facts.version, facts.cipher));
            }
            Input::Answer(_) if !self.steps.is_empty() => self.say("answered too early"),
            Input::Answer(text) | Input::Event(text) => self.say(&text),
            Input::Shutdown => {
                self.say("shutdown");
                self.steps.push_back(Step::Close);
            }
        }
        while self.steps.is_empty() {
            let Some(end) = self.read.iter().position(|&byte| byte == b'\n') else { return };
            let line: Vec<u8> = self.read.drain(..=end).collect();
            self.take(String::from_utf8_lossy(&line).trim_end(), now);
        }
    }

    fn step(&mut self) -> Option<Step<String, usize>> {
        let step = self.steps.pop_front();
        // A second line may lie behind the first; it is taken when the steps of the first are done.
        if step.is_some() && self.steps.is_empty() && self.read.contains(&b'\n') && !matches!(step, Some(Step::Ask(_) | Step::Stream(_))) {
            self.input(Input::Bytes(b""), Instant::now());
        }
        step
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Its door.
pub struct TestDoor {
    /// What happens elsewhere.
    pub events: mpsc::Receiver<String>,
    /// The chunks so far.
    pub body: Vec<u8>,
}

impl Door<Lines> for TestDoor {
    async fn ask(&mut self, question: String) -> String {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if question == "body" { format!("body of {}", self.body.len()) } else { format!("answer to {question}") }
    }

    async fn body(&mut self, chunk: Vec<u8>) {
        self.body.extend(chunk);
    }

    async fn stream(&mut self, bytes: usize, out: &mut Outbox) -> io::Result<String> {
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let chunk = vec![b'x'; 100_000];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(chunk.len());
            out.send(&chunk[..now]).await?;
            left -= now;
        }
        Ok(" streamed".to_owned())
    }

    async fn event(&mut self) -> String {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
