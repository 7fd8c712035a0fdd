//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1): messages marked `\Deleted` go.

use super::{Running, ask};
use crate::questions::Question;
use crate::response::Response;
use crate::server::{Server, State};
use imap_types::sequence::SequenceSet;
use stoa_mailbox::UidSet;

/// RFC 3501 §9: "EXPUNGE"; RFC 4315 §4: "UID" SP "EXPUNGE" SP sequence-set
pub(super) fn expunge(server: &mut Server, running: Running, set: Option<&SequenceSet>) {
    let State::Selected(opened) = &server.state else { return };
    if opened.read_only {
        return server.finish(&running, &Response::MAILBOX_READ_ONLY);
    }
    let uids = match set.map(|set| opened.resolve(set, true)).transpose() {
        Ok(uids) => uids,
        Err(_) => return server.respond(&running.tag, &Response::NO_SUCH_NUMBER),
    };
    if uids.as_ref().is_some_and(UidSet::is_empty) {
        return server.finish(&running, &Response::NOTHING_TO_DO);
    }
    ask(server, running, Question::Expunge { uids });
}
