//! The commands: one file each, and the table that names them all.
//!
//! What must hold before a command runs stands in the table as data and is checked here, once.

pub(crate) mod auth;
mod bdat;
mod data;
mod hello;
mod mail;
mod rcpt;
mod small;
mod starttls;

use crate::reply::Reply;
use crate::server::{Role, Server, Then};

/// A command and when it is valid.
struct Command {
    verb: &'static str,
    run: fn(&mut Server, &str),
    before_hello: bool,
    /// What it means between the chunks of a message.
    among_chunks: AmongChunks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AmongChunks {
    /// Runs and leaves the message alone.
    Keeps,
    /// Is out of order.
    Refused,
    /// Ends the message unfinished, then runs.
    Aborts,
}

use AmongChunks::{Aborts, Keeps, Refused};

/// RFC 5321 §4.1.1 with the commands of the extensions. BDAT must see its octets in whatever state it comes.
#[rustfmt::skip]
const COMMANDS: [Command; 14] = [
    Command { verb: "EHLO",     run: hello::ehlo,        before_hello: true,  among_chunks: Aborts },
    Command { verb: "HELO",     run: hello::helo,        before_hello: true,  among_chunks: Aborts },
    Command { verb: "MAIL",     run: mail::mail,         before_hello: false, among_chunks: Refused },
    Command { verb: "RCPT",     run: rcpt::rcpt,         before_hello: false, among_chunks: Refused },
    Command { verb: "DATA",     run: data::data,         before_hello: false, among_chunks: Refused },
    Command { verb: "BDAT",     run: bdat::bdat,         before_hello: true,  among_chunks: Keeps },
    Command { verb: "RSET",     run: small::rset,        before_hello: true,  among_chunks: Aborts },
    Command { verb: "NOOP",     run: small::noop,        before_hello: true,  among_chunks: Keeps },
    Command { verb: "VRFY",     run: small::vrfy,        before_hello: true,  among_chunks: Keeps },
    Command { verb: "EXPN",     run: small::expn,        before_hello: true,  among_chunks: Keeps },
    Command { verb: "HELP",     run: small::help,        before_hello: true,  among_chunks: Keeps },
    Command { verb: "QUIT",     run: small::quit,        before_hello: true,  among_chunks: Aborts },
    Command { verb: "STARTTLS", run: starttls::starttls, before_hello: false, among_chunks: Refused },
    Command { verb: "AUTH",     run: auth::auth,         before_hello: false, among_chunks: Refused },
];

/// RFC 5321 §4.1.1: verb and arguments; white space at the end is tolerated.
pub(crate) fn run(server: &mut Server, line: &str) {
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let Some(command) = COMMANDS.iter().find(|command| command.verb.eq_ignore_ascii_case(verb)) else {
        return server.reply(Reply::UNKNOWN_COMMAND);
    };
    if !command.before_hello && server.client.helo.is_empty() {
        return server.reply(Reply::BAD_SEQUENCE.text("Send EHLO first"));
    }
    match command.among_chunks {
        Refused if server.has_content() => server.reply(Reply::BAD_SEQUENCE.text("Finish the message with BDAT first")),
        Aborts if server.has_content() => server.abort(Then::Command(line.to_owned())),
        _ => (command.run)(server, arguments),
    }
}

/// Whether the longer line limit of RFC 4954 §4 holds.
pub(crate) fn is_auth(line: &str) -> bool {
    line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("AUTH "))
}

/// The verbs, for HELP.
fn verbs() -> String {
    COMMANDS.map(|command| command.verb).join(" ")
}

/// Whether the listener wants TLS before this goes on.
fn lacks_tls(server: &Server) -> bool {
    server.config.role == Role::Submission && server.client.tls.is_none()
}
