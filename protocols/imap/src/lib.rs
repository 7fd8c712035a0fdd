//! IMAP4rev1 and IMAP4rev2, the server's side, without a socket (RFC 3501, RFC 9051).
//!
//! A [`Server`] is one conversation: bytes from strangers go in, responses and questions to the door come out.
//! It knows grammar, order, limits, framing and message numbers; it knows nothing of accounts, storage or the disk.
//! One file of `commands/` holds one command; a table there names them all. `docs/imap.md` lists what is offered.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod commands;
pub mod fetch;
mod fold;
mod frame;
mod grammar;
mod limits;
pub mod names;
pub mod objects;
mod opened;
mod parts;
mod pattern;
mod questions;
mod response;
pub mod search;
mod sequence;
mod server;
pub mod sort;
mod subject;
mod summary;
pub mod threads;
mod write;

pub use parts::Parts;
pub use questions::{Answer, Event, Mailbox, Query, Question, Refusal, RefusalCode, Selected, Status};
pub use server::{Config, Server};
pub use summary::{HEADER_BYTES_MAX, Summary, summarise};
