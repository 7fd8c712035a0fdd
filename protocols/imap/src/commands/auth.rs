//! AUTHENTICATE and LOGIN (RFC 3501 §6.2.2, §6.2.3; RFC 4959): base64 and cancelling around a [`stoa_sasl::Exchange`].

use super::Asked;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::server::{Phase, Server, State};
use base64::{Engine, engine::general_purpose::STANDARD};
use stoa_sasl::{ChannelBindings, Exchange, Mechanism, Next, Outcome};

/// RFC 3501 §9: "AUTHENTICATE" SP auth-type [SP initial-resp]; the response is decoded already.
pub(super) fn authenticate(server: &mut Server, tag: String, name: &str, initial: Option<&[u8]>) {
    if server.tls.is_none() {
        return server.respond(&tag, &Response::PRIVACY_REQUIRED);
    }
    let Some(mechanism) = mechanisms(server).find(|mechanism| Mechanism::from_name(name) == Some(*mechanism)) else {
        return server.respond(&tag, &Response::UNKNOWN_MECHANISM);
    };
    begin(server, tag, mechanism, initial);
}

/// RFC 3501 §9: "LOGIN" SP userid SP password; the same as PLAIN in other clothes.
pub(super) fn login(server: &mut Server, tag: String, username: &[u8], password: &[u8]) {
    if server.tls.is_none() {
        return server.respond(&tag, &Response::PRIVACY_REQUIRED);
    }
    begin(server, tag, Mechanism::Plain, Some(&[b"\0", username, b"\0", password].concat()));
}

fn begin(server: &mut Server, tag: String, mechanism: Mechanism, initial: Option<&[u8]>) {
    server.auth_attempts += 1;
    let nonce = format!("{}{}", server.config.auth_nonce, server.auth_attempts);
    let mut exchange = Exchange::new(mechanism, bindings(server), nonce);
    let next = exchange.client(initial);
    proceed(server, tag, exchange, next);
}

/// RFC 3501 §6.2.2: a line that answers a challenge: base64, or `*` to cancel.
pub(crate) fn response(server: &mut Server, tag: String, mut exchange: Exchange, line: &[u8]) {
    match line.strip_suffix(b"\r\n").unwrap_or(line) {
        b"*" => server.respond(&tag, &Response::AUTH_CANCELLED),
        text => match STANDARD.decode(text) {
            Err(_) => server.respond(&tag, &Response::BAD_RESPONSE),
            Ok(bytes) => {
                let next = exchange.client(Some(&bytes));
                proceed(server, tag, exchange, next);
            }
        },
    }
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, tag: String, mut exchange: Exchange, answer: Answer) {
    let answer = if let Answer::Authentication(answer) = answer { answer } else { stoa_sasl::Answer::Unavailable };
    let next = exchange.answer(answer);
    proceed(server, tag, exchange, next);
}

fn proceed(server: &mut Server, tag: String, exchange: Exchange, next: Next) {
    match next {
        Next::Ask(question) => server.ask(Question::Authenticate(question), Asked::Authentication(tag, exchange)),
        Next::Challenge(bytes) => {
            server.go_on(&STANDARD.encode(bytes));
            server.phase = Phase::Authenticating(tag, exchange);
        }
        Next::Done(Outcome::Granted { .. }) => {
            server.state = State::Authenticated;
            let code = format!("CAPABILITY {}", super::small::capabilities(server));
            server.respond(&tag, &Response::OK.code(code).text("Welcome"));
        }
        Next::Done(Outcome::Unavailable) => server.respond(&tag, &Response::LOGIN_UNAVAILABLE),
        Next::Done(Outcome::Denied) => failed(server, &tag, &Response::LOGIN_DENIED),
        Next::Done(Outcome::Malformed) => failed(server, &tag, &Response::BAD_RESPONSE),
    }
}

fn failed(server: &mut Server, tag: &str, response: &Response) {
    server.login_failures += 1;
    server.respond(tag, response);
    if server.login_failures >= server.config.login_failures_max && !matches!(server.phase, Phase::Closed) {
        server.close(Some(&Response::TOO_MANY_FAILURES));
    }
}

/// Those that can be used on this connection.
pub(super) fn mechanisms(server: &Server) -> impl Iterator<Item = Mechanism> + use<> {
    let bound = bindings(server).any();
    Mechanism::ALL.into_iter().filter(move |mechanism| bound || *mechanism != Mechanism::ScramSha256Plus)
}

/// What this connection offers to bind to.
fn bindings(server: &Server) -> ChannelBindings {
    let facts = server.tls.clone().unwrap_or_default();
    ChannelBindings { exporter: facts.exporter, server_end_point: facts.server_end_point }
}
