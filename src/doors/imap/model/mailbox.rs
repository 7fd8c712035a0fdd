//! A mailbox as the RFCs describe it, and nothing more: a list of messages, and everything that ever happened to them.
//!
//! RFC 9051 §2.3.1.1: UIDs ascend and are never used again. RFC 7162 §3.1: each change gives what it changed a
//! mod-sequence above all that were before.

use std::collections::BTreeMap;
use stoa_mailbox::{SystemFlag, View};

/// A set of flags, by their place in [`NAMES`].
pub(super) type Flags = u16;

pub(super) const NAMES: [&str; 8] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "$Work", "$Junk", "Home"];
pub(super) const DELETED: Flags = 1 << 2;
pub(super) const SEEN: Flags = 1 << 3;
pub(super) const ALL_FLAGS: Flags = (1 << NAMES.len()) - 1;

/// The flag of this name, compared without case.
pub(super) fn flag(name: &str) -> Option<Flags> {
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|place| 1 << place)
}

pub(super) fn names(flags: Flags) -> String {
    let named = NAMES.iter().enumerate().filter(|(place, _)| flags & (1 << place) != 0);
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

/// What a message once was: its flags since a mod-sequence.
pub(super) type State = (u64, Flags);

/// A change that the store has made and the model has not yet looked up.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub uid: u32,
    pub states: Vec<State>,
}

impl Message {
    pub fn now(&self) -> State {
        self.states[self.states.len() - 1]
    }

    pub fn flags(&self) -> Flags {
        self.now().1
    }

    pub fn modseq(&self) -> u64 {
        self.now().0
    }
}

/// A mailbox at one moment: UID and state of each message.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub uid_next: u32,
    pub highest: u64,
    pub messages: Vec<(u32, State)>,
}

pub(super) struct Mailbox {
    pub name: &'static str,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub highest: u64,
    pub messages: Vec<Message>,
    /// What is not there any more.
    pub gone: BTreeMap<u32, (u64, Message)>,
    /// Below this UID somebody has had it as `\Recent`: who opens the mailbox for writing has all that is there.
    pub claimed: u32,
    /// How many have it open, and below which UID they may have seen it.
    pub open: usize,
    seen_by_some: u32,
    changed: bool,
    /// Messages that were read, and that the reader may have believed to be seen: then nobody marked them.
    pub may_be_seen: Vec<u32>,
}

/// What became of a STORE.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub done: Vec<u32>,
    pub changed: Vec<u32>,
    pub modified: Vec<u32>,
}

impl Mailbox {
    pub fn new(name: &'static str, view: &View) -> Self {
        let (uid_validity, uid_next, highest) = (view.uid_validity, view.uid_next, view.highest_modseq);
        let (messages, gone) = (Vec::new(), BTreeMap::new());
        Self {
            name,
            uid_validity,
            uid_next,
            highest,
            messages,
            gone,
            claimed: 1,
            open: 0,
            seen_by_some: 1,
            changed: false,
            may_be_seen: Vec::new(),
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let messages = self.messages.iter().map(|message| (message.uid, message.now())).collect();
        Snapshot { uid_next: self.uid_next, highest: self.highest, messages }
    }

    pub fn find(&self, uid: u32) -> Option<&Message> {
        self.messages.iter().find(|message| message.uid == uid)
    }

    /// What a message is or was.
    pub fn states(&self, uid: u32) -> &[State] {
        self.find(uid).or(self.gone.get(&uid).map(|(_, message)| message)).map_or(&[], |message| &message.states)
    }

    /// From here on nobody can have seen a message.
    pub fn unseen_from(&self) -> u32 {
        if self.open > 0 { self.uid_next } else { self.seen_by_some }
    }

    pub fn opened(&mut self) {
        self.open += 1;
    }

    pub fn left(&mut self) {
        self.seen_by_some = self.uid_next;
        self.open -= 1;
    }

    pub fn append(&mut self, flags: Flags) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.messages.push(Message { uid, states: vec![(UNKNOWN, flags)] });
        self.changed = true;
        uid
    }

