//! The queue: mail for other hosts, from its acceptance until it is handed over.
//!
//! The states of a message and of each recipient, and what a crash leaves of them, stand in `store/outbound`. What becomes
//! of a message is decided by two pure functions, `schedule` (when) and `decide` (what is recorded and told); nothing is
//! written before an attempt, and all that follows from it stands in one commit after it.
//!
//! A real server has a [`Dispatcher`], which hands over to a [`carrier`]: [`smtp`] is the one over the real world, and
//! [`tls_reports`] tells other domains how its TLS went. The demo has a [`Courier`] on one [`Route`], which catches
//! everything in a mailbox. What a person does with messages is in [`manage`] and [`pause`].

mod agenda;
mod attempt;
pub mod carrier;
mod decide;
mod dispatch;
mod lines;
pub mod manage;
mod outside;
pub mod pause;
mod report;
mod schedule;
mod signer;
pub mod smtp;
pub mod tls_reports;

pub use attempt::Clock;
pub use dispatch::{Dispatcher, Handle, Order};
pub use lines::Limits;
pub use outside::Outside;
pub use schedule::Schedule;
pub use signer::Signer;

use crate::store::{Queued, Store, StoreError};
use std::time::Duration;
use tokio::sync::watch;

/// Messages looked at in one go.
const MESSAGES_AT_ONCE_MAX: usize = 64;

/// How long to wait after a failure, which is the store's and may pass.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A way out of the queue.
pub trait Route: Send + Sync {
    /// Takes a message over; when this returns `Ok`, it is out of the queue.
    fn take(&self, id: u64, message: &Queued) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Takes messages out of the queue as they come.
pub struct Courier<R> {
    store: Store,
    route: R,
}

impl<R: Route> Courier<R> {
    /// A courier on this route.
    pub fn new(store: Store, route: R) -> Self {
        Self { store, route }
    }

    /// Works until the server shuts down.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let pause = match self.empty().await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be emptied now");
                    Some(PAUSE_AFTER_FAILURE)
                }
            };
            tokio::select! {
                _ = self.store.queue_news(), if pause.is_none() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    }

    /// Takes out all that waits, the oldest first. One that fails does not keep the others; the last failure is told.
    pub async fn empty(&self) -> Result<(), StoreError> {
        let (mut outcome, mut next) = (Ok(()), 0);
        loop {
            let waiting = self.store.queued_from(next, MESSAGES_AT_ONCE_MAX).await?;
            let Some((last, _)) = waiting.last() else { return outcome };
            next = last.saturating_add(1);
            for (id, message) in waiting.iter().filter(|(_, message)| message.hold.is_none()) {
                match self.route.take(*id, message).await {
                    Ok(()) => {}
                    // The store is closed.
                    Err(StoreError::Uncertain) => return Err(StoreError::Uncertain),
                    Err(error) => {
                        tracing::error!(id = format!("{id:016x}"), %error, "a message stays in the queue");
                        outcome = Err(error);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod governed;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
