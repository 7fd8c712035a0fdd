//! How TLS went with other domains, day by day, for the reports they ask for (RFC 8460).
//!
//! Counts gather in memory and are written down every few minutes ([`Ledger::write_down`]): losing some of them harms
//! nobody. How many domains and kinds of failure are told apart has a limit.

use crate::store::{Change, NoteChange, NoteKind, Store, StoreError};
use bytes::Bytes;
use mail_auth::report::tlsrpt::{FailureDetails, Policy, PolicyDetails, PolicyType, ResultType, Summary};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stoa_record::{Reader, Writer};

/// RFC 8460 §3: a report covers a day of UTC.
pub(crate) const DAY_SECONDS: i64 = 24 * 3600;

/// Domains that are counted between two times of writing down.
const DOMAINS_MAX: usize = 2000;

/// Policies of one domain in a day, and kinds of failure of each.
const POLICIES_MAX: usize = 8;
const FAILURES_MAX: usize = 50;

/// One connection, as it went.
pub(super) struct Session<'a> {
    pub domain: &'a str,
    pub kind: PolicyType,
    /// The policy in words.
    pub policy: Vec<String>,
    /// RFC 8460 §4.4: the host patterns of an MTA-STS policy.
    pub hosts: Vec<String>,
    pub host: Option<&'a str>,
    pub address: Option<IpAddr>,
    pub failure: Option<ResultType>,
}

/// Day, and domain.
type Key = (i64, String);

/// Counts connections.
#[derive(Default)]
pub(crate) struct Ledger {
    counts: Mutex<HashMap<Key, Vec<Policy>>>,
}

impl Ledger {
    pub(super) fn enter(&self, now: i64, session: Session<'_>) {
        let key = (now.div_euclid(DAY_SECONDS), session.domain.to_owned());
        let mut counts = self.counts();
        if counts.len() >= DOMAINS_MAX && !counts.contains_key(&key) {
            return;
        }
        add(counts.entry(key).or_default(), policy(session));
    }

