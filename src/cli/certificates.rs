//! The server's certificate: where the first one comes from, who renews it, and that its owner hears of trouble in time.
//!
//! `init` makes one that its own key signed, so that everything runs at once. While the server runs, [`Caretaker`] looks
//! at the certificate every hour at least, has a new one fetched where `[acme]` says so, tells the log daily what is wrong
//! with it, and writes to the owner when it presses.

use super::config::Config;
use super::server::Service;
use super::{now, secrets};
use crate::delivery::Delivery;
use crate::net::acme::{Board, Came, Keeper, Kind, Lookup, MAIL_EVERY, Pace, Settings, Trouble, trouble};
use crate::net::dns::{DnsError, Resolver};
use crate::net::https::Https;
use crate::net::{Leaf, authorities};
use crate::store::{NoteChange, NoteKind, Store};
use anyhow::Context;
use rcgen::{CertificateParams, DnType, KeyPair};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The self-made certificate is for the days until a real one is there.
const SELF_MADE_DAYS: i64 = 90;
const DAY: i64 = 86_400;

/// How often is looked, if nothing is to be done before.
const LOOK_EVERY: i64 = 3_600;

/// Names of one certificate; Let's Encrypt takes as many.
const NAMES_MAX: usize = 100;

/// Of an authority whose URL names none.
const HTTPS_PORT: u16 = 443;

/// In front of each mail domain: what programs and other servers fetch over HTTPS.
const LABELS: [&str; 3] = ["mta-sts", "autoconfig", "autodiscover"];

/// Under which [`NoteKind::Certificate`] has when the owner was written to last.
const NOTE: &[u8] = b"written";

/// A certificate that its own key signed, if there is none; the key is used if there is one.
pub(super) fn make_self_made(certificate_file: &Path, key_file: &Path, hostname: &str) -> anyhow::Result<()> {
    if certificate_file.exists() {
        return Ok(());
    }
    for folder in [certificate_file, key_file].into_iter().filter_map(Path::parent) {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let key = if key_file.exists() {
        let pem = fs::read_to_string(key_file).with_context(|| key_file.display().to_string())?;
        KeyPair::from_pem(&pem).with_context(|| format!("cannot use the key in {}", key_file.display()))?
    } else {
        let key = KeyPair::generate()?;
        secrets::write(key_file, key.serialize_pem().as_bytes())?;
        key
    };
    let hostname = in_dns(hostname);
    let mut params = CertificateParams::new(vec![hostname.clone()])?;
    params.distinguished_name.push(DnType::CommonName, hostname);
    let since_1970 = |seconds: i64| std::time::UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
    params.not_before = since_1970(now() - DAY).into();
    params.not_after = since_1970(now() + SELF_MADE_DAYS * DAY).into();
    secrets::write(certificate_file, params.self_signed(&key)?.pem().as_bytes())
}

/// As certificates write a name of any alphabet (RFC 5890 §2.3.2.1).
fn in_dns(name: &str) -> String {
    idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_owned())
}

/// The names that the certificate shall cover, as DNS writes them: the host's own, and what is below or at each mail domain.
pub(super) fn names(config: &Config) -> Vec<String> {
    let below = |domain: &String| LABELS.map(|label| format!("{label}.{domain}")).into_iter().chain([domain.clone()]);
    let all = std::iter::once(config.hostname.clone()).chain(config.domains.iter().flat_map(below));
    let mut seen = HashSet::new();
    let in_dns = all.filter_map(|name| idna::domain_to_ascii_strict(&name).ok()).filter(|name| seen.insert(name.clone()));
    in_dns.take(NAMES_MAX).collect()
}

/// Looks after the certificate.
pub(super) struct Caretaker {
    keeper: Option<Keeper>,
    certificate_file: std::path::PathBuf,
    hostname: String,
    store: Store,
    delivery: Delivery,
    /// When the log was last told of trouble.
    told: i64,
}

