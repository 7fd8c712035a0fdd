//! Keys on disk and in use, and what other programs say of the signatures.

use super::key::{self, Key};
use super::keyring::sign;
use super::*;
use crate::store::engine::memory::Memory;
use crate::store::{BodyReader, Change, DeliveredBody, Delivery, Queued, Store};
use bytes::Bytes;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MX, MessageAuthenticator, Parameters, RecordSet, ResolverCache, Txt};
use proptest::prelude::*;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use stoa_dkim::Reader;

const DOMAIN: &str = "example.org";
/// In the past of every clock, since verifiers look at theirs.
const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

/// Answers that a verifier has already.
struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K: Hash + Eq, V: Clone> ResolverCache<K, V> for Known<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.lock().unwrap().remove(name)
    }

    fn insert(&self, key: K, value: V, _: Instant) {
        self.0.lock().unwrap().insert(key, value);
    }
}

type NoMx = Known<Box<str>, RecordSet<MX>>;
type NoV4 = Known<Box<str>, RecordSet<Ipv4Addr>>;
type NoV6 = Known<Box<str>, RecordSet<Ipv6Addr>>;
type NoNames = Known<IpAddr, RecordSet<Box<str>>>;

/// What a verifier that is not ours says of each signature of a message, in its order.
async fn verified(message: &[u8], records: &[(String, String)]) -> Vec<Result<String, String>> {
    let known: Known<Box<str>, Txt> = Known(Mutex::default());
    for (name, record) in records {
        let key = DomainKey::parse(record.as_bytes()).unwrap();
        known.insert(format!("{name}.").into(), Txt::DomainKey(Arc::new(key)), Instant::now());
    }
    let verifier = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
    let message = AuthenticatedMessage::parse(message).unwrap();
    let parameters: Parameters<'_, _, _, NoMx, NoV4, NoV6, NoNames> =
        Parameters { params: &message, cache_txt: Some(&known), cache_mx: None, cache_ptr: None, cache_ipv4: None, cache_ipv6: None };
    let outputs = verifier.verify_dkim(parameters).await;
    let said = |output: &mail_auth::DkimOutput<'_>| match output.result() {
        DkimResult::Pass => Ok(output.signature().map(|signature| signature.s.clone()).unwrap_or_default()),
        other => Err(format!("{other:?}")),
    };
    outputs.iter().map(said).collect()
}

/// One key of each kind, made once for all tests.
fn keys() -> &'static [(Selector, Key); 2] {
    static KEYS: OnceLock<[(Selector, Key); 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [(Algorithm::Rsa, "r"), (Algorithm::Ed25519, "e")].map(|(algorithm, name)| {
            let text = key::make(algorithm).unwrap();
            (Selector::new(name.to_owned(), algorithm, State::Active, NOW), Key::read(algorithm, text.as_bytes()).unwrap())
        })
    })
}

fn records() -> Vec<(String, String)> {
    keys().iter().map(|(selector, key)| (format!("{}._domainkey.{DOMAIN}", selector.name), key.record.clone())).collect()
}

fn signed(message: &[u8], cut: usize) -> Vec<u8> {
    let mut reader = Reader::new();
    let (first, second) = message.split_at(cut.min(message.len()));
    reader.feed(first);
    reader.feed(second);
    let keys: Vec<_> = keys().iter().collect();
    [&sign(DOMAIN, &keys, &reader.finish().unwrap(), NOW).unwrap(), message].concat()
}

/// Messages of what matters to canonical forms. No line of white space alone at the end: the verifier has another form of
/// those than RFC 6376 §3.4.4 gives (our own is tested against the RFC, and other programs, elsewhere). No space before a
/// colon, for which it has another than §3.4.2.
fn message() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        3 => "(Subject|TO|cc|Date|List-Id|Reply-To|Content-Type|X-Other|Received):[ \t]{0,2}[ -9;-~é]{0,60}",
        1 => "Subject:([ \t]{0,2}\r\n[ \t]{1,3}[a-z=:;]{1,9}){1,4}[ \t]{0,2}",
    ];
    let line = prop_oneof![3 => "[ -~]{0,20}", 1 => "[ \t]{0,3}", 1 => "([a-z]{0,4}[ \t]{1,3}){0,6}", 1 => "é{0,9}"];
    (prop::collection::vec(field, 0..8), prop::collection::vec(line, 0..10), "(\r\n){0,3}").prop_map(|(fields, lines, end)| {
        let mut header = fields;
        header.insert(header.len() / 2, "From: Socrates <socrates@example.org>".to_owned());
        let mut body = lines.join("\r\n");
        body.truncate(body.trim_end_matches([' ', '\t', '\r', '\n']).len());
        if !body.is_empty() {
            body.push_str("\r\n");
        }
        format!("{}\r\n\r\n{body}{end}", header.join("\r\n"))
    })
}

