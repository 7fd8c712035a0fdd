//! The data directory: where it is, whether it may be used, and what lies in it.
//!
//! | name | holds |
//! |---|---|
//! | `stoa.toml` | the configuration, unless it is elsewhere |
//! | `store/` | mail, accounts and the queue |
//! | `login.key` | the key from which unknown users get their believable salts, and return addresses their proof |
//! | `dkim/` | the keys that sign mail, by domain |
//! | `tls/`, `acme/` | the certificate and its key; the account at its authority, what was ordered, challenges |
//! | `control.socket` | where other sub-commands reach a running server |
//! | `snapshot-…/` | the store of one moment, while a backup, a check or an export reads it |
//!
//! A directory that belongs to another user is refused: files that root made would be out of reach for the server.

use super::config::{self, Config};
use super::{Place, secrets};
use crate::store::Store;
use crate::store::engine::rocksdb::{Rocks, RocksConfig};
use anyhow::{Context, bail};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What holds mail, accounts and the queue.
pub(super) const STORE: &str = "store";

/// Where the system's own server keeps its data.
const SYSTEM_DIRECTORY: &str = "/var/lib/stoa";

impl Place {
    /// The configuration file that was meant.
    pub(super) fn config_file(&self) -> anyhow::Result<PathBuf> {
        match (&self.config, &self.dir) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(dir)) => Ok(dir.join(config::FILE_NAME)),
            (None, None) => Ok(default_directory("stoa")?.join(config::FILE_NAME)),
        }
    }
}

/// The system's directory for root and for its owner, else one in the person's home (XDG base directories).
pub(super) fn default_directory(name: &str) -> anyhow::Result<PathBuf> {
    let user = rustix::process::geteuid();
    if name == "stoa" && (user.is_root() || belongs_to(Path::new(SYSTEM_DIRECTORY), user.as_raw())) {
        return Ok(SYSTEM_DIRECTORY.into());
    }
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    Ok(data.context("there is no HOME: say where the data directory is with --dir DIR")?.join(name))
}

/// So `sudo -u stoa stoa …` finds the server without being told where it is.
fn belongs_to(path: &Path, user: u32) -> bool {
    fs::metadata(path).is_ok_and(|found| found.uid() == user)
}

/// A data directory that is ours.
#[derive(Debug, Clone)]
pub(super) struct Home(PathBuf);

impl Home {
    /// A directory that exists.
    pub(super) fn of(config: &Config) -> anyhow::Result<Home> {
        let home = Home(config.data_directory.clone());
        home.check_owner()?;
        Ok(home)
    }

    /// A directory that is made if it is missing, readable by its owner only.
    pub(super) fn make(path: &Path) -> anyhow::Result<Home> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let home = Home(path.to_owned());
        home.check_owner()?;
        Ok(home)
    }

    fn check_owner(&self) -> anyhow::Result<()> {
        self.check_user(rustix::process::geteuid().as_raw())
    }

    fn check_user(&self, user: u32) -> anyhow::Result<()> {
        let path = self.0.display();
        let found = fs::metadata(&self.0).with_context(|| format!("cannot read the data directory {path}"))?;
        let owner = found.uid();
        if owner != user {
            bail!(
                "the data directory {path} belongs to user {owner}, and this is user {user}: run this as its owner, with  sudo -u '#{owner}' stoa …"
            );
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn control_socket(&self) -> PathBuf {
        self.0.join("control.socket")
    }

    /// Where the keys of domains lie.
    pub(super) fn dkim(&self) -> PathBuf {
        self.0.join("dkim")
    }

    /// Opens the store, or says why not; one process at a time can.
    pub(super) async fn open_store(&self, memory: &RocksConfig) -> anyhow::Result<Store> {
        let rocks = self.open_engine(memory).await?;
        Store::open(Arc::new(rocks)).await.with_context(|| format!("cannot use the data directory {}", self.0.display()))
    }

    /// Opens what the store stands on.
    pub(super) async fn open_engine(&self, memory: &RocksConfig) -> anyhow::Result<Rocks> {
        open_engine(self.0.join(STORE), memory).await
    }

    /// The key for salts of unknown users; made when it is missing.
    pub(super) fn login_key(&self) -> anyhow::Result<[u8; 32]> {
        let file = self.0.join("login.key");
        if let Ok(bytes) = fs::read(&file) {
            return bytes
                .try_into()
                .map_err(|_| anyhow::anyhow!("{} is not a key of 32 bytes: delete it to have a new one made", file.display()));
        }
        let key: [u8; 32] = rand::random();
        secrets::write(&file, &key)?;
        Ok(key)
    }
}

/// The key that proves return addresses of forwarded mail: one of its own, which says nothing of the other.
pub(super) fn return_key(login_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("stoa return addresses", login_key)
}

/// Opens the engine in a directory; one process at a time can.
pub(super) async fn open_engine(path: PathBuf, memory: &RocksConfig) -> anyhow::Result<Rocks> {
    let memory = memory.clone();
    Ok(tokio::task::spawn_blocking(move || Rocks::open(&path, &memory)).await??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_usual_for_its_owner_and_refuses_others_with_the_command_that_helps() {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        assert!(belongs_to(dir.path(), user) && !belongs_to(dir.path(), user + 1));
        assert!(!belongs_to(&dir.path().join("missing"), user));
        let home = Home(dir.path().to_owned());
        home.check_user(user).unwrap();
        let refused = home.check_user(user + 1).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("sudo -u '#{user}' stoa …")), "{refused}");
    }

    #[test]
    fn a_new_directory_and_its_key_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let home = Home::make(&path).unwrap();
        let key = home.login_key().unwrap();
        assert_eq!(home.login_key().unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("login.key")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(path.join("login.key"), "short").unwrap();
        assert!(home.login_key().unwrap_err().to_string().contains("32 bytes"));
    }
}
