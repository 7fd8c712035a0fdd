//! One zone: its records, its key, and what a name in it has.
//!
//! Records are signed when they are asked for, so that a change needs no signing of the whole zone, and a fault can
//! spoil one signature alone.
//!
//! Standards: RFC 1034 §4.3.2 and RFC 4592 (finding a name, wildcards), RFC 4034 (records of DNSSEC).

use super::Flaw;
use hickory_resolver::proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey};
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG, SigInput};
use hickory_resolver::proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, SigningKey, TBS};
use hickory_resolver::proto::rr::rdata::{A, NS, SOA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use hickory_resolver::proto::serialize::txt::Parser;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Of every record whose text says no other: changes are seen at once.
const TTL_SECONDS: u32 = 1;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A zone as a test writes it down.
///
/// The text is that of a zone file (RFC 1035 §5.1) whose lines all begin with their owner; blanks in front are
/// ignored, TTL and class may be left out. SOA, NS, keys and delegations are made up where the text has none.
#[derive(Debug, Clone)]
pub struct Zone {
    pub(super) origin: Name,
    text: String,
    signing: Option<Signing>,
}

/// How a zone is signed.
#[derive(Debug, Clone, Copy)]
struct Signing {
    algorithm: Algorithm,
    denial: Denial,
    flaw: Option<Flaw>,
}

/// What proves that something is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    Nsec,
    Nsec3,
}

impl Zone {
    /// Signed with Ed25519 and NSEC, with a DS in its parent.
    pub fn signed(origin: &str, text: &str) -> Zone {
        let signing = Signing { algorithm: Algorithm::ED25519, denial: Denial::Nsec, flaw: None };
        Zone { signing: Some(signing), ..Zone::unsigned(origin, text) }
    }

    /// Not signed, which its parent proves by having no DS.
    pub fn unsigned(origin: &str, text: &str) -> Zone {
        Zone { origin: absolute(origin), text: text.to_owned(), signing: None }
    }

    /// Signed with ECDSA on P-256 instead.
    pub fn ecdsa(self) -> Zone {
        self.signing(|signing| signing.algorithm = Algorithm::ECDSAP256SHA256)
    }

    /// Denies by NSEC3 (RFC 5155) instead.
    pub fn nsec3(self) -> Zone {
        self.signing(|signing| signing.denial = Denial::Nsec3)
    }

    /// All its signatures have this flaw, so that everything in it is bogus.
    pub fn flawed(self, flaw: Flaw) -> Zone {
        self.signing(|signing| signing.flaw = Some(flaw))
    }

    fn signing(mut self, change: impl FnOnce(&mut Signing)) -> Zone {
        change(self.signing.as_mut().expect("only a signed zone is signed in some way"));
        self
    }
}

/// A name of the test's, made absolute.
pub(super) fn absolute(name: &str) -> Name {
    let mut parsed = Name::from_ascii(name).unwrap_or_else(|error| panic!("{name} is no name: {error}"));
    parsed.set_fqdn(true);
    parsed.to_lowercase()
}

/// A type of records of the test's, such as `MX`.
pub(super) fn record_type(kind: &str) -> RecordType {
    RecordType::from_str(kind).unwrap_or_else(|_| panic!("{kind} is no type of records"))
}

/// Records of one name and type.
pub(super) type Set = Vec<Record>;

/// A zone that is served.
pub(super) struct Served {
    pub(super) origin: Name,
    /// In canonical order (RFC 4034 §6.1), as NSEC needs it.
    pub(super) nodes: BTreeMap<Name, BTreeMap<RecordType, Set>>,
    pub(super) signer: Option<Signer>,
}

/// A key and what it does with it.
pub(super) struct Signer {
    key: Box<dyn SigningKey>,
    pub(super) public: PublicKeyBuf,
    pub(super) denial: Denial,
    pub(super) flaw: Option<Flaw>,
}

/// What a zone has for a name and a type.
pub(super) enum Found {
    /// Records of the type.
    Set(Set),
    /// An alias where records of another type were asked for.
    Alias(Set),
    /// The same by a wildcard, whose records these are.
    Wildcard(Set),
    /// The name is there, the type is not.
    NoData,
    /// The name is not there.
    NoName,
}

impl Served {
    pub(super) fn new(zone: &Zone) -> Served {
        let signer = zone.signing.map(Signer::new);
        let mut served = Served { origin: zone.origin.clone(), nodes: BTreeMap::new(), signer };
        let host = served.origin.prepend_label("ns").expect("zones have short names");
        let soa = SOA::new(host.clone(), host.clone(), 1, 3600, 600, 86_400, TTL_SECONDS);
        served.put(vec![record(&served.origin, RData::SOA(soa))]);
        served.put(vec![record(&served.origin, RData::NS(NS(host.clone())))]);
        served.put(vec![record(&host, RData::A(A(Ipv4Addr::LOCALHOST)))]);
        if let Some(signer) = &served.signer {
            let key = DNSKEY::from_key(&signer.public);
            served.put(vec![record(&zone.origin, RData::DNSSEC(DNSSECRData::DNSKEY(key)))]);
        }
        served.read(&zone.text);
        served
    }

    /// Takes in records of a zone file; they replace what their names had of their types.
    pub(super) fn read(&mut self, text: &str) {
        let lines: String = text.lines().map(|line| format!("{}\n", line.trim())).collect();
        let parser = Parser::new(format!("$TTL {TTL_SECONDS}\n{lines}"), None, Some(self.origin.clone()));
        let (_, sets) = parser.parse().unwrap_or_else(|error| panic!("this is no zone file: {error}\n{lines}"));
        for set in sets.into_values() {
            self.put(set.records_without_rrsigs().cloned().collect());
        }
    }

