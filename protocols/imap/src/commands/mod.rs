//! The commands: one file each, and the table that names them all.
//!
//! When a command is valid and whether its responses may carry EXPUNGE stands in the table as data and is checked
//! here, once. Commands that take names or sets of messages read their arguments themselves, from a cursor; what the codec
//! reads comes as a value. Questions come back through [`Asked`].

pub(crate) mod append;
pub(crate) mod auth;
mod compress;
mod copy;
pub(crate) mod enable;
mod expunge;
mod fetch;
pub(crate) mod idle;
mod list;
mod listing;
mod lsub;
mod mailboxes;
mod search;
mod select;
pub(crate) mod small;
mod sort;
mod starttls;
mod status;
mod store;
mod threads;

use crate::grammar::Cursor;
use crate::names;
use crate::questions::{Answer, Question};
use crate::response::Response;
use crate::sequence::SequenceSet;
use crate::server::{Phase, Server, State};
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_types::command::CommandBody;
use stoa_mailbox::UidSet;

/// A command's name, when it is valid, and who reads its arguments.
struct Rule {
    name: &'static str,
    valid: Valid,
    /// RFC 3501 §7.4.1: numbers must not change under FETCH, STORE and SEARCH, nor under its kin.
    expunge: bool,
    run: Run,
}

/// RFC 3501 §6.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Valid {
    Always,
    BeforeLogin,
    AfterLogin,
    Selected,
}

