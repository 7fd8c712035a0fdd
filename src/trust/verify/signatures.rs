//! DKIM (RFC 6376, RFC 8463) and ARC (RFC 8617) signatures of a message: who answers for it.
//!
//! mail-auth does the arithmetic. What it would let pass is sorted out before: SHA-1 and what covers only a part of the
//! body (RFC 8301 §3.1, RFC 6376 §8.2), signatures that leave out From, and more of them than anybody needs. The fields are
//! split as readers of the header split them. Known gap: the moment until which a signature holds is judged by the clock of
//! this machine, which mail-auth reads itself.

use super::keys::Keys;
use super::lookup::Lookup;
use super::results::{Arc, ArcOutcome, Signature, SignatureOutcome};
use super::spf::is_name;
use super::witness::{FIELDS_MAX, Witnessed, a_label};
use mail_auth::common::crypto::{Algorithm, CryptoError, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::dkim::{self, Canonicalization, DkimError};
use mail_auth::{AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator, Parameters, arc};
use stoa_mime::header::{Field, fields};

/// DKIM signatures that are looked at, those of the author's domain first. Honest mail has one to four.
const DKIM_SIGNATURES_MAX: usize = 8;

/// ARC sets that are looked at (RFC 8617 §4.2.1 allows 50): as many hops that change mail, nobody has seen.
const ARC_SETS_MAX: usize = 20;

/// The signatures of a message, ready to be checked.
pub struct Signed<'a> {
    message: AuthenticatedMessage<'a>,
    /// What was sorted out, and why.
    refused: Vec<Signature>,
    arc_is_broken: bool,
}

impl<'a> Signed<'a> {
    /// Reads them. Those of `author_domain` come first.
    pub fn read(witnessed: &'a Witnessed, author_domain: Option<&str>) -> Self {
        let header = witnessed.header().unwrap_or_default();
        let mut signed = Self { message: AuthenticatedMessage::default(), refused: Vec::new(), arc_is_broken: false };
        for field in fields(header) {
            let name = header.get(field.range.start..field.range.end - field.raw.len() - 1).unwrap_or_default();
            signed.message.headers.push((name, field.raw));
            signed.take(&field, name);
        }
        let message = &mut signed.message;
        let is_foreign = |signature: &dkim::Signature| author_domain != Some(a_label(&signature.d).as_str());
        message.dkim_headers.sort_by_key(|field| is_foreign(&field.header));
        let beyond = message.dkim_headers.split_off(message.dkim_headers.len().min(DKIM_SIGNATURES_MAX));
        signed.refused.extend(beyond.iter().map(|field| refused(&field.header, SignatureOutcome::Policy, "too many signatures")));
        signed.refused.truncate(DKIM_SIGNATURES_MAX);
        message.as_headers.sort_by_key(|field| field.header.i);
        message.ams_headers.sort_by_key(|field| field.header.i);
        message.aar_headers.sort_by_key(|field| field.header.i);
        for form in [Canonicalization::Simple, Canonicalization::Relaxed] {
            let hash = witnessed.body_hash(form).map(|hash| hash.to_vec()).unwrap_or_default();
            message.body_hashes.push((form, HashAlgorithm::Sha256, 0, hash));
        }
        signed
    }

    fn take(&mut self, field: &Field<'a>, name: &'a [u8]) {
        let (message, value) = (&mut self.message, field.raw);
        match field.name.to_ascii_lowercase().as_slice() {
            b"dkim-signature" => match dkim::Signature::parse(value) {
                Ok(mut signature) => {
                    // Neither reports nor third parties that vouch are asked for.
                    (signature.r, signature.atps) = (false, None);
                    match unfit(&signature) {
                        None => message.dkim_headers.push(Header::new(name, value, signature)),
                        Some((outcome, reason)) => self.refused.push(refused(&signature, outcome, reason)),
                    }
                }
                Err(error) => {
                    let (outcome, reason) = (SignatureOutcome::Neutral, told(&error));
                    self.refused.push(Signature { outcome, domain: String::new(), selector: String::new(), algorithm: "", reason });
                }
            },
            b"arc-authentication-results" => match arc::Results::parse(value) {
                Ok(results) => message.aar_headers.push(Header::new(name, value, results)),
                Err(_) => self.arc_is_broken = true,
            },
            b"arc-message-signature" => match arc::Signature::parse(value) {
                Ok(signature) if signature.l == 0 && signature.a != Algorithm::RsaSha1 && signature.h.len() <= FIELDS_MAX => {
                    message.ams_headers.push(Header::new(name, value, signature));
                }
                _ => self.arc_is_broken = true,
            },
            b"arc-seal" => match arc::Seal::parse(value) {
                Ok(seal) if seal.a != Algorithm::RsaSha1 => message.as_headers.push(Header::new(name, value, seal)),
                _ => self.arc_is_broken = true,
            },
            _ => {}
        }
    }

    /// What came of the DKIM signatures.
    pub async fn dkim(&self, authenticator: &MessageAuthenticator, lookup: &dyn Lookup) -> Vec<Signature> {
        let mut keys = Keys::default();
        for field in &self.message.dkim_headers {
            keys.fetch(&field.header, lookup).await;
        }
        let outputs = authenticator.verify_dkim(Parameters::new(&self.message).with_txt_cache(&keys)).await;
        let checked = self.message.dkim_headers.iter().zip(&outputs).map(|(field, output)| {
            let (outcome, reason) = meaning(output.result());
            Signature { outcome, reason, ..refused(&field.header, outcome, "") }
        });
        checked.chain(self.refused.iter().cloned()).collect()
    }

