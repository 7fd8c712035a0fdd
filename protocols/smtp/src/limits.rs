//! The limits of a conversation, with unit and reason.

/// Octets of a command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512; the extensions add to MAIL and
/// RCPT (RFC 1870 26, RFC 6152 17, RFC 3461 127 and 528, RFC 4954 500, RFC 6531 10 and wider addresses).
pub(crate) const COMMAND_BYTES_MAX: usize = 2048;

/// Octets of an AUTH command or response with its CRLF (RFC 4954 §4). No line is kept beyond it.
pub(crate) const AUTH_LINE_BYTES_MAX: usize = 12_288;

/// Octets of a local part (RFC 5321 §4.5.3.1.1).
pub(crate) const LOCAL_PART_BYTES_MAX: usize = 64;

/// Octets of a domain (RFC 5321 §4.5.3.1.2).
pub(crate) const DOMAIN_BYTES_MAX: usize = 255;

/// Octets of a path with its punctuation (RFC 5321 §4.5.3.1.3); a source route, which is ignored, does not count.
pub(crate) const PATH_BYTES_MAX: usize = 256;

/// Characters of ENVID, decoded (RFC 3461 §4.4).
pub(crate) const ENVELOPE_ID_BYTES_MAX: usize = 100;

/// Octets of ORCPT, encoded (RFC 3461 §4.2).
pub(crate) const ORIGINAL_RECIPIENT_BYTES_MAX: usize = 500;

/// Failed authentications before the connection is closed: a person mistypes twice, a guesser goes on.
pub(crate) const AUTH_FAILURES_MAX: u32 = 3;

/// Digits of a chunk size (RFC 3030 §2).
pub(crate) const CHUNK_SIZE_DIGITS_MAX: usize = 20;

/// Characters of a header line without its CRLF (RFC 5322 §2.1.1).
pub(crate) const HEADER_LINE_CHARS_MAX: usize = 78;

/// Octets of room for what was read and not used yet that a connection keeps while it idles.
pub(crate) const UNREAD_BYTES_IDLE: usize = 1024;
