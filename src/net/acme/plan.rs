//! When a certificate is ordered, and for which names: a decision over what is known, without a clock or a network.
//!
//! | the certificate in place | is ordered anew |
//! |---|---|
//! | none, or one that its own key signed | at once |
//! | one that we fetched | when a third of its life is left, and some hours spread over all servers |
//! | one that we fetched, which lacks a name that leads here now | an hour after it was fetched at the earliest |
//! | somebody else's | never: whoever put it there renews it |
//!
//! After a failure the next kind of challenge is tried at once; when all have failed, hours pass. However it goes, there are
//! [`ATTEMPTS_PER_DAY_MAX`] a day. [`State`] is kept in a file, so that a server that restarts again and again asks no more
//! often than one that runs on.

use crate::net::Leaf;
use crate::net::leaf::hex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Orders in any 24 hours. Let's Encrypt takes 5 failures of a name an hour, and 5 certificates of the same names a week.
pub const ATTEMPTS_PER_DAY_MAX: usize = 5;

/// After every kind of challenge has failed once, twice, and so on.
const PAUSES: [i64; 4] = [HOUR, 3 * HOUR, 8 * HOUR, DAY];

/// Between failing with one kind of challenge and trying the next.
const NEXT_KIND_PAUSE: i64 = 10;

/// How long a name that the authority could not verify is left out, unless it is the host's own.
const SET_ASIDE: i64 = DAY;

/// A new name waits so long after a certificate was fetched: names come in groups while DNS is set up.
const GROWTH_PAUSE: i64 = HOUR;

/// An authority that asks for more patience than this has an error of its own.
const PATIENCE_MAX: i64 = 7 * DAY;

/// How often is looked again while nothing is to be done.
const LOOK_EVERY: i64 = HOUR;

/// How often is looked whether the host's name leads here yet.
const LOOK_FOR_HOST_EVERY: i64 = 300;

/// Certificates that are known as ours.
const FETCHED_KEPT: usize = 3;

/// How an authority looks whether a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// It shakes hands on the https port (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// It fetches a file over plain HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// It asks DNS, where `_acme-challenge.` in front of each name is delegated to this machine (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

/// What is remembered of orders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// SHA-256 of the certificates that were fetched last, in hexadecimal, the newest first: between its fetching and its
    /// being put in place the one before is still there.
    pub fetched: Vec<String>,
    /// When the newest was. All times are seconds since 1970.
    pub fetched_at: i64,
    /// When orders of the last day were begun.
    pub attempts: Vec<i64>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when nothing has worked.
    pub failing_since: Option<i64>,
    /// What the last failure was.
    pub last_error: Option<String>,
    /// The authority asked to leave it alone until then.
    pub not_before: i64,
    /// Names that it could not verify, and until when they are left out.
    pub set_aside: BTreeMap<String, i64>,
    /// The kind of challenge that worked last.
    pub worked: Option<Kind>,
}

/// Why an order failed, as far as it matters for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// In words.
    pub why: String,
    /// Names that the authority could not verify.
    pub names: BTreeSet<String>,
    /// How many seconds it asked to be left alone.
    pub patience: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing until then, but to look again.
    Wait(i64),
    /// Nothing at all, since the certificate is somebody else's.
    Leave(i64),
    /// Order one for these names.
    Order {
        /// The host's own first.
        names: Vec<String>,
        /// How the authority shall verify them.
        kind: Kind,
    },
}

/// What a decision is made from.
pub struct Facts<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// The certificate in place, if there is one that can be read.
    pub leaf: Option<&'a Leaf>,
    /// The names that lead here, the host's own first; without that one nothing is ordered.
    pub names: &'a [String],
    /// The host's own.
    pub hostname: &'a str,
    /// The kinds of challenges that can be met here, the preferred first; one at least.
    pub kinds: &'a [Kind],
}

