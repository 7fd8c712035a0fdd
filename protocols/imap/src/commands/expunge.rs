//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1): messages marked `\Deleted` go.

use super::{Asked, Running, end, refusal};
use crate::grammar::Cursor;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::sequence::SequenceSet;
use crate::server::{Server, State};

/// RFC 3501 §9: "EXPUNGE"
pub(super) fn expunge(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    match end(&cursor) {
        Ok(()) => remove(server, running, None),
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// RFC 4315 §4: "UID" SP "EXPUNGE" SP sequence-set
pub(super) fn uid_expunge(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let set = cursor.space().then(|| SequenceSet::read(&mut cursor)).flatten().filter(|_| cursor.end_of_command());
    match set {
        Some(set) => remove(server, running, Some(&set)),
        None => server.respond(&running.tag, &Response::BAD_ARGUMENTS),
    }
}

fn remove(server: &mut Server, running: Running, set: Option<&SequenceSet>) {
    let State::Selected(opened) = &server.state else { return };
    if opened.read_only {
        return server.finish(&running, &Response::MAILBOX_READ_ONLY);
    }
    // A set of UIDs cannot name what is not there.
    let uids = set.map(|set| opened.resolve(set, true).unwrap_or_default());
    if uids.as_ref().is_some_and(stoa_mailbox::UidSet::is_empty) {
        return server.finish(&running, &Response::NOTHING_TO_DO);
    }
    server.ask(Question::Expunge { uids }, Asked::Expunge(running));
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, answer: Answer) {
    let Answer::Done(view) = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    let response = done(server);
    server.finish(running, &response);
}

/// RFC 7162 §3.2.7: who counts mod-sequences learns the one after which all that is told now has gone.
pub(super) fn done(server: &Server) -> Response {
    match &server.state {
        State::Selected(opened) if server.enabled.qresync => Response::OK.code(format!("HIGHESTMODSEQ {}", opened.newest().highest_modseq)),
        _ => Response::OK,
    }
}
