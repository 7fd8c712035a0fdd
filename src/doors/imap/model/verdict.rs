//! What must be true at a command's end.

use super::client::{Cache, Checked, Client, Open, Slot, ensure};
use super::command::{Asked, Command, Flying, Results, Resync, What};
use super::mailbox::{Mailbox, SEEN, Snapshot};

impl Client {
    pub fn finished(&mut self, tag: &str, condition: &str, mut code: Vec<String>, boxes: &mut [Mailbox]) -> Checked {
        let front = self.flying.front().map_or("", |front| &front.tag);
        ensure(tag == front, || format!("an answer to {tag}, not to {front}"))?;
        if !code.is_empty() {
            let name = code.remove(0);
            self.take_code(name, code);
        }
        let Some(mut front) = self.flying.pop_front() else { return Ok(()) };
        self.idling = false;
        match front.refusal {
            Some(refusal) => ensure(condition == refusal, || format!("{condition} in place of {refusal}"))?,
            None => self.judge(&mut front, condition, boxes)?,
        }
        self.count_modseqs(&front);
        self.begin(boxes);
        Ok(())
    }

    /// RFC 7162 §3.2: up to where a client has heard of everything. The server's word counts; without, what it has told.
    fn count_modseqs(&mut self, front: &Flying) {
        if let Some(open) = &mut self.open {
            open.highest = front.code("HIGHESTMODSEQ").unwrap_or(open.highest.max(front.highest_told));
        }
    }

    fn judge(&mut self, front: &mut Flying, condition: &str, boxes: &[Mailbox]) -> Checked {
        let ok = || ensure(condition == "OK", || format!("{condition} in place of OK"));
        match &front.command {
            Command::Enable(capabilities) => {
                self.qresync |= capabilities.contains("QRESYNC");
                self.rev2 |= capabilities.contains("IMAP4rev2");
                ok()
            }
            Command::Noop | Command::Check | Command::Idle => {
                ok()?;
                if let (Some(snapshot), false) = (&front.snapshot, front.command == Command::Idle) {
                    self.compare(snapshot)?;
                    self.knows(snapshot);
                }
                Ok(())
            }
            Command::Login | Command::Capability | Command::List | Command::Unselect | Command::Close => ok(),
            Command::Status(_) => ok().and_then(|()| status(front, boxes)),
            Command::Select { mailbox: None, .. } => ensure(condition == "NO", || "what is not there was opened".into()),
            Command::Select { .. } => ok().and_then(|()| self.judge_select(front, boxes)),
            Command::Append { to: None, .. } => {
                ensure(condition == "NO" && front.codes.contains_key("TRYCREATE"), || "no TRYCREATE".into())
            }
            Command::Append { to: Some(to), .. } => {
                ok()?;
                let expected = vec![vec![boxes[*to].uid_validity], front.to.clone()];
                ensure(front.code_sets("APPENDUID").as_ref() == Some(&expected), || format!("APPENDUID is not {expected:?}"))
            }
            Command::Copy { .. } => self.judge_copy(front, condition, boxes),
            Command::Store { .. } => self.judge_store(front, condition, boxes),
            Command::Expunge(_) => {
                ok()?;
                self.must_be_told_gone(front, boxes)
            }
            Command::Fetch { .. } => self.judge_fetch(front, condition, boxes),
            Command::Search { .. } => ok().and_then(|()| ensure(front.found, || "no answer to SEARCH".into())),
        }
    }

    /// RFC 3501 §6.4.3, RFC 6851 §3: before its end a command tells what it has removed.
    fn must_be_told_gone(&self, front: &Flying, boxes: &[Mailbox]) -> Checked {
        let open = self.open.as_ref().ok_or("no mailbox")?;
        let left = front.from.iter().find(|uid| open.slots.iter().any(|slot| slot.uid == Some(**uid)));
        ensure(left.is_none(), || format!("UID {left:?} was removed and not told"))?;
        if !front.done {
            let removed = boxes[open.mailbox].deleted(Some(&front.uids));
            return ensure(removed.is_empty() && front.command != Command::Expunge(None), || format!("{removed:?} were not removed"));
        }
        // RFC 7162 §3.2.7.
        let missing = self.qresync && !front.from.is_empty() && front.code("HIGHESTMODSEQ").is_none();
        ensure(!missing, || "the new HIGHESTMODSEQ is not told".into())
    }

