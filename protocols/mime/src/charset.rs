//! Bytes in a named character set, made text (RFC 2978 names; RFC 2046 §4.1.2).
//!
//! Never fails: what cannot be read becomes U+FFFD. The tables are those of `mail-parser` and `encoding_rs`.

use mail_parser::decoders::charsets::map::charset_decoder;

/// Text from bytes in the character set of this name, in any case.
///
/// An empty name, ASCII, and a name that nobody knows mean: UTF-8 if the bytes are that; else Windows-1252 for the first
/// two, and for a name unknown, what is readable of UTF-8.
pub fn decode(name: &str, bytes: &[u8]) -> String {
    let name = name.trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '"' || letter == '\'').to_ascii_lowercase();
    match name.as_str() {
        "" | "us-ascii" | "ascii" => unnamed(bytes),
        "utf-8" | "utf8" => lossy(bytes),
        _ if bytes.is_empty() => String::new(),
        _ => charset_decoder(name.as_bytes()).map_or_else(|| lossy(bytes), |decode| decode(bytes)),
    }
}

/// Text from bytes that do not say what they are: UTF-8 (RFC 6532 §3) or, as old programs send it, Windows-1252.
fn unnamed(bytes: &[u8]) -> String {
    match (str::from_utf8(bytes), charset_decoder(b"windows-1252")) {
        (Err(_), Some(decode)) => decode(bytes),
        (Ok(text), _) => text.to_owned(),
        (Err(_), None) => lossy(bytes),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        let table: [(&str, &[u8], &str); 12] = [
            ("UTF-8", b"\xef\xbb\xbfa\xc3\xa4\xff", "aä\u{fffd}"),
            ("us-ascii", b"caf\xe9", "café"),
            ("us-ascii", b"caf\xc3\xa9", "café"),
            ("", b"\x80", "€"),
            ("ISO-8859-1", b"\xe4", "ä"),
            ("iso-8859-15", b"\xa4", "€"),
            (" \"Windows-1251\" ", b"\xcf\xf0\xe8", "При"),
            ("koi8-r", b"\xf0\xd2\xc9", "При"),
            ("ISO-2022-JP", b"\x1b$B%O%m\x1b(B", "ハロ"),
            ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
            ("utf-7", b"+ZYeB9FH6-", "文致出"),
            ("x-nobody-knows", b"a\xffb", "a\u{fffd}b"),
        ];
        for (name, bytes, want) in table {
            assert_eq!(decode(name, bytes), want, "{name}");
        }
    }

    const NAMES: [&str; 20] = [
        "utf-7",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "iso-2022-jp",
        "iso-2022-kr",
        "shift_jis",
        "big5",
        "euc-jp",
        "euc-kr",
        "gbk",
        "gb18030",
        "hz-gb-2312",
        "koi8-u",
        "ibm850",
        "macintosh",
        "tis-620",
        "iso-8859-8",
        "x-user-defined",
        "x-mac-cyrillic",
    ];

    proptest! {
        #[test]
        fn any_bytes_become_text(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for name in NAMES {
                decode(name, &bytes);
            }
        }

        #[test]
        fn any_name_will_do(name in "\\PC{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            decode(&name, &bytes);
        }
    }

    #[test]
    fn short_texts_in_every_set() {
        for name in NAMES {
            for first in 0..=255 {
                decode(name, &[first]);
                (0..=255).for_each(|second| drop(decode(name, &[first, second])));
            }
        }
    }
}
