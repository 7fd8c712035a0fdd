//! Mailboxes that the server itself files into: found, and made where they are missing.

use super::Delivery;
use crate::store::{Change, HolderId, MailboxId, NameProblem, Place, Refusal, SpecialUse, Store, StoreError};

/// Where reports about the owner's domains go, in the owner's account.
pub const REPORTS: &str = "Reports";

/// A holder's mailbox of this name, which is made and subscribed when it is missing. `now` in seconds since 1970.
pub async fn find_or_make(store: &Store, holder: HolderId, name: &str, now: i64) -> Result<MailboxId, StoreError> {
    if let Some(found) = find(store, holder, name).await? {
        return Ok(found);
    }
    // Subscribed first, since a crash may come between: whoever finds the mailbox need not look whether it is.
    store.commit(Change::Subscribe { holder, name: name.to_owned(), on: true }).await?;
    match store.commit(Change::CreateMailbox { holder, name: name.to_owned(), special_use: None, now }).await {
        Ok(_) | Err(StoreError::Refused(Refusal::Name(NameProblem::Exists))) => {}
        Err(error) => return Err(error),
    }
    find(store, holder, name).await?.ok_or(StoreError::Refused(Refusal::NoMailbox))
}

/// A holder's mailbox of this name.
pub async fn find(store: &Store, holder: HolderId, name: &str) -> Result<Option<MailboxId>, StoreError> {
    let tree = store.holder(holder).await?;
    Ok(tree.and_then(|tree| tree.find(name).map(|leaf| leaf.id)))
}

impl Delivery {
    /// The mailbox for junk of whoever holds this one; the same one, where there is none.
    pub(super) async fn junk_beside(&self, place: Place) -> Result<Place, StoreError> {
        let tree = self.store.holder(place.0).await?.unwrap_or_default();
        let junk = tree.mailboxes.iter().find(|leaf| leaf.special_use == Some(SpecialUse::Junk));
        Ok(junk.map_or(place, |leaf| (place.0, leaf.id)))
    }
}
