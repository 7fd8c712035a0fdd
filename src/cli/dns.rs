//! `stoa dns`: the records that the domains of the server need, from `conf/zone.template`.

use super::config::Config;
use super::home::Home;
use super::keys::zone_lines;
use super::server::Service;
use super::{Place, say};
use crate::trust::signing::Keyring;

const TEMPLATE: &str = include_str!("../../conf/zone.template");

pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    let config = Config::read(&place.config_file()?)?;
    let keyring = Keyring::open(&Home::of(&config)?.dkim(), &config.domains, config.signing.settings());
    say(&records(&config, &keyring));
    Ok(())
}

/// The records of every domain.
pub(super) fn records(config: &Config, keyring: &Keyring) -> String {
    let zones: Vec<String> = config.domains.iter().map(|domain| zone(config, keyring, domain)).collect();
    zones.join("\n")
}

fn zone(config: &Config, keyring: &Keyring, domain: &str) -> String {
    let port = |service: Service| service.addresses(config).first().map_or(service.port(), |address| address.port()).to_string();
    TEMPLATE
        .replace("{{keys}}", keys(keyring, domain).trim_end())
        .replace("{{domain}}", domain)
        .replace("{{hostname}}", &config.hostname)
        .replace("{{imaps_port}}", &port(Service::Imaps))
        .replace("{{submissions_port}}", &port(Service::Submissions))
}

/// The records of the keys that sign, and of those that are to sign or did lately.
fn keys(keyring: &Keyring, domain: &str) -> String {
    let published = keyring.published(domain);
    if published.is_empty() {
        return "; There is no key yet: `stoa serve` makes one.".to_owned();
    }
    zone_lines(&published)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::signing::{Algorithm, Folder, State};

    #[test]
    fn every_domain_has_its_records() {
        let text = "hostname = 'mail.example.org'\ndomains = ['example.org', 'example.com']\nlisten.imaps = ['[::]:1993']";
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse(text).unwrap();
        let folder = Folder::of(dir.path(), "example.com");
        folder.change(|keys| keys.make(Algorithm::Rsa, State::Prepared, 1_800_000_000)).unwrap();
        let records = records(&config, &Keyring::open(dir.path(), &config.domains, config.signing.settings()));
        for want in [
            "example.org.  IN MX   10 mail.example.org.",
            "example.com.  IN MX   10 mail.example.org.",
            "_imaps._tcp.example.com.        IN SRV    0 1 1993 mail.example.org.",
            "_submissions._tcp.example.org.  IN SRV    0 1 465 mail.example.org.",
            "autoconfig.example.org.         IN CNAME  mail.example.org.",
        ] {
            assert!(records.contains(want), "no {want} in {records}");
        }
        assert!(!records.contains("{{"));
        let key = records.split("s20270115r._domainkey.example.com.  IN TXT  ").nth(1).unwrap().lines().next().unwrap();
        let strings: Vec<&str> = key.split('"').skip(1).step_by(2).collect();
        assert!(strings.concat().starts_with("v=DKIM1; k=rsa; p=MIIBI"), "{key}");
        assert!(strings.len() == 2 && strings.iter().all(|string| string.len() <= 255), "{key}");
    }
}
