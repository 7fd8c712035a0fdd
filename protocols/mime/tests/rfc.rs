//! The example messages of the RFCs, each with our reading of it beside it; `mail-parser` must see the same leaves.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use mail_parser::{MessageParser, PartType};
use stoa_mime::{Address, Content, Envelope, Part, Scanner, date, parameter, words};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rfc-fixtures");
    let files = |name: &str| fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut cases = [files("rfc5322"), files("rfc2046")].concat();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    cases.sort();
    cases
}

/// The columns of each row of a table.
fn rows(folder: &str, file: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rfc-fixtures").join(folder).join(file);
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn encoded_words() {
    let rows = rows("rfc2047", "8.tsv");
    assert_eq!(rows.len(), 14);
    for row in rows {
        let [value, want] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(words::decode(value.replace("\\r\\n", "\r\n").as_bytes()), *want, "{value}");
    }
}

#[test]
fn parameters() {
    let rows = rows("rfc2231", "parameters.tsv");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let [value, name, want] = row.as_slice() else { panic!("{row:?}") };
        let message = format!("Content-Type: {value}\r\n\r\n");
        assert_eq!(parameter(&scan(message.as_bytes()).content_type.parameters, name).as_ref(), Some(want), "{value}");
    }
}

fn scan(message: &[u8]) -> Part {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    scanner.finish().part
}

#[test]
fn readings() {
    assert!(cases().len() >= 10);
    for case in cases() {
        let mut shown = String::new();
        show(&scan(&fs::read(&case).unwrap()), 0, &mut shown);
        let want = fs::read_to_string(case.with_extension("want")).unwrap_or_default();
        assert_eq!(shown, want, "{}", case.display());
    }
}

#[test]
fn mail_parser_sees_the_same_leaves() {
    for case in cases() {
        let message = fs::read(&case).unwrap();
        let theirs = MessageParser::default().parse(&message).unwrap();
        let theirs: Vec<_> = theirs
            .parts
            .iter()
            .filter(|part| matches!(part.body, PartType::Text(_)))
            .map(|part| u64::from(part.offset_body)..u64::from(part.offset_end))
            .collect();
        let mut ours = Vec::new();
        leaves(&scan(&message), &mut ours);
        assert_eq!(ours, theirs, "{}", case.display());
    }
}

/// Ranges of what is not within a message within the message.
fn leaves(part: &Part, found: &mut Vec<std::ops::Range<u64>>) {
    match &part.content {
        Content::Leaf => found.push(part.body.clone()),
        Content::Multipart(parts) => parts.iter().for_each(|part| leaves(part, found)),
        Content::Message(_) => {}
    }
}

fn show(part: &Part, depth: usize, shown: &mut String) {
    let (indent, kind) = ("  ".repeat(depth), &part.content_type);
    writeln!(shown, "{indent}{}/{} header {:?} body {:?} lines {}", kind.kind, kind.subtype, part.header, part.body, part.body_lines)
        .unwrap();
    if let Some(envelope) = &part.description.envelope {
        show_envelope(envelope, &indent, shown);
    }
    match &part.content {
        Content::Leaf => {}
        Content::Multipart(parts) => parts.iter().for_each(|part| show(part, depth + 1, shown)),
        Content::Message(inner) => show(inner, depth + 1, shown),
    }
}

fn show_envelope(envelope: &Envelope, indent: &str, shown: &mut String) {
    let texts = [("subject", &envelope.subject), ("message-id", &envelope.message_id), ("in-reply-to", &envelope.in_reply_to)];
    if let Some(value) = &envelope.date {
        writeln!(shown, "{indent}date: {}", date::parse(value).map_or("unreadable".to_owned(), date::format)).unwrap();
    }
    for (name, value) in texts {
        value.iter().for_each(|value| writeln!(shown, "{indent}{name}: {}", words::decode(value)).unwrap());
    }
    for (name, list) in [("from", &envelope.from), ("to", &envelope.to), ("cc", &envelope.cc)] {
        list.iter().for_each(|address| writeln!(shown, "{indent}{name}: {}", address_text(address)).unwrap());
    }
}

fn address_text(address: &Address) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match address {
        Address::Mailbox { name, route, local, host } => {
            let [name, route] = [name, route].map(|it| it.as_deref().map_or("-".to_owned(), text));
            format!("name={name} route={route} local={} host={}", text(local), text(host))
        }
        Address::GroupStart(name) => format!("group {}", text(name)),
        Address::GroupEnd => "end of group".to_owned(),
    }
}
