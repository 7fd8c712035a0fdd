//! The small grammar that structured fields share: comments, quoted strings, domain literals (RFC 5322 §3.2).
//!
//! Reads unfolded bytes from strangers in one pass: nothing here looks at a byte more than a few times.

use memchr::memchr;

/// A place in an unfolded value.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// Once no closing mark lies ahead, none does later: the search is not made again.
    no_quote: bool,
    no_bracket: bool,
}

impl<'a> Cursor<'a> {
    /// At the start.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, no_quote: false, no_bracket: false }
    }

    /// The byte ahead.
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Takes the byte ahead.
    pub fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes the byte ahead if it is this one.
    pub fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes bytes as long as they pass.
    pub fn take_while(&mut self, pass: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !pass(*byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Passes over white space and comments (RFC 5322 §3.2.2).
    pub fn skip_space(&mut self) {
        loop {
            self.take_while(is_space);
            if self.comment().is_none() {
                return;
            }
        }
    }

    /// RFC 5322 §3.2.2: comment = "(" *(ctext / quoted-pair / comment) ")"; gives the text within, inner
    /// parentheses kept. One that does not end takes all there is.
    pub fn comment(&mut self) -> Option<Vec<u8>> {
        if !self.accept(b'(') {
            return None;
        }
        let (mut text, mut depth) = (Vec::new(), 1_usize);
        while let Some(byte) = self.take() {
            match byte {
                b'\\' => text.extend(self.take()),
                b')' if depth == 1 => break,
                _ => {
                    depth = match byte {
                        b'(' => depth + 1,
                        b')' => depth - 1,
                        _ => depth,
                    };
                    text.push(byte);
                }
            }
        }
        Some(text)
    }

    /// RFC 5322 §3.2.4: quoted-string = DQUOTE *(qtext / quoted-pair) DQUOTE; gives the text within.
    /// None, and nothing is taken, if it does not end.
    pub fn quoted(&mut self) -> Option<Vec<u8>> {
        if self.peek() != Some(b'"') || self.no_quote {
            return None;
        }
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        while let Some(byte) = self.take() {
            match byte {
                b'\\' => text.extend(self.take()),
                b'"' => return Some(text),
                _ => text.push(byte),
            }
        }
        (self.at, self.no_quote) = (start, true);
        None
    }

    /// RFC 5322 §3.4.1: domain-literal = "[" *dtext "]", with its brackets. None, and nothing is taken, if it does not end.
    pub fn literal(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'[') || self.no_bracket {
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let Some(end) = memchr(b']', rest) else {
            self.no_bracket = true;
            return None;
        };
        self.at += end + 1;
        rest.get(..=end)
    }
}

/// Space and tab, and what is left of line ends.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// RFC 2045 §5.1: what may be in a token; bytes past ASCII are let through.
pub fn is_token(byte: u8) -> bool {
    (byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)) || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_nest() {
        let mut cursor = Cursor::new(b" (a (b) \\) c) (d) e");
        cursor.take_while(is_space);
        assert_eq!(cursor.comment(), Some(b"a (b) ) c".to_vec()));
        cursor.skip_space();
        assert_eq!(cursor.peek(), Some(b'e'));
        assert_eq!(Cursor::new(b"(open").comment(), Some(b"open".to_vec()));
    }

    #[test]
    fn quotes_and_literals_end_or_are_not_taken() {
        assert_eq!(Cursor::new(br#""a \"b\" c" d"#).quoted(), Some(b"a \"b\" c".to_vec()));
        let mut open = Cursor::new(b"\"a");
        assert_eq!((open.quoted(), open.peek()), (None, Some(b'"')));
        assert_eq!(Cursor::new(b"[127.0.0.1] x").literal(), Some(&b"[127.0.0.1]"[..]));
        assert_eq!(Cursor::new(b"[127").literal(), None);
    }
}
