//! COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851), with COPYUID (RFC 4315 §3).

use super::{Asked, Running, end, mailbox, refusal, resolve};
use crate::grammar::Cursor;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::sequence::SequenceSet;
use crate::server::{Server, State};
use stoa_mailbox::Uid;

/// RFC 3501 §9: "COPY" SP sequence-set SP mailbox
pub(super) fn copy(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    transfer(server, running, cursor, false);
}

/// RFC 6851 §6: "MOVE" SP sequence-set SP mailbox
pub(super) fn take(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    transfer(server, running, cursor, true);
}

fn transfer(server: &mut Server, running: Running, mut cursor: Cursor<'_>, take: bool) {
    let (set, mailbox) = match parse(server, &mut cursor) {
        Ok(parsed) => parsed,
        Err(response) => return server.respond(&running.tag, &response),
    };
    if take && matches!(&server.state, State::Selected(opened) if opened.read_only) {
        return server.finish(&running, &Response::MAILBOX_READ_ONLY);
    }
    if let Some((running, uids)) = resolve(server, running, &set) {
        server.ask(Question::Copy { uids, mailbox, take }, Asked::Copy(running, take));
    }
}

fn parse(server: &Server, cursor: &mut Cursor<'_>) -> Result<(SequenceSet, String), Response> {
    let set = cursor.space().then(|| SequenceSet::read(cursor)).flatten().ok_or(Response::BAD_ARGUMENTS)?;
    let mailbox = mailbox(server, cursor)?;
    end(cursor).map(|()| (set, mailbox))
}

/// The door has answered. RFC 6851 §4.3: COPYUID comes before the messages go.
pub(super) fn answered(server: &mut Server, running: &Running, take: bool, answer: Answer) {
    let Answer::Copied { uid_validity, from, to, view } = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    if from.is_empty() {
        // RFC 3501 §6.4.8: in a UID command it is no error.
        return server.finish(running, if running.by_uid { &Response::NOTHING_TO_DO } else { &Response::EXPUNGE_ISSUED });
    }
    let copied = Response::OK.code(format!("COPYUID {uid_validity} {} {}", runs(&from), runs(&to)));
    if take {
        copied.text("Moved").write(&mut server.out, "*");
        let response = super::expunge::done(server);
        return server.finish(running, &response);
    }
    server.finish(running, &copied);
}

/// RFC 4315 §4: uid-set, in the order given, since the n-th of one set goes with the n-th of the other.
fn runs(uids: &[Uid]) -> String {
    let mut runs: Vec<(Uid, Uid)> = Vec::new();
    for &uid in uids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => runs.push((uid, uid)),
        }
    }
    let print = |(from, to): &(Uid, Uid)| if from == to { from.to_string() } else { format!("{from}:{to}") };
    runs.iter().map(print).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        assert_eq!(runs(&[3, 4, 5, 9, 1, 2, u32::MAX]), "3:5,9,1:2,4294967295");
    }
}
