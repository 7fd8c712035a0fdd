//! What is found out about a stranger's message while it comes: SPF during the dialogue, the rest at its end.
//!
//! Holds the question about the envelope, which runs beside the conversation, and what verification keeps of the message.
//! A decision is the verifier's; here it becomes a reply, a line in the log and a field on the message.

use super::refusals::Refused;
use crate::delivery::{Names, PathProof};
use crate::trust::Trust;
use crate::trust::doubt::{self, Facts};
use crate::trust::verify::{Connection, Disposition, Verifier, Witness, spf};
use std::net::IpAddr;
use std::sync::Arc;
use stoa_smtp::{Client, Reply, ReversePath};
use tokio::task::JoinSet;

/// Verifies one message of a stranger.
pub(super) struct Scrutiny {
    verifier: Arc<Verifier>,
    /// One task, which ends with this.
    envelope: JoinSet<Connection>,
    witness: Witness,
}

/// A message that is not refused.
pub(super) struct Judged {
    /// Who vouches for it.
    pub trust: Trust,
    /// Whether it is to be filed as junk.
    pub is_junk: bool,
    /// How much is to be doubted that it is wanted, in points.
    pub doubt: i32,
    /// Whether its reverse-path is that of whoever brought it.
    pub path: PathProof,
    /// The fields that tell what was found.
    pub fields: String,
}

impl Scrutiny {
    /// Begins to look at who brings a message.
    pub fn begin(verifier: &Arc<Verifier>, reverse_path: &ReversePath, client: &Client, now: i64) -> Self {
        let (looking, peer, helo) = (Arc::clone(verifier), client.peer, client.helo.clone());
        let mail_from = reverse_path.to_string();
        let mut envelope = JoinSet::new();
        envelope.spawn(async move { looking.of_connection(peer, &helo, &mail_from, now).await });
        Self { verifier: Arc::clone(verifier), envelope, witness: Witness::new() }
    }

    /// The message as it comes.
    pub fn push(&mut self, chunk: &[u8]) {
        self.witness.push(chunk);
    }

    /// All of it came: what is to become of it?
    pub async fn end(mut self, peer: IpAddr, id: &str, our_names: &Names) -> Result<Judged, Refused> {
        let Some(Ok(connection)) = self.envelope.join_next().await else { return Err(Refused(Reply::LOCAL_ERROR)) };
        let results = self.verifier.of_message(connection, &self.witness.finish()).await;
        tracing::debug!(%peer, id, results = results.words().join("; "), "verified a message");
        let is_junk = decide(peer, id, self.verifier.disposition(&results))?;
        let trust = self.verifier.trust(&results).from_peer(peer);
        let our_names: Vec<String> = std::iter::once(&our_names.hostname).chain(&our_names.domains).cloned().collect();
        let marks = doubt::marks(&Facts::of(&results, &our_names, trust.level()));
        let fields = self.verifier.field(&results) + &doubt::header(&marks).unwrap_or_default();
        let path = path_proof(results.connection.mail_from_spf.outcome);
        Ok(Judged { trust, is_junk, doubt: doubt::sum(&marks), path, fields })
    }
}

/// RFC 7208 §2.6: all but two of the results leave open whose the reverse-path is.
fn path_proof(spf: spf::Outcome) -> PathProof {
    match spf {
        spf::Outcome::Pass => PathProof::Proven,
        spf::Outcome::Fail => PathProof::Denied,
        _ => PathProof::Unproven,
    }
}

/// Is it junk? Or why it is refused.
fn decide(peer: IpAddr, id: &str, disposition: Disposition) -> Result<bool, Refused> {
    match disposition {
        Disposition::Deliver => Ok(false),
        Disposition::Excepted(why) => {
            tracing::info!(%peer, id, why, "takes a message although its author's domain asks otherwise");
            Ok(false)
        }
        Disposition::Junk(why) => {
            tracing::info!(%peer, id, why, "files a message as junk");
            Ok(true)
        }
        Disposition::Refuse(why) => {
            tracing::info!(%peer, id, why, "refused a message");
            Err(Refused(Reply::REFUSED_BY_POLICY.text(why)))
        }
        Disposition::Defer(why) => {
            tracing::info!(%peer, id, why, "put off a message");
            Err(Refused(Reply::POLICY_UNKNOWN.text(why)))
        }
    }
}
