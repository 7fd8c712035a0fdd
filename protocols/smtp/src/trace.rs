//! Trace headers (RFC 5321 §4.4): where a message came from and where reports about it go.
//!
//! Takes what a stranger called itself and makes it harmless. Of an account's own client neither name nor
//! address is told: they would say where a person is.

use crate::address::{Address, ReversePath};
use crate::envelope::{Client, Envelope};
use crate::limits::HEADER_LINE_CHARS_MAX;
use std::net::IpAddr;

/// The Received header, folded, with CRLF. `date` is a date-time of RFC 5322 §3.3; `for_whom` is given only
/// when the message has one recipient, for it would tell of blind copies.
pub fn received_header(envelope: &Envelope, hostname: &str, id: &str, for_whom: Option<&Address>, date: &str) -> Vec<u8> {
    let client = &envelope.client;
    let mut words = Vec::new();
    if client.account.is_none() {
        words.push(format!("from {}", harmless(&client.helo)));
        words.push(match client.peer {
            IpAddr::V4(address) => format!("([{address}])"),
            IpAddr::V6(address) => format!("([IPv6:{address}])"),
        });
    }
    words.push(format!("by {hostname}"));
    words.push(format!("with {}", protocol(client, envelope.smtputf8)));
    if let Some(tls) = &client.tls {
        words.push(format!("({} {})", harmless(&tls.version), harmless(&tls.cipher)));
    }
    words.push(format!("id {id}"));
    words.extend(for_whom.map(|address| format!("for <{address}>")));
    if let Some(last) = words.last_mut() {
        last.push(';');
    }
    words.push(date.to_owned());
    folded("Received:", &words)
}

/// The Return-Path header, with CRLF.
pub fn return_path_header(reverse_path: &ReversePath) -> Vec<u8> {
    format!("Return-Path: <{reverse_path}>\r\n").into_bytes()
}

/// RFC 3848 and RFC 6531 §3.7.3 name the ways of transmission.
fn protocol(client: &Client, smtputf8: bool) -> String {
    let base = match (smtputf8, client.esmtp) {
        (true, _) => "UTF8SMTP",
        (false, true) => "ESMTP",
        // RFC 3848 has no names for HELO with TLS or AUTH.
        (false, false) => return "SMTP".to_owned(),
    };
    let secure = if client.tls.is_some() { "S" } else { "" };
    let account = if client.account.is_some() { "A" } else { "" };
    format!("{base}{secure}{account}")
}

/// Only what a domain or a literal is made of.
fn harmless(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' }).collect()
}

fn folded(name: &str, words: &[String]) -> Vec<u8> {
    let (mut header, mut column) = (name.to_owned(), name.len());
    for word in words {
        let width = word.chars().count() + 1;
        let fits = column + width <= HEADER_LINE_CHARS_MAX;
        header.push_str(if fits { " " } else { "\r\n\t" });
        header.push_str(word);
        column = if fits { column + width } else { width };
    }
    header.push_str("\r\n");
    header.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BodyKind;
    use stoa_session::TlsFacts;

    fn envelope(account: Option<&str>, tls: bool) -> Envelope {
        let facts = TlsFacts { version: "TLS1.3".into(), cipher: "TLS_AES_128_GCM_SHA256".into(), ..TlsFacts::default() };
        let (peer, helo) = ("2001:db8::7".parse().unwrap(), "evil(\r\nX: y)".into());
        let client = Client { peer, helo, esmtp: true, tls: tls.then_some(facts), account: account.map(str::to_owned) };
        let (reverse_path, recipients) = (ReversePath::Null, Vec::new());
        Envelope { reverse_path, recipients, body: BodyKind::SevenBit, smtputf8: false, size: None, ret: None, envid: None, client }
    }

    #[test]
    fn received_from_a_stranger_and_from_an_account() {
        let whom = Address::parse("a@b.example").unwrap();
        let date = "Tue, 1 Jul 2003 10:52:37 +0200";
        let stranger = String::from_utf8(received_header(&envelope(None, false), "mx.example", "1", Some(&whom), date)).unwrap();
        let expected = "Received: from evil???X:?y? ([IPv6:2001:db8::7]) by mx.example with ESMTP id 1\r\n\tfor <a@b.example>; Tue, 1 Jul 2003 10:52:37 +0200\r\n";
        assert_eq!(stranger, expected);
        let own = String::from_utf8(received_header(&envelope(Some("me"), true), "mx.example", "1", None, date)).unwrap();
        assert!(own.starts_with("Received: by mx.example with ESMTPSA (TLS1.3 TLS_AES_128_GCM_SHA256) id 1;"), "{own}");
        assert!(!own.contains("2001") && own.lines().all(|line| line.len() <= 78));
    }

    #[test]
    fn return_paths() {
        assert_eq!(return_path_header(&ReversePath::Null), b"Return-Path: <>\r\n");
        let address = Address::parse("\"a b\"@c").unwrap();
        assert_eq!(return_path_header(&ReversePath::Address(address)), b"Return-Path: <\"a b\"@c>\r\n");
    }
}
