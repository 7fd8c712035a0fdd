//! What a person does with queued messages: hold, release, retry and delete them. Each is one change of one row, decided
//! anew if the row changed meanwhile; what is in flight in that moment may still arrive.

use super::carrier::{Said, Status, Verdict};
use super::decide::decide;
use super::report::report;
use super::schedule::Schedule;
use crate::delivery::Delivery;
use crate::store::{Change, Hold, HoldReason, HolderId, Queued, Refusal, Requeue, Store, StoreError};
use stoa_smtp::Address;

/// A row may change so often while one change of it is tried.
const TRIES_MAX: usize = 20;
/// Rows read at a time.
const PAGE: usize = 256;

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one of this number.
    One(u64),
    /// Those with a recipient in this domain, in lower case.
    To(String),
    /// Those that an account sent.
    Account(HolderId),
    /// All of them.
    All,
}

impl Which {
    fn means(&self, message: &Queued) -> bool {
        match self {
            Self::One(_) | Self::All => true,
            Self::To(domain) => message.recipients.iter().any(|recipient| is_in(&recipient.address, domain)),
            Self::Account(holder) => message.account == Some(*holder),
        }
    }
}

fn is_in(address: &str, domain: &str) -> bool {
    Address::parse(address).is_some_and(|address| address.domain == domain)
}

/// The numbers of the messages that are meant.
pub async fn find(store: &Store, which: &Which) -> Result<Vec<u64>, StoreError> {
    if let Which::One(id) = which {
        return Ok(store.queued_message(*id).await?.map(|_| *id).into_iter().collect());
    }
    let (mut next, mut found) = (0, Vec::new());
    loop {
        let rows = store.queued_from(next, PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(found) };
        next = last.saturating_add(1);
        found.extend(rows.iter().filter(|(_, row)| which.means(row)).map(|(id, _)| *id));
    }
}

/// Keeps a message in the queue until it is released; whether it was free.
pub async fn hold(store: &Store, id: u64, reason: &str, now: i64) -> Result<bool, StoreError> {
    store
        .alter_queued(id, |read| {
            let hold = Hold { why: HoldReason::Asked, reason: reason.to_owned(), since: now };
            read.hold.is_none().then(|| Queued { hold: Some(hold), ..read.clone() })
        })
        .await
}

/// Makes the recipients of a message due, all or those in a domain; whether there were some.
pub async fn retry(store: &Store, id: u64, domain: Option<&str>, now: i64) -> Result<bool, StoreError> {
    store
        .alter_queued(id, |read| {
            let mut due = read.clone();
            let mut meant = 0;
            for recipient in &mut due.recipients {
                if recipient.done.is_none() && domain.is_none_or(|domain| is_in(&recipient.address, domain)) {
                    recipient.next_attempt = recipient.next_attempt.min(now);
                    meant += 1;
                }
            }
            (meant > 0 && read.hold.is_none()).then_some(due)
        })
        .await
}

/// Takes a message out of the queue; unless that is to be `silent`, its sender is told. Whether it was there.
pub async fn delete(store: &Store, delivery: &Delivery, schedule: &Schedule, id: u64, silent: bool, now: i64) -> Result<bool, StoreError> {
    for _ in 0..TRIES_MAX {
        let Some(read) = store.queued_message(id).await? else { return Ok(false) };
        let told = if silent { Vec::new() } else { decide(id, &read, &given_up(&read), true, schedule, now).told };
        let filings = report(delivery, store, &read, &told, now).await?.into_iter().collect();
        let change = Requeue { id, read, becomes: None, filings, notes: Vec::new() };
        match store.commit(Change::Requeue(Box::new(change))).await {
            Ok(_) => return Ok(true),
            Err(StoreError::Refused(Refusal::QueueChanged)) => {}
            Err(StoreError::Refused(Refusal::NotQueued)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Busy)
}

fn given_up(message: &Queued) -> Vec<(String, Verdict)> {
    let said = Said { status: Status(5, 7, 0), text: "Whoever runs this mail server took it out of the queue".into(), host: None };
    message.recipients.iter().map(|recipient| (recipient.address.clone(), Verdict::Failed(said.clone()))).collect()
}
