//! What a certificate authority is to find here while it looks whether a name is ours.
//!
//! A [`Challenges`] is shared by whoever orders a certificate and the ports that the authority comes to: a text under a
//! token for plain HTTP (RFC 8555 §8.3, HTTP-01), a certificate of a name for TLS (RFC 8737, TLS-ALPN-01). What was posted
//! is there until its [`Posted`] is dropped, so nothing is left behind when an order fails.
//!
//! Reads tokens and names from strangers, and gives out only what was posted for them.

use crate::net::tls::provider;
use anyhow::Context;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// RFC 8737 §6.2: what an authority offers in ALPN, alone.
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// All that is posted now.
#[derive(Debug, Default)]
pub struct Challenges {
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    tokens: HashMap<String, String>,
    names: HashMap<String, Arc<ServerConfig>>,
}

/// Keeps one answer posted until it is dropped.
#[derive(Debug)]
#[must_use = "what was posted is taken down with this"]
pub struct Posted {
    challenges: Arc<Challenges>,
    what: What,
}

#[derive(Debug)]
enum What {
    Token(String),
    Name(String),
}

impl Challenges {
    /// RFC 8555 §8.3: the text that belongs to a token.
    pub fn text(&self, token: &str) -> Option<String> {
        self.board().tokens.get(token).cloned()
    }

    /// What shakes hands with an authority that asks for this name, and speaks nothing after.
    pub(super) fn tls(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.board().names.get(&name.to_ascii_lowercase()).cloned()
    }

    /// Posts the text of a token.
    pub fn post_text(self: &Arc<Self>, token: &str, text: &str) -> Posted {
        self.board().tokens.insert(token.to_owned(), text.to_owned());
        Posted { challenges: Arc::clone(self), what: What::Token(token.to_owned()) }
    }

    /// RFC 8737 §3: posts a certificate of this name that holds the digest of the authority's text.
    pub fn post_name(self: &Arc<Self>, name: &str, digest: [u8; 32]) -> anyhow::Result<Posted> {
        let name = name.to_ascii_lowercase();
        let config = shake_hands_only(&name, digest).context("cannot make the certificate of a challenge")?;
        self.board().names.insert(name.clone(), Arc::new(config));
        Ok(Posted { challenges: Arc::clone(self), what: What::Name(name) })
    }

    #[cfg(test)]
    pub(super) fn is_posted(&self) -> bool {
        let board = self.board();
        !board.tokens.is_empty() || !board.names.is_empty()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut board = self.challenges.board();
        match &self.what {
            What::Token(token) => _ = board.tokens.remove(token),
            What::Name(name) => _ = board.names.remove(name),
        }
    }
}

/// RFC 8737 §3: signed by itself, for this name alone, with the digest in an extension that nobody may overlook.
fn shake_hands_only(name: &str, digest: [u8; 32]) -> anyhow::Result<ServerConfig> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    // Unchecked, since rustls does not know the extension that nobody may overlook; certificate and key are of one making.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], provider().key_provider.load_private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_ALPN.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_is_there_until_it_is_taken_down() {
        let challenges = Arc::new(Challenges::default());
        let text = challenges.post_text("token", "token.print");
        let name = challenges.post_name("Mail.example.org", [7; 32]).unwrap();
        assert_eq!(challenges.text("token").as_deref(), Some("token.print"));
        assert_eq!(challenges.text("other"), None);
        assert!(challenges.tls("mail.EXAMPLE.org").is_some());
        assert!(challenges.tls("example.org").is_none());
        drop((text, name));
        assert_eq!(challenges.text("token"), None);
        assert!(challenges.tls("mail.example.org").is_none());
    }
}
