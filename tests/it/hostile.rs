//! Messages that were made to fell the program that reads them: they are kept, listed, searched and read like others.

use crate::daemon::Home;
use crate::imap::Imap;

/// As many header fields as fill two megabytes.
fn many_fields() -> Vec<u8> {
    let fields: String = (0..100_000).map(|number| format!("X-{number}: some value\r\n")).collect();
    format!("Subject: many fields\r\nFrom: crito@athens.example\r\n{fields}\r\nText.\r\n").into_bytes()
}

/// Parts in parts, deeper than any program writes them.
fn deep_parts() -> Vec<u8> {
    let parts: String =
        (0..5_000).map(|depth| format!("Content-Type: multipart/mixed; boundary=\"b{depth}\"\r\n\r\n--b{depth}\r\n")).collect();
    format!("Subject: deep parts\r\nMIME-Version: 1.0\r\n{parts}\r\nText.\r\n").into_bytes()
}

/// Letters in letters: each would be parsed as a message of its own.
fn letters_in_letters() -> Vec<u8> {
    format!("Subject: letters\r\nMIME-Version: 1.0\r\n{}\r\nText.\r\n", "Content-Type: message/rfc822\r\n\r\n".repeat(20_000)).into_bytes()
}

/// A parameter in pieces (RFC 2231 §3), and the pieces out of order.
fn parameter_in_pieces() -> Vec<u8> {
    let pieces: String = (0..20_000).rev().map(|piece| format!(";\r\n a*{piece}=x")).collect();
    format!("Subject: pieces\r\nMIME-Version: 1.0\r\nContent-Type: text/plain{pieces}\r\n\r\nText.\r\n").into_bytes()
}

/// As many parts as lines.
fn many_parts() -> Vec<u8> {
    let head = "Subject: many parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    format!("{head}{}--b--\r\n", "--b\r\n\r\na\r\n".repeat(50_000)).into_bytes()
}

fn answers(imap: &mut Imap, command: &str) -> String {
    imap.ok(command).unwrap_or_else(|error| panic!("{command}: {error}")).lines().join("\n")
}

#[test]
fn messages_like_bombs_are_kept_and_shown() {
    let mut home = Home::new();
    let daemon = home.start();
    let mut imap = Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, daemon.account("plato")).unwrap();
    imap.ok("CREATE bombs").unwrap();
    let bombs = [many_fields(), deep_parts(), letters_in_letters(), parameter_in_pieces(), many_parts()];
    for bomb in &bombs {
        imap.append("bombs", bomb).unwrap().wants("OK").unwrap();
    }
    imap.ok("SELECT bombs").unwrap();
    for (number, bomb) in bombs.iter().enumerate().map(|(place, bomb)| (place + 1, bomb)) {
        let sizes = answers(&mut imap, &format!("FETCH {number} (RFC822.SIZE ENVELOPE BODYSTRUCTURE)"));
        assert!(sizes.contains(&format!("RFC822.SIZE {}", bomb.len())), "{number}");
        answers(&mut imap, &format!("FETCH {number} (BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)] BODY.PEEK[1] BODY.PEEK[1.1.HEADER])"));
        let whole = imap.ok(&format!("FETCH {number} BODY.PEEK[]")).unwrap();
        assert!(whole.literal() == Some(bomb), "{number}");
    }
    // A path through more levels than there are.
    answers(&mut imap, &format!("FETCH 1:* BODY.PEEK[{}1.MIME]", "1.".repeat(20_000)));
    for (search, found) in [
        ("HEADER X-99 value", "* SEARCH 1"),
        ("FROM athens", "* SEARCH 1"),
        ("SUBJECT pieces", "* SEARCH 4"),
        ("BODY Text", "* SEARCH 1 4"),
    ] {
        assert_eq!(format!("* {}", answers(&mut imap, &format!("SEARCH {search}"))), found, "{search}");
    }
    imap.ok("LOGOUT").ok();
    daemon.stop();
}
