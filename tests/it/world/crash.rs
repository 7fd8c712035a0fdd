//! A real server is killed again and again while it hands mail over to another.
//!
//! The other one takes its time after each message, so the end often comes between its 250 and the note of it. What was
//! accepted arrives, whole, and of each life of the server the one message in flight a second time at most.

use super::{QUICK, SEVERAL_ATTEMPTS, WITHIN, World, letter, table};
use crate::daemon::wait_for;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;
use stoa_world::{Act, Peer, Script, Stage};

const OWNER: &str = "alice@one.test";
const ROUNDS: u64 = 6;
const MESSAGES_PER_ROUND: u64 = 8;

/// How often each message arrived, by its Message-ID.
fn arrived(peer: &Peer) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in peer.received() {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        assert!(text.ends_with("\r\n\r\nHail.\r\n.\r\n..\r\n"), "{text}");
        let id = text.split_once("Message-ID: <").and_then(|(_, rest)| rest.split_once('@')).unwrap_or_else(|| panic!("{text}"));
        *counts.entry(id.0.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_server_that_is_stopped_finishes_what_is_in_flight_and_repeats_nothing() {
    let settings = table(QUICK);
    let mut world = World::of(&[OWNER], QUICK);
    let peer = world.host(0, "slow.plain.test", Script::new().at(Stage::Message, Act::Wait(Duration::from_millis(60))));
    for round in 0..2 {
        for n in 0..MESSAGES_PER_ROUND {
            let to = "bob@slow.plain.test";
            world.houses[0].submits(&[to], "", &letter(OWNER, to, &format!("stop-{round}-{n}")));
        }
        world.houses[0].stop();
        world.start_house(0, &settings);
    }
    let all = usize::try_from(2 * MESSAGES_PER_ROUND).expect("few");
    wait_for("every message that was accepted", WITHIN, || (arrived(&peer).len() == all).then_some(()));
    sleep(SEVERAL_ATTEMPTS);
    assert!(arrived(&peer).values().all(|count| *count == 1), "{:?}", arrived(&peer));
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_repeats_only_what_was_in_flight() {
    let patient = QUICK.replace("queue.give_up_seconds = 25", "queue.give_up_seconds = 600");
    let settings = table(&format!("{patient}\nqueue.connections_per_destination_max = 1"));
    let mut world = World::of(&[OWNER], &settings.to_string());
    let slow = Script::new().at(Stage::Message, Act::Wait(Duration::from_millis(60)));
    let peer = world.host(0, "slow.plain.test", slow);
    for round in 0..ROUNDS {
        for n in 0..MESSAGES_PER_ROUND {
            let subject = format!("crash-{round}-{n}");
            let to = "bob@slow.plain.test";
            world.houses[0].submits(&[to], "", &letter(OWNER, to, &subject));
        }
        // Somewhere within the messages of this round and what an earlier one left.
        sleep(Duration::from_millis(37 * (round * 5 % 7)));
        world.houses[0].kill();
        world.start_house(0, &settings);
    }
    let all = usize::try_from(ROUNDS * MESSAGES_PER_ROUND).expect("few");
    wait_for("every message that was accepted", WITHIN, || (arrived(&peer).len() == all).then_some(()));
    sleep(SEVERAL_ATTEMPTS);
    let counts = arrived(&peer);
    let repeated: usize = counts.values().map(|count| count - 1).sum();
    println!("{all} messages, {repeated} of them repeated by {ROUNDS} crashes");
    assert_eq!(counts.len(), all);
    assert!(repeated <= usize::try_from(ROUNDS).expect("few"), "one message is in flight at a time: {counts:?}");
    assert!(world.houses[0].found("Your message").is_empty(), "nobody is told of a failure");
}
