//! What commands do: which messages they name when they begin, and what becomes of mailboxes when the door has acted.

use super::client::{Checked, Client, Slot, ensure};
use super::command::{Command, Flying, What};
use super::link::Moment;
use super::mailbox::{Mailbox, SEEN, Snapshot};

impl Client {
    /// The client says a command; if none is in progress it begins at once.
    pub fn launch(&mut self, flying: Flying, boxes: &[Mailbox]) {
        self.flying.push_back(flying);
        if self.flying.len() == 1 {
            self.begin(boxes);
        }
    }

    /// All before it was answered: numbers mean what the client knows now.
    pub fn begin(&mut self, boxes: &[Mailbox]) {
        let Some(mut front) = self.flying.pop_front() else { return };
        front.refusal = self.refusal(&front.command);
        front.was_open = self.open.is_some();
        if let (None, Some(set), Some(open)) = (front.refusal, front.command.set(), &self.open) {
            let last = open.slots.len() as u32;
            let last_uid = open.slots.last().map_or(0, |slot| slot.uid.unwrap_or(u32::MAX));
            front.last_uid = last_uid;
            let saved = open.saved.as_deref().filter(|_| set.is_saved());
            let named = |(place, slot): &(usize, &Slot)| match (set.by_uid, slot.uid) {
                (_, uid) if set.is_saved() => uid.is_some_and(|uid| saved.is_some_and(|saved| saved.contains(&uid))),
                (false, _) => set.contains(*place as u32 + 1, last),
                (true, Some(uid)) => set.contains(uid, last_uid),
                (true, None) => false,
            };
            let named: Vec<_> = open.slots.iter().enumerate().filter(named).collect();
            front.uids = named.iter().filter_map(|(_, slot)| slot.uid).collect();
            let seen =
                |slot: &Slot, uid| boxes[open.mailbox].states(uid).iter().any(|state| state.0 >= slot.at_least && state.1 & SEEN != 0);
            let news = |slot: &Slot, uid| boxes[open.mailbox].find(uid).is_some_and(|message| message.modseq() > slot.at_least);
            front.news = named.iter().filter_map(|(_, slot)| slot.uid.filter(|uid| news(slot, *uid))).collect();
            front.unseen = named.iter().filter_map(|(_, slot)| slot.uid.filter(|uid| !seen(slot, *uid))).collect();
            front.strangers = named.iter().filter(|(_, slot)| slot.uid.is_none()).map(|(place, _)| place + 1).collect();
        }
        if matches!(front.command, Command::Select { .. } | Command::Unselect | Command::Close) && front.refusal.is_none() {
            self.leave(boxes);
        }
        self.condstore |= front.refusal.is_none() && front.command.enables_condstore();
        self.flying.push_front(front);
    }

