//! Whole responses, read back by the codec.

use super::*;
use crate::grammar::Cursor;
use crate::summary::{HEADER_BYTES_MAX, summarise};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_types::body::{BodyStructure, SpecificFields};
use imap_types::core::NString;
use imap_types::fetch::MessageDataItem;
use imap_types::response::{Data, Response};
use proptest::prelude::*;
use stoa_mailbox::{Flags, SystemFlag};
use stoa_mime::{Content, ContentType, Description, Part, Scanner};

fn scanned(message: &[u8]) -> stoa_mime::Scanned {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    scanner.finish()
}

fn asked(items: &str) -> Items {
    grammar::items(&mut Cursor::new(items.as_bytes())).unwrap_or_else(|fault| panic!("{items}: {fault:?}"))
}

fn plan(items: &str, by_uid: bool) -> Plan {
    Plan::new(asked(items), by_uid)
}

fn entry(size: usize) -> Entry {
    Entry {
        uid: 7,
        size: size.try_into().unwrap(),
        message: 70,
        modseq: 1,
        flags: SystemFlag::Seen.into(),
        received: 847_333_405,
        saved: 0,
    }
}

/// As the door does it, with all octets at hand.
fn respond(message: &[u8], plan: &Plan) -> Vec<u8> {
    let bytes = summarise(&scanned(message));
    let summary = Summary::read(&bytes).unwrap();
    let at = |range: &Range<u64>| message[range.start as usize..range.end as usize].to_vec();
    let mut headers = plan.headers(&summary).unwrap();
    headers.iter_mut().for_each(|header| header.bytes = at(&header.range));
    let entry = entry(message.len());
    let mut facts = Message {
        number: 3,
        entry: &entry,
        holder: 9,
        keywords: &[],
        recent: false,
        summary: Some(&summary),
        headers: &headers,
        decodings: &[],
    };
    let mut decodings = plan.decodings(&facts).unwrap().unwrap();
    for decoding in &mut decodings {
        let all = passed(decoding, message);
        decoding.note(&all);
    }
    facts.decodings = &decodings;
    let mut out = Output::default();
    plan.write(&facts, &mut out).unwrap();
    let mut wire = Vec::new();
    for piece in out.pieces() {
        match piece {
            Piece::Bytes(bytes) => wire.extend_from_slice(bytes),
            Piece::Body { message, range } => {
                assert_eq!(message, 70);
                let mut chunk = at(&range);
                fit_for_wire(&mut chunk);
                wire.extend(chunk);
            }
            Piece::Decoded(decoding) => wire.extend(passed(decoding, message)),
        }
    }
    wire
}

/// One pass, octet by octet.
fn passed(decoding: &Decoding, message: &[u8]) -> Vec<u8> {
    let (range, mut pass) = (decoding.range(), decoding.pass());
    let stored = message[range.start as usize..range.end as usize].chunks(1);
    let mut out: Vec<u8> = stored.flat_map(|octet| pass.feed(octet)).collect();
    out.extend(pass.finish());
    out
}

fn fetched(message: &[u8], items: &str) -> Vec<u8> {
    respond(message, &plan(items, false))
}

fn read(wire: &[u8]) -> Vec<MessageDataItem<'_>> {
    match ResponseCodec::new().decode(wire) {
        Ok((b"", Response::Data(Data::Fetch { items, .. }))) => items.into_iter().collect(),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(wire)),
    }
}

/// The string of the one section asked for.
fn section(message: &[u8], items: &str) -> Option<String> {
    let wire = fetched(message, items);
    let text = |data: &NString<'_>| data.0.as_ref().map(|text| String::from_utf8_lossy(text.as_ref()).into_owned());
    match &read(&wire)[..] {
        [MessageDataItem::BodyExt { data, .. }] => text(data),
        [MessageDataItem::Rfc822(data) | MessageDataItem::Rfc822Header(data) | MessageDataItem::Rfc822Text(data)] => text(data),
        other => panic!("{items}: {other:?}"),
    }
}

