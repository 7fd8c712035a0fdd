//! The beginning of a message's text, for a list of messages (RFC 8970 §3.1, §4).
//!
//! Reads bytes from strangers while the message streams by: of the first plain text and of the first HTML a part is kept, and
//! made readable at the end. Text within a message within, and attachments, are not looked at. Left out of plain text is
//! what is quoted, with the line that says whom, and the signature; of HTML what is not shown, by the rules of `mail-parser`.

use mail_parser::decoders::html::html_to_text;

use crate::charset;
use crate::limits::{PREVIEW_CHARACTERS_MAX, PREVIEW_SOURCE_BYTES_MAX};
use crate::parameters::parameter;
use crate::part::{ContentType, Description};
use crate::transfer::{self, Encoding};

/// What a preview is made of.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    plain: Option<Source>,
    html: Option<Source>,
    open: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Html,
}

/// The beginning of a text, still encoded.
#[derive(Debug)]
struct Source {
    bytes: Vec<u8>,
    /// Where the last line starts.
    line: usize,
    encoding: Encoding,
    charset: String,
}

impl Sources {
    /// The body of a leaf begins.
    pub(crate) fn begin(&mut self, content_type: &ContentType, description: &Description) {
        if description.disposition.as_ref().is_some_and(|(kind, _)| kind == "attachment") {
            return;
        }
        let (kind, source) = match (content_type.kind.as_str(), content_type.subtype.as_str()) {
            ("text", "plain") => (Kind::Plain, &mut self.plain),
            ("text", "html") => (Kind::Html, &mut self.html),
            _ => return,
        };
        if source.is_none() {
            let encoding = Encoding::of(description.encoding.as_deref());
            let charset = parameter(&content_type.parameters, "charset").unwrap_or_default();
            *source = Some(Source { bytes: Vec::new(), line: 0, encoding, charset });
            self.open = Some(kind);
        }
    }

    /// A piece of a line of the message.
    pub(crate) fn push(&mut self, bytes: &[u8], is_line_start: bool) {
        let Some(source) = self.source() else { return };
        if is_line_start {
            source.line = source.bytes.len();
        }
        let room = PREVIEW_SOURCE_BYTES_MAX.saturating_sub(source.bytes.len());
        source.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if room == 0 && is_line_start {
            self.open = None;
        }
    }

    /// The body ended before the last line.
    pub(crate) fn end(&mut self) {
        if let Some(source) = self.source() {
            source.bytes.truncate(source.line);
        }
        self.open = None;
    }

    /// The preview: one line, empty if there is no text to show.
    pub(crate) fn finish(self) -> String {
        let plain = self.plain.map(|source| line(unquoted(&source.text()))).filter(|text| !text.is_empty());
        plain.or_else(|| self.html.map(|source| line([html_to_text(&spaced(&source.text())).as_str()]))).unwrap_or_default()
    }

    fn source(&mut self) -> Option<&mut Source> {
        match self.open? {
            Kind::Plain => self.plain.as_mut(),
            Kind::Html => self.html.as_mut(),
        }
    }
}

impl Source {
    fn text(&self) -> String {
        charset::decode(&self.charset, &transfer::decode(self.encoding, &self.bytes))
    }
}

/// The lines that the author wrote.
fn unquoted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    let mut in_quote = false;
    // RFC 3676 §4.3: what follows "-- " is the signature.
    for line in text.lines().take_while(|line| *line != "-- ") {
        let is_quote = line.starts_with('>');
        if is_quote && !in_quote {
            let written = lines.iter().rposition(|line| !line.trim().is_empty());
            if let Some(at) = written.filter(|&at| lines.get(at).is_some_and(|line| line.trim_end().ends_with(':'))) {
                lines.truncate(at);
            }
        }
        in_quote = is_quote || (in_quote && line.trim().is_empty());
        if !is_quote {
            lines.push(line);
        }
    }
    lines
}

/// HTML in which blocks and cells stand apart also where nothing is written between them.
fn spaced(html: &str) -> String {
    const APART: [&str; 16] = ["td", "th", "tr", "table", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "hr", "dd", "dt", "blockquote"];
    let mut out = String::with_capacity(html.len() + html.len() / 8);
    for (place, piece) in html.split('<').enumerate() {
        if place > 0 {
            let name = piece.strip_prefix('/').unwrap_or(piece);
            let name = name.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
            if APART.iter().any(|apart| apart.eq_ignore_ascii_case(name)) {
                out.push(' ');
            }
            out.push('<');
        }
        out.push_str(piece);
    }
    out
}

