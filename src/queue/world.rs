//! The queue's own world for tests: a clock that is set, and a carrier that follows a script and remembers.

use super::carrier::{Carrier, Parcel, Said, Status, Verdict};
use super::{Clock, Dispatcher, Limits, Schedule, Signer};
use crate::delivery::Delivery;
use crate::store::{BodyReader, Store, StoreError};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// A moment that a test sets.
#[derive(Clone)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    pub fn at(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds)))
    }

    pub fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Arc::new(move || time.now())
    }
}

/// What was handed to the carrier once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub at: i64,
    pub line: u32,
    pub route: String,
    pub id: u64,
    pub to: Vec<String>,
    pub text: String,
}

/// Answers by address or by domain; who is in neither has mail delivered.
#[derive(Clone)]
pub struct Scripted {
    pub time: Time,
    pub heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<HashMap<String, Verdict>>>,
    lines: Arc<Mutex<u32>>,
    /// Parcels that were begun.
    pub begun: Arc<AtomicI64>,
    /// How long each takes, in real milliseconds.
    pub pace: Arc<AtomicI64>,
    /// So many of the next parcels end in a panic.
    pub panics: Arc<AtomicI64>,
}

pub fn said(status: (u16, u16, u16), text: &str) -> Said {
    Said { status: Status(status.0, status.1, status.2), text: text.into(), host: Some("mx.net.example".into()) }
}

impl Scripted {
    pub fn new(time: &Time) -> Self {
        let (begun, pace, panics) = (Arc::default(), Arc::default(), Arc::default());
        Self { time: time.clone(), heard: Arc::default(), answers: Arc::default(), lines: Arc::default(), begun, pace, panics }
    }

    pub fn answer(&self, whom: &str, verdict: Verdict) {
        self.answers.lock().unwrap().insert(whom.into(), verdict);
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn verdict(&self, address: &str) -> Verdict {
        let answers = self.answers.lock().unwrap();
        let domain = address.rsplit('@').next().unwrap();
        let known = answers.get(address).or(answers.get(domain)).cloned();
        known.unwrap_or(Verdict::Delivered { said: said((2, 0, 0), "250 2.0.0 ok"), dsn: false })
    }
}

impl Carrier for Scripted {
    type Line = (u32, String);

    fn line(&self, route: &str) -> Self::Line {
        let mut lines = self.lines.lock().unwrap();
        *lines += 1;
        (*lines, route.to_owned())
    }

    async fn hand_over(&self, line: &mut Self::Line, parcel: &Parcel) -> Vec<Verdict> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        assert!(self.panics.fetch_sub(1, Ordering::SeqCst) <= 0, "the test asked for it");
        let pace = self.pace.load(Ordering::SeqCst).unsigned_abs();
        if pace > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(pace)).await;
        }
        let to: Vec<String> = parcel.recipients.iter().map(|at| parcel.message.recipients[*at].address.clone()).collect();
        let text = String::from_utf8(parcel.content.read_all(0..u64::MAX).await.unwrap()).unwrap();
        let verdicts = to.iter().map(|address| self.verdict(address)).collect();
        let heard = Heard { at: self.time.now(), line: line.0, route: line.1.clone(), id: parcel.id, to, text };
        self.heard.lock().unwrap().push(heard);
        verdicts
    }

    async fn close(&self, _: Self::Line) {}
}

/// Signs with the names of who signs and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Seal;

impl Signer for Seal {
    async fn signatures(&self, domain: &str, destination: &str, content: &BodyReader, now: i64) -> Result<Bytes, StoreError> {
        Ok(format!("Seal: {domain} to {destination}, {} octets, at {now}\r\n", content.size()).into())
    }
}

/// A dispatcher in this world.
pub fn dispatcher(store: &Store, delivery: &Delivery, carrier: &Scripted) -> Dispatcher<Scripted, Seal> {
    dispatcher_within(store, delivery, carrier, Limits::default())
}

/// The same with limits of its own.
pub fn dispatcher_within(store: &Store, delivery: &Delivery, carrier: &Scripted, limits: Limits) -> Dispatcher<Scripted, Seal> {
    let schedule = Schedule::default();
    Dispatcher::new(store.clone(), delivery.clone(), (carrier.clone(), Seal), schedule, limits, carrier.time.clock())
}

/// Lets time pass until nothing more is to be done, or this moment comes.
pub async fn let_pass(dispatcher: &mut Dispatcher<Scripted, Seal>, time: &Time, until: i64) {
    while let Some(next) = dispatcher.work_off().await.filter(|next| *next <= until) {
        time.set(next);
    }
    time.set(time.now().max(until));
}
