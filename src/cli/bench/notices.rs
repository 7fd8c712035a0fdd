//! Notices: how soon an idling mail program hears of a delivery.

use super::imap::Imap;
use super::letters::Writer;
use super::meter::Work;
use super::report::percentile;
use super::smtp::{self, Delivered, Smtp};
use super::{Bench, INBOX, Measured};
use anyhow::Context;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const LETTER_OCTETS: usize = 4 * 1024;
/// A notice that takes longer does not come.
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// Between a notice and the next delivery, so that each is heard of by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// A row: the samples are the times from the end of DATA to EXISTS, the note has those from the 250.
pub(super) async fn measure(bench: &mut Bench, deliveries: usize) {
    let measured = measure_all(bench, deliveries).await;
    bench.report.add("notice while idling, from the end of DATA", measured);
}

async fn measure_all(bench: &mut Bench, deliveries: usize) -> anyhow::Result<Measured> {
    let letters = Writer::new(bench.next_seed(), &bench.target.to).letters(deliveries, LETTER_OCTETS);
    let mut imap = Imap::connect(&bench.target).await?;
    imap.run(&format!("SELECT {INBOX}")).await?;
    imap.idle().await?;
    let (tell, heard) = mpsc::unbounded_channel();
    let listener = tokio::spawn(listen(imap, tell));
    let smtp = Smtp::connect(&bench.target).await?;
    let measured = bench.meter.measure(deliver(smtp, letters.into_iter().map(smtp::data).collect(), heard)).await;
    listener.abort();
    measured
}

/// Tells when each EXISTS came.
async fn listen(mut imap: Imap, tell: mpsc::UnboundedSender<Instant>) -> anyhow::Result<()> {
    loop {
        imap.next_exists().await?;
        tell.send(Instant::now())?;
    }
}

async fn deliver(mut smtp: Smtp, letters: Vec<Vec<u8>>, mut heard: mpsc::UnboundedReceiver<Instant>) -> anyhow::Result<Work> {
    let (mut from_data, mut from_reply) = (Vec::new(), Vec::new());
    for letter in &letters {
        let Delivered { sent, taken, .. } = smtp.deliver(letter).await?;
        let notice = timeout(HEARD_WITHIN, heard.recv()).await.context("no EXISTS came")?.context("the idling connection ended")?;
        from_data.push(notice - sent);
        // A notice that is faster than the reply came after no time.
        from_reply.push(notice.saturating_duration_since(taken));
        sleep(PAUSE).await;
        // Some servers tell the same thing twice.
        while heard.try_recv().is_ok() {}
    }
    from_reply.sort_unstable();
    let reply = |percent| percentile(&from_reply, percent).unwrap_or_default();
    let note = format!("from the 250: median {:.2} ms, p95 {:.2} ms", reply(50), reply(95));
    Ok(Work { operations: from_data.len() as u64, samples: from_data, note })
}
