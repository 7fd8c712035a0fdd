//! `stoa account`: who may log in.
//!
//! Every change is a [`Request`], which either this process makes in the store or, when the server runs and has the
//! store open, the server makes on our behalf (see `control`). Passwords are made or asked for on this side.

use super::config::Config;
use super::home::Home;
use super::{Place, control, now, say, secrets};
use crate::delivery::forward::{Forward, forward_of, set_forward};
use crate::delivery::{Delivery, Names};
use crate::store::{Account, Change, Credential, HolderId, NewAccount, Outcome, Store, StoreError};
use crate::trust;
use anyhow::{Context, bail};
use clap::{ArgGroup, Subcommand};
use serde::{Deserialize, Serialize};
use stoa_sasl::Secret;
use stoa_smtp::Address;

/// Characters of an app password's name: a device or program.
const NAME_CHARS_MAX: usize = 60;
/// App passwords of one account: each costs every wrong password a hash.
const APP_PASSWORDS_MAX: usize = 25;
/// Local parts that the server answers for, as the RFCs ask (RFC 2142) or as it does by itself.
const RESERVED: [&str; 6] = ["abuse", "dmarc-reports", "mailer-daemon", "postmaster", "stoa", "tls-reports"];
/// The number of an account's own password among its credentials.
const PASSWORD_ID: u64 = 0;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account; asks for its password or reads it from standard input
    Add {
        /// Such as john@example.org
        #[arg(value_parser = address)]
        address: String,
        /// Make up a password and print it
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Set the password of an account
    Password {
        /// Whose
        #[arg(value_parser = address)]
        address: String,
        /// Make up a password and print it
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a password for one device or program, or take it back
    #[command(
        group = ArgGroup::new("what").required(true).args(["name", "revoke"]),
        override_usage = "stoa account app-password [OPTIONS] <ADDRESS> <NAME|--revoke NAME>"
    )]
    AppPassword {
        /// Whose
        #[arg(value_parser = address)]
        address: String,
        /// What the password is for, such as phone
        name: Option<String>,
        /// Take back the app password of this name
        #[arg(long, value_name = "NAME")]
        revoke: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Have mail of an account go on to another address, or show where it goes
    #[command(group = ArgGroup::new("where").args(["to", "off"]))]
    Forward {
        /// Whose
        #[arg(value_parser = address)]
        address: String,
        /// The other address; spam is not forwarded
        #[arg(long, value_name = "OTHER", value_parser = any_address)]
        to: Option<String>,
        /// File it here as well
        #[arg(long, requires = "to")]
        keep: bool,
        /// Do not forward it any more
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show the accounts and their app passwords
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Remove an account; it can neither log in nor get mail any more
    Remove {
        /// Whose
        #[arg(value_parser = address)]
        address: String,
        #[command(flatten)]
        place: Place,
    },
}

/// A change of accounts. Holds passwords, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    Add { address: String, password: String },
    Password { address: String, password: String },
    AppPassword { address: String, name: String, password: String },
    Revoke { address: String, name: String },
    Forward { address: String, to: Option<String>, keep: bool, off: bool },
    List,
    Remove { address: String },
}

/// Checks the grammar of an address on the command line.
pub(super) fn address(text: &str) -> Result<String, String> {
    let good = Address::parse(text).is_some() && text.contains('@') && !text.contains(['"', '[', '+']);
    if good { Ok(text.to_owned()) } else { Err("this must be an address such as john@example.org, without + and quotes".to_owned()) }
}

/// The same of one elsewhere, which may be of any form.
fn any_address(text: &str) -> Result<String, String> {
    let good = Address::parse(text).is_some_and(|address| !address.is_bare_postmaster());
    if good { Ok(text.to_owned()) } else { Err("this must be an address such as john@example.net".to_owned()) }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::Add { address, generate, place } => {
            let (password, text) = password(generate)?;
            ask(&place, Request::Add { address, password: text }).await?;
            show(password);
        }
        Action::Password { address, generate, place } => {
            let (password, text) = password(generate)?;
            ask(&place, Request::Password { address, password: text }).await?;
            show(password);
        }
        Action::AppPassword { address, name: Some(name), place, .. } => {
            let (password, text) = password(true)?;
            ask(&place, Request::AppPassword { address, name, password: text }).await?;
            show(password);
        }
        Action::AppPassword { address, revoke, place, .. } => {
            ask(&place, Request::Revoke { address, name: revoke.unwrap_or_default() }).await?;
        }
        Action::Forward { address, to, keep, off, place } => ask(&place, Request::Forward { address, to, keep, off }).await?,
        Action::List { place } => ask(&place, Request::List).await?,
        Action::Remove { address, place } => ask(&place, Request::Remove { address }).await?,
    }
    Ok(())
}

/// A generated password that will have to be shown, or one that the person knows.
fn password(generate: bool) -> anyhow::Result<(Option<Secret>, String)> {
    let password = if generate { trust::generate_password() } else { secrets::new_password()? };
    let text = password.reveal().to_owned();
    Ok((generate.then_some(password), text))
}

