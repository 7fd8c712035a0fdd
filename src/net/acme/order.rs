//! One order of a certificate, from the account to the chain in PEM (RFC 8555 §7).
//!
//! Trusts the authority to verify names and to sign, and nothing else: what it answers may be garbage, late or for another
//! key. Everything has a time limit; challenges are posted for as long as the order runs.

use super::client::{Client, Connect, Wish};
use super::plan::{Failure, Kind};
use crate::net::certificate::{SECRET, write};
use crate::net::{Challenges, Leaf, Posted, PostedText, Texts};
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A leaf and those between it and the root.
const CHAIN_CERTIFICATES_MAX: usize = 10;

/// For everything together.
const ORDER_SECONDS: Duration = Duration::from_secs(900);

/// How long is waited for the authority, step by step.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Before the first question whether a step is done; it doubles.
    pub first: Duration,
    /// For it to verify the names, and again for it to sign.
    pub step: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { first: Duration::from_secs(1), step: Duration::from_secs(300) }
    }
}

impl Pace {
    fn policy(self) -> RetryPolicy {
        RetryPolicy::new().initial_delay(self.first).backoff(2.0).timeout(self.step)
    }
}

/// What an order needs.
pub(super) struct Wanted<'a> {
    pub(super) directory_url: &'a str,
    pub(super) contact: Option<&'a str>,
    pub(super) account_file: &'a Path,
    pub(super) names: &'a [String],
    pub(super) kind: Kind,
    pub(super) key: &'a KeyPair,
    pub(super) challenges: &'a Arc<Challenges>,
    pub(super) texts: &'a Arc<Texts>,
    pub(super) pace: Pace,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Keeps posted what an authority looks for.
enum Shown {
    Answer { _taken_down: Posted },
    Record { _taken_down: PostedText },
}

/// In the keeper's folder: the account at the authority.
pub(super) const ACCOUNT_FILE: &str = "account.json";

/// Orders; gives the chain in PEM and its first certificate.
pub(super) async fn fetch(wanted: &Wanted<'_>, connect: &Connect) -> Result<(String, Leaf), Failure> {
    let wish = Wish::default();
    let mut refused = BTreeSet::new();
    let fetched = match tokio::time::timeout(ORDER_SECONDS, wanted.fetch(connect, &wish, &mut refused)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(anyhow::anyhow!("it was not done within {} minutes", ORDER_SECONDS.as_secs() / 60)),
    };
    fetched.map_err(|error| Failure { why: one_line(&format!("{error:#}")), names: refused, patience: wish.seconds(wanted.now) })
}

/// What an authority says ends in the log and in a mail: without control characters, and not endless.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 1_000;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

