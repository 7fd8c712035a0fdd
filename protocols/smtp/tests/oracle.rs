//! Another parser as a witness: what smtp-proto understands of a command, this crate must understand alike.
//!
//! Commands are made from their grammar, with parameters in any case and order. Where the two differ on purpose, the
//! difference stands here by name: parameters that are not offered, addresses that RFC 5321 does not allow, and what
//! smtp-proto is known to get wrong.

use proptest::prelude::*;
use smtp_proto::Request;
use std::borrow::Cow;
use std::time::Instant;
use stoa_session::{Input, Session, Step, TlsFacts};
use stoa_smtp::{Answer, BodyKind, Config, Envelope, Notify, Question, Ret, ReversePath, Role, Server};

const SIZE_MAX: u64 = 1_000_000;

/// What a conversation led to.
#[derive(Default)]
struct Seen {
    envelope: Option<Envelope>,
    login: Option<(String, String)>,
    last_reply: String,
}

/// Leads a conversation whose door accepts all.
fn converse(role: Role, lines: &[&str]) -> (Server, Seen) {
    let config = Config {
        role,
        hostname: "mx.example".into(),
        peer: "192.0.2.7".parse().unwrap(),
        size_max: SIZE_MAX,
        recipients_max: 3,
        tls_available: true,
        tls_on: role == Role::Submission,
        auth_nonce: "nonce".into(),
        command_seconds: 300,
        data_seconds: 300,
        bad_commands_max: 100,
    };
    let (mut server, mut seen) = (Server::new(config, Instant::now()), Seen::default());
    if role == Role::Submission {
        server.input(Input::TlsUp(TlsFacts::default()), Instant::now());
    }
    for line in lines {
        server.input(Input::Bytes(format!("{line}\r\n").as_bytes()), Instant::now());
        while let Some(step) = server.step() {
            match step {
                Step::Send(bytes) => seen.last_reply = String::from_utf8(bytes).unwrap(),
                Step::Ask(question) => {
                    let answer = answer(question, &mut seen);
                    server.input(Input::Answer(answer), Instant::now());
                }
                _ => {}
            }
        }
    }
    (server, seen)
}

fn answer(question: Question, seen: &mut Seen) -> Answer {
    match question {
        Question::BeginBody(envelope) => seen.envelope = Some(envelope),
        Question::Authenticate(stoa_sasl::Question::Password { login, password, .. }) => {
            seen.login = Some((login.clone(), password.reveal().to_owned()));
            return Answer::Authentication(stoa_sasl::Answer::Granted { account: login });
        }
        _ => {}
    }
    Answer::Accept
}

/// What smtp-proto makes of a line; `None` if it refuses.
fn witness(line: &str) -> Option<Request<String>> {
    let wire = format!("{line}\r\n");
    let request: Request<Cow<'_, str>> = Request::parse(&mut wire.as_bytes().iter()).ok()?;
    Some(request.into_owned())
}

/// As smtp-proto writes an address: without quotes; here with the domain in lower case.
fn plain(path: &str) -> String {
    match path.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => path.to_owned(),
    }
}

fn any_case(words: Vec<&'static str>) -> impl Strategy<Value = String> {
    (prop::sample::select(words), any::<u64>()).prop_map(|(word, bits)| {
        let flip = |(place, c): (usize, char)| if bits >> (place % 64) & 1 == 1 { c.to_ascii_lowercase() } else { c };
        word.chars().enumerate().map(flip).collect()
    })
}

fn address() -> impl Strategy<Value = String> {
    let local = "[a-zA-Z0-9!#$%&'*/?^_`{}|~-]{1,8}([.+][a-z0-9]{1,5}){0,2}";
    (local, "[a-zA-Z0-9]{1,8}(-[a-z0-9]{1,3})?(\\.[a-zA-Z]{2,6}){0,3}").prop_map(|(local, domain)| format!("{local}@{domain}"))
}

