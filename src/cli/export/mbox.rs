//! Messages as one mbox file, in the form called mboxrd: nothing is lost in it that a person put into a mailbox.
//!
//! Each message stands behind a line `From SENDER DATE` (RFC 4155), with LF for CRLF, an empty line behind it, and one `>`
//! more before each line that begins with any number of `>` and `From `; who reads it takes one away. `Status`, `X-Status`
//! and `X-Keywords` on top tell the flags as other programs write them, `X-UID` the UID. Octets come as they are: a bare
//! LF of a binary message cannot be told from a CRLF any more.

use std::io::{self, Write};
use stoa_mailbox::{Entry, SystemFlag};
use stoa_mime::{Address, address, header};

/// Whom a message is from that does not say so.
const NOBODY: &str = "MAILER-DAEMON";
const FROM: &[u8] = b"From ";

/// Turns a message into lines of an mbox file while it comes.
pub(super) struct Quoter {
    /// The last octet was a CR, which is not written yet.
    cr: bool,
    /// How much of `From ` the line begins with, behind any number of `>`; none within a line.
    matched: Option<usize>,
    /// Is what was written whole lines?
    ended: bool,
}

impl Quoter {
    pub fn new() -> Quoter {
        Quoter { cr: false, matched: Some(0), ended: true }
    }

    /// Takes what comes next, and writes what is certain.
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        for &byte in bytes {
            if std::mem::take(&mut self.cr) && byte != b'\n' {
                self.put(b'\r', out)?;
            }
            match byte {
                b'\r' => self.cr = true,
                _ => self.put(byte, out)?,
            }
        }
        Ok(())
    }

    fn put(&mut self, byte: u8, out: &mut impl Write) -> io::Result<()> {
        if let Some(matched) = self.matched {
            if FROM.get(matched) == Some(&byte) {
                if matched + 1 < FROM.len() {
                    self.matched = Some(matched + 1);
                    return Ok(());
                }
                // Where among them it stands makes no difference: they are all the same.
                out.write_all(b">")?;
                out.write_all(FROM)?;
                self.matched = None;
                self.ended = false;
                return Ok(());
            }
            out.write_all(FROM.get(..matched).unwrap_or_default())?;
            self.matched = (matched == 0 && byte == b'>').then_some(0);
        }
        out.write_all(&[byte])?;
        self.ended = byte == b'\n';
        if self.ended {
            self.matched = Some(0);
        }
        Ok(())
    }

    /// Ends the message, and the empty line behind it.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        if self.cr {
            self.put(b'\r', out)?;
        }
        if let Some(matched) = self.matched.filter(|matched| *matched > 0) {
            out.write_all(FROM.get(..matched).unwrap_or_default())?;
            self.ended = false;
        }
        if !self.ended {
            out.write_all(b"\n")?;
        }
        out.write_all(b"\n")
    }
}

/// What stands above a message of which this is the beginning, its header or as much of that as was read.
pub(super) fn head(beginning: &[u8], entry: &Entry, keywords: &[String]) -> String {
    let date = jiff::Timestamp::from_second(entry.received).unwrap_or_default().strftime("%a %b %e %H:%M:%S %Y");
    let has = |flag: SystemFlag| entry.flags.has(flag);
    // R: read; O: no program sees it for the first time.
    let status = if has(SystemFlag::Seen) { "RO" } else { "O" };
    let mut lines = format!("From {} {date}\nStatus: {status}\n", sender(beginning));
    let letters = [(SystemFlag::Answered, 'A'), (SystemFlag::Flagged, 'F'), (SystemFlag::Draft, 'T'), (SystemFlag::Deleted, 'D')];
    let letters: String = letters.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, letter)| letter).collect();
    if !letters.is_empty() {
        lines.push_str(&format!("X-Status: {letters}\n"));
    }
    let words: Vec<&str> = entry.flags.keywords().filter_map(|place| keywords.get(place)).map(String::as_str).collect();
    if !words.is_empty() {
        lines.push_str(&format!("X-Keywords: {}\n", words.join(" ")));
    }
    lines.push_str(&format!("X-UID: {}\n", entry.uid));
    lines
}

