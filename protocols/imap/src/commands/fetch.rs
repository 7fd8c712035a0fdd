//! FETCH (RFC 3501 §6.4.5): which messages, and `\Seen` before their text; the door writes what [`crate::fetch`] plans.

use super::{Asked, Running, resolve};
use crate::fetch::Plan;
use crate::questions::{Answer, Query, Question};
use crate::response::Response;
use crate::server::{Server, State};
use imap_types::fetch::MacroOrMessageDataItemNames;
use imap_types::sequence::SequenceSet;
use stoa_mailbox::{FlagChange, FlagNames, SystemFlag, UidSet};

/// What is to be written once `\Seen` is set.
#[derive(Debug)]
pub(crate) struct Wanted {
    uids: UidSet,
    plan: Plan,
    /// Those that lacked `\Seen`.
    unseen: UidSet,
}

/// RFC 3501 §9: "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
pub(super) fn fetch(server: &mut Server, running: Running, set: &SequenceSet, items: MacroOrMessageDataItemNames<'_>) {
    let Ok(plan) = Plan::new(items, running.by_uid) else {
        return server.respond(&running.tag, &Response::NOT_SUPPORTED);
    };
    let Some((running, uids)) = resolve(server, running, &set.into()) else { return };
    let State::Selected(opened) = &server.state else { return };
    let unseen: UidSet = if plan.sets_seen() && !opened.read_only {
        opened.numbering.view().select(&uids).filter(|entry| !entry.flags.has(SystemFlag::Seen)).map(|entry| entry.uid).collect()
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
        plan = plan.with_flags_of(unseen.clone());
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
    // Some may be gone since they were named.
    let uids = opened.numbering.view().select(&uids).map(|entry| entry.uid).collect();
    let query = Query::Fetch { uids, plan, numbering: opened.numbering.clone(), recent_from: opened.recent_from(server.enabled) };
    server.stream(query, Asked::Streamed(running, Response::OK));
}
