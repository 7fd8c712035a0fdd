//! Where backups are kept: one server's generations, each a directory that is whole by itself.
//!
//! | name | is |
//! |---|---|
//! | `stoa-backups.json` | says whose backups these are; who writes here holds a lock on it |
//! | `2026-11-25T135100Z/` | a generation: `manifest.json`, its hash, and `data/`, the files of the data directory |
//! | `incoming/` | a generation that is being made; renamed when it is synced, removed by the next backup if it never was |
//! | `outgoing/` | a generation that is being removed, likewise |
//!
//! Generations share files that never change by hard links: removing one takes nothing from another. On a file system
//! without hard links each has its own copy.

use super::copy::{self, cannot_write};
use super::manifest::{self, Manifest};
use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const MARKER: &str = "stoa-backups.json";
const INCOMING: &str = "incoming";
const OUTGOING: &str = "outgoing";
const FORMAT: u32 = 1;
/// Generations made within one second; they are told apart by a number.
const SAME_SECOND_MAX: u32 = 100;

/// Whose backups these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    format: u32,
    /// Made of the key that a server gets when it is set up and keeps when it is restored.
    server: String,
    hostname: String,
}

impl Owner {
    pub fn new(login_key: &[u8; 32], hostname: &str) -> Owner {
        let server = blake3::derive_key("stoa 2026-11-25 whose backups these are", login_key);
        let server = server.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Owner { format: FORMAT, server, hostname: hostname.to_owned() }
    }
}

/// A place for backups that is ours alone as long as this is held.
pub(super) struct Destination {
    path: PathBuf,
    _lock: File,
}

impl Destination {
    /// Opens the place, or makes it. Its parent has to be there: a disk that is not mounted must not be filled in its stead.
    pub fn open(path: &Path, owner: &Owner) -> anyhow::Result<Destination> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{} cannot be made, since its parent is not there: is the disk mounted?", path.display())
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot_write(path, &error)),
            _ => {}
        }
        let marker = path.join(MARKER);
        if !marker.try_exists()? {
            if let Some(other) = holds_something(path)? {
                bail!("{} holds other things, such as {other}: name a directory that is empty or not there", path.display());
            }
            copy::write(&marker, &serde_json::to_vec_pretty(owner)?)?;
        }
        let lock = File::open(&marker).with_context(|| format!("cannot read {}", marker.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another backup into {} is running: wait until it is done", path.display());
        }
        let found = read_owner(path)?;
        if found.server != owner.server {
            bail!("{} holds the backups of another server, {}: name another directory", path.display(), found.hostname);
        }
        let destination = Destination { path: path.to_owned(), _lock: lock };
        destination.remove(INCOMING)?;
        destination.remove(OUTGOING)?;
        Ok(destination)
    }

    /// An empty directory for a new generation.
    pub fn begin(&self) -> anyhow::Result<PathBuf> {
        let incoming = self.path.join(INCOMING);
        let made = DirBuilder::new().mode(0o700).create(&incoming);
        made.map_err(|error| cannot_write(&incoming, &error))?;
        Ok(incoming)
    }

    /// Drops what was begun.
    pub fn give_up(&self) {
        _ = self.remove(INCOMING);
    }

    /// Makes what was begun a generation, for good.
    pub fn finish(&self, made: i64) -> anyhow::Result<PathBuf> {
        let incoming = self.path.join(INCOMING);
        copy::sync_tree(&incoming)?;
        let name = jiff::Timestamp::from_second(made)?.strftime("%Y-%m-%dT%H%M%SZ").to_string();
        let names = (1..SAME_SECOND_MAX).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n:02}") });
        let generation = names.map(|name| self.path.join(name)).find(|path| !path.exists());
        let generation = generation.context("too many backups within one second")?;
        fs::rename(&incoming, &generation).map_err(|error| cannot_write(&generation, &error))?;
        copy::sync_directory(&self.path)?;
        Ok(generation)
    }

    /// Removes the oldest generations until so many are left, never the one that was just made; says which went.
    pub fn prune(&self, keep: usize, newest: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let all = generations(&self.path)?;
        let surplus = all.len().saturating_sub(keep);
        let old: Vec<PathBuf> = all.into_iter().filter(|path| path != newest).take(surplus).collect();
        for generation in &old {
            // Under its name it is whole, or not there.
            let outgoing = self.path.join(OUTGOING);
            fs::rename(generation, &outgoing).map_err(|error| cannot_write(generation, &error))?;
            copy::sync_directory(&self.path)?;
            self.remove(OUTGOING)?;
        }
        Ok(old)
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot_write(&path, &error)),
            _ => Ok(()),
        }
    }
}

/// Something that is no freshly made file system's own, nor hidden.
fn holds_something(path: &Path) -> anyhow::Result<Option<String>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name != "lost+found" && !name.starts_with('.')).min())
}

fn read_owner(path: &Path) -> anyhow::Result<Owner> {
    let marker = path.join(MARKER);
    let text = fs::read(&marker).with_context(|| format!("{} holds no backups: {MARKER} cannot be read", path.display()))?;
    let owner: Owner = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", marker.display()))?;
    if owner.format > FORMAT {
        bail!("the backups in {} were made by a newer version of stoa: use that", path.display());
    }
    Ok(owner)
}

/// The generations, oldest first.
pub(super) fn generations(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_generation = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(|c: char| c.is_ascii_digit()) && name.contains('T') && path.is_dir()
    };
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_generation).collect();
    all.sort();
    Ok(all)
}

/// The generations that a person means: all, or those whose name begins so. The place may be a generation itself.
pub(super) fn choose(path: &Path, name: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    if path.join(manifest::FILE).exists() {
        return Ok(vec![path.to_owned()]);
    }
    read_owner(path)?;
    let mut all = generations(path)?;
    if all.is_empty() {
        bail!("{} holds no finished backup yet", path.display());
    }
    if let Some(name) = name {
        let listed: Vec<_> = all.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect();
        all.retain(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with(name));
        if all.is_empty() {
            bail!("there is no generation {name} in {}; there are: {}", path.display(), listed.join(", "));
        }
    }
    Ok(all)
}

/// The newest generation that can be read, to share files with.
pub(super) fn newest(path: &Path) -> Option<(PathBuf, Manifest)> {
    let all = generations(path).ok()?;
    all.into_iter().rev().find_map(|generation| Manifest::read(&generation).ok().map(|manifest| (generation, manifest)))
}
