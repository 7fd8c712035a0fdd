//! Sockets and TLS: everything between the operating system and a session without a socket.
//!
//! [`listen`] accepts connections within limits, [`Connection`] is one of them with or without TLS, and
//! [`drive`] is the one loop that turns any [`stoa_session::Session`] into a conversation on it. [`Tls`] holds
//! a certificate that may change while the server runs; [`certificate`] makes one for a demo, [`Leaf`] says what is
//! in one. [`dns`] looks names up, [`https`] fetches. Reads bytes from strangers: knows no account and no store.

pub mod acme;
mod authorities;
pub mod certificate;
mod challenges;
mod connection;
mod deflate;
pub mod dns;
mod driver;
pub mod https;
mod leaf;
mod listen;
pub mod questions;
pub mod rates;
#[cfg(test)]
mod tests;
mod texts;
mod tls;

pub use authorities::{authorities, distrust};
pub use challenges::{ACME_ALPN, Challenges, Posted};
pub use connection::{Connection, Stream};
pub use driver::{Door, Ended, OUTBOX_BYTES_MAX, Outbox, Patience, drive};
pub use leaf::{Leaf, covers};
pub use listen::{ConnectionLimits, Crowd, Listening, Place, listen};
pub use texts::{PostedText, Texts};
pub use tls::{Purpose, Tls};