impl Caretaker {
    /// A caretaker of the certificate that the configuration names.
    pub(super) fn new(config: &Config, keeper: Option<Keeper>, store: Store, delivery: Delivery) -> Caretaker {
        let (certificate_file, hostname) = (config.tls.certificate_file.clone(), in_dns(&config.hostname));
        Caretaker { keeper, certificate_file, hostname, store, delivery, told: i64::MIN }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let began = now();
            let wake = match &mut self.keeper {
                Some(keeper) => {
                    let (came, wake) = keeper.step(began).await;
                    tell(&came, &self.hostname);
                    wake
                }
                None => began + LOOK_EVERY,
            };
            self.look(now()).await;
            let pause = wake.min(now() + LOOK_EVERY) - now();
            tokio::time::sleep(Duration::from_secs(pause.max(1).unsigned_abs())).await;
        }
    }

    /// Tells the log daily and the owner weekly of trouble that lasts.
    async fn look(&mut self, now: i64) {
        let leaf = Leaf::read(&self.certificate_file).map_err(|error| format!("{error:#}"));
        let state = self.keeper.as_ref().map(Keeper::state).cloned().unwrap_or_default();
        let Some(found) = trouble(leaf.as_ref().map_err(Clone::clone), &self.hostname, &state, now) else { return };
        let sentence = found.sentence(&self.hostname);
        if now >= self.told.saturating_add(DAY) {
            self.told = now;
            tracing::warn!("{sentence} {}", self.way_out(&found));
        }
        if found.presses()
            && let Err(error) = self.write(&found, &sentence, now).await
        {
            tracing::error!(%error, "cannot write to the owner about the certificate");
        }
    }

    async fn write(&self, found: &Trouble, sentence: &str, now: i64) -> Result<(), crate::store::StoreError> {
        let before = self.store.note(NoteKind::Certificate, NOTE).await?;
        let written = before.as_ref().and_then(|value| Some(i64::from_be_bytes(*value.first_chunk()?)));
        if written.is_some_and(|at| now < at.saturating_add(MAIL_EVERY)) {
            return Ok(());
        }
        let note = NoteChange::put(NoteKind::Certificate, NOTE, now.to_be_bytes().to_vec()).if_still(before);
        let text = format!("{sentence}\n\n{}\n\nYou will hear of it again in a week if it is still so then.\n", self.way_out(found));
        self.delivery.write_to_owner("The certificate of your mail server", &text, vec![note], now).await
    }

    /// What to do about it.
    fn way_out(&self, found: &Trouble) -> &'static str {
        match (found, &self.keeper) {
            (Trouble::Unreadable(_), _) => {
                "Put a certificate in PEM into the file that tls.certificate_file names; docs/certificates.md helps."
            }
            (_, None) => {
                "To have the server fetch one by itself, write [acme] and below it enabled = true into stoa.toml and restart it; \
                 docs/certificates.md has other ways."
            }
            (Trouble::OtherName(_), Some(_)) => {
                "If another program put it there, let that program renew it for this name; or delete the file and restart the \
                 server, which then fetches its own."
            }
            (_, Some(_)) => {
                "The server goes on trying by itself; its log says each time why it failed. Most often the name leads elsewhere in \
                 DNS, or the ports 80 and 443 are closed. docs/certificates.md has the rest."
            }
        }
    }
}

fn tell(came: &Came, hostname: &str) {
    match came {
        Came::Nothing => {}
        Came::Foreign => tracing::debug!("the certificate was put in place by somebody else: [acme] leaves it alone"),
        Came::NoHost(why) => tracing::warn!("no certificate can be had for {hostname} yet: {why}"),
        Came::Fetched(leaf) => tracing::info!(names = leaf.names.join(" "), issuer = leaf.issuer, "a new certificate is in place"),
        Came::Failed(why) => tracing::warn!("no certificate this time: {why}"),
    }
}

/// What fetches certificates, if the configuration wants it; each kind of challenge needs a port that listens.
pub(super) fn keeper(
    config: &Config,
    listens: impl Fn(Service) -> bool,
    board: Board,
    resolver: Resolver,
) -> anyhow::Result<Option<Keeper>> {
    if !config.acme.enabled {
        return Ok(None);
    }
    let can_meet = |kind: &Kind| match kind {
        Kind::TlsAlpn01 => listens(Service::Https),
        Kind::Http01 => listens(Service::Http),
        Kind::Dns01 => !config.listen.dns.is_empty(),
    };
    let kinds: Vec<Kind> = config.acme.challenges.iter().copied().filter(can_meet).collect();
    anyhow::ensure!(
        !kinds.is_empty(),
        "acme.enabled needs listen.https for tls-alpn-01, listen.http for http-01 or listen.dns for dns-01: no authority can verify a name now; \
         set acme.enabled = false if another program fetches the certificate"
    );
    let settings = Settings {
        directory_url: config.acme.directory_url.clone(),
        contact: Some(config.acme.contact.clone()).filter(|contact| !contact.is_empty()),
        names: names(config),
        certificate_file: config.tls.certificate_file.clone(),
        key_file: config.tls.key_file.clone(),
        folder: config.data_directory.join("acme"),
        kinds,
        pace: Pace::default(),
    };
    let own = Some(config.acme.ca_file.as_path()).filter(|file| !file.as_os_str().is_empty());
    let https = Https::new(resolver.clone(), authorities(own).context("acme.ca_file")?, HTTPS_PORT, false)?;
    Keeper::open(settings, board, lookup(resolver), Arc::new(move || Box::new(https.clone()))).map(Some)
}

