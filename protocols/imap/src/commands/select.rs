//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2) with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5), CLOSE (RFC 3501 §6.4.2)
//! and UNSELECT (RFC 3691): which mailbox is open.

use super::list::write_with_old_name;
use super::{Asked, Named, Running, end, named, refusal};
use crate::fetch::Plan;
use crate::grammar::Cursor;
use crate::opened::Opened;
use crate::questions::{Answer, Query, Question};
use crate::response::{Condition, Response};
use crate::sequence::{End, SequenceSet};
use crate::server::{Server, State};
use stoa_mailbox::{ModSeq, SystemFlag, Uid, UidSet};

/// What is to be opened.
#[derive(Debug)]
pub(crate) struct Request {
    mailbox: Named,
    condstore: bool,
    resync: Option<Resync>,
}

/// What a client that was away remembers (RFC 7162 §3.2.5).
///
/// Its list of numbers and UIDs would help a server that forgets what went; this one does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resync {
    uid_validity: u32,
    modseq: ModSeq,
    /// The UIDs it knows; without, all that there may be.
    known: Option<UidSet>,
}

/// RFC 3501 §9: "SELECT" SP mailbox. Whatever comes of it, the mailbox that was open is let go.
pub(super) fn select(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    open(server, running, cursor, false);
}

/// RFC 3501 §9: "EXAMINE" SP mailbox
pub(super) fn examine(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    open(server, running, cursor, true);
}

fn open(server: &mut Server, running: Running, mut cursor: Cursor<'_>, read_only: bool) {
    let request = parse(server, &mut cursor);
    let was_open = matches!(server.state, State::Selected(_));
    match request {
        Ok(request) => {
            server.state = State::Authenticated;
            if was_open {
                tell_closed(server);
            }
            server.enabled.condstore |= request.condstore;
            server.ask(Question::Select { mailbox: request.mailbox.name.clone(), read_only }, Asked::Select(running, request));
        }
        // RFC 9051 §6.3.2: a SELECT that fails leaves none open, and the door must let go, too.
        Err(response) if was_open && response.condition == Condition::No => {
            server.state = State::Authenticated;
            tell_closed(server);
            server.ask(Question::Unselect, Asked::Unselect(running, response));
        }
        Err(response) => server.respond(&running.tag, &response),
    }
}

/// RFC 7162 §3.2.11, RFC 9051 §7.1: what follows is not of the mailbox that was open.
fn tell_closed(server: &mut Server) {
    if server.enabled.qresync || server.enabled.rev2 {
        Response::CLOSED.write(&mut server.out, "*");
    }
}

/// SP mailbox [SP "(" select-param *(SP select-param) ")"] CRLF
fn parse(server: &Server, cursor: &mut Cursor<'_>) -> Result<Request, Response> {
    let mut request = Request { mailbox: named(server, cursor)?, condstore: false, resync: None };
    if cursor.space() {
        parameters(cursor, &mut request).ok_or(Response::BAD_ARGUMENTS)?;
    }
    end(cursor)?;
    if request.resync.is_some() && !server.enabled.qresync {
        return Err(Response::BAD_ARGUMENTS.text("ENABLE QRESYNC first"));
    }
    Ok(request)
}

/// RFC 7162 §7: "CONDSTORE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
fn parameters(cursor: &mut Cursor<'_>, request: &mut Request) -> Option<()> {
    cursor.byte(b'(').then_some(())?;
    loop {
        if cursor.keyword("CONDSTORE") {
            request.condstore = true;
        } else {
            request.resync = Some(resync(cursor)?);
        }
        if cursor.byte(b')') {
            return Some(());
        }
        cursor.space().then_some(())?;
    }
}

fn resync(cursor: &mut Cursor<'_>) -> Option<Resync> {
    (cursor.keyword("QRESYNC") && cursor.space() && cursor.byte(b'(')).then_some(())?;
    let uid_validity = cursor.number()?;
    let modseq = cursor.space().then(|| cursor.modseq()).flatten()?;
    let mut resync = Resync { uid_validity, modseq, known: None };
    while cursor.space() {
        if cursor.byte(b'(') {
            SequenceSet::read(cursor)?;
            cursor.space().then(|| SequenceSet::read(cursor)).flatten()?;
            cursor.byte(b')').then_some(())?;
        } else {
            resync.known = Some(known_uids(SequenceSet::read(cursor)?)?);
        }
    }
    cursor.byte(b')').then_some(resync)
}