    /// Writes the counts down; what cannot be written is counted again later.
    pub(crate) async fn write_down(&self, store: &Store) -> Result<(), StoreError> {
        let counts = std::mem::take(&mut *self.counts());
        let mut outcome = Ok(());
        for ((day, domain), policies) in counts {
            if let Err(error) = write(store, day, &domain, &policies).await {
                outcome = Err(error);
                let mut counts = self.counts();
                let again = counts.entry((day, domain)).or_default();
                policies.into_iter().for_each(|policy| add(again, policy));
            }
        }
        outcome
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, HashMap<Key, Vec<Policy>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A day of a domain, as it was written down.
pub(crate) struct Day {
    pub day: i64,
    pub domain: String,
    pub policies: Vec<Policy>,
    key: Bytes,
}

impl Day {
    /// Of its note.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// All days before this one.
pub(crate) async fn before(store: &Store, day: i64) -> Result<Vec<Day>, StoreError> {
    let notes = store.notes(NoteKind::TlsReport, b"").await?;
    let read = |(key, value): (Bytes, Bytes)| {
        let (first, domain) = key.split_at_checked(8)?;
        let (day, domain) = (i64::from_be_bytes(first.try_into().ok()?), std::str::from_utf8(domain).ok()?.to_owned());
        Some(Day { day, domain, policies: policies(&value), key })
    };
    Ok(notes.into_iter().filter_map(read).take_while(|found| found.day < day).collect())
}

/// Forgets a day, which is done.
pub(crate) async fn forget(store: &Store, day: &Day) -> Result<(), StoreError> {
    store.commit(Change::Notes(vec![NoteChange::remove(NoteKind::TlsReport, day.key.to_vec())])).await.map(|_| ())
}

async fn write(store: &Store, day: i64, domain: &str, fresh: &[Policy]) -> Result<(), StoreError> {
    let key = [&day.to_be_bytes()[..], domain.as_bytes()].concat();
    let mut all = store.note(NoteKind::TlsReport, &key).await?.map(|value| policies(&value)).unwrap_or_default();
    fresh.iter().for_each(|policy| add(&mut all, policy.clone()));
    let value = Writer::new(1).bytes(1, &serde_json::to_vec(&all).unwrap_or_default()).finish();
    store.commit(Change::Notes(vec![NoteChange::put(NoteKind::TlsReport, key, value)])).await.map(|_| ())
}

/// In the form of a report; what cannot be read counts nothing.
fn policies(value: &[u8]) -> Vec<Policy> {
    let json = Reader::parse(value, 1).ok().and_then(|record| record.bytes(1).ok().flatten());
    json.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

fn policy(session: Session<'_>) -> Policy {
    let details = PolicyDetails {
        policy_type: session.kind,
        policy_string: session.policy,
        policy_domain: session.domain.to_owned(),
        mx_host: session.hosts,
    };
    let failed = u32::from(session.failure.is_some());
    let failure = session.failure.map(|result_type| FailureDetails {
        result_type,
        receiving_mx_hostname: session.host.map(str::to_owned),
        receiving_ip: session.address,
        failed_session_count: 1,
        ..FailureDetails::default()
    });
    Policy {
        policy: details,
        summary: Summary { total_success: 1 - failed, total_failure: failed },
        failure_details: failure.into_iter().collect(),
    }
}

/// Adds what was counted of one policy to the rest.
fn add(all: &mut Vec<Policy>, fresh: Policy) {
    let Some(same) = all.iter_mut().find(|known| known.policy == fresh.policy) else {
        if all.len() < POLICIES_MAX {
            all.push(fresh);
        }
        return;
    };
    let (sum, more) = (&mut same.summary, &fresh.summary);
    sum.total_success = sum.total_success.saturating_add(more.total_success);
    sum.total_failure = sum.total_failure.saturating_add(more.total_failure);
    for failure in fresh.failure_details {
        let uncounted = |other: &FailureDetails| FailureDetails { failed_session_count: 0, ..other.clone() };
        let details = &mut same.failure_details;
        match details.iter().position(|known| uncounted(known) == uncounted(&failure)) {
            Some(at) => details.iter_mut().skip(at).take(1).for_each(|known| {
                known.failed_session_count = known.failed_session_count.saturating_add(failure.failed_session_count);
            }),
            None if details.len() < FAILURES_MAX => details.push(failure),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use std::sync::Arc;

    fn session(domain: &str, failure: Option<ResultType>) -> Session<'_> {
        Session {
            domain,
            kind: PolicyType::Sts,
            policy: vec!["mode: enforce".to_owned()],
            hosts: Vec::new(),
            host: Some("mx.test"),
            address: None,
            failure,
        }
    }

    #[tokio::test]
    async fn counts_of_a_day_add_up_across_writings() {
        let store = Store::open(Arc::new(Memory::new())).await.unwrap();
        let ledger = Ledger::default();
        for round in 0..2 {
            ledger.enter(5 + round, session("one.test", None));
            ledger.enter(6, session("one.test", Some(ResultType::CertificateExpired)));
            ledger.enter(DAY_SECONDS + 1, session("one.test", None));
            ledger.write_down(&store).await.unwrap();
        }
        let days = before(&store, 1).await.unwrap();
        let [day] = days.as_slice() else { panic!("{}", days.len()) };
        let [policy] = day.policies.as_slice() else { panic!() };
        assert_eq!((day.day, day.domain.as_str()), (0, "one.test"));
        assert_eq!((policy.summary.total_success, policy.summary.total_failure), (2, 2));
        let [failure] = policy.failure_details.as_slice() else { panic!() };
        assert_eq!((failure.result_type, failure.failed_session_count), (ResultType::CertificateExpired, 2));
        forget(&store, day).await.unwrap();
        assert!(before(&store, 1).await.unwrap().is_empty());
        assert_eq!(before(&store, 2).await.unwrap().len(), 1);
    }

    #[test]
    fn strangers_cannot_fill_the_ledger() {
        let ledger = Ledger::default();
        for n in 0..2 * DOMAINS_MAX {
            ledger.enter(0, session(&format!("d{n}.test"), None));
        }
        assert_eq!(ledger.counts().len(), DOMAINS_MAX);
        let mut all = Vec::new();
        for n in 0..200 {
            let host = format!("mx{n}.test");
            add(&mut all, policy(Session { host: Some(&host), ..session("one.test", Some(ResultType::CertificateExpired)) }));
        }
        assert_eq!((all.len(), all[0].failure_details.len(), all[0].summary.total_failure), (1, FAILURES_MAX, 200));
    }
}
