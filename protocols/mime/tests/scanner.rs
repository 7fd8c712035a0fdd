//! The tree of parts, by ranges, for messages of every shape: rules, broken input, bombs, and any cut into pieces.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use stoa_mime::limits::{DEPTH_MAX, HEADER_KEPT_BYTES_MAX, PARTS_MAX};
use stoa_mime::{Content, Part, Scanned, Scanner};

fn scan(message: &[u8]) -> Scanned {
    scan_pieces(message, message.len().max(1))
}

fn scan_pieces(message: &[u8], piece: usize) -> Scanned {
    let mut scanner = Scanner::new();
    message.chunks(piece).for_each(|piece| scanner.feed(piece));
    scanner.finish()
}

/// `type header|body lines` with line ends as `/`, and the parts within in brackets.
fn shown(message: &[u8], part: &Part) -> String {
    let text = |range: &std::ops::Range<u64>| {
        let bytes = &message[range.start as usize..range.end as usize];
        String::from_utf8_lossy(bytes).replace("\r\n", "/").replace('\n', "%")
    };
    let kind = format!("{}/{}", part.content_type.kind, part.content_type.subtype);
    match &part.content {
        Content::Leaf => format!("{kind} {}|{} {}", text(&part.header), text(&part.body), part.body_lines),
        Content::Multipart(parts) => {
            format!("{kind} {}[{}]", part.body_lines, parts.iter().map(|part| shown(message, part)).collect::<Vec<_>>().join(", "))
        }
        Content::Message(inner) => format!("{kind} {}[{}]", part.body_lines, shown(message, inner)),
    }
}

#[test]
fn shapes() {
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let nested = "Content-Type: multipart/mixed; boundary=i\r\n\r\n";
    let table: &[(String, &str)] = &[
        (String::new(), "text/plain | 0"),
        ("A: b\r\n\r\nx\r\ny\r\n".into(), "text/plain A: b//|x/y/ 2"),
        ("A: b\n\nx\ny".into(), "text/plain A: b%%|x%y 2"),
        ("A: b".into(), "text/plain A: b| 0"),
        ("\r\nx".into(), "text/plain /|x 1"),
        (format!("{multipart}pre\r\n--b\r\n\r\nx\r\n--b \r\nA: c\r\n\r\ny\r\n\r\n--b--\r\nend\r\n"), "multipart/mixed 11[text/plain /|x 1, text/plain A: c//|y/ 1]"),
        // Bare LF as line ends.
        (format!("{multipart}--b\n\nx\n--b--\n"), "multipart/mixed 4[text/plain %|x 1]"),
        // No close delimiter, and one without a line end.
        (format!("{multipart}--b\r\n\r\nx\r\n"), "multipart/mixed 3[text/plain /|x/ 1]"),
        (format!("{multipart}--b\r\n\r\nx\r\n--b--"), "multipart/mixed 4[text/plain /|x 1]"),
        // Nothing between delimiters; no empty line after the header.
        (format!("{multipart}--b\r\n--b\r\n\r\n--b\r\nA: b\r\n--b--"), "multipart/mixed 6[text/plain | 0, text/plain /| 0, text/plain A: b/| 0]"),
        // Delimiters of the outer end the inner; after the end of the inner its text is epilogue.
        (format!("{multipart}--b\r\n{nested}--i\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--"), "multipart/mixed 10[multipart/mixed 3[text/plain /|x 1], text/plain /|y 1]"),
        (format!("{multipart}--b\r\n{nested}--i\r\n\r\nx\r\n--i--\r\n--i\r\n\r\nz\r\n--b--"), "multipart/mixed 11[multipart/mixed 7[text/plain /|x 1]]"),
        // One boundary is the beginning of another.
        (format!("{multipart}--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\nx\r\n--bb--\r\n--b--"), "multipart/mixed 8[multipart/mixed 4[text/plain /|x 1]]"),
        // The same boundary within: the innermost open one is meant.
        (format!("{multipart}--b\r\n{multipart}--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--"), "multipart/mixed 11[multipart/mixed 4[text/plain /|x 1], text/plain /|y 1]"),
        // Messages within.
        ("Content-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\nx\r\n".into(), "message/rfc822 3[text/plain Subject: a//|x/ 1]"),
        ("Content-Type: message/global\r\n\r\n".into(), "message/global 0[text/plain | 0]"),
        ("Content-Type: message/rfc822".into(), "message/rfc822 0[text/plain | 0]"),
        ("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nYQ==".into(), "application/octet-stream Content-Type: message/rfc822%Content-Transfer-Encoding: base64%%|YQ== 1"),
        ("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: c\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\n\r\ny\r\n--b--".into(), "multipart/digest 10[message/rfc822 3[text/plain A: c//|x 1], text/html Content-Type: text/html//|y 1]"),
        ("Content-Type: multipart/digest; boundary=b\r\n\r\n--b".into(), "multipart/digest 1[message/rfc822 0[text/plain | 0]]"),
        // No boundary, no delimiter, no sense.
        ("Content-Type: multipart/mixed\n\nx".into(), "multipart/mixed 1[text/plain |x 1]"),
        (format!("{multipart}x\r\n"), "multipart/mixed 1[text/plain |x/ 1]"),
        ("Content-Type: nonsense\n\nx".into(), "text/plain Content-Type: nonsense%%|x 1"),
    ];
    for (message, want) in table {
        let message = message.as_bytes();
        let scanned = scan(message);
        assert_eq!(shown(message, &scanned.part), *want, "{}", String::from_utf8_lossy(message));
        assert!(scanned.part.description.envelope.is_some());
        (1..5).for_each(|piece| assert_eq!(scan_pieces(message, piece), scanned));
    }
}

