//! Reads mail as a mail program does (RFC 3501), as cheaply as can be: answers are counted, not kept.

use super::responses::{Line, Responses, Said};
use super::target::{Security, Target};
use super::wire::Wire;
use anyhow::{Context, bail};

/// Commands under way at once while a mailbox is filled.
const WINDOW: usize = 32;
/// Letters in one APPEND where the server takes several (RFC 3502).
const LETTERS_PER_APPEND: usize = 32;
/// RFC 7888 §5: what a server with LITERAL- takes without being asked first.
const SMALL_LITERAL_OCTETS: usize = 4096;

/// A conversation with somebody logged in.
pub(super) struct Imap {
    wire: Wire,
    responses: Responses,
    last_tag: u64,
    offers: Vec<String>,
    /// The first line that the server said.
    pub(super) greeting: String,
}

/// What an answer held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) fetched: u64,
    pub(super) found: u64,
    pub(super) expunged: u64,
    /// The last EXISTS.
    pub(super) exists: Option<u64>,
    pub(super) octets: u64,
}

impl Tally {
    fn take(&mut self, number: Option<u64>, name: &[u8], items: u64) {
        match name {
            b"FETCH" => self.fetched += 1,
            b"SEARCH" => self.found += items,
            b"EXPUNGE" => self.expunged += 1,
            b"EXISTS" => self.exists = number,
            _ => {}
        }
    }
}

/// A letter for APPEND.
pub(super) struct Entry {
    pub(super) seen: bool,
    pub(super) letter: Vec<u8>,
}

impl Imap {
    /// Connects, begins TLS as the target says, and logs in.
    pub(super) async fn connect(target: &Target) -> anyhow::Result<Imap> {
        let (port, security) = target.imap.context("no port for reading: --imaps PORT or --imap PORT")?;
        let mut wire = Wire::connect(&target.host, port).await?;
        if security == Security::Implicit {
            wire.start_tls(&target.tls, target.name.clone()).await?;
        }
        let greeting = wire.line().await?;
        if !greeting.starts_with("* OK") {
            bail!("the server does not want us: {greeting}");
        }
        let mut imap = Imap { wire, responses: Responses::default(), last_tag: 0, offers: Vec::new(), greeting };
        if security == Security::StartTls {
            imap.lines("STARTTLS").await?;
            imap.wire.start_tls(&target.tls, target.name.clone()).await?;
        }
        imap.lines(&format!("LOGIN {} {}", quoted(&target.user), quoted(target.password.reveal()))).await.context("cannot log in")?;
        let offers = imap.lines("CAPABILITY").await?;
        let words = offers.iter().filter_map(|line| line.strip_prefix("* CAPABILITY "));
        imap.offers = words.flat_map(|words| words.split(' ')).map(str::to_ascii_uppercase).collect();
        Ok(imap)
    }

