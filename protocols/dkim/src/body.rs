//! The relaxed form of a body (RFC 6376 §3.4.4), as it streams by.
//!
//! White space at the end of a line is dropped, other white space becomes one space, empty lines at the end are
//! dropped, and what is left ends with CR LF. A line that holds white space alone is empty after that, also the last
//! one. A lone LF ends a line as well: on its way it becomes CR LF (§5.3). A lone CR is text.

/// Makes the relaxed form; gives it out in pieces, of which no more than the input is held.
#[derive(Debug, Clone, Default)]
pub struct RelaxedBody {
    /// Ends of lines that count only if text follows.
    lines: u64,
    /// White space that counts only if text follows on the line.
    space: bool,
    /// A CR that may begin the end of a line.
    carriage: bool,
    /// Whether there was any text.
    text: bool,
}

/// Ends of lines that are given out at a time.
const LINE_ENDS: &[u8] = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

impl RelaxedBody {
    /// At the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on and gives out what is certain.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut impl FnMut(&[u8])) {
        while let Some(&first) = bytes.first() {
            let used = match first {
                b'\n' => {
                    (self.carriage, self.space) = (false, false);
                    self.lines += 1;
                    1
                }
                _ if std::mem::take(&mut self.carriage) => {
                    self.give(b"\r", out);
                    0
                }
                b'\r' => {
                    self.carriage = true;
                    1
                }
                b' ' | b'\t' => {
                    self.space = true;
                    1
                }
                _ => {
                    let run = run(bytes);
                    self.give(bytes.get(..run).unwrap_or_default(), out);
                    run
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Ends the body. One without text has no canonical octets at all.
    pub fn finish(mut self, out: &mut impl FnMut(&[u8])) {
        if self.carriage {
            self.give(b"\r", out);
        }
        if self.text {
            out(b"\r\n");
        }
    }

    /// Gives out text, and before it what was waiting for text.
    fn give(&mut self, text: &[u8], out: &mut impl FnMut(&[u8])) {
        while self.lines > 0 {
            let at_once = self.lines.min(LINE_ENDS.len() as u64 / 2);
            out(LINE_ENDS.get(..at_once as usize * 2).unwrap_or_default());
            self.lines -= at_once;
        }
        if std::mem::take(&mut self.space) {
            out(b" ");
        }
        self.text = true;
        out(text);
    }
}

/// The length of the text at the start that is as it should be: single spaces between words, and no end of a line.
fn run(bytes: &[u8]) -> usize {
    let is_text = |byte: Option<&u8>| byte.is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at += rest.iter().position(|byte| !is_text(Some(byte))).unwrap_or(rest.len());
        if bytes.get(at) != Some(&b' ') || !is_text(bytes.get(at + 1)) {
            return at;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relaxed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut body = RelaxedBody::new();
        let mut give = |bytes: &[u8]| out.extend_from_slice(bytes);
        pieces.iter().for_each(|piece| body.feed(piece, &mut give));
        body.finish(&mut give);
        out
    }

    #[test]
    fn the_form_of_a_body() {
        let table = [
            // RFC 6376 §3.4.5.
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("", ""),
            ("\r\n", ""),
            ("\r\n\r\n", ""),
            (" \t\r\n", ""),
            (" ", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            ("a \r\n \t\r\n\r\n", "a\r\n"),
            // Known trap: a last line of white space alone, with an end or without.
            ("a\r\n  ", "a\r\n"),
            ("a\r\n\r\n\t \r\n", "a\r\n"),
            ("a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n"),
            ("\r\n\r\na", "\r\n\r\na\r\n"),
            ("  a\t\tb  c d ", " a b c d\r\n"),
            ("a\nb\n\n", "a\r\nb\r\n"),
            ("a\rb\r", "a\rb\r\r\n"),
            ("a\r\r\n", "a\r\r\n"),
            ("\r \r\n", "\r\r\n"),
        ];
        for (body, form) in table {
            assert_eq!(String::from_utf8(relaxed(&[body.as_bytes()])).unwrap(), form, "{body:?}");
        }
    }

    #[test]
    fn many_empty_lines_come_out_as_they_went_in() {
        let body = format!("{}x\r\n", "\r\n".repeat(1_000));
        assert_eq!(relaxed(&[body.as_bytes()]), body.as_bytes());
    }

    /// The same, said line by line.
    fn expected(body: &str) -> String {
        let mut lines: Vec<String> = body
            .replace("\r\n", "\n")
            .split('\n')
            .map(|line| {
                let joined = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                if line.starts_with([' ', '\t']) && !joined.is_empty() { format!(" {joined}") } else { joined }
            })
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_form_that_the_rfc_describes(body in "([ab]|[ \t]|\r\n|\n|\r){0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &body.as_bytes()[ends[0]..ends[1]]).collect();
            let form = String::from_utf8(relaxed(&pieces)).unwrap();
            prop_assert_eq!(&form, &expected(&body));
            prop_assert_eq!(relaxed(&[form.as_bytes()]), form.as_bytes(), "the form of a form is itself");
        }
    }
}
