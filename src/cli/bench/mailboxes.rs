//! Mailboxes: what mail programs ask of small and large ones.
//!
//! A mailbox is filled once and found again by the next run: nothing here leaves it changed. The first time may be dearer,
//! since servers remember what they found; so it has a row of its own, and a second row is of many times.

use super::Bench;
use super::imap::{Entry, Imap, Tally};
use super::letters::{IN_NO_LETTER, ONE_WRITER, Writer};
use super::meter::Work;
use super::target::Target;
use anyhow::bail;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const LETTER_OCTETS: usize = 4 * 1024;
/// Who fill a mailbox together, so that a server that syncs each message may share its syncs.
const FILLING: u64 = 4;
/// One message in so many is unseen.
const UNSEEN_EACH: u64 = 10;
/// A command is not repeated more often than this.
const REPEATS_MAX: usize = 5000;

/// What the answer must hold, so that nothing is fast by being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// EXISTS with the number of messages.
    Exists,
    /// A FETCH for each message.
    Fetches,
    /// An EXPUNGE for each message.
    Expunges,
    /// Nothing is found.
    NoMatch,
    /// Something is found.
    Matches,
    /// Only OK.
    Ok,
}

impl Holds {
    /// Checks an answer about a mailbox of this size.
    pub(super) fn check(self, tally: &Tally, size: u64) -> anyhow::Result<()> {
        let (right, got) = match self {
            Holds::Exists => (tally.exists == Some(size), tally.exists.unwrap_or(0)),
            Holds::Fetches => (tally.fetched == size, tally.fetched),
            Holds::Expunges => (tally.expunged == size, tally.expunged),
            Holds::NoMatch => (tally.found == 0, tally.found),
            Holds::Matches => (tally.found > 0 || size < 2 * UNSEEN_EACH * UNSEEN_EACH, tally.found),
            Holds::Ok => (true, 0),
        };
        if !right {
            bail!("the answer was wrong: {self:?} of {size} messages, but {got} came");
        }
        Ok(())
    }
}

/// A question, what counts as one operation, and what the answer must hold.
struct Question {
    name: &'static str,
    command: String,
    /// Its cost is divided by the messages rather than by the commands.
    each_message: bool,
    holds: Holds,
}

/// What mail programs ask, in the order in which they do.
fn questions(mailbox: &str) -> Vec<Question> {
    let of = |name, command: String, each_message, holds| Question { name, command, each_message, holds };
    let fetch = |name, items: &str| of(name, format!("UID FETCH 1:* ({items})"), true, Holds::Fetches);
    let search = |name, key: &str, holds| of(name, format!("UID SEARCH {key}"), true, holds);
    vec![
        of("SELECT", format!("SELECT {mailbox}"), false, Holds::Exists),
        fetch("FETCH FLAGS", "FLAGS"),
        fetch("FETCH ENVELOPE BODYSTRUCTURE ...", "UID FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE"),
        // What Thunderbird asks when it opens a folder.
        fetch(
            "FETCH header fields",
            "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Resent-Message-ID Subject Date Message-ID Priority \
             X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]",
        ),
        search("SEARCH UNSEEN", "UNSEEN", Holds::Matches),
        search("SEARCH FROM", &format!("FROM {ONE_WRITER}"), Holds::Matches),
        search("SEARCH BODY, in no message", &format!("BODY {IN_NO_LETTER}"), Holds::NoMatch),
        search("SEARCH TEXT, in no message", &format!("TEXT {IN_NO_LETTER}"), Holds::NoMatch),
    ]
}

/// Two rows for each question.
pub(super) async fn measure(bench: &mut Bench, size: u64) -> anyhow::Result<()> {
    let mailbox = ensure(bench, size).await?;
    let mut imap = Imap::connect(&bench.target).await?;
    for question in questions(&mailbox) {
        for (time, repeat) in [("first", None), ("again", Some(bench.repeat))] {
            let measured = bench.meter.measure(ask(&mut imap, &question, size, repeat)).await;
            bench.report.add(&format!("{size}: {}, {time}", question.name), measured);
        }
    }
    Ok(())
}

/// Asks once, or again and again for this long.
async fn ask(imap: &mut Imap, question: &Question, size: u64, repeat: Option<Duration>) -> anyhow::Result<Work> {
    let mut work = Work::default();
    let begun = Instant::now();
    let mut octets = 0;
    loop {
        let asked = Instant::now();
        let tally = imap.run(&question.command).await?;
        work.samples.push(asked.elapsed());
        question.holds.check(&tally, size)?;
        octets += tally.octets;
        if repeat.is_none_or(|repeat| begun.elapsed() >= repeat) || work.samples.len() >= REPEATS_MAX {
            break;
        }
    }
    let times = work.samples.len() as u64;
    work.operations = if question.each_message { times * size } else { times };
    work.note = format!("{times} times, {} octets each", octets / times);
    Ok(work)
}

/// The mailbox of this size: that of an earlier run, or a new one.
pub(super) async fn ensure(bench: &mut Bench, size: u64) -> anyhow::Result<String> {
    let mailbox = format!("bench-{size}");
    let mut imap = Imap::connect(&bench.target).await?;
    if imap.count(&mailbox).await? == Some(size) {
        return Ok(mailbox);
    }
    imap.remove(&mailbox).await?;
    imap.run(&format!("CREATE {mailbox}")).await?;
    let filling = fill(Arc::clone(&bench.target), mailbox.clone(), size, bench.next_seed());
    let mut filled = bench.meter.measure(filling).await?;
    filled.work.note = format!("{}, {FILLING} connections", imap.way_to_fill());
    bench.report.add(&format!("{size}: fill the mailbox"), Ok(filled));
    match imap.count(&mailbox).await? {
        Some(count) if count == size => Ok(mailbox),
        count => bail!("{mailbox} was filled with {size} messages and holds {}", count.unwrap_or(0)),
    }
}

async fn fill(target: Arc<Target>, mailbox: String, size: u64, seed: u64) -> anyhow::Result<Work> {
    let mut tasks = JoinSet::new();
    for one in 0..FILLING {
        let (target, mailbox) = (Arc::clone(&target), mailbox.clone());
        tasks.spawn(async move {
            let mut writer = Writer::new(seed.wrapping_add(one), &target.to);
            let mut imap = Imap::connect(&target).await?;
            let numbers = (one..size).step_by(FILLING as usize);
            let entries = numbers.map(|number| Entry { seen: number % UNSEEN_EACH != 0, letter: writer.letter(LETTER_OCTETS) });
            imap.fill(&mailbox, entries).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Work::of(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_not_counted() {
        let tally = Tally { fetched: 1000, found: 3, expunged: 0, exists: Some(1000), octets: 0 };
        for (holds, right) in [
            (Holds::Exists, true),
            (Holds::Fetches, true),
            (Holds::Expunges, false),
            (Holds::NoMatch, false),
            (Holds::Matches, true),
            (Holds::Ok, true),
        ] {
            assert_eq!(holds.check(&tally, 1000).is_ok(), right, "{holds:?}");
        }
        assert!(Holds::Fetches.check(&tally, 1001).is_err());
        let nothing = Tally::default();
        assert!(Holds::Matches.check(&nothing, 1000).is_err());
        assert!(Holds::Matches.check(&nothing, 20).is_ok(), "few messages may hold no match");
    }
}
