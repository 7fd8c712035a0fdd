//! DATA (RFC 5321 §4.1.1.4): the content follows, ended by a line of one dot.

use crate::envelope::BodyKind;
use crate::reply::Reply;
use crate::server::{Asked, Question, Server};

/// RFC 5321 §4.1.1.4: data = "DATA" CRLF
pub(super) fn data(server: &mut Server, arguments: &str) {
    let refusal = match &server.transaction {
        _ if !arguments.is_empty() => Reply::BAD_ARGUMENTS,
        None => Reply::BAD_SEQUENCE.text("Send MAIL first"),
        Some(transaction) if transaction.envelope.recipients.is_empty() => Reply::NO_RECIPIENTS,
        // RFC 3030 §3: binary content cannot be ended by a dot.
        Some(transaction) if transaction.envelope.body == BodyKind::Binary => Reply::BAD_SEQUENCE.text("BINARYMIME needs BDAT"),
        Some(transaction) => return server.ask(Question::BeginBody(transaction.envelope.clone()), Asked::BeginData),
    };
    server.reply(refusal);
}
