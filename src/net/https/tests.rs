//! Exchanges with a small server that answers with prepared bytes.

use super::*;
use crate::net::dns::ResolverSettings;
use crate::net::{Purpose, Tls, authorities, certificate};
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), body_bytes_max: 100 };

struct World {
    https: Https,
    url: String,
    asked: JoinHandle<String>,
    _dir: tempfile::TempDir,
}

/// A server of one connection, which says `answer` after `delay`; then it stays silent.
async fn world(answer: Vec<u8>, trusted: bool, closed: bool) -> World {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate::ensure(dir.path(), SystemTime::now()).unwrap();
    let tls = Tls::load(&files.certificate, &files.key, Purpose::Web).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/a?b", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let Ok((mut stream, _)) = tls.accept(listener.accept().await.unwrap().0).await else { return String::new() };
        let mut asked = vec![0; 10_000];
        let n = stream.read(&mut asked).await.unwrap();
        _ = stream.write_all(&answer).await;
        _ = stream.flush().await;
        _ = stream.read(&mut [0; 10]).await;
        String::from_utf8_lossy(&asked[..n]).into_owned()
    });
    let settings = ResolverSettings {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        trust_anchors: None,
        timeout: Duration::from_millis(100),
        attempts: 0,
    };
    let trust = authorities(trusted.then_some(files.ca.as_path())).unwrap();
    let https = Https::new(Resolver::new(&settings).unwrap(), trust, 443, closed).unwrap();
    World { https, url, asked, _dir: dir }
}

#[tokio::test]
async fn a_page_comes_with_its_status_and_body() {
    let world = world(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello".to_vec(), true, false).await;
    let page = world.https.get(&world.url, Reach::Anywhere, BOUNDS).await.unwrap();
    assert_eq!((page.status().as_u16(), page.body().as_ref()), (404, &b"hello"[..]));
    drop(world.https);
    let asked = world.asked.await.unwrap();
    let host = world.url.strip_prefix("https://").unwrap().strip_suffix("/a?b").unwrap();
    assert!(asked.starts_with("GET /a?b HTTP/1.1\r\n") && asked.contains(&format!("host: {host}\r\n")), "{asked}");
}

#[tokio::test]
async fn a_body_is_handed_over() {
    let world = world(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".to_vec(), true, true).await;
    let body = Bytes::from_static(b"report");
    let answer = world.https.post(&world.url, "text/plain", body, Reach::Public, BOUNDS).await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let asked = world.asked.await.unwrap();
    assert!(asked.contains("content-type: text/plain\r\n") && asked.contains("content-length: 6\r\n"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_others() {
    let world = world(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(), true, false).await;
    assert_eq!(world.https.get(&world.url, Reach::Anywhere, BOUNDS).await.unwrap().status().as_u16(), 302);
}

#[tokio::test]
async fn what_has_no_end_is_broken_off() {
    let endless = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec(), vec![b'x'; 5000]].concat();
    let chunks = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), b"5\r\nhello\r\n".repeat(100)].concat();
    for answer in [endless, chunks] {
        let world = world(answer, true, false).await;
        assert!(matches!(world.https.get(&world.url, Reach::Anywhere, BOUNDS).await, Err(HttpsError::TooLong(100))));
    }
    for header in ["A: b\r\n".repeat(200), format!("A: {}", "x".repeat(100_000))] {
        let world = world(format!("HTTP/1.1 200 OK\r\n{header}").into_bytes(), true, false).await;
        assert!(matches!(world.https.get(&world.url, Reach::Anywhere, BOUNDS).await, Err(HttpsError::Protocol(_))));
    }
    let world = world(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello".to_vec(), true, false).await;
    let short = Bounds { time: Duration::from_millis(300), ..BOUNDS };
    assert!(matches!(world.https.get(&world.url, Reach::Anywhere, short).await, Err(HttpsError::Slow)));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let world = world(Vec::new(), false, false).await;
    assert!(matches!(world.https.get(&world.url, Reach::Anywhere, BOUNDS).await, Err(HttpsError::Tls(_))));
}

#[tokio::test]
async fn strangers_reach_no_private_address_and_no_other_scheme() {
    let world = world(Vec::new(), true, false).await;
    assert!(matches!(world.https.get(&world.url, Reach::Public, BOUNDS).await, Err(HttpsError::Private)));
    for url in ["http://127.0.0.1/", "https://me@127.0.0.1/", "/a", "ftp://a/", "https:///a", "a b"] {
        assert!(matches!(world.https.get(url, Reach::Anywhere, BOUNDS).await, Err(HttpsError::Url)), "{url}");
    }
    assert!(matches!(world.https.get("https://one.test/", Reach::Anywhere, BOUNDS).await, Err(HttpsError::Name(_))));
}

#[test]
fn private_addresses_are_known() {
    for private in
        ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1"]
    {
        assert!(!is_public(&private.parse().unwrap()), "{private}");
        assert!(!is_public(&format!("::ffff:{private}").parse().unwrap()), "{private}");
    }
    for private in ["::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::1"] {
        assert!(!is_public(&private.parse().unwrap()), "{private}");
    }
    for public in ["1.1.1.1", "100.128.0.1", "2a00:1450::1", "2606:4700::1111"] {
        assert!(is_public(&public.parse().unwrap()), "{public}");
    }
}
