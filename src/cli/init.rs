//! `stoa init`: a new server, from a mail address to something that `stoa serve` runs.
//!
//! The configuration is written last: until it is there, the same command can be given again.

use super::config::{Config, FILE_NAME};
use super::demo::ACCOUNTS_FILE;
use super::home::{self, Home};
use super::{account, dns, now, say, secrets};
use crate::store::Store;
use crate::trust;
use crate::trust::signing::Keyring;
use anyhow::{Context, bail};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use stoa_sasl::Secret;

/// The self-made certificate is for the days until a real one is there.
const CERTIFICATE_DAYS: i64 = 90;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The owner's mail address, such as john@example.org
    #[arg(value_parser = account::address)]
    address: String,
    /// The name of this host, if it is not mail. in front of the domain
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The data directory to be made
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (_, domain) = arguments.address.rsplit_once('@').context("an address has an @")?;
    let domain = domain.to_ascii_lowercase();
    let hostname = arguments.hostname.map_or_else(|| format!("mail.{domain}"), |name| name.to_ascii_lowercase());
    let text = configuration(&hostname, &domain);
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
    make_certificate(&dir.join("tls"), &config)?;
    let keyring = Keyring::open(&home.dkim(), &config.domains, config.signing.settings());
    keyring.ensure(now()).await;
    let store = home.open_store(&(&config.store).into()).await?;
    let password = make_owner(&store, &config, &arguments.address).await?;
    secrets::write(&file, text.as_bytes())?;
    say(&next_steps(&dir, &config, &keyring, &arguments.address, &password));
    Ok(())
}

fn configuration(hostname: &str, domain: &str) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    format!(
        "# What differs from the defaults; docs/configuration.md says where all keys are explained.\nhostname = {}\ndomains = [{}]\n",
        text(hostname),
        text(domain)
    )
}

/// A certificate that its own key signed, so that the server can be tried before there is a real one.
fn make_certificate(dir: &Path, config: &Config) -> anyhow::Result<()> {
    let (certificate, key_file) = (dir.join("certificate.pem"), dir.join("key.pem"));
    if certificate.exists() {
        return Ok(());
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![config.hostname.clone()])?;
    params.distinguished_name.push(DnType::CommonName, config.hostname.as_str());
    let since_1970 = |seconds: i64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.max(0).unsigned_abs());
    params.not_before = since_1970(now() - 86_400).into();
    params.not_after = since_1970(now() + CERTIFICATE_DAYS * 86_400).into();
    secrets::write(&key_file, key.serialize_pem().as_bytes())?;
    secrets::write(&certificate, params.self_signed(&key)?.pem().as_bytes())
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
    format!(
        "The server of {domain} is set up in {dir}.\n\n\
         Your account:   {address}\n\
         Your password:  {password}\n\
         It is shown only now; `stoa account password {address} --dir {dir}` sets another.\n\n\
         1. Put these records into DNS (`stoa dns --dir {dir}` prints them again, and those for later):\n\n{records}\n\
         2. Get a certificate for {host}; docs/install.md shows how. Until then there is a self-made one in\n\
         \u{20}  {dir}/tls, which mail programs warn of.\n\
         3. Start the server:  stoa serve --dir {dir}\n\
         4. Add your account to a mail program; docs/clients.md helps.",
        domain = config.primary_domain(),
        password = password.reveal(),
        records = dns::show::list(&dns::facts::Facts::collect(config, keyring), false),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Purpose, Tls};

    #[test]
    fn the_configuration_is_good_and_names_no_unknown_key() {
        let config = Config::parse(&configuration("mail.example.org", "example.org")).unwrap();
        assert_eq!((config.hostname.as_str(), config.primary_domain()), ("mail.example.org", "example.org"));
        assert_eq!(config.listen, Config::parse("hostname='a.b'\ndomains=['b']").unwrap().listen);
    }

    #[test]
    fn the_certificate_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse(&configuration("mail.example.org", "example.org")).unwrap();
        make_certificate(dir.path(), &config).unwrap();
        Tls::load(&dir.path().join("certificate.pem"), &dir.path().join("key.pem"), Purpose::Clients).unwrap();
        assert_eq!(config.tls.certificate_file, Path::new("tls/certificate.pem"));
    }
}
