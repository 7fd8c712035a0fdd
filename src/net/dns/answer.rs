//! From a response to what it says: the alias chain from the name that was asked for, the records at its end, and
//! whether all of that was validated. Records that do not belong to the question are not looked at.

use super::{DnsError, Found, RECORDS_MAX, name};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError as NetDnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Aliases that are followed.
const ALIASES_MAX: usize = 16;

/// A response to a question.
pub(super) struct Answer {
    asked: Name,
    kind: RecordType,
    lookup: Lookup,
    validated: bool,
}

impl Answer {
    pub(super) fn new(asked: Name, kind: RecordType, lookup: Lookup, validated: bool) -> Self {
        Self { asked, kind, lookup, validated }
    }

    /// The records at the end of the chain.
    pub(super) fn records<T>(&self, read: impl Fn(&RData) -> Option<T>) -> Result<Found<T>, DnsError> {
        let aliases = self.aliases();
        let holder = aliases.last().map_or(&self.asked, |(_, target)| target);
        let own = |record: &&Record| record.record_type() == self.kind && record.name == *holder;
        let held: Vec<&Record> = self.lookup.answers().iter().filter(own).take(RECORDS_MAX).collect();
        let records: Vec<T> = held.iter().filter_map(|record| read(&record.data)).collect();
        if records.is_empty() {
            return Err(DnsError::NoData { secure: false });
        }
        let secure = |record: &Record| self.validated && record.proof == Proof::Secure;
        Ok(Found {
            records,
            secure: aliases.iter().all(|(alias, _)| secure(alias)) && held.iter().all(|record| secure(record)),
            name: name::text(holder),
            alias_secure: aliases.first().is_some_and(|(alias, _)| secure(alias)),
            ttl: self.lookup.valid_until().saturating_duration_since(Instant::now()),
        })
    }

    /// Each alias with what it stands for, from the name that was asked for.
    fn aliases(&self) -> Vec<(&Record, &Name)> {
        let mut chain: Vec<(&Record, &Name)> = Vec::new();
        if self.kind == RecordType::CNAME {
            return chain;
        }
        while chain.len() < ALIASES_MAX {
            let at = chain.last().map_or(&self.asked, |(_, target)| target);
            let next = self.lookup.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == *at => Some((record, &target.0)),
                _ => None,
            });
            match next {
                Some(link) => chain.push(link),
                None => break,
            }
        }
        chain
    }
}

/// Both kinds of addresses as one answer. Addresses of one kind are enough; without any, what may pass counts before
/// what is known to be absent.
pub(super) fn both(six: Result<Found<IpAddr>, DnsError>, four: Result<Found<IpAddr>, DnsError>) -> Result<Found<IpAddr>, DnsError> {
    match (six, four) {
        (Ok(mut six), Ok(four)) => {
            six.records.extend(four.records);
            let ttl: Duration = six.ttl.min(four.ttl);
            // RFC 7672 §2.2.2: both kinds, or neither can be believed.
            let (secure, alias_secure) = (six.secure && four.secure, six.alias_secure && four.alias_secure);
            Ok(Found { secure, alias_secure, ttl, ..six })
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(first @ (DnsError::Bogus | DnsError::Unavailable(_))), Err(_)) => Err(first),
        (Err(_), Err(second)) => Err(second),
    }
}

/// What a failed lookup means.
pub(super) fn problem(error: &NetError, validated: bool) -> DnsError {
    match error {
        NetError::Dns(NetDnsError::NoRecordsFound(none)) => {
            let proofs = none.authorities.iter().flat_map(|records| records.iter());
            let mut proofs = proofs.filter(|record| record.record_type() != RecordType::RRSIG).peekable();
            let secure = validated && proofs.peek().is_some() && proofs.all(|record| record.proof == Proof::Secure);
            absent(none.response_code, secure)
        }
        // Validated as far as it goes: the zone asks for more hashing than we do (RFC 9276 §3.2).
        NetError::Dns(NetDnsError::Nsec { response, proof: Proof::Insecure, .. }) => absent(response.response_code, false),
        NetError::Dns(NetDnsError::Nsec { .. } | NetDnsError::DnssecBogus) => DnsError::Bogus,
        NetError::Dns(NetDnsError::ResponseCode(code)) => DnsError::Unavailable(format!("the name servers answered {code}")),
        NetError::Timeout => DnsError::Unavailable("the name servers did not answer in time".to_owned()),
        other => DnsError::Unavailable(format!("the name servers could not be asked: {other}")),
    }
}

fn absent(code: ResponseCode, secure: bool) -> DnsError {
    if code == ResponseCode::NXDomain { DnsError::NoName { secure } } else { DnsError::NoData { secure } }
}
