//! Mail goes in by SMTP and is read over IMAP, on every port, with everything that may go wrong between.

use crate::daemon::{Daemon, Home, wait_for};
use crate::http::Site;
use crate::imap::Imap;
use crate::smtp::Smtp;
use std::time::Duration;

const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

fn imap(daemon: &Daemon, name: &str) -> Imap {
    Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, daemon.account(name)).unwrap()
}

/// The newest message of a mailbox, whole.
fn newest(imap: &mut Imap, mailbox: &str) -> Vec<u8> {
    imap.ok(&format!("SELECT {mailbox}")).unwrap();
    imap.ok("FETCH * BODY.PEEK[]").unwrap().literal().unwrap().to_vec()
}

fn message(subject: &str, text: &str) -> Vec<u8> {
    format!("From: Crito <crito@athens.example>\r\nTo: socrates@stoa.localhost\r\nSubject: {subject}\r\n\r\n{text}\r\n").into_bytes()
}

#[test]
fn a_strangers_message_is_read_by_its_recipient() {
    let mut home = Home::new();
    let daemon = home.start();
    let sent = message("The ship", "It arrives tomorrow.\r\n.\r\n..and a dot\r\n");
    let mut smtp = Smtp::plain(daemon.ready.ports.smtp).unwrap();
    let hello = smtp.ehlo().unwrap();
    for keyword in
        ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES", "STARTTLS", "DSN", "LIMITS", "HELP"]
    {
        assert!(hello.offers(keyword), "{keyword} in {hello:?}");
    }
    assert!(!hello.offers("AUTH"), "strangers have nothing to prove here");
    smtp.deliver("crito@athens.example", &["socrates+ships@stoa.localhost"], &sent).unwrap();
    let mut imap = imap(&daemon, "socrates");
    let read = newest(&mut imap, "INBOX");
    let text = String::from_utf8(read.clone()).unwrap();
    assert!(text.starts_with("Return-Path: <crito@athens.example>\r\nReceived: from client.example ([127.0.0.1])"), "{text}");
    assert!(read.ends_with(&sent), "{text}");

    // Nobody is here under this name, and nobody may send through here to elsewhere.
    smtp.command("MAIL FROM:<crito@athens.example>").unwrap().wants(250).unwrap();
    assert_eq!(smtp.command("RCPT TO:<xanthippe@stoa.localhost>").unwrap().code, 550);
    assert_eq!(smtp.command("RCPT TO:<a@elsewhere.example>").unwrap().code, 550);
    assert_eq!(smtp.command("VRFY socrates").unwrap().code, 252);
    daemon.stop();
}

#[test]
fn an_account_sends_to_here_and_elsewhere_in_its_own_name() {
    let mut home = Home::new();
    let daemon = home.start();
    let plato = daemon.account("plato").clone();
    let mut smtp = Smtp::plain(daemon.ready.ports.submission).unwrap();
    smtp.ehlo().unwrap();
    assert_eq!(smtp.auth_plain(&plato).unwrap().code, 538, "no password in plain");
    assert_eq!(smtp.command("MAIL FROM:<plato@stoa.localhost>").unwrap().code, 530);
    smtp.start_tls(&daemon.tls).unwrap();
    assert!(smtp.ehlo().unwrap().offers("AUTH"));
    smtp.auth_plain(&plato).unwrap().wants(235).unwrap();
    assert_eq!(smtp.command("MAIL FROM:<socrates@stoa.localhost>").unwrap().code, 550);
    let own = b"From: plato@stoa.localhost\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\nMessage-ID: <1@plato.example>\r\nSubject: Syracuse\r\n\r\nLeaving.\r\n";
    let blind = [b"Bcc: a@elsewhere.example\r\n", &own[..]].concat();
    smtp.deliver("plato@stoa.localhost", &["a@elsewhere.example", "socrates@stoa.localhost"], &blind).unwrap();
    smtp.envelope("plato@stoa.localhost", &["socrates@stoa.localhost"], "").unwrap();
    let foreign = smtp.data(b"From: socrates@stoa.localhost\r\nSubject: I did not write this\r\n\r\n").unwrap();
    assert_eq!(foreign.code, 550, "{foreign:?}");

    let mut imap = imap(&daemon, "socrates");
    let kept = newest(&mut imap, "INBOX");
    assert!(kept.ends_with(own) && !String::from_utf8_lossy(&kept).contains("Bcc"), "a blind copy stays blind");
    let outside = wait_for("mail for the outside", ARRIVES_WITHIN, || {
        imap.command("STATUS Outside (MESSAGES)").ok()?.number("MESSAGES").filter(|count| *count > 0)
    });
    assert_eq!(outside, 1);
    let caught = newest(&mut imap, "Outside");
    assert!(String::from_utf8_lossy(&caught).contains("X-Envelope-To: <a@elsewhere.example>\r\n") && caught.ends_with(own));

    let mut smtp = Smtp::tls(daemon.ready.ports.submissions, &daemon.tls).unwrap();
    smtp.ehlo().unwrap();
    let wrong = crate::daemon::Account { password: "wrong".into(), ..plato.clone() };
    assert_eq!(smtp.auth_plain(&wrong).unwrap().code, 535);
    smtp.auth_plain(&plato).unwrap().wants(235).unwrap();
    let letter = b"From: plato@stoa.localhost\r\nDate: Wed, 5 Jun 2024 09:00:00 +0200\r\nMessage-ID: <s@stoa.localhost>\r\n\r\nUnder TLS at once.\r\n";
    smtp.deliver("plato@stoa.localhost", &["socrates@stoa.localhost"], letter).unwrap();
    let read = newest(&mut imap, "INBOX");
    let text = String::from_utf8_lossy(&read);
    assert!(text.starts_with("Return-Path: <plato@stoa.localhost>\r\nReceived: by ") && read.ends_with(letter), "{text}");
    assert!(!text.contains("127.0.0.1") && !text.contains("client.example"), "where an account's user is, is nobody's business: {text}");
    daemon.stop();
}

