//! Runs every script of `tests/dialogs/imap`, once with whole inputs and once byte by byte; both must agree.
//!
//! A line is `C: text` (CRLF added; lines in a row are one input), `C> raw` with `\r \n \0 \xHH` and `\R9<raw>` (nine times
//! that), `Z: text` (as `C:`, but compressed; here that means every bit is turned), `S: response` or `S: start*`,
//! `Q: question` (what the door was asked, others may come between), `M: raw` (the message the door has), `X: act` (what
//! another session does, see `door`), `! changed|gone|tls|tls-bound|eof|tick|shutdown`, `> starttls|compress|close`.
//! At the top `= implicit` begins with TLS, `= login` with TLS and a login that is not shown.
//! Every response must be one that the codec can read, unless `= no codec` says that it does not know an extension.

mod door;
mod listening;

use door::Door;
use imap_codec::decode::Decoder;
use imap_codec::{GreetingCodec, ResponseCodec};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use stoa_imap::{Answer, Config, Event, Query, Question, Server};
use stoa_session::{Input, Session, Step, TlsFacts};

fn config() -> Config {
    Config {
        hostname: "imap.example".into(),
        tls_available: true,
        tls_on: false,
        auth_nonce: "nonce".into(),
        login_seconds: 60,
        idle_seconds: 1800,
        message_bytes_max: 1000,
        login_failures_max: 3,
    }
}

struct Talk {
    server: Server,
    door: Door,
    now: Instant,
    wire: Vec<u8>,
    output: VecDeque<String>,
    asked: Vec<String>,
    deaf: bool,
    compressed: bool,
}

