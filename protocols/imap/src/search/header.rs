//! The header of a message as searches see it: fields with their encoded words decoded (RFC 2047), folded in case.
//!
//! Nothing is decoded before it is asked for, and nothing twice.

use super::needle::Needle;
use crate::fold::fold;
use crate::objects::ThreadId;
use memchr::memmem;
use std::cell::OnceCell;
use stoa_mime::header::{Field, fields};
use stoa_mime::words;

/// The header of a message, to be asked about.
#[derive(Debug)]
pub struct Header<'a> {
    block: &'a [u8],
    fields: OnceCell<Vec<Line<'a>>>,
    text: OnceCell<String>,
}

#[derive(Debug)]
struct Line<'a> {
    field: Field<'a>,
    /// Its value, folded.
    value: OnceCell<String>,
}

impl<'a> Header<'a> {
    /// Of a block that ends with its empty line or with its last field.
    pub fn new(block: &'a [u8]) -> Self {
        Self { block, fields: OnceCell::new(), text: OnceCell::new() }
    }

    /// Whether a field of this name has the needle in its value.
    pub(super) fn has(&self, name: &str, needle: &Needle) -> bool {
        self.fields().iter().filter(|line| line.field.is(name)).any(|line| needle.is_in(line.value()))
    }

    /// Whether the needle is in any field, its name included.
    pub(super) fn contains(&self, needle: &Needle) -> bool {
        needle.is_in(self.text.get_or_init(|| {
            let mut text = String::with_capacity(self.block.len());
            for line in self.fields() {
                text.push_str(&fold(&String::from_utf8_lossy(line.field.name)));
                text.push_str(": ");
                text.push_str(line.value());
                text.push('\n');
            }
            text
        }))
    }

    /// Whether the message belongs to the thread of this name.
    pub(super) fn is_of_thread(&self, name: &str) -> bool {
        ThreadId::of(self.block).is_some_and(|thread| thread.to_string() == name)
    }

    pub(super) fn block(&self) -> &'a [u8] {
        self.block
    }

    fn fields(&self) -> &[Line<'a>] {
        self.fields.get_or_init(|| fields(self.block).map(|field| Line { field, value: OnceCell::new() }).collect())
    }
}

impl Line<'_> {
    fn value(&self) -> &str {
        self.value.get_or_init(|| {
            let mut value = self.field.value().into_owned();
            if !value.is_ascii() || memmem::find(&value, b"=?").is_some() {
                return fold(&words::decode(&value));
            }
            // As decoding would leave it.
            value.iter_mut().for_each(|byte| *byte = if byte.is_ascii_control() { b' ' } else { byte.to_ascii_lowercase() });
            String::from_utf8(value).unwrap_or_default()
        })
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
