//! Stoa, a personal server: mail, and everything that can be built on mail.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod delivery;
pub mod doors;
pub mod net;
pub mod queue;
pub mod store;
pub mod trust;
