//! What processes cost: their CPU time and memory with that of all their children, read from /proc (proc(5)).
//!
//! Takes the ids that the person named. A child that ended is counted by the parent that waited for it, so a server
//! that forks for each connection is counted as a whole; one whose parent does not wait for it is lost.

use anyhow::Context;
use std::fs;
use std::time::Duration;

/// The unit of the times in /proc/PID/stat: Linux gives programs this one, whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;

/// The processes of the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes {
    named: Vec<u32>,
}

/// Memory of all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// How many processes there are.
    pub(super) processes: u64,
    /// Resident; what they share is counted for each of them.
    pub(super) rss_kb: u64,
    /// Resident; what they share is divided among them. None where the kernel does not let us look.
    pub(super) pss_kb: Option<u64>,
}

/// A line of /proc/PID/stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    /// Spent by it and by its children that it waited for, in and out of the kernel.
    ticks: u64,
}

impl Processes {
    /// Those that were named; each must be there.
    pub(super) fn new(named: Vec<u32>) -> anyhow::Result<Processes> {
        let processes = Processes { named };
        for id in &processes.named {
            stat(*id).with_context(|| format!("there is no process {id}"))?;
        }
        Ok(processes)
    }

    /// Nothing to look at?
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The CPU time that they and their children have had so far, to a hundredth of a second.
    pub(super) fn cpu(&self) -> Duration {
        let ticks: u64 = self.all().iter().map(|stat| stat.ticks).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// The memory that they and their children have now.
    pub(super) fn memory(&self) -> Memory {
        let mut sum = Memory { pss_kb: Some(0), ..Memory::default() };
        for Stat { id, .. } in self.all() {
            // One that ended since has none.
            let Some(rss) = field(id, "status", "VmRSS:") else { continue };
            sum.processes += 1;
            sum.rss_kb += rss;
            sum.pss_kb = sum.pss_kb.zip(field(id, "smaps_rollup", "Pss:")).map(|(sum, pss)| sum + pss);
        }
        sum
    }

    fn all(&self) -> Vec<Stat> {
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        family(&self.named, &ids.filter_map(stat).collect::<Vec<_>>())
    }
}

/// The processes that were named and all that descend from them.
fn family(named: &[u32], all: &[Stat]) -> Vec<Stat> {
    let mut found: Vec<Stat> = all.iter().filter(|stat| named.contains(&stat.id)).copied().collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|stat| stat.id) {
        let children = all.iter().filter(|child| child.parent == parent);
        let new: Vec<Stat> = children.filter(|child| !found.iter().any(|stat| stat.id == child.id)).copied().collect();
        found.extend(new);
        at += 1;
    }
    found
}

fn stat(id: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// proc(5): pid (comm) state ppid … with utime, stime, cutime and cstime in places 14 to 17.
fn parse_stat(line: &str) -> Option<Stat> {
    // The name may hold spaces and parentheses.
    let (before, after) = (line.split_once(" (")?.0, line.rsplit_once(") ")?.1);
    let fields: Vec<&str> = after.split(' ').collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
    let ticks = [14, 15, 16, 17].into_iter().map(number).sum::<Option<u64>>()?;
    Some(Stat { id: before.parse().ok()?, parent: fields.get(1)?.parse().ok()?, ticks })
}

fn field(id: u32, file: &str, name: &str) -> Option<u64> {
    parse_field(&fs::read_to_string(format!("/proc/{id}/{file}")).ok()?, name)
}

/// The number in a line such as `VmRSS:      1234 kB`.
fn parse_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name() {
        let line = "77 (a) b (c)) S 12 77 77 0 -1 4194560 9 9 0 0 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(line), Some(Stat { id: 77, parent: 12, ticks: 127 }));
        for bad in ["", "77", "77 (a", "77 (a) S", "77 (a) S 12 1 2 3", "x (a) S 12 77 77 0 -1 4194560 9 9 0 0 1 2 3 4 5"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_family_is_all_that_descend() {
        let all = [(1, 0), (10, 1), (11, 10), (12, 11), (13, 1), (14, 13), (15, 12)].map(|(id, parent)| Stat { id, parent, ticks: 1 });
        let ids = |named: &[u32]| {
            let mut ids: Vec<u32> = family(named, &all).iter().map(|stat| stat.id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(&[10]), [10, 11, 12, 15]);
        assert_eq!(ids(&[10, 12, 13]), [10, 11, 12, 13, 14, 15], "nobody is counted twice");
        assert!(ids(&[99]).is_empty());
    }

    #[test]
    fn fields_of_memory() {
        let text = "Name:\tx\nVmHWM:\t    9000 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(parse_field(text, "VmRSS:"), Some(1234));
        assert_eq!(parse_field(text, "Pss:"), None);
        assert_eq!(parse_field("Pss:   x kB", "Pss:"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let own = Processes::new(vec![std::process::id()]).unwrap();
        let memory = own.memory();
        assert!(memory.processes >= 1 && memory.rss_kb > 1000, "{memory:?}");
        assert!(memory.pss_kb.is_none_or(|pss| pss <= memory.rss_kb), "{memory:?}");
        assert!(Processes::new(vec![u32::MAX]).is_err());
    }
}
