//! RSET, NOOP, VRFY, EXPN, HELP and QUIT (RFC 5321 §4.1.1.5 to §4.1.1.10): each is a line or two.

use crate::reply::Reply;
use crate::server::Server;

/// RFC 5321 §4.1.1.5: rset = "RSET" CRLF
pub(super) fn rset(server: &mut Server, arguments: &str) {
    if !arguments.is_empty() {
        return server.reply(Reply::BAD_ARGUMENTS);
    }
    server.transaction = None;
    server.reply(Reply::OK);
}

/// RFC 5321 §4.1.1.9: noop = "NOOP" [ SP String ] CRLF
pub(super) fn noop(server: &mut Server, _: &str) {
    server.reply(Reply::OK);
}

/// RFC 5321 §4.1.1.6: vrfy = "VRFY" SP String CRLF. Who lives here is nobody's business (§7.3).
pub(super) fn vrfy(server: &mut Server, arguments: &str) {
    server.reply(if arguments.is_empty() { Reply::BAD_ARGUMENTS } else { Reply::CANNOT_VERIFY });
}

/// RFC 5321 §4.1.1.7: expn = "EXPN" SP String CRLF
pub(super) fn expn(server: &mut Server, _: &str) {
    server.reply(Reply::NOT_OFFERED);
}

/// RFC 5321 §4.1.1.8: help = "HELP" [ SP String ] CRLF
pub(super) fn help(server: &mut Server, _: &str) {
    server.reply(Reply::HELP.text(format!("Commands: {}", super::verbs())));
}

/// RFC 5321 §4.1.1.10: quit = "QUIT" CRLF
pub(super) fn quit(server: &mut Server, arguments: &str) {
    if !arguments.is_empty() {
        return server.reply(Reply::BAD_ARGUMENTS);
    }
    server.close(Some(Reply::BYE));
}
