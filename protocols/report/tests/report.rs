//! Reports as other programs see them: whole messages, taken apart by a parser that is not ours.

use mail_parser::{MessageParser, MimeHeaders};
use stoa_report::{Action, Recipient, Report, Returned, Status, headers_only, parse};

fn failed(address: &str) -> Recipient {
    Recipient {
        address: address.into(),
        original: None,
        action: Action::Failed,
        status: Status(5, 1, 1),
        host: Some("mx.two.example".into()),
        said: "550 5.1.1 No such user".into(),
        tried: Some(1_000),
        until: Some(9_000),
    }
}

fn report(recipients: &[Recipient]) -> Report<'_> {
    Report {
        reporter: "mail.one.example",
        from: "mailer-daemon@one.example",
        to: "alice@one.example",
        now: 2_000,
        message_id: "1@mail.one.example",
        boundary: "b0undary",
        envelope_id: Some("QQ 1"),
        arrived: 500,
        subject: Some("The ship"),
        about: Some("<a@one.example>"),
        recipients,
        returned: Returned::Header,
        utf8: false,
    }
}

fn whole(report: &Report<'_>, returned: &[u8]) -> Vec<u8> {
    [report.head(), returned.to_vec(), report.tail()].concat()
}

/// The octets of the n-th part, decoded.
fn part(message: &[u8], n: u32) -> (String, Vec<u8>) {
    let parsed = MessageParser::default().parse(message).unwrap();
    let kind = parsed.part(n).unwrap().content_type().unwrap();
    (format!("{}/{}", kind.ctype(), kind.subtype().unwrap()), parsed.part(n).unwrap().contents().to_vec())
}

#[test]
fn a_report_has_a_part_for_people_one_for_programs_and_the_header() {
    let others = [
        failed("bob@two.example"),
        Recipient { action: Action::Delayed, status: Status(4, 4, 1), said: "no host answered".into(), ..failed("carol@two.example") },
        Recipient { action: Action::Relayed, status: Status(2, 1, 5), said: "250 ok".into(), ..failed("dan@two.example") },
    ];
    let report = report(&others);
    let message = whole(&report, &headers_only(b"Subject: The ship\r\nFrom: a\r\n\r\nbody\r\n", false));
    let text = String::from_utf8(message.clone()).unwrap();
    assert!(text.is_ascii() && !report.is_eight_bit());
    for line in [
        "Auto-Submitted: auto-replied",
        "In-Reply-To: <a@one.example>",
        "Subject: Your message could not be delivered",
        "To: <alice@one.example>",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    let parsed = MessageParser::default().parse(&message).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype(), kind.attribute("report-type")), ("multipart", Some("report"), Some("delivery-status")));
    let (kind, human) = part(&message, 1);
    let human = String::from_utf8(human).unwrap();
    assert_eq!(kind, "text/plain");
    for words in [
        "bob@two.example",
        "does not exist",
        "mx.two.example said: 550 5.1.1 No such user",
        "What to do:",
        "Subject: The ship",
        "is tried until",
    ] {
        assert!(human.contains(words), "{words} in {human}");
    }
    let (kind, machine) = part(&message, 2);
    assert_eq!(kind, "message/delivery-status");
    let read = parse(&machine).unwrap();
    assert_eq!((read.envelope_id.as_deref(), read.arrived), (Some("QQ 1"), Some(500)));
    let seen: Vec<_> = read.recipients.iter().map(|r| (r.address.value.as_str(), r.action, r.status, r.until)).collect();
    let want = [
        ("bob@two.example", Action::Failed, Status(5, 1, 1), None),
        ("carol@two.example", Action::Delayed, Status(4, 4, 1), Some(9_000)),
        ("dan@two.example", Action::Relayed, Status(2, 1, 5), None),
    ];
    assert_eq!(seen, want);
    assert_eq!(read.recipients[0].said.as_ref().unwrap().value, "550 5.1.1 No such user");
    assert!(read.recipients[1].said.is_none(), "our own words are no reply of theirs");
    let (kind, header) = part(&message, 3);
    assert_eq!((kind.as_str(), header.as_slice()), ("text/rfc822-headers", &b"Subject: The ship\r\nFrom: a\r\n"[..]));
}

#[test]
fn addresses_outside_of_ascii_are_told_raw_where_that_is_known_and_escaped_elsewhere() {
    let recipients = [Recipient { original: Some("rfc822;a@b".into()), ..failed("jos\u{e9}@two.example") }];
    let raw = Report { utf8: true, subject: Some("Gr\u{fc}\u{df}e"), ..report(&recipients) };
    let message = whole(&raw, &headers_only("Subject: Gr\u{fc}\u{df}e\r\n\r\n".as_bytes(), true));
    let (kind, machine) = part(&message, 2);
    assert_eq!(kind, "message/global-delivery-status");
    let address = parse(&machine).unwrap().recipients.remove(0).address;
    assert_eq!((address.kind.as_str(), address.value.as_str()), ("utf-8", "jos\u{e9}@two.example"));
    assert_eq!(part(&message, 3), ("message/global-headers".to_owned(), "Subject: Gr\u{fc}\u{df}e\r\n".into()));
    assert!(raw.is_eight_bit());
    let escaped = Report { utf8: false, ..raw };
    let message = whole(&escaped, &headers_only("Subject: Gr\u{fc}\u{df}e\r\n\r\n".as_bytes(), false));
    assert!(message.is_ascii());
    let address = parse(&part(&message, 2).1).unwrap().recipients.remove(0).address;
    assert_eq!((address.kind.as_str(), address.value.as_str()), ("utf-8", "jos\\x{E9}@two.example"));
    assert!(String::from_utf8(part(&message, 1).1).unwrap().contains("jos\u{e9}@two.example"), "people read it as it is");
}

#[test]
fn a_whole_message_comes_back_unaltered() {
    let recipients = [failed("bob@two.example")];
    let report = Report { returned: Returned::Message { eight_bit: true }, ..report(&recipients) };
    let original = b"Subject: x\r\n\r\n--b0undar\r\n\xe9\r\n";
    let message = whole(&report, original);
    let text = String::from_utf8_lossy(&message);
    assert!(text.contains("\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b0undary") && report.is_eight_bit());
    let at = message.windows(original.len()).position(|window| window == original).unwrap();
    assert!(message[..at].ends_with(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    assert!(message[at + original.len()..].starts_with(b"\r\n--b0undary--"));
}

#[test]
fn a_host_cannot_write_the_report() {
    let said = format!("550 no\r\nAction: delivered\r\n\r\n--guessed\r\n\u{0}{}", "x".repeat(5_000));
    let recipients = [Recipient { said, host: Some("mx\r\nBcc: x".into()), ..failed("bob@two.example") }];
    let report = Report { about: Some("<a@b>\r\nBcc: x"), subject: Some("a\r\n--guessed\r\nb"), ..report(&recipients) };
    let message = whole(&report, &headers_only(b"Subject: x\rBcc: y\r\nlast line without its end", false));
    let text = String::from_utf8(message.clone()).unwrap();
    assert!(!text.contains("\r\nBcc") && !text.contains("\r\nAction: delivered") && !text.contains("In-Reply-To"), "{text}");
    assert!(text.matches("\r\n--b0undary").count() == 4 && !text.contains("\r\n--guessed"), "{text}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998) && !text.contains("last line"));
    assert_eq!(parse(&part(&message, 2).1).unwrap().recipients.len(), 1);
}
