//! The IMAP door: answers a conversation's questions from the server's state.
//!
//! Takes an authenticated conversation's word for what the client wants, and nothing else: every change goes
//! through admission with the account's own rights. Bodies are read and written in chunks, so that a
//! message costs a chunk or two of memory whatever its size. Standards are in `protocols/imap`.

mod append;
#[cfg(test)]
mod model;
mod refusals;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

use super::Services;
use crate::delivery::admit::{Wish, admit, rights};
use crate::net::{Connection, Door, Ended, Outbox, Patience, drive};
use crate::store::{self, Change, MailboxId, Outcome, Place};
use crate::trust::Trust;
use append::Appending;
use refusals::{not_admitted, not_selected, not_signed_in, refused, unavailable};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use stoa_imap::{Answer, Config, Event, Query, Question, Refusal, RefusalCode, Selected, Server, Status};
use stoa_mailbox::{ModSeq, SystemFlag, View};
use tokio::sync::watch;

/// From the first byte to the login: time to type a password, no more.
const LOGIN_SECONDS: u64 = 180;
/// RFC 3501 §5.4 asks for 30 minutes at least; those who IDLE renew after 29 (RFC 2177 §3).
const IDLE_SECONDS: u64 = 35 * 60;
/// A person mistypes twice, a guesser goes on.
const LOGIN_FAILURES_MAX: u32 = 3;

