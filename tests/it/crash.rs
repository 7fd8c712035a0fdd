//! Crashes: the daemon is killed again and again while clients deliver as fast as they can.
//!
//! Whatever got its 250 or OK is there exactly once after the restart, under a UID that never meant anything else.
//! Killing a process leaves what it wrote to the system; that what is acknowledged was also synced is shown elsewhere.

use crate::daemon::{Daemon, Home};
use crate::imap::Imap;
use crate::smtp::Smtp;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{scope, sleep};
use std::time::Duration;

const ROUNDS: u32 = 20;

/// Bodies of more than a chunk are written in several steps, so there is more to go wrong.
const LARGE_BYTES: usize = 300_000;

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
        let padding = if n % 5 == 4 { LARGE_BYTES } else { 50 };
        let message = format!("Subject: {token}\r\n\r\n{}\r\n", "padding ".repeat(padding / 8)).into_bytes();
        match &mut client {
            Client::Imap(imap) => drop(imap.append("INBOX", &message)?.wants("OK")?),
            Client::Smtp(smtp) => {
                smtp.envelope("a@out.example", &[&account.address], "")?;
                let reply = if way == Way::Data { smtp.data(&message) } else { smtp.bdat(&message, 100_000) };
                reply?.wants(250)?;
            }
        }
        if acknowledged.send(token).is_err() {
            break;
        }
    }
    Ok(())
}

enum Client {
    Smtp(Smtp),
    Imap(Imap),
}

/// What stands in the mailbox: tokens by UID, UIDVALIDITY and UIDNEXT.
fn look(daemon: &Daemon) -> (BTreeMap<u64, String>, u64, u64) {
    let mut imap = Imap::signed_in(daemon.ready.ports.imaps, &daemon.tls, daemon.account("plato")).unwrap();
    let selected = imap.ok("SELECT INBOX").unwrap();
    let mut found = BTreeMap::new();
    let mut last = 0;
    for line in imap.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").unwrap().lines() {
        let uid: u64 =
            line.split_once("UID ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(uid > last, "UIDs ascend: {uid} after {last}");
        last = uid;
        let subject = line.split_once("Subject: ").and_then(|(_, rest)| rest.split("\r\n").next()).unwrap_or_default();
        found.insert(uid, subject.to_owned());
    }
    (found, selected.number("UIDVALIDITY").unwrap(), selected.number("UIDNEXT").unwrap())
}

#[test]
fn what_was_acknowledged_is_there_once_after_twenty_crashes() {
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut home = Home::new();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut daemon = home.start();
    let (mut before, validity, mut next) = look(&daemon);
    for round in 0..ROUNDS {
        let (sender, tokens) = channel();
        let pause = Duration::from_millis(50 + random(&mut seed) % 550);
        let running = &daemon;
        scope(|clients| {
            for (n, way) in [Way::Data, Way::Data, Way::Chunks, Way::Append].into_iter().enumerate() {
                let sender = sender.clone();
                // A connection that breaks is what this is about.
                clients.spawn(move || deliver(running, way, &format!("r{round}-{n}"), &sender));
            }
            sleep(pause);
            running.kill();
        });
        drop(sender);
        acknowledged.extend(tokens);
        daemon.crash();

        daemon = home.start();
        let (now, validity_now, next_now) = look(&daemon);
        assert_eq!(validity_now, validity);
        assert!(next_now >= next, "UIDNEXT went back from {next} to {next_now}");
        for (uid, token) in &before {
            assert_eq!(now.get(uid), Some(token), "UID {uid} changed its meaning");
        }
        assert!(now.keys().all(|uid| before.contains_key(uid) || (*uid >= next && *uid < next_now)), "a UID was used again");
        for token in &acknowledged {
            assert_eq!(now.values().filter(|found| *found == token).count(), 1, "round {round}: {token} was acknowledged");
        }
        (before, next) = (now, next_now);
    }
    println!("{} messages were acknowledged, {} are there", acknowledged.len(), before.len());
    assert!(acknowledged.len() > ROUNDS as usize, "the rounds were too short to show anything");
    daemon.stop();
}