fn show(generated: Option<Secret>) {
    if let Some(password) = generated {
        say(&format!("Its password, which is shown only now: {}", password.reveal()));
    }
}

/// Has the change made by whoever has the store open.
async fn ask(place: &Place, request: Request) -> anyhow::Result<()> {
    let config = Config::read(&place.config_file()?)?;
    let home = Home::of(&config)?;
    let request = control::Request::Account(request);
    let said = match (control::ask(&home.control_socket(), &request).await?, request) {
        (None, control::Request::Account(request)) => {
            perform(&home.open_store(&(&config.store).into()).await?, &config.domains, request).await?
        }
        (said, _) => said.unwrap_or_default(),
    };
    say(&said);
    Ok(())
}

/// Makes the change; gives what to tell the person.
pub(super) async fn perform(store: &Store, domains: &[String], request: Request) -> anyhow::Result<String> {
    match request {
        Request::Add { address, password } => {
            add(store, domains, &address, &Secret::new(password), false).await?;
            Ok(format!("{address} is an account now."))
        }
        Request::Password { address, password } => {
            let account = find(store, &address).await?;
            put(store, &account, PASSWORD_ID, "", &Secret::new(password)).await?;
            Ok(format!("{address} has a new password; app passwords stay as they are."))
        }
        Request::AppPassword { address, name, password } => {
            let account = find(store, &address).await?;
            let id = new_app_password(store, &account, &name).await?;
            put(store, &account, id, &name, &Secret::new(password)).await?;
            Ok(format!("{address} has an app password for {name}."))
        }
        Request::Revoke { address, name } => {
            let account = find(store, &address).await?;
            revoke(store, &account, &name).await?;
            Ok(format!("The app password for {name} is taken back."))
        }
        Request::Forward { address, to, keep, off } => {
            if let Some(to) = &to {
                check_target(store, domains, &address, to).await?;
            }
            forward(store, &address, to, keep, off).await
        }
        Request::List => list(store).await,
        Request::Remove { address } => remove(store, &address).await,
    }
}

/// Makes an account.
pub(super) async fn add(store: &Store, domains: &[String], address: &str, password: &Secret, owner: bool) -> anyhow::Result<HolderId> {
    let (local, domain) = address.rsplit_once('@').context("an address has an @")?;
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(local)) {
        bail!("{address} is reserved: mail to it is the owner's or the server's own");
    }
    if !domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain)) {
        bail!("{domain} is not a mail domain of this server, which has {}: add it to `domains` in the configuration", domains.join(", "));
    }
    let account = NewAccount { address: address.to_owned(), owner, now: now() };
    let password = trust::new_credential(password, PASSWORD_ID, "", &[], now()).await;
    match store.commit(Change::CreateAccount { account, password }).await {
        Ok(Outcome::Holder(holder)) => Ok(holder),
        Ok(other) => bail!("the store answered {other:?}"),
        Err(StoreError::Refused(refusal)) => bail!("cannot make {address}: {refusal}"),
        Err(error) => Err(error.into()),
    }
}

/// Sets the password of an account.
pub(super) async fn set_password(store: &Store, address: &str, password: &Secret) -> anyhow::Result<()> {
    put(store, &find(store, address).await?, PASSWORD_ID, "", password).await
}

async fn put(store: &Store, account: &Account, id: u64, name: &str, password: &Secret) -> anyhow::Result<()> {
    let holder = account.holder;
    let existing = store.credentials(holder).await?;
    let credential = trust::new_credential(password, id, name, &existing, now()).await;
    store.commit(Change::PutCredential { holder, credential }).await?;
    Ok(())
}

/// The account of an address.
pub(super) async fn find(store: &Store, address: &str) -> anyhow::Result<Account> {
    let holder = store.find_address(address).await?;
    let account = match holder {
        Some(holder) => store.account(holder).await?,
        None => None,
    };
    account.with_context(|| format!("there is no account {address}: `stoa account list` shows those there are"))
}

/// The number of a new app password; its name must be new too.
async fn new_app_password(store: &Store, account: &Account, name: &str) -> anyhow::Result<u64> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        bail!("an app password has a name of 1 to {NAME_CHARS_MAX} characters, such as phone");
    }
    let existing = store.credentials(account.holder).await?;
    if existing.iter().any(|credential| credential.name == name) {
        bail!("{} has an app password for {name} already: revoke it first, or choose another name", account.address);
    }
    if existing.len() > APP_PASSWORDS_MAX {
        bail!("{} has {APP_PASSWORDS_MAX} app passwords, which is the limit: revoke one first", account.address);
    }
    Ok(existing.iter().map(|credential| credential.id).max().unwrap_or(PASSWORD_ID) + 1)
}

async fn revoke(store: &Store, account: &Account, name: &str) -> anyhow::Result<()> {
    let existing = store.credentials(account.holder).await?;
    let found = existing.iter().find(|credential| !credential.is_password() && credential.name == name);
    let found = found.with_context(|| format!("{} has no app password for {name}: `stoa account list` shows them", account.address))?;
    store.commit(Change::RemoveCredential { holder: account.holder, credential: found.id }).await?;
    Ok(())
}

