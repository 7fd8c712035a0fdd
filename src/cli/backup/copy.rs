//! Files on their way: copied with their hash, synced, for their owner only.

use anyhow::{Context, anyhow};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The size and BLAKE3 of what a file holds.
pub(super) fn hash(file: File) -> io::Result<(u64, String)> {
    pass(file, |_| Ok(()))
}

/// Copies to a file that is not there yet; gives size and BLAKE3 of what was copied.
pub(super) fn copy(from: File, to: &Path, mode: u32) -> io::Result<(u64, String)> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    let copied = pass(from, |piece| out.write_all(piece))?;
    out.sync_all()?;
    Ok(copied)
}

fn pass(mut from: File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<(u64, String)> {
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        let part = piece.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(part);
        take(part)?;
        bytes += read as u64;
    }
}

/// Writes a small file, synced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        out.write_all(bytes)?;
        out.sync_all()
    };
    write().map_err(|error| cannot_write(path, &error))
}

/// What a directory holds is there after a crash, too.
pub(super) fn sync_directory(path: &Path) -> anyhow::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync {}", path.display()))
}

/// The same for all directories below.
pub(super) fn sync_tree(path: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_directory(path)
}

/// An error of writing, with a way out.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => anyhow!("there is no room left for {path}: make some, or use another disk"),
        ErrorKind::PermissionDenied => anyhow!("{path} may not be written by this user: change its owner, or use another directory"),
        ErrorKind::ReadOnlyFilesystem => anyhow!("{path} is on a file system that is mounted read-only: mount it with -o rw"),
        _ => anyhow!("cannot write {path}: {error}"),
    }
}
