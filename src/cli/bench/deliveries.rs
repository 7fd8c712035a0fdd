//! Deliveries: letters by SMTP, over several connections at once, each counted when its 250 is there.

use super::imap::Imap;
use super::letters::Writer;
use super::meter::Work;
use super::smtp::{self, Smtp};
use super::target::Target;
use super::{Bench, INBOX, Measured};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How large the letters are.
const SIZES: [(&str, usize); 2] = [("4 KB", 4 * 1024), ("100 KB", 100 * 1024)];
/// How many deliver at once.
const CONNECTIONS: [usize; 3] = [1, 10, 50];
/// A queue that brought nothing for this long will not.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks into the mailbox.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A row for each size and number of connections.
pub(super) async fn measure(bench: &mut Bench, letters: usize) {
    for (size, octets) in SIZES {
        for connections in CONNECTIONS {
            let name = format!("deliver {size}, {connections} connection{}", if connections == 1 { "" } else { "s" });
            let measured = measure_one(bench, letters, octets, connections).await;
            bench.report.add(&name, measured);
        }
    }
}

async fn measure_one(bench: &mut Bench, letters: usize, octets: usize, connections: usize) -> anyhow::Result<Measured> {
    let mut writer = Writer::new(bench.next_seed(), &bench.target.to);
    let letters: Arc<[Vec<u8>]> = writer.letters(letters, octets).into_iter().map(smtp::data).collect();
    let before = arrived(&bench.target).await?;
    let mut open = Vec::new();
    for _ in 0..connections.min(letters.len()) {
        open.push(Smtp::connect(&bench.target).await?);
    }
    let mut measured = bench.meter.measure(deliver(open, Arc::clone(&letters))).await?;
    measured.work.note = wait_for_arrival(&bench.target, before, letters.len() as u64).await?;
    Ok(measured)
}

/// Each connection takes the next letter when its last one was taken over.
async fn deliver(open: Vec<Smtp>, letters: Arc<[Vec<u8>]>) -> anyhow::Result<Work> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for mut smtp in open {
        let (next, letters) = (Arc::clone(&next), Arc::clone(&letters));
        tasks.spawn(async move {
            let mut samples = Vec::new();
            while let Some(letter) = letters.get(next.fetch_add(1, Ordering::Relaxed)) {
                let delivered = smtp.deliver(letter).await?;
                samples.push(delivered.taken - delivered.begun);
            }
            anyhow::Ok((smtp, samples))
        });
    }
    let mut work = Work::default();
    let mut open = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (smtp, samples) = done??;
        work.samples.extend(samples);
        open.push(smtp);
    }
    work.operations = work.samples.len() as u64;
    // Taking leave is no part of a delivery.
    tokio::spawn(async move {
        for smtp in open {
            // The letters are delivered; a server that hangs up first is none the worse.
            _ = smtp.quit().await;
        }
    });
    Ok(work)
}

/// How many messages the user's INBOX holds, if it can be read.
async fn arrived(target: &Target) -> anyhow::Result<Option<u64>> {
    if target.imap.is_none() {
        return Ok(None);
    }
    Imap::connect(target).await?.count(INBOX).await
}

/// A server may take a letter over long before its reader sees it: says how many can be read, and when all could.
async fn wait_for_arrival(target: &Target, before: Option<u64>, sent: u64) -> anyhow::Result<String> {
    let Some(before) = before else { return Ok(String::new()) };
    let mut imap = Imap::connect(target).await?;
    let mut last = (0, Instant::now());
    loop {
        let here = imap.count(INBOX).await?.unwrap_or(0).saturating_sub(before);
        if here >= sent {
            return Ok("all are in INBOX".to_owned());
        }
        if here > last.0 {
            last = (here, Instant::now());
        } else if last.1.elapsed() > ARRIVES_WITHIN {
            return Ok(format!("{here} of {sent} are in INBOX"));
        }
        sleep(LOOK_EVERY).await;
    }
}
