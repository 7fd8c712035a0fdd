//! Changes: flags, copies, moves and removals of a whole mailbox, and messages that are put in one by one.
//!
//! Works on copies, which are removed in the end; the mailbox itself gets its flags back.

use super::Bench;
use super::INBOX;
use super::imap::{Entry, Imap};
use super::letters::Writer;
use super::mailboxes::{self, Holds};
use super::meter::Work;
use std::time::{Duration, Instant};

const COPIED: &str = "bench-copied";
const MOVED: &str = "bench-moved";
const LETTER_OCTETS: usize = 4 * 1024;
/// Flags are set and taken back not more often than this.
const PAIRS_MAX: usize = 50;

/// A row for each kind of change. Letters are put in where as many lie already.
pub(super) async fn measure(bench: &mut Bench, size: u64, appends: usize) -> anyhow::Result<()> {
    let mailbox = mailboxes::ensure(bench, size).await?;
    let mut imap = Imap::connect(&bench.target).await?;
    for name in [COPIED, MOVED] {
        imap.remove(name).await?;
        imap.run(&format!("CREATE {name}")).await?;
    }
    imap.run(&format!("SELECT {mailbox}")).await?;
    for (silent, holds) in [("", Holds::Fetches), (".SILENT", Holds::Ok)] {
        let measured = bench.meter.measure(flag(&mut imap, silent, holds, size, bench.repeat)).await;
        bench.report.add(&format!("{size}: STORE +FLAGS{silent} and -FLAGS{silent}"), measured);
    }
    once(bench, &mut imap, &format!("{size}: COPY of all"), &format!("UID COPY 1:* {COPIED}"), Holds::Ok, size).await;
    let mut full = COPIED;
    if imap.offers("MOVE") {
        imap.run(&format!("SELECT {COPIED}")).await?;
        once(bench, &mut imap, &format!("{size}: MOVE of all"), &format!("UID MOVE 1:* {MOVED}"), Holds::Expunges, size).await;
        full = MOVED;
    }
    let letters = Writer::new(bench.next_seed(), &bench.target.to).letters(appends, LETTER_OCTETS);
    let measured = bench.meter.measure(append(&mut imap, full, letters)).await;
    bench.report.add(&format!("{size}: APPEND one by one, 4 KB"), measured);
    imap.run(&format!("SELECT {full}")).await?;
    imap.run("UID STORE 1:* +FLAGS.SILENT (\\Deleted)").await?;
    once(bench, &mut imap, &format!("{size}: EXPUNGE of all"), "EXPUNGE", Holds::Expunges, size + appends as u64).await;
    imap.run(&format!("EXAMINE {INBOX}")).await?;
    for name in [COPIED, MOVED] {
        imap.remove(name).await?;
    }
    Ok(())
}

async fn once(bench: &mut Bench, imap: &mut Imap, name: &str, command: &str, holds: Holds, messages: u64) {
    let work = async {
        holds.check(&imap.run(command).await?, messages)?;
        Ok(Work::of(messages))
    };
    let measured = bench.meter.measure(work).await;
    bench.report.add(name, measured);
}

/// Sets a flag of all messages and takes it back, for this long.
async fn flag(imap: &mut Imap, silent: &str, holds: Holds, size: u64, repeat: Duration) -> anyhow::Result<Work> {
    let mut work = Work::default();
    let begun = Instant::now();
    for _ in 0..PAIRS_MAX {
        for sign in ["+", "-"] {
            let asked = Instant::now();
            let tally = imap.run(&format!("UID STORE 1:* {sign}FLAGS{silent} (\\Flagged)")).await?;
            work.samples.push(asked.elapsed());
            holds.check(&tally, size)?;
        }
        if begun.elapsed() >= repeat {
            break;
        }
    }
    work.operations = work.samples.len() as u64 * size;
    work.note = format!("{} times", work.samples.len());
    Ok(work)
}

async fn append(imap: &mut Imap, mailbox: &str, letters: Vec<Vec<u8>>) -> anyhow::Result<Work> {
    let mut work = Work::of(letters.len() as u64);
    for letter in letters {
        let asked = Instant::now();
        imap.append(mailbox, &[Entry { seen: true, letter }]).await?;
        work.samples.push(asked.elapsed());
    }
    Ok(work)
}
