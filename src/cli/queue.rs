//! `stoa queue`: what waits for other servers, why, and what a person does about it.
//!
//! Every action is a [`Request`], which either this process carries out in the store or, when the server runs and has the
//! store open, the server does on our behalf (see `control`); there its dispatcher hears of it at once.

mod shown;

use super::config::Config;
use super::home::{Home, return_key};
use super::{Place, control, now, say};
use crate::delivery::governor;
use crate::delivery::{Delivery, Names};
use crate::queue::manage::{self, Which};
use crate::queue::{Handle, Order, Schedule, pause};
use crate::store::{HolderId, Store};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// Why a message is held, in its row.
const REASON: &str = "asked for with `stoa queue hold`";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what waits, and why
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show all that is known of a message
    Show {
        /// As `stoa queue list` shows it
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Try messages now, whatever was said of them before
    Retry {
        #[command(flatten)]
        which: Selection,
        #[command(flatten)]
        place: Place,
    },
    /// Keep messages in the queue until they are released
    Hold {
        #[command(flatten)]
        which: Selection,
        #[command(flatten)]
        place: Place,
    },
    /// Let messages leave that are held; with --account, let a stopped account send again
    Release {
        #[command(flatten)]
        which: Selection,
        #[command(flatten)]
        place: Place,
    },
    /// Take messages out of the queue; their senders are told
    Delete {
        #[command(flatten)]
        which: Selection,
        /// Tell nobody
        #[arg(long)]
        silent: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Let nothing leave for other servers until `stoa queue resume`; mail is still taken, and waits
    Pause {
        #[command(flatten)]
        place: Place,
    },
    /// Let mail leave again after `stoa queue pause`
    Resume {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// A message, as `stoa queue list` shows it
    id: Option<String>,
    /// Messages to this domain
    #[arg(long, value_name = "DOMAIN")]
    to: Option<String>,
    /// Messages that this account sent
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// All messages
    #[arg(long)]
    all: bool,
}

/// Which messages are meant, in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Meant {
    One(String),
    To(String),
    Account(String),
    All,
}

impl From<Selection> for Meant {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection { id: Some(id), .. } => Self::One(id),
            Selection { to: Some(domain), .. } => Self::To(domain),
            Selection { account: Some(address), .. } => Self::Account(address),
            _ => Self::All,
        }
    }
}

/// What is asked of the queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    List,
    Show { id: String },
    Retry { which: Meant },
    Hold { which: Meant },
    Release { which: Meant },
    Delete { which: Meant, silent: bool },
    Pause,
    Resume,
}

/// All that carries a request out.
#[derive(Clone)]
pub(super) struct Desk {
    pub store: Store,
    pub delivery: Delivery,
    pub schedule: Schedule,
    /// The dispatcher, where one runs.
    pub dispatcher: Option<Handle>,
}

impl Desk {
    /// Of a store that no server has open; senders of forwarded mail are told of it all the same.
    fn without_server(config: &Config, store: Store, login_key: &[u8; 32]) -> Self {
        let names = Names { hostname: config.hostname.clone(), domains: config.domains.clone() };
        let delivery = Delivery::new(store.clone(), names).with_return_key(return_key(login_key));
        Self { store, delivery, schedule: config.queue.schedule(), dispatcher: None }
    }
}

