//! The rooms of `src` and who may use whom.

use super::source::{item_end, line, name, words};
use super::{Exception, Finding, demand, tree};
use std::collections::BTreeSet;

/// From top to bottom: a room may use itself and the rooms of later steps. The top may use everything.
const STEPS: [&[&str]; 10] = [
    &["cli"],
    &["doors", "queue"],
    &["visits"],
    &["delivery"],
    &["facilities"],
    &["spaces"],
    &["commands"],
    &["trust"],
    &["render"],
    &["store"],
];

/// Sockets, TLS and DNS stand beside the steps: these rooms may use them, and they use no room.
const NET: &str = "net";
const NET_USERS: [&str; 4] = ["cli", "doors", "queue", "trust"];

/// The crate's roots name the rooms and belong to none.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

const LAYERS: [Exception; 0] = [];

/// Changes that put messages into mailboxes or take them out. Whoever makes one decides what a person finds in
/// the mail, which is the work of `src/delivery`: its `admit.rs` is the one place that asks for the right to do so.
const MESSAGE_CHANGES: [&str; 7] =
    ["Change::Copy", "Change::Store", "Change::Expunge", "Change::Deliver", "Change::DeliverAll", "Change::{", "Change::*"];

/// The store carries them out, the queue files what became of a message, the demo fills a store of its own.
const CHANGE_MAKERS: [&str; 4] = ["src/store/", "src/delivery/", "src/queue/", "src/cli/demo/"];

const CHANGES: [Exception; 1] = [Exception {
    path: "src/doors/imap/tree.rs",
    what: "makes Change::Copy",
    reason: "renaming INBOX moves its messages (RFC 9051 §6.3.6): a change of the tree of one holder, who owns both ends",
}];

/// Only this folder knows which engine the store stands on.
const ENGINE: &str = "src/store/engine/";

/// These choose the engine, by its path within the store.
const ENGINE_CHOOSERS: [&str; 2] = ["src/cli/", "src/store/"];

/// The room of a source, if it is in one.
fn room(path: &str) -> Option<&str> {
    if ROOTS.contains(&path) {
        return None;
    }
    path.strip_prefix("src/")?.split(['/', '.']).next()
}

fn step(room: &str) -> Option<usize> {
    STEPS.iter().position(|step| step.contains(&room))
}

fn may_use(user: &str, used: &str) -> bool {
    match (step(user), step(used)) {
        _ if user == used => true,
        (Some(_), None) if used == NET => NET_USERS.contains(&user),
        (Some(user), Some(used)) => user < used,
        _ => false,
    }
}

/// The rooms that the code of a file names, with their lines: by `crate::ROOM`, or by a `super::` that reaches the
/// root. `*` is all of them.
fn used_rooms(path: &str, code: &str) -> Vec<(usize, String)> {
    let module = path.strip_prefix("src/").unwrap_or(path);
    let module = module.strip_suffix(".rs").unwrap_or(module);
    let depth = module.strip_suffix("/mod").unwrap_or(module).split('/').count();
    let mut used = Vec::new();
    for at in words(code, "crate::") {
        heads(&code[at + "crate::".len()..]).into_iter().for_each(|head| used.push((line(code, at), head)));
    }
    for at in words(code, "super::").filter(|at| !code[..*at].ends_with("super::")) {
        let rest = code[at..].trim_start_matches("super::");
        let up = (code.len() - at - rest.len()) / "super::".len();
        if up == depth {
            heads(rest).into_iter().for_each(|head| used.push((line(code, at), head)));
        }
    }
    used.retain(|(_, head)| head == "*" || head == NET || step(head).is_some());
    used
}

/// What follows a path: its next name, or the first names of each path in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![if rest.starts_with('*') { "*".to_owned() } else { name(rest).to_owned() }];
    };
    let group = &group[..item_end(rest.as_bytes(), 0).saturating_sub(2)];
    let mut depth = 0;
    let top = group.split(|character| {
        depth += match character {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        character == ',' && depth == 0
    });
    top.flat_map(|path| heads(path.trim())).filter(|head| !head.is_empty()).collect()
}

fn misused(path: &str, code: &str) -> Vec<Finding> {
    let Some(user) = room(path) else { return Vec::new() };
    let wrong = used_rooms(path, code).into_iter().filter(|(_, used)| !may_use(user, used));
    wrong.map(|(line, used)| Finding::new(path, line, format!("{user} uses {used}"))).collect()
}

/// `rocksdb` as a crate anywhere but in the engine's folder, or as the engine's module by those who do not choose.
fn engine_names(path: &str, code: &str) -> Vec<Finding> {
    if path.starts_with(ENGINE) {
        return Vec::new();
    }
    let chooses = ENGINE_CHOOSERS.iter().any(|folder| path.starts_with(folder));
    let wrong = words(code, "rocksdb").filter(|at| !(chooses && code[..*at].ends_with("engine::")));
    wrong.map(|at| Finding::new(path, line(code, at), "names rocksdb")).collect()
}

