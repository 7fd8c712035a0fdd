//! STORE (RFC 3501 §6.4.6): changes flags of messages.

use super::{Asked, Running, refusal, resolve};
use crate::limits::KEYWORD_BYTES_MAX;
use crate::opened::{Flagged, Opened};
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Server, State};
use imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_types::sequence::SequenceSet;
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, Flags, KEYWORDS_MAX, SystemFlag, UidSet, View};

/// What was asked of the door.
#[derive(Debug)]
pub(crate) struct Change {
    uids: UidSet,
    change: FlagChange,
    flags: FlagNames,
    silent: bool,
    /// The flags as the client knew them.
    before: Arc<View>,
}

/// RFC 3501 §9: "STORE" SP sequence-set SP store-att-flags
pub(super) fn store(server: &mut Server, running: Running, set: &SequenceSet, how: (StoreType, StoreResponse), flags: &[Flag<'_>]) {
    let flags = match flag_names(flags.iter().map(ToString::to_string)) {
        Ok(flags) => flags,
        Err(response) => return server.respond(&running.tag, &response),
    };
    let State::Selected(opened) = &server.state else { return };
    if opened.read_only {
        return server.finish(&running, &Response::MAILBOX_READ_ONLY);
    }
    let before = opened.numbering.view().clone();
    let change = match how.0 {
        StoreType::Replace => FlagChange::Replace,
        StoreType::Add => FlagChange::Add,
        StoreType::Remove => FlagChange::Remove,
    };
    if let Some((running, uids)) = resolve(server, running, set) {
        let question = Question::Store { uids: uids.clone(), change, flags: flags.clone() };
        server.ask(question, Asked::Store(running, Change { uids, change, flags, silent: how.1 == StoreResponse::Silent, before }));
    }
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, change: &Change, answer: Answer) {
    let Answer::Done(view) = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    if let State::Selected(opened) = &mut server.state {
        opened.tell(&mut server.out, running, |opened, flagged| change.choose(opened, flagged));
    }
    server.respond(&running.tag, &Response::OK);
}

impl Change {
    /// Every message named is told of, changed or not; a silent STORE keeps back what came out as the client expects,
    /// but not what others did meanwhile (RFC 3501 §6.4.6).
    fn choose(&self, opened: &Opened, mut flagged: Flagged) -> Flagged {
        let view = opened.numbering.view();
        if self.silent {
            let named = self.flags.keywords.iter().filter_map(|name| view.keyword(name)).map(Flags::keyword);
            let named = named.fold(self.flags.system, Flags::with);
            flagged.retain(|&(_, uid)| {
                let expected = self.before.find(uid).filter(|_| self.uids.contains(uid)).map(|entry| self.change.apply(entry.flags, named));
                expected.is_none() || expected != view.find(uid).map(|entry| entry.flags)
            });
            return flagged;
        }
        let all = view.select(&self.uids).filter_map(|entry| opened.numbering.number(entry.uid).map(|number| (number, entry.uid)));
        flagged.extend(all);
        flagged.sort_unstable();
        flagged.dedup();
        flagged
    }
}

/// Flags by name. `\Recent` is not the client's to set (RFC 3501 §2.3.2), and unknown system flags are nobody's.
pub(super) fn flag_names(names: impl Iterator<Item = String>) -> Result<FlagNames, Response> {
    let mut flags = FlagNames::default();
    for name in names {
        if name.starts_with('\\') {
            let flag = SystemFlag::ALL.into_iter().find(|flag| flag.name().eq_ignore_ascii_case(&name)).ok_or(Response::BAD_FLAG)?;
            flags.system = flags.system.with(flag.into());
        } else if !flags.keywords.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            if name.len() > KEYWORD_BYTES_MAX || flags.keywords.len() >= KEYWORDS_MAX {
                return Err(Response::TOO_MANY_KEYWORDS);
            }
            flags.keywords.push(name);
        }
    }
    Ok(flags)
}
