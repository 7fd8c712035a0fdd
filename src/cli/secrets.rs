//! Secrets at the terminal and on disk: passwords that are typed, files that only their owner may read.

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use stoa_sasl::Secret;

/// Shorter ones are guessed; NIST SP 800-63B asks for 8 at least and for no other rule.
const PASSWORD_CHARS_MIN: usize = 10;
/// Longer ones are mistakes, such as a file on standard input.
const PASSWORD_CHARS_MAX: usize = 256;

/// Writes a file as a whole, for its owner only.
pub(super) fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let fresh = file.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&fresh, file)
    })();
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Asks for a new password, twice at a terminal; reads one line otherwise.
pub(super) fn new_password() -> anyhow::Result<Secret> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() {
        let first = ask("New password: ")?;
        if ask("Again: ")? != first {
            bail!("the two passwords differ: nothing was changed");
        }
        first
    } else {
        read_line()?
    };
    check(&password)?;
    Ok(password)
}

fn check(password: &Secret) -> anyhow::Result<()> {
    let chars = password.reveal().chars().count();
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
        bail!("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters, this one has {chars}; --generate makes a good one");
    }
    if password.reveal().chars().any(char::is_control) {
        bail!("a password cannot hold control characters: nothing was changed");
    }
    Ok(())
}

fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let mut terminal = io::stderr();
    write!(terminal, "{prompt}")?;
    terminal.flush()?;
    let silence = Silence::begin()?;
    let line = read_line();
    drop(silence);
    writeln!(terminal)?;
    line
}

fn read_line() -> anyhow::Result<Secret> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(Secret::new(line))
}

/// The terminal does not show what is typed until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_but_free() {
        for (password, good) in [("short", false), ("ten letter", true), ("σωκράτης ἔφη", true), ("tab\tand more", false)] {
            assert_eq!(check(&Secret::new(password.to_owned())).is_ok(), good, "{password}");
        }
        assert!(check(&Secret::new("x".repeat(257))).is_err());
    }
}
