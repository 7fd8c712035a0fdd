//! What the daemon asked of the kernel, read from strace's log, and the rule it must keep: sync first, then acknowledge.
//!
//! Takes the text of `strace -f -y` and gives system calls with the places where they started and ended. A call starts
//! where strace saw it enter the kernel, so before it did anything, and ends where strace saw it leave, so after all of
//! it was done: if a sync ended above the line where an acknowledgement starts, the disk had the data first, whatever
//! the threads did. Pure; the log is believed. Only calls that name their file or socket are seen: what is written
//! through a memory map is not.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

/// The calls that [`Trace::parse`] looks for, as strace's option `-e` has them.
pub const CALLS: &str = "trace=read,recvfrom,recvmsg,readv,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,sync_file_range,accept4";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Sync,
    Accept,
}

impl Kind {
    /// `sync_file_range` is no sync: it leaves the file's length and the drive's cache alone.
    fn of(name: &str) -> Option<Kind> {
        match name {
            "read" | "recvfrom" | "recvmsg" | "readv" => Some(Kind::Read),
            "write" | "writev" | "sendto" | "sendmsg" | "pwrite64" => Some(Kind::Write),
            "fsync" | "fdatasync" => Some(Kind::Sync),
            "accept4" => Some(Kind::Accept),
            _ => None,
        }
    }
}

/// A system call. Places are line numbers of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    kind: Kind,
    /// Of the descriptor that it was asked for: a file's path, or `socket:[…]`.
    path: String,
    start: usize,
    /// None if the log ends before the call does.
    end: Option<usize>,
    /// What it returned, if it did; an error is -1.
    result: Option<i64>,
    /// Arguments and result, as strace writes them.
    text: String,
}

impl Call {
    fn parse(start: usize, end: Option<usize>, text: String) -> Option<Call> {
        let (name, arguments) = text.split_once('(')?;
        let kind = Kind::of(name)?;
        let (arguments, returned) = arguments.rsplit_once(") = ").map_or((arguments, ""), |(before, after)| (before, after));
        let descriptor = arguments.split_once(", ").map_or(arguments, |(first, _)| first);
        let path = described(descriptor)?.to_owned();
        let digits = returned.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(returned.len());
        let result = returned[..digits].parse().ok();
        Some(Call { kind, path, start, end, result, text })
    }

    /// The peer's port and the new socket.
    fn accepted(&self) -> Option<(u16, &str)> {
        let (arguments, returned) = self.text.rsplit_once(") = ")?;
        let (_, port) = arguments.split_once("port=htons(")?;
        let (port, _) = port.split_once(')')?;
        Some((port.parse().ok()?, described(returned)?))
    }

    /// Whether it may have moved bytes: of a call without end, nobody knows.
    fn moved(&self) -> bool {
        self.result.is_none_or(|count| count > 0)
    }
}

/// What `-y` adds to a descriptor: `14</a/b>` gives `/a/b`.
fn described(descriptor: &str) -> Option<&str> {
    let (_, path) = descriptor.split_once('<')?;
    path.rsplit_once('>').map(|(path, _)| path)
}

/// The calls of a run, in the order in which they started.
#[derive(Debug, Default)]
pub struct Trace {
    calls: Vec<Call>,
}

