//! A real server of a world: `stoa init`, a configuration, `stoa serve`.

use super::{Ports, WITHIN};
use crate::daemon::{Account, Process, trusting_roots, wait_for};
use crate::imap::Imap;
use crate::smtp::Smtp;
use rustls::ClientConfig;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use stoa_world::{Authority, Certificate};
use tempfile::TempDir;
use toml::{Table, Value};

/// A server with one account, its owner.
pub struct House {
    /// Ends before the folder goes that it lives in.
    process: Option<Process>,
    folder: TempDir,
    /// Its mail domain, such as `one.test`.
    pub domain: String,
    pub owner: Account,
    pub address: IpAddr,
    /// What it shows at first.
    pub certificate: Certificate,
    ports: Ports,
    tls: Arc<ClientConfig>,
    starts: usize,
}

impl House {
    /// Sets a server up; it does not run yet.
    pub fn init(owner: &str, address: IpAddr, ports: Ports, authority: &Authority) -> House {
        let folder = tempfile::Builder::new().prefix("stoa-world-").tempdir().expect("a temporary folder can be made");
        let (_, domain) = owner.split_once('@').expect("an owner has an address");
        let said = stoa(&["init", owner], &folder.path().join("data"));
        let password = said.split_once("Your password:").and_then(|(_, rest)| rest.split_whitespace().next());
        let password = password.unwrap_or_else(|| panic!("init names no password: {said}")).to_owned();
        let names = [format!("mail.{domain}"), format!("mta-sts.{domain}"), "localhost".to_owned()];
        House {
            domain: domain.to_owned(),
            owner: Account { address: owner.to_owned(), password },
            address,
            certificate: authority.certificate(&names.each_ref().map(String::as_str)).with_authority(authority),
            ports,
            tls: trusting_roots(authority.roots()),
            process: None,
            starts: 0,
            folder,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// What `stoa dns` says of its keys, as lines of a zone file.
    pub fn key_records(&self) -> String {
        let said = stoa(&["dns", "--zone"], &self.data());
        said.lines().filter(|line| line.contains("_domainkey.") && !line.starts_with(';')).map(|line| format!("{line}\n")).collect()
    }

    /// Adds an account.
    pub fn add_account(&self, address: &str) {
        stoa(&["account", "add", address, "--generate"], &self.data());
    }

    /// Has the owner's mail go on to another address, too.
    pub fn forward(&self, to: &str) {
        stoa(&["account", "forward", &self.owner.address, "--to", to, "--keep"], &self.data());
    }

    /// What the running server has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join(format!("log-{}", self.starts - 1))).expect("a log can be read")
    }

    /// Shows another certificate, from the next start or the next look at the files on.
    pub fn show(&self, certificate: &Certificate) {
        let folder = self.data().join("tls");
        fs::write(folder.join("key.pem"), certificate.key_pem()).expect("a key can be written");
        fs::write(folder.join("certificate.pem"), certificate.chain_pem()).expect("a certificate can be written");
    }

    /// Runs with these settings, which replace those of `init`.
    pub fn start(&mut self, settings: &Table) {
        let mut config = table(&format!("hostname = 'mail.{0}'\ndomains = ['{0}']", self.domain));
        config.insert("listen".to_owned(), Value::Table(self.listen()));
        overlay(&mut config, settings);
        fs::write(self.data().join("stoa.toml"), config.to_string()).expect("a configuration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
        command.args(["serve", "--dir"]).arg(self.data());
        let mut process = Process::start(command, self.path().join(format!("log-{}", self.starts)));
        self.starts += 1;
        let all = self.ports.all().map(|port| SocketAddr::new(self.address, port));
        process.wait_until_ready(|| all.iter().all(|place| TcpStream::connect(place).is_ok()).then_some(()));
        self.process = Some(process);
    }

    /// Stops in good order.
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").stop();
    }

    /// Ends it at once, whatever it does.
    pub fn kill(&mut self) {
        drop(self.process.take().expect("it runs"));
    }

    fn listen(&self) -> Table {
        let at = |port: u16| Value::Array(vec![Value::String(SocketAddr::new(self.address, port).to_string())]);
        let Ports { smtp, submissions, imaps, https } = self.ports;
        let mut listen: Table = [("smtp", smtp), ("submissions", submissions), ("imaps", imaps), ("https", https)]
            .map(|(service, port)| (service.to_owned(), at(port)))
            .into_iter()
            .collect();
        for off in ["submission", "imap", "http"] {
            listen.insert(off.to_owned(), Value::Array(Vec::new()));
        }
        listen
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// The owner hands in a message; `parameters` follow the reverse-path.
    pub fn submits(&self, to: &[&str], parameters: &str, message: &[u8]) {
        let mut smtp = self.submission();
        smtp.envelope(&self.owner.address, to, parameters).expect("the envelope is agreed to");
        smtp.data(message).and_then(|reply| reply.wants(250)).expect("the message is taken");
    }

    /// A connection on which the owner has logged in.
    pub fn submission(&self) -> Smtp {
        let mut smtp = Smtp::tls(self.at(self.ports.submissions), &self.tls).expect("submission answers");
        smtp.ehlo().expect("it is greeted");
        smtp.auth_plain(&self.owner).and_then(|reply| reply.wants(235)).expect("the owner is known");
        smtp
    }

    pub fn imap(&self) -> Imap {
        Imap::signed_in(self.at(self.ports.imaps), &self.tls, &self.owner).expect("the owner can log in")
    }

    /// The messages of INBOX with this in their subject.
    pub fn found(&self, subject: &str) -> Vec<String> {
        found(&mut self.imap(), subject)
    }

    /// The one message in INBOX with this in its subject, once it is there.
    pub fn arrived(&self, subject: &str) -> String {
        let what = format!("{subject:?} at {}", self.owner.address);
        let mut imap = self.imap();
        let mut found = wait_for(&what, WITHIN, || Some(found(&mut imap, subject)).filter(|found| !found.is_empty()));
        assert_eq!(found.len(), 1, "{what} is there more than once");
        found.remove(0)
    }
}

fn found(imap: &mut Imap, subject: &str) -> Vec<String> {
    imap.ok("SELECT INBOX").expect("INBOX can be opened");
    let lines = imap.ok(&format!("SEARCH SUBJECT \"{subject}\"")).expect("it can be searched").lines();
    let numbers = lines.iter().filter_map(|line| line.strip_prefix("SEARCH")).flat_map(str::split_whitespace);
    let fetch = |number: &str| {
        let fetched = imap.ok(&format!("FETCH {number} BODY.PEEK[]")).expect("it can be read");
        String::from_utf8_lossy(fetched.literal().expect("there is a message")).into_owned()
    };
    numbers.map(fetch).collect()
}

/// What a command says that must succeed.
fn stoa(words: &[&str], dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stoa")).args(words).arg("--dir").arg(dir).output().expect("the program starts");
    assert!(output.status.success(), "{words:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the program writes UTF-8")
}

/// Settings as text, made a table.
pub fn table(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("these are no settings: {error}\n{text}"))
}

/// Lays settings over others, key by key.
pub fn overlay(under: &mut Table, over: &Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => overlay(under, over),
            _ => _ = under.insert(key.clone(), value.clone()),
        }
    }
}
