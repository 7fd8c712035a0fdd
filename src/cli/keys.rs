//! `stoa keys`: the keys that sign mail, what DNS shows of them, and new ones.
//!
//! Works on the files of the keys, under their lock; a server that runs sees the change at its next signature.
//! [`keep`] is the part of the server that rotates them by itself and tells the owner what to publish.

use super::config::Config;
use super::home::Home;
use super::{Place, now, say};
use crate::delivery::{AS_SERVER, Delivery};
use crate::net::dns::Resolver;
use crate::trust::signing::rotation::Shown;
use crate::trust::signing::{Keyring, Published, State, rotator};
use anyhow::{Context, bail};
use clap::Subcommand;
use std::io::{Read, Write};
use std::time::Duration;
use stoa_dkim::Reader;
use stoa_mime::{Address, address, header};
use tokio::sync::watch;

/// DNS is asked so often while a key waits to be published.
const TURN_EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the keys, and whether DNS shows their records
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make new keys, to be used when DNS shows their records
    Rotate {
        /// Of this domain alone
        domain: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Sign a message on standard input as the server would, and write it to standard output
    Sign {
        /// Whose key signs [default: the domain of its From]
        #[arg(long)]
        domain: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Sign with the new keys from now on, if DNS shows their records
    Switch {
        /// Of this domain alone
        domain: Option<String>,
        /// Even if DNS does not show them: such as after a key was stolen
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::List { place } => {
            let (config, keyring) = open(&place)?;
            let dns = Resolver::new(&config.dns.settings()?)?;
            for domain in keyring.domains() {
                say(&list(domain, &keyring.published(domain), &dns).await);
            }
        }
        Action::Rotate { domain, place } => {
            let (_, keyring) = open(&place)?;
            for domain in chosen(&keyring, domain)? {
                rotate(&keyring, &domain).await?;
            }
        }
        Action::Sign { domain, place } => {
            let (config, keyring) = open(&place)?;
            sign(&keyring, domain, config.limits.message_bytes_max)?;
        }
        Action::Switch { domain, force, place } => {
            let (config, keyring) = open(&place)?;
            let dns = Resolver::new(&config.dns.settings()?)?;
            for domain in chosen(&keyring, domain)? {
                switch(&keyring, &domain, &dns, force).await?;
            }
        }
    }
    Ok(())
}

fn open(place: &Place) -> anyhow::Result<(Config, Keyring)> {
    let config = Config::read(&place.config_file()?)?;
    let home = Home::of(&config)?;
    let keyring = Keyring::open(&home.dkim(), &config.domains, config.signing.settings());
    Ok((config, keyring))
}

/// The domain that was named, or all.
fn chosen(keyring: &Keyring, domain: Option<String>) -> anyhow::Result<Vec<String>> {
    let ours = || keyring.domains().map(str::to_owned);
    match domain.map(|domain| domain.to_ascii_lowercase()) {
        None => Ok(ours().collect()),
        Some(domain) if ours().any(|own| own == domain) => Ok(vec![domain]),
        Some(domain) => bail!("{domain} is not a mail domain of this server, which has {}", ours().collect::<Vec<_>>().join(", ")),
    }
}

/// The keys of a domain as a table.
async fn list(domain: &str, keys: &[Published], dns: &impl rotator::Texts) -> String {
    let mut lines = vec![domain.to_owned()];
    if keys.is_empty() {
        lines.push("  no keys: `stoa serve` makes them when it starts".to_owned());
    }
    for key in keys {
        let shows = match rotator::look(dns, key).await {
            Shown::Right => "DNS shows it",
            Shown::Wrong => "DNS shows another record",
            Shown::Missing => "DNS does not show it",
            Shown::Unknown => "DNS cannot be asked now",
        };
        let selector = &key.selector;
        let (name, algorithm, state, since) = (&selector.name, selector.algorithm.name(), selector.state.name(), day(selector.since));
        lines.push(format!("  {name:<13} {algorithm:<15} {state:<8} since {since}  {shows}"));
    }
    lines.join("\n")
}

async fn rotate(keyring: &Keyring, domain: &str) -> anyhow::Result<()> {
    let folder = keyring.folder(domain).context("the domain is ours")?;
    let made = rotator::prepare(folder, now()).await?;
    let waiting = prepared(keyring, domain);
    let lead = if made.is_empty() { "New keys wait already" } else { "New keys are made" };
    say(&format!(
        "{lead} for {domain}. Publish:\n\n{}\nThey sign when DNS shows them; `stoa keys list` says whether it does.",
        zone_lines(&waiting)
    ));
    Ok(())
}

async fn switch(keyring: &Keyring, domain: &str, dns: &impl rotator::Texts, force: bool) -> anyhow::Result<()> {
    let folder = keyring.folder(domain).context("the domain is ours")?;
    let waiting = prepared(keyring, domain);
    if waiting.is_empty() {
        bail!("{domain} has no new keys: `stoa keys rotate` makes them");
    }
    let mut ready = Vec::new();
    for key in &waiting {
        if force || rotator::look(dns, key).await == Shown::Right {
            ready.push(key.selector.name.clone());
        }
    }
    if ready.len() < waiting.len() {
        let missing: Vec<String> = waiting.iter().filter(|key| !ready.contains(&key.selector.name)).map(Published::name).collect();
        bail!("DNS does not show {}: nothing was changed. Publish what `stoa dns` prints, or say --force", missing.join(" and "));
    }
    rotator::switch(folder, ready.clone(), now()).await?;
    say(&format!("Mail of {domain} is signed with {} now.", ready.join(" and ")));
    Ok(())
}

/// Puts signatures in front of the message on standard input.
fn sign(keyring: &Keyring, domain: Option<String>, bytes_max: u64) -> anyhow::Result<()> {
    let mut message = Vec::new();
    std::io::stdin().lock().take(bytes_max.saturating_add(1)).read_to_end(&mut message)?;
    if message.len() as u64 > bytes_max {
        bail!("the message is larger than limits.message_bytes_max = {bytes_max}");
    }
    let domain = domain
        .or_else(|| from_domain(&message))
        .context("the message has no From with an address: say whose key signs it, with --domain")?;
    let [domain] = chosen(keyring, Some(domain))?.try_into().map_err(|_| anyhow::anyhow!("one domain signs"))?;
    let mut reader = Reader::new();
    reader.feed(&message);
    let fields = keyring.sign(&domain, "", reader, now());
    if fields.is_empty() {
        bail!("the message cannot be signed; `stoa keys list` says which keys there are");
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&fields)?;
    out.write_all(&message)?;
    Ok(out.flush()?)
}

/// The first author with an address is among these, groups and their ends included.
const FROM_LOOKED_AT_MAX: usize = 10;

/// The domain of the first author.
fn from_domain(message: &[u8]) -> Option<String> {
    let from = header::fields(message).find(|field| field.is("From"))?;
    address::list(&from.value(), FROM_LOOKED_AT_MAX).into_iter().find_map(|author| match author {
        Address::Mailbox { host, .. } => String::from_utf8(host).ok(),
        _ => None,
    })
}

fn prepared(keyring: &Keyring, domain: &str) -> Vec<Published> {
    keyring.published(domain).into_iter().filter(|key| key.selector.state == State::Prepared).collect()
}

/// Records as in a zone file.
pub(super) fn zone_lines(keys: &[Published]) -> String {
    keys.iter().map(|key| format!("{}.  IN TXT  {}\n", key.name(), key.text_strings())).collect()
}

fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

/// Rotates the keys of a running server, and tells the owner what a person has to publish.
pub(super) async fn keep(
    keyring: Keyring,
    dns: Resolver,
    delivery: Delivery,
    rotate_seconds: Option<i64>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let records = rotator::turn(&keyring, &dns, now(), rotate_seconds).await;
        if !records.is_empty() {
            let (subject, text) = letter(&records);
            match delivery.write_to_owner(&subject, &text, Vec::new(), now()).await {
                Ok(()) => rotator::asked(&keyring, &records, now()).await,
                Err(error) => tracing::error!(%error, "the owner cannot be told of new DKIM keys"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(TURN_EVERY) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}

/// What the owner is told: subject and text.
fn letter(records: &[Published]) -> (String, String) {
    let mut domains: Vec<&str> = records.iter().map(|key| key.domain.as_str()).collect();
    domains.dedup();
    let domains = domains.join(", ");
    let text = format!(
        "The keys that sign mail of {domains} are to be changed, as is done from time to time. The new ones are made.\n\
         Put these records into DNS, beside those that are there:\n\n{records}\n\
         Where a form wants the text in one piece and without quotes, take it as `{AS_SERVER} dns` prints it.\n\n\
         Nothing else is to be done: when DNS shows them the server begins to use them, and a week later the records of\n\
         the old keys can go. Until then mail is signed as before. You are reminded once a week.\n\n\
         `{AS_SERVER} keys list` says what DNS shows; docs/keys.md tells more, also how the server\n\
         publishes them itself.\n",
        records = zone_lines(records),
    );
    let count = match records.len() {
        1 => "a DKIM record".to_owned(),
        count => format!("{count} DKIM records"),
    };
    (format!("To do: publish {count} for {domains}"), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::DnsError;
    use crate::trust::signing::{Algorithm, Folder, SigningSettings};
    use std::sync::Mutex;

    /// What DNS shows: the texts of these names.
    #[derive(Default)]
    struct Zone(Mutex<Vec<(String, String)>>);

    impl rotator::Texts for Zone {
        async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
            Ok(self.0.lock().unwrap().iter().filter(|(other, _)| other == name).map(|(_, text)| text.clone()).collect())
        }
    }

    fn keyring(dir: &tempfile::TempDir) -> Keyring {
        let folder = Folder::of(dir.path(), "example.org");
        folder.change(|keys| keys.make(Algorithm::Ed25519, State::Active, 1_700_000_000)).unwrap();
        folder.change(|keys| keys.make(Algorithm::Ed25519, State::Prepared, 1_790_000_000)).unwrap();
        Keyring::open(dir.path(), &["example.org".to_owned()], SigningSettings::default())
    }

    #[tokio::test]
    async fn keys_are_listed_with_what_dns_shows_and_switched_when_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, zone) = (keyring(&dir), Zone::default());
        let keys = keyring.published("example.org");
        zone.0.lock().unwrap().push((keys[0].name(), "v=DKIM1; k=ed25519; p=".to_owned()));
        let shown = list("example.org", &keys, &zone).await;
        let want = "example.org\n  s20231114e    ed25519-sha256  active   since 2023-11-14  DNS shows another record\n  \
                    s20260921e    ed25519-sha256  prepared since 2026-09-21  DNS does not show it";
        assert_eq!(shown, want);
        let refused = switch(&keyring, "example.org", &zone, false).await.unwrap_err().to_string();
        assert!(refused.contains("s20260921e._domainkey.example.org: nothing was changed"), "{refused}");
        zone.0.lock().unwrap().push((keys[1].name(), keys[1].record.clone()));
        switch(&keyring, "example.org", &zone, false).await.unwrap();
        let states: Vec<State> = keyring.published("example.org").iter().map(|key| key.selector.state).collect();
        assert_eq!(states, [State::Retired, State::Active]);
        assert!(switch(&keyring, "example.org", &zone, true).await.unwrap_err().to_string().contains("stoa keys rotate"));
        assert!(chosen(&keyring, Some("example.net".to_owned())).unwrap_err().to_string().contains("not a mail domain"));
    }

    #[tokio::test]
    async fn a_key_is_asked_for_until_dns_shows_it_then_it_signs() {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, zone, start) = (keyring(&dir), Zone::default(), 1_790_000_000);
        // A first RSA key is made on the way; that it is missing is nobody's affair but the server's.
        let records = rotator::turn(&keyring, &zone, start, None).await;
        assert_eq!(records.iter().map(Published::name).collect::<Vec<_>>(), ["s20260921e._domainkey.example.org"]);
        let (subject, text) = letter(&records);
        assert_eq!(subject, "To do: publish a DKIM record for example.org");
        assert!(text.contains(&format!("s20260921e._domainkey.example.org.  IN TXT  \"{}\"\n", records[0].record)), "{text}");
        // The lines are those of a zone file, which a provider's form would publish with their quotes.
        assert!(text.contains("in one piece and without quotes, take it as `sudo -u stoa stoa dns` prints it"), "{text}");
        assert_eq!(rotator::turn(&keyring, &zone, start + 60, None).await.len(), 1, "nobody was told yet");
        rotator::asked(&keyring, &records, start + 60).await;
        assert!(rotator::turn(&keyring, &zone, start + 3_600, None).await.is_empty());
        assert_eq!(rotator::turn(&keyring, &zone, start + 8 * 86_400, None).await.len(), 1);
        zone.0.lock().unwrap().push((records[0].name(), records[0].record.clone()));
        let later = start + 9 * 86_400;
        let signing =
            || keyring.published("example.org").into_iter().filter(|key| key.selector.state == State::Active).map(|key| key.selector.name);
        for (seconds, signs) in [(0, "s20231114e"), (1_800, "s20231114e"), (3_600, "s20260921e")] {
            assert!(rotator::turn(&keyring, &zone, later + seconds, None).await.is_empty());
            assert!(signing().any(|name| name == signs), "after {seconds} s");
        }
        rotator::turn(&keyring, &zone, later + 3_600 + 7 * 86_400, None).await;
        assert_eq!(keyring.published("example.org").len(), 2, "the retired one is gone after a week, its file too");
        assert!(!dir.path().join("example.org/s20231114e.pem").exists());
        let made = rotator::prepare(keyring.folder("example.org").unwrap(), later).await.unwrap();
        assert_eq!(made, ["s20260930r", "s20260930e"]);
        assert!(rotator::prepare(keyring.folder("example.org").unwrap(), later).await.unwrap().is_empty());
    }
}