    fn judge_copy(&self, front: &Flying, condition: &str, boxes: &[Mailbox]) -> Checked {
        let Command::Copy { to, take, set } = &front.command else { return Ok(()) };
        let open = self.open.as_ref().ok_or("no mailbox")?;
        if !front.done {
            return nothing_was_there(front, set.by_uid, condition, &boxes[open.mailbox]);
        }
        let Some(to) = to else {
            return ensure(condition == "NO" && front.codes.contains_key("TRYCREATE"), || "no TRYCREATE".into());
        };
        if front.from.is_empty() {
            return ensure(!front.codes.contains_key("COPYUID"), || "COPYUID of nothing".into());
        }
        let expected = vec![vec![boxes[*to].uid_validity], front.from.clone(), front.to.clone()];
        let told = front.code_sets("COPYUID");
        ensure(condition == "OK" && told.as_ref() == Some(&expected), || {
            format!("{condition}, COPYUID {told:?} in place of {expected:?}")
        })?;
        if *take { self.must_be_told_gone(front, boxes) } else { Ok(()) }
    }

    fn judge_store(&mut self, front: &Flying, condition: &str, boxes: &[Mailbox]) -> Checked {
        let Command::Store { set, sign, silent, flags, .. } = &front.command else { return Ok(()) };
        let condstore = self.condstore;
        let open = self.open.as_mut().ok_or("no mailbox")?;
        if !front.done {
            return nothing_was_there(front, set.by_uid, condition, &boxes[open.mailbox]);
        }
        ensure(condition == "OK", || format!("{condition} in place of OK"))?;
        let number = |uid: &u32| if set.by_uid { Some(*uid) } else { open.number(*uid) };
        let mut modified: Vec<u32> = front.stored.modified.iter().filter_map(number).collect();
        modified.sort_unstable();
        let told = front.code_sets("MODIFIED").map(|sets| sets.concat()).unwrap_or_default();
        ensure(told == modified, || format!("MODIFIED {told:?} in place of {modified:?}"))?;
        for uid in &front.stored.done {
            let (told_flags, told_modseq) = front.told.get(uid).copied().unwrap_or_default();
            ensure(*silent || told_flags, || format!("the flags of UID {uid} are not told"))?;
            // RFC 7162 §3.1.3: also of a silent one.
            let changed = front.stored.changed.contains(uid);
            ensure(!condstore || !changed || told_modseq, || format!("the mod-sequence of UID {uid} is not told"))?;
            if let (false, Some(slot)) = (told_flags, open.slots.iter_mut().find(|slot| slot.uid == Some(*uid))) {
                slot.flags = slot.flags.map(|known| sign.apply(known, *flags));
            }
        }
        Ok(())
    }

    fn judge_fetch(&mut self, front: &Flying, condition: &str, boxes: &[Mailbox]) -> Checked {
        let Command::Fetch { set, what, changed_since } = &front.command else { return Ok(()) };
        let counts = self.condstore && self.offers("CONDSTORE");
        let open = self.open.as_mut().ok_or("no mailbox")?;
        let mailbox = &boxes[open.mailbox];
        if condition != "OK" {
            nothing_was_there(front, set.by_uid, condition, mailbox)?;
        }
        // What `*` is where nothing is, nobody says.
        if let Some(since) = changed_since.filter(|since| since.vanished && front.last_uid > 0) {
            // RFC 7162 §3.2.6: what went since, of what the set names; what is being told now may be missing.
            let went = mailbox.gone.iter().filter(|(_, (modseq, _))| (since.modseq + 1..=open.highest).contains(modseq));
            // The server takes `*` here for the last UID that was given out; asked for is only what both readings name.
            let named = |uid| !set.is_saved() && [front.last_uid, mailbox.uid_next - 1].iter().all(|last| set.contains(uid, *last));
            let missed = went.map(|(uid, _)| *uid).find(|uid| named(*uid) && !front.vanished.contains(uid));
            ensure(missed.is_none(), || format!("UID {missed:?} went, and it is not told"))?;
        }
        if !set.by_uid && changed_since.is_none() {
            for number in front.strangers.iter().filter(|number| !front.told_strangers.contains(number)) {
                open.slots[number - 1].dead = true;
            }
        }
        for uid in &front.uids {
            let told = front.told.get(uid).copied();
            let Some(message) = mailbox.find(*uid) else { continue };
            let since = open.slots.iter().find(|slot| slot.uid == Some(*uid)).map_or(0, |slot| slot.at_least);
            let complete = match (what, told) {
                (_, None) => {
                    changed_since.is_some_and(|limit| message.states.iter().any(|state| state.0 >= since && state.0 <= limit.modseq))
                }
                (What::Flags | What::Peek, Some((flags, _))) => flags,
                (What::ModSeq, Some((flags, modseq))) => flags && modseq,
                (What::Text, Some(_)) if !front.stored.changed.contains(uid) => true,
                // RFC 7162 §3.1: a change by FETCH is told with its mod-sequence, too.
                (What::Text, Some((flags, modseq))) => flags && (modseq || !counts),
            };
            ensure(complete, || format!("UID {uid} is not told whole: {told:?}"))?;
            // RFC 7162 §3.1.4.1: only what has changed.
            let unchanged =
                told.is_some() && !front.news.contains(uid) && changed_since.is_some_and(|limit| message.modseq() <= limit.modseq);
            ensure(!unchanged, || format!("UID {uid} is told, but has not changed"))?;
            if *what == What::Text && !open.read_only && !front.done {
                ensure(!front.unseen.contains(uid), || format!("UID {uid} was read and is not seen"))?;
            }
        }
        Ok(())
    }

