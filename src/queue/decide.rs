//! From what a carrier said of some recipients to what is recorded and told. Pure.
//!
//! | verdict | and | the recipient | the sender |
//! |---|---|---|---|
//! | delivered | the next host reports success itself, or nobody asked | goes | is told nothing by us |
//! | delivered | it does not, and NOTIFY=SUCCESS | is owed a report | `relayed` |
//! | failed | NOTIFY allows it | is owed a report | `failed` |
//! | deferred | it expired | as failed, with 4.4.7 | `failed` |
//! | deferred | it is late, and NOTIFY allows it | is tried again | `delayed`, once |
//! | deferred | otherwise | is tried again | nothing |
//!
//! Nobody is told of a message with the null reverse-path, so no report leads to another. A report waits for the other
//! recipients of the same round, so that one report tells of all.

use super::carrier::{Said, Verdict};
use super::schedule::Schedule;
use crate::store::{Done, LastResult, Queued, QueuedRecipient};
use stoa_report::{Action, Recipient, Status};

/// Of a host's words that are kept.
const SAID_CHARS_MAX: usize = 1_000;

/// RFC 3461 §4.1, as [`QueuedRecipient::notify`] keeps it.
const NEVER: u8 = 1;
const SUCCESS: u8 = 2;
const FAILURE: u8 = 4;
const DELAY: u8 = 8;

/// RFC 3463 §3.5: delivery time expired.
const EXPIRED: (u16, u16, u16) = (4, 4, 7);

/// What follows from some verdicts.
#[derive(Debug, PartialEq, Eq)]
pub struct Decided {
    /// The message as it is kept; `None` if nothing is left to be done.
    pub becomes: Option<Queued>,
    /// What its sender is told now, in one report.
    pub told: Vec<Recipient>,
    /// How many recipients it reached.
    pub delivered: u32,
    /// How many it will never reach, because another host or its name said so.
    pub failed: u32,
}

/// What follows from these verdicts, each of a recipient by its address. `ends_round`: nothing else of the message is
/// under way, so what is owed can be told.
pub fn decide(id: u64, message: &Queued, verdicts: &[(String, Verdict)], ends_round: bool, schedule: &Schedule, now: i64) -> Decided {
    let mut decided = Decided { becomes: None, told: Vec::new(), delivered: 0, failed: 0 };
    let mut kept = Vec::new();
    for recipient in &message.recipients {
        let verdict = verdicts.iter().find(|(address, _)| *address == recipient.address && recipient.done.is_none());
        match verdict {
            Some((_, verdict)) => {
                count(&mut decided, verdict);
                kept.extend(after(id, message, recipient, verdict, schedule, now));
            }
            None => kept.push(recipient.clone()),
        }
    }
    if ends_round {
        kept = tell(message, kept, &mut decided.told, schedule, now);
    }
    decided.becomes = (!kept.is_empty()).then(|| Queued { recipients: kept, ..message.clone() });
    decided
}

fn count(decided: &mut Decided, verdict: &Verdict) {
    match verdict {
        Verdict::Delivered { .. } => decided.delivered += 1,
        Verdict::Failed(_) => decided.failed += 1,
        Verdict::Deferred(_) => {}
    }
}

/// The recipient as it is kept after an attempt, if it is.
fn after(
    id: u64,
    message: &Queued,
    recipient: &QueuedRecipient,
    verdict: &Verdict,
    schedule: &Schedule,
    now: i64,
) -> Option<QueuedRecipient> {
    let attempts = recipient.attempts.saturating_add(1);
    let tried = |said: &Said| QueuedRecipient { attempts, last: Some(kept(said, now)), ..recipient.clone() };
    match verdict {
        Verdict::Delivered { said, dsn } => {
            let owed = !dsn && wants(message, recipient, SUCCESS);
            owed.then(|| QueuedRecipient { done: Some(Done::Relayed), ..tried(said) })
        }
        Verdict::Failed(said) => failed(message, tried(said)),
        Verdict::Deferred(said) if now >= schedule.expires(message) => {
            let mut tried = tried(said);
            tried.last.iter_mut().for_each(|last| last.status = EXPIRED);
            failed(message, tried)
        }
        Verdict::Deferred(said) => Some(QueuedRecipient { next_attempt: schedule.next(id, message, attempts, now), ..tried(said) }),
    }
}

fn failed(message: &Queued, tried: QueuedRecipient) -> Option<QueuedRecipient> {
    wants(message, &tried, FAILURE).then_some(QueuedRecipient { done: Some(Done::Failed), ..tried })
}

