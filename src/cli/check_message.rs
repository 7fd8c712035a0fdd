//! `stoa check-message`: what this server would think of a message from a given peer, one result a line.
//!
//! Needs no data directory. Asks the name servers of the system, or the one that is named, which is believed without DNSSEC. The
//! message comes on standard input, in pieces, and may be left out. Whatever the results are, having judged is a success.

use super::{now, say};
use crate::net::dns::{Resolver, ResolverSettings};
use crate::trust::verify::{Exceptions, Verifier, Witness};
use crate::trust::{Principal, Trust};
use anyhow::Context;
use std::io::{IsTerminal, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stoa_smtp::Address;

/// For one question to one server; verification has a limit for all of them.
const QUESTION_SECONDS: u64 = 5;
/// Repetitions of a question that got no answer.
const ATTEMPTS: usize = 2;
/// Octets of a message that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The address of the peer that brings the message
    #[arg(long, value_name = "IP")]
    ip: IpAddr,
    /// What the peer calls itself in EHLO
    #[arg(long, value_name = "NAME")]
    helo: String,
    /// The envelope's sender; '' or '<>' for that of reports
    #[arg(long, value_name = "ADDR", value_parser = sender)]
    mail_from: String,
    /// The name server to ask, instead of the system's
    #[arg(long, value_name = "HOST:PORT")]
    dns: Option<String>,
    /// The name of the server in what it says of itself
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    hostname: String,
}

/// An address, perhaps in angle brackets; empty for the null reverse-path.
fn sender(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    if text.is_empty() {
        return Ok(String::new());
    }
    Address::parse(text).map(|address| address.to_string()).ok_or_else(|| "this is not an address such as alice@example.org".to_owned())
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { ip, helo, mail_from, dns, hostname } = arguments;
    let settings =
        |servers| ResolverSettings { servers, trust_anchors: None, timeout: Duration::from_secs(QUESTION_SECONDS), attempts: ATTEMPTS };
    let resolver = match dns {
        Some(server) => Resolver::trusting(&settings(vec![name_server(&server).await?]))?,
        None => Resolver::new(&settings(Vec::new()))?,
    };
    let verifier = Verifier::new(Arc::new(resolver), &hostname, Exceptions::default())?;
    let connection = verifier.of_connection(ip, &helo, &mail_from, now()).await;
    let message = tokio::task::spawn_blocking(from_standard_input).await?.context("cannot read the message from standard input")?;
    let Some(witness) = message else {
        say(&connection.words().join("\n"));
        return Ok(());
    };
    let results = verifier.of_message(connection, &witness.finish()).await;
    say(&format!("{}\n{}", results.words().join("\n"), trust_words(&verifier.trust(&results))));
    Ok(())
}

/// A name server as an address, or as a name that the system knows.
async fn name_server(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, 53).into());
    }
    let mut found = tokio::net::lookup_host(text)
        .await
        .with_context(|| format!("--dns {text}: name an address and a port, such as 192.0.2.53:53 or [2001:db8::53]:53"))?;
    found.next().with_context(|| format!("--dns {text}: this host has no address"))
}

fn from_standard_input() -> std::io::Result<Option<Witness>> {
    let input = std::io::stdin();
    if input.is_terminal() { Ok(None) } else { read(input.lock()) }
}

/// A message, with line ends as SMTP has them; none if there is none.
fn read(mut input: impl Read) -> std::io::Result<Option<Witness>> {
    let (mut witness, mut piece, mut last) = (Witness::new(), vec![0; PIECE_BYTES], None);
    loop {
        let count = input.read(&mut piece)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        last = Some(push_with_crlf(&mut witness, read, last.unwrap_or(0)));
    }
    if last.is_some_and(|last| last != b'\n') {
        // As whoever sends it would do.
        witness.push(b"\r\n");
    }
    Ok(last.map(|_| witness))
}

/// Gives line ends as SMTP has them: a file of this system has LF alone. Returns the last octet.
fn push_with_crlf(witness: &mut Witness, bytes: &[u8], before: u8) -> u8 {
    let mut before = before;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        witness.push(text);
        if text.len() < line.len() {
            let is_crlf = text.last().copied().unwrap_or(before) == b'\r';
            witness.push(if is_crlf { b"\n" } else { b"\r\n" });
        }
        before = line.last().copied().unwrap_or(before);
    }
    before
}

fn trust_words(trust: &Trust) -> String {
    match trust.principal() {
        Principal::Address(address) => format!("trust={} {}", trust.level() as u8, shown(address)),
        Principal::Account(_, address) => format!("trust={} {}", trust.level() as u8, shown(address)),
        Principal::Nobody => format!("trust={}", trust.level() as u8),
    }
}

/// For a terminal: nothing in it moves the cursor.
fn shown(address: &str) -> String {
    address.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_message_it_is() {
        let table = [("alice@one.test", Some("alice@one.test")), ("<a@b>", Some("a@b")), ("", Some("")), ("<>", Some("")), ("alice", None)];
        for (text, expected) in table {
            assert_eq!(sender(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn line_ends_become_those_of_smtp_wherever_a_piece_ends() {
        let expected = {
            let mut witness = Witness::new();
            witness.push(b"DKIM-Signature: v=1; a=rsa-sha256; d=a.b; s=c; h=from; bh=AA==; b=AA==\r\nFrom: a@b\r\n\r\nx\r\ny\r\n");
            witness.finish()
        };
        for text in ["\n", "\r\n"] {
            let head = "DKIM-Signature: v=1; a=rsa-sha256; d=a.b; s=c; h=from; bh=AA==; b=AA==\nFrom: a@b\n\nx\ny\n".replace('\n', text);
            for piece in [1, 2, 7, 1_000] {
                let (mut witness, mut last) = (Witness::new(), 0);
                for piece in head.as_bytes().chunks(piece) {
                    last = push_with_crlf(&mut witness, piece, last);
                }
                assert_eq!(witness.finish(), expected, "{text:?} {piece}");
            }
            let cut = head.trim_end_matches(['\r', '\n']);
            assert_eq!(read(cut.as_bytes()).unwrap().unwrap().finish(), expected);
        }
        assert!(read(&b""[..]).unwrap().is_none());
    }
}