    /// What a SEARCH finds, while the numbers are those it was asked with.
    pub fn found(&mut self, found: Vec<u32>, modseq: Option<u64>, boxes: &[Mailbox]) -> Checked {
        let front = self.flying.front_mut().ok_or("an answer to no SEARCH")?;
        let Command::Search { by_uid, key, results } = &front.command else { return Err("an answer to no SEARCH".into()) };
        ensure(!std::mem::replace(&mut front.found, true), || "a second answer to SEARCH".into())?;
        let (by_uid, open) = (*by_uid, self.open.as_ref().ok_or("no mailbox")?);
        let mailbox = &boxes[open.mailbox];
        ensure(found.windows(2).all(|two| two[0] < two[1]), || "found twice, or out of order".into())?;
        let last_number = open.slots.len() as u32;
        let last_uid = open.slots.last().map_or(0, |slot| slot.uid.unwrap_or(u32::MAX));
        for (place, slot) in open.slots.iter().enumerate() {
            let (Some(uid), number) = (slot.uid, place as u32 + 1) else { continue };
            let asked = Asked { number, uid, last_number, last_uid };
            let may_be = mailbox.states(uid).iter().filter(|state| state.0 >= slot.at_least).map(|state| key.finds(&asked, *state));
            let (yes, no) = may_be.fold((false, false), |(yes, no), finds| (yes | finds, no | !finds));
            let is_found = found.contains(if by_uid { &uid } else { &number });
            ensure(if is_found { yes } else { no || mailbox.find(uid).is_none() }, || {
                format!("UID {uid} (number {number}) found: {is_found}")
            })?;
        }
        let strange = |name: &&u32| {
            if by_uid { !open.slots.iter().any(|slot| slot.uid.is_none_or(|uid| uid == **name)) } else { **name > last_number }
        };
        ensure(!found.iter().any(|name| strange(&name)), || "found what the client does not know".into())?;
        // RFC 7162 §3.1.5: with the highest mod-sequence of what was found.
        ensure(modseq.is_some() == (key.has_modseq() && !found.is_empty()), || format!("the mod-sequence of a SEARCH is {modseq:?}"))?;
        let uid = |name: &u32| if by_uid { Some(*name) } else { open.slots[*name as usize - 1].uid };
        let uids: Option<Vec<u32>> = found.iter().map(uid).collect();
        if let (Some(uids), Some(modseq)) = (&uids, modseq) {
            let was = |uid: &u32| mailbox.states(*uid).iter().any(|state| state.0 == modseq);
            ensure(uids.iter().any(was), || format!("{modseq} is the mod-sequence of nothing that was found"))?;
        }
        if *results == Results::Saved
            && let Some(open) = &mut self.open
        {
            open.saved = uids;
        }
        Ok(())
    }

