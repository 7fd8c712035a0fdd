//! Who vouches for a message, and who may log in: the only room that makes a [`Trust`].
//!
//! A trust is made from proofs, stored with the message as a typed value, and never read back from a header.
//! [`Logins`] answers what a SASL exchange asks; [`new_credential`] makes what it compares with. Reads names and
//! passwords of strangers. What proves who a message of strangers is from is found out in [`verify`].

pub mod doubt;
pub mod feedback;
pub mod guard;
mod logins;
mod passwords;
pub mod reputation;
pub mod signing;
#[cfg(test)]
mod tests;
pub mod verify;

pub use logins::Logins;
pub use passwords::{generate_password, new_credential};

use crate::store::{Account, HolderId, Message};
use bytes::Bytes;
use std::net::IpAddr;
use stoa_record::{Reader, RecordError, Writer};

/// How sure we are of whom a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// No proof.
    None = 0,
    /// SPF aligned.
    Spf = 1,
    /// DMARC pass, or an aligned DKIM signature where the domain publishes no DMARC record.
    Dmarc = 2,
    /// It came over our own authenticated submission, IMAP, or a signed-in web session.
    Authenticated = 3,
}

impl Level {
    /// All, by number.
    const ALL: [Self; 4] = [Self::None, Self::Spf, Self::Dmarc, Self::Authenticated];
}

/// Whose rights a message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody's.
    Nobody,
    /// Those of an account, with its canonical address.
    Account(HolderId, String),
    /// Those of whoever has this address, which was verified.
    Address(String),
}

/// How sure we are, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    level: Level,
    principal: Principal,
    origin: Option<IpAddr>,
}

impl Trust {
    /// Of what an account does after it authenticated.
    pub fn of_account(account: &Account) -> Self {
        Self { level: Level::Authenticated, principal: Principal::Account(account.holder, account.address.clone()), origin: None }
    }

    /// Of a message that came from outside, with nothing verified.
    pub fn of_stranger() -> Self {
        Self { level: Level::None, principal: Principal::Nobody, origin: None }
    }

    /// Of a message whose author was proven.
    #[cfg(test)]
    pub(crate) fn of_proven_address(address: &str) -> Self {
        Self { level: Level::Dmarc, principal: Principal::Address(address.to_owned()), origin: None }
    }

    /// The same, of a message that came from this address.
    pub fn from_peer(self, peer: IpAddr) -> Self {
        Self { origin: Some(peer.to_canonical()), ..self }
    }

    /// What was stored with a message; older messages have none, which is that of a stranger.
    pub fn of_message(message: &Message) -> Result<Self, RecordError> {
        if message.trust.is_empty() { Ok(Self::of_stranger()) } else { Self::from_bytes(&message.trust) }
    }

    /// How sure.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Of whom.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The address that a stranger's message came from.
    pub fn origin(&self) -> Option<IpAddr> {
        self.origin
    }

    /// The account whose rights it has, if it is one's.
    pub fn account(&self) -> Option<HolderId> {
        match &self.principal {
            Principal::Account(holder, _) => Some(*holder),
            Principal::Nobody | Principal::Address(_) => None,
        }
    }

    /// The record that is stored with the message.
    pub fn to_bytes(&self) -> Bytes {
        let record = Writer::new(1).u64(1, self.level as u64);
        let record = match &self.principal {
            Principal::Nobody => record,
            Principal::Account(holder, address) => record.u64(2, holder.0).str(3, address),
            Principal::Address(address) => record.str(3, address),
        };
        let record = self.origin.iter().fold(record, |record, origin| record.str(4, &origin.to_string()));
        record.finish().into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let number = record.u64(1)?.unwrap_or(0);
        let level = Level::ALL.into_iter().find(|level| *level as u64 == number).ok_or(RecordError::Missing(1))?;
        let address = record.str(3)?.map(str::to_owned);
        let principal = match (record.u64(2)?, address) {
            (Some(holder), Some(address)) => Principal::Account(HolderId(holder), address),
            (None, Some(address)) => Principal::Address(address),
            (None, None) => Principal::Nobody,
            (Some(_), None) => return Err(RecordError::Missing(3)),
        };
        let origin = record.str(4)?.and_then(|origin| origin.parse().ok());
        Ok(Self { level, principal, origin })
    }
}
