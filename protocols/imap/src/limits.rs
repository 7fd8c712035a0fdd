//! The limits of a conversation, with unit and reason.

/// Octets of a command with its literals before login: a stranger needs no more for AUTHENTICATE and LOGIN.
pub(crate) const COMMAND_BYTES_BEFORE_LOGIN_MAX: usize = 8 * 1024;

/// Octets of a command with its literals after login. RFC 7162 §4 asks for lines of 8192 octets at least; long
/// lists of UIDs and searches for many addresses need more.
pub(crate) const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Literals of one command: a search names a few, a login two.
pub(crate) const LITERALS_PER_COMMAND_MAX: usize = 64;

/// Octets of one refused command that are read and dropped before login, so that the client sees the answer (RFC 7888 §4).
pub(crate) const DROPPED_BYTES_BEFORE_LOGIN_MAX: u64 = 64 * 1024;

/// The same after login: a message over the limit, sent without waiting.
pub(crate) const DROPPED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// BADs in a row, or in all before login, until the connection is closed: the peer does not speak IMAP, or probes.
pub(crate) const BAD_COMMANDS_MAX: u32 = 20;

/// Octets of a mailbox name as text: well past what a person types, and it fits a key of the store.
pub(crate) const MAILBOX_NAME_BYTES_MAX: usize = 1000;

/// Octets of reference and pattern of LIST: matching costs their length times that of each name.
pub(crate) const PATTERN_BYTES_MAX: usize = 1000;

/// Fields of ID with their values (RFC 2971 §3.3).
pub(crate) const ID_PAIRS_MAX: usize = 30;

/// Octets of a keyword.
pub(crate) const KEYWORD_BYTES_MAX: usize = 128;

/// Octets of room for what was read and not used yet that a connection keeps while it idles.
pub(crate) const UNREAD_BYTES_IDLE: usize = 1024;

/// Keys of SEARCH within one another; a chain of OR or NOT counts as one. People nest three deep, programs that put rules
/// together some ten.
pub(crate) const SEARCH_DEPTH_MAX: usize = 50;

/// Octets of a subject or a name that SORT and THREAD look at: well past what two that people write have in common, and a hundred
/// thousand of them fit in memory.
pub(crate) const SORTED_TEXT_BYTES_MAX: usize = 1000;

/// Messages that one refers to, of which THREAD looks at the last ones. RFC 5537 §3.4.4 lets programs leave out all but
/// some; long discussions have some fifty.
pub(crate) const REFERENCES_PER_MESSAGE_MAX: usize = 100;

/// Identifiers that THREAD knows at once, some hundred octets each: those of a hundred thousand messages of a person, several times over.
pub(crate) const THREADED_IDS_MAX: usize = 500_000;

/// Octets of a Message-ID. RFC 5322 §2.1.1 has lines of 998.
pub(crate) const MESSAGE_ID_BYTES_MAX: usize = 998;

/// Texts of BODY and TEXT keys in one search. For each, all text of the mailbox is run through; people write a few.
pub(crate) const SCANNED_TEXTS_MAX: usize = 100;

/// Keys of one search that look at a field: FROM, HEADER and others. Each goes through the whole header of a message; rules that
/// programs put together of addresses have some hundred.
pub(crate) const SEARCHED_FIELDS_MAX: usize = 500;

/// Items of one FETCH that cost a pass over a part or a header: BINARY and HEADER.FIELDS. Programs ask for a few.
pub(crate) const COSTLY_ITEMS_MAX: usize = 16;

/// Wildcards of a pattern of LIST. People and programs write one or two; the time that a match takes grows with them.
pub(crate) const WILDCARDS_MAX: usize = 16;

/// Names in one answer of LIST, levels among them. An account has up to 5,000 mailboxes and as many subscriptions.
pub(crate) const LISTED_NAMES_MAX: usize = 20_000;

/// Messages of one APPEND (RFC 3502): all of them wait for the last.
pub(crate) const MESSAGES_PER_APPEND_MAX: usize = 500;
