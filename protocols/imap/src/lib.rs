//! IMAP, the server's side, without a socket (RFC 3501).
//!
//! So far it knows how mailbox names are written; commands and responses are not here yet.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod fetch;
pub mod names;
mod questions;
pub mod search;

pub use questions::{Answer, Event, Mailbox, Query, Question, Refusal, RefusalCode, Selected, Status};
