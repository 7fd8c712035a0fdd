//! The dispatcher: takes what is due to its destinations, on as many lines as are allowed.
//!
//! One task decides what is next (`agenda`, `lines`); each line is a task that hands one parcel over after another and
//! records what came of each (`attempt`). It is told of news by the store, of a person's wishes by its [`Handle`], and
//! looks at all rows at the start and from time to time, since another process may have put something there. A message
//! has one round at a time: all that is due of it, to each destination a parcel. When the server stops, what is being
//! handed over ends first.

use super::agenda::Agenda;
use super::attempt::{Bench, Came, Clock, Job, Round};
use super::carrier::{Carrier, Said, Status, Verdict};
use super::lines::{Limits, Lines};
use super::pause;
use super::schedule::Schedule;
use super::signer::Signer;
use crate::delivery::Delivery;
use crate::store::{QueueNews, Queued, QueuedRecipient, Store, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stoa_smtp::Address;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

/// Parcels in memory; messages beyond wait in the agenda.
const JOBS_MAX: usize = 2_000;
/// Rows read at a time.
const PAGE: usize = 256;
/// All rows are looked at so often.
const LOOK_SECONDS: i64 = 3_600;
/// After the rows could not be read.
const PAUSE_SECONDS: i64 = 30;
/// The longest sleep, so that a clock that was set is noticed.
const SLEEP_SECONDS_MAX: i64 = 60;

/// What a person wants of a running dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Mail was paused or goes on.
    Look,
    /// What is due is tried now, whatever failed there before: at one domain, or everywhere.
    Forgive(Option<String>),
}

/// Reaches a dispatcher that runs.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Order>);

impl Handle {
    /// Tells it; nobody hears it when the server stops.
    pub fn tell(&self, order: Order) {
        _ = self.0.send(order);
    }
}

/// See the head of this file.
pub struct Dispatcher<C: Carrier, S: Signer> {
    bench: Arc<Bench<C, S>>,
    agenda: Agenda,
    lines: Lines<Job>,
    /// Parcels under way, by message.
    rounds: HashMap<u64, usize>,
    /// The lines that are open.
    open: HashMap<Id, Line>,
    running: JoinSet<()>,
    reports: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    orders: (mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<Order>),
    next_look: i64,
}

struct Line {
    route: String,
    more: mpsc::UnboundedSender<Job>,
    /// The message that is on it.
    at: Option<u64>,
    carried: usize,
}

enum Event {
    /// A line is free again.
    Carried { line: Id, id: u64, came: Came },
    /// A job was recorded without an attempt.
    Settled { id: u64 },
}

impl<C: Carrier, S: Signer> Dispatcher<C, S> {
    /// A dispatcher that has looked at nothing yet.
    pub fn new(store: Store, delivery: Delivery, (carrier, signer): (C, S), schedule: Schedule, limits: Limits, clock: Clock) -> Self {
        let closed = false.into();
        Self {
            bench: Arc::new(Bench { store, delivery, carrier, signer, schedule, clock, closed }),
            agenda: Agenda::default(),
            lines: Lines::new(limits),
            rounds: HashMap::new(),
            open: HashMap::new(),
            running: JoinSet::new(),
            reports: mpsc::unbounded_channel(),
            orders: mpsc::unbounded_channel(),
            next_look: i64::MIN,
        }
    }

    /// For those who speak for a person.
    pub fn handle(&self) -> Handle {
        Handle(self.orders.0.clone())
    }

