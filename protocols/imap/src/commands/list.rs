//! LIST (RFC 3501 §6.3.8) with LIST-EXTENDED (RFC 5258), CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154).
//!
//! Levels that are only part of other names are listed, too, so that a client can show the tree. Children and
//! special use are always said; what a client may ask for is thus mostly what it gets anyway.

use super::{Asked, Running, refusal};
use crate::commands::enable::Enabled;
use crate::grammar::Cursor;
use crate::limits::PATTERN_BYTES_MAX;
use crate::names;
use crate::pattern::matches;
use crate::questions::{Answer, Mailbox, Question};
use crate::response::Response;
use crate::server::Server;
use crate::write::mailbox;
use std::collections::HashSet;

/// What is to be listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    patterns: Vec<String>,
    /// In the form of RFC 5258, which has an attribute of its own for names that do not exist.
    extended: bool,
    /// Only subscribed names.
    subscribed: bool,
    /// Only names with a special use.
    special_use: bool,
    /// Names with subscribed ones below, too.
    recursive: bool,
    /// Say which are subscribed.
    show_subscribed: bool,
}

/// RFC 5258 §6: "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
pub(super) fn list(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(&mut cursor, server.enabled) {
        Err(response) => server.respond(&running.tag, &response),
        Ok(None) => {
            // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
            server.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
            server.finish(&running, &Response::OK);
        }
        Ok(Some(listing)) => server.ask(Question::Mailboxes, Asked::List(running, listing)),
    }
}

fn parse(cursor: &mut Cursor<'_>, enabled: Enabled) -> Result<Option<Listing>, Response> {
    let bad = || Response::BAD_ARGUMENTS;
    let mut listing = Listing::default();
    cursor.space().then_some(()).ok_or_else(bad)?;
    if cursor.is_next(b'(') {
        listing.select(&cursor.words().ok_or_else(bad)?)?;
        cursor.space().then_some(()).ok_or_else(bad)?;
    }
    let reference = cursor.astring().ok_or_else(bad)?;
    cursor.space().then_some(()).ok_or_else(bad)?;
    let patterns = patterns(cursor, &mut listing).ok_or_else(bad)?;
    if cursor.space() {
        cursor.word().filter(|word| word.eq_ignore_ascii_case("RETURN") && cursor.space()).ok_or_else(bad)?;
        listing.show(&cursor.words().ok_or_else(bad)?)?;
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
fn patterns<'a>(cursor: &mut Cursor<'a>, listing: &mut Listing) -> Option<Vec<std::borrow::Cow<'a, [u8]>>> {
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
    names::decode(&[reference, pattern].concat(), utf8).ok_or(Response::BAD_NAME)
}

impl Listing {
    /// RFC 5258 §3.1, RFC 6154 §4. There are no remote mailboxes.
    fn select(&mut self, options: &[String]) -> Result<(), Response> {
        self.extended = true;
        for option in options {
            match option.as_str() {
                "SUBSCRIBED" => (self.subscribed, self.show_subscribed) = (true, true),
                "SPECIAL-USE" => self.special_use = true,
                "RECURSIVEMATCH" => self.recursive = true,
                "REMOTE" => {}
                _ => return Err(Response::NOT_SUPPORTED),
            }
        }
        if self.recursive && !self.subscribed {
            return Err(Response::BAD_ARGUMENTS.text("RECURSIVEMATCH needs SUBSCRIBED"));
        }
        Ok(())
    }

    /// RFC 5258 §3.2, RFC 6154 §4.
    fn show(&mut self, options: &[String]) -> Result<(), Response> {
        self.extended = true;
        for option in options {
            match option.as_str() {
                "SUBSCRIBED" => self.show_subscribed = true,
                "CHILDREN" | "SPECIAL-USE" => {}
                _ => return Err(Response::NOT_SUPPORTED),
            }
        }
        Ok(())
    }

