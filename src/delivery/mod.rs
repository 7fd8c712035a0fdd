//! Delivery: from a recipient's address to a mailbox, in one atomic change per accepted message.
//!
//! Takes a message as it comes ([`Intake`]) and an envelope that a door has checked with it; files the message in
//! every local mailbox and leaves the other recipients to the queue, in one commit. [`admit`] is the one way in
//! which anything comes into a mailbox otherwise. Trusts the doors for who is connected, and nobody else.
//! Standards: RFC 5321 §4.4 (trace), §6.3 (loops); RFC 6409 §6.1 (what a submission may claim), §8 (what is mended in it).

pub mod admit;
mod authserv;
mod drawers;
mod feedback;
pub mod forward;
pub mod governor;
mod header;
mod intake;
mod letter;
mod recipients;
pub mod reports;
mod strangers;
mod training;

pub use drawers::{REPORTS, find, find_or_make};
pub use feedback::{KEPT_DAYS as REPORTS_KEPT_DAYS, reports as reports_since};
pub use intake::{Intake, PathProof, Received, summarize};
pub use recipients::{Names, Resolved};

use crate::store::{BodyRef, Change, Delivery as Filing, HolderId, Place, Queued, QueuedRecipient, Refusal, Store, StoreError};
use crate::trust::{Principal, Trust, doubt};
use bytes::Bytes;
use governor::{Budgets, OverBudget};
use header::Rules;
use reports::UnprovenReports;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stoa_mime::date::{self, Date};
use stoa_smtp::{Address, BodyKind, Envelope, Notify, OriginalRecipient, Recipient, Ret};
use stoa_srs::Srs;

/// In front of the commands that letters and advice print, so that they work as they stand: docs/install.md has the server
/// run as this user.
pub const AS_SERVER: &str = "sudo -u stoa stoa";

/// A message that passed so many servers goes round in circles; RFC 5321 §6.3 asks for 100 at least.
pub const RECEIVED_HOPS_MAX: usize = 100;

/// Bits of a message's number below its second.
const ID_BITS_PER_SECOND: u32 = 28;

/// Bits of them that begin by chance, so that a start within the same second hardly gives a number again.
const ID_CHANCE_BITS: u32 = 24;

/// Messages of one account that come in the same moment are counted one after the other.
const COUNTED_TRIES_MAX: usize = 50;

/// Where mail goes; clones are handles to the same.
#[derive(Clone)]
pub struct Delivery {
    store: Store,
    names: Names,
    budgets: Arc<Budgets>,
    junk_score: Option<i32>,
    last_id: Arc<AtomicU64>,
    srs: Srs,
    unproven: Arc<UnprovenReports>,
}

