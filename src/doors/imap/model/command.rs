//! Commands as a client means them, and as it writes them (RFC 9051 §6).

use super::mailbox::{self, Flags, State};
use super::wire;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Login,
    Enable(&'static str),
    Noop,
    Check,
    Capability,
    List,
    Idle,
    Status(usize),
    /// Of a mailbox; none is one that does not exist.
    Select {
        mailbox: Option<usize>,
        read_only: bool,
        condstore: bool,
        resync: Option<Resync>,
    },
    Unselect,
    Close,
    Store {
        set: Set,
        sign: Sign,
        silent: bool,
        flags: Flags,
        unchanged_since: Option<u64>,
    },
    /// EXPUNGE, or UID EXPUNGE of a set.
    Expunge(Option<Set>),
    Copy {
        set: Set,
        to: Option<usize>,
        take: bool,
    },
    /// One message with these flags, and perhaps another (RFC 3502).
    Append {
        to: Option<usize>,
        flags: Flags,
        more: Option<Flags>,
    },
    Fetch {
        set: Set,
        what: What,
        changed_since: Option<Since>,
    },
    Search {
        by_uid: bool,
        key: Key,
        results: Results,
    },
}

/// RFC 7162 §3.2.5: what a client that was away says it knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resync {
    pub uid_validity: u32,
    pub modseq: u64,
    pub known: Option<Vec<u32>>,
    /// Also its list of numbers and UIDs.
    pub matches: Option<(Vec<u32>, Vec<u32>)>,
}

/// What STORE does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    Replace,
    Add,
    Remove,
}

impl Sign {
    pub fn apply(self, old: Flags, named: Flags) -> Flags {
        match self {
            Self::Replace => named,
            Self::Add => old | named,
            Self::Remove => old & !named,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    Flags,
    /// And mod-sequences.
    ModSeq,
    Text,
    Peek,
}

/// RFC 7162 §3.1.4.1 and §3.2.6: only what has changed, perhaps with what went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Since {
    pub modseq: u64,
    pub vanished: bool,
}

/// RFC 4731 §3.1 and RFC 5182 §2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Results {
    Plain,
    All,
    Saved,
}

/// Ranges of numbers or UIDs; 0 stands for `*`, no range for `$`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Set {
    pub by_uid: bool,
    pub ranges: Vec<(u32, u32)>,
}

impl Set {
    pub fn all(by_uid: bool) -> Self {
        Self { by_uid, ranges: vec![(1, 0)] }
    }

    /// What the last SEARCH has saved.
    pub fn saved(by_uid: bool) -> Self {
        Self { by_uid, ranges: Vec::new() }
    }

    pub fn is_saved(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Is this number in it, where `*` is `last`?
    pub fn contains(&self, number: u32, last: u32) -> bool {
        let value = |end| if end == 0 { last } else { end };
        self.ranges.iter().any(|&(a, b)| (value(a).min(value(b))..=value(a).max(value(b))).contains(&number))
    }

    /// Does it name a number above `last`? In an empty mailbox `*` names nothing, and no range with it does.
    pub fn exceeds(&self, last: u32) -> bool {
        self.ranges.iter().filter(|&&(a, b)| last > 0 || (a > 0 && b > 0)).any(|&(a, b)| a.max(b) > last)
    }
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_saved() {
            return f.write_str("$");
        }
        let end = |end: u32| if end == 0 { "*".to_owned() } else { end.to_string() };
        let range = |&(a, b): &(u32, u32)| if a == b { end(a) } else { format!("{}:{}", end(a), end(b)) };
        f.write_str(&self.ranges.iter().map(range).collect::<Vec<_>>().join(","))
    }
}

/// RFC 9051 §6.4.4: what can be decided without reading a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Flag(Flags, bool),
    Set(Set),
    ModSeq(u64),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Vec<Key>),
}

/// What a key asks about: number, UID, and the last of both.
pub(super) struct Asked {
    pub number: u32,
    pub uid: u32,
    pub last_number: u32,
    pub last_uid: u32,
}

impl Key {
    pub fn finds(&self, asked: &Asked, state: State) -> bool {
        match self {
            Self::Flag(flag, set) => (state.1 & flag != 0) == *set,
            Self::Set(set) if set.by_uid => set.contains(asked.uid, asked.last_uid),
            Self::Set(set) => set.contains(asked.number, asked.last_number),
            Self::ModSeq(limit) => state.0 >= *limit,
            Self::Not(key) => !key.finds(asked, state),
            Self::Or(a, b) => a.finds(asked, state) || b.finds(asked, state),
            Self::And(keys) => keys.iter().all(|key| key.finds(asked, state)),
        }
    }

