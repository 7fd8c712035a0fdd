//! Parameters of Content-Type and Content-Disposition: read, and made text (RFC 2045 §5.1, RFC 2231).
//!
//! Reads unfolded bytes from strangers. Takes what real programs write: values with space but no quotes, missing
//! semicolons after quotes, RFC 2047 words where RFC 2231 belongs. Past [`PARAMETERS_MAX`] nothing is read.

use crate::limits::PARAMETERS_MAX;
use crate::part::Parameters;
use crate::structured::{Cursor, is_space};
use crate::{charset, words};

/// RFC 2045 §5.1: *(";" attribute "=" value); names in lower case, values without quotes and backslashes.
pub(crate) fn read(cursor: &mut Cursor) -> Parameters {
    let mut parameters = Vec::new();
    while cursor.peek().is_some() && parameters.len() < PARAMETERS_MAX {
        cursor.skip_space();
        if cursor.accept(b';') {
            continue;
        }
        let name = cursor.take_while(|byte| byte != b'=' && byte != b';').trim_ascii();
        if !cursor.accept(b'=') {
            continue;
        }
        cursor.skip_space();
        let value = cursor.quoted().unwrap_or_else(|| bare(cursor));
        if !name.is_empty() {
            parameters.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value));
        }
    }
    parameters
}

/// A value without quotes: up to a semicolon, or to a comment that stands apart, so that `name=a file(1).pdf` is whole.
fn bare(cursor: &mut Cursor) -> Vec<u8> {
    let mut value = Vec::new();
    loop {
        value.extend_from_slice(cursor.take_while(|byte| byte != b';' && byte != b'('));
        if cursor.peek() != Some(b'(') {
            break;
        }
        if value.last().is_none_or(|byte| is_space(*byte)) {
            cursor.comment();
        } else {
            value.extend(cursor.take());
        }
    }
    value.truncate(value.trim_ascii_end().len());
    value
}

/// The text of a parameter: in the form of RFC 2231 §4 (`name*=utf-8''…`) or, without that, in pieces (§3), or else plain,
/// where RFC 2047 words are decoded too, against its §5 (3), since many programs write file names so.
///
/// `name` is in lower case. Pieces count from `name*0` or `name*0*` as far as none is missing.
pub fn parameter(parameters: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let of_name = || parameters.iter().filter_map(|(key, value)| Some((key.strip_prefix(name)?, value)));
    if let Some((_, value)) = of_name().find(|(rest, _)| *rest == "*") {
        return Some(extended(&[(true, value)]));
    }
    let mut pieces: Vec<(u32, bool, &[u8])> = of_name()
        .filter_map(|(rest, value)| {
            let number = rest.strip_prefix('*')?;
            let (number, encoded) = number.strip_suffix('*').map_or((number, false), |number| (number, true));
            number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
            Some((number.parse().ok()?, encoded, value.as_slice()))
        })
        .collect();
    pieces.sort_by_key(|piece| piece.0);
    pieces.dedup_by_key(|piece| piece.0);
    let whole: Vec<(bool, &[u8])> =
        (0..).zip(&pieces).take_while(|(place, piece)| *place == piece.0).map(|(_, piece)| (piece.1, piece.2)).collect();
    if !whole.is_empty() {
        return Some(extended(&whole));
    }
    of_name().find(|(rest, _)| rest.is_empty()).map(|(_, value)| words::decode(value))
}

/// RFC 2231 §4: extended-initial-value = [charset] "'" [language] "'" value; each piece says whether it is encoded (§4.1).
fn extended(pieces: &[(bool, &[u8])]) -> String {
    let (mut name, mut bytes) = ("", Vec::new());
    for (place, (encoded, value)) in pieces.iter().enumerate() {
        let mut value = *value;
        if place == 0 && *encoded {
            let mut split = value.splitn(3, |byte| *byte == b'\'');
            if let (Some(charset), Some(_), Some(rest)) = (split.next(), split.next(), split.next()) {
                (name, value) = (str::from_utf8(charset).unwrap_or_default(), rest);
            }
        }
        if *encoded { percent_decoded(value, &mut bytes) } else { bytes.extend_from_slice(value) }
    }
    words::without_controls(charset::decode(name, &bytes))
}

/// RFC 2231 §7: ext-octet = "%" 2(DIGIT / "A" / … / "F"); a percent sign alone stands for itself.
fn percent_decoded(mut value: &[u8], bytes: &mut Vec<u8>) {
    while let Some((&first, rest)) = value.split_first() {
        match rest.split_first_chunk::<2>().and_then(|(digits, rest)| Some((hex(*digits)?, rest))) {
            Some((byte, after)) if first == b'%' => {
                bytes.push(byte);
                value = after;
            }
            _ => {
                bytes.push(first);
                value = rest;
            }
        }
    }
}

/// The byte that two hexadecimal digits of any case stand for.
pub(crate) fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(field: &str, name: &str) -> Option<String> {
        parameter(&read(&mut Cursor::new(field.as_bytes())), name)
    }

    #[test]
    fn raw_values() {
        let read = |field: &str| read(&mut Cursor::new(field.as_bytes()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        assert_eq!(read(r#"; Charset = "us-\"ascii" (note) ; x=y"#), [pair("charset", "us-\"ascii"), pair("x", "y")]);
        assert_eq!(read("; name=my file(1).pdf ; a=b (note) c"), [pair("name", "my file(1).pdf"), pair("a", "b  c")]);
        assert_eq!(read(r#"; name="open; x=y"#), [pair("name", "\"open"), pair("x", "y")]);
        assert_eq!(read("; nothing; =x; a=;;"), [pair("a", "")]);
        assert_eq!(read(&"; a=b".repeat(1000)).len(), PARAMETERS_MAX);
    }

    #[test]
    fn texts() {
        let table = [
            // Pieces in any order, a letter split between two.
            ("; f*1*=%A4.txt; f*0*=UTF-8''%C3", "f", "ä.txt"),
            ("; f*0=a; f*2=c", "f", "a"),
            ("; f=plain; f*=utf-8''%e2%82%ac%", "f", "€%"),
            ("; f*=no%20charset", "f", "no charset"),
            (r#"; f="=?utf-8?Q?caf=C3=A9?=""#, "f", "café"),
            ("; f*=utf-8''a%0D%0Ab", "f", "a  b"),
        ];
        for (field, name, want) in table {
            assert_eq!(text(field, name).as_deref(), Some(want), "{field}");
        }
        assert_eq!(text("; f*1=b; fx=c", "f"), None);
    }

    #[test]
    fn many_pieces() {
        let pieces: Vec<_> = (0..100_000_u32).rev().map(|number| (format!("f*{number}"), b"x".to_vec())).collect();
        assert_eq!(parameter(&pieces, "f").map(|text| text.len()), Some(100_000));
        let same: Vec<_> = (0..100_000).map(|_| ("f*0*".to_owned(), b"''x".to_vec())).collect();
        assert_eq!(parameter(&same, "f").as_deref(), Some("x"));
    }
}
