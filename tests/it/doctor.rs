//! `stoa doctor` on a whole server: one that `stoa init` made, with the zone that `stoa dns` prints served by a DNS of the
//! test's own, on addresses of 127.0.0.0/8 alone. First nothing is wrong; then mistakes are made, and each is found.

use crate::daemon::{POLL, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use stoa_world::{Authority, Certificate, Dns, Network, Zone};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DOMAIN: &str = "doctor.test";
const HOST: &str = "mail.doctor.test";
/// What the certificate has to cover.
const NAMES: [&str; 4] = [HOST, "mta-sts.doctor.test", "autoconfig.doctor.test", "autodiscover.doctor.test"];
/// To start on a busy machine in a debug build, RSA keys of `init` included.
const SERVES_WITHIN: Duration = Duration::from_secs(120);

/// A finding, as far as this test looks at it.
#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    paste: Vec<String>,
}

/// A server, its DNS, its authority.
struct House {
    folder: TempDir,
    runtime: Runtime,
    dns: Option<Dns>,
    smtp: SocketAddr,
    daemon: Option<Child>,
}

impl House {
    fn new(certificate: &Certificate, authority: &Authority) -> House {
        let folder = tempfile::Builder::new().prefix("stoa-it-").tempdir().expect("a temporary folder can be made");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let network = Network::random();
        let mut ports: Vec<u16> = Vec::new();
        while ports.len() < 4 {
            let port = network.free_port(&[1]);
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let at: Vec<SocketAddr> = ports.iter().map(|port| SocketAddr::new(network.address(1), *port)).collect();
        let house = House { folder, runtime, dns: None, smtp: at[0], daemon: None };
        open(house.folder.path(), 0o700);
        stoa(&["init", "socrates@doctor.test", "--dir", house.dir()]);
        fs::write(house.path("tls/certificate.pem"), certificate.chain_pem()).expect("a certificate can be written");
        fs::write(house.path("tls/key.pem"), certificate.key_pem()).expect("a key can be written");
        fs::write(house.path("authority.pem"), authority.pem()).expect("an authority can be written");
        house.configure(&format!(
            "listen = {{ smtp = ['{}'], submissions = ['{}'], imaps = ['{}'], https = ['{}'], submission = [], imap = [], http = [] }}\n\
             queue = {{ smtp_port = {}, https_port = {}, extra_ca_file = '{}' }}\n",
            at[0],
            at[1],
            at[2],
            at[3],
            at[0].port(),
            at[3].port(),
            house.path("authority.pem").display(),
        ));
        house
    }

    fn dir(&self) -> &str {
        self.folder.path().to_str().expect("a temporary folder has a plain name")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, more: &str) {
        let file = self.path("stoa.toml");
        let text = fs::read_to_string(&file).expect("init wrote the configuration");
        // Keys of the top come before the first table.
        fs::write(&file, format!("{more}{text}")).expect("the configuration can be written");
    }

    /// Serves the zone that the server prints, signed, and has the server ask there.
    fn publish(&mut self) {
        let zone = stoa(&["dns", "--zone", "--dir", self.dir()]);
        let lines: String = zone.lines().filter(|line| !line.starts_with(';')).map(|line| format!("{line}\n")).collect();
        let dns = self.runtime.block_on(Dns::serve(&[Zone::signed(DOMAIN, &lines)]));
        fs::write(self.path("anchor"), dns.trust_anchor()).expect("an anchor can be written");
        self.configure(&format!("dns = {{ servers = ['{}'], trust_anchor_file = 'anchor', timeout_seconds = 5 }}\n", dns.address()));
        self.dns = Some(dns);
    }

    fn dns(&self) -> &Dns {
        self.dns.as_ref().expect("the zone was published")
    }

    fn start(&mut self) {
        let log = File::create(self.path("log")).expect("a log can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
        command.args(["serve", "--dir", self.dir()]).stdin(Stdio::null()).stdout(log.try_clone().expect("a log can be shared")).stderr(log);
        self.daemon = Some(command.spawn().expect("the program starts"));
        wait_for("the server", SERVES_WITHIN, || TcpStream::connect(self.smtp).ok());
        wait_for("its socket", SERVES_WITHIN, || self.path("control.socket").exists().then_some(()));
    }

    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        _ = kill_process(Pid::from_child(&daemon), Signal::TERM);
        wait_for("its end", SERVES_WITHIN, || daemon.try_wait().expect("a child can be asked"));
        std::thread::sleep(POLL);
    }

    /// The exit code, and what is wrong or could be better.
    fn examine(&self) -> (i32, Vec<Finding>) {
        let output = Command::new(env!("CARGO_BIN_EXE_stoa")).args(["doctor", "--json", "--dir", self.dir()]).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut findings: Vec<Finding> =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        findings.retain(|finding| !["good", "remark"].contains(&finding.severity.as_str()));
        (output.status.code().expect("it exits"), findings)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            println!("---- the server's log ----\n{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        }
    }
}

fn stoa(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stoa")).args(arguments).stdin(Stdio::null()).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it says text")
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode can be set");
}

/// Whether the clock of the machine that runs the test follows a time server is none of the test's business.
fn ids(findings: &[Finding]) -> Vec<&str> {
    let mut ids: Vec<&str> =
        findings.iter().map(|finding| finding.id.as_str()).filter(|id| !id.starts_with("clock-") && !id.starts_with("disk-")).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_right_is_found_right_and_each_mistake_is_named() {
    let authority = Authority::new();
    let certificate = authority.certificate(&NAMES);
    let mut house = House::new(&certificate, &authority);
    house.publish();
    house.start();

    let (code, findings) = house.examine();
    // What is left is what a server begins with on purpose.
    assert_eq!(ids(&findings), ["dmarc-watches doctor.test", "sts-testing doctor.test"], "{findings:#?}");
    assert_eq!(code, 0);

    let dns = house.dns();
    dns.remove(&format!("_dmarc.{DOMAIN}"), "TXT");
    dns.change(DOMAIN, &format!("{DOMAIN}. TXT \"v=spf1 mx -all\"\n{DOMAIN}. TXT \"v=spf1 a ~all\""));
    dns.change(DOMAIN, &format!("_25._tcp.{HOST}. TLSA {}", Certificate::self_signed(&[HOST]).tlsa()));
    dns.change(DOMAIN, &format!("_mta-sts.{DOMAIN}. TXT \"v=STSv1; id=old;\""));
    dns.change(DOMAIN, &format!("{DOMAIN}. MX 10 alias.{DOMAIN}.\nalias.{DOMAIN}. CNAME {HOST}."));
    open(&house.path("login.key"), 0o644);
    open(house.folder.path(), 0o755);
    let (code, findings) = house.examine();
    let wanted = [
        "directory-open",
        "dmarc-missing doctor.test",
        "files-open",
        "mx-alias doctor.test",
        "spf-two doctor.test",
        "sts-stale doctor.test",
        "tlsa-other",
    ];
    assert_eq!(ids(&findings), wanted, "{findings:#?}");
    assert_eq!(code, 1);
    let tlsa = findings.iter().find(|finding| finding.id == "tlsa-other").expect("it was found");
    assert!(tlsa.paste[0].ends_with(&certificate.tlsa()), "{tlsa:#?}");

    house.stop();
    open(house.folder.path(), 0o700);
    open(&house.path("login.key"), 0o600);
    let expired = authority.expired(&NAMES);
    fs::write(house.path("tls/certificate.pem"), expired.chain_pem()).expect("a certificate can be written");
    let (code, findings) = house.examine();
    let found = ids(&findings);
    for id in ["certificate-expired", "not-running", "sts-unreachable doctor.test"] {
        assert!(found.contains(&id), "no {id} in {findings:#?}");
    }
    assert_eq!(code, 1);
}