/// A multipart body, the preamble as short as it may be.
fn joined(boundary: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
    format!("{parts}--{boundary}--\r\n")
}

/// The example of RFC 3501 §6.4.5.
fn example() -> (String, String, String) {
    let three = format!(
        "Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{}",
        joined("c", &["\r\n3.1", "Content-Type: application/octet-stream\r\n\r\n3.2"])
    );
    let inner = joined("f", &["\r\n4.2.2.1", "Content-Type: text/richtext\r\n\r\n4.2.2.2"]);
    let four_two = format!(
        "Subject: four two\r\nFrom: a@b\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n{}",
        joined("e", &["\r\n4.2.1", &format!("Content-Type: multipart/alternative; boundary=f\r\n\r\n{inner}")])
    );
    let four = joined("d", &["Content-Type: image/gif\r\nX: y\r\n\r\n4.1", &format!("Content-Type: message/rfc822\r\n\r\n{four_two}")]);
    let body = joined(
        "b",
        &[
            "\r\nline one\r\nline two",
            "Content-Type: application/octet-stream\r\n\r\n2",
            &format!("Content-Type: message/rfc822\r\n\r\n{three}"),
            &format!("Content-Type: multipart/mixed; boundary=d\r\n\r\n{four}"),
        ],
    );
    let message = format!("Subject: all\r\n of it\r\nTo: x@y\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{body}");
    (message, three, four_two)
}

#[test]
fn every_section_of_the_example() {
    let (message, three, four_two) = example();
    let after_header = |text: &str| text.split_once("\r\n\r\n").unwrap().1.to_owned();
    let header = |text: &str| text.split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n\r\n";
    let table: Vec<(&str, Option<String>)> = vec![
        ("BODY[]", Some(message.clone())),
        ("RFC822", Some(message.clone())),
        ("BODY[HEADER]", Some(header(&message))),
        ("RFC822.HEADER", Some(header(&message))),
        ("BODY[TEXT]", Some(after_header(&message))),
        ("RFC822.TEXT", Some(after_header(&message))),
        ("BODY.PEEK[1]", Some("line one\r\nline two".into())),
        ("BODY[1.MIME]", Some("\r\n".into())),
        ("BODY[2]", Some("2".into())),
        ("BODY[2.MIME]", Some("Content-Type: application/octet-stream\r\n\r\n".into())),
        ("BODY[3]", Some(three.clone())),
        ("BODY[3.MIME]", Some("Content-Type: message/rfc822\r\n\r\n".into())),
        ("BODY[3.HEADER]", Some(header(&three))),
        ("BODY[3.TEXT]", Some(after_header(&three))),
        ("BODY[3.1]", Some("3.1".into())),
        ("BODY[3.2]", Some("3.2".into())),
        ("BODY[3.2.MIME]", Some("Content-Type: application/octet-stream\r\n\r\n".into())),
        ("BODY[4.1]", Some("4.1".into())),
        ("BODY[4.1.MIME]", Some("Content-Type: image/gif\r\nX: y\r\n\r\n".into())),
        ("BODY[4.2]", Some(four_two.clone())),
        ("BODY[4.2.HEADER]", Some(header(&four_two))),
        ("BODY[4.2.TEXT]", Some(after_header(&four_two))),
        ("BODY[4.2.1]", Some("4.2.1".into())),
        ("BODY[4.2.2.1]", Some("4.2.2.1".into())),
        ("BODY[4.2.2.2]", Some("4.2.2.2".into())),
        ("BODY[4.2.2.2.MIME]", Some("Content-Type: text/richtext\r\n\r\n".into())),
        ("BODY[HEADER.FIELDS (subject x-none)]", Some("Subject: all\r\n of it\r\n\r\n".into())),
        ("BODY[HEADER.FIELDS.NOT (SUBJECT content-type)]", Some("To: x@y\r\n\r\n".into())),
        ("BODY[HEADER.FIELDS (nothing)]", Some("\r\n".into())),
        ("BODY[3.HEADER.FIELDS (Subject)]", Some("Subject: three\r\n\r\n".into())),
        ("BODY[4.2.HEADER.FIELDS.NOT (Content-Type)]", Some("Subject: four two\r\nFrom: a@b\r\n\r\n".into())),
        ("BODY[]<5.10>", Some(message[5..15].into())),
        ("BODY[]<0.4294967295>", Some(message.clone())),
        ("BODY[]<4294967295.1>", Some(String::new())),
        ("BODY[1]<5.3>", Some("one".into())),
        ("BODY[1]<5.300>", Some("one\r\nline two".into())),
        ("BODY[HEADER]<9.3>", Some("all".into())),
        ("BODY[HEADER.FIELDS (To)]<4.3>", Some("x@y".into())),
        ("BODY[HEADER.FIELDS (To)]<400.3>", Some(String::new())),
        // Not there, or not of that kind.
        ("BODY[5]", None),
        ("BODY[1.1]", None),
        ("BODY[1.HEADER]", None),
        ("BODY[1.TEXT]<0.5>", None),
        ("BODY[4.HEADER.FIELDS (To)]", None),
        ("BODY[3.3]", None),
        ("BODY[4.2.2.3.MIME]", None),
    ];
    for (items, want) in table {
        assert_eq!(section(message.as_bytes(), items), want, "{items}");
    }
}

