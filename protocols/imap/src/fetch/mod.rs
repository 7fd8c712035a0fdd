//! FETCH: what is asked of a message, and how it is written (RFC 3501 §6.4.5, §7.4.2).

use imap_types::ToStatic;
use imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName};
use stoa_mailbox::UidSet;

/// What to write of each message.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The items named.
    pub items: Vec<MessageDataItemName<'static>>,
    /// A UID command?
    pub by_uid: bool,
    /// FLAGS for these, too.
    pub flags_of: UidSet,
}

/// Not offered.
#[derive(Debug, Clone, Copy)]
pub struct Unsupported;

impl Plan {
    /// A plan of these items.
    pub fn new(items: MacroOrMessageDataItemNames<'_>, by_uid: bool) -> Result<Self, Unsupported> {
        let items = match items {
            MacroOrMessageDataItemNames::Macro(Macro::Fast) => vec![MessageDataItemName::Flags],
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => items.to_static(),
            MacroOrMessageDataItemNames::Macro(_) => return Err(Unsupported),
        };
        Ok(Self { items, by_uid, flags_of: UidSet::default() })
    }

    /// Does any item set `\Seen`?
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(item, MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Text | MessageDataItemName::BodyExt { peek: false, .. })
        })
    }

    /// Writes FLAGS for these, too.
    #[must_use]
    pub fn with_flags_of(mut self, uids: UidSet) -> Self {
        self.flags_of = uids;
        self
    }
}
