//! The header filter: what a message's header says about it, and what is taken out or added on its way into the store.
//!
//! Pure: takes a message in pieces of any size and gives what is to be stored; holds the beginning of one field. Reads
//! bytes from strangers, and sees fields as [`stoa_mime::header::fields`] does, so that nothing it would take out is
//! later read. RFC 5321 §4.4, RFC 5322 §3.6, RFC 6409 §8, RFC 8601 §5.

use super::authserv;
use super::forward::MARK_FIELD;
use std::mem;

/// Octets of a field that are held back until its name is known. Names are shorter; what is longer is none.
const NAME_BYTES_MAX: usize = 1_000;

/// Octets of an Authentication-Results value that are held back until its authserv-id is known; it stands at the front.
const AUTHSERV_BYTES_MAX: usize = 4_096;

/// Octets of all From and Sender fields together. One author's is some fifty; a thousand authors fit.
const FROM_BYTES_MAX: usize = 64 * 1024;

/// What a filter takes out and adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rules {
    /// Fields that are taken out.
    pub remove: &'static [&'static str],
    /// Authentication-Results of these servers are taken out; in lower case.
    pub our_names: Vec<String>,
    /// Whole fields that are added at the end of the header where one of their name is missing.
    pub missing: Vec<(&'static str, String)>,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// Received fields: how many servers the message passed.
    pub hops: usize,
    /// The raw value of each From field; cut when they and the senders are too many.
    pub from: Vec<Vec<u8>>,
    /// The raw value of each field that names who else sent it: Sender, Resent-From, Resent-Sender.
    pub senders: Vec<Vec<u8>>,
    /// Whether they were.
    pub from_is_cut: bool,
    /// The raw value of each field that says who forwarded it; cut like them.
    pub marks: Vec<Vec<u8>>,
}

/// Takes a message piece by piece.
#[derive(Debug)]
pub(super) struct HeaderFilter {
    rules: Rules,
    header: Header,
    place: Place,
    fate: Fate,
    held: Vec<u8>,
    /// Whether what was given out so far ends a line.
    ends_line: bool,
}

/// Where the filter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a line.
    LineStart,
    /// In what may be a name; all of it is held.
    Name,
    /// In the value.
    Value,
    /// After the header.
    Body,
}

/// What becomes of the field at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// There is none yet.
    NoField,
    Keep,
    /// Kept, and noted down.
    KeepFrom,
    /// The same.
    KeepSender,
    /// The same.
    KeepMark,
    Remove,
    /// Held until it is known whose it is.
    Judge,
}

impl HeaderFilter {
    /// At the start of a message.
    pub fn new(rules: Rules) -> Self {
        Self { rules, header: Header::default(), place: Place::LineStart, fate: Fate::NoField, held: Vec::new(), ends_line: true }
    }

    /// Whether the header is over, after which a message passes as it is.
    pub fn is_over(&self) -> bool {
        self.place == Place::Body
    }

    /// Reads on and appends what is to be stored.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            let used = match self.place {
                Place::Body => {
                    self.give(bytes, out);
                    bytes.len()
                }
                Place::LineStart => {
                    self.start_line(first, out);
                    0
                }
                Place::Name => self.name(bytes, out),
                Place::Value => self.value(bytes, out),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Ends the message; gives what its header said.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Header {
        if self.place != Place::Body {
            match self.place {
                Place::Name => self.give_held(out),
                _ => self.end_field(out),
            }
            if !self.ends_line && !self.rules.missing.is_empty() {
                self.give(b"\r\n", out);
            }
            self.add_missing(out);
        }
        self.header
    }

    fn start_line(&mut self, first: u8, out: &mut Vec<u8>) {
        // RFC 5322 §2.2.3: white space continues the field before.
        if matches!(first, b' ' | b'\t') && self.fate != Fate::NoField {
            self.place = Place::Value;
            return;
        }
        self.end_field(out);
        self.place = Place::Name;
    }

    /// Holds a name until its colon; returns how many bytes it used.
    fn name(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let room = NAME_BYTES_MAX.saturating_sub(self.held.len()).max(1);
        let piece = bytes.get(..room).unwrap_or(bytes);
        let end = memchr::memchr2(b':', b'\n', piece);
        let piece = end.and_then(|end| piece.get(..=end)).unwrap_or(piece);
        self.held.extend_from_slice(piece);
        match end.and_then(|_| piece.last()) {
            Some(b':') => {
                self.place = Place::Value;
                let name = self.held.split_last().map_or(&[][..], |(_, name)| name).trim_ascii_end().to_ascii_lowercase();
                self.begin_field(&name, out);
            }
            Some(_) if matches!(self.held.as_slice(), b"\r\n" | b"\n") => self.end_header(out),
            Some(_) => {
                self.begin_field(b"", out);
                self.place = Place::LineStart;
            }
            None if self.held.len() >= NAME_BYTES_MAX => {
                // RFC 5322 §4.5.8 allows space before the colon: it must not hide a name.
                self.place = Place::Value;
                let name = self.held.trim_ascii_end().to_ascii_lowercase();
                self.begin_field(&name, out);
            }
            None => {}
        }
        piece.len()
    }

