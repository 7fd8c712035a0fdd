//! What a generation of a backup holds: every file with its size, mode and BLAKE3.
//!
//! `manifest.json` says it, `manifest.json.b3` holds the hash of that in the form of `b3sum`, so that the list itself is
//! not trusted either. A generation is checked and restored by this list alone: a path in it never leads out of the
//! directory, whoever wrote it.

use super::copy;
use crate::cli::progress::Progress;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The list of a generation.
pub(super) const FILE: &str = "manifest.json";
/// Its hash.
const HASH_FILE: &str = "manifest.json.b3";
/// Holds the files of the data directory.
pub(super) const DATA: &str = "data";
/// What is written now. A newer one is refused.
const FORMAT: u32 = 1;
/// A file has some 200 bytes in it; a store of a terabyte has 16,000 files.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// The list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The program that wrote it.
    program: String,
    /// The host it is of.
    pub hostname: String,
    /// Seconds since 1970.
    pub made: i64,
    /// Where the data lay.
    pub data_directory: PathBuf,
    pub files: Vec<Saved>,
}

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Within the data directory.
    pub path: PathBuf,
    pub bytes: u64,
    pub mode: u32,
    pub blake3: String,
    /// Which file it was.
    pub origin: Origin,
}

/// By what a file that never changes is known again, also beside one of the same name that another store made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    inode: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

impl Origin {
    pub fn of(metadata: &fs::Metadata) -> Origin {
        Origin { inode: metadata.ino(), modified_seconds: metadata.mtime(), modified_nanoseconds: metadata.mtime_nsec() }
    }
}

impl Manifest {
    pub fn new(hostname: &str, data_directory: &Path, made: i64) -> Manifest {
        let program = concat!("stoa ", env!("CARGO_PKG_VERSION")).to_owned();
        Manifest {
            format: FORMAT,
            program,
            hostname: hostname.to_owned(),
            made,
            data_directory: data_directory.to_owned(),
            files: Vec::new(),
        }
    }

    /// All files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Writes it into a generation, synced.
    pub fn write(&self, generation: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let hash = format!("{}  {FILE}\n", blake3::hash(&text).to_hex());
        copy::write(&generation.join(FILE), &text)?;
        copy::write(&generation.join(HASH_FILE), hash.as_bytes())
    }

    /// Reads that of a generation, if it is whole.
    pub fn read(generation: &Path) -> anyhow::Result<Manifest> {
        let text = read_bounded(&generation.join(FILE))?;
        let hash = read_bounded(&generation.join(HASH_FILE))?;
        let hash = String::from_utf8_lossy(&hash);
        if hash.split_whitespace().next() != Some(blake3::hash(&text).to_hex().as_str()) {
            bail!("{} is damaged: it has another hash than {HASH_FILE} says; use another generation", generation.join(FILE).display());
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("{} cannot be read", generation.join(FILE).display()))?;
        if manifest.format > FORMAT {
            bail!("the backup was made by {}, which writes a newer form: use that version", manifest.program);
        }
        match manifest.files.iter().find(|file| !stays_within(&file.path)) {
            Some(file) => bail!("{} names a file outside of the backup: {}", generation.join(FILE).display(), file.path.display()),
            None => Ok(manifest),
        }
    }

    /// What is wrong with the files of a generation, a sentence each. What two generations share is read once: `known` is
    /// kept from one to the next.
    pub fn check(&self, generation: &Path, known: &mut Known, progress: &mut Progress) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut done, all) = (0, self.bytes());
        for file in &self.files {
            let path = generation.join(DATA).join(&file.path);
            if let Some(what) = known.look(&path, file).unwrap_or_else(|error| Some(unreadable(&error))) {
                wrong.push(format!("{} {what}", path.display()));
            }
            done += file.bytes;
            progress.tell(|| format!("{}: {} of {} read", generation.display(), super::amount(done), super::amount(all)));
        }
        wrong
    }
}

/// Files that were read already, by device and inode.
#[derive(Default)]
pub(super) struct Known(HashMap<(u64, u64), (u64, String)>);

impl Known {
    /// What is wrong with a file, if anything is.
    fn look(&mut self, path: &Path, expected: &Saved) -> std::io::Result<Option<String>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let place = (metadata.dev(), metadata.ino());
        let (bytes, blake3) = match self.0.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(copy::hash(file)?),
        };
        Ok(differs(expected, *bytes, blake3))
    }
}

/// How a file differs from what the list says of it.
pub(super) fn differs(expected: &Saved, bytes: u64, blake3: &str) -> Option<String> {
    if bytes != expected.bytes {
        Some(format!("has {bytes} bytes instead of {}", expected.bytes))
    } else if blake3 != expected.blake3 {
        Some("was changed: its bytes are not those that were saved".to_owned())
    } else {
        None
    }
}

/// Why a file cannot be read.
pub(super) fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "is missing".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes));
    file.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        bail!("{} has more than {MANIFEST_BYTES_MAX} bytes: this is no backup of ours", path.display());
    }
    Ok(bytes)
}

fn stays_within(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(path: &str) -> Saved {
        let origin = Origin { inode: 1, modified_seconds: 2, modified_nanoseconds: 3 };
        Saved { path: path.into(), bytes: 3, mode: 0o600, blake3: blake3::hash(b"abc").to_hex().to_string(), origin }
    }

    fn generation(path: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/store")).unwrap();
        fs::write(dir.path().join("data/store/1.sst"), "abc").unwrap();
        let mut manifest = Manifest::new("mail.example.org", Path::new("/var/lib/stoa"), 7);
        manifest.files.push(saved(path));
        manifest.write(dir.path()).unwrap();
        dir
    }

    #[test]
    fn every_change_of_a_file_or_of_the_list_is_seen() {
        let dir = generation("store/1.sst");
        let check = || Manifest::read(dir.path()).unwrap().check(dir.path(), &mut Known::default(), &mut Progress::new());
        assert_eq!(check(), Vec::<String>::new());
        for (content, want) in [("ab", "has 2 bytes instead of 3"), ("abd", "was changed"), ("abcd", "has 4 bytes")] {
            fs::write(dir.path().join("data/store/1.sst"), content).unwrap();
            assert!(check()[0].contains(want), "{content}: {:?}", check());
        }
        fs::remove_file(dir.path().join("data/store/1.sst")).unwrap();
        assert!(check()[0].contains("is missing"));
        let mut text = fs::read(dir.path().join(FILE)).unwrap();
        let last = text.len() - 3;
        text[last] ^= 1;
        fs::write(dir.path().join(FILE), &text).unwrap();
        assert!(Manifest::read(dir.path()).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn no_path_leads_out() {
        for path in ["../x", "/etc/passwd", "a/../../x", ""] {
            let dir = generation(path);
            let said = Manifest::read(dir.path()).unwrap_err().to_string();
            assert!(said.contains("outside of the backup"), "{path}: {said}");
        }
    }
}