fn xtext() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![4 => "[!-*,-<>-~]", 1 => Just("+2B".to_owned()), 1 => Just("+3D".to_owned())], 1..12)
        .prop_map(|parts| parts.concat())
}

/// One of each at most, in any order.
fn parameters(each: Vec<BoxedStrategy<String>>) -> impl Strategy<Value = String> {
    let chosen = each.into_iter().map(|one| prop::option::of(one).boxed()).collect::<Vec<_>>();
    chosen
        .prop_map(|parameters| parameters.into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(|parameters| parameters.iter().map(|parameter| format!(" {parameter}")).collect::<String>())
}

fn mail_parameters() -> impl Strategy<Value = String> {
    parameters(vec![
        any_case(vec!["BODY=7BIT", "BODY=8BITMIME", "BODY=BINARYMIME"]).boxed(),
        (any_case(vec!["SIZE="]), 0..SIZE_MAX).prop_map(|(name, size)| format!("{name}{size}")).boxed(),
        any_case(vec!["RET=FULL", "RET=HDRS"]).boxed(),
        (any_case(vec!["ENVID="]), xtext()).prop_map(|(name, id)| name + &id).boxed(),
        any_case(vec!["SMTPUTF8"]).boxed(),
    ])
}

fn rcpt_parameters() -> impl Strategy<Value = String> {
    let when = any_case(vec!["NOTIFY=NEVER", "NOTIFY=SUCCESS", "NOTIFY=FAILURE,DELAY", "NOTIFY=SUCCESS,FAILURE,DELAY", "NOTIFY=DELAY"]);
    let original = (any_case(vec!["ORCPT=RFC822;"]), xtext()).prop_map(|(name, address)| name + &address);
    parameters(vec![when.boxed(), original.boxed()])
}

fn body_flag(body: BodyKind) -> u64 {
    match body {
        BodyKind::SevenBit => smtp_proto::MAIL_BODY_7BIT,
        BodyKind::EightBit => smtp_proto::MAIL_BODY_8BITMIME,
        BodyKind::Binary => smtp_proto::MAIL_BODY_BINARYMIME,
    }
}

fn mail_agrees(line: &str) -> Result<(), TestCaseError> {
    let Some(Request::Mail { from }) = witness(line) else { return Ok(()) };
    // BDAT, since BINARYMIME cannot be sent with DATA.
    let (_, seen) = converse(Role::Relay, &["EHLO a", line, "RCPT TO:<b@c>", "BDAT 2 LAST"]);
    let envelope = seen.envelope.ok_or_else(|| TestCaseError::fail(format!("{line}: {}", seen.last_reply)))?;
    let path = match &envelope.reverse_path {
        ReversePath::Null => String::new(),
        ReversePath::Address(address) => format!("{}@{}", address.local, address.domain),
    };
    prop_assert_eq!(path, plain(&from.address), "{}", line);
    let said = from.flags & (smtp_proto::MAIL_BODY_7BIT | smtp_proto::MAIL_BODY_8BITMIME | smtp_proto::MAIL_BODY_BINARYMIME);
    prop_assert_eq!(body_flag(envelope.body), if said == 0 { smtp_proto::MAIL_BODY_7BIT } else { said }, "{}", line);
    prop_assert_eq!(envelope.size.unwrap_or(0), from.size as u64, "{}", line);
    prop_assert_eq!(envelope.smtputf8, from.flags & smtp_proto::MAIL_SMTPUTF8 != 0, "{}", line);
    let ret = match envelope.ret {
        None => 0,
        Some(Ret::Full) => smtp_proto::MAIL_RET_FULL,
        Some(Ret::Headers) => smtp_proto::MAIL_RET_HDRS,
    };
    prop_assert_eq!(ret, from.flags & (smtp_proto::MAIL_RET_FULL | smtp_proto::MAIL_RET_HDRS), "{}", line);
    prop_assert_eq!(envelope.envid, from.env_id, "{}", line);
    Ok(())
}

fn rcpt_agrees(line: &str) -> Result<(), TestCaseError> {
    let Some(Request::Rcpt { to }) = witness(line) else { return Ok(()) };
    let (_, seen) = converse(Role::Relay, &["EHLO a", "MAIL FROM:<>", line, "DATA"]);
    let mut envelope = seen.envelope.ok_or_else(|| TestCaseError::fail(format!("{line}: {}", seen.last_reply)))?;
    let recipient = envelope.recipients.remove(0);
    prop_assert_eq!(format!("{}@{}", recipient.address.local, recipient.address.domain), plain(&to.address), "{}", line);
    let flag = |on: bool, flag: u64| if on { flag } else { 0 };
    let notify = match recipient.notify {
        None => 0,
        Some(Notify::Never) => smtp_proto::RCPT_NOTIFY_NEVER,
        Some(Notify::On { success, failure, delay }) => {
            flag(success, smtp_proto::RCPT_NOTIFY_SUCCESS)
                | flag(failure, smtp_proto::RCPT_NOTIFY_FAILURE)
                | flag(delay, smtp_proto::RCPT_NOTIFY_DELAY)
        }
    };
    prop_assert_eq!(notify, to.flags, "{}", line);
    prop_assert_eq!(recipient.orcpt.map(|original| original.address), to.orcpt, "{}", line);
    Ok(())
}

proptest! {
    #[test]
    fn mail(verb in any_case(vec!["MAIL FROM:"]), address in prop_oneof![4 => address(), 1 => Just(String::new())], parameters in mail_parameters()) {
        let line = format!("{verb}<{address}>{parameters}");
        prop_assert!(witness(&line).is_some(), "the witness understands the grammar: {}", line);
        mail_agrees(&line)?;
    }

    #[test]
    fn rcpt(verb in any_case(vec!["RCPT TO:"]), address in address(), parameters in rcpt_parameters()) {
        let line = format!("{verb}<{address}>{parameters}");
        prop_assert!(witness(&line).is_some(), "the witness understands the grammar: {}", line);
        rcpt_agrees(&line)?;
    }

    #[test]
    fn hello(name in "[a-z0-9]{1,10}(\\.[a-z]{2,5}){0,3}", esmtp in any::<bool>()) {
        let line = format!("{} {name}", if esmtp { "EHLO" } else { "HELO" });
        let host = match witness(&line) {
            Some(Request::Ehlo { host }) if esmtp => host,
            Some(Request::Helo { host }) if !esmtp => host,
            other => return Err(TestCaseError::fail(format!("{line}: {other:?}"))),
        };
        let (_, seen) = converse(Role::Relay, &[&line, "MAIL FROM:<>", "RCPT TO:<b@c>", "DATA"]);
        let client = seen.envelope.unwrap().client;
        prop_assert_eq!((client.helo, client.esmtp), (host, esmtp));
    }

    #[test]
    fn bdat(size in 0u64..100_000, last in any::<bool>(), verb in any_case(vec!["BDAT"]), mark in any_case(vec![" LAST"])) {
        let line = format!("{verb} {size}{}", if last { &mark } else { "" });
        let Some(Request::Bdat { chunk_size, is_last }) = witness(&line) else {
            return Err(TestCaseError::fail(line));
        };
        prop_assert_eq!((chunk_size as u64, is_last), (size, last));
        // As many octets as the witness counts end the chunk, and the next is a command again.
        let (mut server, seen) = converse(Role::Relay, &["EHLO a", "MAIL FROM:<>", "RCPT TO:<b@c>"]);
        prop_assert!(seen.last_reply.starts_with("250"));
        let content = "x".repeat(chunk_size);
        server.input(Input::Bytes(format!("{line}\r\n{content}NOOP\r\n").as_bytes()), Instant::now());
        let (mut body, mut ended, mut replies) = (0, false, Vec::new());
        while let Some(step) = server.step() {
            match step {
                Step::Body(chunk) => body += chunk.len(),
                Step::Send(bytes) => replies.push(bytes),
                Step::Ask(question) => {
                    ended |= question == Question::EndBody;
                    let answer = if question == Question::EndBody { Answer::Stored { id: "1".into() } } else { Answer::Accept };
                    server.input(Input::Answer(answer), Instant::now());
                }
                _ => {}
            }
        }
        prop_assert_eq!((body, ended, replies.len()), (chunk_size, is_last, 2));
        prop_assert_eq!(replies.pop(), Some(b"250 2.0.0 OK\r\n".to_vec()));
    }

    #[test]
    fn auth_plain(verb in any_case(vec!["AUTH PLAIN"]), login in "[a-z@.]{1,12}", password in "[ -~]{1,20}") {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let response = STANDARD.encode(format!("\0{login}\0{password}"));
        let line = format!("{verb} {response}");
        let Some(Request::Auth { mechanism, initial_response }) = witness(&line) else {
            return Err(TestCaseError::fail(line));
        };
        prop_assert_eq!((mechanism, initial_response), (smtp_proto::AUTH_PLAIN, response));
        let (_, seen) = converse(Role::Submission, &["EHLO a", &line]);
        prop_assert_eq!(seen.login, Some((login, password)));
    }

    /// Lines with something wrong in them: whatever the witness still takes and RFC 5321 allows, we take.
    #[test]
    fn damaged_lines(
        address in address(),
        parameters in mail_parameters(),
        noise in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b" <>@=,;:.+\"\\-9aZ".to_vec())), 1..3),
    ) {
        let mut line = format!("MAIL FROM:<{address}>{parameters}").into_bytes();
        for (place, byte) in noise {
            let place = place.index(line.len());
            line.insert(place, byte);
        }
        let line = String::from_utf8(line).unwrap();
        if difference(&line).is_none() {
            mail_agrees(&line)?;
        }
    }
}

