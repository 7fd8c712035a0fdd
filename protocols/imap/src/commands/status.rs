//! STATUS (RFC 3501 §6.3.10): counts of a mailbox, also of the selected one.

use super::{Asked, Running, end, mailbox, refusal};
use crate::grammar::Cursor;
use crate::questions::{Answer, Question, Status};
use crate::response::Response;
use crate::server::Server;
use crate::write;

/// What is asked of which mailbox.
#[derive(Debug)]
pub(crate) struct Request {
    mailbox: String,
    items: Vec<Item>,
}

/// status-att
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    HighestModSeq,
}

impl Item {
    /// On the wire.
    const ALL: [(&'static str, Self); 6] = [
        ("MESSAGES", Self::Messages),
        ("RECENT", Self::Recent),
        ("UIDNEXT", Self::UidNext),
        ("UIDVALIDITY", Self::UidValidity),
        ("UNSEEN", Self::Unseen),
        // RFC 7162 §3.1.7.
        ("HIGHESTMODSEQ", Self::HighestModSeq),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, item)| item)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, item)| *item == self).map_or("", |(name, _)| name)
    }

    fn value(self, status: &Status) -> String {
        match self {
            Self::Messages => status.messages.to_string(),
            Self::Recent => status.recent.to_string(),
            Self::UidNext => status.uid_next.to_string(),
            Self::UidValidity => status.uid_validity.to_string(),
            Self::Unseen => status.unseen.to_string(),
            Self::HighestModSeq => status.highest_modseq.to_string(),
        }
    }
}

/// RFC 3501 §9: "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
pub(super) fn status(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(server, &mut cursor) {
        Ok(request) => {
            server.enabled.condstore |= request.items.contains(&Item::HighestModSeq);
            server.ask(Question::Status { mailbox: request.mailbox.clone() }, Asked::Status(running, request));
        }
        Err(response) => server.respond(&running.tag, &response),
    }
}

fn parse(server: &Server, cursor: &mut Cursor<'_>) -> Result<Request, Response> {
    let mailbox = mailbox(server, cursor)?;
    let words = cursor.space().then(|| cursor.words()).flatten().filter(|words| !words.is_empty()).ok_or(Response::BAD_ARGUMENTS)?;
    end(cursor)?;
    let items = words.iter().map(|word| Item::named(word)).collect::<Option<_>>().ok_or(Response::NOT_SUPPORTED)?;
    Ok(Request { mailbox, items })
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, request: &Request, answer: Answer) {
    let Answer::Status(status) = answer else { return server.finish(running, &refusal(answer)) };
    let items: Vec<String> = request.items.iter().map(|item| format!("{} {}", item.name(), item.value(&status))).collect();
    server.out.extend_from_slice(b"* STATUS ");
    write::mailbox(&mut server.out, &request.mailbox, server.enabled.utf8_strings());
    server.out.extend_from_slice(format!(" ({})\r\n", items.join(" ")).as_bytes());
    server.finish(running, &Response::OK);
}