impl Wanted<'_> {
    async fn fetch(&self, connect: &Connect, wish: &Wish, refused: &mut BTreeSet<String>) -> anyhow::Result<(String, Leaf)> {
        let identifiers: Vec<Identifier> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let account = self.account(connect, wish).await?;
        let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
            // The authority forgot us, as a test authority does that began anew.
            Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {
                std::fs::remove_file(self.account_file).with_context(|| self.account_file.display().to_string())?;
                self.account(connect, wish).await?.new_order(&NewOrder::new(&identifiers)).await
            }
            ordered => ordered,
        }
        .context("the authority did not take the order")?;
        // Taken down when this ends, however it ends.
        let _posted = self.post(&mut order).await?;
        self.until_verified(&mut order, refused).await?;
        order.finalize_csr(&self.request()?).await.context("the authority did not take the request for the certificate")?;
        let chain = order.poll_certificate(&self.pace.policy()).await.context("the authority did not issue the certificate")?;
        self.check(&chain)
    }

    /// The account that was made last time, or a new one; its key is on disk before it is used.
    async fn account(&self, connect: &Connect, wish: &Wish) -> anyhow::Result<Account> {
        let builder = || Account::builder_with_http(Box::new(Client { carrier: connect(), wish: wish.clone() }));
        if let Some(kept) = Kept::read(self.account_file, self.directory_url)? {
            return builder().from_credentials(kept.credentials).await.context("cannot reach the authority");
        }
        let contact = self.contact.map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = builder().create(&wanted, self.directory_url.to_owned(), None).await;
        let (account, credentials) = made.context("the authority made no account")?;
        let kept = Kept { directory: self.directory_url.to_owned(), credentials };
        write(self.account_file, &serde_json::to_string_pretty(&kept)?, SECRET)?;
        Ok(account)
    }

    /// Posts what the authority will look for, then asks it to look.
    async fn post(&self, order: &mut Order) -> anyhow::Result<Vec<Shown>> {
        let mut posted = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("the authority does not say what it wants to see")?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            // Whatever else it asks for was not ordered.
            ensure!(self.names.contains(&name), "the authority asks for {}, which was not ordered", one_line(&name));
            let kind = match self.kind {
                Kind::Http01 => ChallengeType::Http01,
                Kind::TlsAlpn01 => ChallengeType::TlsAlpn01,
                Kind::Dns01 => ChallengeType::Dns01,
            };
            let mut challenge =
                authorization.challenge(kind).with_context(|| format!("the authority does not offer {:?} for {name}", self.kind))?;
            let answer = challenge.key_authorization();
            let answered = |posted| Shown::Answer { _taken_down: posted };
            posted.push(match self.kind {
                Kind::Http01 => answered(self.challenges.post_text(&challenge.token, answer.as_str())),
                Kind::TlsAlpn01 => answered(self.challenges.post_name(&name, Sha256::digest(answer.as_str()).into())?),
                // RFC 8555 §8.4.
                Kind::Dns01 => Shown::Record { _taken_down: self.texts.post(&format!("_acme-challenge.{name}"), &answer.dns_value()) },
            });
            challenge.set_ready().await.with_context(|| format!("the authority does not look for {name}"))?;
        }
        Ok(posted)
    }

    /// Waits until the authority has seen all; otherwise says which names it could not verify.
    async fn until_verified(&self, order: &mut Order, refused: &mut BTreeSet<String>) -> anyhow::Result<()> {
        let error = match order.poll_ready(&self.pace.policy()).await {
            Ok(OrderStatus::Ready) => return Ok(()),
            Ok(_) => anyhow::anyhow!("the authority could not verify a name"),
            Err(Error::Timeout(_)) => bail!("the authority did not verify the names within {} seconds", self.pace.step.as_secs()),
            Err(error) => error.into(),
        };
        let mut reasons = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(state) = authorization.refresh().await else { continue };
            if state.status != AuthorizationStatus::Invalid {
                continue;
            }
            let name = state.identifier().to_string();
            let why = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()).map(ToString::to_string);
            reasons.push(format!("{name}: {}", why.unwrap_or_else(|| "no reason given".to_owned())));
            refused.insert(name);
        }
        if reasons.is_empty() { Err(error) } else { bail!("the authority could not verify {}", reasons.join("; ")) }
    }

    /// RFC 8555 §7.4: the request, for our key.
    fn request(&self) -> anyhow::Result<Vec<u8>> {
        let mut params = CertificateParams::new(self.names)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(self.key).context("cannot sign a request with this key")?.der().to_vec())
    }

    /// Is this a chain that can be put in place? It is written anew, so that nothing but certificates goes to the file.
    fn check(&self, chain: &str) -> anyhow::Result<(String, Leaf)> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.context("what the authority gave is not PEM")?;
        ensure!((1..=CHAIN_CERTIFICATES_MAX).contains(&chain.len()), "the authority gave {} certificates", chain.len());
        let leaf = Leaf::of_der(&chain[0]).context("what the authority gave is broken")?;
        let key: [u8; 32] = Sha256::digest(self.key.subject_public_key_info()).into();
        ensure!(leaf.key_sha256 == key, "the authority gave a certificate for another key");
        ensure!(!leaf.self_signed, "the authority gave a certificate that nobody signed");
        ensure!(leaf.not_after > self.now, "the authority gave a certificate that is over already");
        if let Some(missing) = self.names.iter().find(|name| !leaf.covers(name)) {
            bail!("the authority gave a certificate without {missing}");
        }
        Ok((chain.iter().map(|der| pem(der)).collect(), leaf))
    }
}

fn is(problem: &instant_acme::Problem, kind: &str) -> bool {
    // RFC 8555 §6.7.
    problem.r#type.as_deref().and_then(|own| own.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
}

/// RFC 7468 §2: lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: String = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// The account at the authority of this directory, by the URL that CAA records may name (RFC 8657 §3); none before the first order.
pub fn account_uri(folder: &Path, directory_url: &str) -> Option<String> {
    let kept = Kept::read(&folder.join(ACCOUNT_FILE), directory_url).ok()??;
    // The crate shows the URL to nobody but serde.
    Some(serde_json::to_value(&kept.credentials).ok()?.get("id")?.as_str()?.to_owned())
}

/// The account as it is kept: another directory is another authority, which does not know it.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Kept {
    fn read(file: &Path, directory_url: &str) -> anyhow::Result<Option<Kept>> {
        let text = match std::fs::read(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| file.display().to_string())?,
        };
        let kept: Kept =
            serde_json::from_slice(&text).with_context(|| format!("{} is broken: delete it to have a new account made", file.display()))?;
        Ok(Some(kept).filter(|kept| kept.directory == directory_url))
    }
}
