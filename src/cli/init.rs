//! `stoa init`: a new server, from a mail address to something that `stoa serve` runs.
//!
//! The configuration is written last: until it is there, the same command can be given again.

use super::certificates::make_self_made;
use super::config::{Config, FILE_NAME};
use super::demo::ACCOUNTS_FILE;
use super::home::{self, Home};
use super::{account, dns, now, say, secrets};
use crate::store::Store;
use crate::trust;
use crate::trust::signing::Keyring;
use anyhow::{Context, bail};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use stoa_sasl::Secret;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The owner's mail address, such as john@example.org
    #[arg(value_parser = account::address)]
    address: String,
    /// The name of this host, if it is not mail. in front of the domain
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Have the server fetch its certificate from Let's Encrypt by itself. With this you agree to the authority's
    /// terms, https://letsencrypt.org/repository/. ADDRESS is for its notices [default: the owner's]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, value_parser = account::address)]
    acme: Option<Option<String>>,
    /// The data directory to be made [default: /var/lib/stoa for root and its owner, else ~/.local/share/stoa]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What root makes is out of reach for the user that the system's service runs as.
const OF_ROOT: &str = "\nThis server belongs to root now, and only root can run it. If a user of its own is to run it, as conf/stoa.service has it,\n\
    remove the directory and give this command as that user: docs/install.md.";

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (_, domain) = arguments.address.rsplit_once('@').context("an address has an @")?;
    let domain = domain.to_ascii_lowercase();
    let hostname = arguments.hostname.map_or_else(|| format!("mail.{domain}"), |name| name.to_ascii_lowercase());
    let acme = match &arguments.acme {
        Some(contact) => Some(contact.clone().unwrap_or_else(|| arguments.address.clone())),
        None => ask_for_acme()?.then(|| arguments.address.clone()),
    };
    let text = configuration(&hostname, &domain, acme.as_deref());
    let config = Config::parse(&text)?;
    let dir = arguments.dir.map_or_else(|| home::default_directory("stoa"), Ok)?;
    let file = dir.join(FILE_NAME);
    if file.exists() {
        bail!("{} is there already: this server was set up before, `stoa serve` runs it", file.display());
    }
    if dir.join(ACCOUNTS_FILE).exists() {
        bail!("{} holds a demo: choose another directory for the server with --dir DIR", dir.display());
    }
    let home = Home::make(&dir)?;
    home.login_key()?;
    make_self_made(&dir.join("tls/certificate.pem"), &dir.join("tls/key.pem"), &hostname)?;
    let keyring = Keyring::open(&home.dkim(), &config.domains, config.signing.settings());
    keyring.ensure(now()).await;
    let store = home.open_store(&(&config.store).into()).await?;
    let password = make_owner(&store, &config, &arguments.address).await?;
    secrets::write(&file, text.as_bytes())?;
    say(&next_steps(&dir, &config, &keyring, &arguments.address, &password));
    if rustix::process::geteuid().is_root() {
        say(OF_ROOT);
    }
    Ok(())
}

/// Asks whoever sits at a terminal; a script says it with a flag.
fn ask_for_acme() -> anyhow::Result<bool> {
    let (stdin, mut terminal) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !terminal.is_terminal() {
        return Ok(false);
    }
    write!(
        terminal,
        "Shall the server fetch its certificate from Let's Encrypt by itself?\n\
         With \"yes\" you agree to its terms, https://letsencrypt.org/repository/ [yes/no] "
    )?;
    terminal.flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

fn configuration(hostname: &str, domain: &str, acme: Option<&str>) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let acme = acme.map_or_else(String::new, |contact| format!("\n[acme]\nenabled = true\ncontact = {}\n", text(contact)));
    format!(
        "# What differs from the defaults; docs/configuration.md says where all keys are explained.\nhostname = {}\ndomains = [{}]\n{acme}",
        text(hostname),
        text(domain)
    )
}

async fn make_owner(store: &Store, config: &Config, address: &str) -> anyhow::Result<Secret> {
    if let Some(other) = store.accounts().await?.iter().find(|account| account.owner && !account.address.eq_ignore_ascii_case(address)) {
        bail!("the server here belongs to {}: give that address, or another --dir", other.address);
    }
    let password = trust::generate_password();
    if store.find_address(address).await?.is_some() {
        // An earlier run was cut off after this step.
        account::set_password(store, address, &password).await?;
    } else {
        account::add(store, &config.domains, address, &password, true).await?;
    }
    Ok(password)
}

fn next_steps(dir: &Path, config: &Config, keyring: &Keyring, address: &str, password: &Secret) -> String {
    let host = &config.hostname;
    let dir = dir.display();
    let certificate = if config.acme.enabled {
        format!(
            "Nothing to do for a certificate: the server fetches one as soon as {host} leads to it.\n   Until then there is a self-made one."
        )
    } else {
        format!(
            "Get a certificate for {host}: write [acme] and below it enabled = true into {dir}/stoa.toml,\n   \
             and the server fetches one from Let's Encrypt, to whose terms you agree with that. docs/certificates.md\n   \
             shows other ways. Until then there is a self-made one, which mail programs warn of."
        )
    };
    format!(
        "The server of {domain} is set up in {dir}.\n\n\
         Your account:   {address}\n\
         Your password:  {password}\n\
         It is shown only now; `stoa account password {address} --dir {dir}` sets another.\n\n\
         1. Put these records into DNS (`stoa dns --dir {dir}` prints them again, and those for later):\n\n{records}\n\
         2. {certificate}\n\
         3. Start the server:  stoa serve --dir {dir}\n\
         4. Ask what is still missing:  stoa doctor --dir {dir}\n\
         5. Add your account to a mail program; docs/clients.md helps.",
        domain = config.primary_domain(),
        password = password.reveal(),
        records = dns::show::list(&dns::facts::Facts::collect(config, keyring), false),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_good_and_names_no_unknown_key() {
        let config = Config::parse(&configuration("mail.example.org", "example.org", None)).unwrap();
        assert_eq!((config.hostname.as_str(), config.primary_domain()), ("mail.example.org", "example.org"));
        assert_eq!(config, Config::parse("hostname='mail.example.org'\ndomains=['example.org']").unwrap());
        assert!(!config.acme.enabled);
        assert_eq!(config.tls.certificate_file, Path::new("tls/certificate.pem"));
        assert_eq!(config.tls.key_file, Path::new("tls/key.pem"));
    }

    #[test]
    fn a_certificate_comes_by_itself_where_it_was_asked_for() {
        let config = Config::parse(&configuration("mail.example.org", "example.org", Some("john@example.org"))).unwrap();
        assert_eq!((config.acme.enabled, config.acme.contact.as_str()), (true, "john@example.org"));
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(dir.path(), &config.domains, config.signing.settings());
        let password = Secret::new("x".to_owned());
        let say = |config: &Config| next_steps(Path::new("/srv/stoa"), config, &keyring, "john@example.org", &password);
        assert!(say(&config).contains("as soon as mail.example.org leads to it"));
        let without = Config::parse(&configuration("mail.example.org", "example.org", None)).unwrap();
        assert!(say(&without).contains("[acme] and below it enabled = true into /srv/stoa/stoa.toml"), "{}", say(&without));
    }
}
