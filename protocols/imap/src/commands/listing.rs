//! Which names a LIST shows, and what it says of each: the options of RFC 5258, RFC 6154 and RFC 5819 without a wire.
//!
//! Levels that are only part of other names are listed, too, so that a client can show the tree. Children and
//! special use are always said; what a client may ask for is thus mostly what it gets anyway.

use super::status::Item;
use crate::limits::LISTED_NAMES_MAX;
use crate::pattern::matches;
use crate::questions::Mailbox;
use std::collections::HashSet;

/// What is to be listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub patterns: Vec<String>,
    /// In the form of RFC 5258, which has an attribute of its own for names that do not exist.
    pub extended: bool,
    /// Only subscribed names.
    pub subscribed: bool,
    /// Only names with a special use.
    pub special_use: bool,
    /// Names with chosen ones below, too.
    pub recursive: bool,
    /// Say which are subscribed.
    pub show_subscribed: bool,
    /// Say this of each that can be selected (RFC 5819).
    pub status: Vec<Item>,
}

/// What is said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub attributes: Vec<&'static str>,
    /// RFC 5258 §3.5: which options names below it meet.
    pub child_info: Vec<&'static str>,
    /// RFC 5819 §2: of this mailbox the STATUS is told, if that is asked for; of none where only a level is shown, or a name
    /// for what is below it.
    pub counted: Option<u32>,
}

impl Listing {
    /// What is said of these mailboxes, in their order.
    pub(super) fn lines(&self, mailboxes: &[Mailbox]) -> Vec<Line> {
        let shown: Vec<&Mailbox> = mailboxes.iter().filter(|mailbox| mailbox.exists() || self.subscribed).collect();
        let chosen = || shown.iter().filter(|mailbox| self.recursive && self.chooses(mailbox));
        let below = Below {
            any: shown.iter().filter(|mailbox| mailbox.exists()).flat_map(|mailbox| levels_above(&mailbox.name)).collect(),
            chosen: chosen().flat_map(|mailbox| levels_above(&mailbox.name)).collect(),
            unlisted: chosen().filter(|mailbox| !self.fits(&mailbox.name)).flat_map(|mailbox| levels_above(&mailbox.name)).collect(),
        };
        let mut seen: HashSet<&str> = shown.iter().map(|mailbox| mailbox.name.as_str()).collect();
        let mut lines = Vec::new();
        for mailbox in &shown {
            // Enough to see that there are too many.
            if lines.len() > LISTED_NAMES_MAX {
                break;
            }
            let levels = levels_above(&mailbox.name).filter(|level| seen.insert(level));
            lines.extend(levels.filter_map(|level| self.line(level, None, &below)));
            lines.extend(self.line(&mailbox.name, Some(mailbox), &below));
        }
        lines
    }

    fn line(&self, name: &str, mailbox: Option<&Mailbox>, below: &Below<'_>) -> Option<Line> {
        let chosen = mailbox.map_or(!self.subscribed && !self.special_use, |mailbox| self.chooses(mailbox));
        // RFC 5258 §3.5: a name that is not chosen itself is named only for one below it that is not.
        let shown = chosen || below.unlisted.contains(name);
        (shown && self.fits(name)).then_some(())?;
        let number = mailbox.and_then(|mailbox| mailbox.number);
        let subscribed = self.show_subscribed && mailbox.is_some_and(|mailbox| mailbox.subscribed);
        let missing = if self.extended { "\\NonExistent" } else { "\\Noselect" };
        let children = if below.any.contains(name) { "\\HasChildren" } else { "\\HasNoChildren" };
        let attributes = [number.is_none().then_some(missing), Some(children), subscribed.then_some("\\Subscribed")];
        let attributes = attributes.into_iter().chain([mailbox.and_then(|mailbox| mailbox.special_use)]).flatten().collect();
        let options = [self.subscribed.then_some("SUBSCRIBED"), self.special_use.then_some("SPECIAL-USE")];
        let child_info = options.into_iter().flatten().filter(|_| below.chosen.contains(name)).collect();
        Some(Line { name: name.to_owned(), attributes, child_info, counted: number.filter(|_| chosen) })
    }

    fn chooses(&self, mailbox: &Mailbox) -> bool {
        (!self.subscribed || mailbox.subscribed) && (!self.special_use || mailbox.special_use.is_some())
    }

    fn fits(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

/// Levels by what is below them. Without RECURSIVEMATCH nothing is asked of the last two, and they are empty.
struct Below<'a> {
    /// A mailbox.
    any: HashSet<&'a str>,
    /// A name that the options choose.
    chosen: HashSet<&'a str>,
    /// One of these that no pattern fits.
    unlisted: HashSet<&'a str>,
}

/// `a` and `a/b` of `a/b/c`.
pub(super) fn levels_above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').filter_map(|(at, _)| name.get(..at))
}
