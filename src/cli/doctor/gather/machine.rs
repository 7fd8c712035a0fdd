//! The computer: disk, permissions, clock, and the mail that waits.

use super::super::facts::{Machine, Queue};
use crate::cli::config::Config;
use crate::store::{Queued, Store, StoreError};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A disk or a service that does not answer for so long has a trouble of its own.
const SECONDS_MAX: Duration = Duration::from_secs(10);

/// Messages of the queue that are read at a time, and in all.
const PAGE: usize = 256;
const MESSAGES_MAX: usize = 20_000;

/// Hosts that are busy, or that ask strangers to come again, take mail within this.
const STUCK_SECONDS: i64 = 4 * 3_600;

/// RFC 3463 §3.5: the subject of troubles with network and routing.
const NETWORK: u16 = 4;

/// What the operating system says. The parts that others know are filled in by them.
pub(super) async fn collect(config: &Config) -> Machine {
    let config = config.clone();
    let directory = config.data_directory.clone();
    let (machine, clock_follows) = tokio::join!(bounded(move || look(&config)), bounded(clock_follows));
    let mut machine = machine.unwrap_or_else(|| Machine { not_writable: Some("the disk does not answer".to_owned()), ..empty(directory) });
    machine.clock_follows = clock_follows.flatten();
    machine
}

async fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::time::timeout(SECONDS_MAX, tokio::task::spawn_blocking(work)).await.ok()?.ok()
}

fn empty(directory: PathBuf) -> Machine {
    Machine {
        running: false,
        directory,
        mode: 0o700,
        open_files: Vec::new(),
        not_writable: None,
        disk_bytes: 0,
        disk_free_bytes: 0,
        inodes: 0,
        inodes_free: 0,
        clock_follows: None,
        clock_ahead_seconds: None,
        store_problem: None,
    }
}

fn look(config: &Config) -> Machine {
    let directory = &config.data_directory;
    let mut machine = empty(directory.clone());
    machine.mode = fs::metadata(directory).map_or(0o700, |found| found.permissions().mode());
    machine.open_files = secrets(config).into_iter().filter(|file| is_open(file)).collect();
    machine.not_writable = try_to_write(directory).err().map(|error| error.to_string());
    if let Ok(disk) = rustix::fs::statvfs(directory) {
        (machine.disk_bytes, machine.disk_free_bytes) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
        (machine.inodes, machine.inodes_free) = (disk.f_files, disk.f_favail);
    }
    machine
}

/// What only the server may read.
fn secrets(config: &Config) -> Vec<PathBuf> {
    let directory = &config.data_directory;
    let mut all = vec![config.tls.key_file.clone(), directory.join("login.key"), directory.join("store")];
    let domains = fs::read_dir(directory.join("dkim")).into_iter().flatten().flatten();
    for domain in domains {
        all.extend(fs::read_dir(domain.path()).into_iter().flatten().flatten().map(|file| file.path()));
    }
    all.retain(|file| file.exists());
    all
}

/// Others get at it, by its own permissions and those of the directory above.
fn is_open(file: &Path) -> bool {
    let open = |path: &Path, bits| fs::metadata(path).is_ok_and(|found| found.mode() & bits != 0);
    open(file, 0o066) && file.parent().is_none_or(|above| open(above, 0o011))
}

fn try_to_write(directory: &Path) -> std::io::Result<()> {
    let file = tempfile_in(directory);
    fs::write(&file, b"The server looked whether it can write here.\n")?;
    fs::remove_file(&file)
}

fn tempfile_in(directory: &Path) -> PathBuf {
    directory.join(format!("writable-{:016x}", rand::random::<u64>()))
}

/// What the kernel knows of its clock, which the service manager tells; or the mark of its own time service.
fn clock_follows() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let said = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output().ok()?;
    match said.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// What waits for other hosts at this moment, in seconds since 1970.
pub(in crate::cli) async fn queue(store: &Store, now: i64) -> Result<Queue, StoreError> {
    let mut all = Queue { messages: 0, held: 0, stuck: 0, unreached: 0 };
    let mut next = 0;
    while all.messages < MESSAGES_MAX {
        let page = store.queued_from(next, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        next = last.saturating_add(1);
        page.iter().for_each(|(_, message)| count(&mut all, message, now));
    }
    Ok(all)
}

fn count(all: &mut Queue, message: &Queued, now: i64) {
    all.messages += 1;
    if message.hold.is_some() {
        all.held += 1;
    } else if now - message.accepted >= STUCK_SECONDS {
        all.stuck += 1;
        let unreached = |last: &crate::store::LastResult| last.status.1 == NETWORK;
        let waiting = message.recipients.iter().filter(|recipient| recipient.done.is_none());
        if waiting.clone().count() > 0 && waiting.clone().all(|recipient| recipient.last.as_ref().is_some_and(unreached)) {
            all.unreached += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BodyRef, Hold, HoldReason, LastResult, QueuedRecipient};
    use bytes::Bytes;

    fn message(accepted: i64, subject: Option<u16>) -> Queued {
        let last = subject.map(|subject| LastResult { status: (4, subject, 1), text: String::new(), host: None, at: 0 });
        let recipient = QueuedRecipient { last, ..QueuedRecipient::new("a@b.example".into(), 0) };
        Queued::of(String::new(), Bytes::new(), BodyRef { hash: [0; 32], size: 0 }, accepted, vec![recipient])
    }

    #[test]
    fn what_waits_is_told_apart() {
        let mut all = Queue { messages: 0, held: 0, stuck: 0, unreached: 0 };
        let now = STUCK_SECONDS;
        let held = Queued { hold: Some(Hold { why: HoldReason::Asked, reason: String::new(), since: 0 }), ..message(0, Some(4)) };
        for message in [message(1, Some(4)), message(0, Some(4)), message(0, Some(2)), message(0, None), held] {
            count(&mut all, &message, now);
        }
        assert_eq!(all, Queue { messages: 5, held: 1, stuck: 3, unreached: 1 });
    }

    #[test]
    fn what_others_can_read_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse("hostname = 'a.example'\ndomains = ['a.example']").unwrap();
        let config = Config { data_directory: dir.path().to_owned(), ..config };
        let key = dir.path().join("login.key");
        fs::write(&key, "k").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&key, 0o640);
        set(dir.path(), 0o750);
        let machine = look(&config);
        assert_eq!((machine.mode & 0o777, machine.open_files), (0o750, vec![key.clone()]));
        assert!(machine.not_writable.is_none() && machine.disk_bytes >= machine.disk_free_bytes && machine.disk_bytes > 0);
        set(dir.path(), 0o700);
        assert!(look(&config).open_files.is_empty(), "nobody gets into the directory");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "what was written to try is gone");
        let gone = Config { data_directory: dir.path().join("gone"), ..config };
        assert!(look(&gone).not_writable.is_some());
    }
}
