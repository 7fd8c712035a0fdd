//! SORT (RFC 5256 §3): SEARCH in another order, with ESEARCH's answer if that is asked for (RFC 5267 §3, ESORT).

use super::search::{Request, ask, program, refuse, returns};
use super::{Asked, Running};
use crate::grammar::Cursor;
use crate::search::grammar::{self, Fault};
use crate::search::{Order, Program};
use crate::server::Server;
use crate::sort::Criteria;

/// RFC 5256 §5: "SORT" [SP "RETURN" SP search-return-opts] SP sort-criteria SP charset SP search-key *(SP search-key)
pub(super) fn sort(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let returns = match returns(&mut cursor) {
        Ok(returns) => returns,
        Err(fault) => return server.respond(&running.tag, &fault.into()),
    };
    match parse(server, &mut cursor) {
        Ok((criteria, program)) => {
            let request = Request { name: "SORT", returns, asks_modseq: program.asks_modseq() };
            ask(server, program, Order::Sorted(criteria), Asked::Search(running, request));
        }
        Err(fault) => refuse(server, &running, returns, &fault.into()),
    }
}

fn parse(server: &mut Server, cursor: &mut Cursor<'_>) -> Result<(Criteria, Program), Fault> {
    let criteria = Criteria::read(cursor).filter(|_| cursor.space()).ok_or(Fault::Syntax)?;
    grammar::charset(cursor)?;
    Ok((criteria, program(server, cursor)?))
}
