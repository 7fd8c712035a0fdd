//! The text of a part, folded, in windows: each is shown with the end of the one before.
//!
//! Takes the octets of a body in pieces of any size. What is held has a fixed bound. Octets that are text as they are, which most
//! are, go the short way. Else they are read in windows whose ends depend on the text alone: one
//! of UTF-8 ends between letters, one in a charset of several octets per letter at a line end, where such
//! charsets are back in their first state (RFC 1468, RFC 1843). Past the bound, a letter may be misread where there is no line end, or
//! in UTF-16. Text that names no charset is judged by the window: UTF-8, or else Windows-1252.

use super::html::Html;
use crate::fold::fold_into;
use memchr::memrchr;
use std::borrow::Cow;
use stoa_mime::charset;
use stoa_mime::transfer::{Decoder, Encoding};

/// Octets, without transfer encoding, that are read at once: as much as disks like to give, and most parts are smaller.
pub(super) const WINDOW_BYTES: usize = 256 * 1024;

/// The same for charsets that are read in whole lines.
pub(super) const LINES_WINDOW_BYTES: usize = 1024 * 1024;

/// Reads one part.
#[derive(Debug)]
pub(super) struct Reader {
    decoder: Decoder,
    /// There is no encoding to take off.
    is_plain: bool,
    charset: Charset,
    html: Option<Html>,
    window_bytes: usize,
    overlap_bytes: usize,
    /// Without transfer encoding, and not yet read.
    octets: Vec<u8>,
    /// Folded, and not yet shown but for the overlap.
    text: String,
}

/// How octets are read, and where they may be parted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Charset {
    Utf8,
    /// As [`charset::decode`] reads text that does not say.
    Unnamed,
    /// One octet for each letter.
    Octets(String),
    /// Cut at line ends.
    Lines(String),
    /// Best not cut: a line end cannot be told, or the state of the beginning matters to the end.
    Whole(String),
}

impl Reader {
    /// Of a body in this encoding and charset. Each window begins with `overlap_bytes` of the one before, or more.
    pub fn new(encoding: Encoding, charset: Option<&str>, is_html: bool, overlap_bytes: usize) -> Self {
        let charset = Charset::of(charset);
        let window_bytes = match charset {
            Charset::Lines(_) | Charset::Whole(_) => LINES_WINDOW_BYTES,
            _ => WINDOW_BYTES,
        };
        Self {
            decoder: Decoder::new(encoding),
            is_plain: encoding == Encoding::Identity,
            charset,
            html: is_html.then(Html::default),
            window_bytes,
            overlap_bytes,
            octets: Vec::new(),
            text: String::new(),
        }
    }

    /// With another size of windows, four octets at least.
    #[cfg(test)]
    pub fn with_windows(self, window_bytes: usize) -> Self {
        Self { window_bytes, ..self }
    }

    /// Reads on and shows the windows that are full.
    pub fn feed(&mut self, bytes: &[u8], show: &mut impl FnMut(&str)) {
        for piece in bytes.chunks(self.window_bytes) {
            if let Some(text) = self.text_as_it_is(piece) {
                self.take(text);
            } else {
                self.decoder.decode(piece, &mut self.octets);
                while self.octets.len() >= self.window_bytes {
                    let length = self.charset.cut(self.octets.get(..self.window_bytes).unwrap_or_default());
                    self.read(length);
                }
            }
            if self.text.len() >= self.window_bytes {
                self.show(show);
            }
        }
    }

    /// Shows what is left.
    pub fn finish(mut self, show: &mut impl FnMut(&str)) {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(Encoding::Identity));
        decoder.finish(&mut self.octets);
        self.read(self.octets.len());
        if let Some(html) = &mut self.html {
            let mut seen = String::new();
            html.finish(&mut seen);
            fold_into(&seen, &mut self.text);
        }
        show(&self.text);
    }

    /// What neither encoding nor charset changes, and nothing that came before.
    fn text_as_it_is<'p>(&self, piece: &'p [u8]) -> Option<&'p str> {
        let is_text = self.is_plain && self.octets.is_empty();
        let known = match self.charset {
            Charset::Utf8 => true,
            Charset::Unnamed | Charset::Octets(_) => piece.is_ascii(),
            Charset::Lines(_) | Charset::Whole(_) => false,
        };
        (is_text && known).then(|| str::from_utf8(piece).ok()).flatten()
    }

    fn read(&mut self, length: usize) {
        let octets = std::mem::take(&mut self.octets);
        let (window, rest) = octets.split_at_checked(length).unwrap_or((&octets, &[]));
        let text = self.charset.decode(window);
        self.take(&text);
        self.octets.extend_from_slice(rest);
    }

    fn take(&mut self, text: &str) {
        match &mut self.html {
            None => fold_into(text, &mut self.text),
            Some(html) => {
                let mut seen = String::with_capacity(text.len());
                html.read(text, &mut seen);
                fold_into(&seen, &mut self.text);
            }
        }
    }

    fn show(&mut self, show: &mut impl FnMut(&str)) {
        show(&self.text);
        let mut seen = self.text.len().saturating_sub(self.overlap_bytes);
        while !self.text.is_char_boundary(seen) {
            seen -= 1;
        }
        self.text.drain(..seen);
    }
}

