//! Reports of ours on their way to whom they tell something: filed here, or queued for another host.
//!
//! Takes what is to be told and what may go back of the message; gives a [`Filing`] that the caller puts into the change
//! that makes it true. `stoa-report` writes it. Nobody is told anything about a message with the null reverse-path
//! (RFC 3461 §4.3 and RFC 5321 §6.1), and a report has that itself, so that none leads to another.

use super::{Delivery, Intake, PathProof, Received, Resolved};
use crate::store::{BodyReader, Delivery as Filing, Queued, QueuedRecipient, StoreError};
use crate::trust::Trust;
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use stoa_imap::Summary;
use stoa_mime::{header, words};
use stoa_report::{Action, Recipient, Report, Returned, Status, headers_only};
use stoa_smtp::{Address, Envelope, Notify, ReversePath};

/// Of a header that goes back: nobody needs more to recognise a message.
pub const HEADER_RETURNED_BYTES_MAX: u64 = 64 << 10;

/// Whose the reports are, in the domain of whom they tell something if that is ours.
const REPORTER: &str = "mailer-daemon";

/// Reports of success to senders who may be others than they say: enough for people, too few to bother a third one with.
const UNPROVEN_REPORTS_PER_HOUR_MAX: u32 = 60;

/// How many of those went, within the hour of the last.
#[derive(Debug, Default)]
pub(super) struct UnprovenReports(Mutex<(i64, u32)>);

impl UnprovenReports {
    fn may_go(&self, now: i64) -> bool {
        let hour = now.div_euclid(3_600);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = if state.0 == hour { (hour, state.1.saturating_add(1)) } else { (hour, 1) };
        state.1 <= UNPROVEN_REPORTS_PER_HOUR_MAX
    }
}

/// The message that a report is about.
pub struct About<'a> {
    /// Whom to tell.
    pub reverse_path: &'a str,
    /// RFC 3461 ENVID.
    pub envelope_id: Option<&'a str>,
    /// When it came, in seconds since 1970.
    pub arrived: i64,
    /// It was one of RFC 6531.
    pub utf8: bool,
    /// How it begins: its header, unless that is very long.
    pub beginning: &'a [u8],
    /// The message, if all of it goes back, and whether it holds octets above 127.
    pub whole: Option<(&'a BodyReader, bool)>,
}

impl Delivery {
    /// A report that tells this of a message; `None` if there is nobody to tell it.
    pub async fn report(&self, about: &About<'_>, recipients: &[Recipient], now: i64) -> Result<Option<Filing>, StoreError> {
        let Some(to) = Address::parse(about.reverse_path) else { return Ok(None) };
        let domain = self.own_domain(&to);
        // Of what was forwarded it is told to whoever is behind its return address.
        let to = match self.returned(&to, now) {
            Some(Ok(sender)) => sender,
            Some(Err(_)) => return Ok(None),
            None => to,
        };
        let address = to.to_string();
        let about = &About { reverse_path: &address, ..*about };
        let resolved = self.recipient(&to).await?;
        if resolved == Resolved::Unknown || recipients.is_empty() {
            return Ok(None);
        }
        let id = self.new_id(now);
        let is_local = matches!(resolved, Resolved::Local(_));
        let prefix = if is_local { Bytes::from_static(b"Return-Path: <>\r\n") } else { Bytes::new() };
        let (message, eight_bit) = self.write_report(about, recipients, &format!("{REPORTER}@{domain}"), (prefix, id), now).await?;
        let mut filing = Filing { received: now, now, ..message.filing(&Trust::of_stranger()) };
        match resolved {
            Resolved::Local(place) => filing.mailboxes.push(place),
            _ => {
                let whom = vec![QueuedRecipient::new(address.clone(), now)];
                let report = Queued::of(String::new(), Bytes::new(), filing.body.reference(), now, whom);
                let smtputf8 = !address.is_ascii();
                filing.queue = Some((id, Queued { smtputf8, content: eight_bit.into(), signer: Some(domain), ..report }));
            }
        }
        Ok(Some(filing))
    }

