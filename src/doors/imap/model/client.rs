//! A client that believes what it is told, and nothing else: its list of messages, and what it remembers when it goes.
//!
//! Each response is checked when it is heard: numbers against the list, flags and mod-sequences against all that the
//! message ever was, what may be said against the command in progress.

use super::command::{Command, Flying, Resync};
use super::mailbox::{self, Flags, Mailbox, Snapshot};
use super::wire::{self, Line, Value};
use std::collections::{BTreeMap, VecDeque};

pub(super) type Checked<T = ()> = Result<T, String>;

/// A message that the client has a number for.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub uid: Option<u32>,
    pub flags: Option<Flags>,
    pub modseq: Option<u64>,
    /// The client was told of this state or a later one, by its mod-sequence; what it hears must not be older.
    pub at_least: u64,
    /// A FETCH of its number was not answered: it is gone, and nobody will say which it was.
    pub dead: bool,
}

/// The mailbox that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub mailbox: usize,
    pub read_only: bool,
    pub slots: Vec<Slot>,
    /// All changes up to here were told.
    pub highest: u64,
    /// The messages that `$` names, by UID, if the client knows.
    pub saved: Option<Vec<u32>>,
    /// Messages below this UID must not be shown as `\Recent`; those from the second on must.
    recent: (u32, u32),
    /// The lowest and highest UID that was shown as `\Recent`, and not.
    shown: (u32, u32),
}

/// What is kept of a mailbox that was left.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    pub uid_validity: u32,
    pub highest: u64,
    /// It was told what went, too: then RFC 7162 §3.2 brings it up to date.
    pub by_qresync: bool,
    /// Of all messages below this UID flags are known.
    pub complete_below: u32,
    pub messages: BTreeMap<u32, Slot>,
}

#[derive(Default)]
pub(super) struct Client {
    pub condstore: bool,
    pub qresync: bool,
    pub rev2: bool,
    pub capabilities: Vec<String>,
    pub open: Option<Open>,
    pub caches: [Option<Cache>; 2],
    pub flying: VecDeque<Flying>,
    /// The server has said that it listens.
    pub idling: bool,
    /// What the list must equal when all is said.
    pub due: Option<Snapshot>,
    /// The door holds this mailbox for writing.
    pub holds: Option<usize>,
}

pub(super) fn ensure(good: bool, complaint: impl FnOnce() -> String) -> Checked {
    if good { Ok(()) } else { Err(complaint()) }
}

