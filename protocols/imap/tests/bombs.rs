//! Messages made to cost: each is read to its end, and what is kept of it has a bound.
//!
//! None of these tests looks at a clock: what grows with the square of its size does not end in anybody's patience.

use stoa_imap::{Summary, summarise};
use stoa_mime::limits::{DEPTH_MAX, PARAMETERS_MAX, PARTS_MAX};
use stoa_mime::{Content, Part, Scanned, Scanner};

/// Far above any honest summary, far below what would hurt.
const SUMMARY_BYTES_MAX: usize = 4 * 1024 * 1024;

fn scanned(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Scanned {
    let mut scanner = Scanner::new();
    pieces.into_iter().for_each(|piece| scanner.feed(piece.as_ref()));
    scanner.finish()
}

/// Parts in all, and parts within parts.
fn measures(message: &Part) -> (usize, usize) {
    let (mut count, mut depth, mut waiting) = (0, 0, vec![(1, message)]);
    while let Some((level, part)) = waiting.pop() {
        (count, depth) = (count + 1, depth.max(level));
        match &part.content {
            Content::Leaf => {}
            Content::Multipart(parts) => waiting.extend(parts.iter().map(|part| (level + 1, part))),
            Content::Message(message) => waiting.push((level + 1, message)),
        }
    }
    (count, depth)
}

/// It can be summarised, and what is kept can be read.
fn kept(message: &Scanned) -> usize {
    let bytes = summarise(message);
    let summary = Summary::read(&bytes).unwrap();
    assert_eq!(summary.size().unwrap(), message.size);
    summary.parts().unwrap();
    assert!(bytes.len() < SUMMARY_BYTES_MAX, "{}", bytes.len());
    bytes.len()
}

#[test]
fn a_depth_bomb_of_multiparts_ends_at_the_limit() {
    let opening = (0..50_000).map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
    let closing = (0..50_000).rev().map(|level| format!("--b{level}--\r\n"));
    let message = scanned(opening.chain(closing));
    let (count, depth) = measures(&message.part);
    assert!(depth <= DEPTH_MAX + 1 && count <= PARTS_MAX, "{count} {depth}");
    kept(&message);
}

#[test]
fn a_depth_bomb_of_messages_ends_at_the_limit() {
    let message = scanned((0..100_000).map(|level| format!("Subject: {level}\r\nContent-Type: message/rfc822\r\n\r\n")));
    let (count, depth) = measures(&message.part);
    assert!(depth <= DEPTH_MAX + 1 && count <= PARTS_MAX, "{count} {depth}");
    kept(&message);
}

/// Every line may be a delimiter of every level.
#[test]
fn many_open_boundaries_and_lines_that_look_like_them() {
    let opening = (0..DEPTH_MAX).map(|level| format!("Content-Type: multipart/mixed; boundary=b{level:060}\r\n\r\n--b{level:060}\r\n"));
    let message = scanned(opening.chain((0..100_000).map(|line| format!("--b{line:060}x\r\n"))));
    assert!(measures(&message.part).1 <= DEPTH_MAX + 1);
    kept(&message);
}

#[test]
fn a_bomb_of_parts_ends_at_the_limit() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    let part = "--b\r\nContent-Type: text/plain; name=x\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n".to_owned();
    let message = scanned(std::iter::once(head).chain(std::iter::repeat_n(part, 200_000)));
    assert!(measures(&message.part).0 <= PARTS_MAX);
    kept(&message);
}

#[test]
fn a_hundred_thousand_continuations_of_rfc_2231() {
    for mark in ["", "*"] {
        let head = "Content-Disposition: attachment".to_owned();
        let pieces = (0..100_000).rev().map(|number| format!(";\r\n filename*{number}{mark}=x"));
        let message = scanned(std::iter::once(head).chain(pieces).chain(["\r\n\r\nbody".to_owned()]));
        // Past what is kept of a header the whole field is gone, and never only its end.
        assert_eq!(message.part.description.disposition, None);
        let shorter = (0..2_000).map(|number| format!(";\r\n filename*{number}{mark}=x"));
        let message = scanned(std::iter::once("Content-Disposition: attachment".to_owned()).chain(shorter));
        assert_eq!(message.part.description.disposition.as_ref().map(|(_, named)| named.len()), Some(PARAMETERS_MAX));
        kept(&message);
    }
}

#[test]
fn a_header_line_of_ten_megabytes() {
    for name in ["Subject", "To", "References", "Content-Type", "X"] {
        let line = std::iter::once(format!("{name}: ")).chain(std::iter::repeat_n("a@b, <c@d> ".repeat(1_000), 1_000));
        let message = scanned(line.chain(["\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nbody\r\n".to_owned()]));
        assert!(!message.header_complete);
        assert!(kept(&message) < 16 * 1024);
        assert_eq!(message.preview, "body");
    }
}

#[test]
fn folded_lines_without_end() {
    let message = scanned(std::iter::once("Subject: x\r\n".to_owned()).chain(std::iter::repeat_n(" \t(\"\\<[\r\n".to_owned(), 500_000)));
    assert!(kept(&message) < 16 * 1024);
}

/// Brackets, quotes and comments that never close, in every field that is read.
#[test]
fn marks_that_never_close() {
    for mark in ["(", "\"", "<", "[", "\\", "=?utf-8?q?", ",", ";", ":", "(\\", "<@"] {
        let field = mark.repeat(60_000 / mark.len());
        for name in ["From", "Content-Type", "Content-Disposition", "Content-Language", "Date", "References"] {
            kept(&scanned([format!("{name}: {field}\r\n\r\nbody")]));
        }
    }
}

#[test]
fn html_made_to_cost() {
    for piece in ["<", "<!--", "<style>", "&", "&#", "<div ", "<div>", "\u{200b}", "> ", "-- ", "\n> x:\n"] {
        for kind in ["html", "plain"] {
            let message = scanned([format!("Content-Type: text/{kind}\r\n\r\n{}", piece.repeat(1_000_000 / piece.len()))]);
            assert!(message.preview.chars().count() <= stoa_mime::limits::PREVIEW_CHARACTERS_MAX);
        }
    }
}
