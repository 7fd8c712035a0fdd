//! Message sequence numbers of one session (RFC 9051 §2.3.1.2, §7.5.1), as a pure piece of its own.
//!
//! A session numbers the messages that it has told its client of. While other sessions expunge, the numbers
//! must stay until the client may be told (never during FETCH, STORE or SEARCH): expunged messages remain as
//! *ghosts*. So the state is a shared [`View`] and a list of ghosts, never a list of all UIDs.

use crate::{Entry, ModSeq, Uid, UidSet, View};
use std::sync::Arc;

/// The numbers a client knows, over the version of the mailbox that the session works on.
#[derive(Debug, Clone)]
pub struct Numbering {
    view: Arc<View>,
    /// UIDs that still have a number but no message; ascending.
    ghosts: Vec<Uid>,
    /// How many numbers the client was told of.
    announced: usize,
    /// Flag changes up to here were told.
    told_modseq: ModSeq,
    /// Up to here all was told, also what went.
    whole_modseq: ModSeq,
}

/// What the client has to be told, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Sequence numbers for EXPUNGE, each as of the moment it is sent: highest first.
    pub expunged: Vec<usize>,
    /// The same by UID, for VANISHED (RFC 7162 §3.2.10).
    pub vanished: UidSet,
    /// The new count for EXISTS, if it grew.
    pub exists: Option<usize>,
    /// Messages with changed flags, by number and UID.
    pub flagged: Vec<(usize, Uid)>,
}

impl Numbering {
    /// A session that has just selected this version and told its size.
    pub fn new(view: Arc<View>) -> Self {
        let (announced, told_modseq) = (view.len(), view.highest_modseq);
        Self { view, ghosts: Vec::new(), announced, told_modseq, whole_modseq: told_modseq }
    }

    /// The version that the session works on.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// How many messages have a number: the meaning of `*`.
    pub fn len(&self) -> usize {
        self.announced
    }

    /// No message has a number?
    pub fn is_empty(&self) -> bool {
        self.announced == 0
    }

    /// The UID with this number, from 1; a ghost has one, too.
    pub fn uid(&self, number: usize) -> Option<Uid> {
        let rank = number.checked_sub(1).filter(|&rank| rank < self.announced)?;
        // The number of ghosts that stand before the rank-th UID of the merged order.
        let before = partition(self.ghosts.len(), |g| self.ghosts.get(g).is_some_and(|&uid| self.live_before(uid) + g < rank));
        match self.ghosts.get(before) {
            Some(&ghost) if self.live_before(ghost) + before == rank => Some(ghost),
            _ => self.view.get(rank - before).map(|e| e.uid),
        }
    }

    /// The number of this UID, if the client was told of it.
    pub fn number(&self, uid: Uid) -> Option<usize> {
        let ghosts = self.ghosts.partition_point(|&g| g < uid);
        let known = self.view.position(uid).is_ok() || self.ghosts.get(ghosts) == Some(&uid);
        let number = self.live_before(uid) + ghosts + 1;
        (known && number <= self.announced).then_some(number)
    }

    /// Has this UID a number but no message any more?
    pub fn is_ghost(&self, uid: Uid) -> bool {
        self.ghosts.binary_search(&uid).is_ok()
    }

    /// The UIDs of numbers `from..=to`, ascending, without ghosts.
    pub fn uids(&self, from: usize, to: usize) -> impl Iterator<Item = Uid> + '_ {
        (from.max(1)..=to.min(self.announced)).filter_map(|n| self.uid(n)).filter(|&uid| !self.is_ghost(uid))
    }

    /// The messages of a set that have a number, with it, ascending; as cheap as to walk over them.
    pub fn numbered<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (usize, &'a Entry)> {
        let mut ghosts = self.ghosts.iter().peekable();
        let mut before = 0;
        let live = uids.ranges().flat_map(move |range| {
            let first = self.view.position(*range.start()).unwrap_or_else(|place| place);
            (first..).zip(self.view.iter_from(first)).take_while(move |(_, entry)| range.contains(&entry.uid))
        });
        let numbered = live.map(move |(place, entry)| {
            while ghosts.next_if(|&&ghost| ghost < entry.uid).is_some() {
                before += 1;
            }
            (place + before + 1, entry)
        });
        numbered.take_while(|(number, _)| *number <= self.announced)
    }

    /// Where a client would have to begin again that was cut off now, if there is something that it must not be told yet.
    pub fn kept_back(&self) -> Option<ModSeq> {
        (!self.ghosts.is_empty()).then_some(self.whole_modseq)
    }

    /// Moves to a newer version. Nothing is told yet: what went becomes ghosts if the client knew it.
    pub fn advance(&mut self, newer: Arc<View>) {
        let told = |uid: Uid| self.number(uid).is_some();
        let gone: Vec<Uid> = gone(&self.view, &newer).into_iter().filter(|&uid| told(uid)).collect();
        if !gone.is_empty() {
            self.ghosts.extend(gone);
            self.ghosts.sort_unstable();
        }
        self.view = newer;
    }

    /// What the client is to be told now, and takes it as told. Ghosts are kept back unless `expunge` allows them.
    pub fn tell(&mut self, expunge: bool) -> News {
        let mut news = News::default();
        if expunge {
            news.expunged = self.ghosts.iter().rev().filter_map(|&uid| self.number(uid)).collect();
            news.vanished = self.ghosts.drain(..).collect();
            self.announced -= news.expunged.len();
        }
        let old = self.announced;
        self.announced = self.view.len() + self.ghosts.len();
        news.exists = (self.announced > old).then_some(self.announced);
        let changed: Vec<Uid> = self.view.changed_since(self.told_modseq).map(|e| e.uid).collect();
        news.flagged = changed.into_iter().filter_map(|uid| self.number(uid).map(|n| (n, uid))).filter(|&(n, _)| n <= old).collect();
        self.told_modseq = self.view.highest_modseq;
        if self.ghosts.is_empty() {
            self.whole_modseq = self.told_modseq;
        }
        news
    }

    fn live_before(&self, uid: Uid) -> usize {
        self.view.position(uid).unwrap_or_else(|place| place)
    }
}

