//! The selected mailbox as one client knows it: what its numbers mean, and what it has to be told
//! (RFC 3501 §5.2, §7.4.1).
//!
//! Newer versions are kept until the end of a command, or told at once while the client idles. Trusts the door's
//! versions; reads sets of numbers from strangers.

use crate::commands::Running;
use crate::commands::enable::Enabled;
use crate::questions::Selected;
use crate::response::Response;
use crate::sequence::{End, SequenceSet};
use crate::write::flag_list;
use std::sync::Arc;
use stoa_mailbox::{Flags, Numbering, SystemFlag, Uid, UidSet, View};

/// The selected mailbox.
#[derive(Debug)]
pub(crate) struct Opened {
    pub mailbox: String,
    pub numbering: Numbering,
    recent_from: Uid,
    pub read_only: bool,
    /// What `$` names: the outcome of the last SEARCH that saved it (RFC 5182).
    pub saved: UidSet,
    newer: Option<Arc<View>>,
    /// How many keywords the client was told of.
    keywords_told: usize,
}

/// Messages to tell of, by number.
pub(crate) type Flagged = Vec<News>;

/// A message that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct News {
    pub number: usize,
    pub uid: Uid,
    /// Tell its flags, or else only its mod-sequence.
    pub flags: bool,
}

impl Opened {
    /// Just selected.
    pub(crate) fn new(mailbox: String, selected: Selected) -> Self {
        let keywords_told = selected.view.keywords.len();
        let numbering = Numbering::new(selected.view);
        let Selected { recent_from, read_only, .. } = selected;
        Self { mailbox, numbering, recent_from, read_only, saved: UidSet::default(), newer: None, keywords_told }
    }

    /// Takes a newer version; one that is older than what is known, or of another mailbox, came late and is passed over.
    pub(crate) fn learn(&mut self, view: Arc<View>) {
        let newest = self.newer.as_ref().unwrap_or(self.numbering.view());
        if view.uid_validity == newest.uid_validity && view.highest_modseq >= newest.highest_modseq {
            self.newer = Some(view);
        }
    }

    /// The newest version that is known.
    pub(crate) fn newest(&self) -> &View {
        self.newer.as_ref().unwrap_or(self.numbering.view())
    }

    /// Moves to the newest version and tells what a command allows; `choose` may add to the flags told, or leave some out.
    pub(crate) fn tell(&mut self, out: &mut Vec<u8>, running: &Running, enabled: Enabled, choose: impl FnOnce(&Self, Flagged) -> Flagged) {
        if let Some(newer) = self.newer.take() {
            self.numbering.advance(newer);
        }
        if self.numbering.view().keywords.len() != self.keywords_told {
            self.keywords_told = self.numbering.view().keywords.len();
            self.write_flags(out);
        }
        let news = self.numbering.tell(running.expunge);
        if enabled.qresync && !news.vanished.is_empty() {
            // RFC 7162 §3.2.10: one response, by UID.
            out.extend_from_slice(format!("* VANISHED {}\r\n", news.vanished).as_bytes());
        } else {
            for number in &news.expunged {
                out.extend_from_slice(format!("* {number} EXPUNGE\r\n").as_bytes());
            }
        }
        if let Some(exists) = news.exists {
            out.extend_from_slice(format!("* {exists} EXISTS\r\n").as_bytes());
            self.write_recent(out, enabled);
        }
        let flagged = news.flagged.into_iter().map(|(number, uid)| News { number, uid, flags: true }).collect();
        for news in choose(self, flagged) {
            self.write_fetch_flags(out, news, running.by_uid, enabled);
        }
        if let (true, Some(modseq)) = (enabled.qresync, self.numbering.kept_back()) {
            // RFC 7162 §3.2: the mod-sequences told now are above those of what went, which cannot be told yet; a client that
            // counted from them would never hear of it.
            Response::OK.code(format!("HIGHESTMODSEQ {modseq}")).text("Some messages went since").write(out, "*");
        }
    }

    /// RFC 3501 §7.3.2, which RFC 9051 has no more.
    pub(crate) fn write_recent(&self, out: &mut Vec<u8>, enabled: Enabled) {
        if !enabled.rev2 {
            out.extend_from_slice(format!("* {} RECENT\r\n", self.recent()).as_bytes());
        }
    }

