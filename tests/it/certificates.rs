//! A certificate that comes by itself: a server as `stoa init --acme` makes it, a DNS and an authority of the test's own, all
//! on addresses of 127.0.0.0/8. The authority really comes to the server's ports, and then the world does.

use crate::daemon::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use stoa_world::{Acme, Dns, Network, Zone};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const HOST: &str = "mail.certified.test";
/// To start, look names up and fetch, on a busy machine in a debug build.
const WITHIN: Duration = Duration::from_secs(180);

/// A server before it runs, its DNS, its authority.
struct House {
    folder: TempDir,
    acme: Acme,
    smtp: SocketAddr,
    https: SocketAddr,
    daemon: Option<Child>,
    _dns: Dns,
    _runtime: Runtime,
}

impl House {
    fn new(more_of_acme: &str) -> House {
        let folder = tempfile::Builder::new().prefix("stoa-it-").tempdir().expect("a temporary folder can be made");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("a mode can be set");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let network = Network::random();
        let own = network.address(1);
        let [smtp, http, https, names, imaps, submissions] = distinct_ports(network).map(|port| SocketAddr::new(own, port));
        // The domain's own pages are elsewhere, and nobody made a record for autodiscover.
        let zone = format!(
            "{HOST}. A {own}\nmta-sts.certified.test. CNAME {HOST}.\nautoconfig.certified.test. A {own}\ncertified.test. A {}\n",
            network.address(99)
        );
        let dns = runtime.block_on(Dns::serve(&[Zone::unsigned("certified.test", &zone)]));
        let acme = runtime.block_on(Acme::serve(&network.address(2).to_string(), SocketAddr::new(network.address(2), 0)));
        acme.names_lead_to(http, https);
        acme.names_are_known_at(names);
        let house = House { folder, acme, smtp, https, daemon: None, _dns: dns, _runtime: runtime };
        stoa(&["init", "socrates@certified.test", "--acme", "--dir", house.dir()]);
        fs::write(house.path("authority.pem"), house.acme.authority().pem()).expect("an authority can be written");
        let top = format!(
            "listen = {{ smtp = ['{smtp}'], http = ['{http}'], https = ['{https}'], dns = ['{names}'], imaps = ['{imaps}'], submissions = ['{submissions}'], \
             submission = [], imap = [] }}\ndns = {{ servers = ['{}'], trust_anchor_file = 'anchor' }}\n",
            house._dns.address()
        );
        fs::write(house.path("anchor"), house._dns.trust_anchor()).expect("an anchor can be written");
        let made = fs::read_to_string(house.path("stoa.toml")).expect("init wrote the configuration");
        // The last table of what init wrote is the one of the certificate.
        let bottom = format!("directory_url = '{}'\nca_file = 'authority.pem'\n{more_of_acme}", house.acme.directory_url());
        fs::write(house.path("stoa.toml"), format!("{top}{made}{bottom}")).expect("the configuration can be written");
        house
    }

    fn dir(&self) -> &str {
        self.folder.path().to_str().expect("a temporary folder has a plain name")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
        command.args(["serve", "--dir", self.dir()]).stdin(Stdio::null()).stdout(log.try_clone().expect("a log can be shared")).stderr(log);
        self.daemon = Some(command.spawn().expect("the program starts"));
        wait_for("the server", WITHIN, || TcpStream::connect(self.smtp).ok());
    }

    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        _ = kill_process(Pid::from_child(&daemon), Signal::TERM);
        wait_for("its end", WITHIN, || daemon.try_wait().expect("a child can be asked"));
    }

    /// A page over HTTPS, by a client that believes the authority alone.
    fn get(&self, host: &str, path: &str) -> std::io::Result<String> {
        self.ask(host, &format!("GET {path}"), "")
    }

    fn ask(&self, host: &str, what: &str, body: &str) -> std::io::Result<String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3 are known");
        let config = config.with_root_certificates(self.acme.authority().roots()).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).expect("a name of a test");
        let connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let stream = TcpStream::connect(self.https)?;
        stream.set_read_timeout(Some(WITHIN))?;
        let mut stream = StreamOwned::new(connection, stream);
        let length = body.len();
        let head = format!("{what} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- the server's log ----\n{}", fs::read_to_string(self.path("log")).unwrap_or_default());
            println!("---- the authority's complaints ----\n{:?}", self.acme.complaints());
        }
        self.stop();
    }
}

