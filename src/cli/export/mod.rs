//! `stoa export`: all mail of an account, or of all, as mbox files that any mail program reads.
//!
//! Reads a snapshot, so that the server may run; holds the list of one mailbox and a chunk of a message. A message that
//! cannot be read is left out and said, with its mailbox and UID; of a mailbox that cannot be opened the rest is written.

mod mbox;
mod names;

use super::config::Config;
use super::home::Home;
use super::progress::{Progress, amount, count};
use super::snapshot::Snapshot;
use super::{Place, account, say};
use crate::store::{Account, CHUNK_BYTES, Leaf, SEPARATOR, Store};
use anyhow::{Context, bail};
use mbox::Quoter;
use names::Names;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stoa_mailbox::{Entry, View};

/// Tells in each account's directory which file is which mailbox.
const INDEX: &str = "mailboxes.tsv";

#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true, override_usage = "stoa export [OPTIONS] <ADDRESS|--all> <DEST>")]
pub(super) struct Arguments {
    /// Whose mail
    #[arg(value_parser = account::address, required_unless_present = "all", conflicts_with = "all")]
    address: Option<String>,
    /// Where to: the mail goes into a new directory in it, called like the address
    #[arg(value_name = "DEST")]
    destination: PathBuf,
    /// The mail of all accounts
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.place.config_file()?)?;
    let home = Home::of(&config)?;
    let memory = (&config.store).into();
    let snapshot = Snapshot::take(&home, &memory).await?;
    let store = Store::open(Arc::new(snapshot.open(&memory).await?)).await?;
    let accounts = match &arguments.address {
        Some(address) => vec![account::find(&store, address).await?],
        None => store.accounts().await?,
    };
    let mut left_out = Vec::new();
    for account in &accounts {
        let export = Export { store: &store, account, dir: make_directory(&arguments.destination, &account.address)? };
        say(&export.write(&mut left_out).await?);
    }
    if left_out.is_empty() {
        return Ok(());
    }
    left_out.iter().for_each(|what| say(what));
    bail!(
        "{} left out, all others are written: `stoa verify` says more",
        count(left_out.len() as u64, "message or mailbox is", "messages or mailboxes are")
    )
}

