//! Mailbox names on the wire, to text and back: modified UTF-7 (RFC 3501 §5.1.3), or UTF-8 once a client enabled it.
//!
//! Reads bytes from strangers. In modified UTF-7 a text has one wire form, and any other is refused. Letters are composed
//! ([`normal`]), so that two spellings of one letter name one mailbox; letters of different alphabets that look alike stay apart.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Is this level of a name INBOX? It is one name, however it is written (RFC 3501 §5.1).
pub fn is_inbox(level: &str) -> bool {
    level.eq_ignore_ascii_case("INBOX")
}

/// The one spelling of a name: composed letters (RFC 9051 §5.1, RFC 5198 §3), and INBOX in capitals.
pub fn normal(text: &str) -> String {
    let name: String = if is_nfc_quick(text.chars()) == IsNormalized::Yes { text.to_owned() } else { text.nfc().collect() };
    match name.split_once('/') {
        None if is_inbox(&name) => "INBOX".to_owned(),
        // Below INBOX the first level has one spelling, too.
        Some((first, below)) if is_inbox(first) => format!("INBOX/{below}"),
        _ => name,
    }
}

/// The text of a name, or `None` when it is not the one wire form of any text: modified UTF-7, or UTF-8 once that is enabled.
pub fn decode(wire: &[u8], utf8: bool) -> Option<String> {
    if utf8 {
        return std::str::from_utf8(wire).ok().map(str::to_owned);
    }
    let mut text = String::new();
    let mut rest = std::str::from_utf8(wire).ok().filter(|wire| wire.is_ascii())?;
    while let Some((plain, shifted)) = rest.split_once('&') {
        text.push_str(plain);
        let (encoded, after) = shifted.split_once('-')?;
        if encoded.is_empty() {
            text.push('&');
        } else {
            text.push_str(&utf16(&BASE64.decode(encoded).ok()?)?);
        }
        rest = after;
    }
    text.push_str(rest);
    // What this text would be written as is the only spelling: shifted ASCII and split shifts are refused here.
    (encode(&text, false).as_bytes() == wire).then_some(text)
}

/// The wire form of a name.
pub fn encode(text: &str, utf8: bool) -> String {
    if utf8 {
        return text.to_owned();
    }
    let mut wire = String::new();
    let mut shifted = Vec::new();
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut shifted, &mut wire);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            shifted.extend(character.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut wire);
    wire
}

fn flush(shifted: &mut Vec<u8>, wire: &mut String) {
    if !shifted.is_empty() {
        wire.push('&');
        wire.push_str(&BASE64.encode(&*shifted));
        wire.push('-');
        shifted.clear();
    }
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    odd.is_empty().then(|| char::decode_utf16(units).collect::<Result<String, _>>().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names() {
        let table = [
            // RFC 3501 §5.1.3.
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("R&-D", "R&D"),
            ("&2D3eAA-", "😀"),
            ("INBOX", "INBOX"),
        ];
        for (wire, text) in table {
            assert_eq!(decode(wire.as_bytes(), false).as_deref(), Some(text));
            assert_eq!(encode(text, false), wire);
        }
    }

    #[test]
    fn names_that_look_the_same_are_one() {
        let table = [
            ("Entwu\u{308}rfe", "Entwürfe"),
            ("Entwürfe", "Entwürfe"),
            ("\u{212b}ngstr\u{f6}m", "Ångström"),
            ("inBox", "INBOX"),
            ("inbox/a", "INBOX/a"),
            ("a/inbox", "a/inbox"),
            ("Inboxes", "Inboxes"),
        ];
        for (text, name) in table {
            assert_eq!(normal(text), name);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        // The first is RFC 3501's own example of a superfluous shift.
        for wire in ["&U,BTFw-&ZeVnLIqe-", "&Jjo!", "&AGE-", "&AGE", "&", "&2D0-", "&APw=-", "a\u{fc}", "&AA-"] {
            assert_eq!(decode(wire.as_bytes(), false), None, "{wire}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in "\\PC*") {
            prop_assert_eq!(decode(encode(&text, false).as_bytes(), false), Some(text));
        }

        #[test]
        fn bytes_decode_to_one_spelling_or_nothing(wire in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(text) = decode(&wire, false) {
                prop_assert_eq!(encode(&text, false).into_bytes(), wire);
            }
        }
    }
}
