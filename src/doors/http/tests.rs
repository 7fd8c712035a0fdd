//! Requests without a socket.

use super::*;
use crate::store::engine::memory::Memory;
use crate::store::{HolderId, Store};
use axum::http::{Method, header};
use stoa_webapp::Security;

const LOCAL: &str = "127.0.0.1:4711";
const STRANGER: &str = "192.0.2.7:4711";

fn site() -> Site {
    let server = |port, security| MailServer { host: "mail.example.org".into(), port, security };
    Site {
        domains: vec!["example.org".into(), "example.com".into()],
        imap: vec![server(993, Security::Tls)],
        submission: vec![server(465, Security::Tls)],
        redirect: None,
        base: Some("https://mail.example.org".into()),
        hsts: false,
        challenges: Arc::default(),
        challenge_directory: None,
        mta_sts: Some(mta_sts::Policy { mode: mta_sts::Mode::Testing, max_age_seconds: 604_800, mx: "mail.example.org".into() }),
        demo: None,
    }
}

async fn demo() -> Site {
    let store = Store::open(Arc::new(Memory::default())).await.unwrap();
    let smtp = "127.0.0.1:1".parse().unwrap();
    let demo = Demo::new(store, HolderId(1), "socrates@stoa.localhost".into(), smtp);
    Site { demo: Some(Arc::new(demo)), ..site() }
}

async fn ask(site: &Site, peer: &str, request: Request) -> Response {
    answer(router(site.clone()), Peer(peer.parse().unwrap()), request).await.unwrap()
}

fn request(method: Method, path: &str, host: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, host)
}

