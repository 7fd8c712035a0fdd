//! LSUB (RFC 3501 §6.3.9): the subscribed names, whether they exist or not.

use super::list::{pattern_text, write};
use super::listing::levels_above;
use super::{Asked, Running, end, refusal};
use crate::grammar::Cursor;
use crate::limits::LISTED_NAMES_MAX;
use crate::pattern::matches;
use crate::questions::{Answer, Mailbox, Question};
use crate::response::Response;
use crate::server::Server;
use std::collections::HashSet;

/// RFC 3501 §9: "LSUB" SP mailbox SP list-mailbox
pub(super) fn lsub(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(server, &mut cursor) {
        Ok(pattern) => server.ask(Question::Mailboxes, Asked::Lsub(running, pattern)),
        Err(response) => server.respond(&running.tag, &response),
    }
}

fn parse(server: &Server, cursor: &mut Cursor<'_>) -> Result<String, Response> {
    let reference = cursor.space().then(|| cursor.astring()).flatten().ok_or(Response::BAD_ARGUMENTS)?;
    let pattern = cursor.space().then(|| cursor.pattern()).flatten().ok_or(Response::BAD_ARGUMENTS)?;
    end(cursor)?;
    pattern_text(&reference, &pattern, server.enabled.utf8_strings())
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, pattern: &str, answer: Answer) {
    let Answer::Mailboxes(mailboxes) = answer else { return server.finish(running, &refusal(answer)) };
    let utf8 = server.enabled.utf8_strings();
    let lines = lines(&mailboxes, pattern);
    if lines.len() > LISTED_NAMES_MAX {
        return server.finish(running, &Response::TOO_MANY_NAMES);
    }
    for (name, attributes) in lines {
        write(&mut server.out, "LSUB", name, attributes, utf8);
        server.out.extend_from_slice(b"\r\n");
    }
    server.finish(running, &Response::OK);
}

/// With `%` at the end, a level that is not subscribed but has subscribed ones below is `\Noselect`.
fn lines<'a>(mailboxes: &'a [Mailbox], pattern: &str) -> Vec<(&'a str, &'static [&'static str])> {
    let subscribed: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| mailbox.subscribed).collect();
    let mut seen: HashSet<&str> = subscribed.iter().map(|mailbox| mailbox.name.as_str()).collect();
    let mut lines: Vec<(&str, &'static [&'static str])> = Vec::new();
    for mailbox in subscribed {
        let missing: Vec<&str> = levels_above(&mailbox.name).filter(|level| pattern.ends_with('%') && seen.insert(level)).collect();
        lines.extend(missing.into_iter().map(|level| (level, ["\\Noselect"].as_slice())));
        lines.push((&mailbox.name, &[]));
    }
    lines.retain(|(name, _)| matches(pattern, name));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions() {
        let mailbox = |name: &str, subscribed, exists: bool| Mailbox {
            name: name.into(),
            special_use: None,
            subscribed,
            number: exists.then_some(1),
        };
        let mailboxes = [
            mailbox("INBOX", true, true),
            mailbox("Spaces/uni/list", true, true),
            mailbox("a", false, true),
            mailbox("a/b", true, true),
            mailbox("gone/x", true, false),
        ];
        let table = [
            ("*", "INBOX, Spaces/uni/list, a/b, gone/x"),
            ("%", r"INBOX, Spaces \Noselect, a \Noselect, gone \Noselect"),
            ("Spaces/%", r"Spaces/uni \Noselect"),
            ("a", ""),
        ];
        for (pattern, expected) in table {
            let show = |(name, attributes): (&str, &[&str])| format!("{name} {}", attributes.join(" ")).trim_end().to_owned();
            assert_eq!(lines(&mailboxes, pattern).into_iter().map(show).collect::<Vec<_>>().join(", "), expected, "{pattern}");
        }
    }
}
