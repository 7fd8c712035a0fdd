//! No message is acknowledged before it is on disk: the daemon runs under strace, and its system calls are checked.
//!
//! Clients deliver by DATA and BDAT, small and large, pipelined and at once, and file by IMAP APPEND. For each positive
//! reply, a sync of the message's data must have ended before the reply's write started. The same log without its
//! syncs must fail, so that the test is known to see them. Needs the program strace and leave to trace a process.
//! Does not show that the disk obeys the kernel.

use crate::daemon::{Account, Home, wait_for};
use crate::imap::Imap;
use crate::smtp::Smtp;
use crate::strace::{CALLS, Connection, Sign, Trace, Violation, check};
use rustls::ClientConfig;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// For all that the clients do together; they need about a second.
const CLIENTS_WITHIN: Duration = Duration::from_secs(30);

/// For strace to write the rest of its log once the daemon has ended.
const LOG_WITHIN: Duration = Duration::from_secs(5);

/// More than any one write of the database, so that marks at the end of it are in the log.
const SHOWN_BYTES_MAX: &str = "2000000";

const SMALL_BYTES: usize = 6_000;

/// Several pieces of the store, and many reads.
const LARGE_BYTES: usize = 600_000;

const CHUNK_BYTES: usize = 50_000;

const SMTP_SIGN: Sign = Sign::Text("250 2.0.0 Message accepted");

/// Less than a small message, more than any command and the handshake.
const IMAP_SIGN: Sign = Sign::AnswerTo { bytes: 4_096 };

/// Of clients at the same time.
const AT_ONCE: usize = 4;

const MESSAGES_EACH: usize = 5;

/// What clients must know of the daemon.
#[derive(Clone)]
struct Server {
    smtp: u16,
    imaps: u16,
    tls: Arc<ClientConfig>,
    account: Account,
}

#[test]
fn no_acknowledgement_precedes_the_sync_of_its_message() {
    require_strace();
    let mut home = Home::new();
    let log = home.path().join("strace.log");
    let mut command = Command::new("strace");
    // With -D the daemon stays our child, and strace is the one that is set apart.
    command.args(["-D", "-f", "-y", "-ttt", "-s", SHOWN_BYTES_MAX, "-e", CALLS, "-o"]).arg(&log).arg(env!("CARGO_BIN_EXE_stoa"));
    let daemon = home.start_with(command);
    let (pid, ports) = (daemon.ready.pid, &daemon.ready.ports);
    let account = daemon.account("socrates").clone();
    let server = Server { smtp: ports.smtp, imaps: ports.imaps, tls: daemon.tls.clone(), account };
    let connections = within(CLIENTS_WITHIN, move || converse(&server));
    daemon.stop();
    wait_for("the end of strace's log", LOG_WITHIN, || ends_with_exit(&log, pid).then_some(()));

    let folder = fs::canonicalize(home.data()).expect("the data folder is there");
    let folder = folder.to_str().expect("the data folder's name is text");
    let text = String::from_utf8_lossy(&fs::read(&log).expect("strace's log can be read")).into_owned();
    let trace = Trace::parse(&text);
    let unsynced: Vec<&str> = text.lines().filter(|line| !line.contains("fdatasync") && !line.contains("fsync")).collect();
    let unsynced = Trace::parse(&unsynced.join("\n"));
    for connection in &connections {
        check(&trace, folder, connection).unwrap_or_else(|violation| panic!("{violation}; {connection:?}"));
        let blind = check(&unsynced, folder, connection);
        assert!(matches!(blind, Err(Violation::NotSynced { .. })), "without any sync the check says {blind:?} of {connection:?}");
    }
    let messages: usize = connections.iter().map(|connection| connection.marks.len()).sum();
    println!("{messages} messages on {} connections, {} syncs of write-ahead logs", connections.len(), trace.syncs(folder));
}

/// Ends the test with a sentence that says what is missing.
fn require_strace() {
    let probe = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let reason = match probe {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!("this test needs the package strace, and leave to trace processes of one's own (ptrace): {reason}");
}

/// Runs `work` on another thread and does not wait longer than this.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let worker = thread::spawn(move || sender.send(work()));
    let done = receiver.recv_timeout(limit).unwrap_or_else(|error| panic!("the clients did not end within {limit:?}: {error}"));
    _ = worker.join();
    done.unwrap_or_else(|error| panic!("a client failed: {error}"))
}

/// Whether the last lines of the log tell that this process ended.
fn ends_with_exit(log: &Path, pid: u32) -> bool {
    let tail = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let exit = |line: &str| line.split(' ').next() == Some(pid.to_string().as_str()) && line.contains("+++ exited with");
    tail().is_ok_and(|tail| tail.ends_with('\n') && tail.lines().any(exit))
}

