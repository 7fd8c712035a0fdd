//! `stoa dns`: the records that the domains of the server need, from `conf/zone.template`.

use super::config::Config;
use super::server::Service;
use super::{Place, say};

const TEMPLATE: &str = include_str!("../../conf/zone.template");

pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    say(&records(&Config::read(&place.config_file()?)?));
    Ok(())
}

/// The records of every domain.
pub(super) fn records(config: &Config) -> String {
    let zones: Vec<String> = config.domains.iter().map(|domain| zone(config, domain)).collect();
    zones.join("\n")
}

fn zone(config: &Config, domain: &str) -> String {
    let port = |service: Service| service.addresses(config).first().map_or(service.port(), |address| address.port()).to_string();
    TEMPLATE
        .replace("{{domain}}", domain)
        .replace("{{hostname}}", &config.hostname)
        .replace("{{imaps_port}}", &port(Service::Imaps))
        .replace("{{submissions_port}}", &port(Service::Submissions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_has_its_records() {
        let text = "hostname = 'mail.example.org'\ndomains = ['example.org', 'example.com']\nlisten.imaps = ['[::]:1993']";
        let records = records(&Config::parse(text).unwrap());
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
    }
}
