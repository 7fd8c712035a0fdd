//! What the demo tells the person who started it: where it is, who is there, what to try.

use super::super::say;
use super::{HOST_NAME, PEOPLE, Ready};
use std::path::Path;

/// Shows it all on standard output.
pub(super) fn greet(ready: &Ready, page_port: u16, dir: &Path) {
    say(&text(ready, page_port, dir));
}

fn text(ready: &Ready, page_port: u16, dir: &Path) -> String {
    let port = |name: &str| ready.ports.get(name).copied().unwrap_or_default();
    let people: Vec<String> = ready.accounts.iter().map(|person| format!("  {:<24}  {}", person.address, person.password)).collect();
    let password = ready.accounts.first().map_or("", |person| person.password.as_str());
    let [owner, other] = PEOPLE;
    let ca = quoted(&ready.ca_file.display().to_string());
    format!(
        "\
Stoa's demo runs on this computer; nothing leaves it.

Look at          http://{HOST_NAME}:{page_port}/demo

Accounts and passwords
{people}

For a mail program (server {HOST_NAME}, the username is the whole address)
  reading        IMAP   port {imaps} with SSL/TLS, or {imap} with STARTTLS
  sending        SMTP   port {submissions} with SSL/TLS, or {submission} with STARTTLS
  certificate    accept it when the program asks, or let it trust the authority in
                 {ca_file}

Send a letter from a terminal, then read it as its recipient
  printf 'From: {owner}\\r\\nTo: {other}\\r\\nSubject: Good day\\r\\n\\r\\nHow is Syracuse?\\r\\n' |
    curl --silent --show-error --cacert {ca} --user '{owner}:{password}' --mail-from {owner} \\
      --mail-rcpt {other} --upload-file - smtps://{HOST_NAME}:{submissions}
  curl --silent --show-error --cacert {ca} --user '{other}:{others_password}' \\
    'imaps://{HOST_NAME}:{imaps}/INBOX;MAILINDEX=*'

Its mail is kept for the next time in
  {dir}
Delete that directory to be rid of all of it. Stop with Ctrl-C.",
        imaps = port("imaps"),
        imap = port("imap"),
        submissions = port("submissions"),
        submission = port("submission"),
        people = people.join("\n"),
        ca_file = ready.ca_file.display(),
        others_password = ready.accounts.get(1).map_or("", |person| person.password.as_str()),
        dir = dir.display(),
    )
}

/// For a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        for (text, want) in [("/a/b-c.pem", "/a/b-c.pem"), ("/a b", "'/a b'"), ("/a'b", r"'/a'\''b'")] {
            assert_eq!(quoted(text), want);
        }
    }
}
