//! COMPRESS (RFC 4978): from here on in fewer bytes.

use super::Running;
use crate::grammar::Cursor;
use crate::response::Response;
use crate::server::Server;

/// RFC 4978 §5: compress = "COMPRESS" SP algorithm, algorithm = "DEFLATE". The OK is the last that is said in plain.
pub(super) fn compress(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    let algorithm = if cursor.space() { cursor.atom() } else { None };
    let Some(algorithm) = algorithm.filter(|_| cursor.end_of_command()) else {
        return server.respond(&running.tag, &Response::BAD_ARGUMENTS);
    };
    if !algorithm.eq_ignore_ascii_case("DEFLATE") {
        return server.respond(&running.tag, &Response::UNKNOWN_COMPRESSION);
    }
    // RFC 4978 §3 lists BAD for this, then asks for NO with this code where compression is known to be on; a client
    // learns more from the code.
    if server.compressed {
        return server.finish(&running, &Response::COMPRESSION_ACTIVE);
    }
    server.finish(&running, &Response::BEGIN_COMPRESSION);
    server.compress();
}
