//! Reading Rust source as text: what is code, what is a comment, what is a test, where an item ends.
//!
//! Everything that is taken away is replaced by spaces, so that offsets and line numbers stay what they were.

/// The text without comments.
pub fn without_comments(text: &str) -> String {
    blank(text, false)
}

/// The text without comments and without what stands in quotes.
pub fn code(text: &str) -> String {
    blank(text, true)
}

/// The code outside `#[cfg(test)]`.
pub fn production_code(text: &str) -> String {
    let mut code = code(text).into_bytes();
    if find(&code, b"#![cfg(test)]", 0).is_some() {
        return String::new();
    }
    let mut at = 0;
    while let Some(start) = find(&code, TEST, at) {
        at = item_end(&code, start + TEST.len());
        wipe(&mut code[start..at]);
    }
    text_of(code)
}

/// The modules in other files that exist for tests only: `#[cfg(test)] mod NAME;`.
pub fn test_modules(text: &str) -> Vec<String> {
    let code = code(text);
    let items = code.match_indices("#[cfg(test)]").map(|(start, attribute)| {
        let end = item_end(code.as_bytes(), start + attribute.len());
        code[start + attribute.len()..end].trim()
    });
    items.filter_map(|item| Some(item.strip_suffix(';')?.rsplit_once("mod ")?.1.to_owned())).collect()
}

const TEST: &[u8] = b"#[cfg(test)]";

/// Behind the item that starts at or after `from`: its `;` or the end of its braces.
pub fn item_end(code: &[u8], from: usize) -> usize {
    let (mut depth, mut braces) = (0_usize, false);
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b'{' => (depth, braces) = (depth + 1, braces || depth == 0),
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && braces {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where `needle` stands as words of its own: no letter, digit or `_` continues it on either side.
pub fn words<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(needle).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (text[..*at].chars().next_back(), text[at + needle.len()..].chars().next());
        let inside = |edge: Option<char>, next: Option<char>| edge.is_some_and(is_word) && next.is_some_and(is_word);
        !inside(needle.chars().next(), before) && !inside(needle.chars().next_back(), after)
    })
}

/// Can this stand in a name?
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The name that the text starts with; empty if it starts with something else.
pub fn name(text: &str) -> &str {
    &text[..text.find(|character| !is_word(character)).unwrap_or(text.len())]
}

/// The line of an offset, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn blank(text: &str, literals: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let joined = at > 0 && is_word(char::from(bytes[at - 1]));
        if let Some(length) = comment(&bytes[at..]) {
            wipe(&mut out[at..at + length]);
            at += length;
        } else if let Some(length) = literal(&bytes[at..], joined) {
            if literals {
                wipe(&mut out[at..at + length]);
            }
            at += length;
        } else {
            at += 1;
        }
    }
    text_of(out)
}

/// The length of the comment that starts here.
fn comment(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"//") {
        return Some(find(rest, b"\n", 0).unwrap_or(rest.len()));
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut at) = (1, 2);
    while depth > 0 && at < rest.len() {
        let step: isize = match &rest[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    Some(at)
}

/// The length of the string or character that starts here; `joined` to a name before it, `r` is no mark.
fn literal(rest: &[u8], joined: bool) -> Option<usize> {
    let ended = |end: Option<usize>, quote: usize| Some(end.map_or(rest.len(), |end| end + quote));
    match rest {
        [b'"', ..] => ended(unescaped(rest, 1, b'"'), 1),
        [b'\'', b'\\', _, ..] => ended(unescaped(rest, 3, b'\''), 1),
        [b'\'', first, ..] => {
            // A character may have up to four octets; without a quote behind it this is a lifetime.
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
        [b'r', ..] | [b'b' | b'c', b'r', ..] if !joined => {
            let mark = if rest[0] == b'r' { 1 } else { 2 };
            let hashes = rest[mark..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(mark + hashes) != Some(&b'"') {
                return None;
            }
            let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            ended(find(rest, &close, mark + hashes + 1), close.len())
        }
        _ => None,
    }
}

fn unescaped(rest: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let found = bytes.get(from..)?.windows(needle.len()).position(|window| window == needle)?;
    Some(from + found)
}

fn wipe(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Only whole characters are wiped: comments and literals end at ASCII.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("whole characters were wiped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        for (text, want) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a(\"b \\\" // c\") d", "a( ) d"),
            ("a r#\"b \" c\"# d", "a d"),
            ("a br\"b\\\" d", "a d"),
            ("r#type b", "r#type b"),
            ("for\"b\" c", "for c"),
            ("'\"' a '\\'' b '\\u{e9}' c 'é' d", "a b c d"),
            ("fn f<'a>(b: &'a str) {}", "fn f<'a>(b: &'a str) {}"),
            ("a \"never closed", "a"),
        ] {
            assert_eq!(squeezed(&code(text)), want, "{text}");
        }
        assert_eq!(squeezed(&without_comments("a(\"// b\") // c\n'd'")), "a(\"// b\") 'd'");
    }

    #[test]
    fn lines_stay_where_they_were() {
        let text = "/* é\n*/\n#[cfg(test)]\nmod tests {\n}\nb";
        assert_eq!(production_code(text).find('b').map(|at| line(text, at)), Some(6));
    }

    #[test]
    fn tests_are_not_production_code() {
        for (text, want) in [
            ("a #[cfg(test)] mod tests { fn f() { {} } } b", "a b"),
            ("a #[cfg(test)] mod tests; b", "a b"),
            ("a #[cfg(test)] #[allow(x)] fn f(x: [u8; 2]) -> T { y; } b", "a b"),
            ("a #[cfg(test)] const X: [u8; 2] = [1, 2]; b", "a b"),
            ("#[cfg(test)] mod a; b #[cfg(test)] mod c;", "b"),
            ("#![cfg(test)] a", ""),
            ("#[cfg(unix)] mod a { b }", "#[cfg(unix)] mod a { b }"),
            ("// #[cfg(test)]\nmod a { b }", "mod a { b }"),
        ] {
            assert_eq!(squeezed(&production_code(text)), want, "{text}");
        }
    }

    #[test]
    fn modules_for_tests_are_known_by_name() {
        let text = "mod a;\n#[cfg(test)]\npub(crate) mod b;\n#[cfg(test)]\nmod c { mod d; }\n#[cfg(test)]\nmod e;";
        assert_eq!(test_modules(text), ["b", "e"]);
    }

    #[test]
    fn words_are_whole() {
        let found = |text: &str, needle: &str| words(text, needle).collect::<Vec<_>>();
        assert_eq!(found("Change::Copy FlagChange::Copy Change::Copying", "Change::Copy"), [0]);
        assert_eq!(found("tokio::x, tokio_rustls, my_tokio", "tokio"), [0]);
        assert_eq!(found("a/b", "/"), [1]);
        assert_eq!((name("ab_1::c"), name("::c")), ("ab_1", ""));
    }
}
