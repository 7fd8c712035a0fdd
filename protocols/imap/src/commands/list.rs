//! LIST (RFC 3501 §6.3.8) with LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819), CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154).
//!
//! Which names are shown stands in `listing.rs`; here are the command and its responses.

use super::listing::{Line, Listing};
use super::status::{self, Item};
use super::{Asked, Running, refusal};
use crate::commands::enable::Enabled;
use crate::grammar::Cursor;
use crate::limits::{LISTED_NAMES_MAX, PATTERN_BYTES_MAX, WILDCARDS_MAX};
use crate::names;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::Server;
use crate::write::mailbox;
use std::borrow::Cow;

/// RFC 5258 §6: "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
pub(super) fn list(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(&mut cursor, server.enabled) {
        Err(response) => server.respond(&running.tag, &response),
        Ok(None) => {
            // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
            server.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
            server.finish(&running, &Response::OK);
        }
        Ok(Some(listing)) => {
            status::learn_condstore(server, &listing.status);
            server.ask(Question::Mailboxes, Asked::List(running, listing));
        }
    }
}

fn parse(cursor: &mut Cursor<'_>, enabled: Enabled) -> Result<Option<Listing>, Response> {
    let bad = || Response::BAD_ARGUMENTS;
    let mut listing = Listing::default();
    cursor.space().then_some(()).ok_or_else(bad)?;
    if cursor.is_next(b'(') {
        select(&mut listing, &cursor.words().ok_or_else(bad)?)?;
        cursor.space().then_some(()).ok_or_else(bad)?;
    }
    let reference = cursor.astring().ok_or_else(bad)?;
    cursor.space().then_some(()).ok_or_else(bad)?;
    let patterns = patterns(cursor, &mut listing).ok_or_else(bad)?;
    if cursor.space() {
        (cursor.keyword("RETURN") && cursor.space()).then_some(()).ok_or_else(bad)?;
        show(&mut listing, cursor)?;
    }
    cursor.end_of_command().then_some(()).ok_or_else(bad)?;
    if !listing.extended && patterns.iter().all(|pattern| pattern.is_empty()) {
        return Ok(None);
    }
    // RFC 9051 §7.3.1 has an attribute for names that do not exist, as the extension has.
    listing.extended |= enabled.rev2;
    listing.patterns =
        patterns.iter().map(|pattern| pattern_text(&reference, pattern, enabled.utf8_strings())).collect::<Result<_, _>>()?;
    Ok(Some(listing))
}

/// RFC 5258 §6: mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")"; all together within the limit
fn patterns<'a>(cursor: &mut Cursor<'a>, listing: &mut Listing) -> Option<Vec<Cow<'a, [u8]>>> {
    if !cursor.byte(b'(') {
        return Some(vec![cursor.pattern()?]);
    }
    listing.extended = true;
    let mut patterns = vec![cursor.pattern()?];
    while !cursor.byte(b')') {
        cursor.space().then_some(())?;
        patterns.push(cursor.pattern()?);
    }
    (patterns.iter().map(|pattern| pattern.len()).sum::<usize>() <= PATTERN_BYTES_MAX).then_some(patterns)
}

/// The text of reference and pattern. Wildcards are no part of a shift, so it is decoded like a name.
pub(super) fn pattern_text(reference: &[u8], pattern: &[u8], utf8: bool) -> Result<String, Response> {
    if reference.len() + pattern.len() > PATTERN_BYTES_MAX {
        return Err(Response::UNUSABLE_NAME);
    }
    let text = names::decode(&[reference, pattern].concat(), utf8).ok_or(Response::BAD_NAME)?;
    if text.matches(['*', '%']).count() > WILDCARDS_MAX {
        return Err(Response::TOO_MANY_WILDCARDS);
    }
    Ok(names::normal(&text))
}

/// RFC 5258 §3.1, RFC 6154 §4. There are no remote mailboxes.
fn select(listing: &mut Listing, options: &[String]) -> Result<(), Response> {
    listing.extended = true;
    for option in options {
        match option.as_str() {
            "SUBSCRIBED" => (listing.subscribed, listing.show_subscribed) = (true, true),
            "SPECIAL-USE" => listing.special_use = true,
            "RECURSIVEMATCH" => listing.recursive = true,
            "REMOTE" => {}
            _ => return Err(Response::NOT_SUPPORTED),
        }
    }
    if listing.recursive && !listing.subscribed && !listing.special_use {
        return Err(Response::BAD_ARGUMENTS.text("RECURSIVEMATCH needs another option beside it"));
    }
    Ok(())
}

