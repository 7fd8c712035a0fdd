//! DKIM signatures (RFC 6376) as values: a message goes in piece by piece, what a key must sign comes out.
//!
//! [`Reader`] takes a message and keeps its header and the hash of its body; [`Content`] says which fields are signed
//! and gives for each key an [`Unsigned`] field, which becomes a whole one with the key's signature. Only
//! relaxed/relaxed is made, without `l=`. Knows no key, no clock and no disk. Reads bytes of strangers, such as what
//! a mailing list passes on. Standards: RFC 6376, RFC 8463 (Ed25519), RFC 8616 (names in other scripts, as A-labels).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod body;
mod field;
mod reader;
mod selection;

pub use body::RelaxedBody;
pub use field::{Algorithm, Signer, Unsigned, relaxed_field};
pub use reader::{Content, HEADER_BYTES_MAX, NotSignable, Reader};
