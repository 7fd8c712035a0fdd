//! Reads the machine's part of a report (RFC 3464 §2): bytes from strangers, strictly and within limits.
//!
//! Takes the decoded content of a `message/delivery-status` or `message/global-delivery-status` part. What a report says
//! is what its sender claims: who uses it must find what was sent by a secret of its own, such as the address it came to.

use crate::{Action, Status};
use stoa_mime::date;

/// Of all of it: a thousand recipients with long replies.
const BYTES_MAX: usize = 1 << 20;
/// As many as one message may have.
const RECIPIENTS_MAX: usize = 1_000;
/// Of one recipient, or of the message: RFC 3464 names ten.
const FIELDS_MAX: usize = 40;
/// Of one field with its folded lines.
const VALUE_BYTES_MAX: usize = 4_096;

/// Why a report cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// See the limits of this file.
    #[error("it is longer than a report of a thousand recipients")]
    TooLong,
    /// It is neither a field nor the next line of one.
    #[error("a line of it is no header field")]
    NotAField,
    /// A field that RFC 3464 asks for, or its value.
    #[error("its field {0} is missing or wrong")]
    Field(&'static str),
    /// A report is about somebody.
    #[error("it names no recipient")]
    NoRecipient,
}

/// A value with its type, such as `rfc822; john@example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// In lower case.
    pub kind: String,
    /// Without spaces around it.
    pub value: String,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// Who reports.
    pub reporter: Typed,
    /// RFC 3461 ENVID.
    pub envelope_id: Option<String>,
    /// In seconds since 1970.
    pub arrived: Option<i64>,
    /// One at least.
    pub recipients: Vec<RecipientStatus>,
}

/// What it says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    /// Whom the sender meant.
    pub original: Option<Typed>,
    /// Where it went.
    pub address: Typed,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: Status,
    /// Who said so.
    pub host: Option<Typed>,
    /// In which words.
    pub said: Option<Typed>,
    /// Until when it is tried, in seconds since 1970.
    pub until: Option<i64>,
}

/// RFC 3464 §2.1: delivery-status-content = per-message-fields 1*( CRLF per-recipient-fields )
pub fn parse(content: &[u8]) -> Result<DeliveryStatus, Unreadable> {
    if content.len() > BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    let text = String::from_utf8_lossy(content);
    let mut groups = groups(&text)?.into_iter();
    let message = groups.next().ok_or(Unreadable::Field("Reporting-MTA"))?;
    let recipients = groups.map(|group| recipient(&group)).collect::<Result<Vec<_>, _>>()?;
    if recipients.is_empty() {
        return Err(Unreadable::NoRecipient);
    }
    Ok(DeliveryStatus {
        reporter: message.typed("Reporting-MTA")?.ok_or(Unreadable::Field("Reporting-MTA"))?,
        envelope_id: message.get("Original-Envelope-Id").map(str::to_owned),
        arrived: message.date("Arrival-Date")?,
        recipients,
    })
}

fn recipient(group: &Group) -> Result<RecipientStatus, Unreadable> {
    let action = group.get("Action").ok_or(Unreadable::Field("Action"))?;
    Ok(RecipientStatus {
        original: group.typed("Original-Recipient")?,
        address: group.typed("Final-Recipient")?.ok_or(Unreadable::Field("Final-Recipient"))?,
        action: Action::ALL.into_iter().find(|known| known.word().eq_ignore_ascii_case(action)).ok_or(Unreadable::Field("Action"))?,
        status: group.get("Status").and_then(status).ok_or(Unreadable::Field("Status"))?,
        host: group.typed("Remote-MTA")?,
        said: group.typed("Diagnostic-Code")?,
        until: group.date("Will-Retry-Until")?,
    })
}

/// RFC 3463 §2: status-code = class "." subject "." detail, the latter of up to three digits; a comment may follow.
fn status(text: &str) -> Option<Status> {
    let code = text.split([' ', '(']).next()?;
    let mut parts = code.split('.').map(|part| part.parse::<u16>().ok().filter(|n| *n <= 999 && part.bytes().all(|b| b.is_ascii_digit())));
    let status = Status(parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(status.0, 2 | 4 | 5)).then_some(status)
}

/// The fields between two empty lines.
#[derive(Default)]
struct Group(Vec<(String, String)>);

impl Group {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// RFC 3464 §2.1.2: type ";" value
    fn typed(&self, name: &'static str) -> Result<Option<Typed>, Unreadable> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let (kind, value) = value.split_once(';').ok_or(Unreadable::Field(name))?;
        let (kind, value) = (kind.trim().to_ascii_lowercase(), value.trim().to_owned());
        let is_atom = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if is_atom && !value.is_empty() { Ok(Some(Typed { kind, value })) } else { Err(Unreadable::Field(name)) }
    }

    fn date(&self, name: &'static str) -> Result<Option<i64>, Unreadable> {
        let read = |value: &str| date::parse(value.as_bytes()).map(|date| date.seconds).ok_or(Unreadable::Field(name));
        self.get(name).map(read).transpose()
    }
}