fn message_changes(path: &str, code: &str) -> Vec<Finding> {
    if CHANGE_MAKERS.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    let made = MESSAGE_CHANGES.iter().flat_map(|change| words(code, change).map(move |at| (at, change)));
    made.map(|(at, change)| Finding::new(path, line(code, at), format!("makes {change}"))).collect()
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    let found: Vec<Finding> = tree::production().iter().flat_map(|file| misused(&file.path, &file.text)).collect();
    let order = STEPS.map(|step| step.join(", ")).join(" -> ");
    demand(
        &format!(
            "A room of src may use only the rooms to its right ({order}), and {NET} only from {}.\n\
             Move what is shared down, or let the upper room hand it in.",
            NET_USERS.join(", ")
        ),
        &found,
        &LAYERS,
    );
}

#[test]
fn every_room_has_its_step() {
    let files = tree::rust();
    let rooms: BTreeSet<&str> = files.iter().filter_map(|file| room(&file.path)).collect();
    let lost = rooms.into_iter().filter(|room| *room != NET && step(room).is_none());
    let found: Vec<Finding> = lost.map(|room| Finding::new(&format!("src/{room}"), 0, "is in no step")).collect();
    demand("Say in STEPS of tests/tidy/layers.rs, and in the README's map, what the new room may use.", &found, &[]);
}

#[test]
fn only_the_engine_names_rocksdb() {
    let found: Vec<Finding> = tree::production().iter().flat_map(|file| engine_names(&file.path, &file.text)).collect();
    demand(
        &format!("Only {ENGINE} may use the crate rocksdb, and only src/cli may choose that engine: use the trait Engine."),
        &found,
        &[],
    );
}

#[test]
fn only_delivery_changes_messages() {
    let found: Vec<Finding> = tree::production().iter().flat_map(|file| message_changes(&file.path, &file.text)).collect();
    demand("Ask src/delivery/admit.rs for this change instead of making it: it checks who may make it.", &found, &CHANGES);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn steps_go_down_only() {
        for (user, used) in [("cli", "doors"), ("cli", "net"), ("doors", "net"), ("queue", "store"), ("trust", "store"), ("net", "net")] {
            assert!(may_use(user, used), "{user} {used}");
        }
        for (user, used) in [
            ("doors", "queue"),
            ("queue", "doors"),
            ("store", "trust"),
            ("delivery", "net"),
            ("net", "store"),
            ("doors", "*"),
            ("lost", "store"),
        ] {
            assert!(!may_use(user, used), "{user} {used}");
        }
    }

    #[test]
    fn rooms_are_found_in_every_form() {
        let used = |path: &str, code: &str| used_rooms(path, code).into_iter().map(|(_, room)| room).collect::<Vec<_>>();
        let found =
            ["use crate::store::{a, queue::b};", "let x = crate::store::a();", "pub(in crate::store) a", "use crate::{Other, store};"];
        for code in found {
            assert_eq!(used("src/doors/a.rs", code), ["store"], "{code}");
        }
        assert_eq!(used("src/doors/a.rs", "use crate::{\n    net::{a, b},\n    store::*,\n};"), ["net", "store"]);
        assert_eq!(used("src/doors/a.rs", "use crate::*;"), ["*"]);
        assert_eq!(used("src/doors/a.rs", "use super::super::{queue, net::a};"), ["queue", "net"]);
        assert_eq!(used("src/doors/mod.rs", "use super::queue;"), ["queue"]);
        assert_eq!(used("src/doors.rs", "use super::queue;"), ["queue"]);
        for code in ["use super::queue;", "use my_crate::store;", "use crate::Store;", "store::a()"] {
            assert!(used("src/doors/a.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn a_wrong_use_is_found_with_its_line() {
        let code = "a\nuse crate::queue::b;\nuse crate::store::c;";
        assert_eq!(misused("src/doors/a.rs", code), [Finding::new("src/doors/a.rs", 2, "doors uses queue")]);
        assert!(misused("src/cli/a.rs", code).is_empty());
        assert!(misused("src/lib.rs", code).is_empty());
    }

    #[test]
    fn the_engine_is_chosen_in_few_places() {
        let choice = "use crate::store::engine::rocksdb::Rocks;";
        assert!(engine_names("src/cli/home.rs", choice).is_empty());
        assert!(engine_names("src/store/engine/a.rs", "use rocksdb::DB;").is_empty());
        assert_eq!(engine_names("src/doors/a.rs", choice).len(), 1);
        assert_eq!(engine_names("src/cli/home.rs", "use rocksdb::DB;").len(), 1);
        assert_eq!(engine_names("src/store/mod.rs", "rocksdb::DB::open()").len(), 1);
    }

    #[test]
    fn changes_of_messages_are_seen() {
        assert_eq!(message_changes("src/doors/a.rs", "x(Change::Copy { a })")[0].what, "makes Change::Copy");
        assert_eq!(message_changes("src/doors/a.rs", "use crate::store::Change::{self, Copy};").len(), 1);
        assert!(message_changes("src/doors/a.rs", "FlagChange::Store Change::CopyAll Change::Subscribe {}").is_empty());
        assert!(message_changes("src/delivery/admit.rs", "Change::Copy {}").is_empty());
    }
}
