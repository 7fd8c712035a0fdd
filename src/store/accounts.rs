//! Accounts, their addresses and their credentials, as they are stored.

use super::{HolderId, keys};
use stoa_record::{Reader, RecordError, Writer};

/// Somebody with a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The holder of the account's mailboxes.
    pub holder: HolderId,
    /// The canonical address, as it was given.
    pub address: String,
    /// The owner of the server: the only one who sees the access log.
    pub owner: bool,
    /// Seconds since 1970.
    pub created: i64,
}

impl Account {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Writer::new(1).str(1, &self.address).u64(2, self.owner.into()).i64(3, self.created).finish()
    }

    pub(super) fn from_bytes(holder: HolderId, bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        Ok(Self {
            holder,
            address: record.str(1)?.unwrap_or_default().to_owned(),
            owner: record.u64(2)?.unwrap_or(0) != 0,
            created: record.i64(3)?.unwrap_or(0),
        })
    }
}

/// What proves that somebody is the account: the password, or a named app password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its number among those of the account.
    pub id: u64,
    /// Empty for the password of the account; else the name under which an app password is listed and revoked.
    pub name: String,
    /// argon2id, as a PHC string.
    pub argon2: String,
    /// SCRAM-SHA-256 (RFC 5802 §3): salt, iterations, stored key, server key.
    pub scram_salt: Vec<u8>,
    /// RFC 7677 §4 asks for 4,096 or more.
    pub scram_iterations: u32,
    /// `H(ClientKey)`.
    pub scram_stored_key: Vec<u8>,
    /// For the server's signature.
    pub scram_server_key: Vec<u8>,
    /// Seconds since 1970.
    pub created: i64,
}

/// Keys and hashes stay out of logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Credential {
    /// The account's own password, not an app password?
    pub fn is_password(&self) -> bool {
        self.name.is_empty()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Writer::new(1)
            .str(1, &self.name)
            .str(2, &self.argon2)
            .bytes(3, &self.scram_salt)
            .u64(4, self.scram_iterations.into())
            .bytes(5, &self.scram_stored_key)
            .bytes(6, &self.scram_server_key)
            .i64(7, self.created)
            .finish()
    }

    pub(super) fn from_key_value(key: &[u8], bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let bytes = |field| record.bytes(field).map(|b| b.unwrap_or_default().to_vec());
        Ok(Self {
            id: keys::last_u64(key).unwrap_or(0),
            name: record.str(1)?.unwrap_or_default().to_owned(),
            argon2: record.str(2)?.unwrap_or_default().to_owned(),
            scram_salt: bytes(3)?,
            scram_iterations: record.u64(4)?.and_then(|n| n.try_into().ok()).unwrap_or(0),
            scram_stored_key: bytes(5)?,
            scram_server_key: bytes(6)?,
            created: record.i64(7)?.unwrap_or(0),
        })
    }
}

/// The form of an address under which it is looked up: lower case. RFC 5321 §2.4 lets a host fold its own local parts.
pub fn fold_address(address: &str) -> String {
    address.to_lowercase()
}