async fn get(site: &Site, path: &str) -> Response {
    ask(site, LOCAL, request(Method::GET, path, "localhost").body(Body::empty()).unwrap()).await
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn pages_and_their_kinds() {
    let cases = [
        ("/", 200, "text/html; charset=utf-8", "The personal server of example.org"),
        ("/style.css", 200, "text/css; charset=utf-8", "body"),
        ("/.well-known/autoconfig/mail/config-v1.1.xml", 200, "text/xml; charset=utf-8", "<domain>example.org</domain>"),
        ("/mail/config-v1.1.xml?emailaddress=a%40EXAMPLE.com", 200, "text/xml; charset=utf-8", "<domain>example.com</domain>"),
        ("/nowhere", 404, "text/html; charset=utf-8", "There is no such page"),
        ("/demo", 404, "text/html; charset=utf-8", "There is no such page"),
        ("/.well-known/acme-challenge/token", 404, "text/html; charset=utf-8", "There is no such page"),
    ];
    for (path, status, kind, want) in cases {
        let response = get(&site(), path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind, "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
        assert!(text(response).await.contains(want), "{path}");
    }
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_refused() {
    let head = ask(&site(), STRANGER, request(Method::HEAD, "/", "example.org").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status(), text(head).await.as_str()), (StatusCode::OK, ""));
    let post = ask(&site(), STRANGER, request(Method::POST, "/", "example.org").body(Body::empty()).unwrap()).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(text(post).await.contains("cannot be done here"));
}

#[tokio::test]
async fn plain_http_leads_to_the_configured_host() {
    let site = Site { redirect: Some("https://mail.example.org".into()), ..site() };
    for (path, want) in
        [("/", Some("https://mail.example.org/")), ("/x?y=z", Some("https://mail.example.org/x?y=z")), (autoconfig::PATH, None)]
    {
        let response = ask(&site, STRANGER, request(Method::GET, path, "evil.example").body(Body::empty()).unwrap()).await;
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap());
        assert_eq!(location, want, "{path}");
        assert!(!response.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}

#[tokio::test]
async fn hsts_is_told_where_it_is_wanted() {
    let response = get(&Site { hsts: true, ..site() }, "/").await;
    assert_eq!(response.headers()[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
}

#[tokio::test]
async fn challenges_are_served_and_nothing_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("to-ken_1"), "to-ken_1.print").unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let site = Site { challenge_directory: Some(dir.path().to_owned()), redirect: Some("https://mail.example.org".into()), ..site() };
    assert_eq!(text(get(&site, "/.well-known/acme-challenge/to-ken_1").await).await, "to-ken_1.print");
    let posted = site.challenges.post_text("posted", "posted.print");
    assert_eq!(text(get(&site, "/.well-known/acme-challenge/posted").await).await, "posted.print");
    drop(posted);
    for path in ["posted", "%2e%2e%2f%2e%2e%2fsecret", "..", "other", "to-ken_1.print"] {
        assert_eq!(get(&site, &format!("/.well-known/acme-challenge/{path}")).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_policy_for_senders_is_on_its_own_host_alone() {
    let cases = [
        ("mta-sts.example.org", 200),
        ("MTA-STS.Example.com:443", 200),
        ("mta-sts.example.net", 404),
        ("example.org", 404),
        ("mail.example.org", 404),
        ("evil.example", 404),
    ];
    for (host, status) in cases {
        let response = ask(&site(), STRANGER, request(Method::GET, mta_sts::PATH, host).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{host}");
        if status == 200 {
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(text(response).await, site().mta_sts.unwrap().text());
        }
    }
    let none = Site { mta_sts: None, ..site() };
    let response = ask(&none, STRANGER, request(Method::GET, mta_sts::PATH, "mta-sts.example.org").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 404);
    // RFC 8461 §3.3: the policy is fetched over HTTPS alone, so plain HTTP leads there like every page.
    let plain = Site { redirect: Some("https://mail.example.org".into()), ..site() };
    let response = ask(&plain, STRANGER, request(Method::GET, mta_sts::PATH, "mta-sts.example.org").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test]
async fn the_setup_page_shows_what_an_address_needs_and_looks_nothing_up() {
    let page = async |typed: &str| text(get(&site(), &format!("/mail-setup?address={typed}")).await).await;
    assert!(text(get(&site(), "/mail-setup").await).await.contains("Set up mail at example.org"));
    // There is no store behind this site at all: whoever asks gets the same for every name.
    let (one, other) = (page("john%40Example.COM").await, page("nobody%40Example.COM").await);
    assert!(one.contains("john@example.com") && one.contains("993") && one.contains("<svg"));
    let blank = |page: &str, name: &str| page.replace(name, "*").split("<svg").next().unwrap().to_owned();
    assert_eq!(blank(&one, "john"), blank(&other, "nobody"));
    for (typed, want) in [
        ("john", "not a mail address"),
        ("john%40example.net", "no mail of that domain"),
        ("%22%3E%3Cscript%3E%40example.org", "not a mail address"),
        ("a%0d%0ab%40example.org", "not a mail address"),
    ] {
        let page = page(typed).await;
        assert!(page.contains(want) && !page.contains("<script") && !page.contains("<svg"), "{typed}: {page}");
    }
    let response = get(&site(), "/mail-setup?address=john%40example.org").await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn apple_devices_get_a_profile() {
    let response = get(&site(), "/mail-setup/profile.mobileconfig?address=john%2Bx%40example.org").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-apple-aspen-config");
    let profile = text(response).await;
    assert!(profile.contains("<string>john+x@example.org</string>") || profile.contains("john&#43;x@example.org"), "{profile}");
    assert!(profile.contains("<string>org.example.mail-setup.") && profile.contains("<integer>993</integer>"));
    for bad in ["", "?address=", "?address=john%40example.net", "?address=%00"] {
        assert_eq!(get(&site(), &format!("/mail-setup/profile.mobileconfig{bad}")).await.status(), 400, "{bad}");
    }
    let reading_only = Site { submission: Vec::new(), ..site() };
    assert_eq!(get(&reading_only, "/mail-setup/profile.mobileconfig?address=john%40example.org").await.status(), 404);
}

fn outlook(address: &str) -> Request {
    let body = format!("<Autodiscover><Request><EMailAddress>{address}</EMailAddress></Request></Autodiscover>");
    request(Method::POST, "/Autodiscover/Autodiscover.xml", "autodiscover.example.org").body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn outlook_discovers_the_settings() {
    let ask = async |request: Request| text(ask(&site(), STRANGER, request).await).await;
    let (one, other) = (ask(outlook("john@example.org")).await, ask(outlook("nobody@example.org")).await);
    assert!(one.contains("<LoginName>john@example.org</LoginName>") && one.contains("<Port>993</Port>"));
    assert_eq!(one.replace("john", "*"), other.replace("nobody", "*"));
    assert!(ask(outlook("john@example.net")).await.contains("<ErrorCode>500</ErrorCode>"));
    for bad in ["<!DOCTYPE x [<!ENTITY a 'b'>]>&a;", ""] {
        assert!(!ask(outlook(bad)).await.contains("LoginName"), "{bad}");
    }
    let empty = request(Method::POST, "/autodiscover/autodiscover.xml", "example.org").body(Body::from(vec![0xff, 0xfe])).unwrap();
    assert!(ask(empty).await.contains("<ErrorCode>600</ErrorCode>"));
    let got = text(get(&site(), "/autodiscover/autodiscover.xml").await).await;
    assert!(got.contains("<Server>mail.example.org</Server>") && !got.contains("LoginName"));
    let got = text(get(&site(), "/autodiscover/autodiscover.xml?Email=john%40example.org").await).await;
    assert!(got.contains("<LoginName>john@example.org</LoginName>"));
}

#[tokio::test]
async fn newer_outlooks_are_led_to_the_settings() {
    for path in ["/autodiscover/autodiscover.json", "/autodiscover/autodiscover.json/v1.0/john%40example.org"] {
        let response = get(&site(), &format!("{path}?Protocol=Autodiscoverv1")).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json; charset=utf-8");
        let want = r#"{"Protocol":"AutodiscoverV1","Url":"https://mail.example.org/autodiscover/autodiscover.xml"}"#;
        assert_eq!(text(response).await, want);
        assert_eq!(get(&site(), &format!("{path}?Protocol=EWS")).await.status(), 400);
    }
}

#[tokio::test]
async fn the_demo_is_for_this_machine_by_its_own_name() {
    let site = demo().await;
    let cases = [
        (LOCAL, "localhost", 200),
        (LOCAL, "LOCALHOST:10080", 200),
        ("[::1]:9", "[::1]:10080", 200),
        ("[::ffff:127.0.0.1]:9", "stoa.localhost:10443", 200),
        (STRANGER, "localhost", 403),
        (LOCAL, "evil.example", 403),
        (LOCAL, "localhost.evil.example:80", 403),
        (LOCAL, "localhost:80:80", 403),
        (LOCAL, "", 403),
    ];
    for (peer, host, status) in cases {
        let response = ask(&site, peer, request(Method::GET, "/demo", host).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{peer} {host}");
        if status == 200 {
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}

fn post(body: String, origin: Option<&str>) -> Request {
    let mut request = request(Method::POST, "/demo", "localhost").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    request.body(Body::from(body)).unwrap()
}

fn csrf_of(page: &str) -> String {
    page.split_once(r#"name="csrf" value=""#).unwrap().1.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn the_demo_takes_only_its_own_form() {
    let site = demo().await;
    let csrf = csrf_of(&text(get(&site, "/demo").await).await);
    let good = format!("csrf={csrf}&from=a%40b.example&to=c%40d.example&subject=s&text=t");
    let cases = [
        (good.clone(), None, 303),
        (good.clone(), Some("http://localhost:10080"), 303),
        (good.clone(), Some("https://evil.example"), 403),
        (good.clone(), Some("null"), 403),
        (good.replace(&csrf, ""), None, 403),
        (good.replace(&csrf, &"0".repeat(csrf.len())), None, 403),
        (format!("{good}{}", "x".repeat(BODY_BYTES_MAX)), None, 413),
    ];
    for (body, origin, status) in cases {
        let response = ask(&site, LOCAL, post(body.clone(), origin)).await;
        assert_eq!(response.status(), status, "{origin:?} {}", &body[..60]);
    }
    assert_eq!(ask(&site, STRANGER, post(good, None)).await.status(), 403);
}

#[tokio::test]
async fn what_could_not_be_sent_is_still_in_the_form() {
    let site = demo().await;
    let csrf = csrf_of(&text(get(&site, "/demo").await).await);
    let sent = ask(&site, LOCAL, post(format!("csrf={csrf}&from=nobody&to=c%40d.example&text=kept"), None)).await;
    let page = text(get(&site, sent.headers()[header::LOCATION].to_str().unwrap()).await).await;
    assert!(page.contains("Not sent.") && page.contains("is not a mail address") && page.contains("kept"), "{page}");
}

#[tokio::test]
async fn a_silent_connection_is_let_go_and_one_that_asked_stays() {
    let (_stop, mut stopped) = watch::channel(false);
    let short = Duration::from_millis(5);
    enough(&mut stopped, &AtomicBool::new(false), short).await;
    let asked = AtomicBool::new(true);
    assert!(tokio::time::timeout(short * 10, enough(&mut stopped, &asked, short)).await.is_err());
}

#[tokio::test]
async fn a_waiting_connection_ends_when_the_server_stops() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(router(site()), Connection::plain(stream, peer, None), stopped));
    client.write_all(b"GET /style.css HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut start = [0; 15];
    client.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    stop.send(true).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(stoa_webapp::STYLES.as_bytes()), "what was asked for is still sent");
    assert!(matches!(served.await.unwrap(), Ended::Closed));
}

#[test]
fn a_peer_that_went_away_is_no_broken_connection() {
    assert!(matches!(because(io::Error::from(ErrorKind::ConnectionReset).into()), Ended::PeerGone));
    assert!(matches!(because("this is not HTTP".into()), Ended::Broken(_)));
}
