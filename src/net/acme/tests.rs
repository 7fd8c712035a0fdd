//! Orders against a whole authority on this machine, which really connects to look for challenges.

use super::*;
use crate::net::dns::{Resolver, ResolverSettings};
use crate::net::https::Https;
use crate::net::{ACME_ALPN, Purpose, Tls, certificate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use stoa_world::{Acme, AcmeFault, Network};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const DAY: i64 = 86_400;
const HOST: &str = "mail.example.org";
const OTHER: &str = "autoconfig.example.org";

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An authority, a server with both ports, and who keeps its certificate.
struct Scene {
    acme: Acme,
    keeper: Keeper,
    dir: TempDir,
    https: SocketAddr,
}

impl Scene {
    async fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::random();
        let acme = Acme::serve(&network.address(1).to_string(), SocketAddr::new(network.address(1), 0)).await;
        let challenges = Arc::new(Challenges::default());
        // The certificate of a first day, which its own key signed.
        let key = KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(dir.path().join("certificate.pem"), made.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        let (http, https) = (serve_plain(network, Arc::clone(&challenges)).await, serve_tls(network, dir.path(), &challenges).await);
        acme.names_lead_to(http, https);
        let keeper = keeper(&acme, dir.path(), challenges);
        Scene { acme, keeper, dir, https }
    }

    fn leaf(&self) -> Leaf {
        Leaf::read(&self.dir.path().join("certificate.pem")).unwrap()
    }

    async fn step(&mut self, at: i64) -> Came {
        let came = self.keeper.step(at).await.0;
        assert_eq!(self.acme.complaints(), [""; 0], "the authority is content with how we speak");
        came
    }

    async fn fails(&mut self, at: i64) -> String {
        let before = self.leaf();
        let came = self.step(at).await;
        assert_eq!(self.leaf(), before, "a failure leaves the certificate in place");
        assert!(!self.keeper.board.challenges.is_posted(), "nothing stays posted");
        match came {
            Came::Failed(why) => why,
            other => panic!("it came to {other:?}"),
        }
    }
}

fn keeper(acme: &Acme, dir: &Path, challenges: Arc<Challenges>) -> Keeper {
    let settings = Settings {
        directory_url: acme.directory_url(),
        contact: Some("john@example.org".into()),
        names: vec![HOST.into(), OTHER.into()],
        certificate_file: dir.join("certificate.pem"),
        key_file: dir.join("key.pem"),
        folder: dir.join("acme"),
        kinds: vec![Kind::TlsAlpn01, Kind::Http01],
        pace: Pace { first: Duration::from_millis(20), step: Duration::from_secs(20) },
    };
    let lookup: Lookup = Arc::new(|_| Box::pin(std::future::ready(Ok(vec!["192.0.2.1".parse().unwrap()]))));
    let servers = vec!["127.0.0.1:9".parse().unwrap()];
    let resolver = Resolver::new(&ResolverSettings { servers, trust_anchors: None, timeout: Duration::from_secs(1), attempts: 0 });
    let https = Https::new(resolver.unwrap(), RootCertStore::clone(&acme.authority().roots()), 443, true).unwrap();
    Keeper::open(settings, Board { challenges, ..Board::default() }, lookup, Arc::new(move || Box::new(https.clone()))).unwrap()
}

/// The smallest web server that can answer HTTP-01.
async fn serve_plain(network: Network, challenges: Arc<Challenges>) -> SocketAddr {
    let listener = TcpListener::bind((network.address(2), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap();
            let text = path.strip_prefix("/.well-known/acme-challenge/").and_then(|token| challenges.text(token));
            let status = if text.is_some() { "200 OK" } else { "404 Not Found" };
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n{}", text.unwrap_or_default()).as_bytes()).await.unwrap();
        }
    });
    address
}