    /// RFC 3501 §7.2.6 and §7.1: which flags there are and which can be set for good.
    pub(crate) fn write_flags(&self, out: &mut Vec<u8>) {
        let keywords = &self.numbering.view().keywords;
        let system = SystemFlag::ALL.into_iter().fold(Flags::NONE, |all, flag| all.with(flag.into()));
        let all = (0..keywords.len()).fold(system, |all, place| all.with(Flags::keyword(place)));
        out.extend_from_slice(b"* FLAGS ");
        flag_list(out, all, keywords, false);
        out.extend_from_slice(b"\r\n");
        let mut permanent = Vec::new();
        if self.read_only {
            permanent.extend_from_slice(b"()");
        } else {
            flag_list(&mut permanent, all, keywords, false);
            permanent.pop();
            permanent.extend_from_slice(b" \\*)");
        }
        let code = format!("PERMANENTFLAGS {}", String::from_utf8_lossy(&permanent));
        let text = if self.read_only { "No flag can be changed" } else { "These are kept" };
        Response::OK.code(code).text(text).write(out, "*");
    }

    /// RFC 7162 §3.2.4, RFC 9051 §7.5.2: to who asked for QRESYNC or IMAP4rev2, with the UID; to who knows mod-sequences, with that.
    fn write_fetch_flags(&self, out: &mut Vec<u8>, news: News, by_uid: bool, enabled: Enabled) {
        let Some(entry) = self.numbering.view().find(news.uid) else { return };
        out.extend_from_slice(format!("* {} FETCH (", news.number).as_bytes());
        if by_uid || enabled.qresync || enabled.rev2 {
            out.extend_from_slice(format!("UID {} ", news.uid).as_bytes());
        }
        if news.flags {
            out.extend_from_slice(b"FLAGS ");
            flag_list(out, entry.flags, &self.numbering.view().keywords, news.uid >= self.recent_from(enabled));
        }
        if enabled.condstore {
            let space = if news.flags { " " } else { "" };
            out.extend_from_slice(format!("{space}MODSEQ ({})", entry.modseq).as_bytes());
        }
        out.extend_from_slice(b")\r\n");
    }

    /// Messages from here on are shown as `\Recent`; RFC 9051 knows none.
    pub(crate) fn recent_from(&self, enabled: Enabled) -> Uid {
        if enabled.rev2 { Uid::MAX } else { self.recent_from }
    }

    /// How many messages are `\Recent`.
    pub(crate) fn recent(&self) -> usize {
        let view = self.numbering.view();
        view.len() - view.position(self.recent_from).unwrap_or_else(|place| place)
    }

    /// The UIDs that have a message and that the client was told of, of a set of numbers or UIDs.
    ///
    /// A UID that does not exist is passed over (RFC 3501 §6.4.8). A number that does not is [`NoSuchNumber`], except
    /// that `*` and ranges with it name nothing in an empty mailbox.
    pub(crate) fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Result<UidSet, NoSuchNumber> {
        let ranges = match set {
            // RFC 5182 §2.1: messages that went are no more in it.
            SequenceSet::Saved => return Ok(self.live(&self.saved)),
            SequenceSet::Ranges(ranges) => ranges,
        };
        let len = u32::try_from(self.numbering.len()).unwrap_or(u32::MAX);
        let last = if by_uid { self.numbering.uid(self.numbering.len()).unwrap_or(0) } else { len };
        let value = |end: End| match end {
            End::Number(number) => number,
            End::Last => last,
        };
        let mut named = Vec::new();
        for &(a, b) in ranges {
            let starred = a == End::Last || b == End::Last;
            if starred && last == 0 {
                continue;
            }
            let (from, to) = (value(a).min(value(b)), value(a).max(value(b)));
            if !by_uid && to > len {
                return Err(NoSuchNumber);
            }
            named.push(from..=to);
        }
        let named = UidSet::from_ranges(named);
        if by_uid {
            return Ok(self.live(&named));
        }
        Ok(named.ranges().flat_map(|range| self.numbering.uids(*range.start() as usize, *range.end() as usize)).collect())
    }

