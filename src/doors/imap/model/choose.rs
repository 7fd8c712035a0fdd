//! What a client says next: any command, with a liking for what meets what others do.

use super::client::{Client, Open};
use super::command::{Command, Key, Results, Resync, Set, Sign, Since, What};
use super::dice::Dice;
use super::mailbox::{ALL_FLAGS, DELETED, Flags, Mailbox, NAMES};
use stoa_mailbox::Uid;

/// A mailbox that is fuller is rather emptied than filled.
const MESSAGES_LIKED: usize = 12;

impl Client {
    pub fn choose(&self, boxes: &[Mailbox], dice: &mut Dice) -> Command {
        let Some(open) = &self.open else { return self.choose_unselected(boxes, dice) };
        if self.has_strangers() {
            return self.choose_among_strangers(open, dice);
        }
        let full = boxes[open.mailbox].messages.len() > MESSAGES_LIKED;
        match dice.below(100) {
            0..12 => Command::Noop,
            12 => Command::Check,
            13..18 => Command::Idle,
            18..46 => self.store(open, full, dice),
            46..54 => Command::Expunge(dice.one_in(2).then(|| set(open, true, dice))),
            54..62 => {
                let (by_uid, to) = (dice.one_in(2), place(dice));
                Command::Copy { set: set(open, by_uid, dice), to, take: full || dice.one_in(2) }
            }
            62..70 => self.append(dice),
            70..80 => self.fetch(open, boxes, dice),
            80..88 => self.search(open, dice),
            88..91 => Command::Status(dice.below(boxes.len())),
            91 => Command::List,
            92..96 => self.select(boxes, dice),
            96 => Command::Close,
            _ => Command::Unselect,
        }
    }

    fn choose_unselected(&self, boxes: &[Mailbox], dice: &mut Dice) -> Command {
        match dice.below(12) {
            0 => Command::Noop,
            1 => Command::Status(dice.below(boxes.len())),
            2 => self.append(dice),
            3 if dice.one_in(5) => Command::Expunge(None),
            _ => self.select(boxes, dice),
        }
    }

    /// Whom a client has only a number for it mostly asks for a UID; what changes messages has to wait.
    fn choose_among_strangers(&self, open: &Open, dice: &mut Dice) -> Command {
        let unknown = |place: &usize| open.slots[*place].uid.is_none() && !open.slots[*place].dead;
        let numbers: Vec<u32> = (0..open.slots.len()).filter(unknown).map(|place| place as u32 + 1).collect();
        let what = if self.offers("CONDSTORE") && dice.one_in(2) { What::ModSeq } else { What::Flags };
        match dice.below(20) {
            0 => Command::Noop,
            1 => Command::Idle,
            2 => Command::Fetch { set: Set::all(dice.one_in(2)), what, changed_since: None },
            3 => self.append(dice),
            4 => Command::Search { by_uid: dice.one_in(2), key: key(self, open, 2, dice), results: Results::Plain },
            5 if dice.one_in(4) => Command::Unselect,
            _ => {
                let ranges = vec![(numbers[0], numbers[numbers.len() - 1])];
                Command::Fetch { set: Set { by_uid: false, ranges }, what, changed_since: None }
            }
        }
    }

    /// What may follow without waiting for the answer (RFC 3501 §5.5): nothing whose numbers could change meanwhile.
    pub fn choose_second(&self, first: &Command, dice: &mut Dice) -> Option<Command> {
        let open = self.open.as_ref().filter(|_| !self.has_strangers())?;
        if matches!(first, Command::Select { .. } | Command::Unselect | Command::Close | Command::Idle) {
            return None;
        }
        let uids: Vec<u32> = open.slots.iter().filter_map(|slot| slot.uid).collect();
        let uid = if uids.is_empty() { Uid::MAX } else { dice.pick(&uids) };
        let by_uid = Set { by_uid: true, ranges: vec![(uid, uid)] };
        let by_number = || Set { by_uid: false, ranges: vec![(1, open.slots.len() as u32)] };
        let sign = dice.pick(&[Sign::Add, Sign::Remove, Sign::Replace]);
        let (silent, flags) = (dice.one_in(2), flags(dice));
        Some(match dice.below(10) {
            0 => Command::Noop,
            1 => Command::Store { set: by_uid, sign, silent, flags, unchanged_since: None },
            2 => Command::Expunge(Some(by_uid)),
            3 => Command::Copy { set: by_uid, to: place(dice), take: true },
            4 => Command::Unselect,
            5 | 6 if !first.may_expunge() && !open.slots.is_empty() => {
                Command::Store { set: by_number(), sign, silent, flags, unchanged_since: None }
            }
            7 if !first.may_expunge() && !open.slots.is_empty() => {
                Command::Fetch { set: by_number(), what: What::Flags, changed_since: None }
            }
            8 => Command::Expunge(None),
            _ => Command::Fetch { set: by_uid, what: What::Flags, changed_since: None },
        })
    }

    fn append(&self, dice: &mut Dice) -> Command {
        let more = (self.offers("MULTIAPPEND") && dice.one_in(3)).then(|| flags(dice));
        Command::Append { to: place(dice), flags: flags(dice), more }
    }

    fn store(&self, open: &Open, full: bool, dice: &mut Dice) -> Command {
        let by_uid = dice.one_in(2);
        let (sign, flags) = match dice.below(4) {
            0 if full => (Sign::Add, DELETED),
            0 => (Sign::Remove, DELETED),
            _ => (dice.pick(&[Sign::Add, Sign::Add, Sign::Remove, Sign::Replace]), flags(dice)),
        };
        let seen: Vec<u64> = open.slots.iter().filter_map(|slot| slot.modseq).chain([open.highest]).collect();
        let unchanged_since = dice.one_in(5).then(|| dice.pick(&seen).saturating_sub(dice.below(2) as u64));
        Command::Store { set: set(open, by_uid, dice), sign, silent: dice.one_in(2), flags, unchanged_since }
    }

