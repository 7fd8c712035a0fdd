//! `stoa restore`: a server from its backup, in a new directory.
//!
//! Each file is checked against the manifest while it is copied. The configuration comes last: a directory in which
//! restoring was cut off is not served. What is damaged is said, all of it, and nothing is left behind, unless the
//! person wants what there is.

use super::copy::{self, cannot_write};
use super::manifest::{DATA, Manifest, Saved, differs, unreadable};
use super::{amount, count, destination};
use crate::cli::config::{Config, FILE_NAME};
use crate::cli::home::{STORE, open_engine};
use crate::cli::progress::{Progress, moment};
use crate::cli::{now, say};
use crate::store::engine::rocksdb::RocksConfig;
use crate::store::renew_uid_validity;
use anyhow::{Context, bail};
use rustix::fs::statvfs;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the backups, or one generation in it
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The new data directory; it must be empty or not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Which generation, by the beginning of its name, such as 2026-11-25 [default: the newest]
    #[arg(long, value_name = "NAME")]
    generation: Option<String>,
    /// Nothing has changed since the backup was made, as when a server moves: mail programs keep what they know.
    /// Otherwise they fetch all mail anew, since what came after the backup must not be mistaken for what comes next
    #[arg(long)]
    moved: bool,
    /// Restore what there is, although files of the backup are damaged or missing
    #[arg(long)]
    damaged: bool,
}

pub(in crate::cli) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let restored = tokio::task::spawn_blocking(move || restore(&arguments)).await??;
    say(&restored);
    Ok(())
}

/// Restores, and says what.
pub(super) fn restore(arguments: &Arguments) -> anyhow::Result<String> {
    let chosen = destination::choose(&arguments.source, arguments.generation.as_deref())?;
    let generation = chosen.last().context("there is a generation")?;
    let manifest = Manifest::read(generation)?;
    let dir = &arguments.dir;
    let was_there = prepare(dir, &manifest)?;
    let (config, others): (Vec<&Saved>, Vec<&Saved>) = manifest.files.iter().partition(|file| file.path == Path::new(FILE_NAME));
    let restored = fill(dir, generation, &others).and_then(|mut wrong| {
        if !arguments.moved && (wrong.is_empty() || arguments.damaged) {
            renew(dir, &mut wrong, arguments.damaged)?;
        }
        wrong.extend(fill(dir, generation, &config)?);
        if !wrong.is_empty() && !arguments.damaged {
            let wrong = wrong.join("\n  ");
            bail!(
                "the backup is damaged, and nothing was restored:\n  {wrong}\n\
                 Restore an older one with --generation NAME, or what there is with --damaged."
            );
        }
        stay_within(dir)?;
        copy::sync_tree(dir)?;
        Ok(report(arguments, generation, &manifest, &wrong))
    });
    restored.inspect_err(|_| clear(dir, was_there))
}

/// Makes the directory, or sees that it is empty; says whether it was there.
fn prepare(dir: &Path, manifest: &Manifest) -> anyhow::Result<bool> {
    let was_there = match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found")) {
                bail!("{} is not empty: name a directory that is empty or not there, so that nothing is lost", dir.display());
            }
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| cannot_write(dir, &error))?;
    let disk = statvfs(dir).with_context(|| format!("cannot look at the disk of {}", dir.display()))?;
    let (free, needed) = (disk.f_bavail.saturating_mul(disk.f_frsize), manifest.bytes());
    if free < needed {
        clear(dir, was_there);
        bail!("there is no room in {}: {} are needed and {} are free", dir.display(), amount(needed), amount(free));
    }
    Ok(was_there)
}

/// Takes back what was begun.
fn clear(dir: &Path, was_there: bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let removed = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true if entry.file_name() != "lost+found" => fs::remove_dir_all(entry.path()),
            true => Ok(()),
            false => fs::remove_file(entry.path()),
        };
        // What stays is said by the next try: the directory is not empty then.
        _ = removed;
    }
    if !was_there {
        _ = fs::remove_dir(dir);
    }
}

