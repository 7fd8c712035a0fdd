//! SEARCH (RFC 3501 §6.4.4): the door looks with what [`crate::search`] makes of the criteria.

use super::{Asked, Running};
use crate::questions::Query;
use crate::response::Response;
use crate::search::{Fault, Program};
use crate::server::{Server, State};
use imap_types::search::SearchKey;

/// RFC 3501 §9: "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key). A number that no message has finds nothing.
pub(super) fn search(server: &mut Server, running: Running, charset: Option<&str>, criteria: &[SearchKey<'_>]) {
    let State::Selected(opened) = &server.state else { return };
    let program = match Program::new(charset, criteria, |set, by_uid| opened.resolve(&set.into(), by_uid).unwrap_or_default()) {
        Ok(program) => program,
        Err(Fault::BadCharset) => return server.finish(&running, &Response::BAD_CHARSET),
        Err(_) => return server.respond(&running.tag, &Response::NOT_SUPPORTED),
    };
    let (numbering, recent_from) = (opened.numbering.clone(), opened.recent_from(server.enabled));
    let by_uid = running.by_uid;
    server.stream(Query::Search { program, numbering, recent_from, by_uid }, Asked::Streamed(running, Response::OK));
}
