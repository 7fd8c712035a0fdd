//! Forwarding: mail of an account goes on to another address, and reports about it find their way back.
//!
//! A message is forwarded when it would be filed in the INBOX, which spam is not. Its octets stay as they are, so that
//! signatures stay valid; the return address becomes one of ours that leads back to its sender (`stoa-srs`), unless it is
//! ours already or null, or that of whoever forwards if nothing proves that it is the sender's. Against going round in circles a forwarded message bears a mark of its account (X-Loop), and
//! one that comes back with it is filed, besides the limit of Received fields. Reads addresses of strangers.

use super::{Delivery, PathProof, Received, Resolved, notify_bits};
use crate::store::{Change, HolderId, NoteChange, NoteKind, Place, Queued, QueuedRecipient, Store, StoreError};
use stoa_record::{Reader, RecordError, Writer};
use stoa_smtp::{Address, Envelope, Notify, OriginalRecipient, Recipient, ReversePath};
use stoa_srs::NotOurs;

/// The field with the marks of accounts that forwarded a message.
pub(super) const MARK_FIELD: &str = "X-Loop";

const DAY_SECONDS: i64 = 86_400;

/// Where an account's mail goes on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The other address.
    pub to: String,
    /// The mail is filed here as well.
    pub keep: bool,
}

/// What leaves because of forwards and returns.
#[derive(Debug, Default)]
pub(super) struct Onward {
    /// Whom it goes to.
    pub recipients: Vec<QueuedRecipient>,
    /// Header lines that mark it.
    pub marks: String,
    /// The return address, if another is needed.
    pub reverse_path: Option<String>,
    /// The account that forwards; the last, if there are several.
    account: String,
}

impl Forward {
    fn to_bytes(&self) -> Vec<u8> {
        Writer::new(1).str(1, &self.to).u64(2, self.keep.into()).finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let to = record.str(1)?.ok_or(RecordError::Missing(1))?.to_owned();
        Ok(Self { to, keep: record.u64(2)?.unwrap_or(0) != 0 })
    }
}

/// Where mail of a holder goes on to.
pub async fn forward_of(store: &Store, holder: HolderId) -> Result<Option<Forward>, StoreError> {
    let note = store.note(NoteKind::Forward, &holder.0.to_be_bytes()).await?;
    Ok(note.map(|note| Forward::from_bytes(&note)).transpose()?)
}

/// Has mail of a holder go on to another address, or stay here.
pub async fn set_forward(store: &Store, holder: HolderId, forward: Option<&Forward>) -> Result<(), StoreError> {
    let key = holder.0.to_be_bytes();
    let note = match forward {
        Some(forward) => NoteChange::put(NoteKind::Forward, key, forward.to_bytes()),
        None => NoteChange::remove(NoteKind::Forward, key),
    };
    store.commit(Change::Notes(vec![note])).await.map(drop)
}

impl Delivery {
    /// Who is behind a return address that was made here for forwarded mail; `None` if the address is no such one.
    pub fn returned(&self, address: &Address, now: i64) -> Option<Result<Address, NotOurs>> {
        if !self.names.domains.contains(&address.domain) {
            return None;
        }
        let sender = match self.srs.sender(&address.local, day(now))? {
            Ok(sender) => sender,
            Err(reason) => return Some(Err(reason)),
        };
        // What was made of an address is one, whatever became of the case of its letters.
        Some(address_of(&sender.local, &sender.domain).ok_or(NotOurs::Forged))
    }

    /// What leaves because recipients here forward their mail or are return addresses. Takes the mailboxes out in which
    /// a message is not filed, since it goes on.
    pub(super) async fn onward(
        &self,
        envelope: &Envelope,
        message: &Received,
        mailboxes: &mut Vec<Place>,
        now: i64,
    ) -> Result<Onward, StoreError> {
        let mut onward = Onward::default();
        for recipient in &envelope.recipients {
            if let Some(Ok(sender)) = self.returned(&recipient.address, now) {
                onward.add(&sender, recipient, now);
            }
        }
        for place in mailboxes.clone() {
            let Some(forward) = forward_of(&self.store, place.0).await? else { continue };
            if let Some(target) = self.target(&forward, place, message).await? {
                self.go_on(&forward, (target, place), envelope, (mailboxes, &mut onward), now).await?;
            }
        }
        if !onward.marks.is_empty() {
            onward.reverse_path = self.return_address((&envelope.reverse_path, message.path), &onward.account, now);
        }
        Ok(onward)
    }

