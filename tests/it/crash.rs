//! Crashes: the daemon is killed again and again while clients deliver as fast as they can.
//!
//! Whatever got its 250 or OK is there exactly once and whole after the restart, under a UID that never meant anything
//! else; what got no answer is there whole or not at all.
//! Killing a process leaves what it wrote to the system; that what is acknowledged was also synced is shown elsewhere.

use crate::daemon::{Daemon, Home};
use crate::imap::Imap;
use crate::smtp::Smtp;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::mpsc::{Sender, channel};
use std::thread::{scope, sleep};
use std::time::Duration;

const ROUNDS: u32 = 20;

/// Bodies of more than a chunk are written in several steps, so there is more to go wrong.
const LARGE_BYTES: usize = 300_000;

/// Every token begins so, and no subject of the demo's own mail does.
const TOKEN: &str = "crash";

/// The next number of a sequence that a seed leads to everywhere (SplitMix64).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Data,
    Chunks,
    Append,
}

const WAYS: [Way; 4] = [Way::Data, Way::Data, Way::Chunks, Way::Append];

/// The message of this token; every fifth of a client is large.
fn message(token: &str) -> String {
    let large = token.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n % 5 == 4);
    let lines = if large { LARGE_BYTES / token.len() } else { 5 };
    format!("Subject: {token}\r\n\r\n{}", format!("{token}\r\n").repeat(lines))
}

/// Delivers message after message until the connection breaks; tells the token of each that was acknowledged.
fn deliver(daemon: &Daemon, way: Way, name: &str, acknowledged: &Sender<String>) -> io::Result<()> {
    let account = daemon.account("plato");
    let mut client = match way {
        Way::Append => Client::Imap(Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, account)?),
        Way::Data | Way::Chunks => Client::Smtp(Smtp::plain(daemon.ready.ports.smtp)?),
    };
    if let Client::Smtp(smtp) = &mut client {
        smtp.ehlo()?;
    }
    for n in 0.. {
        let token = format!("{name}-{n}");
        let message = message(&token).into_bytes();
        match &mut client {
            Client::Imap(imap) => drop(imap.append("INBOX", &message)?.wants("OK")?),
            Client::Smtp(smtp) => {
                smtp.envelope("a@out.example", &[&account.address], "")?;
                let reply = if way == Way::Data { smtp.data(&message) } else { smtp.bdat(&message, 100_000) };
                reply?.wants(250)?;
            }
        }
        acknowledged.send(token).map_err(io::Error::other)?;
    }
    Ok(())
}

enum Client {
    Smtp(Smtp),
    Imap(Imap),
}

/// Whether this is how a connection ends whose other side was killed, rather than a refusal or a wrong answer.
fn is_the_crash(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof)
}

/// What stands in the mailbox.
struct Found {
    tokens: BTreeMap<u64, String>,
    uid_validity: u64,
    uid_next: u64,
}

fn look(daemon: &Daemon) -> Found {
    let mut imap = Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, daemon.account("plato")).unwrap();
    let selected = imap.ok("SELECT INBOX").unwrap();
    let mut tokens = BTreeMap::new();
    let mut last = 0;
    for line in imap.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").unwrap().lines() {
        let uid: u64 =
            line.split_once("UID ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(uid > last, "UIDs ascend: {uid} after {last}");
        last = uid;
        tokens.insert(uid, subject(&line).to_owned());
    }
    Found { tokens, uid_validity: selected.number("UIDVALIDITY").unwrap(), uid_next: selected.number("UIDNEXT").unwrap() }
}

fn subject(text: &str) -> &str {
    text.split_once("Subject: ").and_then(|(_, rest)| rest.split("\r\n").next()).unwrap_or_default()
}

