//! MIME messages: what they are made of, and what their texts say (RFC 5322, RFC 2045 to 2047, RFC 2231).
//!
//! Reads bytes from strangers, as they come, in memory that does not grow with the message. Knows nothing of
//! IMAP, storage or display.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod address;
pub mod charset;
pub mod content;
pub mod date;
pub mod entities;
pub mod header;
pub mod limits;
mod line;
pub mod parameters;
mod part;
mod preview;
mod scanner;
mod structured;
pub mod transfer;
pub mod words;

pub use parameters::parameter;
pub use part::{Address, Content, ContentType, Description, Envelope, Parameters, Part};
pub use scanner::{Scanned, Scanner};
