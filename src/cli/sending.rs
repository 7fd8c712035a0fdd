//! Puts together what brings mail to other hosts: the carrier, the dispatcher of the queue, and the reports on TLS.

use super::config::Config;
use super::now;
use super::server::Server;
use crate::net::authorities;
use crate::net::dns::Resolver;
use crate::net::https::Https;
use crate::queue::smtp::{CarrierSettings, Limits, Smarthost, SmtpCarrier};
use crate::queue::tls_reports::TlsReports;
use crate::queue::{Clock, Dispatcher, Handle};
use crate::trust::signing::Keyring;
use anyhow::Context;
use std::sync::Arc;

/// RFC 8314 §3.3: TLS from the first byte.
const SUBMISSIONS_PORT: u16 = 465;

/// Begins to send what is queued; gives who speaks to the dispatcher.
pub(super) fn begin(server: &mut Server, config: &Config, resolver: &Resolver, keyring: Keyring) -> anyhow::Result<Handle> {
    let roots = authorities(config.queue.extra_authorities())?;
    let closed_network = config.queue.extra_authorities().is_some();
    let https = Https::new(resolver.clone(), roots.clone(), config.queue.https_port, closed_network)?;
    let (store, clock): (_, Clock) = (server.store().clone(), Arc::new(now));
    let carrier = SmtpCarrier::new(settings(config)?, resolver.clone(), https.clone(), roots, store.clone(), clock.clone())?;
    let (carrier, delivery) = (Arc::new(carrier), server.delivery().clone());
    let reports = TlsReports::new(store.clone(), delivery.clone(), carrier.clone(), resolver.clone(), https, clock.clone());
    let (schedule, lines) = (config.queue.schedule(), config.queue.limits());
    let dispatcher = Dispatcher::new(store, delivery, (carrier, keyring), schedule, lines, clock);
    let handle = dispatcher.handle();
    server.beside_until_done(dispatcher.run(server.told_to_stop()));
    server.beside(reports.run(server.told_to_stop()));
    Ok(handle)
}

fn settings(config: &Config) -> anyhow::Result<CarrierSettings> {
    let queue = &config.queue;
    let smarthost = match queue.smarthost() {
        None => None,
        Some((host, port)) => {
            let (host, implicit_tls) = (host.to_ascii_lowercase(), port == SUBMISSIONS_PORT);
            Some(Smarthost { host, port, implicit_tls, login: login(config)? })
        }
    };
    // RFC 5890: in SMTP without SMTPUTF8 a name is one of A-labels.
    let own_name = idna::domain_to_ascii(&config.hostname).context("hostname is no domain name")?;
    let (port, ipv6) = (queue.smtp_port, queue.ipv6);
    let closed_network = queue.extra_authorities().is_some();
    Ok(CarrierSettings { own_name, port, ipv6, closed_network, smarthost, limits: Limits::default().with_patience(queue.patience_percent) })
}

fn login(config: &Config) -> anyhow::Result<Option<(String, String)>> {
    let queue = &config.queue;
    if queue.smarthost_login.is_empty() {
        return Ok(None);
    }
    let file = &queue.smarthost_password_file;
    let text = std::fs::read_to_string(file).with_context(|| format!("queue.smarthost_password_file = {}", file.display()))?;
    let password = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!password.is_empty(), "the first line of {} (queue.smarthost_password_file) holds no password", file.display());
    Ok(Some((queue.smarthost_login.clone(), password.to_owned())))
}