/// Who reads the arguments.
#[derive(Clone, Copy)]
enum Run {
    /// The command's own file, from after its name.
    Own(fn(&mut Server, Running, Cursor<'_>)),
    /// The codec; then [`dispatch`].
    Codec,
}

use Run::{Codec, Own};
use Valid::{AfterLogin, Always, BeforeLogin};

#[rustfmt::skip]
const RULES: [Rule; 41] = [
    Rule { name: "CAPABILITY",   valid: Always,          expunge: true,  run: Codec },
    Rule { name: "NOOP",         valid: Always,          expunge: true,  run: Codec },
    Rule { name: "LOGOUT",       valid: Always,          expunge: false, run: Codec },
    Rule { name: "ID",           valid: Always,          expunge: true,  run: Own(small::id) },
    Rule { name: "STARTTLS",     valid: BeforeLogin,     expunge: false, run: Codec },
    Rule { name: "AUTHENTICATE", valid: BeforeLogin,     expunge: false, run: Codec },
    Rule { name: "LOGIN",        valid: BeforeLogin,     expunge: false, run: Codec },
    Rule { name: "ENABLE",       valid: AfterLogin,      expunge: true,  run: Own(enable::enable) },
    Rule { name: "NAMESPACE",    valid: AfterLogin,      expunge: true,  run: Codec },
    Rule { name: "COMPRESS",     valid: AfterLogin,      expunge: true,  run: Own(compress::compress) },
    Rule { name: "SELECT",       valid: AfterLogin,      expunge: false, run: Own(select::select) },
    Rule { name: "EXAMINE",      valid: AfterLogin,      expunge: false, run: Own(select::examine) },
    Rule { name: "CREATE",       valid: AfterLogin,      expunge: true,  run: Own(mailboxes::create) },
    Rule { name: "DELETE",       valid: AfterLogin,      expunge: true,  run: Own(mailboxes::delete) },
    Rule { name: "RENAME",       valid: AfterLogin,      expunge: true,  run: Own(mailboxes::rename) },
    Rule { name: "SUBSCRIBE",    valid: AfterLogin,      expunge: true,  run: Own(mailboxes::subscribe) },
    Rule { name: "UNSUBSCRIBE",  valid: AfterLogin,      expunge: true,  run: Own(mailboxes::unsubscribe) },
    Rule { name: "LIST",         valid: AfterLogin,      expunge: true,  run: Own(list::list) },
    Rule { name: "LSUB",         valid: AfterLogin,      expunge: true,  run: Own(lsub::lsub) },
    Rule { name: "STATUS",       valid: AfterLogin,      expunge: true,  run: Own(status::status) },
    Rule { name: "APPEND",       valid: AfterLogin,      expunge: true,  run: Codec },
    Rule { name: "IDLE",         valid: AfterLogin,      expunge: true,  run: Codec },
    Rule { name: "CHECK",        valid: Valid::Selected, expunge: true,  run: Codec },
    Rule { name: "CLOSE",        valid: Valid::Selected, expunge: false, run: Codec },
    Rule { name: "UNSELECT",     valid: Valid::Selected, expunge: false, run: Codec },
    Rule { name: "EXPUNGE",      valid: Valid::Selected, expunge: true,  run: Own(expunge::expunge) },
    Rule { name: "UID EXPUNGE",  valid: Valid::Selected, expunge: true,  run: Own(expunge::uid_expunge) },
    Rule { name: "SEARCH",       valid: Valid::Selected, expunge: false, run: Own(search::search) },
    Rule { name: "UID SEARCH",   valid: Valid::Selected, expunge: true,  run: Own(search::search) },
    Rule { name: "SORT",         valid: Valid::Selected, expunge: false, run: Own(sort::sort) },
    Rule { name: "UID SORT",     valid: Valid::Selected, expunge: true,  run: Own(sort::sort) },
    Rule { name: "THREAD",       valid: Valid::Selected, expunge: false, run: Own(threads::thread) },
    Rule { name: "UID THREAD",   valid: Valid::Selected, expunge: true,  run: Own(threads::thread) },
    Rule { name: "FETCH",        valid: Valid::Selected, expunge: false, run: Own(fetch::fetch) },
    Rule { name: "UID FETCH",    valid: Valid::Selected, expunge: true,  run: Own(fetch::fetch) },
    Rule { name: "STORE",        valid: Valid::Selected, expunge: false, run: Own(store::store) },
    Rule { name: "UID STORE",    valid: Valid::Selected, expunge: true,  run: Own(store::store) },
    Rule { name: "COPY",         valid: Valid::Selected, expunge: true,  run: Own(copy::copy) },
    Rule { name: "UID COPY",     valid: Valid::Selected, expunge: true,  run: Own(copy::copy) },
    Rule { name: "MOVE",         valid: Valid::Selected, expunge: true,  run: Own(copy::take) },
    Rule { name: "UID MOVE",     valid: Valid::Selected, expunge: true,  run: Own(copy::take) },
];

/// The command in progress.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub tag: String,
    /// May its responses carry EXPUNGE?
    pub expunge: bool,
    /// A UID command: FETCH responses name the UID.
    pub by_uid: bool,
}

impl Running {
    /// What comes while a client idles belongs to no command's arguments.
    pub(crate) fn idle() -> Self {
        Self { tag: String::new(), expunge: true, by_uid: false }
    }
}

/// The question that is with the door.
#[derive(Debug)]
pub(crate) enum Asked {
    Authentication(String, stoa_sasl::Exchange),
    /// CREATE and others that end with the answer.
    Plain(Running),
    /// The same, which may give a mailbox another name.
    Renamed(Running, mailboxes::Renamed),
    Idle(Running),
    List(Running, listing::Listing),
    /// The STATUS of a mailbox that LIST told of.
    Counted(Running, list::Rest),
    Lsub(Running, String),
    Select(Running, select::Request),
    /// What went while the client was away.
    Resync(Running, select::Resync),
    /// The EXPUNGE of a CLOSE.
    Close(Running),
    /// The mailbox to delete was the selected one.
    Delete(Running, Named),
    Expunge(Running),
    /// And what the client is told then.
    Unselect(Running, Response),
    Status(Running, status::Request),
    BeginAppend(append::Upload),
    EndAppend(Running),
    AbortAppend(append::Upload),
    CloseAfterAbort(Option<Response>),
    Copy(Running, bool),
    Store(Running, store::Change),
    /// What went since the client was told.
    Earlier(Running, Box<fetch::Request>),
    Search(Running, search::Request),
    Thread(Running),
    Seen(Running, fetch::Wanted),
    /// And what the client is told then.
    Streamed(Running, Response),
}

/// RFC 3501 §9: command = tag SP command-name … CRLF
pub(crate) fn run(server: &mut Server, command: &[u8]) {
    let mut cursor = Cursor::new(command).utf8(server.enabled.utf8_strings());
    let Some(tag) = cursor.tag() else {
        return server.respond("*", &Response::BAD_SYNTAX.text("A command begins with a tag"));
    };
    let Some(name) = name(&mut cursor) else {
        return server.respond(tag, &Response::BAD_SYNTAX);
    };
    let rule = match find(server, &name) {
        Err(response) => return server.respond(tag, &response),
        Ok(rule) => rule,
    };
    let running = Running { tag: tag.to_owned(), expunge: rule.expunge, by_uid: name.starts_with("UID ") };
    match rule.run {
        Own(run) => run(server, running, cursor),
        Codec => match CommandCodec::new().decode(command) {
            Ok(([], command)) => dispatch(server, running, command.body),
            _ => server.respond(tag, &Response::BAD_ARGUMENTS),
        },
    }
}

/// Why a command will not run, whatever its literals hold: then they are not asked for, least of all a password in the clear.
pub(crate) fn refusal_before_literal(server: &Server, gathered: &[u8]) -> Option<(String, Response)> {
    let mut cursor = Cursor::new(gathered);
    let tag = cursor.tag().unwrap_or("*").to_owned();
    let name = name(&mut cursor).unwrap_or_default();
    let refusal = match find(server, &name) {
        Err(refusal) => refusal,
        Ok(_) if name == "LOGIN" && server.tls.is_none() => Response::PRIVACY_REQUIRED,
        Ok(_) => return None,
    };
    Some((tag, refusal))
}

fn name(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.space().then_some(())?;
    let mut name = cursor.word()?.to_ascii_uppercase();
    if name == "UID" && cursor.space() {
        name = format!("UID {}", cursor.word()?.to_ascii_uppercase());
    }
    Some(name)
}

fn find(server: &Server, name: &str) -> Result<&'static Rule, Response> {
    let rule = RULES.iter().find(|rule| rule.name == name).ok_or(Response::UNKNOWN_COMMAND)?;
    match (rule.valid, &server.state) {
        (AfterLogin | Valid::Selected, State::NotAuthenticated) => Err(Response::LOG_IN_FIRST),
        (BeforeLogin, State::Authenticated | State::Selected(_)) => Err(Response::LOGGED_IN_ALREADY),
        (Valid::Selected, State::Authenticated) => Err(Response::SELECT_FIRST),
        _ => Ok(rule),
    }
}

