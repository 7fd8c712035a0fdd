//! What a backup is made of: the files of the data directory, with the store of one moment in place of the one in use.
//!
//! | file | saved |
//! |---|---|
//! | `store/` | from the snapshot, without RocksDB's lock and messages |
//! | `stoa.toml` | also from elsewhere, if `--config` says so |
//! | keys, certificates, whatever else lies there | as it is; a link to a file as the file |
//! | sockets, pipes, snapshots, files on their way (`….new`) | no |
//! | links to directories, what is no file, names that are not UTF-8 | no, and the person is told |

use crate::cli::config::FILE_NAME;
use crate::cli::home::{Home, STORE};
use crate::cli::snapshot::{self, Snapshot};
use anyhow::Context;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Directories within one another; ours are three deep.
const DEPTH_MAX: usize = 32;

/// A file to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Where it is read.
    pub from: PathBuf,
    /// Where it belongs in the data directory.
    pub path: PathBuf,
    /// It never changes as long as it has this name: a file of rows or of bodies.
    pub is_immutable: bool,
}

/// What there is to save, and what is left out, a sentence each.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub files: Vec<Source>,
    pub left_out: Vec<String>,
}

/// Finds everything.
pub(super) fn find(home: &Home, config_file: &Path, snapshot: &Snapshot) -> anyhow::Result<Sources> {
    let mut sources = Sources::default();
    sources.walk(home.path(), Path::new(""), 0)?;
    sources.walk_store(&snapshot.store())?;
    let own = Path::new(FILE_NAME);
    if !same_file(config_file, &home.path().join(own)) {
        sources.files.retain(|file| file.path != own);
        sources.files.push(Source { from: config_file.to_owned(), path: own.to_owned(), is_immutable: false });
    }
    Ok(sources)
}

impl Sources {
    fn walk(&mut self, dir: &Path, within: &Path, depth: usize) -> anyhow::Result<()> {
        if depth > DEPTH_MAX {
            self.left_out.push(format!("{}: it lies too deep", dir.display()));
            return Ok(());
        }
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry?;
            let (path, kind) = (within.join(entry.file_name()), entry.file_type()?);
            let from = entry.path();
            if is_passing(&path) || kind.is_socket() || kind.is_fifo() {
                continue;
            }
            if path.to_str().is_none() {
                self.left_out.push(format!("{}: its name is not UTF-8", from.display()));
            } else if kind.is_dir() {
                self.walk(&from, &path, depth + 1)?;
            } else if fs::metadata(&from).is_ok_and(|found| found.is_file()) {
                self.files.push(Source { from, path, is_immutable: false });
            } else if from.exists() || kind.is_symlink() {
                self.left_out.push(format!("{}: it is no file; save what it leads to by itself", from.display()));
            }
        }
        Ok(())
    }

    fn walk_store(&mut self, dir: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_needed = name != "LOCK" && name != "LOG" && !name.starts_with("LOG.old");
            if is_needed && entry.file_type()?.is_file() {
                let is_immutable = name.ends_with(".sst") || name.ends_with(".blob");
                self.files.push(Source { from: entry.path(), path: Path::new(STORE).join(name.as_ref()), is_immutable });
            }
        }
        Ok(())
    }
}

/// Is it the store in use, which the snapshot stands for, or something that is there for a moment only?
fn is_passing(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let at_top = path.components().count() == 1;
    at_top && (name == STORE || name == "lost+found" || snapshot::is_name(&name)) || name.ends_with(".new")
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}
