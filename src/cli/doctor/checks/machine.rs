//! The computer: disk, data directory, clock, the store, and the mail that waits.

use crate::cli::doctor::facts::{Facts, Machine, Queue};
use crate::cli::doctor::finding::{Area, Finding};
use crate::delivery::AS_SERVER;

const AREA: Area = Area::Machine;

/// With less of the disk left, the server is about to stop taking mail; with less than the second share it is time to look.
const FREE_PERCENT_MIN: u64 = 5;
const FREE_PERCENT_GOOD: u64 = 10;
/// So much is enough, however large the disk: some hundred messages of the largest size.
const FREE_BYTES_ENOUGH: u64 = 20 << 30;

/// Signatures, certificates and one-time codes tolerate so much (RFC 6376 §3.5 leaves it open; many allow five minutes).
const CLOCK_SECONDS_MAX: i64 = 60;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let machine = &facts.machine;
    let mut findings = vec![running(machine)];
    findings.extend(disk(machine));
    findings.extend(directory(machine));
    findings.extend(clock(machine));
    if let Some(problem) = &machine.store_problem {
        let what = format!("the store cannot be used: {problem}");
        let todo = "Look at the disk and the journal, and make a copy of the data directory before anything else:";
        let lines = ["sudo journalctl -u stoa -n 100".to_owned(), "sudo dmesg | tail".to_owned()];
        let finding = Finding::wrong(AREA, "store".to_owned(), what, "Mail is neither taken in nor shown.");
        findings.push(finding.fix(todo, lines));
    }
    findings
}

fn running(machine: &Machine) -> Finding {
    if machine.running {
        return Finding::good(AREA, "the server runs".to_owned());
    }
    let finding =
        Finding::wrong(AREA, "not-running".to_owned(), "the server does not run".to_owned(), "Mail for you waits at its senders.");
    let lines = ["sudo systemctl enable --now stoa".to_owned(), "sudo journalctl -u stoa -n 50".to_owned()];
    finding.fix("Start it, and see what it says:", lines)
}

