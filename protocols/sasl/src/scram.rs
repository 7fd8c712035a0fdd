//! SCRAM-SHA-256 arithmetic (RFC 5802 §3, RFC 7677): keys from a password, and checking a proof.
//!
//! Pure functions; comparisons take the same time whatever they compare.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What the server stores of a password; it cannot be used to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Raw salt.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// Signs the server's last message.
    pub server_key: [u8; 32],
}

/// SASLprep (RFC 4013); a password it forbids is used as it stands, as clients do.
pub fn prepare(password: &str) -> String {
    stringprep::saslprep(password).map_or_else(|_| password.to_owned(), |text| text.into_owned())
}

/// RFC 5802 §3: SaltedPassword, then both keys.
pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Keys {
    let prepared = zeroize::Zeroizing::new(prepare(password));
    let mut salted = zeroize::Zeroizing::new([0u8; 32]);
    // It fails only for a key length HMAC refuses, and HMAC refuses none.
    let _ = pbkdf2::pbkdf2::<Hmac<Sha256>>(prepared.as_bytes(), salt, iterations, salted.as_mut());
    let client_key = hmac(&salted, b"Client Key");
    Keys { salt: salt.to_vec(), iterations, stored_key: Sha256::digest(client_key).into(), server_key: hmac(&salted, b"Server Key") }
}

/// The server's signature if the proof is right.
pub fn verify(keys: &Keys, auth_message: &[u8], client_proof: &[u8; 32]) -> Option<[u8; 32]> {
    let mut client_key = hmac(&keys.stored_key, auth_message);
    client_key.iter_mut().zip(client_proof).for_each(|(byte, proof)| *byte ^= proof);
    let stored: [u8; 32] = Sha256::digest(client_key).into();
    bool::from(stored.ct_eq(&keys.stored_key)).then(|| hmac(&keys.server_key, auth_message))
}

fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    // A key of one block or less is padded with zeros (RFC 2104 §2), which is what `new` takes.
    let mut block = [0u8; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}
