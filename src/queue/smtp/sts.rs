//! MTA-STS (RFC 8461): a domain's word, given over HTTPS, on who takes its mail and that TLS must hold there.
//!
//! Policies are kept as notes for as long as they say, so that nobody on the way can make us forget one by keeping the
//! next from us. A policy comes from a stranger: its size, its lines and the time to fetch it are limited.

use crate::net::dns::Resolver;
use crate::net::https::{Bounds, Https, HttpsError, Reach};
use crate::store::{Change, NoteChange, NoteKind, Store};
use mail_auth::report::tlsrpt::ResultType;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stoa_record::{Reader, RecordError, Writer};

/// RFC 8461 §3.3 suggests a minute and 64 KB.
const FETCH: Bounds = Bounds { time: Duration::from_secs(60), body_bytes_max: 64 << 10 };

/// RFC 8461 §3.2: a year.
const MAX_AGE_SECONDS_MAX: i64 = 31_557_600;

/// Host patterns of a policy; nobody has more mail hosts.
const PATTERNS_MAX: usize = 64;

/// A policy is fetched anew when it is this old, so that it does not run out while its domain is in use.
const REFRESH_AFTER_SECONDS: i64 = 24 * 3600;

/// RFC 8461 §3.3: after a fetch that failed, not again for five minutes at least.
const FETCH_AGAIN_AFTER_SECONDS: i64 = 300;

/// Failed fetches that are remembered.
const FAILURES_MAX: usize = 1000;

/// What a policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    Testing,
    None,
}

/// A policy and when it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub mode: Mode,
    /// Names, and names behind `*.`, in lower case.
    patterns: Vec<String>,
    max_age: i64,
    /// The id that DNS had.
    id: String,
    fetched: i64,
}

impl Policy {
    /// RFC 8461 §4.1: may mail go to this host?
    pub(super) fn allows(&self, host: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // The star is one label.
            Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
            None => pattern.eq_ignore_ascii_case(host),
        })
    }

    /// The lines of it, for reports (RFC 8460 §4.4).
    pub(super) fn strings(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {mode}")];
        lines.extend(self.patterns());
        lines.push(format!("max_age: {}", self.max_age));
        lines
    }

    pub(super) fn hosts(&self) -> &[String] {
        &self.patterns
    }

    fn patterns(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| format!("mx: {pattern}"))
    }

    fn is_current(&self, now: i64) -> bool {
        // A clock that went back makes nothing young.
        (self.fetched..=self.fetched.saturating_add(self.max_age)).contains(&now)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mode = match self.mode {
            Mode::Enforce => 1,
            Mode::Testing => 2,
            Mode::None => 3,
        };
        let record = Writer::new(1).u64(1, mode).i64(2, self.max_age).str(3, &self.id).i64(4, self.fetched);
        self.patterns.iter().fold(record, |record, pattern| record.str(5, pattern)).finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let mode = match record.u64(1)? {
            Some(1) => Mode::Enforce,
            Some(2) => Mode::Testing,
            _ => Mode::None,
        };
        let patterns = record.all_bytes(5)?.map(|pattern| String::from_utf8_lossy(pattern).into_owned()).collect();
        let (max_age, fetched) = (record.i64(2)?.unwrap_or(0), record.i64(4)?.unwrap_or(0));
        Ok(Self { mode, patterns, max_age, id: record.str(3)?.unwrap_or_default().to_owned(), fetched })
    }

    /// RFC 8461 §3.2: key and value with a colon between, a line each; unknown keys are passed over.
    fn parse(text: &str, id: &str, now: i64) -> Option<Self> {
        let (mut version, mut mode, mut max_age, mut patterns) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(value.parse::<i64>().ok().filter(|age| *age >= 0)),
                "mx" if patterns.len() < PATTERNS_MAX => patterns.push(pattern(value)?),
                _ => {}
            }
        }
        let mode = match mode? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        if version != Some("STSv1") || mode != Mode::None && patterns.is_empty() {
            return None;
        }
        Some(Self { mode, patterns, max_age: max_age?.min(MAX_AGE_SECONDS_MAX), id: id.to_owned(), fetched: now })
    }
}