/// Whether the sender is told of this. RFC 3461 §4.1: without NOTIFY, of failure and delay.
fn wants(message: &Queued, recipient: &QueuedRecipient, what: u8) -> bool {
    let asked = match recipient.notify {
        0 => FAILURE | DELAY,
        notify if notify & NEVER != 0 => 0,
        notify => notify,
    };
    asked & what != 0 && !message.reverse_path.is_empty()
}

/// Takes out who is done with and marks who is late; gives who is kept.
fn tell(message: &Queued, all: Vec<QueuedRecipient>, told: &mut Vec<Recipient>, schedule: &Schedule, now: i64) -> Vec<QueuedRecipient> {
    let mut kept = Vec::new();
    for mut recipient in all {
        match recipient.done {
            Some(done) => {
                let action = if done == Done::Relayed { Action::Relayed } else { Action::Failed };
                told.push(reported(&recipient, action, None));
                continue;
            }
            None if is_late(message, &recipient, schedule, now) => {
                told.push(reported(&recipient, Action::Delayed, Some(schedule.expires(message))));
                recipient.delay_told = true;
            }
            None => {}
        }
        kept.push(recipient);
    }
    kept
}

fn is_late(message: &Queued, recipient: &QueuedRecipient, schedule: &Schedule, now: i64) -> bool {
    recipient.attempts > 0 && !recipient.delay_told && now >= schedule.late(message) && wants(message, recipient, DELAY)
}

fn reported(recipient: &QueuedRecipient, action: Action, until: Option<i64>) -> Recipient {
    let last = recipient.last.as_ref();
    let status = last.map_or((4, 0, 0), |last| last.status);
    Recipient {
        address: recipient.address.clone(),
        original: recipient.original.clone(),
        action,
        status: Status(status.0, status.1, status.2),
        host: last.and_then(|last| last.host.clone()),
        said: last.map(|last| last.text.clone()).unwrap_or_default(),
        tried: last.map(|last| last.at),
        until,
    }
}

