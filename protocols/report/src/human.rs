//! The part for a person: what happened, why, what to do; with the other host's own words.

use crate::machine::is_reply;
use crate::text::{paragraph, tame};
use crate::write::moment;
use crate::{Action, Recipient, Report, Status};

/// Of a subject that is repeated.
const SUBJECT_CHARS_MAX: usize = 200;
/// Of the other host's words.
const REPLY_CHARS_MAX: usize = 900;
const INDENT: &str = "    ";

impl Report<'_> {
    pub(crate) fn human(&self) -> String {
        let mut out = paragraph("", &format!("This is the mail server {}. It is about your message", self.reporter));
        out.push_str("\r\n");
        if let Some(subject) = self.subject {
            out.push_str(&paragraph(INDENT, &format!("Subject: {}", tame(subject, SUBJECT_CHARS_MAX))));
        }
        out.push_str(&paragraph(INDENT, &format!("Accepted: {}", moment(self.arrived))));
        for action in Action::ALL {
            let of_action: Vec<&Recipient> = self.recipients.iter().filter(|recipient| recipient.action == action).collect();
            if !of_action.is_empty() {
                out.push_str("\r\n");
                out.push_str(&paragraph("", heading(action)));
                of_action.iter().for_each(|recipient| out.push_str(&about(recipient)));
            }
        }
        out.push_str("\r\n");
        out.push_str(&paragraph("", &self.ending()));
        out
    }

    fn ending(&self) -> String {
        let asks = "Nobody reads mail to the address this came from.";
        match self.worst() {
            Action::Failed => {
                format!("Nothing more is tried for these recipients; others got your message, or you are told of them too. {asks}")
            }
            _ => format!("There is nothing that you need to do. {asks}"),
        }
    }
}

fn heading(action: Action) -> &'static str {
    match action {
        Action::Failed => "It could NOT be delivered to",
        Action::Delayed => "It is not delivered yet, and this server goes on trying, to",
        Action::Delivered => "It was delivered to",
        Action::Relayed => "It was handed to the next mail server, which will not report what becomes of it, for",
        Action::Expanded => "It was sent on to the members of",
    }
}

fn about(recipient: &Recipient) -> String {
    let mut out = format!("\r\n{}", paragraph(INDENT, &format!("<{}>", tame(&recipient.address, REPLY_CHARS_MAX))));
    let mut say = |text: String| out.push_str(&paragraph(&INDENT.repeat(2), &text));
    if let Some(meant) = meant_at_first(recipient) {
        say(format!("(which you wrote to as {meant})"));
    }
    match recipient.action {
        Action::Failed => {
            let (why, what_to_do) = match (&recipient.host, recipient.status) {
                // Security and policy (RFC 3463 §3.8), without another host: its own owner's will.
                (None, Status(_, 7, 0)) => ("this mail server does not send it", "ask whoever runs this mail server"),
                _ => advice(recipient.status),
            };
            say(format!("Why: {why}."));
            say(said(recipient));
            say(format!("What to do: {what_to_do}."));
        }
        Action::Delayed => {
            say(said(recipient));
            if let Some(until) = recipient.until {
                say(format!("It is tried until {}; if that is in vain, you are told.", moment(until)));
            }
        }
        Action::Relayed => {
            out.push_str(&recipient.host.iter().map(|host| paragraph(&INDENT.repeat(2), &format!("Taken by {host}."))).collect::<String>())
        }
        Action::Delivered | Action::Expanded => {}
    }
    out
}

/// The address that the sender knows, where it is another one.
fn meant_at_first(recipient: &Recipient) -> Option<String> {
    let (_, meant) = recipient.original.as_deref()?.split_once(';')?;
    (!meant.eq_ignore_ascii_case(&recipient.address)).then(|| tame(meant, REPLY_CHARS_MAX))
}

fn said(recipient: &Recipient) -> String {
    let text = tame(&recipient.said, REPLY_CHARS_MAX);
    match &recipient.host {
        Some(host) if is_reply(&recipient.said) => format!("{host} said: {text}"),
        Some(host) => format!("At {host}: {text}"),
        None => text,
    }
}

