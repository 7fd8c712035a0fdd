//! When something is next to be done about each queued message: two numbers a message, built anew from the rows at each
//! start. Nothing relies on it but speed; the rows say what is due.

use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(i64, u64)>,
    times: HashMap<u64, i64>,
}

impl Agenda {
    /// Puts a message where its time says, or takes it out.
    pub fn set(&mut self, id: u64, at: Option<i64>) {
        if let Some(old) = self.times.remove(&id) {
            self.by_time.remove(&(old, id));
        }
        if let Some(at) = at {
            self.times.insert(id, at);
            self.by_time.insert((at, id));
        }
    }

    /// Takes out the message that is due longest.
    pub fn pop(&mut self, now: i64) -> Option<u64> {
        let &(at, id) = self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, id));
        self.times.remove(&id);
        Some(id)
    }

    /// When the next is due.
    pub fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_longest_comes_first_and_each_message_once() {
        let mut agenda = Agenda::default();
        for (id, at) in [(1, 50), (2, 30), (3, 40), (1, 20), (3, 90)] {
            agenda.set(id, Some(at));
        }
        agenda.set(2, None);
        assert_eq!(
            (agenda.next(), agenda.pop(19), agenda.pop(20), agenda.pop(89), agenda.next()),
            (Some(20), None, Some(1), None, Some(90))
        );
        assert_eq!((agenda.pop(90), agenda.pop(900)), (Some(3), None));
        assert!(agenda.by_time.is_empty() && agenda.times.is_empty());
    }
}
