//! STATUS (RFC 3501 §6.3.10, RFC 9051 §6.3.11): counts of a mailbox, also of the selected one.
//!
//! LIST asks for the same items with RETURN (STATUS (…)) (RFC 5819). RECENT is answered to clients of either version: who
//! asks for it knows what it means.

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
    Deleted,
    Size,
    AppendLimit,
    HighestModSeq,
    MailboxId,
}

impl Item {
    /// On the wire.
    const ALL: [(&'static str, Self); 10] = [
        ("MESSAGES", Self::Messages),
        ("RECENT", Self::Recent),
        ("UIDNEXT", Self::UidNext),
        ("UIDVALIDITY", Self::UidValidity),
        ("UNSEEN", Self::Unseen),
        ("DELETED", Self::Deleted),
        // RFC 8438 §2.
        ("SIZE", Self::Size),
        // RFC 7889 §4.
        ("APPENDLIMIT", Self::AppendLimit),
        // RFC 7162 §3.1.7.
        ("HIGHESTMODSEQ", Self::HighestModSeq),
        // RFC 8474 §4.3.
        ("MAILBOXID", Self::MailboxId),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, item)| item)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, item)| *item == self).map_or("", |(name, _)| name)
    }

    fn value(self, status: &Status, message_bytes_max: u64) -> String {
        match self {
            Self::Messages => status.messages.to_string(),
            Self::Recent => status.recent.to_string(),
            Self::UidNext => status.uid_next.to_string(),
            Self::UidValidity => status.uid_validity.to_string(),
            Self::Unseen => status.unseen.to_string(),
            Self::Deleted => status.deleted.to_string(),
            Self::Size => status.size.to_string(),
            // It is the same for every mailbox.
            Self::AppendLimit => message_bytes_max.to_string(),
            Self::HighestModSeq => status.highest_modseq.to_string(),
            Self::MailboxId => format!("({})", status.mailbox_id),
        }
    }
}

/// RFC 3501 §9: "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
pub(super) fn status(server: &mut Server, running: Running, mut cursor: Cursor<'_>) {
    match parse(server, &mut cursor) {
        Ok(request) => {
            learn_condstore(server, &request.items);
            server.ask(Question::Status { mailbox: request.mailbox.clone(), number: None }, Asked::Status(running, request));
        }
        Err(response) => server.respond(&running.tag, &response),
    }
}

fn parse(server: &Server, cursor: &mut Cursor<'_>) -> Result<Request, Response> {
    let mailbox = mailbox(server, cursor)?;
    cursor.space().then_some(()).ok_or(Response::BAD_ARGUMENTS)?;
    let items = items(cursor)?;
    end(cursor).map(|()| Request { mailbox, items })
}

/// "(" status-att *(SP status-att) ")". What is asked for twice is told once.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Result<Vec<Item>, Response> {
    let words = cursor.words().filter(|words| !words.is_empty()).ok_or(Response::BAD_ARGUMENTS)?;
    let mut items = Vec::new();
    for word in words {
        let item = Item::named(&word).ok_or(Response::NOT_SUPPORTED)?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

/// RFC 7162 §3.1: who asks for the highest mod-sequence knows what they are.
pub(super) fn learn_condstore(server: &mut Server, items: &[Item]) {
    server.enabled.condstore |= items.contains(&Item::HighestModSeq);
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, request: &Request, answer: Answer) {
    let Answer::Status(status) = answer else { return server.finish(running, &refusal(answer)) };
    write_status(server, &request.mailbox, &request.items, &status);
    server.finish(running, &Response::OK);
}

/// RFC 3501 §9: "STATUS" SP mailbox SP "(" [status-att-list] ")"
pub(super) fn write_status(server: &mut Server, name: &str, items: &[Item], status: &Status) {
    let limit = server.config.message_bytes_max;
    let items: Vec<String> = items.iter().map(|item| format!("{} {}", item.name(), item.value(status, limit))).collect();
    server.out.extend_from_slice(b"* STATUS ");
    write::mailbox(&mut server.out, name, server.enabled.utf8_strings());
    server.out.extend_from_slice(format!(" ({})\r\n", items.join(" ")).as_bytes());
}
