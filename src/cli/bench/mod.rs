//! `stoa bench`: measures any server that speaks SMTP and IMAP, from outside.
//!
//! Drives the server by its ports as other servers and mail programs do, checks that the answers are right, and prints
//! a table: how long, how many in a second, and what it cost the server in CPU time and memory, if its processes are
//! named. What it puts into the account stays there: deliveries in INBOX, and mailboxes whose names begin with `bench-`.

mod changes;
mod deliveries;
mod idlers;
mod imap;
mod letters;
mod mailboxes;
mod meter;
mod notices;
mod process;
mod report;
mod responses;
mod smtp;
mod target;
mod wire;

use anyhow::{Context, bail};
use imap::Imap;
use meter::{Measured, Meter};
use report::{About, Report};
use smtp::Smtp;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use target::Target;

/// Where deliveries are read.
const INBOX: &str = "INBOX";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: target::Options,
    /// Letters of each row of deliveries, and of APPEND
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    messages: u32,
    /// Messages in the mailboxes that are read and changed
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [10_000, 100_000], value_parser = clap::value_parser!(u64).range(1..))]
    mailboxes: Vec<u64>,
    /// Deliveries whose notice is timed
    #[arg(long, value_name = "N", default_value_t = 100)]
    notices: u32,
    /// Numbers of idle connections, ascending
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [100, 1000])]
    idle: Vec<usize>,
    /// Seconds that connections idle before memory is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    idle_seconds: u64,
    /// Seconds for which each reading command is repeated
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    seconds: u64,
    /// Measure only these [default: all that the ports allow]
    #[arg(long, value_delimiter = ',', value_name = "PART,...")]
    only: Vec<Part>,
    /// Write the results to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Memory of idle connections
    Memory,
    /// Letters by SMTP
    Deliveries,
    /// From a delivery to its notice on an idling connection
    Notices,
    /// SELECT, FETCH and SEARCH
    Reads,
    /// STORE, COPY, MOVE, EXPUNGE and APPEND
    Changes,
}

impl Part {
    /// Memory first: what was done before has left its traces there.
    const ALL: [Part; 5] = [Part::Memory, Part::Deliveries, Part::Notices, Part::Reads, Part::Changes];

    fn possible(self, target: &Target) -> bool {
        let (smtp, imap) = (target.smtp.is_some(), target.imap.is_some());
        match self {
            Part::Deliveries => smtp,
            Part::Notices => smtp && imap,
            Part::Memory | Part::Reads | Part::Changes => imap,
        }
    }
}

/// A run.
struct Bench {
    target: Arc<Target>,
    meter: Meter,
    report: Report,
    repeat: Duration,
    seed: u64,
}

impl Bench {
    /// For letters that were in no run before.
    fn next_seed(&mut self) -> u64 {
        // Far from one another, since a writer's neighbours take the next ones.
        self.seed = self.seed.wrapping_add(1 << 16);
        self.seed
    }
}

pub(super) async fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let (target, processes) = Target::of(std::mem::take(&mut arguments.target))?;
    let possible = || Part::ALL.into_iter().filter(|part| part.possible(&target)).collect();
    let parts: Vec<Part> = if arguments.only.is_empty() { possible() } else { arguments.only.clone() };
    let began = jiff::Timestamp::now();
    let report = Report::begin(introduce(&target, began).await?);
    let seed = began.as_nanosecond() as u64;
    let repeat = Duration::from_secs(arguments.seconds);
    let mut bench = Bench { target: Arc::new(target), meter: Meter::new(processes), report, repeat, seed };
    for part in parts {
        bench.measure(part, &arguments).await;
    }
    bench.end(arguments.json)
}

/// Asks the server who it is, which also shows that it can be reached and lets us in.
async fn introduce(target: &Target, began: jiff::Timestamp) -> anyhow::Result<About> {
    let smtp = if target.smtp.is_some() { Some(Smtp::connect(target).await?) } else { None };
    let imap = if target.imap.is_some() { Some(Imap::connect(target).await?) } else { None };
    Ok(About {
        bench_version: env!("CARGO_PKG_VERSION"),
        host: target.host.clone(),
        smtp_greeting: smtp.map(|smtp| smtp.greeting),
        imap_greeting: imap.map(|imap| imap.greeting),
        imap_security: target.imap.map(|(_, security)| security.text()),
        began: began.to_string(),
    })
}

impl Bench {
    async fn measure(&mut self, part: Part, arguments: &Arguments) {
        let messages = arguments.messages as usize;
        match part {
            Part::Memory => idlers::measure(self, &arguments.idle, Duration::from_secs(arguments.idle_seconds)).await,
            Part::Deliveries => deliveries::measure(self, messages).await,
            Part::Notices => notices::measure(self, arguments.notices as usize).await,
            Part::Reads => {
                for &size in &arguments.mailboxes {
                    let done = mailboxes::measure(self, size).await;
                    self.failed(&format!("{size}: reads"), done);
                }
            }
            Part::Changes => {
                for &size in &arguments.mailboxes {
                    let done = changes::measure(self, size, messages).await;
                    self.failed(&format!("{size}: changes"), done);
                }
            }
        }
    }

    /// A part that could not go on has a row that says why.
    fn failed(&mut self, name: &str, done: anyhow::Result<()>) {
        if let Err(error) = done {
            self.report.add(name, Err(error));
        }
    }

    fn end(self, json: Option<PathBuf>) -> anyhow::Result<()> {
        if let Some(file) = json {
            let text = serde_json::to_vec_pretty(&self.report)?;
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        match self.report.failures() {
            0 => Ok(()),
            failures => bail!("{failures} measurements failed: the table says why"),
        }
    }
}
