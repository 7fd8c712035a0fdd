//! What waits for each destination, and who may connect now. Pure; generic in what waits.
//!
//! A destination gets one line until that has handed something over, then as many as are allowed. One that fails as a
//! whole is paused: what waits for it is given back, and nothing is tried there until the pause is over. So a dead host
//! costs one attempt at a time, however much mail waits for it.

use super::schedule::Schedule;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// How much is done at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Lines to everybody.
    pub connections_max: usize,
    /// Lines to one destination.
    pub connections_per_destination_max: usize,
    /// Messages on one line, after which it is closed.
    pub messages_per_connection_max: usize,
    /// Messages to one destination within a minute.
    pub messages_per_minute_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 20, connections_per_destination_max: 3, messages_per_connection_max: 100, messages_per_minute_max: 120 }
    }
}

/// All destinations of which something is known.
pub(super) struct Lines<J> {
    limits: Limits,
    destinations: BTreeMap<String, Destination<J>>,
    open: usize,
    /// Whoever comes behind this one is next.
    cursor: String,
}

struct Destination<J> {
    waiting: VecDeque<J>,
    open: usize,
    /// Something was handed over since the last failure.
    proven: bool,
    failures: u32,
    paused_until: i64,
    /// When it worked for the first time after failures; 0 if that is long ago.
    recovered: i64,
    /// The minute of the last message, and how many went in it.
    minute: i64,
    in_minute: u32,
}

impl<J> Destination<J> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), open: 0, proven: false, failures: 0, paused_until: 0, recovered: 0, minute: 0, in_minute: 0 }
    }

    /// When the next message may go.
    fn free_at(&self, now: i64, limits: &Limits) -> i64 {
        let minute = now.div_euclid(60);
        let by_rate = if self.minute == minute && self.in_minute >= limits.messages_per_minute_max { (minute + 1) * 60 } else { now };
        by_rate.max(self.paused_until)
    }
}

impl<J> Lines<J> {
    pub fn new(limits: Limits) -> Self {
        Self { limits, destinations: BTreeMap::new(), open: 0, cursor: String::new() }
    }

    /// Until when nothing is tried there, if it is paused.
    pub fn paused(&self, route: &str, now: i64) -> Option<i64> {
        self.destinations.get(route).map(|destination| destination.paused_until).filter(|until| *until > now)
    }

    /// How much waits in all.
    pub fn waiting(&self) -> usize {
        self.destinations.values().map(|destination| destination.waiting.len()).sum()
    }

    pub fn add(&mut self, route: String, job: J) {
        self.destinations.entry(route).or_insert_with(Destination::new).waiting.push_back(job);
    }

    /// A destination that gets another line now, with what goes first on it.
    pub fn open(&mut self, now: i64) -> Option<(String, J)> {
        if self.open >= self.limits.connections_max {
            return None;
        }
        let limits = &self.limits;
        // Hosts that hold us up for long must leave lines for others.
        let troubled: usize = self.destinations.values().filter(|destination| destination.failures > 0).map(|troubled| troubled.open).sum();
        let room_for_trouble = troubled < (limits.connections_max / 2).max(1);
        let may = |destination: &Destination<J>| {
            if destination.failures > 0 && !room_for_trouble {
                return false;
            }
            let lines = if destination.proven { limits.connections_per_destination_max } else { 1 };
            !destination.waiting.is_empty() && destination.open < lines && destination.free_at(now, limits) <= now
        };
        let cursor = self.cursor.as_str();
        let behind = self.destinations.range::<str, _>((Bound::Excluded(cursor), Bound::Unbounded));
        let before = self.destinations.range::<str, _>((Bound::Unbounded, Bound::Included(cursor)));
        let route = behind.chain(before).find(|(_, destination)| may(destination)).map(|(route, _)| route.clone())?;
        let job = self.take(&route, now)?;
        self.open += 1;
        self.destinations.get_mut(&route)?.open += 1;
        self.cursor.clone_from(&route);
        Some((route, job))
    }

    /// What goes next on a line that has carried so many messages; `None` closes it.
    pub fn next(&mut self, route: &str, carried: usize, now: i64) -> Option<J> {
        if carried < self.limits.messages_per_connection_max { self.take(route, now) } else { None }
    }

    fn take(&mut self, route: &str, now: i64) -> Option<J> {
        let destination = self.destinations.get_mut(route)?;
        if destination.free_at(now, &self.limits) > now {
            return None;
        }
        let job = destination.waiting.pop_front()?;
        let minute = now.div_euclid(60);
        if destination.minute != minute {
            (destination.minute, destination.in_minute) = (minute, 0);
        }
        destination.in_minute += 1;
        Some(job)
    }

    /// A line carried something there. Says whether that is news after failures: what failed with them is due, too.
    pub fn worked(&mut self, route: &str, now: i64) -> bool {
        let Some(destination) = self.destinations.get_mut(route) else { return false };
        let is_news = destination.failures > 0;
        (destination.proven, destination.failures, destination.paused_until) = (true, 0, 0);
        if is_news {
            destination.recovered = now;
        }
        is_news
    }

    /// Did it work again since?
    pub fn has_recovered(&self, route: &str, since: i64) -> bool {
        self.destinations.get(route).is_some_and(|destination| destination.recovered > since)
    }

