//! Proofs that a name or a type is not there.
//!
//! Standards: RFC 4035 §3.1.3 (NSEC), RFC 5155 §7.2 (NSEC3; no salt, no further iterations, as RFC 9276 §3.1 asks).

use super::zone::{Denial, Served, Set, record};
use hickory_resolver::proto::dnssec::Nsec3HashAlgorithm;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::collections::{BTreeMap, BTreeSet};

/// What the answer denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The type, of a name that exists.
    Type,
    /// The type, of a name that a wildcard makes.
    WildcardType,
    /// The name, and a wildcard for it.
    Name,
    /// The name alone: a wildcard made the answer.
    NameBeforeWildcard,
}

/// The records that prove it, not signed yet; none if the zone is not signed.
pub(super) fn proof(zone: &Served, name: &Name, denied: Denied) -> Vec<Set> {
    match zone.signer.as_ref().map(|signer| signer.denial) {
        None => Vec::new(),
        Some(Denial::Nsec) => by_nsec(zone, name, denied),
        Some(Denial::Nsec3) => Hashed::of(zone).proof(zone, name, denied),
    }
}

fn by_nsec(zone: &Served, name: &Name, denied: Denied) -> Vec<Set> {
    let wildcard = || zone.closest_encloser(name).prepend_label("*").expect("names of tests are short");
    let owners = match denied {
        Denied::Type | Denied::NameBeforeWildcard => vec![owner_before(zone, name)],
        Denied::WildcardType | Denied::Name => vec![owner_before(zone, name), owner_before(zone, &wildcard())],
    };
    owners.into_iter().collect::<BTreeSet<Name>>().iter().map(|owner| nsec(zone, owner)).collect()
}

/// The owner of the NSEC that matches or covers the name: the name itself, or the last one before it.
fn owner_before(zone: &Served, name: &Name) -> Name {
    zone.nodes.range(..=name.clone()).next_back().map_or_else(|| zone.origin.clone(), |(owner, _)| owner.clone())
}

fn nsec(zone: &Served, owner: &Name) -> Set {
    let after = zone.nodes.range(owner.clone()..).nth(1);
    let next = after.map_or(&zone.origin, |(next, _)| next);
    let data = NSEC::new_cover_self(next.clone(), zone.nodes[owner].keys().copied());
    vec![record(owner, RData::DNSSEC(DNSSECRData::NSEC(data)))]
}

/// The names of a zone by their hashes, in the order of NSEC3.
struct Hashed(BTreeMap<Vec<u8>, Vec<RecordType>>);

impl Hashed {
    fn of(zone: &Served) -> Hashed {
        let mut hashed = BTreeMap::new();
        for name in zone.nodes.keys() {
            // RFC 5155 §7.1: names that exist only above others count, too.
            let mut above = name.clone();
            while zone.origin.zone_of(&above) && !hashed.contains_key(&hash(&above)) {
                hashed.insert(hash(&above), types(zone, &above));
                if above.is_root() {
                    break;
                }
                above = above.base_name();
            }
        }
        Hashed(hashed)
    }

    fn proof(&self, zone: &Served, name: &Name, denied: Denied) -> Vec<Set> {
        if denied == Denied::Type {
            return vec![self.record(zone, &hash(name))];
        }
        let encloser = zone.closest_encloser(name);
        let next_closer = name.trim_to(usize::from(encloser.num_labels()) + 1);
        let wildcard = encloser.prepend_label("*").expect("names of tests are short");
        // RFC 5155 §7.2.2, §7.2.5 and §7.2.6. The encloser of a wildcard's answer is told by its signature.
        let names = match denied {
            Denied::NameBeforeWildcard => vec![next_closer],
            _ => vec![encloser, next_closer, wildcard],
        };
        let owners: BTreeSet<Vec<u8>> = names.iter().map(|name| self.owner(hash(name))).collect();
        owners.iter().map(|owner| self.record(zone, owner)).collect()
    }

    /// The hash that matches this one, or the last before it, around the end.
    fn owner(&self, hash: Vec<u8>) -> Vec<u8> {
        let before = self.0.range(..=hash).next_back().or_else(|| self.0.last_key_value());
        before.map(|(owner, _)| owner.clone()).expect("a zone has names")
    }

    fn record(&self, zone: &Served, owner: &[u8]) -> Set {
        let next = self.0.range(owner.to_vec()..).nth(1).or_else(|| self.0.first_key_value());
        let next = next.map(|(next, _)| next.clone()).expect("a zone has names");
        let data = NSEC3::new(Nsec3HashAlgorithm::SHA1, false, 0, Vec::new(), next, self.0[owner].iter().copied());
        vec![record(&owner_name(zone, owner), RData::DNSSEC(DNSSECRData::NSEC3(data)))]
    }
}

fn hash(name: &Name) -> Vec<u8> {
    Nsec3HashAlgorithm::SHA1.hash(&[], name, 0).expect("a name can be hashed").as_ref().to_vec()
}

fn types(zone: &Served, name: &Name) -> Vec<RecordType> {
    let kinds: Vec<RecordType> = zone.nodes.get(name).map(|node| node.keys().copied().collect()).unwrap_or_default();
    // Name servers of a child are not signed here; everything else is (RFC 5155 §7.1).
    let signs = kinds.iter().any(|kind| *kind != RecordType::NS);
    kinds.into_iter().chain(signs.then_some(RecordType::RRSIG)).collect()
}

/// RFC 5155 §3: the hash in base32hex, below the zone. The library writes that form only for the next hash of a record.
fn owner_name(zone: &Served, hash: &[u8]) -> Name {
    let bearer = NSEC3::new(Nsec3HashAlgorithm::SHA1, false, 0, Vec::new(), hash.to_vec(), []);
    let label = bearer.next_hashed_owner_name_base32().expect("SHA-1 fits a label");
    zone.origin.prepend_label(label).expect("zones have short names")
}
