//! A question's octets in, an answer's octets out.
//!
//! Standards: RFC 1035, RFC 2308 (what is not there), RFC 6891 (EDNS), RFC 8482 (ANY). Known gap: no
//! cookies (RFC 7873); who must prove an address comes by TCP.

use super::zones::{Zone, Zones};
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::rdata::{HINFO, NS, SOA, TXT};
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// What goes through any network in one piece; also what is told to those who may send more.
const DATAGRAM_BYTES_MAX: usize = 1_232;
/// RFC 1035 §4.2.1: of a resolver that does not say that it takes more.
const PLAIN_DATAGRAM_BYTES_MAX: usize = 512;
/// RFC 1035 §4.2.2.
const STREAM_BYTES_MAX: usize = u16::MAX as usize;

/// How long resolvers keep what there is at a zone's top.
const APEX_SECONDS: u32 = 3_600;
/// RFC 2308 §5: how long they keep what is not there. A new key should be seen soon.
const ABSENCE_SECONDS: u32 = 300;

/// How much may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// As much as the resolver takes in one datagram.
    Datagram,
    /// That it should come by TCP.
    OnlyToRetry,
    /// All.
    Stream,
}

/// The answer to a question at this moment, in seconds since 1970; none to what is no question.
pub(super) fn reply(question: &[u8], zones: &Zones, room: Room, now: i64) -> Option<Vec<u8>> {
    let Ok(request) = Message::from_vec(question) else { return malformed(question) };
    if request.metadata.message_type != MessageType::Query {
        // Two servers must not answer one another's answers.
        return None;
    }
    let mut answer = Message::response(request.metadata.id, request.metadata.op_code);
    answer.metadata.recursion_desired = request.metadata.recursion_desired;
    answer.queries.clone_from(&request.queries);
    let mut bytes_max = if room == Room::Stream { STREAM_BYTES_MAX } else { PLAIN_DATAGRAM_BYTES_MAX };
    if let Some(edns) = &request.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(DATAGRAM_BYTES_MAX as u16);
        answer.set_edns(ours);
        bytes_max = bytes_max.max(usize::from(edns.max_payload()).min(DATAGRAM_BYTES_MAX));
    }
    answer.metadata.response_code = match request.queries.as_slice() {
        // RFC 6891 §6.1.3.
        _ if request.edns.as_ref().is_some_and(|edns| edns.version() != 0) => ResponseCode::BADVERS,
        _ if request.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
        [query] => look_up(query, zones, now, &mut answer),
        _ => ResponseCode::FormErr,
    };
    let whole = answer.to_vec().ok()?;
    if whole.len() <= bytes_max && room != Room::OnlyToRetry {
        return Some(whole);
    }
    let mut cut = answer.truncate();
    cut.answers.clear();
    cut.authorities.clear();
    cut.metadata.truncation = true;
    cut.to_vec().ok()
}

/// RFC 1035 §4.1.1: what cannot be read is told so, if it has a header; its question is not repeated.
fn malformed(question: &[u8]) -> Option<Vec<u8>> {
    const RESPONSE: u8 = 0x80;
    let [high, low, flags, _, ..] = *question else { return None };
    if question.len() < 12 || flags & RESPONSE != 0 {
        return None;
    }
    Message::error_msg(u16::from_be_bytes([high, low]), OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

/// Fills an answer with what there is.
fn look_up(query: &Query, zones: &Zones, now: i64, answer: &mut Message) -> ResponseCode {
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
    let Some(zone) = zones.zone(name).filter(|_| query.query_class() == DNSClass::IN && !is_transfer) else {
        return ResponseCode::Refused;
    };
    answer.metadata.authoritative = true;
    let texts = zones.texts(&zone, name);
    let mut add = |ttl: u32, data: RData| _ = answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
    match (&texts, query.query_type()) {
        (None, _) => {}
        (Some(_), RecordType::SOA) if name == zone.apex => add(APEX_SECONDS, soa(zones, now)),
        (Some(_), RecordType::NS) if name == zone.apex => add(APEX_SECONDS, RData::NS(NS(absolute(zones.hostname())))),
        // RFC 8482 §4.2: an answer that is true and short.
        (Some(_), RecordType::ANY) => add(APEX_SECONDS, RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()))),
        (Some(texts), RecordType::TXT) => texts.iter().for_each(|text| add(text.ttl, RData::TXT(TXT::new(text.strings.clone())))),
        (Some(_), _) => {}
    }
    if answer.answers.is_empty() {
        answer.add_authority(absence(zones, &zone, now));
    }
    if texts.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain }
}

/// RFC 2308 §3: what is not there is told with the SOA, which says for how long.
fn absence(zones: &Zones, zone: &Zone<'_>, now: i64) -> Record {
    Record::from_rdata(absolute(zone.apex), ABSENCE_SECONDS, soa(zones, now))
}

fn soa(zones: &Zones, now: i64) -> RData {
    const HOUR: i64 = 3_600;
    let host = zones.hostname();
    // Nobody transfers the zones, so the serial need only grow, which it does by the hour.
    let serial = u32::try_from(now / HOUR).unwrap_or(0);
    let (refresh, retry, expire) = (86_400, 7_200, 1_209_600);
    RData::SOA(SOA::new(absolute(host), absolute(&format!("postmaster.{host}")), serial, refresh, retry, expire, ABSENCE_SECONDS))
}

/// A name of ours; the root if it were none, which names of the configuration are not.
fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap_or_else(|_| Name::root())
}
