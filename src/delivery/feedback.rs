//! Reports about the owner's domains: read from the mailbox they are filed in, summed up, told to the owner once a week.
//!
//! Reading follows filing: a note says up to which UID the mailbox was read, and is written in one change with what was found
//! there, so that a crash counts no report twice and none is lost. Only mail that proved a domain counts (trust 2), and only
//! what it says of our domains. What cannot be read is counted as such; its sender never hears of it.

use super::{AS_SERVER, Delivery, REPORTS, find};
use crate::store::{Change, NoteChange, NoteKind, Place, Store, StoreError};
use crate::trust::feedback::{About, Heard, MESSAGE_BYTES_MAX, read};
use crate::trust::{Level, Trust};
use bytes::Bytes;
use stoa_mailbox::Entry;
use stoa_record::{Reader, RecordError, Writer};

/// How long a report is remembered: a season, which shows whether a sender is gone.
pub const KEPT_DAYS: i64 = 90;
const KEPT_SECONDS: i64 = KEPT_DAYS * 86_400;

/// Reports that are remembered; a provider sends one a day for each domain.
const KEPT_MAX: usize = 10_000;

/// Messages read in one go.
const MESSAGES_PER_TURN_MAX: usize = 100;

/// How often the owner hears of them.
const WEEK_SECONDS: i64 = 7 * 86_400;

const CURSOR: &[u8] = b"cursor";
const TOLD: &[u8] = b"told";
/// Before the keys of what was reported.
const REPORT: &[u8] = b"r";

/// What is remembered of a report; one that could not be read says nothing of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remembered {
    received: i64,
    heard: Option<Heard>,
}

impl Remembered {
    fn to_bytes(&self) -> Vec<u8> {
        let record = Writer::new(1).i64(1, self.received);
        let Some(heard) = &self.heard else { return record.finish() };
        let about = u64::from(heard.about == About::Tls);
        let mut record = record.u64(2, about).str(3, &heard.reporter).str(4, &heard.domain).u64(5, heard.good).u64(6, heard.bad);
        for (what, count) in &heard.details {
            record = record.bytes(7, &Writer::new(1).str(1, what).u64(2, *count).finish());
        }
        record.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let received = record.i64(1)?.unwrap_or(0);
        let Some(domain) = record.str(4)?.map(str::to_owned) else { return Ok(Self { received, heard: None }) };
        let detail = |bytes: &[u8]| {
            let record = Reader::parse(bytes, 1)?;
            Ok::<_, RecordError>((record.str(1)?.unwrap_or_default().to_owned(), record.u64(2)?.unwrap_or(0)))
        };
        let heard = Heard {
            about: if record.u64(2)? == Some(1) { About::Tls } else { About::Dmarc },
            reporter: record.str(3)?.unwrap_or_default().to_owned(),
            id: String::new(),
            domain,
            good: record.u64(5)?.unwrap_or(0),
            bad: record.u64(6)?.unwrap_or(0),
            details: record.all_bytes(7)?.map(detail).collect::<Result<_, _>>()?,
        };
        Ok(Self { received, heard: Some(heard) })
    }
}

impl Delivery {
    /// Reads what came since the last time; true if there is more. `now` in seconds since 1970.
    pub async fn read_reports(&self, now: i64) -> Result<bool, StoreError> {
        let owner = self.store.accounts().await?.into_iter().find(|account| account.owner);
        let Some(owner) = owner else { return Ok(false) };
        let Some(mailbox) = find(&self.store, owner.holder, REPORTS).await? else { return Ok(false) };
        let place = (owner.holder, mailbox);
        let before = self.store.note(NoteKind::DmarcReport, CURSOR).await?;
        let read_up_to = cursor(before.as_deref(), place);
        let view = self.store.watch(place).await?.borrow().clone();
        let entries: Vec<Entry> = view.iter().filter(|entry| entry.uid > read_up_to).take(MESSAGES_PER_TURN_MAX).copied().collect();
        let Some(last) = entries.last() else { return Ok(false) };
        let mut notes = Vec::new();
        for entry in &entries {
            notes.extend(self.read_report(place, entry).await?);
        }
        let position = Writer::new(1).u64(1, place.1.0.into()).u64(2, last.uid.into()).finish();
        notes.push(NoteChange::put(NoteKind::DmarcReport, CURSOR, position).if_still(before));
        self.store.commit(Change::Notes(notes)).await?;
        self.forget_reports(now).await?;
        Ok(entries.len() == MESSAGES_PER_TURN_MAX)
    }