impl Found {
    /// Nothing that was there went away or changed its UID, and no UID was given out a second time.
    fn follows(&self, before: &Found) {
        assert_eq!(self.uid_validity, before.uid_validity);
        assert!(self.uid_next >= before.uid_next, "UIDNEXT went back from {} to {}", before.uid_next, self.uid_next);
        for (uid, token) in &before.tokens {
            assert_eq!(self.tokens.get(uid), Some(token), "UID {uid} changed its meaning");
        }
        let new = self.tokens.keys().filter(|uid| !before.tokens.contains_key(uid));
        for uid in new {
            assert!((before.uid_next..self.uid_next).contains(uid), "UID {uid} was used again, or before its time");
        }
    }

    /// Every acknowledged message is there, and none of ours is there twice.
    fn holds(&self, acknowledged: &[String]) {
        let ours: Vec<&String> = self.tokens.values().filter(|token| token.starts_with(TOKEN)).collect();
        let once: BTreeSet<&String> = ours.iter().copied().collect();
        assert_eq!(ours.len(), once.len(), "a message is there twice: {ours:?}");
        for token in acknowledged {
            assert!(once.contains(token), "{token} was acknowledged and is lost");
        }
    }
}

/// Every message from this UID on is as it was sent, below the lines that delivery put on top.
fn all_are_whole(daemon: &Daemon, from: u64, to: u64) {
    if from == to {
        return;
    }
    let mut imap = Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, daemon.account("plato")).unwrap();
    imap.ok("EXAMINE INBOX").unwrap();
    for stored in imap.ok(&format!("UID FETCH {from}:{} BODY.PEEK[]", to - 1)).unwrap().literals() {
        let text = String::from_utf8_lossy(stored);
        let token = subject(&text);
        assert!(text.ends_with(&message(token)), "{token} is not whole: {} octets are there", stored.len());
    }
}

#[test]
fn what_was_acknowledged_is_there_once_after_twenty_crashes() {
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut home = Home::new();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut daemon = home.start();
    let mut before = look(&daemon);
    for round in 0..ROUNDS {
        acknowledged.extend(crash_under_load(daemon, round, Duration::from_millis(50 + random(&mut seed) % 550)));
        daemon = home.start();
        let now = look(&daemon);
        now.follows(&before);
        now.holds(&acknowledged);
        all_are_whole(&daemon, before.uid_next, now.uid_next);
        before = now;
    }
    println!("{} messages were acknowledged, {} are there", acknowledged.len(), before.tokens.len());
    for (n, way) in WAYS.into_iter().enumerate() {
        let some = acknowledged.iter().any(|token| token.split('-').nth(1) == Some(&n.to_string()));
        assert!(some, "nothing was ever acknowledged to client {n} by {way:?}: the rounds show nothing of it");
    }
    daemon.stop();
}

/// Lets clients deliver for this long, kills the daemon, and gives the tokens that were acknowledged.
fn crash_under_load(daemon: Daemon, round: u32, pause: Duration) -> Vec<String> {
    let (sender, tokens) = channel();
    let running = &daemon;
    scope(|threads| {
        let clients = WAYS.into_iter().enumerate().map(|(n, way)| {
            let sender = sender.clone();
            threads.spawn(move || deliver(running, way, &format!("{TOKEN}{round}-{n}"), &sender))
        });
        let clients: Vec<_> = clients.collect();
        sleep(pause);
        running.kill();
        for client in clients {
            let error = client.join().expect("a client does not panic").expect_err("a client ends by the crash");
            assert!(is_the_crash(&error), "round {round}: a client failed by itself: {error}");
        }
    });
    drop(sender);
    daemon.crash();
    tokens.into_iter().collect()
}

#[test]
fn messages_tell_whether_they_are_whole() {
    assert!(message("crash0-1-4").len() > LARGE_BYTES / 2 && message("crash0-1-3").len() < 100);
    assert_eq!(subject(&message("crash0-1-3")), "crash0-1-3");
    assert!(is_the_crash(&ErrorKind::UnexpectedEof.into()) && !is_the_crash(&io::Error::other("wanted 250")));
}
