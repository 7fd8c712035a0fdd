//! When a recipient is tried again, when its sender is told that it takes long, and when it is given up. Pure.

use crate::store::Queued;

/// The schedule; all in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// After each attempt; the last is used again and again. Not empty.
    pub retry: Vec<i64>,
    /// After its acceptance a message is given up.
    pub give_up: i64,
    /// The same for reports, which nobody waits for.
    pub give_up_reports: i64,
    /// After its acceptance the sender is told that it takes long.
    pub delay_notice: i64,
}

impl Default for Schedule {
    /// RFC 5321 §4.5.4.1: 30 minutes at least, but for the first attempts; four to five days in all.
    fn default() -> Self {
        const HOUR: i64 = 3_600;
        let retry = vec![300, 900, 1_800, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR];
        Self { retry, give_up: 120 * HOUR, give_up_reports: 24 * HOUR, delay_notice: 4 * HOUR }
    }
}

/// A sixteenth of the pause is left to chance, so that what failed together does not come back together.
const JITTER_PART: i64 = 16;

/// A destination that fails again and again is tried at least so often, for new mail waits for it too.
const DESTINATION_PAUSE_SECONDS_MAX: i64 = 3_600;

impl Schedule {
    /// The pause after so many attempts, without chance.
    fn pause(&self, attempts: u32) -> i64 {
        let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        self.retry.get(nth).or(self.retry.last()).copied().unwrap_or(DESTINATION_PAUSE_SECONDS_MAX).max(1)
    }

    /// When the next attempt is, after so many; the same for all recipients of a message, so that they stay together.
    /// The last one is when the message expires, whatever the pauses.
    pub fn next(&self, id: u64, message: &Queued, attempts: u32, now: i64) -> i64 {
        let pause = self.pause(attempts);
        let next = now.saturating_add(pause).saturating_add(chance(id, attempts) % (pause / JITTER_PART).max(1));
        if now < self.expires(message) { next.min(self.expires(message)) } else { next }
    }

    /// From when on a message is not tried again.
    pub fn expires(&self, message: &Queued) -> i64 {
        message.accepted.saturating_add(if message.reverse_path.is_empty() { self.give_up_reports } else { self.give_up })
    }

    /// From when on its sender is told that it takes long.
    pub fn late(&self, message: &Queued) -> i64 {
        message.accepted.saturating_add(self.delay_notice)
    }

    /// How long nothing is tried at a destination that failed so often in a row.
    pub fn destination_pause(&self, failures: u32) -> i64 {
        self.pause(failures).min(DESTINATION_PAUSE_SECONDS_MAX)
    }
}

/// A number that looks like chance and is always the same (SplitMix64).
fn chance(id: u64, attempts: u32) -> i64 {
    let mut z = id.wrapping_add(u64::from(attempts).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    i64::from(((z ^ (z >> 31)) >> 40) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BodyRef;
    use bytes::Bytes;

    fn message(reverse_path: &str) -> Queued {
        Queued::of(reverse_path.to_owned(), Bytes::new(), BodyRef { hash: [0; 32], size: 0 }, 1_000, Vec::new())
    }

    #[test]
    fn pauses_grow_and_then_stay() {
        let (schedule, message) = (Schedule::default(), message("a@b.example"));
        for (attempts, pause) in
            [(1, 300), (2, 900), (3, 1_800), (4, 3_600), (5, 7_200), (6, 14_400), (7, 28_800), (8, 28_800), (9_999, 28_800)]
        {
            for id in 0..50 {
                let next = schedule.next(id, &message, attempts, 5_000) - 5_000;
                assert!((pause..pause + pause / 16 + 1).contains(&next), "{next} after {attempts}");
                assert_eq!(schedule.next(id, &message, attempts, 5_000) - 5_000, next);
            }
        }
        let spread: std::collections::BTreeSet<i64> = (0..100).map(|id| schedule.next(id, &message, 7, 0)).collect();
        assert!(spread.len() > 50, "what failed together does not come back together");
    }

    #[test]
    fn the_last_attempt_is_when_it_expires() {
        let schedule = Schedule::default();
        let (letter, report) = (message("a@b.example"), message(""));
        assert_eq!((schedule.expires(&letter), schedule.expires(&report)), (1_000 + 5 * 86_400, 1_000 + 86_400));
        assert_eq!(schedule.next(1, &letter, 20, 5 * 86_400), schedule.expires(&letter));
        assert!(schedule.next(1, &letter, 20, 6 * 86_400) > 6 * 86_400);
        assert_eq!(schedule.late(&letter), 1_000 + 4 * 3_600);
        assert_eq!((schedule.destination_pause(1), schedule.destination_pause(3), schedule.destination_pause(20)), (300, 1_800, 3_600));
    }
}
