//! What a conversation asks of the door, and what it is told: the seam between IMAP and the server's state.
//!
//! Names of mailboxes are text here, never modified UTF-7. Messages are named by UID, never by number: numbers
//! are the conversation's own affair.

use crate::{fetch, search, threads};
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, ModSeq, Numbering, Uid, UidSet, View};

/// What a conversation asks. Every question but the first needs an authenticated account.
#[derive(Debug, Clone)]
pub enum Question {
    /// Answered with [`Answer::Authentication`].
    Authenticate(stoa_sasl::Question),
    /// The newest version of the selected mailbox; [`Answer::Done`].
    Refresh,
    /// All mailboxes the account may see; [`Answer::Mailboxes`].
    Mailboxes,
    /// Opens a mailbox, and lets go of the one that was open; [`Answer::Selected`]. After a refusal none is open.
    Select {
        /// Its name.
        mailbox: String,
        /// EXAMINE?
        read_only: bool,
    },
    /// The UIDs of the selected mailbox that are gone since a mod-sequence (RFC 7162 §3.2.10); [`Answer::Vanished`].
    Vanished {
        /// Only what went after it.
        since: ModSeq,
    },
    /// Lets go of the selected mailbox; [`Answer::Done`].
    Unselect,
    /// Counts of a mailbox; [`Answer::Status`].
    Status {
        /// Its name.
        mailbox: String,
        /// Its number, if it was just listed: among thousands the name need not be looked for again.
        number: Option<u32>,
    },
    /// RFC 3501 §6.3.3; [`Answer::Created`].
    Create {
        /// Its name.
        mailbox: String,
        /// What it is for (RFC 6154 §5.2), such as `\Sent`.
        special_use: Option<String>,
    },
    /// RFC 3501 §6.3.4; [`Answer::Done`].
    Delete {
        /// Its name.
        mailbox: String,
    },
    /// RFC 3501 §6.3.5; [`Answer::Done`].
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// RFC 3501 §6.3.6 and §6.3.7; [`Answer::Done`].
    Subscribe {
        /// Its name.
        mailbox: String,
        /// Or unsubscribe.
        on: bool,
    },
    /// A message follows in `Step::Body`; [`Answer::Done`] or a refusal, after which no body may follow.
    BeginAppend {
        /// Where it goes.
        mailbox: String,
        /// With which flags.
        flags: FlagNames,
        /// INTERNALDATE in seconds since 1970, if the client gave one.
        received: Option<i64>,
        /// Its size in octets.
        size: u64,
    },
    /// The message is complete, and another one for the same mailbox follows in `Step::Body`; [`Answer::Done`] or a refusal,
    /// after which none of them is held (RFC 3502).
    NextAppend {
        /// With which flags.
        flags: FlagNames,
        /// INTERNALDATE in seconds since 1970, if the client gave one.
        received: Option<i64>,
        /// Its size in octets.
        size: u64,
    },
    /// The last message is complete: file all of them, or none; [`Answer::Appended`].
    EndAppend,
    /// Forget the messages; [`Answer::Done`].
    AbortAppend,
    /// COPY, or MOVE with `take`, from the selected mailbox; [`Answer::Copied`].
    Copy {
        /// Which messages.
        uids: UidSet,
        /// Where they go.
        mailbox: String,
        /// Take them out of the selected mailbox, too (RFC 6851).
        take: bool,
    },
    /// Changes flags in the selected mailbox; [`Answer::Stored`].
    Store {
        /// Which messages.
        uids: UidSet,
        /// Replace, add or remove.
        change: FlagChange,
        /// The flags named.
        flags: FlagNames,
        /// Leaves out messages that changed after this (RFC 7162 §3.1.3).
        unchanged_since: Option<ModSeq>,
    },
    /// Looks for messages in the selected mailbox; [`search::Order`] gives the answer.
    Search {
        /// What to look for.
        program: search::Program,
        /// Numbers and flags as the client knows them.
        numbering: Numbering,
        /// For RECENT, NEW and OLD.
        recent_from: Uid,
        /// In which order to tell what is found.
        order: search::Order,
    },
    /// Removes messages of `uids`, or all, that are marked `\Deleted` in the selected mailbox; [`Answer::Done`].
    Expunge {
        /// Which messages; `None` means all.
        uids: Option<UidSet>,
    },
}

