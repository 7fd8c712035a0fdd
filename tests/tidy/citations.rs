//! `rfc-fixtures/INDEX.tsv` against what the sources cite: every RFC has its row, every row its citations.

use super::source::{is_word, line};
use super::{Finding, demand, tree};
use std::collections::BTreeMap;

const INDEX: &str = "rfc-fixtures/INDEX.tsv";
const HEADER: &str = "number\ttitle\tstatus\twhere";

/// `done`: all that concerns us; `partial`: some of it; `cited`: a definition or an argument is taken from it.
const STATUSES: [&str; 3] = ["done", "partial", "cited"];

/// A row of the index.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    line: usize,
    number: u32,
    title: &'a str,
    status: &'a str,
    /// Files or folders that cite it, parted by spaces.
    places: &'a str,
}

/// The rows, and lines that are none.
fn rows(text: &str) -> (Vec<Row<'_>>, Vec<Finding>) {
    let (mut rows, mut wrong) = (Vec::<Row>::new(), Vec::new());
    if text.lines().next() != Some(HEADER) {
        wrong.push(Finding::new(INDEX, 1, format!("must be {HEADER:?}")));
    }
    for (at, row) in text.lines().enumerate().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        match (fields.as_slice(), fields[0].parse()) {
            ([_, title, status, places], Ok(number)) => rows.push(Row { line: at + 1, number, title, status, places }),
            _ => wrong.push(Finding::new(INDEX, at + 1, "is not a number, a title, a status and places with tabs between")),
        }
    }
    for pair in rows.windows(2).filter(|pair| pair[0].number >= pair[1].number) {
        wrong.push(Finding::new(INDEX, pair[1].line, "is not in the order of numbers"));
    }
    (rows, wrong)
}

/// The RFCs that a text cites, with their offsets.
fn cited(text: &str) -> Vec<(usize, u32)> {
    let numbers = text.match_indices("RFC ").filter_map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        let digits = &rest[..rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len())];
        let begins = !text[..at].chars().next_back().is_some_and(is_word);
        begins.then(|| digits.parse().ok())?.map(|number| (at, number))
    });
    numbers.collect()
}

/// RFCs with the files that cite them.
fn citations() -> BTreeMap<u32, Vec<(String, usize)>> {
    let mut found = BTreeMap::<u32, Vec<(String, usize)>>::new();
    for file in tree::rust_but_tidy() {
        for (at, number) in cited(&file.text) {
            found.entry(number).or_default().push((file.path.clone(), line(&file.text, at)));
        }
    }
    found
}

/// The folders that a row names: rooms and crates.
fn places(files: &[(String, usize)]) -> String {
    let place = |path: &str| {
        let deep = path.starts_with("src/") || path.starts_with("protocols/") || path.starts_with("tests/");
        path.split('/').take(if deep { 2 } else { 1 }).collect::<Vec<_>>().join("/")
    };
    let mut places: Vec<String> = files.iter().map(|(path, _)| place(path)).collect();
    places.sort();
    places.dedup();
    places.join(" ")
}

/// What is wrong with a row beside its form.
fn faults(row: &Row, citations: &BTreeMap<u32, Vec<(String, usize)>>) -> Vec<Finding> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(Finding::new(INDEX, row.line, format!("RFC {} {what}", row.number)));
    if row.title.trim().len() < 2 {
        fault("has no title".into());
    }
    if !STATUSES.contains(&row.status) {
        fault(format!("has the status {:?}: say one of {}", row.status, STATUSES.join(", ")));
    }
    let Some(files) = citations.get(&row.number) else {
        fault("is cited nowhere: strike the row out, or cite the section where its rule is kept".into());
        return faults;
    };
    let within =
        |place: &str| files.iter().any(|(path, _)| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    for place in row.places.split(' ').filter(|place| !within(place)) {
        fault(format!("is not cited in {place:?}, but in {}", places(files)));
    }
    faults
}

#[test]
fn every_cited_rfc_is_in_the_index() {
    let text = tree::text(INDEX);
    let (rows, _) = rows(&text);
    let mut paste = String::new();
    let mut found = Vec::new();
    for (number, files) in citations() {
        if !rows.iter().any(|row| row.number == number) {
            paste += &format!("{number}\t?\tpartial\t{}\n", places(&files));
            found.push(Finding::new(&files[0].0, files[0].1, format!("cites RFC {number}")));
        }
    }
    demand(&format!("Add these rows to {INDEX}, with their titles and their status ({}):\n\n{paste}", STATUSES.join(", ")), &found, &[]);
}

#[test]
fn every_row_of_the_index_is_true() {
    let text = tree::text(INDEX);
    let (rows, mut found) = rows(&text);
    let citations = citations();
    rows.iter().for_each(|row| found.extend(faults(row, &citations)));
    assert!(rows.len() > 20, "{INDEX} was not read");
    demand(&format!("Correct {INDEX}."), &found, &[]);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn citations_are_found() {
        let found: Vec<u32> =
            cited("RFC 12 §3, (RFC 345;\nRFC\u{a0}6 RFC7 RFCs 8 XRFC 9 RFC x").into_iter().map(|(_, number)| number).collect();
        assert_eq!(found, [12, 345]);
    }

    #[test]
    fn rows_have_four_fields_in_order() {
        let good = format!("{HEADER}\n12\tA\tdone\tsrc/a\n34\tB\tcited\twebapp\n");
        assert_eq!(rows(&good).0.len(), 2);
        assert!(rows(&good).1.is_empty());
        for bad in ["", "number\n", &good.replace("34\tB", "34 B"), &good.replace("34", "x"), &good.replace("34", "12")] {
            assert_eq!(rows(bad).1.len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_row_must_be_true() {
        let citations = BTreeMap::from([(12, vec![("src/a/b.rs".to_owned(), 1)])]);
        let row = |number, title, status, places| Row { line: 2, number, title, status, places };
        for good in [row(12, "Title", "done", "src/a"), row(12, "Title", "partial", "src/a/b.rs src")] {
            assert!(faults(&good, &citations).is_empty(), "{good:?}");
        }
        for bad in [
            row(13, "Title", "done", "src/a"),
            row(12, "?", "done", "src/a"),
            row(12, "Title", "some", "src/a"),
            row(12, "Title", "done", "src/a src/c"),
            row(12, "Title", "done", "src/a/b"),
            row(12, "Title", "done", ""),
        ] {
            assert_eq!(faults(&bad, &citations).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn places_are_rooms_and_crates() {
        let files = ["src/a/b.rs", "src/a/c.rs", "protocols/d/src/e.rs", "webapp/src/f.rs"].map(|path| (path.to_owned(), 1));
        assert_eq!(places(&files), "protocols/d src/a webapp");
    }
}
