//! The doors: they answer what a conversation asks, from the server's state, one room a protocol.
//!
//! A door knows its protocol's questions and the server's rooms; sockets and framing are not its affair.

pub mod dns;
pub mod http;
pub mod imap;
pub mod smtp;

use crate::delivery::Delivery;
use crate::store::{Store, StoreError};
#[cfg(test)]
use crate::trust::guard::GuardLimits;
use crate::trust::guard::{Blocklists, Greylist, Guard};
use crate::trust::verify::Verifier;
use crate::trust::{Logins, Trust};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stoa_sasl::Question;

/// What every door serves from.
pub struct Services {
    /// Everything stored.
    pub store: Store,
    /// Who may sign in.
    pub logins: Logins,
    /// Where mail goes.
    pub delivery: Delivery,
    /// Who guesses.
    pub guard: Guard,
    /// Who is told of every stranger, where the owner wants that.
    pub blocklists: Option<Blocklists>,
    /// Who writes for the first time, where that matters.
    pub greylist: Option<Greylist>,
    /// What strangers' mail is judged by; none where nobody may be asked.
    pub verifier: Option<Arc<Verifier>>,
    /// How much is taken.
    pub limits: Limits,
}

impl Services {
    /// What a test's house serves: nobody is known, and nobody is kept waiting.
    #[cfg(test)]
    pub(crate) fn of(store: Store, delivery: Delivery, message_bytes_max: u64) -> Self {
        let lenient = GuardLimits {
            failed_logins_per_hour_max: u32::MAX,
            failed_logins_per_day_max: u32::MAX,
            unknown_recipients_per_hour_max: u32::MAX,
            tarpit_max: Duration::ZERO,
            exempt_loopback: true,
        };
        Self {
            logins: Logins::new(store.clone(), [0; 32], 1),
            delivery,
            guard: Guard::new(lenient),
            blocklists: None,
            greylist: None,
            verifier: None,
            limits: Limits { message_bytes_max, recipients_max: 10, first_time_delay: Duration::ZERO },
            store,
        }
    }

    /// Asks whether a login is right; a wrong one is logged with all that is needed to keep its sender out.
    async fn sign_in(&self, question: Question, peer: IpAddr, service: &str) -> stoa_sasl::Answer {
        let login = match &question {
            Question::Password { login, .. } | Question::ScramParameters { login } | Question::ScramProof { login, .. } => login.clone(),
        };
        if !self.guard.hears_logins(peer, Instant::now()) {
            tracing::info!(%peer, service, login, "did not look at a login: too many from there were wrong");
            return stoa_sasl::Answer::Unavailable;
        }
        let answer = self.logins.answer(question).await;
        if answer == stoa_sasl::Answer::Denied {
            tracing::info!(%peer, service, login, "refused a login");
            tokio::time::sleep(self.guard.login_failed(peer, Instant::now())).await;
        }
        answer
    }

    /// What an account that was just granted may do; nothing, if it was removed meanwhile.
    async fn account(&self, address: &str) -> Result<Option<Trust>, StoreError> {
        let Some(holder) = self.store.find_address(address).await? else { return Ok(None) };
        Ok(self.store.account(holder).await?.as_ref().map(Trust::of_account))
    }
}

/// How much is taken.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of a message.
    pub message_bytes_max: u64,
    /// Recipients of a transaction.
    pub recipients_max: usize,
    /// How long whoever writes to somebody for the first time waits for the answer.
    pub first_time_delay: Duration,
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// For one conversation's challenges: printable, without a comma (RFC 5802 §5.1), 128 random bits.
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}
