//! Encoded words in header texts (RFC 2047).
//!
//! Reads raw values from strangers and gives text to show. Takes more than the RFC: words longer than 75 characters,
//! with spaces within, next to other letters, and characters that are split between two words (§5 forbids it).

use memchr::memmem::find;

use crate::charset;
use crate::transfer::{self, Encoding};

/// Text of a raw value: encoded words decoded, white space between two of them left out (RFC 2047 §6.2), other bytes
/// taken for UTF-8 or else Windows-1252. Control characters become spaces, so that no text breaks out of its line.
pub fn decode(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    let mut run = Run::default();
    let mut rest = value;
    while let Some(start) = find(rest, b"=?") {
        let (before, candidate) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        match Word::read(candidate) {
            Some((word, after)) => {
                if !(run.is_open && before.iter().all(u8::is_ascii_whitespace)) {
                    run.close(&mut text);
                    text.push_str(&charset::decode("", before));
                }
                run.add(word, &mut text);
                rest = after;
            }
            None => {
                run.close(&mut text);
                let (plain, after) = rest.split_at_checked(start + 2).unwrap_or((rest, &[]));
                text.push_str(&charset::decode("", plain));
                rest = after;
            }
        }
    }
    run.close(&mut text);
    text.push_str(&charset::decode("", rest));
    without_controls(text)
}

/// Control characters as spaces.
pub(crate) fn without_controls(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// Words next to each other in one character set: their bytes are joined before they are read, unless the set has states.
#[derive(Default)]
struct Run<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    is_open: bool,
}

impl<'a> Run<'a> {
    fn add(&mut self, word: Word<'a>, text: &mut String) {
        if self.is_open && (has_states(word.charset) || !self.charset.eq_ignore_ascii_case(word.charset)) {
            self.close(text);
        }
        (self.charset, self.is_open) = (word.charset, true);
        self.bytes.extend(word.bytes());
    }

    fn close(&mut self, text: &mut String) {
        text.push_str(&charset::decode(self.charset, &self.bytes));
        self.bytes.clear();
        self.is_open = false;
    }
}

/// Whether bytes mean something else after a shift. RFC 2047 §3: each word begins and ends in the first state; one joined
/// to the next would shift back and forth with nothing between, which readers of ISO-2022-JP take for a fault.
fn has_states(charset: &str) -> bool {
    let name = charset.to_ascii_lowercase();
    ["iso-2022-", "hz", "utf-7"].iter().any(|beginning| name.starts_with(beginning))
}

/// One encoded word.
struct Word<'a> {
    charset: &'a str,
    is_base64: bool,
    text: &'a [u8],
}

impl<'a> Word<'a> {
    /// RFC 2047 §2: encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="; the language is of
    /// RFC 2231 §5. Gives also what comes after. Each byte is looked at by one word only, or by one that fails at once.
    fn read(candidate: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let inner = candidate.strip_prefix(b"=?")?;
        let length = inner.iter().position(|byte| !is_charset(*byte))?;
        let (name, rest) = inner.split_at_checked(length)?;
        let name = name.split(|byte| *byte == b'*').next()?;
        let (encoding, rest) = rest.strip_prefix(b"?")?.split_first()?;
        let is_base64 = match encoding {
            b'B' | b'b' => true,
            b'Q' | b'q' => false,
            _ => return None,
        };
        let rest = rest.strip_prefix(b"?")?;
        let end = find(rest.get(..rest.len().min(WORD_BYTES_MAX))?, b"?=")?;
        let (text, rest) = rest.split_at_checked(end)?;
        Some((Self { charset: str::from_utf8(name).ok()?, is_base64, text }, rest.get(2..)?))
    }

    fn bytes(&self) -> Vec<u8> {
        if self.is_base64 {
            return transfer::decode(Encoding::Base64, self.text);
        }
        // RFC 2047 §4.2: as quoted-printable, but "_" is a space; a space itself and a line end do not occur.
        let text: Vec<u8> = self
            .text
            .iter()
            .flat_map(|byte| if matches!(byte, b'_' | b' ') { &b"=20"[..] } else { std::slice::from_ref(byte) })
            .copied()
            .collect();
        transfer::decode(Encoding::QuotedPrintable, &text)
    }
}

/// Of the text of one word. RFC 2047 §2 allows 75 for all of it; some programs put a whole subject in one.
const WORD_BYTES_MAX: usize = 4096;

/// RFC 2047 §2: charset = token, which also may not have "especials"; "*" leads the language.
fn is_charset(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:+*'".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_programs_write() {
        let table: [(&[u8], &str); 14] = [
            (b"plain", "plain"),
            (b"caf\xc3\xa9 caf\xc3\xa9", "café café"),
            (b"caf\xe9", "café"),
            // A letter split between two words.
            (b"=?utf-8?B?w6TD?= =?utf-8?B?pA==?=", "ää"),
            (b"=?UTF-8?q?=C3?= =?utf-8?Q?=A4?=", "ä"),
            // Words that shift back at their end.
            (b"=?iso-2022-jp?b?GyRCJCobKEI=?=\r\n =?ISO-2022-JP?B?GyRCJCobKEI=?=", "おお"),
            (b"=?utf-8*de?Q?a b?=c", "a bc"),
            (b"=?utf-8?Q?a_?=", "a "),
            (b"=?utf-8?X?a?= =?utf-8?Q?open", "=?utf-8?X?a?= =?utf-8?Q?open"),
            (b"=?=?utf-8?Q?a?=", "=?a"),
            (b"=?x-none?Q?a=FF?=", "a\u{fffd}"),
            (b"=?utf-8?Q?a=0D=0ABcc:_b=00?=", "a  Bcc: b "),
            (b"=?utf-8?Q??= x", " x"),
            (b"=?utf-8?Q?=41=?= =", "A ="),
        ];
        for (value, want) in table {
            assert_eq!(decode(value), want, "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn many_beginnings_take_no_time() {
        let beginnings = "=?".repeat(500_000);
        assert_eq!(decode(beginnings.as_bytes()), beginnings);
        decode("=?a?q?".repeat(200_000).as_bytes());
        decode("=?a?b?x ".repeat(20_000).as_bytes());
    }

    proptest! {
        #[test]
        fn never_fails(value in "([a=? _\\n]|=\\?|utf-8|\\?Q\\?|\\?b\\?|\\?=){0,40}") {
            prop_assert!(!decode(value.as_bytes()).contains(char::is_control));
        }
    }
}