    fn lines<'a>(&self, mailboxes: &'a [Mailbox]) -> Vec<Line<'a>> {
        let shown: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| mailbox.exists || self.subscribed).collect();
        let above = |chosen: &dyn Fn(&Mailbox) -> bool| -> HashSet<&'a str> {
            shown.iter().filter(|mailbox| chosen(mailbox)).flat_map(|mailbox| levels_above(&mailbox.name)).collect()
        };
        let (parents, subscribed_below) = (above(&|mailbox| mailbox.exists), above(&|mailbox| mailbox.subscribed));
        let missing = if self.extended { "\\NonExistent" } else { "\\Noselect" };
        let mut seen: HashSet<&str> = shown.iter().map(|mailbox| mailbox.name.as_str()).collect();
        let mut lines = Vec::new();
        let mut add = |name: &'a str, mailbox: Option<&Mailbox>| {
            let subscribed = mailbox.is_some_and(|mailbox| mailbox.subscribed);
            let special_use = mailbox.and_then(|mailbox| mailbox.special_use);
            let below = self.recursive && subscribed_below.contains(name);
            let chosen = (!self.subscribed || subscribed || below) && (!self.special_use || special_use.is_some());
            if !chosen || !self.patterns.iter().any(|pattern| matches(pattern, name)) {
                return;
            }
            let mut attributes = Vec::new();
            attributes.extend((!mailbox.is_some_and(|mailbox| mailbox.exists)).then_some(missing));
            attributes.push(if parents.contains(name) { "\\HasChildren" } else { "\\HasNoChildren" });
            attributes.extend((self.show_subscribed && subscribed).then_some("\\Subscribed"));
            attributes.extend(special_use);
            lines.push(Line { name, attributes, subscribed_below: below });
        };
        for mailbox in shown {
            levels_above(&mailbox.name).filter(|level| seen.insert(level)).for_each(|level| add(level, None));
            add(&mailbox.name, Some(mailbox));
        }
        lines
    }
}

struct Line<'a> {
    name: &'a str,
    attributes: Vec<&'static str>,
    /// RFC 5258 §3.5, to be said.
    subscribed_below: bool,
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, listing: &Listing, answer: Answer) {
    let Answer::Mailboxes(mailboxes) = answer else { return server.finish(running, &refusal(answer)) };
    let utf8 = server.enabled.utf8_strings();
    for line in listing.lines(&mailboxes) {
        write(&mut server.out, "LIST", line.name, &line.attributes, utf8);
        let below = if line.subscribed_below { " (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n" } else { "\r\n" };
        server.out.extend_from_slice(below.as_bytes());
    }
    server.finish(running, &Response::OK);
}

/// RFC 3501 §9: mailbox-list, without the end of the line
pub(super) fn write(out: &mut Vec<u8>, verb: &str, name: &str, attributes: &[&str], utf8: bool) {
    out.extend_from_slice(format!("* {verb} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    mailbox(out, name, utf8);
}

/// `a` and `a/b` of `a/b/c`.
pub(super) fn levels_above(name: &str) -> impl Iterator<Item = &str> {
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

    fn listed(arguments: &str) -> Result<String, Response> {
        let wire = format!(" {arguments}\r\n");
        let listing = parse(&mut Cursor::new(wire.as_bytes()), Enabled::default())?.unwrap();
        let show = |line: Line<'_>| format!("{} {}{}", line.name, line.attributes.join(" "), if line.subscribed_below { " +" } else { "" });
        Ok(listing.lines(&mailboxes()).into_iter().map(show).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn lists() {
        let table = [
            (
                r#""" %"#,
                r"INBOX \HasNoChildren, Drafts \HasNoChildren \Drafts, Spaces \Noselect \HasChildren, a \HasChildren, a-b \HasNoChildren",
            ),
            ("inb {2+}\r\nox", r"INBOX \HasNoChildren"),
            ("Spaces/ %", r"Spaces/uni \Noselect \HasChildren"),
            (r#""" "a/*""#, r"a/b \HasNoChildren"),
            (r#""" gone/*"#, ""),
            (r#""" (a Drafts)"#, r"Drafts \HasNoChildren \Drafts, a \HasChildren"),
            (r#"(SPECIAL-USE) "" *"#, r"Drafts \HasNoChildren \Drafts"),
            (r#"() "" "Spaces" RETURN (CHILDREN)"#, r"Spaces \NonExistent \HasChildren"),
            (r#""" a* return (subscribed special-use)"#, r"a \HasChildren, a-b \HasNoChildren, a/b \HasNoChildren \Subscribed"),
            (r#"(SUBSCRIBED) "" %/%"#, r"a/b \HasNoChildren \Subscribed, gone/x \NonExistent \HasNoChildren \Subscribed"),
            (
                r#"(RECURSIVEMATCH SUBSCRIBED) "" %"#,
                r"INBOX \HasNoChildren \Subscribed, Spaces \NonExistent \HasChildren +, a \HasChildren +, gone \NonExistent \HasNoChildren +",
            ),
        ];
        for (arguments, expected) in table {
            assert_eq!(listed(arguments).as_deref(), Ok(expected), "{arguments}");
        }
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
            r#""" * RETURN"#,
            r#""" * x"#,
            "\"\" &bad",
        ] {
            assert!(listed(arguments).is_err(), "{arguments}");
        }
    }
}
