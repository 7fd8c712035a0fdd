//! THREAD=REFERENCES (RFC 5256 §3): trees of answers by what each message says it refers to, then by subject.
//!
//! Numbers in brackets are the steps of the RFC. Everything is a list and an index: no step goes deeper with the tree, and each
//! takes time near to the number of messages.

use super::forest::Forest;
use super::{Letter, Node};
use crate::limits::{REFERENCES_PER_MESSAGE_MAX, THREADED_IDS_MAX};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use stoa_mailbox::Uid;

/// Messages, and those that are only referred to: by number.
#[derive(Debug, Default)]
pub(crate) struct References {
    letters: Vec<Option<Letter>>,
    parents: Vec<Option<u32>>,
    forest: Forest,
    /// By a hash of the identifier, which a mailbox may hold millions of.
    by_id: HashMap<[u8; 16], u32>,
}

impl References {
    /// (1): takes the next message of the mailbox, its identifier if it has a valid one, and those that it refers to.
    pub fn add(&mut self, letter: Letter, id: Option<&[u8]>, named: &[Vec<u8>]) {
        let message = self.message(id);
        if let Some(place) = self.letters.get_mut(index(message)) {
            *place = Some(letter);
        }
        // (1.A)
        let first = named.len().saturating_sub(REFERENCES_PER_MESSAGE_MAX);
        let mut last = None;
        for id in named.iter().skip(first) {
            let Some(named) = self.named(id) else { continue };
            if let Some(parent) = last
                && self.parent(named).is_none()
            {
                self.link(named, parent);
            }
            last = Some(named);
        }
        // (1.B)
        if self.parent(message) != last {
            self.cut(message);
            if let Some(parent) = last {
                self.link(message, parent);
            }
        }
    }

    /// The first message with an identifier has it; another one has none, as has one without.
    fn message(&mut self, id: Option<&[u8]>) -> u32 {
        match id.and_then(|id| self.named(id)) {
            Some(number) if self.letter(number).is_none() => number,
            _ => self.new_number(),
        }
    }

    /// None, if that would be one too many; who is not there is passed over then.
    fn named(&mut self, id: &[u8]) -> Option<u32> {
        let key = *Sha256::digest(id).first_chunk()?;
        if let Some(known) = self.by_id.get(&key) {
            return Some(*known);
        }
        if self.by_id.len() >= THREADED_IDS_MAX {
            return None;
        }
        let number = self.new_number();
        self.by_id.insert(key, number);
        Some(number)
    }

    fn new_number(&mut self) -> u32 {
        self.letters.push(None);
        self.parents.push(None);
        self.forest.add()
    }

    fn letter(&self, number: u32) -> Option<&Letter> {
        self.letters.get(index(number)).and_then(Option::as_ref)
    }

    fn parent(&self, number: u32) -> Option<u32> {
        self.parents.get(index(number)).copied().flatten()
    }

    /// Unless that would close a loop. The child has no parent.
    fn link(&mut self, child: u32, parent: u32) {
        if self.forest.root(parent) != child {
            self.forest.link(child, parent);
            self.set_parent(child, Some(parent));
        }
    }

    fn cut(&mut self, child: u32) {
        if self.parent(child).is_some() {
            self.forest.cut(child);
            self.set_parent(child, None);
        }
    }

    fn set_parent(&mut self, child: u32, parent: Option<u32>) {
        if let Some(place) = self.parents.get_mut(index(child)) {
            *place = parent;
        }
    }

    /// The trees, in order.
    pub fn finish(mut self) -> Vec<Node> {
        self.by_id = HashMap::new();
        let mut trees = Trees { children: self.pruned(), letters: self.letters, top: Vec::new() };
        trees.begin(&self.parents);
        trees.gather_subjects();
        trees.sort();
        trees.flat()
    }

    /// (3): for each number those right below, where who is not there stands only at the top.
    fn pruned(&self) -> Vec<Vec<u32>> {
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); self.letters.len()];
        let mut anchors: Vec<Option<u32>> = vec![None; self.letters.len()];
        for start in numbers(self.letters.len()) {
            // Up to the first whose anchor is known, then down again.
            let mut way = Vec::new();
            let mut at = start;
            while let (Some(parent), true) = (self.parent(at), anchors.get(index(at)).is_some_and(Option::is_none)) {
                way.push((at, parent));
                at = parent;
            }
            while let Some((child, parent)) = way.pop() {
                let is_there = self.letter(parent).is_some() || self.parent(parent).is_none();
                let anchor = if is_there { Some(parent) } else { anchors.get(index(parent)).copied().flatten() };
                if let Some(place) = anchors.get_mut(index(child)) {
                    *place = anchor;
                }
            }
        }
        for (child, anchor) in numbers(self.letters.len()).zip(anchors) {
            if let Some(below) = anchor.filter(|_| self.letter(child).is_some()).and_then(|anchor| children.get_mut(index(anchor))) {
                below.push(child);
            }
        }
        children
    }
}

/// Trees without those who are not there, except at the top, where they have two children at least.
struct Trees {
    letters: Vec<Option<Letter>>,
    children: Vec<Vec<u32>>,
    top: Vec<u32>,
}

