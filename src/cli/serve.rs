//! `stoa serve`: the server, from its configuration to its end.

use super::certificates::{self, Caretaker};
use super::config::Config;
use super::control::Control;
use super::doctor::gather::Sight;
use super::home::Home;
use super::queue::Desk;
use super::server::{Server, Service, Standing};
use super::{Place, doctor, keys, logging, now, reports, sending};
use crate::doors::dns::{Dns, Zones};
use crate::doors::http::Site;
use crate::net::Texts;
use crate::net::acme::Board;
use crate::net::dns::Resolver;
use crate::trust::signing::Keyring;
use std::sync::Arc;

pub(super) async fn run(place: &Place) -> anyhow::Result<()> {
    let config = Config::read(&place.config_file()?)?;
    logging::begin(config.log);
    let home = Home::of(&config)?;
    let store = home.open_store(&(&config.store).into()).await?;
    let keyring = Keyring::open(&home.dkim(), &config.domains, config.signing.settings());
    keyring.ensure(now()).await;
    if config.acme.enabled {
        // Whoever deletes the certificate to have another fetched starts without one.
        certificates::make_self_made(&config.tls.certificate_file, &config.tls.key_file, &config.hostname)?;
    }
    let resolver = Resolver::new(&config.dns.settings()?)?;
    let mut server = Server::new(&config, store, home.login_key()?, &Standing::World(resolver.clone()))?;
    server.listen_for_mail(&config).await?;
    listen_for_web(&mut server, &config).await?;
    let texts = Arc::new(Texts::default());
    let zones = Zones::new(&config.hostname, keyring.clone(), Arc::clone(&texts), &certificates::names(&config));
    server.listen_for_dns(Dns::new(zones), &config.listen.dns).await?;
    let control = Control::listen(home.control_socket())?;
    let dispatcher = sending::begin(&mut server, &config, &resolver, keyring.clone())?;
    let desk = Desk {
        store: server.store().clone(),
        delivery: server.delivery().clone(),
        schedule: config.queue.schedule(),
        dispatcher: Some(dispatcher),
    };
    server.beside(control.answer(desk, Arc::from(config.domains.clone())));
    let board = Board { challenges: server.challenges(), texts };
    let keeper = certificates::keeper(&config, |service| server.port(service).is_some(), board, resolver.clone())?;
    server.beside(Caretaker::new(&config, keeper, server.store().clone(), server.delivery().clone()).run());
    if config.doctor.daily {
        let sight = Sight::new(config.clone(), keyring.clone(), resolver.clone())?;
        server.beside(doctor::daily::keep(sight, server.store().clone(), server.delivery().clone(), server.told_to_stop()));
    }
    server.beside(keys::keep(keyring, resolver, server.delivery().clone(), config.signing.rotate_seconds(), server.told_to_stop()));
    server.beside(reports::keep(server.delivery().clone(), config.reports.weekly, server.told_to_stop()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), hostname = config.hostname, data = %home.path().display(), "serving");
    server.run().await?;
    tracing::info!("stopped");
    Ok(())
}

async fn listen_for_web(server: &mut Server, config: &Config) -> anyhow::Result<()> {
    let secure = Site {
        domains: config.domains.clone(),
        imap: server.mail_servers(&config.hostname, Service::Imaps, Service::Imap),
        submission: server.mail_servers(&config.hostname, Service::Submissions, Service::Submission),
        redirect: None,
        base: Some(public_base(config)),
        hsts: true,
        challenges: server.challenges(),
        challenge_directory: Some(config.tls.challenge_directory.clone()),
        mta_sts: Some(config.mta_sts_policy()),
        demo: None,
    };
    server.listen_for_web(Service::Https, secure.clone(), config).await?;
    let redirect = server.port(Service::Https).map(|port| base(&config.hostname, port));
    server.listen_for_web(Service::Http, Site { redirect, hsts: false, ..secure }, config).await
}

/// Where others reach the web: our own port, or that of a web server in front of us, which has the usual one.
fn public_base(config: &Config) -> String {
    let own = Service::Https.addresses(config).first().map(|address| address.port());
    base(&config.hostname, own.filter(|port| *port != 0).unwrap_or(Service::Https.port()))
}

fn base(host: &str, port: u16) -> String {
    if port == Service::Https.port() { format!("https://{host}") } else { format!("https://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_not_written() {
        assert_eq!(base("mail.example.org", 443), "https://mail.example.org");
        assert_eq!(base("mail.example.org", 8443), "https://mail.example.org:8443");
        let config = |https: &str| Config::parse(&format!("hostname='mail.example.org'\ndomains=['b']\n[listen]\nhttps={https}")).unwrap();
        assert_eq!(public_base(&config("['[::]:8443']")), "https://mail.example.org:8443");
        assert_eq!(public_base(&config("[]")), "https://mail.example.org");
    }
}