impl Charset {
    fn of(name: Option<&str>) -> Self {
        let name = name.unwrap_or_default().trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '"' || letter == '\'');
        let name = name.to_ascii_lowercase();
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
        match name.as_str() {
            "" | "us-ascii" | "ascii" => Self::Unnamed,
            "utf-8" | "utf8" => Self::Utf8,
            _ if begins(&["iso-8859-", "windows-125", "koi8-", "latin"]) => Self::Octets(name),
            _ if begins(&["utf-16", "utf-32", "iso-10646", "ucs-", "iso-2022-kr", "iso-2022-cn"]) => Self::Whole(name),
            _ => Self::Lines(name),
        }
    }

    fn decode<'o>(&self, octets: &'o [u8]) -> Cow<'o, str> {
        match self {
            Self::Utf8 => String::from_utf8_lossy(octets),
            Self::Unnamed => str::from_utf8(octets).map_or_else(|_| charset::decode("", octets).into(), Cow::Borrowed),
            Self::Octets(name) | Self::Lines(name) | Self::Whole(name) => charset::decode(name, octets).into(),
        }
    }

    /// How much of a full window is read now; never nothing.
    fn cut(&self, window: &[u8]) -> usize {
        match self {
            Self::Utf8 | Self::Unnamed => window.len() - unfinished(window),
            Self::Octets(_) | Self::Whole(_) => window.len(),
            Self::Lines(_) => memrchr(b'\n', window).map_or(window.len(), |end| end + 1),
        }
    }
}

/// Octets at the end that are the beginning of a UTF-8 letter.
fn unfinished(octets: &[u8]) -> usize {
    let is_beginning = |length: &usize| {
        let end = octets.len().checked_sub(*length).and_then(|start| octets.get(start..)).unwrap_or_default();
        str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=3).find(is_beginning).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;
    use crate::search::needle::Needle;
    use proptest::prelude::*;
    use stoa_mime::transfer;

    #[test]
    fn letters_are_not_cut() {
        let table: [(&[u8], usize); 7] =
            [(b"abc", 0), (b"ab\xc3", 1), (b"a\xe2\x82", 2), (b"\xf0\x9f\x98", 3), (b"\xc3\xa4", 0), (b"\x82\x82\x82", 0), (b"a\xff", 0)];
        for (octets, want) in table {
            assert_eq!(unfinished(octets), want, "{octets:?}");
        }
    }

    #[test]
    fn lines_are_not_cut() {
        let mut reader = Reader::new(Encoding::Identity, Some("Shift_JIS"), false, 0).with_windows(7);
        let mut shown = Vec::new();
        reader.feed(b"ab\n\x93\xfa\x96{\ncdefghi", &mut |text| shown.push(text.to_owned()));
        reader.finish(&mut |text| shown.push(text.to_owned()));
        assert_eq!(shown.concat(), "ab\n日本\ncdefghi");
    }

    /// Also of quoted-printable and base64.
    const PIECES: [&str; 10] = ["a", "B", "ä", "Ä", "€", "😀", "=\r\n", "=C3", "YcOk", "\n"];
    const ENCODINGS: [Encoding; 3] = [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable];

    proptest! {
        /// Whatever the seams of pieces and windows, as if all had been read at once. Lines are shorter than windows.
        #[test]
        fn nothing_is_missed_at_seams(
            body in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..80),
            needle in "[abä€]{1,4}",
            (piece, window) in (1_usize..30, 4_usize..30),
            charset in prop::sample::select(vec!["utf-8", "iso-8859-1", "koi8-r"]),
        ) {
            let (body, needle) = (body.concat(), Needle::new(&needle));
            for encoding in ENCODINGS {
                let mut reader = Reader::new(encoding, Some(charset), false, needle.len() - 1).with_windows(window);
                let mut found = false;
                let mut show = |text: &str| found |= needle.is_in(text);
                body.as_bytes().chunks(piece).for_each(|piece| reader.feed(piece, &mut show));
                reader.finish(&mut show);
                let whole = charset::decode(charset, &transfer::decode(encoding, body.as_bytes()));
                prop_assert_eq!(found, needle.is_in(&fold(&whole)), "{} in {:?}", charset, whole);
            }
        }

        #[test]
        fn lines_with_shifts_are_read_in_any_windows(
            lines in prop::collection::vec(prop::sample::select(vec!["\x1b$BF|K\\\x1b(B\n", "ab\n", "\x1b$BK\\\x1b(Bx\n"]), 0..20),
            needle in prop::sample::select(vec!["日本", "b\n日", "本x\na", "本\n本x"]),
            (piece, window) in (1_usize..30, 13_usize..40),
        ) {
            let (body, needle) = (lines.concat(), Needle::new(needle));
            let mut reader = Reader::new(Encoding::Identity, Some("ISO-2022-JP"), false, needle.len() - 1).with_windows(window);
            let mut found = false;
            let mut show = |text: &str| found |= needle.is_in(text);
            body.as_bytes().chunks(piece).for_each(|piece| reader.feed(piece, &mut show));
            reader.finish(&mut show);
            prop_assert_eq!(found, needle.is_in(&fold(&charset::decode("ISO-2022-JP", body.as_bytes()))));
        }

        #[test]
        fn any_bytes_in_any_charset(
            body in prop::collection::vec(any::<u8>(), 0..60),
            name in "[a-z0-9-]{0,12}|utf-16|gbk|hz-gb-2312|utf-7",
            html in any::<bool>(),
        ) {
            let mut reader = Reader::new(Encoding::Identity, Some(&name), html, 3).with_windows(5);
            reader.feed(&body, &mut |_| {});
            reader.finish(&mut |_| {});
        }
    }
}
