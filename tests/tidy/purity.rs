//! What the crates of protocols and pages must not know: the server, its runtime, sockets, disk, threads, the clock.

use super::source::{line, words};
use super::{Exception, Finding, demand, tree};

/// These crates take bytes and time and give bytes and events; so do the pages.
const PURE: [&str; 2] = ["protocols/", "webapp/"];

/// What reaches outside, in the forms in which code names it.
const IMPURE: [&str; 10] = [
    "tokio",
    "std::net::Tcp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "stoa::",
];

/// Crates that none of them may depend on, not even for tests.
const CRATES: [&str; 3] = ["stoa", "tokio", "rocksdb"];

const CODE: [Exception; 0] = [];

fn impurities(path: &str, code: &str) -> Vec<Finding> {
    let is_begun = |at: usize| code[..at].ends_with("std::net::");
    let found = IMPURE.iter().flat_map(|needle| {
        // A prefix of names: what follows may continue it.
        let at: Vec<usize> = match *needle {
            "std::net::Tcp" => code.match_indices(needle).map(|(at, _)| at).collect(),
            _ => words(code, needle).filter(|at| !is_begun(*at)).collect(),
        };
        at.into_iter().map(move |at| Finding::new(path, line(code, at), format!("names {needle}")))
    });
    let mut found: Vec<Finding> = found.collect();
    // `use std::{fs, thread}` and what follows it.
    for part in ["fs::", "thread::"] {
        let at = words(code, part).filter(|at| !code[..*at].ends_with("::"));
        found.extend(at.map(|at| Finding::new(path, line(code, at), format!("names {part}"))));
    }
    found
}

/// The forbidden dependencies of a Cargo.toml, under their own or another name.
fn dependencies(path: &str, text: &str) -> Vec<Finding> {
    let mut section = "";
    let mut found = Vec::new();
    for (number, row) in text.lines().enumerate() {
        let row = row.trim();
        if row.starts_with('[') {
            section = row.trim_matches(['[', ']']);
        }
        let header = section.rsplit_once("dependencies.").map_or("", |(_, name)| name);
        let key = if row.starts_with('[') { header } else { row.split(['.', '=', ' ']).next().unwrap_or("") };
        let renamed = |name: &str| row.contains("package") && row.contains(&format!("\"{name}\""));
        let wrong = CRATES.iter().filter(|name| section.contains("dependencies") && (key == **name || renamed(name)));
        found.extend(wrong.map(|name| Finding::new(path, number + 1, format!("depends on {name}"))));
    }
    found
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|folder| path.starts_with(folder))
}

#[test]
fn protocols_and_pages_reach_nothing_outside() {
    let files = tree::production();
    let found: Vec<Finding> = files.iter().filter(|file| is_pure(&file.path)).flat_map(|file| impurities(&file.path, &file.text)).collect();
    demand("Protocols and pages are values: let the caller in src hand in bytes, times and answers.", &found, &CODE);
}

#[test]
fn protocols_and_pages_depend_on_no_runtime() {
    let files = tree::texts();
    let manifests = files.iter().filter(|file| is_pure(&file.path) && file.path.ends_with("/Cargo.toml"));
    let found: Vec<Finding> = manifests.flat_map(|file| dependencies(&file.path, &file.text)).collect();
    demand("Crates of protocols/ and webapp/ stand below the server: drop the dependency.", &found, &[]);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn what_reaches_outside_is_found() {
        for (code, want) in [
            ("use tokio::net;", "names tokio"),
            ("use std::net::TcpStream;", "names std::net::Tcp"),
            ("a(TcpListener::bind())", "names TcpListener"),
            ("use std::fs;", "names std::fs"),
            ("fs::read(a)", "names fs::"),
            ("use std::{a, thread::sleep};", "names thread::"),
            ("std::time::Instant::now()", "names Instant::now"),
            ("SystemTime::now()", "names SystemTime::now"),
            ("use stoa::store;", "names stoa::"),
        ] {
            let found: Vec<String> = impurities("a.rs", code).into_iter().map(|finding| finding.what).collect();
            assert_eq!(found, [want], "{code}");
        }
        for code in ["use std::net::IpAddr;", "use std::time::Instant; now: Instant", "stoa_smtp::Server", "offs::a", "tokio_free"] {
            assert!(impurities("a.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn dependencies_are_read_from_the_manifest() {
        for text in [
            "[dependencies]\nstoa.workspace = true",
            "[dev-dependencies]\ntokio = \"1\"",
            "[dependencies.tokio]\nversion = \"1\"",
            "[dependencies]\nserver = { package = \"stoa\", path = \"../..\" }",
        ] {
            assert_eq!(dependencies("Cargo.toml", text).len(), 1, "{text}");
        }
        for text in ["[package]\nname = \"stoa\"", "[dependencies]\nstoa-smtp.workspace = true\ntokio-free = \"1\""] {
            assert!(dependencies("Cargo.toml", text).is_empty(), "{text}");
        }
    }
}