    /// Does the server have this extension?
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.offers.iter().any(|offer| offer == extension)
    }

    /// A command with a short answer without literals; gives its untagged lines.
    pub(super) async fn lines(&mut self, command: &str) -> anyhow::Result<Vec<String>> {
        let tag = self.begin(command).await?;
        let mut lines = Vec::new();
        loop {
            let line = self.wire.line().await?;
            match line.strip_prefix(tag.as_str()).and_then(|rest| rest.strip_prefix(' ')) {
                Some(rest) if rest.starts_with("OK") => return Ok(lines),
                Some(rest) => bail!("the server said {rest}"),
                None => lines.push(line),
            }
        }
    }

    /// A command; counts its answer.
    pub(super) async fn run(&mut self, command: &str) -> anyhow::Result<Tally> {
        let tag = self.begin(command).await?;
        self.finish(&tag).await
    }

    /// How many messages a mailbox holds; None if there is no such mailbox.
    pub(super) async fn count(&mut self, mailbox: &str) -> anyhow::Result<Option<u64>> {
        let tag = self.begin(&format!("STATUS {mailbox} (MESSAGES)")).await?;
        let mut count = None;
        loop {
            let line = self.wire.line().await?;
            if line.starts_with(&tag) {
                return Ok(count);
            }
            count = count.or(status_messages(&line));
        }
    }

    /// Removes a mailbox if it is there.
    pub(super) async fn remove(&mut self, mailbox: &str) -> anyhow::Result<()> {
        if self.count(mailbox).await?.is_some() {
            self.run(&format!("DELETE {mailbox}")).await?;
        }
        Ok(())
    }

    /// Letters into a mailbox with one command; waits until they are there.
    pub(super) async fn append(&mut self, mailbox: &str, entries: &[Entry]) -> anyhow::Result<()> {
        let tag = self.begin_append(mailbox, entries).await?;
        self.finish(&tag).await.map(|_| ())
    }

    /// Many letters into a mailbox, by the fastest way that the server offers.
    pub(super) async fn fill(&mut self, mailbox: &str, mut entries: impl Iterator<Item = Entry> + Send) -> anyhow::Result<()> {
        let at_once = if self.offers("MULTIAPPEND") { LETTERS_PER_APPEND } else { 1 };
        let window = if self.offers("LITERAL+") { WINDOW } else { 1 };
        let mut under_way = 0;
        loop {
            let batch: Vec<Entry> = entries.by_ref().take(at_once).collect();
            if batch.is_empty() {
                break;
            }
            self.begin_append(mailbox, &batch).await?;
            under_way += 1;
            if under_way == window {
                under_way -= self.some_done().await?;
            }
        }
        while under_way > 0 {
            under_way -= self.some_done().await?;
        }
        Ok(())
    }

    /// How [`Imap::fill`] works with this server.
    pub(super) fn way_to_fill(&self) -> &'static str {
        match (self.offers("MULTIAPPEND"), self.offers("LITERAL+")) {
            (true, true) => "MULTIAPPEND, pipelined",
            (true, false) => "MULTIAPPEND",
            (false, true) => "APPEND, pipelined",
            (false, false) => "APPEND, one by one",
        }
    }

    /// Begins to idle (RFC 2177).
    pub(super) async fn idle(&mut self) -> anyhow::Result<()> {
        if !self.offers("IDLE") {
            bail!("the server does not offer IDLE");
        }
        let tag = self.begin("IDLE").await?;
        self.until_go_on(&tag).await
    }

    /// While idling: the next EXISTS.
    pub(super) async fn next_exists(&mut self) -> anyhow::Result<u64> {
        loop {
            let mut tally = Tally::default();
            let bytes = self.wire.bytes().await?;
            self.responses.feed(bytes, |line| {
                if let Said::Untagged { number, name, items } = line.said() {
                    tally.take(number, name, items);
                }
            });
            if let Some(count) = tally.exists {
                return Ok(count);
            }
        }
    }

    fn next_tag(&mut self) -> String {
        self.last_tag += 1;
        format!("b{}", self.last_tag)
    }

    async fn begin(&mut self, command: &str) -> anyhow::Result<String> {
        let tag = self.next_tag();
        self.wire.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    /// Must this literal be announced and waited for?
    fn waits_for(&self, octets: usize) -> bool {
        let free = self.offers("LITERAL+") || (self.offers("LITERAL-") && octets <= SMALL_LITERAL_OCTETS);
        !free
    }

    async fn begin_append(&mut self, mailbox: &str, entries: &[Entry]) -> anyhow::Result<String> {
        let tag = self.next_tag();
        let mut command = format!("{tag} APPEND {mailbox}").into_bytes();
        for entry in entries {
            let waits = self.waits_for(entry.letter.len());
            command.extend_from_slice(literal(entry, if waits { "" } else { "+" }).as_bytes());
            if waits {
                self.wire.send(&command).await?;
                self.until_go_on(&tag).await?;
                command.clear();
            }
            command.extend_from_slice(&entry.letter);
        }
        command.extend_from_slice(b"\r\n");
        self.wire.send(&command).await?;
        Ok(tag)
    }

    /// Waits for the end of one command at least; gives how many ended. Each must have been done.
    async fn some_done(&mut self) -> anyhow::Result<usize> {
        let (mut done, mut refused) = (0, None);
        while done == 0 || !self.responses.between_lines() {
            let bytes = self.wire.bytes().await?;
            self.responses.feed(bytes, |line| {
                if let Said::Tagged { ok, .. } = line.said() {
                    done += 1;
                    refused = refused.take().or_else(|| (!ok).then(|| line.text()));
                }
            });
        }
        refused.map_or(Ok(done), refusal)
    }

    /// Counts until the command of this tag ends.
    async fn finish(&mut self, tag: &str) -> anyhow::Result<Tally> {
        let (mut tally, mut end) = (Tally::default(), None);
        while end.is_none() || !self.responses.between_lines() {
            let bytes = self.wire.bytes().await?;
            tally.octets += bytes.len() as u64;
            self.responses.feed(bytes, |line| match line.said() {
                Said::Untagged { number, name, items } => tally.take(number, name, items),
                Said::Tagged { tag: of, ok } if of == tag.as_bytes() => end = Some((ok, line.text())),
                Said::Tagged { .. } | Said::GoOn => {}
            });
        }
        match end {
            Some((false, text)) => refusal(text),
            _ => Ok(tally),
        }
    }

    /// Waits until the server asks for more. It must not end the command of this tag, and may send other things before.
    async fn until_go_on(&mut self, tag: &str) -> anyhow::Result<()> {
        let (mut go_on, mut end) = (false, None);
        while !go_on || !self.responses.between_lines() {
            let bytes = self.wire.bytes().await?;
            self.responses.feed(bytes, |line: &Line<'_>| match line.said() {
                Said::GoOn => go_on = true,
                Said::Tagged { tag: of, .. } if of == tag.as_bytes() => end = Some(line.text()),
                _ => {}
            });
            if let Some(text) = end.take() {
                return refusal(text);
            }
        }
        Ok(())
    }
}

