//! Verifying what comes in: who brought it, who answers for it, and what its author's domain wants to become of it.
//!
//! [`Verifier::of_connection`] judges an envelope (iprev, SPF), [`Verifier::of_message`] the message that a [`Witness`] saw
//! stream by (DKIM, ARC, DMARC). What they find are [`Results`]; what follows from it is decided in [`judge`], by pure
//! functions: a [`Trust`], a [`Disposition`], and the field that tells readers. DNS is asked through [`lookup::Lookup`], for a
//! limited time and a limited number of questions; what cannot be found out proves nothing. All of it reads bytes from
//! strangers. Standards: RFC 7208, 6376, 8301, 8463, 8617, 9989, 8601.

mod body;
pub mod dmarc;
mod judge;
mod keys;
pub mod lookup;
mod results;
#[cfg(test)]
pub(crate) mod script;
mod signatures;
pub mod spf;
#[cfg(test)]
mod tests;
mod witness;

pub use judge::{Disposition, Exceptions};
pub use results::{Arc, ArcOutcome, Connection, Iprev, Results, Signature, SignatureOutcome};
pub use witness::{Authors, HEADER_BYTES_MAX, Witness, Witnessed};

use super::Trust;
use dmarc::Proofs;
use lookup::{Bounded, Failure, Family, Lookup};
use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::config::ResolverConfig;
use signatures::Signed;
use std::net::IpAddr;
use std::time::Duration;
use stoa_mime::header;
use tokio::time::Instant;
use witness::a_label;

/// For all that DNS is asked about an envelope, about the keys of a message and about its author's policy, each. RFC 7208
/// §4.6.4 asks for 20 at least.
const DNS_SECONDS: Duration = Duration::from_secs(20);

/// Questions about an envelope. RFC 7208 §4.6.4 lets one SPF record lead to some hundred, and there are two.
const ENVELOPE_QUESTIONS_MAX: usize = 250;

/// Questions about a message: a key for each signature and seal; then eight for each domain that may be the author's.
const MESSAGE_QUESTIONS_MAX: usize = 150;

/// Names of the peer that are looked at.
const PEER_NAMES_MAX: usize = 3;

/// Judges mail of strangers.
pub struct Verifier {
    lookup: std::sync::Arc<dyn Lookup>,
    authenticator: MessageAuthenticator,
    hostname: String,
    exceptions: Exceptions,
    patience: Duration,
}

impl Verifier {
    /// Asks `lookup`, is called `hostname` in what it says, and makes these exceptions.
    pub fn new(lookup: std::sync::Arc<dyn Lookup>, hostname: &str, exceptions: Exceptions) -> anyhow::Result<Self> {
        // It gets every record from us and asks nobody, so it has nobody to ask.
        let nobody = ResolverConfig::from_name_servers(Vec::new());
        let authenticator = MessageAuthenticator::new(nobody, Default::default())?;
        Ok(Self { lookup, authenticator, hostname: hostname.to_owned(), exceptions, patience: DNS_SECONDS })
    }

    /// What is to be known of who brings a message. `mail_from` is empty for the null reverse-path; `now` is in seconds.
    pub async fn of_connection(&self, peer: IpAddr, helo: &str, mail_from: &str, now: i64) -> Connection {
        let lookup = &Bounded::new(&*self.lookup, Instant::now() + self.patience, ENVELOPE_QUESTIONS_MAX);
        let peer = peer.to_canonical();
        let postmaster = format!("postmaster@{helo}");
        let mail_from = match mail_from.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", a_label(domain)),
            None => String::new(),
        };
        let request = |sender| spf::Request { peer, helo, sender, receiver: &self.hostname, now };
        let of_mail_from = async { if mail_from.is_empty() { None } else { Some(spf::check(request(&mail_from), lookup).await) } };
        let (iprev, helo_spf, mail_from_spf) = tokio::join!(iprev(peer, lookup), spf::check(request(&postmaster), lookup), of_mail_from);
        // RFC 7208 §2.4: of the null reverse-path.
        let mail_from_spf = mail_from_spf.unwrap_or_else(|| helo_spf.clone());
        Connection { peer, iprev, helo: helo.to_owned(), helo_spf, mail_from, mail_from_spf }
    }

    /// What is to be known of a message that came so.
    pub async fn of_message(&self, connection: Connection, message: &Witnessed) -> Results {
        let lookup = &Bounded::new(&*self.lookup, Instant::now() + self.patience, MESSAGE_QUESTIONS_MAX);
        let authors = message.authors();
        let signed = Signed::read(message, dmarc::author_domain(&authors.addresses));
        let (signatures, arc) = tokio::join!(signed.dkim(&self.authenticator, lookup), signed.arc(&self.authenticator, lookup));
        let spf_domain = match connection.mail_from.rsplit_once('@') {
            Some((_, domain)) => domain.to_owned(),
            None => a_label(&connection.helo),
        };
        let proofs = Proofs { spf: connection.mail_from_spf.outcome, spf_domain: &spf_domain, signatures: &signatures };
        // Time and questions of its own: else signatures whose keys never come would use up those for the policy.
        let lookup = &Bounded::new(&*self.lookup, Instant::now() + self.patience, MESSAGE_QUESTIONS_MAX);
        let dmarc = dmarc::check(&authors.addresses, proofs, lookup).await;
        Results { connection, signatures, arc, dmarc, authors, header_is_cut: message.too_long, list_id: list_id(message) }
    }

    /// The trust that the results prove.
    pub fn trust(&self, results: &Results) -> Trust {
        judge::trust(results)
    }

    /// What becomes of the message.
    pub fn disposition(&self, results: &Results) -> Disposition {
        judge::disposition(results, &self.exceptions)
    }

    /// The Authentication-Results field with CRLF, in this host's name.
    pub fn field(&self, results: &Results) -> String {
        results.field(&self.hostname)
    }
}

/// RFC 8601 §3.
async fn iprev(peer: IpAddr, lookup: &dyn Lookup) -> Iprev {
    let names = match lookup.names_of(peer).await {
        Ok(names) => names,
        Err(Failure::Temporary) => return Iprev::TempError,
        Err(_) => return Iprev::PermError,
    };
    let mut outcome = Iprev::Fail;
    for name in names.iter().take(PEER_NAMES_MAX) {
        match lookup.addresses(name, Family::of(peer)).await {
            Ok(addresses) if addresses.contains(&peer) => return Iprev::Pass(name.trim_end_matches('.').to_owned()),
            Err(Failure::Temporary) => outcome = Iprev::TempError,
            _ => {}
        }
    }
    outcome
}

/// RFC 2919 §3: List-Id: [phrase] "<" list-id ">"
fn list_id(message: &Witnessed) -> Option<String> {
    let mut fields = header::fields(message.header()?).filter(|field| field.is("List-Id"));
    let value = String::from_utf8_lossy(&fields.next()?.value()).into_owned();
    let id = value.rsplit_once('<')?.1.split_once('>')?.0.trim().to_ascii_lowercase();
    fields.next().is_none().then_some(id).filter(|id| !id.is_empty())
}
