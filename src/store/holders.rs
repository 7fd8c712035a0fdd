//! A holder's mailbox tree: names, what they are for, subscriptions, and the next message number.
//!
//! INBOX is one name in any case (RFC 9051 §5.1); levels are separated by `/`.

use super::{MailboxId, NameProblem};
use std::collections::BTreeSet;
use stoa_mailbox::MessageId;
use stoa_record::{Reader, RecordError, Writer};

/// Between the levels of a mailbox name.
pub const SEPARATOR: char = '/';
/// Enough for any person, little enough to list at once.
pub const MAILBOXES_PER_HOLDER_MAX: usize = 5_000;
/// Octets of UTF-8; the modified UTF-7 of it stays in a command line.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1_000;

/// Levels of a name. Each may be listed as a name of its own; people make five.
pub const MAILBOX_LEVELS_MAX: usize = 20;
/// Message numbers reserved at a time: the tree is written once for so many messages.
const MESSAGE_NUMBERS_RESERVED: u64 = 1_024;
/// Nobody has so many messages: a counter that says more is damaged.
const NUMBERS_END: u64 = 1 << 62;
/// The same of mailboxes.
const MAILBOX_NUMBERS_END: u32 = 1 << 31;

/// What a mailbox is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SpecialUse {
    /// `\Drafts`
    Drafts = 1,
    /// `\Sent`
    Sent = 2,
    /// `\Junk`
    Junk = 3,
    /// `\Trash`
    Trash = 4,
    /// `\Archive`
    Archive = 5,
}

impl SpecialUse {
    /// All, with the name that a new account's mailbox gets.
    pub const ALL: [(Self, &'static str); 5] =
        [(Self::Drafts, "Drafts"), (Self::Sent, "Sent"), (Self::Junk, "Junk"), (Self::Trash, "Trash"), (Self::Archive, "Archive")];

    fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().map(|(special_use, _)| *special_use).find(|s| *s as u64 == number)
    }
}

/// One mailbox of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Never used again.
    pub id: MailboxId,
    /// The whole name.
    pub name: String,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// RFC 9051 §2.3.1.1.
    pub uid_validity: u32,
}

/// A holder's mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The number of the next message; what is kept on disk is the end of those reserved.
    pub next_message: MessageId,
    /// Numbers below this one are reserved, so that not every message writes the tree anew. After a restart those that
    /// were not used are passed over.
    reserved: MessageId,
    /// Above every mailbox number given out.
    pub next_mailbox: u32,
    /// At least every UIDVALIDITY given out.
    pub last_uid_validity: u32,
    /// In the order in which they were made.
    pub mailboxes: Vec<Leaf>,
    /// Subscribed names; they outlive their mailbox (RFC 9051 §6.3.7).
    pub subscriptions: BTreeSet<String>,
}

impl Holder {
    /// A new holder with INBOX and the mailboxes that mail programs look for, all subscribed.
    pub fn with_default_mailboxes(now: i64) -> Self {
        let mut holder = Self { next_message: 1, reserved: 1, next_mailbox: 1, ..Self::default() };
        holder.add("INBOX", None, now);
        for (special_use, name) in SpecialUse::ALL {
            holder.add(name, Some(special_use), now);
        }
        holder.subscriptions = holder.mailboxes.iter().map(|m| m.name.clone()).collect();
        holder
    }

    /// Gives out a message number, and says whether the tree must be written for it.
    pub(super) fn number_message(&mut self) -> (MessageId, bool) {
        let number = self.next_message;
        self.next_message += 1;
        let is_new = number >= self.reserved;
        if is_new {
            self.reserved = number + MESSAGE_NUMBERS_RESERVED;
        }
        (number, is_new)
    }

    /// The mailbox of this name.
    pub fn find(&self, name: &str) -> Option<&Leaf> {
        self.mailboxes.iter().find(|m| m.name == name)
    }

    /// The mailbox of this number.
    pub fn get(&self, id: MailboxId) -> Option<&Leaf> {
        self.mailboxes.iter().find(|m| m.id == id)
    }

    /// Has any mailbox a name below this one?
    pub fn has_children(&self, name: &str) -> bool {
        self.mailboxes.iter().any(|m| is_below(&m.name, name))
    }

    /// Makes the mailbox and those above it that are missing (RFC 9051 §6.3.4). After an error the value is of no use.
    pub fn create(&mut self, name: &str, special_use: Option<SpecialUse>, now: i64) -> Result<MailboxId, NameProblem> {
        check_name(name)?;
        if self.find(name).is_some() {
            return Err(NameProblem::Exists);
        }
        if special_use.is_some() && self.mailboxes.iter().any(|m| m.special_use == special_use) {
            return Err(NameProblem::UseTaken);
        }
        self.create_above(name, now);
        let id = self.add(name, special_use, now);
        if self.mailboxes.len() > MAILBOXES_PER_HOLDER_MAX { Err(NameProblem::TooMany) } else { Ok(id) }
    }

