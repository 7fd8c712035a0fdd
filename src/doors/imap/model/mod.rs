//! Several clients at once, saying whatever comes to mind, against a model of what the RFCs promise them.
//!
//! Sessions, door and store are the real ones, on the engine in memory and without sockets; the steps of all connections
//! are dealt out by chance, so that a command of one comes between a question of another and its answer, events come
//! early or late, and connections break at any point. The model is written from RFC 3501, RFC 4315, RFC 6851, RFC 7162 and
//! RFC 9051 and shares no code with the server: `mailbox` is what there is, `client` what a client knows from what it was told,
//! `effect` and `verdict` what commands do and must answer.
//!
//! A run ends with the transcript of what went wrong. `STOA_MODEL_SEED` repeats it, or plays
//! another run than the usual one; `STOA_MODEL_STEPS` says how long to go on.

mod choose;
mod client;
mod command;
mod dice;
mod effect;
pub(super) mod link;
mod mailbox;
mod verdict;
mod wire;

use super::Services;
use crate::delivery::admit::{Wish, admit};
use crate::delivery::tests::{House, house};
use crate::store::Place;
use crate::trust::Trust;
use client::{Checked, Client};
use command::{Command, Flying, Set, What};
use dice::Dice;
use link::{Did, Link, Moment};
use mailbox::{DELETED, Mailbox};
use std::collections::BTreeMap;
use std::sync::Arc;
use stoa_mailbox::{FlagChange, FlagNames, SystemFlag, View};
use tokio::sync::watch;
use wire::Line;

/// What `make test` plays, so that a run that fails has to do with what was changed.
const SEED: u64 = 2_026;
/// Steps of the whole test, where nobody says otherwise.
const STEPS: usize = 60_000;
/// After so many everything begins anew with the next seed: what goes wrong then has a short history.
const ROUND_STEPS: usize = 3_000;
const CLIENTS: usize = 4;
const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];
/// Of a mailbox that is not there.
const NOWHERE: &str = "Nowhere";
/// A whole test has all of these, by far: rare ones are left out.
#[rustfmt::skip]
const ANSWERS: [&str; 37] = [
    "LOGIN OK", "CAPABILITY OK", "ENABLE OK", "NOOP OK", "CHECK OK", "LIST OK", "IDLE OK", "STATUS OK",
    "SELECT OK", "SELECT NO", "EXAMINE OK", "UNSELECT OK", "CLOSE OK",
    "STORE OK", "STORE NO", "STORE BAD", "UID STORE OK", "UID STORE NO",
    "EXPUNGE OK", "EXPUNGE NO", "EXPUNGE BAD", "UID EXPUNGE OK", "UID EXPUNGE NO",
    "COPY OK", "COPY BAD", "UID COPY OK", "MOVE OK", "MOVE NO", "MOVE BAD", "UID MOVE OK", "UID MOVE NO",
    "APPEND OK", "FETCH OK", "FETCH BAD", "UID FETCH OK", "SEARCH OK", "UID SEARCH OK",
];
/// What is shown of a round that failed; who repeats it sees all.
const TRANSCRIPT_LINES: usize = 120;

/// A client and its connection.
#[derive(Default)]
struct Peer {
    client: Client,
    link: Option<Link>,
    reader: wire::Reader,
    /// The session waits for input.
    waits: bool,
    tags: usize,
}

