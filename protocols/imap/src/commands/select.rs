//! SELECT, EXAMINE (RFC 3501 §6.3.1, §6.3.2), CLOSE (§6.4.2) and UNSELECT (RFC 3691): which mailbox is open.

use super::{Asked, Running, mailbox_name, refusal};
use crate::opened::Opened;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Server, State};
use imap_types::mailbox::Mailbox;
use stoa_mailbox::SystemFlag;

/// RFC 3501 §9: ("SELECT" / "EXAMINE") SP mailbox. Whatever comes of it, the mailbox that was open is let go.
pub(super) fn select(server: &mut Server, running: Running, mailbox: &Mailbox<'_>, read_only: bool) {
    match mailbox_name(mailbox) {
        Ok(mailbox) => {
            server.state = State::Authenticated;
            server.ask(Question::Select { mailbox: mailbox.clone(), read_only }, Asked::Select(running, mailbox));
        }
        // The door must let go, too.
        Err(response) if matches!(server.state, State::Selected(_)) => {
            server.state = State::Authenticated;
            server.ask(Question::Unselect, Asked::Unselect(running, response));
        }
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// RFC 3501 §6.3.1: what a client must know of a mailbox, in the order of the standard.
pub(super) fn answered(server: &mut Server, running: &Running, mailbox: String, answer: Answer) {
    let Answer::Selected(selected) = answer else { return server.respond(&running.tag, &refusal(answer)) };
    let opened = Box::new(Opened::new(mailbox, selected));
    let view = opened.numbering.view();
    opened.write_flags(&mut server.out);
    server.out.extend_from_slice(format!("* {} EXISTS\r\n* {} RECENT\r\n", view.len(), opened.recent()).as_bytes());
    let unseen = view.iter().position(|entry| !entry.flags.has(SystemFlag::Seen));
    let codes = [
        unseen.map(|place| (format!("UNSEEN {}", place + 1), "The first unseen message")),
        Some((format!("UIDNEXT {}", view.uid_next), "The next UID, or less than it")),
        Some((format!("UIDVALIDITY {}", view.uid_validity), "UIDs are valid")),
    ];
    for (code, text) in codes.into_iter().flatten() {
        Response::OK.code(code).text(text).write(&mut server.out, "*");
    }
    let response = if opened.read_only { Response::READ_ONLY } else { Response::READ_WRITE };
    server.state = State::Selected(opened);
    server.respond(&running.tag, &response);
}

/// RFC 3501 §9: "CLOSE": removes what is marked `\Deleted` and lets go, without a word of it.
pub(super) fn close(server: &mut Server, running: Running) {
    match &server.state {
        State::Selected(opened) if !opened.read_only => server.ask(Question::Expunge { uids: None }, Asked::Close(running)),
        _ => unselect(server, running),
    }
}

/// A refusal is said, but CLOSE knows no NO (RFC 3501 §6.4.2), and the client counts on the mailbox being closed.
pub(super) fn expunged(server: &mut Server, running: Running, answer: Answer) {
    if !matches!(answer, Answer::Done(_)) {
        refusal(answer).write(&mut server.out, "*");
    }
    unselect(server, running);
}

/// RFC 3691 §2: "UNSELECT": lets go and removes nothing.
pub(super) fn unselect(server: &mut Server, running: Running) {
    server.state = State::Authenticated;
    server.ask(Question::Unselect, Asked::Unselect(running, Response::OK));
}