#[test]
fn sections_of_messages_without_parts() {
    let plain = "Subject: x\r\n\r\nhello\r\n";
    let nested = format!("Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n{plain}");
    let mixed = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        joined("b", &[&format!("Content-Type: message/rfc822\r\n\r\n{plain}")])
    );
    let table = [
        (plain, "BODY[1]", Some("hello\r\n")),
        (plain, "BODY[1.MIME]", Some("Subject: x\r\n\r\n")),
        (plain, "BODY[2]", None),
        (plain, "BODY[1.1]", None),
        (plain, "BODY[1.TEXT]", None),
        // A message that is a message.
        (&nested, "BODY[1.HEADER]", Some("Subject: inner\r\n\r\n")),
        (&nested, "BODY[1.TEXT]", Some(plain)),
        (&nested, "BODY[1.1]", Some(plain)),
        (&nested, "BODY[1.2]", None),
        // One part that is a message, which has one part.
        (&mixed, "BODY[1.1]", Some("hello\r\n")),
        (&mixed, "BODY[1.1.MIME]", Some("Subject: x\r\n\r\n")),
        // Without a header, without a body.
        ("\r\nbody", "BODY[HEADER]", Some("\r\n")),
        ("Subject: x\r\n\r\n", "BODY[TEXT]", Some("")),
        ("Subject: x\r\n\r\n", "BODY[1]", Some("")),
        ("Subject: x", "BODY[HEADER.FIELDS (Subject)]", Some("Subject: x\r\n\r\n")),
        ("A: b\r\n\r\nnul \0 here", "BODY[TEXT]", Some("nul \u{fffd} here")),
    ];
    for (message, items, want) in table {
        assert_eq!(section(message.as_bytes(), items).as_deref(), want, "{items} of {message}");
    }
}

