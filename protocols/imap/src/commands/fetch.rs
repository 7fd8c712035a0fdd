//! FETCH (RFC 3501 §6.4.5, RFC 7162 §3.1.4 and §3.2.6): which messages, and `\Seen` before their text; the door writes what
//! [`crate::fetch`] plans.

use super::select::write_vanished;
use super::{Asked, Running, resolve};
pub(crate) use crate::fetch::grammar::Request;
use crate::fetch::{Plan, grammar};
use crate::grammar::Cursor;
use crate::questions::{Answer, Query, Question};
use crate::response::Response;
use crate::server::{Server, State};
use stoa_mailbox::{FlagChange, FlagNames, SystemFlag, UidSet};

/// What is to be written once `\Seen` is set.
#[derive(Debug)]
pub(crate) struct Wanted {
    uids: UidSet,
    plan: Plan,
    /// Those that lacked `\Seen`.
    unseen: UidSet,
}

/// RFC 3501 §9: "FETCH" SP sequence-set SP items [SP modifiers]
pub(super) fn fetch(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    let request = match grammar::read(cursor) {
        Ok(request) => request,
        Err(fault) => return server.respond(&running.tag, &Response::BAD_ARGUMENTS.text(fault.0)),
    };
    match (request.vanished, request.changed_since) {
        (false, _) => proceed(server, running, request),
        // RFC 7162 §3.2.6: VANISHED goes with UID FETCH, CHANGEDSINCE and QRESYNC alone.
        (true, Some(since)) if running.by_uid && server.enabled.qresync => {
            server.ask(Question::Vanished { since }, Asked::Earlier(running, Box::new(request)));
        }
        (true, _) => server.respond(&running.tag, &Response::BAD_ARGUMENTS.text("VANISHED needs UID FETCH, CHANGEDSINCE and QRESYNC")),
    }
}

/// RFC 7162 §3.2.6: what went comes first, as far as it was asked about. What still has a number is told of at the end, as
/// ever; without an answer all that is not there is said to be gone.
pub(super) fn vanished(server: &mut Server, running: Running, request: Request, answer: Answer) {
    let State::Selected(opened) = &server.state else { return };
    let named = opened.named(&request.set);
    let gone = match answer {
        Answer::Vanished(gone) => gone.common(&named),
        _ => named.common(&UidSet::from_ranges([1..=opened.numbering.view().uid_next.saturating_sub(1)])),
    };
    let numbered = (1..=opened.numbering.len()).filter_map(|number| opened.numbering.uid(number)).collect();
    let unannounced = opened.numbering.view().iter().map(|entry| entry.uid).collect();
    write_vanished(&mut server.out, &gone.without(&numbered).without(&unannounced));
    proceed(server, running, request);
}

fn proceed(server: &mut Server, running: Running, request: Request) {
    let mut plan = Plan::new(request.items, running.by_uid || server.enabled.qresync);
    if request.changed_since.is_some() {
        plan = plan.with_modseq();
    }
    // RFC 7162 §3.1: who asks so knows mod-sequences.
    server.enabled.condstore |= plan.tells_modseq();
    let Some((running, uids)) = resolve(server, running, &request.set) else { return };
    let State::Selected(opened) = &server.state else { return };
    let view = opened.numbering.view();
    let uids = match request.changed_since {
        Some(since) => view.select(&uids).filter(|entry| entry.modseq > since).map(|entry| entry.uid).collect(),
        None => uids,
    };
    let unseen: UidSet = if plan.sets_seen() && !opened.read_only {
        view.select(&uids).filter(|entry| !entry.flags.has(SystemFlag::Seen)).map(|entry| entry.uid).collect()
    } else {
        UidSet::default()
    };
    if unseen.is_empty() {
        return stream(server, running, uids, plan);
    }
    let flags = FlagNames { system: SystemFlag::Seen.into(), keywords: Vec::new() };
    let question = Question::Store { uids: unseen.clone(), change: FlagChange::Add, flags, unchanged_since: None };
    server.ask(question, Asked::Seen(running, Wanted { uids, plan, unseen }));
}

/// The door has answered. Those who may not set `\Seen` may read all the same.
pub(super) fn seen(server: &mut Server, running: Running, wanted: Wanted, answer: Answer) {
    let Wanted { uids, mut plan, unseen } = wanted;
    if let (Answer::Stored { view, .. }, true) = (answer, matches!(server.state, State::Selected(_))) {
        server.learn(view);
        plan = plan.with_flags_of(unseen.clone(), server.enabled.condstore);
        // Numbers must hold while the door writes, also in a UID FETCH; the rest is told after it.
        let quiet = Running { expunge: false, ..running.clone() };
        let enabled = server.enabled;
        if let State::Selected(opened) = &mut server.state {
            opened.tell(&mut server.out, &quiet, enabled, |_, mut flagged| {
                flagged.retain(|news| !unseen.contains(news.uid));
                flagged
            });
        }
    }
    stream(server, running, uids, plan);
}

fn stream(server: &mut Server, running: Running, uids: UidSet, plan: Plan) {
    let State::Selected(opened) = &server.state else { return };
    if uids.is_empty() {
        return server.finish(&running, &Response::OK);
    }
    let query = Query::Fetch { uids, plan, numbering: opened.numbering.clone(), recent_from: opened.recent_from(server.enabled) };
    server.stream(query, Asked::Streamed(running, Response::OK));
}
