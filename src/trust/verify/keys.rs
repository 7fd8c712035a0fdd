//! Public keys of signatures, fetched before mail-auth asks for them, so that every question to DNS goes one way.
//!
//! mail-auth takes a proven absence in a signed zone for a failure that may pass, and knows no limits of ours; so it gets
//! its records from here and asks nobody. Reads records of strangers (RFC 6376 §3.6.1).

use super::lookup::{Failure, Lookup};
use super::spf::is_name;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::{DnsError, Error, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// What was found, or why not, by the name that mail-auth asks for.
#[derive(Default)]
pub struct Keys(HashMap<Box<str>, Txt>);

impl Keys {
    /// Fetches the key of a signature, unless it is here.
    pub async fn fetch(&mut self, signature: &impl VerifySignature, lookup: &dyn Lookup) {
        let name = signature.domain_key().to_lowercase();
        if self.0.contains_key(name.as_str()) {
            return;
        }
        let plain = name.strip_suffix('.').unwrap_or(&name);
        let found = if is_name(plain) { lookup.txt(plain).await } else { Err(Failure::NoName) };
        let record = match found {
            Ok(texts) => read(&texts),
            Err(Failure::Temporary) => Txt::Error(Error::Dns(DnsError::Resolver(String::new()))),
            Err(Failure::NoName | Failure::NoData) => absent(),
        };
        self.0.insert(name.into(), record);
    }
}

/// The first text that is a key for mail. RFC 6376 §3.6.2.2 leaves open which of several counts.
fn read(texts: &[Vec<u8>]) -> Txt {
    let mut outcome = absent();
    for text in texts {
        match DomainKey::parse(text) {
            Ok(key) if is_for_mail(text) => return key.into(),
            Ok(_) => outcome = Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
            Err(error) => outcome = Txt::Error(error),
        }
    }
    outcome
}

fn absent() -> Txt {
    Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)))
}

/// RFC 6376 §3.6.1: `s=` and `h=` say for what a key may be used, where they are there.
fn is_for_mail(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.map(|(name, values)| (name.trim(), values.split(':').map(str::trim).collect::<Vec<_>>())).all(|(name, values)| match name {
        "s" => values.iter().any(|value| matches!(*value, "*" | "email")),
        "h" => values.contains(&"sha256"),
        _ => true,
    })
}

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // What was not fetched is not there: nobody else is asked.
        Some(self.0.get(name).cloned().unwrap_or_else(absent))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_may_be_used_for() {
        let table = [
            ("v=DKIM1; p=AA==", true),
            ("v=DKIM1; s=*; h=sha1:sha256; p=AA==", true),
            ("s = email : x ; p=AA==", true),
            ("s=tlsrpt; p=AA==", false),
            ("h=sha1; p=AA==", false),
        ];
        for (text, fine) in table {
            assert_eq!(is_for_mail(text.as_bytes()), fine, "{text}");
        }
    }
}
