//! The keys of a domain on disk, changed by one process at a time and never half.
//!
//! The owner may look at the files and put back old ones; what is wrong with them is said with the file's name.

use super::key::{self, Key};
use super::selector::{Selector, State, is_name, new_name};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use stoa_dkim::Algorithm;

/// The state of all selectors.
const STATE_FILE: &str = "selectors.toml";
/// Held by whoever changes something.
const LOCK_FILE: &str = "lock";
const KEY_SUFFIX: &str = ".pem";

const STATE_HEAD: &str = "# The DKIM selectors of this domain; `stoa keys` shows and changes them. Times are seconds since 1970.\n";

/// What keeps keys from being used or changed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct SigningError {
    file: PathBuf,
    why: String,
}

/// The folder of one domain.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// Tells whether the state was changed: another file, another time, another length.
pub(super) type Stamp = (u64, i64, i64, u64);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    #[serde(default, rename = "selector")]
    selectors: Vec<Selector>,
}

impl Folder {
    /// The folder of a domain below `dkim` of the data directory; it need not be there yet.
    pub fn of(dkim: &Path, domain: &str) -> Self {
        Self { path: dkim.join(domain) }
    }

    /// The selectors; none if there is no folder yet.
    pub fn selectors(&self) -> Result<Vec<Selector>, SigningError> {
        let file = self.path.join(STATE_FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&file, &error)),
        };
        let put_back = |why: String| failed(&file, &format_args!("{why}: put back a copy, or remove the folder to have new keys made"));
        let state: StateFile = toml::from_str(&text).map_err(|error| put_back(error.message().to_owned()))?;
        match state.selectors.iter().find(|selector| !is_name(&selector.name)) {
            Some(bad) => Err(put_back(format!("{:?} is no selector of ours", bad.name))),
            None => Ok(state.selectors),
        }
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(self.path.join(STATE_FILE)).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    }

    pub(super) fn key(&self, selector: &Selector) -> Result<Key, SigningError> {
        let file = self.key_file(&selector.name);
        let text = fs::read(&file).map_err(|error| failed(&file, &error))?;
        Key::read(selector.algorithm, &text).map_err(|why| failed(&file, &why))
    }

    /// Changes the selectors while nobody else does; blocks on the disk, and for a second or more if it makes a key.
    pub fn change<T>(&self, change: impl FnOnce(&mut Changing<'_>) -> Result<T, SigningError>) -> Result<T, SigningError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| failed(&self.path, &error))?;
        let _lock = self.lock()?;
        let before = self.selectors()?;
        let mut changing = Changing { folder: self, selectors: before.clone() };
        let outcome = change(&mut changing)?;
        let after = changing.selectors;
        if after != before {
            let text = toml::to_string(&StateFile { selectors: after.clone() });
            let text = text.map_err(|error| failed(&self.path, &error))?;
            self.write(STATE_FILE, &format!("{STATE_HEAD}\n{text}"))?;
        }
        self.remove_nameless(&after);
        Ok(outcome)
    }

    fn lock(&self) -> Result<File, SigningError> {
        let file = self.path.join(LOCK_FILE);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
        let lock = lock.map_err(|error| failed(&file, &error))?;
        let locked = rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
        locked.map_err(|error| failed(&file, &error))?;
        Ok(lock)
    }

    /// Key files that no selector names: what a crash left, or those of selectors that were removed.
    fn remove_nameless(&self, selectors: &[Selector]) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(KEY_SUFFIX)).filter(|name| is_name(name)) else { continue };
            if selectors.iter().all(|selector| selector.name != name) {
                // One that stays is harmless, and the next change tries again.
                _ = fs::remove_file(entry.path());
            }
        }
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{KEY_SUFFIX}"))
    }

    /// Replaces a file as a whole, and for good: the folder is synced too.
    fn write(&self, name: &str, text: &str) -> Result<(), SigningError> {
        let (file, fresh) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written = || {
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&fresh, &file)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|error| failed(&file, &error))
    }
}

/// The selectors while they are changed.
pub struct Changing<'a> {
    folder: &'a Folder,
    /// What will be written.
    pub selectors: Vec<Selector>,
}

impl Changing<'_> {
    /// Makes a key; gives its selector's name.
    pub fn make(&mut self, algorithm: Algorithm, state: State, now: i64) -> Result<String, SigningError> {
        let taken = |name: &str| self.selectors.iter().any(|selector| selector.name == name);
        let name = new_name(algorithm, now, taken);
        let text = key::make(algorithm).map_err(|error| failed(&self.folder.path, &error))?;
        self.folder.write(&format!("{name}{KEY_SUFFIX}"), &text)?;
        self.selectors.push(Selector::new(name.clone(), algorithm, state, now));
        Ok(name)
    }
}

fn failed(file: &Path, why: &dyn std::fmt::Display) -> SigningError {
    SigningError { file: file.to_owned(), why: why.to_string() }
}
