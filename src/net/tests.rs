//! Conversations over real sockets of this machine: a small session of lines, its door, and clients.
//!
//! The session speaks one word per line and does with it one thing that a driver must get right. Every test ends
//! within [`TEST_SECONDS_MAX`].

mod lines;

use super::deflate::{Deflater, Inflater};
use super::*;
use lines::{Lines, TICK_AFTER, TestDoor};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;

const TEST_SECONDS_MAX: u64 = 20;

/// A listening server of [`Lines`], and the strings it hangs on.
struct Server {
    listening: Listening,
    shutdown: watch::Sender<bool>,
    events: mpsc::Sender<String>,
    ended: mpsc::Receiver<Ended>,
    files: certificate::Files,
    _dir: tempfile::TempDir,
}

const PATIENCE: Patience =
    Patience { handshake: Duration::from_millis(500), write: Duration::from_millis(500), goodbye: Duration::from_millis(200) };

const LIMITS: ConnectionLimits = ConnectionLimits { in_all: 10, per_address: 3, per_minute: 1_000, exempt_loopback: false };

impl Server {
    async fn start(implicit: bool) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let files = certificate::ensure(dir.path(), SystemTime::now()).unwrap();
        let tls = Arc::new(Tls::load(&files.certificate, &files.key, Purpose::Clients).unwrap());
        let (shutdown, down) = watch::channel(false);
        let (events, receiver) = mpsc::channel(1);
        let (tell, ended) = mpsc::channel(10);
        // The first connection gets the events, the others get none.
        let receiver = std::sync::Mutex::new(Some(receiver));
        let serving_down = down.clone();
        let serve = move |stream: TcpStream, peer: SocketAddr| {
            let events = receiver.lock().unwrap().take().unwrap_or_else(|| mpsc::channel(1).1);
            let (tls, down, tell) = (Arc::clone(&tls), serving_down.clone(), tell.clone());
            async move {
                let connection = match implicit {
                    false => Connection::plain(stream, peer, Some(tls)),
                    true => match Connection::tls(stream, peer, &tls, PATIENCE).await {
                        Ok(connection) => connection,
                        Err(error) => return tell.send(Ended::NoTls(error)).await.unwrap(),
                    },
                };
                let door = TestDoor { events, body: Vec::new() };
                let ended = drive(Lines::default(), door, connection, down, PATIENCE).await;
                _ = tell.send(ended).await;
            }
        };
        let at = "127.0.0.1:0".parse().unwrap();
        let listening = listen(at, Crowd::new(LIMITS), Some(b"too many\n"), down, Duration::from_millis(300), serve).await.unwrap();
        Server { listening, shutdown, events, ended, files, _dir: dir }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listening.address).await.unwrap()
    }

    async fn secure(&self, plain: TcpStream) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.files.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), plain).await
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') | Err(_) => return String::from_utf8(line).unwrap(),
            Ok(byte) => line.push(byte),
        }
    }
}

/// The line that these compressed bytes bring, and no byte more.
async fn inflated_line(stream: &mut (impl AsyncRead + Unpin), inflater: &mut Inflater) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let count = inflater.read(stream).await.unwrap();
        line.extend_from_slice(inflater.piece(count));
        assert_eq!(line.iter().position(|&byte| byte == b'\n').unwrap_or(line.len() - 1), line.len() - 1);
        if count == 0 {
            break;
        }
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// Runs a test on two threads, so that a server that blocks shows, and ends it in time.
fn test(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limit = Duration::from_secs(TEST_SECONDS_MAX);
    runtime.block_on(async { tokio::time::timeout(limit, conversation).await.unwrap() });
}

#[test]
fn questions_are_answered_after_the_steps_that_were_ready() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "hello\nask why\n").await;
        assert_eq!([line(&mut client).await, line(&mut client).await, line(&mut client).await], ["hello", "asked", "answer to why"]);
        say(&mut client, "body 12345\nquit\n").await;
        assert_eq!([line(&mut client).await, line(&mut client).await, line(&mut client).await], ["body of 5", "bye", ""]);
        drop(client);
        assert!(matches!(server.ended.recv().await, Some(Ended::Closed)));
    });
}

