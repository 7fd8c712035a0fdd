//! An account in memory, behind the questions of an IMAP conversation.
//!
//! Takes questions and gives answers as the daemon's door does, save that nothing is kept. `act` does what
//! other sessions would do.

use imap_types::flag::Flag;
use std::collections::BTreeMap;
use std::sync::Arc;
use stoa_imap::search::{EntryFacts, Hit, Verdict};
use stoa_imap::{Answer, Mailbox, Question, Refusal, RefusalCode, Selected, Status};
use stoa_mailbox::{Edit, Entry, FlagChange, FlagNames, Flags, ModSeq, SystemFlag, Uid, UidSet, View};

/// The door's clock, in seconds since 1970.
const NOW: i64 = 1_000_000;

/// One mailbox.
struct Box {
    view: Arc<View>,
    subscribed: bool,
    exists: bool,
    recent_from: Uid,
    /// What went, and when.
    gone: Vec<(ModSeq, UidSet)>,
}

/// One account's mailboxes, as one conversation sees them.
pub struct Door {
    boxes: BTreeMap<String, Box>,
    selected: Option<String>,
    upload: Option<(String, FlagNames, i64)>,
    /// Whole messages that wait for the last: flags, date and size.
    waiting: Vec<(FlagNames, i64, u32)>,
    /// The message that is coming, or came last.
    pub content: Vec<u8>,
    next_message: u64,
    /// Listed, and gone after that.
    vanishing: Option<String>,
}

impl Door {
    pub fn new() -> Self {
        let mut door = Self {
            boxes: BTreeMap::new(),
            selected: None,
            upload: None,
            waiting: Vec::new(),
            content: Vec::new(),
            next_message: 1,
            vanishing: None,
        };
        door.create("INBOX");
        door.create("Drafts");
        door
    }

    /// What a conversation asks.
    pub fn answer(&mut self, question: Question) -> Answer {
        self.try_answer(question).unwrap_or_else(|(code, text)| Answer::Refused(Refusal { code: Some(code), text: text.into() }))
    }

    /// The newest version of the selected mailbox.
    pub fn newest(&self) -> Option<Arc<View>> {
        self.selected.as_ref().and_then(|name| self.boxes.get(name)).map(|found| found.view.clone())
    }

