//! LIST (RFC 3501 §6.3.8) with CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154), and LSUB (§6.3.9).
//!
//! Levels that are only part of other names are listed as `\Noselect`: a client can then show the tree.

use super::{Asked, Running, refusal};
use crate::limits::PATTERN_BYTES_MAX;
use crate::names;
use crate::pattern::matches;
use crate::questions::{Answer, Mailbox, Question};
use crate::response::Response;
use crate::server::Server;
use crate::write::quoted;
use imap_types::mailbox::{ListMailbox, Mailbox as WireMailbox};
use std::collections::HashSet;

/// What is to be listed.
#[derive(Debug)]
pub(crate) struct Listing {
    pattern: String,
    subscribed: bool,
}

/// RFC 3501 §9: ("LIST" / "LSUB") SP mailbox SP list-mailbox
pub(super) fn list(server: &mut Server, running: Running, reference: &WireMailbox<'_>, pattern: &ListMailbox<'_>, subscribed: bool) {
    let pattern = match pattern {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(string) => string.as_ref(),
    };
    if pattern.is_empty() && !subscribed {
        // RFC 3501 §6.3.8: the separator, and the root of the reference's name.
        server.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
        return server.finish(&running, &Response::OK);
    }
    let reference = match reference {
        WireMailbox::Inbox => b"INBOX",
        WireMailbox::Other(other) => other.as_ref(),
    };
    if reference.len() + pattern.len() > PATTERN_BYTES_MAX {
        return server.respond(&running.tag, &Response::UNUSABLE_NAME);
    }
    // Wildcards are no part of a shift, so the pattern is a name like others.
    match names::decode(&[reference, pattern].concat()) {
        None => server.respond(&running.tag, &Response::BAD_NAME),
        Some(pattern) => server.ask(Question::Mailboxes, Asked::List(running, Listing { pattern, subscribed })),
    }
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, listing: &Listing, answer: Answer) {
    let Answer::Mailboxes(mailboxes) = answer else { return server.finish(running, &refusal(answer)) };
    let lines = if listing.subscribed { lsub(&mailboxes, &listing.pattern) } else { all(&mailboxes, &listing.pattern) };
    let verb = if listing.subscribed { "LSUB" } else { "LIST" };
    for (name, attributes) in lines {
        server.out.extend_from_slice(format!("* {verb} ({}) \"/\" ", attributes.join(" ")).as_bytes());
        quoted(&mut server.out, names::encode(name).as_bytes());
        server.out.extend_from_slice(b"\r\n");
    }
    server.finish(running, &Response::OK);
}

type Line<'a> = (&'a str, Vec<&'static str>);

fn all<'a>(mailboxes: &'a [Mailbox], pattern: &str) -> Vec<Line<'a>> {
    let existing: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| mailbox.exists).collect();
    let parents: HashSet<&str> = existing.iter().flat_map(|mailbox| levels_above(&mailbox.name)).collect();
    let mut seen: HashSet<&str> = existing.iter().map(|mailbox| mailbox.name.as_str()).collect();
    let mut lines = Vec::new();
    for mailbox in existing {
        let missing = levels_above(&mailbox.name).filter(|level| seen.insert(level)).collect::<Vec<_>>();
        lines.extend(missing.into_iter().map(|level| (level, vec!["\\Noselect", "\\HasChildren"])));
        let children = if parents.contains(mailbox.name.as_str()) { "\\HasChildren" } else { "\\HasNoChildren" };
        lines.push((&mailbox.name, std::iter::once(children).chain(mailbox.special_use).collect()));
    }
    lines.retain(|(name, _)| matches(pattern, name));
    lines
}

/// RFC 3501 §6.3.9: with `%` at the end, a level that is not subscribed but has subscribed ones below is `\Noselect`.
fn lsub<'a>(mailboxes: &'a [Mailbox], pattern: &str) -> Vec<Line<'a>> {
    let subscribed: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| mailbox.subscribed).collect();
    let mut seen: HashSet<&str> = subscribed.iter().map(|mailbox| mailbox.name.as_str()).collect();
    let mut lines = Vec::new();
    for mailbox in subscribed {
        let missing = levels_above(&mailbox.name).filter(|level| pattern.ends_with('%') && seen.insert(level)).collect::<Vec<_>>();
        lines.extend(missing.into_iter().map(|level| (level, vec!["\\Noselect"])));
        lines.push((&mailbox.name, Vec::new()));
    }
    lines.retain(|(name, _)| matches(pattern, name));
    lines
}

/// `a` and `a/b` of `a/b/c`.
fn levels_above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').filter_map(|(at, _)| name.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes() -> Vec<Mailbox> {
        let mailbox = |name: &str, special_use, subscribed, exists| Mailbox { name: name.into(), special_use, subscribed, exists };
        vec![
            mailbox("INBOX", None, true, true),
            mailbox("Drafts", Some("\\Drafts"), false, true),
            mailbox("Spaces/uni/list", None, true, true),
            mailbox("a", None, false, true),
            mailbox("a-b", None, false, true),
            mailbox("a/b", None, true, true),
            mailbox("gone/x", None, true, false),
        ]
    }

    fn show(lines: Vec<Line<'_>>) -> String {
        lines
            .into_iter()
            .map(|(name, attributes)| format!("{name} {}", attributes.join(" ")).trim_end().to_owned())
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn lists() {
        let table = [
            (
                "%",
                r"INBOX \HasNoChildren, Drafts \HasNoChildren \Drafts, Spaces \Noselect \HasChildren, a \HasChildren, a-b \HasNoChildren",
            ),
            ("inbox", r"INBOX \HasNoChildren"),
            ("Spaces/%", r"Spaces/uni \Noselect \HasChildren"),
            ("a/*", r"a/b \HasNoChildren"),
            ("gone/*", ""),
        ];
        for (pattern, expected) in table {
            assert_eq!(show(all(&mailboxes(), pattern)), expected, "{pattern}");
        }
    }

    #[test]
    fn subscriptions() {
        let table = [
            ("*", "INBOX, Spaces/uni/list, a/b, gone/x"),
            ("%", r"INBOX, Spaces \Noselect, a \Noselect, gone \Noselect"),
            ("Spaces/%", r"Spaces/uni \Noselect"),
            ("a", ""),
        ];
        for (pattern, expected) in table {
            assert_eq!(show(lsub(&mailboxes(), pattern)), expected, "{pattern}");
        }
    }
}
