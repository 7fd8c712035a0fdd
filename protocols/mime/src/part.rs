//! What a message is made of: its parts, where each lies, and what its header says of it.
//!
//! Positions are octets from the start of the message. Texts are raw: unfolded, but neither decoded from
//! RFC 2047 nor from RFC 2231, since IMAP passes them on as they are (RFC 3501 §7.4.2).

use std::ops::Range;

/// One part of a message, or the whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The header fields with the empty line that ends them, if there is one.
    pub header: Range<u64>,
    /// What follows, without the line end that belongs to the next boundary (RFC 2046 §5.1.1).
    pub body: Range<u64>,
    /// Lines of the body; one without a line end at the end counts (RFC 3501 §7.4.2).
    pub body_lines: u64,
    /// What the part is; never empty, `text/plain` where nothing or nothing sensible is said.
    pub content_type: ContentType,
    /// The other fields that describe it.
    pub description: Description,
    /// What it holds.
    pub content: Content,
}

impl Part {
    /// Moves it and all within it.
    pub(crate) fn shift(&mut self, by: u64) {
        for range in [&mut self.header, &mut self.body] {
            *range = range.start + by..range.end + by;
        }
        match &mut self.content {
            Content::Leaf => {}
            Content::Multipart(parts) => parts.iter_mut().for_each(|part| part.shift(by)),
            Content::Message(message) => message.shift(by),
        }
    }
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text, an image, or anything else that has no parts, or whose parts lie too deep.
    Leaf,
    /// `multipart/*`: its parts in order, never none.
    Multipart(Vec<Part>),
    /// `message/rfc822` or `message/global`: the message within.
    Message(Box<Part>),
}

/// Names in lower case with raw values, quotes and backslashes removed, in order (RFC 2045 §5.1).
pub type Parameters = Vec<(String, Vec<u8>)>;

/// RFC 2045 §5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// Such as `text`, in lower case.
    pub kind: String,
    /// Such as `plain`, in lower case.
    pub subtype: String,
    /// See [`Parameters`] and [`crate::parameter`], which makes text of them.
    pub parameters: Parameters,
}

/// Fields of a part's header besides Content-Type, where they are there; of a message also its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Content-ID, with its angle brackets.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub text: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, in lower case.
    pub encoding: Option<String>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition (RFC 2183): its kind in lower case, and parameters as of [`ContentType`].
    pub disposition: Option<(String, Parameters)>,
    /// Content-Language (RFC 3282): its tags.
    pub languages: Vec<String>,
    /// Content-Location (RFC 2557).
    pub location: Option<Vec<u8>>,
    /// Of the whole message and of a message within a message.
    pub envelope: Option<Box<Envelope>>,
}

/// RFC 3501 §7.4.2: what a mail program shows in a list. Texts are raw and unfolded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Date.
    pub date: Option<Vec<u8>>,
    /// Subject.
    pub subject: Option<Vec<u8>>,
    /// From.
    pub from: Vec<Address>,
    /// Sender; empty when absent, the one who prints it falls back to From.
    pub sender: Vec<Address>,
    /// Reply-To; empty when absent, as above.
    pub reply_to: Vec<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// In-Reply-To.
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID.
    pub message_id: Option<Vec<u8>>,
}

/// One entry of an address list, as IMAP tells it (RFC 3501 §7.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `"Name" <local@host>`.
    Mailbox {
        /// The display name or, where there is none, the comment: raw, quotes removed.
        name: Option<Vec<u8>>,
        /// The source route of RFC 5322 §4.4, such as `@a,@b`.
        route: Option<Vec<u8>>,
        /// The local part, quotes removed.
        local: Vec<u8>,
        /// The domain; empty when an address has none.
        host: Vec<u8>,
    },
    /// `Name:` — the addresses up to [`Address::GroupEnd`] are its members.
    GroupStart(Vec<u8>),
    /// `;`
    GroupEnd,
}
