//! `stoa dns`: the records that the domains of the server need, to be pasted or to be understood.
//!
//! [`facts`] says what is known of the server, [`records()`] makes the records of it, [`show`] prints them. `stoa init` shows
//! the first of them, and `stoa doctor` looks whether the world sees them.

pub(super) mod facts;
pub(super) mod records;
pub(super) mod show;
#[cfg(test)]
mod tests;

use super::config::Config;
use super::home::Home;
use super::{Place, say};
use crate::trust::signing::Keyring;
use facts::Facts;
use std::net::IpAddr;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a zone file to paste, in place of the list that explains each record
    #[arg(long)]
    zone: bool,
    /// An address of this machine that the world reaches, if it is not the machine's own; can be given twice
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.place.config_file()?)?;
    let keyring = Keyring::open(&Home::of(&config)?.dkim(), &config.domains, config.signing.settings());
    let mut facts = Facts::collect(&config, &keyring);
    if !arguments.address.is_empty() {
        facts.addresses = arguments.address;
    }
    say(&if arguments.zone { show::zone(&facts) } else { show::list(&facts, true) });
    Ok(())
}
