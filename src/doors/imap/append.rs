//! APPEND: messages that come in one after the other, and are filed together or not at all (RFC 3502 §3).
//!
//! Each is taken in as it comes. Those that wait for the last hold no part of their bodies in memory, only what was made of
//! them, and that has a limit.

use super::refusals::{self, not_admitted, refused, unavailable};
use super::{Answered, ImapDoor};
use crate::delivery::Intake;
use crate::delivery::admit::{Letter, NotAdmitted, Wish, admit, rights};
use crate::store::{Outcome, Place, Store, StoreError};
use bytes::Bytes;
use stoa_imap::{Answer, Refusal, RefusalCode};
use stoa_mailbox::FlagNames;

/// Summaries of the messages of one command, before they are filed: some hundred of usual size.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages on their way in.
pub(super) struct Appending {
    place: Place,
    /// Whole already.
    waiting: Vec<Letter>,
    held: usize,
    // The one that is coming.
    flags: FlagNames,
    received: i64,
    intake: Result<Intake, StoreError>,
}

impl Appending {
    pub(super) async fn push(&mut self, chunk: &[u8]) {
        if let Ok(intake) = &mut self.intake
            && let Err(error) = intake.push(chunk).await
        {
            self.intake = Err(error);
        }
    }

    /// Forgets all of them.
    pub(super) async fn discard(self, store: &Store) {
        if let Ok(intake) = self.intake {
            intake.discard().await;
        }
        discard_all(store, self.waiting).await;
    }
}

impl ImapDoor {
    pub(super) async fn begin_append(&mut self, mailbox: &str, flags: FlagNames, received: Option<i64>) -> Answered {
        let (place, _) = self.find(mailbox).await.map_err(refusals::try_create)?;
        if !rights(self.actor()?, place).insert {
            return Err(not_admitted(NotAdmitted::Forbidden));
        }
        let now = crate::doors::now();
        let intake = Ok(Intake::new(&self.services.store, Bytes::new(), now));
        self.append = Some(Appending { place, waiting: Vec::new(), held: 0, flags, received: received.unwrap_or(now), intake });
        Ok(Answer::Done(None))
    }

    /// One message is whole, another follows. After a refusal none is held.
    pub(super) async fn next_append(&mut self, flags: FlagNames, received: Option<i64>) -> Answered {
        let append = self.append.take().ok_or_else(nothing_begun)?;
        let now = crate::doors::now();
        let Appending { place, mut waiting, mut held, intake, .. } = append;
        let whole = match intake {
            Ok(intake) => intake.finish_waiting().await,
            Err(error) => Err(error),
        };
        let refusal = match whole {
            Ok(message) => {
                held += message.summary.len();
                waiting.push(Letter { message, flags: append.flags, received: append.received });
                (held > HELD_BYTES_MAX).then(too_many)
            }
            Err(error) => Some(refused(error)),
        };
        let store = &self.services.store;
        if let Some(refusal) = refusal {
            discard_all(store, waiting).await;
            return Err(refusal);
        }
        let intake = Ok(Intake::new(store, Bytes::new(), now));
        self.append = Some(Appending { place, waiting, held, flags, received: received.unwrap_or(now), intake });
        Ok(Answer::Done(None))
    }

    pub(super) async fn end_append(&mut self) -> Answered {
        let Appending { place, waiting: mut letters, flags, received, intake, .. } = self.append.take().ok_or_else(nothing_begun)?;
        let store = &self.services.store;
        let message = match intake {
            Ok(intake) => intake.finish().await,
            Err(error) => Err(error),
        };
        match message {
            Ok(message) => letters.push(Letter { message, flags, received }),
            Err(error) => {
                discard_all(store, letters).await;
                return Err(refused(error));
            }
        }
        match admit(store, self.actor()?, place, Wish::Append(letters), crate::doors::now()).await.map_err(not_admitted)? {
            Outcome::Filed(filed) => {
                let first = filed.first().ok_or_else(|| unavailable("nothing was filed"))?;
                let uids = filed.iter().map(|filed| filed.uid).collect();
                Ok(Answer::Appended { uid_validity: first.uid_validity, uids, view: self.newest() })
            }
            _ => Err(unavailable("filing had another outcome")),
        }
    }
}

async fn discard_all(store: &Store, letters: Vec<Letter>) {
    for letter in letters {
        store.discard(letter.message.body).await;
    }
}

fn nothing_begun() -> Refusal {
    Refusal { code: None, text: "No message was begun".into() }
}

fn too_many() -> Refusal {
    Refusal { code: Some(RefusalCode::Limit), text: "Too many messages at once: send fewer in one command".into() }
}