fn distinct_ports(network: Network) -> [u16; 6] {
    let mut ports = Vec::new();
    while ports.len() < 6 {
        let port = network.free_port(&[1]);
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.try_into().expect("there are six")
}

fn stoa(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stoa")).args(arguments).stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it says text")
}

#[test]
fn a_new_server_gets_its_certificate_and_serves_the_policy_with_it() {
    let mut house = House::new("");
    let key = house.read("tls/key.pem");
    house.start();
    wait_for("the certificate", WITHIN, || house.get(HOST, "/").ok().filter(|page| page.starts_with("HTTP/1.1 200")));
    // Names that do not lead here did not spoil the order.
    assert_eq!(house.acme.orders(), [[HOST, "mta-sts.certified.test", "autoconfig.certified.test"]]);
    assert_eq!(house.acme.tried(), ["tls-alpn-01"; 3]);
    assert_eq!(house.acme.accounts()[0]["contact"][0], "mailto:socrates@certified.test");
    assert_eq!(house.acme.complaints(), [""; 0]);
    assert_eq!(house.read("tls/key.pem"), key, "the key stays");
    assert_eq!(house.read("tls/certificate.pem").trim(), house.acme.issued()[0].trim());

    let policy = house.get("mta-sts.certified.test", "/.well-known/mta-sts.txt").expect("the certificate covers the policy's host");
    let text = policy.split_once("\r\n\r\n").expect("an answer has a body").1;
    assert!(text.starts_with(&format!("version: STSv1\r\nmode: testing\r\nmx: {HOST}\r\n")), "{policy}");
    let id: String = Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let records = stoa(&["dns", "--zone", "--dir", house.dir()]);
    assert!(records.contains(&format!("v=STSv1; id={id};")), "{records}");

    // Another start finds everything in order and asks the authority for nothing.
    house.stop();
    house.start();
    house.get(HOST, "/").expect("the certificate is still good");
    assert_eq!(house.acme.orders().len(), 1);
    whoever_sets_up_a_mail_program_is_helped(&house);
}

/// By the page, the profile and Autodiscover, at the names under which people and programs come.
fn whoever_sets_up_a_mail_program_is_helped(house: &House) {
    let page = house.get(HOST, "/mail-setup?address=socrates%40certified.test").expect("the page is there");
    assert!(page.contains("socrates@certified.test") && page.contains("<svg class=\"qr\""), "{page}");
    let link = page.split_once("<a href=\"/mail-setup/").expect("the page leads to the profile").1.split_once('"').expect("a link ends").0;
    assert!(link.starts_with("profile.mobileconfig?address=socrates%40"), "{link}");
    let profile = house.get(HOST, &format!("/mail-setup/{link}")).expect("the profile is there");
    assert!(
        profile.contains("application/x-apple-aspen-config") && profile.contains("<string>socrates@certified.test</string>"),
        "{profile}"
    );
    let request = "<Autodiscover><Request><EMailAddress>socrates@certified.test</EMailAddress></Request></Autodiscover>";
    let told = house.ask("autoconfig.certified.test", "POST /Autodiscover/Autodiscover.xml", request).expect("Outlook is answered");
    assert!(told.contains("<LoginName>socrates@certified.test</LoginName>") && told.contains("<Type>IMAP</Type>"), "{told}");
}

#[test]
fn where_the_challenges_names_are_delegated_the_authority_asks_dns() {
    let mut house = House::new("challenges = ['dns-01']\n");
    house.start();
    wait_for("the certificate", WITHIN, || house.get(HOST, "/").ok());
    assert_eq!(house.acme.tried(), ["dns-01"; 3]);
    assert_eq!(house.acme.complaints(), [""; 0]);
}