    /// RFC 9051 §6.4.6 and RFC 7162 §3.1.3; the change says what becomes of flags.
    pub fn store(&mut self, uids: &[u32], change: impl Fn(Flags) -> Flags, unchanged_since: Option<u64>) -> Stored {
        let mut stored = Stored::default();
        for message in self.messages.iter_mut().filter(|message| uids.contains(&message.uid)) {
            let (modseq, flags) = message.now();
            if unchanged_since.is_some_and(|limit| modseq > limit) {
                stored.modified.push(message.uid);
                continue;
            }
            stored.done.push(message.uid);
            if change(flags) != flags {
                message.states.push((UNKNOWN, change(flags)));
                stored.changed.push(message.uid);
                self.changed = true;
            }
        }
        stored
    }

    pub fn remove(&mut self, uids: &[u32]) {
        for message in self.messages.extract_if(.., |message| uids.contains(&message.uid)) {
            self.gone.insert(message.uid, (UNKNOWN, message));
            self.changed = true;
        }
    }

    /// The UIDs that an EXPUNGE removes, of these or all.
    pub fn deleted(&self, among: Option<&[u32]>) -> Vec<u32> {
        let deleted = self.messages.iter().filter(|message| message.flags() & DELETED != 0);
        deleted.map(|message| message.uid).filter(|uid| among.is_none_or(|among| among.contains(uid))).collect()
    }

    /// Compares with what is stored, and learns the mod-sequences of what has just changed.
    pub fn settle(&mut self, view: &View) -> Result<(), String> {
        let marked = |uid: &u32| view.find(*uid).is_some_and(|entry| entry.flags.has(SystemFlag::Seen));
        let seen: Vec<u32> = std::mem::take(&mut self.may_be_seen).into_iter().filter(marked).collect();
        self.store(&seen, |flags| flags | SEEN, None);
        let before = std::mem::replace(&mut self.highest, view.highest_modseq);
        let raised = view.highest_modseq > before;
        if raised != self.changed {
            return Err(format!(
                "{}: changed: {}, but the highest mod-sequence went from {before} to {}",
                self.name, self.changed, self.highest
            ));
        }
        self.changed = false;
        self.gone.values_mut().filter(|(modseq, _)| *modseq == UNKNOWN).for_each(|(modseq, _)| *modseq = view.highest_modseq);
        if (view.uid_validity, view.uid_next, view.len()) != (self.uid_validity, self.uid_next, self.messages.len()) {
            return Err(format!(
                "{}: UIDNEXT {} and {} messages are stored, not {} and {}",
                self.name,
                view.uid_next,
                view.len(),
                self.uid_next,
                self.messages.len()
            ));
        }
        for (message, entry) in self.messages.iter_mut().zip(view.iter()) {
            let system = SystemFlag::ALL.into_iter().filter(|flag| entry.flags.has(*flag)).map(|flag| flag.name());
            let keywords = entry.flags.keywords().map(|place| view.keywords[place].as_str());
            let flags = system.chain(keywords).try_fold(0, |all, name| flag(name).map(|flag| all | flag));
            // Of changes that became one nobody has seen those between.
            let newest = message.now();
            message.states.retain(|state| state.0 != UNKNOWN || newest.0 != UNKNOWN);
            if newest.0 == UNKNOWN {
                message.states.push(newest);
            }
            let last = message.states.len() - 1;
            let state = &mut message.states[last];
            let fresh = state.0 == UNKNOWN;
            if fresh && entry.modseq > before && entry.modseq <= view.highest_modseq {
                state.0 = entry.modseq;
            }
            if (entry.uid, Some(*state)) != (message.uid, flags.map(|flags| (entry.modseq, flags))) {
                return Err(format!("{}: stored is {entry:?}, should be UID {} {state:?}", self.name, message.uid));
            }
        }
        Ok(())
    }
}
