//! Threads of small mailboxes, and of large ones that mean harm.

use super::*;
use proptest::prelude::*;
use stoa_mailbox::{Entry, Flags};
use stoa_mime::date::Date;

/// Headers as messages 1, 2, …, sent so many seconds after 1970 began, or at no time that is known.
fn threads(algorithm: Algorithm, messages: &[(String, Option<i64>)]) -> Vec<Node> {
    let mut threader = Threader::new(algorithm);
    for (uid, (header, sent)) in (1..).zip(messages) {
        let entry = Entry { uid, size: 1, message: 1, modseq: 1, flags: Flags::NONE, received: 1_000, saved: 0 };
        let sent = sent.map(|seconds| Date { seconds, offset_minutes: 0 });
        threader.add(&Hit { entry: &entry, header: header.as_bytes(), sent });
    }
    threader.finish()
}

fn written(nodes: Vec<Node>) -> String {
    let mut out = Vec::new();
    write(&mut out, nodes.into_iter());
    String::from_utf8(out).unwrap().strip_prefix("* THREAD").unwrap().trim().to_owned()
}

/// Lines of `date id references… | subject`, where an id or date `-` is none.
fn letters(lines: &[&str]) -> Vec<(String, Option<i64>)> {
    let header = |line: &str| {
        let (words, subject) = line.split_once('|').unwrap_or((line, ""));
        let mut words = words.split_whitespace();
        let sent = words.next().unwrap().parse().ok();
        let id = words.next().filter(|id| *id != "-").map(|id| format!("Message-ID: <{id}@x>\r\n")).unwrap_or_default();
        let named: Vec<String> = words.map(|id| format!("<{id}@x>")).collect();
        let named = if named.is_empty() { String::new() } else { format!("References: {}\r\n", named.join("\r\n ")) };
        (format!("{id}{named}Subject: {}\r\n", subject.trim()), sent)
    };
    lines.iter().map(|line| header(line)).collect()
}

fn by_references(lines: &[&str]) -> String {
    written(threads(Algorithm::References, &letters(lines)))
}

#[test]
fn trees_on_the_wire() {
    let node = |(uid, children)| Node { uid: Some(uid).filter(|uid| *uid > 0), children };
    let table: [(&[(u32, u32)], &str); 7] = [
        (&[], ""),
        (&[(2, 0)], "(2)"),
        // RFC 5256 §4: the examples.
        (&[(2, 0), (3, 1), (6, 2), (4, 1), (23, 0), (44, 1), (7, 1), (96, 0)], "(2)(3 6 (4 23)(44 7 96))"),
        (&[(0, 2), (3, 0), (5, 0)], "((3)(5))"),
        (&[(1, 2), (2, 2), (3, 0), (4, 0), (5, 1), (6, 0), (7, 0)], "(1 (2 (3)(4))(5 6))(7)"),
        (&[(0, 2), (1, 1), (2, 0), (3, 2), (4, 0), (5, 0)], "((1 2)(3 (4)(5)))"),
        (&[(1, 3), (2, 0), (3, 0), (4, 0), (5, 0)], "(1 (2)(3)(4))(5)"),
    ];
    for (nodes, want) in table {
        assert_eq!(written(nodes.iter().copied().map(node).collect()), want);
    }
}

#[test]
fn ordered_subject() {
    let lines = ["9 a|Re: two", "5 b|one", "3 c|two", "7 d|[x] ONE", "1 e c|three", "4 f|two (fwd)", "2 g|"];
    assert_eq!(written(threads(Algorithm::OrderedSubject, &letters(&lines))), "(5)(7)(3 (6)(1))(2 4)");
    assert_eq!(written(threads(Algorithm::OrderedSubject, &[])), "");
}

#[test]
fn references() {
    let table: [(&[&str], &str); 20] = [
        (&[], ""),
        // An answer and its answer; in any order.
        (&["1 a|x", "2 b a|y", "3 c a b|z"], "(1 2 3)"),
        (&["3 c a b|z", "2 b a|y", "1 a|x"], "(3 2 1)"),
        // Siblings by date.
        (&["1 a|x", "3 b a|y", "2 c a|z"], "(1 (3)(2))"),
        // Threads by date, and without one by when they came.
        (&["5 a|x", "- b|y", "3 c|z"], "(3)(1)(2)"),
        // Who is not there, between two that are.
        (&["1 a|x", "3 c a b|z"], "(1 2)"),
        // At the top: kept for two, not for one.
        (&["2 b a|y", "1 c a|z"], "((2)(1))"),
        (&["2 b a|y"], "(1)"),
        (&["2 c a b|y", "1 d a b|z"], "((2)(1))"),
        (&["5 a z|x", "6 b z|y", "4 c|w"], "(3)((1)(2))"),
        // (1.B): the last reference counts, whatever was said before.
        (&["1 a|x", "2 b|y", "3 d a c|z", "4 c b|w"], "(1)(2 4 3)"),
        (&["1 x b c|p", "2 c a|q", "3 a|r", "4 b|s"], "(3 2 1)(4)"),
        (&["1 a|x", "2 b a|y", "3 x a|z", "4 q b a x|w"], "(1 (2)(3 4))"),
        // Loops are not closed.
        (&["1 a b|x", "2 b a|y"], "(2 1)"),
        (&["1 a a|x"], "(1)"),
        (&["1 a b c a|x", "2 c|y"], "(1)(2)"),
        // One identifier twice, and none.
        (&["1 a|x", "2 a|y", "3 b a|z", "4 -|w"], "(1 3)(2)(4)"),
        (&["1 - a|x", "2 - a|y"], "((1)(2))"),
        // In the midst of a thread a subject does not count.
        (&["1 a|x", "2 b a|y", "3 c|z", "4 d c|y"], "(1 2)(3 4)"),
        (&["1 a|Re: x", "2 b q|Re: y", "3 c q|Re: x"], "(1)((2)(3))"),
    ];
    for (lines, want) in table {
        assert_eq!(by_references(lines), want, "{lines:?}");
    }
}