/// Why a message was not delivered; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum NotDelivered {
    /// See [`RECEIVED_HOPS_MAX`].
    #[error("this message has passed more than {RECEIVED_HOPS_MAX} servers: it goes round in circles")]
    Loop,
    /// RFC 6409 §6.1: its From or Sender is not the account's.
    #[error("{0}, in From or Sender of this message, is not an address of your account; send as an address that you own")]
    ForeignFrom(String),
    /// RFC 5322 §3.6: an account must say who writes.
    #[error("this message has no From; add one with an address of your account")]
    NoFrom,
    /// RFC 5322 §3.6: others may see the one that we do not look at.
    #[error("this message has more than one From, or one that is too long; leave one with an address of your account")]
    UnclearFrom,
    /// A mailbox went away between RCPT and the end of the message.
    #[error("a recipient of this message does not exist any more")]
    RecipientGone,
    /// The account sent too much, and too much of it waits.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Delivery {
    /// Delivers into this store, for these names.
    pub fn new(store: Store, names: Names) -> Self {
        let (srs, budgets) = (Srs::new(rand::random()), Arc::default());
        Self { store, names, budgets, junk_score: None, last_id: Arc::default(), srs, unproven: Arc::default() }
    }

    /// The same, with return addresses of this key, which must stay the same from start to start.
    #[must_use]
    pub fn with_return_key(self, key: [u8; 32]) -> Self {
        Self { srs: Srs::new(key), ..self }
    }

    /// The same, with these limits of what accounts may send.
    #[must_use]
    pub fn with_budgets(self, budgets: Budgets) -> Self {
        Self { budgets: Arc::new(budgets), ..self }
    }

    /// What accounts may send.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What this server is called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Does mail to this address come to the account? Then the account may send in its name.
    pub async fn owns(&self, account: HolderId, address: &Address) -> Result<bool, StoreError> {
        Ok(matches!(self.recipient(address).await?, Resolved::Local(place) if place.0 == account))
    }

    /// Begins to take a message for the recipients of its envelope. `id` is new; `now` in seconds since 1970.
    pub fn intake(&self, id: u64, envelope: &Envelope, now: i64) -> Intake {
        let (name, date) = (format!("{id:016x}"), date::format(Date { seconds: now, offset_minutes: 0 }));
        let trace = trace_prefix(envelope, &self.names.hostname, &name, &date);
        Intake::filtered(&self.store, trace, self.rules(envelope, &name, &date), now)
    }

    /// What is done to a header on its way in. RFC 5321 §4.4: whoever delivers finally may take out an older Return-Path.
    /// RFC 8601 §5: results in our name are ours alone.
    fn rules(&self, envelope: &Envelope, name: &str, date: &str) -> Rules {
        let our_names = std::iter::once(&self.names.hostname).chain(&self.names.domains).map(|name| name.to_lowercase()).collect();
        if envelope.client.account.is_none() {
            return Rules { remove: &["Return-Path", doubt::FIELD], our_names, missing: Vec::new() };
        }
        let message_id = format!("<{name}.{:016x}@{}>", rand::random::<u64>(), self.names.hostname);
        // RFC 6409 §8.2 and §8.3 let these be added; RFC 5322 §3.6.3 and §3.6.6 take blind copies out before sending.
        let missing = vec![("Date", format!("Date: {date}\r\n")), ("Message-ID", format!("Message-ID: {message_id}\r\n"))];
        Rules { remove: &["Return-Path", "Bcc", "Resent-Bcc"], our_names, missing }
    }

    /// Names a message in logs, trace headers and the queue: ascends with time, and two never meet while the server runs.
    pub fn new_id(&self, now: i64) -> u64 {
        let chance = u64::from(rand::random::<u32>() >> (u32::BITS - ID_CHANCE_BITS));
        let candidate = now.cast_unsigned() << ID_BITS_PER_SECOND | chance;
        let next = |last: u64| candidate.max(last.wrapping_add(1));
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    /// Files a message for all recipients of its envelope. `id` is new; `now` in seconds since 1970.
    pub async fn deliver(&self, id: u64, envelope: &Envelope, trust: &Trust, mut message: Received, now: i64) -> Result<(), NotDelivered> {
        if trust.account().is_some() {
            message.path = PathProof::Proven;
        }
        let (mailboxes, elsewhere) = match self.decide(envelope, trust, &message, now).await {
            Ok(decided) => decided,
            Err(reason) => {
                self.store.discard(message.body).await;
                return Err(reason);
            }
        };
        let notes = match trust.account() {
            Some(account) => training::contacts(&self.store, account, &envelope.recipients, now).await,
            None => self.opinions(&mailboxes, trust, now).await,
        };
        let mut filing = Filing { received: now, now, mailboxes, notes, ..message.filing(trust) };
        let onward = match self.onward(envelope, &message, &mut filing.mailboxes, now).await {
            Ok(onward) => onward,
            Err(error) => {
                self.store.discard(message.body).await;
                return Err(error.into());
            }
        };
        if !elsewhere.is_empty() || !onward.is_empty() {
            // Return-Path is for the last server (RFC 5321 §4.4), which is another one here.
            let prefix = message.prefix.slice(message.return_path_bytes..);
            let body = filing.body.reference();
            let leaving = queued(envelope, &elsewhere, prefix, body, now);
            filing.queue = Some((id, onward.join(Queued { signer: signer(trust, &message), account: trust.account(), ..leaving })));
        }
        let report = self.report_success(envelope, &message, now).await?;
        let committed = self.file(filing, report, (trust, &elsewhere), now).await;
        if let Err(NotDelivered::Store(StoreError::Refused(_)) | NotDelivered::OverBudget(_)) = &committed {
            self.store.discard(message.body).await;
        }
        committed
    }

    /// Commits a filing, within the budget of the account that sends it.
    async fn file(
        &self,
        filing: Filing,
        report: Option<Filing>,
        (trust, elsewhere): (&Trust, &[&Recipient]),
        now: i64,
    ) -> Result<(), NotDelivered> {
        let (holder, address) = match trust.principal() {
            Principal::Account(holder, address) if !elsewhere.is_empty() => (holder, address),
            _ => return Ok(self.commit(std::iter::once(filing).chain(report).collect()).await?),
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let counts = (count(elsewhere.len()), count(training::never_written_to(&self.store, *holder, elsewhere).await?));
        for _ in 0..COUNTED_TRIES_MAX {
            let governed = governor::govern(&self.store, &self.budgets, (*holder, address), counts, now).await??;
            let mut filings = vec![filing.clone()];
            filings.iter_mut().for_each(|filing| filing.notes.extend(governed.notes.iter().cloned()));
            for (_, queued) in filings.iter_mut().filter_map(|filing| filing.queue.as_mut()) {
                queued.hold.clone_from(&governed.hold);
            }
            if let Some((subject, text)) = &governed.letter {
                filings.extend(self.letter_to_owner(subject, text, now).await?);
            }
            filings.extend(report.clone());
            match self.commit(filings).await {
                // The account sent another message in the same moment: counted anew.
                Err(StoreError::Refused(Refusal::NoteChanged)) => {}
                other => return Ok(other?),
            }
        }
        Err(StoreError::Busy.into())
    }

    async fn commit(&self, mut filings: Vec<Filing>) -> Result<(), StoreError> {
        let change = match filings.pop() {
            Some(only) if filings.is_empty() => Change::Deliver(Box::new(only)),
            last => Change::DeliverAll(filings.into_iter().chain(last).collect()),
        };
        self.store.commit(change).await.map(drop)
    }

    /// Is the message taken, and where does it go?
    async fn decide<'a>(
        &self,
        envelope: &'a Envelope,
        trust: &Trust,
        message: &Received,
        now: i64,
    ) -> Result<(Vec<Place>, Vec<&'a Recipient>), NotDelivered> {
        if message.hops > RECEIVED_HOPS_MAX {
            return Err(NotDelivered::Loop);
        }
        if let Some(account) = trust.account() {
            self.check_from(account, message).await?;
        }
        let (mailboxes, elsewhere) = self.split(&envelope.recipients, now).await?;
        let mut places = Vec::with_capacity(mailboxes.len());
        for place in mailboxes {
            let is_junk = message.is_junk || self.distrusts(place.0, trust, message.doubt).await?;
            let place = if is_junk { self.junk_beside(place).await? } else { place };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok((places, elsewhere))
    }

    /// Rights are those of the account and not of From, so whoever signed in may write only in names of their own.
    async fn check_from(&self, account: HolderId, message: &Received) -> Result<(), NotDelivered> {
        if message.from_is_unclear {
            return Err(NotDelivered::UnclearFrom);
        }
        if message.from.is_empty() {
            return Err(NotDelivered::NoFrom);
        }
        for from in message.from.iter().chain(&message.senders) {
            let owned = match Address::parse(from) {
                Some(address) => self.owns(account, &address).await?,
                None => false,
            };
            if !owned {
                return Err(NotDelivered::ForeignFrom(from.clone()));
            }
        }
        Ok(())
    }

    /// The mailboxes of local recipients and the recipients elsewhere, each once.
    async fn split<'a>(&self, recipients: &'a [Recipient], now: i64) -> Result<(Vec<Place>, Vec<&'a Recipient>), NotDelivered> {
        let (mut mailboxes, mut elsewhere) = (Vec::new(), Vec::new());
        for recipient in recipients {
            match self.returned(&recipient.address, now) {
                // It goes to whoever is behind it.
                Some(Ok(_)) => continue,
                Some(Err(_)) => return Err(NotDelivered::RecipientGone),
                None => {}
            }
            let resolved = match self.recipient(&recipient.address).await? {
                Resolved::Local((owner, _)) if recipients::is_for_reports(&recipient.address) => {
                    Resolved::Local((owner, find_or_make(&self.store, owner, REPORTS, now).await?))
                }
                resolved => resolved,
            };
            match resolved {
                Resolved::Local(place) if mailboxes.contains(&place) => {}
                Resolved::Local(place) => mailboxes.push(place),
                Resolved::Elsewhere if elsewhere.iter().any(|other: &&Recipient| other.address == recipient.address) => {}
                Resolved::Elsewhere => elsewhere.push(recipient),
                Resolved::Unknown => return Err(NotDelivered::RecipientGone),
            }
        }
        Ok((mailboxes, elsewhere))
    }
}