impl Client {
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|offer| offer == capability)
    }

    /// The messages that the client cannot name by UID.
    pub fn has_strangers(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.slots.iter().any(|slot| slot.uid.is_none() && !slot.dead))
    }

    pub fn front(&mut self) -> Checked<&mut Flying> {
        self.flying.front_mut().ok_or_else(|| "something was said though no command is in progress".to_owned())
    }

    /// Remembers what it knows of the mailbox that was open: up to the first gap.
    pub fn leave(&mut self, boxes: &[Mailbox]) {
        // One that was not opened whole is as it was remembered before.
        let Some(open) = self.open.take().filter(|open| open.highest > 0) else { return };
        let mut cache = Cache {
            uid_validity: boxes[open.mailbox].uid_validity,
            highest: open.highest,
            by_qresync: self.qresync,
            complete_below: 1,
            messages: BTreeMap::new(),
        };
        for slot in open.slots.into_iter().filter(|slot| !slot.dead) {
            let (Some(uid), Some(_)) = (slot.uid, slot.flags) else { break };
            cache.complete_below = uid + 1;
            cache.messages.insert(uid, slot);
        }
        self.caches[open.mailbox] = Some(cache);
    }

    /// The connection is gone.
    pub fn cut_off(&mut self, boxes: &mut [Mailbox]) {
        self.leave(boxes);
        self.let_go(boxes);
        *self = Self { caches: std::mem::take(&mut self.caches), ..Self::default() };
    }

    pub fn let_go(&mut self, boxes: &mut [Mailbox]) {
        if let Some(held) = self.holds.take() {
            boxes[held].left();
        }
    }

    pub fn hear(&mut self, line: Line, boxes: &mut [Mailbox]) -> Checked {
        match line {
            Line::GoOn => {
                self.idling = self.front()?.command == Command::Idle;
                ensure(self.idling, || "a continuation was not asked for".into())
            }
            Line::Status { tag: Some(tag), condition, code } => self.finished(&tag, &condition, code, boxes),
            Line::Status { tag: None, condition, mut code } => {
                ensure(condition == "OK", || format!("an untagged {condition}"))?;
                if !code.is_empty() {
                    let name = code.remove(0);
                    self.take_code(name, code);
                }
                Ok(())
            }
            Line::Data(values) => self.hear_data(&values, boxes),
        }
    }

    pub fn take_code(&mut self, name: String, rest: Vec<String>) {
        if name == "CAPABILITY" {
            self.capabilities = rest;
        } else if let Some(front) = self.flying.front_mut() {
            front.codes.insert(name, rest);
        }
    }

    fn hear_data(&mut self, values: &[Value], boxes: &mut [Mailbox]) -> Checked {
        let words: Vec<&str> = values.iter().map(Value::atom).collect();
        let number = |word: &str| word.parse::<usize>().map_err(|_| format!("{word} is no number"));
        match words[..] {
            [n, "EXISTS"] => self.exists(number(n)?, boxes),
            [n, "RECENT"] => self.recent(number(n)?),
            [n, "EXPUNGE"] => self.expunged(number(n)?, boxes),
            [n, "FETCH", _] => self.fetched(number(n)?, values[2].list(), boxes),
            ["VANISHED", set] => self.vanished(&wire::numbers(set).ok_or("no set")?, boxes),
            ["VANISHED", "", set] => self.vanished_earlier(&wire::numbers(set).ok_or("no set")?, boxes),
            ["SEARCH", ref found @ ..] => {
                let found = found.iter().filter(|word| !word.is_empty()).map(|word| word.parse().map_err(|_| "no number".to_owned()));
                let found = found.collect::<Checked<Vec<u32>>>()?;
                let modseq = values.iter().map(Value::list).find_map(|list| list.get(1)?.atom().parse().ok());
                self.found(found, modseq, boxes)
            }
            ["ESEARCH", ..] => {
                let (found, modseq) = self.esearch(&values[1..])?;
                self.found(found, modseq, boxes)
            }
            ["STATUS", _, _] => {
                let pairs = values[2].list().chunks(2);
                self.front()?.status = pairs.map(|pair| (pair[0].atom().to_owned(), pair[1].atom().parse().unwrap_or(u64::MAX))).collect();
                Ok(())
            }
            ["CAPABILITY", ref offers @ ..] => {
                self.capabilities = offers.iter().map(|&offer| offer.to_owned()).collect();
                Ok(())
            }
            ["ENABLED" | "FLAGS" | "LIST", ..] => self.front().map(|_| ()),
            _ => Err("not a response that was expected".into()),
        }
    }

    fn exists(&mut self, count: usize, boxes: &mut [Mailbox]) -> Checked {
        let front = self.front()?;
        if let Command::Select { mailbox: Some(mailbox), read_only, ref resync, .. } = front.command {
            let snapshot = front.snapshot.clone().ok_or("EXISTS before anything was selected")?;
            let resync = resync.clone();
            return self.opened(count, (mailbox, read_only), &snapshot, resync.as_ref(), boxes);
        }
        let open = self.open.as_mut().ok_or("EXISTS without a mailbox")?;
        ensure(count >= open.slots.len(), || format!("{} messages became {count} without EXPUNGE", open.slots.len()))?;
        open.slots.resize(count, Slot::default());
        Ok(())
    }

    /// A mailbox was selected: what was told of it is as it was at that moment.
    fn opened(
        &mut self,
        count: usize,
        (mailbox, read_only): (usize, bool),
        snapshot: &Snapshot,
        resync: Option<&Resync>,
        boxes: &mut [Mailbox],
    ) -> Checked {
        ensure(count == snapshot.messages.len(), || format!("{count} messages in place of {}", snapshot.messages.len()))?;
        let known = |uid: u32| {
            let asked = resync.filter(|resync| resync.uid_validity == boxes[mailbox].uid_validity);
            asked.and_then(|_| self.caches[mailbox].as_ref()?.messages.get(&uid).cloned()).unwrap_or_default()
        };
        let slots = snapshot.messages.iter().map(|&(uid, (modseq, _))| Slot { uid: Some(uid), at_least: modseq, ..known(uid) }).collect();
        let recent = self.front()?.recent;
        self.open = Some(Open { mailbox, read_only, slots, highest: 0, saved: Some(Vec::new()), recent, shown: (u32::MAX, 0) });
        Ok(())
    }

    fn recent(&mut self, count: usize) -> Checked {
        ensure(!self.rev2, || "RECENT in IMAP4rev2".into())?;
        let open = self.open.as_ref().ok_or("RECENT without a mailbox")?;
        ensure(count <= open.slots.len(), || format!("{count} of {} messages are recent", open.slots.len()))?;
        let uids = |from: u32| open.slots.iter().filter(|slot| slot.uid.is_none_or(|uid| uid >= from)).count();
        ensure(count <= uids(open.recent.0), || format!("{count} messages are recent, but others have seen most of them"))?;
        let selecting = self.flying.front().is_some_and(|flying| matches!(flying.command, Command::Select { .. }));
        ensure(!selecting || count >= uids(open.recent.1), || format!("{count} messages are recent, but nobody has seen more of them"))
    }

    fn may_expunge(&mut self) -> Checked {
        let front = self.front()?;
        ensure(front.command.may_expunge(), || "numbers changed while they must not".into())
    }

    fn expunged(&mut self, number: usize, boxes: &mut [Mailbox]) -> Checked {
        self.may_expunge()?;
        // RFC 7162 §3.2.10.
        ensure(!self.qresync, || "EXPUNGE in place of VANISHED".into())?;
        let open = self.open.as_mut().ok_or("EXPUNGE without a mailbox")?;
        ensure((1..=open.slots.len()).contains(&number), || format!("no message has number {number}"))?;
        let slot = open.slots.remove(number - 1);
        let there = slot.uid.is_some_and(|uid| boxes[open.mailbox].find(uid).is_some());
        ensure(!there, || format!("UID {} is said to be gone", slot.uid.unwrap_or(0)))
    }

    fn vanished(&mut self, uids: &[u32], boxes: &mut [Mailbox]) -> Checked {
        self.may_expunge()?;
        ensure(self.qresync, || "VANISHED in place of EXPUNGE".into())?;
        let open = self.open.as_mut().ok_or("VANISHED without a mailbox")?;
        for uid in uids {
            ensure(boxes[open.mailbox].gone.contains_key(uid), || format!("UID {uid} is said to be gone"))?;
            match open.slots.iter().position(|slot| slot.uid == Some(*uid)) {
                Some(place) => drop(open.slots.remove(place)),
                // It is one of those that the client has only numbers for.
                None => {
                    let first = open.slots.iter().rposition(|slot| slot.uid.is_some_and(|known| known < *uid)).map_or(0, |place| place + 1);
                    let end = open.slots.iter().position(|slot| slot.uid.is_some_and(|known| known > *uid)).unwrap_or(open.slots.len());
                    ensure(first < end, || format!("UID {uid} is said to be gone, and was never told of"))?;
                    let dead = (first..end).find(|&place| open.slots[place].dead).unwrap_or(first);
                    open.slots.remove(dead);
                }
            }
        }
        Ok(())
    }

    /// RFC 7162 §3.2.10.1: before the mailbox was opened.
    fn vanished_earlier(&mut self, uids: &[u32], boxes: &[Mailbox]) -> Checked {
        let open = self.open.as_ref().map(|open| open.mailbox);
        let front = self.front()?;
        if let (Command::Fetch { changed_since: Some(since), .. }, Some(open)) = (&front.command, open) {
            ensure(since.vanished, || "VANISHED (EARLIER) was not asked for".into())?;
            let there = uids.iter().find(|uid| boxes[open].find(**uid).is_some());
            ensure(there.is_none(), || format!("{there:?} is said to be gone"))?;
            front.vanished.extend(uids);
            return Ok(());
        }
        let Command::Select { resync: Some(Resync { known, .. }), .. } = &front.command else {
            return Err("VANISHED (EARLIER) was not asked for".into());
        };
        ensure(front.told.is_empty(), || "VANISHED (EARLIER) after FETCH".into())?;
        let strange = uids.iter().find(|uid| known.as_ref().is_some_and(|known| !known.contains(uid)));
        ensure(strange.is_none(), || format!("{strange:?} was not among the known UIDs"))?;
        let snapshot = front.snapshot.as_ref().ok_or("VANISHED (EARLIER) before anything was selected")?;
        let there = uids.iter().find(|uid| snapshot.messages.iter().any(|(known, _)| known == *uid));
        ensure(there.is_none(), || format!("{there:?} is said to be gone"))?;
        front.vanished.extend(uids);
        Ok(())
    }

    fn fetched(&mut self, number: usize, items: &[Value], boxes: &mut [Mailbox]) -> Checked {
        let (condstore, qresync, rev2) = (self.condstore, self.qresync, self.rev2);
        let open = self.open.as_mut().ok_or("FETCH without a mailbox")?;
        let front = self.flying.front_mut().ok_or("FETCH though no command is in progress")?;
        ensure((1..=open.slots.len()).contains(&number), || format!("no message has number {number}"))?;
        let mut heard = Slot::default();
        let mut recent = false;
        for pair in items.chunks(2) {
            let [name, value] = pair else { return Err("FETCH items come in pairs".into()) };
            match name.atom() {
                "UID" => heard.uid = value.atom().parse().ok(),
                "MODSEQ" => heard.modseq = value.list().first().and_then(|modseq| modseq.atom().parse().ok()),
                "FLAGS" => {
                    let names = value.list().iter().map(Value::atom).filter(|name| *name != "\\Recent");
                    let flags = names.map(|name| mailbox::flag(name).ok_or_else(|| format!("nobody has set {name}")));
                    heard.flags = Some(flags.sum::<Checked<Flags>>()?);
                    recent = value.list().iter().any(|name| name.atom() == "\\Recent");
                }
                "BODY[TEXT]" => ensure(*value == Value::Text(b"Text\r\n".to_vec()), || "another text".into())?,
                other => return Err(format!("{other} was not asked for")),
            }
        }
        let slot = &open.slots[number - 1];
        ensure(!slot.dead, || format!("message {number} was not there before"))?;
        if let (Some(known), Some(told)) = (slot.uid, heard.uid) {
            ensure(known == told, || format!("message {number} has UID {known}, not {told}"))?;
        }
        let uid = slot.uid.or(heard.uid);
        if !matches!(front.command, Command::Fetch { .. }) {
            // RFC 7162 §3.1 and §3.2.4: also where a command did not ask for it.
            ensure(!condstore || heard.modseq.is_some(), || "a change is told without its mod-sequence".into())?;
            ensure(!qresync || heard.uid.is_some(), || "a change is told without its UID".into())?;
        }
        // RFC 3501 §6.4.8.
        ensure(heard.uid.is_some() || !front.command.set().is_some_and(|set| set.by_uid), || "a UID command tells no UID".into())?;
        front.highest_told = front.highest_told.max(heard.modseq.unwrap_or(0));
        let told = (heard.flags.is_some(), heard.modseq.is_some());
        let Some(uid) = uid else {
            front.told_strangers.push(number);
            open.slots[number - 1].merge(heard);
            return Ok(());
        };
        let before = front.told.entry(uid).or_default();
        *before = (before.0 | told.0, before.1 | told.1);
        if open.slots[number - 1].uid.is_none() {
            front.told_strangers.push(number);
        }
        let (below, above) = open.slots.split_at(number - 1);
        ensure(below.iter().all(|slot| slot.uid.is_none_or(|other| other < uid)), || format!("UID {uid} does not ascend"))?;
        ensure(above[1..].iter().all(|slot| slot.uid.is_none_or(|other| other > uid)), || format!("UID {uid} does not ascend"))?;
        if heard.flags.is_some() {
            open.check_recent(uid, recent, rev2)?;
        }
        let states = boxes[open.mailbox].states(uid);
        let slot = &mut open.slots[number - 1];
        let fits = |state: &&mailbox::State| {
            let flags = heard.flags.is_none_or(|flags| flags == state.1);
            state.0 >= slot.at_least && flags && heard.modseq.is_none_or(|modseq| modseq == state.0)
        };
        let complaint = || format!("UID {uid} is said to be {heard:?}, was {states:?} (the client knew {slot:?})");
        heard.at_least = states.iter().find(fits).ok_or_else(complaint)?.0;
        heard.uid = Some(uid);
        if heard.flags.is_some() && heard.at_least != slot.at_least {
            // Who asks for flags alone hears of no mod-sequence.
            slot.modseq = None;
        }
        slot.merge(heard);
        Ok(())
    }

    fn esearch(&mut self, values: &[Value]) -> Checked<(Vec<u32>, Option<u64>)> {
        let front = self.front()?;
        let Command::Search { by_uid, .. } = front.command else { return Err("ESEARCH was not asked for".into()) };
        let (mut rest, mut of, mut uid) = (values, None, false);
        let (mut all, mut modseq, mut counts) = (Vec::new(), None, BTreeMap::new());
        if let Some(Value::List(correlator)) = rest.first() {
            of = correlator.get(1).cloned();
            rest = &rest[1..];
        }
        if rest.first().is_some_and(|word| word.atom() == "UID") {
            (uid, rest) = (true, &rest[1..]);
        }
        for pair in rest.chunks(2) {
            match pair[0].atom() {
                "ALL" => all = wire::numbers(pair[1].atom()).ok_or("no set")?,
                "MODSEQ" => modseq = pair[1].atom().parse().ok(),
                name => drop(counts.insert(name.to_owned(), pair[1].atom().parse::<u32>().ok())),
            }
        }
        ensure(of == Some(Value::Text(front.tag.clone().into_bytes())), || format!("an answer to {of:?}"))?;
        ensure(uid == by_uid, || "UIDs in place of numbers, or the other way".into())?;
        let expected = [("COUNT", u32::try_from(all.len()).ok()), ("MIN", all.iter().min().copied()), ("MAX", all.iter().max().copied())];
        for (name, expected) in expected {
            let told = counts.get(name).copied();
            ensure(told.is_none_or(|told| told == expected), || format!("{name} is {told:?}, not {expected:?}"))?;
        }
        Ok((all, modseq))
    }

    /// Does the client know the mailbox as it was?
    pub fn compare(&self, snapshot: &Snapshot) -> Checked {
        let Some(open) = &self.open else { return Ok(()) };
        let (known, there) = (open.slots.len(), snapshot.messages.len());
        ensure(known == there, || format!("the client knows {known} messages, there are {there}"))?;
        for (place, (slot, &(uid, (modseq, flags)))) in open.slots.iter().zip(&snapshot.messages).enumerate() {
            let same = slot.uid.is_none_or(|known| known == uid)
                && slot.flags.is_none_or(|known| known == flags)
                && slot.modseq.is_none_or(|known| known == modseq);
            let (place, names) = (place + 1, mailbox::names(flags));
            ensure(same, || format!("the client knows message {place} as {slot:?}; it is UID {uid}, ({names}) since {modseq}"))?;
        }
        Ok(())
    }
}

impl Slot {
    fn merge(&mut self, heard: Slot) {
        self.uid = self.uid.or(heard.uid);
        self.flags = heard.flags.or(self.flags);
        self.modseq = heard.modseq.or(self.modseq);
        self.at_least = self.at_least.max(heard.at_least);
    }
}

impl Open {
    /// RFC 3501 §2.3.2: in a session a message is recent or not, and only to one that was the first to hear of it.
    fn check_recent(&mut self, uid: u32, recent: bool, rev2: bool) -> Checked {
        ensure(!recent || (!rev2 && uid >= self.recent.0), || format!("UID {uid} is not recent any more"))?;
        ensure(recent || rev2 || uid < self.recent.1, || format!("UID {uid} is recent, since nobody has seen it"))?;
        if recent {
            self.shown.0 = self.shown.0.min(uid);
        } else {
            self.shown.1 = self.shown.1.max(uid);
        }
        ensure(rev2 || self.shown.1 < self.shown.0, || format!("{:?}: a recent message below one that is not", self.shown))
    }
}
