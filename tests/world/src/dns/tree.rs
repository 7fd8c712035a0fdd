//! All zones together, from a made-up root down, and what a recursive server would say of them.
//!
//! Takes one question and the time, gives the sections of an answer. Nothing is validated here: what is bogus is
//! handed on, so that the resolver under test has to notice.

use super::denial::{Denied, proof};
use super::zone::{Found, Served, Set, Zone, absolute, is_alias, record};
use super::{Fault, Flaw};
use hickory_resolver::proto::dnssec::PublicKeyBuf;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Aliases that are followed within one answer, as resolvers do.
const ALIASES_MAX: usize = 10;

/// Records of a [`Fault::Huge`] answer: without compression, as they are signed, near the 65,535 octets of a message.
const HUGE_ADDRESSES: u16 = 1500;
const HUGE_EXCHANGES: u16 = 1000;
const HUGE_TEXTS: u16 = 250;
const HUGE_TEXT_OCTETS: usize = 200;

/// What stands in an answer.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    /// Everything in it is signed from the root down.
    pub(super) authentic: bool,
}

/// Zones and faults.
pub(super) struct Tree {
    zones: BTreeMap<Name, Served>,
    faults: Vec<(Name, Option<RecordType>, Fault)>,
}

impl Tree {
    /// Makes up what lies between the zones and the root, all of it signed, and delegates from above to below.
    pub(super) fn new(zones: &[Zone]) -> Tree {
        let mut served: BTreeMap<Name, Served> = zones.iter().map(|zone| (zone.origin.clone(), Served::new(zone))).collect();
        for zone in zones {
            let mut above = zone.origin.clone();
            while !above.is_root() {
                above = above.base_name();
                served.entry(above.clone()).or_insert_with(|| Served::new(&Zone::signed(&above.to_ascii(), "")));
            }
        }
        let mut tree = Tree { zones: BTreeMap::new(), faults: Vec::new() };
        // Canonical order has children behind their parents, so each finds its parent in place.
        for (origin, zone) in served {
            if !origin.is_root() {
                tree.zone_mut(&origin).delegate(&zone);
            }
            tree.zones.insert(origin, zone);
        }
        tree
    }

    pub(super) fn root_key(&self) -> PublicKeyBuf {
        let signer = self.zones[&Name::root()].signer.as_ref();
        signer.expect("a root that a test wrote must be signed").public.clone()
    }

    /// Takes records of a zone file in, whose names are relative to `origin`.
    pub(super) fn change(&mut self, origin: &str, text: &str) {
        let origin = absolute(origin);
        self.zones.get_mut(&origin).unwrap_or_else(|| panic!("there is no zone {origin}")).read(text);
    }

    pub(super) fn remove(&mut self, name: &str, kind: RecordType) {
        let name = absolute(name);
        let nodes = &mut self.zone_mut(&name).nodes;
        let node = nodes.get_mut(&name).unwrap_or_else(|| panic!("there is no {name}"));
        assert!(node.remove(&kind).is_some(), "{name} has no {kind}");
        if node.is_empty() {
            nodes.remove(&name);
        }
    }

    pub(super) fn fail(&mut self, name: &str, kind: Option<RecordType>, fault: Fault) {
        self.faults.push((absolute(name), kind, fault));
    }

    pub(super) fn mend(&mut self, name: &str) {
        let name = absolute(name);
        self.faults.retain(|(failing, ..)| *failing != name);
    }

    /// The latest fault for this question.
    pub(super) fn fault(&self, name: &Name, kind: RecordType) -> Option<Fault> {
        let here = |(failing, only, fault): &&(Name, Option<RecordType>, Fault)| {
            let below = matches!(fault, Fault::EndlessAliases) && failing.zone_of(name);
            (failing == name || below) && only.is_none_or(|only| only == kind)
        };
        self.faults.iter().rev().find(here).map(|(.., fault)| *fault)
    }

    pub(super) fn answer(&self, name: &Name, kind: RecordType, now: u64) -> Answer {
        match self.fault(name, kind) {
            Some(Fault::ServFail) => Answer { code: ResponseCode::ServFail, ..Answer::default() },
            Some(Fault::Refused) => Answer { code: ResponseCode::Refused, ..Answer::default() },
            Some(Fault::NoName) => Answer { code: ResponseCode::NXDomain, ..Answer::default() },
            Some(Fault::Lame) => Answer::default(),
            Some(Fault::EndlessAliases) => Answer { answers: vec![next_alias(name)], ..Answer::default() },
            Some(Fault::Huge) => {
                let mut answer = Answer { authentic: true, ..Answer::default() };
                self.zone(name, kind).give(&huge(name, kind), None, now, &mut answer);
                answer
            }
            Some(Fault::Flaw(flaw)) => self.look_up(name, kind, Some(flaw), now),
            Some(Fault::Silence | Fault::Truncated) | None => self.look_up(name, kind, None, now),
        }
    }