    pub fn has_modseq(&self) -> bool {
        match self {
            Self::ModSeq(_) => true,
            Self::Not(key) => key.has_modseq(),
            Self::Or(a, b) => a.has_modseq() || b.has_modseq(),
            Self::And(keys) => keys.iter().any(Self::has_modseq),
            _ => false,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag, set) => {
                let name = mailbox::names(*flag);
                match (name.strip_prefix('\\'), set) {
                    (Some(name), true) => f.write_str(&name.to_uppercase()),
                    (Some(name), false) => write!(f, "UN{}", name.to_uppercase()),
                    (None, true) => write!(f, "KEYWORD {name}"),
                    (None, false) => write!(f, "UNKEYWORD {name}"),
                }
            }
            Self::Set(set) if set.by_uid => write!(f, "UID {set}"),
            Self::Set(set) => write!(f, "{set}"),
            Self::ModSeq(limit) => write!(f, "MODSEQ {limit}"),
            Self::Not(key) => write!(f, "NOT {key}"),
            Self::Or(a, b) => write!(f, "OR {a} {b}"),
            Self::And(keys) if keys.is_empty() => f.write_str("ALL"),
            Self::And(keys) => {
                let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
                write!(f, "({})", keys.join(" "))
            }
        }
    }
}

impl Command {
    /// RFC 3501 §7.4.1, RFC 9051 §7.5.1: may numbers change before its end?
    pub fn may_expunge(&self) -> bool {
        match self {
            Self::Store { set, .. } | Self::Fetch { set, .. } => set.by_uid,
            Self::Search { by_uid, .. } => *by_uid,
            Self::Select { .. } | Self::Close | Self::Unselect | Self::Login => false,
            _ => true,
        }
    }

    pub fn needs_selection(&self) -> bool {
        use Command::{Check, Close, Copy, Expunge, Fetch, Search, Store, Unselect};
        matches!(self, Check | Close | Unselect | Store { .. } | Expunge(_) | Copy { .. } | Fetch { .. } | Search { .. })
    }

    /// Does it change what a mailbox opened by EXAMINE holds?
    pub fn writes(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Expunge(_) | Self::Copy { take: true, .. })
    }

    pub fn set(&self) -> Option<&Set> {
        match self {
            Self::Store { set, .. } | Self::Expunge(Some(set)) | Self::Copy { set, .. } | Self::Fetch { set, .. } => Some(set),
            _ => None,
        }
    }

    /// RFC 7162 §3.1: who says this knows mod-sequences.
    pub fn enables_condstore(&self) -> bool {
        match self {
            Self::Enable(capability) => capability.contains("CONDSTORE") || capability.contains("QRESYNC"),
            Self::Status(_) => true,
            Self::Select { condstore, .. } => *condstore,
            Self::Store { unchanged_since, .. } => unchanged_since.is_some(),
            Self::Fetch { what, changed_since, .. } => *what == What::ModSeq || changed_since.is_some(),
            Self::Search { key, .. } => key.has_modseq(),
            _ => false,
        }
    }

    /// As written after the tag, without the end of the line.
    pub fn text(&self, name: impl Fn(Option<usize>) -> &'static str) -> String {
        let uid = if self.set().is_some_and(|set| set.by_uid) { "UID " } else { "" };
        match self {
            Self::Login => "LOGIN plato@stoa.example password".into(),
            Self::Enable(capability) => format!("ENABLE {capability}"),
            Self::Noop => "NOOP".into(),
            Self::Check => "CHECK".into(),
            Self::Capability => "CAPABILITY".into(),
            Self::List => "LIST \"\" *".into(),
            Self::Idle => "IDLE".into(),
            Self::Status(mailbox) => format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT HIGHESTMODSEQ)", name(Some(*mailbox))),
            Self::Select { mailbox, read_only, condstore, resync } => {
                let verb = if *read_only { "EXAMINE" } else { "SELECT" };
                let condstore = condstore.then(|| "CONDSTORE".to_owned());
                let parameters: Vec<String> = condstore.into_iter().chain(resync.as_ref().map(Resync::to_string)).collect();
                let parameters = if parameters.is_empty() { String::new() } else { format!(" ({})", parameters.join(" ")) };
                format!("{verb} {}{parameters}", name(*mailbox))
            }
            Self::Unselect => "UNSELECT".into(),
            Self::Close => "CLOSE".into(),
            Self::Store { set, sign, silent, flags, unchanged_since } => {
                let unchanged = unchanged_since.map_or(String::new(), |limit| format!("(UNCHANGEDSINCE {limit}) "));
                let sign = ["", "+", "-"][*sign as usize];
                let silent = if *silent { ".SILENT" } else { "" };
                format!("{uid}STORE {set} {unchanged}{sign}FLAGS{silent} ({})", mailbox::names(*flags))
            }
            Self::Expunge(set) => set.as_ref().map_or("EXPUNGE".into(), |set| format!("UID EXPUNGE {set}")),
            Self::Copy { set, to, take } => format!("{uid}{} {set} {}", if *take { "MOVE" } else { "COPY" }, name(*to)),
            Self::Append { to, flags, more } => {
                let text = "Subject: x\r\n\r\nText\r\n";
                let message = |flags: &Flags| format!(" ({}) {{{}+}}\r\n{text}", mailbox::names(*flags), text.len());
                format!("APPEND {}{}{}", name(*to), message(flags), more.as_ref().map_or(String::new(), message))
            }
            Self::Fetch { set, what, changed_since } => {
                let items = ["(UID FLAGS)", "(UID FLAGS MODSEQ)", "(UID BODY[TEXT])", "(BODY.PEEK[TEXT] FLAGS UID)"][*what as usize];
                let vanished = |since: &Since| if since.vanished { " VANISHED" } else { "" };
                let changed = changed_since.as_ref();
                let changed = changed.map_or(String::new(), |since| format!(" (CHANGEDSINCE {}{})", since.modseq, vanished(since)));
                format!("{uid}FETCH {set} {items}{changed}")
            }
            Self::Search { by_uid, key, results } => {
                let uid = if *by_uid { "UID " } else { "" };
                let results = ["", " RETURN (MIN MAX COUNT ALL)", " RETURN (SAVE ALL)"][*results as usize];
                format!("{uid}SEARCH{results} {key}")
            }
        }
    }
}