#[test]
fn a_header_that_is_not_kept_is_asked_for() {
    let long = "X-Long: ".to_owned() + &"y".repeat(900) + "\r\n";
    let header = format!("{}Subject: late\r\n\r\n", long.repeat(HEADER_BYTES_MAX / 900 + 1));
    let message = format!("{header}body");
    assert_eq!(section(message.as_bytes(), "BODY[HEADER.FIELDS (Subject)]").as_deref(), Some("Subject: late\r\n\r\n"));
    assert_eq!(section(message.as_bytes(), "BODY[HEADER]").as_deref(), Some(header.as_str()));
    assert_eq!(section(message.as_bytes(), "BODY[TEXT]").as_deref(), Some("body"));

    // However long it is, what is read is bounded, and no header is read twice.
    let message = format!("{}Subject: lost\r\n\r\nbody", long.repeat(400));
    let bytes = summarise(&scanned(message.as_bytes()));
    let plan = plan("(BODY[HEADER.FIELDS (Subject)] BODY[HEADER.FIELDS (To)])", false);
    let headers = plan.headers(&Summary::read(&bytes).unwrap()).unwrap();
    assert_eq!(headers, [Header { range: 0..HEADERS_READ_BYTES_MAX, bytes: Vec::new() }]);
    assert_eq!(section(message.as_bytes(), "BODY[HEADER.FIELDS (Subject)]").as_deref(), Some("\r\n"));
}

