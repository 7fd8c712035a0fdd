//! Runs every script of `tests/dialogs/smtp`, once with whole inputs and once byte by byte; both must agree.
//!
//! A line is `C: text` (CRLF added; lines in a row are one input), `C> raw` with `\r \n \0 \xHH`, `S: reply` or
//! `S: start*`, `Q: question` (what the door was asked, others may come between), `M: raw` (the content the door
//! has), `! tls|eof|tick|shutdown`, `> starttls|close`. At the top `= submission|implicit` sets up
//! and `D: question* => answer` says how the door answers; it accepts what is not named.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use stoa_session::{Input, Session, Step, TlsFacts};
use stoa_smtp::{Address, Answer, Config, Question, Reply, ReversePath, Role, Server};

fn config() -> Config {
    Config {
        role: Role::Relay,
        hostname: "mx.example".into(),
        peer: "192.0.2.7".parse().unwrap(),
        size_max: 1000,
        recipients_max: 3,
        tls_available: true,
        tls_on: false,
        auth_nonce: "nonce".into(),
        command_seconds: 300,
        data_seconds: 180,
        bad_commands_max: 10,
    }
}

struct Talk {
    server: Server,
    door: Vec<(String, String)>,
    now: Instant,
    output: VecDeque<String>,
    asked: Vec<String>,
    content: Vec<u8>,
    deaf: bool,
}

impl Talk {
    fn new(config: Config, door: Vec<(String, String)>) -> Self {
        let now = Instant::now();
        let server = Server::new(config, now);
        let mut talk = Self { server, door, now, output: VecDeque::new(), asked: Vec::new(), content: Vec::new(), deaf: false };
        talk.take_steps();
        talk
    }

    fn input(&mut self, input: Input<'_, Answer, std::convert::Infallible>) {
        self.server.input(input, self.now);
        self.take_steps();
    }

    fn bytes(&mut self, bytes: &[u8], piece: usize) {
        self.deaf = false;
        for piece in bytes.chunks(piece) {
            // As the driver does: what came along with STARTTLS is thrown away, and after the end nothing is put in.
            if !self.deaf {
                self.input(Input::Bytes(piece));
            }
        }
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.server.step() {
            match step {
                Step::Send(bytes) => {
                    self.output.extend(String::from_utf8(bytes).unwrap().split_terminator("\r\n").map(|line| format!("S: {line}")))
                }
                Step::Body(bytes) => self.content.extend(bytes),
                Step::StartTls => self.hush("> starttls"),
                Step::Compress { .. } => unreachable!("SMTP has no compression"),
                Step::Close => self.hush("> close"),
                Step::Stream(never) => match never {},
                Step::Ask(question) => {
                    let answer = self.answer(&question);
                    self.server.input(Input::Answer(answer), self.now);
                }
            }
        }
    }

    fn hush(&mut self, what: &str) {
        self.output.push_back(what.to_owned());
        self.deaf = true;
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let asked = name(question);
        if matches!(question, Question::BeginBody(_)) {
            self.content.clear();
        }
        let known = self.door.iter().find(|(pattern, _)| matches(pattern, &asked)).map(|(_, answer)| answer.clone());
        self.asked.push(asked);
        let default = if *question == Question::EndBody { "stored 1" } else { "accept" };
        read_answer(&known.unwrap_or(default.to_owned()))
    }
}

fn name(question: &Question) -> String {
    match question {
        Question::Authenticate(stoa_sasl::Question::Password { login, password, .. }) => format!("password {login} {}", password.reveal()),
        Question::Authenticate(stoa_sasl::Question::ScramParameters { login }) => format!("parameters {login}"),
        Question::Authenticate(stoa_sasl::Question::ScramProof { login, .. }) => format!("proof {login}"),
        Question::Sender { reverse_path, .. } => format!("sender <{reverse_path}>"),
        Question::Recipient { address, .. } => format!("recipient <{address}>"),
        Question::BeginBody(envelope) => {
            let to: Vec<_> = envelope.recipients.iter().map(|recipient| format!("<{}>", recipient.address)).collect();
            format!("begin <{}> {} {:?}", envelope.reverse_path, to.join(" "), envelope.body)
        }
        Question::EndBody => "end".into(),
        Question::AbortBody => "abort".into(),
    }
}