impl Trees {
    /// (2) and the end of (3): who stands at the top.
    fn begin(&mut self, parents: &[Option<u32>]) {
        let roots = numbers(parents.len()).zip(parents).filter(|(_, parent)| parent.is_none());
        for (root, _) in roots {
            match self.children(root) {
                _ if self.letter(root).is_some() => self.top.push(root),
                [] => {}
                [only] => self.top.push(*only),
                _ => self.top.push(root),
            }
        }
        // (4)
        let mut top = std::mem::take(&mut self.top);
        top.sort_by_cached_key(|root| self.place(*root));
        self.top = top;
    }

    /// (5): threads at the top with one subject become one.
    fn gather_subjects(&mut self) {
        let mut table = self.subject_table();
        let mut kept = Vec::with_capacity(self.top.len());
        for current in std::mem::take(&mut self.top) {
            let subject = self.first(current).map(|letter| letter.subject.clone()).unwrap_or_default();
            match table.get(&subject).copied() {
                // (5.C.ii), (5.C.iv)
                Some(found) if found != current => {
                    if let Some(holder) = self.merge(current, found) {
                        table.insert(subject, holder);
                        // It takes the place of the one in the table, wherever that stands.
                        kept.push(holder);
                    }
                }
                _ => kept.push(current),
            }
        }
        // Who went under another is no more at the top.
        let below: std::collections::HashSet<u32> =
            kept.iter().filter(|root| self.letter(**root).is_none()).flat_map(|root| self.children(*root)).copied().collect();
        kept.retain(|root| !below.contains(root));
        self.top = kept;
    }

    /// (5.B)
    fn subject_table(&self) -> HashMap<Box<str>, u32> {
        let mut table: HashMap<Box<str>, u32> = HashMap::new();
        for current in &self.top {
            let Some(subject) = self.first(*current).map(|letter| &letter.subject).filter(|subject| !subject.is_empty()) else { continue };
            match table.entry(subject.clone()) {
                Entry::Vacant(place) => drop(place.insert(*current)),
                Entry::Occupied(mut place) => {
                    let found = self.letter(*place.get());
                    let better = match self.letter(*current) {
                        None => found.is_some(),
                        Some(letter) => found.is_some_and(|found| found.is_answer && !letter.is_answer),
                    };
                    if better {
                        place.insert(*current);
                    }
                }
            }
        }
        table
    }

    /// (5.C.iv): puts a thread under the one of the same subject in the table, or both under a new one that is given.
    fn merge(&mut self, current: u32, found: u32) -> Option<u32> {
        let is_answer = |letter: Option<&Letter>| letter.is_some_and(|letter| letter.is_answer);
        match (self.letter(current), self.letter(found)) {
            (None, None) => {
                let moved = self.children.get_mut(index(current)).map(std::mem::take).unwrap_or_default();
                self.put_below(found, moved);
                None
            }
            (current_letter, found_letter) if found_letter.is_none() || is_answer(current_letter) && !is_answer(found_letter) => {
                self.put_below(found, vec![current]);
                None
            }
            _ => {
                let holder = u32::try_from(self.letters.len()).unwrap_or(u32::MAX);
                self.letters.push(None);
                self.children.push(vec![found, current]);
                Some(holder)
            }
        }
    }

    fn put_below(&mut self, parent: u32, more: Vec<u32>) {
        if let Some(below) = self.children.get_mut(index(parent)) {
            below.extend(more);
        }
    }

    /// (6): all siblings by date, those at the top by their first child if they are not there.
    fn sort(&mut self) {
        let mut children = std::mem::take(&mut self.children);
        for siblings in &mut children {
            siblings.sort_by_key(|number| self.letter(*number).map(Letter::place));
        }
        self.children = children;
        let mut top = std::mem::take(&mut self.top);
        top.sort_by_cached_key(|root| self.place(*root));
        self.top = top;
    }

    /// Parents first.
    fn flat(&self) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(self.letters.len());
        let mut waiting: Vec<u32> = self.top.iter().rev().copied().collect();
        while let Some(number) = waiting.pop() {
            let below = self.children(number);
            waiting.extend(below.iter().rev());
            nodes
                .push(Node { uid: self.letter(number).map(|letter| letter.uid), children: u32::try_from(below.len()).unwrap_or(u32::MAX) });
        }
        nodes
    }

    /// Who stands for a thread: the message at the top, or else the first below it.
    fn first(&self, root: u32) -> Option<&Letter> {
        let below = || self.children(root).iter().filter_map(|child| self.letter(*child)).min_by_key(|letter| letter.place());
        self.letter(root).or_else(below)
    }

    fn place(&self, root: u32) -> Option<(i64, Uid)> {
        self.first(root).map(Letter::place)
    }

    fn letter(&self, number: u32) -> Option<&Letter> {
        self.letters.get(index(number)).and_then(Option::as_ref)
    }

    fn children(&self, number: u32) -> &[u32] {
        self.children.get(index(number)).map(Vec::as_slice).unwrap_or_default()
    }
}

fn numbers(count: usize) -> impl Iterator<Item = u32> {
    (0..count).filter_map(|number| u32::try_from(number).ok())
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
