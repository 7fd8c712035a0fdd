//! The small grammar that our own parsers share (RFC 3501 §9): a cursor over one gathered command.
//!
//! Reads bytes from strangers. Each parser takes what it names and moves past it, or gives nothing; the position
//! is then of no meaning. Literals lie inline, as the framer gathered them.

use std::borrow::Cow;

/// A place in a command.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// Quoted strings may hold UTF-8 (RFC 6855 §3, RFC 9051 §4.3).
    utf8: bool,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, utf8: false }
    }

    /// With UTF-8 in quoted strings, once that is enabled.
    pub(crate) fn utf8(self, utf8: bool) -> Self {
        Self { utf8, ..self }
    }

    /// Is nothing left?
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Is this byte next?
    pub(crate) fn is_next(&self, byte: u8) -> bool {
        self.rest.first() == Some(&byte)
    }

    /// Takes this byte, if it is next.
    pub(crate) fn byte(&mut self, byte: u8) -> bool {
        let after = self.rest.strip_prefix(&[byte]);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// SP
    pub(crate) fn space(&mut self) -> bool {
        self.byte(b' ')
    }

    /// tag = 1*<any ASTRING-CHAR except "+">
    pub(crate) fn tag(&mut self) -> Option<&'a str> {
        self.run(|byte| is_astring_char(byte) && byte != b'+')
    }

    /// atom = 1*ATOM-CHAR
    pub(crate) fn atom(&mut self) -> Option<&'a str> {
        self.run(is_atom_char)
    }

    /// This atom in any case, if it is next.
    pub(crate) fn keyword(&mut self, keyword: &str) -> bool {
        let mut ahead = self.clone();
        let found = ahead.atom().is_some_and(|atom| atom.eq_ignore_ascii_case(keyword));
        if found {
            *self = ahead;
        }
        found
    }

    /// number = 1*DIGIT, of 32 bits
    pub(crate) fn number(&mut self) -> Option<u32> {
        self.run(|byte| byte.is_ascii_digit())?.parse().ok()
    }

    /// RFC 7162 §7: mod-sequence-valzer = "0" / mod-sequence-value; of 63 bits
    pub(crate) fn modseq(&mut self) -> Option<u64> {
        self.run(|byte| byte.is_ascii_digit())?.parse().ok().filter(|&number| number <= i64::MAX as u64)
    }

    /// The verb of a command: letters and digits.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        self.run(|byte| byte.is_ascii_alphanumeric())
    }

    /// The name of an item or a section: letters, digits and `.-_`.
    pub(crate) fn label(&mut self) -> Option<&'a str> {
        self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    }

    /// astring = 1*ASTRING-CHAR / string
    pub(crate) fn astring(&mut self) -> Option<Cow<'a, [u8]>> {
        match self.rest.first()? {
            b'"' => self.quoted(),
            b'{' => self.literal().map(Cow::Borrowed),
            _ => self.run(is_astring_char).map(|text| Cow::Borrowed(text.as_bytes())),
        }
    }

    /// list-mailbox = 1*list-char / string, list-char = ATOM-CHAR / "%" / "*" / "]"
    pub(crate) fn pattern(&mut self) -> Option<Cow<'a, [u8]>> {
        match self.rest.first()? {
            b'"' | b'{' => self.astring(),
            _ => self.run(|byte| is_astring_char(byte) || matches!(byte, b'%' | b'*')).map(|text| Cow::Borrowed(text.as_bytes())),
        }
    }

    /// "(" [atom *(SP atom)] ")", in capitals
    pub(crate) fn words(&mut self) -> Option<Vec<String>> {
        self.byte(b'(').then_some(())?;
        let mut words = Vec::new();
        while !self.byte(b')') {
            (words.is_empty() || self.space()).then_some(())?;
            words.push(self.atom()?.to_ascii_uppercase());
        }
        Some(words)
    }

    /// CRLF, and nothing after it
    pub(crate) fn end_of_command(&self) -> bool {
        self.rest == b"\r\n"
    }

    /// quoted = DQUOTE *QUOTED-CHAR DQUOTE
    pub(crate) fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let inner = self.rest.strip_prefix(b"\"")?;
        let mut text = Vec::new();
        let mut bytes = inner.iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = inner.get(at + 1..)?;
                    return std::str::from_utf8(&text).is_ok().then_some(Cow::Owned(text));
                }
                b'\\' => text.push(*bytes.next().map(|(_, byte)| byte).filter(|&&byte| matches!(byte, b'"' | b'\\'))?),
                b'\r' | b'\n' | 0 => return None,
                0x80.. if !self.utf8 => return None,
                _ => text.push(byte),
            }
        }
        None
    }

    /// literal = "{" number ["+"] "}" CRLF *CHAR8
    fn literal(&mut self) -> Option<&'a [u8]> {
        self.byte(b'{').then_some(())?;
        let size: usize = self.run(|byte| byte.is_ascii_digit())?.parse().ok()?;
        self.byte(b'+');
        let octets = self.rest.strip_prefix(b"}\r\n")?;
        let (literal, rest) = octets.split_at_checked(size)?;
        self.rest = rest;
        (!literal.contains(&0)).then_some(literal)
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> Option<&'a str> {
        let len = self.rest.iter().take_while(|&&byte| belongs(byte)).count();
        let (text, rest) = self.rest.split_at_checked(len).filter(|_| len > 0)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}

/// ATOM-CHAR: any but SP, CTL and `(){%*"\]`
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// ASTRING-CHAR = ATOM-CHAR / "]"
fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn astrings() {
        let table: [(&str, Option<&str>, &str); 11] = [
            ("abc] d", Some("abc]"), " d"),
            ("\"a\\\"\\\\b\"x", Some("a\"\\b"), "x"),
            ("\"\"", Some(""), ""),
            ("{3}\r\na\"bc", Some("a\"b"), "c"),
            ("{0+}\r\n", Some(""), ""),
            ("{3}\r\nab", None, ""),
            ("{3}ab", None, ""),
            ("\"a\\b\"", None, ""),
            ("\"a", None, ""),
            ("(a)", None, ""),
            ("", None, ""),
        ];
        for (wire, text, rest) in table {
            let mut cursor = Cursor::new(wire.as_bytes());
            assert_eq!(cursor.astring().as_deref(), text.map(str::as_bytes), "{wire}");
            if text.is_some() {
                assert_eq!(cursor.rest, rest.as_bytes(), "{wire}");
            }
        }
    }

    #[test]
    fn tags() {
        for (wire, tag) in
            [("A001 X", Some("A001")), ("a+b X", Some("a")), ("+ x", None), ("* x", None), (" x", None), ("]. x", Some("]."))]
        {
            assert_eq!(Cursor::new(wire.as_bytes()).tag(), tag);
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(wire in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut cursor = Cursor::new(&wire);
            cursor.astring();
            cursor.tag();
            cursor.quoted();
            cursor.pattern();
            cursor.words();
        }
    }
}