/// A message for other hosts, as the queue keeps it.
fn queued(envelope: &Envelope, recipients: &[&Recipient], prefix: Bytes, body: BodyRef, now: i64) -> Queued {
    let recipients = recipients.iter().map(|recipient| queued_recipient(recipient, now)).collect();
    Queued {
        ret: ret_number(envelope.ret),
        envelope_id: envelope.envid.clone(),
        smtputf8: envelope.smtputf8,
        content: body_number(envelope.body),
        ..Queued::of(envelope.reverse_path.to_string(), prefix, body, now, recipients)
    }
}

/// The domain whose key signs what this account wrote: that of its From, which the account owns, so that the signature
/// speaks for whom the reader sees, as DMARC asks.
fn signer(trust: &Trust, message: &Received) -> Option<String> {
    trust.account()?;
    Address::parse(message.from.first()?).map(|from| from.domain)
}

fn queued_recipient(recipient: &Recipient, now: i64) -> QueuedRecipient {
    let original = recipient.orcpt.as_ref().map(|OriginalRecipient { kind, address }| format!("{kind};{address}"));
    let notify = recipient.notify.as_ref().map_or(0, notify_bits);
    QueuedRecipient { notify, original, ..QueuedRecipient::new(recipient.address.to_string(), now) }
}

