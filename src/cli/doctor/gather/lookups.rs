//! Asking DNS what the checks want to know, round by round, until they want no more.

use super::super::answers::{Answer, Kind, Question, Silence};
use super::super::facts::Facts;
use super::super::finding::Finding;
use crate::cli::dns::records::Data;
use crate::net::dns::{DnsError, Found, Resolver};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// One answer leads to the next question at most so often: SPF records that include others, for the most part.
const ROUNDS_MAX: usize = 16;
/// Of all rounds: a domain of ours leads to some thirty.
const QUESTIONS_MAX: usize = 1_000;
/// Name servers limit how fast one machine may ask.
const QUESTIONS_AT_ONCE_MAX: usize = 12;
/// For all of them.
const SECONDS_MAX: Duration = Duration::from_secs(60);

/// What the checks find once their questions are answered.
pub(super) async fn examine(resolver: &Resolver, facts: &mut Facts, check: fn(&Facts) -> Vec<Finding>) -> Vec<Finding> {
    let deadline = Instant::now() + SECONDS_MAX;
    let mut left = QUESTIONS_MAX;
    for _ in 0..ROUNDS_MAX {
        let findings = check(facts);
        let mut missing = facts.dns.take_missing();
        missing.truncate(left);
        left -= missing.len();
        if missing.is_empty() {
            return findings;
        }
        for (question, said) in ask_all(resolver, missing, deadline).await {
            facts.dns.put(question, said);
        }
    }
    check(facts)
}

async fn ask_all(resolver: &Resolver, questions: Vec<Question>, deadline: Instant) -> Vec<(Question, Result<Answer, Silence>)> {
    let room = Arc::new(Semaphore::new(QUESTIONS_AT_ONCE_MAX));
    let mut asking = JoinSet::new();
    for question in questions {
        let (resolver, room) = (resolver.clone(), Arc::clone(&room));
        asking.spawn(async move {
            let _turn = room.acquire_owned().await;
            let late = || Err(Silence::Unavailable("it took too long".to_owned()));
            let said = timeout_at(deadline, ask(&resolver, &question)).await.unwrap_or_else(|_| late());
            (question, said)
        });
    }
    asking.join_all().await
}

async fn ask(resolver: &Resolver, (name, kind): &Question) -> Result<Answer, Silence> {
    match kind {
        Kind::Addresses => answer(resolver.addresses(name).await, Data::address),
        Kind::Mx => answer(resolver.mx(name).await, |mx| Data::Mx { preference: mx.preference, host: mx.host }),
        Kind::Txt => answer(resolver.txt(name).await, Data::Txt),
        Kind::Srv => answer(resolver.srv(name).await, |srv| Data::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target,
        }),
        Kind::Tlsa => answer(resolver.tlsa(name).await, |tlsa| {
            let digest: String = tlsa.data.iter().map(|byte| format!("{byte:02x}")).collect();
            Data::Tlsa(format!("{} {} {} {digest}", tlsa.usage, tlsa.selector, tlsa.matching))
        }),
        Kind::Caa => answer(resolver.caa(name).await, |caa| Data::Caa { critical: caa.critical, tag: caa.tag, value: caa.value }),
        Kind::Cname => answer(resolver.cname(name).await, Data::Cname),
        Kind::Names => match name.parse::<IpAddr>() {
            Ok(ip) => answer(resolver.names_of(ip).await, Data::Ptr),
            Err(_) => Err(Silence::Nothing),
        },
    }
}

fn answer<T>(found: Result<Found<T>, DnsError>, data: impl Fn(T) -> Data) -> Result<Answer, Silence> {
    match found {
        Ok(found) => Ok(Answer { secure: found.secure, records: found.records.into_iter().map(data).collect() }),
        Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => Err(Silence::Nothing),
        Err(DnsError::Bogus) => Err(Silence::Bogus),
        Err(DnsError::Unavailable(why)) => Err(Silence::Unavailable(why)),
    }
}