fn make_directory(destination: &Path, address: &str) -> anyhow::Result<PathBuf> {
    let dir = destination.join(names::safe(address));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(destination);
    made.with_context(|| format!("cannot make {}", destination.display()))?;
    if dir.exists() {
        bail!("{} is there already: name another directory, so that nothing is written over", dir.display());
    }
    DirBuilder::new().mode(0o700).create(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

struct Export<'a> {
    store: &'a Store,
    account: &'a Account,
    dir: PathBuf,
}

impl Export<'_> {
    /// Writes all mailboxes; says how much that was.
    async fn write(&self, left_out: &mut Vec<String>) -> anyhow::Result<String> {
        let holder = self.account.holder;
        let tree = self.store.holder(holder).await?.with_context(|| format!("{} has no mailboxes", self.account.address))?;
        let (mut names, mut messages, mut bytes) = (Names::default(), 0, 0);
        let mut index = "file\tmailbox\tUIDVALIDITY\tmessages\n".to_owned();
        let mut progress = Progress::new();
        for leaf in &tree.mailboxes {
            let path = names.file(&leaf.name, SEPARATOR);
            let view = match self.store.watch((holder, leaf.id)).await {
                Ok(views) => views.borrow().clone(),
                Err(error) => {
                    left_out.push(format!("{}, {}: not all of it can be read: {error}", self.account.address, leaf.name));
                    Arc::new(self.store.salvage((holder, leaf.id)).await.unwrap_or_else(|_| View::empty(leaf.uid_validity)))
                }
            };
            let mut file = Mbox::begin(self.dir.join(&path))?;
            let written = self.write_mailbox(leaf, &view, &mut file, left_out, &mut progress).await?;
            messages += written;
            bytes += file.finish()?;
            index.push_str(&format!("{}\t{}\t{}\t{written}\n", path.display(), leaf.name, leaf.uid_validity));
        }
        write_file(&self.dir.join(INDEX), index.as_bytes())?;
        let mailboxes = count(tree.mailboxes.len() as u64, "mailbox", "mailboxes");
        let messages = count(messages, "message", "messages");
        Ok(format!("{}: {mailboxes} with {messages}, {}, in {}", self.account.address, amount(bytes), self.dir.display()))
    }

    async fn write_mailbox(
        &self,
        leaf: &Leaf,
        view: &View,
        file: &mut Mbox,
        left_out: &mut Vec<String>,
        progress: &mut Progress,
    ) -> anyhow::Result<u64> {
        let mut written = 0;
        let entries: Vec<Entry> = view.iter().copied().collect();
        for entry in &entries {
            match self.write_message(entry, view, file).await? {
                Ok(()) => written += 1,
                Err(why) => left_out.push(format!("{}, {}, UID {}: left out: {why}", self.account.address, leaf.name, entry.uid)),
            }
            progress.tell(|| format!("{}, {}: {written} of {}", self.account.address, leaf.name, entries.len()));
        }
        Ok(written)
    }

    /// Writes a message whole, or nothing of it if it cannot be read.
    async fn write_message(&self, entry: &Entry, view: &View, file: &mut Mbox) -> anyhow::Result<Result<(), String>> {
        let found = self.store.messages(self.account.holder, &[entry.message]).await;
        let message = match found.map(|mut found| found.pop().flatten()) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Err("it is not stored".to_owned())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let content = match self.store.contents(&message).await {
            Ok(content) => content,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (begin, mut quoter, mut at) = (file.position()?, Quoter::new(), 0);
        let beginning = content.read_all(0..content.size().min(CHUNK_BYTES as u64)).await;
        match &beginning {
            Ok(beginning) => file.out.write_all(mbox::head(beginning, entry, &view.keywords).as_bytes())?,
            Err(error) => return Ok(Err(error.to_string())),
        }
        while at < content.size() {
            match content.read(at..content.size()).await {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => {
                    quoter.push(&chunk, &mut file.out)?;
                    at += chunk.len() as u64;
                }
                Err(error) => {
                    file.take_back(begin)?;
                    return Ok(Err(error.to_string()));
                }
            }
        }
        quoter.finish(&mut file.out)?;
        Ok(Ok(()))
    }
}

/// A file of messages that gets its name when it is whole.
struct Mbox {
    out: BufWriter<File>,
    path: PathBuf,
    part: PathBuf,
}

impl Mbox {
    fn begin(path: PathBuf) -> anyhow::Result<Mbox> {
        let parent = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let part = path.with_extension("part");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Mbox { out: BufWriter::with_capacity(CHUNK_BYTES, file), path, part })
    }

    fn position(&mut self) -> std::io::Result<u64> {
        self.out.stream_position()
    }

    /// Forgets what was written from here on.
    fn take_back(&mut self, position: u64) -> std::io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().set_len(position)?;
        self.out.seek(SeekFrom::Start(position)).map(drop)
    }

    /// Makes it durable under its name; says how large it is.
    fn finish(mut self) -> anyhow::Result<u64> {
        let finish = || {
            self.out.flush()?;
            self.out.get_ref().sync_all()?;
            fs::rename(&self.part, &self.path)?;
            std::io::Result::Ok(self.out.get_ref().metadata()?.len())
        };
        let mut finish = finish;
        finish().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        out.write_all(bytes)?;
        out.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Intake;
    use crate::store::engine::memory::Memory;
    use crate::store::engine::{Batch, Engine, Sync};
    use crate::store::{Change, HolderId, Table};
    use bytes::Bytes;
    use stoa_mailbox::{FlagNames, SystemFlag};
    use stoa_sasl::Secret;

    async fn file(store: &Store, holder: HolderId, mailbox: &str, message: &[u8], flags: FlagNames) {
        use crate::delivery::admit::{Letter, Wish, admit};
        use crate::store::Outcome;
        let trust = crate::trust::Trust::of_account(&store.account(holder).await.unwrap().unwrap());
        let mut intake = Intake::new(store, Bytes::new(), 7);
        intake.push(message).await.unwrap();
        let letter = Letter { message: intake.finish().await.unwrap(), flags, received: 1_700_000_000 };
        let place = (holder, store.holder(holder).await.unwrap().unwrap().find(mailbox).unwrap().id);
        let filed = admit(store, &trust, place, Wish::Append(vec![letter]), 7).await.unwrap();
        assert!(matches!(filed, Outcome::Filed(_)));
    }

    async fn world(engine: Memory) -> (Store, Account) {
        let store = Store::open(Arc::new(engine)).await.unwrap();
        let password = Secret::new("correct horse".to_owned());
        let holder = account::add(&store, &["example.org".to_owned()], "john@example.org", &password, true).await.unwrap();
        store.commit(Change::CreateMailbox { holder, name: "Archive/2024".into(), special_use: None, now: 7 }).await.unwrap();
        let flags = FlagNames { system: SystemFlag::Seen.into(), keywords: vec!["$Forwarded".into()] };
        file(&store, holder, "INBOX", b"From: a@b.example\r\n\r\nFrom the start\r\n", flags).await;
        let long = [b"From: c@d.example\r\n\r\n".as_slice(), &vec![b'x'; 2 * CHUNK_BYTES]].concat();
        file(&store, holder, "INBOX", &long, FlagNames::default()).await;
        file(&store, holder, "INBOX", b"From: e@f.example\r\n\r\nlast\r\n", FlagNames::default()).await;
        file(&store, holder, "Archive/2024", b"From: g@h.example\r\n\r\nold\r\n", FlagNames::default()).await;
        let account = store.account(holder).await.unwrap().unwrap();
        (store, account)
    }

    async fn export(store: &Store, account: &Account, to: &Path) -> (String, Vec<String>) {
        let mut left_out = Vec::new();
        let export = Export { store, account, dir: make_directory(to, &account.address).unwrap() };
        (export.write(&mut left_out).await.unwrap(), left_out)
    }

    #[tokio::test]
    async fn every_mailbox_is_a_file_with_flags_and_quoted_lines() {
        let (store, account) = world(Memory::new()).await;
        let dir = tempfile::tempdir().unwrap();
        let (said, left_out) = export(&store, &account, dir.path()).await;
        assert!(said.starts_with("john@example.org: 7 mailboxes with 4 messages") && left_out.is_empty(), "{said} {left_out:?}");
        let inbox = fs::read_to_string(dir.path().join("john@example.org/INBOX.mbox")).unwrap();
        let first = "From a@b.example Tue Nov 14 22:13:20 2023\nStatus: RO\nX-Keywords: $Forwarded\nX-UID: 1\nFrom: a@b.example\n\n>From the start\n\n";
        assert!(inbox.starts_with(first), "{}", &inbox[..200]);
        assert_eq!(inbox.lines().filter(|line| line.starts_with("From ")).count(), 3);
        assert!(inbox.contains(&format!("\n{}\n\nFrom e@f", "x".repeat(2 * CHUNK_BYTES))));
        assert!(dir.path().join("john@example.org/Archive.mbox").exists());
        let old = fs::read_to_string(dir.path().join("john@example.org/Archive/2024.mbox")).unwrap();
        assert!(old.ends_with("From: g@h.example\n\nold\n\n"));
        let index = fs::read_to_string(dir.path().join("john@example.org").join(INDEX)).unwrap();
        assert!(index.contains("Archive/2024.mbox\tArchive/2024\t"), "{index}");
        let again = make_directory(dir.path(), &account.address).unwrap_err().to_string();
        assert!(again.contains("is there already"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_left_out_whole_and_said() {
        let engine = Memory::new();
        let (store, account) = world(engine.clone()).await;
        // The last piece of the long message, whose beginning is written before it is missed; and a change of the other mailbox.
        let chunks = engine.range(Table::Chunks, &[], &[u8::MAX; 21], usize::MAX).await.unwrap();
        let second = chunks.iter().find(|(key, _)| key.ends_with(&[0, 0, 0, 1])).unwrap().0.clone();
        let changes = engine.range(Table::Changes, &[], &[u8::MAX; 21], usize::MAX).await.unwrap();
        let mut batch = Batch::default();
        batch.delete(Table::Chunks, second.to_vec());
        batch.put(Table::Changes, changes[0].0.to_vec(), vec![0xff; 9]);
        engine.commit(batch, Sync::Now).await;
        drop(store);
        let store = Store::open(Arc::new(engine)).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (_, left_out) = export(&store, &account, dir.path()).await;
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        assert!(left_out[0].starts_with("john@example.org, INBOX: not all of it can be read"));
        assert!(left_out[1].starts_with("john@example.org, INBOX, UID 2: left out"));
        let inbox = fs::read_to_string(dir.path().join("john@example.org/INBOX.mbox")).unwrap();
        assert!(!inbox.contains("xx") && inbox.ends_with("From: e@f.example\n\nlast\n\n"), "{inbox}");
    }
}