    /// Works until the server shuts down, and then until what is on the lines is handed over.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() && !self.is_closed() {
            let now = self.now();
            self.start(now).await;
            let wake = self.next_wake(now).unwrap_or(i64::MAX).saturating_sub(now).clamp(0, SLEEP_SECONDS_MAX);
            tokio::select! {
                Some(event) = self.reports.1.recv() => self.hear(event).await,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                Some(order) = self.orders.1.recv() => self.obey(order),
                news = self.bench.store.queue_news() => self.learn(news).await,
                () = tokio::time::sleep(Duration::from_secs(wake.unsigned_abs())) => {}
                () = async { _ = shutdown.wait_for(|down| *down).await } => {}
            }
        }
        self.finish().await;
    }

    /// Works at this moment until nothing is under way; says when something is next to be done.
    pub async fn work_off(&mut self) -> Option<i64> {
        loop {
            let now = self.now();
            let news = self.bench.store.queue_news_now();
            self.learn(news).await;
            self.start(now).await;
            let at_rest = self.running.is_empty() && self.reports.1.is_empty() && self.orders.1.is_empty();
            if self.is_closed() || (at_rest && self.next_wake(now).is_none_or(|at| at > now)) {
                return self.next_wake(now).filter(|_| !self.is_closed());
            }
            tokio::select! {
                Some(event) = self.reports.1.recv() => self.hear(event).await,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                Some(order) = self.orders.1.recv() => self.obey(order),
                // What was committed in this moment may be told in the next.
                () = tokio::task::yield_now(), if self.running.is_empty() => {}
            }
        }
    }

    /// Lets what is on the lines be handed over.
    async fn finish(mut self) {
        self.open.values_mut().for_each(|line| line.more = mpsc::unbounded_channel().0);
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    fn now(&self) -> i64 {
        (self.bench.clock)()
    }

    fn is_closed(&self) -> bool {
        self.bench.closed.load(Ordering::Relaxed)
    }

    fn next_wake(&self, now: i64) -> Option<i64> {
        let due = self.agenda.next().map(|at| at.max(now + i64::from(self.is_full())));
        [due, self.lines.next_wake(now)].into_iter().flatten().min()
    }

    fn is_full(&self) -> bool {
        self.lines.waiting() >= JOBS_MAX
    }

    /// Begins what is due.
    async fn start(&mut self, now: i64) {
        if let Err(error) = self.begin_due(now).await {
            if matches!(error, StoreError::Uncertain) {
                self.bench.closed.store(true, Ordering::Relaxed);
            }
            tracing::error!(%error, "the queue cannot be read now");
            self.next_look = now.saturating_add(PAUSE_SECONDS);
        }
        while let Some((route, job)) = self.lines.open(now) {
            self.open_line(route, job);
        }
        self.lines.forget_idle(now);
    }

    async fn begin_due(&mut self, now: i64) -> Result<(), StoreError> {
        if now >= self.next_look {
            self.look_at_all().await?;
            self.next_look = now.saturating_add(LOOK_SECONDS);
        }
        if self.agenda.next().is_none_or(|at| at > now) {
            return Ok(());
        }
        if pause::paused(&self.bench.store).await?.is_some() {
            // Looked at again when mail goes on.
            self.agenda.clear();
            return Ok(());
        }
        while !self.is_full() {
            let Some(id) = self.agenda.pop(now) else { break };
            if self.rounds.contains_key(&id) {
                continue;
            }
            match self.begin(id, now).await {
                // It keeps nothing but itself.
                Err(StoreError::Record(error)) => tracing::error!(id = format!("{id:016x}"), %error, "a queued message is damaged"),
                begun => begun?,
            }
        }
        Ok(())
    }

    async fn look_at_all(&mut self) -> Result<(), StoreError> {
        let mut next = 0;
        loop {
            let rows = self.bench.store.queued_from(next, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            next = last.saturating_add(1);
            rows.iter().for_each(|(id, message)| self.plan(*id, Some(message)));
        }
    }

    /// Puts a message into the agenda, if it is free to leave.
    fn plan(&mut self, id: u64, message: Option<&Queued>) {
        if !self.rounds.contains_key(&id) {
            let free = message.filter(|message| message.hold.is_none());
            let due = free.and_then(|message| message.recipients.iter().map(|recipient| self.due(recipient)).min());
            self.agenda.set(id, due);
        }
    }

    /// When something is to be done about a recipient: at once if a report is owed, or if its destination works again.
    fn due(&self, recipient: &QueuedRecipient) -> i64 {
        let failed = recipient.last.as_ref().filter(|last| Status(last.status.0, last.status.1, last.status.2).is_of_the_destination());
        let works_again = |at| self.lines.has_recovered(&self.route_of(recipient), at);
        if recipient.done.is_some() || failed.is_some_and(|last| works_again(last.at)) { 0 } else { recipient.next_attempt }
    }

    fn route_of(&self, recipient: &QueuedRecipient) -> String {
        self.bench.carrier.route(&domain_of(&recipient.address))
    }

    async fn plan_anew(&mut self, id: u64) {
        match self.bench.store.queued_message(id).await {
            Ok(message) => self.plan(id, message.as_ref()),
            Err(StoreError::Record(error)) => {
                tracing::error!(id = format!("{id:016x}"), %error, "a queued message is damaged");
                self.agenda.set(id, None);
            }
            Err(error) => {
                tracing::error!(%error, "a queued message cannot be read now");
                self.agenda.set(id, Some(self.now().saturating_add(PAUSE_SECONDS)));
            }
        }
    }

    async fn learn(&mut self, news: QueueNews) {
        match news {
            QueueNews::These(ids) => {
                for id in ids {
                    self.plan_anew(id).await;
                }
            }
            QueueNews::Everything => self.next_look = i64::MIN,
        }
    }

    /// Begins a round: all that is due of a message, by destination.
    async fn begin(&mut self, id: u64, now: i64) -> Result<(), StoreError> {
        let Some(message) = self.bench.store.queued_message(id).await?.filter(|message| message.hold.is_none()) else { return Ok(()) };
        if self.bench.holds(id, &message).await? {
            return Ok(());
        }
        let message = Arc::new(message);
        let (mut parcels, mut later) = (BTreeMap::<String, Vec<usize>>::new(), None::<i64>);
        for (at, recipient) in message.recipients.iter().enumerate().filter(|(_, recipient)| recipient.done.is_none()) {
            let (route, due) = (self.route_of(recipient), self.due(recipient));
            let when = self.lines.paused(&route, now).unwrap_or(due).max(due);
            if when <= now {
                parcels.entry(route).or_default().push(at);
            } else {
                later = Some(later.map_or(when, |earlier| earlier.min(when)));
            }
        }
        if parcels.is_empty() {
            if message.recipients.iter().any(|recipient| recipient.done.is_some()) {
                // Owed since a crash.
                self.settle(vec![Job { id, message, recipients: Vec::new(), round: Round::of(1) }], None);
            } else {
                self.agenda.set(id, later);
            }
            return Ok(());
        }
        let round = Round::of(parcels.len());
        self.rounds.insert(id, parcels.len());
        for (route, recipients) in parcels {
            self.lines.add(route, Job { id, message: Arc::clone(&message), recipients, round: Arc::clone(&round) });
        }
        Ok(())
    }

    fn open_line(&mut self, route: String, job: Job) {
        let (more, jobs) = mpsc::unbounded_channel();
        let (bench, events, id) = (Arc::clone(&self.bench), self.reports.0.clone(), job.id);
        let task = carry(bench, route.clone(), job, jobs, events);
        let line = self.running.spawn(task).id();
        self.open.insert(line, Line { route, more, at: Some(id), carried: 1 });
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::Settled { id } => self.leave_round(id).await,
            Event::Carried { line, id, came } => {
                self.leave_round(id).await;
                let Some(found) = self.open.get_mut(&line) else { return };
                found.at = None;
                let (route, carried) = (found.route.clone(), found.carried);
                self.go_on(line, &route, carried, came);
            }
        }
    }

    /// What a line does next.
    fn go_on(&mut self, line: Id, route: &str, carried: usize, came: Came) {
        let now = self.now();
        let next = match came {
            Came::Failure(said) => {
                let waiting = self.lines.failed(route, &self.bench.schedule, now);
                self.settle(waiting.into(), Some(said));
                None
            }
            Came::Through => {
                if self.lines.worked(route, now) {
                    // What waits since the failures goes now, on the line that is open.
                    self.next_look = i64::MIN;
                }
                self.lines.next(route, carried, now)
            }
            Came::Nothing => self.lines.next(route, carried, now),
        };
        let Some(found) = self.open.get_mut(&line) else { return };
        match next {
            Some(job) => {
                (found.at, found.carried) = (Some(job.id), carried + 1);
                // Only a line that ended does not take it, and then `ended` gives its round back.
                _ = found.more.send(job);
            }
            // The line says goodbye.
            None => found.more = mpsc::unbounded_channel().0,
        }
    }

    /// Records, without an attempt, what keeps these from their destination; or what is owed of them.
    fn settle(&mut self, jobs: Vec<Job>, said: Option<Said>) {
        if jobs.is_empty() {
            return;
        }
        for job in &jobs {
            self.rounds.entry(job.id).or_insert(1);
        }
        let (bench, events) = (Arc::clone(&self.bench), self.reports.0.clone());
        self.running.spawn(async move {
            for job in jobs {
                let verdicts = said.iter().flat_map(|said| job.recipients.iter().map(|_| Verdict::Deferred(said.clone()))).collect();
                bench.settle(&job, verdicts).await;
                _ = events.send(Event::Settled { id: job.id });
            }
        });
    }

    /// A parcel is done with; the last one of a message lets it be planned again.
    async fn leave_round(&mut self, id: u64) {
        let Some(left) = self.rounds.get_mut(&id) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.rounds.remove(&id);
            self.plan_anew(id).await;
        }
    }

    /// A line is closed, or its task failed.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, failed) = match &ended {
            Ok((id, ())) => (*id, false),
            Err(error) => (error.id(), true),
        };
        let Some(line) = self.open.remove(&id) else { return };
        self.lines.closed(&line.route);
        if failed {
            tracing::error!(route = line.route, "a line to another host failed; its message is tried again");
        }
        // What is left on it is tried again as if it had not been.
        if let Some(left) = line.at.filter(|_| failed) {
            self.leave_round(left).await;
            self.agenda.set(left, Some(self.now().saturating_add(PAUSE_SECONDS)));
        }
    }

    fn obey(&mut self, order: Order) {
        if let Order::Forgive(domain) = order {
            let route = domain.map(|domain| self.bench.carrier.route(&domain));
            let now = self.now();
            self.lines.forgive(route.as_deref(), now);
        }
        self.next_look = i64::MIN;
    }
}

/// One line: a job, and then each that it is given until there is none.
async fn carry<C: Carrier, S: Signer>(
    bench: Arc<Bench<C, S>>,
    route: String,
    first: Job,
    mut more: mpsc::UnboundedReceiver<Job>,
    events: mpsc::UnboundedSender<Event>,
) {
    let Some(line) = tokio::task::try_id() else { return };
    let mut way = bench.carrier.line(&route);
    let mut next = Some(first);
    while let Some(job) = next {
        let came = bench.attempt(&route, &mut way, &job).await;
        _ = events.send(Event::Carried { line, id: job.id, came });
        next = if bench.closed.load(Ordering::Relaxed) { None } else { more.recv().await };
    }
    bench.carrier.close(way).await;
}

/// What stands after the last `@`; nothing of what is no address, which the carrier will say.
fn domain_of(address: &str) -> String {
    Address::parse(address).map_or_else(String::new, |address| address.domain)
}
