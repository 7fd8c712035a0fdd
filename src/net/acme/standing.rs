//! How things stand with the certificate in place, in words for its owner.
//!
//! A pure look at a [`Leaf`] and the [`State`] of orders. What is said here goes to the log daily and, when it presses, to
//! the owner by mail: a certificate that runs out unseen is the usual way in which mail servers stop working.

use super::plan::State;
use crate::net::Leaf;

const DAY: i64 = 86_400;

/// With fewer days left the owner must hear of it: renewal should have come long before.
const DAYS_LEFT_MIN: i64 = 14;

/// Failing for longer is no passing trouble.
const FAILING_DAYS_MAX: i64 = 7;

/// The owner is written to so often while it lasts.
pub const MAIL_EVERY: i64 = 7 * DAY;

/// Something about the certificate that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is none that can be read.
    Unreadable(String),
    /// Its own key signed it: mail programs warn of it.
    SelfMade,
    /// It does not cover the host's name.
    OtherName(String),
    /// It is over since so many days.
    Over(i64),
    /// It has so many days left, and no new one has come.
    RunsOut(i64),
    /// Renewal has failed for so many days, of late for this reason.
    Failing(i64, String),
}

impl Trouble {
    /// Must the owner be written to?
    pub fn presses(&self) -> bool {
        // A server that was just set up has a self-made one by nature, and its owner was told.
        !matches!(self, Trouble::SelfMade)
    }

    /// In a sentence or two.
    pub fn sentence(&self, hostname: &str) -> String {
        match self {
            Trouble::Unreadable(why) => format!("The TLS certificate cannot be read: {why}."),
            Trouble::SelfMade => {
                format!(
                    "The TLS certificate of {hostname} is self-made: mail programs warn of it, and nobody can tell it from an attacker's."
                )
            }
            Trouble::OtherName(names) => format!("The TLS certificate does not cover {hostname}, only {names}: mail programs refuse it."),
            Trouble::Over(days) => format!("The TLS certificate of {hostname} ran out {}: mail programs refuse it.", ago(*days)),
            Trouble::RunsOut(days) => format!("The TLS certificate of {hostname} runs out {}, and there is no new one.", ahead(*days)),
            Trouble::Failing(days, why) => {
                format!("A new TLS certificate for {hostname} could not be had for {days} days. The last attempt failed: {why}.")
            }
        }
    }
}

fn ago(days: i64) -> String {
    if days == 0 { "today".to_owned() } else { format!("{days} days ago") }
}

fn ahead(days: i64) -> String {
    if days == 0 { "today".to_owned() } else { format!("in {days} days") }
}

/// What the owner should know, the worst of it; `now` in seconds since 1970.
pub fn trouble(leaf: Result<&Leaf, String>, hostname: &str, state: &State, now: i64) -> Option<Trouble> {
    let leaf = match leaf {
        Ok(leaf) => leaf,
        Err(why) => return Some(Trouble::Unreadable(why)),
    };
    let days_left = (leaf.not_after - now).div_euclid(DAY);
    let failing = state.failing_since.map(|since| (now - since) / DAY).filter(|days| *days >= FAILING_DAYS_MAX);
    if leaf.not_after <= now {
        Some(Trouble::Over((now - leaf.not_after) / DAY))
    } else if !leaf.covers(hostname) {
        Some(Trouble::OtherName(leaf.names.join(", ")))
    } else if days_left < DAYS_LEFT_MIN {
        Some(Trouble::RunsOut(days_left))
    } else if let Some(days) = failing {
        Some(Trouble::Failing(days, state.last_error.clone().unwrap_or_default()))
    } else {
        leaf.self_signed.then_some(Trouble::SelfMade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn leaf(days_left: i64) -> Leaf {
        Leaf {
            names: vec!["mail.example.org".into()],
            not_before: NOW - 30 * DAY,
            not_after: NOW + days_left * DAY,
            self_signed: false,
            issuer: String::new(),
            key_sha256: [0; 32],
            sha256: [0; 32],
        }
    }

    fn failing(days: i64) -> State {
        State { failing_since: Some(NOW - days * DAY), last_error: Some("no route".into()), ..State::default() }
    }

    #[test]
    fn the_worst_is_said() {
        let made = |days| Leaf { self_signed: true, ..leaf(days) };
        let other = Leaf { names: vec!["a.example".into(), "b.example".into()], ..leaf(60) };
        let cases = [
            (leaf(60), State::default(), None),
            (leaf(14), State::default(), None),
            (leaf(13), State::default(), Some(Trouble::RunsOut(13))),
            (leaf(-3), failing(30), Some(Trouble::Over(3))),
            (leaf(60), failing(6), None),
            (leaf(60), failing(7), Some(Trouble::Failing(7, "no route".into()))),
            (made(60), State::default(), Some(Trouble::SelfMade)),
            (made(60), failing(8), Some(Trouble::Failing(8, "no route".into()))),
            (made(5), State::default(), Some(Trouble::RunsOut(5))),
            (other, State::default(), Some(Trouble::OtherName("a.example, b.example".into()))),
        ];
        for (leaf, state, want) in cases {
            assert_eq!(trouble(Ok(&leaf), "mail.example.org", &state, NOW), want, "{leaf:?}");
        }
        let unread = trouble(Err("no such file".into()), "mail.example.org", &State::default(), NOW).unwrap();
        assert_eq!(unread.sentence("mail.example.org"), "The TLS certificate cannot be read: no such file.");
    }

    #[test]
    fn sentences_say_what_it_means() {
        let say = |trouble: Trouble| trouble.sentence("mail.example.org");
        assert!(say(Trouble::SelfMade).contains("mail programs warn"));
        assert!(say(Trouble::Over(0)).contains("ran out today"));
        assert!(say(Trouble::RunsOut(3)).contains("in 3 days"));
        assert!(say(Trouble::Failing(9, "no route".into())).contains("for 9 days. The last attempt failed: no route."));
        assert!(!Trouble::SelfMade.presses() && Trouble::Over(1).presses());
    }
}