fn groups(text: &str) -> Result<Vec<Group>, Unreadable> {
    let (mut groups, mut current) = (Vec::new(), Group::default());
    for line in text.lines() {
        if line.trim().is_empty() {
            if !current.0.is_empty() {
                groups.push(std::mem::take(&mut current));
            }
        } else if line.starts_with([' ', '\t']) {
            let (_, value) = current.0.last_mut().ok_or(Unreadable::NotAField)?;
            value.push(' ');
            value.push_str(line.trim());
            if value.len() > VALUE_BYTES_MAX {
                return Err(Unreadable::TooLong);
            }
        } else {
            let (name, value) = line.split_once(':').ok_or(Unreadable::NotAField)?;
            let name = name.trim_end();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Unreadable::NotAField);
            }
            if current.0.len() >= FIELDS_MAX || groups.len() > RECIPIENTS_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(Unreadable::TooLong);
            }
            current.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !current.0.is_empty() {
        groups.push(current);
    }
    if groups.len() > RECIPIENTS_MAX + 1 { Err(Unreadable::TooLong) } else { Ok(groups) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &str = "Reporting-MTA: dns; mx.example.org\r\nX-Queue-ID: 1\r\n";
    const RECIPIENT: &str = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1 (bad)\r\n";

    #[test]
    fn a_report_of_somebody_else() {
        let more = "Original-Recipient: RFC822;c@d.example\nAction: Delayed\nFinal-Recipient: rfc822;c@d.example\nStatus: 4.4.1\n\
                    Remote-MTA: dns; mx.d.example\nDiagnostic-Code: smtp; 450 4.2.0 come\n again\nWill-Retry-Until: Tue, 1 Jul 2003 10:52:37 +0200\n";
        let read = parse(format!("Original-Envelope-Id: QQ1\n{MESSAGE}\r\n\r\n{RECIPIENT}\r\n{more}").as_bytes()).unwrap();
        assert_eq!((read.reporter.value.as_str(), read.envelope_id.as_deref(), read.recipients.len()), ("mx.example.org", Some("QQ1"), 2));
        assert_eq!((read.recipients[0].status, read.recipients[0].action), (Status(5, 1, 1), Action::Failed));
        let second = &read.recipients[1];
        assert_eq!(second.said.as_ref().unwrap().value, "450 4.2.0 come again");
        assert_eq!((second.original.as_ref().unwrap().kind.as_str(), second.until), ("rfc822", Some(1_057_049_557)));
    }

    #[test]
    fn what_is_not_a_report() {
        let table = [
            (String::new(), Unreadable::Field("Reporting-MTA")),
            (MESSAGE.to_owned(), Unreadable::NoRecipient),
            (format!("{MESSAGE}\r\n{}", RECIPIENT.replace("Action: failed", "Action: lost")), Unreadable::Field("Action")),
            (format!("{MESSAGE}\r\n{}", RECIPIENT.replace("5.1.1", "5.1")), Unreadable::Field("Status")),
            (format!("{MESSAGE}\r\n{}", RECIPIENT.replace("5.1.1", "5.1.+1")), Unreadable::Field("Status")),
            (format!("{MESSAGE}\r\n{}", RECIPIENT.replace("5.1.1", "3.1.1")), Unreadable::Field("Status")),
            (format!("{MESSAGE}\r\n{}", RECIPIENT.replace("rfc822;", "")), Unreadable::Field("Final-Recipient")),
            (format!("{}\r\n{RECIPIENT}", MESSAGE.replace("Reporting", "Boring")), Unreadable::Field("Reporting-MTA")),
            (format!("{MESSAGE}no field\r\n\r\n{RECIPIENT}"), Unreadable::NotAField),
            (format!(" {MESSAGE}\r\n{RECIPIENT}"), Unreadable::NotAField),
            (format!("{MESSAGE}\r\n{}", format!("{RECIPIENT}\r\n").repeat(RECIPIENTS_MAX + 1)), Unreadable::TooLong),
            (format!("{MESSAGE}{}\r\n{RECIPIENT}", "X: y\r\n".repeat(FIELDS_MAX)), Unreadable::TooLong),
            (format!("{MESSAGE}{}\r\n{RECIPIENT}", " x\r\n".repeat(VALUE_BYTES_MAX)), Unreadable::TooLong),
            ("x".repeat(BYTES_MAX + 1), Unreadable::TooLong),
        ];
        for (text, why) in table {
            assert_eq!(parse(text.as_bytes()), Err(why), "{}", text.chars().take(200).collect::<String>());
        }
        assert!(parse(format!("{MESSAGE}\r\n{}", format!("{RECIPIENT}\r\n").repeat(RECIPIENTS_MAX)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_a_panic(bytes in any::<Vec<u8>>(), text in "[A-Za-z:; \r\n.-]{0,300}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
