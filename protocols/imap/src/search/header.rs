//! The header of a message as searches see it: fields with their encoded words decoded (RFC 2047), folded in case.
//!
//! Nothing is decoded before the first question, and nothing twice.

use super::needle::Needle;
use crate::fold::fold;
use crate::objects::ThreadId;
use std::cell::OnceCell;
use stoa_mime::header::fields;
use stoa_mime::words;

/// A header block to be asked about.
pub(super) struct Header<'a> {
    block: &'a [u8],
    lines: OnceCell<Vec<Line>>,
}

/// One field as `name: value`, folded.
struct Line {
    text: String,
    /// Octets of the name.
    name: usize,
}

impl<'a> Header<'a> {
    /// Of a block that ends with its empty line or with its last field.
    pub fn new(block: &'a [u8]) -> Self {
        Self { block, lines: OnceCell::new() }
    }

    /// Whether a field of this folded name has the needle in its value.
    pub fn has(&self, name: &str, needle: &Needle) -> bool {
        self.lines().iter().any(|line| line.value_of(name).is_some_and(|value| needle.is_in(value)))
    }

    /// Whether the needle is in any field, its name included.
    pub fn contains(&self, needle: &Needle) -> bool {
        self.lines().iter().any(|line| needle.is_in(&line.text))
    }

    /// Whether the message belongs to the thread of this name.
    pub fn is_of_thread(&self, name: &str) -> bool {
        ThreadId::of(self.block).is_some_and(|thread| thread.to_string() == name)
    }

    fn lines(&self) -> &[Line] {
        self.lines.get_or_init(|| {
            let line = |field: stoa_mime::header::Field<'_>| {
                let name = fold(&String::from_utf8_lossy(field.name));
                Line { name: name.len(), text: name + ": " + &fold(&words::decode(&field.value())) }
            };
            fields(self.block).map(line).collect()
        })
    }
}

impl Line {
    fn value_of(&self, name: &str) -> Option<&str> {
        let (own, value) = self.text.split_at_checked(self.name)?;
        (own == name).then(|| value.strip_prefix(": "))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_their_texts() {
        let block =
            b"Subject: =?utf-8?Q?Gr=C3=BC?=\r\n =?utf-8?Q?=C3=9Fe?=\r\nX-Empty:\r\nTo: \"Doe, J\" <j@Example.org>\r\n\r\nFrom: body\r\n";
        let header = Header::new(block);
        let table = [
            ("subject", "GRÜß", true),
            ("subject", "subject", false),
            ("x-empty", "", true),
            ("x-none", "", false),
            ("to", "doe, j", true),
            ("to", "J@EXAMPLE", true),
            ("from", "body", false),
        ];
        for (name, text, want) in table {
            assert_eq!(header.has(name, &Needle::new(text)), want, "{name} {text}");
        }
        for (text, want) in [("subject: grü", true), ("to: \"doe", true), ("body", false)] {
            assert_eq!(header.contains(&Needle::new(text)), want, "{text}");
        }
    }
}
