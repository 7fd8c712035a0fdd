//! `stoa doctor`: what keeps the mail of a server from working, why that matters, and what to type.
//!
//! [`gather`] collects [`facts`] with limits in time, [`checks`] are pure functions from them to [`finding`]s, [`print`] and
//! [`daily`] tell those to the terminal and, where something changed, to the owner by mail. Nobody else is told anything but
//! what the owner asked for.

mod answers;
mod checks;
pub(super) mod daily;
mod facts;
mod finding;
pub(super) mod gather;
mod print;
mod spf;
#[cfg(test)]
mod tests;

use super::config::Config;
use super::control::{self, Request};
use super::home::Home;
use super::{Place, now, say};
use crate::net::dns::Resolver;
use crate::store::Store;
use crate::trust::signing::Keyring;
use finding::{Finding, Severity};
use gather::{Health, Sight, Wishes};
use std::process::ExitCode;

/// Lists that many receivers use, asked where the owner names no others.
const BLOCK_LISTS: [&str; 3] = ["zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com"];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Try whether port 25 is open for what goes out, on the mail server of this domain, such as gmail.com
    #[arg(long = "port-25", value_name = "DOMAIN")]
    port_25: Option<String>,
    /// Ask block lists about this server's addresses, which tells them of it: those named, or zen.spamhaus.org,
    /// bl.spamcop.net and psbl.surriel.com
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 0.., default_missing_values = BLOCK_LISTS)]
    blocklists: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Looks, and tells; the exit code says whether something must be done.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = Config::read(&arguments.place.config_file()?)?;
    let home = Home::of(&config)?;
    let keyring = Keyring::open(&home.dkim(), &config.domains, config.signing.settings());
    let resolver = Resolver::new(&config.dns.settings()?)?;
    let health = health(&home, &config).await;
    let wishes = Wishes { way_out: arguments.port_25, block_lists: arguments.blocklists };
    let findings = Sight::new(config, keyring, resolver)?.look(health, wishes, now()).await;
    say(&if arguments.json { json(&findings)? } else { print::text(&findings) });
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn json(findings: &[Finding]) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(findings)?)
}

/// Asks the server if it runs; else looks into the store itself.
async fn health(home: &Home, config: &Config) -> Health {
    match control::ask(&home.control_socket(), &Request::QueueNumbers).await {
        Ok(Some(said)) => Health { running: true, queue: Some(serde_json::from_str(&said).map_err(|error| error.to_string())) },
        Ok(None) => {
            let queue = async { anyhow::Ok(gather::queue(&home.open_store(&(&config.store).into()).await?, now()).await?) };
            Health { running: false, queue: Some(queue.await.map_err(|error| format!("{error:#}"))) }
        }
        Err(error) => Health { running: true, queue: Some(Err(format!("{error:#}"))) },
    }
}

/// The server's end of asking for its health.
pub(super) async fn perform(store: &Store) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&gather::queue(store, now()).await?)?)
}
