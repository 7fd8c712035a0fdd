//! RCPT (RFC 5321 §4.1.1.3): names one recipient.

use crate::address::parse_forward_path;
use crate::envelope::{Notify, OriginalRecipient, Recipient};
use crate::limits::ORIGINAL_RECIPIENT_BYTES_MAX;
use crate::parameters::{self, xtext};
use crate::reply::Reply;
use crate::server::{Asked, Question, Server};

/// RFC 5321 §4.1.1.3: rcpt = "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF
pub(super) fn rcpt(server: &mut Server, arguments: &str) {
    match recipient(server, arguments) {
        Err(reply) => server.reply(reply),
        Ok((question, recipient)) => server.ask(question, Asked::Recipient(recipient)),
    }
}

fn recipient(server: &Server, arguments: &str) -> Result<(Question, Recipient), Reply> {
    let transaction = server.transaction.as_ref().ok_or(Reply::BAD_SEQUENCE.text("Send MAIL first"))?;
    let tag = arguments.get(..3).filter(|tag| tag.eq_ignore_ascii_case("TO:"));
    let path = tag.and_then(|_| arguments.get(3..)).ok_or(Reply::BAD_ARGUMENTS.text("Say RCPT TO:<address>"))?;
    let (address, rest) = parse_forward_path(path).ok_or(Reply::BAD_RECIPIENT)?;
    let mut recipient = Recipient { address, notify: None, orcpt: None };
    for (name, value) in parameters::parse(rest)? {
        let bad = || Reply::BAD_ARGUMENTS.text(format!("Bad value of {name}"));
        match (name.as_str(), value) {
            ("NOTIFY", value) => recipient.notify = Some(value.and_then(notify).ok_or_else(bad)?),
            ("ORCPT", value) => recipient.orcpt = Some(value.and_then(original_recipient).ok_or_else(bad)?),
            _ => return Err(Reply::UNKNOWN_PARAMETER),
        }
    }
    if !path.strip_suffix(rest).is_some_and(str::is_ascii) && !transaction.envelope.smtputf8 {
        return Err(Reply::NEEDS_SMTPUTF8);
    }
    if transaction.envelope.recipients.len() >= server.config.recipients_max {
        return Err(Reply::TOO_MANY_RECIPIENTS);
    }
    let question = Question::Recipient {
        address: recipient.address.clone(),
        reverse_path: transaction.envelope.reverse_path.clone(),
        client: server.client.clone(),
    };
    Ok((question, recipient))
}

/// RFC 3461 §4.1: notify-esmtp-value = "NEVER" / ( notify-list-element *( "," notify-list-element ) )
fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for element in value.split(',') {
        match element.to_ascii_uppercase().as_str() {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}

/// RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext
fn original_recipient(value: &str) -> Option<OriginalRecipient> {
    let (kind, address) = value.split_once(';').filter(|(kind, _)| !kind.is_empty() && kind.is_ascii())?;
    let kind = kind.to_ascii_lowercase();
    // RFC 6533 §3: its own escapes, understood by whoever writes the report.
    let address = if kind == "utf-8" { address.to_owned() } else { xtext(address)? };
    (!address.is_empty() && value.len() <= ORIGINAL_RECIPIENT_BYTES_MAX).then_some(OriginalRecipient { kind, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dsn_parameters() {
        assert_eq!(notify("never"), Some(Notify::Never));
        assert_eq!(notify("SUCCESS,delay"), Some(Notify::On { success: true, failure: false, delay: true }));
        for bad in ["", "NEVER,SUCCESS", "SUCCESS,", "X"] {
            assert_eq!(notify(bad), None, "{bad}");
        }
        let original = OriginalRecipient { kind: "rfc822".into(), address: "a+b@c".into() };
        assert_eq!(original_recipient("RFC822;a+2Bb@c"), Some(original));
        for bad in ["a@b", ";a@b", "rfc822;", "rfc822;a+b"] {
            assert_eq!(original_recipient(bad), None, "{bad}");
        }
    }
}
