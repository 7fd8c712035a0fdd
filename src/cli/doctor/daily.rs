//! The daily look of a server at itself: its owner hears what is new and what is settled, and nothing when nothing changed.
//!
//! What was told last is a note, `last`: a record with one inner record for each trouble. The letter and the note are one
//! change, so nothing is told twice and nothing is forgotten untold. Where DNS could not be asked, nothing counts as settled.

use super::finding::{Finding, Severity};
use super::gather::{self, Health, Sight, Wishes};
use super::print;
use crate::cli::now;
use crate::delivery::{AS_SERVER, Delivery};
use crate::store::{NoteChange, NoteKind, Refusal, Store, StoreError};
use bytes::Bytes;
use std::fmt::Write;
use std::time::Duration;
use stoa_record::{Reader, RecordError, Writer};
use tokio::sync::watch;

/// After the start, so that whatever starts beside it is there.
const FIRST_AFTER: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_secs(24 * 3_600);

const KEY: &[u8] = b"last";

/// A trouble that the owner was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    id: String,
    wrong: bool,
    what: String,
}

/// Looks every day until the server stops.
pub(in crate::cli) async fn keep(sight: Sight, store: Store, delivery: Delivery, mut shutdown: watch::Receiver<bool>) {
    let mut pause = FIRST_AFTER;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
        pause = EVERY;
        let queue = gather::queue(&store, now()).await.map_err(|error| error.to_string());
        let findings = sight.look(Health { running: true, queue: Some(queue) }, Wishes::default(), now()).await;
        match tell(&store, &delivery, &findings, now()).await {
            Ok(0) => {}
            Ok(news) => tracing::info!(news, "looked at DNS, ports and this machine: the owner was written to"),
            Err(error) => tracing::error!(%error, "the owner cannot be told what was found"),
        }
    }
}

/// Writes to the owner what is new or settled, and gives how much that is.
async fn tell(store: &Store, delivery: &Delivery, findings: &[Finding], now: i64) -> Result<usize, StoreError> {
    let read = store.note(NoteKind::Findings, KEY).await?;
    let before = match read.as_deref().map(from_bytes) {
        Some(Ok(before)) => before,
        // A note of a newer program: all is told anew.
        Some(Err(_)) | None => Vec::new(),
    };
    let News { new, settled, now_known } = compare(&before, findings);
    if new.is_empty() && settled.is_empty() {
        return Ok(0);
    }
    let note = NoteChange::put(NoteKind::Findings, KEY, to_bytes(&now_known)).if_still(read);
    let (subject, text) = letter(&new, &settled);
    match delivery.write_to_owner(&subject, &text, vec![note], now).await {
        // Somebody else told it meanwhile.
        Err(StoreError::Refused(Refusal::NoteChanged)) => Ok(0),
        done => done.map(|()| new.len() + settled.len()),
    }
}

struct News<'a> {
    new: Vec<&'a Finding>,
    settled: Vec<Told>,
    now_known: Vec<Told>,
}

fn compare<'a>(before: &[Told], findings: &'a [Finding]) -> News<'a> {
    let troubles: Vec<&Finding> = findings.iter().filter(|finding| finding.severity < Severity::Remark).collect();
    let known = |finding: &Finding| before.iter().any(|told| told.id == finding.id && told.wrong == (finding.severity == Severity::Wrong));
    let still = |told: &Told| troubles.iter().any(|finding| finding.id == told.id);
    let blind = findings.iter().any(|finding| finding.severity != Severity::Better && finding.id.starts_with("dns-"));
    let (kept, settled): (Vec<Told>, Vec<Told>) = before.iter().filter(|told| !still(told)).cloned().partition(|_| blind);
    let told = |finding: &&Finding| Told { id: finding.id.clone(), wrong: finding.severity == Severity::Wrong, what: finding.what.clone() };
    let now_known = troubles.iter().map(told).chain(kept).collect();
    News { new: troubles.iter().copied().filter(|finding| !known(finding)).collect(), settled, now_known }
}

