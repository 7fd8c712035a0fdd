//! SMTP, the server's side, without a socket (RFC 5321).
//!
//! So far it reads message content; commands and replies are not here yet.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod content;

pub use content::{DataReader, Fault};