/// Copies files; gives what is wrong with them.
fn fill(dir: &Path, generation: &Path, files: &[&Saved]) -> anyhow::Result<Vec<String>> {
    let (mut wrong, mut done, mut progress) = (Vec::new(), 0, Progress::new());
    let all = files.iter().map(|file| file.bytes).sum();
    for file in files {
        let from = generation.join(DATA).join(&file.path);
        match File::open(&from) {
            Ok(open) => wrong.extend(put(open, file, dir)?.map(|what| format!("{} {what}", from.display()))),
            Err(error) => wrong.push(format!("{} {}", from.display(), unreadable(&error))),
        }
        done += file.bytes;
        progress.tell(|| format!("{} of {} restored", amount(done), amount(all)));
    }
    Ok(wrong)
}

/// Has mail programs take all mailboxes for new ones. Of a damaged store that may be impossible, which is told.
fn renew(dir: &Path, wrong: &mut Vec<String>, damaged: bool) -> anyhow::Result<()> {
    let renewed = tokio::runtime::Handle::current().block_on(async {
        let engine = open_engine(dir.join(STORE), &RocksConfig::default()).await?;
        anyhow::Ok(renew_uid_validity(&engine, now()).await?)
    });
    match renewed {
        Err(error) if damaged => wrong.push(format!("mailboxes keep their UIDVALIDITY: {error:#}")),
        Err(error) => return Err(error.context("the restored store cannot be opened")),
        Ok(_) => {}
    }
    Ok(())
}

/// Copies one file; says how it differs from what was saved.
fn put(from: File, file: &Saved, dir: &Path) -> anyhow::Result<Option<String>> {
    let to = dir.join(&file.path);
    let parent = to.parent().unwrap_or(dir);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|error| cannot_write(parent, &error))?;
    let (bytes, blake3) = copy::copy(from, &to, 0o600).map_err(|error| cannot_write(&to, &error))?;
    fs::set_permissions(&to, Permissions::from_mode(file.mode & 0o777)).map_err(|error| cannot_write(&to, &error))?;
    Ok(differs(file, bytes, &blake3))
}

/// A configuration that names its data directory would have the old one served.
fn stay_within(dir: &Path) -> anyhow::Result<()> {
    let file = dir.join(FILE_NAME);
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let Ok(table) = text.parse::<toml::Table>() else { return Ok(()) };
    if table.get("data_directory").is_none_or(|value| value.as_str() == Some(".")) {
        return Ok(());
    }
    let names_it = |line: &str| line.trim_start().strip_prefix("data_directory").is_some_and(|rest| rest.trim_start().starts_with('='));
    let comment = |line: &str| if names_it(line) { format!("# Before it was restored: {line}\n") } else { format!("{line}\n") };
    let changed: String = text.lines().map(comment).collect();
    copy::write(&file, changed.as_bytes())?;
    match Config::read(&file) {
        Ok(config) if config.data_directory == dir.components().collect::<PathBuf>() => Ok(()),
        _ => bail!("{} names another data directory, and so has to be mended by hand: write data_directory = \".\"", file.display()),
    }
}

fn report(arguments: &Arguments, generation: &Path, manifest: &Manifest, wrong: &[String]) -> String {
    let shown = arguments.dir.display();
    let mut lines = vec![format!(
        "{} is restored in {shown}, as it was on {} in {}: {}, {}.",
        manifest.hostname,
        moment(manifest.made),
        manifest.data_directory.display(),
        count(manifest.files.len() as u64, "file", "files"),
        amount(manifest.bytes())
    )];
    lines.push(format!("It comes from {}.", generation.display()));
    if !wrong.is_empty() {
        lines.push(format!("Damaged or missing:\n  {}", wrong.join("\n  ")));
    }
    if !arguments.moved {
        lines.push(
            "Mail programs will fetch all mail anew; had nothing changed since the backup, --moved would spare them that.".to_owned(),
        );
    }
    lines.push(format!("Look through it:  stoa verify --dir {shown}"));
    lines.push(format!("Then start it:    stoa serve --dir {shown}"));
    lines.push("Never run it beside the server that it was saved from: both would send the mail that waited.".to_owned());
    lines.join("\n")
}

#[cfg(test)]
impl Arguments {
    pub(super) fn of(source: &Path, dir: &Path, generation: Option<&str>, damaged: bool) -> Arguments {
        Arguments { source: source.to_owned(), dir: dir.to_owned(), generation: generation.map(str::to_owned), moved: true, damaged }
    }
}