fn letter(new: &[&Finding], settled: &[Told]) -> (String, String) {
    let wrong = new.iter().filter(|finding| finding.severity == Severity::Wrong).count();
    let parts = [(wrong, "wrong"), (new.len() - wrong, "could be better"), (settled.len(), "settled")];
    let parts: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let mut text = String::from("Your server looked at itself, its records in DNS and its ports. Since the last time this changed:\n\n");
    for finding in new {
        print::one(&mut text, finding);
        text.push('\n');
    }
    if !settled.is_empty() {
        text.push_str("Settled:\n\n");
        settled.iter().for_each(|told| _ = writeln!(text, "  {}: this is so no more.", told.what));
        text.push('\n');
    }
    text.push_str("DNS is remembered for an hour or more, so what you change there may take as long to be seen.\n");
    _ = writeln!(text, "`{AS_SERVER} doctor` looks again at any time, and shows what is good as well.");
    (format!("Your mail server: {}", parts.join(", ")), text)
}

fn to_bytes(all: &[Told]) -> Bytes {
    let one = |told: &Told| Writer::new(1).str(1, &told.id).u64(2, told.wrong.into()).str(3, &told.what).finish();
    all.iter().fold(Writer::new(1), |record, told| record.bytes(1, &one(told))).finish().into()
}

fn from_bytes(bytes: &[u8]) -> Result<Vec<Told>, RecordError> {
    let one = |bytes: &[u8]| {
        let record = Reader::parse(bytes, 1)?;
        let text = |field| Ok::<_, RecordError>(record.str(field)?.unwrap_or_default().to_owned());
        Ok(Told { id: text(1)?, wrong: record.u64(2)?.unwrap_or(0) != 0, what: text(3)? })
    };
    Reader::parse(bytes, 1)?.all_bytes(1)?.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Area;
    use super::*;
    use crate::delivery::tests::{contents, house};

    fn wrong(id: &str) -> Finding {
        let finding = Finding::wrong(Area::Machine, id.into(), format!("{id} is wrong"), "It matters.");
        finding.fix("Type:", ["make it right".to_owned()])
    }

    fn better(id: &str) -> Finding {
        Finding::better(Area::Machine, id.into(), format!("{id} could be better"), "It matters.")
    }

    #[tokio::test]
    async fn the_owner_hears_what_changed_and_nothing_else() {
        let house = house().await;
        let days: [(&[Finding], usize); 6] = [
            (&[wrong("a"), better("b")], 2),
            (&[wrong("a"), better("b")], 0),
            // It became worse, and another was settled.
            (&[wrong("b")], 2),
            // Nobody answers: that nothing is found says nothing.
            (&[Finding::remark(Area::Address, "dns-mx x.example".into(), "no answer".into())], 0),
            (&[wrong("b")], 0),
            (&[], 1),
        ];
        for (day, (findings, news)) in days.into_iter().enumerate() {
            let told = tell(&house.store, &house.delivery, findings, 1_000 + day as i64).await.unwrap();
            assert_eq!(told, news, "day {day}");
        }
        let letters = contents(&house.store, house.socrates, "INBOX").await;
        assert_eq!(letters.len(), 3);
        assert!(letters[0].contains("Subject: Your mail server: 1 wrong, 1 could be better\r\n"), "{}", letters[0]);
        assert!(letters[0].contains("  wrong   a is wrong.\r\n") && letters[0].contains("            make it right\r\n"), "{}", letters[0]);
        assert!(letters[1].contains("1 wrong, 1 settled") && letters[1].contains("a is wrong: this is so no more."), "{}", letters[1]);
        assert!(letters[2].contains("Subject: Your mail server: 1 settled\r\n"), "{}", letters[2]);
    }

    #[test]
    fn what_is_written_is_read() {
        let all = vec![Told { id: "a".into(), wrong: true, what: "x".into() }, Told { id: "b".into(), wrong: false, what: String::new() }];
        assert_eq!(from_bytes(&to_bytes(&all)).unwrap(), all);
        assert_eq!(from_bytes(&to_bytes(&[])).unwrap(), []);
        assert!(from_bytes(b"x").is_err());
    }
}