impl Talk {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let server = Server::new(config, now);
        let (wire, output, asked) = (Vec::new(), VecDeque::new(), Vec::new());
        let mut talk = Self { server, door: Door::new(), now, wire, output, asked, deaf: false, compressed: false };
        talk.take_steps();
        talk
    }

    fn logged_in() -> Self {
        let mut talk = Self::new(Config { tls_on: true, ..config() });
        talk.input(Input::TlsUp(TlsFacts::default()));
        talk.bytes(b"0 LOGIN socrates wisdom\r\n", usize::MAX);
        talk.output.clear();
        talk.asked.clear();
        talk
    }

    fn input(&mut self, input: Input<'_, Answer, Event>) {
        self.server.input(input, self.now);
        self.take_steps();
    }

    fn bytes(&mut self, bytes: &[u8], piece: usize) {
        self.deaf = false;
        for piece in bytes.chunks(piece) {
            // As the driver does: what came along with STARTTLS is thrown away, and after the end nothing is put in.
            if !self.deaf {
                self.heard(piece);
            }
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let bytes = if self.compressed { turned(bytes) } else { bytes.to_vec() };
        self.input(Input::Bytes(&bytes));
    }

    fn take_steps(&mut self) {
        let mut behind = Vec::new();
        while let Some(step) = self.server.step() {
            match step {
                Step::Send(bytes) => self.send(&bytes),
                Step::Body(bytes) => self.door.content.extend(bytes),
                Step::StartTls => self.hush("> starttls"),
                Step::Compress { unread } => {
                    self.output.push_back("> compress".to_owned());
                    self.compressed = true;
                    behind = unread;
                }
                Step::Close => self.hush("> close"),
                Step::Stream(query) => {
                    let lines = self.write(&query);
                    self.send(lines.as_bytes());
                    self.server.input(Input::Answer(Answer::Streamed), self.now);
                }
                Step::Ask(question) => {
                    self.asked.push(name(&question));
                    let answer = self.door.answer(question);
                    self.server.input(Input::Answer(answer), self.now);
                }
            }
        }
        if !behind.is_empty() {
            self.heard(&behind);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.output.extend(text.split_terminator("\r\n").map(|line| format!("S: {line}")));
    }

    fn hush(&mut self, what: &str) {
        self.output.push_back(what.to_owned());
        self.deaf = true;
    }

    /// In place of the writers, which have tests of their own: which messages a query is about, in the least valid form.
    fn write(&mut self, query: &Query) -> String {
        match query {
            Query::Fetch { uids, numbering, .. } => {
                self.asked.push(format!("fetch {uids}"));
                let number = |uid| numbering.number(uid).unwrap();
                let entries = numbering.view().select(uids);
                entries.map(|entry| format!("* {} FETCH (UID {})\r\n", number(entry.uid), entry.uid)).collect()
            }
        }
    }

    /// The codec reads all that was sent.
    fn check_wire(&self, file: &str) {
        let mut rest = self.wire.as_slice();
        if let Ok((after, _)) = GreetingCodec::new().decode(rest) {
            rest = after;
        }
        while !rest.is_empty() {
            match ResponseCodec::new().decode(rest) {
                Ok((after, _)) => rest = after,
                Err(error) => panic!("{file}: {error:?} in {}", String::from_utf8_lossy(rest)),
            }
        }
    }
}

fn name(question: &Question) -> String {
    match question {
        Question::Authenticate(stoa_sasl::Question::Password { login, password, .. }) => format!("password {login} {}", password.reveal()),
        Question::Authenticate(stoa_sasl::Question::ScramParameters { login }) => format!("parameters {login}"),
        Question::Authenticate(stoa_sasl::Question::ScramProof { login, .. }) => format!("proof {login}"),
        Question::Refresh => "refresh".into(),
        Question::Mailboxes => "mailboxes".into(),
        Question::Select { mailbox, .. } => format!("select {mailbox}"),
        Question::Unselect => "unselect".into(),
        Question::Status { mailbox, .. } => format!("status {mailbox}"),
        Question::Create { mailbox, .. } => format!("create {mailbox}"),
        Question::Delete { mailbox } => format!("delete {mailbox}"),
        Question::Rename { from, to } => format!("rename {from} {to}"),
        Question::Subscribe { mailbox, on } => format!("subscribe {mailbox} {on}"),
        Question::BeginAppend { mailbox, flags, received, size } => {
            format!("append {mailbox} {:?} {:?} {received:?} {size}", flags.system.bits(), flags.keywords)
        }
        Question::NextAppend { flags, received, size } => {
            format!("next {:?} {:?} {received:?} {size}", flags.system.bits(), flags.keywords)
        }
        Question::EndAppend => "end".into(),
        Question::AbortAppend => "abort".into(),
        Question::Copy { uids, mailbox, take } => format!("{} {uids} {mailbox}", if *take { "move" } else { "copy" }),
        Question::Store { uids, change, flags, unchanged_since } => {
            let since = unchanged_since.map(|modseq| format!(" since {modseq}")).unwrap_or_default();
            format!("store {uids} {change:?} {:?} {:?}{since}", flags.system.bits(), flags.keywords)
        }
        Question::Search { .. } => "search".into(),
        Question::Vanished { since } => format!("vanished {since}"),
        Question::Expunge { uids } => format!("expunge {}", uids.as_ref().map_or("all".to_owned(), ToString::to_string)),
    }
}

/// What stands for DEFLATE here: plain bytes where compressed ones belong are noise, and the other way round.
fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start)) || pattern == text
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('0')) => bytes.push(0),
            ('\\', Some('\\')) => bytes.push(b'\\'),
            ('\\', Some('R')) => {
                let times: usize = rest.by_ref().take_while(|&c| c != '<').collect::<String>().parse().unwrap();
                bytes.extend(unescape(&rest.by_ref().take_while(|&c| c != '>').collect::<String>()).repeat(times));
            }
            ('\\', Some('x')) => bytes.push(u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).unwrap()),
            _ => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