impl Trace {
    /// Reads the log of `strace -f -y`, with or without times. Lines that are no call are passed over.
    pub fn parse(log: &str) -> Trace {
        let mut calls = Vec::new();
        let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
        for (number, line) in log.lines().enumerate() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start_matches(|c: char| c == ' ' || c == '.' || c.is_ascii_digit());
            if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                open.insert(pid, (number, begun.trim_end()));
            } else if let Some((_, resumed)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
                if let Some((start, begun)) = open.remove(pid) {
                    calls.extend(Call::parse(start, Some(number), format!("{begun}{}{resumed}", gap(begun))));
                }
            } else {
                calls.extend(Call::parse(number, Some(number), rest.to_owned()));
            }
        }
        calls.extend(open.into_values().filter_map(|(start, begun)| Call::parse(start, None, begun.to_owned())));
        calls.sort_by_key(|call| call.start);
        Trace { calls }
    }

    /// How many syncs of write-ahead logs in this folder succeeded.
    pub fn syncs(&self, folder: &str) -> usize {
        self.calls.iter().filter(|call| call.kind == Kind::Sync && call.result == Some(0) && is_log(&call.path, folder)).count()
    }

    /// Read and write calls on a socket: reads where they ended, writes where they started.
    fn on_socket(&self, socket: &str) -> Vec<&Call> {
        let on = |call: &&Call| call.path == socket && matches!(call.kind, Kind::Read | Kind::Write) && call.moved();
        let mut calls: Vec<&Call> = self.calls.iter().filter(on).collect();
        calls.sort_by_key(|call| if call.kind == Kind::Read { call.end.unwrap_or(usize::MAX) } else { call.start });
        calls
    }
}

/// Arguments of which strace has shown some before it was interrupted end with a comma, and its space was trimmed.
fn gap(begun: &str) -> &'static str {
    if begun.ends_with(',') { " " } else { "" }
}

/// Whether this is a write-ahead log of a database under this folder.
fn is_log(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') && rest.ends_with(".log"))
}

/// How an acknowledgement is known among the writes on a socket.
#[derive(Debug, Clone, Copy)]
pub enum Sign {
    /// By its text, once for each time it occurs in a write.
    Text(&'static str),
    /// Under TLS: it is the first write after reads that brought at least so many bytes with no write between them.
    AnswerTo { bytes: u64 },
}

impl Sign {
    /// The write of each acknowledgement on a socket, in order.
    fn acknowledgements<'a>(self, calls: &[&'a Call]) -> Vec<&'a Call> {
        let mut found = Vec::new();
        let mut heard: u64 = 0;
        for call in calls {
            match (self, call.kind) {
                (Sign::Text(text), Kind::Write) => found.extend(call.text.matches(text).map(|_| *call)),
                (Sign::AnswerTo { .. }, Kind::Read) => heard += call.result.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
                (Sign::AnswerTo { bytes }, Kind::Write) => {
                    if heard >= bytes {
                        found.push(*call);
                    }
                    heard = 0;
                }
                _ => {}
            }
        }
        found
    }
}

/// What a client did on one connection: all its messages were acknowledged.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client's port.
    pub port: u16,
    pub sign: Sign,
    /// For each message, in order, a mark of letters, digits and hyphens that stands in every few kilobytes of it and in
    /// no other message, and after `end-of-` at its end.
    pub marks: Vec<String>,
    /// Nobody else asked the daemon to write anything meanwhile: all that was written must be synced, not just what
    /// carries the mark.
    pub alone: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Not seen in the log.
    NoConnection { port: u16 },
    /// Not as many acknowledgements as messages.
    Acknowledgements { port: u16, seen: usize, messages: usize },
    /// The end of the message was in no write-ahead log yet when the acknowledgement started.
    NotWritten { mark: String, acknowledged: usize },
    /// No sync that started after this write had succeeded when the acknowledgement started.
    NotSynced { mark: String, written: usize, acknowledged: usize },
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NoConnection { port } => write!(f, "no connection from port {port} was accepted"),
            Violation::Acknowledgements { port, seen, messages } => {
                write!(f, "the client at port {port} sent {messages} messages, and {seen} acknowledgements were written")
            }
            Violation::NotWritten { mark, acknowledged } => {
                write!(f, "{mark} was acknowledged in line {} before all of it was written", acknowledged + 1)
            }
            Violation::NotSynced { mark, written, acknowledged } => {
                write!(f, "{mark} was acknowledged in line {} before what line {} wrote was synced", acknowledged + 1, written + 1)
            }
        }
    }
}