async fn list(store: &Store) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for account in store.accounts().await? {
        lines.push(format!("{}{}", account.address, if account.owner { " (owner)" } else { "" }));
        let names = store.credentials(account.holder).await?;
        lines.extend(names.iter().filter(|name| !name.is_password()).map(app_password));
    }
    Ok(if lines.is_empty() { "There are no accounts.".to_owned() } else { lines.join("\n") })
}

fn app_password(credential: &Credential) -> String {
    let day = jiff::Timestamp::from_second(credential.created).unwrap_or_default().strftime("%Y-%m-%d");
    format!("  app password for {}, made {day}", credential.name)
}

/// Mail that went on to the account it comes from would go nowhere.
async fn check_target(store: &Store, domains: &[String], address: &str, to: &str) -> anyhow::Result<()> {
    let account = find(store, address).await?;
    let names = Names { hostname: String::new(), domains: domains.to_vec() };
    let target = Address::parse(to).with_context(|| format!("{to} is not an address, such as john@example.net"))?;
    if Delivery::new(store.clone(), names).owns(account.holder, &target).await? {
        bail!("{to} leads to the account itself: name another address, or --off to end forwarding");
    }
    Ok(())
}

async fn forward(store: &Store, address: &str, to: Option<String>, keep: bool, off: bool) -> anyhow::Result<String> {
    let account = find(store, address).await?;
    if let Some(to) = to {
        set_forward(store, account.holder, Some(&Forward { to, keep })).await?;
    } else if off {
        set_forward(store, account.holder, None).await?;
    }
    Ok(match forward_of(store, account.holder).await? {
        None => format!("Mail of {address} is filed here and not forwarded."),
        Some(Forward { to, keep: true }) => format!("Mail of {address} is filed here and goes on to {to}."),
        Some(Forward { to, keep: false }) => format!("Mail of {address} goes on to {to} and is not filed here, but for spam."),
    })
}

async fn remove(store: &Store, address: &str) -> anyhow::Result<String> {
    let account = find(store, address).await?;
    if account.owner {
        bail!("{address} is the owner of this server and cannot be removed");
    }
    store.commit(Change::RemoveAccount { account }).await?;
    Ok(format!("{address} is not an account any more."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use std::sync::Arc;

    async fn done(store: &Store, request: Request) -> String {
        perform(store, &["example.org".to_owned()], request).await.unwrap_or_else(|error| error.to_string())
    }

    #[tokio::test]
    async fn accounts_come_and_go() {
        let store = Store::open(Arc::new(Memory::new())).await.unwrap();
        let password = || "correct horse".to_owned();
        let john = || "john@example.org".to_owned();
        let phone = || "phone".to_owned();
        let forward = |to: Option<&str>, keep, off| Request::Forward { address: john(), to: to.map(str::to_owned), keep, off };
        let cases = [
            (Request::List, "There are no accounts."),
            (Request::Password { address: john(), password: password() }, "there is no account john@example.org"),
            (Request::Add { address: john(), password: password() }, "is an account now"),
            (Request::Add { address: john(), password: password() }, "the address is taken"),
            (Request::Add { address: "john@example.com".to_owned(), password: password() }, "not a mail domain"),
            (Request::Add { address: "Postmaster@example.org".to_owned(), password: password() }, "reserved"),
            (Request::AppPassword { address: john(), name: phone(), password: password() }, "has an app password for phone"),
            (Request::AppPassword { address: john(), name: phone(), password: password() }, "already"),
            (Request::AppPassword { address: john(), name: String::new(), password: password() }, "1 to 60"),
            (Request::List, "john@example.org\n  app password for phone"),
            (forward(None, false, false), "not forwarded"),
            (forward(Some("john@example.net"), true, false), "is filed here and goes on to john@example.net"),
            (forward(Some("j.d@example.net"), false, false), "goes on to j.d@example.net and is not filed"),
            (forward(None, false, false), "goes on to j.d@example.net"),
            (forward(Some("John@example.ORG"), false, false), "the account itself"),
            (forward(Some("john+later@example.org"), true, false), "the account itself"),
            (forward(Some("john@"), false, false), "is not an address"),
            (forward(None, false, true), "not forwarded"),
            (Request::Revoke { address: john(), name: phone() }, "taken back"),
            (Request::Revoke { address: john(), name: phone() }, "no app password for phone"),
            (Request::Revoke { address: john(), name: String::new() }, "no app password"),
            (Request::Remove { address: john() }, "not an account any more"),
            (Request::List, "There are no accounts."),
        ];
        for (n, (request, want)) in cases.into_iter().enumerate() {
            let said = done(&store, request).await;
            assert!(said.contains(want), "{n}: {said}");
        }
    }

    #[tokio::test]
    async fn the_owner_stays() {
        let store = Store::open(Arc::new(Memory::new())).await.unwrap();
        let password = Secret::new("correct horse".to_owned());
        add(&store, &["example.org".to_owned()], "john@example.org", &password, true).await.unwrap();
        assert!(done(&store, Request::Remove { address: "JOHN@example.org".to_owned() }).await.contains("owner"));
        assert!(done(&store, Request::List).await.contains("john@example.org (owner)"));
    }
}
