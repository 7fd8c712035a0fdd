//! STORE (RFC 3501 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3): changes flags of messages.

use super::{Asked, Running, end, refusal, resolve};
use crate::commands::enable::Enabled;
use crate::grammar::Cursor;
use crate::limits::KEYWORD_BYTES_MAX;
use crate::opened::{Flagged, News, Opened};
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::sequence::SequenceSet;
use crate::server::{Server, State};
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, Flags, KEYWORDS_MAX, ModSeq, SystemFlag, UidSet, View};

/// What is asked for.
struct Request {
    set: SequenceSet,
    unchanged_since: Option<ModSeq>,
    change: FlagChange,
    silent: bool,
    flags: FlagNames,
}

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
pub(super) fn store(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    let request = match parse(cursor) {
        Ok(request) => request,
        Err(response) => return server.respond(&running.tag, &response),
    };
    let State::Selected(opened) = &server.state else { return };
    if opened.read_only {
        return server.finish(&running, &Response::MAILBOX_READ_ONLY);
    }
    let before = opened.numbering.view().clone();
    // RFC 7162 §3.1: who asks so knows mod-sequences.
    server.enabled.condstore |= request.unchanged_since.is_some();
    let Some((running, uids)) = resolve(server, running, &request.set) else { return };
    let Request { change, flags, silent, unchanged_since, .. } = request;
    let question = Question::Store { uids: uids.clone(), change, flags: flags.clone(), unchanged_since };
    server.ask(question, Asked::Store(running, Change { uids, change, flags, silent, before }));
}

fn parse(mut cursor: Cursor<'_>) -> Result<Request, Response> {
    let bad = || Response::BAD_ARGUMENTS;
    let set = cursor.space().then(|| SequenceSet::read(&mut cursor)).flatten().ok_or_else(bad)?;
    cursor.space().then_some(()).ok_or_else(bad)?;
    let unchanged_since = if cursor.is_next(b'(') { Some(modifier(&mut cursor).ok_or_else(bad)?) } else { None };
    let (change, silent) = item(&mut cursor).ok_or_else(bad)?;
    let names = flags(&mut cursor).ok_or_else(bad)?;
    end(&cursor)?;
    Ok(Request { set, unchanged_since, change, silent, flags: flag_names(names.into_iter())? })
}

/// RFC 7162 §7: "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")" SP
fn modifier(cursor: &mut Cursor<'_>) -> Option<ModSeq> {
    let named = cursor.byte(b'(') && cursor.keyword("UNCHANGEDSINCE") && cursor.space();
    let modseq = cursor.modseq().filter(|_| named)?;
    (cursor.byte(b')') && cursor.space()).then_some(modseq)
}

/// RFC 3501 §9: (["+" / "-"] "FLAGS" [".SILENT"]) SP
fn item(cursor: &mut Cursor<'_>) -> Option<(FlagChange, bool)> {
    let change = match () {
        () if cursor.byte(b'+') => FlagChange::Add,
        () if cursor.byte(b'-') => FlagChange::Remove,
        () => FlagChange::Replace,
    };
    let silent = match cursor.atom()?.to_ascii_uppercase().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return None,
    };
    cursor.space().then_some((change, silent))
}

/// RFC 3501 §9: flag-list / (flag *(SP flag))
fn flags(cursor: &mut Cursor<'_>) -> Option<Vec<String>> {
    if cursor.byte(b'(') {
        return flag_list(cursor);
    }
    let mut flags = vec![flag(cursor)?];
    while cursor.space() {
        flags.push(flag(cursor)?);
    }
    Some(flags)
}

/// The rest of: flag-list = "(" [flag *(SP flag)] ")"
pub(super) fn flag_list(cursor: &mut Cursor<'_>) -> Option<Vec<String>> {
    let mut flags = Vec::new();
    while !cursor.byte(b')') {
        (flags.is_empty() || cursor.space()).then_some(())?;
        flags.push(flag(cursor)?);
    }
    Some(flags)
}

/// flag = ["\"] atom
fn flag(cursor: &mut Cursor<'_>) -> Option<String> {
    let mark = if cursor.byte(b'\\') { "\\" } else { "" };
    Some(format!("{mark}{}", cursor.atom()?))
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, change: &Change, answer: Answer) {
    let Answer::Stored { modified, view } = answer else { return server.finish(running, &refusal(answer)) };
    server.learn(view);
    let enabled = server.enabled;
    let State::Selected(opened) = &mut server.state else { return };
    // Numbers as the client knows them now: it is told of nothing that would change them before the tagged response.
    let left = if running.by_uid { modified.to_string() } else { numbers(opened, &modified) };
    opened.tell(&mut server.out, running, enabled, |opened, flagged| change.choose(opened, flagged, &modified, enabled));
    let response = if modified.is_empty() {
        Response::OK
    } else {
        // RFC 7162 §3.1.3.
        Response::OK.code(format!("MODIFIED {left}")).text("Some had changed and were left alone")
    };
    server.respond(&running.tag, &response);
}

fn numbers(opened: &Opened, uids: &UidSet) -> String {
    let view = opened.numbering.view();
    let numbers = view.select(uids).filter_map(|entry| opened.numbering.number(entry.uid));
    numbers.filter_map(|number| u32::try_from(number).ok()).collect::<UidSet>().to_string()
}

impl Change {
    /// Every message named is told of, changed or not; a silent STORE keeps back what came out as the client expects,
    /// but not what others did meanwhile (RFC 3501 §6.4.6), and not the mod-sequence (RFC 7162 §3.1.3).
    fn choose(&self, opened: &Opened, mut flagged: Flagged, modified: &UidSet, enabled: Enabled) -> Flagged {
        let view = opened.numbering.view();
        if self.silent {
            let named = self.flags.keywords.iter().filter_map(|name| view.keyword(name)).map(Flags::keyword);
            let named = named.fold(self.flags.system, Flags::with);
            for news in &mut flagged {
                let done = self.uids.contains(news.uid) && !modified.contains(news.uid);
                let expected = self.before.find(news.uid).filter(|_| done).map(|entry| self.change.apply(entry.flags, named));
                news.flags &= expected.is_none() || expected != view.find(news.uid).map(|entry| entry.flags);
            }
            flagged.retain(|news| news.flags || enabled.condstore);
            return flagged;
        }
        let all = view.select(&self.uids).filter(|entry| !modified.contains(entry.uid));
        flagged
            .extend(all.filter_map(|entry| opened.numbering.number(entry.uid).map(|number| News { number, uid: entry.uid, flags: true })));
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