impl std::fmt::Display for Resync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |uids: &[u32]| uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        write!(f, "QRESYNC ({} {}", self.uid_validity, self.modseq)?;
        if let Some(known) = &self.known {
            write!(f, " {}", list(known))?;
        }
        if let Some((numbers, uids)) = &self.matches {
            write!(f, " ({} {})", list(numbers), list(uids))?;
        }
        f.write_str(")")
    }
}

/// What a command was told before its end, and what it has done.
#[derive(Debug)]
pub(super) struct Flying {
    pub tag: String,
    pub command: Command,
    /// Why it must fail.
    pub refusal: Option<&'static str>,
    /// The messages that its set names, by UID and, where that is not known, by number.
    pub uids: Vec<u32>,
    pub strangers: Vec<usize>,
    /// What `*` is where it names UIDs; 0 for nothing.
    pub last_uid: u32,
    /// Those of them that have changed since the client heard of them.
    pub news: Vec<u32>,
    /// Those of them that the session cannot believe to be `\Seen`.
    pub unseen: Vec<u32>,
    /// It was said while a mailbox was open.
    pub was_open: bool,
    /// Its effect took place.
    pub done: bool,
    pub snapshot: Option<mailbox::Snapshot>,
    /// Of a SELECT: messages below this UID were recent to others; those from the second on were seen by nobody.
    pub recent: (u32, u32),
    pub stored: mailbox::Stored,
    /// UIDs removed, or copied.
    pub from: Vec<u32>,
    pub to: Vec<u32>,
    /// Messages that FETCH responses named, with whether they told flags and mod-sequence.
    pub told: std::collections::BTreeMap<u32, (bool, bool)>,
    pub told_strangers: Vec<usize>,
    pub vanished: Vec<u32>,
    /// A SEARCH was answered.
    pub found: bool,
    pub status: Vec<(String, u64)>,
    /// Codes of untagged OKs, and of the tagged response.
    pub codes: std::collections::BTreeMap<String, Vec<String>>,
    /// The highest mod-sequence that a FETCH response told.
    pub highest_told: u64,
}

impl Flying {
    pub fn new(tag: String, command: Command) -> Self {
        Self {
            tag,
            command,
            refusal: None,
            uids: Vec::new(),
            strangers: Vec::new(),
            last_uid: 0,
            news: Vec::new(),
            unseen: Vec::new(),
            was_open: false,
            done: false,
            snapshot: None,
            recent: (1, 1),
            stored: mailbox::Stored::default(),
            from: Vec::new(),
            to: Vec::new(),
            told: std::collections::BTreeMap::new(),
            told_strangers: Vec::new(),
            vanished: Vec::new(),
            found: false,
            status: Vec::new(),
            codes: std::collections::BTreeMap::new(),
            highest_told: 0,
        }
    }

    /// The number in a code.
    pub fn code(&self, name: &str) -> Option<u64> {
        self.codes.get(name)?.first()?.parse().ok()
    }

    /// The numbers in a code's sets.
    pub fn code_sets(&self, name: &str) -> Option<Vec<Vec<u32>>> {
        self.codes.get(name)?.iter().map(|set| wire::numbers(set)).collect()
    }
}
