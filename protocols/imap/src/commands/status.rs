//! STATUS (RFC 3501 §6.3.10): counts of a mailbox, also of the selected one.

use super::{Asked, Running, mailbox_name, refusal};
use crate::names;
use crate::questions::{Answer, Question, Status};
use crate::response::Response;
use crate::server::Server;
use crate::write::quoted;
use imap_types::mailbox::Mailbox;
use imap_types::status::StatusDataItemName;

/// What is asked of which mailbox.
#[derive(Debug)]
pub(crate) struct Request {
    mailbox: String,
    items: Vec<Item>,
}

/// An item's name on the wire, and its value.
type Item = (&'static str, fn(&Status) -> u32);

/// RFC 3501 §9: "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
pub(super) fn status(server: &mut Server, running: Running, mailbox: &Mailbox<'_>, names: &[StatusDataItemName]) {
    let items: Option<Vec<_>> = names.iter().map(item).collect();
    match (mailbox_name(mailbox), items) {
        (_, None) => server.respond(&running.tag, &Response::NOT_SUPPORTED),
        (Err(response), _) => server.respond(&running.tag, &response),
        (Ok(mailbox), Some(items)) => {
            server.ask(Question::Status { mailbox: mailbox.clone() }, Asked::Status(running, Request { mailbox, items }));
        }
    }
}

fn item(name: &StatusDataItemName) -> Option<Item> {
    match name {
        StatusDataItemName::Messages => Some(("MESSAGES", |status| status.messages)),
        StatusDataItemName::Recent => Some(("RECENT", |status| status.recent)),
        StatusDataItemName::UidNext => Some(("UIDNEXT", |status| status.uid_next)),
        StatusDataItemName::UidValidity => Some(("UIDVALIDITY", |status| status.uid_validity)),
        StatusDataItemName::Unseen => Some(("UNSEEN", |status| status.unseen)),
        _ => None,
    }
}

/// The door has answered.
pub(super) fn answered(server: &mut Server, running: &Running, request: &Request, answer: Answer) {
    let Answer::Status(status) = answer else { return server.finish(running, &refusal(answer)) };
    let items: Vec<String> = request.items.iter().map(|(name, value)| format!("{name} {}", value(&status))).collect();
    server.out.extend_from_slice(b"* STATUS ");
    quoted(&mut server.out, names::encode(&request.mailbox).as_bytes());
    server.out.extend_from_slice(format!(" ({})\r\n", items.join(" ")).as_bytes());
    server.finish(running, &Response::OK);
}