    /// All UIDs that a set of UIDs names, whether they have a message or ever had one.
    ///
    /// `*` is the last message (RFC 9051 §9), and here also what went after it: who asks for `1:*` wants to hear of that, too.
    pub(crate) fn named(&self, set: &SequenceSet) -> UidSet {
        let SequenceSet::Ranges(ranges) = set else { return self.saved.clone() };
        let last = self.numbering.uid(self.numbering.len()).unwrap_or(1);
        let ever = self.numbering.view().uid_next.saturating_sub(1);
        let ends = |end: End| if let End::Number(uid) = end { (uid, uid) } else { (last, ever) };
        UidSet::from_ranges(ranges.iter().map(|&(a, b)| ends(a).0.min(ends(b).0)..=ends(a).1.max(ends(b).1)))
    }

    /// Those that have a message and that the client was told of.
    fn live(&self, uids: &UidSet) -> UidSet {
        self.numbering.numbered(uids).map(|(_, entry)| entry.uid).collect()
    }
}

/// A set names a number beyond the last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchNumber;

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_mailbox::{Edit, Entry};

    fn opened(uids: &[Uid]) -> Opened {
        let entry = |&uid| Entry { uid, size: 1, message: 1, modseq: 1, flags: Flags::NONE, received: 0, saved: 0 };
        let view = View::restore(1, 100, 1, vec![], uids.iter().map(entry));
        Opened::new("INBOX".into(), Selected { view: Arc::new(view), recent_from: 20, read_only: false, mailbox_id: "F1".into() })
    }

    fn read(set: &str) -> SequenceSet {
        SequenceSet::read(&mut crate::grammar::Cursor::new(set.as_bytes())).unwrap()
    }

    #[test]
    fn sets_name_messages() {
        let three = [10, 20, 30];
        let table: [(&[Uid], &str, bool, Option<&str>); 17] = [
            (&three, "1:*", false, Some("10,20,30")),
            (&three, "*", false, Some("30")),
            (&three, "3:2,1", false, Some("10,20,30")),
            (&three, "*:2", false, Some("20,30")),
            (&three, "4", false, None),
            (&three, "2:4", false, None),
            (&three, "4:*", false, None),
            (&three, "31:*", true, Some("30")),
            (&three, "*:4294967295", true, Some("30")),
            (&three, "*", true, Some("30")),
            (&three, "11:19,40", true, Some("")),
            (&three, "1:4294967295", true, Some("10,20,30")),
            (&[], "*", false, Some("")),
            (&[], "1:*", false, Some("")),
            (&[], "1", false, None),
            (&[], "1:*", true, Some("")),
            (&[], "*:4294967295", true, Some("")),
        ];
        for (uids, set, by_uid, expected) in table {
            let found = opened(uids).resolve(&read(set), by_uid);
            assert_eq!(found.ok().map(|found| found.to_string()).as_deref(), expected, "{set}");
        }
    }

    #[test]
    fn what_went_after_the_last_message_is_named_too() {
        let table = [("1:*", "1:99"), ("25:*", "25:99"), ("*:40", "30:99"), ("*", "30:99"), ("5,7:6", "5:7")];
        for (set, expected) in table {
            assert_eq!(opened(&[10, 20, 30]).named(&read(set)).to_string(), expected, "{set}");
        }
        assert_eq!(opened(&[]).named(&read("1:*")).to_string(), "1:99");
    }

    #[test]
    fn ghosts_have_numbers_but_are_not_named() {
        let mut opened = opened(&[10, 20, 30]);
        let newer = opened.numbering.view().apply([&Edit::Expunge { uids: [20].into_iter().collect(), modseq: 2 }]);
        opened.learn(Arc::new(newer));
        let mut out = Vec::new();
        opened.tell(&mut out, &Running { tag: String::new(), expunge: false, by_uid: false }, Enabled::default(), |_, flagged| flagged);
        assert!(out.is_empty());
        let resolve = |set: &str| opened.resolve(&read(set), false).unwrap().to_string();
        assert_eq!((resolve("2"), resolve("3"), resolve("1:3")), (String::new(), "30".to_owned(), "10,30".to_owned()));
    }
}