#[test]
fn what_follows_starttls_in_plain_is_discarded() {
    test(async {
        let server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "tls\ninjected\n").await;
        assert_eq!(line(&mut client).await, "go ahead");
        let mut client = server.secure(client).await.unwrap();
        assert_eq!(line(&mut client).await, "TLS1.3 TLS_AES_256_GCM_SHA384 32 32");
        say(&mut client, "safe\nquit\n").await;
        assert_eq!([line(&mut client).await, line(&mut client).await], ["safe", "bye"]);
        // A close without close_notify would be an error here.
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn what_the_socket_holds_after_starttls_is_discarded_too() {
    test(async {
        let server = Server::start(false).await;
        let mut client = server.connect().await;
        // More than an idle session reads at once, less than the segment of a loopback: the rest lies in the socket.
        say(&mut client, &format!("tls\n{}", "injected\n".repeat(2_000))).await;
        assert_eq!(line(&mut client).await, "go ahead");
        let mut client = server.secure(client).await.unwrap();
        assert!(line(&mut client).await.starts_with("TLS1.3"));
        say(&mut client, "safe\n").await;
        assert_eq!(line(&mut client).await, "safe");
    });
}

#[test]
fn plain_bytes_instead_of_a_handshake_end_the_connection() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "tls\n").await;
        assert_eq!(line(&mut client).await, "go ahead");
        say(&mut client, "hello in plain\n").await;
        assert!(matches!(server.ended.recv().await, Some(Ended::NoTls(_))));
        let mut silent = server.connect().await;
        say(&mut silent, "tls\n").await;
        assert!(matches!(server.ended.recv().await, Some(Ended::NoTls(error)) if error.kind() == io::ErrorKind::TimedOut));
    });
}

#[test]
fn tls_may_come_first() {
    test(async {
        let mut server = Server::start(true).await;
        let mut client = server.secure(server.connect().await).await.unwrap();
        assert!(line(&mut client).await.starts_with("TLS1.3 "));
        say(&mut client, "hello\n").await;
        assert_eq!(line(&mut client).await, "hello");
        let mut plain = server.connect().await;
        say(&mut plain, "hello\n").await;
        assert!(matches!(server.ended.recv().await, Some(Ended::NoTls(_))));
    });
}

#[test]
fn what_follows_compress_is_compressed_both_ways() {
    const BYTES: usize = 3_000_000;
    test(async {
        let mut server = Server::start(true).await;
        let mut client = server.secure(server.connect().await).await.unwrap();
        assert!(line(&mut client).await.starts_with("TLS1.3 "));
        let (mut ours, mut theirs) = (Deflater::default(), Inflater::new(Vec::new()));
        // In the same read as the command, then a byte at a time.
        client.write_all(&[b"hello\ncompress\n", &ours.compress(b"first\n").unwrap()[..]].concat()).await.unwrap();
        assert_eq!([line(&mut client).await, line(&mut client).await], ["hello", "go ahead"]);
        assert_eq!(inflated_line(&mut client, &mut theirs).await, "first");
        for byte in ours.compress(b"second\n").unwrap() {
            client.write_all(&[byte]).await.unwrap();
            client.flush().await.unwrap();
        }
        assert_eq!(inflated_line(&mut client, &mut theirs).await, "second");
        server.events.send("new mail".to_owned()).await.unwrap();
        assert_eq!(inflated_line(&mut client, &mut theirs).await, "new mail");
        // After a while of silence both sides have forgotten what they can.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        theirs.rest();
        client.write_all(&ours.compress(format!("stream {BYTES}\n").as_bytes()).unwrap()).await.unwrap();
        let mut streamed = 0;
        while streamed < BYTES {
            let count = theirs.read(&mut client).await.unwrap();
            assert!(count > 0 && theirs.piece(count).iter().take(BYTES - streamed).all(|&byte| byte == b'x'));
            streamed += count;
        }
        client.write_all(&ours.compress(format!("body {}\nquit\n", "y".repeat(BYTES)).as_bytes()).unwrap()).await.unwrap();
        let mut last = Vec::new();
        while let count @ 1.. = theirs.read(&mut client).await.unwrap() {
            last.extend_from_slice(theirs.piece(count));
        }
        assert!(String::from_utf8(last).unwrap().ends_with(&format!("body of {BYTES}\nbye\n")));
        assert!(matches!(server.ended.recv().await, Some(Ended::Closed)));
    });
}

#[test]
fn garbage_in_place_of_compressed_bytes_ends_the_connection() {
    test(async {
        let mut server = Server::start(true).await;
        let mut client = server.secure(server.connect().await).await.unwrap();
        assert!(line(&mut client).await.starts_with("TLS1.3 "));
        let mut ours = Deflater::default();
        say(&mut client, "compress\n").await;
        assert_eq!(line(&mut client).await, "go ahead");
        client.write_all(&[&ours.compress(b"understood\n").unwrap()[..], b"not understood\n"].concat()).await.unwrap();
        let mut theirs = Inflater::new(Vec::new());
        let mut heard = Vec::new();
        // The session hears of an end and may clean up; a close without close_notify would be an error here.
        while let count @ 1.. = theirs.read(&mut client).await.unwrap() {
            heard.extend_from_slice(theirs.piece(count));
        }
        assert_eq!(String::from_utf8(heard).unwrap(), "understood\neof\n");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        let ended = server.ended.recv().await;
        assert!(matches!(&ended, Some(Ended::Broken(error)) if error.kind() == io::ErrorKind::InvalidData), "{ended:?}");
    });
}

