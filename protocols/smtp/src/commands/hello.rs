//! EHLO and HELO (RFC 5321 §4.1.1.1): who the client says it is, and what we offer.

use crate::limits::DOMAIN_BYTES_MAX;
use crate::reply::Reply;
use crate::server::{Role, Server};
use stoa_sasl::Mechanism;

/// RFC 5321 §4.1.1.1: ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
pub(super) fn ehlo(server: &mut Server, name: &str) {
    if accept(server, name, true) {
        let lines = std::iter::once(server.config.hostname.clone()).chain(offers(server)).collect::<Vec<_>>();
        server.reply(Reply::plain(250, lines.join("\n").into()));
    }
}

/// RFC 5321 §4.1.1.1: helo = "HELO" SP Domain CRLF
pub(super) fn helo(server: &mut Server, name: &str) {
    if accept(server, name, false) {
        server.reply(Reply::plain(250, server.config.hostname.clone().into()));
    }
}

/// Lenient about names: machines call themselves `my_laptop` or by a bare address, and RFC 5321 §4.1.4 forbids
/// refusing mail for a name that does not verify. The name is never trusted.
fn accept(server: &mut Server, name: &str, esmtp: bool) -> bool {
    if name.is_empty() || name.len() > DOMAIN_BYTES_MAX || name.contains(char::is_whitespace) {
        server.reply(Reply::BAD_ARGUMENTS.text("Say your name: one domain or address literal"));
        return false;
    }
    server.transaction = None;
    server.client.helo = name.to_owned();
    server.client.esmtp = esmtp;
    true
}

fn offers(server: &Server) -> Vec<String> {
    let config = &server.config;
    let mut offers: Vec<String> =
        ["PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES", "DSN", "HELP"].map(str::to_owned).into();
    offers.push(format!("SIZE {}", config.size_max));
    // RFC 9422 §4.
    offers.push(format!("LIMITS RCPTMAX={}", config.recipients_max));
    if config.tls_available && server.client.tls.is_none() {
        offers.push("STARTTLS".to_owned());
    }
    if config.role == Role::Submission && server.client.tls.is_some() {
        let names: Vec<_> = mechanisms().map(Mechanism::name).collect();
        offers.push(format!("AUTH {}", names.join(" ")));
    }
    offers
}

/// Those that are offered: all without channel binding. mutt and NeoMutt with GNU SASL take -PLUS wherever they see it,
/// cannot bind, and give up instead of taking the next (mutt 2.2.12, NeoMutt 20220429); no submission client is known
/// that can finish it.
pub(super) fn mechanisms() -> impl Iterator<Item = Mechanism> {
    Mechanism::ALL.into_iter().filter(|mechanism| *mechanism != Mechanism::ScramSha256Plus)
}