    /// The address that a message goes on to; `None` if it is spam, was forwarded from here already, or could not arrive.
    async fn target(&self, forward: &Forward, place: Place, message: &Received) -> Result<Option<Address>, StoreError> {
        let (Some(account), Some(tree)) = (self.store.account(place.0).await?, self.store.holder(place.0).await?) else { return Ok(None) };
        let is_inbox = tree.find("INBOX").is_some_and(|inbox| inbox.id == place.1);
        let mark = self.srs.mark(&account.address);
        let went_round = message.marks.as_ref().is_none_or(|marks| marks.iter().any(|found| found.split('@').next() == Some(&mark)));
        if went_round {
            tracing::warn!(account = account.address, "did not forward a message that was forwarded from here before");
        }
        // Spam lies in the INBOX of an account that has no mailbox for it.
        Ok(Address::parse(&forward.to).filter(|_| is_inbox && !message.is_junk && !went_round))
    }

    async fn go_on(
        &self,
        forward: &Forward,
        (target, place): (Address, Place),
        envelope: &Envelope,
        (mailboxes, onward): (&mut Vec<Place>, &mut Onward),
        now: i64,
    ) -> Result<(), StoreError> {
        match self.recipient(&target).await? {
            // Its own, by another name: there is nowhere to go on to.
            Resolved::Local(other) if other.0 == place.0 => return Ok(()),
            // Another account here: it gets the message as it is, and does not forward it once more.
            Resolved::Local(other) if !mailboxes.contains(&other) => mailboxes.push(other),
            Resolved::Local(_) => {}
            Resolved::Elsewhere => {
                let Some(account) = self.store.account(place.0).await? else { return Ok(()) };
                let original = self.original(envelope, place).await?;
                onward.add(&target, &original, now);
                let mark = self.srs.mark(&account.address);
                onward.marks.push_str(&format!("{MARK_FIELD}: {mark}@{}\r\n", self.names.hostname));
                onward.account = account.address;
            }
            Resolved::Unknown => {
                tracing::error!(to = forward.to, "kept a message that is to be forwarded to an address that nobody has here");
                return Ok(());
            }
        }
        if !forward.keep {
            mailboxes.retain(|other| *other != place);
        }
        Ok(())
    }

    /// The recipient of the envelope that a mailbox stands for.
    async fn original(&self, envelope: &Envelope, place: Place) -> Result<Recipient, StoreError> {
        for recipient in &envelope.recipients {
            if matches!(self.recipient(&recipient.address).await?, Resolved::Local(found) if found.0 == place.0) {
                return Ok(recipient.clone());
            }
        }
        Err(StoreError::Gone)
    }

    /// The path for what an account forwards: reports go to its sender, by way of us. `None` if the path may stay.
    fn return_address(&self, (path, proof): (&ReversePath, PathProof), account: &str, now: i64) -> Option<String> {
        let ReversePath::Address(sender) = path else { return None };
        if proof != PathProof::Proven {
            // A refusal there would go to somebody who may have written nothing. Whoever forwards can do something about it.
            return Some(account.to_owned());
        }
        if self.names.domains.contains(&sender.domain) {
            return None;
        }
        let (_, domain) = account.rsplit_once('@')?;
        let local = self.srs.rewrite(&sender.local, &sender.domain, day(now));
        // Reports to a sender whose address is too long to be carried come to whoever forwards.
        Some(local.and_then(|local| address_of(&local, domain)).map_or_else(|| account.to_owned(), |address| address.to_string()))
    }
}

impl Onward {
    fn add(&mut self, to: &Address, original: &Recipient, now: i64) {
        let address = to.to_string();
        if self.recipients.iter().any(|other| other.address == address) {
            return;
        }
        let known = original.orcpt.as_ref().map(|OriginalRecipient { kind, address }| format!("{kind};{address}"));
        let original_address = known.unwrap_or_else(|| format!("rfc822;{}", original.address));
        let notify = original.notify.as_ref().map_or(0, |notify| notify_bits(&without_success(notify)));
        self.recipients.push(QueuedRecipient { notify, original: Some(original_address), ..QueuedRecipient::new(address, now) });
    }

