//! Reports that go out by mail and over HTTPS, and those that do not.

use super::*;
use crate::delivery::tests::{House, house};
use crate::net::dns::ResolverSettings;
use crate::queue::smtp::{CarrierSettings, Limits};
use mail_auth::report::tlsrpt::{Policy, PolicyDetails, PolicyType, Summary};
use stoa_record::Writer;
use stoa_world::{Authority, Dns, Network, Zone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const NOW: i64 = 20_000 * DAY_SECONDS + 100;

struct World {
    house: House,
    reports: TlsReports,
    authority: Authority,
    network: Network,
    https_port: u16,
    _dns: Dns,
}

/// A domain `one.test` whose record names these places.
async fn world(record: Option<&str>) -> World {
    let (house, authority, network) = (house().await, Authority::new(), Network::random());
    let https_port = network.free_port(&[1]);
    let record = record.map_or(String::new(), |record| format!("_smtp._tls TXT \"{record}\"\n"));
    let dns = Dns::serve(&[Zone::unsigned("one.test", &format!("reports A {}\n{record}", network.address(1)))]).await;
    let settings = ResolverSettings {
        servers: vec![dns.address()],
        trust_anchors: Some(dns.trust_anchor()),
        timeout: Duration::from_millis(500),
        attempts: 1,
    };
    let resolver = Resolver::new(&settings).unwrap();
    let roots = (*authority.roots()).clone();
    let https = Https::new(resolver.clone(), roots.clone(), https_port, true).unwrap();
    let settings = CarrierSettings {
        own_name: "mx.stoa.example".to_owned(),
        port: 25,
        ipv6: false,
        closed_network: true,
        smarthost: None,
        limits: Limits::default(),
    };
    let clock: Clock = Arc::new(|| NOW);
    let carrier = SmtpCarrier::new(settings, resolver.clone(), https.clone(), roots, house.store.clone(), clock.clone()).unwrap();
    let reports = TlsReports::new(house.store.clone(), house.delivery.clone(), Arc::new(carrier), resolver, https, clock);
    World { house, reports, authority, network, https_port, _dns: dns }
}

impl World {
    /// So many sessions went well, on this day.
    async fn count(&self, day: i64, total_success: u32) {
        let policy = Policy {
            policy: PolicyDetails::new(PolicyType::NoPolicyFound, "one.test"),
            summary: Summary { total_success, total_failure: 0 },
            failure_details: Vec::new(),
        };
        let key = [&day.to_be_bytes()[..], b"one.test"].concat();
        let value = Writer::new(1).bytes(1, &serde_json::to_vec(&[policy]).unwrap()).finish();
        self.house.store.commit(Change::Notes(vec![NoteChange::put(NoteKind::TlsReport, key, value)])).await.unwrap();
    }

    async fn days(&self) -> usize {
        self.house.store.notes(NoteKind::TlsReport, b"").await.unwrap().len()
    }

    async fn queued(&self) -> Vec<(Queued, Vec<u8>)> {
        let mut all = Vec::new();
        for (_, queued) in self.house.store.queued(10).await.unwrap() {
            let body = self.house.store.body(queued.prefix.clone(), &queued.body).await.unwrap();
            all.push((queued, body.read_all(0..body.size()).await.unwrap()));
        }
        all
    }
}

#[tokio::test]
async fn a_day_that_is_over_is_reported_by_mail_once() {
    let world = world(Some("v=TLSRPTv1; rua=mailto:tls@one.test")).await;
    world.count(19_999, 3).await;
    world.count(20_000, 5).await;
    for _ in 0..2 {
        world.reports.send_due(NOW).await.unwrap();
    }
    let queued = world.queued().await;
    let [(envelope, text)] = queued.as_slice() else { panic!("{}", queued.len()) };
    assert_eq!((envelope.reverse_path.as_str(), envelope.signer.as_deref()), ("", Some("stoa.example")));
    assert_eq!(envelope.recipients[0].address, "tls@one.test");
    let head = String::from_utf8_lossy(text);
    assert!(head.contains("TLS-Report-Domain: one.test\r\n") && head.contains("report-type=\"tlsrpt\""), "{head}");
    let report = TlsReport::parse_rfc5322(text, 1 << 20).unwrap();
    assert_eq!((report.policies[0].summary.total_success, report.organization_name.as_deref()), (3, Some("stoa.example")));
    assert_eq!(world.days().await, 1, "today is not over");
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask_or_had_no_connection() {
    for (record, sessions) in [
        (None, 3),
        (Some("v=TLSRPTv1; rua=mailto:tls@one.test"), 0),
        (Some("v=spf1 -all"), 3),
        (Some("v=TLSRPTv1; rua=mailto:no-address"), 3),
        (Some("v=TLSRPTv1; rua=ftp://one.test/"), 3),
    ] {
        let world = world(record).await;
        world.count(19_999, sessions).await;
        world.reports.send_due(NOW).await.unwrap();
        assert_eq!((world.queued().await.len(), world.days().await), (0, 0), "{record:?}");
    }
}

#[tokio::test]
async fn a_report_over_https_is_tried_until_it_is_taken_or_old() {
    let world = world(Some("v=TLSRPTv1; rua=https://reports.one.test/tls")).await;
    world.count(19_999, 3).await;
    world.reports.send_due(NOW).await.unwrap();
    assert_eq!(world.days().await, 1, "nobody was there");
    let listener = TcpListener::bind((world.network.address(1), world.https_port)).await.unwrap();
    let acceptor = TlsAcceptor::from(world.authority.certificate(&["reports.one.test"]).server());
    let asked = tokio::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut asked = Vec::new();
        let mut block = [0; 4096];
        while !asked.windows(2).any(|window| window == [0x1f, 0x8b]) {
            let n = stream.read(&mut block).await.unwrap();
            asked.extend_from_slice(&block[..n]);
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&asked).into_owned()
    });
    world.reports.send_due(NOW).await.unwrap();
    assert_eq!(world.days().await, 0);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /tls HTTP/1.1\r\n") && asked.contains("content-type: application/tlsrpt+gzip\r\n"), "{asked}");
    // Nobody is there any more, and the day is old.
    world.count(19_990, 3).await;
    world.reports.send_due(NOW).await.unwrap();
    assert_eq!(world.days().await, 0);
}
