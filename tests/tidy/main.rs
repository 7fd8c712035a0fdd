//! What must stay true of the whole tree: its layers, its sizes, its citations, its fixtures, its papers.
//!
//! Reads the sources as text, knows nothing of the program and links nothing of it, so that it compiles in a
//! second. Each rule is one test whose message says what to do. What is right although a rule forbids it stands
//! in the table of exceptions beside the rule, with its reason; an exception that nothing needs fails, too.
//!
//! The readers of source ([`source`], [`tree`]) know as much Rust as rustfmt leaves: no macros, no `cfg` but
//! `cfg(test)`, no module that is renamed by an attribute.

mod citations;
mod fixtures;
mod layers;
mod papers;
mod purity;
mod sizes;
mod source;
mod tree;
mod words;

/// Something that a rule forbids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, from the root of the tree.
    path: String,
    /// Counted from 1; 0 is the whole file.
    line: usize,
    /// What stands there.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, what: what.into() }
    }
}

/// Something that a rule forbids and that is right here.
struct Exception {
    /// The file.
    path: &'static str,
    /// The [`Finding::what`].
    what: &'static str,
    /// Why.
    reason: &'static str,
}

/// What is left to complain about, a line each: findings that no exception covers, exceptions that cover nothing
/// or have no reason.
fn complaints(found: &[Finding], exceptions: &[Exception]) -> Vec<String> {
    let covers = |exception: &Exception, finding: &Finding| exception.path == finding.path && exception.what == finding.what;
    let open = found.iter().filter(|finding| !exceptions.iter().any(|exception| covers(exception, finding)));
    let mut lines: Vec<String> = open.map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.what)).collect();
    for exception in exceptions {
        if !found.iter().any(|finding| covers(exception, finding)) {
            lines.push(format!("{}: the exception for `{}` is not needed any more: strike it out", exception.path, exception.what));
        }
        if exception.reason.is_empty() {
            lines.push(format!("{}: the exception for `{}` gives no reason", exception.path, exception.what));
        }
    }
    lines
}

/// Fails with what to do and all that was found.
#[track_caller]
fn demand(what_to_do: &str, found: &[Finding], exceptions: &[Exception]) {
    let lines = complaints(found, exceptions);
    assert!(lines.is_empty(), "{what_to_do}\n\n{}\n", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCUSED: Exception = Exception { path: "a.rs", what: "long", reason: "a table" };

    #[test]
    fn a_finding_is_a_complaint_unless_it_is_excused() {
        let (excused, open) = (Finding::new("a.rs", 3, "long"), Finding::new("b.rs", 4, "long"));
        assert_eq!(complaints(&[excused.clone(), open], &[EXCUSED]), ["b.rs:4: long"]);
        assert!(complaints(&[excused], &[EXCUSED]).is_empty());
    }

    #[test]
    fn an_exception_needs_a_use_and_a_reason() {
        assert!(complaints(&[], &[EXCUSED])[0].contains("not needed any more"));
        let silent = Exception { reason: "", ..EXCUSED };
        assert!(complaints(&[Finding::new("a.rs", 3, "long")], &[silent])[0].contains("no reason"));
    }
}