fn run(file: &str, script: &str, piece: usize) {
    let setting = |name: &str| script.lines().any(|line| line.strip_prefix("= ") == Some(name));
    let mut talk = if setting("login") { Talk::logged_in() } else { Talk::new(Config { tls_on: setting("implicit"), ..config() }) };
    let (mut seen, mut pending) = (0, Vec::new());
    for (number, line) in script.lines().enumerate() {
        let at = format!("{file}:{}: {line}", number + 1);
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        if !matches!(mark, "C:" | "C>" | "Z:") && !pending.is_empty() {
            talk.bytes(&std::mem::take(&mut pending), piece);
        }
        match mark {
            "C:" => pending.extend([text.as_bytes(), b"\r\n"].concat()),
            "C>" => pending.extend(unescape(text)),
            "Z:" => pending.extend(turned(&[text.as_bytes(), b"\r\n"].concat())),
            "S:" | ">" => {
                let got = talk.output.pop_front().unwrap_or_else(|| panic!("{at}: nothing came"));
                assert!(matches(line, &got), "{at}\n got {got}\n then {:?}", talk.output);
            }
            "Q:" => {
                let found = talk.asked.iter().skip(seen).position(|asked| matches(text, asked));
                seen += 1 + found.unwrap_or_else(|| panic!("{at}: asked was {:?}", talk.asked));
            }
            "M:" => assert_eq!(talk.door.content, unescape(text), "{at}"),
            "X:" => talk.door.act(text),
            "!" => event(&mut talk, text),
            "#" | "=" | "" => assert!(pending.is_empty(), "{at}"),
            _ => panic!("{at}: no such line"),
        }
    }
    assert!(pending.is_empty() && talk.output.is_empty(), "{file}: left over: {:?}", talk.output);
    if !setting("no codec") {
        talk.check_wire(file);
    }
}

fn event(talk: &mut Talk, name: &str) {
    match name {
        "changed" => {
            let newest = talk.door.newest().unwrap();
            talk.input(Input::Event(Event::Changed(newest)));
        }
        "gone" => talk.input(Input::Event(Event::Gone)),
        "tls" => talk.input(Input::TlsUp(TlsFacts::default())),
        "tls-bound" => talk.input(Input::TlsUp(TlsFacts { exporter: Some(vec![7; 32]), ..TlsFacts::default() })),
        "eof" => talk.input(Input::Eof),
        "shutdown" => talk.input(Input::Shutdown),
        "tick" => {
            talk.now = talk.server.deadline().unwrap() + Duration::from_secs(1);
            talk.input(Input::Tick);
        }
        other => panic!("no such event: {other}"),
    }
}

#[test]
fn every_dialogue_whole_and_byte_by_byte() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/dialogs/imap");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("dialog"), "{path:?}");
        let script = std::fs::read_to_string(&path).unwrap();
        for piece in [usize::MAX, 1] {
            run(&path.display().to_string(), &script, piece);
        }
        count += 1;
    }
    assert!(count >= 10);
}

/// Commands and fragments that lead deep into the session, and noise.
fn wire() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let known = proptest::sample::select(vec![
        "a SELECT INBOX\r\n",
        "a EXAMINE Drafts\r\n",
        "b NOOP\r\n",
        "c APPEND INBOX (\\Seen) {3}\r\n",
        "c APPEND INBOX {5+}\r\n",
        "c APPEND {5+}\r\nINBOX ~{2+}\r\n",
        "abc",
        "\r\n",
        "\r",
        "\n",
        "d UID STORE 1:* +FLAGS ($x \\Deleted)\r\n",
        "d STORE 1 FLAGS.SILENT ()\r\n",
        "e FETCH 1:* BODY[]\r\n",
        "f EXPUNGE\r\n",
        "g UID MOVE 1:* Drafts\r\n",
        "h IDLE\r\n",
        "DONE\r\n",
        "i LIST \"\" *\r\n",
        "i LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))\r\n",
        "j SEARCH ALL\r\n",
        "k CREATE {99999}\r\n",
        "k CREATE {3+}\r\n",
        "l CLOSE\r\n",
        "m AUTHENTICATE PLAIN\r\n",
        "n COMPRESS DEFLATE\r\n",
    ]);
    let piece = prop_oneof![6 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => proptest::collection::vec(any::<u8>(), 0..20)];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #[test]
    fn any_split_of_any_input_gives_the_same_output(wire in wire(), piece in 1usize..50, logged_in in proptest::bool::ANY) {
        let talk = || if logged_in { Talk::logged_in() } else { Talk::new(config()) };
        let (mut whole, mut split) = (talk(), talk());
        whole.door.act("deliver INBOX");
        split.door.act("deliver INBOX");
        whole.bytes(&wire, usize::MAX);
        split.bytes(&wire, piece);
        whole.check_wire("noise");
        proptest::prop_assert_eq!((whole.wire, whole.output, whole.asked), (split.wire, split.output, split.asked));
    }
}