#[test]
fn the_header_of_the_message() {
    let scanned = scan(b"Subject: a\r\nTo: x@y\r\n\r\nbody");
    assert_eq!((scanned.header.as_slice(), scanned.header_complete, scanned.size), (&b"Subject: a\r\nTo: x@y\r\n\r\n"[..], true, 27));
    // A field that does not fit is left out, with the lines that continue it; what follows is kept.
    let long = ["A: b\r\nLong: ", &"x".repeat(1_000_000), "\r\n more\r\nSubject: c\r\n\r\nbody"].concat();
    for piece in [1000, 4096, 2_000_000] {
        let scanned = scan_pieces(long.as_bytes(), piece);
        assert_eq!((scanned.header.as_slice(), scanned.header_complete), (&b"A: b\r\nSubject: c\r\n\r\n"[..], false));
        assert_eq!(scanned.part.header.end, long.len() as u64 - 4);
    }
    let many = "A: b\r\n".repeat(100_000);
    assert!(scan(many.as_bytes()).header.len() <= HEADER_KEPT_BYTES_MAX);
}

/// Parts and depth of a tree.
fn measured(part: &Part) -> (usize, usize) {
    let below = match &part.content {
        Content::Leaf => vec![],
        Content::Multipart(parts) => parts.iter().map(measured).collect(),
        Content::Message(inner) => vec![measured(inner)],
    };
    (1 + below.iter().map(|it| it.0).sum::<usize>(), 1 + below.iter().map(|it| it.1).max().unwrap_or(0))
}