    /// What came of the ARC sets: all of them together are one chain.
    pub async fn arc(&self, authenticator: &MessageAuthenticator, lookup: &dyn Lookup) -> Arc {
        let message = &self.message;
        let sets = message.as_headers.len();
        let failed = |reason| Arc { outcome: ArcOutcome::Fail, sealer: None, said: Vec::new(), reason };
        if self.arc_is_broken {
            return failed("a set is malformed");
        } else if sets == 0 && message.ams_headers.is_empty() && message.aar_headers.is_empty() {
            return Arc { outcome: ArcOutcome::None, ..failed("") };
        } else if sets > ARC_SETS_MAX {
            return failed("too many sets");
        }
        let mut keys = Keys::default();
        for seal in &message.as_headers {
            keys.fetch(&seal.header, lookup).await;
        }
        if let Some(signature) = message.ams_headers.last() {
            keys.fetch(&signature.header, lookup).await;
        }
        let output = authenticator.verify_arc(Parameters::new(message).with_txt_cache(&keys)).await;
        match (output.result(), message.as_headers.last(), message.aar_headers.last()) {
            (DkimResult::Pass, Some(seal), Some(results)) => {
                let (sealer, said) = (Some(a_label(&seal.header.d)), results.value.to_vec());
                Arc { outcome: ArcOutcome::Pass, sealer, said, reason: "" }
            }
            (result, ..) => match meaning(result) {
                (SignatureOutcome::TempError, reason) => Arc { outcome: ArcOutcome::TempError, ..failed(reason) },
                (_, "") => failed("the sets do not match"),
                (_, reason) => failed(reason),
            },
        }
    }
}

/// Why a signature is of no use, whatever its key says.
fn unfit(signature: &dkim::Signature) -> Option<(SignatureOutcome, &'static str)> {
    let covers_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    let names_are_good = is_label_name(&signature.s) && is_label_name(&signature.d) && signature.d.contains('.');
    Some(match signature {
        signature if signature.v != 1 || !names_are_good => (SignatureOutcome::Neutral, "the signature is malformed"),
        // RFC 6376 §5.4.
        _ if !covers_from => (SignatureOutcome::PermError, "From is not signed"),
        // RFC 8301 §3.1.
        signature if signature.a == Algorithm::RsaSha1 => (SignatureOutcome::Policy, "rsa-sha1 is too weak"),
        // RFC 6376 §8.2.
        signature if signature.l > 0 => (SignatureOutcome::Policy, "a part of the body is not signed"),
        signature if signature.h.len() > FIELDS_MAX => (SignatureOutcome::Policy, "too many fields are signed"),
        _ => return None,
    })
}

/// RFC 6376 §3.5: names of letters, digits and hyphens; selectors with underscores are about, and RFC 8616 §5 adds U-labels.
fn is_label_name(name: &str) -> bool {
    is_name(name) && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn refused(signature: &dkim::Signature, outcome: SignatureOutcome, reason: &'static str) -> Signature {
    let algorithm = match signature.a {
        Algorithm::RsaSha1 => "rsa-sha1",
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
    };
    // A name that DNS cannot have is not repeated: it may be as long as the header.
    let name = |name: &str| if is_label_name(name) { a_label(name) } else { String::new() };
    Signature { outcome, domain: name(&signature.d), selector: name(&signature.s), algorithm, reason }
}

/// RFC 8601 §2.7.1: a result in its words, and why.
fn meaning(result: &DkimResult) -> (SignatureOutcome, &'static str) {
    match result {
        DkimResult::Pass => (SignatureOutcome::Pass, ""),
        DkimResult::TempError(error) => (SignatureOutcome::TempError, told(error)),
        DkimResult::PermError(error) => (SignatureOutcome::PermError, told(error)),
        // A body that was changed is a failure like any other.
        DkimResult::Fail(error) | DkimResult::Neutral(error) => (SignatureOutcome::Fail, told(error)),
        DkimResult::None => (SignatureOutcome::Neutral, ""),
    }
}

fn told(error: &Error) -> &'static str {
    match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) | Error::Arc(arc::ArcError::FailedBodyHashMatch) => "the body was changed",
        Error::Dkim(DkimError::SignatureExpired) | Error::Arc(arc::ArcError::SignatureExpired) => "the signature has expired",
        Error::Dkim(DkimError::FailedAuidMatch) => "i= does not belong to d=",
        Error::Dkim(DkimError::RevokedPublicKey) => "the key was revoked",
        Error::Dkim(DkimError::UnsupportedKeyType) | Error::Crypto(CryptoError::IncompatibleAlgorithms) => "the key is of another kind",
        Error::Crypto(_) => "the signature does not match",
        Error::Dns(DnsError::Resolver(_)) => "the key cannot be fetched now",
        Error::Dns(DnsError::RecordNotFound(_)) => "there is no key",
        Error::Dns(DnsError::InvalidRecordType) => "the key cannot be used",
        Error::Arc(_) => "the sets do not match",
        _ => "the signature is malformed",
    }
}
