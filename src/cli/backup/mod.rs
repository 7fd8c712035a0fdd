//! `stoa backup` and `stoa restore`: the whole server in another place, and back.
//!
//! A backup is a consistent copy of the data directory: the store of one moment ([`snapshot`](super::snapshot)),
//! configuration and keys, with the server running or not. What never changes since the generation before is shared with
//! it. A crash at any time leaves the older generations as they were. Whoever can read a backup can read the mail and
//! has the keys: it is for its owner only, and not encrypted by us.

mod copy;
mod destination;
mod manifest;
mod restore;
mod source;
#[cfg(test)]
mod tests;

pub(super) use restore::{Arguments as RestoreArguments, run as restore};

use super::config::Config;
use super::home::Home;
use super::progress::{Progress, amount, count};
use super::snapshot::Snapshot;
use super::{Place, now, say};
use anyhow::{Context, bail};
use copy::cannot_write;
use destination::{Destination, Owner};
use manifest::{DATA, Known, Manifest, Origin, Saved};
use rustix::fs::statvfs;
use source::{Source, Sources};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to: a directory on another disk; it is made if it is missing
    #[arg(value_name = "DEST")]
    destination: PathBuf,
    /// How many generations stay, this one included; older ones are removed
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Copy every file anew, and share none with older generations
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    place: Place,
}

/// What a backup did.
struct Made {
    generation: PathBuf,
    files: u64,
    bytes: u64,
    new_files: u64,
    new_bytes: u64,
    removed: usize,
    notes: Vec<String>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config_file = arguments.place.config_file()?;
    let config = Config::read(&config_file)?;
    let home = Home::of(&config)?;
    apart(home.path(), &arguments.destination)?;
    let owner = Owner::new(&home.login_key()?, &config.hostname);
    let destination = Destination::open(&arguments.destination, &owner)?;
    let snapshot = Snapshot::take(&home, &(&config.store).into()).await?;
    let made = now();
    let hostname = config.hostname.clone();
    let said = tokio::task::spawn_blocking(move || {
        let sources = source::find(&home, &config_file, &snapshot)?;
        let backup = Backup { destination: &destination, path: &arguments.destination, full: arguments.full };
        let mut done = backup.make(Manifest::new(&config.hostname, home.path(), made), sources)?;
        done.removed = destination.prune(arguments.keep.into(), &done.generation)?.len();
        done.notes.extend(outside(&home, &config));
        done.notes.extend(same_disk(home.path(), &arguments.destination));
        anyhow::Ok(report(&done, &hostname, destination::generations(&arguments.destination)?.len()))
    });
    say(&said.await??);
    Ok(())
}

/// A backup within the data would be saved with it, the next time.
fn apart(home: &Path, destination: &Path) -> anyhow::Result<()> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let to = real(destination).or_else(|| Some(real(parent)?.join(destination.file_name()?)));
    match (real(home), to) {
        (Some(home), Some(to)) if to.starts_with(&home) => {
            bail!("{} lies in the data directory {}: name a directory elsewhere, best on another disk", to.display(), home.display())
        }
        _ => Ok(()),
    }
}

struct Backup<'a> {
    destination: &'a Destination,
    path: &'a Path,
    full: bool,
}

