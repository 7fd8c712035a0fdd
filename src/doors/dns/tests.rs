//! What is asked, and what is said.

use super::*;
use crate::net::dns::DnsError;
use crate::net::questions::{answer_datagrams, answer_stream};
use crate::net::{ConnectionLimits, Crowd, Texts, listen};
use crate::trust::signing::{Algorithm, Folder, Keyring, SigningSettings, State, rotator};
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;

const NOW: i64 = 1_800_000_000;
const KEY: &str = "s20270115e._domainkey.example.org";
const CHALLENGE: &str = "_acme-challenge.mail.example.org";

struct House {
    _dir: tempfile::TempDir,
    texts: Arc<Texts>,
    record: String,
    zones: Zones,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    Folder::of(dir.path(), "example.org").change(|keys| keys.make(Algorithm::Ed25519, State::Retired, NOW)).unwrap();
    let keyring = Keyring::open(dir.path(), &["example.org".to_owned()], SigningSettings::default());
    let record = keyring.published("example.org")[0].record.clone();
    let texts = Arc::new(Texts::default());
    let zones = Zones::new("mail.example.org", keyring, Arc::clone(&texts), &["mail.example.org".to_owned()]);
    House { _dir: dir, texts, record, zones }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    message
}

fn asked(house: &House, question: &Message, room: Room) -> Message {
    let answer = reply::reply(&question.to_vec().unwrap(), &house.zones, room, NOW).unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.message_type), (7, MessageType::Response));
    assert!(!answer.metadata.recursion_available);
    answer
}

fn texts(answer: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|string| String::from_utf8_lossy(string).into_owned()).collect::<String>()),
        _ => None,
    };
    answer.answers.iter().filter_map(|record| text(&record.data)).collect()
}

#[test]
fn what_stands_in_the_zones_is_told_and_all_else_is_refused() {
    use ResponseCode::{NXDomain, NoError, Refused};
    let house = house();
    let _posted =
        (house.texts.post(CHALLENGE, "one"), house.texts.post(CHALLENGE, "two"), house.texts.post("_acme-challenge.net.example", "x"));
    let table = [
        (KEY, RecordType::TXT, NoError, 1),
        ("S20270115E._DomainKey.EXAMPLE.org", RecordType::TXT, NoError, 1),
        (KEY, RecordType::A, NoError, 0),
        (KEY, RecordType::CNAME, NoError, 0),
        (KEY, RecordType::ANY, NoError, 1),
        ("other._domainkey.example.org", RecordType::TXT, NXDomain, 0),
        ("x.s20270115e._domainkey.example.org", RecordType::TXT, NXDomain, 0),
        ("_domainkey.example.org", RecordType::SOA, NoError, 1),
        ("_domainkey.example.org", RecordType::NS, NoError, 1),
        ("_domainkey.example.org", RecordType::TXT, NoError, 0),
        ("_domainkey.example.org", RecordType::AXFR, Refused, 0),
        (KEY, RecordType::SOA, NoError, 0),
        (CHALLENGE, RecordType::TXT, NoError, 2),
        (CHALLENGE, RecordType::NS, NoError, 1),
        ("x._acme-challenge.mail.example.org", RecordType::TXT, NXDomain, 0),
        ("_acme-challenge.net.example", RecordType::TXT, Refused, 0),
        ("_acme-challenge.example.org", RecordType::TXT, Refused, 0),
        ("_domainkey.example.net", RecordType::TXT, Refused, 0),
        ("_domainkey.b._domainkey.example.org", RecordType::TXT, NXDomain, 0),
        ("x_domainkey.example.org", RecordType::TXT, Refused, 0),
        ("example.org", RecordType::TXT, Refused, 0),
        ("version.bind", RecordType::TXT, Refused, 0),
        ("org", RecordType::NS, Refused, 0),
    ];
    for (name, kind, code, answers) in table {
        let answer = asked(&house, &question(name, kind), Room::Datagram);
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, answers), "{name} {kind}");
        assert_eq!(answer.metadata.authoritative, code != Refused, "{name} {kind}");
        let absent = answers == 0 && code != Refused;
        assert_eq!(
            answer.authorities.iter().filter(|record| record.record_type() == RecordType::SOA).count(),
            usize::from(absent),
            "{name} {kind}"
        );
        assert_eq!(answer.queries, question(name, kind).queries, "as it was written");
    }
    assert_eq!(texts(&asked(&house, &question(KEY, RecordType::TXT), Room::Datagram)), std::slice::from_ref(&house.record));
    assert_eq!(texts(&asked(&house, &question(CHALLENGE, RecordType::TXT), Room::Datagram)), ["one", "two"]);
}

