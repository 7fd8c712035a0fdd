//! `stoa demo`: everything on 127.0.0.1 with sample mail, no set-up, nothing leaves the machine.
//!
//! The same server as `serve`, on other ports, with a certificate of its own authority and a page to try mail with.
//! A directory that was used before keeps its mail and passwords. Newcomers, tests and benchmarks use this door: the
//! ready file tells programs what the text on standard output tells people.

mod sample;
mod show;

use super::config::{Config, FILE_NAME, Log, LogFormat, LogLevel};
use super::control::Control;
use super::home::{self, Home};
use super::queue::Desk;
use super::server::{Server, Service, Standing};
use super::{account, logging, secrets};
use crate::doors::http::{Demo, OUTSIDE, Site};
use crate::net::certificate;
use crate::queue::{Courier, Outside};
use crate::store::{HolderId, Store};
use crate::trust;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;
use stoa_sasl::Secret;

/// Where the demo listens: nobody else's business.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOST_NAME: &str = "localhost";
const DOMAIN: &str = "stoa.localhost";
/// The owner first.
const PEOPLE: [&str; 2] = ["socrates@stoa.localhost", "plato@stoa.localhost"];
/// Holds the accounts and their passwords; where it is, there is a demo.
pub(super) const ACCOUNTS_FILE: &str = "accounts.json";
/// A person waits at the terminal.
const SHUTDOWN_SECONDS: u64 = 3;
/// The highest of the registered ports that the base is added to is 993; ManageSieve will be at 4190.
const PORT_BASE_MAX: u16 = 60_000;

/// Registered ports that browsers do not open (Fetch standard, "port blocking"): the default base makes one of them.
const NOT_FOR_BROWSERS: [u16; 5] = [1720, 4190, 6000, 6697, 10080];
/// Added to the base for a port that browsers open.
const HTTP_FOR_BROWSERS: u16 = 8080;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where its mail is kept, also for the next time [default: stoa-demo in ~/.local/share]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Added to the standard ports: 10000 makes IMAPS 10993; auto lets the system choose every port
    #[arg(long, value_name = "N", default_value = "10000")]
    port_base: PortBase,
    /// Tell programs in this file, once the demo serves, where it does
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortBase {
    Auto,
    Add(u16),
}

impl FromStr for PortBase {
    type Err = String;

    fn from_str(text: &str) -> Result<PortBase, String> {
        let allowed = || format!("this must be auto or a number up to {PORT_BASE_MAX}");
        match text {
            "auto" => Ok(PortBase::Auto),
            _ => text.parse().ok().filter(|&base| base <= PORT_BASE_MAX).map(PortBase::Add).ok_or_else(allowed),
        }
    }
}

impl PortBase {
    fn address(self, service: Service) -> SocketAddr {
        let port = match self {
            PortBase::Auto => 0,
            PortBase::Add(base) => base + service.port(),
        };
        SocketAddr::new(HOST, port)
    }
}

/// Somebody with an account in the demo. The password is a secret of this machine only.
#[derive(Clone, Serialize, Deserialize)]
struct Person {
    address: String,
    password: String,
}

/// What the ready file holds, and what is shown.
#[derive(Serialize)]
struct Ready {
    host: IpAddr,
    ports: BTreeMap<&'static str, u16>,
    ca_file: PathBuf,
    accounts: Vec<Person>,
    posting: BTreeMap<String, String>,
    pid: u32,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    logging::begin(Log { format: LogFormat::Text, level: LogLevel::Warn });
    let dir = arguments.dir.map_or_else(|| home::default_directory("stoa-demo"), Ok)?;
    if dir.join(FILE_NAME).exists() {
        bail!("{} holds a real server: choose another directory for the demo with --dir DIR", dir.display());
    }
    let home = Home::make(&dir)?;
    let dir = fs::canonicalize(&dir)?;
    let files = certificate::ensure(&dir.join("tls"), SystemTime::now())?;
    let mut config = configuration(arguments.port_base, &dir)?;
    config.tls.certificate_file = files.certificate;
    config.tls.key_file = files.key;
    let store = home.open_store(&(&config.store).into()).await?;
    let people = people(&dir.join(ACCOUNTS_FILE))?;
    let owner = settle(&store, &config, &people).await?;
    sample::file_all(&store, &people, &dir.join("sample-mail-filed")).await?;
    let server = start(&config, &home, store, owner).await.map_err(|error| suggest(error, arguments.port_base))?;
    let ready = ready(&server, files.ca, people);
    show::greet(&ready, server.ports(Service::Http).last().unwrap_or_default(), &dir);
    if let Some(file) = &arguments.ready_file {
        secrets::write(file, &serde_json::to_vec_pretty(&ready)?)?;
    }
    server.run().await
}

fn configuration(base: PortBase, dir: &Path) -> anyhow::Result<Config> {
    let mut config = Config::parse(&format!("hostname = '{DOMAIN}'\ndomains = ['{DOMAIN}']"))?;
    config.data_directory = dir.to_owned();
    config.timeouts.shutdown_seconds = SHUTDOWN_SECONDS;
    let at = |service| vec![base.address(service)];
    config.listen.smtp = at(Service::Smtp);
    config.listen.submission = at(Service::Submission);
    config.listen.submissions = at(Service::Submissions);
    config.listen.imap = at(Service::Imap);
    config.listen.imaps = at(Service::Imaps);
    config.listen.http = at(Service::Http);
    if let PortBase::Add(base) = base
        && NOT_FOR_BROWSERS.contains(&(base + Service::Http.port()))
    {
        config.listen.http.push(SocketAddr::new(HOST, base + HTTP_FOR_BROWSERS));
    }
    config.listen.https = at(Service::Https);
    Ok(config)
}

