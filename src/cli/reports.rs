//! `stoa reports`: what other servers report of mail in our name and of connections to us; and the task that reads them.

use super::config::Config;
use super::control::{self, Request};
use super::home::Home;
use super::progress::count;
use super::{Place, now, say};
use crate::delivery::{Delivery, REPORTS_KEPT_DAYS, reports_since};
use crate::store::Store;
use std::time::Duration;
use tokio::sync::watch;

/// Reports come by the day; a few minutes more do not matter.
const TURN_EVERY: Duration = Duration::from_secs(600);

const SECONDS_PER_DAY: i64 = 86_400;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=REPORTS_KEPT_DAYS))]
    #[arg(help = format!("How many days back; reports are remembered for {REPORTS_KEPT_DAYS}"))]
    days: i64,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.place.config_file()?)?;
    let home = Home::of(&config)?;
    let said = match control::ask(&home.control_socket(), &Request::Reports { days: arguments.days }).await? {
        Some(said) => said,
        None => perform(&home.open_store(&(&config.store).into()).await?, arguments.days).await?,
    };
    say(&said);
    Ok(())
}

/// The sums of the last days.
pub(super) async fn perform(store: &Store, days: i64) -> anyhow::Result<String> {
    let since = now() - days.clamp(1, REPORTS_KEPT_DAYS) * SECONDS_PER_DAY;
    Ok(reports_since(store, since).await?.unwrap_or_else(|| none_came(days)))
}

fn none_came(days: i64) -> String {
    let days = count(days.unsigned_abs(), "day", "days");
    format!("No reports came in the last {days}. `stoa dns` prints the records that ask others for them.")
}

/// Reads reports as they are filed, and writes to the owner once a week if that is wanted.
pub(super) async fn keep(delivery: Delivery, weekly: bool, mut shutdown: watch::Receiver<bool>) {
    loop {
        if let Err(error) = turn(&delivery, weekly).await {
            tracing::error!(%error, "cannot read the reports about our domains");
        }
        tokio::select! {
            () = tokio::time::sleep(TURN_EVERY) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}

async fn turn(delivery: &Delivery, weekly: bool) -> Result<(), crate::store::StoreError> {
    while delivery.read_reports(now()).await? {}
    if weekly { delivery.tell_reports(now()).await } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_and_two_are_days() {
        assert!(none_came(1).starts_with("No reports came in the last 1 day. "));
        assert!(none_came(2).starts_with("No reports came in the last 2 days. "));
    }
}
