//! Reports about delivery (RFC 3464, RFC 6522, RFC 6533): written for a person and for programs, and read.
//!
//! [`Report::head`] and [`Report::tail`] stand around what is returned of the message, which its owner writes between
//! them as it streams by; so a report costs the same memory whatever it returns. [`parse`] reads the machine's part of
//! somebody else's report: bytes from strangers, strictly and within limits. Knows no queue, no clock and no socket.
//! A report never leads to another: it says that it is one, and its envelope has the null reverse-path.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod human;
mod machine;
mod read;
mod text;
mod write;

pub use read::{DeliveryStatus, RecipientStatus, Typed, Unreadable, parse};
pub use write::headers_only;

use std::fmt;

/// RFC 3464 §2.3.3: what became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It will not get there.
    Failed,
    /// It did not get there yet, and is tried again.
    Delayed,
    /// It lies in the recipient's mailbox.
    Delivered,
    /// A host took it that does not report what comes of it.
    Relayed,
    /// It was sent on to several, none of whom is reported.
    Expanded,
}

impl Action {
    const ALL: [Self; 5] = [Self::Failed, Self::Delayed, Self::Delivered, Self::Relayed, Self::Expanded];

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// RFC 3463: class, subject and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub u16, pub u16);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What is told of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Where the message was to go, `local@domain`.
    pub address: String,
    /// Whom the sender meant at first, as `type;address` (RFC 3461 §4.2).
    pub original: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: Status,
    /// The host that said so, or that was tried.
    pub host: Option<String>,
    /// Its reply, code first, or our own words.
    pub said: String,
    /// When it was tried last, in seconds since 1970.
    pub tried: Option<i64>,
    /// Until when it is tried, of what is delayed.
    pub until: Option<i64>,
}

/// How much of the message goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// All of it. `eight_bit`: it may hold octets above 127.
    Message {
        /// See there.
        eight_bit: bool,
    },
    /// Its header, by [`headers_only`].
    Header,
}

/// A report about one message.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The name of this host.
    pub reporter: &'a str,
    /// Whose report it is: an address that nobody reads.
    pub from: &'a str,
    /// Whom it is for: the reverse-path of the message, which is not null.
    pub to: &'a str,
    /// Seconds since 1970.
    pub now: i64,
    /// For this report, `local@domain`.
    pub message_id: &'a str,
    /// Does not occur in what is returned: 128 random bits do not.
    pub boundary: &'a str,
    /// RFC 3461 ENVID, decoded.
    pub envelope_id: Option<&'a str>,
    /// When the message came, in seconds since 1970.
    pub arrived: i64,
    /// Its Subject, decoded, if it has one.
    pub subject: Option<&'a str>,
    /// Its Message-ID with its brackets, if it has one.
    pub about: Option<&'a str>,
    /// Of whom something is told; not empty.
    pub recipients: &'a [Recipient],
    /// What goes back.
    pub returned: Returned,
    /// The message was one of RFC 6531, so its sender's programs know the types of RFC 6533.
    pub utf8: bool,
}
