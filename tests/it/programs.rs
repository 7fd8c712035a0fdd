//! Programs that everybody has, against the daemon: Python's smtplib, imaplib and zlib, and curl.

use crate::daemon::{Daemon, Home};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program to its end and gives what it wrote.
fn run(command: &mut Command, package: &str) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run ({error}): install the package {package}"));
    let written = [output.stdout, output.stderr].concat();
    let written = String::from_utf8_lossy(&written).into_owned();
    assert!(output.status.success(), "{program} ended with {}:\n{written}", output.status);
    written
}

#[test]
fn pythons_mail_clients_do_a_round_trip() {
    let mut home = Home::new();
    let daemon = home.start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/roundtrip.py");
    let written = run(Command::new("python3").arg(script).arg(home.ready_file()), "python3");
    assert!(written.contains("round trip done"), "{written}");
    daemon.stop();
}

#[test]
fn pythons_zlib_compresses_imap() {
    let mut home = Home::new();
    let daemon = home.start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/compress.py");
    let written = run(Command::new("python3").arg(script).arg(home.ready_file()), "python3");
    assert!(written.contains("compressed in all ways"), "{written}");
    daemon.stop();
}

fn curl(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--cacert"]).arg(&daemon.ready.ca_file).args(arguments);
    run(&mut command, "curl")
}

#[test]
fn curl_sends_and_reads() {
    let mut home = Home::new();
    let daemon = home.start();
    let letter = home.path().join("letter");
    std::fs::write(&letter, "From: socrates@stoa.localhost\r\nTo: plato@stoa.localhost\r\nSubject: By curl\r\n\r\nHow is Syracuse?\r\n")
        .unwrap();
    let user = |name| format!("{}:{}", daemon.account(name).address, daemon.account(name).password);
    let ports = &daemon.ready.ports;
    let submission = format!("smtp://127.0.0.1:{}", ports.submission);
    let sender = user("socrates");
    let envelope =
        ["--mail-from", "socrates@stoa.localhost", "--mail-rcpt", "plato@stoa.localhost", "--upload-file", letter.to_str().unwrap()];
    curl(&daemon, &[&["--ssl-reqd", "--user", &sender, "--url", &submission], &envelope[..]].concat());
    let newest = format!("imaps://127.0.0.1:{}/INBOX;MAILINDEX=*", ports.imaps);
    let read = curl(&daemon, &["--user", &user("plato"), &newest]);
    assert!(read.contains("Subject: By curl\r\n") && read.ends_with("\r\n\r\nHow is Syracuse?\r\n"), "{read}");
    assert!(read.contains("Message-ID: <") && read.contains("Date: "), "curl leaves it to the server to add them: {read}");
    let starttls = format!("imap://127.0.0.1:{}", ports.imap);
    let listed = curl(&daemon, &["--ssl-reqd", "--user", &user("plato"), &starttls]);
    assert!(listed.contains("INBOX") && listed.contains("\\Drafts"), "{listed}");
    let front = curl(&daemon, &[&format!("https://127.0.0.1:{}/", ports.https)]);
    assert!(front.contains("stoa.localhost"));
    daemon.stop();
}