/// RFC 5258 §6: "(" [return-option *(SP return-option)] ")"; RFC 5258 §3.2, RFC 6154 §4.
fn show(listing: &mut Listing, cursor: &mut Cursor<'_>) -> Result<(), Response> {
    let bad = || Response::BAD_ARGUMENTS;
    listing.extended = true;
    cursor.byte(b'(').then_some(()).ok_or_else(bad)?;
    let mut first = true;
    while !cursor.byte(b')') {
        (std::mem::take(&mut first) || cursor.space()).then_some(()).ok_or_else(bad)?;
        match cursor.atom().ok_or_else(bad)?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => listing.show_subscribed = true,
            "CHILDREN" | "SPECIAL-USE" => {}
            // RFC 5819 §4: status-option = "STATUS" SP "(" status-att *(SP status-att) ")"
            "STATUS" if cursor.space() => listing.status = status::items(cursor)?,
            "STATUS" => return Err(bad()),
            _ => return Err(Response::NOT_SUPPORTED),
        }
    }
    Ok(())
}

/// The names that are still to be told, with their STATUS.
#[derive(Debug)]
pub(crate) struct Rest {
    lines: std::vec::IntoIter<Line>,
    items: Vec<Item>,
    /// The one whose STATUS is with the door.
    asked: String,
}

/// The door has named the mailboxes.
pub(super) fn answered(server: &mut Server, running: Running, listing: Listing, answer: Answer) {
    let Answer::Mailboxes(mailboxes) = answer else { return server.finish(&running, &refusal(answer)) };
    let lines = listing.lines(&mailboxes);
    if lines.len() > LISTED_NAMES_MAX {
        return server.finish(&running, &Response::TOO_MANY_NAMES);
    }
    let lines = lines.into_iter();
    go_on(server, running, Rest { lines, items: listing.status, asked: String::new() });
}

/// The door has counted a mailbox. Without an answer, which is so if it is gone by now, only its STATUS is left out (RFC 5819 §2).
pub(super) fn counted(server: &mut Server, running: Running, rest: Rest, answer: Answer) {
    if let Answer::Status(status) = answer {
        status::write_status(server, &rest.asked, &rest.items, &status);
    }
    go_on(server, running, rest);
}

/// Tells of one name after the other, so that the STATUS of each comes right after it: clients count on that order.
fn go_on(server: &mut Server, running: Running, mut rest: Rest) {
    let utf8 = server.enabled.utf8_strings();
    while let Some(line) = rest.lines.next() {
        write(&mut server.out, "LIST", &line.name, &line.attributes, utf8);
        write_child_info(&mut server.out, &line.child_info);
        if line.counted.is_some() && !rest.items.is_empty() {
            rest.asked = line.name;
            let question = Question::Status { mailbox: rest.asked.clone(), number: line.counted };
            return server.ask(question, Asked::Counted(running, rest));
        }
    }
    server.finish(&running, &Response::OK);
}

