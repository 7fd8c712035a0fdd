//! MAIL (RFC 5321 §4.1.1.2): begins a transaction with the sender's address.

use super::lacks_tls;
use crate::address::parse_reverse_path;
use crate::envelope::{BodyKind, Envelope, Ret};
use crate::limits::ENVELOPE_ID_BYTES_MAX;
use crate::parameters::{self, xtext};
use crate::reply::Reply;
use crate::server::{Asked, Question, Role, Server};

/// RFC 5321 §4.1.1.2: mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
pub(super) fn mail(server: &mut Server, arguments: &str) {
    match envelope(server, arguments) {
        Err(reply) => server.reply(reply),
        Ok(envelope) => {
            let question = Question::Sender {
                reverse_path: envelope.reverse_path.clone(),
                size: envelope.size,
                smtputf8: envelope.smtputf8,
                client: server.client.clone(),
            };
            server.ask(question, Asked::Sender(envelope));
        }
    }
}

fn envelope(server: &Server, arguments: &str) -> Result<Envelope, Reply> {
    if lacks_tls(server) {
        return Err(Reply::TLS_REQUIRED);
    }
    if server.config.role == Role::Submission && server.client.account.is_none() {
        return Err(Reply::AUTH_REQUIRED);
    }
    if server.transaction.is_some() {
        return Err(Reply::BAD_SEQUENCE.text("A transaction is open already"));
    }
    let tag = arguments.get(..5).filter(|tag| tag.eq_ignore_ascii_case("FROM:"));
    let path = tag.and_then(|_| arguments.get(5..)).ok_or(Reply::BAD_ARGUMENTS.text("Say MAIL FROM:<address>"))?;
    let (reverse_path, rest) = parse_reverse_path(path).ok_or(Reply::BAD_SENDER)?;
    let mut envelope = Envelope {
        reverse_path,
        recipients: Vec::new(),
        body: BodyKind::SevenBit,
        smtputf8: false,
        size: None,
        ret: None,
        envid: None,
        client: server.client.clone(),
    };
    for (name, value) in parameters::parse(rest)? {
        parameter(server, &mut envelope, &name, value)?;
    }
    let address_is_ascii = path.strip_suffix(rest).is_some_and(str::is_ascii);
    if !address_is_ascii && !envelope.smtputf8 {
        return Err(Reply::NEEDS_SMTPUTF8);
    }
    Ok(envelope)
}

fn parameter(server: &Server, envelope: &mut Envelope, name: &str, value: Option<&str>) -> Result<(), Reply> {
    let bad = || Reply::BAD_ARGUMENTS.text(format!("Bad value of {name}"));
    match (name, value) {
        // RFC 1870 §4: 1*20DIGIT
        ("SIZE", Some(digits)) if digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let size = digits.parse().unwrap_or(u64::MAX);
            if size > server.config.size_max {
                return Err(Reply::TOO_LARGE);
            }
            envelope.size = Some(size);
        }
        ("BODY", Some(kind)) => {
            envelope.body = match kind.to_ascii_uppercase().as_str() {
                "7BIT" => BodyKind::SevenBit,
                "8BITMIME" => BodyKind::EightBit,
                "BINARYMIME" => BodyKind::Binary,
                _ => return Err(bad()),
            }
        }
        ("SMTPUTF8", None) => envelope.smtputf8 = true,
        ("RET", Some(ret)) => {
            envelope.ret = match ret.to_ascii_uppercase().as_str() {
                "FULL" => Some(Ret::Full),
                "HDRS" => Some(Ret::Headers),
                _ => return Err(bad()),
            }
        }
        ("ENVID", Some(text)) => {
            envelope.envid = Some(xtext(text).filter(|id| id.len() <= ENVELOPE_ID_BYTES_MAX).ok_or_else(bad)?);
        }
        // RFC 4954 §5: whom the client claims to pass it on for; checked and not believed.
        ("AUTH", Some(text)) if server.config.role == Role::Submission => {
            xtext(text).ok_or_else(bad)?;
        }
        ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _) => return Err(bad()),
        _ => return Err(Reply::UNKNOWN_PARAMETER),
    }
    Ok(())
}
