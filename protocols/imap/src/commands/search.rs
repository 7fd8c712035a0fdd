//! SEARCH (RFC 9051 §6.4.4): the door looks with what [`crate::search`] makes of the criteria, the answer is written here.
//!
//! With RETURN it is ESEARCH (RFC 4731), which may be kept for `$` (RFC 5182) or tell a piece (RFC 9394).

use super::{Asked, Running, refusal};
use crate::grammar::Cursor;
use crate::opened::Opened;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::search::grammar::{self, Charset, Fault};
use crate::search::results::{Found, Returns, write_plain};
use crate::search::{Order, Program};
use crate::sequence::{End, SequenceSet};
use crate::server::{Server, State};
use stoa_mailbox::{Uid, UidSet};

/// What was asked for besides the criteria.
#[derive(Debug)]
pub(crate) struct Request {
    /// Of the response without RETURN.
    pub name: &'static str,
    /// None: that response.
    pub returns: Option<Returns>,
    pub asks_modseq: bool,
}

/// RFC 9051 §9: "SEARCH" [SP "RETURN" SP search-return-opts] SP ["CHARSET" SP charset SP] search-key *(SP search-key)
pub(super) fn search(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let returns = match returns(&mut cursor) {
        Ok(returns) => returns.or(server.enabled.rev2.then_some(Returns::ALL)),
        Err(fault) => return server.respond(&running.tag, &fault.into()),
    };
    let parsed = charset(server, &mut cursor).and_then(|()| program(server, &mut cursor));
    match parsed {
        Ok(program) => {
            let request = Request { name: "SEARCH", returns, asks_modseq: program.asks_modseq() };
            ask(server, program, Order::Mailbox, Asked::Search(running, request));
        }
        Err(fault) => refuse(server, &running, returns, &fault.into()),
    }
}

/// [SP "RETURN" SP search-return-opts] SP
pub(super) fn returns(cursor: &mut Cursor<'_>) -> Result<Option<Returns>, Fault> {
    cursor.space().then_some(()).ok_or(Fault::Syntax)?;
    if !cursor.keyword("RETURN") {
        return Ok(None);
    }
    let returns = Returns::read(cursor).filter(|_| cursor.space()).ok_or(Fault::Syntax)?;
    Ok(Some(returns))
}

/// RFC 6855 §3: where all is UTF-8, another charset is a contradiction. To say so once more is none.
fn charset(server: &Server, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    match grammar::optional_charset(cursor) {
        Ok(Some(Charset::UsAscii)) | Err(Fault::BadCharset) if server.enabled.utf8 => Err(Fault::Syntax),
        other => other.map(|_| ()),
    }
}

/// The criteria. A number that no message has finds nothing.
pub(super) fn program(server: &mut Server, cursor: &mut Cursor<'_>) -> Result<Program, Fault> {
    let State::Selected(opened) = &server.state else { return Err(Fault::Syntax) };
    let program = grammar::program(cursor, &|set, by_uid| span(opened, set, by_uid))?;
    // RFC 7162 §3.1: who asks so knows mod-sequences.
    server.enabled.condstore |= program.asks_modseq();
    Ok(program)
}

/// The UIDs from the first to the last message of each range. Between two numbers that follow one another no message lies,
/// so that a set costs as much as it is long, not as many as it names.
fn span(opened: &Opened, set: &SequenceSet, by_uid: bool) -> UidSet {
    let ranges = match set {
        SequenceSet::Saved => return opened.saved.clone(),
        SequenceSet::Ranges(ranges) => ranges,
    };
    let count = u32::try_from(opened.numbering.len()).unwrap_or(u32::MAX);
    let uid = |number: u32| opened.numbering.uid(usize::try_from(number).unwrap_or(usize::MAX));
    let Some(last) = uid(count) else { return UidSet::default() };
    let last = if by_uid { last } else { count };
    let value = |end: End| if let End::Number(number) = end { number } else { last };
    let span = |&(a, b): &(End, End)| {
        let (from, to) = (value(a).min(value(b)), value(a).max(value(b)));
        if by_uid { Some(from..=to) } else { Some(uid(from)?..=uid(to.min(count))?) }
    };
    UidSet::from_ranges(ranges.iter().filter_map(span))
}

/// Asks the door for what the criteria find.
pub(super) fn ask(server: &mut Server, program: Program, order: Order, asked: Asked) {
    let State::Selected(opened) = &server.state else { return };
    let (numbering, recent_from) = (opened.numbering.clone(), opened.recent_from(server.enabled));
    server.ask(Question::Search { program, numbering, recent_from, order }, asked);
}

/// RFC 5182 §2.1: a search that is refused leaves nothing saved; one that is not understood leaves what was.
pub(super) fn refuse(server: &mut Server, running: &Running, returns: Option<Returns>, response: &Response) {
    if returns.is_some_and(|returns| returns.save) && response.condition == crate::response::Condition::No {
        save(server, UidSet::default());
    }
    server.respond(&running.tag, response);
}

fn save(server: &mut Server, found: UidSet) {
    if let State::Selected(opened) = &mut server.state {
        opened.saved = found;
    }
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, request: &Request, answer: Answer) {
    let Answer::Found(found) = answer else { return refuse(server, running, request.returns, &refusal(answer)) };
    tell(server, running, request, &found);
    server.finish(running, &Response::OK);
}

/// Writes what was found, and saves it if that is asked for.
fn tell(server: &mut Server, running: &Running, request: &Request, found: &[Uid]) {
    let State::Selected(opened) = &mut server.state else { return };
    let chosen = request.returns.map_or_else(|| vec![found], |returns| returns.chosen(found));
    let chosen = || chosen.iter().copied().flatten().copied();
    let modseqs = chosen().filter_map(|uid| opened.numbering.view().find(uid)).map(|entry| entry.modseq);
    let modseq = if request.asks_modseq { modseqs.max() } else { None };
    let hits = hits(opened, running.by_uid, found);
    let told = Found { tag: &running.tag, by_uid: running.by_uid, hits: &hits, modseq };
    match request.returns {
        None => write_plain(&mut server.out, request.name, &told),
        Some(returns) => returns.write(&mut server.out, &told),
    }
    if request.returns.is_some_and(|returns| returns.save) {
        opened.saved = UidSet::from_ranges(chosen().map(|uid| uid..=uid));
    }
}

/// UIDs as the command tells them: as they are, or as numbers.
fn hits(opened: &Opened, by_uid: bool, found: &[Uid]) -> Vec<u32> {
    let number = |uid: &Uid| if by_uid { Some(*uid) } else { u32::try_from(opened.numbering.number(*uid)?).ok() };
    found.iter().filter_map(number).collect()
}

impl From<Fault> for Response {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax => Self::BAD_ARGUMENTS,
            Fault::UnknownAlgorithm => Self::UNKNOWN_ALGORITHM,
            Fault::UnknownKey => Self::UNKNOWN_KEY,
            Fault::BadCharset => Self::BAD_CHARSET,
            Fault::NotText => Self::NOT_TEXT,
            Fault::TooDeep => Self::SEARCH_TOO_DEEP,
            Fault::TooMany => Self::TOO_MANY_TEXTS,
        }
    }
}
