//! A mail client's reading half, written for the tests: tagged commands, and responses with their literals whole.
//!
//! RFC 3501, with IDLE (RFC 2177) and LITERAL+ (RFC 7888). Understands no more of a response than a test needs.

use crate::daemon::Account;
use crate::wire::{Place, Wire};
use rustls::ClientConfig;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// What a command brought.
#[derive(Debug, Clone)]
pub struct Response {
    /// `OK`, `NO` or `BAD`.
    pub status: String,
    /// What follows the status.
    pub text: String,
    /// Untagged responses without their `* `, literals in place.
    pub untagged: Vec<Vec<u8>>,
}

impl Response {
    /// Turns another status into an error that shows the response.
    pub fn wants(self, status: &str) -> io::Result<Response> {
        let shown = || self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>();
        if self.status == status {
            Ok(self)
        } else {
            Err(io::Error::other(format!("wanted {status}, got {} {} after {:?}", self.status, self.text, shown())))
        }
    }

    /// Untagged responses as text.
    pub fn lines(&self) -> Vec<String> {
        self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// The number after this word in any untagged response or the text, such as `UIDNEXT`.
    pub fn number(&self, word: &str) -> Option<u64> {
        let all = self.lines().into_iter().chain([self.text.clone()]);
        all.filter_map(|line| {
            let (_, after) = line.split_once(&format!("{word} "))?;
            after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .next()
    }

    /// The first literal.
    pub fn literal(&self) -> Option<&[u8]> {
        self.literals().next()
    }

    /// The first literal of each untagged response that has one.
    pub fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.untagged.iter().filter_map(|line| {
            let end = line.windows(3).position(|w| w == b"}\r\n")?;
            let start = line[..end].iter().rposition(|byte| *byte == b'{')?;
            let count: usize = std::str::from_utf8(&line[start + 1..end]).ok()?.parse().ok()?;
            line.get(end + 3..end + 3 + count)
        })
    }
}

pub struct Imap {
    wire: Wire,
    tags: u32,
}

impl Imap {
    /// Connects in plain and reads the greeting.
    pub fn plain(place: impl Into<Place>) -> io::Result<Imap> {
        Imap::greeted(Wire::plain(place)?)
    }

    /// Connects under TLS and reads the greeting.
    pub fn tls(place: impl Into<Place>, tls: &Arc<ClientConfig>) -> io::Result<Imap> {
        Imap::greeted(Wire::tls(place, tls)?)
    }

    /// Connects under TLS and signs in.
    pub fn signed_in(place: impl Into<Place>, tls: &Arc<ClientConfig>, account: &Account) -> io::Result<Imap> {
        let mut imap = Imap::tls(place, tls)?;
        imap.login(account)?;
        Ok(imap)
    }

    fn greeted(wire: Wire) -> io::Result<Imap> {
        let mut imap = Imap { wire, tags: 0 };
        let greeting = imap.line()?;
        if greeting.starts_with(b"* OK ") { Ok(imap) } else { Err(invalid(&greeting)) }
    }

    /// The port on our side.
    pub fn local_port(&self) -> io::Result<u16> {
        self.wire.local_port()
    }

    pub fn start_tls(&mut self, tls: &Arc<ClientConfig>) -> io::Result<()> {
        self.command("STARTTLS")?.wants("OK")?;
        self.wire.start_tls(tls)
    }

    pub fn login(&mut self, account: &Account) -> io::Result<()> {
        self.command(&format!("LOGIN {} {}", account.address, account.password))?.wants("OK").map(drop)
    }

    /// A command without literals, and its response.
    pub fn command(&mut self, command: &str) -> io::Result<Response> {
        let tag = self.send(command.as_bytes())?;
        self.response(&tag)
    }

    /// A command that must succeed.
    pub fn ok(&mut self, command: &str) -> io::Result<Response> {
        self.command(command)?.wants("OK")
    }

    /// Files a message with LITERAL+, so that nothing but the outcome comes back.
    pub fn append(&mut self, mailbox: &str, message: &[u8]) -> io::Result<Response> {
        let mut command = format!("APPEND {mailbox} {{{}+}}\r\n", message.len()).into_bytes();
        command.extend_from_slice(message);
        let tag = self.send(&command)?;
        self.response(&tag)
    }

    /// Sends a tagged command; the caller reads what comes.
    pub fn send(&mut self, command: &[u8]) -> io::Result<String> {
        self.tags += 1;
        let tag = format!("a{}", self.tags);
        self.wire.send(&[tag.as_bytes(), b" ", command, b"\r\n"].concat())?;
        Ok(tag)
    }

    /// Bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    pub fn response(&mut self, tag: &str) -> io::Result<Response> {
        let mut untagged = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(rest) = line.strip_prefix(b"* ") {
                untagged.push(rest.to_vec());
            } else if let Some(rest) = line.strip_prefix(format!("{tag} ").as_bytes()) {
                let rest = String::from_utf8_lossy(rest).into_owned();
                let (status, text) = rest.split_once(' ').unwrap_or((&rest, ""));
                return Ok(Response { status: status.to_owned(), text: text.to_owned(), untagged });
            } else {
                return Err(invalid(&line));
            }
        }
    }

    /// A line with the literals in it, without its last CRLF.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = self.wire.line()?;
        while let Some(count) = announced(&line) {
            line.extend_from_slice(b"\r\n");
            line.extend(self.wire.exactly(count)?);
            line.extend(self.wire.line()?);
        }
        Ok(line)
    }
}

/// The size of the literal that a line ends in.
fn announced(line: &[u8]) -> Option<usize> {
    let start = line.strip_suffix(b"}")?.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&line[start + 1..line.len() - 1]).ok()?.parse().ok()
}

fn invalid(line: &[u8]) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not a response: {}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::scripted;

    #[test]
    fn responses_with_literals() {
        let (port, _heard) = scripted(b"* OK hi\r\n* 1 FETCH (BODY[] {5}\r\na\r\nbc UID 7)\r\n* 3 EXISTS\r\na1 OK [UIDNEXT 9] done\r\n");
        let response = Imap::plain(port).unwrap().command("UID FETCH 7 BODY[]").unwrap();
        assert_eq!((response.status.as_str(), response.untagged.len()), ("OK", 2));
        assert_eq!(response.literal(), Some(&b"a\r\nbc"[..]));
        assert_eq!((response.number("UID"), response.number("UIDNEXT")), (Some(7), Some(9)));
    }
}
