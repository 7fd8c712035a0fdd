//! The part for programs: message/delivery-status (RFC 3464 §2), or its kind with UTF-8 (RFC 6533 §4).

use crate::text::field;
use crate::write::{moment, value};
use crate::{Action, Recipient, Report};

impl Report<'_> {
    /// RFC 3464 §2.1: delivery-status-content = per-message-fields 1*( CRLF per-recipient-fields )
    pub(crate) fn machine(&self) -> String {
        let mut out = String::new();
        if let Some(id) = self.envelope_id {
            out.push_str(&field("Original-Envelope-Id", &value(id, self.utf8)));
        }
        out.push_str(&field("Reporting-MTA", &format!("dns; {}", value(self.reporter, self.utf8))));
        out.push_str(&field("Arrival-Date", &moment(self.arrived)));
        for recipient in self.recipients {
            out.push_str("\r\n");
            out.push_str(&self.of_recipient(recipient));
        }
        out
    }

    /// RFC 3464 §2.3, in its order.
    fn of_recipient(&self, recipient: &Recipient) -> String {
        let mut out = String::new();
        if let Some((kind, address)) = recipient.original.as_deref().and_then(|original| original.split_once(';')) {
            out.push_str(&field("Original-Recipient", &format!("{}; {}", value(kind, false), value(&self.address(address), self.utf8))));
        }
        let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
        out.push_str(&field("Final-Recipient", &format!("{kind}; {}", value(&self.address(&recipient.address), self.utf8))));
        out.push_str(&field("Action", recipient.action.word()));
        out.push_str(&field("Status", &recipient.status.to_string()));
        if let Some(host) = &recipient.host {
            out.push_str(&field("Remote-MTA", &format!("dns; {}", value(host, self.utf8))));
        }
        if is_reply(&recipient.said) && recipient.host.is_some() {
            out.push_str(&field("Diagnostic-Code", &format!("smtp; {}", value(&recipient.said, self.utf8))));
        }
        if let Some(tried) = recipient.tried {
            out.push_str(&field("Last-Attempt-Date", &moment(tried)));
        }
        if let Some(until) = recipient.until.filter(|_| recipient.action == Action::Delayed) {
            out.push_str(&field("Will-Retry-Until", &moment(until)));
        }
        out
    }

    /// RFC 6533 §3: utf-8-addr-unitext escapes what is not ASCII as `\x{HEX}`, where raw UTF-8 may not stand.
    fn address(&self, address: &str) -> String {
        if self.utf8 || address.is_ascii() {
            return address.to_owned();
        }
        address.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) }).collect()
    }
}

/// Is it a host's reply, code first? Our own words are for the person's part.
pub(crate) fn is_reply(said: &str) -> bool {
    let code = said.get(..3).unwrap_or_default();
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit())
}
