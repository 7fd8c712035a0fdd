//! What each recipient thinks of whoever wrote a message: does it go to Junk, and is it the first letter?
//!
//! The doubts of verification are the same for everybody; an account's own opinion of the sender is added to them. Mail of
//! accounts of this server is nobody's doubt.

use super::{Delivery, Resolved};
use crate::store::{HolderId, NoteChange, Place, StoreError};
use crate::trust::Trust;
use crate::trust::doubt;
use crate::trust::reputation::{Event, Reputation, Sender};
use stoa_smtp::Envelope;

impl Delivery {
    /// From this sum of doubts on a message goes to Junk; without it none does for its doubts.
    pub fn with_junk_score(self, junk_score: i32) -> Self {
        Self { junk_score: Some(junk_score), ..self }
    }

    /// Is this the first letter of its sender to one of its recipients here?
    pub async fn is_first_letter(&self, envelope: &Envelope, trust: &Trust) -> Result<bool, StoreError> {
        let Some(sender) = Sender::of(trust) else { return Ok(false) };
        let reputation = Reputation::new(self.store.clone());
        for recipient in &envelope.recipients {
            if let Resolved::Local(place) = self.recipient(&recipient.address).await?
                && reputation.standing(place.0, &sender).await?.is_stranger()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does this holder want no such mail, with these points of doubt?
    pub(super) async fn distrusts(&self, holder: HolderId, trust: &Trust, points: i32) -> Result<bool, StoreError> {
        let (Some(junk_score), Some(sender)) = (self.junk_score, Sender::of(trust)) else { return Ok(false) };
        let standing = Reputation::new(self.store.clone()).standing(holder, &sender).await?;
        Ok(points.saturating_add(doubt::opinion(&standing)) >= junk_score)
    }

    /// What is remembered of a letter that comes into these mailboxes, in the change that files it. One that goes to Junk
    /// makes nobody known.
    pub(super) async fn opinions(&self, mailboxes: &[Place], trust: &Trust, now: i64) -> Vec<NoteChange> {
        let Some(sender) = Sender::of(trust) else { return Vec::new() };
        let reputation = Reputation::new(self.store.clone());
        let mut notes = Vec::new();
        for place in mailboxes {
            if self.inbox(place.0).await.is_ok_and(|inbox| inbox == Resolved::Local(*place)) {
                notes.extend(reputation.notes(place.0, std::slice::from_ref(&sender), Event::Letter, now).await);
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::Received;
    use crate::delivery::tests::{House, contents, envelope, house, received};
    use crate::trust::Trust;
    use crate::trust::reputation::{Event, Reputation, Sender};

    fn stranger() -> Trust {
        Trust::of_stranger().from_peer("192.0.2.7".parse().unwrap())
    }

    /// Delivers a message with these points of doubt to both accounts; says in whose INBOX it is.
    async fn reaches(house: &House, id: u64, doubt: i32) -> [bool; 2] {
        let envelope = envelope("a@out.example", &["plato@stoa.example", "socrates@stoa.example"]);
        let message = Received { doubt, ..received(&house.delivery, &envelope, &format!("Subject: {id}\n\n")).await };
        house.delivery.deliver(id, &envelope, &stranger(), message, 2_000).await.unwrap();
        let mut found = [false; 2];
        for (holder, found) in [house.plato, house.socrates].into_iter().zip(&mut found) {
            let subject = format!("Subject: {id}\r\n");
            let is_in = |all: Vec<String>| all.iter().any(|text| text.contains(&subject));
            *found = is_in(contents(&house.store, holder, "INBOX").await);
            assert_ne!(*found, is_in(contents(&house.store, holder, "Junk").await), "it is in one of both");
        }
        found
    }

    #[tokio::test]
    async fn each_recipient_has_the_last_word_on_doubtful_mail() {
        let mut house = house().await;
        house.delivery = house.delivery.clone().with_junk_score(6);
        assert_eq!(reaches(&house, 1, 5).await, [true, true]);
        assert_eq!(reaches(&house, 2, 6).await, [false, false]);
        let reputation = Reputation::new(house.store.clone());
        let sender = [Sender::of(&stranger()).unwrap()];
        reputation.remember(house.plato, &sender, Event::Junk, 2_000).await.unwrap();
        reputation.remember(house.socrates, &sender, Event::Wanted, 2_000).await.unwrap();
        assert_eq!(reaches(&house, 3, 3).await, [false, true]);
        assert_eq!(reaches(&house, 4, 10).await, [false, true]);
    }

    #[tokio::test]
    async fn whoever_wrote_once_is_no_stranger_any_more() {
        let house = house().await;
        let envelope = envelope("a@out.example", &["plato@stoa.example"]);
        assert!(house.delivery.is_first_letter(&envelope, &stranger()).await.unwrap());
        reaches(&house, 1, 0).await;
        assert!(!house.delivery.is_first_letter(&envelope, &stranger()).await.unwrap());
        assert!(!house.delivery.is_first_letter(&envelope, &house.plato().await).await.unwrap(), "accounts are known");
    }
}
