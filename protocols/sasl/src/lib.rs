//! The server's side of SASL, without a socket and without accounts.
//!
//! An [`Exchange`] is one authentication. It reads responses from strangers and asks the door; only the
//! door's [`Answer`] grants. Standards: RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM), RFC 9266 and
//! RFC 5929 (channel bindings). LOGIN has no standard; old mail programs still need it.
//! Base64 and cancelling belong to the protocol around it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod exchange;
pub mod scram;

pub use exchange::Exchange;

use zeroize::Zeroizing;

/// A password on its way to the door: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one who must compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The mechanisms this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two prompts; no standard.
    Login,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// All, the strongest first.
    pub const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Finds a mechanism; case does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// What the TLS connection offers to bind to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266).
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 §4).
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Whether a -PLUS mechanism can be offered.
    pub fn any(&self) -> bool {
        self.exporter.is_some() || self.server_end_point.is_some()
    }
}

/// What an exchange asks of the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Is this password right, and may the login act as `authorization`?
    Password {
        /// Whom to act as; empty means the login itself.
        authorization: String,
        /// Who proves.
        login: String,
        /// The proof.
        password: Secret,
    },
    /// Salt and iterations of this login; an unknown one gets believable ones.
    ScramParameters {
        /// Who wants to prove.
        login: String,
    },
    /// Is this proof right? [`scram::verify`] tells.
    ScramProof {
        /// Whom to act as; empty means the login itself.
        authorization: String,
        /// Who proves.
        login: String,
        /// RFC 5802 §3.
        auth_message: Vec<u8>,
        /// RFC 5802 §3.
        client_proof: [u8; 32],
    },
}

/// What the door replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The password was right.
    Granted {
        /// The account to act as.
        account: String,
    },
    /// The parameters asked for.
    ScramParameters {
        /// Raw, not base64.
        salt: Vec<u8>,
        /// RFC 7677 §4 asks for 4096 at least.
        iterations: u32,
    },
    /// The proof was right.
    ScramGranted {
        /// The account to act as.
        account: String,
        /// What proves the server to the client.
        server_signature: Vec<u8>,
    },
    /// Wrong, unknown or not allowed: the peer is not told which.
    Denied,
    /// Cannot be said now.
    Unavailable,
}

/// What the protocol does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this, in base64.
    Challenge(Vec<u8>),
    /// Ask the door.
    Ask(Question),
    /// It is over.
    Done(Outcome),
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The door granted.
    Granted {
        /// The account to act as.
        account: String,
        /// Data to send with success, where [`Exchange::with_success_data`] asked for it.
        final_data: Option<Vec<u8>>,
    },
    /// The door denied.
    Denied,
    /// The door could not say.
    Unavailable,
    /// The peer did not keep to the mechanism.
    Malformed,
}