fn kept(said: &Said, now: i64) -> LastResult {
    let Said { status, text, host } = said;
    let short = |text: &str| text.chars().take(SAID_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    LastResult { status: (status.0, status.1, status.2), text: short(text), host: host.as_deref().map(short), at: now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::carrier;
    use crate::store::BodyRef;
    use bytes::Bytes;

    const ACCEPTED: i64 = 1_000;
    const HOUR: i64 = 3_600;

    fn message(reverse_path: &str, notify: u8) -> Queued {
        let recipient = QueuedRecipient { notify, ..QueuedRecipient::new("b@net.example".into(), ACCEPTED) };
        Queued::of(reverse_path.to_owned(), Bytes::new(), BodyRef { hash: [0; 32], size: 0 }, ACCEPTED, vec![recipient])
    }

    fn said(status: (u16, u16, u16)) -> Said {
        Said { status: carrier::Status(status.0, status.1, status.2), text: "words".into(), host: Some("mx.net.example".into()) }
    }

    fn verdict(word: &str) -> Verdict {
        match word {
            "delivered" => Verdict::Delivered { said: said((2, 0, 0)), dsn: false },
            "reports" => Verdict::Delivered { said: said((2, 0, 0)), dsn: true },
            "failed" => Verdict::Failed(said((5, 1, 1))),
            _ => Verdict::Deferred(said((4, 2, 1))),
        }
    }

    #[test]
    fn verdicts_and_what_follows_from_them() {
        let (path, null) = ("a@stoa.example", "");
        // Reverse-path, NOTIFY, verdict, hours after acceptance; is it kept, and what is told with which status?
        let table = [
            (path, 0, "delivered", 0, false, None),
            (path, SUCCESS, "delivered", 0, false, Some((Action::Relayed, (2, 0, 0)))),
            (path, SUCCESS, "reports", 0, false, None),
            (path, NEVER, "delivered", 0, false, None),
            (null, SUCCESS, "delivered", 0, false, None),
            (path, 0, "failed", 0, false, Some((Action::Failed, (5, 1, 1)))),
            (path, FAILURE, "failed", 0, false, Some((Action::Failed, (5, 1, 1)))),
            (path, SUCCESS, "failed", 0, false, None),
            (path, NEVER, "failed", 0, false, None),
            (null, 0, "failed", 0, false, None),
            (null, FAILURE, "failed", 0, false, None),
            (path, 0, "deferred", 0, true, None),
            (path, 0, "deferred", 3, true, None),
            (path, 0, "deferred", 4, true, Some((Action::Delayed, (4, 2, 1)))),
            (path, DELAY, "deferred", 4, true, Some((Action::Delayed, (4, 2, 1)))),
            (path, FAILURE, "deferred", 4, true, None),
            (path, NEVER, "deferred", 4, true, None),
            (null, 0, "deferred", 4, true, None),
            (path, 0, "deferred", 120, false, Some((Action::Failed, EXPIRED))),
            (path, NEVER, "deferred", 120, false, None),
            (null, 0, "deferred", 23, true, None),
            (null, 0, "deferred", 24, false, None),
        ];
        for (path, notify, word, hours, is_kept, told) in table {
            let (message, now) = (message(path, notify), ACCEPTED + hours * HOUR);
            let verdicts = [("b@net.example".to_owned(), verdict(word))];
            let decided = decide(7, &message, &verdicts, true, &Schedule::default(), now);
            let shown = format!("{path} {notify} {word} {hours}: {decided:?}");
            assert_eq!(decided.becomes.is_some(), is_kept, "{shown}");
            let seen = decided.told.first().map(|told| (told.action, (told.status.0, told.status.1, told.status.2)));
            assert_eq!((seen, decided.told.len()), (told, usize::from(told.is_some())), "{shown}");
            if let Some(kept) = decided.becomes {
                let kept = &kept.recipients[0];
                assert_eq!((kept.attempts, kept.delay_told, kept.done), (1, told.is_some(), None), "{shown}");
                assert!(kept.next_attempt > now && kept.last.as_ref().unwrap().text == "words", "{shown}");
            }
        }
    }

    #[test]
    fn one_report_tells_of_all_recipients_of_a_round() {
        let mut message = message("a@stoa.example", 0);
        for address in ["c@net.example", "d@other.example", "e@other.example"] {
            message.recipients.push(QueuedRecipient::new(address.into(), ACCEPTED));
        }
        let schedule = Schedule::default();
        let first = [("b@net.example", "failed"), ("c@net.example", "delivered")].map(|(to, word)| (to.to_owned(), verdict(word)));
        let begun = decide(7, &message, &first, false, &schedule, ACCEPTED);
        assert!(begun.told.is_empty() && (begun.delivered, begun.failed) == (1, 1));
        let row = begun.becomes.unwrap();
        let done: Vec<_> = row.recipients.iter().map(|recipient| (recipient.address.as_str(), recipient.done)).collect();
        assert_eq!(done, [("b@net.example", Some(Done::Failed)), ("d@other.example", None), ("e@other.example", None)]);
        let second = [("d@other.example", "failed"), ("e@other.example", "deferred")].map(|(to, word)| (to.to_owned(), verdict(word)));
        let ended = decide(7, &row, &second, true, &schedule, ACCEPTED);
        assert_eq!(ended.told.iter().map(|told| told.address.as_str()).collect::<Vec<_>>(), ["b@net.example", "d@other.example"]);
        let left = ended.becomes.unwrap();
        assert_eq!(left.recipients.iter().map(|recipient| recipient.address.as_str()).collect::<Vec<_>>(), ["e@other.example"]);
        // What is owed after a crash is told by a round without attempts.
        let owed = decide(7, &row, &[], true, &schedule, ACCEPTED);
        assert_eq!((owed.told.len(), owed.becomes.unwrap().recipients.len()), (1, 2));
    }

    #[test]
    fn a_delay_is_told_once_and_what_a_host_said_is_kept_within_bounds() {
        let (mut message, schedule) = (message("a@stoa.example", 0), Schedule::default());
        let long = Said { text: format!("450 a\r\nb{}", "x".repeat(9_000)), ..said((4, 2, 1)) };
        let verdicts = [("b@net.example".to_owned(), Verdict::Deferred(long))];
        let mut told = 0;
        let mut now = ACCEPTED;
        while let Some(row) = {
            let decided = decide(7, &message, &verdicts, true, &schedule, now);
            told += decided.told.len();
            decided.becomes
        } {
            let kept = row.recipients[0].clone();
            assert!(kept.last.as_ref().unwrap().text.chars().count() == SAID_CHARS_MAX && !kept.last.unwrap().text.contains('\n'));
            (now, message) = (kept.next_attempt, row);
        }
        // The delay and the end.
        assert_eq!((told, now), (2, ACCEPTED + 120 * HOUR));
    }
}
