//! The server to measure: where it listens, who may log in, which processes it is.
//!
//! Any server, named by options; or the one whose ready file `stoa demo` wrote. An option beats the file.

use super::process::Processes;
use super::wire;
use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use stoa_sasl::Secret;
use tokio_rustls::TlsConnector;

/// Where Debian and others keep the authorities that everybody trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const DEFAULT_HOST: &str = "127.0.0.1";

#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Take all of the following from the file that `stoa demo --ready-file` wrote
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The server [default: 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// Its port for mail from other servers, which takes mail without a login
    #[arg(long, value_name = "PORT")]
    smtp: Option<u16>,
    /// Its port for IMAP with STARTTLS, or in plain with --imap-plain
    #[arg(long, value_name = "PORT")]
    imap: Option<u16>,
    /// Its port for IMAP with TLS from the first byte, which is preferred
    #[arg(long, value_name = "PORT")]
    imaps: Option<u16>,
    /// Use IMAP without TLS, to tell what TLS costs; not every server allows it
    #[arg(long)]
    imap_plain: bool,
    /// The authorities that its certificate is checked with [default: those of the system]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Believe any certificate
    #[arg(long)]
    insecure: bool,
    /// Who logs in: an account made for this, since its mailboxes are filled
    #[arg(long)]
    user: Option<String>,
    /// The password, which others on this machine can see while this runs
    #[arg(long, value_parser = secret)]
    password: Option<Secret>,
    /// Where deliveries go, best an address of the user [default: the user]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// A process of the server, whose CPU time and memory are measured with those of its children; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.to_owned()))
}

/// What the ready file of the demo says, as far as it concerns us.
#[derive(Default, Deserialize)]
struct Ready {
    host: String,
    ports: Ports,
    ca_file: PathBuf,
    accounts: Vec<Account>,
    pid: u32,
}

#[derive(Default, Deserialize)]
struct Ports {
    smtp: u16,
    imap: u16,
    imaps: u16,
}

#[derive(Deserialize)]
struct Account {
    address: String,
    password: String,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Implicit,
    StartTls,
    None,
}

impl Security {
    /// For people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Security::Implicit => "IMAP with TLS",
            Security::StartTls => "IMAP with STARTTLS",
            Security::None => "IMAP without TLS",
        }
    }
}

/// A server that can be measured.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) smtp: Option<u16>,
    pub(super) imap: Option<(u16, Security)>,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) to: String,
    pub(super) tls: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Target {
    /// Puts together what was given, with the server's processes.
    pub(super) fn of(options: Options) -> anyhow::Result<(Target, Processes)> {
        let options = match options.ready_file.clone() {
            Some(file) => options.or(read(&file)?),
            None => options,
        };
        let imap = door(&options)?;
        let host = options.host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let user = options.user.context("who logs in is missing: --user NAME, or --ready-file FILE")?;
        let password = options.password.context("the password is missing: --password PASSWORD, or --ready-file FILE")?;
        let authorities = options.ca.unwrap_or_else(|| SYSTEM_AUTHORITIES.into());
        let checked = !options.insecure && imap.is_some_and(|(_, security)| security != Security::None);
        let target = Target {
            name: ServerName::try_from(host.clone()).with_context(|| format!("{host} is neither a name nor an address"))?,
            tls: wire::tls(checked.then_some(authorities.as_path()))?,
            host,
            smtp: options.smtp,
            imap,
            to: options.to.unwrap_or_else(|| user.clone()),
            user,
            password,
        };
        Ok((target, Processes::new(options.pid)?))
    }
}

impl Options {
    /// These, and where one is missing that of the others.
    fn or(self, others: Options) -> Options {
        Options {
            host: self.host.or(others.host),
            smtp: self.smtp.or(others.smtp),
            // Who names one of the two ports wants that one.
            imaps: self.imaps.or(others.imaps.filter(|_| self.imap.is_none())),
            imap: self.imap.or(others.imap),
            ca: self.ca.or(others.ca),
            user: self.user.or(others.user),
            password: self.password.or(others.password),
            to: self.to.or(others.to),
            pid: if self.pid.is_empty() { others.pid } else { self.pid },
            ..self
        }
    }
}

/// Where to read mail.
fn door(options: &Options) -> anyhow::Result<Option<(u16, Security)>> {
    Ok(match (options.imap, options.imaps) {
        (None, _) if options.imap_plain => bail!("--imap-plain needs the port: --imap PORT"),
        (Some(port), _) if options.imap_plain => Some((port, Security::None)),
        (_, Some(port)) => Some((port, Security::Implicit)),
        (Some(port), None) => Some((port, Security::StartTls)),
        (None, None) if options.smtp.is_none() => bail!("no port to measure: --smtp PORT, --imaps PORT or --ready-file FILE"),
        (None, None) => None,
    })
}

fn read(file: &Path) -> anyhow::Result<Options> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let ready = serde_json::from_slice(&text).with_context(|| format!("{} is not the ready file of a demo", file.display()))?;
    named(ready).with_context(|| format!("{} names no account", file.display()))
}

fn named(ready: Ready) -> Option<Options> {
    let account = ready.accounts.into_iter().next()?;
    Some(Options {
        host: Some(ready.host),
        smtp: Some(ready.ports.smtp),
        imap: Some(ready.ports.imap),
        imaps: Some(ready.ports.imaps),
        ca: Some(ready.ca_file),
        user: Some(account.address),
        password: Some(Secret::new(account.password)),
        pid: vec![ready.pid],
        ..Options::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(imap: Option<u16>, imaps: Option<u16>, imap_plain: bool) -> Options {
        Options { imap, imaps, imap_plain, ..Options::default() }
    }

    #[test]
    fn tls_is_on_unless_it_is_not_wanted() {
        let door = |options| door(&options).unwrap();
        assert_eq!(door(at(Some(143), Some(993), false)), Some((993, Security::Implicit)));
        assert_eq!(door(at(Some(143), None, false)), Some((143, Security::StartTls)));
        assert_eq!(door(at(Some(143), Some(993), true)), Some((143, Security::None)));
        assert_eq!(door(Options { smtp: Some(25), ..Options::default() }), None);
        assert!(super::door(&at(None, Some(993), true)).is_err());
        assert!(super::door(&at(None, None, false)).is_err());
    }

    #[test]
    fn an_option_beats_the_ready_file() {
        let text = r#"{"host": "127.0.0.1", "ports": {"smtp": 1, "imap": 2, "imaps": 3, "http": 4}, "ca_file": "ca.pem",
            "accounts": [{"address": "a@b", "password": "p"}, {"address": "c@d", "password": "q"}], "posting": {}, "pid": 5}"#;
        let file = named(serde_json::from_str(text).unwrap()).unwrap();
        let given = Options { smtp: Some(25), pid: vec![7], insecure: true, ..Options::default() };
        let both = given.or(file);
        assert_eq!((both.smtp, both.imap, both.imaps), (Some(25), Some(2), Some(3)));
        assert_eq!((both.user.as_deref(), both.to, both.pid, both.insecure), (Some("a@b"), None, vec![7], true));
        assert!(named(Ready::default()).is_none());
        let starttls = at(Some(143), None, false).or(at(Some(2), Some(3), false));
        assert_eq!(door(&starttls).unwrap(), Some((143, Security::StartTls)));
    }
}
