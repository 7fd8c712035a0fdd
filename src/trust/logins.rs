//! Logging in: answers what a SASL exchange asks, from the accounts in the store.
//!
//! A login is the address of an account or, without an `@`, its local part at the primary domain. Account password and
//! app passwords count alike, with every mechanism. Reads names and passwords of strangers, and lets them learn
//! neither whether an account exists nor how many passwords it has: an unknown login costs the same work and shows a
//! SCRAM salt that is always the same for it. Argon2id runs wait for one another, so that guessing cannot use up memory.

use super::passwords::{SALT_BYTES, SCRAM_ITERATIONS, check_slow, parameters, scram_keys};
use crate::store::{Account, Credential, Result, Store, StoreError, fold_address};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use stoa_sasl::{Answer, Question, Secret, scram};
use tokio::sync::Semaphore;

/// Says who may log in; clones share the limit of argon2id runs.
#[derive(Clone)]
pub struct Logins {
    store: Store,
    fake_salt_key: [u8; 32],
    primary_domain: Option<String>,
    argon2_runs: Arc<Semaphore>,
}

/// What is known of a login: nothing at all if there is no account.
struct Known {
    account: Option<Account>,
    credentials: Vec<Credential>,
    /// Salt and iterations that an unknown login shows.
    fallback: (Vec<u8>, u32),
}

impl Logins {
    /// `fake_salt_key` must stay the same from start to start; at most `argon2_at_once` passwords are checked at a time.
    pub fn new(store: Store, fake_salt_key: [u8; 32], argon2_at_once: usize) -> Self {
        let argon2_runs = Arc::new(Semaphore::new(argon2_at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { store, fake_salt_key, primary_domain: None, argon2_runs }
    }

    /// Takes logins without `@` for local parts at this domain; else they are unknown.
    pub fn with_primary_domain(self, domain: &str) -> Self {
        Self { primary_domain: Some(domain.to_owned()), ..self }
    }

    /// Answers an exchange. The granted account is its canonical address.
    pub async fn answer(&self, question: Question) -> Answer {
        match self.find_out(question).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "cannot look up a login");
                Answer::Unavailable
            }
        }
    }

    async fn find_out(&self, question: Question) -> Result<Answer> {
        match question {
            Question::Password { authorization, login, password } => self.password(&authorization, &login, password).await,
            Question::ScramParameters { login } => {
                let known = self.known(&login).await?;
                let (salt, iterations) = parameters(&known.credentials).unwrap_or(known.fallback);
                Ok(Answer::ScramParameters { salt, iterations })
            }
            Question::ScramProof { authorization, login, auth_message, client_proof } => {
                let known = self.known(&login).await?;
                let signature = proof(&known.credentials, &auth_message, &client_proof);
                let account = known.account.filter(|account| self.may_act_as(account, &authorization));
                Ok(match (account, signature) {
                    (Some(account), Some(signature)) => {
                        Answer::ScramGranted { account: account.address, server_signature: signature.to_vec() }
                    }
                    _ => Answer::Denied,
                })
            }
        }
    }

    async fn password(&self, authorization: &str, login: &str, password: Secret) -> Result<Answer> {
        let known = self.known(login).await?;
        // The semaphore is never closed, and a blocking task ends otherwise only by a panic: nothing is granted then.
        let Ok(_run) = self.argon2_runs.acquire().await else { return Ok(Answer::Unavailable) };
        let (credentials, fallback) = (known.credentials, known.fallback);
        let checked = tokio::task::spawn_blocking(move || check_slow(&password, &credentials, &fallback)).await;
        let Ok(right) = checked else { return Ok(Answer::Unavailable) };
        let account = known.account.filter(|account| right && self.may_act_as(account, authorization));
        Ok(account.map_or(Answer::Denied, |account| Answer::Granted { account: account.address }))
    }

    async fn known(&self, login: &str) -> Result<Known, StoreError> {
        let name = self.full(login);
        let fallback = (self.fake_salt(&name), SCRAM_ITERATIONS);
        let account = match self.store.find_address(&name).await? {
            Some(holder) => self.store.account(holder).await?,
            None => None,
        };
        let credentials = match &account {
            Some(account) => self.store.credentials(account.holder).await?,
            None => Vec::new(),
        };
        Ok(Known { account, credentials, fallback })
    }

    /// The address that a login means, folded.
    fn full(&self, login: &str) -> String {
        match &self.primary_domain {
            Some(domain) if !login.contains('@') => fold_address(&format!("{login}@{domain}")),
            _ => fold_address(login),
        }
    }

    /// RFC 4616 §2 lets somebody act as another; nobody may here.
    fn may_act_as(&self, account: &Account, authorization: &str) -> bool {
        authorization.is_empty() || self.full(authorization) == fold_address(&account.address)
    }

    /// RFC 5802 §9: without it, whoever asks twice would see which logins do not exist.
    fn fake_salt(&self, name: &str) -> Vec<u8> {
        let mut block = [0; 64];
        block[..self.fake_salt_key.len()].copy_from_slice(&self.fake_salt_key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(name.as_bytes());
        mac.finalize().into_bytes()[..SALT_BYTES].to_vec()
    }
}

/// The server's signature if the proof is that of any credential.
fn proof(credentials: &[Credential], auth_message: &[u8], client_proof: &[u8; 32]) -> Option<[u8; 32]> {
    if credentials.is_empty() {
        let nobody = scram::Keys { salt: Vec::new(), iterations: SCRAM_ITERATIONS, stored_key: [0; 32], server_key: [0; 32] };
        // Done for the time it takes: no proof is known that leads to a stored key of zeros, and none would be granted.
        std::hint::black_box(scram::verify(&nobody, auth_message, client_proof));
    }
    credentials.iter().filter_map(scram_keys).find_map(|keys| scram::verify(&keys, auth_message, client_proof))
}
