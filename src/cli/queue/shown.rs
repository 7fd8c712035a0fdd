//! Queued messages as a person reads them.

use super::Desk;
use crate::queue::pause;
use crate::store::{Done, Hold, Queued, QueuedRecipient, Store};
use anyhow::Context;
use std::fmt::Write;

/// Messages that are listed; of more their count is told.
const LISTED_MAX: usize = 1_000;
/// Rows read at a time.
const PAGE: usize = 256;
/// Of a host's words in a list.
const WORDS_MAX: usize = 100;

/// One paragraph for each message that waits.
pub(super) async fn list(store: &Store, now: i64) -> anyhow::Result<String> {
    let (mut text, mut next, mut count, mut held) = (String::new(), 0, 0_usize, 0_usize);
    loop {
        let rows = store.queued_from(next, PAGE).await?;
        let Some((last, _)) = rows.last() else { break };
        next = last.saturating_add(1);
        for (id, message) in &rows {
            count += 1;
            held += usize::from(message.hold.is_some());
            if count <= LISTED_MAX {
                text.push_str(&summary(*id, message, now));
            }
        }
    }
    let mut head = match count {
        0 => "Nothing waits for other servers.".to_owned(),
        1 => "1 message waits for other servers".to_owned(),
        n => format!("{n} messages wait for other servers"),
    };
    if count > 0 {
        head.push_str(&if held > 0 { format!(", {held} of them held.") } else { ".".to_owned() });
    }
    if let Some(since) = pause::paused(store).await? {
        _ = write!(head, " Outgoing mail is paused since {}: `stoa queue resume` lets it go on.", moment(since));
    }
    if count > LISTED_MAX {
        _ = write!(head, " These are the oldest {LISTED_MAX}.");
    }
    Ok(format!("{head}\n{text}"))
}

fn summary(id: u64, message: &Queued, now: i64) -> String {
    let mut text = format!("\n{id:016x}  from {}  {}\n", path(message), since(message.accepted, now));
    if let Some(hold) = &message.hold {
        _ = writeln!(text, "  HELD {}", held(hold));
    }
    for recipient in &message.recipients {
        _ = writeln!(text, "  to {}: {}", recipient.address, state(recipient, now, message.hold.is_some()));
    }
    text
}

/// Everything of one message.
pub(super) async fn message(desk: &Desk, id: u64) -> anyhow::Result<String> {
    let found = desk.store.queued_message(id).await?;
    let message = found.with_context(|| format!("there is no message {id:016x} in the queue (any more)"))?;
    let mut text = format!("Message {id:016x}\nFrom: {}\n", path(&message));
    if let Some(account) = message.account {
        let address = desk.store.account(account).await?.map_or_else(|| "one that was removed".to_owned(), |account| account.address);
        _ = writeln!(text, "Account: {address}");
    }
    _ = writeln!(text, "Accepted: {}", moment(message.accepted));
    _ = writeln!(text, "Given up: {}", moment(desk.schedule.expires(&message)));
    _ = writeln!(text, "Size: {} octets", message.prefix.len() as u64 + message.body.size);
    _ = writeln!(text, "Signed as: {}", message.signer.as_deref().unwrap_or("nobody, since it came from outside"));
    if let Some(hold) = &message.hold {
        _ = writeln!(text, "HELD {}", held(hold));
    }
    for recipient in &message.recipients {
        _ = writeln!(text, "\nTo: {}", recipient.address);
        if let Some((_, meant)) = recipient.original.as_deref().and_then(|original| original.split_once(';')) {
            _ = writeln!(text, "  Written to: {meant}");
        }
        _ = writeln!(text, "  Attempts: {}", recipient.attempts);
        if recipient.done.is_none() && message.hold.is_none() {
            _ = writeln!(text, "  Next attempt: {}", moment(recipient.next_attempt));
        }
        if let Some(last) = &recipient.last {
            let (class, subject, detail) = last.status;
            _ = writeln!(text, "  Last result: {class}.{subject}.{detail} at {}", moment(last.at));
            _ = writeln!(text, "  {}: {}", last.host.as_deref().unwrap_or("This server"), last.text);
        }
    }
    Ok(text)
}

fn path(message: &Queued) -> &str {
    if message.reverse_path.is_empty() { "<> (a report)" } else { &message.reverse_path }
}

fn held(hold: &Hold) -> String {
    format!("since {}: {}", moment(hold.since), hold.reason)
}

fn state(recipient: &QueuedRecipient, now: i64, is_held: bool) -> String {
    let words = recipient.last.as_ref().map(|last| {
        let words: String = last.text.chars().take(WORDS_MAX).collect();
        last.host.as_ref().map_or(words.clone(), |host| format!("{host}: {words}"))
    });
    let next = match recipient.done {
        Some(Done::Relayed) => "handed over; a report is on its way".to_owned(),
        Some(Done::Failed) => "failed; a report is on its way".to_owned(),
        None if is_held => "waits".to_owned(),
        None if recipient.next_attempt <= now => "due now".to_owned(),
        None => format!("next attempt in {}", span(recipient.next_attempt - now)),
    };
    words.map_or(next.clone(), |words| format!("{next}; {words}"))
}

fn since(then: i64, now: i64) -> String {
    format!("{} ago", span(now - then))
}

fn span(seconds: i64) -> String {
    match seconds.max(0) {
        n @ 0..120 => format!("{n} s"),
        n @ 120..7_200 => format!("{} min", n / 60),
        n @ 7_200..172_800 => format!("{} h", n / 3_600),
        n => format!("{} days", n / 86_400),
    }
}

fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