/// What is to be done now.
pub fn plan(facts: &Facts<'_>, state: &State) -> Plan {
    let Facts { now, hostname, .. } = *facts;
    let names: Vec<String> = facts.names.iter().filter(|name| !state.is_set_aside(name, hostname, now)).cloned().collect();
    let due = match facts.leaf {
        Some(leaf) if !leaf.self_signed && !state.is_ours(leaf) => return Plan::Leave(now + LOOK_EVERY),
        Some(leaf) if !leaf.self_signed => due(leaf, &names, state),
        _ => now,
    };
    if !names.iter().any(|name| name == hostname) {
        return Plan::Wait(now + if due <= now { LOOK_FOR_HOST_EVERY } else { LOOK_EVERY });
    }
    let kinds = state.kinds(facts.kinds);
    let Some(&kind) = kinds.get(state.failures as usize % kinds.len().max(1)) else { return Plan::Wait(now + LOOK_EVERY) };
    let at = due.max(state.rested(kinds.len())).max(state.within_the_day(now)).max(state.not_before);
    if at <= now { Plan::Order { names, kind } } else { Plan::Wait(at.min(now + LOOK_EVERY)) }
}

/// When a certificate of ours is to be renewed.
fn due(leaf: &Leaf, names: &[String], state: &State) -> i64 {
    let life = (leaf.not_after - leaf.not_before).max(0);
    // The certificate itself is the die, so that it falls the same after a restart.
    let die = u64::from_be_bytes(*leaf.sha256.first_chunk().unwrap_or(&[0; 8]));
    let spread = i64::try_from(die % (life.unsigned_abs() / 30).max(1)).unwrap_or(0);
    let renewal = (leaf.not_after - life / 3 + spread).max(state.fetched_at + GROWTH_PAUSE);
    let grown = names.iter().any(|name| !leaf.covers(name));
    if grown { renewal.min(state.fetched_at + GROWTH_PAUSE) } else { renewal }
}

impl State {
    /// Did we fetch this certificate?
    pub fn is_ours(&self, leaf: &Leaf) -> bool {
        self.fetched.contains(&hex(&leaf.sha256))
    }

    fn is_set_aside(&self, name: &str, hostname: &str, now: i64) -> bool {
        name != hostname && self.set_aside.get(name).is_some_and(|&until| now < until)
    }

    /// What worked last comes first.
    fn kinds(&self, kinds: &[Kind]) -> Vec<Kind> {
        let mut kinds = kinds.to_vec();
        kinds.sort_by_key(|kind| Some(*kind) != self.worked);
        kinds
    }

    /// When the pause after the last failure is over.
    fn rested(&self, kinds: usize) -> i64 {
        let (Some(&last), true) = (self.attempts.last(), self.failures > 0) else { return i64::MIN };
        let kinds = kinds.max(1);
        let failures = self.failures as usize;
        let pause = match failures.is_multiple_of(kinds) {
            false => NEXT_KIND_PAUSE,
            true => PAUSES[(failures / kinds - 1).min(PAUSES.len() - 1)],
        };
        last + pause
    }

    /// When there is room for another attempt.
    fn within_the_day(&self, now: i64) -> i64 {
        let recent: Vec<i64> = self.attempts.iter().copied().filter(|&at| at > now - DAY).collect();
        match recent.len().checked_sub(ATTEMPTS_PER_DAY_MAX) {
            Some(first) => recent[first] + DAY,
            None => i64::MIN,
        }
    }

    /// An order begins; to be kept before the authority hears of it.
    pub fn begin(&mut self, now: i64) {
        self.attempts.retain(|&at| at > now - DAY && at <= now);
        self.attempts.push(now);
        self.set_aside.retain(|_, until| *until > now);
    }

