//! SEARCH: what is looked for, and whether a message has it (RFC 3501 §6.4.4).

/// A search, ready to be run on any number of messages.
#[derive(Debug, Clone)]
pub struct Program {}
