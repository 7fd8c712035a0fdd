//! One connection of a scripted mail server: commands in, replies as the script has them, everything written down.
//!
//! Standards: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 3030 (BDAT), RFC 2920 (pipelining), RFC 4954 (AUTH).

use super::{Act, Received, Shared, Stage};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// One read takes so much at most.
const CHUNK_OCTETS: usize = 16 * 1024;

/// A command line; what RFC 5321 §4.5.3.1.4 allows, and room for wrong ones that a test wants to see.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// A message. More than any test sends.
const MESSAGE_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// What is endless for a client that bounds what it reads.
const ENDLESS_OCTETS: usize = 256 * 1024 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) struct Conversation {
    stream: Box<dyn Stream>,
    /// Octets that came and were not looked at.
    buffer: Vec<u8>,
    /// The buffer was empty before the last octets came: the next command begins a group.
    fresh: bool,
    in_tls: bool,
    sender: String,
    recipients: Vec<String>,
    /// Of the chunks of BDAT.
    body: Vec<u8>,
    shared: Arc<Shared>,
    /// Where in `shared` this connection is written down.
    number: usize,
}

impl Conversation {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>) -> Conversation {
        let number = shared.begin();
        Conversation {
            stream: Box::new(stream),
            buffer: Vec::new(),
            fresh: true,
            in_tls: false,
            sender: String::new(),
            recipients: Vec::new(),
            body: Vec::new(),
            shared,
            number,
        }
    }

    /// Talks until one side hangs up, which is `None`.
    pub(super) async fn run(mut self) -> Option<()> {
        self.respond(Stage::Banner, None, "220 peer.test ESMTP").await?;
        loop {
            let line = self.command().await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "HELO" => self.hello(&verb).await?,
                "STARTTLS" => self.start_tls().await?,
                "AUTH" => self.auth(&line).await?,
                "MAIL" => self.mail(&line).await?,
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "BDAT" => self.bdat(&line).await?,
                "RSET" => {
                    self.reset();
                    self.respond(Stage::Rset, None, "250 2.0.0 Reset").await?;
                }
                "NOOP" => self.say("250 2.0.0 Well").await?,
                "QUIT" => {
                    self.respond(Stage::Quit, None, "221 2.0.0 Bye").await?;
                    return None;
                }
                _ => self.say("500 5.5.1 Unknown").await?,
            }
        }
    }

    async fn hello(&mut self, verb: &str) -> Option<()> {
        self.reset();
        let greeting = if verb == "EHLO" { self.shared.script().greeting(self.in_tls) } else { "250 peer.test".to_owned() };
        self.respond(Stage::Ehlo, None, &greeting).await.map(drop)
    }

    async fn start_tls(&mut self) -> Option<()> {
        let certificate = self.shared.script().certificate.clone().filter(|_| !self.in_tls);
        let Some(certificate) = certificate else { return self.say("502 5.5.1 Not offered").await };
        if !self.respond(Stage::StartTls, None, "220 2.0.0 Go ahead").await? {
            return Some(());
        }
        let act = self.shared.script().take(Stage::Handshake, None);
        if let Some(act) = act {
            self.act(act, "").await?;
        }
        // RFC 3207 §4.2: what was said before TLS is forgotten; so is what came behind STARTTLS.
        self.buffer.clear();
        self.reset();
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let stream = TlsAcceptor::from(certificate.server()).accept(plain).await.ok()?;
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        self.shared.write_down(self.number, |heard| (heard.tls, heard.server_name) = (true, name));
        (self.stream, self.in_tls, self.fresh) = (Box::new(stream), true, true);
        Some(())
    }

    /// PLAIN and LOGIN; whatever the client says is right, unless the script says otherwise.
    async fn auth(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let prompts: &[&str] = match words.as_slice() {
            [_, _, _] => &[],
            [_, mechanism] if mechanism.eq_ignore_ascii_case("PLAIN") => &["334 "],
            [_, mechanism] if mechanism.eq_ignore_ascii_case("LOGIN") => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            _ => return self.say("504 5.5.4 Unknown mechanism").await,
        };
        for prompt in prompts {
            self.say(prompt).await?;
            self.command().await?;
        }
        self.respond(Stage::Auth, None, "235 2.7.0 Welcome").await.map(drop)
    }

    async fn mail(&mut self, line: &str) -> Option<()> {
        if self.respond(Stage::Mail, None, "250 2.1.0 Sender").await? {
            self.sender = line.to_owned();
        }
        Some(())
    }

    async fn rcpt(&mut self, line: &str) -> Option<()> {
        let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if self.respond(Stage::AnyRcpt, Some(&address), "250 2.1.5 Recipient").await? {
            self.recipients.push(line.to_owned());
        }
        Some(())
    }

    async fn data(&mut self) -> Option<()> {
        if self.recipients.is_empty() {
            return self.say("554 5.5.1 No valid recipients").await;
        }
        if !self.respond(Stage::Data, None, "354 Go ahead").await? {
            return Some(());
        }
        let mut body = Vec::new();
        loop {
            let line = self.line(MESSAGE_OCTETS_MAX).await?;
            match line.as_slice() {
                b".\r\n" => break,
                // RFC 5321 §4.5.2.
                [b'.', rest @ ..] => body.extend_from_slice(rest),
                line => body.extend_from_slice(line),
            }
            if body.len() > MESSAGE_OCTETS_MAX {
                return None;
            }
        }
        self.received(body).await
    }

    async fn bdat(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let length: usize = words.get(1)?.parse().ok()?;
        if length + self.body.len() > MESSAGE_OCTETS_MAX {
            return None;
        }
        while self.buffer.len() < length {
            self.read().await?;
        }
        self.body.extend(self.buffer.drain(..length));
        if self.recipients.is_empty() {
            return self.say("503 5.5.1 No valid recipients").await;
        }
        if !words.get(2).is_some_and(|last| last.eq_ignore_ascii_case("LAST")) {
            return self.say("250 2.0.0 Chunk").await;
        }
        let body = std::mem::take(&mut self.body);
        self.received(body).await
    }

    async fn received(&mut self, body: Vec<u8>) -> Option<()> {
        if self.respond(Stage::Message, None, "250 2.6.0 Taken").await? {
            let (sender, recipients, tls) = (self.sender.clone(), self.recipients.clone(), self.in_tls);
            self.shared.write_down(self.number, |heard| heard.messages.push(Received { sender, recipients, body, tls }));
        }
        self.reset();
        Some(())
    }

    fn reset(&mut self) {
        self.sender.clear();
        self.recipients.clear();
        self.body.clear();
    }

    /// Replies as usual or as the script has it. Does the client get what it asked for?
    async fn respond(&mut self, stage: Stage, recipient: Option<&str>, usual: &str) -> Option<bool> {
        let act = self.shared.script().take(stage, recipient);
        match act {
            None => self.say(usual).await.map(|()| true),
            Some(act) => self.act(act, usual).await,
        }
    }

    async fn act(&mut self, act: Act, usual: &str) -> Option<bool> {
        match act {
            Act::Reply(reply) => {
                self.say(reply).await?;
                if reply.starts_with("421") {
                    return None;
                }
                return Some(reply.starts_with(['2', '3']));
            }
            Act::Wait(time) => {
                tokio::time::sleep(time).await;
                if !usual.is_empty() {
                    self.say(usual).await?;
                }
                return Some(true);
            }
            Act::Silence => {
                while self.read().await.is_some() {
                    self.buffer.clear();
                }
            }
            Act::Drop => {}
            Act::Garbage => {
                self.say("\u{7f}ELF \u{1}\u{2} this is no reply").await?;
                while self.read().await.is_some() {
                    self.buffer.clear();
                }
            }
            Act::EndlessReply => self.pour(b"250-and so on\r\n").await?,
            Act::EndlessLine => self.pour(b"250 and so on ").await?,
        }
        None
    }

    async fn pour(&mut self, drops: &[u8]) -> Option<()> {
        let chunk = drops.repeat(CHUNK_OCTETS / drops.len());
        for _ in 0..ENDLESS_OCTETS / chunk.len() {
            self.stream.write_all(&chunk).await.ok()?;
        }
        Some(())
    }

    async fn say(&mut self, reply: &str) -> Option<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()
    }

    /// The next command, without its line end; written down with those that came together with it.
    async fn command(&mut self) -> Option<String> {
        let line = self.line(LINE_OCTETS_MAX).await?;
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        let first = std::mem::take(&mut self.fresh);
        self.shared.write_down(self.number, |heard| {
            heard.commands.push(line.clone());
            match heard.groups.last_mut().filter(|_| !first) {
                Some(group) => *group += 1,
                None => heard.groups.push(1),
            }
        });
        Some(line)
    }

    /// The next line with its line end.
    async fn line(&mut self, octets_max: usize) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                return Some(self.buffer.drain(..=searched + at).collect());
            }
            searched = self.buffer.len();
            if searched > octets_max {
                return None;
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Option<()> {
        let mut chunk = vec![0; CHUNK_OCTETS];
        let length = self.stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        self.fresh |= self.buffer.is_empty();
        self.buffer.extend_from_slice(&chunk[..length]);
        Some(())
    }
}