    /// `deliver MAILBOX [flag…]`, `flag MAILBOX UIDS ±flag`, `expunge MAILBOX UIDS`, `create MAILBOX`, `subscribe MAILBOX`,
    /// `vanish MAILBOX` (it is listed once more, but not found).
    pub fn act(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["create", name] => self.create(name),
            ["subscribe", name] => {
                let absent = Box { view: Arc::new(View::empty(1)), subscribed: true, exists: false, recent_from: 1, gone: Vec::new() };
                self.boxes.entry(name.to_owned()).or_insert(absent).subscribed = true;
            }
            ["vanish", name] => self.vanishing = Some(name.to_owned()),
            ["deliver", name, ref flags @ ..] => self.append(name, &names(flags), 0, 10),
            ["flag", name, uids, flag] => {
                let change = if flag.starts_with('-') { FlagChange::Remove } else { FlagChange::Add };
                self.flag(name, &set(uids), change, &names(&[&flag[1..]]));
            }
            ["expunge", name, uids] => self.remove(name, set(uids)),
            _ => panic!("no such act: {line}"),
        }
    }

    fn try_answer(&mut self, question: Question) -> Result<Answer, (RefusalCode, &'static str)> {
        Ok(match question {
            Question::Authenticate(question) => Answer::Authentication(authenticate(question)),
            Question::Refresh | Question::AbortAppend => Answer::Done(self.newest()),
            Question::Mailboxes => Answer::Mailboxes(Arc::new(self.list())),
            Question::Select { mailbox, read_only } => {
                self.selected = None;
                let found = self.existing(&mailbox)?;
                let selected = Selected { view: found.view.clone(), recent_from: found.recent_from, read_only, mailbox_id: "F1".into() };
                if !read_only {
                    found.recent_from = found.view.uid_next;
                }
                self.selected = Some(mailbox);
                Answer::Selected(selected)
            }
            Question::Unselect => {
                self.selected = None;
                Answer::Done(None)
            }
            Question::Status { mailbox, .. } => Answer::Status(status(self.existing(&mailbox)?)),
            Question::Vanished { since } => {
                let name = self.selected.clone().unwrap();
                let gone = self.boxes[&name].gone.iter().filter(|(modseq, _)| *modseq > since);
                Answer::Vanished(UidSet::from_ranges(gone.flat_map(|(_, uids)| uids.ranges())))
            }
            Question::BeginAppend { mailbox, flags, received, .. } => {
                self.existing(&mailbox).map_err(|_| (RefusalCode::TryCreate, "No such mailbox"))?;
                self.content.clear();
                self.waiting.clear();
                self.upload = Some((mailbox, flags, received.unwrap_or(0)));
                Answer::Done(self.newest())
            }
            Question::NextAppend { flags, received, .. } => {
                self.end_message();
                let (mailbox, ..) = self.upload.take().unwrap();
                self.upload = Some((mailbox, flags, received.unwrap_or(0)));
                Answer::Done(self.newest())
            }
            Question::EndAppend => self.end_append(),
            Question::Copy { uids, mailbox, take } => self.copy(&uids, &mailbox, take)?,
            Question::Store { uids, change, flags, unchanged_since } => {
                let name = self.selected.clone().unwrap();
                let is_modified = |entry: &&Entry| unchanged_since.is_some_and(|limit| entry.modseq > limit);
                let modified = self.boxes[&name].view.select(&uids).filter(is_modified).map(|entry| entry.uid).collect();
                self.flag(&name, &uids.without(&modified), change, &flags);
                Answer::Stored { modified, view: self.newest() }
            }
            Question::Create { .. } | Question::Delete { .. } | Question::Rename { .. } | Question::Subscribe { .. } => {
                return self.change_tree(question);
            }
            Question::Search { program, numbering, recent_from, order } => {
                let keywords = &numbering.view().keywords;
                let is_found = |entry: &&Entry| {
                    let facts = EntryFacts { entry, keywords, recent: entry.uid >= recent_from, holder: 1, now: NOW };
                    numbering.number(entry.uid).is_some() && program.by_entry(&facts) == Verdict::Yes
                };
                let mut arranging = order.begin();
                numbering.view().iter().filter(is_found).for_each(|entry| arranging.add(&Hit { entry, header: b"", sent: None }));
                arranging.finish()
            }
            Question::Expunge { uids } => {
                let name = self.selected.clone().unwrap();
                let doomed = |e: &&Entry| e.flags.has(SystemFlag::Deleted) && uids.as_ref().is_none_or(|uids| uids.contains(e.uid));
                let gone = self.boxes[&name].view.iter().filter(doomed).map(|e| e.uid).collect();
                self.remove(&name, gone);
                Answer::Done(self.newest())
            }
        })
    }

    fn change_tree(&mut self, question: Question) -> Result<Answer, (RefusalCode, &'static str)> {
        Ok(match question {
            Question::Create { mailbox, .. } if self.existing(&mailbox).is_ok() => {
                return Err((RefusalCode::AlreadyExists, "There is one"));
            }
            Question::Create { mailbox, .. } => {
                self.create(&mailbox);
                Answer::Created { mailbox_id: "F2".into(), view: self.newest() }
            }
            Question::Delete { mailbox } => {
                self.existing(&mailbox)?;
                self.boxes.remove(&mailbox);
                Answer::Done(self.newest())
            }
            Question::Rename { from, to } => {
                self.existing(&from)?;
                let is_moved = |name: &str| name.strip_prefix(&from).is_some_and(|below| below.is_empty() || below.starts_with('/'));
                let moved: Vec<String> = self.boxes.keys().filter(|name| is_moved(name)).cloned().collect();
                for name in moved {
                    let found = self.boxes.remove(&name).unwrap();
                    self.boxes.insert(name.replacen(&from, &to, 1), found);
                }
                Answer::Done(self.newest())
            }
            Question::Subscribe { mailbox, on } => {
                self.existing(&mailbox)?.subscribed = on;
                Answer::Done(self.newest())
            }
            other => panic!("{other:?} changes no tree"),
        })
    }

    fn existing(&mut self, name: &str) -> Result<&mut Box, (RefusalCode, &'static str)> {
        self.boxes.get_mut(name).filter(|found| found.exists).ok_or((RefusalCode::NonExistent, "No such mailbox"))
    }

    fn create(&mut self, name: &str) {
        let made = Box { view: Arc::new(View::empty(100)), subscribed: false, exists: true, recent_from: 1, gone: Vec::new() };
        self.boxes.insert(name.to_owned(), made);
    }

    fn list(&mut self) -> Vec<Mailbox> {
        let line = |(name, found): (&String, &Box)| {
            let special_use = (name == "Drafts").then_some("\\Drafts");
            Mailbox { name: name.clone(), special_use, subscribed: found.subscribed, number: found.exists.then_some(1) }
        };
        let mut all: Vec<_> = self.boxes.iter().map(line).collect();
        all.sort_by_key(|mailbox| mailbox.name != "INBOX");
        self.vanishing.take().and_then(|name| self.boxes.remove(&name));
        all
    }

    fn end_message(&mut self) {
        let (_, flags, received) = self.upload.clone().unwrap();
        let before: u32 = self.waiting.iter().map(|(_, _, size)| size).sum();
        self.waiting.push((flags, received, u32::try_from(self.content.len()).unwrap() - before));
    }

    fn end_append(&mut self) -> Answer {
        self.end_message();
        let (name, ..) = self.upload.take().unwrap();
        let first = self.boxes[&name].view.uid_next;
        for (flags, received, size) in std::mem::take(&mut self.waiting) {
            self.append(&name, &flags, received, size);
        }
        let uids = UidSet::from_ranges([first..=self.boxes[&name].view.uid_next - 1]);
        Answer::Appended { uid_validity: 100, uids, view: self.newest() }
    }

    fn copy(&mut self, uids: &UidSet, target: &str, take: bool) -> Result<Answer, (RefusalCode, &'static str)> {
        self.existing(target).map_err(|_| (RefusalCode::TryCreate, "No such mailbox"))?;
        let source = self.newest().unwrap();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for entry in source.select(uids) {
            from.push(entry.uid);
            to.push(self.boxes[target].view.uid_next);
            let keywords = entry.flags.keywords().map(|place| source.keywords[place].clone()).collect();
            let system = entry.flags.without(Flags::from_bits(!0xff));
            self.append(target, &FlagNames { system, keywords }, entry.received, entry.size);
        }
        if take {
            let name = self.selected.clone().unwrap();
            self.remove(&name, from.iter().copied().collect());
        }
        Ok(Answer::Copied { uid_validity: 100, from, to, view: self.newest() })
    }

    fn append(&mut self, name: &str, flags: &FlagNames, received: i64, size: u32) {
        let named = self.number(name, flags);
        let found = self.boxes.get_mut(name).unwrap();
        let (uid, modseq) = (found.view.uid_next, found.view.highest_modseq + 1);
        let entry = Entry { uid, size, message: self.next_message, modseq, flags: named, received, saved: 0 };
        self.next_message += 1;
        found.view = Arc::new(found.view.apply([&Edit::Append(entry)]));
    }

    fn flag(&mut self, name: &str, uids: &UidSet, change: FlagChange, flags: &FlagNames) {
        let named = self.number(name, flags);
        let found = self.boxes.get_mut(name).unwrap();
        let modseq = found.view.highest_modseq + 1;
        found.view = Arc::new(found.view.apply([&Edit::Flag { uids: uids.clone(), change, named, modseq }]));
    }

    fn remove(&mut self, name: &str, uids: UidSet) {
        let found = self.boxes.get_mut(name).unwrap();
        let modseq = found.view.highest_modseq + 1;
        found.gone.push((modseq, found.view.select(&uids).map(|entry| entry.uid).collect()));
        found.view = Arc::new(found.view.apply([&Edit::Expunge { uids, modseq }]));
    }

    /// The bits of these flags; new keywords get theirs.
    fn number(&mut self, name: &str, flags: &FlagNames) -> Flags {
        let found = self.boxes.get_mut(name).unwrap();
        let edits: Vec<_> = flags.keywords.iter().cloned().map(Edit::Keyword).collect();
        found.view = Arc::new(found.view.apply(&edits));
        let bits = flags.keywords.iter().filter_map(|keyword| found.view.keyword(keyword)).map(Flags::keyword);
        bits.fold(flags.system, Flags::with)
    }
}