/// One client after the other, then many at once.
fn converse(server: &Server) -> io::Result<Vec<Connection>> {
    let mut connections = vec![by_data_and_bdat(server)?, pipelined(server)?, by_append(server, "append", true)?];
    let mut clients = Vec::new();
    for number in 0..AT_ONCE {
        let server = server.clone();
        clients.push(thread::spawn(move || one_of_many(&server, number)));
    }
    let appending = server.clone();
    clients.push(thread::spawn(move || by_append(&appending, "append-too", false)));
    for client in clients {
        connections.push(client.join().map_err(|_| io::Error::other("a client panicked"))??);
    }
    Ok(connections)
}

fn by_data_and_bdat(server: &Server) -> io::Result<Connection> {
    let mut smtp = Smtp::plain(server.smtp)?;
    smtp.ehlo()?;
    let to = [server.account.address.as_str()];
    smtp.deliver(SENDER, &to, &message("data-small", SMALL_BYTES))?;
    smtp.deliver(SENDER, &to, &message("data-large", LARGE_BYTES))?;
    smtp.envelope(SENDER, &to, "")?;
    smtp.bdat(&message("bdat-small", SMALL_BYTES), SMALL_BYTES / 5)?.wants(250)?;
    smtp.envelope(SENDER, &to, "")?;
    smtp.bdat(&message("bdat-large", LARGE_BYTES), CHUNK_BYTES)?.wants(250)?;
    let marks = ["data-small", "data-large", "bdat-small", "bdat-large"].map(str::to_owned).to_vec();
    Ok(Connection { port: smtp.local_port()?, sign: SMTP_SIGN, marks, alone: true })
}

/// Everything is sent before any reply is read.
fn pipelined(server: &Server) -> io::Result<Connection> {
    let mut smtp = Smtp::plain(server.smtp)?;
    smtp.ehlo()?;
    let marks: Vec<String> = (0..MESSAGES_EACH).map(|number| format!("pipelined-{number}")).collect();
    let mut bytes = Vec::new();
    for mark in &marks {
        let message = message(mark, SMALL_BYTES);
        let (first, last) = message.split_at(SMALL_BYTES / 2);
        bytes.extend(format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<{}>\r\nBDAT {}\r\n", server.account.address, first.len()).into_bytes());
        bytes.extend(first);
        bytes.extend(format!("BDAT {} LAST\r\n", last.len()).into_bytes());
        bytes.extend(last);
    }
    smtp.send(&bytes)?;
    for _ in 0..marks.len() * 4 {
        smtp.reply()?.wants(250)?;
    }
    Ok(Connection { port: smtp.local_port()?, sign: SMTP_SIGN, marks, alone: true })
}

fn by_append(server: &Server, name: &str, alone: bool) -> io::Result<Connection> {
    let mut imap = Imap::tls(server.imaps, &server.tls)?;
    imap.login(&server.account)?;
    let marks = vec![format!("{name}-small"), format!("{name}-large"), format!("{name}-again")];
    for (mark, bytes) in marks.iter().zip([SMALL_BYTES, LARGE_BYTES, SMALL_BYTES]) {
        imap.append("INBOX", &message(mark, bytes))?.wants("OK")?;
    }
    Ok(Connection { port: imap.local_port()?, sign: IMAP_SIGN, marks, alone })
}

/// The first of them sends large messages.
fn one_of_many(server: &Server, client: usize) -> io::Result<Connection> {
    let mut smtp = Smtp::plain(server.smtp)?;
    smtp.ehlo()?;
    let to = [server.account.address.as_str()];
    let bytes = if client == 0 { LARGE_BYTES } else { SMALL_BYTES };
    let marks: Vec<String> = (0..MESSAGES_EACH).map(|number| format!("client-{client}-{number}")).collect();
    for mark in &marks {
        smtp.deliver(SENDER, &to, &message(mark, bytes))?;
    }
    Ok(Connection { port: smtp.local_port()?, sign: SMTP_SIGN, marks, alone: false })
}

const SENDER: &str = "aspasia@client.example";

/// A message of at least so many bytes with the mark in every line, and at the end of it more than once: what is cut by
/// the blocks of the write-ahead log in one place is whole in the next.
fn message(mark: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!("From: <{SENDER}>\r\nSubject: {mark}\r\n\r\n");
    while text.len() < bytes {
        text.push_str(&format!("{mark} and some words that make this line as long as lines are\r\n"));
    }
    for _ in 0..3 {
        text.push_str(&format!("end-of-{mark}\r\n"));
    }
    text.into_bytes()
}
