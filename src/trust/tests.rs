//! Who may log in and who may not, with every mechanism; and that a trust reads back.

use super::passwords::SCRAM_ITERATIONS;
use super::*;
use crate::store::engine::memory::Memory;
use crate::store::{Change, Credential, NewAccount, Outcome, Store};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stoa_sasl::{Answer, ChannelBindings, Exchange, Mechanism, Next, Question, Secret};

const ADDRESS: &str = "Socrates@stoa.localhost";
const PASSWORD: &str = "the unexamined life";
const APP_PASSWORD: &str = "k7mwp-x9qrt";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// A store with one account that has a password and an app password, and who may log in to it.
async fn logins() -> (Store, HolderId, Logins) {
    let store = Store::open(Arc::new(Memory::new())).await.unwrap();
    let password = new_credential(&secret(PASSWORD), 0, "", &[], 1).await;
    let account = NewAccount { address: ADDRESS.into(), owner: true, now: 1 };
    let Outcome::Holder(holder) = store.commit(Change::CreateAccount { account, password }).await.unwrap() else { panic!() };
    put(&store, holder, 7, "phone", APP_PASSWORD).await;
    let logins = Logins::new(store.clone(), [9; 32], 2).with_primary_domain("stoa.localhost");
    (store, holder, logins)
}

async fn put(store: &Store, holder: HolderId, id: u64, name: &str, password: &str) -> Credential {
    let existing = store.credentials(holder).await.unwrap();
    let credential = new_credential(&secret(password), id, name, &existing, 2).await;
    store.commit(Change::PutCredential { holder, credential: credential.clone() }).await.unwrap();
    credential
}

async fn plain(logins: &Logins, authorization: &str, login: &str, password: &str) -> Answer {
    let (authorization, login) = (authorization.to_owned(), login.to_owned());
    logins.answer(Question::Password { authorization, login, password: secret(password) }).await
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// RFC 5802 §3 as a client computes it: its proof, and the signature it expects of the server.
fn client_math(password: &str, salt: &[u8], iterations: u32, auth_message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), salt, iterations, &mut salted).unwrap();
    let client_key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(&client_key), auth_message);
    let proof = client_key.iter().zip(&signature).map(|(key, byte)| key ^ byte).collect();
    (proof, hmac(&hmac(&salted, b"Server Key"), auth_message))
}

