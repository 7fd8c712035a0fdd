//! An invented outsider: writes a message and hands it in at an SMTP port, as any other server would (RFC 5321).
//!
//! Takes what a person typed into a form. The server's own words come back, good or bad.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Zoned;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use stoa_smtp::Address;
use stoa_webapp::DemoForm;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the whole conversation, with a server on the same machine.
const CONVERSATION_SECONDS: Duration = Duration::from_secs(15);
/// Octets of a reply line with its CRLF (RFC 5321 §4.5.3.1.5 asks for 512).
const REPLY_BYTES_MAX: u64 = 2048;
/// Octets of text in one encoded word: 45 are 60 in base64, which with its frame stays within 75 (RFC 2047 §2).
const WORD_BYTES_MAX: usize = 45;
/// Octets of text in a line of base64 (RFC 2045 §6.8 allows 76 characters).
const LINE_BYTES: usize = 57;

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    from: &'a str,
    to: &'a str,
    subject: &'a str,
    text: &'a str,
}

impl<'a> From<&'a DemoForm> for Letter<'a> {
    fn from(form: &'a DemoForm) -> Letter<'a> {
        Letter { from: form.from.trim(), to: form.to.trim(), subject: form.subject.trim(), text: &form.text }
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    #[error("{0:?} is not a mail address such as diotima@mantinea.example")]
    Address(String),
    #[error("The server refused it: {0}")]
    Refused(String),
    #[error("The server took too long to answer")]
    TimedOut,
    #[error("The connection to the server failed")]
    Connection(#[from] io::Error),
}

/// Sends the message; gives the server's reply.
pub(super) async fn send(server: SocketAddr, letter: &Letter<'_>) -> Result<String, NotSent> {
    for address in [letter.from, letter.to] {
        if Address::parse(address).is_none() {
            return Err(NotSent::Address(address.to_owned()));
        }
    }
    timeout(CONVERSATION_SECONDS, converse(server, letter)).await.unwrap_or(Err(NotSent::TimedOut))
}

async fn converse(server: SocketAddr, letter: &Letter<'_>) -> Result<String, NotSent> {
    let mut stream = BufStream::new(TcpStream::connect(server).await?);
    expect(&mut stream, '2').await?;
    // RFC 6531 §3.4: asked for only where it is needed.
    let international = if letter.from.is_ascii() && letter.to.is_ascii() { "" } else { " BODY=8BITMIME SMTPUTF8" };
    say(&mut stream, "EHLO outside.example\r\n", '2').await?;
    say(&mut stream, &format!("MAIL FROM:<{}>{international}\r\n", letter.from), '2').await?;
    say(&mut stream, &format!("RCPT TO:<{}>\r\n", letter.to), '2').await?;
    say(&mut stream, "DATA\r\n", '3').await?;
    let reply = say(&mut stream, &content(letter, &Zoned::now()), '2').await?;
    // The message is accepted, whatever becomes of the goodbye.
    _ = say(&mut stream, "QUIT\r\n", '2').await;
    Ok(reply)
}

async fn say(stream: &mut BufStream<TcpStream>, line: &str, want: char) -> Result<String, NotSent> {
    stream.write_all(line.as_bytes()).await?;
    stream.flush().await?;
    expect(stream, want).await
}

/// RFC 5321 §4.2: the lines of a reply but the last have a hyphen after the code.
async fn expect(stream: &mut BufStream<TcpStream>, want: char) -> Result<String, NotSent> {
    loop {
        let mut line = String::new();
        let read = (&mut *stream).take(REPLY_BYTES_MAX).read_line(&mut line).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            let reply = line.trim_end().to_owned();
            return if reply.starts_with(want) { Ok(reply) } else { Err(NotSent::Refused(reply)) };
        }
    }
}

/// The message with its end, ready for DATA. No line of it begins with a dot, since base64 has none.
fn content(letter: &Letter<'_>, now: &Zoned) -> String {
    let date = jiff::fmt::rfc2822::to_string(now).unwrap_or_default();
    let mut all = format!("Date: {date}\r\nFrom: {}\r\nTo: {}\r\n", letter.from, letter.to);
    all.push_str(&subject(letter.subject));
    all.push_str(&format!("Message-ID: <{:032x}@outside.example>\r\n", rand::random::<u128>()));
    all.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    // A form brings CRLF (HTML), but a program that fills it in may not.
    let text = letter.text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    for line in text.as_bytes().chunks(LINE_BYTES) {
        all.push_str(&STANDARD.encode(line));
        all.push_str("\r\n");
    }
    all.push_str(".\r\n");
    all
}

/// The field, with encoded words (RFC 2047) unless it is short and plain.
fn subject(text: &str) -> String {
    if text.len() <= 60 && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !text.contains("=?") {
        return format!("Subject: {text}\r\n");
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= WORD_BYTES_MAX => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    format!("Subject: {}\r\n", words.join("\r\n "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_typed_cannot_add_fields_or_end_the_message() {
        let subject = "x\r\nBcc: all@example.org";
        let letter = Letter { from: "a@b.example", to: "c@d.example", subject, text: "one\n.\r\ntwo\n" };
        let content = content(&letter, &Zoned::now());
        assert!(!content.contains("\r\nBcc"));
        assert_eq!(content.matches("\r\n.\r\n").count(), 1);
        assert!(content.ends_with("\r\n.\r\n"));
        assert!(content.replace("\r\n", "").bytes().all(|b| b.is_ascii_graphic() || b == b' '));
    }

    #[test]
    fn long_subjects_become_words_of_whole_characters() {
        let text = "Περὶ ἔρωτος ".repeat(12);
        let field = subject(text.trim());
        let words = field.trim_start_matches("Subject: ").split("\r\n").map(str::trim).filter(|word| !word.is_empty());
        let decoded: String = words
            .map(|word| {
                assert!(word.len() <= 75, "{word}");
                let inner = word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
                String::from_utf8(STANDARD.decode(inner).unwrap()).unwrap()
            })
            .collect();
        assert_eq!(decoded, text.trim());
        assert_eq!(subject("On love"), "Subject: On love\r\n");
    }

    /// A server that says these lines one by one, whatever it hears, and gives what it heard.
    async fn scripted(lines: &'static [&'static str]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = tokio::spawn(async move {
            let mut stream = BufStream::new(listener.accept().await.unwrap().0);
            let mut heard = String::new();
            let mut in_content = false;
            for (n, line) in lines.iter().enumerate() {
                if n > 0 {
                    listen_to(&mut stream, in_content, &mut heard).await;
                }
                in_content = line.starts_with('3');
                stream.write_all(line.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            heard
        });
        (address, heard)
    }

    /// One line, or a message with its end.
    async fn listen_to(stream: &mut BufStream<TcpStream>, in_content: bool, heard: &mut String) {
        loop {
            let mut line = String::new();
            let read = stream.read_line(&mut line).await.unwrap();
            heard.push_str(&line);
            if read == 0 || !in_content || line == ".\r\n" {
                return;
            }
        }
    }

    const LETTER: Letter<'static> = Letter { from: "a@b.example", to: "c@d.example", subject: "s", text: "t" };

    #[tokio::test]
    async fn a_message_goes_in_step_by_step() {
        let lines =
            &["220 hi\r\n", "250-hi\r\n250 SIZE\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 2.0.0 Stored\r\n", "221 bye\r\n"];
        let (server, heard) = scripted(lines).await;
        assert_eq!(send(server, &LETTER).await.unwrap(), "250 2.0.0 Stored");
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("EHLO outside.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"), "{heard}");
        assert!(heard.ends_with("\r\n.\r\nQUIT\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words() {
        let (server, _) = scripted(&["220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "550 5.1.1 No such account\r\n"]).await;
        let refused = send(server, &LETTER).await.unwrap_err();
        assert_eq!(refused.to_string(), "The server refused it: 550 5.1.1 No such account");
        let (server, _) = scripted(&["421 busy\r\n"]).await;
        assert!(matches!(send(server, &LETTER).await, Err(NotSent::Refused(_))));
        let (server, _) = scripted(&["220 hi\r\n"]).await;
        assert!(matches!(send(server, &LETTER).await, Err(NotSent::Connection(_))));
    }

    #[tokio::test]
    async fn a_bad_address_is_not_even_tried() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        for from in ["", "diotima", "a@b>\r\nRSET", "a b@c"] {
            let letter = Letter { from, to: "c@d.example", subject: "", text: "" };
            assert!(matches!(send(nowhere, &letter).await, Err(NotSent::Address(_))), "{from:?}");
        }
    }
}