#[test]
fn threads_with_one_subject_become_one() {
    let table: [(&[&str], &str); 9] = [
        // An answer under what it answers, whichever came first.
        (&["1 a|x", "2 b|Re: X"], "(1 2)"),
        (&["1 a|Re: x", "2 b|x"], "(2 1)"),
        (&["1 a|x", "2 b|Re: x", "3 c|x (fwd)"], "(1 (2)(3))"),
        // Two that begin, or two answers, side by side.
        (&["1 a|x", "2 b|x"], "((1)(2))"),
        (&["2 a|re: x", "1 b|re: x", "3 c|Re: x"], "((2)(1)(3))"),
        (&["1 a|x", "3 b|x", "2 c|Re: x", "4 d b|Re: x"], "((1 3)(2 4))"),
        // Under one who is not there.
        (&["1 a q|x", "2 b q|y", "3 c|x"], "((1)(2)(3))"),
        (&["1 a q|x", "4 b q|y", "2 c r|Re: x", "3 d r|z"], "((1)(3)(4)(2))"),
        // Without a subject nothing is merged.
        (&["1 a|", "2 b|Re:", "3 c|"], "(1)(2)(3)"),
    ];
    for (lines, want) in table {
        assert_eq!(by_references(lines), want, "{lines:?}");
    }
}

#[test]
fn in_reply_to_stands_in() {
    let header = |text: &str| (text.to_owned(), Some(1));
    let messages = [
        header("Message-ID: <a@x>\r\nSubject: p\r\n"),
        header("Message-ID: <b@x>\r\nReferences: none\r\nIn-Reply-To: Yours of today <\"a\"@x> <c@x>\r\nSubject: q\r\n"),
        header("Message-ID: <c@x>\r\nSubject: r\r\n"),
    ];
    assert_eq!(written(threads(Algorithm::References, &messages)), "(1 2)(3)");
}

/// Each message once, and as many children as are told.
fn check(nodes: &[Node], messages: usize) {
    let mut uids: Vec<Uid> = nodes.iter().filter_map(|node| node.uid).collect();
    uids.sort_unstable();
    assert!(uids.into_iter().eq(1..=u32::try_from(messages).unwrap()));
    let children: usize = nodes.iter().map(|node| node.children as usize).sum();
    assert!(children <= nodes.len());
    assert!(nodes.iter().all(|node| node.uid.is_some() || node.children > 1));
}

#[test]
fn a_hundred_thousand_answers() {
    let count = 100_000;
    let letter = |number: i64, text: String| (text, Some(number));
    // One chain, told forwards and backwards; all below one that is not there; all with one subject; loops everywhere.
    let mailboxes: [&dyn Fn(i64) -> String; 5] = [
        &|n| format!("Message-ID: <{n}@x>\r\nIn-Reply-To: <{}@x>\r\n", n - 1),
        &|n| format!("Message-ID: <{n}@x>\r\nIn-Reply-To: <{}@x>\r\n", n + 1),
        &|n| format!("Message-ID: <{n}@x>\r\nReferences: <r@x> <{n}@y>\r\n"),
        &|n| format!("Subject: {}one\r\n", if n % 2 == 0 { "Re: " } else { "" }),
        &|n| format!("Message-ID: <{n}@x>\r\nReferences: <{}@x> <{}@x> <{}@x>\r\n", n / 2, n + 7, (n * 7919) % count),
    ];
    for mailbox in mailboxes {
        let messages: Vec<_> = (0..count).map(|number| letter(number, mailbox(number))).collect();
        let nodes = threads(Algorithm::References, &messages);
        check(&nodes, messages.len());
        assert!(!written(nodes).is_empty());
    }
}

proptest! {
    #[test]
    fn every_message_stands_once(
        lines in prop::collection::vec("[0-3] ([a-f]|-)( [a-h]){0,4}\\|(Re: )?[xy]?", 0..12),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for algorithm in [Algorithm::References, Algorithm::OrderedSubject] {
            let nodes = threads(algorithm, &letters(&lines));
            check(&nodes, lines.len());
        }
    }
}