/// What the door replies.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Question::Authenticate`].
    Authentication(stoa_sasl::Answer),
    /// It is done; with the newest version of the selected mailbox, if one is selected.
    Done(Option<Arc<View>>),
    /// It was not done.
    Refused(Refusal),
    /// To [`Question::Mailboxes`], ascending by name, INBOX first.
    Mailboxes(Arc<Vec<Mailbox>>),
    /// To [`Question::Select`].
    Selected(Selected),
    /// To [`Question::Vanished`]: what is known to be gone, and perhaps more that never was.
    Vanished(UidSet),
    /// To [`Question::Create`].
    Created {
        /// RFC 8474 §4: of the new mailbox.
        mailbox_id: String,
        /// The newest version of the selected mailbox, if one is selected.
        view: Option<Arc<View>>,
    },
    /// To [`Question::Status`].
    Status(Status),
    /// To [`Question::Store`].
    Stored {
        /// The messages that were left alone, since they had changed.
        modified: UidSet,
        /// The newest version of the selected mailbox.
        view: Option<Arc<View>>,
    },
    /// To [`Question::EndAppend`].
    Appended {
        /// RFC 4315 §3.
        uid_validity: u32,
        /// The messages' UIDs, ascending in the order in which they came.
        uids: UidSet,
        /// The newest version of the selected mailbox, if one is selected.
        view: Option<Arc<View>>,
    },
    /// To [`Question::Copy`]: sources and copies in the same order; what was asked for and is not there any more is left out.
    Copied {
        /// Of the target.
        uid_validity: u32,
        /// The messages.
        from: Vec<Uid>,
        /// Their copies.
        to: Vec<Uid>,
        /// The newest version of the selected mailbox.
        view: Option<Arc<View>>,
    },
    /// To [`Question::Search`]: of the numbering's messages that have a number, without ghosts; in the order asked for.
    Found(Vec<Uid>),
    /// To the same, as conversations.
    Threads(Vec<threads::Node>),
    /// A [`Query`] was written to the peer. What could be written only in part is refused after that.
    Streamed,
}

/// Why something was not done: becomes a NO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What a program can act on.
    pub code: Option<RefusalCode>,
    /// What a person can act on.
    pub text: String,
}

/// Response codes of RFC 3501 §7.1 and RFC 5530 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The target does not exist, but can be made.
    TryCreate,
    /// No such mailbox.
    NonExistent,
    /// There is one of this name.
    AlreadyExists,
    /// Never possible.
    Cannot,
    /// No mailbox can be made for this use (RFC 6154 §5.3).
    UseAttr,
    /// It has others below it (RFC 9051 §7.1).
    HasChildren,
    /// The account has no right to it.
    NoPerm,
    /// No room.
    OverQuota,
    /// Some other limit.
    Limit,
    /// A message over the limit (RFC 7889).
    TooBig,
    /// For a while.
    Unavailable,
    /// Messages named are gone.
    ExpungeIssued,
    /// An encoding that nobody here takes off, or a message that cannot be kept as it is (RFC 3516 §4.3, §4.4).
    UnknownCte,
    /// Our own fault.
    ServerBug,
}

/// A mailbox in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Levels are separated by `/`.
    pub name: String,
    /// Such as `\Drafts` (RFC 6154).
    pub special_use: Option<&'static str>,
    /// Is it subscribed?
    pub subscribed: bool,
    /// The door's own number for it; none for a name that is only subscribed.
    pub number: Option<u32>,
}

impl Mailbox {
    /// Is it more than a name that somebody subscribed?
    pub fn exists(&self) -> bool {
        self.number.is_some()
    }
}

/// An open mailbox.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Its newest version.
    pub view: Arc<View>,
    /// Messages from this UID on were never shown as `\Recent`.
    pub recent_from: Uid,
    /// Opened by EXAMINE, or the account may not change it.
    pub read_only: bool,
    /// RFC 8474 §4: one for each mailbox, also after a new name.
    pub mailbox_id: String,
}

/// RFC 9051 §6.3.11.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as the items on the wire")]
pub struct Status {
    pub messages: u32,
    pub recent: u32,
    pub unseen: u32,
    pub uid_next: Uid,
    pub uid_validity: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// RFC 8438: octets of all messages.
    pub size: u64,
    /// RFC 7162.
    pub highest_modseq: ModSeq,
    /// RFC 8474.
    pub mailbox_id: String,
}

/// What the door writes to the peer by itself, with the encoders of this crate.
#[derive(Debug, Clone)]
pub enum Query {
    /// One FETCH response for each message, by [`fetch`].
    Fetch {
        /// Those that are in the numbering's view; some may be gone since they were named.
        uids: UidSet,
        /// What to write of each.
        plan: fetch::Plan,
        /// Numbers and flags as the client knows them.
        numbering: Numbering,
        /// For `\Recent`.
        recent_from: Uid,
    },
}

/// What happens elsewhere and concerns a conversation.
#[derive(Debug, Clone)]
pub enum Event {
    /// The selected mailbox has a newer version.
    Changed(Arc<View>),
    /// The selected mailbox was deleted.
    Gone,
}