/// Why it failed and what a person can do, by RFC 3463 §3; without a full stop.
fn advice(status: Status) -> (&'static str, &'static str) {
    match (status.1, status.2) {
        (1, 1 | 6) => {
            ("this address does not exist there", "look for a mistake in the address, or ask the person for the right one in another way")
        }
        (1, 2 | 10) => ("this domain does not exist or takes no mail", "look for a mistake in what stands after the @"),
        (1, 3 | 9) => ("this is not an address that the other server understands", "look for a mistake in the address"),
        (1, 7 | 8) => (
            "the other server does not accept your own address",
            "ask whoever runs your mail server to look at the words of the other server",
        ),
        (2, 1) => ("this mailbox is closed", "reach the person in another way"),
        (2, 2) => ("this mailbox is full", "send it again in some days, or reach the person in another way"),
        (2, 3) | (3, 4) => ("the message is too large for the other side", "send it without large attachments, or send a link to them"),
        (3, _) => ("the other mail server cannot take mail", "send it again in some days"),
        (4, 6) => ("the message goes round in circles between mail servers", "tell the person that the forwarding of their mail is broken"),
        (4, 7) => (
            "it could not be delivered in all this time",
            "read what was said last; if that does not help, look for a mistake in the address, or reach the person in another way",
        ),
        (4, _) => (
            "no way to the other mail server could be found",
            "look for a mistake in what stands after the @; if there is none, send it again in some days",
        ),
        // Also when only the header of the message has such letters, as they are.
        (6, 7 | 9) => (
            "the other mail server does not know addresses and headers with letters outside of ASCII",
            "ask the person for an address in plain ASCII, and write your own name and the subject in a program that encodes them",
        ),
        (6, _) => ("the other mail server cannot handle what the message holds", "send it as plain text, or as an attachment"),
        (7, 4 | 5 | 10 | 30) => (
            "a safe connection to the other mail server was not possible",
            "send it again in some days; nothing was sent over an unsafe one",
        ),
        (7, _) => (
            "the other mail server refuses the message by its own rules",
            "read its words; if they do not help, reach the person in another way and show them these lines",
        ),
        _ => (
            "the other mail server refuses the message",
            "read its words; if they do not help, reach the person in another way and show them these lines",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_reason_and_a_way_out() {
        for subject in 0..=9 {
            for detail in 0..=40 {
                let (why, what_to_do) = advice(Status(5, subject, detail));
                assert!(why.len() > 10 && what_to_do.len() > 10 && !why.ends_with('.') && !what_to_do.ends_with('.'));
            }
        }
        assert!(advice(Status(5, 1, 1)).0.contains("does not exist"));
        assert!(advice(Status(5, 2, 2)).0.contains("full"));
        assert!(advice(Status(5, 7, 26)).0.contains("rules"));
    }

    #[test]
    fn who_refused_and_what_failed_is_not_claimed_beyond_what_is_known() {
        let of = |status, host: Option<&str>| {
            let recipient = Recipient {
                address: "john@example.org".to_owned(),
                original: None,
                action: Action::Failed,
                status,
                host: host.map(str::to_owned),
                said: "450 4.2.1 not now".to_owned(),
                tried: None,
                until: None,
            };
            about(&recipient).replace("\r\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let own = of(Status(5, 7, 0), None);
        assert!(own.contains("this mail server does not send it") && own.contains("ask whoever runs this mail server"), "{own}");
        let theirs = of(Status(5, 7, 0), Some("mx.example.org"));
        assert!(theirs.contains("the other mail server refuses the message by its own rules"), "{theirs}");
        let unsafe_way = of(Status(5, 7, 10), None);
        assert!(unsafe_way.contains("a safe connection"), "{unsafe_way}");
        // It may have answered every time.
        let late = of(Status(4, 4, 7), Some("mx.example.org"));
        assert!(late.contains("read what was said last") && !late.contains("reached in all"), "{late}");
    }
}