#[test]
fn a_large_message_comes_through_whole_by_data_and_by_bdat() {
    let mut home = Home::new();
    let daemon = home.start();
    let mut smtp = Smtp::plain(daemon.ready.ports.smtp).unwrap();
    smtp.ehlo().unwrap();
    let mut imap = imap(&daemon, "socrates");
    let lines: String = (0..60_000).map(|n| format!("{n} {}\r\n", "x".repeat(40))).collect();
    let by_data = message("by DATA", &lines);
    smtp.deliver("crito@athens.example", &["socrates@stoa.localhost"], &by_data).unwrap();
    assert!(newest(&mut imap, "INBOX").ends_with(&by_data));

    // Binary: every octet but NUL, which no client could be shown.
    let mut binary = b"Subject: by BDAT\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n".to_vec();
    binary.extend((0..3_000_000u32).map(|n| (n % 255 + 1) as u8));
    smtp.envelope("crito@athens.example", &["socrates@stoa.localhost"], "BODY=BINARYMIME").unwrap();
    smtp.bdat(&binary, 700_001).unwrap().wants(250).unwrap();
    assert!(newest(&mut imap, "INBOX").ends_with(&binary));
    let part = imap.ok("FETCH * BODY.PEEK[1]<1000.500>").unwrap();
    assert_eq!(part.literal().unwrap(), &binary[binary.len() - 3_000_000 + 1000..][..500]);
    daemon.stop();
}

#[test]
fn messages_are_filed_copied_moved_marked_and_removed() {
    let mut home = Home::new();
    let daemon = home.start();
    let (mut one, mut two) = (imap(&daemon, "plato"), imap(&daemon, "plato"));
    one.ok("CREATE Dialogues/Early").unwrap();
    for n in 1..=4 {
        let filed = one.append("Dialogues/Early", &message(&format!("number {n}"), "text")).unwrap().wants("OK").unwrap();
        assert!(filed.text.contains("[APPENDUID ") && filed.text.contains(&format!(" {n}]")), "{}", filed.text);
    }
    let selected = one.ok("SELECT Dialogues/Early").unwrap();
    assert!(selected.lines().contains(&"4 EXISTS".to_owned()), "{:?}", selected.lines());
    assert_eq!(selected.number("UIDNEXT"), Some(5));
    two.ok("SELECT Dialogues/Early").unwrap();

    let idle = two.send(b"IDLE").unwrap();
    assert!(two.line().unwrap().starts_with(b"+ "));
    one.ok("STORE 2 +FLAGS (\\Flagged $Loved)").unwrap();
    let told = two.line().unwrap();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("FLAGS") && told.contains("$Loved"), "{told}");
    one.append("Dialogues/Early", &message("number 5", "text")).unwrap().wants("OK").unwrap();
    let exists = (0..5).find_map(|_| Some(two.line().unwrap()).filter(|line| line == b"* 5 EXISTS"));
    assert!(exists.is_some(), "new mail is told while idling");
    one.ok("STORE 5 +FLAGS.SILENT (\\Deleted)").unwrap();
    one.ok("UID EXPUNGE 5").unwrap();
    let expunge = (0..5).find_map(|_| Some(two.line().unwrap()).filter(|line| line == b"* 5 EXPUNGE"));
    assert!(expunge.is_some(), "a removal is told while idling");
    two.send_raw(b"DONE\r\n").unwrap();
    two.response(&idle).unwrap().wants("OK").unwrap();
    one.append("Dialogues/Early", &message("number 6", "text")).unwrap().wants("OK").unwrap();

    let copied = one.ok("COPY 1:2 Archive").unwrap();
    assert!(copied.text.contains("[COPYUID ") && copied.text.contains(" 1:2 1:2]"), "{}", copied.text);
    let moved = one.ok("UID MOVE 3,99 Archive").unwrap();
    assert!(moved.lines().iter().any(|line| line.contains("[COPYUID ") && line.contains(" 3 3]")), "{:?}", moved.lines());
    assert!(moved.lines().contains(&"3 EXPUNGE".to_owned()), "{:?}", moved.lines());
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").unwrap();
    assert!(one.ok("EXPUNGE").unwrap().lines().contains(&"1 EXPUNGE".to_owned()));
    let search = one.ok("UID SEARCH ALL").unwrap();
    assert!(search.lines().contains(&"SEARCH 2 4 6".to_owned()), "{:?}", search.lines());
    let search = one.ok("SEARCH KEYWORD $Loved SUBJECT \"NUMBER 2\"").unwrap();
    assert!(search.lines().contains(&"SEARCH 1".to_owned()), "{:?}", search.lines());
    let gone = two.ok("NOOP").unwrap();
    assert_eq!(gone.lines().iter().filter(|line| line.ends_with(" EXPUNGE")).count(), 2, "{:?}", gone.lines());
    let status = one.ok("STATUS Archive (MESSAGES UIDNEXT UNSEEN)").unwrap();
    assert_eq!((status.number("MESSAGES"), status.number("UIDNEXT"), status.number("UNSEEN")), (Some(3), Some(4), Some(3)));
    daemon.stop();
}

