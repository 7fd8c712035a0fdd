//! One attempt: a parcel is made and signed, handed over, and what came of it is recorded with the reports that follow.
//!
//! Nothing is written before the attempt, and one batch after it; so a crash in between repeats the one message that was
//! in flight, and loses none. What was handed over is recorded again and again until it is, and not handed over meanwhile.

use super::carrier::{Carrier, Parcel, Said, Status, Verdict};
use super::decide::decide;
use super::pause;
use super::report::report;
use super::schedule::Schedule;
use super::signer::Signer;
use crate::delivery::{Delivery, governor};
use crate::store::{BodyReader, Change, DeliveredBody, Queued, Refusal, Requeue, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Before something is recorded again that could not be; the disk may be full.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Some recipients of a message, of one destination, that are due.
pub(super) struct Job {
    pub id: u64,
    pub message: Arc<Queued>,
    pub recipients: Vec<usize>,
    pub round: Arc<Round>,
}

/// What is under way of a message at the same time.
pub(super) struct Round {
    left: Mutex<usize>,
}

impl Round {
    pub fn of(jobs: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(jobs) })
    }
}

/// What came of a job, for the line it was on.
pub(super) enum Came {
    /// The destination works.
    Through,
    /// It failed as a whole, and said this.
    Failure(Said),
    /// Nothing was tried: the message is not to go any more, or not now.
    Nothing,
}

/// What all lines work with.
pub(super) struct Bench<C, S> {
    pub store: Store,
    pub delivery: Delivery,
    pub carrier: C,
    pub signer: S,
    pub schedule: Schedule,
    pub clock: Clock,
    /// The store is closed: nothing can be recorded, so nothing more is handed over.
    pub closed: AtomicBool,
}

impl<C: Carrier, S: Signer> Bench<C, S> {
    /// Hands a job over and records what came of it.
    pub async fn attempt(&self, route: &str, line: &mut C::Line, job: &Job) -> Came {
        let parcel = match self.is_still_to_go(job).await {
            Ok(true) => self.parcel(route, job).await,
            Ok(false) => {
                self.settle(job, Vec::new()).await;
                return Came::Nothing;
            }
            Err(error) => Err(unreadable(error)),
        };
        let mut verdicts = match parcel {
            Ok(parcel) => self.carrier.hand_over(line, &parcel).await,
            Err(why) => vec![Verdict::Deferred(Said { status: Status(4, 3, 0), text: why, host: None }); job.recipients.len()],
        };
        let unsaid = || Verdict::Deferred(Said { status: Status(4, 3, 0), text: "Nothing was said of this recipient".into(), host: None });
        verdicts.resize_with(job.recipients.len(), unsaid);
        let failure = failure_of_all(&verdicts);
        self.settle(job, verdicts).await;
        failure.map_or(Came::Through, Came::Failure)
    }

    /// Whether a job is to be done as it was planned, which may be hours ago: meanwhile a person may have held or deleted
    /// the message or paused all, and its account may have been stopped.
    async fn is_still_to_go(&self, job: &Job) -> Result<bool, StoreError> {
        if pause::paused(&self.store).await?.is_some() {
            return Ok(false);
        }
        let Some(row) = self.store.queued_message(job.id).await?.filter(|row| row.hold.is_none()) else { return Ok(false) };
        let mut planned = job.recipients.iter().filter_map(|at| job.message.recipients.get(*at));
        let waits = |address: &str| row.recipients.iter().any(|recipient| recipient.address == address && recipient.done.is_none());
        Ok(planned.all(|recipient| waits(&recipient.address)) && !self.holds(job.id, &row).await?)
    }

    async fn parcel(&self, route: &str, job: &Job) -> Result<Parcel, String> {
        let content = self.content(route, &job.message).await?;
        Ok(Parcel { id: job.id, message: Arc::clone(&job.message), recipients: job.recipients.clone(), content })
    }

    /// The message as it leaves, with its signatures.
    async fn content(&self, route: &str, message: &Queued) -> Result<BodyReader, String> {
        let content = self.store.body(message.prefix.clone(), &message.body).await.map_err(unreadable)?;
        let Some(domain) = &message.signer else { return Ok(content) };
        let signatures = self.signer.signatures(domain, route, &content, (self.clock)()).await.map_err(unreadable)?;
        if signatures.is_empty() {
            return Ok(content);
        }
        let prefix = [signatures.as_ref(), message.prefix.as_ref()].concat();
        self.store.body(prefix.into(), &message.body).await.map_err(unreadable)
    }