fn refusal<T>(text: String) -> anyhow::Result<T> {
    bail!("the server said {text}")
}

/// RFC 3501 §9: append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal, without its octets
fn literal(entry: &Entry, plus: &str) -> String {
    let flags = if entry.seen { "\\Seen" } else { "" };
    format!(" ({flags}) {{{}{plus}}}\r\n", entry.letter.len())
}

/// RFC 3501 §9: quoted = DQUOTE *QUOTED-CHAR DQUOTE
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The number in `* STATUS name (MESSAGES 12)`.
fn status_messages(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("* STATUS ")?.rsplit_once("(MESSAGES ")?.1;
    rest.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_wire() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(literal(&Entry { seen: true, letter: vec![0; 3] }, "+"), " (\\Seen) {3+}\r\n");
        assert_eq!(literal(&Entry { seen: false, letter: vec![0; 12] }, ""), " () {12}\r\n");
        assert_eq!(status_messages("* STATUS bench-10 (MESSAGES 10)"), Some(10));
        assert_eq!(status_messages("* STATUS bench-10 (UNSEEN 10)"), None);
    }

    #[test]
    fn an_answer_is_tallied() {
        let mut tally = Tally::default();
        for (number, name, items) in [
            (Some(1), "FETCH", 9),
            (Some(2), "FETCH", 9),
            (None, "SEARCH", 7),
            (Some(5), "EXISTS", 1),
            (Some(4), "EXISTS", 1),
            (Some(1), "EXPUNGE", 1),
        ] {
            tally.take(number, name.as_bytes(), items);
        }
        assert_eq!(tally, Tally { fetched: 2, found: 7, expunged: 1, exists: Some(4), octets: 0 });
    }
}
