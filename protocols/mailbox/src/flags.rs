//! Flags and keywords of one message, as bits (RFC 9051 §2.3.2).

/// The flags that the standard names; `\Recent` belongs to a session and is not kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SystemFlag {
    /// `\Seen`
    Seen = 0,
    /// `\Answered`
    Answered = 1,
    /// `\Flagged`
    Flagged = 2,
    /// `\Deleted`
    Deleted = 3,
    /// `\Draft`
    Draft = 4,
}

impl SystemFlag {
    /// All of them, in the order in which they are listed to clients.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// As written on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
        }
    }
}

/// Keywords fill the bits above the system flags.
const KEYWORD_SHIFT: usize = 8;

/// A mailbox names at most this many keywords; the set of a message is one 64-bit word.
pub const KEYWORDS_MAX: usize = 64 - KEYWORD_SHIFT;

/// A set of flags. What a keyword's number means is said by the mailbox's keyword list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u64);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// The set as stored; [`Flags::from_bits`] is the inverse.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set of these stored bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The one keyword at this place of the mailbox's list, or none if the place is out of range.
    pub fn keyword(index: usize) -> Self {
        if index < KEYWORDS_MAX { Self(1 << (KEYWORD_SHIFT + index)) } else { Self::NONE }
    }

    /// Is this system flag in the set?
    pub fn has(self, flag: SystemFlag) -> bool {
        self.contains(flag.into())
    }

    /// Are all of these in the set?
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The places of the keywords in the set, ascending.
    pub fn keywords(self) -> impl Iterator<Item = usize> {
        let mut left = self.0 >> KEYWORD_SHIFT;
        std::iter::from_fn(move || {
            let place = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(place)
        })
    }
}

impl From<SystemFlag> for Flags {
    fn from(flag: SystemFlag) -> Self {
        Self(1 << flag as u8)
    }
}

/// Flags by name, before a mailbox gave its keywords numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagNames {
    /// System flags.
    pub system: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
}

/// What STORE does to the flags of a message (RFC 9051 §6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

impl FlagChange {
    /// The flags that follow from `old`.
    pub fn apply(self, old: Flags, named: Flags) -> Flags {
        match self {
            Self::Replace => named,
            Self::Add => old.with(named),
            Self::Remove => old.without(named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_system_flags_do_not_meet() {
        let mut all = Flags::NONE;
        for flag in SystemFlag::ALL {
            assert!(!all.has(flag));
            all = all.with(flag.into());
        }
        for i in 0..KEYWORDS_MAX {
            assert!(!all.contains(Flags::keyword(i)));
            all = all.with(Flags::keyword(i));
        }
        assert_eq!(all.keywords().count(), KEYWORDS_MAX);
        assert_eq!(Flags::keyword(KEYWORDS_MAX), Flags::NONE);
    }

    #[test]
    fn store_forms() {
        let seen = Flags::from(SystemFlag::Seen);
        let both = seen.with(Flags::keyword(3));
        assert_eq!(FlagChange::Add.apply(seen, Flags::keyword(3)), both);
        assert_eq!(FlagChange::Remove.apply(both, seen), Flags::keyword(3));
        assert_eq!(FlagChange::Replace.apply(both, Flags::NONE), Flags::NONE);
    }
}