/// The UIDs of `old` that `new` has no more.
fn gone(old: &View, new: &View) -> Vec<Uid> {
    let fresh = new.len() - new.position(old.uid_next).unwrap_or_else(|place| place);
    if new.len() - fresh == old.len() {
        return Vec::new();
    }
    old.iter().map(|e| e.uid).filter(|&uid| new.position(uid).is_err()).collect()
}

/// The first index in `0..len` for which `before` is false; `before` is true up to a point, then false.
fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, FlagChange, Flags, SystemFlag};
    use proptest::prelude::*;

    fn entry(uid: Uid, modseq: ModSeq) -> Entry {
        Entry { uid, size: 10, message: uid.into(), modseq, flags: Flags::NONE, received: 0, saved: 0 }
    }

    #[derive(Debug, Clone)]
    enum Happening {
        Append,
        Expunge(Uid),
        Flag(Uid),
        Look,
        Tell(bool),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            Just(Happening::Append),
            (1..40u32).prop_map(Happening::Expunge),
            (1..40u32).prop_map(Happening::Flag),
            Just(Happening::Look),
            any::<bool>().prop_map(Happening::Tell),
        ]
    }

    proptest! {
        /// The client's list, kept by nothing but what it is told, always agrees with the numbering.
        #[test]
        fn a_client_that_only_listens_keeps_the_right_list(happenings in prop::collection::vec(happening(), 0..80)) {
            let mut mailbox = Arc::new(View::restore(1, 11, 1, vec![], (1..=10).map(|u| entry(u, 1))));
            let mut numbering = Numbering::new(mailbox.clone());
            let mut client: Vec<Uid> = (1..=10).collect();
            for h in happenings {
                let modseq = mailbox.highest_modseq + 1;
                let one = |uid: Uid| [uid].into_iter().collect::<UidSet>();
                let edit = match h {
                    Happening::Append => Edit::Append(entry(mailbox.uid_next, modseq)),
                    Happening::Expunge(uid) => Edit::Expunge { uids: one(uid), modseq },
                    Happening::Flag(uid) => Edit::Flag { uids: one(uid), change: FlagChange::Add, named: SystemFlag::Seen.into(), modseq },
                    Happening::Look => { numbering.advance(mailbox.clone()); continue }
                    Happening::Tell(expunge) => {
                        let news = numbering.tell(expunge);
                        for n in news.expunged { client.remove(n - 1); }
                        if let Some(exists) = news.exists {
                            let known = client.len();
                            client.extend((known + 1..=exists).filter_map(|n| numbering.uid(n)));
                        }
                        for (n, uid) in news.flagged { prop_assert_eq!(client[n - 1], uid); }
                        continue
                    }
                };
                mailbox = Arc::new(mailbox.apply([&edit]));
                prop_assert_eq!(numbering.len(), client.len());
                for (i, &uid) in client.iter().enumerate() {
                    prop_assert_eq!(numbering.uid(i + 1), Some(uid));
                    prop_assert_eq!(numbering.number(uid), Some(i + 1));
                }
                prop_assert_eq!(numbering.uid(client.len() + 1), None);
                let some = UidSet::from_ranges([3..=8, 12..=Uid::MAX]);
                let live = client.iter().enumerate().filter(|&(_, &uid)| some.contains(uid) && !numbering.is_ghost(uid));
                let numbered = numbering.numbered(&some).map(|(number, entry)| (number - 1, &entry.uid)).collect::<Vec<_>>();
                prop_assert_eq!(numbered, live.collect::<Vec<_>>());
            }
        }
    }
}
