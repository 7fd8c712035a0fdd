//! The files of the tree, without what is built or fetched.

use super::source;
use std::fs;
use std::path::Path;

/// A text file of the tree.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root of the tree, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// What lies in the root and is no source: what git keeps (a file in a second checkout) and what cargo builds.
const NOT_OURS: [&str; 2] = [".git", "target"];

/// These rules hold what they forbid as data.
const TIDY: &str = "tests/tidy/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that is UTF-8, in order.
pub fn texts() -> Vec<File> {
    let mut paths = Vec::new();
    walk(root(), "", &mut paths);
    paths.sort();
    let read = |path: String| Some(File { text: String::from_utf8(fs::read(root().join(&path)).ok()?).ok()?, path });
    let files: Vec<File> = paths.into_iter().filter_map(read).collect();
    assert!(files.len() > 100, "the tree was not found at {}", root().display());
    files
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree can be read") {
        let entry = entry.expect("a folder of the tree can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let kind = entry.file_type().expect("a file has a type");
        if prefix.is_empty() && NOT_OURS.contains(&name.as_str()) {
            continue;
        } else if kind.is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), paths);
        } else if kind.is_file() {
            paths.push(format!("{prefix}{name}"));
        }
    }
}

/// A file that must be there.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} must be there: {error}"))
}

/// Is there a file or a folder of this path?
pub fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// Every Rust source, tests too.
pub fn rust() -> Vec<File> {
    texts().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Every Rust source but these rules, which are full of examples.
pub fn rust_but_tidy() -> Vec<File> {
    rust().into_iter().filter(|file| !file.path.starts_with(TIDY)).collect()
}

/// Of every source of the program its code: no comments, no literals, no tests.
pub fn production() -> Vec<File> {
    let files: Vec<File> = rust().into_iter().filter(|file| is_program(&file.path)).collect();
    let tests = test_only(&files);
    let mut files: Vec<File> = files.into_iter().filter(|file| !is_test(&file.path, &tests)).collect();
    files.iter_mut().for_each(|file| file.text = source::production_code(&file.text));
    assert!(files.len() > 80, "the sources of the program were not found");
    files
}

/// Every Rust source that is a test or holds one, without comments.
pub fn tests() -> Vec<File> {
    let mut files = rust_but_tidy();
    let tests = test_only(&files);
    files.retain(|file| is_test(&file.path, &tests) || file.text.contains("#[cfg(test)]"));
    files.iter_mut().for_each(|file| file.text = source::without_comments(&file.text));
    files
}

/// Does the program consist of this source, perhaps with tests in it?
pub fn is_program(path: &str) -> bool {
    let mut parts = path.split('/');
    path.ends_with(".rs")
        && match parts.next() {
            Some("src") => true,
            Some("webapp") => parts.next() == Some("src"),
            Some("protocols") => parts.nth(1) == Some("src"),
            _ => false,
        }
}

/// The modules that only tests have, as paths without `.rs`.
fn test_only(files: &[File]) -> Vec<String> {
    let modules = |file: &File| {
        let folder = folder_of_children(&file.path);
        source::test_modules(&file.text).into_iter().map(move |name| format!("{folder}{name}"))
    };
    files.iter().flat_map(modules).collect()
}

fn is_test(path: &str, test_only: &[String]) -> bool {
    let module = path.strip_suffix(".rs").unwrap_or(path);
    let within = |test: &String| module.strip_prefix(test.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    module.split('/').any(|part| part == "tests") || test_only.iter().any(within)
}

/// Where the modules of a file lie, with a `/` at the end.
fn folder_of_children(path: &str) -> String {
    let module = path.strip_suffix(".rs").unwrap_or(path);
    match module.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => format!("{folder}/"),
        _ => format!("{module}/"),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_program_is_told_from_the_rest() {
        for path in ["src/main.rs", "src/doors/imap/mod.rs", "protocols/smtp/src/lib.rs", "webapp/src/lib.rs"] {
            assert!(is_program(path), "{path}");
        }
        for path in ["tests/it/main.rs", "protocols/smtp/tests/dialogs.rs", "webapp/tests/pages.rs", "src/README", "protocols/src"] {
            assert!(!is_program(path), "{path}");
        }
    }

    #[test]
    fn tests_are_told_by_their_name_or_by_their_parent() {
        let parent = File { path: "src/a/mod.rs".into(), text: "#[cfg(test)]\nmod suite;\nmod other;".into() };
        let tests = test_only(&[parent]);
        assert_eq!(tests, ["src/a/suite"]);
        for path in ["src/a/suite.rs", "src/a/suite/more.rs", "src/b/tests.rs", "src/b/tests/lines.rs"] {
            assert!(is_test(path, &tests), "{path}");
        }
        for path in ["src/a/other.rs", "src/a/suited.rs", "src/b/suite.rs"] {
            assert!(!is_test(path, &tests), "{path}");
        }
        assert_eq!(folder_of_children("src/a/b.rs"), "src/a/b/");
    }
}