fn dispatch(server: &mut Server, running: Running, body: CommandBody<'_>) {
    match body {
        CommandBody::Capability => small::capability(server, &running),
        CommandBody::Noop | CommandBody::Check => small::noop(server, running),
        CommandBody::Logout => small::logout(server, &running),
        CommandBody::Namespace => small::namespace(server, &running),
        CommandBody::StartTLS => starttls::starttls(server, &running),
        CommandBody::Authenticate { mechanism, initial_response } => {
            auth::authenticate(
                server,
                running.tag,
                mechanism.as_ref(),
                initial_response.as_ref().map(|secret| secret.declassify().as_ref()),
            );
        }
        CommandBody::Login { username, password } => auth::login(server, running.tag, username.as_ref(), password.declassify().as_ref()),
        CommandBody::Close => select::close(server, running),
        CommandBody::Unselect => select::unselect(server, running),
        CommandBody::Idle => idle::idle(server, running),
        // Extensions that the codec knows and we do not offer.
        _ => server.respond(&running.tag, &Response::NOT_SUPPORTED),
    }
}

/// The door has answered.
pub(crate) fn answered(server: &mut Server, answer: Answer) {
    if !matches!(server.phase, Phase::Asked(_)) {
        return;
    }
    let Phase::Asked(asked) = std::mem::replace(&mut server.phase, Phase::Command) else { return };
    match asked {
        Asked::Authentication(tag, exchange) => auth::answered(server, tag, exchange, answer),
        Asked::Plain(running) => plain(server, &running, answer),
        Asked::Renamed(running, renamed) => mailboxes::answered(server, &running, &renamed, answer),
        Asked::Idle(running) => idle::begun(server, running, answer),
        Asked::List(running, listing) => list::answered(server, running, listing, answer),
        Asked::Counted(running, rest) => list::counted(server, running, rest, answer),
        Asked::Lsub(running, pattern) => lsub::answered(server, &running, &pattern, answer),
        Asked::Select(running, request) => select::answered(server, running, request, answer),
        Asked::Resync(running, resync) => select::resynced(server, running, &resync, answer),
        Asked::Close(running) => select::expunged(server, running, answer),
        Asked::Delete(running, mailbox) => mailboxes::unselected(server, running, mailbox),
        Asked::Expunge(running) => expunge::answered(server, &running, answer),
        Asked::Unselect(running, response) => server.respond(&running.tag, &response),
        Asked::Status(running, request) => status::answered(server, &running, &request, answer),
        Asked::BeginAppend(upload) => append::begun(server, upload, answer),
        Asked::EndAppend(running) => append::filed(server, &running, answer),
        Asked::AbortAppend(upload) => append::aborted(server, upload),
        Asked::CloseAfterAbort(goodbye) => server.close(goodbye.as_ref()),
        Asked::Copy(running, take) => copy::answered(server, &running, take, answer),
        Asked::Store(running, change) => store::answered(server, &running, &change, answer),
        Asked::Search(running, request) => search::answered(server, &running, &request, answer),
        Asked::Thread(running) => threads::answered(server, &running, answer),
        Asked::Seen(running, wanted) => fetch::seen(server, running, wanted, answer),
        Asked::Earlier(running, request) => fetch::vanished(server, running, *request, answer),
        Asked::Streamed(running, response) => match answer {
            Answer::Streamed => server.finish(&running, &response),
            other => server.finish(&running, &refusal(other)),
        },
    }
}