fn disk(machine: &Machine) -> Vec<Finding> {
    if let Some(problem) = &machine.not_writable {
        let what = format!("nothing can be written in {}: {problem}", machine.directory.display());
        let lines = [format!("df -h {}", machine.directory.display()), format!("findmnt -T {}", machine.directory.display())];
        let finding = Finding::wrong(AREA, "disk-not-writable".to_owned(), what, "No mail can be taken in.");
        return vec![finding.fix("See whether the disk is full or mounted read-only:", lines)];
    }
    let percent = |free: u64, all: u64| if all == 0 { 100 } else { u64::try_from(u128::from(free) * 100 / u128::from(all)).unwrap_or(100) };
    let of_bytes = if machine.disk_free_bytes >= FREE_BYTES_ENOUGH { 100 } else { percent(machine.disk_free_bytes, machine.disk_bytes) };
    let of_files = percent(machine.inodes_free, machine.inodes);
    let directory = machine.directory.display();
    let judge = |id: &str, what: &str, free: u64, command: String| {
        let todo = format!("See what takes the {what}, and remove what is not needed:");
        let why = "When nothing is left no mail is taken in: senders keep it for days, then give up.";
        let say = |least: u64| format!("less than {least} % of the {what} of {directory} is free");
        match free {
            free if free < FREE_PERCENT_MIN => Some(Finding::wrong(AREA, id.to_owned(), say(FREE_PERCENT_MIN), why).fix(todo, [command])),
            free if free < FREE_PERCENT_GOOD => {
                Some(Finding::better(AREA, id.to_owned(), say(FREE_PERCENT_GOOD), why).fix(todo, [command]))
            }
            _ => None,
        }
    };
    let mut findings: Vec<Finding> = [
        judge("disk-full", "space", of_bytes, "sudo du -xh --max-depth=2 / | sort -h | tail -20".to_owned()),
        judge("disk-files", "file numbers (inodes)", of_files, "sudo du -x --inodes --max-depth=2 / | sort -n | tail -20".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if findings.is_empty() {
        findings.push(Finding::good(AREA, format!("{directory} can be written to and has room")));
    }
    findings
}

fn directory(machine: &Machine) -> Vec<Finding> {
    const WHY: &str = "Other users of this machine can read your mail and keys.";
    let mut findings = Vec::new();
    if machine.mode & 0o077 != 0 {
        let what = format!("others may get into {} (mode {:03o})", machine.directory.display(), machine.mode & 0o777);
        let lines = [format!("sudo chmod 700 {}", machine.directory.display())];
        findings.push(Finding::wrong(AREA, "directory-open".to_owned(), what, WHY).fix("Keep them out:", lines));
    }
    if !machine.open_files.is_empty() {
        let files: Vec<String> = machine.open_files.iter().map(|file| file.display().to_string()).collect();
        let what = format!("others may read {}", files.join(", "));
        let lines = files.iter().map(|file| format!("sudo chmod go= {file}"));
        findings.push(Finding::wrong(AREA, "files-open".to_owned(), what, WHY).fix("Keep them out:", lines));
    }
    if findings.is_empty() {
        findings.push(Finding::good(AREA, "mail and keys are readable by the server alone".to_owned()));
    }
    findings
}

fn clock(machine: &Machine) -> Vec<Finding> {
    const WHY: &str = "Certificates, signatures and DNSSEC are good between two dates: with a wrong clock they fail.";
    let lines = || ["sudo apt install systemd-timesyncd".to_owned(), "sudo timedatectl set-ntp true".to_owned()];
    if let Some(ahead) = machine.clock_ahead_seconds.filter(|ahead| ahead.abs() > CLOCK_SECONDS_MAX) {
        let what =
            format!("the clock of this machine is {} by more than {CLOCK_SECONDS_MAX} seconds", if ahead > 0 { "fast" } else { "slow" });
        return vec![Finding::wrong(AREA, "clock-off".to_owned(), what, WHY).fix("Let it follow a time server:", lines())];
    }
    match machine.clock_follows {
        Some(true) => vec![Finding::good(AREA, "the clock follows a time server".to_owned())],
        Some(false) => {
            let what = "the clock of this machine does not follow a time server".to_owned();
            vec![Finding::better(AREA, "clock-free".to_owned(), what, WHY).fix("Let it follow one:", lines())]
        }
        None if machine.clock_ahead_seconds.is_some() => vec![Finding::good(AREA, "the clock is right".to_owned())],
        None => vec![Finding::remark(AREA, "clock-unknown".to_owned(), "whether the clock is right could not be found out".to_owned())],
    }
}

/// Mail that waits for other hosts; `why` and `todo` are for a port 25 that seems closed.
pub(super) fn queue(queue: &Queue, why: &'static str, todo: &str) -> Vec<Finding> {
    let area = Area::Outgoing;
    let mut findings = Vec::new();
    let list = || [format!("{AS_SERVER} queue list")];
    if queue.held > 0 {
        let what = "mail is held back in the queue".to_owned();
        let todo = "See which and why, then release or delete it:";
        findings.push(Finding::better(area, "queue-held".to_owned(), what, "It is not sent until somebody releases it.").fix(todo, list()));
    }
    // One host that is down is its own affair; when none can be reached it is ours.
    if queue.stuck > 1 && queue.unreached == queue.stuck {
        let what = "mail waits in the queue for hours, and no host that it goes to can be reached".to_owned();
        findings.push(Finding::wrong(area, "queue-unreached".to_owned(), what, why).fix(todo, list()));
    } else if queue.stuck > 0 {
        let what = "some mail waits in the queue for hours".to_owned();
        let why = "Its sender is told, and it goes back after five days.";
        findings.push(Finding::better(area, "queue-stuck".to_owned(), what, why).fix("See what the other hosts said:", list()));
    }
    if findings.is_empty() {
        findings.push(Finding::good(area, "no mail is stuck in the queue".to_owned()));
    }
    findings
}
