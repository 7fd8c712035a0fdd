//! Greylisting (RFC 6647): whoever never wrote here before is asked to come again, which senders of junk seldom do.
//!
//! Off unless the owner turns it on: it delays the first mail of everybody. Who waits is kept in memory, bounded; who
//! came again is remembered as a note for [`PASSED_SECONDS`], so that a restart troubles nobody who is known.

use crate::net::rates::neighbourhood;
use crate::store::{Change, NoteChange, NoteKind, Store, StoreError};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use stoa_record::{Reader, Writer};

/// RFC 6647 §4.2 asks to forget who did not come again; five days is how long a sender tries (RFC 5321 §4.5.4.1).
const WAITING_SECONDS_MAX: i64 = 5 * 86_400;

/// A monthly newsletter is known when it comes again.
const PASSED_SECONDS: i64 = 36 * 86_400;

/// A note is renewed when it is this old, so that mail of somebody well known costs no commit.
const RENEW_SECONDS: i64 = 86_400;

/// Who waits at a time, of some 80 bytes each; beyond it those who wait longest are forgotten.
const WAITING_MAX: usize = 50_000;

/// What to do with a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greylisted {
    /// Known, or came again after the delay.
    Passed,
    /// To come again in so many seconds.
    Wait(i64),
}

/// Who wrote for the first time, and who came again.
pub struct Greylist {
    store: Store,
    delay_seconds: i64,
    waiting: Mutex<HashMap<[u8; 16], i64>>,
}

impl Greylist {
    /// Asks strangers to come again after so many seconds.
    pub fn new(store: Store, delay_seconds: i64) -> Self {
        Self { store, delay_seconds, waiting: Mutex::default() }
    }

    /// May this network write from that address to this one? `now` in seconds since 1970.
    pub async fn ask(&self, peer: IpAddr, from: &str, to: &str, now: i64) -> Result<Greylisted, StoreError> {
        let network = neighbourhood(peer).to_string();
        let passed = self.store.note(NoteKind::Greylist, network.as_bytes()).await?;
        let passed = passed.and_then(|note| Reader::parse(&note, 1).ok()?.i64(1).ok()?).filter(|at| now - at < PASSED_SECONDS);
        match passed {
            Some(at) if now - at < RENEW_SECONDS => return Ok(Greylisted::Passed),
            Some(_) => {}
            None => {
                let wait = self.wait(triplet(&network, from, to), now);
                if wait > 0 {
                    return Ok(Greylisted::Wait(wait));
                }
            }
        }
        let note = NoteChange::put(NoteKind::Greylist, network, Writer::new(1).i64(1, now).finish());
        self.store.commit(Change::Notes(vec![note])).await?;
        Ok(Greylisted::Passed)
    }

    /// How much longer this triplet has to wait.
    fn wait(&self, triplet: [u8; 16], now: i64) -> i64 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            forget(&mut waiting, now);
        }
        let began = *waiting
            .entry(triplet)
            .and_modify(|began| *began = if now - *began > WAITING_SECONDS_MAX { now } else { *began })
            .or_insert(now);
        let wait = began + self.delay_seconds - now;
        if wait <= 0 {
            waiting.remove(&triplet);
        }
        wait
    }

    /// Removes notes of those who did not write for long.
    pub async fn sweep(store: &Store, now: i64) -> Result<(), StoreError> {
        let notes = store.notes(NoteKind::Greylist, b"").await?;
        let is_old =
            |value: &[u8]| Reader::parse(value, 1).ok().and_then(|record| record.i64(1).ok()?).is_none_or(|at| now - at >= PASSED_SECONDS);
        let old = notes.into_iter().filter(|(_, value)| is_old(value)).map(|(key, _)| NoteChange::remove(NoteKind::Greylist, key.to_vec()));
        let old: Vec<_> = old.collect();
        if !old.is_empty() {
            store.commit(Change::Notes(old)).await?;
        }
        Ok(())
    }
}

/// Who is here at all is known by its network, so the addresses only tell one first letter from another.
fn triplet(network: &str, from: &str, to: &str) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    for part in [network, &from.to_lowercase(), &to.to_lowercase()] {
        hash.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    let mut short = [0; 16];
    hash.finalize_xof().fill(&mut short);
    short
}

fn forget(waiting: &mut HashMap<[u8; 16], i64>, now: i64) {
    let mut oldest = WAITING_SECONDS_MAX;
    while waiting.len() > WAITING_MAX / 2 && oldest > 0 {
        waiting.retain(|_, began| now - *began < oldest);
        oldest /= 2;
    }
    if waiting.len() > WAITING_MAX / 2 {
        // So many within a second come from nobody who would be missed.
        waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use std::sync::Arc;

    async fn greylist() -> Greylist {
        Greylist::new(Store::open(Arc::new(Memory::new())).await.unwrap(), 300)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_stranger_comes_again_and_is_known_from_then_on() {
        let list = greylist().await;
        let (a, b) = (ip("192.0.2.1"), ip("192.0.2.250"));
        assert_eq!(list.ask(a, "x@a.example", "me@b.example", 1_000).await.unwrap(), Greylisted::Wait(300));
        assert_eq!(list.ask(a, "X@a.example", "ME@b.example", 1_200).await.unwrap(), Greylisted::Wait(100), "too early");
        assert_eq!(list.ask(a, "y@a.example", "me@b.example", 1_250).await.unwrap(), Greylisted::Wait(300), "another letter");
        // Another host of the same network may try again (RFC 6647 §2.3).
        assert_eq!(list.ask(b, "x@a.example", "me@b.example", 1_300).await.unwrap(), Greylisted::Passed);
        assert_eq!(list.ask(a, "z@a.example", "you@b.example", 1_301).await.unwrap(), Greylisted::Passed);
        assert_eq!(list.ask(ip("198.51.100.1"), "x@a.example", "me@b.example", 1_301).await.unwrap(), Greylisted::Wait(300));
    }

    #[tokio::test]
    async fn who_did_not_write_for_long_is_a_stranger_again() {
        let list = greylist().await;
        let a = ip("2001:db8::1");
        for now in [0, 300] {
            _ = list.ask(a, "x@a.example", "me@b.example", now).await.unwrap();
        }
        let later = 300 + PASSED_SECONDS - 1;
        assert_eq!(list.ask(a, "x@a.example", "me@b.example", later).await.unwrap(), Greylisted::Passed);
        Greylist::sweep(&list.store, later + PASSED_SECONDS - 1).await.unwrap();
        assert_eq!(list.store.notes(NoteKind::Greylist, b"").await.unwrap().len(), 1, "it was renewed");
        Greylist::sweep(&list.store, later + PASSED_SECONDS).await.unwrap();
        assert_eq!(list.store.notes(NoteKind::Greylist, b"").await.unwrap().len(), 0);
        assert_eq!(list.ask(a, "x@a.example", "me@b.example", later + PASSED_SECONDS).await.unwrap(), Greylisted::Wait(300));
    }

    #[tokio::test]
    async fn a_flood_takes_bounded_room() {
        let list = greylist().await;
        for n in 0..WAITING_MAX as u64 * 2 {
            list.wait(triplet("192.0.2.0", &n.to_string(), "me@b.example"), 5);
        }
        assert!(list.waiting.lock().unwrap().len() <= WAITING_MAX);
    }
}
