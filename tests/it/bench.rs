//! `stoa bench` against the daemon, small: every row is there, and every answer was right.

use crate::daemon::Home;
use serde::Deserialize;
use std::fs;
use std::process::{Command, Output};

#[derive(Deserialize)]
struct Report {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    operations: u64,
    cpu_seconds: Option<f64>,
    rss_kb: Option<u64>,
    note: String,
    error: Option<String>,
}

fn bench(home: &Home, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    command.arg("bench").arg("--ready-file").arg(home.ready_file()).args(options);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_measurement_has_its_row() {
    let mut home = Home::new();
    let daemon = home.start();
    let file = home.path().join("results.json");
    let sizes = ["--messages", "20", "--mailboxes", "30,40", "--notices", "3", "--idle", "2,5", "--idle-seconds", "0", "--seconds", "0"];
    let output = bench(&home, &[&sizes, &["--json", file.to_str().unwrap()][..]].concat());
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    let report: Report = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let row = |name: &str| report.rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}:\n{table}"));
    for row in &report.rows {
        assert_eq!(row.error, None, "{}", row.name);
        assert!(row.cpu_seconds.is_some() && row.rss_kb.is_some_and(|kb| kb > 1000), "{} has no cost", row.name);
        assert!(table.contains(&row.name), "{} is not in the table:\n{table}", row.name);
    }
    // Memory 3, deliveries 6, notices 1, for each mailbox a filling, 8 questions asked twice and 6 changes.
    assert_eq!(report.rows.len(), 3 + 6 + 1 + 2 * (1 + 2 * 8 + 6), "{table}");
    assert_eq!(row("5 idle connections (each logs in)").operations, 3);
    let deliveries = row("deliver 100 KB, 10 connections");
    assert_eq!((deliveries.operations, deliveries.note.as_str()), (20, "all are in INBOX"));
    assert_eq!(row("40: FETCH header fields, again").operations, 40);
    assert_eq!(row("30: EXPUNGE of all").operations, 30 + 20);
    daemon.stop();
}

#[test]
fn a_mailbox_is_filled_once_and_left_as_it_was() {
    let mut home = Home::new();
    let daemon = home.start();
    let options = ["--messages", "5", "--mailboxes", "25", "--seconds", "0", "--only", "changes,reads"];
    let starttls = daemon.ready.ports.imap.to_string();
    let (first, second) = (bench(&home, &options), bench(&home, &[&options[..], &["--imap", &starttls]].concat()));
    assert!(text(&second.stdout).contains("IMAP with STARTTLS"), "{}", text(&second.stdout));
    let filled = |output: &Output| text(&output.stdout).contains("25: fill the mailbox");
    assert!(first.status.success() && second.status.success(), "{}{}", text(&second.stdout), text(&second.stderr));
    assert!(filled(&first) && !filled(&second));
    daemon.stop();
}

#[test]
fn what_fails_is_said() {
    let mut home = Home::new();
    let daemon = home.start();
    let plain = bench(&home, &["--imap-plain"]);
    assert!(!plain.status.success());
    assert!(text(&plain.stderr).contains("cannot log in"), "{}", text(&plain.stderr));
    let refused = bench(&home, &["--to", "nobody@stoa.localhost", "--only", "deliveries,notices", "--messages", "1"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("7 measurements failed"), "{}", text(&refused.stderr));
    assert!(text(&refused.stdout).contains("failed: the server did not take it: 550"), "{}", text(&refused.stdout));
    daemon.stop();
}