fn read_answer(text: &str) -> Answer {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "accept" => Answer::Accept,
        "stored" => Answer::Stored { id: rest.into() },
        "granted" => Answer::Authentication(stoa_sasl::Answer::Granted { account: rest.into() }),
        "parameters" => Answer::Authentication(stoa_sasl::Answer::ScramParameters { salt: rest.into(), iterations: 4096 }),
        "proven" => Answer::Authentication(stoa_sasl::Answer::ScramGranted { account: rest.into(), server_signature: vec![1] }),
        "denied" => Answer::Authentication(stoa_sasl::Answer::Denied),
        "unavailable" => Answer::Authentication(stoa_sasl::Answer::Unavailable),
        "unknown" => Answer::Refuse(Reply::UNKNOWN_RECIPIENT),
        "norelay" => Answer::Refuse(Reply::NO_RELAY),
        "full" => Answer::Refuse(Reply::NO_ROOM),
        other => panic!("no such answer: {other}"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |start| text.starts_with(start))
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('0')) => bytes.push(0),
            ('\\', Some('x')) => bytes.push(u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).unwrap()),
            _ => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

fn run(file: &str, script: &str, piece: usize) {
    let (mut config, mut door) = (config(), Vec::new());
    for line in script.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("=", "submission") => config.role = Role::Submission,
            ("=", "implicit") => config.tls_on = true,
            ("D:", rule) => door.extend(rule.split_once(" => ").map(|(question, answer)| (question.to_owned(), answer.to_owned()))),
            _ => {}
        }
    }
    let (mut talk, mut seen, mut pending) = (Talk::new(config, door), 0, Vec::new());
    for (number, line) in script.lines().enumerate() {
        let at = format!("{file}:{}: {line}", number + 1);
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        if !matches!(mark, "C:" | "C>") && !pending.is_empty() {
            talk.bytes(&std::mem::take(&mut pending), piece);
        }
        match mark {
            "C:" => pending.extend([text.as_bytes(), b"\r\n"].concat()),
            "C>" => pending.extend(unescape(text)),
            "S:" | ">" => {
                let got = talk.output.pop_front().unwrap_or_else(|| panic!("{at}: nothing came"));
                assert!(matches(line, &got), "{at}\n got {got}");
            }
            "Q:" => {
                let found = talk.asked.iter().skip(seen).position(|asked| matches(text, asked));
                seen += 1 + found.unwrap_or_else(|| panic!("{at}: asked was {:?}", talk.asked));
            }
            "M:" => assert_eq!(talk.content, unescape(text), "{at}"),
            "!" => event(&mut talk, text),
            "#" | "=" | "D:" | "" => assert!(pending.is_empty(), "{at}"),
            _ => panic!("{at}: no such line"),
        }
    }
    assert!(pending.is_empty() && talk.output.is_empty(), "{file}: left over: {:?}", talk.output);
}

fn event(talk: &mut Talk, name: &str) {
    match name {
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
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/dialogs/smtp");
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
        "EHLO a\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c@d>\r\n",
        "DATA\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "BDAT 3\r\n",
        "BDAT 5 LAST\r\n",
        "abc",
        "\r",
        "\n",
        "RSET\r\n",
        "STARTTLS\r\n",
        "MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
        "HELP\r\n",
        "AUTH PLAIN\r\n",
    ]);
    let piece = prop_oneof![4 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => proptest::collection::vec(any::<u8>(), 0..20)];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #[test]
    fn any_split_of_any_input_gives_the_same_output(wire in wire(), piece in 1usize..50) {
        let (mut whole, mut split) = (Talk::new(config(), Vec::new()), Talk::new(config(), Vec::new()));
        whole.bytes(&wire, usize::MAX);
        split.bytes(&wire, piece);
        proptest::prop_assert_eq!((whole.output, whole.asked, whole.content), (split.output, split.asked, split.content));
    }
}

#[test]
fn addresses_survive_printing_and_reading() {
    for text in ["a@b", "\"a b\"@c.d", "\"\\\"\"@c"] {
        let address = Address::parse(text).unwrap();
        assert_eq!(Address::parse(&address.to_string()), Some(address.clone()));
        assert_eq!(ReversePath::Address(address).to_string(), text);
    }
}
