//! The limits of this crate. A message that goes past one is still read; what lies past it is opaque or left out.
//!
//! Together they keep what is made of a message, however large, to a few megabytes.

/// Kept of the header of the message. Large ones that are seen in practice have some 30 KiB, of trace fields and recipients.
pub const HEADER_KEPT_BYTES_MAX: usize = 64 * 1024;

/// Kept of the header of any other part, of which there may be many.
pub const PART_HEADER_KEPT_BYTES_MAX: usize = 16 * 1024;

/// Kept of the headers of all other parts together: a kilobyte for each, of which some 200 bytes are used.
pub const PART_HEADERS_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Parts that are looked for; what stands in for the missing parts of a multipart is not counted. Digests of busy lists come
/// to some hundred.
pub const PARTS_MAX: usize = 1000;

/// Parts within parts. Those who print, store or drop parts may use recursion up to here.
pub const DEPTH_MAX: usize = 100;

/// Of a boundary. RFC 2046 §5.1.1 allows 70; a few programs do not know.
pub const BOUNDARY_BYTES_MAX: usize = 200;

/// Parameters of one field, the pieces of RFC 2231 §3 counted singly: a file name of some 5,000 bytes.
pub const PARAMETERS_MAX: usize = 100;

/// Languages of one part; RFC 3282 §2 has one or two in mind.
pub const LANGUAGES_MAX: usize = 50;

/// Addresses and group marks in all envelopes of a message, in the order they come.
pub const ADDRESSES_MAX: usize = 10_000;

/// White space that is held back in quoted-printable text until it is known whether a line ends after it.
/// RFC 2045 §6.7 allows lines of 76 characters.
pub const HELD_SPACE_BYTES_MAX: usize = 1000;

/// Kept of a text, encoded, to make a preview of: styles in front of what HTML shows have some kilobytes.
pub const PREVIEW_SOURCE_BYTES_MAX: usize = 16 * 1024;

/// RFC 8970 §3.1: a preview should have 200 characters at most.
pub const PREVIEW_CHARACTERS_MAX: usize = 200;
