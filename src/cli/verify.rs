//! `stoa verify`: everything that is stored looked at, or the files of a backup; what is wrong, whose, and what to do.
//!
//! Reads a snapshot, so that the server may run. Each fault is a line, with what can be done about its kind at the end;
//! the exit code is 1 if there is any.

use super::config::Config;
use super::home::Home;
use super::progress::{Progress, amount, count};
use super::snapshot::Snapshot;
use super::{Place, backup, say};
use crate::store::Message;
use crate::store::verify::{Counts, Finding, Harm, Told, verify};
use crate::trust::Trust;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::PathBuf;
use stoa_imap::Summary;

/// Faults that are told one by one. More have one cause, and a person reads no more.
const TOLD_MAX: u64 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look at the files of the backups in this directory instead
    #[arg(long, value_name = "DEST", conflicts_with_all = ["dir", "config"])]
    backup: Option<PathBuf>,
    /// Only this generation of them, by the beginning of its name [default: all]
    #[arg(long, value_name = "NAME", requires = "backup")]
    generation: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.backup {
        Some(path) => verify_backup(path, arguments.generation).await,
        None => verify_data(&arguments.place).await,
    }
}

async fn verify_backup(path: PathBuf, generation: Option<String>) -> anyhow::Result<()> {
    let (wrong, said) = tokio::task::spawn_blocking(move || backup::check(&path, generation.as_deref())).await??;
    wrong.iter().for_each(|what| say(what));
    say(&said);
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "{} damaged: make a new backup with `stoa backup DEST --full`, which copies every file anew, and look at the disk",
        count(wrong.len() as u64, "file of the backup is", "files of the backup are")
    )
}

async fn verify_data(place: &Place) -> anyhow::Result<()> {
    let config = Config::read(&place.config_file()?)?;
    let home = Home::of(&config)?;
    let memory = (&config.store).into();
    let snapshot = Snapshot::take(&home, &memory).await?;
    let damaged = "the store is so damaged that it cannot be opened: restore a backup into a new directory with `stoa restore`";
    let engine = snapshot.open(&memory).await.context(damaged)?;
    let mut report = Report { progress: Progress::new(), harms: BTreeSet::new(), told: 0 };
    let counts = verify(&engine, check_message, &mut |told| report.take(told)).await?;
    say(&report.end(&counts));
    if counts.wrong > 0 {
        bail!("{} wrong in {}", count(counts.wrong, "thing is", "things are"), home.path().display());
    }
    Ok(())
}

/// What is stored of a message for the rooms above the store.
pub(super) fn check_message(message: &Message, size: u64) -> Result<(), String> {
    let summary = Summary::read(&message.summary).map_err(|error| format!("its summary cannot be read: {error}"))?;
    summary.check().map_err(|error| format!("its summary cannot be read: {error}"))?;
    if summary.size().is_ok_and(|said| said != size) {
        return Err("its summary says another size".to_owned());
    }
    Trust::of_message(message).map(drop).map_err(|error| format!("who vouches for it cannot be read: {error}"))
}

struct Report {
    progress: Progress,
    harms: BTreeSet<Harm>,
    told: u64,
}

impl Report {
    fn take(&mut self, told: Told) {
        match told {
            Told::Wrong(finding) => {
                self.harms.insert(finding.harm);
                self.told += 1;
                if self.told <= TOLD_MAX {
                    say(&line(&finding));
                }
            }
            Told::At(table, rows) => self.progress.tell(|| format!("{}: {rows} rows", table.name())),
        }
    }

    fn end(&self, counts: &Counts) -> String {
        let mut lines = Vec::new();
        if self.told > TOLD_MAX {
            lines.push(format!("… and {} more", self.told - TOLD_MAX));
        }
        if !self.harms.is_empty() {
            lines.push("\nWhat to do:".to_owned());
        }
        lines.extend(self.harms.iter().map(|harm| format!("  {}: {}", title(*harm), harm.advice())));
        lines.push(format!(
            "Looked at {}, {}, {} of {}, {} ({}), {} in the queue.",
            count(counts.accounts, "account", "accounts"),
            count(counts.mailboxes, "mailbox", "mailboxes"),
            count(counts.entries, "entry", "entries"),
            count(counts.messages, "message", "messages"),
            count(counts.bodies, "text", "texts"),
            amount(counts.body_bytes),
            count(counts.queued, "message", "messages")
        ));
        if counts.wrong == 0 {
            lines.push("Everything is whole.".to_owned());
        }
        lines.join("\n")
    }
}

/// A fault in a line: whose it is, what it is, of which kind.
fn line(finding: &Finding) -> String {
    let whose = if finding.whose.is_empty() { "the store".to_owned() } else { finding.whose.join("; ") };
    format!("{whose}: {} [{}]", finding.what, title(finding.harm))
}

/// The kind of a fault, which leads from its line to the advice.
fn title(harm: Harm) -> &'static str {
    match harm {
        Harm::Content => "lost text",
        Harm::Display => "wrong display",
        Harm::Mailbox => "mailbox",
        Harm::Account => "account",
        Harm::Queue => "queue",
        Harm::Memory => "memory",
        Harm::Room => "room only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_whose_it_is_and_what_to_do() {
        let mut report = Report { progress: Progress::new(), harms: BTreeSet::new(), told: 0 };
        let whose = vec!["john@example.org, INBOX, UID 7".to_owned()];
        let finding = Finding { what: "this message is damaged".to_owned(), whose, harm: Harm::Content };
        assert_eq!(line(&finding), "john@example.org, INBOX, UID 7: this message is damaged [lost text]");
        report.take(Told::Wrong(finding));
        let said = report.end(&Counts { accounts: 1, wrong: 1, ..Counts::default() });
        assert!(said.contains("lost text: its bytes are lost here") && said.contains("1 account, 0 mailboxes"), "{said}");
        assert!(!said.contains("whole."));
        let clean = Report { progress: Progress::new(), harms: BTreeSet::new(), told: 0 };
        assert!(clean.end(&Counts::default()).ends_with("Everything is whole."));
    }
}
