//! The text of HTML as a person reads it: without tags, comments, scripts and styles, with character references as the letters
//! they mean.
//!
//! Takes text in pieces of any size, from strangers, and holds a name's length between them. Good enough to search in, no
//! more: a tag that parts words, such as `<br>` or `<td>`, is a space, one within them, such as `<b>`, is nothing, and white
//! space is one space wherever it stands.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2, memchr3};
use std::sync::LazyLock;
use stoa_mime::entities::{ENTITY_BYTES_MAX, entity};

/// Takes the marks out of a text.
#[derive(Debug, Default)]
pub(super) struct Html {
    state: State,
    /// Of the tag, comment or reference that is being read, no more than can matter.
    name: String,
    /// The last letter given was a space, or was taken for one.
    after_space: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After `<`.
    Open,
    /// In the name of a tag.
    Name,
    /// After it; a quote opens a value only after `=`.
    Tag { after_equals: bool },
    /// In the value of an attribute, to this quote.
    Value(u8),
    /// After `<!--`; as many hyphens as `name` has came last.
    Comment,
    /// After `&`.
    Reference,
    /// In what is not shown, to the end tag of the same name, which `name` has begun to be after `<`.
    Hidden(&'static str),
}

/// Is what has this tag part of a word?
fn is_within_words(tag: &str) -> bool {
    matches!(tag, "a" | "abbr" | "acronym" | "b" | "bdi" | "bdo" | "big" | "cite" | "code" | "del" | "dfn" | "em" | "font" | "i" | "ins")
        || matches!(tag, "kbd" | "label" | "mark" | "q" | "s" | "samp" | "small" | "span" | "strike" | "strong" | "sub" | "sup" | "tt")
        || matches!(tag, "u" | "var" | "wbr")
}

/// The tag of what is not shown.
fn hidden(tag: &str) -> Option<&'static str> {
    match tag {
        "script" => Some("script"),
        "style" => Some("style"),
        _ => None,
    }
}

/// Octets of the longest name that matters, `</acronym`, and some.
const NAME_BYTES_MAX: usize = 16;

