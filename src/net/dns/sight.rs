//! Can we see signatures at all? Some name servers, often those of home routers, pass on neither signatures nor
//! proofs of absence; a validator behind them finds every name bogus.
//!
//! The look asks for the start of authority of an anchored zone and for a name that does not exist there: both must
//! come with signatures that hold. Whoever can strip signatures on the way can blind us from the start; nobody can
//! once they have been seen.

use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::proto::serialize::txt::trust_anchor::{Entry, Parser};
use std::time::{Duration, Instant};

use super::DnsError;
use super::answer::problem;

/// After name servers that did not answer.
const LOOK_AGAIN_AFTER_SILENCE: Duration = Duration::from_secs(30);

/// After name servers that hide signatures.
const LOOK_AGAIN_WHEN_BLIND: Duration = Duration::from_secs(600);

/// What is known of the way to signatures.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sight {
    /// Nothing: nobody answered yet. Lookups validate, and fail anyway.
    Unknown { looked: Option<Instant> },
    /// Signatures come through. Stays so.
    Clear,
    /// They do not.
    Blind { looked: Instant },
}

impl Sight {
    pub(super) fn wants_a_look(self) -> bool {
        match self {
            Self::Unknown { looked } => looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN_AFTER_SILENCE),
            Self::Clear => false,
            Self::Blind { looked } => looked.elapsed() >= LOOK_AGAIN_WHEN_BLIND,
        }
    }

    /// What is known after a look, given what was known before: silence changes nothing but the time.
    pub(super) fn after(self, before: Sight) -> Sight {
        match (before, self) {
            (Self::Blind { .. }, Self::Unknown { .. }) => Self::Blind { looked: Instant::now() },
            (_, seen) => seen,
        }
    }

    pub(super) fn tell(self, before: Sight) {
        match (before, self) {
            (Self::Blind { .. }, Self::Blind { .. }) => {}
            (_, Self::Blind { .. }) => tracing::error!(
                "the name servers of this machine hide DNSSEC signatures: names are looked up WITHOUT validation and DANE is off; \
                 install a resolver such as unbound on this machine, or name one in `servers` of section [dns]"
            ),
            (Self::Blind { .. }, Self::Clear) => tracing::info!("DNSSEC signatures come through again: names are validated"),
            _ => {}
        }
    }
}

/// Looks whether signatures come through.
pub(super) async fn look(resolver: &TokioResolver, zone: &Name) -> Sight {
    let now = Instant::now;
    match resolver.lookup(zone.clone(), RecordType::SOA).await {
        Ok(found) if found.answers().iter().all(|record| record.record_type() == RecordType::RRSIG || record.proof == Proof::Secure) => {}
        Ok(_) => return Sight::Blind { looked: now() },
        Err(error) => return unseen(&error),
    }
    let Ok(nobody) = Name::from_ascii(format!("nobody-{:016x}", rand::random::<u64>())).and_then(|name| name.append_domain(zone)) else {
        return Sight::Clear;
    };
    match resolver.lookup(nobody, RecordType::A).await {
        // A wildcard at the top of an anchored zone; it was validated.
        Ok(_) => Sight::Clear,
        Err(error) => match problem(&error, true) {
            DnsError::NoName { secure: true } | DnsError::NoData { secure: true } => Sight::Clear,
            _ => unseen(&error),
        },
    }
}

fn unseen(error: &NetError) -> Sight {
    let looked = Instant::now();
    match problem(error, true) {
        DnsError::Unavailable(_) => Sight::Unknown { looked: Some(looked) },
        DnsError::NoName { .. } | DnsError::NoData { .. } | DnsError::Bogus => Sight::Blind { looked },
    }
}

/// The anchors of a text, and a zone they are for. Without a key of the root in it, the root's own keys hold besides.
pub(super) fn anchors(text: Option<&str>) -> anyhow::Result<(TrustAnchors, Name)> {
    let Some(text) = text else { return Ok((TrustAnchors::default(), Name::root())) };
    let entries = Parser::new(text).parse();
    let entries = entries.context("the trust anchors are not DNSKEY records, such as \". 3600 IN DNSKEY 257 3 13 …\"")?;
    let keys: Vec<_> = entries.iter().filter_map(|entry| if let Entry::DNSKEY(key) = entry { Some(key) } else { None }).collect();
    let zone = keys.first().context("the file of trust anchors holds no DNSKEY record")?.name().clone();
    let mut anchors = if keys.iter().any(|key| key.name().is_root()) { TrustAnchors::empty() } else { TrustAnchors::default() };
    for key in keys {
        anchors.insert_with_name(key.data().public_key(), key.name().into());
    }
    Ok((anchors, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "3600 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";

    #[test]
    fn own_anchors_replace_the_root_or_stand_beside_it() {
        let (own_root, zone) = anchors(Some(&format!(". {KEY}\n"))).unwrap();
        assert_eq!((own_root.len(), zone.is_root()), (1, true));
        let (beside, zone) = anchors(Some(&format!("corp.example. {KEY}\n"))).unwrap();
        assert_eq!((beside.len(), zone.to_ascii().as_str()), (TrustAnchors::default().len(), "corp.example."));
        assert!(anchors(Some("")).is_err());
        assert!(anchors(Some("hello")).is_err());
    }

    #[test]
    fn silence_changes_nothing() {
        let silence = Sight::Unknown { looked: Some(Instant::now()) };
        assert!(matches!(silence.after(Sight::Blind { looked: Instant::now() }), Sight::Blind { .. }));
        assert!(!silence.wants_a_look());
        assert!(Sight::Unknown { looked: None }.wants_a_look());
        assert!(!Sight::Clear.wants_a_look());
    }
}
