//! Idlers: what it costs to hold mail programs that wait, logged in, with INBOX open, in IDLE.

use super::imap::Imap;
use super::meter::Work;
use super::process::Memory;
use super::target::Target;
use super::{Bench, INBOX, Measured};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Who connects at the same time; servers check few passwords at once.
const CONNECTING_MAX: usize = 8;

/// A row for no connections, and one for each of these numbers of them.
///
/// Before memory is looked at they idle for `patience`: servers give back then what a busy moment needed.
pub(super) async fn measure(bench: &mut Bench, counts: &[usize], patience: Duration) {
    raise_open_files();
    let mut open: Vec<Imap> = Vec::new();
    let mut looks: Vec<(usize, Memory)> = Vec::new();
    for &count in [0].iter().chain(counts) {
        let mut measured = bench.meter.measure(connect(&bench.target, &mut open, count)).await;
        sleep(patience).await;
        if let Ok(Measured { work, cost: Some(cost), .. }) = &mut measured {
            cost.memory = bench.meter.memory();
            looks.push((open.len(), cost.memory));
            work.note.push_str(&each(&looks));
        }
        bench.report.add(&format!("{count} idle connections (each logs in)"), measured);
    }
}

/// What a connection holds: on average since there were none, and each of the newest, to whom what is paid once is not charged.
fn each(looks: &[(usize, Memory)]) -> String {
    let [(first, none), .., (count, now)] = looks else { return String::new() };
    let kb = |memory: &Memory| memory.pss_kb.unwrap_or(memory.rss_kb);
    let per = |before: usize, memory: &Memory| {
        let connections = count.saturating_sub(before).max(1);
        format!("{:.1} KB", (kb(now) as f64 - kb(memory) as f64) / connections as f64)
    };
    let newest = match looks {
        [_, .., (before, memory), _] => format!(", {} for each of the newest", per(*before, memory)),
        _ => String::new(),
    };
    format!("{} each{newest}; {} processes", per(*first, none), now.processes)
}

/// Connects until so many are open; the operations are the connections that are new.
async fn connect(target: &Arc<Target>, open: &mut Vec<Imap>, count: usize) -> anyhow::Result<Work> {
    let mut tasks = JoinSet::new();
    let (mut work, mut refused) = (Work::default(), None);
    let mut missing = count.saturating_sub(open.len());
    while missing > 0 || !tasks.is_empty() {
        while missing > 0 && tasks.len() < CONNECTING_MAX {
            missing -= 1;
            tasks.spawn(idle(Arc::clone(target)));
        }
        let Some(done) = tasks.join_next().await else { break };
        match done? {
            Ok((imap, sample)) => {
                open.push(imap);
                work.samples.push(sample);
            }
            Err(error) => {
                refused = Some(error);
                missing = 0;
            }
        }
    }
    work.operations = work.samples.len() as u64;
    match refused {
        Some(error) if open.is_empty() => return Err(error),
        Some(error) => work.note = format!("only {} of {count} were accepted: {error:#}; ", open.len()),
        None => {}
    }
    Ok(work)
}

async fn idle(target: Arc<Target>) -> anyhow::Result<(Imap, Duration)> {
    let begun = Instant::now();
    let mut imap = Imap::connect(&target).await?;
    imap.run(&format!("SELECT {INBOX}")).await?;
    imap.idle().await?;
    Ok((imap, begun.elapsed()))
}

/// As many open files as this process may have; what is missing then shows in the rows.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paid_once_is_told_from_what_each_costs() {
        let memory = |rss_kb, pss_kb| Memory { processes: 2, rss_kb, pss_kb };
        let mut looks = vec![(0, memory(1000, Some(900)))];
        assert_eq!(each(&looks), "");
        looks.push((10, memory(3000, Some(2900))));
        assert_eq!(each(&looks), "200.0 KB each; 2 processes");
        looks.push((110, memory(4000, Some(3900))));
        assert_eq!(each(&looks), "27.3 KB each, 10.0 KB for each of the newest; 2 processes");
        let unseen = [(0, memory(1000, None)), (4, memory(1002, None))];
        assert_eq!(each(&unseen), "0.5 KB each; 2 processes");
    }
}
