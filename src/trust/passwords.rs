//! Passwords: making them, and making and checking what is stored of them.
//!
//! A credential holds an argon2id hash and SCRAM keys of the same password, prepared with SASLprep (RFC 4013). SCRAM
//! shows one salt per login, so all credentials of an account share salt and iterations, and any of them can log in.
//! The functions named `…_slow` compute for tens of milliseconds: they belong on a blocking thread.

use crate::store::Credential;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use stoa_sasl::{Secret, scram};
use subtle::ConstantTimeEq;

/// Memory of one argon2id run, in KiB. OWASP's password storage cheat sheet: 19 MiB with two passes and one lane.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;

/// Passes over that memory.
const ARGON2_PASSES: u32 = 2;

/// Lanes: runs at once are limited elsewhere, so one run uses one core.
const ARGON2_LANES: u32 = 1;

/// What is reserved for a run, in KiB: a block of over 32 MiB is the system's own affair, and glibc gives it back as soon
/// as it is free; smaller ones of this size would stay with the process, one for every thread that ever ran. What a run
/// does not need is never touched and costs nothing.
const ARGON2_RESERVED_KIB: usize = 33 * 1024;

/// Octets of an argon2id hash.
const ARGON2_HASH_BYTES: usize = 32;

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

/// One run of argon2id (RFC 9106).
fn argon2id(password: &Secret, salt: &[u8], params: Params) -> argon2::Result<[u8; ARGON2_HASH_BYTES]> {
    let mut memory: Vec<Block> = Vec::with_capacity(ARGON2_RESERVED_KIB.max(params.block_count()));
    memory.resize(params.block_count(), Block::new());
    let mut hash = [0; ARGON2_HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(prepared(password).reveal().as_bytes(), salt, &mut hash, &mut memory)?;
    Ok(hash)
}

/// Those of new passwords.
fn params() -> Params {
    // The constants above are within the bounds of RFC 9106 §3.1.
    Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, Some(ARGON2_HASH_BYTES)).expect("argon2 parameters are in range")
}

/// A PHC string with a salt of its own.
fn hash_slow(password: &Secret) -> String {
    let salt = rand::random::<[u8; SALT_BYTES]>();
    // It fails only for salts and passwords of lengths that these are far from.
    let hash = argon2id(password, &salt, params()).expect("argon2 takes any password");
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_LANES}${salt}${hash}")
}

/// Does the PHC string belong to this password? A string that is not ours belongs to none.
fn is_hash_slow(stored: &str, password: &Secret) -> bool {
    let known = PasswordHash::new(stored).ok().and_then(|known| {
        let (salt, hash, params) = (known.salt?, known.hash?, Params::try_from(&known).ok()?);
        Some((salt, hash, params))
    });
    let Some((salt, hash, params)) = known else { return false };
    argon2id(password, salt.as_ref(), params).is_ok_and(|found| bool::from(found.as_slice().ct_eq(hash.as_bytes())))
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
    match credentials.iter().find(matches) {
        Some(credential) => is_hash_slow(&credential.argon2, password),
        None => {
            // Done for the time it takes.
            _ = std::hint::black_box(argon2id(password, &[0; SALT_BYTES], params()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_others() {
        // The reference implementation's own test: 64 MiB, two passes, one lane.
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(is_hash_slow(stored, &secret("password")));
        assert!(!is_hash_slow(stored, &secret("passwort")));
        assert!(is_hash_slow(&hash_slow(&secret("wisdom")), &secret("wisdom")));
        for damaged in ["", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", &stored.replace("CTF", "CTG")] {
            assert!(!is_hash_slow(damaged, &secret("password")), "{damaged}");
        }
    }
}
