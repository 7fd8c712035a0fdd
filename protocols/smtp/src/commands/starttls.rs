//! STARTTLS (RFC 3207): from here on in secret.

use crate::reply::Reply;
use crate::server::Server;

/// RFC 3207 §4: "STARTTLS" CRLF, with no parameters
pub(super) fn starttls(server: &mut Server, arguments: &str) {
    if !arguments.is_empty() {
        return server.reply(Reply::BAD_ARGUMENTS);
    }
    if server.client.tls.is_some() {
        return server.reply(Reply::BAD_SEQUENCE.text("TLS is on already"));
    }
    if !server.config.tls_available {
        return server.reply(Reply::NOT_OFFERED);
    }
    server.start_tls();
}