#[test]
fn a_compressed_stream_may_end_before_the_connection() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "compress\n").await;
        assert_eq!(line(&mut client).await, "go ahead");
        client.write_all(&[&miniz_oxide::deflate::compress_to_vec(b"last\n", 6)[..], b"ignored\n"].concat()).await.unwrap();
        let mut theirs = Inflater::new(Vec::new());
        let mut heard = Vec::new();
        while let count @ 1.. = theirs.read(&mut client).await.unwrap() {
            heard.extend_from_slice(theirs.piece(count));
        }
        assert_eq!(String::from_utf8(heard).unwrap(), "last\neof\n");
        drop(client);
        assert!(matches!(server.ended.recv().await, Some(Ended::PeerGone)));
    });
}

#[test]
fn events_and_the_clock_wake_an_idle_session() {
    test(async {
        let server = Server::start(false).await;
        let mut client = server.connect().await;
        server.events.send("new mail".to_owned()).await.unwrap();
        assert_eq!(line(&mut client).await, "new mail");
        let before = Instant::now();
        say(&mut client, "tick\n").await;
        assert_eq!(line(&mut client).await, "tick");
        assert!(before.elapsed() >= TICK_AFTER);
    });
}

#[test]
fn a_peer_that_closes_its_side_hears_the_end() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "ask why\n").await;
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "asked\nanswer to why\neof\n");
        assert!(matches!(server.ended.recv().await, Some(Ended::PeerGone)));
    });
}

#[test]
fn much_is_streamed_in_order_through_a_slow_peer() {
    test(async {
        const BYTES: usize = 20_000_000;
        let server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, &format!("first\nstream {BYTES}\n")).await;
        assert_eq!(line(&mut client).await, "first");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut got = vec![0; BYTES];
        client.read_exact(&mut got).await.unwrap();
        assert!(got.iter().all(|&byte| byte == b'x'));
        assert_eq!(line(&mut client).await, " streamed");
    });
}

#[test]
fn a_peer_that_reads_nothing_is_let_go() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "stream 100000000\n").await;
        assert!(matches!(server.ended.recv().await, Some(Ended::TimedOut)));
    });
}

#[test]
fn a_door_that_cannot_stream_is_our_fault() {
    test(async {
        let mut server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "stream 0\n").await;
        assert!(matches!(server.ended.recv().await, Some(Ended::Broken(_))));
    });
}

#[test]
fn a_large_input_arrives_whole() {
    test(async {
        let server = Server::start(false).await;
        let (mut reader, mut writer) = server.connect().await.into_split();
        let text = "y".repeat(1_000_000);
        let writing = tokio::spawn(async move { say(&mut writer, &format!("body {text}\n")).await });
        assert_eq!(line(&mut reader).await, "body of 1000000");
        writing.await.unwrap();
    });
}

#[test]
fn shutdown_is_told_and_waited_for() {
    test(async {
        let server = Server::start(false).await;
        let mut client = server.connect().await;
        say(&mut client, "hello\n").await;
        assert_eq!(line(&mut client).await, "hello");
        server.shutdown.send(true).unwrap();
        assert_eq!([line(&mut client).await, line(&mut client).await], ["shutdown", ""]);
        let address = server.listening.address;
        server.listening.ended().await;
        assert!(TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn shutdown_does_not_wait_forever() {
    test(async {
        let server = Server::start(true).await;
        // It never begins its handshake, so it never hears of the shutdown.
        let _client = server.connect().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = Instant::now();
        server.shutdown.send(true).unwrap();
        server.listening.ended().await;
        assert!(before.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn one_address_gets_its_share_of_connections() {
    test(async {
        let mut server = Server::start(false).await;
        let mut clients = Vec::new();
        for _ in 0..LIMITS.per_address {
            let mut client = server.connect().await;
            say(&mut client, "hello\n").await;
            assert_eq!(line(&mut client).await, "hello");
            clients.push(client);
        }
        let mut refused = server.connect().await;
        assert_eq!([line(&mut refused).await, line(&mut refused).await], ["too many", ""]);
        clients.pop();
        assert!(matches!(server.ended.recv().await, Some(Ended::PeerGone)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut client = server.connect().await;
        say(&mut client, "hello again\n").await;
        assert_eq!(line(&mut client).await, "hello again");
    });
}

#[test]
fn new_connections_get_a_renewed_certificate() {
    test(async {
        let server = Server::start(true).await;
        let leaf = async || {
            let client = server.secure(server.connect().await).await.unwrap();
            client.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        };
        let before = leaf().await;
        assert_eq!(leaf().await, before);
        std::fs::write(&server.files.key, "lost").unwrap();
        certificate::ensure(server.files.key.parent().unwrap(), SystemTime::now()).unwrap();
        tokio::time::sleep(tls::LOOK_EVERY).await;
        assert_ne!(leaf().await, before);
    });
}
