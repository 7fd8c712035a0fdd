//! Words that do not belong in this tree: traces of the machine it was built on, and notes of what is not done.

use super::source::{self, line};
use super::{Exception, Finding, demand, tree};

/// Written by cargo.
const LOCK: &str = "Cargo.lock";

const WORDS: [Exception; 0] = [];

/// Notes to oneself, as words. They are put together here so that this file does not hold them.
fn notes() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["X", "XX"]].map(|parts| parts.concat())
}

/// Hosts of package registries, in any case.
fn registries() -> [String; 3] {
    [["crates", ".io"], ["pypi", ".org"], ["npm", "js"]].map(|parts| parts.concat())
}

/// Where a build machine keeps its files; only at the beginning of a path.
fn machine_paths() -> [String; 2] {
    [["/ro", "ot/"], ["/wo", "rk/"]].map(|parts| parts.concat())
}

fn misplaced(path: &str, text: &str) -> Vec<Finding> {
    if path == LOCK {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut add = |at: usize, what: &str| found.push(Finding::new(path, line(text, at), what));
    for note in notes() {
        source::words(text, &note).for_each(|at| add(at, &note));
    }
    // Lower case of ASCII keeps every offset.
    let lower = text.to_ascii_lowercase();
    for host in registries() {
        lower.match_indices(&host).for_each(|(at, _)| add(at, &host));
    }
    for folder in machine_paths() {
        let continues = |character: char| source::is_word(character) || "./-~$)}".contains(character);
        let begins = |at: usize| !text[..at].chars().next_back().is_some_and(continues);
        text.match_indices(&folder).filter(|(at, _)| begins(*at)).for_each(|(at, _)| add(at, &folder));
    }
    found.sort();
    found
}

#[test]
fn no_word_of_machines_or_of_things_undone() {
    let found: Vec<Finding> = tree::texts().iter().flat_map(|file| misplaced(&file.path, &file.text)).collect();
    demand(
        "The tree speaks of itself alone. Do what is left undone or say it as a gap in the file's head;\n\
         take paths from the environment; leave the choice of a registry to whoever builds.",
        &found,
        &WORDS,
    );
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn each_word_is_found() {
        for word in notes().into_iter().chain(registries()).chain(machine_paths()) {
            let text = format!("a\n\"{word}\" b");
            assert_eq!(misplaced("a.md", &text), [Finding::new("a.md", 2, word)]);
            assert!(misplaced(LOCK, &text).is_empty());
        }
        assert_eq!(misplaced("a.md", &format!("https://{}", registries()[0].to_uppercase())).len(), 1);
    }

    #[test]
    fn what_only_looks_like_them_is_not() {
        let text = format!("{0}S my_{0} a{1}x https://example.org{2}y todo", notes()[0], machine_paths()[1], machine_paths()[0]);
        assert!(misplaced("a.md", &text).is_empty(), "{text}");
    }
}