impl Html {
    /// Appends what a person sees of the next piece.
    pub fn read(&mut self, piece: &str, out: &mut String) {
        let mut rest = piece;
        loop {
            rest = rest.get(self.dull(rest)..).unwrap_or_default();
            let Some(first) = rest.chars().next() else { return };
            if self.state == State::Text {
                let (run, after) = rest.split_at_checked(plain(rest)).unwrap_or((rest, ""));
                if !run.is_empty() {
                    self.run(run, out);
                    rest = after;
                    continue;
                }
            }
            // A letter that does not belong to what was begun is looked at again.
            if self.take(first, out) {
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }

    /// Appends what the end leaves.
    pub fn finish(&mut self, out: &mut String) {
        match self.state {
            State::Reference => self.end_reference(out),
            State::Open => self.show("<", out),
            _ => {}
        }
    }

    /// Octets that can change nothing.
    fn dull(&self, text: &str) -> usize {
        let next = match self.state {
            State::Tag { after_equals: false } => memchr2(b'>', b'=', text.as_bytes()),
            State::Value(quote) => memchr(quote, text.as_bytes()),
            State::Comment if self.name.is_empty() => memchr(b'-', text.as_bytes()),
            State::Hidden(_) if self.name.is_empty() => memchr(b'<', text.as_bytes()),
            _ => return 0,
        };
        next.unwrap_or(text.len())
    }

    /// Text without marks, and without white space but for spaces.
    fn run(&mut self, run: &str, out: &mut String) {
        if TWO_SPACES.find(run.as_bytes()).is_none() && !(self.after_space && run.starts_with(' ')) {
            self.show(run, out);
            self.after_space = run.ends_with(' ');
            return;
        }
        for (place, word) in run.split(' ').enumerate() {
            if place > 0 {
                self.space(out);
            }
            if !word.is_empty() {
                self.show(word, out);
            }
        }
    }

    fn take(&mut self, letter: char, out: &mut String) -> bool {
        match self.state {
            State::Text => self.text(letter, out),
            State::Open => return self.open(letter, out),
            State::Name => return self.tag_name(letter, out),
            State::Tag { after_equals } => self.tag(letter, after_equals, out),
            State::Value(quote) if letter == char::from(quote) => self.state = State::Tag { after_equals: false },
            State::Value(_) => {}
            State::Comment => self.comment(letter),
            State::Reference => return self.reference(letter, out),
            State::Hidden(tag) => self.hidden(letter, tag),
        }
        true
    }

    fn text(&mut self, letter: char, out: &mut String) {
        match letter {
            '<' => self.begin(State::Open),
            '&' => self.begin(State::Reference),
            _ => self.space(out),
        }
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.name.clear();
    }

    fn open(&mut self, letter: char, out: &mut String) -> bool {
        match letter {
            '/' | '!' | '?' => {
                self.name.push(letter);
                self.state = State::Name;
            }
            'a'..='z' | 'A'..='Z' => {
                self.state = State::Name;
                return false;
            }
            _ => {
                self.state = State::Text;
                self.show("<", out);
                return false;
            }
        }
        true
    }

    fn tag_name(&mut self, letter: char, out: &mut String) -> bool {
        if letter == '>' || letter.is_ascii_whitespace() || (letter == '/' && self.name != "/") {
            self.state = State::Tag { after_equals: false };
            return letter != '>';
        }
        if self.name.len() < NAME_BYTES_MAX {
            self.name.push(letter.to_ascii_lowercase());
        }
        if letter == '-' && self.name == "!--" {
            self.begin(State::Comment);
            self.space(out);
        }
        true
    }

    fn tag(&mut self, letter: char, after_equals: bool, out: &mut String) {
        self.state = match letter {
            '>' => return self.end_tag(out),
            '"' | '\'' if after_equals => State::Value(if letter == '"' { b'"' } else { b'\'' }),
            '=' => State::Tag { after_equals: true },
            _ => State::Tag { after_equals: after_equals && letter.is_ascii_whitespace() },
        };
    }

    fn end_tag(&mut self, out: &mut String) {
        let hidden = hidden(&self.name);
        if !is_within_words(self.name.strip_prefix('/').unwrap_or(&self.name)) {
            self.space(out);
        }
        self.begin(hidden.map_or(State::Text, State::Hidden));
    }

    fn comment(&mut self, letter: char) {
        match letter {
            '-' if self.name.len() < 2 => self.name.push('-'),
            '-' => {}
            '>' if self.name.len() == 2 => self.begin(State::Text),
            _ => self.name.clear(),
        }
    }

    fn hidden(&mut self, letter: char, tag: &'static str) {
        let wanted = self.name.len().checked_sub(2).map_or_else(|| "</".chars().nth(self.name.len()), |place| tag.chars().nth(place));
        if wanted == Some(letter.to_ascii_lowercase()) {
            self.name.push(letter.to_ascii_lowercase());
        } else if wanted.is_none() && !letter.is_ascii_alphanumeric() {
            // The whole name came.
            self.name.remove(0);
            self.state = State::Tag { after_equals: false };
            if letter == '>' {
                self.begin(State::Text);
            }
        } else {
            self.name.clear();
            if letter == '<' {
                self.name.push('<');
            }
        }
    }

    fn reference(&mut self, letter: char, out: &mut String) -> bool {
        let belongs = letter.is_ascii_alphanumeric() || (letter == '#' && self.name.is_empty());
        if belongs && self.name.len() < ENTITY_BYTES_MAX {
            self.name.push(letter);
            return true;
        }
        let meant = entity(&self.name).is_some();
        self.end_reference(out);
        // Programs leave the semicolon out.
        meant && letter == ';'
    }

    fn end_reference(&mut self, out: &mut String) {
        self.state = State::Text;
        let name = std::mem::take(&mut self.name);
        match entity(&name) {
            Some(letter) if letter.is_whitespace() => self.space(out),
            Some(letter) => self.show(letter.encode_utf8(&mut [0; 4]), out),
            None => {
                self.show("&", out);
                self.show(&name, out);
            }
        }
    }

    fn space(&mut self, out: &mut String) {
        if !std::mem::replace(&mut self.after_space, true) {
            out.push(' ');
        }
    }

    /// Without soft hyphens and what else has no width: nobody sees that, or types it.
    fn show(&mut self, text: &str, out: &mut String) {
        const UNSEEN: [char; 5] = ['\u{ad}', '\u{34f}', '\u{200b}', '\u{200c}', '\u{feff}'];
        self.after_space = false;
        match text.is_ascii() {
            true => out.push_str(text),
            false => out.extend(text.split(UNSEEN)),
        }
    }
}

static TWO_SPACES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("  "));

/// Octets before the first mark or line end.
fn plain(text: &str) -> usize {
    let end = memchr3(b'<', b'&', b'\n', text.as_bytes()).unwrap_or(text.len());
    let run = text.as_bytes().get(..end).unwrap_or_default();
    memchr2(b'\r', b'\t', run).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(html: &str, piece: usize) -> String {
        let (mut reader, mut out) = (Html::default(), String::new());
        let letters: Vec<char> = html.chars().collect();
        letters.chunks(piece).for_each(|piece| reader.read(&piece.iter().collect::<String>(), &mut out));
        reader.finish(&mut out);
        out
    }

    #[test]
    fn texts() {
        let table = [
            ("foo<b>bar</b>", "foobar"),
            ("foo<br>bar", "foo bar"),
            ("<p>one</p>\r\n<p class=\"x\">two\r\n three</p>", " one two three "),
            ("Gr&uuml;&szlig;e &amp; more&nbsp;&#8212;&#x263A;", "Grüße & more —☺"),
            ("a &lt;b&gt; c &bogus; d & e &", "a <b> c &bogus; d & e &"),
            ("caf&eacute au lait &#65", "café au lait A"),
            ("a<!-- <p>hidden -- > --->b", "a b"),
            ("<!DOCTYPE html><?xml version=\"1\"?>x", " x"),
            ("a<script>if (a < b) '</p>';</SCRIPT >b", "a b"),
            ("a<style type='text/css'>p > a { }</style>b", "a b"),
            ("a<styles>b</styles>c", "a b c"),
            ("1 < 2 <3 a<b", "1 < 2 <3 a"),
            ("<a href=\"x>y\" title='<b>'>link</a>", "link"),
            ("<td>don't</td><td title=it's>x</td>", " don't x "),
            ("<img alt=a/>b<br/>c</P>d", " b c d"),
            ("so\u{ad}ft &shy;hy\u{200b}phen", "soft hyphen"),
            ("<scr<script>a</script>", " a "),
            ("x<", "x<"),
            ("&thisnameislongerthananythatthereis;", "&thisnameislongerthananythatthereis;"),
            ("a<script></scripts></script>b", "a b"),
        ];
        for (html, want) in table {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(text(html, piece), want, "{html}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same(html in "(<|>|&|;|amp|b|br|/|!|-|\"|'|=| |ä|#|1|script|</script>|<!--|-->){0,30}", piece in 1_usize..9) {
            prop_assert_eq!(text(&html, piece), text(&html, 1000));
        }
    }
}