/// DNS as a resolver finds it that was led here.
struct Delegated(Zones);

impl rotator::Texts for Delegated {
    async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let question = question(name, RecordType::TXT).to_vec().unwrap();
        let answer = reply::reply(&question, &self.0, Room::Stream, NOW).unwrap();
        Ok(texts(&Message::from_vec(&answer).unwrap()))
    }
}

#[tokio::test]
async fn keys_whose_names_are_delegated_here_are_changed_without_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(dir.path(), &["example.org".to_owned()], SigningSettings::default());
    keyring.ensure(NOW).await;
    let dns = Delegated(Zones::new("mail.example.org", keyring.clone(), Arc::default(), &[]));
    let states = || -> Vec<(String, State)> {
        keyring.published("example.org").into_iter().map(|key| (key.selector.name, key.selector.state)).collect()
    };
    let first: Vec<String> = states().into_iter().map(|(name, _)| name).collect();
    let (day, hour) = (86_400, 3_600);
    let mut seen = Vec::new();
    for hours in [0, 179 * 24, 180 * 24, 180 * 24 + 1, 180 * 24 + 2, 188 * 24] {
        let asked = rotator::turn(&keyring, &dns, NOW + hours * hour, Some(180 * day)).await;
        assert!(asked.is_empty(), "nobody is asked to publish anything");
        seen.push(states().into_iter().map(|(_, state)| state).collect::<Vec<_>>());
    }
    use State::{Active, Prepared, Retired};
    let (active, waiting) = (vec![Active, Active], vec![Active, Active, Prepared, Prepared]);
    assert_eq!(seen, [active.clone(), active.clone(), waiting.clone(), waiting, vec![Retired, Retired, Active, Active], active]);
    assert!(states().iter().all(|(name, _)| !first.contains(name)), "the keys are new ones");
}

#[test]
fn what_is_no_plain_question_gets_a_short_answer_or_none() {
    let house = house();
    let mut other_class = question(KEY, RecordType::TXT);
    other_class.queries[0].set_query_class(DNSClass::CH);
    let mut two = question(KEY, RecordType::TXT);
    two.add_query(two.queries[0].clone());
    let mut update = question(KEY, RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    let mut newer = question(KEY, RecordType::TXT);
    newer.set_edns(Edns::new().set_version(1).clone());
    for (question, code) in
        [(other_class, ResponseCode::Refused), (two, ResponseCode::FormErr), (update, ResponseCode::NotImp), (newer, ResponseCode::BADVERS)]
    {
        let answer = asked(&house, &question, Room::Datagram);
        // BADVERS has the number of another code, too.
        assert_eq!((u16::from(answer.metadata.response_code), answer.answers.len()), (u16::from(code), 0));
    }
    let mut no_question = question(KEY, RecordType::TXT);
    no_question.metadata.message_type = MessageType::Response;
    assert_eq!(reply::reply(&no_question.to_vec().unwrap(), &house.zones, Room::Stream, NOW), None);
    let cut = &question(KEY, RecordType::TXT).to_vec().unwrap()[..20];
    let answer = Message::from_vec(&reply::reply(cut, &house.zones, Room::Stream, NOW).unwrap()).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (7, ResponseCode::FormErr));
    for nothing in [&cut[..11], &[]] {
        assert_eq!(reply::reply(nothing, &house.zones, Room::Stream, NOW), None);
    }
}