    fn judge_select(&mut self, front: &mut Flying, boxes: &[Mailbox]) -> Checked {
        let Command::Select { mailbox: Some(mailbox), read_only, resync, .. } = &front.command else { return Ok(()) };
        let there = &boxes[*mailbox];
        let snapshot = front.snapshot.as_ref().ok_or("nothing was selected")?;
        let unseen = snapshot.messages.iter().position(|(_, (_, flags))| flags & SEEN == 0).map(|place| place as u64 + 1);
        let codes = [
            ("UIDVALIDITY", Some(u64::from(there.uid_validity))),
            ("UIDNEXT", Some(u64::from(snapshot.uid_next))),
            ("HIGHESTMODSEQ", Some(snapshot.highest)),
            ("UNSEEN", unseen.filter(|_| !self.rev2)),
        ];
        for (name, expected) in codes {
            ensure(front.code(name) == expected, || format!("{name} is {:?}, not {expected:?}", front.code(name)))?;
        }
        let access = if *read_only { "READ-ONLY" } else { "READ-WRITE" };
        ensure(front.codes.contains_key(access), || format!("no {access}"))?;
        // RFC 7162 §3.2.11, RFC 9051 §7.1.
        let closed = !front.was_open || !(self.qresync || self.rev2) || front.codes.contains_key("CLOSED");
        ensure(closed, || "no CLOSED before what is told of another mailbox".into())?;
        if let Some(cache) = self.caches[*mailbox].as_ref().filter(|cache| cache.uid_validity == there.uid_validity) {
            cache.is_right(snapshot)?;
        }
        let resync = resync.as_ref().filter(|resync| resync.uid_validity == there.uid_validity);
        ensure(resync.is_some() || (front.told.is_empty() && front.vanished.is_empty()), || "resynchronised unasked".into())?;
        let open = self.open.as_ref().ok_or("no EXISTS")?;
        if let (Some(resync), Some(cache)) = (resync, &self.caches[*mailbox]) {
            resynced(open, cache, resync, &front.vanished, snapshot)?;
        }
        self.compare(snapshot)
    }
}

impl Open {
    fn number(&self, uid: u32) -> Option<u32> {
        self.slots.iter().position(|slot| slot.uid == Some(uid)).map(|place| place as u32 + 1)
    }
}

impl Cache {
    /// RFC 7162 §3.1.2.1: what has not changed since is as it was remembered.
    fn is_right(&self, snapshot: &Snapshot) -> Checked {
        for &(uid, (modseq, flags)) in snapshot.messages.iter().filter(|(_, (modseq, _))| *modseq <= self.highest) {
            let known = self.messages.get(&uid).and_then(|slot| slot.flags);
            let right = known.is_none_or(|known| known == flags);
            ensure(right, || format!("UID {uid} was told as {known:?}, is {flags} since {modseq}, and was told up to {}", self.highest))?;
        }
        Ok(())
    }
}

/// A command that did nothing named nothing that was there. RFC 3501 §6.4.8: by UID that is no error.
fn nothing_was_there(front: &Flying, by_uid: bool, condition: &str, mailbox: &Mailbox) -> Checked {
    let there = front.uids.iter().find(|uid| mailbox.find(**uid).is_some());
    ensure(there.is_none(), || format!("nothing was done to UID {there:?}"))?;
    ensure(condition == "OK" || (!by_uid && condition == "NO"), || format!("{condition} where nothing was to do"))
}

fn status(front: &Flying, boxes: &[Mailbox]) -> Checked {
    let (Command::Status(mailbox), Some(snapshot)) = (&front.command, &front.snapshot) else { return Err("no STATUS".into()) };
    let unseen = snapshot.messages.iter().filter(|(_, (_, flags))| flags & SEEN == 0).count();
    let expected = [
        ("MESSAGES", snapshot.messages.len() as u64),
        ("UIDNEXT", u64::from(snapshot.uid_next)),
        ("UIDVALIDITY", u64::from(boxes[*mailbox].uid_validity)),
        ("UNSEEN", unseen as u64),
        ("HIGHESTMODSEQ", snapshot.highest),
    ];
    for (name, expected) in expected {
        let told = front.status.iter().find(|(item, _)| item == name).map(|(_, value)| *value);
        ensure(told == Some(expected), || format!("{name} is {told:?}, not {expected}"))?;
    }
    Ok(())
}

/// RFC 7162 §3.2.5: what the client remembered and what it was told now are the mailbox.
fn resynced(open: &Open, cache: &Cache, resync: &Resync, vanished: &[u32], snapshot: &Snapshot) -> Checked {
    let asked = |uid: u32| resync.known.as_ref().is_none_or(|known| known.contains(&uid));
    let there = |uid: u32| snapshot.messages.iter().any(|(known, _)| *known == uid);
    let missed = cache.messages.keys().find(|uid| asked(**uid) && !there(**uid) && !vanished.contains(uid));
    ensure(missed.is_none(), || format!("UID {missed:?} went while the client was away, and it is not told"))?;
    for (slot, &(uid, (modseq, flags))) in open.slots.iter().zip(&snapshot.messages) {
        let wanted = asked(uid) && (uid < cache.complete_below || modseq > resync.modseq);
        let Slot { flags: known, modseq: counted, .. } = slot;
        ensure(!wanted || *known == Some(flags), || format!("UID {uid} has flags {flags:#b}, the client knows {known:?}"))?;
        ensure(counted.is_none_or(|counted| counted == modseq), || {
            format!("UID {uid} has changed at {modseq}, the client knows {counted:?}")
        })?;
    }
    Ok(())
}
