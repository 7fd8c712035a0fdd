//! SMTP, the server's side, without a socket (RFC 5321).
//!
//! A [`Server`] is one conversation: bytes from strangers go in, replies and questions to the door come out.
//! It knows grammar, order, limits and framing; it knows nothing of accounts, mailboxes, DNS or the disk.
//! Extensions: PIPELINING, 8BITMIME, SMTPUTF8, SIZE, CHUNKING, BINARYMIME, ENHANCEDSTATUSCODES, STARTTLS,
//! DSN, AUTH and LIMITS. One file of `commands/` holds one command; a table there names them all.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod address;
mod commands;
mod content;
mod envelope;
mod limits;
mod line;
mod parameters;
mod reply;
mod server;
mod trace;

pub use address::{Address, ReversePath};
pub use content::{DataReader, Fault};
pub use envelope::{BodyKind, Client, Envelope, Notify, OriginalRecipient, Recipient, Ret};
pub use parameters::to_xtext;
pub use reply::Reply;
pub use server::{Answer, Config, Question, Role, Server};
pub use trace::{received_header, return_path_header};