#[test]
fn an_answer_that_does_not_fit_says_so() {
    let house = house();
    let long = "x".repeat(250);
    let posted: Vec<_> = (0..6).map(|n| house.texts.post(CHALLENGE, &format!("{n}{long}"))).collect();
    let mut modern = question(CHALLENGE, RecordType::TXT);
    modern.set_edns(Edns::new().set_max_payload(4_096).clone());
    for (question, room, fits) in [
        (question(CHALLENGE, RecordType::TXT), Room::Datagram, false),
        (modern.clone(), Room::Datagram, false),
        (modern.clone(), Room::Stream, true),
        (question(CHALLENGE, RecordType::TXT), Room::Stream, true),
    ] {
        let answer = asked(&house, &question, room);
        assert_eq!((answer.metadata.truncation, answer.answers.len()), (!fits, if fits { 6 } else { 0 }), "{room:?}");
    }
    drop(posted.into_iter().skip(2).collect::<Vec<_>>());
    let retry = asked(&house, &modern, Room::OnlyToRetry);
    assert!(retry.metadata.truncation && retry.answers.is_empty() && retry.to_vec().unwrap().len() < 100);
}

#[test]
fn who_asks_too_often_is_sent_to_tcp_or_not_answered() {
    let dns = Dns::new(house().zones);
    let now = Instant::now();
    let (noisy, other) = ("192.0.2.1".parse().unwrap(), "203.0.113.1".parse().unwrap());
    let rooms: Vec<_> = (0..300).map(|_| dns.room(noisy, Way::Datagram, now)).collect();
    let count = |wanted| rooms.iter().filter(|room| **room == wanted).count();
    assert_eq!((count(Some(Room::Datagram)), count(Some(Room::OnlyToRetry)), count(None)), (100, 100, 100));
    assert_eq!(dns.room(other, Way::Datagram, now), Some(Room::Datagram));
    assert_eq!(dns.room(noisy, Way::Stream, now), Some(Room::Stream));
    assert_eq!(dns.room(noisy, Way::Datagram, now + Duration::from_secs(60)), Some(Room::Datagram));
}

#[tokio::test]
async fn it_answers_over_udp_and_tcp_until_it_is_told_to_stop() {
    let house = house();
    let dns = Arc::new(Dns::new(house.zones));
    let stop = watch::Sender::new(false);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let udp = socket.local_addr().unwrap();
    let datagrams = tokio::spawn(answer_datagrams(socket, Arc::clone(&dns), stop.subscribe()));
    let limits = ConnectionLimits { in_all: 9, per_address: 9, per_minute: 99, exempt_loopback: true };
    let (streams, told) = (Arc::clone(&dns), stop.subscribe());
    let serve = move |stream, peer| answer_stream(stream, peer, Arc::clone(&streams), told.clone());
    let tcp =
        listen("127.0.0.1:0".parse().unwrap(), Crowd::new(limits), None, stop.subscribe(), Duration::from_secs(9), serve).await.unwrap();
    let bytes = question(KEY, RecordType::TXT).to_vec().unwrap();

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answer = [0; 2_000];
    client.send_to(&[0; 1_300], udp).await.unwrap();
    client.send_to(&bytes, udp).await.unwrap();
    let (length, _) = client.recv_from(&mut answer).await.unwrap();
    assert_eq!(texts(&Message::from_vec(&answer[..length]).unwrap()), std::slice::from_ref(&house.record));

    let mut client = TcpStream::connect(tcp.address).await.unwrap();
    for _ in 0..3 {
        client.write_u16(bytes.len() as u16).await.unwrap();
        client.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(client.read_u16().await.unwrap())];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(texts(&Message::from_vec(&answer).unwrap()), std::slice::from_ref(&house.record));
    }
    client.write_u16(9_999).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "what cannot be a question ends the connection");
    stop.send_replace(true);
    datagrams.await.unwrap();
    tcp.ended().await;
}

proptest! {
    #[test]
    fn no_octets_get_more_than_they_may(bytes in prop::collection::vec(any::<u8>(), 0..600), change in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let house = house();
        let mut near = question(KEY, RecordType::TXT).to_vec().unwrap();
        let at = change.index(near.len());
        near[at] = octet;
        for question in [bytes, near] {
            if let Some(answer) = reply::reply(&question, &house.zones, Room::Datagram, NOW) {
                prop_assert!(answer.len() <= 1_232 && answer.len() <= question.len() + 200);
                prop_assert!(Message::from_vec(&answer).is_ok());
            }
        }
    }
}