/// As [`QueuedRecipient::notify`] keeps it.
fn notify_bits(notify: &Notify) -> u8 {
    match notify {
        Notify::Never => 1,
        Notify::On { success, failure, delay } => u8::from(*success) << 1 | u8::from(*failure) << 2 | u8::from(*delay) << 3,
    }
}

/// As [`Queued::content`] keeps it.
fn body_number(body: BodyKind) -> u8 {
    match body {
        BodyKind::SevenBit => 0,
        BodyKind::EightBit => 1,
        BodyKind::Binary => 2,
    }
}

/// As [`Queued::ret`] keeps it.
fn ret_number(ret: Option<Ret>) -> u8 {
    match ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    }
}

/// Header lines that this server puts in front of a message: Return-Path, of which the octets are returned, and Received.
fn trace_prefix(envelope: &Envelope, hostname: &str, id: &str, date: &str) -> (Bytes, usize) {
    let mut prefix = stoa_smtp::return_path_header(&envelope.reverse_path);
    let return_path_bytes = prefix.len();
    let only = match envelope.recipients.as_slice() {
        [recipient] => Some(&recipient.address),
        _ => None,
    };
    prefix.extend(stoa_smtp::received_header(envelope, hostname, id, only, date));
    (prefix.into(), return_path_bytes)
}

#[cfg(test)]
pub(crate) mod tests;
