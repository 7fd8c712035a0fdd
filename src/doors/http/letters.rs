//! The newest messages of a mailbox, as lines of a page.
//!
//! Reads the beginning of each message, which strangers wrote, and gives plain text. The preview is the beginning of the
//! first part that is text, without what it quotes.

use crate::store::{HolderId, Message, Result, Store};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ops::Range;
use stoa_mailbox::{Entry, SystemFlag};
use stoa_mime::transfer::{self, Encoding};
use stoa_mime::{Address, Content, Envelope, Part, Scanner, charset, parameter, words};
use stoa_webapp::MessageLine;

/// What is read of a message: nearly every header, and the beginning of the text.
const HEAD_BYTES_MAX: u64 = 32 * 1024;
/// What is decoded for a preview, with quotes that are left out of it.
const PREVIEW_BYTES_MAX: usize = 4 * 1024;
/// Characters of a preview: two lines of a page.
const PREVIEW_CHARS_MAX: usize = 160;

/// The newest messages of a mailbox, the newest first; none if there is no such mailbox.
pub(super) async fn newest(store: &Store, holder: HolderId, mailbox: &str, count: usize) -> Result<Vec<MessageLine>> {
    let tree = store.holder(holder).await?.unwrap_or_default();
    let Some(leaf) = tree.find(mailbox) else { return Ok(Vec::new()) };
    let view = store.watch((holder, leaf.id)).await?.borrow().clone();
    let entries: Vec<Entry> = (0..view.len()).rev().take(count).filter_map(|place| view.get(place).copied()).collect();
    let ids: Vec<u64> = entries.iter().map(|entry| entry.message).collect();
    let mut lines = Vec::new();
    for (entry, message) in entries.iter().zip(store.messages(holder, &ids).await?) {
        if let Some(message) = message {
            lines.push(line(entry, &head(store, &message).await?));
        }
    }
    Ok(lines)
}

async fn head(store: &Store, message: &Message) -> Result<Vec<u8>> {
    // What the server put in front is of no interest here.
    store.body(Bytes::new(), &message.body).await?.read_all(0..HEAD_BYTES_MAX).await
}

fn line(entry: &Entry, head: &[u8]) -> MessageLine {
    let mut scanner = Scanner::new();
    scanner.feed(head);
    let part = scanner.finish().part;
    let envelope = part.description.envelope.as_deref();
    MessageLine {
        from: envelope.map(sender).unwrap_or_default(),
        subject: envelope.and_then(|envelope| envelope.subject.as_deref()).map(words::decode).unwrap_or_default(),
        date: date(entry.received),
        preview: first_text(&part).map(|text| preview(text, head)).unwrap_or_default(),
        unread: !entry.flags.has(SystemFlag::Seen),
    }
}

fn date(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or_default();
    at.to_zoned(TimeZone::system()).strftime("%-d %B %Y, %H:%M").to_string()
}

/// The name of the first sender, or else the address.
fn sender(envelope: &Envelope) -> String {
    let first = envelope.from.iter().find_map(|address| match address {
        Address::Mailbox { name, local, host, .. } => Some((name, local, host)),
        Address::GroupStart(_) | Address::GroupEnd => None,
    });
    match first {
        Some((Some(name), _, _)) if !name.is_empty() => words::decode(name),
        Some((_, local, host)) => format!("{}@{}", String::from_utf8_lossy(local), String::from_utf8_lossy(host)),
        None => String::new(),
    }
}

/// The first part that is plain text and no file.
fn first_text(part: &Part) -> Option<&Part> {
    let is_file = part.description.disposition.as_ref().is_some_and(|(kind, _)| kind == "attachment");
    match &part.content {
        Content::Leaf if part.content_type.kind == "text" && part.content_type.subtype == "plain" && !is_file => Some(part),
        Content::Multipart(parts) => parts.iter().find_map(first_text),
        Content::Leaf | Content::Message(_) => None,
    }
}

fn preview(part: &Part, head: &[u8]) -> String {
    let body = head.get(within(&part.body, head.len())).unwrap_or_default();
    let body = body.get(..PREVIEW_BYTES_MAX).unwrap_or(body);
    let bytes = transfer::decode(Encoding::of(part.description.encoding.as_deref()), body);
    let name = parameter(&part.content_type.parameters, "charset").unwrap_or_default();
    let text = charset::decode(&name, &bytes);
    let own = text.lines().filter(|line| !line.starts_with('>'));
    let spoken: Vec<&str> = own.flat_map(str::split_whitespace).collect();
    shortened(spoken.join(" ").chars().filter(|c| !c.is_control()))
}

/// At most [`PREVIEW_CHARS_MAX`], and a sign if there was more.
fn shortened(mut text: impl Iterator<Item = char>) -> String {
    let mut kept: String = text.by_ref().take(PREVIEW_CHARS_MAX).collect();
    if text.next().is_some() {
        kept.pop();
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// A range of the message, as far as it was read.
fn within(range: &Range<u64>, read: usize) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(read);
    place(range.start)..place(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_mailbox::Flags;

    fn shown(message: &str) -> MessageLine {
        let entry = Entry { uid: 1, size: 0, message: 1, modseq: 1, flags: Flags::NONE, received: 0, saved: 0 };
        line(&entry, message.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn names_subjects_and_texts_are_decoded() {
        let cases = [
            ("From: Crito <crito@example.org>\nSubject: Supper\n\nCome at dusk.\n", ["Crito", "Supper", "Come at dusk."]),
            ("From: crito@example.org\n\n> no\nyes\n", ["crito@example.org", "", "yes"]),
            ("From: =?utf-8?q?S=C3=B8ren?= <s@example.org>\nSubject: =?utf-8?b?xb0=?=\n\n", ["Søren", "Ž", ""]),
            (
                "From: a@b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nCaf=E9=\n!\n",
                ["a@b", "", "Café!"],
            ),
            (
                "From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<b>\n--x\n\nplain\n--x--\n",
                ["a@b", "", "plain"],
            ),
            ("Subject: only\n", ["", "only", ""]),
            ("", ["", "", ""]),
        ];
        for (message, [from, subject, text]) in cases {
            let line = shown(message);
            assert_eq!([line.from.as_str(), &line.subject, &line.preview], [from, subject, text], "{message}");
        }
    }

    #[test]
    fn a_message_that_goes_on_is_shown_as_far_as_it_was_read() {
        let line = shown(&format!("From: a@b\n\n{}", "word ".repeat(2000)));
        assert_eq!(line.preview.chars().count(), PREVIEW_CHARS_MAX);
        assert!(line.preview.ends_with("word…"), "{}", line.preview);
        let whole = "x".repeat(PREVIEW_CHARS_MAX);
        assert_eq!(shown(&format!("From: a@b\n\n{whole}\n")).preview, whole);
    }
}
