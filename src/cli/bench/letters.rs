//! Makes letters to measure with: like real ones, each different, so that nothing is saved by keeping equal ones once.
//!
//! The same seed makes the same letters. Small ones are a text with its HTML twin (`multipart/alternative`); from
//! [`ATTACHMENT_FROM_OCTETS`] on there is an attachment in base64, which makes up the rest. Knows no server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::fmt::Write;

/// What these letters are filled with. None of them is in [`IN_NO_LETTER`].
const WORDS: &str = "\
    about above after again almost along already although always among animal another answer around autumn because become before \
    behind below beside better between beyond bread bring broken brother build butter candle carry castle certain chair change \
    choose circle clear cloud colour common country course cover cross dance danger daughter decide deep desert differ dinner \
    distance double dream early earth eight either empty enough evening every example family famous farther father field figure \
    final finger finish floor flower follow foreign forest forget forward friend front garden gather general gentle glass golden \
    great green ground happen harbour heavy history honest horse house hundred imagine inside island journey judge kitchen know \
    ladder language large later laugh learn leave letter light listen little lonely market matter meadow measure memory middle \
    minute mirror moment money morning mother mountain music narrow nature nearly needle neighbour never night nothing notice \
    number ocean offer often open orange order other paper people perhaps picture place plain plant pleasure pocket possible \
    present problem promise question quick quiet rather reach ready reason record remember repeat river school season second \
    sentence seven shadow short silent silver simple sister sleep small smile speak spring square stand station steady still \
    stone story strange stream street strong summer supper sweet table teach thing thought through ticket together tomorrow \
    travel under uncle unless until usual valley village visit voice walk water weather whether white window winter without \
    wonder world write yellow young";

/// A word to search for in vain.
pub(super) const IN_NO_LETTER: &str = "quixotry";

const FIRST_NAMES: [&str; 10] = ["ada", "blaise", "carl", "diotima", "emmy", "felix", "gottfried", "hypatia", "isaac", "johanna"];
const LAST_NAMES: [&str; 10] = ["adler", "brahe", "curie", "darwin", "euler", "fermat", "gauss", "hilbert", "ibsen", "jacobi"];

/// Who wrote one letter in a hundred.
pub(super) const ONE_WRITER: &str = "hypatia.euler@example.net";

/// From this size on a letter has an attachment.
const ATTACHMENT_FROM_OCTETS: usize = 16 * 1024;
/// Of the text of a letter with an attachment.
const TEXT_OCTETS_BESIDE_ATTACHMENT: usize = 1200;
/// Header, boundaries and the tags of the HTML.
const FRAME_OCTETS: usize = 1500;
/// Octets of a line of base64 before encoding (RFC 2045 §6.8 allows 76 characters).
const BASE64_LINE_OCTETS: usize = 57;
/// A line of text is ended after this many characters (RFC 5322 §2.1.1 asks for 78 at most).
const LINE_CHARS: usize = 66;
/// Letters were written this long after one another.
const SECONDS_BETWEEN: i64 = 67;

/// Writes letters without end.
pub(super) struct Writer {
    random: Random,
    seed: u64,
    to: String,
    written: u64,
    words: Vec<&'static str>,
}

impl Writer {
    /// Letters to this address.
    pub(super) fn new(seed: u64, to: &str) -> Writer {
        Writer { random: Random(seed), seed, to: to.to_owned(), written: 0, words: WORDS.split_ascii_whitespace().collect() }
    }