    /// How a command must fail.
    fn refusal(&self, command: &Command) -> Option<&'static str> {
        let Some(open) = &self.open else { return command.needs_selection().then_some("BAD") };
        let too_high = command.set().is_some_and(|set| !set.by_uid && set.exceeds(open.slots.len() as u32));
        match command {
            _ if command.writes() && open.read_only => Some("NO"),
            _ if too_high => Some("BAD"),
            _ => None,
        }
    }

    /// The door has acted.
    pub fn acted(&mut self, moment: Moment, boxes: &mut [Mailbox]) -> Checked {
        let Some(mut front) = self.flying.pop_front() else { return Err(format!("{moment:?} without a command")) };
        let acted = self.act(&mut front, moment, boxes);
        self.flying.push_front(front);
        acted
    }

    fn act(&mut self, front: &mut Flying, moment: Moment, boxes: &mut [Mailbox]) -> Checked {
        if moment == Moment::Other {
            return Ok(());
        }
        ensure(front.refusal.is_none(), || format!("{moment:?} of a command that must fail"))?;
        let selected = self.open.as_ref().map(|open| open.mailbox);
        let here = || selected.ok_or_else(|| format!("{moment:?} without a mailbox"));
        front.done = true;
        match (moment, &front.command) {
            (Moment::Refresh, Command::Noop | Command::Check | Command::Idle) => {
                front.snapshot = selected.map(|here| boxes[here].snapshot());
                if front.command == Command::Idle {
                    self.due = front.snapshot.clone();
                }
            }
            (Moment::Select, Command::Select { mailbox, read_only, .. }) => {
                self.let_go(boxes);
                let Some(there) = mailbox.map(|mailbox| &mut boxes[mailbox]) else { return Ok(()) };
                front.recent = (there.claimed, there.unseen_from());
                front.snapshot = Some(there.snapshot());
                if !read_only {
                    there.opened();
                    there.claimed = there.uid_next;
                    self.holds = *mailbox;
                }
            }
            (Moment::Unselect, Command::Unselect | Command::Close) => self.let_go(boxes),
            (Moment::Status, Command::Status(mailbox)) => front.snapshot = Some(boxes[*mailbox].snapshot()),
            (Moment::Append, Command::Append { to: Some(to), flags, more }) => {
                front.to = [Some(*flags), *more].into_iter().flatten().map(|flags| boxes[*to].append(flags)).collect();
            }
            (Moment::Append | Moment::Copy, Command::Append { to: None, .. } | Command::Copy { to: None, .. }) => {}
            (Moment::Copy, Command::Copy { to: Some(to), take, .. }) => {
                let here = here()?;
                let there = |uid: &&u32| boxes[here].find(**uid).is_some();
                front.from = front.uids.iter().filter(there).copied().collect();
                let flags: Vec<_> = front.from.iter().filter_map(|uid| boxes[here].find(*uid)).map(|message| message.flags()).collect();
                front.to = flags.into_iter().map(|flags| boxes[*to].append(flags)).collect();
                if *take {
                    boxes[here].remove(&front.from);
                }
            }
            (Moment::Store, Command::Store { sign, flags, unchanged_since, .. }) => {
                front.stored = boxes[here()?].store(&front.uids, |old| sign.apply(old, *flags), *unchanged_since);
            }
            (Moment::Store, Command::Fetch { what: What::Text, .. }) => {
                // Those that the session believes to be seen, since it has not heard otherwise, need not be touched.
                let mailbox = &mut boxes[here()?];
                front.stored = mailbox.store(&front.unseen, |old| old | SEEN, None);
                mailbox.may_be_seen = front.uids.iter().filter(|uid| !front.unseen.contains(uid)).copied().collect();
            }
            (Moment::Expunge, Command::Expunge(set)) => {
                let among = set.as_ref().map(|_| front.uids.as_slice());
                front.from = boxes[here()?].deleted(among);
                boxes[here()?].remove(&front.from);
            }
            (Moment::Expunge, Command::Close) => {
                let held = self.holds.ok_or("CLOSE removes messages though it may not")?;
                let gone = boxes[held].deleted(None);
                boxes[held].remove(&gone);
            }
            (moment, command) => return Err(format!("{moment:?} for {command:?}")),
        }
        Ok(())
    }

    /// While it idles it was told of all that there is now.
    pub fn heard_event(&mut self, boxes: &[Mailbox]) {
        if self.idling {
            self.due = self.open.as_ref().map(|open| boxes[open.mailbox].snapshot());
        }
    }

    /// The server has no more to say.
    pub fn quiet(&mut self) -> Checked {
        match self.due.take().filter(|_| self.idling) {
            Some(due) => self.compare(&due),
            None => Ok(()),
        }
    }

    /// All is told: what is heard from now on must not be older.
    pub fn knows(&mut self, snapshot: &Snapshot) {
        let Some(open) = &mut self.open else { return };
        for (slot, (_, (modseq, _))) in open.slots.iter_mut().zip(&snapshot.messages).filter(|(slot, _)| slot.uid.is_some()) {
            slot.at_least = slot.at_least.max(*modseq);
        }
    }
}