    async fn read_report(&self, place: Place, entry: &Entry) -> Result<Vec<NoteChange>, StoreError> {
        let Some(Some(message)) = self.store.messages(place.0, &[entry.message]).await?.pop() else { return Ok(Vec::new()) };
        if Trust::of_message(&message)?.level() < Level::Dmarc {
            tracing::info!(uid = entry.uid, "a report about our domains is not counted, since nobody answers for it");
            return Ok(Vec::new());
        }
        let received = entry.received;
        let unread = |uid: u32| {
            let key = [REPORT, b"unread", &uid.to_be_bytes()].concat();
            vec![NoteChange::put(NoteKind::DmarcReport, key, Remembered { received, heard: None }.to_bytes())]
        };
        let contents = self.store.contents(&message).await?;
        if contents.size() > MESSAGE_BYTES_MAX {
            return Ok(unread(entry.uid));
        }
        let bytes = contents.read_all(0..u64::MAX).await?;
        // It may take a second of work; what ends in a panic is a report that cannot be read.
        let Ok(Some(all)) = tokio::task::spawn_blocking(move || read(&bytes)).await else { return Ok(unread(entry.uid)) };
        let ours = all.into_iter().filter(|heard| self.names.domains.iter().any(|own| is_at_or_below(&heard.domain, own)));
        Ok(ours.map(|heard| remember(heard, received)).collect())
    }

    async fn forget_reports(&self, now: i64) -> Result<(), StoreError> {
        let mut known = Vec::new();
        for kind in [NoteKind::DmarcReport, NoteKind::TlsReportReceived] {
            for (key, value) in self.store.notes(kind, REPORT).await? {
                known.push((Remembered::from_bytes(&value)?.received, kind, key));
            }
        }
        known.sort_by_key(|(received, ..)| std::cmp::Reverse(*received));
        let is_old = |(at, (received, ..)): &(usize, &(i64, NoteKind, Bytes))| *at >= KEPT_MAX || *received < now - KEPT_SECONDS;
        let old: Vec<NoteChange> =
            known.iter().enumerate().filter(is_old).map(|(_, (_, kind, key))| NoteChange::remove(*kind, key.to_vec())).collect();
        if old.is_empty() { Ok(()) } else { self.store.commit(Change::Notes(old)).await.map(drop) }
    }

    /// Writes to the owner once a week what was reported since, if anything was.
    pub async fn tell_reports(&self, now: i64) -> Result<(), StoreError> {
        let before = self.store.note(NoteKind::DmarcReport, TOLD).await?;
        let told = match &before {
            Some(note) => Reader::parse(note, 1)?.i64(1)?.unwrap_or(0),
            None => 0,
        };
        if now < told.saturating_add(WEEK_SECONDS) {
            return Ok(());
        }
        let Some(text) = reports(&self.store, (now - WEEK_SECONDS).max(told)).await? else { return Ok(()) };
        let note = NoteChange::put(NoteKind::DmarcReport, TOLD, Writer::new(1).i64(1, now).finish()).if_still(before);
        self.write_to_owner("What other servers report of your domains", &text, vec![note], now).await
    }
}

fn remember(heard: Heard, received: i64) -> NoteChange {
    let kind = if heard.about == About::Tls { NoteKind::TlsReportReceived } else { NoteKind::DmarcReport };
    // The same report counts once, however often it is sent.
    let name = [heard.reporter.as_str(), &heard.id, &heard.domain].join("\n");
    let key = [REPORT, &blake3::hash(name.as_bytes()).as_bytes()[..16]].concat();
    NoteChange::put(kind, key, Remembered { received, heard: Some(heard) }.to_bytes())
}