fn status(found: &Box) -> Status {
    let count = |counted: &dyn Fn(&Entry) -> bool| u32::try_from(found.view.iter().filter(|e| counted(e)).count()).unwrap();
    Status {
        messages: count(&|_| true),
        recent: count(&|e| e.uid >= found.recent_from),
        unseen: count(&|e| !e.flags.has(SystemFlag::Seen)),
        uid_next: found.view.uid_next,
        uid_validity: found.view.uid_validity,
        deleted: count(&|e| e.flags.has(SystemFlag::Deleted)),
        size: found.view.iter().map(|e| u64::from(e.size)).sum(),
        highest_modseq: found.view.highest_modseq,
        mailbox_id: "F1".into(),
    }
}

fn authenticate(question: stoa_sasl::Question) -> stoa_sasl::Answer {
    use stoa_sasl::{Answer, Question};
    match question {
        Question::Password { login, password, .. } if login == "socrates" && password.reveal() == "wisdom" => {
            Answer::Granted { account: login }
        }
        Question::Password { login, .. } if login == "nobody-knows" => Answer::Unavailable,
        Question::ScramParameters { .. } => Answer::ScramParameters { salt: b"salt".to_vec(), iterations: 4096 },
        Question::ScramProof { login, .. } if login == "user" => Answer::ScramGranted { account: login, server_signature: vec![1] },
        _ => Answer::Denied,
    }
}

fn names(flags: &[&str]) -> FlagNames {
    let mut names = FlagNames::default();
    for flag in flags {
        match SystemFlag::ALL.into_iter().find(|known| known.name() == *flag) {
            Some(known) => names.system = names.system.with(known.into()),
            None => names.keywords.push(Flag::try_from(*flag).unwrap().to_string()),
        }
    }
    names
}

/// `1:3,5`
fn set(text: &str) -> UidSet {
    let ends = |range: &str| match range.split_once(':') {
        Some((from, to)) => from.parse().unwrap()..=to.parse().unwrap(),
        None => range.parse().unwrap()..=range.parse().unwrap(),
    };
    UidSet::from_ranges(text.split(',').map(ends))
}