/// Leads one conversation to its end.
pub fn serve(
    services: Arc<Services>,
    connection: Connection,
    tls_available: bool,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = Ended> {
    let config = Config {
        hostname: services.delivery.names().hostname.clone(),
        tls_available,
        tls_on: connection.tls_facts().is_some(),
        auth_nonce: super::nonce(),
        message_bytes_max: services.limits.message_bytes_max,
        login_seconds: LOGIN_SECONDS,
        idle_seconds: IDLE_SECONDS,
        login_failures_max: LOGIN_FAILURES_MAX,
    };
    let door = ImapDoor { peer: connection.peer, services, account: None, open: None, append: None };
    drive(Server::new(config, std::time::Instant::now()), door, connection, shutdown, Patience::default())
}

struct ImapDoor {
    services: Arc<Services>,
    peer: SocketAddr,
    account: Option<Trust>,
    open: Option<Open>,
    append: Option<Appending>,
}

/// The selected mailbox.
struct Open {
    place: Place,
    views: watch::Receiver<Arc<View>>,
    /// Those who may change it claim its `\Recent` messages.
    read_only: bool,
    /// The conversation was told that the mailbox is gone.
    told_gone: bool,
}

type Answered = Result<Answer, Refusal>;

impl Door<Server> for ImapDoor {
    async fn ask(&mut self, question: Question) -> Answer {
        self.answer(question).await.unwrap_or_else(Answer::Refused)
    }

    async fn body(&mut self, chunk: Vec<u8>) {
        if let Some(append) = &mut self.append {
            append.push(&chunk).await;
        }
    }

    async fn stream(&mut self, query: Query, out: &mut Outbox) -> io::Result<Answer> {
        let holder = self.selected().map(|place| place.0).map_err(|refusal| io::Error::other(refusal.text))?;
        stream::write(&self.services.store, holder, query, out).await
    }

    async fn event(&mut self) -> Event {
        match &mut self.open {
            Some(open) if !open.told_gone => match open.views.changed().await {
                Ok(()) => Event::Changed(open.views.borrow_and_update().clone()),
                Err(_) => {
                    open.told_gone = true;
                    Event::Gone
                }
            },
            _ => std::future::pending().await,
        }
    }
}

impl ImapDoor {
    async fn answer(&mut self, question: Question) -> Answered {
        if !matches!(question, Question::Authenticate(_)) {
            self.still_there().await?;
        }
        match question {
            Question::Authenticate(question) => self.authenticate(question).await,
            Question::Refresh => Ok(self.done()),
            Question::Mailboxes => tree::mailboxes(&self.services.store, self.holder()?).await,
            Question::Select { mailbox, read_only } => self.select(&mailbox, read_only).await,
            Question::Unselect => {
                self.let_go().await;
                Ok(Answer::Done(None))
            }
            Question::Status { mailbox, number } => self.status(&mailbox, number).await,
            Question::Vanished { since } => self.vanished(since).await,
            Question::Create { mailbox, special_use } => self.create(mailbox, special_use).await,
            Question::Delete { mailbox } => {
                let (place, name) = self.find(&mailbox).await?;
                self.change_tree(Change::DeleteMailbox { place, name }).await
            }
            Question::Rename { from, to } => {
                tree::rename(&self.services.store, self.holder()?, from, to, super::now()).await?;
                Ok(self.done())
            }
            Question::Subscribe { mailbox, on } => {
                let holder = self.holder()?;
                self.change_tree(Change::Subscribe { holder, name: mailbox, on }).await
            }
            Question::BeginAppend { mailbox, flags, received, .. } => self.begin_append(&mailbox, flags, received).await,
            Question::NextAppend { flags, received, .. } => self.next_append(flags, received).await,
            Question::EndAppend => self.end_append().await,
            Question::AbortAppend => {
                if let Some(append) = self.append.take() {
                    append.discard(&self.services.store).await;
                }
                Ok(self.done())
            }
            Question::Copy { uids, mailbox, take } => {
                let (to, _) = self.find(&mailbox).await.map_err(refusals::try_create)?;
                match self.admit(Wish::Copy { uids, to, take }).await? {
                    Outcome::Copied { uid_validity, from, to } => Ok(Answer::Copied { uid_validity, from, to, view: self.newest() }),
                    _ => Ok(self.done()),
                }
            }
            Question::Store { uids, change, flags, unchanged_since } => {
                match self.admit(Wish::Flag { uids, change, flags, unchanged_since }).await? {
                    Outcome::Stored { modified } => Ok(Answer::Stored { modified, view: self.newest() }),
                    _ => Err(unavailable("a STORE had another outcome")),
                }
            }
            Question::Search { program, numbering, recent_from, order } => {
                let holder = self.selected()?.0;
                let reader = stream::Reader { store: &self.services.store, holder };
                let search = stream::Search { reader, program, numbering, recent_from, now: super::now() };
                search.run(order).await.map_err(|error| unavailable(&error))
            }
            Question::Expunge { uids } => {
                self.admit(Wish::Expunge { uids }).await?;
                Ok(self.done())
            }
        }
    }

    async fn authenticate(&mut self, question: stoa_sasl::Question) -> Answered {
        let answer = self.services.sign_in(question, self.peer.ip(), "imap").await;
        if let stoa_sasl::Answer::Granted { account } | stoa_sasl::Answer::ScramGranted { account, .. } = &answer {
            self.account = self.services.account(account).await.map_err(|error| unavailable(&error))?;
            tracing::info!(peer = %self.peer.ip(), account, "signed in to IMAP");
        }
        Ok(Answer::Authentication(answer))
    }

    /// An account that was removed has no rights any more, in however old a conversation.
    async fn still_there(&self) -> Result<(), Refusal> {
        match self.services.store.account(self.holder()?).await.map_err(refused)? {
            Some(_) => Ok(()),
            None => Err(Refusal { code: Some(RefusalCode::NoPerm), text: "This account was removed".into() }),
        }
    }

    fn actor(&self) -> Result<&Trust, Refusal> {
        self.account.as_ref().ok_or_else(not_signed_in)
    }

    fn holder(&self) -> Result<store::HolderId, Refusal> {
        self.actor()?.account().ok_or_else(not_signed_in)
    }

    /// The mailbox of this name and its name as stored.
    async fn find(&self, mailbox: &str) -> Result<(Place, String), Refusal> {
        tree::find(&self.services.store, self.holder()?, mailbox).await
    }

    /// The newest version of the selected mailbox; what it brings counts as seen, so that no event repeats it.
    fn newest(&mut self) -> Option<Arc<View>> {
        self.open.as_mut().map(|open| open.views.borrow_and_update().clone())
    }

    fn done(&mut self) -> Answer {
        Answer::Done(self.newest())
    }

    /// Which mailbox is selected.
    fn selected(&self) -> Result<Place, Refusal> {
        self.open.as_ref().map(|open| open.place).ok_or_else(not_selected)
    }

    async fn admit(&self, wish: Wish) -> Result<Outcome, Refusal> {
        admit(&self.services.store, self.actor()?, self.selected()?, wish, super::now()).await.map_err(not_admitted)
    }

    async fn change_tree(&mut self, change: Change) -> Answered {
        self.services.store.commit(change).await.map_err(refused)?;
        Ok(self.done())
    }

    async fn select(&mut self, mailbox: &str, read_only: bool) -> Answered {
        self.let_go().await;
        let (place, _) = self.find(mailbox).await?;
        let rights = rights(self.actor()?, place);
        if !rights.read {
            return Err(not_admitted(crate::delivery::admit::NotAdmitted::Forbidden));
        }
        let store = &self.services.store;
        // Read before the view: what comes between the two is shown as recent here, and at most once more elsewhere.
        let recent_from = store.recent_from(place).await.map_err(refused)?;
        let mut views = store.watch(place).await.map_err(refused)?;
        let view = views.borrow_and_update().clone();
        let read_only = read_only || !rights.write;
        self.open = Some(Open { place, views, read_only, told_gone: false });
        if !read_only && recent_from < view.uid_next {
            self.claim_recent(place).await;
        }
        Ok(Answer::Selected(Selected { view, recent_from, read_only, mailbox_id: mailbox_id(place) }))
    }

    async fn vanished(&self, since: ModSeq) -> Answered {
        self.services.store.vanished(self.selected()?, since).await.map(Answer::Vanished).map_err(refused)
    }

    async fn create(&mut self, mailbox: String, special_use: Option<String>) -> Answered {
        let special_use = special_use.map(|attribute| tree::special_use(&attribute)).transpose()?;
        let change = tree::create(self.holder()?, mailbox.clone(), special_use, super::now());
        self.services.store.commit(change).await.map_err(refused)?;
        let (place, _) = self.find(&mailbox).await?;
        Ok(Answer::Created { mailbox_id: mailbox_id(place), view: self.newest() })
    }

    /// Losing a claim shows a message as recent twice, which harms nobody.
    async fn claim_recent(&self, place: Place) {
        if let Err(error) = self.services.store.commit(Change::ClaimRecent { place }).await {
            tracing::debug!(%error, "a claim of recent messages was lost");
        }
    }

    /// Messages that came while the mailbox was open were shown as recent here.
    async fn let_go(&mut self) {
        if let Some(open) = self.open.take()
            && !open.read_only
            && !open.told_gone
            && self.services.store.recent_from(open.place).await.is_ok_and(|from| from < open.views.borrow().uid_next)
        {
            self.claim_recent(open.place).await;
        }
    }

    /// By number where that is known, and else by name.
    async fn status(&self, mailbox: &str, number: Option<u32>) -> Answered {
        let place = match number {
            Some(number) => (self.holder()?, MailboxId(number)),
            None => self.find(mailbox).await?.0,
        };
        let store = &self.services.store;
        let view = store.watch(place).await.map_err(refused)?.borrow().clone();
        let recent_from = store.recent_from(place).await.map_err(refused)?;
        let first_recent = view.position(recent_from).unwrap_or_else(|place| place);
        let with = |flag| view.iter().filter(|entry| entry.flags.has(flag)).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Answer::Status(Status {
            messages: count(view.len()),
            recent: count(view.len() - first_recent),
            unseen: count(view.len() - with(SystemFlag::Seen)),
            deleted: count(with(SystemFlag::Deleted)),
            size: view.iter().map(|entry| u64::from(entry.size)).sum(),
            uid_next: view.uid_next,
            uid_validity: view.uid_validity,
            highest_modseq: view.highest_modseq,
            mailbox_id: mailbox_id(place),
        }))
    }
}

/// RFC 8474 §4: never used for another mailbox, whatever becomes of this one.
fn mailbox_id((holder, mailbox): Place) -> String {
    format!("F{:x}-{:x}", holder.0, mailbox.0)
}