fn lookup(resolver: Resolver) -> Lookup {
    Arc::new(move |name| {
        let resolver = resolver.clone();
        Box::pin(async move {
            match resolver.addresses(&name).await {
                Ok(found) => Ok(found.records),
                Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => Ok(Vec::new()),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Purpose, Tls};

    fn config(more: &str) -> Config {
        Config::parse(&format!("hostname = 'mail.example.org'\ndomains = ['example.org', 'bücher.example']\n{more}")).unwrap()
    }

    #[test]
    fn the_self_made_certificate_can_be_used_and_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("tls/certificate.pem"), dir.path().join("tls/key.pem"));
        make_self_made(&certificate, &key, "mail.example.org").unwrap();
        Tls::load(&certificate, &key, Purpose::Clients).unwrap();
        let first = Leaf::read(&certificate).unwrap();
        let other = (dir.path().join("other.pem"), dir.path().join("other-key.pem"));
        make_self_made(&other.0, &other.1, "post.bücher.example").unwrap();
        assert!(Leaf::read(&other.0).unwrap().covers("post.xn--bcher-kva.example"));
        assert!(first.self_signed && first.covers("mail.example.org"));
        make_self_made(&certificate, &key, "mail.example.org").unwrap();
        assert_eq!(Leaf::read(&certificate).unwrap(), first, "it is there already");
        fs::remove_file(&certificate).unwrap();
        make_self_made(&certificate, &key, "mail.example.org").unwrap();
        assert_eq!(Leaf::read(&certificate).unwrap().tlsa(), first.tlsa());
    }

    #[test]
    fn the_hosts_name_comes_first_and_every_name_once() {
        let own = config("");
        let want = [
            "mail.example.org",
            "mta-sts.example.org",
            "autoconfig.example.org",
            "autodiscover.example.org",
            "example.org",
            "mta-sts.xn--bcher-kva.example",
            "autoconfig.xn--bcher-kva.example",
            "autodiscover.xn--bcher-kva.example",
            "xn--bcher-kva.example",
        ];
        assert_eq!(names(&own), want);
        let same = Config { hostname: "example.org".into(), ..own };
        assert_eq!(names(&same).iter().filter(|name| *name == "example.org").count(), 1);
        let many: Vec<String> = (0..90).map(|n| format!("d{n}.example")).collect();
        assert_eq!(names(&Config { domains: many, ..same }).len(), NAMES_MAX);
    }

    #[tokio::test]
    async fn the_owner_is_written_to_once_a_week() {
        let house = crate::delivery::tests::house().await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("");
        config.tls.certificate_file = dir.path().join("certificate.pem");
        make_self_made(&config.tls.certificate_file, &dir.path().join("key.pem"), &config.hostname).unwrap();
        let mut caretaker = Caretaker::new(&config, None, house.store.clone(), house.delivery.clone());
        let letters = async || crate::delivery::tests::contents(&house.store, house.socrates, "INBOX").await;
        let over = Leaf::read(&config.tls.certificate_file).unwrap().not_after;
        caretaker.look(over - 30 * DAY).await;
        assert!(letters().await.is_empty(), "a self-made certificate alone is told in the log");
        for (at, want) in [(over - 5 * DAY, 1), (over - 4 * DAY, 1), (over + 2 * DAY - 1, 1), (over + 2 * DAY, 2)] {
            caretaker.look(at).await;
            assert_eq!(letters().await.len(), want, "{}", at - over);
        }
        assert!(letters().await[0].contains("runs out in 5 days") && letters().await[0].contains("enabled = true"));
        assert!(letters().await[1].contains("ran out 2 days ago"));
    }

    #[test]
    fn what_no_port_can_meet_is_refused_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("acme.enabled = true");
        config.data_directory = dir.path().to_owned();
        config.dns.servers = vec!["127.0.0.1:9".parse().unwrap()];
        let open = |listens: fn(Service) -> bool| {
            keeper(&config, listens, Board::default(), Resolver::new(&config.dns.settings().unwrap()).unwrap())
        };
        assert!(open(|_| true).unwrap().is_some());
        let refused = open(|_| false).err().unwrap().to_string();
        assert!(refused.contains("listen.https") && refused.contains("listen.http"), "{refused}");
    }
}
