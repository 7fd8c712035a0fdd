//! Conversations with the whole house: scripts with numbered connections, by SMTP, IMAP and HTTP in one.
//!
//! Each `tests/dialogs/house/*.dialog` runs on a demo of its own. A line is a connection's number and what happens on it:
//!
//! | line | means |
//! |---|---|
//! | `1 = smtp` | connect to this port of the ready file; one that begins with TLS does |
//! | `1 = imaps plato` | connect, read the greeting and sign in; nothing of it is to be expected |
//! | `1 TLS` | shake hands, after STARTTLS was accepted |
//! | `1 C: text` | the client sends a line |
//! | `1 C> raw` | the client sends these octets, with `\r`, `\n` and `\0` for those that cannot be written |
//! | `1 S: pattern` | the next line of the server is this; `*` at the end stands for anything |
//! | `1 S~ pattern` | lines are read until one is this |
//! | `2 STOA arguments` | the program is called with these, for the demo that runs, and succeeds |
//! | `3 GET /path` | the page of this path is fetched |
//! | `3 H: text` | the page contains this text |
//!
//! `{socrates}` and `{plato}` stand for the address of an account, `{plato.password}` for its password and
//! `{plato.plain}` for what AUTH PLAIN sends. In a pattern `{name=}` stands for any text up to what follows it, which
//! `{name}` stands for from then on. Lines that begin with `#` are for readers.

use crate::daemon::{Daemon, Home};
use crate::http::Site;
use crate::wire::Wire;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A demo's start is mostly waiting.
const CONVERSATIONS_AT_ONCE: usize = 4;
/// Lines that are passed over in search of one.
const LINES_PASSED_MAX: usize = 1_000;

struct Stage<'a> {
    daemon: &'a Daemon,
    /// A configuration of which only the data directory is the demo's.
    config: PathBuf,
    wires: HashMap<String, Wire>,
    pages: HashMap<String, String>,
    /// What patterns named.
    names: HashMap<String, String>,
}

impl Stage<'_> {
    fn play(&mut self, connection: &str, event: &str) -> Result<(), String> {
        let event = self.filled(event);
        let (mark, text) = event.split_once(' ').unwrap_or((&event, ""));
        match mark {
            "=" => self.connect(connection, text),
            "TLS" => {
                let tls = self.daemon.tls.clone();
                self.wire(connection)?.start_tls(&tls).map_err(|error| error.to_string())
            }
            "C:" => self.wire(connection)?.send(format!("{text}\r\n").as_bytes()).map_err(|error| error.to_string()),
            "C>" => {
                let raw = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                self.wire(connection)?.send(raw.as_bytes()).map_err(|error| error.to_string())
            }
            "S:" => {
                let line = self.line(connection)?;
                if self.matches(text, &line) { Ok(()) } else { Err(format!("the server said {line}")) }
            }
            "S~" => self.pass_to(connection, text),
            "STOA" => self.call(text),
            "GET" => {
                let page = Site { port: self.daemon.ready.ports.http, tls: None }.get(text).map_err(|error| error.to_string())?;
                self.pages.insert(connection.to_owned(), page.body);
                Ok(())
            }
            "H:" => {
                let page = self.pages.get(connection).ok_or("no page was fetched")?;
                if page.contains(text) { Ok(()) } else { Err(format!("the page is {page}")) }
            }
            _ => Err("no such event".to_owned()),
        }
    }

    /// Calls the program with the demo's data directory, as who runs a server does.
    fn call(&self, arguments: &str) -> Result<(), String> {
        let mut stoa = Command::new(env!("CARGO_BIN_EXE_stoa"));
        let called = stoa.args(arguments.split(' ')).arg("--config").arg(&self.config).output().map_err(|error| error.to_string())?;
        let said = || String::from_utf8_lossy(&called.stderr).into_owned();
        if called.status.success() { Ok(()) } else { Err(said()) }
    }

    fn filled(&self, text: &str) -> String {
        let text = self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
        ["socrates", "plato"].into_iter().fold(text, |text, name| {
            let account = self.daemon.account(name);
            let plain = STANDARD.encode(format!("\0{}\0{}", account.address, account.password));
            let text = text.replace(&format!("{{{name}}}"), &account.address);
            text.replace(&format!("{{{name}.password}}"), &account.password).replace(&format!("{{{name}.plain}}"), &plain)
        })
    }

    /// Keeps what the pattern names.
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let found = matched(pattern, text);
        let matches = found.is_some();
        self.names.extend(found.into_iter().flatten());
        matches
    }

    fn connect(&mut self, connection: &str, what: &str) -> Result<(), String> {
        let (service, account) = what.split_once(' ').map_or((what, None), |(service, account)| (service, Some(account)));
        let (ports, tls) = (&self.daemon.ready.ports, &self.daemon.tls);
        let wire = match service {
            "smtp" => Wire::plain(ports.smtp),
            "submission" => Wire::plain(ports.submission),
            "submissions" => Wire::tls(ports.submissions, tls),
            "imap" => Wire::plain(ports.imap),
            "imaps" => Wire::tls(ports.imaps, tls),
            _ => return Err("no such service".to_owned()),
        };
        self.wires.insert(connection.to_owned(), wire.map_err(|error| error.to_string())?);
        let Some(account) = account else { return Ok(()) };
        self.line(connection)?;
        let login = self.filled(&format!("0 LOGIN {{{account}}} {{{account}.password}}\r\n"));
        self.wire(connection)?.send(login.as_bytes()).map_err(|error| error.to_string())?;
        self.pass_to(connection, "0 OK *")
    }

    fn wire(&mut self, connection: &str) -> Result<&mut Wire, String> {
        self.wires.get_mut(connection).ok_or_else(|| "not connected".to_owned())
    }

    fn line(&mut self, connection: &str) -> Result<String, String> {
        let line = self.wire(connection)?.line().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn pass_to(&mut self, connection: &str, pattern: &str) -> Result<(), String> {
        let mut passed = Vec::new();
        while passed.len() < LINES_PASSED_MAX {
            let line = self.line(connection).map_err(|error| format!("{error} after {passed:?}"))?;
            if self.matches(pattern, &line) {
                return Ok(());
            }
            passed.push(line);
        }
        Err(format!("the server said {passed:?}"))
    }
}

