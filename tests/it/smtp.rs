//! A mail client's sending half, written for the tests: says what it is told to, and reads replies exactly.
//!
//! RFC 5321, with STARTTLS (RFC 3207), AUTH PLAIN (RFC 4954, RFC 4616) and BDAT (RFC 3030).

use crate::daemon::Account;
use crate::wire::{Place, Wire};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::ClientConfig;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Replies of more lines than this are no replies.
const REPLY_LINES_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Without the code.
    pub lines: Vec<String>,
}

impl Reply {
    /// Turns a reply with another code into an error that shows it.
    pub fn wants(self, code: u16) -> io::Result<Reply> {
        if self.code == code { Ok(self) } else { Err(io::Error::other(format!("wanted {code}, got {self:?}"))) }
    }

    /// Whether EHLO's reply has this keyword, whatever follows it.
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().skip(1).any(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)))
    }
}

pub struct Smtp {
    wire: Wire,
}

impl Smtp {
    /// Connects in plain and reads the greeting.
    pub fn plain(place: impl Into<Place>) -> io::Result<Smtp> {
        Smtp::greeted(Wire::plain(place)?)
    }

    /// Connects under TLS and reads the greeting.
    pub fn tls(place: impl Into<Place>, tls: &Arc<ClientConfig>) -> io::Result<Smtp> {
        Smtp::greeted(Wire::tls(place, tls)?)
    }

    fn greeted(wire: Wire) -> io::Result<Smtp> {
        let mut smtp = Smtp { wire };
        smtp.reply()?.wants(220)?;
        Ok(smtp)
    }

    /// The port on our side.
    pub fn local_port(&self) -> io::Result<u16> {
        self.wire.local_port()
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        while lines.len() < REPLY_LINES_MAX {
            let line = String::from_utf8_lossy(&self.wire.line()?).into_owned();
            let (code, rest) = line.split_at_checked(3).ok_or_else(|| invalid(&line))?;
            let code: u16 = code.parse().map_err(|_| invalid(&line))?;
            let text = rest.get(1..).unwrap_or_default();
            lines.push(text.to_owned());
            match rest.as_bytes().first() {
                None | Some(b' ') => return Ok(Reply { code, lines }),
                Some(b'-') => {}
                Some(_) => return Err(invalid(&line)),
            }
        }
        Err(invalid("a reply without end"))
    }

    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Bytes as they are, and no reply is read.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    pub fn ehlo(&mut self) -> io::Result<Reply> {
        self.command("EHLO client.example")?.wants(250)
    }

    pub fn start_tls(&mut self, tls: &Arc<ClientConfig>) -> io::Result<()> {
        self.command("STARTTLS")?.wants(220)?;
        self.wire.start_tls(tls)
    }

    pub fn auth_plain(&mut self, account: &Account) -> io::Result<Reply> {
        let response = STANDARD.encode(format!("\0{}\0{}", account.address, account.password));
        self.command(&format!("AUTH PLAIN {response}"))
    }

    /// MAIL and RCPT, all of which must be accepted. `parameters` follow the reverse-path.
    pub fn envelope(&mut self, from: &str, to: &[&str], parameters: &str) -> io::Result<()> {
        self.command(format!("MAIL FROM:<{from}> {parameters}").trim_end())?.wants(250)?;
        for address in to {
            self.command(&format!("RCPT TO:<{address}>"))?.wants(250)?;
        }
        Ok(())
    }

    /// The message by DATA; it must end with CRLF.
    pub fn data(&mut self, message: &[u8]) -> io::Result<Reply> {
        self.command("DATA")?.wants(354)?;
        self.wire.send(&stuffed(message))?;
        self.reply()
    }

    /// The message by BDAT in chunks of this size; what is left of it is the last one.
    pub fn bdat(&mut self, message: &[u8], chunk_bytes: usize) -> io::Result<Reply> {
        let mut rest = message;
        loop {
            let (chunk, later) = rest.split_at(chunk_bytes.min(rest.len()));
            let last = if later.is_empty() { " LAST" } else { "" };
            self.wire.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes())?;
            self.wire.send(chunk)?;
            let reply = self.reply()?;
            if later.is_empty() || reply.code != 250 {
                return Ok(reply);
            }
            rest = later;
        }
    }

    /// Envelope and message, all of which must be accepted.
    pub fn deliver(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<()> {
        self.envelope(from, to, "")?;
        self.data(message)?.wants(250).map(drop)
    }
}

/// RFC 5321 §4.5.2: a dot before each dot that begins a line, and a line of one dot at the end.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not a reply: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::scripted;

    #[test]
    fn dots_are_stuffed() {
        assert_eq!(stuffed(b"a\r\n.b\r\n..\r\n"), b"a\r\n..b\r\n...\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
    }

    #[test]
    fn replies_of_several_lines_and_chunks() {
        let (port, heard) = scripted(b"220 hi\r\n250-mx\r\n250-SIZE 1000\r\n250 STARTTLS\r\n250 2.0.0 3 octets\r\n250 2.0.0 stored\r\n");
        let mut smtp = Smtp::plain(port).unwrap();
        let hello = smtp.ehlo().unwrap();
        assert!(hello.offers("size") && hello.offers("STARTTLS") && !hello.offers("AUTH") && !hello.offers("mx"));
        assert_eq!(smtp.bdat(b"abcde", 3).unwrap().lines, ["2.0.0 stored"]);
        drop(smtp);
        assert_eq!(heard.join().unwrap(), b"EHLO client.example\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nde");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        let (port, _heard) = scripted(b"hello\r\n");
        assert!(Smtp::plain(port).is_err());
        let (port, _heard) = scripted(b"554 go away\r\n");
        assert!(Smtp::plain(port).err().unwrap().to_string().contains("554"));
    }
}