/// A name of letters, digits and hyphens, perhaps behind `*.`.
fn pattern(value: &str) -> Option<String> {
    let bare = value.strip_prefix("*.").unwrap_or(value);
    let fits = !bare.is_empty() && bare.len() <= 253 && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    fits.then(|| value.to_ascii_lowercase())
}

/// What is known of a domain's policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    pub policy: Option<Policy>,
    /// It should have one, or a newer one, and it could not be had.
    pub problem: Option<ResultType>,
}

/// Finds and keeps policies.
pub(super) struct Policies {
    store: Store,
    resolver: Resolver,
    https: Https,
    failures: Mutex<HashMap<String, i64>>,
}

impl Policies {
    pub(super) fn new(store: Store, resolver: Resolver, https: Https) -> Self {
        Self { store, resolver, https, failures: Mutex::default() }
    }

    /// The policy of a domain, if it has one.
    pub(super) async fn of(&self, domain: &str, now: i64) -> Known {
        let domain = domain.to_ascii_lowercase();
        let kept = self.kept(&domain, now).await;
        let announced = self.announced(&domain).await;
        let policy = match (&announced, kept) {
            // RFC 8461 §3.1: without a record, or with one that cannot be read, what is kept still holds.
            (None, kept) => return Known { policy: kept, problem: None },
            (Some(id), Some(kept)) if kept.id == *id && now - kept.fetched < REFRESH_AFTER_SECONDS => Some(kept),
            (Some(id), kept) if self.failed_lately(&domain, now) => {
                let problem = kept.as_ref().is_none_or(|kept| kept.id != *id).then_some(ResultType::StsPolicyFetchError);
                return Known { policy: kept, problem };
            }
            (Some(id), kept) => match self.fetch(&domain, id, now).await {
                Ok(policy) => {
                    self.keep(&domain, &policy).await;
                    Some(policy)
                }
                Err(problem) => {
                    self.remember_failure(&domain, now);
                    return Known { policy: kept, problem: Some(problem) };
                }
            },
        };
        Known { policy, problem: None }
    }

    /// Forgets policies that have run out.
    pub(super) async fn tidy(&self, now: i64) {
        let Ok(notes) = self.store.notes(NoteKind::StsPolicy, b"").await else { return };
        let over = |value: &[u8]| Policy::from_bytes(value).map_or(true, |policy| !policy.is_current(now));
        let gone: Vec<NoteChange> = notes
            .into_iter()
            .filter(|(_, value)| over(value))
            .map(|(key, value)| NoteChange::remove(NoteKind::StsPolicy, key.to_vec()).if_still(Some(value)))
            .collect();
        for change in gone {
            _ = self.store.commit(Change::Notes(vec![change])).await;
        }
    }

    async fn kept(&self, domain: &str, now: i64) -> Option<Policy> {
        let note = match self.store.note(NoteKind::StsPolicy, domain.as_bytes()).await {
            Ok(note) => note?,
            Err(error) => {
                tracing::error!(domain, %error, "the MTA-STS policy of a domain cannot be read");
                return None;
            }
        };
        Policy::from_bytes(&note).ok().filter(|policy| policy.is_current(now))
    }

    async fn keep(&self, domain: &str, policy: &Policy) {
        let note = NoteChange::put(NoteKind::StsPolicy, domain, policy.to_bytes());
        if let Err(error) = self.store.commit(Change::Notes(vec![note])).await {
            tracing::error!(domain, %error, "the MTA-STS policy of a domain cannot be kept");
        }
    }

    /// RFC 8461 §3.1: the id in the domain's one record.
    async fn announced(&self, domain: &str) -> Option<String> {
        let texts = self.resolver.txt(&format!("_mta-sts.{domain}")).await.ok()?.records;
        announced_id(&texts)
    }