    /// Takes the mailbox out of the tree. INBOX stays, and so does one that has others below it.
    pub fn delete(&mut self, name: &str) -> Result<Leaf, NameProblem> {
        let place = self.mailboxes.iter().position(|m| m.name == name).ok_or(NameProblem::Missing)?;
        if name == "INBOX" {
            return Err(NameProblem::Inbox);
        }
        if self.has_children(name) {
            return Err(NameProblem::HasChildren);
        }
        Ok(self.mailboxes.remove(place))
    }

    /// Renames the mailbox and all below it. INBOX cannot be renamed this way: its mail is moved instead.
    pub fn rename(&mut self, from: &str, to: &str, now: i64) -> Result<(), NameProblem> {
        check_name(to)?;
        if self.find(from).is_none() {
            return Err(NameProblem::Missing);
        }
        if is_below(to, from) {
            return Err(NameProblem::BelowItself);
        }
        let renamed = |name: &str| name.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        let moved = |m: &Leaf| m.name == from || is_below(&m.name, from);
        let targets: Vec<String> = self.mailboxes.iter().filter(|m| moved(m)).filter_map(|m| renamed(&m.name)).collect();
        if targets.iter().any(|name| self.find(name).is_some()) {
            return Err(NameProblem::Exists);
        }
        targets.iter().try_for_each(|name| check_name(name))?;
        for leaf in self.mailboxes.iter_mut().filter(|m| m.name == from || is_below(&m.name, from)) {
            if let Some(name) = renamed(&leaf.name) {
                leaf.name = name;
            }
        }
        self.create_above(to, now);
        if self.mailboxes.len() > MAILBOXES_PER_HOLDER_MAX { Err(NameProblem::TooMany) } else { Ok(()) }
    }

    /// Subscribes or unsubscribes; the name needs no mailbox (RFC 9051 §6.3.7), but there is an end to names, too.
    pub fn subscribe(&mut self, name: &str, on: bool) -> Result<(), NameProblem> {
        if !on {
            self.subscriptions.remove(name);
            return Ok(());
        }
        check_name(name)?;
        if self.subscriptions.len() >= MAILBOXES_PER_HOLDER_MAX && !self.subscriptions.contains(name) {
            return Err(NameProblem::TooMany);
        }
        self.subscriptions.insert(name.to_owned());
        Ok(())
    }

    /// Makes all mailboxes others, as mail programs see them.
    pub(super) fn renew_uid_validity(&mut self, now: i64) {
        for leaf in &mut self.mailboxes {
            self.last_uid_validity = u32::try_from(now).unwrap_or(1).max(self.last_uid_validity.saturating_add(1));
            leaf.uid_validity = self.last_uid_validity;
        }
    }

    fn create_above(&mut self, name: &str, now: i64) {
        for (end, _) in name.match_indices(SEPARATOR) {
            let parent = name.get(..end).unwrap_or_default();
            if self.find(parent).is_none() {
                self.add(parent, None, now);
            }
        }
    }

    fn add(&mut self, name: &str, special_use: Option<SpecialUse>, now: i64) -> MailboxId {
        // Time-based and never twice for one holder, so that a name made again is seen as another mailbox.
        let uid_validity = u32::try_from(now).unwrap_or(1).max(self.last_uid_validity.saturating_add(1));
        let id = MailboxId(self.next_mailbox);
        self.last_uid_validity = uid_validity;
        self.next_mailbox += 1;
        self.mailboxes.push(Leaf { id, name: name.to_owned(), special_use, uid_validity });
        id
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut record = Writer::new(1).u64(1, self.reserved).u64(2, self.next_mailbox.into()).u64(3, self.last_uid_validity.into());
        for leaf in &self.mailboxes {
            let special_use = leaf.special_use.map_or(0, |s| s as u64);
            let leaf = Writer::new(1).u64(1, leaf.id.0.into()).str(2, &leaf.name).u64(3, special_use).u64(4, leaf.uid_validity.into());
            record = record.bytes(4, &leaf.finish());
        }
        for name in &self.subscriptions {
            record = record.str(5, name);
        }
        record.finish()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let mailboxes = record.all_bytes(4)?.map(leaf_from_bytes).collect::<Result<_, _>>()?;
        let subscriptions = record.all_bytes(5)?.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        // Begun anew, a lost counter would put the next messages in the place of the first.
        let reserved = record.u64(1)?.filter(|next| *next < NUMBERS_END).ok_or(RecordError::Missing(1))?;
        let next_mailbox = record.u32(2)?.filter(|next| *next < MAILBOX_NUMBERS_END).ok_or(RecordError::Missing(2))?;
        Ok(Self {
            next_message: reserved,
            reserved,
            next_mailbox,
            last_uid_validity: record.u32(3)?.unwrap_or(0),
            mailboxes,
            subscriptions,
        })
    }
}