/// A whole SCRAM-SHA-256 login, client and server; the account if it was granted and the server proved itself.
async fn scram(logins: &Logins, authorization: &str, login: &str, password: &str) -> Option<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut exchange = Exchange::new(Mechanism::ScramSha256, ChannelBindings::default(), "server".into());
    let header = if authorization.is_empty() { "n,,".to_owned() } else { format!("n,a={authorization},") };
    let bare = format!("n={login},r=client");
    let Next::Ask(question) = exchange.client(Some(format!("{header}{bare}").as_bytes())) else { panic!() };
    let Next::Challenge(first) = exchange.answer(logins.answer(question).await) else { panic!() };
    let first = String::from_utf8(first).unwrap();
    let field = |name: &str| first.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(field("s=")).unwrap();
    let without_proof = format!("c={},r={}", STANDARD.encode(&header), field("r="));
    let auth_message = format!("{bare},{first},{without_proof}");
    let (proof, expected) = client_math(password, &salt, field("i=").parse().unwrap(), auth_message.as_bytes());
    let last = format!("{without_proof},p={}", STANDARD.encode(proof));
    let Next::Ask(question) = exchange.client(Some(last.as_bytes())) else { panic!() };
    let Next::Challenge(server) = exchange.answer(logins.answer(question).await) else { return None };
    assert_eq!(server, format!("v={}", STANDARD.encode(expected)).into_bytes(), "the server knows the keys, too");
    match exchange.client(Some(b"")) {
        Next::Done(stoa_sasl::Outcome::Granted { account, .. }) => Some(account),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_may_log_in() {
    let (_, _, logins) = logins().await;
    let table = [
        ("", "Socrates@stoa.localhost", PASSWORD, true),
        ("", "socrates@STOA.localhost", PASSWORD, true),
        ("", "socrates", PASSWORD, true),
        ("", "socrates", APP_PASSWORD, true),
        ("socrates@stoa.localhost", "socrates", PASSWORD, true),
        ("Socrates", "socrates", APP_PASSWORD, true),
        ("plato@stoa.localhost", "socrates", PASSWORD, false),
        ("", "socrates", "the examined life", false),
        ("", "socrates", "", false),
        ("", "socrates@example.org", PASSWORD, false),
        ("", "plato", PASSWORD, false),
        ("socrates", "plato", PASSWORD, false),
        ("", "socrates+x@stoa.localhost", PASSWORD, false),
    ];
    for (authorization, login, password, good) in table {
        let granted = Answer::Granted { account: ADDRESS.into() };
        let expected = if good { granted } else { Answer::Denied };
        assert_eq!(plain(&logins, authorization, login, password).await, expected, "{authorization} {login} {password}");
        let account = scram(&logins, authorization, login, password).await;
        assert_eq!(account, good.then(|| ADDRESS.to_owned()), "SCRAM: {authorization} {login} {password}");
    }
}

#[tokio::test]
async fn a_login_without_a_domain_needs_a_primary_domain() {
    let (store, ..) = logins().await;
    let logins = Logins::new(store, [9; 32], 1);
    assert_eq!(plain(&logins, "", "socrates", PASSWORD).await, Answer::Denied);
    assert_eq!(plain(&logins, "", ADDRESS, PASSWORD).await, Answer::Granted { account: ADDRESS.into() });
}

#[tokio::test]
async fn an_unknown_login_shows_a_salt_of_its_own_that_stays() {
    let (store, holder, logins) = logins().await;
    let parameters = async |logins: &Logins, login: &str| logins.answer(Question::ScramParameters { login: login.into() }).await;
    let unknown = parameters(&logins, "plato").await;
    let Answer::ScramParameters { salt, iterations } = &unknown else { panic!() };
    let known = store.credentials(holder).await.unwrap().remove(0);
    assert_eq!((salt.len(), *iterations), (known.scram_salt.len(), known.scram_iterations));
    assert_eq!(parameters(&logins, "Plato@Stoa.localhost").await, unknown, "however it is written");
    assert_ne!(parameters(&logins, "aspasia").await, unknown);
    let restarted = Logins::new(store.clone(), [9; 32], 1).with_primary_domain("stoa.localhost");
    assert_eq!(parameters(&restarted, "plato").await, unknown, "and after a start");
    let elsewhere = Logins::new(store, [8; 32], 1).with_primary_domain("stoa.localhost");
    assert_ne!(parameters(&elsewhere, "plato").await, unknown, "but not on another server");
}

#[tokio::test]
async fn credentials_of_an_account_share_a_salt_and_can_be_changed_and_revoked() {
    let (store, holder, logins) = logins().await;
    let all = store.credentials(holder).await.unwrap();
    assert_eq!(all[0].scram_salt, all[1].scram_salt);
    assert_ne!(all[0].argon2, all[1].argon2);
    assert!(all[0].argon2.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", all[0].argon2);
    let changed = put(&store, holder, 0, "", "know thyself").await;
    assert_eq!(changed.scram_salt, all[1].scram_salt, "app passwords go on");
    for (password, good) in [(PASSWORD, false), ("know thyself", true), (APP_PASSWORD, true)] {
        assert_eq!(scram(&logins, "", "socrates", password).await.is_some(), good, "{password}");
        assert_eq!(plain(&logins, "", "socrates", password).await != Answer::Denied, good, "{password}");
    }
    store.commit(Change::RemoveCredential { holder, credential: 7 }).await.unwrap();
    assert_eq!(plain(&logins, "", "socrates", APP_PASSWORD).await, Answer::Denied);
    let alone = put(&store, holder, 0, "", "again").await;
    assert_eq!(alone.scram_salt, changed.scram_salt, "whoever makes another one at this moment reads this salt");
    assert_eq!(alone.scram_iterations, SCRAM_ITERATIONS);
}

#[test]
fn generated_passwords() {
    let (one, other) = (generate_password(), generate_password());
    assert_ne!(one, other);
    let groups: Vec<&str> = one.reveal().split('-').collect();
    assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 5), "{}", one.reveal());
    assert_eq!(format!("{one:?}"), "…");
}

#[test]
fn a_trust_reads_back() {
    let account = Account { holder: HolderId(3), address: ADDRESS.into(), owner: true, created: 1 };
    let of_account = Trust::of_account(&account);
    assert_eq!(of_account.level(), Level::Authenticated);
    assert_eq!(*of_account.principal(), Principal::Account(HolderId(3), ADDRESS.into()));
    let of_member = Trust {
        level: Level::Dmarc,
        principal: Principal::Address("alice@example.net".into()),
        origin: Some("192.0.2.1".parse().unwrap()),
    };
    for trust in [of_account, of_member, Trust::of_stranger()] {
        assert_eq!(Trust::from_bytes(&trust.to_bytes()).unwrap(), trust);
    }
    assert!(Level::Authenticated > Level::Dmarc && Level::Spf > Level::None);
    let newer = Writer::new(1).u64(1, 4).finish();
    assert!(Trust::from_bytes(&newer).is_err(), "a level that is not known is no trust");
}