    async fn fetch(&self, domain: &str, id: &str, now: i64) -> Result<Policy, ResultType> {
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let page = self.https.get(&url, Reach::Public, FETCH).await.map_err(|error| {
            tracing::info!(domain, %error, "the MTA-STS policy cannot be fetched");
            if matches!(error, HttpsError::Tls(_)) { ResultType::StsWebpkiInvalid } else { ResultType::StsPolicyFetchError }
        })?;
        let kind = page.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // RFC 8461 §3.3: nothing but 200 counts, so no redirect does; §3.2: text/plain, against pages that anybody can fill.
        if page.status() != 200 {
            return Err(ResultType::StsPolicyFetchError);
        }
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
            return Err(ResultType::StsPolicyInvalid);
        }
        let text = std::str::from_utf8(page.body()).map_err(|_| ResultType::StsPolicyInvalid)?;
        Policy::parse(text, id, now).ok_or(ResultType::StsPolicyInvalid)
    }

    fn failed_lately(&self, domain: &str, now: i64) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(domain).is_some_and(|at| (0..FETCH_AGAIN_AFTER_SECONDS).contains(&(now - at)))
    }

    fn remember_failure(&self, domain: &str, now: i64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= FAILURES_MAX {
            failures.retain(|_, at| now - *at < FETCH_AGAIN_AFTER_SECONDS);
        }
        if failures.len() < FAILURES_MAX {
            failures.insert(domain.to_owned(), now);
        }
    }
}

/// RFC 8461 §3.1: one record that begins with `v=STSv1;`, and an id of 1 to 32 letters and digits.
fn announced_id(texts: &[String]) -> Option<String> {
    let is_ours = |text: &&String| text.split(';').next().is_some_and(|version| version.trim_end() == "v=STSv1");
    let mut ours = texts.iter().filter(is_ours);
    let (only, None) = (ours.next()?, ours.next()) else { return None };
    let id = only.split(';').find_map(|field| field.trim().strip_prefix("id="))?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.one.test\r\nmx: *.Two.test\r\nnew: x\r\nmax_age: 604800\r\n";

    #[test]
    fn a_policy_is_read_and_kept() {
        let policy = Policy::parse(POLICY, "a1", 1000).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        assert_eq!(Policy::from_bytes(&policy.to_bytes()).unwrap(), policy);
        assert!(policy.is_current(1000) && policy.is_current(605_800));
        assert!(!policy.is_current(605_801) && !policy.is_current(999));
        assert_eq!(Policy::parse(&POLICY.replace("\r\n", "\n"), "a1", 1000).unwrap(), policy);
    }

    #[test]
    fn hosts_match_by_whole_labels() {
        let policy = Policy::parse(POLICY, "a1", 0).unwrap();
        for (host, want) in [
            ("mail.one.test", true),
            ("MAIL.one.test", true),
            ("mx.two.test", true),
            ("two.test", false),
            ("a.mx.two.test", false),
            (".two.test", false),
            ("evil-two.test", false),
            ("mail.one.test.evil.test", false),
        ] {
            assert_eq!(policy.allows(host), want, "{host}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (from, to) in [
            ("version: STSv1\r\n", ""),
            ("STSv1", "STSv2"),
            ("enforce", "maybe"),
            ("mode: enforce\r\n", ""),
            ("max_age: 604800", "max_age: -1"),
            ("max_age: 604800", "max_age: soon"),
            ("mail.one.test", "*"),
            ("mail.one.test", "a b"),
            ("new: x", "<html>"),
            ("mx: mail.one.test\r\nmx: *.Two.test\r\n", ""),
        ] {
            let text = POLICY.replace(from, to);
            assert!(Policy::parse(&text, "a1", 0).is_none(), "{text}");
        }
        let none = Policy::parse("version: STSv1\nmode: none\nmax_age: 99999999999\n", "a1", 0).unwrap();
        assert_eq!((none.mode, none.max_age), (Mode::None, MAX_AGE_SECONDS_MAX));
        let many = format!("{POLICY}{}", "mx: a.test\n".repeat(1000));
        assert_eq!(Policy::parse(&many, "a1", 0).unwrap().patterns.len(), PATTERNS_MAX);
    }

    #[test]
    fn one_record_announces_a_policy() {
        let id = |texts: &[&str]| announced_id(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&["v=spf1 -all", "v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=STSv1;id=a"]).as_deref(), Some("a"));
        for wrong in [&["v=STSv1; id=a", "v=STSv1; id=b"][..], &["v=STSv1; id=a b"], &["v=STSv1;"], &["v=STSv11; id=a"], &[]] {
            assert_eq!(id(wrong), None, "{wrong:?}");
        }
    }
}
