//! ENVELOPE on the wire (RFC 3501 §7.4.2).
//!
//! Takes what the header of a stranger's message says; texts go out raw, as they stand there.

use crate::write::{nstring, quoted};
use stoa_mime::{Address, Envelope};

/// RFC 3501 §9: envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP
/// env-bcc SP env-in-reply-to SP env-message-id ")"
pub(crate) fn printed(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::new();
    print(&mut out, envelope);
    out
}

/// The same, after what is there.
pub(super) fn print(out: &mut Vec<u8>, envelope: &Envelope) {
    // RFC 3501 §7.4.2: the server sets what is absent or empty to From.
    let or_from = |list: &'_ [Address]| -> Vec<Address> { if list.is_empty() { envelope.from.clone() } else { list.to_vec() } };
    out.push(b'(');
    nstring(out, envelope.date.as_deref());
    out.push(b' ');
    nstring(out, envelope.subject.as_deref());
    for list in [&envelope.from, &or_from(&envelope.sender), &or_from(&envelope.reply_to), &envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        addresses(out, list);
    }
    for text in [&envelope.in_reply_to, &envelope.message_id] {
        out.push(b' ');
        nstring(out, text.as_deref());
    }
    out.push(b')');
}

/// "(" 1*address ")" / nil
fn addresses(out: &mut Vec<u8>, list: &[Address]) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    list.iter().for_each(|entry| address(out, entry));
    out.push(b')');
}

/// address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"; without a host it begins a group, without a mailbox
/// either it ends one. So an address that has no domain has an empty one here, not none.
fn address(out: &mut Vec<u8>, entry: &Address) {
    match entry {
        Address::Mailbox { name, route, local, host } => {
            out.push(b'(');
            nstring(out, name.as_deref());
            out.push(b' ');
            nstring(out, route.as_deref());
            out.push(b' ');
            quoted(out, local);
            out.push(b' ');
            quoted(out, host);
            out.push(b')');
        }
        Address::GroupStart(name) => {
            out.extend_from_slice(b"(NIL NIL ");
            quoted(out, name);
            out.extend_from_slice(b" NIL)");
        }
        Address::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
    }
}
