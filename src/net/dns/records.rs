//! What records say, in plain values.

use super::name;
use hickory_resolver::proto::rr::RData;
use std::net::IpAddr;

/// A host that takes mail (RFC 1035 §3.3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// The lowest is tried first.
    pub preference: u16,
    /// In lower case without a final dot; empty for a null MX (RFC 7505).
    pub host: String,
}

/// What a TLS server's certificate must be (RFC 6698 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// 2: DANE-TA, 3: DANE-EE.
    pub usage: u8,
    /// 0: the whole certificate, 1: its public key.
    pub selector: u8,
    /// 0: as it is, 1: SHA-256, 2: SHA-512.
    pub matching: u8,
    /// What must match.
    pub data: Vec<u8>,
}

/// The start of authority (RFC 1035 §3.3.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soa {
    /// The primary name server.
    pub primary: String,
    /// Grows with each change.
    pub serial: u32,
    /// How long absence may be believed, in seconds.
    pub minimum: u32,
}

/// Who may issue certificates (RFC 8659 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caa {
    /// An authority that does not understand the tag must not issue.
    pub critical: bool,
    /// Such as `issue`, in lower case.
    pub tag: String,
    /// Such as the domain of an authority.
    pub value: String,
}

/// Where a service is (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of RFC 2782")]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// Empty: there is no such service.
    pub target: String,
}

pub(super) fn mx(data: &RData) -> Option<Mx> {
    let RData::MX(mx) = data else { return None };
    Some(Mx { preference: mx.preference, host: name::text(&mx.exchange) })
}

pub(super) fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

pub(super) fn tlsa(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = data else { return None };
    let (usage, selector, matching) = (tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into());
    Some(Tlsa { usage, selector, matching, data: tlsa.cert_data.clone() })
}

pub(super) fn txt(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
}

pub(super) fn target(data: &RData) -> Option<String> {
    match data {
        RData::PTR(target) => Some(name::text(target)),
        RData::NS(target) => Some(name::text(target)),
        RData::CNAME(target) => Some(name::text(target)),
        _ => None,
    }
}

pub(super) fn soa(data: &RData) -> Option<Soa> {
    let RData::SOA(soa) = data else { return None };
    Some(Soa { primary: name::text(&soa.mname), serial: soa.serial, minimum: soa.minimum })
}

pub(super) fn caa(data: &RData) -> Option<Caa> {
    let RData::CAA(caa) = data else { return None };
    let value = String::from_utf8_lossy(&caa.value).into_owned();
    Some(Caa { critical: caa.issuer_critical, tag: caa.tag.to_ascii_lowercase(), value })
}

pub(super) fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: name::text(&srv.target) })
}
