//! A mailbox as a value: messages in UID order with flags and mod-sequences (RFC 9051 §2.3, RFC 7162).
//!
//! [`View`] is one immutable version of a mailbox. Versions share their segments, so making the next one
//! costs a segment or two, and any number of sessions may hold old ones. [`Numbering`] is what one session
//! knows: a version, and what it has not yet told its client. Knows nothing of storage or wire.

mod flags;
mod numbering;
mod set;
mod view;

pub use flags::{FlagChange, FlagNames, Flags, KEYWORDS_MAX, SystemFlag};
pub use numbering::{News, Numbering};
pub use set::UidSet;
pub use view::{Edit, Entry, SEGMENT_ENTRIES_MAX, View};

/// A unique identifier (RFC 9051 §2.3.1.1): never zero, strictly ascending in a mailbox, never used again.
pub type Uid = u32;
/// A mod-sequence (RFC 7162 §3.1): grows with every change of the mailbox; below 2^63.
pub type ModSeq = u64;
/// A message within a holder: the same for every copy of it.
pub type MessageId = u64;