struct World {
    services: Arc<Services>,
    account: Trust,
    boxes: Vec<Mailbox>,
    places: Vec<Place>,
    views: Vec<watch::Receiver<Arc<View>>>,
    peers: Vec<Peer>,
    dice: Dice,
    transcript: Vec<String>,
    /// How often a command was answered, and how.
    answers: BTreeMap<String, usize>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let House { store, delivery, plato, .. } = house().await;
        let account = Trust::of_account(&store.account(plato).await.unwrap().unwrap());
        let tree = store.holder(plato).await.unwrap().unwrap();
        let (mut boxes, mut places, mut views) = (Vec::new(), Vec::new(), Vec::new());
        for name in MAILBOXES {
            let place: Place = (plato, tree.find(name).unwrap().id);
            let view = store.watch(place).await.unwrap();
            boxes.push(Mailbox::new(name, &view.borrow()));
            views.push(view);
            places.push(place);
        }
        let services = Services::of(store, delivery, 1_000_000);
        let peers = (0..CLIENTS).map(|_| Peer::default()).collect();
        Self {
            services: Arc::new(services),
            account,
            boxes,
            places,
            views,
            peers,
            dice: Dice::new(seed),
            transcript: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    fn note(&mut self, peer: usize, what: &str) {
        self.transcript.push(format!("{} {what}", peer + 1));
    }

    /// Something happens to somebody.
    async fn happen(&mut self) -> Checked {
        if self.dice.one_in(150) {
            return self.others().await;
        }
        let at = self.dice.below(self.peers.len());
        let peer = &self.peers[at];
        if peer.link.is_none() {
            let enable = ["", "", "CONDSTORE", "QRESYNC", "QRESYNC", "IMAP4rev2", "IMAP4rev2 QRESYNC"];
            let enable = self.dice.pick(&enable);
            self.connect(at, enable);
            return Ok(());
        }
        if self.dice.one_in(300) {
            self.cut_off(at);
            return Ok(());
        }
        if !peer.waits {
            return self.advance(at).await;
        }
        if self.dice.one_in(3) {
            return self.event(at).await;
        }
        if self.peers[at].client.idling {
            self.say(at, "DONE\r\n");
            return Ok(());
        }
        let client = &self.peers[at].client;
        let first = client.choose(&self.boxes, &mut self.dice);
        let second = if self.dice.one_in(4) { client.choose_second(&first, &mut self.dice) } else { None };
        self.launch(at, [first].into_iter().chain(second));
        Ok(())
    }

    /// Others change a mailbox, both before anybody can look: the store makes one batch of it.
    async fn others(&mut self) -> Checked {
        let here = self.dice.below(self.boxes.len());
        let wish = |dice: &mut Dice| {
            let uid = dice.between(1, 60);
            let named = FlagNames { system: SystemFlag::Deleted.into(), keywords: Vec::new() };
            (uid, Wish::Flag { uids: [uid].into_iter().collect(), change: FlagChange::Add, flags: named, unchanged_since: None })
        };
        let ((first, one), (second, two)) = (wish(&mut self.dice), wish(&mut self.dice));
        let place = self.places[here];
        let store = &self.services.store;
        let expunge = Wish::Expunge { uids: Some([first].into_iter().collect()) };
        let (account, now) = (&self.account, 1_000);
        let done = tokio::join!(
            admit(store, account, place, one, now),
            admit(store, account, place, two, now),
            admit(store, account, place, expunge, now)
        );
        assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok());
        let mailbox = &mut self.boxes[here];
        mailbox.store(&[first, second], |flags| flags | DELETED, None);
        mailbox.remove(&[first]);
        self.transcript.push(format!("others mark {first} and {second} of {} and remove the first", MAILBOXES[here]));
        mailbox.settle(&self.views[here].borrow())
    }

    fn connect(&mut self, at: usize, enable: &'static str) {
        self.note(at, "connects");
        let link = Link::new(self.services.clone(), self.account.clone());
        self.peers[at].link = Some(link);
        let enable = Some(Command::Enable(enable)).filter(|_| !enable.is_empty());
        self.launch(at, [Command::Login, Command::Capability].into_iter().chain(enable));
    }

    fn cut_off(&mut self, at: usize) {
        self.note(at, "is cut off");
        let peer = &mut self.peers[at];
        peer.client.cut_off(&mut self.boxes);
        let Peer { client, tags, .. } = std::mem::take(peer);
        *peer = Peer { client, tags, ..Peer::default() };
    }

    /// Says commands, all before the first is answered.
    fn launch(&mut self, at: usize, commands: impl Iterator<Item = Command>) {
        let mut text = String::new();
        for command in commands {
            let peer = &mut self.peers[at];
            peer.tags += 1;
            let tag = format!("t{}", peer.tags);
            text += &format!("{tag} {}\r\n", command.text(|mailbox| mailbox.map_or(NOWHERE, |mailbox| MAILBOXES[mailbox])));
            peer.client.launch(Flying::new(tag, command), &self.boxes);
        }
        self.say(at, &text);
    }

    fn say(&mut self, at: usize, text: &str) {
        for line in text.lines() {
            self.note(at, &format!("C: {line}"));
        }
        let peer = &mut self.peers[at];
        peer.waits = false;
        if let Some(link) = &mut peer.link {
            link.say(text.as_bytes());
        }
    }

    async fn event(&mut self, at: usize) -> Checked {
        let peer = &mut self.peers[at];
        let Some(link) = &mut peer.link else { return Ok(()) };
        let heard = link.event().await;
        peer.client.heard_event(&self.boxes);
        if !heard {
            // There was nothing to hear, so a client that listens knows all.
            return peer.client.quiet();
        }
        peer.waits = false;
        self.note(at, "hears of a change");
        Ok(())
    }