/// The rule: when an acknowledgement starts, every write to a write-ahead log under `folder` that belongs to its message
/// is covered by a sync of the same file, one that started after the write ended, ended before now and succeeded.
pub fn check(trace: &Trace, folder: &str, connection: &Connection) -> Result<(), Violation> {
    let port = connection.port;
    let accepted = trace.calls.iter().filter(|call| call.kind == Kind::Accept).filter_map(Call::accepted);
    // A port of ours can have served two connections to different ports of the daemon; one of them carried messages.
    let sockets = accepted.filter(|(peer, _)| *peer == port).map(|(_, socket)| trace.on_socket(socket));
    let found = sockets.map(|calls| (connection.sign.acknowledgements(&calls), calls)).max_by_key(|(found, _)| found.len());
    let (acknowledgements, calls) = found.ok_or(Violation::NoConnection { port })?;
    if acknowledgements.len() != connection.marks.len() {
        return Err(Violation::Acknowledgements { port, seen: acknowledgements.len(), messages: connection.marks.len() });
    }
    let opened = calls.first().map_or(0, |call| call.start);
    let writes: Vec<&Call> =
        trace.calls.iter().filter(|call| call.kind == Kind::Write && is_log(&call.path, folder) && call.moved()).collect();
    for (mark, acknowledgement) in connection.marks.iter().zip(acknowledgements) {
        let acknowledged = acknowledgement.start;
        let before: Vec<&&Call> = writes.iter().filter(|call| call.start < acknowledged).collect();
        let end = format!("end-of-{mark}");
        if !before.iter().any(|call| call.text.contains(&end)) {
            return Err(Violation::NotWritten { mark: mark.clone(), acknowledged });
        }
        let concerns = |call: &Call| (connection.alone && call.start > opened) || call.text.contains(mark.as_str());
        let bare = before.into_iter().find(|call| concerns(call) && !is_covered(trace, call, acknowledged));
        if let Some(call) = bare {
            return Err(Violation::NotSynced { mark: mark.clone(), written: call.start, acknowledged });
        }
    }
    Ok(())
}