    fn fetch(&self, open: &Open, boxes: &[Mailbox], dice: &mut Dice) -> Command {
        let what = match dice.below(6) {
            0 => What::Text,
            1 => What::Peek,
            2..4 if self.offers("CONDSTORE") => What::ModSeq,
            _ => What::Flags,
        };
        let by_uid = dice.one_in(2);
        let since = Since {
            modseq: boxes[open.mailbox].highest.saturating_sub(dice.below(12) as u64).max(1),
            vanished: by_uid && self.qresync && dice.one_in(2),
        };
        let changed_since = (self.offers("CONDSTORE") && matches!(what, What::Flags | What::ModSeq) && dice.one_in(3)).then_some(since);
        Command::Fetch { set: set(open, by_uid, dice), what: if changed_since.is_some() { What::ModSeq } else { what }, changed_since }
    }

    fn search(&self, open: &Open, dice: &mut Dice) -> Command {
        let results = match dice.below(3) {
            0 if self.offers("ESEARCH") => Results::All,
            1 if self.offers("SEARCHRES") => Results::Saved,
            _ => Results::Plain,
        };
        Command::Search { by_uid: dice.one_in(2), key: key(self, open, 3, dice), results }
    }

    pub fn select(&self, boxes: &[Mailbox], dice: &mut Dice) -> Command {
        let mailbox = if dice.one_in(30) { None } else { Some(dice.below(boxes.len())) };
        let resync = mailbox.filter(|_| self.qresync && !dice.one_in(8)).and_then(|mailbox| self.resync(mailbox, dice));
        Command::Select { mailbox, read_only: dice.one_in(5), condstore: resync.is_none() && dice.one_in(6), resync }
    }

    /// What was open is left by the same command, but only then is it remembered.
    pub fn resync(&self, mailbox: usize, dice: &mut Dice) -> Option<Resync> {
        let is_open = self.open.as_ref().is_some_and(|open| open.mailbox == mailbox);
        let cache = self.caches[mailbox].as_ref().filter(|cache| cache.by_qresync && !is_open)?;
        let uids: Vec<u32> = cache.messages.keys().copied().collect();
        let numbers = (1..=uids.len() as u32).collect();
        let known = (dice.one_in(3) && !uids.is_empty()).then(|| uids.clone());
        let matches = (dice.one_in(4) && !uids.is_empty()).then_some((numbers, uids));
        let uid_validity = cache.uid_validity + u32::from(dice.one_in(10));
        Some(Resync { uid_validity, modseq: cache.highest.max(1), known, matches })
    }
}

/// One of the mailboxes, or rarely none.
fn place(dice: &mut Dice) -> Option<usize> {
    if dice.one_in(40) { None } else { Some(dice.below(2)) }
}

/// A few flags.
fn flags(dice: &mut Dice) -> Flags {
    let one = |dice: &mut Dice| 1 << dice.below(NAMES.len());
    match dice.below(5) {
        0 => 0,
        1 => ALL_FLAGS & (one(dice) | one(dice) | one(dice)),
        2 => DELETED | one(dice),
        _ => one(dice),
    }
}

/// Some messages that the client knows, and rarely more.
fn set(open: &Open, by_uid: bool, dice: &mut Dice) -> Set {
    if open.saved.is_some() && dice.one_in(8) {
        return Set::saved(by_uid);
    }
    let last_is_known = open.slots.last().is_none_or(|slot| slot.uid.is_some());
    let highest = if by_uid { open.slots.iter().filter_map(|slot| slot.uid).max().unwrap_or(0) + 2 } else { open.slots.len() as u32 };
    let end = |dice: &mut Dice| match dice.below(10) {
        0 if last_is_known => 0,
        1 if dice.one_in(10) => highest + 1,
        _ => dice.between(1, highest.max(1)),
    };
    let range = |dice: &mut Dice| {
        let from = end(dice);
        (from, if dice.one_in(2) { from } else { end(dice) })
    };
    let ranges = (0..1 + dice.below(3)).map(|_| range(dice)).collect();
    if dice.one_in(6) && last_is_known { Set::all(by_uid) } else { Set { by_uid, ranges } }
}

fn key(client: &Client, open: &Open, depth: usize, dice: &mut Dice) -> Key {
    match dice.below(if depth == 0 { 5 } else { 9 }) {
        0 => Key::And(Vec::new()),
        1 => {
            let by_uid = dice.one_in(2);
            let set = set(open, by_uid, dice);
            let valid = !set.is_saved() && (by_uid || !set.exceeds(open.slots.len() as u32));
            Key::Set(if valid { set } else { Set::all(by_uid) })
        }
        2 if client.offers("CONDSTORE") => Key::ModSeq(open.highest.saturating_sub(dice.below(9) as u64).max(1)),
        2..5 => Key::Flag(1 << dice.below(NAMES.len()), dice.one_in(2)),
        5 => Key::Not(Box::new(key(client, open, depth - 1, dice))),
        6 => Key::Or(Box::new(key(client, open, depth - 1, dice)), Box::new(key(client, open, depth - 1, dice))),
        _ => Key::And(vec![key(client, open, depth - 1, dice), key(client, open, depth - 1, dice)]),
    }
}
