//! IDLE (RFC 2177): the client listens until it says DONE, or sends another command.

use super::{Asked, Running};
use crate::frame::Frame;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Phase, Server, State};

/// RFC 2177 §4: "IDLE". What is new already is told first, so nothing is missed between the last command and now.
pub(super) fn idle(server: &mut Server, running: Running) {
    if matches!(server.state, State::Selected(_)) {
        return server.ask(Question::Refresh, Asked::Idle(running));
    }
    server.go_on("idling");
    server.phase = Phase::Idle(running);
}

/// The door has answered; without an answer the client still may listen.
pub(super) fn begun(server: &mut Server, running: Running, answer: Answer) {
    if let Answer::Done(view) = answer {
        server.learn(view);
    }
    server.go_on("idling");
    server.tell(&running);
    server.phase = Phase::Idle(running);
}

/// RFC 2177 §4: "DONE" CRLF; anything else ends it, too.
///
/// A client that went on without DONE is told so, and what it sent instead is given back to be taken as a command: it waits
/// for the answer. The framer has read it with its literals, so that no octet of a message can become a command.
pub(crate) fn line(server: &mut Server, running: &Running, frame: Frame) -> Option<Frame> {
    if matches!(&frame, Frame::Command(line) if line.eq_ignore_ascii_case(b"DONE\r\n")) {
        server.finish(running, &Response::OK);
        return None;
    }
    server.finish(running, &Response::EXPECTED_DONE);
    // Unless that was one error too many.
    matches!(server.phase, Phase::Command).then_some(frame)
}
