//! Mailbox names as file names: on any file system, and each by itself.
//!
//! `Archive/2024` becomes `Archive/2024.mbox`, beside `Archive.mbox`. Octets that a file system may not take are written
//! `%41`; names that a file system may take for the same are told apart by a number.

use std::collections::HashSet;
use std::path::PathBuf;

/// What file systems take is 255; `~`, a hash, a number and `.mbox` come on top.
const NAME_BYTES_MAX: usize = 180;
/// What is taken as it is, beside letters and digits of any script.
const PLAIN: &str = " -_+@,=().&'!#";
const END: &str = ".mbox";

/// Gives out names, each once.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The file of a mailbox, below the directory of its account.
    pub fn file(&mut self, mailbox: &str, separator: char) -> PathBuf {
        let levels: Vec<String> = mailbox.split(separator).map(safe).collect();
        let path = levels.join("/");
        let mut number = 1;
        loop {
            let candidate = if number == 1 { format!("{path}{END}") } else { format!("{path}~{number}{END}") };
            if self.0.insert(candidate.to_lowercase()) {
                return candidate.into();
            }
            number += 1;
        }
    }
}

/// One level of a name.
pub(super) fn safe(level: &str) -> String {
    let mut safe = String::new();
    let stem = level.len() - if level.to_lowercase().ends_with(END) { END.len() } else { 0 };
    for (at, character) in level.char_indices() {
        // Hidden files, names that a system cuts, and what would look like the file of another mailbox.
        let is_edge = (at == 0 || at + 1 == level.len() || at == stem) && ". ".contains(character);
        if !is_edge && (character.is_alphanumeric() || PLAIN.contains(character)) {
            safe.push(character);
        } else {
            let mut octets = [0; 4];
            character.encode_utf8(&mut octets).bytes().for_each(|octet| safe.push_str(&format!("%{octet:02X}")));
        }
    }
    if safe.len() > NAME_BYTES_MAX {
        let end = (0..=NAME_BYTES_MAX).rev().find(|end| safe.is_char_boundary(*end)).unwrap_or(0);
        safe.truncate(end);
        safe.push_str(&format!("~{}", blake3::hash(level.as_bytes()).to_hex().get(..8).unwrap_or_default()));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_their_own() {
        let table = [
            ("INBOX", "INBOX"),
            ("Läden & Co", "Läden & Co"),
            ("..", "%2E%2E"),
            (".hidden", "%2Ehidden"),
            ("a:b\\c*", "a%3Ab%5Cc%2A"),
            ("100%", "100%25"),
            ("x.mbox", "x%2Embox"),
            ("tail. ", "tail.%20"),
            ("", ""),
        ];
        for (level, want) in table {
            assert_eq!(safe(level), want);
        }
        let (one, other) = (format!("{}1", "ü".repeat(150)), format!("{}2", "ü".repeat(150)));
        assert!(safe(&one).len() < 200 && safe(&one) != safe(&other));
    }

    #[test]
    fn levels_are_directories_and_names_that_differ_by_case_have_numbers() {
        let mut names = Names::default();
        let given: Vec<PathBuf> = ["a", "A", "a/b", "a/../../etc"].iter().map(|name| names.file(name, '/')).collect();
        assert_eq!(given, ["a.mbox", "A~2.mbox", "a/b.mbox", "a/%2E%2E/%2E%2E/etc.mbox"].map(PathBuf::from));
    }
}