proptest! {
    #[test]
    fn what_is_signed_here_is_verified_by_others(message in message(), cut in 0_usize..200) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let signed = signed(message.as_bytes(), cut);
        let outcome = runtime.block_on(verified(&signed, &records()));
        prop_assert_eq!(outcome, vec![Ok("r".to_owned()), Ok("e".to_owned())], "{}", String::from_utf8_lossy(&signed));
    }
}

#[tokio::test]
async fn a_change_of_what_is_signed_is_noticed() {
    let message = "From: a@example.org\r\nSubject: one\r\nList-Id: <x>\r\n\r\nhello\r\n";
    let signed = String::from_utf8(signed(message.as_bytes(), 0)).unwrap();
    for (from, to, good) in [
        ("hello", "hallo", false),
        ("Subject: one", "Subject: two", false),
        ("Subject: one", "Subject:  one  ", true),
        ("\r\n\r\nhello", "\r\nFrom: b@example.org\r\n\r\nhello", false),
        ("\r\n\r\nhello", "\r\nCc: c@example.net\r\n\r\nhello", false),
        ("\r\n\r\nhello", "\r\nContent-Type: text/html\r\n\r\nhello", false),
        ("\r\n\r\nhello", "\r\nReply-To: list@example.net\r\n\r\nhello", true),
        ("hello\r\n", "hello \t\r\n\r\n\r\n", true),
    ] {
        let changed = signed.replacen(from, to, 1);
        let outcome = verified(changed.as_bytes(), &records()).await;
        assert_eq!(outcome.iter().all(Result::is_ok), good, "{to:?}: {outcome:?}");
        assert_eq!(outcome.len(), 2);
    }
}

async fn stored(store: &Store, message: &[u8]) -> BodyReader {
    let mut body = store.write_body(NOW);
    body.write(message).await.unwrap();
    let staged = body.finish();
    let body = staged.reference();
    let queued = Queued::of(String::new(), Bytes::new(), body, NOW, Vec::new());
    let delivery = Delivery {
        queue: Some((NOW.cast_unsigned(), queued)),
        ..Delivery::of(DeliveredBody::Staged(staged), Bytes::new(), Bytes::new(), Bytes::new())
    };
    store.commit(Change::Deliver(Box::new(delivery))).await.unwrap();
    store.body(Bytes::from_static(b"Received: here\r\n"), &body).await.unwrap()
}

