//! New values of UIDVALIDITY for a store that came from a backup.
//!
//! Messages that came after the backup had UIDs that will be given out once more. RFC 9051 §2.3.1.1 wants another
//! UIDVALIDITY then, or mail programs would show what they remember in place of what is there. The UIDs stay as they are.

use super::engine::{Batch, Engine, Sync};
use super::holders::Holder;
use super::keys::{self, Table};
use super::mailbox_log::Head;
use super::{HolderId, Result, apply, range_all};

/// Accounts read at a time; a tree may be large.
const PAGE: usize = 16;

/// Gives each mailbox a new value at this moment, in seconds since 1970; says how many there were. What cannot be read
/// is left as it is.
pub async fn renew_uid_validity(engine: &dyn Engine, now: i64) -> Result<u64> {
    let mut renewed = 0;
    for (key, row) in range_all(engine, Table::Holders, Vec::new(), &[u8::MAX; 9], PAGE).await? {
        let (Ok(mut tree), Some(holder)) = (Holder::from_bytes(&row), keys::last_u64(&key).map(HolderId)) else { continue };
        tree.renew_uid_validity(now);
        let mut batch = Batch::default();
        for leaf in &tree.mailboxes {
            let key = keys::mailbox(holder, leaf.id);
            let head = engine.get(Table::Mailboxes, &key).await?.and_then(|row| Head::from_bytes(&row).ok());
            if let Some(head) = head {
                batch.put(Table::Mailboxes, key, Head { uid_validity: leaf.uid_validity, ..head }.to_bytes());
                renewed += 1;
            }
        }
        batch.put(Table::Holders, key.to_vec(), tree.to_bytes());
        apply(engine, batch, Sync::Now).await?;
    }
    Ok(renewed)
}
