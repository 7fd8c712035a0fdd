//! THREAD (RFC 5256 §3): SEARCH, with what was found as conversations.

use super::search::{ask, program};
use super::{Asked, Running, refusal};
use crate::grammar::Cursor;
use crate::questions::Answer;
use crate::response::Response;
use crate::search::grammar::{self, Fault};
use crate::search::{Order, Program};
use crate::server::{Server, State};
use crate::threads::{Algorithm, Node, write};

/// RFC 5256 §5: "THREAD" SP thread-alg SP charset SP search-key *(SP search-key)
pub(super) fn thread(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(server, &mut cursor) {
        Ok((algorithm, program)) => ask(server, program, Order::Threads(algorithm), Asked::Thread(running)),
        Err(fault) => server.respond(&running.tag, &fault.into()),
    }
}

fn parse(server: &mut Server, cursor: &mut Cursor<'_>) -> Result<(Algorithm, Program), Fault> {
    let name = cursor.space().then(|| cursor.atom()).flatten().ok_or(Fault::Syntax)?;
    let algorithm = Algorithm::named(name).ok_or(Fault::UnknownAlgorithm)?;
    cursor.space().then_some(()).ok_or(Fault::Syntax)?;
    grammar::charset(cursor)?;
    Ok((algorithm, program(server, cursor)?))
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, answer: Answer) {
    let Answer::Threads(mut nodes) = answer else { return server.finish(running, &refusal(answer)) };
    if !running.by_uid {
        let State::Selected(opened) = &server.state else { return };
        let number = |uid| opened.numbering.number(uid).and_then(|number| u32::try_from(number).ok());
        let numbered = |node: &Node| Some(Node { uid: node.uid.map(number).map_or(Some(None), |number| number.map(Some))?, ..*node });
        // The door answers of the messages that it was given; another one would be our own fault.
        match nodes.iter().map(numbered).collect::<Option<Vec<Node>>>() {
            Some(numbered) => nodes = numbered,
            None => return server.finish(running, &Response::LOCAL_ERROR),
        }
    }
    write(&mut server.out, nodes.into_iter());
    server.finish(running, &Response::OK);
}
