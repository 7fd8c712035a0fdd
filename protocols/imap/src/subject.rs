//! What a subject is about, without the marks of answers and forwards: the base subject (RFC 5256 §2.1).
//!
//! Reads text from strangers, of which the beginning counts, so that no subject takes long.

use crate::limits::SORTED_TEXT_BYTES_MAX;
use std::borrow::Cow;

/// A subject without its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseSubject {
    /// In the case it came in.
    pub text: String,
    /// Were there marks of an answer or a forward?
    pub is_answer: bool,
}

impl BaseSubject {
    /// Of a subject whose encoded words are decoded.
    pub fn of(subject: &str) -> Self {
        let text = spaced(beginning(subject));
        let (mut rest, mut is_answer) = (text.as_ref(), false);
        loop {
            // (2)
            while let Some(less) = trailer(rest) {
                is_answer |= rest.len() - less.len() > 1;
                rest = less;
            }
            // (3) to (5)
            while let Some((less, refwd)) = leader(rest) {
                is_answer |= refwd;
                rest = less;
            }
            rest = without_blobs(rest);
            // (6)
            match forwarded(rest) {
                Some(less) => (rest, is_answer) = (less, true),
                None => return Self { text: rest.to_owned(), is_answer },
            }
        }
    }
}

/// Of a text that is sorted by, no more than counts.
pub(crate) fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SORTED_TEXT_BYTES_MAX)).unwrap_or(text)
}

/// (1): tabs and line ends are spaces, and several are one.
fn spaced(text: &str) -> Cow<'_, str> {
    let is_space = |letter: char| matches!(letter, ' ' | '\t' | '\r' | '\n');
    let plain = !text.contains(['\t', '\r', '\n']) && !text.contains("  ");
    if plain {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_space(letter) {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// subj-trailer = "(fwd)" / WSP: what is before it.
fn trailer(text: &str) -> Option<&str> {
    text.strip_suffix(' ').or_else(|| {
        let (before, end) = text.split_at_checked(text.len().checked_sub("(fwd)".len())?)?;
        end.eq_ignore_ascii_case("(fwd)").then_some(before)
    })
}

/// subj-leader = (*subj-blob subj-refwd) / WSP: what is after it, and whether it was the mark of an answer.
fn leader(text: &str) -> Option<(&str, bool)> {
    if let Some(after) = text.strip_prefix(' ') {
        return Some((after, false));
    }
    let mut rest = text;
    while let Some(after) = blob(rest) {
        rest = after;
    }
    refwd(rest).map(|after| (after, true))
}

/// subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
fn refwd(text: &str) -> Option<&str> {
    let rest = ["fwd", "re", "fw"].into_iter().find_map(|mark| prefix(text, mark))?;
    let rest = rest.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// subj-blob = "[" *BLOBCHAR "]" *WSP, BLOBCHAR being any but brackets: what is after it.
fn blob(text: &str) -> Option<&str> {
    let (_, after) = text.strip_prefix('[')?.split_once(']').filter(|(inner, _)| !inner.contains('['))?;
    Some(after.trim_start_matches(' '))
}

/// (4), again and again: none of these blobs is followed by the mark of an answer, and some text is left.
fn without_blobs(text: &str) -> &str {
    let mut rest = text;
    while let Some(after) = blob(rest).filter(|after| !after.is_empty()) {
        rest = after;
    }
    rest
}

/// subj-fwd = subj-fwd-hdr subject subj-fwd-trl: the subject.
fn forwarded(text: &str) -> Option<&str> {
    prefix(text, "[fwd:")?.strip_suffix(']')
}

fn prefix<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(mark.len())?;
    start.eq_ignore_ascii_case(mark).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base_subjects() {
        let table = [
            ("hello", "hello", false),
            ("Re: hello", "hello", true),
            ("RE:  re :FW: fwd:Fw[2]: hello (fwd) (FWD) ", "hello", true),
            ("re[4]: hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] [two] Re: [list] hello", "hello", true),
            ("[list] Re [3] : hello", "hello", true),
            ("[list] Re 3 : hello", "Re 3 : hello", false),
            ("Re: [list]", "[list]", true),
            ("[a][b]", "[b]", false),
            ("[a] [b] c", "c", false),
            ("[Fwd: hello]", "hello", true),
            ("[fwd: Re: [fwd: [list] hello (fwd)]]", "hello", true),
            ("Re: [Fwd: [fwd: hello]]", "hello", true),
            ("[Fwd: hello] there", "there", false),
            ("tabs\tand\r\n  spaces", "tabs and spaces", false),
            ("Regarding: hello", "Regarding: hello", false),
            ("re hello", "re hello", false),
            ("Re:", "", true),
            ("(fwd)", "", true),
            ("", "", false),
            ("[unclosed Re: x", "[unclosed Re: x", false),
            ("Aw: hello", "Aw: hello", false),
            ("[a[b] Re: x", "[a[b] Re: x", false),
            ("Ré: été", "Ré: été", false),
        ];
        for (subject, text, is_answer) in table {
            assert_eq!(BaseSubject::of(subject), BaseSubject { text: text.to_owned(), is_answer }, "{subject}");
        }
    }

    /// RFC 5256 §2.1 step by step, with no eye to speed.
    fn slow(subject: &str) -> String {
        let mut text = subject.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        loop {
            while let Some(less) = trailer(&text) {
                text = less.to_owned();
            }
            loop {
                let before = text.clone();
                if let Some((less, _)) = leader(&text) {
                    text = less.to_owned();
                }
                if let Some(less) = blob(&text).filter(|less| !less.is_empty()) {
                    text = less.to_owned();
                }
                if text == before {
                    break;
                }
            }
            match forwarded(&text) {
                Some(less) => text = less.to_owned(),
                None => return text,
            }
        }
    }

    proptest! {
        #[test]
        fn as_the_steps_say(subject in "(re|fwd|fw|:| |\\[|\\]|a|\\(fwd\\)|\\[fwd:|ä){0,12}") {
            prop_assert_eq!(BaseSubject::of(&subject).text, slow(&subject));
        }
    }
}
