//! Passwords: making them, and making and checking what is stored of them.
//!
//! A credential holds an argon2id hash and SCRAM keys of the same password, prepared with SASLprep (RFC 4013). SCRAM
//! shows one salt per login, so all credentials of an account share salt and iterations, and any of them can log in.
//! The functions named `…_slow` compute for tens of milliseconds: they belong on a blocking thread.

use crate::store::Credential;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use stoa_sasl::{Secret, scram};
use subtle::ConstantTimeEq;

/// Memory of one argon2id run, in KiB. OWASP's password storage cheat sheet: 19 MiB with two passes and one lane.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;

/// Passes over that memory.
const ARGON2_PASSES: u32 = 2;

/// Lanes: runs at once are limited elsewhere, so one run uses one core.
const ARGON2_LANES: u32 = 1;

/// Octets of a salt, for argon2id as for SCRAM.
pub(super) const SALT_BYTES: usize = 16;

/// RFC 7677 §4 asks for 4,096 at least. A phone computes this many in some 20 ms, and once per connection.
pub(super) const SCRAM_ITERATIONS: u32 = 16_384;

/// What generated passwords are made of: small letters and digits that nobody mistakes for one another.
const PASSWORD_LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Letters of a generated password: 4.95 bits each, so 99 bits in all.
const PASSWORD_LENGTH: usize = 20;

/// Letters between two hyphens.
const PASSWORD_GROUP: usize = 5;

/// A random password that can be read out and typed, such as `k7mwp-x9qrt-4ncbe-h2vza`.
pub fn generate_password() -> Secret {
    let mut text = String::with_capacity(PASSWORD_LENGTH + PASSWORD_LENGTH / PASSWORD_GROUP);
    for place in 0..PASSWORD_LENGTH {
        if place > 0 && place % PASSWORD_GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(PASSWORD_LETTERS[rand::random_range(0..PASSWORD_LETTERS.len())]));
    }
    Secret::new(text)
}

/// Makes what is stored of a password; `existing` are the account's credentials, whose SCRAM salt it shares.
///
/// The one that it replaces counts, too: two that are made at the same moment then agree.
///
/// `now` in seconds since 1970. Takes some 50 ms on a thread of its own.
pub async fn new_credential(password: &Secret, id: u64, name: &str, existing: &[Credential], now: i64) -> Credential {
    let shared = parameters(existing);
    let (salt, iterations) = shared.unwrap_or_else(|| (rand::random::<[u8; SALT_BYTES]>().to_vec(), SCRAM_ITERATIONS));
    let (password, name) = (password.clone(), name.to_owned());
    let make = move || credential_slow(&password, id, name, &salt, iterations, now);
    // A blocking task ends otherwise only by a panic, and there is none in it.
    tokio::task::spawn_blocking(make).await.expect("hashing a password does not panic")
}

fn credential_slow(password: &Secret, id: u64, name: String, salt: &[u8], iterations: u32, now: i64) -> Credential {
    let keys = scram::derive(password.reveal(), salt, iterations);
    Credential {
        id,
        name,
        argon2: hash_slow(password),
        scram_salt: keys.salt,
        scram_iterations: keys.iterations,
        scram_stored_key: keys.stored_key.to_vec(),
        scram_server_key: keys.server_key.to_vec(),
        created: now,
    }
}

fn argon2id() -> Argon2<'static> {
    // The constants above are within the bounds of RFC 9106 §3.1.
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None).expect("argon2 parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A PHC string with a salt of its own.
fn hash_slow(password: &Secret) -> String {
    let (prepared, salt) = (prepared(password), rand::random::<[u8; SALT_BYTES]>());
    // It fails only for salts and passwords of lengths that these are far from.
    argon2id().hash_password_with_salt(prepared.reveal().as_bytes(), &salt).expect("argon2 takes any password").to_string()
}

/// Whether the password is any of the credentials, with `fallback` as salt and iterations if there are none.
///
/// Always the work of one key derivation and one argon2id run, whatever is known and however many credentials there
/// are: the SCRAM keys, of one derivation for all, find the credential that argon2id then has to confirm.
pub(super) fn check_slow(password: &Secret, credentials: &[Credential], fallback: &(Vec<u8>, u32)) -> bool {
    let (salt, iterations) = parameters(credentials).unwrap_or_else(|| fallback.clone());
    let keys = scram::derive(password.reveal(), &salt, iterations);
    let matches = |credential: &&Credential| {
        let same_salt = credential.scram_salt == salt && credential.scram_iterations == iterations;
        same_salt && bool::from(credential.scram_stored_key.ct_eq(keys.stored_key.as_slice()))
    };
    let prepared = prepared(password);
    match credentials.iter().find(matches) {
        Some(credential) => argon2id().verify_password(prepared.reveal().as_bytes(), credential.argon2.as_str()).is_ok(),
        None => {
            let mut unused = [0; 32];
            // Done for the time it takes.
            let _ = argon2id().hash_password_into(prepared.reveal().as_bytes(), &[0; SALT_BYTES], &mut unused);
            std::hint::black_box(unused);
            false
        }
    }
}

/// The salt and the iterations that the credentials of an account share.
pub(super) fn parameters(credentials: &[Credential]) -> Option<(Vec<u8>, u32)> {
    credentials.first().map(|first| (first.scram_salt.clone(), first.scram_iterations))
}

/// The SCRAM keys of a credential; none if the row holds something else.
pub(super) fn scram_keys(credential: &Credential) -> Option<scram::Keys> {
    Some(scram::Keys {
        salt: credential.scram_salt.clone(),
        iterations: credential.scram_iterations,
        stored_key: credential.scram_stored_key.as_slice().try_into().ok()?,
        server_key: credential.scram_server_key.as_slice().try_into().ok()?,
    })
}

/// RFC 4616 §2 and RFC 5802 §2.2 prepare passwords alike.
fn prepared(password: &Secret) -> Secret {
    Secret::new(scram::prepare(password.reveal()))
}