#[cfg(test)]
impl Desk {
    /// Of a store in which nothing is sent.
    pub(super) fn quiet(store: Store) -> Self {
        let delivery = Delivery::new(store.clone(), Names { hostname: "mail.example.org".to_owned(), domains: Vec::new() });
        Self { store, delivery, schedule: Schedule::default(), dispatcher: None }
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (request, place) = match arguments.action {
        Action::List { place } => (Request::List, place),
        Action::Show { id, place } => (Request::Show { id }, place),
        Action::Retry { which, place } => (Request::Retry { which: which.into() }, place),
        Action::Hold { which, place } => (Request::Hold { which: which.into() }, place),
        Action::Release { which, place } => (Request::Release { which: which.into() }, place),
        Action::Delete { which, silent, place } => (Request::Delete { which: which.into(), silent }, place),
        Action::Pause { place } => (Request::Pause, place),
        Action::Resume { place } => (Request::Resume, place),
    };
    let config = Config::read(&place.config_file()?)?;
    let home = Home::of(&config)?;
    let request = control::Request::Queue(request);
    let said = match (control::ask(&home.control_socket(), &request).await?, request) {
        (Some(said), _) => said,
        (None, control::Request::Queue(request)) => {
            let store = home.open_store(&(&config.store).into()).await?;
            perform(&Desk::without_server(&config, store, &home.login_key()?), request).await?
        }
        (None, _) => bail!("this is not asked of a queue"),
    };
    say(&said);
    Ok(())
}

/// Carries a request out; gives what to tell the person.
pub(super) async fn perform(desk: &Desk, request: Request) -> anyhow::Result<String> {
    match request {
        Request::List => shown::list(&desk.store, now()).await,
        Request::Show { id } => shown::message(desk, number(&id)?).await,
        Request::Retry { which } => retry(desk, which).await,
        Request::Hold { which } => {
            let (mut done, all) = (0, find(desk, &which).await?);
            for id in &all {
                done += usize::from(manage::hold(&desk.store, *id, REASON, now()).await?);
            }
            Ok(counted(done, all.len(), "held", "was held already"))
        }
        Request::Release { which } => release(desk, which).await,
        Request::Delete { which, silent } => {
            let (mut done, all) = (0, find(desk, &which).await?);
            for id in &all {
                done += usize::from(manage::delete(&desk.store, &desk.delivery, &desk.schedule, *id, silent, now()).await?);
            }
            Ok(counted(done, all.len(), "deleted", "had left meanwhile"))
        }
        Request::Pause => {
            pause::pause(&desk.store, now()).await?;
            tell(desk, Order::Look);
            Ok("Nothing leaves for other servers any more; what is sent waits. `stoa queue resume` lets it go on.".to_owned())
        }
        Request::Resume => {
            pause::resume(&desk.store).await?;
            tell(desk, Order::Look);
            Ok("Mail leaves for other servers again.".to_owned())
        }
    }
}

async fn retry(desk: &Desk, which: Meant) -> anyhow::Result<String> {
    let (mut done, all) = (0, find(desk, &which).await?);
    let domain = if let Meant::To(domain) = &which { Some(domain.to_ascii_lowercase()) } else { None };
    for id in &all {
        done += usize::from(manage::retry(&desk.store, *id, domain.as_deref(), now()).await?);
    }
    tell(desk, Order::Forgive(domain));
    let held = "is held: `stoa queue release` lets it leave";
    Ok(match desk.dispatcher {
        Some(_) => counted(done, all.len(), "tried now", held),
        None => counted(done, all.len(), "tried when the server runs", held),
    })
}

async fn release(desk: &Desk, which: Meant) -> anyhow::Result<String> {
    let mut freed = 0;
    if let Meant::Account(address) = &which {
        freed = governor::release(&desk.store, account(&desk.store, address).await?).await?;
    }
    let all = find(desk, &which).await?;
    for id in &all {
        freed += usize::from(governor::free(&desk.store, *id).await?);
    }
    Ok(match &which {
        Meant::Account(address) => format!("{address} may send again, with a whole budget. {}", counted(freed, freed, "released", "")),
        _ => counted(freed, all.len(), "released", "was not held"),
    })
}

fn tell(desk: &Desk, order: Order) {
    if let Some(dispatcher) = &desk.dispatcher {
        dispatcher.tell(order);
    }
}

async fn find(desk: &Desk, meant: &Meant) -> anyhow::Result<Vec<u64>> {
    let which = match meant {
        Meant::One(id) => Which::One(number(id)?),
        Meant::To(domain) => Which::To(domain.to_ascii_lowercase()),
        Meant::Account(address) => Which::Account(account(&desk.store, address).await?),
        Meant::All => Which::All,
    };
    let found = manage::find(&desk.store, &which).await?;
    if let (Meant::One(id), true) = (meant, found.is_empty()) {
        bail!("there is no message {id} in the queue (any more): `stoa queue list` shows what waits");
    }
    Ok(found)
}

async fn account(store: &Store, address: &str) -> anyhow::Result<HolderId> {
    let found = store.find_address(address).await?;
    found.with_context(|| format!("there is no account {address}: `stoa account list` shows those there are"))
}

fn number(id: &str) -> anyhow::Result<u64> {
    u64::from_str_radix(id, 16).ok().with_context(|| format!("{id} is not the number of a message, such as 00000006a25c0001"))
}

/// Such as `2 messages are held; 1 was held already.`
fn counted(done: usize, all: usize, what: &str, others: &str) -> String {
    let subject = match done {
        0 => "No message is".to_owned(),
        1 => "1 message is".to_owned(),
        n => format!("{n} messages are"),
    };
    match all.saturating_sub(done) {
        0 => format!("{subject} {what}."),
        left => format!("{subject} {what}; {left} {others}."),
    }
}

#[cfg(test)]
mod tests;