/// One line of words, as long as a preview may be; what is not seen is left out.
fn line<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let (mut line, mut left) = (String::new(), PREVIEW_CHARACTERS_MAX);
    for word in lines.into_iter().flat_map(|line| line.split(|letter: char| letter.is_whitespace() || letter.is_control())) {
        let mut letters = word.chars().filter(|letter| !is_invisible(*letter)).peekable();
        if letters.peek().is_none() {
            continue;
        }
        for letter in (!line.is_empty()).then_some(' ').into_iter().chain(letters) {
            if left == 0 {
                line.truncate(line.trim_end().len());
                return line;
            }
            left -= 1;
            line.push(letter);
        }
    }
    line
}

/// With which advertisers push what follows out of a preview: soft hyphens, joiners and other marks of no width.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(letter, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Scanner;
    use crate::limits::PREVIEW_CHARACTERS_MAX;

    fn preview(message: &str, piece: usize) -> String {
        let mut scanner = Scanner::new();
        message.as_bytes().chunks(piece).for_each(|piece| scanner.feed(piece));
        scanner.finish().preview
    }

    const PLAIN: &str = "--b\r\nContent-Type: text/plain\r\n\r\n";
    const HTML: &str = "--b\r\nContent-Type: text/html\r\n\r\n";

    #[test]
    fn previews() {
        let mixed =
            |parts: &str| format!("Content-Type: multipart/alternative; boundary=b\r\n\r\npreamble\r\n{parts}\r\n--b--\r\nepilogue\r\n");
        let typed = |kind: &str, body: &str| format!("Content-Type: {kind}\r\n\r\n{body}");
        let table = [
            ("\r\nHello,\r\n\r\n  how are\tyou?\r\n".to_owned(), "Hello, how are you?"),
            ("\r\n".to_owned(), ""),
            ("Subject: no body".to_owned(), ""),
            ("\r\nOn Monday Crito wrote:\r\n\r\n> It is early.\r\n> Is it?\r\n\r\nYes.\r\n-- \r\nSocrates\r\n".to_owned(), "Yes."),
            ("\r\nNote:\r\n\r\na > b\r\n> quoted\r\n\r\n> again\r\nend".to_owned(), "Note: a > b end"),
            (mixed(&format!("{PLAIN}plain\r\n{HTML}<p>html</p>")), "plain"),
            (mixed(&format!("{HTML}<p>html</p>\r\n{PLAIN}plain")), "plain"),
            (mixed(&format!("{PLAIN} \r\n\r\n{HTML}<p>h&auml;ml</p>")), "häml"),
            (mixed(&format!("{PLAIN}one\r\n{PLAIN}two")), "one"),
            (mixed("--b\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--b\r\nContent-Type: image/png\r\n\r\nAAAA"), ""),
            (mixed("--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner"), ""),
            (
                typed(
                    "text/html",
                    "<html><head><style>p { a: b }</style><title>t</title></head><body>\u{200c}&zwnj;<table><tr><td>A<b>B</b></td><td>c</td></tr></table><!-- no -->&lt;d&gt;</body>",
                ),
                "AB c <d>",
            ),
            (
                "Content-Type: text/plain; charset=iso-8859-15\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=A4 10=\r\n0"
                    .to_owned(),
                "€ 100",
            ),
            ("Content-Transfer-Encoding: base64\r\n\r\nw6RiYwAK\r\n".to_owned(), "äbc"),
        ];
        for (message, want) in table {
            for piece in [1, 7, usize::MAX] {
                assert_eq!(preview(&message, piece), want, "{message} by {piece}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = format!("\r\n{}", "é wörds ".repeat(5_000));
        let cut = preview(&long, 1000);
        assert!(cut.starts_with("é wörds é") && (190..=PREVIEW_CHARACTERS_MAX).contains(&cut.chars().count()), "{cut}");
        assert_eq!(preview(&format!("\r\n{}", "x".repeat(1_000_000)), 4096).len(), PREVIEW_CHARACTERS_MAX);
        assert_eq!(preview(&format!("\r\n{}late", "\r\n".repeat(100_000)), 4096), "");
    }

    proptest! {
        #[test]
        fn any_text_in_any_pieces(html in any::<bool>(), text in "([<>&/!a-z \\r\\n=-]|<div>|<style>|<!--|&#x0;|\u{200b}){0,80}", piece in 1_usize..9) {
            let message = format!("Content-Type: text/{}\r\n\r\n{text}", if html { "html" } else { "plain" });
            let whole = preview(&message, usize::MAX);
            prop_assert!(!whole.contains(['\r', '\n']) && whole.trim() == whole && whole.chars().count() <= PREVIEW_CHARACTERS_MAX);
            prop_assert_eq!(preview(&message, piece), whole);
        }
    }
}
