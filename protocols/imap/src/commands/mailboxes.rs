//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7): which mailboxes there are.

use super::store::flag_list;
use super::{Asked, Running, ask, end, mailbox};
use crate::grammar::Cursor;
use crate::questions::Question;
use crate::response::Response;
use crate::server::{Server, State};

/// RFC 4466 §2.2: "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]. A separator at the end only says that
/// there will be others below (RFC 3501 §6.3.3).
pub(super) fn create(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let question = mailbox(server, &mut cursor).and_then(|mailbox| {
        let special_use = if cursor.space() { special_use(&mut cursor)? } else { None };
        end(&cursor)?;
        let mailbox = new_name(mailbox)?;
        if mailbox == "INBOX" { Err(Response::INBOX_STAYS) } else { Ok(Question::Create { mailbox, special_use }) }
    });
    proceed(server, running, question);
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
        Ok(mailbox) if mailbox == "INBOX" => server.respond(&running.tag, &Response::INBOX_STAYS),
        Ok(mailbox) if matches!(&server.state, State::Selected(opened) if opened.mailbox == mailbox) => {
            server.state = State::Authenticated;
            Response::CLOSED.write(&mut server.out, "*");
            server.ask(Question::Unselect, Asked::Delete(running, mailbox));
        }
        Ok(mailbox) => ask(server, running, Question::Delete { mailbox }),
    }
}

/// RFC 3501 §9: "RENAME" SP mailbox SP mailbox. INBOX can be renamed: its messages move (§6.3.5).
pub(super) fn rename(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let question = mailbox(server, &mut cursor).and_then(|from| {
        let to = only_mailbox(server, &mut cursor).and_then(new_name)?;
        if to == "INBOX" { Err(Response::INBOX_STAYS) } else { Ok(Question::Rename { from, to }) }
    });
    proceed(server, running, question);
}

/// RFC 3501 §9: "SUBSCRIBE" SP mailbox
pub(super) fn subscribe(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let question = only_mailbox(server, &mut cursor).map(|mailbox| Question::Subscribe { mailbox, on: true });
    proceed(server, running, question);
}

/// RFC 3501 §9: "UNSUBSCRIBE" SP mailbox
pub(super) fn unsubscribe(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let question = only_mailbox(server, &mut cursor).map(|mailbox| Question::Subscribe { mailbox, on: false });
    proceed(server, running, question);
}

/// SP mailbox CRLF
fn only_mailbox(server: &Server, cursor: &mut Cursor<'_>) -> Result<String, Response> {
    let name = mailbox(server, cursor)?;
    end(cursor).map(|()| name)
}

fn proceed(server: &mut Server, running: Running, question: Result<Question, Response>) {
    match question {
        Ok(question) => ask(server, running, question),
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// A name that a mailbox may be given: no empty level, nothing that LIST would take for a pattern, nothing unprintable.
fn new_name(name: String) -> Result<String, Response> {
    let name = name.strip_suffix('/').map(str::to_owned).unwrap_or(name);
    let good = name.split('/').all(|level| !level.is_empty()) && !name.contains(|c: char| c.is_control() || matches!(c, '*' | '%'));
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
        ];
        for (name, expected) in table {
            assert_eq!(new_name(name.to_owned()).ok().as_deref(), expected, "{name}");
        }
    }
}
