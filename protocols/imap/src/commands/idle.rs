//! IDLE (RFC 2177): the client listens until it says DONE.

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

/// RFC 2177 §4: "DONE" CRLF; anything else ends it, too, and is not executed.
pub(crate) fn line(server: &mut Server, running: &Running, frame: &Frame) {
    let done = matches!(frame, Frame::Command(line) if line.eq_ignore_ascii_case(b"DONE\r\n"));
    server.finish(running, if done { &Response::OK } else { &Response::EXPECTED_DONE });
}
