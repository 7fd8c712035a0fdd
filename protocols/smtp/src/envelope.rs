//! What a transaction says about a message: from whom, to whom, and how it came.

use crate::address::{Address, ReversePath};
use std::net::IpAddr;
use stoa_session::TlsFacts;

/// Everything MAIL and RCPT said, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Those the door accepted, in order.
    pub recipients: Vec<Recipient>,
    /// What the client declared the content to be.
    pub body: BodyKind,
    /// Whether the message needs RFC 6531.
    pub smtputf8: bool,
    /// The declared size in octets (RFC 1870); the content may differ.
    pub size: Option<u64>,
    /// What a failure report should return (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// The sender's name for this transaction, decoded (RFC 3461 §4.4).
    pub envid: Option<String>,
    /// Who is at the other end.
    pub client: Client,
}

/// An accepted recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Whom the message is for.
    pub address: Address,
    /// When to report (RFC 3461 §4.1); `None` leaves it to the server.
    pub notify: Option<Notify>,
    /// Whom the sender meant at first (RFC 3461 §4.2).
    pub orcpt: Option<OriginalRecipient>,
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub peer: IpAddr,
    /// What it calls itself: not checked, not to be trusted.
    pub helo: String,
    /// Whether it said EHLO.
    pub esmtp: bool,
    /// The TLS connection, when there is one.
    pub tls: Option<TlsFacts>,
    /// The account it proved to be.
    pub account: Option<String>,
}

/// RFC 6152 and RFC 3030.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// 7BIT.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBit,
    /// BINARYMIME: bytes that need not be lines.
    Binary,
}

/// RFC 3461 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

/// RFC 3461 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// No report whatever happens.
    Never,
    /// Reports in these cases; at least one is set.
    On {
        /// When it was delivered.
        success: bool,
        /// When it cannot be delivered.
        failure: bool,
        /// When it takes long.
        delay: bool,
    },
}

/// RFC 3461 §4.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// Such as `rfc822`, in lower case.
    pub kind: String,
    /// Decoded; of kind `utf-8` it keeps the escapes of RFC 6533 §3.
    pub address: String,
}
