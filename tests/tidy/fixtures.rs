//! Cases that are files: each folder of them says where it comes from, and a test reads it.

use super::source::words;
use super::tree::File;
use super::{Finding, demand, tree};
use std::collections::BTreeSet;

const FIXTURES: &str = "rfc-fixtures/";
const DIALOGS: &str = "tests/dialogs/";

/// The folders directly below one, by the files in them.
fn folders<'a>(files: &'a [File], below: &str) -> BTreeSet<&'a str> {
    files.iter().filter_map(|file| Some(file.path.strip_prefix(below)?.split_once('/')?.0)).collect()
}

/// Does a README say where the files come from and under which licence?
fn names_origin_and_licence(readme: &str) -> bool {
    let lower = readme.to_lowercase();
    let origin = ["rfc ", "origin", "written for this project"].iter().any(|word| lower.contains(word));
    origin && (lower.contains("licence") || lower.contains("license"))
}

/// Does a test name the folder: by its path, or by its name where its parent is named?
fn reads(test: &str, parent: &str, folder: &str) -> bool {
    let parent = parent.trim_end_matches('/');
    let path = format!("{parent}/{folder}");
    words(test, &path).next().is_some() || (test.contains(parent) && test.contains(&format!("\"{folder}\"")))
}

fn unread(files: &[File], below: &str) -> Vec<Finding> {
    let tests = tree::tests();
    assert!(tests.len() > 20, "the tests were not found");
    let folders = folders(files, below);
    let unread = folders.into_iter().filter(|folder| !tests.iter().any(|test| reads(&test.text, below, folder)));
    unread.map(|folder| Finding::new(&format!("{below}{folder}"), 0, "is read by no test")).collect()
}

#[test]
fn every_folder_of_fixtures_says_where_it_comes_from() {
    let files = tree::texts();
    let found = folders(&files, FIXTURES).into_iter().filter_map(|folder| {
        let path = format!("{FIXTURES}{folder}/README");
        let readme = files.iter().find(|file| file.path == path).map_or("", |file| &file.text);
        (!names_origin_and_licence(readme)).then(|| Finding::new(&path, 0, "does not name origin and licence"))
    });
    demand("Say in the README which RFC or project the files are from, and under which licence.", &found.collect::<Vec<_>>(), &[]);
}

#[test]
fn every_folder_of_fixtures_is_read_by_a_test() {
    demand("Read the folder in a test, or remove it.", &unread(&tree::texts(), FIXTURES), &[]);
}

#[test]
fn every_folder_of_dialogs_is_read_by_a_test() {
    demand("Run the folder's dialogs in a test, or remove it.", &unread(&tree::texts(), DIALOGS), &[]);
}

#[test]
fn dialogs_are_named_so() {
    let files = tree::texts();
    let others = files.iter().filter(|file| file.path.starts_with(DIALOGS) && !file.path.ends_with(".dialog"));
    let found: Vec<Finding> = others.map(|file| Finding::new(&file.path, 0, "does not end in .dialog")).collect();
    demand("No test runs what does not end in .dialog: rename the file.", &found, &[]);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn folders_are_seen_through_their_files() {
        let files = ["a/b/c", "a/b/d", "a/e", "f/g/h"].map(|path| File { path: path.into(), text: String::new() });
        assert_eq!(folders(&files, "a/").into_iter().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_readme_names_origin_and_licence() {
        assert!(names_origin_and_licence("Messages of RFC 12.\nLicence: of its own."));
        for readme in ["", "Messages of RFC 12.", "Licence: of its own."] {
            assert!(!names_origin_and_licence(readme), "{readme}");
        }
    }

    #[test]
    fn a_test_reads_what_it_names() {
        for test in ["\"/../../tests/dialogs/imap\"", "run(\"tests/dialogs\", \"imap\")", "join(\"tests/dialogs/imap/a.dialog\")"] {
            assert!(reads(test, DIALOGS, "imap"), "{test}");
        }
        for test in ["\"tests/dialogs/imaps\"", "run(\"imap\")", "\"tests/dialogs/smtp\"", ""] {
            assert!(!reads(test, DIALOGS, "imap"), "{test}");
        }
    }
}