impl Backup<'_> {
    /// Makes a generation, or leaves the place as it was.
    fn make(&self, manifest: Manifest, sources: Sources) -> anyhow::Result<Made> {
        let incoming = self.destination.begin()?;
        self.fill(&incoming, manifest, sources).inspect_err(|_| self.destination.give_up())
    }

    fn fill(&self, incoming: &Path, mut manifest: Manifest, sources: Sources) -> anyhow::Result<Made> {
        let older = if self.full { None } else { destination::newest(self.path) };
        let shared = older.iter().flat_map(|(dir, older)| older.files.iter().map(move |file| (file.path.as_path(), (dir.as_path(), file))));
        let shared: HashMap<&Path, (&Path, &Saved)> = shared.collect();
        self.check_room(&sources.files, &shared)?;
        let mut done = Made {
            generation: PathBuf::new(),
            files: 0,
            bytes: 0,
            new_files: 0,
            new_bytes: 0,
            removed: 0,
            notes: sources.left_out.iter().map(|what| format!("Left out: {what}.")).collect(),
        };
        let mut progress = Progress::new();
        for source in &sources.files {
            let to = incoming.join(DATA).join(&source.path);
            let Some((saved, is_new)) = save(source, &to, shared.get(source.path.as_path()).copied())? else { continue };
            done.files += 1;
            done.bytes += saved.bytes;
            if is_new {
                done.new_files += 1;
                done.new_bytes += saved.bytes;
            }
            progress.tell(|| format!("{} of {} saved", count(done.files, "file", "files"), sources.files.len()));
            manifest.files.push(saved);
        }
        manifest.write(incoming)?;
        done.generation = self.destination.finish(manifest.made)?;
        Ok(done)
    }

    /// Says at the start what would fail at the end.
    fn check_room(&self, sources: &[Source], shared: &HashMap<&Path, (&Path, &Saved)>) -> anyhow::Result<()> {
        let is_new = |source: &&Source| shared.get(source.path.as_path()).is_none_or(|(_, saved)| !is_same(source, saved));
        let new: u64 = sources.iter().filter(is_new).filter_map(|source| fs::metadata(&source.from).ok()).map(|found| found.len()).sum();
        let disk = statvfs(self.path).with_context(|| format!("cannot look at the disk of {}", self.path.display()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < new {
            bail!(
                "there is no room for the backup in {}: it needs {}, and {} are free; make room, or use another disk",
                self.path.display(),
                amount(new),
                amount(free)
            );
        }
        Ok(())
    }
}

/// Is this the file that was saved before?
fn is_same(source: &Source, saved: &Saved) -> bool {
    let same = |found: fs::Metadata| found.len() == saved.bytes && Origin::of(&found) == saved.origin;
    source.is_immutable && fs::metadata(&source.from).is_ok_and(same)
}

/// Saves a file, and says whether it took room; `None` if it went away meanwhile.
fn save(source: &Source, to: &Path, older: Option<(&Path, &Saved)>) -> anyhow::Result<Option<(Saved, bool)>> {
    let parent = to.parent().unwrap_or(to);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|error| cannot_write(parent, &error))?;
    if let Some((dir, saved)) = older.filter(|(_, saved)| is_same(source, saved)) {
        let shared = dir.join(DATA).join(&saved.path);
        let is_whole = fs::metadata(&shared).is_ok_and(|found| found.len() == saved.bytes);
        // Without hard links, or with too many of them, it is copied.
        if is_whole && fs::hard_link(&shared, to).is_ok() {
            return Ok(Some((saved.clone(), false)));
        }
    }
    let from = match File::open(&source.from) {
        Err(error) if error.kind() == ErrorKind::NotFound && !source.is_immutable => return Ok(None),
        from => from.with_context(|| format!("cannot read {}", source.from.display()))?,
    };
    let found = from.metadata()?;
    let (bytes, blake3) = copy::copy(from, to, 0o600).map_err(|error| cannot_write(to, &error))?;
    let (path, mode) = (source.path.clone(), found.permissions().mode() & 0o777);
    Ok(Some((Saved { path, bytes, mode, blake3, origin: Origin::of(&found) }, true)))
}

/// Files that the server uses and that lie elsewhere.
fn outside(home: &Home, config: &Config) -> Vec<String> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let within = real(home.path());
    let used = [("tls.certificate_file", &config.tls.certificate_file), ("tls.key_file", &config.tls.key_file)];
    let outside = used.into_iter().filter(|(_, path)| !real(path).starts_with(&within));
    outside.map(|(key, path)| format!("Not in the backup: {} ({key}), which lies outside of the data directory.", path.display())).collect()
}

fn same_disk(home: &Path, destination: &Path) -> Option<String> {
    let disk = |path| fs::metadata(path).ok().map(|found| found.dev());
    let warning = "This backup is on the disk of the data itself, and goes with it when it breaks: make another elsewhere.";
    (disk(home) == disk(destination)).then(|| warning.to_owned())
}

fn report(done: &Made, hostname: &str, kept: usize) -> String {
    let mut lines = vec![format!(
        "{hostname} is saved in {}: {}, {}; {} of them, {}, are new.",
        done.generation.display(),
        count(done.files, "file", "files"),
        amount(done.bytes),
        done.new_files,
        amount(done.new_bytes)
    )];
    let removed = if done.removed > 0 {
        format!(", {} removed", count(done.removed as u64, "older one is", "older ones are"))
    } else {
        String::new()
    };
    lines.push(format!("{} kept{removed}.", count(kept as u64, "generation is", "generations are")));
    lines.extend(done.notes.iter().cloned());
    lines.join("\n")
}

/// Checks the files of all generations, or of one; gives what is wrong and a sentence about the whole.
pub(super) fn check(path: &Path, generation: Option<&str>) -> anyhow::Result<(Vec<String>, String)> {
    let (mut wrong, mut known, mut progress) = (Vec::new(), Known::default(), Progress::new());
    let chosen = destination::choose(path, generation)?;
    let mut whole = 0;
    for dir in &chosen {
        let before = wrong.len();
        match Manifest::read(dir) {
            Ok(manifest) => wrong.extend(manifest.check(dir, &mut known, &mut progress)),
            Err(error) => wrong.push(format!("{error:#}")),
        }
        whole += u64::from(wrong.len() == before);
    }
    let names = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let newest = chosen.last().and_then(names).unwrap_or_default();
    Ok((wrong, format!("{whole} of {} whole; the newest is {newest}.", count(chosen.len() as u64, "generation is", "generations are"))))
}