/// Why the two may differ about a line of MAIL that the witness takes.
fn difference(line: &str) -> Option<&'static str> {
    let Some(Request::Mail { from }) = witness(line) else { return None };
    let rest = line.get("MAIL FROM:".len()..).unwrap_or_default();
    let path = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(path, _)| path);
    let after = rest.split_once('>').map_or("", |(_, after)| after);
    match path {
        _ if !line.get(..10).is_some_and(|verb| verb.eq_ignore_ascii_case("MAIL FROM:")) => Some("white space where the grammar has none"),
        None => Some("no angle brackets, or space before them"),
        Some(path) if path.starts_with('@') => Some("a source route whose hops are no domains"),
        Some(path) if path.contains(['"', '\\']) => Some("a quoted local part loses its quotes"),
        Some(path) if !path.is_empty() && stoa_smtp::Address::parse(path).is_none() => Some("an address that RFC 5321 does not allow"),
        _ if after.contains("  ") || after.ends_with(' ') || after.starts_with(|c| c != ' ') => {
            Some("other white space between parameters")
        }
        _ if after.contains("==") || after.contains("=,") => Some("a parameter value that is none"),
        _ if from.size as u64 > SIZE_MAX => Some("a message over our limit"),
        _ if !after.split(' ').filter_map(|parameter| parameter.split_once('=')).all(|(_, value)| is_xtext(value)) => {
            Some("xtext that is none, or not of printable text")
        }
        _ => None,
    }
}

/// RFC 3461 §4: xtext = *( xchar / hexchar ), hexchar = "+" 2(%x30-39 / %x41-46), of printable ASCII here (§4.4).
fn is_xtext(value: &str) -> bool {
    let hexchar = |rest: &str| {
        let digits = rest.get(..2).filter(|digits| digits.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')));
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).is_some_and(|byte| matches!(byte, b' '..=b'~'))
    };
    !value.is_empty() && !value.contains('=') && value.split('+').skip(1).all(hexchar)
}
