//! STARTTLS (RFC 3501 §6.2.1): from here on in secret.

use super::Running;
use crate::response::Response;
use crate::server::Server;

/// RFC 3501 §9: "STARTTLS"
pub(super) fn starttls(server: &mut Server, running: &Running) {
    if server.tls.is_some() {
        return server.respond(&running.tag, &Response::TLS_ON_ALREADY);
    }
    if !server.config.tls_available {
        return server.respond(&running.tag, &Response::NOT_SUPPORTED);
    }
    server.start_tls(&running.tag);
}
