//! FETCH: what is asked of a message, and how it is written (RFC 3501 §6.4.5, §7.4.2).

/// What to write of each message.
#[derive(Debug, Clone)]
pub struct Plan {}
