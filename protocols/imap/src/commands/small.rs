//! CAPABILITY, NOOP, CHECK, LOGOUT, ID and NAMESPACE: each is a line or two.

use super::{Running, ask};
use crate::grammar::Cursor;
use crate::limits::ID_PAIRS_MAX;
use crate::questions::Question;
use crate::response::Response;
use crate::server::{Server, State};

/// RFC 3501 §6.1.1.
pub(super) fn capability(server: &mut Server, running: &Running) {
    let line = format!("* CAPABILITY {}\r\n", capabilities(server));
    server.out.extend_from_slice(line.as_bytes());
    server.finish(running, &Response::OK);
}

/// What is offered now.
pub(crate) fn capabilities(server: &Server) -> String {
    // RFC 9051 Appendix A: who reads no further than the first takes this for a server of that version, which it is until ENABLE.
    let mut offers = ["IMAP4rev1", "IMAP4rev2", "LITERAL+", "ID", "ENABLE"].map(str::to_owned).to_vec();
    if server.is_authenticated() {
        offers.extend(["IDLE", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT", "SPECIAL-USE", "CHILDREN", "LIST-EXTENDED"].map(str::to_owned));
        offers
            .extend(["CONDSTORE", "QRESYNC", "OBJECTID", "SAVEDATE", "PREVIEW", "BINARY", "MULTIAPPEND", "UTF8=ACCEPT"].map(str::to_owned));
        offers.extend(["CREATE-SPECIAL-USE", "LIST-STATUS", "STATUS=SIZE"].map(str::to_owned));
        offers.extend(
            ["ESEARCH", "SEARCHRES", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"]
                .map(str::to_owned),
        );
        // RFC 7889 §2.
        offers.push(format!("APPENDLIMIT={}", server.config.message_bytes_max));
        offers.extend((!server.compressed).then(|| "COMPRESS=DEFLATE".to_owned()));
        return offers.join(" ");
    }
    offers.push("SASL-IR".to_owned());
    if server.tls.is_some() {
        offers.extend(super::auth::mechanisms(server).map(|mechanism| format!("AUTH={}", mechanism.name())));
    } else {
        // RFC 3501 §6.2.3 and §11.1: no password in the clear.
        offers.extend(server.config.tls_available.then(|| "STARTTLS".to_owned()));
        offers.push("LOGINDISABLED".to_owned());
    }
    offers.join(" ")
}

/// RFC 3501 §6.1.2 and §6.4.1: asks for news of the selected mailbox.
pub(super) fn noop(server: &mut Server, running: Running) {
    if matches!(server.state, State::Selected(_)) {
        return ask(server, running, Question::Refresh);
    }
    server.respond(&running.tag, &Response::OK);
}

/// RFC 3501 §6.1.3.
pub(super) fn logout(server: &mut Server, running: &Running) {
    Response::GOODBYE.write(&mut server.out, "*");
    Response::LOGGED_OUT.write(&mut server.out, &running.tag);
    server.close(None);
}

/// RFC 2971 §4: "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil). What the client says of itself is not
/// used; our version is for accounts only.
pub(super) fn id(server: &mut Server, running: Running, cursor: Cursor<'_>) {
    // Names of devices come in UTF-8 from some.
    if id_parameters(&mut cursor.utf8(true)).is_none() {
        return server.respond(&running.tag, &Response::BAD_ARGUMENTS);
    }
    let version = if server.is_authenticated() { concat!(" \"version\" \"", env!("CARGO_PKG_VERSION"), "\"") } else { "" };
    server.out.extend_from_slice(format!("* ID (\"name\" \"Stoa\"{version})\r\n").as_bytes());
    server.finish(&running, &Response::OK);
}

/// RFC 2971 §3.3: at most 30 pairs. Atoms in place of strings are taken, too, and `NIL` is one of them.
fn id_parameters(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.space().then_some(())?;
    if !cursor.byte(b'(') {
        return (cursor.keyword("NIL") && cursor.end_of_command()).then_some(());
    }
    let mut pairs = 0;
    while !cursor.byte(b')') {
        pairs += 1;
        (pairs <= ID_PAIRS_MAX && (pairs == 1 || cursor.space())).then_some(())?;
        cursor.astring().filter(|_| cursor.space())?;
        cursor.astring()?;
    }
    cursor.end_of_command().then_some(())
}

/// RFC 2342 §5: one personal namespace; the spaces stand in it.
pub(super) fn namespace(server: &mut Server, running: &Running) {
    server.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    server.finish(running, &Response::OK);
}