    fn begin_field(&mut self, name: &[u8], out: &mut Vec<u8>) {
        self.rules.missing.retain(|(missing, _)| missing.as_bytes().to_ascii_lowercase() != name);
        let is_removed = self.rules.remove.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name));
        self.fate = match name {
            _ if is_removed => Fate::Remove,
            b"authentication-results" => Fate::Judge,
            b"from" => {
                self.header.from.push(Vec::new());
                Fate::KeepFrom
            }
            b"sender" | b"resent-from" | b"resent-sender" => {
                self.header.senders.push(Vec::new());
                Fate::KeepSender
            }
            _ if name.eq_ignore_ascii_case(MARK_FIELD.as_bytes()) => {
                self.header.marks.push(Vec::new());
                Fate::KeepMark
            }
            b"received" => {
                self.header.hops += 1;
                Fate::Keep
            }
            _ => Fate::Keep,
        };
        match self.fate {
            Fate::Remove => self.held.clear(),
            Fate::Judge => {}
            _ => self.give_held(out),
        }
    }

    /// Passes on or drops a value up to the end of its line; returns how many bytes it used.
    fn value(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        let piece = end.and_then(|end| bytes.get(..=end)).unwrap_or(bytes);
        match self.fate {
            Fate::Remove => {}
            Fate::Judge => {
                self.held.extend_from_slice(piece);
                if self.held.len() > AUTHSERV_BYTES_MAX {
                    self.judge(out);
                }
            }
            Fate::KeepFrom | Fate::KeepSender | Fate::KeepMark => {
                self.note(piece);
                self.give(piece, out);
            }
            Fate::Keep | Fate::NoField => self.give(piece, out),
        }
        if end.is_some() {
            self.place = Place::LineStart;
        }
        piece.len()
    }

    fn note(&mut self, piece: &[u8]) {
        let Header { from, senders, marks, .. } = &mut self.header;
        let noted: usize = from.iter().chain(&*senders).chain(&*marks).map(Vec::len).sum();
        let fields = match self.fate {
            Fate::KeepFrom => from,
            Fate::KeepMark => marks,
            _ => senders,
        };
        match fields.last_mut() {
            Some(last) if noted + piece.len() <= FROM_BYTES_MAX => last.extend_from_slice(piece),
            _ => self.header.from_is_cut = true,
        }
    }

    fn end_field(&mut self, out: &mut Vec<u8>) {
        if self.fate == Fate::Judge {
            self.judge(out);
        }
        self.fate = Fate::NoField;
    }

    /// RFC 8601 §5: whoever else claims to have been us lies.
    fn judge(&mut self, out: &mut Vec<u8>) {
        let value = memchr::memchr(b':', &self.held).and_then(|colon| self.held.get(colon + 1..)).unwrap_or_default();
        if authserv::is_of(value, &self.rules.our_names) {
            self.held.clear();
            self.fate = Fate::Remove;
        } else {
            self.give_held(out);
            self.fate = Fate::Keep;
        }
    }

    fn end_header(&mut self, out: &mut Vec<u8>) {
        self.add_missing(out);
        self.give_held(out);
        self.place = Place::Body;
    }

    fn add_missing(&mut self, out: &mut Vec<u8>) {
        for (_, field) in mem::take(&mut self.rules.missing) {
            self.give(field.as_bytes(), out);
        }
    }

    fn give_held(&mut self, out: &mut Vec<u8>) {
        let held = mem::take(&mut self.held);
        self.give(&held, out);
    }

    fn give(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(last) = bytes.last() {
            self.ends_line = *last == b'\n';
        }
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stoa_mime::header::fields;

    fn rules() -> Rules {
        let missing = vec![("Date", "Date: now\r\n".to_owned()), ("Message-ID", "Message-ID: <1@here>\r\n".to_owned())];
        Rules { remove: &["Bcc", "Return-Path"], our_names: vec!["mx.example".into()], missing }
    }

    fn filtered(rules: Rules, pieces: &[&[u8]]) -> (String, Header) {
        let (mut filter, mut out) = (HeaderFilter::new(rules), Vec::new());
        for piece in pieces {
            filter.push(piece, &mut out);
        }
        let header = filter.finish(&mut out);
        (String::from_utf8_lossy(&out).into_owned(), header)
    }

    #[test]
    fn what_is_taken_out_and_added() {
        let table = [
            ("Date: x\r\nMESSAGE-ID: y\r\n\r\nBcc: body\r\n", "Date: x\r\nMESSAGE-ID: y\r\n\r\nBcc: body\r\n"),
            ("To: a\r\n\r\nb", "To: a\r\nDate: now\r\nMessage-ID: <1@here>\r\n\r\nb"),
            ("date : x\r\nBcc: a@b,\r\n c@d\r\nTo: e\r\n\r\n", "date : x\r\nTo: e\r\nMessage-ID: <1@here>\r\n\r\n"),
            ("bcc \t: a\n\tb\nTo: e\n\n", "To: e\nDate: now\r\nMessage-ID: <1@here>\r\n\n"),
            ("Bcc: a\r\n", "Date: now\r\nMessage-ID: <1@here>\r\n"),
            ("To: a", "To: a\r\nDate: now\r\nMessage-ID: <1@here>\r\n"),
            ("", "Date: now\r\nMessage-ID: <1@here>\r\n"),
            ("\r\nBcc: b\r\n", "Date: now\r\nMessage-ID: <1@here>\r\n\r\nBcc: b\r\n"),
            (
                "Bccx: a\r\nno field\r\n Bcc: a\r\nDate:\r\nMessage-ID:\r\n\r\n",
                "Bccx: a\r\nno field\r\n Bcc: a\r\nDate:\r\nMessage-ID:\r\n\r\n",
            ),
            ("Return-Path: <>\r\nBcc\r\nDate:\r\nMessage-Id:\r\n", "Bcc\r\nDate:\r\nMessage-Id:\r\n"),
        ];
        for (message, stored) in table {
            assert_eq!(filtered(rules(), &[message.as_bytes()]).0, stored, "{message:?}");
        }
    }

    #[test]
    fn nobody_else_speaks_in_our_name() {
        let ours = "Authentication-Results: mx.example; spf=pass\r\n\tsmtp.mailfrom=a@b\r\n";
        let long = format!("Authentication-Results: other.example;{}\r\n", "\r\n\tspf=pass".repeat(1_000));
        let hidden = format!("Authentication-Results{}: mx.example; spf=pass\r\n", " ".repeat(2 * NAME_BYTES_MAX));
        let endless = format!("Authentication-Results: ({}) other.example\r\n", "\r\n\tx".repeat(AUTHSERV_BYTES_MAX));
        for (field, stays) in [(ours, false), (&ours.replace("mx.", "mx2."), true), (&long, true), (&hidden, false), (&endless, false)] {
            let rules = Rules { our_names: vec!["mx.example".into()], ..Rules::default() };
            let message = format!("A: b\r\n{field}C: d\r\n\r\n{field}");
            let stored = filtered(rules, &[message.as_bytes()]).0;
            let expected = if stays { message.clone() } else { format!("A: b\r\nC: d\r\n\r\n{field}") };
            assert_eq!(stored, expected, "{}", field.get(..40).unwrap());
        }
    }

    #[test]
    fn what_the_header_says() {
        let message = "Received: a\r\nreceived : b\r\n c\r\nFrom: x\r\n y\r\nFrom:z\r\n\r\nReceived: no\r\nFrom: no\r\n";
        let header = filtered(Rules::default(), &[message.as_bytes()]).1;
        assert_eq!(header, Header { hops: 2, from: vec![b" x\r\n y\r\n".to_vec(), b"z\r\n".to_vec()], ..Header::default() });
        let long = format!("From: {}\r\n\r\n", "x".repeat(FROM_BYTES_MAX + 1));
        assert!(filtered(Rules::default(), &[long.as_bytes()]).1.from_is_cut);
    }

    /// Headers made of what matters to the filter, and junk.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            4 => "(Bcc|bCC |Date|Message-ID|From|Received|To|Return-Path|X)[ \t]?:[ a-z:]{0,6}",
            1 => "Authentication-Results: ?(mx.example|other.example|\\(c\\) \"MX.example\"|)(;.{0,4})?",
            2 => "[ \t][ -~]{0,5}",
            1 => "[ -~]{0,5}",
            1 => Just(String::new()),
        ];
        let end = prop_oneof![5 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
        prop::collection::vec((line, end), 0..12)
            .prop_map(|lines| lines.iter().flat_map(|(line, end)| [line.as_bytes(), end.as_bytes()].concat()).collect())
    }

    /// The same by way of the parser that readers of the header use.
    fn expected(message: &[u8]) -> Vec<u8> {
        let mut end = 0;
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line == b"\r\n" || line == b"\n" {
                break;
            }
            end += line.len();
        }
        let (block, body) = message.split_at(end);
        let (mut stored, mut copied) = (Vec::new(), 0);
        for field in fields(block) {
            let lies = field.is("Authentication-Results") && authserv::is_of(&field.value(), &["mx.example".into()]);
            if field.is("Bcc") || field.is("Return-Path") || lies {
                stored.extend_from_slice(&block[copied..field.range.start]);
                copied = field.range.end;
            }
        }
        stored.extend_from_slice(&block[copied..]);
        [stored, body.to_vec()].concat()
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_and_what_readers_see_is_what_was_filtered(
            message in message(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
            cuts.extend([0, message.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &message[ends[0]..ends[1]]).collect();
            prop_assert_eq!(filtered(rules(), &pieces), filtered(rules(), &[&message]));
            let only_remove = Rules { missing: Vec::new(), ..rules() };
            let stored = filtered(only_remove, &pieces).0;
            prop_assert_eq!(stored.as_bytes(), expected(&message));
            let whole = filtered(rules(), &pieces).0;
            for name in ["Date", "Message-ID"] {
                prop_assert!(fields(whole.as_bytes()).any(|field| field.is(name)) || message.ends_with(b"\r"), "{}", whole);
            }
        }
    }
}