#[test]
fn bombs() {
    let nested_multiparts: String =
        (0..20_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    let table = [
        ("messages", "Content-Type: message/rfc822\r\n\r\n".repeat(100_000)),
        ("multiparts", nested_multiparts.clone()),
        ("delimiters", ["Content-Type: multipart/mixed; boundary=b\r\n\r\n", &"--b\r\n".repeat(100_000)].concat()),
        ("digests", ["Content-Type: multipart/digest; boundary=b\r\n\r\n", &"--b\r\n\r\n".repeat(100_000)].concat()),
        ("hyphens", [nested_multiparts, "--b\r\n".repeat(100_000)].concat()),
        (
            "continuations",
            ["Content-Type: text/plain", &(0..100_000).map(|n| format!(";\r\n name*{n}=x")).collect::<String>(), "\r\n\r\n"].concat(),
        ),
        ("a long line", ["A: ", &"x".repeat(1_000_000)].concat()),
        ("addresses", ["To: ", &"a@b,\r\n ".repeat(100_000), "\r\n\r\n"].concat()),
        ("short addresses", ["To: ", &"a,".repeat(30_000), "\r\n\r\n"].concat()),
    ];
    for (name, message) in table {
        let started = Instant::now();
        let (parts, depth) = measured(&scan(message.as_bytes()).part);
        assert!(parts <= 2 * PARTS_MAX && depth <= DEPTH_MAX + 1, "{name}: {parts} parts, {depth} deep");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
}

/// What every tree keeps to.
fn check(part: &Part, bounds: std::ops::Range<u64>) {
    assert!(
        bounds.start <= part.header.start && part.header.end == part.body.start && part.body.end <= bounds.end,
        "{part:?} in {bounds:?}"
    );
    let kind = (part.content_type.kind.as_str(), part.content_type.subtype.as_str());
    match &part.content {
        Content::Leaf => assert!(kind.0 != "multipart" && !matches!(kind, ("message", "rfc822" | "global"))),
        Content::Multipart(parts) => {
            assert!(kind.0 == "multipart" && !parts.is_empty());
            let mut from = part.body.start;
            for inner in parts {
                check(inner, from..part.body.end);
                from = inner.body.end;
            }
        }
        Content::Message(inner) => {
            assert!(kind.0 == "message" && inner.description.envelope.is_some());
            check(inner, part.body.clone());
            assert_eq!((inner.header.start, inner.body.end), (part.body.start, part.body.end));
        }
    }
}

/// Lines as RFC 3501 counts them.
fn check_lines(message: &[u8], part: &Part) {
    let body = &message[part.body.start as usize..part.body.end as usize];
    let lines = body.split_inclusive(|byte| *byte == b'\n').count() as u64;
    assert_eq!(part.body_lines, lines, "{:?} in {:?}", String::from_utf8_lossy(body), String::from_utf8_lossy(message));
    match &part.content {
        Content::Leaf => {}
        Content::Multipart(parts) => parts.iter().for_each(|part| check_lines(message, part)),
        Content::Message(inner) => check_lines(message, inner),
    }
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
        "Content-Type: multipart/digest; boundary=\"i\"\n\n",
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Type: message/rfc822\r\n",
        "Subject: a\r\n",
        "To: a@b,\r\n c@d\r\n",
        "--b\r\n",
        "--b--\r\n",
        "--i\n",
        "--i--\r\n",
        "--b",
        "\r\n",
        "\n",
        "\r",
        "text\r\n",
        "text",
        "-",
        " ",
    ]);
    prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_cut_gives_the_same(message in messages(), piece in 1_usize..9) {
        prop_assert_eq!(scan_pieces(&message, piece), scan(&message));
    }

    #[test]
    fn fields_in_front_may_come_first_or_last(message in messages()) {
        let fields = b"Return-Path: <a@b>\r\nReceived: from c\r\n\tby d\r\n";
        prop_assert_eq!(scan(&message).behind(fields), scan(&[&fields[..], &message].concat()));
    }

    #[test]
    fn parts_lie_within_their_parents(message in messages()) {
        let part = scan(&message).part;
        check(&part, 0..message.len() as u64);
        prop_assert_eq!((part.header.start, part.body.end), (0, message.len() as u64));
        check_lines(&message, &part);
    }

    #[test]
    fn any_bytes_will_do(message in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&scan(&message).part, 0..message.len() as u64);
    }
}

/// A message to be written, and so known beforehand.
#[derive(Debug, Clone)]
enum Plan {
    Text(String),
    Multipart(Vec<Plan>),
    Message(Box<Plan>),
}

fn plans() -> impl Strategy<Value = Plan> {
    let text = "([a-z]{0,5}|-|--|--b|\r\n){0,6}".prop_map(Plan::Text);
    text.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Plan::Multipart),
            inner.prop_map(|plan| Plan::Message(Box::new(plan))),
        ]
    })
}

/// Writes it as a well-formed message whose boundaries, of one length, are all different.
fn write(plan: &Plan, boundaries: &mut u32, out: &mut String) {
    match plan {
        Plan::Text(text) => *out += &format!("Subject: text\r\n\r\n{text}"),
        Plan::Message(inner) => {
            *out += "Content-Type: message/rfc822\r\n\r\n";
            write(inner, boundaries, out);
        }
        Plan::Multipart(parts) => {
            *boundaries += 1;
            let boundary = format!("b{boundaries:05}");
            *out += &format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\r\npreamble");
            for part in parts {
                *out += &format!("\r\n--{boundary}\r\n");
                write(part, boundaries, out);
            }
            *out += &format!("\r\n--{boundary}--\r\nepilogue");
        }
    }
}

fn read_back(message: &[u8], part: &Part) -> Plan {
    match &part.content {
        Content::Leaf => Plan::Text(String::from_utf8_lossy(&message[part.body.start as usize..part.body.end as usize]).into_owned()),
        Content::Multipart(parts) => Plan::Multipart(parts.iter().map(|part| read_back(message, part)).collect()),
        Content::Message(inner) => Plan::Message(Box::new(read_back(message, inner))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_was_written_is_found(plan in plans()) {
        let mut message = String::new();
        write(&plan, &mut 0, &mut message);
        let found = read_back(message.as_bytes(), &scan(message.as_bytes()).part);
        prop_assert_eq!(format!("{found:?}"), format!("{plan:?}"));
    }
}