    /// One step of the driver.
    async fn advance(&mut self, at: usize) -> Checked {
        let Some(link) = &mut self.peers[at].link else { return Ok(()) };
        match link.step().await {
            Did::Answered => Ok(()),
            Did::Closed => Err("the server has closed the connection".into()),
            Did::Asked(moment) => {
                if moment != Moment::Other {
                    self.note(at, &format!("{moment:?} is done"));
                }
                self.peers[at].client.acted(moment, &mut self.boxes)?;
                self.boxes.iter_mut().zip(&self.views).try_for_each(|(mailbox, view)| mailbox.settle(&view.borrow()))
            }
            Did::Sent(bytes) => {
                self.peers[at].reader.feed(&bytes);
                while let Some((shown, line)) = self.peers[at].reader.next() {
                    self.note(at, &format!("S: {shown}"));
                    let line = line?;
                    self.count(at, &line);
                    self.peers[at].client.hear(line, &mut self.boxes)?;
                }
                Ok(())
            }
            Did::Waited => {
                let peer = &mut self.peers[at];
                peer.waits = true;
                let stuck = !peer.client.flying.is_empty() && !peer.client.idling;
                client::ensure(!stuck && peer.reader.is_empty(), || "the server waits, but has not answered".into())?;
                peer.client.quiet()
            }
        }
    }

    fn count(&mut self, at: usize, line: &Line) {
        if let (Line::Status { tag: Some(_), condition, .. }, Some(front)) = (line, self.peers[at].client.flying.front()) {
            let text = front.command.text(|_| NOWHERE);
            let words = if text.starts_with("UID ") { 2 } else { 1 };
            let name: Vec<&str> = text.split(' ').take(words).chain([condition.as_str()]).collect();
            *self.answers.entry(name.join(" ")).or_default() += 1;
        }
    }

    /// Waits for the answer to a command, and lets nobody come between.
    async fn complete(&mut self, at: usize, command: Option<Command>) -> Checked {
        while !self.peers[at].waits {
            self.advance(at).await?;
        }
        if self.peers[at].client.idling {
            self.say(at, "DONE\r\n");
            Box::pin(self.complete(at, None)).await?;
        }
        let Some(command) = command else { return Ok(()) };
        self.launch(at, [command].into_iter());
        Box::pin(self.complete(at, None)).await
    }

    /// Nothing happens any more: now everybody can learn all there is, whoever stayed and whoever comes back.
    async fn end(&mut self) -> Checked {
        let all = |by_uid| Command::Fetch { set: Set::all(by_uid), what: What::Flags, changed_since: None };
        for at in 0..self.peers.len() {
            if self.peers[at].link.is_some() {
                self.complete(at, None).await?;
                for command in [Command::Noop, all(true), all(false), Command::Noop] {
                    let selected = self.peers[at].client.open.is_some();
                    if selected || !command.needs_selection() {
                        self.complete(at, Some(command)).await?;
                    }
                }
                self.cut_off(at);
            }
            self.connect(at, "QRESYNC");
            self.complete(at, None).await?;
            for mailbox in 0..self.boxes.len() {
                let resync = self.peers[at].client.resync(mailbox, &mut self.dice);
                let select = Command::Select { mailbox: Some(mailbox), read_only: true, condstore: false, resync };
                for command in [select, all(true), Command::Noop] {
                    self.complete(at, Some(command)).await?;
                }
            }
        }
        Ok(())
    }
}

/// Plays one round; the error is a transcript.
async fn play(seed: u64, steps: usize) -> Result<BTreeMap<String, usize>, String> {
    let mut world = World::new(seed).await;
    let mut outcome = Ok(());
    for _ in 0..steps {
        outcome = world.happen().await;
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() {
        outcome = world.end().await;
    }
    outcome.map(|()| world.answers).map_err(|complaint| {
        let all = setting("STOA_MODEL_SEED").is_some();
        let from = world.transcript.len().saturating_sub(if all { usize::MAX } else { TRANSCRIPT_LINES });
        format!("{}\n{complaint}\nRepeat it with STOA_MODEL_SEED={seed} STOA_MODEL_STEPS={steps}", world.transcript[from..].join("\n"))
    })
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn clients_know_what_they_were_promised() {
    let seed = setting("STOA_MODEL_SEED").unwrap_or(SEED);
    let steps = setting("STOA_MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    println!("STOA_MODEL_SEED={seed} STOA_MODEL_STEPS={steps}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut answers = BTreeMap::new();
    let rounds = (0..steps).step_by(ROUND_STEPS).zip(seed..);
    for (start, seed) in rounds {
        let outcome = runtime.block_on(play(seed, ROUND_STEPS.min(steps - start)));
        for (answer, count) in outcome.unwrap_or_else(|transcript| panic!("{transcript}")) {
            *answers.entry(answer).or_insert(0) += count;
        }
    }
    println!("{answers:?}");
    let missing: Vec<&str> = ANSWERS.into_iter().filter(|answer| steps >= STEPS && !answers.contains_key(*answer)).collect();
    assert!(missing.is_empty(), "nobody was answered {missing:?}: the clients are too shy");
}
