//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7): which mailboxes there are.

use super::list::write_with_old_name;
use super::store::flag_list;
use super::{Asked, Named, Running, ask, end, mailbox, named, plain};
use crate::grammar::Cursor;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Server, State};

/// RFC 4466 §2.2: "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]. A separator at the end only says that
/// there will be others below (RFC 3501 §6.3.3).
pub(super) fn create(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let wish = named(server, &mut cursor).and_then(|Named { name, given }| {
        let special_use = if cursor.space() { special_use(&mut cursor)? } else { None };
        end(&cursor)?;
        let name = not_inbox(new_name(name)?)?;
        Ok((Question::Create { mailbox: name.clone(), special_use }, Renamed { from: given, to: name, attributes: &[] }))
    });
    proceed(server, running, wish);
}

/// RFC 6154 §6: "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")", use-attr = "\\" atom; one use at most here (§3).
fn special_use(cursor: &mut Cursor<'_>) -> Result<Option<String>, Response> {
    let named = cursor.byte(b'(') && cursor.keyword("USE") && cursor.space() && cursor.byte(b'(');
    let uses = named.then(|| flag_list(cursor)).flatten().filter(|uses| uses.iter().all(|attribute| attribute.starts_with('\\')));
    let mut uses = uses.filter(|_| cursor.byte(b')')).ok_or(Response::BAD_ARGUMENTS)?;
    if uses.len() > 1 { Err(Response::ONE_USE_ONLY) } else { Ok(uses.pop()) }
}

/// RFC 3501 §9: "DELETE" SP mailbox. The selected one is let go first and the client told so (CLOSED, RFC 9051 §7.1):
/// else it would be cut off for what it asked itself.
pub(super) fn delete(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match only_mailbox(server, &mut cursor) {
        Err(response) => server.respond(&running.tag, &response),
        Ok(mailbox) if mailbox.name == "INBOX" => server.respond(&running.tag, &Response::INBOX_STAYS),
        Ok(mailbox) if matches!(&server.state, State::Selected(opened) if opened.mailbox == mailbox.name) => {
            server.state = State::Authenticated;
            Response::CLOSED.write(&mut server.out, "*");
            server.ask(Question::Unselect, Asked::Delete(running, mailbox));
        }
        Ok(mailbox) => unselected(server, running, mailbox),
    }
}

/// The mailbox to delete is not open here, or not any more.
pub(super) fn unselected(server: &mut Server, running: Running, Named { name, given }: Named) {
    let renamed = Renamed { from: given, to: name.clone(), attributes: &["\\NonExistent"] };
    server.ask(Question::Delete { mailbox: name }, Asked::Renamed(running, renamed));
}

/// RFC 3501 §9: "RENAME" SP mailbox SP mailbox. INBOX can be renamed: its messages move (§6.3.5).
pub(super) fn rename(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let wish = mailbox(server, &mut cursor).and_then(|from| {
        let Named { name, given } = only_mailbox(server, &mut cursor)?;
        let to = not_inbox(new_name(name)?)?;
        // INBOX is still there afterwards.
        let old = if from == "INBOX" { given } else { from.clone() };
        Ok((Question::Rename { from, to: to.clone() }, Renamed { from: old, to, attributes: &[] }))
    });
    proceed(server, running, wish);
}

/// RFC 3501 §9: "SUBSCRIBE" SP mailbox
pub(super) fn subscribe(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    subscription(server, running, &mut cursor, true);
}

/// RFC 3501 §9: "UNSUBSCRIBE" SP mailbox
pub(super) fn unsubscribe(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    subscription(server, running, &mut cursor, false);
}

fn subscription(server: &mut Server, running: Running, cursor: &mut Cursor<'_>, on: bool) {
    match only_mailbox(server, cursor) {
        Ok(Named { name, .. }) => ask(server, running, Question::Subscribe { mailbox: name, on }),
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// SP mailbox CRLF
fn only_mailbox(server: &Server, cursor: &mut Cursor<'_>) -> Result<Named, Response> {
    let named = named(server, cursor)?;
    end(cursor).map(|()| named)
}

fn proceed(server: &mut Server, running: Running, wish: Result<(Question, Renamed), Response>) {
    match wish {
        Ok((question, renamed)) => server.ask(question, Asked::Renamed(running, renamed)),
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// A mailbox whose name is not what the client called it, or will not be.
#[derive(Debug)]
pub(crate) struct Renamed {
    from: String,
    to: String,
    attributes: &'static [&'static str],
}

/// The door has answered. RFC 9051 §7.3.1: under IMAP4rev2 a client is told of a name that it did not give itself.
pub(super) fn answered(server: &mut Server, running: &Running, renamed: &Renamed, answer: Answer) {
    if !matches!(answer, Answer::Refused(_)) {
        if let State::Selected(opened) = &mut server.state {
            renamed.follow(&mut opened.mailbox);
        }
        if server.enabled.rev2 && renamed.from != renamed.to {
            write_with_old_name(&mut server.out, &renamed.to, renamed.attributes, &renamed.from);
        }
    }
    plain(server, running, answer);
}

impl Renamed {
    /// Names below it change along with it.
    fn follow(&self, name: &mut String) {
        if let Some(below) = name.strip_prefix(&self.from).filter(|below| below.is_empty() || below.starts_with('/')) {
            *name = format!("{}{below}", self.to);
        }
    }
}

fn not_inbox(name: String) -> Result<String, Response> {
    if name == "INBOX" { Err(Response::INBOX_STAYS) } else { Ok(name) }
}

/// A name that a mailbox may be given: no empty level, nothing that LIST would take for a pattern, nothing unprintable.
fn new_name(name: String) -> Result<String, Response> {
    let name = name.strip_suffix('/').map(str::to_owned).unwrap_or(name);
    // RFC 9051 §5.1: no control characters and no separators of lines and paragraphs.
    let is_bad = |c: char| c.is_control() || matches!(c, '*' | '%' | '\u{2028}' | '\u{2029}');
    let good = name.split('/').all(|level| !level.is_empty()) && !name.contains(is_bad);
    if good { Ok(name) } else { Err(Response::UNUSABLE_NAME) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_new_mailboxes() {
        let table = [
            ("a", Some("a")),
            ("a/", Some("a")),
            ("a/b", Some("a/b")),
            ("/", None),
            ("a//b", None),
            ("/a", None),
            ("a*", None),
            ("a\u{7}", None),
            ("a\u{2028}", None),
        ];
        for (name, expected) in table {
            assert_eq!(new_name(name.to_owned()).ok().as_deref(), expected, "{name}");
        }
    }
}
