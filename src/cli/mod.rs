//! The sub-commands of the program: arguments in, an exit code out.
//!
//! This is the only room that talks to the person at the terminal: what was asked for goes to standard output, one
//! sentence that says what is wrong and what to do goes to standard error. `demo` and `serve` run the server; it is
//! put together in `server`.

mod account;
mod backup;
mod bench;
mod certificates;
mod check_message;
pub mod config;
mod control;
mod demo;
mod dns;
mod doctor;
mod export;
mod home;
mod init;
mod keys;
mod logging;
mod progress;
mod queue;
mod reports;
mod secrets;
mod sending;
mod serve;
mod server;
mod snapshot;
mod verify;

use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// More threads than this only cost memory: the work waits for disk and network.
const WORKER_THREADS_MAX: usize = 4;
/// Threads that wait for the disk.
const DISK_THREADS_MAX: usize = 32;

/// Your own server: private mail, and everything that can be built on mail.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on this machine: sample mail, no set-up, nothing leaves the machine
    Demo(demo::Arguments),
    /// Make the configuration, the keys and the owner's account of a new server
    Init(init::Arguments),
    /// Run the server
    Serve(Place),
    /// Add and remove accounts and their passwords, also while the server runs
    Account(account::Arguments),
    /// Show and change the keys that sign mail
    Keys(keys::Arguments),
    /// Save everything in another place, also while the server runs
    Backup(backup::Arguments),
    /// Make a server from its backup, in a new directory
    Restore(backup::RestoreArguments),
    /// Look through everything that is stored, also while the server runs, and say what is damaged
    Verify(verify::Arguments),
    /// Write the mail of an account, or of all, as mbox files that any mail program reads
    Export(export::Arguments),
    /// Show what waits for other servers, hold it, let it go, try it again, delete it
    Queue(queue::Arguments),
    /// Print the DNS records that the server needs
    Dns(dns::Arguments),
    /// Say what is wrong with DNS, ports, certificate, keys, disk and queue, and what to type
    Doctor(doctor::Arguments),
    /// Show what other servers report of mail in your name and of connections to you
    Reports(reports::Arguments),
    /// Say what SPF, DKIM, DMARC and ARC tell of a message on standard input
    CheckMessage(check_message::Arguments),
    /// Measure a server, this or any other, by its SMTP and IMAP ports
    Bench(bench::Arguments),
}

/// Which server.
#[derive(Debug, Clone, Args)]
struct Place {
    /// The data directory, which holds the configuration stoa.toml [default: /var/lib/stoa for root
    /// and its owner, else ~/.local/share/stoa]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The configuration, if it is elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    config: Option<PathBuf>,
}

/// Reads the arguments and does what they say.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // Whatever file is made from here on, such as those of the storage engine, is its owner's only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match start(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            // Nobody may be listening; there is nobody else to tell.
            _ = writeln!(std::io::stderr(), "stoa: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_THREADS_MAX);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).max_blocking_threads(DISK_THREADS_MAX).enable_all().build()?;
    runtime.block_on(async {
        let done = match command {
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Init(arguments) => init::run(arguments).await,
            Command::Serve(place) => serve::run(&place).await,
            Command::Account(arguments) => account::run(arguments).await,
            Command::Keys(arguments) => keys::run(arguments).await,
            Command::Queue(arguments) => queue::run(arguments).await,
            Command::Dns(arguments) => dns::run(arguments),
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Restore(arguments) => backup::restore(arguments).await,
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::Export(arguments) => export::run(arguments).await,
            Command::Doctor(arguments) => return doctor::run(arguments).await,
            Command::Reports(arguments) => reports::run(arguments).await,
            Command::CheckMessage(arguments) => check_message::run(arguments).await,
            Command::Bench(arguments) => bench::run(arguments).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    })
}

/// Writes to standard output; a reader that went away, such as `head`, is no error.
fn say(text: &str) {
    _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_can_be_said_and_what_not() {
        for line in GOOD {
            Arguments::try_parse_from(format!("stoa {line}").split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in BAD {
            assert!(Arguments::try_parse_from(format!("stoa {line}").trim().split(' ')).is_err(), "{line}");
        }
    }

    /// Command lines that are understood.
    const GOOD: &[&str] = &[
        "demo",
        "demo --dir d --port-base auto --ready-file f",
        "demo --port-base 0",
        "init john@example.org --dir d",
        "init john@example.org --hostname mail.example.org",
        "init john@example.org --acme",
        "init --acme you@example.net -- john@example.org",
        "init john@example.org --acme you@example.net --dir d",
        "serve",
        "serve --config f",
        "account add john@example.org --generate --dir d",
        "account password john@example.org",
        "account app-password john@example.org phone",
        "account app-password john@example.org --revoke phone",
        "account list --dir d",
        "account forward john@example.org",
        "account forward john@example.org --to j+x@example.net --keep",
        "account forward john@example.org --off",
        "account remove john@example.org",
        "backup dest --dir d",
        "backup dest --keep 1 --full --config f",
        "restore source --dir new --generation 2026-11 --damaged",
        "restore source --dir new --moved",
        "verify --dir d",
        "verify --backup dest --generation 2026-11",
        "export john@example.org dest --dir d",
        "export --all dest",
        "dns --dir d",
        "doctor",
        "doctor --json --port-25 gmail.com --blocklists",
        "doctor --blocklists zen.example,bl.example --dir d",
        "keys list --dir d",
        "keys rotate",
        "keys sign --domain example.org --dir d",
        "keys rotate example.org --dir d",
        "keys switch example.org --force",
        "dns --zone --address 192.0.2.1 --address 2001:db8::1",
        "reports --days 30 --dir d",
        "check-message --ip 192.0.2.7 --helo mx.one.test --mail-from alice@one.test --dns 127.0.0.1:53",
        "bench --ready-file f",
        "bench --smtp 25 --imaps 993 --insecure --user u --password p --to a@b --pid 1 --pid 2 --only reads,changes --json f",
    ];

    /// Command lines that are not.
    const BAD: &[&str] = &[
        "",
        "demo --port-base 70000",
        "demo --port-base x",
        "init",
        "init john",
        "init john@example.org --acme you",
        "serve --dir d --config f",
        "account add john",
        "account forward john@example.org --keep",
        "account forward john@example.org --to postmaster",
        "account forward john@example.org --to a@b --off",
        "account app-password john@example.org",
        "account app-password john@example.org phone --revoke phone",
        "backup",
        "backup dest --keep 0",
        "restore source",
        "export dest",
        "export john@example.org --all dest",
        "export john@example.org",
        "verify --generation 2026-11",
        "verify --dir d --backup dest",
        "reports --days 0",
        "check-message --ip one.test --helo mx.one.test --mail-from alice@one.test",
        "check-message --ip 192.0.2.7 --helo mx.one.test --mail-from alice",
        "bench --only everything",
        "dns --address mail.example.org",
        "bench --ca f --insecure",
        "bench --messages 0",
    ];
}
