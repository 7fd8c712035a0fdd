//! The demo's sample mail: files of `conf/demo`, filed as its `INDEX.tsv` says.
//!
//! Every file is filed through the same intake as any other message, with the flags and the age of its row. A run that
//! was cut off is gone on with: an account has as many messages as rows were done.

use super::super::{now, secrets};
use super::Person;
use crate::delivery::Intake;
use crate::store::{Change, Delivery, HolderId, Place, SEPARATOR, Store};
use crate::trust::Trust;
use anyhow::Context;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::Path;
use stoa_mailbox::{FlagNames, SystemFlag};

const INDEX: &str = include_str!("../../../conf/demo/INDEX.tsv");

/// What stands in a file for the moment of its row.
const DATE: &str = "{{date}}";

macro_rules! letter {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../conf/demo/", $name)))
    };
}

const LETTERS: &[(&str, &str)] = &[
    letter!("01-welcome.eml"),
    letter!("02-one-question.eml"),
    letter!("03-re-one-question.eml"),
    letter!("04-re-one-question.eml"),
    letter!("05-re-one-question.eml"),
    letter!("06-supper-invitation.eml"),
    letter!("07-re-supper-crito.eml"),
    letter!("08-re-supper-alcibiades.eml"),
    letter!("09-xanthippe.eml"),
    letter!("10-re-xanthippe.eml"),
    letter!("11-list-oracle.eml"),
    letter!("12-list-re-oracle.eml"),
    letter!("13-list-digest.eml"),
    letter!("14-letter-walker.eml"),
    letter!("15-letter-owl.eml"),
    letter!("16-photo-long-name.eml"),
    letter!("17-fair-copy-pdf.eml"),
    letter!("18-accounts-csv.eml"),
    letter!("19-forwarded-message.eml"),
    letter!("20-french.eml"),
    letter!("21-german.eml"),
    letter!("22-japanese.eml"),
    letter!("23-russian.eml"),
    letter!("24-arabic.eml"),
    letter!("25-hebrew.eml"),
    letter!("26-undeliverable.eml"),
    letter!("27-receipt.eml"),
    letter!("28-read-receipt.eml"),
    letter!("29-spring-letter.eml"),
    letter!("30-spam.eml"),
    letter!("31-draft-defence.eml"),
    letter!("32-trash-gym.eml"),
    letter!("33-plato-student.eml"),
    letter!("34-plato-harbour.eml"),
    letter!("35-plato-draft.eml"),
    letter!("36-plato-decline.eml"),
    letter!("37-question-oracle.eml"),
];

/// A message in a mailbox.
#[derive(Debug, PartialEq)]
struct Row {
    text: &'static str,
    /// The local part of the account's address.
    account: &'static str,
    mailbox: &'static str,
    flags: &'static str,
    days_ago: f64,
}

/// Files what is not filed yet; `marker` is there once all is.
pub(super) async fn file_all(store: &Store, people: &[Person], marker: &Path) -> anyhow::Result<()> {
    if marker.exists() {
        return Ok(());
    }
    let mut done: HashMap<&str, usize> = HashMap::new();
    for person in people {
        let account = person.address.split('@').next().unwrap_or_default();
        done.insert(account, count(store, find(store, people, account).await?).await?);
    }
    for row in rows()? {
        match done.get_mut(row.account) {
            Some(more) if *more > 0 => *more -= 1,
            _ => file(store, find(store, people, row.account).await?, &row).await?,
        }
    }
    secrets::write(marker, b"")
}

fn rows() -> anyhow::Result<Vec<Row>> {
    INDEX.lines().filter(|line| !line.starts_with('#')).map(|line| row(line).with_context(|| format!("INDEX.tsv: {line}"))).collect()
}

fn row(line: &'static str) -> anyhow::Result<Row> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [file, account, mailbox, flags, days_ago] = columns[..] else { anyhow::bail!("a row has five columns") };
    let (_, text) = LETTERS.iter().find(|(name, _)| *name == file).context("there is no such file")?;
    Ok(Row { text, account, mailbox, flags, days_ago: days_ago.parse()? })
}

async fn find(store: &Store, people: &[Person], account: &str) -> anyhow::Result<HolderId> {
    let person = people.iter().find(|person| person.address.split('@').next() == Some(account)).context("nobody of this name")?;
    store.find_address(&person.address).await?.context("the demo's accounts were made before")
}