    fn look_up(&self, name: &Name, kind: RecordType, flaw: Option<Flaw>, now: u64) -> Answer {
        let mut answer = Answer { authentic: true, ..Answer::default() };
        let mut name = name.clone();
        for _ in 0..ALIASES_MAX {
            let zone = self.zone(&name, kind);
            let set = match zone.find(&name, kind) {
                Found::Set(set) | Found::Alias(set) => {
                    zone.give(&set, flaw, now, &mut answer);
                    set
                }
                Found::Wildcard(set) => {
                    zone.give_as(&name, &set, flaw, now, &mut answer);
                    zone.deny(&name, Denied::NameBeforeWildcard, flaw, now, &mut answer);
                    set
                }
                Found::NoData => {
                    let denied = if zone.has(&name) { Denied::Type } else { Denied::WildcardType };
                    zone.refuse(&name, denied, flaw, now, &mut answer);
                    return answer;
                }
                Found::NoName => {
                    answer.code = ResponseCode::NXDomain;
                    zone.refuse(&name, Denied::Name, flaw, now, &mut answer);
                    return answer;
                }
            };
            match &set[0].data {
                RData::CNAME(CNAME(target)) if is_alias(&set, kind) => name = target.to_lowercase(),
                _ => return answer,
            }
        }
        answer
    }

    /// The zone that has the name. A DS lies above the zone that it is about (RFC 4035 §3.1.4.1).
    fn zone(&self, name: &Name, kind: RecordType) -> &Served {
        let within = |zone: &&Served| zone.origin.zone_of(name) && !(kind == RecordType::DS && zone.origin == *name && !name.is_root());
        self.zones.values().filter(within).max_by_key(|zone| zone.origin.num_labels()).expect("the root has every name")
    }

    fn zone_mut(&mut self, name: &Name) -> &mut Served {
        let zones = self.zones.values_mut().filter(|zone| zone.origin.zone_of(name));
        zones.max_by_key(|zone| zone.origin.num_labels()).expect("the root has every name")
    }
}

impl Served {
    fn give(&self, set: &Set, flaw: Option<Flaw>, now: u64, answer: &mut Answer) {
        answer.authentic &= self.signer.is_some();
        answer.answers.extend(self.signed(set, flaw, now));
    }

    /// The same for what a wildcard has, under the name that was asked for.
    fn give_as(&self, name: &Name, set: &Set, flaw: Option<Flaw>, now: u64, answer: &mut Answer) {
        answer.authentic &= self.signer.is_some();
        let mut named = self.signed(set, flaw, now);
        named.iter_mut().for_each(|record| record.name = name.clone());
        answer.answers.extend(named);
    }

    fn deny(&self, name: &Name, denied: Denied, flaw: Option<Flaw>, now: u64, answer: &mut Answer) {
        answer.authorities.extend(proof(self, name, denied).iter().flat_map(|set| self.signed(set, flaw, now)));
    }

    fn refuse(&self, name: &Name, denied: Denied, flaw: Option<Flaw>, now: u64, answer: &mut Answer) {
        answer.authentic &= self.signer.is_some();
        answer.authorities.extend(self.signed(self.soa(), flaw, now));
        self.deny(name, denied, flaw, now, answer);
    }
}

/// `c7.…` leads to `c8.…` and so on for ever; the failing name itself leads to `c1` below it.
fn next_alias(name: &Name) -> Record {
    let first = name.iter().next().and_then(|label| std::str::from_utf8(label).ok()).unwrap_or_default();
    let next = match first.strip_prefix('c').and_then(|count| count.parse::<u64>().ok()) {
        Some(count) => name.base_name().prepend_label(format!("c{}", count + 1)),
        None => name.prepend_label("c1"),
    };
    record(name, RData::CNAME(CNAME(next.expect("names of tests are short"))))
}

fn huge(name: &Name, kind: RecordType) -> Set {
    let address = |count: u16| RData::A(A(Ipv4Addr::new(127, 0, count.to_be_bytes()[0], count.to_be_bytes()[1])));
    let exchange = |count: u16| RData::MX(MX::new(count, name.prepend_label(format!("m{count}")).expect("names of tests are short")));
    let text = |count: u16| RData::TXT(TXT::new(vec![format!("{count:0>HUGE_TEXT_OCTETS$}")]));
    let data: Vec<RData> = match kind {
        RecordType::A => (0..HUGE_ADDRESSES).map(address).collect(),
        RecordType::MX => (0..HUGE_EXCHANGES).map(exchange).collect(),
        _ => (0..HUGE_TEXTS).map(text).collect(),
    };
    data.into_iter().map(|data| record(name, data)).collect()
}
