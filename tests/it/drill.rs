//! The restore drill: a server under load is saved, made again elsewhere, and found to be the same.
//!
//! Mail comes in by SMTP and mailboxes change over IMAP while `stoa backup` runs. What was acknowledged before is then in
//! the restored server with its UIDs, flags, dates and octets, and `stoa verify` finds both whole. Runs the sub-commands
//! as a person would, on a server that `stoa init` made.

use crate::daemon::{Account, POLL, wait_for};
use crate::imap::Imap;
use crate::smtp::Smtp;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::Duration;

const DOMAIN: &str = "example.org";
/// To start on a busy machine in a debug build.
const SERVES_WITHIN: Duration = Duration::from_secs(120);
/// Another program may take a port between its choice and its use.
const STARTS_MAX: usize = 5;
/// Bodies of more than a chunk lie in several rows.
const LARGE_BYTES: usize = 600_000;
/// So many rounds of changes are done before the backup begins.
const ROUNDS_BEFORE: usize = 6;

fn stoa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stoa")).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// What a sub-command says that must succeed.
fn says(arguments: &[&str]) -> String {
    let output = stoa(arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// What a sub-command says that must fail.
fn fails(arguments: &[&str]) -> String {
    let output = stoa(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?} is to fail");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A server's directory, and who has an account there.
struct Place {
    dir: PathBuf,
    accounts: Vec<Account>,
}

impl Place {
    fn new(dir: &Path) -> Place {
        let text = dir.to_str().expect("a path in UTF-8");
        let (john, plato) = (format!("john@{DOMAIN}"), format!("plato@{DOMAIN}"));
        let said = says(&["init", &john, "--dir", text]);
        let owner = Account { password: after(&said, "Your password:"), address: john };
        let said = says(&["account", "add", &plato, "--generate", "--dir", text]);
        let other = Account { password: after(&said, "shown only now:"), address: plato };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate can be made");
        fs::write(dir.join("tls/certificate.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("tls/key.pem"), made.signing_key.serialize_pem()).unwrap();
        Place { dir: dir.to_owned(), accounts: vec![owner, other] }
    }

    /// The same accounts elsewhere.
    fn restored(&self, dir: &Path) -> Place {
        Place { dir: dir.to_owned(), accounts: self.accounts.clone() }
    }

    fn text(&self) -> &str {
        self.dir.to_str().expect("a path in UTF-8")
    }

    /// Serves on free ports of this machine alone, and asks nobody outside of it.
    fn serve(&self) -> Serving {
        for _ in 0..STARTS_MAX {
            let ports = [free_port(), free_port()];
            let nowhere = ["submission", "submissions", "imap", "http", "https"].map(|name| format!("{name} = []\n")).concat();
            let config = format!(
                "hostname = 'mail.{DOMAIN}'\ndomains = ['{DOMAIN}']\n\
                 [listen]\nsmtp = ['127.0.0.1:{}']\nimaps = ['127.0.0.1:{}']\n{nowhere}\
                 [dns]\nservers = ['127.0.0.1:9']\ntimeout_seconds = 1\nattempts = 1\n\
                 [verify]\nenabled = false\n[abuse]\nfirst_time_delay_seconds = 0\nunknown_recipients_per_hour_max = 10000\njunk_score = 1000\n",
                ports[0], ports[1]
            );
            fs::write(self.dir.join("stoa.toml"), config).unwrap();
            let log = File::create(self.dir.with_extension("log")).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
            command.args(["serve", "--dir", self.text()]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut child = command.spawn().expect("the program starts");
            let up = wait_for("the server", SERVES_WITHIN, || match child.try_wait().expect("a child can be asked") {
                Some(_) => Some(false),
                None => TcpStream::connect((Ipv4Addr::LOCALHOST, ports[1])).ok().map(|_| true),
            });
            if up {
                return Serving { child, ports, tls: self.tls() };
            }
        }
        panic!("the server does not start:\n{}", fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default());
    }

    /// Trusts the certificate that lies there.
    fn tls(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.join("tls/certificate.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

fn after(said: &str, mark: &str) -> String {
    let (_, rest) = said.split_once(mark).unwrap_or_else(|| panic!("{mark} in {said}"));
    rest.split_whitespace().next().expect("a password").to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

struct Serving {
    child: Child,
    ports: [u16; 2],
    tls: Arc<ClientConfig>,
}

impl Serving {
    fn imap(&self, account: &Account) -> Imap {
        Imap::signed_in(self.ports[1], &self.tls, account).unwrap()
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server runs");
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "after SIGTERM the server ended with {status}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // By its id; one that ended is only waited for again.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A mailbox as a client sees it: a line for each message, with UID, flags, date and the hash of its octets.
fn state(imap: &mut Imap, mailbox: &str) -> Vec<String> {
    let opened = imap.ok(&format!("EXAMINE {mailbox}")).unwrap();
    let validity = opened.number("UIDVALIDITY").unwrap();
    let fetched = imap.ok("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])").unwrap();
    let line = |line: &Vec<u8>| {
        let literal = line.iter().position(|byte| *byte == b'{')?;
        let (told, content) = line.split_at(literal);
        // Whether a message is new is a matter of who looked, and of nobody's mail.
        let told = String::from_utf8_lossy(told).replace("\\Recent", "").replace("( ", "(").replace(" )", ")");
        told.contains("FETCH").then(|| format!("{told} {}", blake3::hash(content).to_hex()))
    };
    let messages = fetched.untagged.iter().filter_map(line);
    std::iter::once(format!("{mailbox} {validity} {:?}", opened.number("UIDNEXT"))).chain(messages).collect()
}

/// All mailboxes of all accounts.
fn everything(place: &Place, serving: &Serving) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for account in &place.accounts {
        let mut imap = serving.imap(account);
        let listed = imap.ok("LIST \"\" *").unwrap().lines();
        for mailbox in listed.iter().filter_map(|line| line.rsplit_once(' ').map(|(_, name)| name)) {
            all.insert(format!("{} {mailbox}", account.address), state(&mut imap, mailbox));
        }
    }
    all
}

/// What clients did, as far as the server acknowledged it.
#[derive(Default)]
struct Done {
    stop: AtomicBool,
    /// Subjects of messages that were delivered.
    delivered: Mutex<Vec<String>>,
    /// Mailboxes that are not changed any more, as they were seen last.
    mailboxes: Mutex<Vec<(String, Vec<String>)>>,
}

/// The message of this subject; every fourth is large.
fn message(subject: &str, number: usize) -> Vec<u8> {
    let lines = if number % 4 == 3 { LARGE_BYTES / 40 } else { 3 };
    let text: String = (0..lines).map(|line| format!("{subject} {line:08} {}\r\n", "x".repeat(20))).collect();
    format!("From: crito@athens.example\r\nSubject: {subject}\r\n\r\n{text}").into_bytes()
}

fn deliver(serving: &Serving, to: &str, name: &str, done: &Done) {
    let mut smtp = Smtp::plain(serving.ports[0]).unwrap();
    smtp.ehlo().unwrap();
    for number in 0.. {
        if done.stop.load(Ordering::Relaxed) {
            return;
        }
        let subject = format!("{name}-{number}-end");
        smtp.deliver("crito@athens.example", &[to], &message(&subject, number)).unwrap();
        done.delivered.lock().unwrap().push(subject);
    }
}

/// Round after round makes a mailbox, fills it, marks, copies and removes, and leaves it alone then.
fn change(serving: &Serving, account: &Account, done: &Done) {
    let mut imap = serving.imap(account);
    for round in 0.. {
        if done.stop.load(Ordering::Relaxed) {
            return;
        }
        let mailbox = format!("Drill/{round}");
        imap.ok(&format!("CREATE {mailbox}")).unwrap();
        for number in 0..4 {
            imap.append(&mailbox, &message(&format!("round-{round}-{number}"), number)).unwrap().wants("OK").unwrap();
        }
        imap.ok(&format!("SELECT {mailbox}")).unwrap();
        imap.ok("STORE 1,4 +FLAGS (\\Seen $Drill)").unwrap();
        imap.ok("STORE 2 +FLAGS (\\Deleted)").unwrap();
        imap.ok("EXPUNGE").unwrap();
        imap.ok("STORE 2 FLAGS (\\Flagged \\Answered)").unwrap();
        imap.ok(&format!("COPY 1 {mailbox}")).unwrap();
        imap.ok("COPY 1:2 Archive").unwrap();
        let seen = state(&mut imap, &mailbox);
        done.mailboxes.lock().unwrap().push((mailbox, seen));
    }
}

/// Sends the clients home, also if something goes wrong: else nobody would ever hear of it.
struct Stop<'a>(&'a Done);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Lets clients work and saves meanwhile; gives what was acknowledged before.
fn back_up_under_load(place: &Place, serving: &Serving, backups: &str) -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let done = Done::default();
    scope(|threads| {
        let _stop = Stop(&done);
        let (john, plato) = (&place.accounts[0], &place.accounts[1]);
        threads.spawn(|| deliver(serving, &john.address, "one", &done));
        threads.spawn(|| deliver(serving, &john.address, "two", &done));
        threads.spawn(|| change(serving, plato, &done));
        wait_for("the first rounds", SERVES_WITHIN, || {
            let enough = done.mailboxes.lock().unwrap().len() >= ROUNDS_BEFORE && done.delivered.lock().unwrap().len() > 10;
            enough.then_some(())
        });
        let delivered = done.delivered.lock().unwrap().clone();
        let mailboxes = done.mailboxes.lock().unwrap().clone();
        let said = says(&["backup", backups, "--dir", place.text()]);
        let later = done.delivered.lock().unwrap().len();
        sleep(POLL);
        assert!(said.contains("1 generation is kept"), "{said}");
        println!("{} messages before the backup, {later} after it\n{said}", delivered.len());
        (delivered, mailboxes)
    })
}

/// Everything that was acknowledged before the backup is in the restored server as it was.
fn holds(place: &Place, delivered: &[String], mailboxes: &[(String, Vec<String>)]) {
    let serving = place.serve();
    let mut imap = serving.imap(&place.accounts[0]);
    imap.ok("EXAMINE INBOX").unwrap();
    let fetched = imap.ok("UID FETCH 1:* BODY.PEEK[]").unwrap();
    let found: Vec<String> = fetched.literals().map(|content| String::from_utf8_lossy(content).into_owned()).collect();
    for subject in delivered {
        let number = subject.split('-').nth(1).and_then(|number| number.parse().ok()).unwrap();
        let sent = String::from_utf8(message(subject, number)).unwrap();
        assert_eq!(found.iter().filter(|text| text.ends_with(&sent)).count(), 1, "{subject} was acknowledged before the backup");
    }
    let mut imap = serving.imap(&place.accounts[1]);
    for (mailbox, seen) in mailboxes {
        assert_eq!(&state(&mut imap, mailbox), seen, "{mailbox} is as it was");
    }
    serving.stop();
}

#[test]
fn a_server_that_is_saved_under_load_is_made_again_elsewhere() {
    let home = tempfile::Builder::new().prefix("stoa-drill-").tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (backups, first, second) = (at("backups"), at("first"), at("second"));
    let place = Place::new(Path::new(&at("data")));
    let serving = place.serve();
    let (delivered, mailboxes) = back_up_under_load(&place, &serving, &backups);
    let said = says(&["restore", &backups, "--dir", &first, "--moved"]);
    assert!(said.contains("mail.example.org is restored in") && said.contains("as it was on 20"), "{said}");
    assert!(says(&["verify", "--dir", &first]).contains("Everything is whole."));
    holds(&place.restored(Path::new(&first)), &delivered, &mailboxes);

    // At rest, all of it is the same; while it runs, too, it is looked through.
    assert!(says(&["verify", "--dir", place.text()]).contains("Everything is whole."));
    let before = everything(&place, &serving);
    let said = says(&["backup", &backups, "--dir", place.text()]);
    let generations = generations(&backups);
    assert!(generations.len() == 2 && shared(&generations[1]) > 0, "{said}");
    serving.stop();
    says(&["restore", &backups, "--dir", &second, "--moved"]);
    let restored = place.restored(Path::new(&second));
    let serving = restored.serve();
    assert_eq!(everything(&restored, &serving), before);
    serving.stop();
    assert!(says(&["verify", "--dir", &second]).contains("Everything is whole."));

    exported(&restored, &at("mbox"), &before);
    renewed(&place, &backups, &at("renewed"), &before);
    pruned_and_damaged(&place, &backups, &at("third"));
}

fn generations(backups: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(backups).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = entries.filter(|path| path.join("manifest.json").exists()).collect();
    all.sort();
    all
}

/// Files that take no room beside those of another generation.
fn shared(generation: &Path) -> usize {
    let files = fs::read_dir(generation.join("data/store")).unwrap();
    files.filter(|file| file.as_ref().unwrap().metadata().unwrap().nlink() > 1).count()
}

/// After a loss mail programs see other mailboxes, with the same messages under the same UIDs.
fn renewed(place: &Place, backups: &str, to: &str, before: &BTreeMap<String, Vec<String>>) {
    let said = says(&["restore", backups, "--dir", to]);
    assert!(said.contains("will fetch all mail anew"), "{said}");
    let restored = place.restored(Path::new(to));
    let serving = restored.serve();
    let after = everything(&restored, &serving);
    serving.stop();
    assert!(after.keys().eq(before.keys()));
    for (name, old) in before {
        let new = &after[name];
        assert!(new[0] != old[0] && new[1..] == old[1..], "{name}: {} and {}", old[0], new[0]);
    }
}

/// Every message is in the mbox files once.
fn exported(place: &Place, to: &str, all: &BTreeMap<String, Vec<String>>) {
    says(&["export", "--all", to, "--dir", place.text()]);
    for account in &place.accounts {
        let mine = all.iter().filter(|(name, _)| name.starts_with(&account.address));
        for (name, messages) in mine {
            let mailbox = name.rsplit(' ').next().unwrap().trim_matches('"');
            let file = Path::new(to).join(&account.address).join(format!("{mailbox}.mbox"));
            let text = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let text = String::from_utf8_lossy(&text);
            let found = text.lines().filter(|line| line.starts_with("From ")).count();
            assert_eq!(found, messages.len() - 1, "{name}");
        }
    }
}

/// Old generations go, the others stay whole, and a changed bit in one is found by whoever reads it.
fn pruned_and_damaged(place: &Place, backups: &str, to: &str) {
    let said = says(&["backup", backups, "--keep", "2", "--dir", place.text()]);
    assert!(said.contains("2 generations are kept, 1 older one is removed"), "{said}");
    let left = generations(backups);
    assert_eq!(left.len(), 2);
    assert!(says(&["verify", "--backup", backups]).contains("2 of 2 generations are whole"));
    let mut files: Vec<PathBuf> = fs::read_dir(left[1].join("data/store")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let victim = files.iter().find(|path| path.extension().is_some_and(|end| end == "sst")).unwrap();
    let mut bytes = fs::read(victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(victim, &bytes).unwrap();
    let found = fails(&["verify", "--backup", backups]);
    assert!(found.contains("was changed") && found.contains("--full"), "{found}");
    let refused = fails(&["restore", backups, "--dir", to]);
    assert!(refused.contains("the backup is damaged, and nothing was restored"), "{refused}");
    assert!(!Path::new(to).exists());
    fs::write(victim, &bytes[..middle]).unwrap();
    assert!(fails(&["verify", "--backup", backups]).contains("bytes instead of"));
}