    /// The destination failed as a whole: gives back what waits for it.
    pub fn failed(&mut self, route: &str, schedule: &Schedule, now: i64) -> VecDeque<J> {
        let Some(destination) = self.destinations.get_mut(route) else { return VecDeque::new() };
        // Lines that were open beside the first to fail add no failure of their own.
        if destination.paused_until <= now {
            destination.failures = destination.failures.saturating_add(1);
            destination.paused_until = now.saturating_add(schedule.destination_pause(destination.failures));
        }
        destination.proven = false;
        std::mem::take(&mut destination.waiting)
    }

    /// A line is closed.
    pub fn closed(&mut self, route: &str) {
        self.open = self.open.saturating_sub(1);
        if let Some(destination) = self.destinations.get_mut(route) {
            destination.open = destination.open.saturating_sub(1);
        }
    }

    /// Ends the pauses of all destinations, or of one, because a person wants it tried.
    pub fn forgive(&mut self, route: Option<&str>, now: i64) {
        for (found, destination) in &mut self.destinations {
            if route.is_none_or(|route| route == found) {
                destination.paused_until = destination.paused_until.min(now);
            }
        }
    }

    /// When something that waits may go, if time is all it waits for.
    pub fn next_wake(&self, now: i64) -> Option<i64> {
        let waits = self.destinations.values().filter(|destination| !destination.waiting.is_empty());
        waits.map(|destination| destination.free_at(now, &self.limits)).filter(|at| *at > now).min()
    }

    /// Forgets destinations of which nothing needs to be known: what failed or recovered is kept for a day.
    pub fn forget_idle(&mut self, now: i64) {
        const DAY_SECONDS: i64 = 86_400;
        self.destinations.retain(|_, it| {
            let lately = (it.failures > 0 && it.paused_until + DAY_SECONDS > now) || it.recovered + DAY_SECONDS > now;
            !it.waiting.is_empty() || it.open > 0 || lately || it.minute == now.div_euclid(60)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines<u32> {
        let limits =
            Limits { connections_max: 3, connections_per_destination_max: 2, messages_per_connection_max: 2, messages_per_minute_max: 5 };
        Lines::new(limits)
    }

    #[test]
    fn a_destination_gets_one_line_until_that_has_worked_and_all_get_their_turn() {
        let mut lines = lines();
        (0..6).for_each(|job| lines.add("a".into(), job));
        (6..8).for_each(|job| lines.add("b".into(), job));
        assert_eq!(lines.open(0), Some(("a".into(), 0)));
        assert_eq!(lines.open(0), Some(("b".into(), 6)));
        assert_eq!(lines.open(0), None);
        assert!(!lines.worked("a", 0));
        assert_eq!(lines.open(0), Some(("a".into(), 1)));
        assert!(!lines.worked("b", 0));
        assert_eq!(lines.open(0), None, "three lines are the limit");
        assert_eq!(lines.next("a", 1, 0), Some(2));
        assert_eq!(lines.next("a", 2, 0), None, "two messages are the limit of a line");
        lines.closed("a");
        assert_eq!(lines.open(0), Some(("b".into(), 7)), "it is the turn of the other");
        assert_eq!(lines.waiting(), 3);
    }

    #[test]
    fn destinations_that_failed_leave_lines_for_the_others() {
        let limits = Limits { connections_max: 4, ..lines().limits };
        let (mut lines, schedule) = (Lines::new(limits), Schedule::default());
        for tarpit in ["a", "b", "c"] {
            lines.add(tarpit.into(), 1);
            assert!(lines.open(0).is_some());
            lines.failed(tarpit, &schedule, 0);
            lines.closed(tarpit);
            lines.add(tarpit.into(), 2);
        }
        let later = 86_000;
        assert_eq!([lines.open(later).is_some(), lines.open(later).is_some(), lines.open(later).is_some()], [true, true, false]);
        lines.add("good".into(), 3);
        assert_eq!(lines.open(later), Some(("good".into(), 3)));
    }

    #[test]
    fn a_minute_holds_so_many_messages() {
        let mut lines = lines();
        (0..7).for_each(|job| lines.add("a".into(), job));
        assert!(lines.open(30).is_some());
        let went = std::iter::from_fn(|| lines.next("a", 0, 31)).count();
        assert_eq!((went, lines.next_wake(31)), (4, Some(60)));
        assert_eq!(lines.next("a", 0, 60), Some(5));
    }

    #[test]
    fn a_destination_that_fails_is_left_alone_for_a_while_and_longer_each_time() {
        let (mut lines, schedule) = (lines(), Schedule::default());
        (0..9).for_each(|job| lines.add("a".into(), job));
        lines.open(0);
        assert_eq!(lines.failed("a", &schedule, 0).len(), 8);
        lines.closed("a");
        assert_eq!((lines.paused("a", 299), lines.paused("a", 300)), (Some(300), None));
        lines.add("a".into(), 1);
        assert_eq!((lines.open(299), lines.next_wake(299)), (None, Some(300)));
        assert!(lines.open(300).is_some());
        lines.failed("a", &schedule, 300);
        lines.failed("a", &schedule, 301);
        assert_eq!(lines.paused("a", 300), Some(1_200), "a second line that fails is no second failure");
        lines.forget_idle(90_000);
        lines.closed("a");
        lines.forgive(Some("b"), 300);
        assert!(lines.paused("a", 300).is_some());
        lines.forgive(None, 300);
        assert_eq!(lines.paused("a", 300), None);
        lines.failed("a", &schedule, 400);
        assert!(lines.worked("a", 500) && !lines.worked("a", 501));
        assert!(lines.has_recovered("a", 499) && !lines.has_recovered("a", 500) && !lines.has_recovered("b", 0));
        lines.forget_idle(90_000);
        assert!(lines.destinations.is_empty());
    }
}
