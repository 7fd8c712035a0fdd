//! Replies of the host that takes our mail (RFC 5321 §4.2), read from a stranger within limits.
//!
//! What came with a reply beyond its end waits for the next: replies to a group of commands come together. Who starts
//! TLS throws the reader away, and with it what somebody may have put behind the reply in clear.

use super::super::carrier::Status;
use super::limits::{REPLY_BYTES_MAX, REPLY_CHARS_KEPT_MAX};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// From 200 to 599.
    pub code: u16,
    /// What stands behind the code, line by line, as it came.
    pub lines: Vec<String>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoReply {
    /// The connection ended.
    Gone(String),
    /// It took too long.
    Slow,
    /// What came is no reply, or has no end.
    Garbage,
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    pub(super) fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// RFC 2034: the status that begins the text, if it fits the code; else the bare class.
    pub(super) fn status(&self) -> Status {
        let class = self.code / 100;
        let first = self.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        let mut parts = first.split('.').map(|part| if part.len() <= 3 { part.parse::<u16>().ok() } else { None });
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(given)), Some(Some(subject)), Some(Some(detail)), None) if given == class => Status(class, subject, detail),
            _ => Status(class, 0, 0),
        }
    }

    /// On one line, safe to show and to report.
    pub(super) fn text(&self) -> String {
        clean(&format!("{} {}", self.code, self.lines.join(" ")))
    }
}

/// Without control characters and cut: what strangers say ends up in reports and logs.
pub(super) fn clean(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(REPLY_CHARS_KEPT_MAX).collect::<String>().trim_end().to_owned()
}

/// Reads replies one after another.
#[derive(Debug, Default)]
pub(super) struct Replies {
    pending: Vec<u8>,
}

impl Replies {
    /// The next reply.
    pub(super) async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S, patience: Duration) -> Result<Reply, NoReply> {
        tokio::time::timeout(patience, self.unhurried(stream)).await.unwrap_or(Err(NoReply::Slow))
    }

    async fn unhurried<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Reply, NoReply> {
        let mut block = [0; 2048];
        loop {
            if let Some((reply, length)) = parse(&self.pending)? {
                self.pending.drain(..length);
                return Ok(reply);
            }
            if self.pending.len() >= REPLY_BYTES_MAX {
                return Err(NoReply::Garbage);
            }
            match stream.read(&mut block).await {
                Ok(0) => return Err(NoReply::Gone("it closed the connection".to_owned())),
                Ok(n) => self.pending.extend_from_slice(block.get(..n).unwrap_or_default()),
                Err(error) => return Err(NoReply::Gone(error.to_string())),
            }
        }
    }
}

/// RFC 5321 §4.2: *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
///
/// A bare LF ends a line too: some hosts send it, and nothing is gained by not understanding them.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NoReply> {
    let (mut lines, mut at, mut code) = (Vec::new(), 0, None);
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
        let line = bytes.get(at..at + length).unwrap_or_default();
        at += length + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, rest) = line.split_at_checked(3).ok_or(NoReply::Garbage)?;
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(NoReply::Garbage)?;
        if !(200..600).contains(&number) || code.is_some_and(|code| code != number) {
            return Err(NoReply::Garbage);
        }
        code = Some(number);
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(NoReply::Garbage),
        };
        lines.push(String::from_utf8_lossy(text).into_owned());
        if last {
            return Ok(Some((Reply { code: number, lines }, at)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn reply(code: u16, lines: &[&str]) -> Reply {
        Reply { code, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[tokio::test]
    async fn replies_that_come_together_are_told_apart() {
        let mut replies = Replies::default();
        let mut stream = &b"250-one\r\n250 two\r\n354\r\n550 5.1.1 no\n2"[..];
        assert_eq!(replies.next(&mut stream, PATIENCE).await, Ok(reply(250, &["one", "two"])));
        assert_eq!(replies.next(&mut stream, PATIENCE).await, Ok(reply(354, &[""])));
        assert_eq!(replies.next(&mut stream, PATIENCE).await, Ok(reply(550, &["5.1.1 no"])));
        assert!(matches!(replies.next(&mut stream, PATIENCE).await, Err(NoReply::Gone(_))));
    }

    #[tokio::test]
    async fn what_is_no_reply_is_refused() {
        for garbage in ["hello\r\n", "99 x\r\n", "250-a\r\n550 b\r\n", "25\r\n", "600 a\r\n", "250_a\r\n", "\u{e9}50 a\r\n", "+20 a\r\n"] {
            assert_eq!(Replies::default().next(&mut garbage.as_bytes(), PATIENCE).await, Err(NoReply::Garbage), "{garbage}");
        }
    }

    #[tokio::test]
    async fn a_reply_without_end_is_broken_off() {
        for endless in [b"250-and so on\r\n".repeat(10_000), vec![b'2'; 1 << 20]] {
            let mut stream = endless.as_slice();
            assert_eq!(Replies::default().next(&mut stream, PATIENCE).await, Err(NoReply::Garbage));
            assert!(endless.len() - stream.len() < 2 * REPLY_BYTES_MAX);
        }
        let (mut silent, _other) = tokio::io::duplex(10);
        assert_eq!(Replies::default().next(&mut silent, PATIENCE).await, Err(NoReply::Slow));
    }

    #[test]
    fn the_status_must_fit_the_code() {
        for (line, want) in [
            ("5.1.1 no such user", Status(5, 1, 1)),
            ("4.1.1 no such user", Status(5, 0, 0)),
            ("5.1.1.1 x", Status(5, 0, 0)),
            ("5.1", Status(5, 0, 0)),
            ("5.7.1234 x", Status(5, 0, 0)),
            ("", Status(5, 0, 0)),
        ] {
            assert_eq!(reply(550, &[line]).status(), want, "{line}");
        }
    }

    #[test]
    fn a_reply_is_safe_to_show() {
        let text = reply(550, &["a\u{7}\tb\u{1b}[31m", "c"]).text();
        assert_eq!(text, "550 a  b [31m c");
        assert_eq!(reply(550, &[&"x".repeat(5000)]).text().chars().count(), REPLY_CHARS_KEPT_MAX);
    }
}
