//! The mailbox tree as a client sees it: listing, finding, making and renaming.

use super::refusals::{refused, unavailable};
use crate::store::{Change, Holder, HolderId, MailboxId, Outcome, Place, SpecialUse, Store};
use std::collections::HashSet;
use std::sync::Arc;
use stoa_imap::{Answer, Mailbox, Refusal, RefusalCode};
use stoa_mailbox::UidSet;

async fn holder(store: &Store, holder: HolderId) -> Result<Holder, Refusal> {
    store.holder(holder).await.map_err(refused)?.ok_or_else(|| unavailable("an account without mailboxes"))
}

/// All mailboxes and all names that are only subscribed, INBOX first, the others by name.
pub(super) async fn mailboxes(store: &Store, id: HolderId) -> Result<Answer, Refusal> {
    let tree = holder(store, id).await?;
    let names: HashSet<&str> = tree.mailboxes.iter().map(|leaf| leaf.name.as_str()).collect();
    let existing = tree.mailboxes.iter().map(|leaf| Mailbox {
        name: leaf.name.clone(),
        special_use: leaf.special_use.map(attribute),
        subscribed: tree.subscriptions.contains(&leaf.name),
        number: Some(leaf.id.0),
    });
    let only_subscribed = tree.subscriptions.iter().filter(|name| !names.contains(name.as_str()));
    let remembered = only_subscribed.map(|name| Mailbox { name: name.clone(), special_use: None, subscribed: true, number: None });
    let mut all: Vec<Mailbox> = existing.chain(remembered).collect();
    all.sort_by(|a, b| (a.name != INBOX, &a.name).cmp(&(b.name != INBOX, &b.name)));
    Ok(Answer::Mailboxes(Arc::new(all)))
}

const INBOX: &str = "INBOX";

/// RFC 6154 §2.
fn attribute(special_use: SpecialUse) -> &'static str {
    match special_use {
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Trash => "\\Trash",
        SpecialUse::Archive => "\\Archive",
    }
}

/// The mailbox of this name and its name.
pub(super) async fn find(store: &Store, id: HolderId, name: &str) -> Result<(Place, String), Refusal> {
    let tree = holder(store, id).await?;
    let missing = || Refusal { code: Some(RefusalCode::NonExistent), text: "There is no such mailbox".into() };
    tree.find(name).map(|leaf| ((id, leaf.id), leaf.name.clone())).ok_or_else(missing)
}

/// The use that an attribute names (RFC 6154 §5.3).
pub(super) fn special_use(name: &str) -> Result<SpecialUse, Refusal> {
    let known = SpecialUse::ALL.into_iter().map(|(special_use, _)| special_use);
    let missing = || Refusal { code: Some(RefusalCode::UseAttr), text: "There are no mailboxes for this use here".into() };
    known.into_iter().find(|special_use| attribute(*special_use).eq_ignore_ascii_case(name)).ok_or_else(missing)
}

/// The change that makes a mailbox.
pub(super) fn create(holder: HolderId, name: String, special_use: Option<SpecialUse>, now: i64) -> Change {
    Change::CreateMailbox { holder, name, special_use, now }
}

/// RFC 3501 §6.3.5: renaming INBOX moves its messages to a new mailbox and leaves it empty.
pub(super) async fn rename(store: &Store, id: HolderId, from: String, to: String, now: i64) -> Result<(), Refusal> {
    if from != INBOX {
        store.commit(Change::RenameMailbox { holder: id, from, to, now }).await.map_err(refused)?;
        return Ok(());
    }
    store.commit(create(id, to.clone(), None, now)).await.map_err(refused)?;
    let target: MailboxId = find(store, id, &to).await?.0.1;
    let source = find(store, id, INBOX).await?.0.1;
    let all = UidSet::from_ranges([1..=u32::MAX]);
    let change = Change::Copy { holder: id, from: source, to: target, uids: all, take: true, now };
    store.commit(change).await.map(|_: Outcome| ()).map_err(refused)
}
