//! Stoa, a personal server: mail, and everything that can be built on mail.
//!
//! Each room uses only what stands to its right: `cli`, `doors` and `queue`, `delivery`, `trust`, `store`; `net` (sockets, TLS,
//! DNS) serves `cli`, `doors`, `queue` and `trust`. README.md has the map, `tests/tidy` holds this order.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod delivery;
pub mod doors;
pub mod net;
pub mod queue;
pub mod store;
pub mod trust;