    /// Delegates to a child: its name servers and, if it is signed, its key (RFC 4035 §2.4).
    pub(super) fn delegate(&mut self, child: &Served) {
        self.put(child.nodes[&child.origin][&RecordType::NS].clone());
        if let Some(signer) = &child.signer {
            let ds = DS::from_key(&signer.public, &child.origin, DigestType::SHA256).expect("a key has a digest");
            self.put(vec![record(&child.origin, RData::DNSSEC(DNSSECRData::DS(ds)))]);
        }
    }

    fn put(&mut self, set: Set) {
        let (name, kind) = (set[0].name.to_lowercase(), set[0].record_type());
        assert!(self.origin.zone_of(&name), "{name} does not lie in {}", self.origin);
        self.nodes.entry(name).or_default().insert(kind, set);
    }

    pub(super) fn soa(&self) -> &Set {
        &self.nodes[&self.origin][&RecordType::SOA]
    }

    /// RFC 1034 §4.3.2, without the steps for delegations: the caller chose the right zone.
    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Found {
        if self.has(name) {
            return match self.nodes.get(name).and_then(|node| pick(node, kind)) {
                Some(set) if is_alias(&set, kind) => Found::Alias(set),
                Some(set) => Found::Set(set),
                None => Found::NoData,
            };
        }
        // RFC 4592 §3.3.1: only a wildcard at the closest encloser counts.
        let wildcard = self.closest_encloser(name).prepend_label("*").expect("names of tests are short");
        match self.nodes.get(&wildcard) {
            None => Found::NoName,
            Some(node) => pick(node, kind).map_or(Found::NoData, Found::Wildcard),
        }
    }

    /// Is there such a name, or one below it (RFC 4592 §2.2.2)?
    pub(super) fn has(&self, name: &Name) -> bool {
        self.nodes.range(name.clone()..).next().is_some_and(|(next, _)| name.zone_of(next))
    }

    /// The longest existing name above one that does not exist.
    pub(super) fn closest_encloser(&self, name: &Name) -> Name {
        let mut above = name.base_name();
        while !self.has(&above) {
            above = above.base_name();
        }
        above
    }

    /// The records with their signature, if the zone is signed. `flaw` spoils it in place of the zone's own.
    pub(super) fn signed(&self, set: &Set, flaw: Option<Flaw>, now: u64) -> Set {
        let signature = self.signer.as_ref().and_then(|signer| signer.sign(set, &self.origin, flaw.or(signer.flaw), now));
        set.iter().cloned().chain(signature).collect()
    }
}

fn pick(node: &BTreeMap<RecordType, Set>, kind: RecordType) -> Option<Set> {
    node.get(&kind).or_else(|| node.get(&RecordType::CNAME)).cloned()
}

pub(super) fn is_alias(set: &Set, kind: RecordType) -> bool {
    set[0].record_type() == RecordType::CNAME && kind != RecordType::CNAME
}

pub(super) fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_SECONDS, data)
}

impl Signer {
    fn new(signing: Signing) -> Signer {
        let key: Box<dyn SigningKey> = match signing.algorithm {
            Algorithm::ED25519 => {
                let der = Ed25519SigningKey::generate_pkcs8().expect("a key can be made");
                Box::new(Ed25519SigningKey::from_pkcs8(&der).expect("a key that was made can be read"))
            }
            algorithm => {
                let der = EcdsaSigningKey::generate_pkcs8(algorithm).expect("a key can be made");
                Box::new(EcdsaSigningKey::from_pkcs8(&der, algorithm).expect("a key that was made can be read"))
            }
        };
        let public = key.to_public_key().expect("a key has a public half");
        Signer { key, public, denial: signing.denial, flaw: signing.flaw }
    }

    /// RFC 4034 §3. A wildcard's signature counts its labels without the asterisk (§3.1.3).
    fn sign(&self, set: &Set, zone: &Name, flaw: Option<Flaw>, now: u64) -> Option<Record> {
        let (name, ttl) = (&set[0].name, set[0].ttl);
        let (from, until) = match flaw {
            Some(Flaw::Missing) => return None,
            Some(Flaw::Expired) => (now - 2 * DAY, now - DAY),
            Some(Flaw::Wrong) | None => (now - HOUR, now + DAY),
        };
        // Serial numbers of 32 bits, which may wrap (RFC 4034 §3.1.5).
        let serial = |time: u64| SerialNumber::new(u32::try_from(time & u64::from(u32::MAX)).expect("32 bits"));
        let input = SigInput {
            type_covered: set[0].record_type(),
            algorithm: self.key.algorithm(),
            num_labels: name.num_labels(),
            original_ttl: ttl,
            sig_expiration: serial(until),
            sig_inception: serial(from),
            key_tag: DNSKEY::from_key(&self.public).calculate_key_tag().expect("a key has a tag"),
            signer_name: zone.clone(),
        };
        let signed = TBS::from_input(name, DNSClass::IN, &input, set.iter()).expect("records can be written");
        let mut signature = self.key.sign(&signed).expect("a key can sign");
        if flaw == Some(Flaw::Wrong) {
            signature[0] ^= 1;
        }
        let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Some(Record::from_rdata(name.clone(), ttl, data))
    }
}
