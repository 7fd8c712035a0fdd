//! Which fields of a header are signed, and in which order.
//!
//! A verifier looks for the fields of `h=` from the bottom of the header up (RFC 6376 §5.4.2). Fields of which a reader
//! shows one are named once more than they are there, so that a second one that is added breaks the signature (§8.15).

use super::field::relaxed_field;
use super::reader::NotSignable;
use stoa_mime::header::{Field, fields};

/// Signed with the one that is not there. Not those that mailing lists add: Reply-To, Sender.
const CLOSED: [&str; 9] =
    ["From", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// Signed where they are there: RFC 6376 §5.4.1 and what is like it; RFC 8058 §4 asks for List-Unsubscribe-Post.
const OPEN: [&str; 24] = [
    "Sender",
    "Reply-To",
    "In-Reply-To",
    "References",
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "Content-ID",
    "Content-Description",
    "Content-Disposition",
    "Content-Language",
    "Auto-Submitted",
    "Autocrypt",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

/// Real messages have one field of a kind, a much travelled one a few blocks of Resent fields.
const FIELDS_OF_A_KIND_MAX: usize = 100;

/// What is signed of a header.
pub(super) struct Selection {
    /// For `h=`.
    pub names: Vec<&'static str>,
    /// The fields in their relaxed form, in that order.
    pub canonical: Vec<u8>,
}

/// Chooses among the fields of a header.
pub(super) fn select(header: &[u8]) -> Result<Selection, NotSignable> {
    let found: Vec<Field<'_>> = fields(header).collect();
    let mut selection = Selection { names: Vec::new(), canonical: Vec::new() };
    for (name, closed) in CLOSED.iter().map(|name| (*name, true)).chain(OPEN.iter().map(|name| (*name, false))) {
        let mut count = 0;
        for field in found.iter().rev().filter(|field| field.is(name)) {
            count += 1;
            selection.names.push(name);
            selection.canonical.extend(relaxed_field(field.name, field.raw));
            selection.canonical.extend_from_slice(b"\r\n");
        }
        if count > FIELDS_OF_A_KIND_MAX {
            return Err(NotSignable::TooManyFields(FIELDS_OF_A_KIND_MAX));
        }
        if name == "From" && count == 0 {
            return Err(NotSignable::NoFrom);
        }
        if closed {
            selection.names.push(name);
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_the_bottom_up_and_one_more_is_named() {
        let header = b"From: a@b\r\nX: y\r\nlist-id: <one>\r\nTO: c\r\n d\r\nList-Id: <two>\r\nSubject : s\r\nReceived: r\r\n";
        let selection = select(header).unwrap();
        let names =
            "From From To To Cc Subject Subject Date Message-ID MIME-Version Content-Type Content-Transfer-Encoding List-Id List-Id";
        assert_eq!(selection.names.join(" "), names);
        let canonical = "from:a@b\r\nto:c d\r\nsubject:s\r\nlist-id:<two>\r\nlist-id:<one>\r\n";
        assert_eq!(String::from_utf8(selection.canonical).unwrap(), canonical);
    }

    #[test]
    fn what_cannot_be_vouched_for_is_not_signed() {
        assert_eq!(select(b"To: a\r\n").err(), Some(NotSignable::NoFrom));
        let many = format!("From: a\r\n{}", "To: b\r\n".repeat(FIELDS_OF_A_KIND_MAX + 1));
        assert_eq!(select(many.as_bytes()).err(), Some(NotSignable::TooManyFields(FIELDS_OF_A_KIND_MAX)));
    }
}
