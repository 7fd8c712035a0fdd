//! Whose an address is: here, elsewhere, or nobody's.

use super::{Delivery, REPORTS, find};
use crate::store::{HolderId, Place, StoreError};
use stoa_smtp::Address;

/// What this server is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// In greetings and trace headers.
    pub hostname: String,
    /// Mail domains in lower case; the first is the primary one.
    pub domains: Vec<String>,
}

impl Names {
    /// The mail domain that stands for the server.
    pub fn primary_domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

/// What becomes of mail to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// It is filed in this mailbox.
    Local(Place),
    /// The domain is ours, but nobody has this address.
    Unknown,
    /// Another server takes it.
    Elsewhere,
}

/// Between an account's name and whatever its owner likes to add.
const DETAIL_SEPARATOR: char = '+';

/// Addresses that every domain must answer (RFC 5321 §4.5.1, RFC 2142 §4); the owner gets what nobody else does.
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// Where other servers tell what they saw of our domains (RFC 9990, RFC 8460). No account can have these addresses.
const REPORT_ADDRESSES: [&str; 2] = ["dmarc-reports", "tls-reports"];

/// Whether an address of ours is one that takes reports.
pub(super) fn is_for_reports(address: &Address) -> bool {
    REPORT_ADDRESSES.iter().any(|reserved| reserved.eq_ignore_ascii_case(&address.local))
}

impl Delivery {
    /// What becomes of mail to this address.
    pub async fn recipient(&self, address: &Address) -> Result<Resolved, StoreError> {
        let domain = if address.is_bare_postmaster() { self.names.primary_domain() } else { &address.domain };
        if !self.names.domains.iter().any(|own| own == domain) {
            return Ok(Resolved::Elsewhere);
        }
        if is_for_reports(address) {
            return match self.owner().await? {
                Some(owner) => self.reports_of(owner).await,
                None => Ok(Resolved::Unknown),
            };
        }
        match self.account(&address.local, domain).await? {
            Some(holder) => self.inbox(holder).await,
            None => Ok(Resolved::Unknown),
        }
    }

    /// A whole local part is preferred, so that an account may have the separator in its name.
    async fn account(&self, local: &str, domain: &str) -> Result<Option<HolderId>, StoreError> {
        let base = local.split_once(DETAIL_SEPARATOR).map(|(base, _)| base).filter(|base| !base.is_empty());
        for local in [Some(local), base].into_iter().flatten() {
            if let Some(holder) = self.store.find_address(&format!("{local}@{domain}")).await? {
                return Ok(Some(holder));
            }
            if ROLES.iter().any(|role| role.eq_ignore_ascii_case(local)) {
                return self.owner().await;
            }
        }
        Ok(None)
    }

    /// The mailbox for reports, or INBOX until there is one.
    async fn reports_of(&self, owner: HolderId) -> Result<Resolved, StoreError> {
        match find(&self.store, owner, REPORTS).await? {
            Some(mailbox) => Ok(Resolved::Local((owner, mailbox))),
            None => self.inbox(owner).await,
        }
    }

    async fn owner(&self) -> Result<Option<HolderId>, StoreError> {
        let accounts = self.store.accounts().await?;
        Ok(accounts.iter().find(|account| account.owner).map(|account| account.holder))
    }

    pub(super) async fn inbox(&self, holder: HolderId) -> Result<Resolved, StoreError> {
        let tree = self.store.holder(holder).await?;
        let inbox = tree.and_then(|tree| tree.find("INBOX").map(|leaf| leaf.id));
        inbox.map(|id| Resolved::Local((holder, id))).ok_or(StoreError::Damaged("an account has no INBOX"))
    }
}