/// RFC 3501 §9: mailbox-list, without the end of the line
pub(super) fn write(out: &mut Vec<u8>, verb: &str, name: &str, attributes: &[&str], utf8: bool) {
    out.extend_from_slice(format!("* {verb} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    mailbox(out, name, utf8);
}

/// RFC 5258 §6: childinfo-extended-item = "CHILDINFO" SP "(" list-select-base-opt-quoted *(SP list-select-base-opt-quoted) ")"
fn write_child_info(out: &mut Vec<u8>, options: &[&str]) {
    let info = options.iter().map(|option| format!("\"{option}\"")).collect::<Vec<_>>().join(" ");
    let item = if info.is_empty() { String::new() } else { format!(" (\"CHILDINFO\" ({info}))") };
    out.extend_from_slice(format!("{item}\r\n").as_bytes());
}

/// RFC 9051 §6.3.9.7: under which name a mailbox is known that the client knew by another, if that is so.
pub(super) fn write_with_old_name(out: &mut Vec<u8>, name: &str, attributes: &[&str], old: &str) {
    write(out, "LIST", name, attributes, true);
    if name != old {
        out.extend_from_slice(b" (\"OLDNAME\" (");
        mailbox(out, old, true);
        out.extend_from_slice(b"))");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Mailbox;

    fn mailboxes() -> Vec<Mailbox> {
        let mailbox = |name: &str, special_use, subscribed, exists| Mailbox { name: name.into(), special_use, subscribed, number: exists };
        vec![
            mailbox("INBOX", None, true, Some(1)),
            mailbox("Drafts", Some("\\Drafts"), false, Some(1)),
            mailbox("Spaces/uni/list", None, true, Some(1)),
            mailbox("a", None, false, Some(1)),
            mailbox("a-b", None, false, Some(1)),
            mailbox("a/b", None, true, Some(1)),
            mailbox("b", None, false, Some(1)),
            mailbox("b/old", Some("\\Archive"), false, Some(1)),
            mailbox("gone/x", None, true, None),
        ]
    }

    fn listed(arguments: &str) -> Result<String, Response> {
        let wire = format!(" {arguments}\r\n");
        let listing = parse(&mut Cursor::new(wire.as_bytes()), Enabled::default())?.unwrap();
        let show =
            |line: Line| format!("{} {}{}", line.name, line.attributes.join(" "), if line.child_info.is_empty() { "" } else { " +" });
        Ok(listing.lines(&mailboxes()).into_iter().map(show).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn lists() {
        let table = [
            (
                r#""" %"#,
                r"INBOX \HasNoChildren, Drafts \HasNoChildren \Drafts, Spaces \Noselect \HasChildren, a \HasChildren, a-b \HasNoChildren, b \HasChildren",
            ),
            ("inb {2+}\r\nox", r"INBOX \HasNoChildren"),
            ("Spaces/ %", r"Spaces/uni \Noselect \HasChildren"),
            (r#""" "a/*""#, r"a/b \HasNoChildren"),
            (r#""" gone/*"#, ""),
            (r#""" (a Drafts)"#, r"Drafts \HasNoChildren \Drafts, a \HasChildren"),
            (r#"(SPECIAL-USE) "" *"#, r"Drafts \HasNoChildren \Drafts, b/old \HasNoChildren \Archive"),
            (r#"() "" "Spaces" RETURN (CHILDREN)"#, r"Spaces \NonExistent \HasChildren"),
            (r#""" a* return (subscribed special-use)"#, r"a \HasChildren, a-b \HasNoChildren, a/b \HasNoChildren \Subscribed"),
            (r#"(SUBSCRIBED) "" %/%"#, r"a/b \HasNoChildren \Subscribed, gone/x \NonExistent \HasNoChildren \Subscribed"),
            (
                r#"(RECURSIVEMATCH SUBSCRIBED) "" %"#,
                r"INBOX \HasNoChildren \Subscribed, Spaces \NonExistent \HasChildren +, a \HasChildren +, gone \NonExistent \HasNoChildren +",
            ),
            (
                r#"(RECURSIVEMATCH SUBSCRIBED) "" (a a/b Sp*)"#,
                r"Spaces/uni/list \HasNoChildren \Subscribed, a/b \HasNoChildren \Subscribed",
            ),
            (r#"(SPECIAL-USE RECURSIVEMATCH) "" b"#, r"b \HasChildren +"),
            (r#""" b/* return (status (messages))"#, r"b/old \HasNoChildren \Archive"),
        ];
        for (arguments, expected) in table {
            assert_eq!(listed(arguments).as_deref(), Ok(expected), "{arguments}");
        }
    }

    #[test]
    fn names_have_an_end() {
        let mailbox =
            |number: u32| Mailbox { name: format!("{number}/a/b/c/d/e"), special_use: None, subscribed: false, number: Some(number) };
        let listing = Listing { patterns: vec!["*".into()], ..Listing::default() };
        let lines = |count: u32| listing.lines(&(0..count).map(mailbox).collect::<Vec<_>>()).len();
        assert_eq!(lines(1_000), 6_000);
        assert!((LISTED_NAMES_MAX + 1..LISTED_NAMES_MAX + 10).contains(&lines(5_000)), "enough to see that there are too many");
    }

    #[test]
    fn what_is_no_list() {
        for arguments in [
            "",
            r#""""#,
            r#""" a "#,
            r#""" ()"#,
            r#""" (a"#,
            r#"(RECURSIVEMATCH) "" *"#,
            r#"(OTHER) "" *"#,
            r#""" * RETURN (STATUS)"#,
            r#""" * RETURN (STATUS ())"#,
            r#""" * RETURN (STATUS (MESSAGES X))"#,
            r#""" * RETURN (CHILDREN  SUBSCRIBED)"#,
            r#""" * RETURN (X)"#,
            r#""" * RETURN"#,
            r#""" * x"#,
            "\"\" &bad",
        ] {
            assert!(listed(arguments).is_err(), "{arguments}");
        }
        let wild = |count: usize| listed(&format!("\"\" {}", "a*".repeat(count)));
        assert!(wild(WILDCARDS_MAX).is_ok());
        assert_eq!(wild(WILDCARDS_MAX + 1), Err(Response::TOO_MANY_WILDCARDS));
    }
}