fn settings() -> SigningSettings {
    SigningSettings { rsa_only_destinations: vec!["old.example".to_owned()] }
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn keys_are_made_once_and_sign_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(dir.path(), &["Example.org".to_owned()], settings());
    keyring.ensure(NOW).await;
    keyring.ensure(NOW + DAY).await;
    let published = keyring.published(DOMAIN);
    let names: Vec<String> = published.iter().map(Published::name).collect();
    assert_eq!(names, ["s20231114r._domainkey.example.org", "s20231114e._domainkey.example.org"]);
    for file in ["selectors.toml", "s20231114r.pem", "s20231114e.pem"] {
        assert_eq!(mode(&dir.path().join(DOMAIN).join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&dir.path().join(DOMAIN)), 0o700);
    let store = Store::open(Arc::new(Memory::new())).await.unwrap();
    let message = format!("From: a@example.org\r\n\r\n{}\r\n", "many lines \t of text\r\n".repeat(30_000));
    let content = stored(&store, message.as_bytes()).await;
    let fields = keyring.signatures("EXAMPLE.org", "net.example", &content, NOW).await.unwrap();
    let records: Vec<_> = published.iter().map(|record| (record.name(), record.record.clone())).collect();
    let whole = [&fields, b"Received: here\r\n".as_slice(), message.as_bytes()].concat();
    assert_eq!(verified(&whole, &records).await, [Ok("s20231114r".to_owned()), Ok("s20231114e".to_owned())]);
    let for_old = keyring.signatures(DOMAIN, "Old.example", &content, NOW).await.unwrap();
    assert_eq!(String::from_utf8(for_old.to_vec()).unwrap().matches("DKIM-Signature:").count(), 1, "{for_old:?}");
    assert!(for_old.starts_with(b"DKIM-Signature: v=1; a=rsa-sha256;"));
    assert!(keyring.signatures("net.example", "old.example", &content, NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_keyring_sees_what_others_change_and_lives_with_what_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(dir.path(), &[DOMAIN.to_owned()], settings());
    let store = Store::open(Arc::new(Memory::new())).await.unwrap();
    let content = stored(&store, b"From: a@example.org\r\n\r\n").await;
    let signatures = async || String::from_utf8(keyring.signatures(DOMAIN, "x.example", &content, NOW).await.unwrap().to_vec()).unwrap();
    assert_eq!(signatures().await, "", "mail goes out without a signature if there is no key");
    let folder = Folder::of(dir.path(), DOMAIN);
    let first = folder.change(|keys| keys.make(Algorithm::Ed25519, State::Active, NOW)).unwrap();
    assert!(signatures().await.contains("s=s20231114e;"));
    let second = folder.change(|keys| keys.make(Algorithm::Ed25519, State::Prepared, NOW)).unwrap();
    assert_eq!((first.as_str(), second.as_str()), ("s20231114e", "s20231114e2"));
    assert!(signatures().await.contains("s=s20231114e;"));
    assert_eq!(keyring.published(DOMAIN).len(), 2);
    folder
        .change(|keys| {
            rotation::activate(&mut keys.selectors, &second, NOW + DAY);
            Ok(())
        })
        .unwrap();
    assert!(signatures().await.contains("s=s20231114e2;"));
    assert_eq!(keyring.published(DOMAIN)[0].selector.state, State::Retired);
    // A key that is gone, and a key file that nobody names.
    let file = |name: &str| dir.path().join(DOMAIN).join(name);
    std::fs::write(file("s20200101e.pem"), "left by a crash").unwrap();
    std::fs::write(file("notes.txt"), "the owner's").unwrap();
    std::fs::remove_file(file("s20231114e.pem")).unwrap();
    folder
        .change(|keys| {
            keys.selectors[0].since += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(keyring.published(DOMAIN).len(), 1);
    assert!(!file("s20200101e.pem").exists() && file("notes.txt").exists() && file("s20231114e2.pem").exists());
    std::fs::write(file("selectors.toml"), "[[selector]]\nname = '../../x'\nalgorithm = 'rsa'\nstate = 'active'\ncreated = 1\nsince = 1\n")
        .unwrap();
    assert!(folder.selectors().unwrap_err().to_string().contains("no selector of ours"));
    assert_eq!(signatures().await, "");
    std::fs::write(file("selectors.toml"), "[[selector]]\nname = 'x'\nalgorithm = 'dsa'\n").unwrap();
    let said = folder.selectors().unwrap_err().to_string();
    assert!(said.contains("selectors.toml") && said.contains("rsa or ed25519") && said.contains("put back"), "{said}");
}

#[test]
fn two_processes_do_not_undo_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(dir.path(), DOMAIN);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| folder.change(|keys| keys.make(Algorithm::Ed25519, State::Prepared, NOW)).unwrap());
        }
    });
    let mut names: Vec<_> = folder.selectors().unwrap().into_iter().map(|selector| selector.name).collect();
    names.dedup();
    assert_eq!(names.len(), 8);
}

/// Messages that dkimpy signed (`tests/clients/signatures.py --write`), with the key of RFC 8463, appendix A.2.
#[tokio::test]
async fn what_others_signed_has_the_same_canonical_form_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dkim");
    let records = std::fs::read_to_string(folder.join("records")).unwrap();
    let records: Vec<_> =
        records.lines().map(|line| line.split_once(' ').unwrap()).map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if file.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        seen += 1;
        let message = std::fs::read(&file).unwrap();
        if name.ends_with("-relaxed") {
            let mut reader = Reader::new();
            reader.feed(&message);
            let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, reader.finish().unwrap().body_hash());
            assert!(String::from_utf8_lossy(&message).contains(&format!("bh={hash};")), "{name}");
        }
        // The verifier that the server uses has another form of a last line of white space alone.
        if !["end-of-white-space-relaxed", "white-space-alone-relaxed"].contains(&name.as_str()) {
            assert_eq!(verified(&message, &records).await, [Ok("brisbane".to_owned())], "{name}");
        }
    }
    assert_eq!(seen, 14);
}