    /// It failed.
    pub fn failed(&mut self, now: i64, failure: &Failure, hostname: &str, kinds: usize) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        self.last_error = Some(failure.why.clone());
        if let Some(patience) = failure.patience {
            self.not_before = now + patience.clamp(0, PATIENCE_MAX);
        }
        // Only when no kind of challenge helped: one closed port is no fault of the name.
        let all_failed = (self.failures as usize).is_multiple_of(kinds.max(1));
        if all_failed && !failure.names.is_empty() && !failure.names.contains(hostname) {
            self.set_aside.extend(failure.names.iter().map(|name| (name.clone(), now + SET_ASIDE)));
            // The names that are left have not failed.
            self.failures = 0;
        }
    }

    /// It brought this certificate.
    pub fn succeeded(&mut self, now: i64, leaf: &Leaf, kind: Kind) {
        self.fetched.insert(0, hex(&leaf.sha256));
        self.fetched.truncate(FETCHED_KEPT);
        self.fetched_at = now;
        self.failures = 0;
        self.failing_since = None;
        self.last_error = None;
        self.not_before = 0;
        self.worked = Some(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const KINDS: [Kind; 2] = [Kind::TlsAlpn01, Kind::Http01];
    const HOST: &str = "mail.example.org";

    fn leaf(names: &[&str], days_old: i64, days_left: i64) -> Leaf {
        Leaf {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            not_before: NOW - days_old * DAY,
            not_after: NOW + days_left * DAY,
            self_signed: false,
            issuer: String::new(),
            key_sha256: [0; 32],
            sha256: [1; 32],
        }
    }

    /// A state in which the certificate is ours.
    fn ours(leaf: &Leaf) -> State {
        let mut state = State::default();
        state.succeeded(leaf.not_before, leaf, Kind::Http01);
        state
    }

    fn decide(now: i64, leaf: Option<&Leaf>, names: &[&str], state: &State) -> Plan {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        plan(&Facts { now, leaf, names: &names, hostname: HOST, kinds: &KINDS }, state)
    }

    fn order(names: &[&str], kind: Kind) -> Plan {
        Plan::Order { names: names.iter().map(|&name| name.to_owned()).collect(), kind }
    }

    #[test]
    fn the_first_is_ordered_as_soon_as_the_host_leads_here() {
        let self_made = Leaf { self_signed: true, ..leaf(&[HOST], 1, 89) };
        for there in [None, Some(&self_made)] {
            assert_eq!(decide(NOW, there, &[HOST], &State::default()), order(&[HOST], Kind::TlsAlpn01));
            assert_eq!(decide(NOW, there, &[], &State::default()), Plan::Wait(NOW + LOOK_FOR_HOST_EVERY));
        }
    }

    #[test]
    fn a_foreign_certificate_is_left_alone_even_if_it_is_over() {
        for (days_old, days_left) in [(1, 89), (89, 1), (100, -10)] {
            assert_eq!(decide(NOW, Some(&leaf(&[HOST], days_old, days_left)), &[HOST], &State::default()), Plan::Leave(NOW + LOOK_EVERY));
        }
    }

    #[test]
    fn renewal_comes_with_a_third_of_the_life_left() {
        for (days_old, days_left, renewed) in [(1, 89, false), (59, 31, false), (64, 26, true), (91, -1, true)] {
            let leaf = leaf(&[HOST], days_old, days_left);
            let planned = decide(NOW, Some(&leaf), &[HOST], &ours(&leaf));
            let want = if renewed { order(&[HOST], Kind::Http01) } else { Plan::Wait(NOW + LOOK_EVERY) };
            assert_eq!(planned, want, "{days_old} days old, {days_left} left");
        }
    }

    #[test]
    fn renewals_are_spread_but_each_is_fixed() {
        let due_of = |byte| {
            let leaf = Leaf { sha256: [byte; 32], ..leaf(&[HOST], 0, 90) };
            due(&leaf, &[HOST.to_owned()], &ours(&leaf))
        };
        assert_eq!(due_of(3), due_of(3));
        let days: BTreeSet<i64> = (0..=255).map(due_of).collect();
        assert!(days.len() > 200);
        let third = NOW + 60 * DAY;
        assert!(days.iter().all(|due| (third..=third + 3 * DAY).contains(due)));
    }

    #[test]
    fn a_new_name_waits_an_hour_and_a_lost_one_changes_nothing() {
        let leaf = leaf(&[HOST, "autoconfig.example.org"], 1, 89);
        let names = [HOST, "mta-sts.example.org"];
        let mut state = ours(&leaf);
        state.fetched_at = NOW - HOUR + 1;
        assert_eq!(decide(NOW, Some(&leaf), &names, &state), Plan::Wait(NOW + 1));
        assert_eq!(decide(NOW + 1, Some(&leaf), &names, &state), order(&names, Kind::Http01));
        assert_eq!(decide(NOW + 1, Some(&leaf), &[HOST], &state), Plan::Wait(NOW + 1 + LOOK_EVERY));
    }

    /// Plays failures until `until`, with one attempt whenever the plan says so; gives their times since `NOW`.
    fn fail_until(until: i64, state: &mut State, failure: &Failure, names: &[&str]) -> Vec<(i64, Kind)> {
        let (mut now, mut times) = (NOW, Vec::new());
        while now < until {
            match decide(now, None, names, state) {
                Plan::Order { kind, .. } => {
                    state.begin(now);
                    state.failed(now, failure, HOST, KINDS.len());
                    times.push((now - NOW, kind));
                }
                Plan::Wait(at) | Plan::Leave(at) => {
                    assert!(at > now, "it would turn in circles");
                    now = at;
                }
            }
        }
        times
    }

    #[test]
    fn failures_try_the_other_kind_then_pause_longer_and_longer() {
        let mut state = State::default();
        let times = fail_until(NOW + 3 * DAY, &mut state, &Failure::default(), &[HOST]);
        let first: Vec<(i64, Kind)> = times.iter().take(4).copied().collect();
        assert_eq!(first, [(0, KINDS[0]), (10, KINDS[1]), (10 + HOUR, KINDS[0]), (20 + HOUR, KINDS[1])]);
        for (start, _) in &times {
            let day = times.iter().filter(|(at, _)| (*start..start + DAY).contains(at)).count();
            assert!(day <= ATTEMPTS_PER_DAY_MAX, "{day} attempts in the day after {start}: {times:?}");
        }
        assert!(times.len() >= 8, "it goes on: {times:?}");
        assert_eq!(state.failing_since, Some(NOW));
    }

    #[test]
    fn a_restart_forgets_nothing() {
        let mut state = State::default();
        fail_until(NOW + HOUR / 2, &mut state, &Failure::default(), &[HOST]);
        let kept: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        assert_eq!(kept, state);
        assert!(matches!(decide(NOW + HOUR / 2, None, &[HOST], &kept), Plan::Wait(_)));
    }

    #[test]
    fn a_name_that_cannot_be_verified_does_not_keep_the_others_from_theirs() {
        let bad = Failure { names: ["autoconfig.example.org".to_owned()].into(), ..Failure::default() };
        let mut state = State::default();
        let names = [HOST, "autoconfig.example.org"];
        for now in [NOW, NOW + NEXT_KIND_PAUSE] {
            assert!(matches!(decide(now, None, &names, &state), Plan::Order { names, .. } if names.len() == 2));
            state.begin(now);
            state.failed(now, &bad, HOST, KINDS.len());
        }
        assert_eq!(decide(NOW + 20, None, &names, &state), order(&[HOST], Kind::TlsAlpn01));
        assert!(matches!(decide(NOW + 20 + SET_ASIDE, None, &names, &state), Plan::Order { names, .. } if names.len() == 2));
        // The host's own name is never left out.
        let host = Failure { names: names.map(str::to_owned).into(), ..Failure::default() };
        let mut state = State::default();
        fail_until(NOW + DAY, &mut state, &host, &names);
        assert!(state.set_aside.is_empty());
    }

    #[test]
    fn the_authoritys_wish_for_patience_counts() {
        let mut state = State::default();
        state.begin(NOW);
        state.failed(NOW, &Failure { patience: Some(2 * DAY), ..Failure::default() }, HOST, KINDS.len());
        assert_eq!(decide(NOW + 2 * DAY - 1, None, &[HOST], &state), Plan::Wait(NOW + 2 * DAY));
        assert!(matches!(decide(NOW + 2 * DAY, None, &[HOST], &state), Plan::Order { .. }));
        state.failed(NOW, &Failure { patience: Some(i64::MAX), ..Failure::default() }, HOST, KINDS.len());
        assert!(matches!(decide(NOW + PATIENCE_MAX, None, &[HOST], &state), Plan::Order { .. }));
    }

    #[test]
    fn what_worked_last_comes_first() {
        let state = State { worked: Some(Kind::Http01), ..State::default() };
        assert_eq!(decide(NOW, None, &[HOST], &state), order(&[HOST], Kind::Http01));
    }
}
