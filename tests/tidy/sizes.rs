//! How long a file and a function may be: what a reader can hold in mind. And that each file says what it is.

use super::source::{code, item_end, line, name, words};
use super::{Exception, Finding, demand, tree};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

/// The crate that tests stand on is read as the program is.
const WORLD: &str = "tests/world/src/";

/// What is long because it is a list rather than a thought.
const LONG: [Exception; 0] = [];

/// Every function with its first line and the number of its lines, from its name to its last brace.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = code(text);
    let named = words(&code, "fn ").filter_map(|at| {
        let name = name(&code[at + "fn ".len()..]);
        let end = item_end(code.as_bytes(), at);
        let first = line(&code, at);
        (!name.is_empty()).then(|| (name.to_owned(), first, line(&code, end - 1) + 1 - first))
    });
    named.collect()
}

fn too_long(path: &str, text: &str) -> Vec<Finding> {
    let long = functions(text).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    let mut found: Vec<Finding> = long.map(|(name, first, _)| Finding::new(path, first, name)).collect();
    if text.lines().count() > FILE_LINES_MAX {
        found.push(Finding::new(path, FILE_LINES_MAX, "the file"));
    }
    found
}

#[test]
fn files_and_functions_are_short() {
    let found: Vec<Finding> = tree::rust().iter().flat_map(|file| too_long(&file.path, &file.text)).collect();
    demand(
        &format!(
            "A file has at most {FILE_LINES_MAX} lines and a function {FUNCTION_LINES_MAX}: find the two things that it does and part them.\n\
             A list that cannot be parted goes into LONG of tests/tidy/sizes.rs with its reason."
        ),
        &found,
        &LONG,
    );
}

#[test]
fn every_source_says_what_it_is() {
    let files = tree::rust();
    let silent =
        files.iter().filter(|file| (tree::is_program(&file.path) || file.path.starts_with(WORLD)) && !file.text.starts_with("//!"));
    let found: Vec<Finding> = silent.map(|file| Finding::new(&file.path, 1, "does not begin with //!")).collect();
    demand("Open the file with a few lines of //!: what it is, what it takes and gives, whom it trusts, which standards.", &found, &[]);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn functions_are_measured() {
        let text = "fn a() {\n    \"}\"\n}\n\n    pub async fn b<T>(\n        x: [u8; 2],\n    ) -> T {\n    }\ntrait C {\n    fn d(&self) -> [u8; 2];\n}\ntype E = fn (u8);";
        let found = functions(text);
        assert_eq!(found, [("a".to_owned(), 1, 3), ("b".to_owned(), 5, 4), ("d".to_owned(), 10, 1)]);
    }

    #[test]
    fn what_is_long_is_found() {
        let function = |lines: usize| format!("fn a() {{\n{}}}\n", "x;\n".repeat(lines - 2));
        assert!(too_long("a.rs", &function(FUNCTION_LINES_MAX)).is_empty());
        assert_eq!(too_long("a.rs", &function(FUNCTION_LINES_MAX + 1)), [Finding::new("a.rs", 1, "a")]);
        assert!(too_long("a.rs", &"x\n".repeat(FILE_LINES_MAX)).is_empty());
        assert_eq!(too_long("a.rs", &"x\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }
}