async fn count(store: &Store, holder: HolderId) -> anyhow::Result<usize> {
    let mut all = 0;
    for leaf in store.holder(holder).await?.unwrap_or_default().mailboxes {
        all += store.watch((holder, leaf.id)).await?.borrow().len();
    }
    Ok(all)
}

async fn file(store: &Store, holder: HolderId, row: &Row) -> anyhow::Result<()> {
    let place = mailbox(store, holder, row.mailbox).await?;
    let received = now() - (row.days_ago * 86_400.0) as i64;
    let mut intake = Intake::new(store, Bytes::new(), now());
    intake.push(row.text.replace(DATE, &date(received)?).as_bytes()).await?;
    let taken = intake.finish().await?;
    let delivery =
        Delivery { received, now: received, mailboxes: vec![place], flags: flags(row.flags), ..taken.filing(&Trust::of_stranger()) };
    store.commit(Change::Deliver(Box::new(delivery))).await?;
    Ok(())
}

/// RFC 5322 §3.3, in the time zone of this machine.
fn date(seconds: i64) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_second(seconds)?.to_zoned(jiff::tz::TimeZone::system());
    Ok(jiff::fmt::rfc2822::to_string(&at)?)
}

async fn mailbox(store: &Store, holder: HolderId, name: &str) -> anyhow::Result<Place> {
    let tree = store.holder(holder).await?.unwrap_or_default();
    if let Some(leaf) = tree.find(name) {
        return Ok((holder, leaf.id));
    }
    store.commit(Change::CreateMailbox { holder, name: name.to_owned(), special_use: None, now: now() }).await?;
    // With the levels above, which mail programs show as closed to all if only what is below is subscribed.
    let above = name.match_indices(SEPARATOR).map(|(end, _)| &name[..end]);
    for name in above.chain([name]) {
        store.commit(Change::Subscribe { holder, name: name.to_owned(), on: true }).await?;
    }
    let tree = store.holder(holder).await?.unwrap_or_default();
    tree.find(name).map(|leaf| (holder, leaf.id)).with_context(|| format!("the mailbox {name} was not made"))
}

fn flags(text: &str) -> FlagNames {
    let mut names = FlagNames::default();
    for name in text.split_ascii_whitespace() {
        match SystemFlag::ALL.into_iter().find(|flag| flag.name() == name) {
            Some(flag) => names.system = names.system.with(flag.into()),
            None => names.keywords.push(name.to_owned()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use std::sync::Arc;
    use stoa_sasl::Secret;

    #[test]
    fn every_row_has_its_file_and_every_file_its_row() {
        let rows = rows().unwrap();
        for (name, text) in LETTERS {
            assert!(rows.iter().any(|row| row.text == *text), "{name} is in no row");
        }
        assert!(rows.iter().all(|row| row.days_ago >= 0.0 && ["socrates", "plato"].contains(&row.account)));
    }

    #[test]
    fn flags_are_told_from_keywords() {
        let names = flags("\\Seen money");
        assert_eq!((names.system, names.keywords), (SystemFlag::Seen.into(), vec!["money".to_owned()]));
    }

    #[tokio::test]
    async fn filing_goes_on_where_it_was_cut_off() {
        let store = Store::open(Arc::new(Memory::new())).await.unwrap();
        let mut people = Vec::new();
        for address in super::super::PEOPLE {
            let password = Secret::new("correct horse".to_owned());
            super::super::account::add(&store, &["stoa.localhost".to_owned()], address, &password, false).await.unwrap();
            people.push(Person { address: address.to_owned(), password: String::new() });
        }
        let socrates = find(&store, &people, "socrates").await.unwrap();
        let first = rows().unwrap().into_iter().filter(|row| row.account == "socrates").take(3).collect::<Vec<_>>();
        for row in &first {
            file(&store, socrates, row).await.unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("filed");
        for _ in 0..2 {
            file_all(&store, &people, &marker).await.unwrap();
            let mut all = 0;
            for person in &people {
                all += count(&store, store.find_address(&person.address).await.unwrap().unwrap()).await.unwrap();
            }
            assert_eq!(all, rows().unwrap().len());
        }
        let tree = store.holder(socrates).await.unwrap().unwrap();
        assert!(tree.find("Household/Receipts").is_some() && tree.subscriptions.contains("Lists/Agora"));
        let inbox = store.watch((socrates, tree.find("INBOX").unwrap().id)).await.unwrap().borrow().clone();
        let newest = inbox.get(inbox.len() - 1).unwrap();
        assert!(newest.flags.has(SystemFlag::Flagged) && now() - newest.received < 3_600, "the welcome letter is the newest");
    }
}