    /// RFC 3461 §5.2.1: a report on recipients whose mailboxes are here, where success is to be reported.
    pub(super) async fn report_success(&self, envelope: &Envelope, message: &Received, now: i64) -> Result<Option<Filing>, StoreError> {
        let ReversePath::Address(sender) = &envelope.reverse_path else { return Ok(None) };
        let mut delivered = Vec::new();
        for recipient in &envelope.recipients {
            if matches!(recipient.notify, Some(Notify::On { success: true, .. }))
                && matches!(self.recipient(&recipient.address).await?, Resolved::Local(_))
            {
                delivered.push(of_delivered(recipient));
            }
        }
        // Whoever answers for the author of the message says nothing of its reverse-path.
        let may_go = match message.path {
            PathProof::Proven => true,
            PathProof::Unproven => !delivered.is_empty() && self.unproven.may_go(now),
            PathProof::Denied => false,
        };
        if delivered.is_empty() || !may_go {
            return Ok(None);
        }
        // RFC 3461 §4.3: what tells of no failure returns the header.
        let header = Summary::read(&message.summary).ok().and_then(|summary| summary.header().ok().flatten());
        let about = About {
            reverse_path: &sender.to_string(),
            envelope_id: envelope.envid.as_deref(),
            arrived: now,
            utf8: envelope.smtputf8,
            beginning: header.unwrap_or_default(),
            whole: None,
        };
        self.report(&about, &delivered, now).await
    }

    async fn write_report(
        &self,
        about: &About<'_>,
        recipients: &[Recipient],
        from: &str,
        (prefix, id): (Bytes, u64),
        now: i64,
    ) -> Result<(Received, bool), StoreError> {
        let field = |name: &str| header::fields(about.beginning).find(|field| field.is(name)).map(|field| field.value());
        let subject = field("Subject").map(|value| words::decode(&value));
        let message_id = field("Message-ID").map(|value| String::from_utf8_lossy(&value).into_owned());
        let report = Report {
            reporter: &self.names.hostname,
            from,
            to: about.reverse_path,
            now,
            message_id: &format!("{id:016x}.{:016x}@{}", rand::random::<u64>(), self.names.hostname),
            boundary: &format!("{:032x}", rand::random::<u128>()),
            envelope_id: about.envelope_id,
            arrived: about.arrived,
            subject: subject.as_deref(),
            about: message_id.as_deref(),
            recipients,
            returned: about.whole.map_or(Returned::Header, |(_, eight_bit)| Returned::Message { eight_bit }),
            utf8: about.utf8,
        };
        let mut intake = Intake::new(&self.store, prefix, now);
        intake.push(&report.head()).await?;
        match about.whole {
            Some((whole, _)) => copy(whole, &mut intake).await?,
            None => intake.push(&headers_only(about.beginning, about.utf8)).await?,
        }
        intake.push(&report.tail()).await?;
        Ok((intake.finish().await?, report.is_eight_bit()))
    }

    /// The domain in whose name somebody is told something: their own if that is ours.
    fn own_domain(&self, to: &Address) -> String {
        let own = self.names.domains.iter().find(|own| **own == to.domain);
        own.map_or_else(|| self.names.primary_domain().to_owned(), Clone::clone)
    }
}

fn of_delivered(recipient: &stoa_smtp::Recipient) -> Recipient {
    Recipient {
        address: recipient.address.to_string(),
        original: recipient.orcpt.as_ref().map(|original| format!("{};{}", original.kind, original.address)),
        action: Action::Delivered,
        status: Status(2, 0, 0),
        host: None,
        said: String::new(),
        tried: None,
        until: None,
    }
}

/// The message as it streams by.
async fn copy(from: &BodyReader, to: &mut Intake) -> Result<(), StoreError> {
    let mut at = 0;
    loop {
        let chunk = from.read(at..u64::MAX).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        to.push(&chunk).await?;
        at += chunk.len() as u64;
    }
}
