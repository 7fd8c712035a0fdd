//! Measures a piece of work: the time on the clock, and what it cost the server.
//!
//! The processes are looked at when the server is quiet: before the work, and again when what it put off (merging files,
//! handing a queue on) is done too. The CPU time of that is counted and named, so that nothing is cheap by being late.

use super::process::{Memory, Processes};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A server that has used no CPU time for this long is quiet.
const QUIET_FOR: Duration = Duration::from_millis(200);
/// A server that never is must not keep us for ever.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Work {
    /// Letters, messages or commands: what the costs are divided by.
    pub(super) operations: u64,
    /// How long each command or transaction took.
    pub(super) samples: Vec<Duration>,
    /// What else a reader must know.
    pub(super) note: String,
}

impl Work {
    /// Work of so many operations.
    pub(super) fn of(operations: u64) -> Work {
        Work { operations, ..Work::default() }
    }
}

/// What it took.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) work: Work,
    pub(super) wall: Duration,
    pub(super) cost: Option<Cost>,
}

/// What it cost the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// CPU time in all.
    pub(super) cpu: Duration,
    /// That part of it that came after the last answer.
    pub(super) cpu_later: Duration,
    /// How long after the last answer the server was at work.
    pub(super) busy_after: Duration,
    /// It was not quiet in the end, so some may be missing.
    pub(super) restless: bool,
    /// At the end.
    pub(super) memory: Memory,
}

/// Looks at the processes of the server, if any were named.
pub(super) struct Meter {
    processes: Processes,
}

/// A server that is quiet, or is not.
struct Settled {
    cpu: Duration,
    busy: Duration,
    restless: bool,
}

impl Meter {
    /// Of these processes.
    pub(super) fn new(processes: Processes) -> Meter {
        Meter { processes }
    }

    /// Does the work between two looks at the server.
    pub(super) async fn measure(&self, work: impl Future<Output = anyhow::Result<Work>>) -> anyhow::Result<Measured> {
        let before = self.settle().await;
        let begun = Instant::now();
        let work = work.await?;
        let wall = begun.elapsed();
        let at_once = self.processes.cpu();
        let after = self.settle().await;
        let cost = before.zip(after).map(|(before, after)| Cost {
            cpu: after.cpu.saturating_sub(before.cpu),
            cpu_later: after.cpu.saturating_sub(at_once.max(before.cpu)),
            busy_after: after.busy,
            restless: before.restless || after.restless,
            memory: self.memory(),
        });
        Ok(Measured { work, wall, cost })
    }

    /// The memory that the server has now.
    pub(super) fn memory(&self) -> Memory {
        self.processes.memory()
    }

    /// Waits until the server is quiet.
    async fn settle(&self) -> Option<Settled> {
        if self.processes.is_empty() {
            return None;
        }
        let begun = Instant::now();
        let mut settled = Settled { cpu: self.processes.cpu(), busy: Duration::ZERO, restless: false };
        loop {
            sleep(QUIET_FOR).await;
            let cpu = self.processes.cpu();
            settled.restless = begun.elapsed() > QUIET_WITHIN;
            if cpu == settled.cpu || settled.restless {
                return Some(settled);
            }
            settled.cpu = cpu;
            settled.busy = begun.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn without_processes_there_is_no_cost() {
        let measured = Meter::new(Processes::default()).measure(async { Ok(Work::of(3)) }).await.unwrap();
        assert_eq!((measured.work, measured.cost), (Work::of(3), None));
        assert!(Meter::new(Processes::default()).measure(async { anyhow::bail!("no") }).await.is_err());
    }

    #[tokio::test]
    async fn a_process_that_works_has_a_cost() {
        // It lives on after its work: what a process that is gone has used nobody can tell.
        let script = "read begin; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read end";
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let processes = Processes::new(vec![child.id()]).unwrap();
        let work = async {
            let before = processes.cpu();
            child.stdin.as_mut().unwrap().write_all(b"\n")?;
            while processes.cpu() < before + Duration::from_millis(30) {
                sleep(Duration::from_millis(5)).await;
            }
            Ok(Work::of(1))
        };
        let cost = Meter::new(processes.clone()).measure(work).await.unwrap().cost.unwrap();
        assert!(cost.cpu >= Duration::from_millis(30), "{cost:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