fn plain(server: &mut Server, running: &Running, answer: Answer) {
    let response = match answer {
        Answer::Done(view) => {
            server.learn(view);
            Response::OK
        }
        Answer::Created { mailbox_id, view } => {
            server.learn(view);
            Response::OK.code(format!("MAILBOXID ({mailbox_id})"))
        }
        other => refusal(other),
    };
    server.finish(running, &response);
}

/// What a client is told of anything but the answer hoped for; an answer to another question is our own fault.
fn refusal(answer: Answer) -> Response {
    if let Answer::Refused(refusal) = answer { refusal.into() } else { Response::LOCAL_ERROR }
}

/// Asks what ends the command with the answer.
fn ask(server: &mut Server, running: Running, question: Question) {
    server.ask(question, Asked::Plain(running));
}

/// SP mailbox: its name as text.
fn mailbox(server: &Server, cursor: &mut Cursor<'_>) -> Result<String, Response> {
    named(server, cursor).map(|named| named.name)
}

/// What a client called a mailbox, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    name: String,
    given: String,
}

/// SP mailbox
fn named(server: &Server, cursor: &mut Cursor<'_>) -> Result<Named, Response> {
    let wire = cursor.space().then(|| cursor.astring()).flatten().ok_or(Response::BAD_ARGUMENTS)?;
    Named::decode(&wire, server.enabled.utf8_strings())
}

/// The name of a mailbox as text, from its wire form.
fn decode_name(wire: &[u8], utf8: bool) -> Result<String, Response> {
    Named::decode(wire, utf8).map(|named| named.name)
}

impl Named {
    fn decode(wire: &[u8], utf8: bool) -> Result<Self, Response> {
        let given = names::decode(wire, utf8).ok_or(Response::BAD_NAME)?;
        let name = names::normal(&given);
        if name.is_empty() || name.len() > crate::limits::MAILBOX_NAME_BYTES_MAX {
            return Err(Response::UNUSABLE_NAME);
        }
        Ok(Self { name, given })
    }
}

/// The end of a command's arguments.
fn end(cursor: &Cursor<'_>) -> Result<(), Response> {
    if cursor.end_of_command() { Ok(()) } else { Err(Response::BAD_ARGUMENTS) }
}

/// The messages that a set names, or else an end of the command.
///
/// Messages that are gone but still have numbers are passed over; a set that names nothing else is answered with
/// EXPUNGEISSUED (RFC 5530 §3), save in a UID command, where it is no error (RFC 3501 §6.4.8).
fn resolve(server: &mut Server, running: Running, set: &SequenceSet) -> Option<(Running, UidSet)> {
    let State::Selected(opened) = &server.state else { return None };
    match opened.resolve(set, running.by_uid) {
        Ok(uids) if !uids.is_empty() => return Some((running, uids)),
        // RFC 5182 §2.1: nothing saved is no error either.
        Ok(_) if running.by_uid || opened.numbering.is_empty() || *set == SequenceSet::Saved => {
            server.finish(&running, &Response::NOTHING_TO_DO)
        }
        Ok(_) => server.finish(&running, &Response::EXPUNGE_ISSUED),
        Err(_) => server.respond(&running.tag, &Response::NO_SUCH_NUMBER),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use stoa_session::{Input, Session, Step};

    fn said(state: State, line: &str) -> String {
        let config = crate::Config {
            hostname: "h".into(),
            tls_available: true,
            tls_on: false,
            auth_nonce: "n".into(),
            login_seconds: 60,
            idle_seconds: 1800,
            message_bytes_max: 1000,
            login_failures_max: 3,
        };
        let mut server = Server::new(config, Instant::now());
        server.step();
        server.state = state;
        server.input(Input::Bytes(line.as_bytes()), Instant::now());
        match server.step() {
            Some(Step::Send(bytes)) => String::from_utf8(bytes).unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn each_command_has_its_states() {
        for rule in &RULES {
            let line = format!("t {}\r\n", rule.name);
            let (early, late) = match rule.valid {
                Always => continue,
                BeforeLogin => ("t ", "t BAD You are logged in already\r\n"),
                AfterLogin => ("t BAD Log in first\r\n", ""),
                Valid::Selected => ("t BAD Log in first\r\n", "t BAD Select a mailbox first\r\n"),
            };
            assert!(said(State::NotAuthenticated, &line).starts_with(early), "{line}");
            assert!(said(State::Authenticated, &line).starts_with(late), "{line}");
            assert_eq!(RULES.iter().filter(|other| other.name == rule.name).count(), 1, "{line}");
        }
    }
}