/// known-uids = sequence-set, in which `*` is not allowed
fn known_uids(set: SequenceSet) -> Option<UidSet> {
    let SequenceSet::Ranges(ranges) = set else { return None };
    let number = |end| if let End::Number(number) = end { Some(number) } else { None };
    let ends = ranges.into_iter().map(|(from, to)| number(from).zip(number(to))).collect::<Option<Vec<(Uid, Uid)>>>()?;
    Some(UidSet::from_ranges(ends.into_iter().map(|(a, b)| a.min(b)..=a.max(b))))
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: Running, request: Request, answer: Answer) {
    let Answer::Selected(selected) = answer else { return server.respond(&running.tag, &refusal(answer)) };
    let mailbox_id = selected.mailbox_id.clone();
    let Named { name, given } = request.mailbox;
    let opened = Box::new(Opened::new(name, selected));
    tell(server, &opened, &mailbox_id, &given);
    let resync = request.resync.filter(|resync| resync.uid_validity == opened.numbering.view().uid_validity);
    let response = selected_response(&opened);
    server.state = State::Selected(opened);
    match resync {
        Some(resync) => server.ask(Question::Vanished { since: resync.modseq }, Asked::Resync(running, resync)),
        None => server.respond(&running.tag, &response),
    }
}

fn selected_response(opened: &Opened) -> Response {
    if opened.read_only { Response::READ_ONLY } else { Response::READ_WRITE }
}

/// RFC 3501 §6.3.1: what a client must know of a mailbox, in the order of the standard.
fn tell(server: &mut Server, opened: &Opened, mailbox_id: &str, given: &str) {
    let (view, enabled) = (opened.numbering.view(), server.enabled);
    opened.write_flags(&mut server.out);
    server.out.extend_from_slice(format!("* {} EXISTS\r\n", view.len()).as_bytes());
    opened.write_recent(&mut server.out, enabled);
    let unseen = if enabled.rev2 { None } else { view.iter().position(|entry| !entry.flags.has(SystemFlag::Seen)) };
    let codes = [
        unseen.map(|place| (format!("UNSEEN {}", place + 1), "The first unseen message")),
        Some((format!("UIDNEXT {}", view.uid_next), "The next UID, or less than it")),
        Some((format!("UIDVALIDITY {}", view.uid_validity), "UIDs are valid")),
        // RFC 7162 §3.1.2.1: also to who did not ask for it.
        Some((format!("HIGHESTMODSEQ {}", view.highest_modseq), "The newest change")),
        Some((format!("MAILBOXID ({mailbox_id})"), "The mailbox, whatever its name")),
    ];
    for (code, text) in codes.into_iter().flatten() {
        Response::OK.code(code).text(text).write(&mut server.out, "*");
    }
    if enabled.rev2 {
        // RFC 9051 §6.3.2.
        write_with_old_name(&mut server.out, &opened.mailbox, &[], given);
    }
}

/// What went is told first (RFC 7162 §3.2.5.1), then what changed. Without an answer all that is not there is said to be gone.
pub(super) fn resynced(server: &mut Server, running: Running, resync: &Resync, answer: Answer) {
    let State::Selected(opened) = &server.state else { return };
    let view = opened.numbering.view();
    let gone = match answer {
        Answer::Vanished(gone) => gone,
        _ => UidSet::from_ranges([1..=view.uid_next.saturating_sub(1)]),
    };
    let gone = resync.known.as_ref().map_or(gone.clone(), |known| gone.common(known));
    let gone = gone.without(&view.iter().map(|entry| entry.uid).collect());
    let is_known = |uid| resync.known.as_ref().is_none_or(|known| known.contains(uid));
    let uids: UidSet = view.changed_since(resync.modseq).map(|entry| entry.uid).filter(|&uid| is_known(uid)).collect();
    let (numbering, recent_from) = (opened.numbering.clone(), opened.recent_from(server.enabled));
    let response = selected_response(opened);
    write_vanished(&mut server.out, &gone);
    if uids.is_empty() {
        return server.respond(&running.tag, &response);
    }
    let query = Query::Fetch { uids, plan: Plan::changes(), numbering, recent_from };
    server.stream(query, Asked::Streamed(running, response));
}

/// RFC 7162 §3.2.10.1: "VANISHED" SP "(EARLIER)" SP known-uids
pub(super) fn write_vanished(out: &mut Vec<u8>, gone: &UidSet) {
    if !gone.is_empty() {
        out.extend_from_slice(format!("* VANISHED (EARLIER) {gone}\r\n").as_bytes());
    }
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
