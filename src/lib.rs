//! Stoa, a personal server: mail, and everything that can be built on mail.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod net;
pub mod store;