/// What the pattern names of a text that it fits.
fn matched(pattern: &str, text: &str) -> Option<Vec<(String, String)>> {
    let named = pattern.split_once("=}").and_then(|(before, after)| before.rsplit_once('{').map(|(literal, name)| (literal, name, after)));
    let Some((literal, name, after)) = named else {
        let fits = pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start));
        return fits.then(Vec::new);
    };
    let rest = text.strip_prefix(literal)?;
    (0..=rest.len()).filter(|&end| rest.is_char_boundary(end)).find_map(|end| {
        let mut names = matched(after, &rest[end..])?;
        names.push((name.to_owned(), rest[..end].to_owned()));
        Some(names)
    })
}

#[test]
fn patterns() {
    let fits = |pattern, text| matched(pattern, text).is_some();
    assert!(fits("250 *", "250 OK") && fits("250 OK", "250 OK") && fits("*", ""));
    assert!(!fits("250 OK", "250 OK.") && !fits("250 *", "251 OK"));
    let named = matched("* OK [A {a=}] {b=}b*", "* OK [A 1 2] ab.").unwrap();
    assert_eq!(named, [("b".to_owned(), "a".to_owned()), ("a".to_owned(), "1 2".to_owned())]);
    assert!(!fits("{a=}x", "abc"));
}

#[test]
fn every_conversation_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs/house");
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CONVERSATIONS_AT_ONCE {
            scope.spawn(|| {
                while let Some(path) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    converse(path);
                }
            });
        }
    });
}

fn converse(path: &Path) {
    let script = std::fs::read_to_string(path).unwrap();
    let mut home = Home::new();
    let daemon = home.start();
    let config = home.path().join("stoa.toml");
    let text = format!("hostname = 'stoa.localhost'\ndomains = ['stoa.localhost']\ndata_directory = {:?}\n", home.data());
    std::fs::write(&config, text).unwrap();
    let mut stage = Stage { daemon: &daemon, config, wires: HashMap::new(), pages: HashMap::new(), names: HashMap::new() };
    for (number, line) in script.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (connection, event) = line.split_once(' ').unwrap_or((line, ""));
        stage.play(connection, event).unwrap_or_else(|wrong| panic!("{}:{}: {line}\n{wrong}", path.display(), number + 1));
    }
    drop(stage);
    daemon.stop();
}