/// The reverse-path that delivery noted; the author, if none was noted.
fn sender(beginning: &[u8]) -> String {
    let value = |name: &str| header::fields(beginning).find(|field| field.is(name)).map(|field| field.value().into_owned());
    let address = |value: Vec<u8>| {
        address::list(&value, 2).iter().find_map(|address| match address {
            Address::Mailbox { local, host, .. } => Some(format!("{}@{}", String::from_utf8_lossy(local), String::from_utf8_lossy(host))),
            _ => None,
        })
    };
    let found = value("Return-Path").and_then(address).or_else(|| value("From").and_then(address));
    let is_word = |text: &String| text.len() > 1 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    found.filter(is_word).unwrap_or_else(|| NOBODY.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stoa_mailbox::Flags;

    fn quoted(pieces: &[&[u8]]) -> String {
        let (mut quoter, mut out) = (Quoter::new(), Vec::new());
        pieces.iter().for_each(|piece| quoter.push(piece, &mut out).unwrap());
        quoter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_that_look_like_the_beginning_of_a_message_are_quoted() {
        let table: [(&str, &str); 9] = [
            ("a\r\nb\r\n", "a\nb\n\n"),
            ("From here\r\n", ">From here\n\n"),
            (">>From here\r\nFrom\r\nFromage\r\n> From x\r\n", ">>>From here\nFrom\nFromage\n> From x\n\n"),
            ("no end", "no end\n\n"),
            ("ends in Fro\r\nFro", "ends in Fro\nFro\n\n"),
            ("a\rb\r\r\nc\r", "a\rb\r\nc\r\n\n"),
            ("", "\n"),
            (" From x\r\n", " From x\n\n"),
            ("From \r\n\r\nFrom ", ">From \n\n>From \n\n"),
        ];
        for (message, want) in table {
            assert_eq!(quoted(&[message.as_bytes()]), want, "{message:?}");
        }
    }

    proptest! {
        /// However it is cut, it comes out the same; and taking one `>` away gives the lines back.
        #[test]
        fn quoting_can_be_taken_back(lines in prop::collection::vec("(>{0,2}From |>|F|From|a){0,2}", 0..6), cut in 0usize..40) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let (first, second) = message.as_bytes().split_at(cut.min(message.len()));
            let whole = quoted(&[message.as_bytes()]);
            prop_assert_eq!(&quoted(&[first, second]), &whole);
            prop_assert!(!whole.lines().any(|line| line.starts_with("From ")));
            let back = whole.lines().map(|line| if line.trim_start_matches('>').starts_with("From ") { &line[1..] } else { line });
            let mut back: Vec<&str> = back.collect();
            prop_assert_eq!(back.pop(), Some(""));
            prop_assert_eq!(back, lines);
        }
    }

    #[test]
    fn the_head_tells_sender_date_and_flags() {
        let flags = [SystemFlag::Seen, SystemFlag::Flagged, SystemFlag::Draft]
            .into_iter()
            .fold(Flags::keyword(1), |all, flag| all.with(flag.into()));
        let entry = Entry { uid: 7, size: 1, message: 1, modseq: 1, flags, received: 1_700_000_000, saved: 0 };
        let keywords = ["$Junk".to_owned(), "$Forwarded".to_owned()];
        let said = head(b"Return-Path: <crito@athens.example>\r\nFrom: a@b.example\r\n\r\n", &entry, &keywords);
        assert_eq!(
            said,
            "From crito@athens.example Tue Nov 14 22:13:20 2023\nStatus: RO\nX-Status: FT\nX-Keywords: $Forwarded\nX-UID: 7\n"
        );
        let plain = Entry { flags: Flags::NONE, ..entry };
        for (header, sender) in [
            ("From: Crito <crito@athens.example>\r\n\r\n", "crito@athens.example"),
            // A report that nobody may answer.
            ("Return-Path: <>\r\nFrom: Crito <crito@athens.example>\r\n\r\n", NOBODY),
            ("Subject: x\r\n\r\n", NOBODY),
            ("From: \"a b\"@c.example\r\n\r\n", NOBODY),
            ("", NOBODY),
        ] {
            assert!(
                head(header.as_bytes(), &plain, &[]).starts_with(&format!("From {sender} Tue Nov 14 22:13:20 2023\nStatus: O\nX-UID")),
                "{header}"
            );
        }
    }
}