async fn serve_tls(network: Network, dir: &Path, challenges: &Arc<Challenges>) -> SocketAddr {
    let tls = Tls::load(&dir.join("certificate.pem"), &dir.join("key.pem"), Purpose::Web).unwrap();
    let tls = Arc::new(tls.with_challenges(Arc::clone(challenges)));
    let listener = TcpListener::bind((network.address(2), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = Arc::clone(&tls);
            tokio::spawn(async move {
                if let Ok((mut stream, _)) = tls.accept(stream).await {
                    // Whoever is no authority is told so.
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn the_first_certificate_comes_and_is_renewed_for_the_same_key() {
    let mut scene = Scene::new().await;
    let (start, tlsa) = (now(), scene.leaf().tlsa());
    let Came::Fetched(first) = scene.step(start).await else { panic!("no certificate") };
    assert_eq!(first.names, [HOST, OTHER]);
    assert_eq!(scene.leaf(), first);
    assert_eq!(first.tlsa(), tlsa, "what is published of the key stays true");
    assert_eq!(scene.acme.tried(), ["tls-alpn-01"; 2]);
    assert_eq!(scene.acme.accounts()[0]["contact"][0], "mailto:john@example.org");
    assert_eq!(scene.step(start).await, Came::Nothing);

    // Another process takes over, and renews when it is time.
    scene.keeper = keeper(&scene.acme, scene.dir.path(), Arc::clone(&scene.keeper.board.challenges));
    assert_eq!(scene.step(start + 50 * DAY).await, Came::Nothing);
    let later = SystemTime::now() + Duration::from_secs(65 * DAY.unsigned_abs());
    scene.acme.issue_for(later, later + Duration::from_secs(90 * DAY.unsigned_abs()));
    let Came::Fetched(second) = scene.step(start + 65 * DAY).await else { panic!("no renewal") };
    assert_eq!(second.tlsa(), tlsa);
    assert_ne!(second.sha256, first.sha256);
    assert_eq!((scene.acme.accounts().len(), scene.acme.orders().len()), (1, 2));
    let mode =
        |file: &str| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(scene.dir.path().join(file)).unwrap().permissions()) & 0o777;
    assert_eq!((mode("acme/account.json"), mode("acme/state.json")), (0o600, 0o600));
}

#[tokio::test]
async fn a_closed_port_leads_to_the_other_challenge() {
    let mut scene = Scene::new().await;
    let start = now();
    let closed = SocketAddr::new(scene.https.ip(), 1);
    let http = serve_plain(Network::random(), Arc::clone(&scene.keeper.board.challenges)).await;
    scene.acme.names_lead_to(http, closed);
    let why = scene.fails(start).await;
    assert!(why.contains("could not verify") && why.contains(HOST) && why.contains(OTHER), "{why}");
    let (came, wake) = scene.keeper.step(start).await;
    assert_eq!((came, wake > start && wake < start + 60), (Came::Nothing, true));
    assert!(matches!(scene.step(wake).await, Came::Fetched(_)));
    assert_eq!(scene.acme.tried(), ["http-01"; 2]);
    assert_eq!(scene.keeper.state().worked, Some(Kind::Http01));
}

#[tokio::test]
async fn one_name_that_cannot_be_verified_is_left_out() {
    let mut scene = Scene::new().await;
    scene.acme.fail(AcmeFault::Unverified(OTHER.into()));
    let mut at = now();
    let leaf = loop {
        match scene.keeper.step(at).await {
            (Came::Fetched(leaf), _) => break leaf,
            (_, wake) => at = wake,
        }
        assert!(at < now() + 3_600, "it comes within the hour");
    };
    assert_eq!(leaf.names, [HOST]);
    assert_eq!(scene.acme.orders().last().unwrap(), &[HOST]);
}

#[tokio::test]
async fn an_old_nonce_and_a_forgotten_account_are_overcome() {
    let mut scene = Scene::new().await;
    scene.acme.fail(AcmeFault::BadNonce);
    assert!(matches!(scene.step(now()).await, Came::Fetched(_)));
    scene.acme.fail(AcmeFault::ForgottenAccounts);
    let later = SystemTime::now() + Duration::from_secs(70 * DAY.unsigned_abs());
    scene.acme.issue_for(later, later + Duration::from_secs(90 * DAY.unsigned_abs()));
    assert!(matches!(scene.step(now() + 70 * DAY).await, Came::Fetched(_)));
    assert_eq!(scene.acme.accounts().len(), 1);
}

#[tokio::test]
async fn a_limit_of_the_authority_is_waited_for() {
    let mut scene = Scene::new().await;
    let start = now();
    scene.acme.fail(AcmeFault::RateLimited(36 * 3_600));
    let why = scene.fails(start).await;
    assert!(why.contains("too many certificates"), "{why}");
    assert_eq!(scene.step(start + 35 * 3_600).await, Came::Nothing);
    assert!(matches!(scene.step(start + 36 * 3_600).await, Came::Fetched(_)));
    assert_eq!(scene.keeper.state().failing_since, None);
}

#[tokio::test]
async fn whatever_an_authority_does_wrong_the_old_certificate_stays() {
    let cases = [
        (AcmeFault::Garbage, "did not take the order"),
        (AcmeFault::NeverReady, "did not verify the names within"),
        (AcmeFault::NeverIssued, "did not issue"),
        (AcmeFault::ForeignKey, "for another key"),
        (AcmeFault::GarbageCertificate, "broken"),
        (AcmeFault::Without("tls-alpn-01"), "does not offer"),
    ];
    for (fault, want) in cases {
        let mut scene = Scene::new().await;
        scene.keeper.settings.pace.step = Duration::from_millis(500);
        scene.acme.fail(fault.clone());
        let why = scene.fails(now()).await;
        assert!(why.contains(want), "{fault:?}: {why}");
        scene.acme.recover();
        scene.keeper.settings.pace.step = Duration::from_secs(20);
        assert!(matches!(scene.step(now() + DAY).await, Came::Fetched(_)), "{fault:?}: it recovers");
    }
}

#[tokio::test]
async fn certificates_that_would_not_do_are_not_put_in_place() {
    let mut scene = Scene::new().await;
    let past = SystemTime::now() - Duration::from_secs(100 * DAY.unsigned_abs());
    scene.acme.issue_for(past, past + Duration::from_secs(90 * DAY.unsigned_abs()));
    assert!(scene.fails(now()).await.contains("over already"));
}

#[tokio::test]
async fn an_authority_that_is_not_there_is_tried_again() {
    let mut scene = Scene::new().await;
    scene.keeper.settings.directory_url = "https://127.0.0.1:1/directory".into();
    assert!(scene.fails(now()).await.contains("made no account"));
    scene.keeper.settings.directory_url = scene.acme.directory_url();
    assert!(matches!(scene.step(now() + DAY).await, Came::Fetched(_)));
}

#[tokio::test]
async fn a_foreign_certificate_is_never_touched() {
    let mut scene = Scene::new().await;
    let other = certificate::ensure(&scene.dir.path().join("other"), SystemTime::now()).unwrap();
    fs::copy(other.certificate, scene.dir.path().join("certificate.pem")).unwrap();
    fs::copy(other.key, scene.dir.path().join("key.pem")).unwrap();
    let foreign = scene.leaf();
    for at in [now(), now() + 400 * DAY] {
        assert_eq!(scene.step(at).await, Came::Foreign);
    }
    assert_eq!(scene.leaf(), foreign);
    assert!(scene.acme.orders().is_empty());
}

#[tokio::test]
async fn a_missing_key_is_made_and_a_broken_one_is_not_thrown_away() {
    let mut scene = Scene::new().await;
    fs::write(scene.dir.path().join("key.pem"), "not a key").unwrap();
    let why = scene.fails(now()).await;
    assert!(why.contains("cannot use the key") && why.contains("PKCS #8"), "{why}");
    assert_eq!(fs::read_to_string(scene.dir.path().join("key.pem")).unwrap(), "not a key");
    fs::remove_file(scene.dir.path().join("key.pem")).unwrap();
    let Came::Fetched(leaf) = scene.step(now() + 3_600).await else { panic!("no certificate") };
    let key = KeyPair::from_pem(&fs::read_to_string(scene.dir.path().join("key.pem")).unwrap()).unwrap();
    let made = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
    assert_eq!(Leaf::of_der(made.der()).unwrap().tlsa(), leaf.tlsa());
}

#[tokio::test]
async fn a_certificate_that_was_fetched_but_not_written_is_fetched_again() {
    let mut scene = Scene::new().await;
    let Came::Fetched(first) = scene.step(now()).await else { panic!("no certificate") };
    let old = fs::read(scene.dir.path().join("certificate.pem")).unwrap();
    let later = SystemTime::now() + Duration::from_secs(70 * DAY.unsigned_abs());
    scene.acme.issue_for(later, later + Duration::from_secs(90 * DAY.unsigned_abs()));
    assert!(matches!(scene.step(now() + 70 * DAY).await, Came::Fetched(_)));
    // As if the machine had stopped between the state and the certificate.
    fs::write(scene.dir.path().join("certificate.pem"), old).unwrap();
    assert_eq!(scene.leaf(), first);
    assert!(matches!(scene.step(now() + 71 * DAY).await, Came::Fetched(_)), "the old one is still known as ours");
}

/// Shakes hands with these protocols on offer; gives the certificate and what is said after.
async fn meet(scene: &Scene, name: &str, protocols: &[&[u8]]) -> std::io::Result<(Option<Vec<u8>>, Leaf, String)> {
    let mut roots = RootCertStore::clone(&scene.acme.authority().roots());
    let own = CertificateDer::from_pem_file(scene.dir.path().join("certificate.pem")).unwrap();
    roots.add(own).unwrap();
    let config = ClientConfig::builder_with_provider(crate::net::tls::provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(scene.https).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    let (_, connection) = stream.get_ref();
    let leaf = Leaf::of_der(&connection.peer_certificates().unwrap()[0]).unwrap();
    Ok((connection.alpn_protocol().map(<[u8]>::to_vec), leaf, said))
}

#[tokio::test]
async fn only_an_authority_gets_the_certificate_of_a_challenge() {
    let scene = Scene::new().await;
    let posted = scene.keeper.board.challenges.post_name(HOST, [7; 32]).unwrap();
    // A browser gets the usual certificate, also if it offers the authority's protocol beside its own.
    let offers: [&[&[u8]]; 4] = [&[], &[b"h2"], &[b"http/1.1", ACME_ALPN], &[ACME_ALPN, b"h2"]];
    for protocols in offers {
        let (_, leaf, said) = meet(&scene, HOST, protocols).await.unwrap();
        assert_eq!((leaf, said.as_str()), (scene.leaf(), "hello"));
    }
    // An authority that asks for a name that nobody posted is told that its protocol is not spoken here.
    let refused = meet(&scene, OTHER, &[ACME_ALPN]).await.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    // For the posted name the certificate is one that no other client would accept.
    let refused = meet(&scene, HOST, &[ACME_ALPN]).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    drop(posted);
    assert!(meet(&scene, HOST, &[ACME_ALPN]).await.unwrap_err().to_string().contains("NoApplicationProtocol"));
}