/// The accounts with their passwords: those of the last time, or new ones.
fn people(file: &Path) -> anyhow::Result<Vec<Person>> {
    if file.exists() {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        return serde_json::from_slice(&text)
            .with_context(|| format!("{} is broken: delete the demo's directory to begin anew", file.display()));
    }
    let person = |address: &str| Person { address: address.to_owned(), password: trust::generate_password().reveal().to_owned() };
    let people: Vec<Person> = PEOPLE.into_iter().map(person).collect();
    secrets::write(file, &serde_json::to_vec_pretty(&people)?)?;
    Ok(people)
}

/// Makes the accounts that are missing; gives the owner's.
async fn settle(store: &Store, config: &Config, people: &[Person]) -> anyhow::Result<HolderId> {
    let mut owner = None;
    for person in people {
        let holder = match store.find_address(&person.address).await? {
            Some(holder) => holder,
            None => {
                let password = Secret::new(person.password.clone());
                account::add(store, &config.domains, &person.address, &password, owner.is_none()).await?
            }
        };
        owner.get_or_insert(holder);
    }
    owner.context("the demo has an owner")
}

async fn start(config: &Config, home: &Home, store: Store, owner: HolderId) -> anyhow::Result<Server> {
    let mut server = Server::new(config, store.clone(), home.login_key()?, &Standing::Demo)?;
    server.listen_for_mail(config).await?;
    let smtp = SocketAddr::new(HOST, server.port(Service::Smtp).context("the demo has a mail port")?);
    let site = Site {
        domains: config.domains.clone(),
        imap: server.mail_servers(HOST_NAME, Service::Imaps, Service::Imap),
        submission: server.mail_servers(HOST_NAME, Service::Submissions, Service::Submission),
        redirect: None,
        base: None,
        hsts: false,
        challenges: server.challenges(),
        challenge_directory: None,
        mta_sts: None,
        demo: Some(Arc::new(Demo::new(store.clone(), owner, PEOPLE[0].to_owned(), smtp))),
    };
    server.listen_for_web(Service::Http, site.clone(), config).await?;
    server.listen_for_web(Service::Https, site, config).await?;
    // For `stoa account` and its like, with a configuration that names the demo's directory.
    let control = Control::listen(home.control_socket())?;
    let (delivery, schedule) = (server.delivery().clone(), config.queue.schedule());
    let desk = Desk { store: store.clone(), delivery, schedule, dispatcher: None };
    server.beside(control.answer(desk, Arc::from(config.domains.clone())));
    let courier = Courier::new(store.clone(), Outside::new(store, owner, OUTSIDE));
    server.beside(courier.run(server.told_to_stop()));
    Ok(server)
}

fn suggest(error: anyhow::Error, base: PortBase) -> anyhow::Error {
    match base {
        PortBase::Add(_) if error.to_string().contains("cannot listen") => {
            anyhow::anyhow!("{error:#}; try --port-base auto, or another number such as --port-base 20000")
        }
        _ => error,
    }
}

fn ready(server: &Server, ca_file: PathBuf, accounts: Vec<Person>) -> Ready {
    let port = |service: Service| Some((service.name(), server.port(service)?));
    Ready {
        host: HOST,
        ports: Service::ALL.into_iter().filter_map(port).collect(),
        ca_file,
        accounts,
        posting: BTreeMap::new(),
        pid: std::process::id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_the_standard_ones_and_the_base() {
        let config = configuration("10000".parse().unwrap(), Path::new("/x")).unwrap();
        let ports: Vec<u16> = Service::ALL.iter().map(|service| service.addresses(&config)[0].port()).collect();
        assert_eq!(ports, [10025, 10587, 10465, 10143, 10993, 10080, 10443]);
        assert_eq!(config.listen.http, ["127.0.0.1:10080".parse().unwrap(), "127.0.0.1:18080".parse().unwrap()]);
        let others = configuration("20000".parse().unwrap(), Path::new("/x")).unwrap();
        assert_eq!(others.listen.http, ["127.0.0.1:20080".parse().unwrap()]);
        let auto = configuration("auto".parse().unwrap(), Path::new("/x")).unwrap();
        assert!(Service::ALL.iter().all(|service| service.addresses(&auto)[0] == "127.0.0.1:0".parse().unwrap()));
        for bad in ["", "-1", "60001", "any"] {
            assert!(bad.parse::<PortBase>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_stay_the_same_in_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("accounts.json");
        let first = people(&file).unwrap();
        assert_eq!(first.iter().map(|person| person.address.as_str()).collect::<Vec<_>>(), PEOPLE);
        assert_eq!(people(&file).unwrap()[1].password, first[1].password);
        fs::write(&file, "{").unwrap();
        assert!(people(&file).is_err());
    }
}