    /// Records what came of a job, one verdict a recipient. The last of its round tells the sender what is owed.
    pub async fn settle(&self, job: &Job, verdicts: Vec<Verdict>) {
        let addresses = job.recipients.iter().filter_map(|at| job.message.recipients.get(*at)).map(|recipient| recipient.address.clone());
        let verdicts: Vec<(String, Verdict)> = addresses.zip(verdicts).collect();
        verdicts.iter().for_each(|(address, verdict)| log(job.id, address, verdict));
        // Held while it is recorded: who comes last must find what the others recorded.
        let mut left = job.round.left.lock().await;
        *left = left.saturating_sub(1);
        self.record(job.id, &verdicts, *left == 0).await;
    }

    /// Records verdicts, until that is done; without any, tells what is owed.
    pub async fn record(&self, id: u64, verdicts: &[(String, Verdict)], ends_round: bool) {
        while !self.closed.load(Ordering::Relaxed) {
            match self.try_to_record(id, verdicts, ends_round).await {
                // Deleted by a person meanwhile.
                Ok(()) | Err(StoreError::Refused(Refusal::NotQueued)) => return,
                // Changed by a person or another process meanwhile: decided anew.
                Err(StoreError::Refused(Refusal::QueueChanged | Refusal::NoteChanged)) => {}
                Err(StoreError::Uncertain) => self.closed.store(true, Ordering::Relaxed),
                Err(error) => {
                    tracing::error!(id = format!("{id:016x}"), %error, "what came of a message cannot be recorded now");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn try_to_record(&self, id: u64, verdicts: &[(String, Verdict)], ends_round: bool) -> Result<(), StoreError> {
        let Some(read) = self.store.queued_message(id).await? else { return Ok(()) };
        let now = (self.clock)();
        let decided = decide(id, &read, verdicts, ends_round, &self.schedule, now);
        if decided.becomes.as_ref() == Some(&read) && decided.told.is_empty() {
            return Ok(());
        }
        let mut filings: Vec<_> = report(&self.delivery, &self.store, &read, &decided.told, now).await?.into_iter().collect();
        let mut notes = Vec::new();
        if let Some(account) = read.account {
            let counts = (decided.delivered, decided.failed);
            let governed = governor::count_results(&self.store, self.delivery.budgets(), account, counts, now).await?;
            notes = governed.notes;
            if let Some((subject, text)) = governed.letter {
                filings.extend(self.delivery.letter_to_owner(&subject, &text, now).await?);
            }
        }
        let bodies: Vec<_> = filings.iter().map(|filing| filing.body.clone()).collect();
        let change = Requeue { id, read, becomes: decided.becomes, filings, notes };
        let committed = self.store.commit(Change::Requeue(Box::new(change))).await;
        if let Err(StoreError::Refused(_)) = &committed {
            for body in bodies {
                if let DeliveredBody::Staged(staged) = body {
                    self.store.discard(staged).await;
                }
            }
        }
        committed.map(drop)
    }
}

impl<C: Carrier, S: Signer> Bench<C, S> {
    /// Whether the account of a message is stopped, and the message not let go by a person; then it is held.
    pub async fn holds(&self, id: u64, message: &Queued) -> Result<bool, StoreError> {
        let Some(account) = message.account.filter(|_| !message.released) else { return Ok(false) };
        let standing = governor::standing(&self.store, account).await?;
        let Some(stop) = standing.stopped() else { return Ok(false) };
        let becomes = Queued { hold: Some(stop.hold((self.clock)())), ..message.clone() };
        let change = Requeue { id, read: message.clone(), becomes: Some(becomes), filings: Vec::new(), notes: Vec::new() };
        match self.store.commit(Change::Requeue(Box::new(change))).await {
            // Whoever changed it meanwhile is news, which leads here again.
            Ok(_) | Err(StoreError::Refused(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// What is recorded of a message that the store cannot give.
fn unreadable(error: StoreError) -> String {
    tracing::error!(%error, "a queued message cannot be read");
    "This server cannot read the message now".to_owned()
}

/// What keeps all mail from the destination, if that is what the verdicts say.
fn failure_of_all(verdicts: &[Verdict]) -> Option<Said> {
    let of_all = |verdict: &Verdict| matches!(verdict, Verdict::Deferred(said) if said.status.is_of_the_destination());
    match verdicts.first() {
        Some(Verdict::Deferred(said)) if verdicts.iter().all(of_all) => Some(said.clone()),
        _ => None,
    }
}

fn log(id: u64, to: &str, verdict: &Verdict) {
    let (word, said) = match verdict {
        Verdict::Delivered { said, .. } => ("handed over", said),
        Verdict::Failed(said) => ("failed", said),
        Verdict::Deferred(said) => ("deferred", said),
    };
    tracing::info!(id = format!("{id:016x}"), to, status = %said.status, host = said.host, said = said.text, "{word}");
}