#[test]
fn whole_responses() {
    let message = b"From: a@b\r\nSubject: x\r\n\r\nhello\r\n";
    let envelope = r#"(NIL "x" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)"#;
    let table = [
        ("FAST", false, r#"FLAGS (\Seen) INTERNALDATE " 7-Nov-1996 02:23:25 +0000" RFC822.SIZE 32"#.to_owned()),
        ("FLAGS", true, r"UID 7 FLAGS (\Seen)".to_owned()),
        ("(UID FLAGS UID)", true, r"UID 7 FLAGS (\Seen)".to_owned()),
        ("(BODY[] BODY.PEEK[])", false, "BODY[] {32}\r\nFrom: a@b\r\nSubject: x\r\n\r\nhello\r\n".to_owned()),
        ("ENVELOPE", false, format!("ENVELOPE {envelope}")),
        ("BODY", false, r#"BODY ("text" "plain" NIL NIL NIL "7bit" 7 1)"#.to_owned()),
        ("BODYSTRUCTURE", false, r#"BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 7 1 NIL NIL NIL NIL)"#.to_owned()),
        ("(BODY[1]<2.2> UID)", false, "BODY[1]<2> {2}\r\nll UID 7".to_owned()),
        ("BODY[2]", false, "BODY[2] NIL".to_owned()),
        ("BODY[HEADER.FIELDS (\"fr om\" from)]", false, "BODY[HEADER.FIELDS (\"fr om\" from)] {13}\r\nFrom: a@b\r\n\r\n".to_owned()),
    ];
    for (items, by_uid, want) in table {
        let wire = respond(message, &plan(items, by_uid));
        assert_eq!(String::from_utf8(wire.clone()).unwrap(), format!("* 3 FETCH ({want})\r\n"));
        read(&wire);
    }
}

#[test]
fn plans() {
    let plan = |items: &str| plan(items, false);
    for (items, sets_seen, needs_summary) in [
        ("FAST", false, false),
        ("FULL", false, true),
        ("ALL", false, true),
        ("(UID BODY.PEEK[])", false, false),
        ("BODY[]<0.5>", true, false),
        ("RFC822", true, false),
        ("RFC822.TEXT", true, true),
        ("RFC822.HEADER", false, true),
        ("(BODY.PEEK[1] BODY[1])", true, true),
        ("BODYSTRUCTURE", false, true),
    ] {
        assert_eq!((plan(items).sets_seen(), plan(items).needs_summary()), (sets_seen, needs_summary), "{items}");
    }
    let wire = respond(b"\r\n", &plan("UID").with_flags_of([7].into_iter().collect(), false));
    assert_eq!(wire, b"* 3 FETCH (UID 7 FLAGS (\\Seen))\r\n");
    let wire = respond(b"\r\n", &plan("FLAGS").with_flags_of([7].into_iter().collect(), true));
    assert_eq!(wire, b"* 3 FETCH (FLAGS (\\Seen) MODSEQ (1))\r\n");
    let wire = respond(b"\r\n", &plan("UID").with_flags_of([8].into_iter().collect(), true));
    assert_eq!(wire, b"* 3 FETCH (UID 7)\r\n");
}

#[test]
fn nothing_is_written_of_a_message_without_its_summary() {
    let (entry, mut out) = (Entry { flags: Flags::NONE, ..entry(10) }, Output::default());
    let message = Message { number: 1, entry: &entry, holder: 9, keywords: &[], recent: true, summary: None, headers: &[], decodings: &[] };
    plan("(UID FLAGS)", false).write(&message, &mut out).unwrap();
    assert!(plan("(BODY[] ENVELOPE)", false).write(&message, &mut out).is_err());
    assert_eq!(out.pieces().collect::<Vec<_>>(), [Piece::Bytes(b"* 1 FETCH (UID 7 FLAGS (\\Recent))\r\n")]);
    out.clear();
    assert!(out.is_empty() && out.pieces().next().is_none());
}

#[test]
fn envelopes() {
    let table: [(&str, &str); 7] = [
        (
            "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nSubject: IMAP4rev1 WG mtg summary and minutes\r\n\
             From: Terry Gray <gray@cac.washington.edu>\r\nTo: imap@cac.washington.edu\r\n\
             Cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n",
            // RFC 3501 §8.
            r#"("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")"#,
        ),
        (
            "To: Friends: \"A \\\"B\\\"\" <a@b>, c@d;, undisclosed:;\r\n\r\n",
            r#"(NIL NIL NIL NIL NIL ((NIL NIL "Friends" NIL)("A \"B\"" NIL "a" "b")(NIL NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "undisclosed" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)"#,
        ),
        (
            "From: x <a@b>\r\nSender: s@t\r\nReply-To: r@u\r\nBcc: <@h1,@h2:v@w>\r\nIn-Reply-To: <1@x>\r\n\r\n",
            r#"(NIL NIL (("x" NIL "a" "b")) ((NIL NIL "s" "t")) ((NIL NIL "r" "u")) NIL NIL ((NIL "@h1,@h2" "v" "w")) "<1@x>" NIL)"#,
        ),
        ("Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n", r#"(NIL "=?utf-8?q?caf=C3=A9?=" NIL NIL NIL NIL NIL NIL NIL NIL)"#),
        ("Subject: café\r\n\r\n", "(NIL {5}\r\ncafé NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (
            "From: Ü <ü@b>\r\n\r\n",
            "(NIL NIL (({2}\r\nÜ NIL {2}\r\nü \"b\")) (({2}\r\nÜ NIL {2}\r\nü \"b\")) (({2}\r\nÜ NIL {2}\r\nü \"b\")) NIL NIL NIL NIL NIL)",
        ),
        ("\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
    ];
    for (message, want) in table {
        let wire = fetched(message.as_bytes(), "ENVELOPE");
        assert_eq!(String::from_utf8_lossy(&wire), format!("* 3 FETCH (ENVELOPE {want})\r\n"), "{message}");
        read(&wire);
    }
    // An address without a domain must not be taken for the start of a group.
    let wire = fetched(b"From: root\r\n\r\n", "ENVELOPE");
    assert!(String::from_utf8_lossy(&wire).contains(r#"((NIL NIL "root" ""))"#), "{}", String::from_utf8_lossy(&wire));
}

#[test]
fn structures() {
    let (message, _, _) = example();
    let wire = fetched(message.as_bytes(), "(BODY BODYSTRUCTURE)");
    let items = read(&wire);
    let [MessageDataItem::Body(body), MessageDataItem::BodyStructure(structure)] = &items[..] else { panic!("{items:?}") };
    for (read, extended) in [(body, false), (structure, true)] {
        let BodyStructure::Multi { bodies, extension_data, .. } = read else { panic!() };
        assert_eq!((bodies.as_ref().len(), extension_data.is_some()), (4, extended));
        let BodyStructure::Single { body, .. } = &bodies.as_ref()[2] else { panic!() };
        let SpecificFields::Message { envelope, number_of_lines, .. } = &body.specific else { panic!() };
        assert_eq!(envelope.subject.0.as_ref().map(AsRef::as_ref), Some(&b"three"[..]));
        assert_eq!(*number_of_lines, 11);
    }
    let message = "Content-Type: multipart/mixed; boundary=b\r\nContent-Language: en, de\r\n\r\n--b\r\nContent-Type: image/png; name=\"a \\\"\u{e4}\"\r\n\
        Content-ID: <i@d>\r\nContent-Description: a picture\r\nContent-Transfer-Encoding: BASE64\r\nContent-MD5: Q2hlY2s=\r\n\
        Content-Disposition: attachment; filename*=utf-8''x%20y; size=3\r\nContent-Language: fr\r\nContent-Location: http://x/\r\n\r\nAAAA\r\n--b--\r\n";
    let want = "((\"image\" \"png\" (\"name\" {5}\r\na \"\u{e4}) \"<i@d>\" \"a picture\" \"base64\" 4 \"Q2hlY2s=\" \
        (\"attachment\" (\"filename*\" \"utf-8''x%20y\" \"size\" \"3\")) \"fr\" \"http://x/\") \"mixed\" (\"boundary\" \"b\") NIL (\"en\" \"de\") NIL)";
    let wire = fetched(message.as_bytes(), "BODYSTRUCTURE");
    assert_eq!(String::from_utf8_lossy(&wire), format!("* 3 FETCH (BODYSTRUCTURE {want})\r\n"));
    read(&wire);
}

#[test]
fn a_type_never_promises_what_does_not_come() {
    let mut part = scanned(b"Subject: x\r\n\r\nhello").part;
    for (kind, subtype, want) in [
        ("message", "rfc822", r#"("application" "octet-stream" NIL NIL NIL "7bit" 5)"#),
        ("multipart", "mixed", r#"("application" "octet-stream" NIL NIL NIL "7bit" 5)"#),
        ("message", "global", r#"("message" "global" NIL NIL NIL "7bit" 5)"#),
        ("text", "html", r#"("text" "html" NIL NIL NIL "7bit" 5 1)"#),
    ] {
        part.content_type = ContentType { kind: kind.into(), subtype: subtype.into(), parameters: Vec::new() };
        assert_eq!(String::from_utf8(structure::printed(&part, false)).unwrap(), want);
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["[ -~]{0,12}".prop_map(String::into_bytes), prop::collection::vec(1..=255u8, 0..12)]
}

fn parameters() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec(("[a-z*]{1,8}", text()), 0..3)
}

fn description() -> impl Strategy<Value = Description> {
    let disposition = prop::option::of(("[a-z]{1,8}", parameters()));
    let languages = prop::collection::vec("[a-z]{2}", 0..3);
    (prop::option::of(text()), prop::option::of(text()), prop::option::of("[a-z0-9]{1,8}"), disposition, languages).prop_map(
        |(id, location, encoding, disposition, languages)| Description {
            text: id.clone(),
            md5: location.clone(),
            id,
            encoding,
            disposition,
            languages,
            location,
            envelope: None,
        },
    )
}

fn part(kind: &'static str, subtype: String, parameters: Vec<(String, Vec<u8>)>, description: Description, content: Content) -> Part {
    let content_type = ContentType { kind: kind.into(), subtype, parameters };
    Part { header: 0..10, body: 10..99, body_lines: 4, content_type, description, content }
}

/// No deeper than the codec reads.
fn any_part() -> impl Strategy<Value = Part> {
    let kinds = prop::sample::select(vec!["text", "image", "application"]);
    let leaf = (kinds, "[a-z]{1,6}", parameters(), description()).prop_map(|(k, s, p, d)| part(k, s, p, d, Content::Leaf));
    leaf.prop_recursive(3, 12, 3, |inner| {
        let many = (prop::collection::vec(inner.clone(), 1..4), parameters(), description(), "[a-z]{1,6}");
        prop_oneof![
            many.prop_map(|(parts, p, d, s)| part("multipart", s, p, d, Content::Multipart(parts))),
            (inner, parameters(), description()).prop_map(|(inner, p, d)| part(
                "message",
                "rfc822".into(),
                p,
                d,
                Content::Message(Box::new(inner))
            )),
        ]
    })
}

/// The codec's reading has this shape.
fn agrees(part: &Part, read: &BodyStructure<'_>) -> bool {
    match (&part.content, read) {
        (Content::Multipart(parts), BodyStructure::Multi { bodies, subtype, .. }) => {
            let bodies = bodies.as_ref();
            subtype.as_ref() == part.content_type.subtype.as_bytes()
                && bodies.len() == parts.len()
                && parts.iter().zip(bodies).all(|(part, body)| agrees(part, body))
        }
        (Content::Message(inner), BodyStructure::Single { body, .. }) => {
            matches!(&body.specific, SpecificFields::Message { body_structure, number_of_lines: 4, .. } if agrees(inner, body_structure))
        }
        (Content::Leaf, BodyStructure::Single { body, .. }) => {
            let parameters = |(name, value): &(String, Vec<u8>)| (name.clone().into_bytes(), value.clone());
            let read = body.basic.parameter_list.iter().map(|(name, value)| (name.as_ref().to_vec(), value.as_ref().to_vec()));
            body.basic.size == 89 && part.content_type.parameters.iter().map(parameters).eq(read)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_codec_reads_every_structure(part in any_part()) {
        for (name, extended) in [("BODY", false), ("BODYSTRUCTURE", true)] {
            let wire = [format!("* 1 FETCH ({name} ").as_bytes(), &structure::printed(&part, extended), b")\r\n"].concat();
            let items = read(&wire);
            let [MessageDataItem::Body(read) | MessageDataItem::BodyStructure(read)] = &items[..] else { panic!() };
            prop_assert!(agrees(&part, read), "{}", String::from_utf8_lossy(&wire));
        }
    }

    #[test]
    fn places_of_parts_survive(part in any_part()) {
        let parts = Parts::from_bytes(&crate::parts::to_bytes(&part)).unwrap();
        let mut waiting = vec![&part];
        let mut expected = Vec::new();
        while let Some(part) = waiting.pop() {
            expected.push((part.header.clone(), part.body.clone()));
            match &part.content {
                Content::Leaf => {}
                Content::Multipart(parts) => waiting.extend(parts.iter().rev()),
                Content::Message(message) => waiting.push(message),
            }
        }
        prop_assert_eq!(parts.all().iter().map(|node| (node.header.clone(), node.body.clone())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_codec_reads_every_envelope(header in prop::collection::vec(("(From|To|Subject|Date|Reply-To|Cc)", text()), 0..6)) {
        let mut message: Vec<u8> = header.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat()).collect();
        message.extend_from_slice(b"\r\n");
        read(&fetched(&message, "(ENVELOPE BODY BODYSTRUCTURE BODY[HEADER.FIELDS (From)])"));
    }

    #[test]
    fn broken_summaries_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0..400usize) {
        let good = summarise(&scanned(example().0.as_bytes()));
        let damaged = [&good[..cut.min(good.len())], &bytes].concat();
        for bytes in [bytes, damaged] {
            let Ok(summary) = Summary::read(&bytes) else { continue };
            let plan = plan("(ENVELOPE BODY BODY[4.2.HEADER.FIELDS (To)] BODY[TEXT] BINARY[1] THREADID PREVIEW)", false);
            let headers = plan.headers(&summary).unwrap_or_default();
            let (entry, mut out) = (entry(10), Output::default());
            let mut message =
                Message { number: 1, entry: &entry, holder: 9, keywords: &[], recent: true, summary: Some(&summary), headers: &headers, decodings: &[] };
            let decodings = plan.decodings(&message).unwrap_or(Ok(Vec::new())).unwrap();
            message.decodings = &decodings;
            prop_assert!(plan.write(&message, &mut out).is_ok() || out.is_empty());
        }
    }
}
