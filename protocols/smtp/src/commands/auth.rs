//! AUTH (RFC 4954): base64 and cancelling around a [`stoa_sasl::Exchange`].

use super::hello::mechanisms;
use super::lacks_tls;
use crate::limits::AUTH_FAILURES_MAX;
use crate::line::LineFault;
use crate::reply::Reply;
use crate::server::{Asked, Question, Role, Server, State};
use base64::{Engine, engine::general_purpose::STANDARD};
use stoa_sasl::{ChannelBindings, Exchange, Mechanism, Next, Outcome};

/// RFC 4954 §4: "AUTH" SP sasl-mech [ SP initial-response ] CRLF, initial-response = base64 / "="
pub(super) fn auth(server: &mut Server, arguments: &str) {
    let (name, initial) = arguments.split_once(' ').map_or((arguments, None), |(name, initial)| (name, Some(initial)));
    let mechanism = match mechanism(server, name) {
        Err(reply) => return server.reply(reply),
        Ok(mechanism) => mechanism,
    };
    let response = match initial {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(text) => match STANDARD.decode(text) {
            Err(_) => return server.reply(Reply::BAD_RESPONSE),
            Ok(bytes) => Some(bytes),
        },
    };
    server.auth_attempts += 1;
    let nonce = format!("{}{}", server.config.auth_nonce, server.auth_attempts);
    let mut exchange = Exchange::new(mechanism, ChannelBindings::default(), nonce);
    let next = exchange.client(response.as_deref());
    proceed(server, exchange, next);
}

fn mechanism(server: &Server, name: &str) -> Result<Mechanism, Reply> {
    if server.config.role != Role::Submission {
        return Err(Reply::NOT_OFFERED);
    }
    if lacks_tls(server) {
        return Err(Reply::AUTH_NEEDS_TLS);
    }
    // RFC 4954 §4.
    if server.client.account.is_some() || server.transaction.is_some() {
        return Err(Reply::BAD_SEQUENCE);
    }
    if name.is_empty() {
        return Err(Reply::BAD_ARGUMENTS);
    }
    mechanisms().find(|mechanism| Mechanism::from_name(name) == Some(*mechanism)).ok_or(Reply::UNKNOWN_MECHANISM)
}

/// RFC 4954 §4: a line that answers a challenge: base64, or `*` to cancel.
pub(crate) fn response(server: &mut Server, mut exchange: Exchange, line: Result<String, LineFault>) {
    let refusal = match line.as_deref() {
        Ok("*") => Reply::AUTH_CANCELLED,
        Err(LineFault::TooLong) => Reply::AUTH_LINE_TOO_LONG,
        Err(_) => Reply::BAD_RESPONSE,
        Ok(text) => match STANDARD.decode(text) {
            Err(_) => Reply::BAD_RESPONSE,
            Ok(bytes) => {
                let next = exchange.client(Some(&bytes));
                return proceed(server, exchange, next);
            }
        },
    };
    server.reply(refusal);
}

/// The door has answered.
pub(crate) fn answered(server: &mut Server, mut exchange: Exchange, answer: stoa_sasl::Answer) {
    let next = exchange.answer(answer);
    proceed(server, exchange, next);
}

fn proceed(server: &mut Server, exchange: Exchange, next: Next) {
    match next {
        Next::Ask(question) => server.ask(Question::Authenticate(question), Asked::Authentication(exchange)),
        Next::Challenge(bytes) => {
            server.reply(Reply::plain(334, STANDARD.encode(bytes).into()));
            server.state = State::Authenticating(exchange);
        }
        Next::Done(Outcome::Granted { account, .. }) => {
            server.client.account = Some(account);
            server.reply(Reply::AUTHENTICATED);
        }
        Next::Done(Outcome::Unavailable) => server.reply(Reply::AUTH_UNAVAILABLE),
        Next::Done(Outcome::Denied) => failed(server, Reply::AUTH_DENIED),
        Next::Done(Outcome::Malformed) => failed(server, Reply::BAD_RESPONSE),
    }
}

fn failed(server: &mut Server, reply: Reply) {
    server.auth_failures += 1;
    server.reply(reply);
    if server.auth_failures >= AUTH_FAILURES_MAX && !matches!(server.state, State::Closed) {
        server.close(Some(Reply::TOO_MANY_FAILURES));
    }
}