    /// Does nothing leave?
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty()
    }

    /// What leaves, together with what leaves anyhow. One return address does for both: only accounts send to others, and
    /// theirs stays.
    pub fn join(self, mut leaving: Queued) -> Queued {
        if !self.marks.is_empty() {
            leaving.prefix = [self.marks.as_bytes(), &leaving.prefix].concat().into();
        }
        if let Some(path) = self.reverse_path {
            leaving.reverse_path = path;
        }
        // Verdicts are found by address, so each may be there once.
        let is_new = |recipient: &QueuedRecipient| leaving.recipients.iter().all(|other| other.address != recipient.address);
        let new: Vec<_> = self.recipients.into_iter().filter(is_new).collect();
        leaving.recipients.extend(new);
        leaving
    }
}

/// Success is told when the message comes here.
fn without_success(notify: &Notify) -> Notify {
    match notify {
        Notify::On { failure: false, delay: false, .. } | Notify::Never => Notify::Never,
        Notify::On { failure, delay, .. } => Notify::On { success: false, failure: *failure, delay: *delay },
    }
}

/// An address of these parts, if they can be those of one.
fn address_of(local: &str, domain: &str) -> Option<Address> {
    Address::parse(&Address { local: local.to_owned(), domain: domain.to_owned() }.to_string())
}

