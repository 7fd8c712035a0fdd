//! Accounts, their names, credentials and mailbox trees, and the single values.

use super::{Harm, PAGE, Verifier, format_of};
use crate::store::accounts::{Account, Credential, fold_address};
use crate::store::holders::Holder;
use crate::store::keys::{self, Table};
use crate::store::{HolderId, Result, StoreError};
use std::collections::HashSet;
use stoa_record::{Reader, RecordError};

impl Verifier<'_> {
    /// The format, without which nothing else means anything, and the other single values.
    pub(super) async fn meta(&mut self) -> Result<()> {
        let mut read = 0;
        let mut rows = self.rows(Table::Meta, PAGE);
        while let Some(page) = self.page(Table::Meta, &mut rows, &mut read).await {
            for (key, row) in page {
                let parsed = match key.as_ref() {
                    keys::FORMAT => match format_of(&row) {
                        Err(StoreError::Record(error)) => Err(error),
                        format => {
                            format?;
                            Ok(())
                        }
                    },
                    keys::COUNTERS | keys::COMMIT => Reader::parse(&row, 1).and_then(|record| record.u64(1)).map(drop),
                    _ => Ok(()),
                };
                if let Err(error) = parsed {
                    let what = format!("the value `{}`", String::from_utf8_lossy(&key));
                    self.unreadable(Table::Meta, &key, &what, &error).await;
                }
            }
        }
        if !self.is_there(Table::Meta, keys::FORMAT).await {
            self.wrong(Harm::Account, "the store does not say in which format it is written", Vec::new());
        }
        Ok(())
    }

    /// Every name leads to an account that has it.
    pub(super) async fn names(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Names, PAGE);
        while let Some(page) = self.page(Table::Names, &mut rows, &mut read).await {
            for (key, row) in page {
                let name = String::from_utf8_lossy(&key).into_owned();
                let holder = keys::last_u64(&row).filter(|_| row.len() == 8).map(HolderId);
                let account = match holder {
                    Some(holder) => self.get(Table::Accounts, &keys::holder(holder)).await,
                    None => None,
                };
                if account.is_none() {
                    self.wrong(Harm::Account, "the address leads to no account: mail to it is refused", vec![name]);
                }
            }
        }
    }

    /// Every account reads, is found by its address, and can log in.
    pub(super) async fn accounts(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Accounts, PAGE);
        let next = self.get(Table::Meta, keys::COUNTERS).await.and_then(|row| Reader::parse(&row, 1).ok()?.u64(1).ok()?);
        while let Some(page) = self.page(Table::Accounts, &mut rows, &mut read).await {
            for (key, row) in page {
                let holder = HolderId(keys::last_u64(&key).unwrap_or(0));
                match Account::from_bytes(holder, &row) {
                    Ok(account) => self.account(&account, next).await,
                    Err(error) => self.unreadable(Table::Accounts, &key, "the account", &error).await,
                }
            }
        }
    }

    async fn account(&mut self, account: &Account, next_holder: Option<u64>) {
        self.counts.accounts += 1;
        let whose = || vec![account.address.clone()];
        let named = self.get(Table::Names, fold_address(&account.address).as_bytes()).await;
        if named.and_then(|row| keys::last_u64(&row)) != Some(account.holder.0) {
            self.wrong(Harm::Account, "the address of this account does not lead to it: it gets no mail and cannot log in", whose());
        }
        if !self.is_there(Table::Holders, &keys::holder(account.holder)).await {
            self.wrong(Harm::Account, "this account has no list of mailboxes", whose());
        }
        let prefix = keys::holder(account.holder);
        let credentials = self.engine.range(Table::Credentials, &prefix, &keys::after(&prefix), 1).await;
        if credentials.is_ok_and(|found| found.is_empty()) {
            self.wrong(Harm::Account, "this account has no password", whose());
        }
        if next_holder.is_none_or(|next| next <= account.holder.0) {
            self.wrong(Harm::Account, "the counter of accounts lies behind this one: the next account would be mixed up with it", whose());
        }
    }

    /// Every credential reads and is an account's.
    pub(super) async fn credentials(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Credentials, PAGE);
        while let Some(page) = self.page(Table::Credentials, &mut rows, &mut read).await {
            for (key, row) in page {
                let credential = Credential::from_key_value(&key, &row);
                let usable = credential.and_then(|found| {
                    let is_whole = found.argon2.starts_with("$argon2") && found.scram_iterations > 0 && key.len() == 16;
                    if is_whole { Ok(found) } else { Err(RecordError::Missing(2)) }
                });
                match usable {
                    Err(error) => self.unreadable(Table::Credentials, &key, "a password", &error).await,
                    Ok(_) => self.owned(&key).await,
                }
            }
        }
    }

    async fn owned(&mut self, credential: &[u8]) {
        let holder = credential.get(..8).unwrap_or_default();
        if !self.is_there(Table::Accounts, holder).await {
            self.wrong(Harm::Room, "a password is of no account", Vec::new());
        }
    }

    /// Every tree reads, names each mailbox once, and each has its head.
    pub(super) async fn holders(&mut self) {
        let mut read = 0;
        let mut rows = self.rows(Table::Holders, PAGE / 8);
        while let Some(page) = self.page(Table::Holders, &mut rows, &mut read).await {
            for (key, row) in page {
                match Holder::from_bytes(&row) {
                    Ok(tree) => self.tree(HolderId(keys::last_u64(&key).unwrap_or(0)), &tree).await,
                    Err(error) => self.unreadable(Table::Holders, &key, "the list of mailboxes", &error).await,
                }
            }
        }
    }

    async fn tree(&mut self, holder: HolderId, tree: &Holder) {
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        for leaf in &tree.mailboxes {
            let whose = format!("{}, {}", self.address(holder).await, leaf.name);
            if !ids.insert(leaf.id) || !names.insert(leaf.name.as_str()) || leaf.id.0 >= tree.next_mailbox {
                self.wrong(Harm::Mailbox, "this mailbox is listed twice, or under a number that was never given out", vec![whose.clone()]);
            }
            if !self.is_there(Table::Mailboxes, &keys::mailbox(holder, leaf.id)).await {
                self.wrong(Harm::Mailbox, "this mailbox is listed and not there", vec![whose]);
            }
        }
        if tree.find("INBOX").is_none() {
            let whose = vec![self.address(holder).await];
            self.wrong(Harm::Account, "there is no INBOX", whose);
        }
        let newest = self.newest_message(holder).await;
        if newest.is_some_and(|newest| newest >= tree.next_message) {
            let whose = vec![self.address(holder).await];
            self.wrong(
                Harm::Account,
                "the counter of messages lies behind the newest: the next ones would take the place of others",
                whose,
            );
        }
    }

    /// The highest number of a holder's messages, sought by halving: numbers ascend, and a range can only be read forwards.
    async fn newest_message(&self, holder: HolderId) -> Option<u64> {
        let end = keys::after(&keys::holder(holder));
        let (mut low, mut high, mut newest) = (0u64, u64::MAX, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let rows = self.engine.range(Table::MessageRefs, &keys::message(holder, middle), &end, 1).await.ok()?;
            match rows.first().and_then(|(key, _)| super::parse_message_ref(key)) {
                Some((_, message, _)) => {
                    newest = Some(message);
                    low = message.checked_add(1)?;
                }
                None => high = middle,
            }
        }
        newest
    }
}
