//! Message identifiers in fields (RFC 5322 §3.6.4), made alike: `<"a"@b>` and `<a@b>` are one (RFC 5256 §3).

use crate::limits::MESSAGE_ID_BYTES_MAX;

/// The valid ones of a value, in order: "<" id-left "@" id-right ">". What stands between them is passed over.
pub(super) fn ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let start = memchr::memchr(b'<', rest)?;
            let (id, after) = id(rest.get(start + 1..)?);
            rest = after;
            if id.is_some() {
                return id;
            }
        }
    })
}

/// To the closing bracket, and what comes after it; another opening one begins anew.
fn id(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let (mut id, mut quoted, mut at) = (Vec::new(), false, None);
    let mut bytes = text.iter().enumerate();
    while let Some((place, &byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => id.extend(bytes.next().map(|(_, byte)| *byte)),
            b'<' if !quoted => return (None, text.get(place..).unwrap_or_default()),
            b'>' if !quoted => {
                let is_valid = at.is_some_and(|at| at > 0 && at + 1 < id.len()) && id.len() <= MESSAGE_ID_BYTES_MAX;
                return (is_valid.then_some(id), text.get(place + 1..).unwrap_or_default());
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                at = if byte == b'@' && !quoted { Some(id.len()) } else { at };
                id.push(byte);
            }
        }
    }
    (None, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_ones() {
        let table = [
            ("<a@b>", "a@b"),
            ("  text <a@b> more\t<c@d><e@f>", "a@b c@d e@f"),
            ("<\"a\"@b> <\"a>\\\"b\"@c>", "a@b a>\"b@c"),
            ("<a b@ c>", "ab@c"),
            ("<a> <@b> <a@> <> <a@b", ""),
            ("<x <a@b>", "a@b"),
            ("a@b", ""),
            ("<A@b>", "A@b"),
        ];
        for (value, want) in table {
            let found: Vec<String> = ids(value.as_bytes()).map(|id| String::from_utf8(id).unwrap()).collect();
            assert_eq!(found.join(" "), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn noise(value in "[<>@\"\\\\a ]{0,30}") {
            ids(value.as_bytes()).for_each(drop);
        }
    }
}