fn day(now: i64) -> u32 {
    u32::try_from(now / DAY_SECONDS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::reports::About;
    use crate::delivery::tests::{House, contents, envelope, house, received};
    use crate::trust::Trust;

    const NOW: i64 = 1_800_000_000;

    async fn to(house: &House, to: &str, keep: bool) {
        set_forward(&house.store, house.plato, Some(&Forward { to: to.to_owned(), keep })).await.unwrap();
    }

    /// Delivers a message; gives what was queued for it, and what plato's INBOX holds.
    async fn arrives(house: &House, envelope: &Envelope, trust: &Trust, text: &str) -> (Option<Queued>, Vec<String>) {
        arrives_by(house, envelope, trust, PathProof::Proven, text).await
    }

    async fn arrives_by(house: &House, envelope: &Envelope, trust: &Trust, path: PathProof, text: &str) -> (Option<Queued>, Vec<String>) {
        let message = Received { path, ..received(&house.delivery, envelope, text).await };
        let id = house.delivery.new_id(NOW);
        house.delivery.deliver(id, envelope, trust, message, NOW).await.unwrap();
        let queued = house.store.queued_from(id, 1).await.unwrap();
        (queued.into_iter().next().map(|(_, queued)| queued), contents(&house.store, house.plato, "INBOX").await)
    }

    async fn from_stranger(house: &House, from: &str, text: &str) -> (Option<Queued>, Vec<String>) {
        arrives(house, &envelope(from, &["plato@stoa.example"]), &Trust::of_stranger(), text).await
    }

    #[tokio::test]
    async fn mail_goes_on_with_a_return_address_that_leads_back() {
        let house = house().await;
        to(&house, "plato@academy.example", false).await;
        let (queued, filed) = from_stranger(&house, "crito@athens.example", "From: c@athens.example\nSubject: x\n\nhello\n").await;
        let queued = queued.unwrap();
        assert!(filed.is_empty());
        assert_eq!(queued.recipients.len(), 1);
        let recipient = &queued.recipients[0];
        assert_eq!(
            (recipient.address.as_str(), recipient.original.as_deref()),
            ("plato@academy.example", Some("rfc822;plato@stoa.example"))
        );
        assert_eq!(queued.signer, None, "nobody signs what others wrote");
        let prefix = String::from_utf8(queued.prefix.to_vec()).unwrap();
        assert!(prefix.starts_with("X-Loop: ") && prefix.contains("@mx.stoa.example\r\nReceived: "), "{prefix}");
        assert!(!prefix.lines().next().unwrap().contains("plato"), "who forwards is nobody else's affair");
        let body = house.store.body(bytes::Bytes::new(), &queued.body).await.unwrap().read_all(0..u64::MAX).await.unwrap();
        assert_eq!(body, b"From: c@athens.example\r\nSubject: x\r\n\r\nhello\r\n");

        let back = Address::parse(&queued.reverse_path).unwrap();
        assert_eq!(back.domain, "stoa.example");
        let crito = Address::parse("crito@athens.example").unwrap();
        assert_eq!(house.delivery.returned(&back, NOW), Some(Ok(crito)));
        assert_eq!(house.delivery.returned(&back, NOW + 30 * DAY_SECONDS), Some(Err(NotOurs::Expired)));
        let report = envelope("", &[&queued.reverse_path]);
        let (report, filed) = arrives(&house, &report, &Trust::of_stranger(), "Subject: it failed\n\n").await;
        let report = report.unwrap();
        assert_eq!((report.reverse_path.as_str(), report.recipients[0].address.as_str()), ("", "crito@athens.example"));
        assert!(filed.is_empty() && !String::from_utf8_lossy(&report.prefix).contains("X-Loop"));
    }

    #[tokio::test]
    async fn what_is_kept_and_what_does_not_go_on() {
        let house = house().await;
        to(&house, "plato@academy.example", true).await;
        let (queued, filed) = from_stranger(&house, "", "Subject: 1\n\n").await;
        let queued = queued.unwrap();
        assert_eq!((queued.reverse_path.as_str(), filed.len()), ("", 1), "a report stays one");
        // It comes back as it went.
        let mark = String::from_utf8(queued.prefix.to_vec()).unwrap().lines().next().unwrap().to_owned();
        let (queued, filed) = from_stranger(&house, "a@b.example", &format!("{mark}\nSubject: 2\n\n")).await;
        assert!(queued.is_none() && filed.len() == 2);
        let (queued, _) = from_stranger(&house, "a@b.example", "X-Loop: other@mx.stoa.example\nSubject: 3\n\n").await;
        assert!(queued.is_some());
        // Spam: filed in another mailbox than the INBOX.
        let junk = (house.plato, house.store.holder(house.plato).await.unwrap().unwrap().find("Junk").unwrap().id);
        let envelope = envelope("a@b.example", &["plato@stoa.example"]);
        let message = received(&house.delivery, &envelope, "Subject: 4\n\n").await;
        let onward = house.delivery.onward(&envelope, &message, &mut vec![junk], NOW).await.unwrap();
        assert!(onward.is_empty());
        let inbox = (house.plato, house.store.holder(house.plato).await.unwrap().unwrap().find("INBOX").unwrap().id);
        let spam = Received { is_junk: true, ..message };
        assert!(house.delivery.onward(&envelope, &spam, &mut vec![inbox], NOW).await.unwrap().is_empty(), "nor without such a mailbox");
        set_forward(&house.store, house.plato, None).await.unwrap();
        assert!(from_stranger(&house, "a@b.example", "Subject: 5\n\n").await.0.is_none());
    }

    #[tokio::test]
    async fn another_account_here_gets_it_and_nobody_is_left_without() {
        let house = house().await;
        to(&house, "socrates@stoa.example", false).await;
        set_forward(&house.store, house.socrates, Some(&Forward { to: "plato@stoa.example".to_owned(), keep: false })).await.unwrap();
        let (queued, filed) = from_stranger(&house, "a@b.example", "Subject: 1\n\n").await;
        assert!(queued.is_none() && filed.is_empty());
        assert_eq!(contents(&house.store, house.socrates, "INBOX").await.len(), 1);
        to(&house, "gone@stoa.example", false).await;
        let (queued, filed) = from_stranger(&house, "a@b.example", "Subject: 2\n\n").await;
        assert!(queued.is_none() && filed.len() == 1, "better here than nowhere");
    }

    #[tokio::test]
    async fn mail_that_goes_on_to_another_name_of_the_same_account_stays() {
        let house = house().await;
        to(&house, "plato+later@stoa.example", false).await;
        let (queued, filed) = from_stranger(&house, "a@b.example", "Subject: 1\n\n").await;
        assert!(queued.is_none() && filed.len() == 1, "{filed:?}");
        for (n, own) in ["postmaster@stoa.example", "tls-reports@stoa.example", "Socrates@stoa.example"].into_iter().enumerate() {
            set_forward(&house.store, house.socrates, Some(&Forward { to: own.to_owned(), keep: false })).await.unwrap();
            arrives(&house, &envelope("a@b.example", &["socrates@stoa.example"]), &Trust::of_stranger(), "Subject: 2\n\n").await;
            assert_eq!(contents(&house.store, house.socrates, "INBOX").await.len(), n + 1, "{own}");
        }
    }

    #[tokio::test]
    async fn an_account_of_ours_needs_no_other_return_address_and_a_long_one_gets_the_forwarders() {
        let house = house().await;
        to(&house, "plato@academy.example", false).await;
        let ours = envelope("plato@stoa.example", &["plato@stoa.example", "b@net.example"]);
        let (queued, _) = arrives(&house, &ours, &house.plato().await, "From: plato@stoa.example\n\n").await;
        let queued = queued.unwrap();
        let addresses: Vec<_> = queued.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
        assert_eq!((queued.reverse_path.as_str(), addresses), ("plato@stoa.example", vec!["b@net.example", "plato@academy.example"]));
        assert_eq!(queued.signer.as_deref(), Some("stoa.example"));
        let both = envelope("plato@stoa.example", &["plato@academy.example", "plato@stoa.example"]);
        let (queued, _) = arrives(&house, &both, &house.plato().await, "From: plato@stoa.example\n\n").await;
        assert_eq!(queued.unwrap().recipients.len(), 1, "nobody gets it twice");
        let (queued, _) = from_stranger(&house, &format!("{}@athens.example", "x".repeat(60)), "Subject: 1\n\n").await;
        assert_eq!(queued.unwrap().reverse_path, "plato@stoa.example");
    }

    #[tokio::test]
    async fn reports_about_mail_of_a_sender_whom_nothing_proves_come_to_the_forwarder() {
        let house = house().await;
        to(&house, "plato@academy.example", false).await;
        for path in [PathProof::Unproven, PathProof::Denied] {
            for from in ["victim@bank.example", "socrates@stoa.example"] {
                let envelope = envelope(from, &["plato@stoa.example"]);
                let (queued, _) = arrives_by(&house, &envelope, &Trust::of_stranger(), path, "Subject: x\n\n").await;
                assert_eq!(queued.unwrap().reverse_path, "plato@stoa.example", "{from}, {path:?}");
            }
            let report = envelope("", &["plato@stoa.example"]);
            let (queued, _) = arrives_by(&house, &report, &Trust::of_stranger(), path, "Subject: y\n\n").await;
            assert_eq!(queued.unwrap().reverse_path, "", "{path:?}");
        }
    }

    #[tokio::test]
    async fn a_report_of_ours_about_forwarded_mail_goes_to_its_author() {
        let house = house().await;
        to(&house, "plato@academy.example", false).await;
        let (queued, _) = from_stranger(&house, "crito@athens.example", "Subject: x\n\n").await;
        let path = queued.unwrap().reverse_path;
        let failed = stoa_report::Recipient {
            address: "plato@academy.example".to_owned(),
            original: None,
            action: stoa_report::Action::Failed,
            status: stoa_report::Status(5, 1, 1),
            host: None,
            said: "550 5.1.1 Nobody".to_owned(),
            tried: Some(NOW),
            until: None,
        };
        let about =
            |reverse_path| About { reverse_path, envelope_id: None, arrived: NOW, utf8: false, beginning: b"Subject: x\r\n", whole: None };
        let report = house.delivery.report(&about(&path), std::slice::from_ref(&failed), NOW).await.unwrap().unwrap();
        let (_, queued) = report.queue.unwrap();
        assert_eq!((queued.reverse_path.as_str(), queued.recipients[0].address.as_str()), ("", "crito@athens.example"));
        assert!(report.mailboxes.is_empty());
        let late = house.delivery.report(&about(&path), &[failed], NOW + 40 * DAY_SECONDS).await.unwrap();
        assert!(late.is_none(), "nobody is behind an address that is too old");
    }

    #[test]
    fn success_is_not_told_twice() {
        let on = |success, failure, delay| Notify::On { success, failure, delay };
        for (wanted, onward) in [
            (Notify::Never, Notify::Never),
            (on(true, false, false), Notify::Never),
            (on(true, true, false), on(false, true, false)),
            (on(false, true, true), on(false, true, true)),
        ] {
            assert_eq!(without_success(&wanted), onward);
        }
    }
}