fn leaf_from_bytes(bytes: &[u8]) -> Result<Leaf, RecordError> {
    let record = Reader::parse(bytes, 1)?;
    Ok(Leaf {
        id: MailboxId(record.u32(1)?.unwrap_or(0)),
        name: record.str(2)?.unwrap_or_default().to_owned(),
        special_use: record.u64(3)?.and_then(SpecialUse::from_number),
        uid_validity: record.u32(4)?.unwrap_or(1),
    })
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

fn check_name(name: &str) -> Result<(), NameProblem> {
    let bad_level = |level: &str| level.is_empty() || level.trim() != level;
    let levels = name.matches(SEPARATOR).count() + 1;
    let bad = levels > MAILBOX_LEVELS_MAX
        || name.len() > MAILBOX_NAME_BYTES_MAX
        || name.chars().any(char::is_control)
        || name.split(SEPARATOR).any(bad_level);
    if bad { Err(NameProblem::Invalid) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        let mut holder = Holder::with_default_mailboxes(1_700_000_000);
        holder.create("Läden/Athen", None, 5).unwrap();
        holder.subscriptions.insert("Gone".into());
        assert_eq!(Holder::from_bytes(&holder.to_bytes()).unwrap(), holder);
    }

    #[test]
    fn there_is_an_end_to_mailboxes_and_subscriptions() {
        let mut holder = Holder::with_default_mailboxes(100);
        let mut made = holder.mailboxes.len();
        while made < MAILBOXES_PER_HOLDER_MAX {
            holder.add(&format!("m{made}"), None, 0);
            holder.subscriptions.insert(format!("m{made}"));
            made += 1;
        }
        assert_eq!(holder.clone().create("one more", None, 0), Err(NameProblem::TooMany));
        assert_eq!(holder.clone().rename("m7", "below/m7", 0), Err(NameProblem::TooMany));
        assert_eq!(holder.rename("m7", "m7 again", 0), Ok(()));
        assert_eq!(holder.subscribe("one more", true), Err(NameProblem::TooMany));
        assert_eq!(
            (holder.subscribe("m9", true), holder.subscribe("m9", false), holder.subscribe("one more", true)),
            (Ok(()), Ok(()), Ok(()))
        );
    }

    #[test]
    fn names_are_kept_in_order() {
        let mut holder = Holder::with_default_mailboxes(100);
        assert_eq!(holder.create("a//b", None, 0), Err(NameProblem::Invalid));
        assert_eq!(holder.create("Sent", None, 0), Err(NameProblem::Exists));
        assert_eq!(holder.create("Gesendet", Some(SpecialUse::Sent), 0), Err(NameProblem::UseTaken));
        holder.delete("Sent").unwrap();
        holder.create("Gesendet", Some(SpecialUse::Sent), 0).unwrap();
        holder.rename("Gesendet", "Sent", 0).unwrap();
        assert_eq!(holder.find("Sent").and_then(|leaf| leaf.special_use), Some(SpecialUse::Sent), "a use goes along");
        holder.create("a/b/c", None, 0).unwrap();
        assert!(holder.find("a/b").is_some(), "levels above are made");
        assert_eq!(holder.delete("a/b").map(|_| ()), Err(NameProblem::HasChildren));
        assert_eq!(holder.delete("INBOX").map(|_| ()), Err(NameProblem::Inbox));
        assert_eq!(holder.rename("a", "a/b/d", 0), Err(NameProblem::BelowItself));
        holder.rename("a", "x/y", 0).unwrap();
        assert!(holder.find("x/y/b/c").is_some() && holder.find("x").is_some() && holder.find("a").is_none());
        let long = "w".repeat(MAILBOX_NAME_BYTES_MAX - 2);
        assert_eq!(holder.clone().rename("x", &long, 0), Err(NameProblem::Invalid), "its children would have no name");
        let deep = |levels: usize| format!("{}d", "d/".repeat(levels - 1));
        assert_eq!(holder.clone().rename("Sent", &deep(MAILBOX_LEVELS_MAX), 0), Ok(()));
        assert_eq!(holder.clone().rename("Sent", &deep(MAILBOX_LEVELS_MAX + 1), 0), Err(NameProblem::Invalid));
        let old = holder.delete("x/y/b/c").unwrap();
        holder.create("x/y/b/c", None, 0).unwrap();
        assert!(holder.find("x/y/b/c").unwrap().uid_validity > old.uid_validity);
    }
}
