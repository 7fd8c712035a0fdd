//! The daemon under test: `stoa demo` on free ports, in a temporary folder that a crash does not empty.
//!
//! A [`Home`] outlives its daemons, so that one can be killed and another started on the same data. A daemon is ended
//! by its own process id and never outlives its value. When a test fails, what the daemon wrote is shown.

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// To open the store, make certificates, hash passwords and file the demo's mail, on a busy machine in a debug build.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// To finish what clients asked for and close the store.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at something that is waited for.
pub const POLL: Duration = Duration::from_millis(20);

/// What the ready file says.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    pub ports: Ports,
    pub ca_file: PathBuf,
    pub accounts: Vec<Account>,
    pub pid: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Ports {
    pub smtp: u16,
    pub submission: u16,
    pub submissions: u16,
    pub imap: u16,
    pub imaps: u16,
    pub http: u16,
    pub https: u16,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    pub address: String,
    pub password: String,
}

/// A folder for data, ready file and logs.
pub struct Home {
    folder: TempDir,
    /// The log of each daemon that was started here, oldest first.
    logs: Vec<PathBuf>,
}

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::Builder::new().prefix("stoa-it-").tempdir().expect("a temporary folder can be made");
        Home { folder, logs: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn ready_file(&self) -> PathBuf {
        self.path().join("ready.json")
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(&mut self) -> Daemon {
        self.start_with(Command::new(env!("CARGO_BIN_EXE_stoa")))
    }

    /// The same with a program in front, which must become the daemon: same process id, same signals.
    pub fn start_with(&mut self, mut command: Command) -> Daemon {
        let log = self.path().join(format!("log-{}", self.logs.len()));
        self.logs.push(log.clone());
        // What an earlier daemon said must not be taken for the answer of this one.
        _ = fs::remove_file(self.ready_file());
        command.args(["demo", "--port-base", "auto", "--dir"]).arg(self.data()).arg("--ready-file").arg(self.ready_file());
        let mut process = Process::start(command, log);
        // The file is renamed into place, so it is whole when it is there.
        let text = process.wait_until_ready(|| fs::read(self.ready_file()).ok());
        let ready: Ready = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("the ready file is not as described: {error}"));
        assert_eq!(ready.pid, process.child.id(), "the ready file names another process");
        let tls = trusting(&ready.ca_file);
        Daemon { process, ready, tls }
    }
}

/// A daemon that serves.
pub struct Daemon {
    process: Process,
    pub ready: Ready,
    /// For clients: trusts the demo's authority and nobody else.
    pub tls: Arc<ClientConfig>,
}

impl Daemon {
    /// The account of this name, such as `socrates`.
    pub fn account(&self, name: &str) -> &Account {
        let prefix = format!("{name}@");
        self.ready.accounts.iter().find(|account| account.address.starts_with(&prefix)).unwrap_or_else(|| panic!("no account {name}"))
    }

    /// Asks the daemon to end, as an operating system does that shuts down.
    pub fn stop(mut self) {
        self.process.stop();
    }

    /// Kills the daemon at once, whatever it does; [`Daemon::crash`] has to follow.
    pub fn kill(&self) {
        kill_process(Pid::from_child(&self.process.child), Signal::KILL).expect("the daemon runs");
    }

    /// Kills the daemon at once, if nobody did, and waits for its end.
    pub fn crash(mut self) {
        self.process.child.kill().expect("the daemon runs");
        self.process.wait(STOPPED_WITHIN);
    }
}

/// A process that is ended with its value.
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Process {
    /// Starts it; what it says goes into the log.
    pub fn start(mut command: Command, log: PathBuf) -> Process {
        let output = File::create(&log).expect("a log can be made");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a log can be shared")).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()));
        Process { child, log, ended: false }
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the daemon runs");
        let status = self.wait(STOPPED_WITHIN);
        assert!(status.success(), "after SIGTERM the daemon ended with {status}");
    }

    /// Waits until `look` finds a sign that it serves.
    pub fn wait_until_ready<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(sign) = look() {
                return sign;
            }
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                self.ended = true;
                panic!("the daemon ended before it was ready: {status}");
            }
            assert!(start.elapsed() < READY_WITHIN, "the daemon was not ready within {READY_WITHIN:?}");
            sleep(POLL);
        }
    }

    fn wait(&mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                self.ended = true;
                return status;
            }
            assert!(start.elapsed() < within, "the daemon did not end within {within:?}");
            sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            // By its id, which nobody else can have while it was not waited for.
            _ = self.child.kill();
            _ = self.child.wait();
        }
        if panicking() {
            let log = fs::read(&self.log).unwrap_or_default();
            println!("---- the daemon's log ----\n{}", String::from_utf8_lossy(&log));
        }
    }
}

fn trusting(ca_file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).expect("the authority's file can be read") {
        roots.add(certificate.expect("the authority's file holds certificates")).expect("an authority can be trusted");
    }
    trusting_roots(roots.into())
}

/// For clients that trust these authorities and nobody else.
pub fn trusting_roots(roots: Arc<RootCertStore>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3 are known");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < within, "{what} did not come within {within:?}");
        sleep(POLL);
    }
}
