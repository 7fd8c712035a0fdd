//! The server follows its script and writes down what it is told.

use super::*;
use crate::{Authority, Certificate};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::Ipv4Addr;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const LONG: Duration = Duration::from_secs(30);

async fn peer(script: Script) -> Peer {
    Peer::serve(script, (Ipv4Addr::LOCALHOST, 0).into()).await
}

async fn connect(peer: &Peer) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(peer.address()).await.expect("it listens"))
}

/// Sends, and reads as many lines as are wanted; fewer if the server hangs up.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str, lines: usize) -> Vec<String> {
    stream.write_all(text.as_bytes()).await.expect("it can be written");
    stream.flush().await.expect("it can be written");
    let mut got = Vec::new();
    while got.len() < lines {
        let mut line = String::new();
        match timeout(LONG, stream.read_line(&mut line)).await.expect("it answers in time") {
            Ok(length) if length > 0 => got.push(line.trim_end().to_owned()),
            _ => break,
        }
    }
    got
}

#[tokio::test]
async fn a_message_is_taken_and_its_conversation_written_down() {
    let peer = peer(Script::new().offering("CHUNKING")).await;
    let mut client = connect(&peer).await;
    ask(&mut client, "EHLO me.test\r\n", 9).await;
    let group = "MAIL FROM:<a@one.test> SMTPUTF8\r\nRCPT TO:<b@two.test>\r\nRCPT TO:<c@two.test>\r\nDATA\r\n";
    assert_eq!(ask(&mut client, group, 4).await[3], "354 Go ahead");
    assert!(ask(&mut client, "..dot\r\nline\r\n.\r\n", 1).await[0].starts_with("250"));
    ask(&mut client, "MAIL FROM:<>\r\nRCPT TO:<b@two.test>\r\nBDAT 3\r\nab\nBDAT 1 LAST\r\nc", 4).await;
    ask(&mut client, "QUIT\r\n", 1).await;

    let received = peer.received();
    assert_eq!(received[0].sender, "MAIL FROM:<a@one.test> SMTPUTF8");
    assert_eq!(received[0].recipients, ["RCPT TO:<b@two.test>", "RCPT TO:<c@two.test>"]);
    assert_eq!((received[0].body.as_slice(), received[0].tls), (b".dot\r\nline\r\n".as_slice(), false));
    assert_eq!(received[1].body, b"ab\nc");
    let heard = &peer.heard()[0];
    assert_eq!(heard.groups.iter().sum::<usize>(), heard.commands.len());
    assert!(heard.groups[..2] == [1, 4], "{:?}", heard.groups);
}

#[tokio::test]
async fn rules_change_replies_for_a_stage_or_a_recipient() {
    let script =
        Script::new().first(1, Stage::Mail, Act::Reply("450 4.7.1 Later")).at(Stage::Rcpt("b@two.test"), Act::Reply("550 5.1.1 Nobody"));
    let peer = peer(script).await;
    let mut client = connect(&peer).await;
    ask(&mut client, "EHLO me.test\r\n", 8).await;
    assert_eq!(ask(&mut client, "MAIL FROM:<>\r\n", 1).await, ["450 4.7.1 Later"]);
    assert_eq!(ask(&mut client, "MAIL FROM:<>\r\nRCPT TO:<b@two.test>\r\n", 2).await[1], "550 5.1.1 Nobody");
    assert_eq!(ask(&mut client, "DATA\r\n", 1).await, ["554 5.5.1 No valid recipients"]);
    peer.follow(Script::new().at(Stage::AnyRcpt, Act::Reply("421 4.3.2 Closing")));
    assert_eq!(ask(&mut client, "RCPT TO:<c@two.test>\r\nNOOP\r\n", 2).await, ["421 4.3.2 Closing"]);
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn a_server_can_hang_up_be_silent_or_never_end() {
    let gone = peer(Script::new().at(Stage::Banner, Act::Drop)).await;
    assert!(ask(&mut connect(&gone).await, "", 1).await.is_empty());

    let silent = peer(Script::new().at(Stage::Banner, Act::Silence)).await;
    let mut client = connect(&silent).await;
    assert!(timeout(Duration::from_millis(100), client.read_u8()).await.is_err());

    let endless = peer(Script::new().at(Stage::Ehlo, Act::EndlessReply)).await;
    assert_eq!(ask(&mut connect(&endless).await, "EHLO me.test\r\n", 5000).await.len(), 5000);

    let line = peer(Script::new().at(Stage::Banner, Act::EndlessLine)).await;
    let mut octets = vec![0; 1_000_000];
    connect(&line).await.read_exact(&mut octets).await.expect("it goes on");
    assert!(!octets.contains(&b'\n'));
}

async fn starttls(peer: &Peer, authority: &Authority) -> std::io::Result<TlsStream<TcpStream>> {
    let mut client = connect(peer).await;
    let offers = ask(&mut client, "EHLO me.test\r\n", 9).await;
    assert!(offers[8].ends_with("STARTTLS") || offers[7].ends_with("STARTTLS"), "{offers:?}");
    ask(&mut client, "STARTTLS\r\n", 1).await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS is known");
    let config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
    let name = ServerName::try_from("mail.two.test").expect("this is a name");
    TlsConnector::from(Arc::new(config)).connect(name, client.into_inner()).await
}

#[tokio::test]
async fn tls_shows_the_certificate_of_the_script() {
    let authority = Authority::new();
    let names = ["mail.two.test"];
    let good = peer(Script::new().tls(&authority.certificate(&names))).await;
    let mut client = BufReader::new(starttls(&good, &authority).await.expect("a good certificate is trusted"));
    let offers = ask(&mut client, "EHLO me.test\r\n", 7).await;
    assert!(!offers.iter().any(|offer| offer.ends_with("STARTTLS")), "{offers:?}");
    let heard = &good.heard()[0];
    assert!(heard.tls && heard.server_name.as_deref() == Some("mail.two.test"));

    let bad = [authority.expired(&names), authority.certificate(&["other.test"]), Certificate::self_signed(&names)];
    for certificate in bad {
        assert!(starttls(&peer(Script::new().tls(&certificate)).await, &authority).await.is_err());
    }
    let garbled = peer(Script::new().tls(&authority.certificate(&names)).at(Stage::Handshake, Act::Garbage)).await;
    assert!(starttls(&garbled, &authority).await.is_err());
}

#[tokio::test]
async fn passwords_are_asked_for() {
    let peer = peer(Script::new().offering("AUTH PLAIN LOGIN")).await;
    let mut client = connect(&peer).await;
    ask(&mut client, "EHLO me.test\r\n", 9).await;
    assert_eq!(ask(&mut client, "AUTH LOGIN\r\nYQ==\r\nYg==\r\n", 3).await[2], "235 2.7.0 Welcome");
    assert!(peer.heard()[0].commands.ends_with(&["YQ==".to_owned(), "Yg==".to_owned()]));
}
