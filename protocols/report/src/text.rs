//! Texts of others made fit for a report: without controls, folded, within what a line may hold.

/// RFC 5322 §2.1.1 asks for 78 characters.
const LINE_CHARS: usize = 76;

/// One line of it: controls become spaces, and the end of what is longer is left out.
pub(crate) fn tame(text: &str, chars_max: usize) -> String {
    let mut tamed: String = text.chars().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(chars_max).is_some() {
        tamed.push('…');
    }
    tamed.trim().to_owned()
}

/// The same in ASCII, for what must be.
pub(crate) fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// A header field, folded at its spaces (RFC 5322 §2.2.3); a word of any length stays whole, and controls are spaces.
pub(crate) fn field(name: &str, value: &str) -> String {
    let (mut line, mut column) = (format!("{name}:"), name.chars().count() + 1);
    for word in words(value) {
        let width = word.chars().count() + 1;
        let fits = column + width <= LINE_CHARS || column <= 1;
        line.push_str(if fits { " " } else { "\r\n " });
        line.push_str(word);
        column = if fits { column + width } else { width };
    }
    line.push_str("\r\n");
    line
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ' ' || c.is_control()).filter(|word| !word.is_empty())
}

/// A paragraph, wrapped; `indent` begins each line. Whatever text it is, it stays within.
pub(crate) fn paragraph(indent: &str, text: &str) -> String {
    let (mut out, mut column) = (indent.to_owned(), indent.len());
    for (n, word) in words(text).enumerate() {
        let width = word.chars().count() + usize::from(n > 0);
        if n > 0 && column + width > LINE_CHARS {
            out.push_str("\r\n");
            out.push_str(indent);
            column = indent.len() + width - 1;
        } else {
            out.push_str(if n > 0 { " " } else { "" });
            column += width;
        }
        out.push_str(word);
    }
    out.push_str("\r\n");
    out
}

/// RFC 2045 §6.7, of a text whose lines end with CRLF.
pub(crate) fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive("\r\n") {
        let (line, end) = line.strip_suffix("\r\n").map_or((line, ""), |line| (line, "\r\n"));
        let mut column = 0;
        for (at, byte) in line.bytes().enumerate() {
            let is_last = at + 1 == line.len();
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (byte == b' ' && !is_last);
            let width = if plain { 1 } else { 3 };
            if column + width > LINE_CHARS - 1 {
                out.push_str("=\r\n");
                column = 0;
            }
            if plain {
                out.push(char::from(byte))
            } else {
                out.push_str(&format!("={byte:02X}"))
            }
            column += width;
        }
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_folded_and_hold_no_line_of_somebody_else() {
        assert_eq!(field("Status", "5.1.1"), "Status: 5.1.1\r\n");
        let long = field("X", &tame(&format!("a\r\nBcc: b {}", "word ".repeat(40)), 1_000));
        assert!(long.split("\r\n").all(|line| line.len() <= 78), "{long}");
        assert!(!long.contains("\r\nBcc"), "{long}");
        assert_eq!(tame("abc\u{7}d", 3), "abc…");
        assert_eq!(ascii("a\u{e9}"), "a?");
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_again(lines in proptest::collection::vec("[^\r\n]{0,200}", 0..5)) {
            let text = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let quoted = quoted_printable(&text);
            prop_assert!(quoted.is_ascii() && quoted.split("\r\n").all(|line| line.len() <= 76), "{}", quoted);
            prop_assert_eq!(mail_parser::decoders::quoted_printable::quoted_printable_decode(quoted.as_bytes()).unwrap(), text.into_bytes());
        }
    }
}