    /// Many letters.
    pub(super) fn letters(&mut self, count: usize, octets: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.letter(octets)).collect()
    }

    /// A letter of about so many octets, with CRLF; no line begins with a dot.
    pub(super) fn letter(&mut self, octets: usize) -> Vec<u8> {
        self.written += 1;
        let boundary = format!("=_{:016x}_{}", self.seed, self.written);
        let attached = octets >= ATTACHMENT_FROM_OCTETS;
        let text = if attached { TEXT_OCTETS_BESIDE_ATTACHMENT } else { octets.saturating_sub(FRAME_OCTETS) / 2 };
        let mut letter = String::with_capacity(octets + octets / 8);
        self.header(&mut letter);
        let kind = if attached { "mixed" } else { "alternative" };
        _ = write!(letter, "Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\nThis is a message in MIME format.\r\n");
        if attached {
            _ = write!(letter, "\r\n--{boundary}\r\nContent-Type: multipart/alternative; boundary=\"{boundary}.2\"\r\n\r\n");
            self.alternative(&mut letter, &format!("{boundary}.2"), text);
            self.attachment(&mut letter, &boundary, octets);
        } else {
            self.alternative(&mut letter, &boundary, text);
        }
        letter.into_bytes()
    }

    fn header(&mut self, letter: &mut String) {
        let Writer { seed, written: number, .. } = *self;
        let first = FIRST_NAMES[self.random.below(FIRST_NAMES.len())];
        let last = LAST_NAMES[self.random.below(LAST_NAMES.len())];
        let date = date(number);
        let subject = self.sentence(6);
        let relay = self.random.next();
        let to = &self.to;
        _ = write!(
            letter,
            "Return-Path: <{first}.{last}@example.net>\r\n\
             Received: from relay{number}.example.net (relay{number}.example.net [192.0.2.{octet}])\r\n\
             \tby mx.example.org (Postfix) with ESMTPS id {relay:016X}\r\n\
             \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\
             \tfor <{to}>; {date}\r\n\
             Received: by relay{number}.example.net with ESMTPSA id {seed:016x}{number:08x};\r\n\
             \t{date}\r\n\
             From: \"{first} {last}\" <{first}.{last}@example.net>\r\n\
             To: <{to}>\r\n\
             Cc: \"The others\" <others-{number}@example.net>\r\n\
             Subject: {subject} ({number})\r\n\
             Date: {date}\r\n\
             Message-ID: <{seed:016x}.{number}@example.net>\r\n\
             In-Reply-To: <{seed:016x}.{before}@example.net>\r\n\
             References: <{seed:016x}.{before}@example.net>\r\n\
             User-Agent: Quill 2.0\r\n\
             MIME-Version: 1.0\r\n",
            octet = number % 250 + 1,
            before = number / 2,
        );
    }

    fn alternative(&mut self, letter: &mut String, boundary: &str, octets: usize) {
        let mut text = String::new();
        while text.len() < octets {
            let sentence = self.sentence(40);
            wrapped(&mut text, &sentence);
            text.push_str("\r\n");
        }
        _ = write!(
            letter,
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{text}\
             \r\n--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             <html><body>\r\n<p>{html}</p>\r\n</body></html>\r\n\
             \r\n--{boundary}--\r\n",
            html = text.trim_end().replace("\r\n\r\n", "</p>\r\n<p>"),
        );
    }

    fn attachment(&mut self, letter: &mut String, boundary: &str, octets: usize) {
        _ = write!(
            letter,
            "\r\n--{boundary}\r\nContent-Type: application/pdf; name=\"journey-{number}.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"journey-{number}.pdf\"\r\n\r\n",
            number = self.written,
        );
        let mut line = [0; BASE64_LINE_OCTETS];
        while letter.len() < octets {
            self.random.fill(&mut line);
            STANDARD.encode_string(line, letter);
            letter.push_str("\r\n");
        }
        _ = write!(letter, "\r\n--{boundary}--\r\n");
    }

    fn sentence(&mut self, words: usize) -> String {
        let words: Vec<&str> = (0..words).map(|_| self.words[self.random.below(self.words.len())]).collect();
        words.join(" ")
    }
}

/// Breaks a sentence into lines.
fn wrapped(text: &mut String, sentence: &str) {
    let mut column = 0;
    for word in sentence.split(' ') {
        text.push_str(word);
        column += word.len() + 1;
        if column > LINE_CHARS {
            text.push_str("\r\n");
            column = 0;
        } else {
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    text.push_str("\r\n");
}

/// RFC 5322 §3.3, of this letter of a long correspondence.
fn date(number: u64) -> String {
    let second = 1_700_000_000 + i64::try_from(number).unwrap_or_default().saturating_mul(SECONDS_BETWEEN);
    let time = Timestamp::from_second(second).unwrap_or_default();
    rfc2822::DateTimePrinter::new().timestamp_to_string(&time).unwrap_or_default()
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A place in a list of this length, which is short: the bias is beyond measuring.
    fn below(&mut self, length: usize) -> usize {
        (self.next() % length as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            part.copy_from_slice(&number[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn letters_are_as_large_as_asked_and_all_different() {
        let mut writer = Writer::new(7, "socrates@stoa.localhost");
        let mut bodies = HashSet::new();
        for octets in [4096, 102_400] {
            for letter in writer.letters(50, octets) {
                assert!(letter.len().abs_diff(octets) < octets / 8, "{} instead of {octets}", letter.len());
                let text = String::from_utf8(letter).unwrap();
                let (_, body) = text.split_once("\r\n\r\n").unwrap();
                assert!(bodies.insert(body.to_owned()));
            }
        }
    }

    #[test]
    fn letters_are_fit_for_the_wire() {
        let mut writer = Writer::new(8, "socrates@stoa.localhost");
        for octets in [0, 4096, 20_000] {
            let letter = String::from_utf8(writer.letter(octets)).unwrap();
            assert!(letter.ends_with("--\r\n") && letter.is_ascii());
            for line in letter.split("\r\n") {
                assert!(line.len() <= 78 && !line.starts_with('.') && !line.contains(['\r', '\n']), "{line}");
            }
        }
    }

    #[test]
    fn the_same_seed_writes_the_same_letter() {
        let letter = |seed| Writer::new(seed, "a@b.example").letter(4096);
        assert_eq!(letter(1), letter(1));
        assert_ne!(letter(1), letter(2));
    }

    #[test]
    fn searches_find_what_they_should() {
        let letters = Writer::new(9, "a@b.example").letters(2000, 1500);
        let with = |word: &str| letters.iter().filter(|letter| String::from_utf8_lossy(letter).contains(word)).count();
        assert_eq!(with(IN_NO_LETTER), 0);
        assert!((5..60).contains(&with(&format!("<{ONE_WRITER}>\r\nTo:"))));
    }

    #[test]
    fn a_letter_has_parts_that_a_reader_finds() {
        let large = Writer::new(10, "a@b.example").letter(102_400);
        let large = String::from_utf8_lossy(&large).into_owned();
        for want in ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf", "Date: Tue, 14 Nov 2023"] {
            assert!(large.contains(want), "{want}");
        }
    }
}