#[test]
fn passwords_travel_under_tls_only() {
    let mut home = Home::new();
    let daemon = home.start();
    let mut imap = Imap::plain(daemon.ready.ports.imap).unwrap();
    assert!(imap.ok("CAPABILITY").unwrap().lines().iter().any(|line| line.contains("LOGINDISABLED") && line.contains("STARTTLS")));
    let account = daemon.account("socrates").clone();
    let refused = imap.command(&format!("LOGIN {} {}", account.address, account.password)).unwrap();
    assert!(refused.status == "NO" && refused.text.contains("[PRIVACYREQUIRED]"), "{refused:?}");
    imap.start_tls(&daemon.tls).unwrap();
    imap.login(&account).unwrap();
    let listed = imap.ok("LIST \"\" *").unwrap().lines();
    for (name, attribute) in
        [("Drafts", "\\Drafts"), ("Sent", "\\Sent"), ("Junk", "\\Junk"), ("Trash", "\\Trash"), ("Archive", "\\Archive")]
    {
        assert!(listed.iter().any(|line| line.contains(attribute) && line.ends_with(&format!("\"{name}\""))), "{name} in {listed:?}");
    }
    daemon.stop();
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let mut home = Home::new();
    let daemon = home.start();
    let passwords: Vec<String> = daemon.ready.accounts.iter().map(|account| account.password.clone()).collect();
    let sent = message("before", "the restart");
    let mut smtp = Smtp::plain(daemon.ready.ports.smtp).unwrap();
    smtp.ehlo().unwrap();
    smtp.deliver("crito@athens.example", &["socrates@stoa.localhost"], &sent).unwrap();
    daemon.stop();
    let daemon = home.start();
    assert_eq!(passwords, daemon.ready.accounts.iter().map(|account| account.password.clone()).collect::<Vec<_>>());
    assert!(newest(&mut imap(&daemon, "socrates"), "INBOX").ends_with(&sent));
    daemon.stop();
}

#[test]
fn the_web_tells_mail_programs_and_people_where_to_connect() {
    let mut home = Home::new();
    let daemon = home.start();
    let ports = &daemon.ready.ports;
    for site in [Site { port: ports.http, tls: None }, Site { port: ports.https, tls: Some(&daemon.tls) }] {
        let front = site.get("/").unwrap();
        assert!(front.status == 200 && front.body.contains("stoa.localhost") && front.body.contains(&ports.imaps.to_string()));
        assert!(front.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        let settings = site.get("/.well-known/autoconfig/mail/config-v1.1.xml").unwrap();
        assert!(settings.status == 200 && settings.body.contains(&format!("<port>{}</port>", ports.submissions)));
        assert_eq!(site.get("/nothing").unwrap().status, 404);
    }
    daemon.stop();
}

#[test]
fn the_demos_page_sends_as_an_outsider_and_shows_what_arrived() {
    let mut home = Home::new();
    let daemon = home.start();
    let site = Site { port: daemon.ready.ports.http, tls: None };
    let page = site.get("/demo").unwrap();
    let token = page.body.split_once("name=\"csrf\" value=\"").and_then(|(_, after)| after.split_once('"')).unwrap().0.to_owned();
    let fields = |csrf| {
        let message = [("from", "crito@athens.example"), ("to", "socrates@stoa.localhost"), ("subject", "By form"), ("text", "Escape!")];
        [("csrf", csrf)].into_iter().chain(message).collect::<Vec<_>>()
    };
    let cookie = page.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
    let refused = site.post("/demo", cookie.as_deref(), &fields("forged")).unwrap();
    assert!(refused.status >= 400, "{refused:?}");
    let sent = site.post("/demo", cookie.as_deref(), &fields(&token)).unwrap();
    assert!(sent.status == 303 || sent.status == 200, "{sent:?}");
    let shown = site.get("/demo").unwrap();
    assert_eq!(shown.body.matches("By form").count(), 1, "the message is shown once, the forged one not at all");
    // The form's text travels as base64.
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "Escape!");
    assert!(String::from_utf8_lossy(&newest(&mut imap(&daemon, "socrates"), "INBOX")).ends_with(&format!("{encoded}\r\n")));
    daemon.stop();
}