/// Up to which UID the mailbox was read; another mailbox begins anew.
fn cursor(note: Option<&[u8]>, place: Place) -> u32 {
    let read = |note: &[u8]| {
        let record = Reader::parse(note, 1)?;
        Ok::<_, RecordError>((record.u64(1)?.unwrap_or(0), record.u32(2)?.unwrap_or(0)))
    };
    note.and_then(|note| read(note).ok()).filter(|(mailbox, _)| *mailbox == u64::from(place.1.0)).map_or(0, |(_, uid)| uid)
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// What was reported since this moment, in words; nothing if nothing was.
pub async fn reports(store: &Store, since: i64) -> Result<Option<String>, StoreError> {
    let mut all = Vec::new();
    for kind in [NoteKind::DmarcReport, NoteKind::TlsReportReceived] {
        for (_, value) in store.notes(kind, REPORT).await? {
            all.push(Remembered::from_bytes(&value)?);
        }
    }
    all.retain(|report| report.received > since);
    if all.is_empty() {
        return Ok(None);
    }
    let unread = all.iter().filter(|report| report.heard.is_none()).count();
    let heard: Vec<&Heard> = all.iter().filter_map(|report| report.heard.as_ref()).collect();
    let mut text = String::new();
    for (about, title, advice) in
        [(About::Dmarc, "Mail in your name (DMARC)", dmarc_advice()), (About::Tls, "Connections to you (TLS)", tls_advice())]
    {
        let of_kind: Vec<&Heard> = heard.iter().filter(|heard| heard.about == about).copied().collect();
        if !of_kind.is_empty() {
            text.push_str(&format!("{title}\n\n{}{advice}\n", sums(&of_kind)));
        }
    }
    match unread {
        0 => {}
        1 => text.push_str(&format!("1 report could not be read; it is in the mailbox {REPORTS}.\n")),
        _ => text.push_str(&format!("{unread} reports could not be read; they are in the mailbox {REPORTS}.\n")),
    }
    Ok(Some(text))
}

fn dmarc_advice() -> String {
    format!(
        "An address that is yours, or of a service that writes for you, must be in the SPF record of the domain, or the service must\n\
         sign with DKIM as your domain. Others are forgers: with p=quarantine in your DMARC record their mail counts as junk, with\n\
         p=reject it is refused (`{AS_SERVER} doctor` prints the record).\n"
    )
}

fn tls_advice() -> String {
    format!("If any failed, `{AS_SERVER} doctor` says what is wrong with the certificate, its TLSA record or the MTA-STS policy.\n")
}

/// For each domain how many were good and bad, who says so, and what the bad ones have in common.
fn sums(heard: &[&Heard]) -> String {
    let mut domains: Vec<&str> = heard.iter().map(|heard| heard.domain.as_str()).collect();
    domains.sort_unstable();
    domains.dedup();
    let mut text = String::new();
    for domain in domains {
        let of_domain: Vec<&&Heard> = heard.iter().filter(|heard| heard.domain == domain).collect();
        let total = |count: fn(&Heard) -> u64| of_domain.iter().fold(0_u64, |sum, heard| sum.saturating_add(count(heard)));
        let mut reporters: Vec<&str> = of_domain.iter().map(|heard| heard.reporter.as_str()).collect();
        reporters.sort_unstable();
        reporters.dedup();
        let (good, bad) = (total(|heard| heard.good), total(|heard| heard.bad));
        text.push_str(&format!("{domain}: {good} passed, {bad} failed; told by {}\n", reporters.join(", ")));
        let mut details = std::collections::BTreeMap::<&str, u64>::new();
        for (what, count) in of_domain.iter().flat_map(|heard| &heard.details) {
            let all = details.entry(what).or_default();
            *all = all.saturating_add(*count);
        }
        let mut details: Vec<_> = details.into_iter().collect();
        details.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        details.iter().for_each(|(what, count)| text.push_str(&format!("  failed: {what}  {count}\n")));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{contents, envelope, house};
    use crate::trust::feedback::tests::{DMARC, message};

    #[tokio::test]
    async fn a_report_is_filed_counted_once_and_told_once_a_week() {
        let house = house().await;
        let envelope = envelope("reports@big.example", &["dmarc-reports@stoa.example"]);
        let (report, junk) = (message(DMARC.as_bytes()), message(b"hello"));
        let deliver = async |id, trust: &Trust, message: &[u8]| {
            let mut intake = house.delivery.intake(id, &envelope, 1_000);
            intake.push(message).await.unwrap();
            house.delivery.deliver(id, &envelope, trust, intake.finish().await.unwrap(), 2_000).await.unwrap();
        };
        let proven = Trust::of_proven_address("reports@big.example");
        deliver(1, &proven, &report).await;
        deliver(2, &proven, &report).await;
        deliver(3, &Trust::of_stranger(), &report).await;
        deliver(4, &proven, &junk).await;
        assert_eq!(contents(&house.store, house.socrates, "INBOX").await.len(), 0);
        assert_eq!(contents(&house.store, house.socrates, REPORTS).await.len(), 4);
        assert!(house.store.holder(house.socrates).await.unwrap().unwrap().subscriptions.contains(REPORTS));
        assert!(!house.delivery.read_reports(2_000).await.unwrap());
        assert!(!house.delivery.read_reports(2_000).await.unwrap());
        house.delivery.tell_reports(WEEK_SECONDS + 10).await.unwrap();
        house.delivery.tell_reports(WEEK_SECONDS + 20).await.unwrap();
        let letters = contents(&house.store, house.socrates, "INBOX").await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        for words in
            ["stoa.example: 5 passed, 3 failed; told by Big?Mail\r\n  failed: 203.0.113.9  3\r\n", "1 report could not be read; it is in"]
        {
            assert!(letters[0].contains(words), "no {words} in {}", letters[0]);
        }
        assert_eq!(reports(&house.store, 2_000).await.unwrap(), None, "nothing new, nothing told");
        house.delivery.forget_reports(KEPT_SECONDS + 3_000).await.unwrap();
        assert_eq!(reports(&house.store, 0).await.unwrap(), None);
    }
}
