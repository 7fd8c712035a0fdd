//! The IMAP server session.