/// Whether a sync of the whole write succeeded before this place.
fn is_covered(trace: &Trace, write: &Call, before: usize) -> bool {
    let Some(written) = write.end else { return false };
    let covers = |call: &Call| call.start > written && call.end.is_some_and(|end| end < before) && call.result == Some(0);
    trace.calls.iter().any(|call| call.kind == Kind::Sync && call.path == write.path && covers(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = r#"7 1.5 accept4(5<socket:[1]>, {sa_family=AF_INET, sin_port=htons(4000), sin_addr=inet_addr("127.0.0.1")}, [128 => 16], SOCK_CLOEXEC) = 9<socket:[2]>"#;
    const READ: &str = r#"7 1.5 recvfrom(9<socket:[2]>, "m1 ) = end-of-m1\r\n.\r\n", 4096, 0, NULL, NULL) = 5000"#;
    const WRITE: &str = r#"8 1.5 write(3</d/store/04.log>, "\1\2m1 end-of-m1", 15) = 15"#;
    const WRITE_MORE: &str = r#"8 1.5 write(3</d/store/04.log>, "\1\2entry", 7) = 7"#;
    const SYNC: &str = "8 1.5 fdatasync(3</d/store/04.log>) = 0";
    const ACK: &str = r#"7 1.5 sendto(9<socket:[2]>, "250 fine\r\n", 10, MSG_NOSIGNAL, NULL, 0) = 10"#;
    const TEXT: Sign = Sign::Text("250 fine");
    const ANSWER: Sign = Sign::AnswerTo { bytes: 4096 };

    fn checked(lines: &[&str], sign: Sign, marks: &[&str], alone: bool) -> Result<(), Violation> {
        let marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        check(&Trace::parse(&lines.join("\n")), "/d", &Connection { port: 4000, sign, marks, alone })
    }

    fn not_synced(written: usize, acknowledged: usize) -> Result<(), Violation> {
        Err(Violation::NotSynced { mark: "m1".to_owned(), written, acknowledged })
    }

    #[test]
    fn a_sync_between_data_and_acknowledgement_is_enough() {
        let begun = "8 1.5 fdatasync(3</d/store/04.log> <unfinished ...>";
        let ended = "8 1.6 <... fdatasync resumed>) = 0";
        let fsync = "8 1.5 fsync(3</d/store/04.log>) = 0";
        let good: [&[&str]; 6] = [
            &[ACCEPT, READ, WRITE, SYNC, ACK],
            &[ACCEPT, READ, WRITE, fsync, ACK],
            &[ACCEPT, READ, WRITE, begun, "9 1.6 +++ exited with 0 +++", ended, ACK],
            &[ACCEPT, READ, SYNC, WRITE, WRITE_MORE, SYNC, ACK],
            // Refused by a full socket, then written.
            &[ACCEPT, READ, WRITE, SYNC, &ACK.replace("= 10", "= -1 EAGAIN (Resource temporarily unavailable)"), ACK],
            // Another file's data is not ours to wait for.
            &[ACCEPT, READ, WRITE, SYNC, r#"8 1.5 write(4</d/store/05.sst>, "m1", 2) = 2"#, ACK],
        ];
        for lines in good {
            for sign in [TEXT, ANSWER] {
                assert_eq!(checked(lines, sign, &["m1"], true), Ok(()), "{lines:#?} {sign:?}");
            }
        }
    }

    #[test]
    fn anything_less_is_a_violation() {
        let begun = "8 1.5 fdatasync(3</d/store/04.log> <unfinished ...>";
        let ended = "8 1.6 <... fdatasync resumed>) = 0";
        let write_begun = r#"8 1.5 write(3</d/store/04.log>, "m1 end-of-m1", 15 <unfinished ...>"#;
        let write_ended = "8 1.6 <... write resumed>) = 15";
        let failed = "8 1.5 fdatasync(3</d/store/04.log>) = -1 EIO (Input/output error)";
        let cases: [(&str, &[&str], Result<(), Violation>); 10] = [
            ("no sync", &[ACCEPT, READ, WRITE, ACK], not_synced(2, 3)),
            ("before the data", &[ACCEPT, READ, SYNC, WRITE, ACK], not_synced(3, 4)),
            ("after the acknowledgement", &[ACCEPT, READ, WRITE, ACK, SYNC], not_synced(2, 3)),
            ("failed", &[ACCEPT, READ, WRITE, failed, ACK], not_synced(2, 4)),
            ("still under way", &[ACCEPT, READ, WRITE, begun, ACK, ended], not_synced(2, 4)),
            ("never ended", &[ACCEPT, READ, WRITE, begun, ACK], not_synced(2, 4)),
            (
                "started while the data was written",
                &[ACCEPT, READ, write_begun, &SYNC.replace('8', "6"), write_ended, ACK],
                not_synced(2, 5),
            ),
            ("of another file", &[ACCEPT, READ, WRITE, &SYNC.replace("04", "05"), ACK], not_synced(2, 4)),
            ("of a part", &[ACCEPT, READ, WRITE, &SYNC.replace("fdatasync", "sync_file_range"), ACK], not_synced(2, 4)),
            ("before the rest", &[ACCEPT, READ, WRITE, SYNC, WRITE_MORE, ACK], not_synced(4, 5)),
        ];
        for (what, lines, wanted) in cases {
            for sign in [TEXT, ANSWER] {
                assert_eq!(checked(lines, sign, &["m1"], true), wanted, "{what}, {sign:?}");
            }
        }
    }

    #[test]
    fn what_was_not_written_is_a_violation() {
        let wanted = |acknowledged| Err(Violation::NotWritten { mark: "m1".to_owned(), acknowledged });
        assert_eq!(checked(&[ACCEPT, READ, SYNC, ACK, WRITE, SYNC], TEXT, &["m1"], false), wanted(3));
        let part = r#"8 1.5 write(3</d/store/04.log>, "m1", 2) = 2"#;
        assert_eq!(checked(&[ACCEPT, READ, part, SYNC, ACK, WRITE, SYNC], ANSWER, &["m1"], false), wanted(4));
        let elsewhere = WRITE.replace("/d/", "/other/");
        assert_eq!(checked(&[ACCEPT, READ, &elsewhere, SYNC, ACK], TEXT, &["m1"], false), wanted(4));
    }

    #[test]
    fn others_may_write_meanwhile() {
        let other = r#"6 1.5 write(3</d/store/04.log>, "m2 end-of-m2", 12) = 12"#;
        assert_eq!(checked(&[ACCEPT, READ, WRITE, SYNC, other, ACK], TEXT, &["m1"], false), Ok(()));
        assert_eq!(checked(&[ACCEPT, READ, WRITE, other, ACK, SYNC], TEXT, &["m1"], false), not_synced(2, 4));
    }

    #[test]
    fn acknowledgements_in_one_write_wait_for_the_last_of_their_messages() {
        let second = WRITE.replace("m1", "m2");
        let both = ACK.replace("250 fine", r"250 fine\r\n250 OK\r\n250 fine");
        assert_eq!(checked(&[ACCEPT, READ, WRITE, SYNC, &second, SYNC, &both], TEXT, &["m1", "m2"], false), Ok(()));
        let bare = Err(Violation::NotSynced { mark: "m2".to_owned(), written: 4, acknowledged: 5 });
        assert_eq!(checked(&[ACCEPT, READ, WRITE, SYNC, &second, &both], TEXT, &["m1", "m2"], false), bare);
    }

    #[test]
    fn a_log_that_does_not_show_the_conversation_proves_nothing() {
        assert_eq!(checked(&[READ, WRITE, SYNC, ACK], TEXT, &["m1"], true), Err(Violation::NoConnection { port: 4000 }));
        let short = Err(Violation::Acknowledgements { port: 4000, seen: 1, messages: 2 });
        assert_eq!(checked(&[ACCEPT, READ, WRITE, SYNC, ACK], TEXT, &["m1", "m2"], true), short);
        let small = READ.replace("= 5000", "= 50");
        let none = Err(Violation::Acknowledgements { port: 4000, seen: 0, messages: 1 });
        assert_eq!(checked(&[ACCEPT, &small, WRITE, SYNC, ACK], ANSWER, &["m1"], true), none);
        assert_eq!(
            checked(&["", "x", "7 1.5 write(", "7 <... write resumed>"], TEXT, &[], true),
            Err(Violation::NoConnection { port: 4000 })
        );
    }

    #[test]
    fn a_call_that_was_interrupted_is_put_together() {
        let log = [
            "7 1.5 accept4(5<socket:[1]>,  <unfinished ...>",
            WRITE,
            r#"7 1.6 <... accept4 resumed>{sa_family=AF_INET6, sin6_port=htons(4000)}, [128 => 28], 0) = 9<TCP:[127.0.0.1:25->127.0.0.1:4000]>"#,
            "7 1.7 recvfrom(9<TCP:[127.0.0.1:25->127.0.0.1:4000]>, 0x1, 4096, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
        ];
        let trace = Trace::parse(&log.join("\n"));
        let accept = &trace.calls[0];
        assert_eq!(accept.accepted(), Some((4000, "TCP:[127.0.0.1:25->127.0.0.1:4000]")));
        assert_eq!((accept.start, accept.end, accept.result), (0, Some(2), Some(9)));
        assert_eq!((trace.calls[1].path.as_str(), trace.calls[1].result), ("/d/store/04.log", Some(15)));
        assert_eq!((trace.calls[2].path.as_str(), trace.calls[2].result), ("TCP:[127.0.0.1:25->127.0.0.1:4000]", Some(-1)));
    }
}
