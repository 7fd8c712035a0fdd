//! Names of messages and threads that last (RFC 8474).
//!
//! A message is named by its holder and its number there, which a copy keeps and no other message gets. A thread is named by
//! the message that began it, as far as a header tells: a hash of the first identifier of References, else of In-Reply-To, else
//! of the message's own. So the name needs no index and never changes, and answers that come before what they answer are
//! named alike. Names hold for one account (§5): the same conversation has the same name in two of them, and tells nothing.

use sha2::{Digest, Sha256};
use std::fmt;
use stoa_mime::header::{Field, fields};

/// A thread; 80 bits of SHA-256, so that nobody finds an identifier that meets another's by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId([u8; THREAD_ID_BYTES]);

const THREAD_ID_BYTES: usize = 10;

/// RFC 8474 §5.1: objectid of a message, for EMAILID.
pub fn email_id(holder: u64, message: u64) -> String {
    format!("M{holder:x}-{message:x}")
}

impl ThreadId {
    /// RFC 5322 §3.6.4: of the message with this header block; none if it names no message at all.
    pub(crate) fn of(header: &[u8]) -> Option<Self> {
        let mut named: [Option<Vec<u8>>; 3] = [None, None, None];
        for field in fields(header) {
            let place = ["References", "In-Reply-To", "Message-ID"].iter().position(|name| field.is(name));
            if let Some(named) = place.and_then(|place| named.get_mut(place)).filter(|named| named.is_none()) {
                *named = first_id(&field);
            }
        }
        let root = named.into_iter().flatten().next()?;
        let bytes = Sha256::digest(&root);
        bytes.first_chunk().copied().map(Self)
    }

    /// As it is kept; [`ThreadId::bytes`] is the inverse.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// RFC 8474 §7: objectid = 1*255(ALPHA / DIGIT / "_" / "-")
impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("T")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What stands in the first angle brackets; where programs left them out, the first word.
fn first_id(field: &Field<'_>) -> Option<Vec<u8>> {
    let value = field.value();
    let mut after = value.splitn(2, |byte| *byte == b'<').skip(1);
    let bracketed = after.next().and_then(|rest| rest.split(|byte| *byte == b'>').next());
    let id = bracketed.or_else(|| value.split(u8::is_ascii_whitespace).next())?;
    Some(id.trim_ascii().to_vec()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Option<String> {
        ThreadId::of(header.as_bytes()).map(|thread| thread.to_string())
    }

    #[test]
    fn a_thread_is_named_by_its_first_message() {
        let root = of("Subject: x\r\nMessage-ID: <root@x>\r\n\r\n");
        assert_eq!(root.as_deref().map(str::len), Some(21));
        for same in [
            "message-id: root@x\r\n",
            "Message-ID: <1@x>\r\nIn-Reply-To: <root@x>\r\n",
            "Message-ID: <2@x>\r\nIn-Reply-To: Your letter of today <root@x>\r\n",
            "In-Reply-To: <1@x>\r\nReferences:\r\n <root@x>\r\n\t<1@x>\r\nMessage-ID: <3@x>\r\n",
            "References: \r\nIn-Reply-To: <>\r\nMessage-ID: < root@x >\r\n",
            "Message-ID: <root@x>\r\nMessage-ID: <other@x>\r\n",
        ] {
            assert_eq!(of(same), root, "{same}");
        }
        assert_ne!(of("Message-ID: <Root@x>\r\n"), root);
        assert_eq!(of("Subject: <root@x>\r\n\r\nMessage-ID: <root@x>\r\n"), None);
        assert_eq!(of("Message-ID:\r\n"), None);
    }

    #[test]
    fn names_are_object_ids() {
        let names = [email_id(1, 0xabc), email_id(u64::MAX, u64::MAX), of("Message-ID: <\u{fc}>\r\n").unwrap()];
        assert_eq!(names[0], "M1-abc");
        for name in names {
            assert!(name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
        }
    }
}
