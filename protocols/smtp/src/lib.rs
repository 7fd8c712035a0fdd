//! The SMTP server session.
