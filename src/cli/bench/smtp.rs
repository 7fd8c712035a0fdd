//! Hands in letters as another server does (RFC 5321): one transaction after another, nobody logs in.
//!
//! Where the server offers PIPELINING, MAIL, RCPT and DATA go out together (RFC 2920); a transaction begins when the one
//! before has its answer.

use super::target::Target;
use super::wire::Wire;
use anyhow::{Context, bail};
use std::time::Instant;

/// Who we say we are.
const HELLO: &[u8] = b"EHLO bench.localhost\r\n";
const MAIL_FROM: &str = "MAIL FROM:<bench@example.net>\r\n";

/// A conversation that is open for the next transaction.
pub(super) struct Smtp {
    wire: Wire,
    pipelining: bool,
    recipient: String,
    /// The first line that the server said.
    pub(super) greeting: String,
}

/// When the server had all of a letter, and when it had taken it over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    pub(super) begun: Instant,
    pub(super) sent: Instant,
    pub(super) taken: Instant,
}

/// A letter with the end that DATA asks for (RFC 5321 §4.1.1.4). No line of it begins with a dot.
pub(super) fn data(mut letter: Vec<u8>) -> Vec<u8> {
    letter.extend_from_slice(b".\r\n");
    letter
}

impl Smtp {
    /// Connects and says hello.
    pub(super) async fn connect(target: &Target) -> anyhow::Result<Smtp> {
        let port = target.smtp.context("no port for deliveries: --smtp PORT")?;
        let wire = Wire::connect(&target.host, port).await?;
        let recipient = format!("RCPT TO:<{}>\r\n", target.to);
        let mut smtp = Smtp { wire, pipelining: false, recipient, greeting: String::new() };
        smtp.greeting = smtp.reply("220").await?;
        smtp.wire.send(HELLO).await?;
        let offers = smtp.reply("250").await?;
        smtp.pipelining = offers.lines().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("PIPELINING")));
        Ok(smtp)
    }

    /// A whole transaction; takes what [`data`] made.
    pub(super) async fn deliver(&mut self, data: &[u8]) -> anyhow::Result<Delivered> {
        let begun = Instant::now();
        let recipient = self.recipient.clone();
        let commands = [(MAIL_FROM, "250"), (recipient.as_str(), "250"), ("DATA\r\n", "354")];
        if self.pipelining {
            self.wire.send(commands.map(|(command, _)| command).concat().as_bytes()).await?;
            for (_, want) in commands {
                self.reply(want).await?;
            }
        } else {
            for (command, want) in commands {
                self.wire.send(command.as_bytes()).await?;
                self.reply(want).await?;
            }
        }
        self.wire.send(data).await?;
        let sent = Instant::now();
        self.reply("250").await?;
        Ok(Delivered { begun, sent, taken: Instant::now() })
    }

    /// Takes leave.
    pub(super) async fn quit(mut self) -> anyhow::Result<()> {
        self.wire.send(b"QUIT\r\n").await?;
        self.reply("221").await.map(|_| ())
    }

    /// Reads a reply, which must have this code; gives its lines.
    async fn reply(&mut self, code: &str) -> anyhow::Result<String> {
        let mut reply = String::new();
        loop {
            let line = self.wire.line().await?;
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                if !reply.starts_with(code) {
                    bail!("the server did not take it: {reply}");
                }
                return Ok(reply);
            }
            reply.push('\n');
        }
    }
}
