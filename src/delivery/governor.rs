//! The governor: how much an account may send to other hosts, so that a stolen password makes nobody a spammer.
//!
//! Counts messages, recipients and first-time recipients by hour and by day, for each account and for all together, in
//! notes that are written in the commit that accepts the message; so a restart forgets nothing. An account that goes
//! past its budget, or of whose mail most fails, is stopped: its mail is still accepted but held in the queue, and the
//! owner gets one letter that says so. Only a person lets it go on. Mail to our own mailboxes is not counted.
//!
//! | account | how its note says it | guarantee |
//! |---|---|---|
//! | free | no `stopped` | what it sends is counted in the commit that accepts it |
//! | stopped | `stopped`, written with the held message and the letter in one commit | nothing of it leaves until [`release`] |

use super::AS_SERVER;
use crate::store::{Change, Hold, HoldReason, HolderId, NoteChange, NoteKind, Queued, Store, StoreError};
use bytes::Bytes;
use stoa_record::{Reader, RecordError, Writer};

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// Of [`NoteKind::Budget`]: what all accounts sent together.
const SERVER_KEY: &[u8] = b"server";
/// Queued messages read at a time.
const PAGE: usize = 256;

/// How much may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Messages within an hour of the clock.
    pub messages_per_hour: u32,
    /// Messages within a day (UTC).
    pub messages_per_day: u32,
    /// Recipients within an hour of the clock.
    pub recipients_per_hour: u32,
    /// Recipients within a day.
    pub recipients_per_day: u32,
}

/// All limits of the governor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// Of each account.
    pub account: Budget,
    /// Of all accounts together.
    pub server: Budget,
    /// Recipients of an account within a day whom it never wrote to.
    pub new_recipients_per_day: u32,
    /// Recipients of an account that fail within an hour before it is asked whether most of them do.
    pub failures_per_hour: u32,
    /// Messages of a stopped account that are still accepted.
    pub held_max: u32,
}

impl Default for Budgets {
    /// A person's server: far more than a person writes, far less than is worth stealing.
    fn default() -> Self {
        let account = Budget { messages_per_hour: 100, messages_per_day: 500, recipients_per_hour: 300, recipients_per_day: 1_000 };
        let server = Budget { messages_per_hour: 300, messages_per_day: 2_000, recipients_per_hour: 1_000, recipients_per_day: 5_000 };
        Self { account, server, new_recipients_per_day: 200, failures_per_hour: 20, held_max: 200 }
    }
}

impl Budgets {
    /// No limits.
    pub fn unlimited() -> Self {
        let most = u32::MAX;
        let budget = Budget { messages_per_hour: most, messages_per_day: most, recipients_per_hour: most, recipients_per_day: most };
        Self { account: budget.clone(), server: budget, new_recipients_per_day: most, failures_per_hour: most, held_max: most }
    }
}

/// What was sent, within the hour and the day of the last message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    hour: i64,
    messages_in_hour: u32,
    recipients_in_hour: u32,
    delivered_in_hour: u32,
    failed_in_hour: u32,
    day: i64,
    messages_in_day: u32,
    recipients_in_day: u32,
    new_in_day: u32,
    stopped: Option<Stop>,
    /// Messages that were accepted since it was stopped.
    held: u32,
}

/// Why nothing of an account leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The kind of reason.
    pub why: HoldReason,
    /// What was exceeded, in words.
    pub text: String,
    /// Seconds since 1970.
    pub since: i64,
}

impl Stop {
    /// What holds a message of the account.
    pub fn hold(&self, now: i64) -> Hold {
        Hold { why: self.why, reason: self.text.clone(), since: now }
    }
}

impl Tally {
    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = Reader::parse(bytes, 1)?;
        let count = |field| record.u32(field).map(Option::unwrap_or_default);
        let stopped = record.str(11)?.map(|text| -> Result<Stop, RecordError> {
            let why = if record.u64(10)? == Some(HoldReason::Failures as u64) { HoldReason::Failures } else { HoldReason::Budget };
            Ok(Stop { why, text: text.to_owned(), since: record.i64(12)?.unwrap_or(0) })
        });
        Ok(Self {
            hour: record.i64(1)?.unwrap_or(0),
            messages_in_hour: count(2)?,
            recipients_in_hour: count(3)?,
            delivered_in_hour: count(4)?,
            failed_in_hour: count(5)?,
            day: record.i64(6)?.unwrap_or(0),
            messages_in_day: count(7)?,
            recipients_in_day: count(8)?,
            new_in_day: count(9)?,
            stopped: stopped.transpose()?,
            held: count(13)?,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let record = Writer::new(1)
            .i64(1, self.hour)
            .u64(2, self.messages_in_hour.into())
            .u64(3, self.recipients_in_hour.into())
            .u64(4, self.delivered_in_hour.into())
            .u64(5, self.failed_in_hour.into())
            .i64(6, self.day)
            .u64(7, self.messages_in_day.into())
            .u64(8, self.recipients_in_day.into())
            .u64(9, self.new_in_day.into())
            .u64(13, self.held.into());
        match &self.stopped {
            Some(stop) => record.u64(10, stop.why as u64).str(11, &stop.text).i64(12, stop.since).finish(),
            None => record.finish(),
        }
    }

    /// Why nothing of the account leaves, if nothing does.
    pub fn stopped(&self) -> Option<&Stop> {
        self.stopped.as_ref()
    }

    /// A new hour or day counts anew.
    fn turn_to(&mut self, now: i64) {
        let (hour, day) = (now.div_euclid(HOUR_SECONDS), now.div_euclid(DAY_SECONDS));
        if self.hour != hour {
            (self.hour, self.messages_in_hour, self.recipients_in_hour) = (hour, 0, 0);
            (self.delivered_in_hour, self.failed_in_hour) = (0, 0);
        }
        if self.day != day {
            (self.day, self.messages_in_day, self.recipients_in_day, self.new_in_day) = (day, 0, 0, 0);
        }
    }

    fn count_message(&mut self, recipients: u32, new: u32, now: i64) {
        self.turn_to(now);
        for (count, more) in [
            (&mut self.messages_in_hour, 1),
            (&mut self.messages_in_day, 1),
            (&mut self.recipients_in_hour, recipients),
            (&mut self.recipients_in_day, recipients),
            (&mut self.new_in_day, new),
        ] {
            *count = count.saturating_add(more);
        }
    }

    /// The first limit of a budget that is exceeded, in words.
    fn over(&self, budget: &Budget) -> Option<String> {
        let table = [
            (self.messages_in_hour, budget.messages_per_hour, "messages within an hour"),
            (self.messages_in_day, budget.messages_per_day, "messages within a day"),
            (self.recipients_in_hour, budget.recipients_per_hour, "recipients within an hour"),
            (self.recipients_in_day, budget.recipients_per_day, "recipients within a day"),
        ];
        table.iter().find(|(count, limit, _)| count > limit).map(|(_, limit, what)| format!("more than {limit} {what}"))
    }
}

/// What the governor says of a message.
#[derive(Debug, PartialEq, Eq)]
enum Ruling {
    /// It leaves.
    Free,
    /// It waits, since its account was stopped before.
    Held(Stop),
    /// It waits, and its account is stopped with it.
    Stops(Stop),
    /// It is not even held: so many wait.
    Refused(u32),
}

/// Counts a message, and decides. Pure.
fn rule(account: &mut Tally, server: &mut Tally, budgets: &Budgets, (recipients, new): (u32, u32), now: i64) -> Ruling {
    if let Some(stop) = account.stopped.clone() {
        if account.held >= budgets.held_max {
            return Ruling::Refused(budgets.held_max);
        }
        account.held = account.held.saturating_add(1);
        return Ruling::Held(stop);
    }
    account.count_message(recipients, new, now);
    let of_account = account.over(&budgets.account);
    let of_new = || {
        let limit = budgets.new_recipients_per_day;
        (account.new_in_day > limit).then(|| format!("more than {limit} recipients within a day whom the account never wrote to"))
    };
    let of_server = |server: &mut Tally| {
        server.count_message(recipients, 0, now);
        server.over(&budgets.server).map(|what| format!("{what} from all accounts together"))
    };
    match of_account.or_else(of_new).or_else(|| of_server(server)) {
        Some(text) => Ruling::Stops(stop(account, HoldReason::Budget, text, now)),
        None => Ruling::Free,
    }
}

fn stop(account: &mut Tally, why: HoldReason, text: String, now: i64) -> Stop {
    let stop = Stop { why, text, since: now };
    (account.stopped, account.held) = (Some(stop.clone()), 1);
    stop
}

/// Counts what came of recipients, and says whether the account is stopped by it. Pure.
fn rule_failures(account: &mut Tally, budgets: &Budgets, (delivered, failed): (u32, u32), now: i64) -> Option<Stop> {
    account.turn_to(now);
    account.delivered_in_hour = account.delivered_in_hour.saturating_add(delivered);
    account.failed_in_hour = account.failed_in_hour.saturating_add(failed);
    let (delivered, failed) = (account.delivered_in_hour, account.failed_in_hour);
    if account.stopped.is_some() || failed < budgets.failures_per_hour || failed <= delivered {
        return None;
    }
    let text = format!("other servers refused {failed} of its {} recipients within an hour", failed.saturating_add(delivered));
    Some(stop(account, HoldReason::Failures, text, now))
}

/// What is to be done with a message of an account, all in the commit that accepts it or records it.
#[derive(Debug, Default)]
pub struct Governed {
    /// It waits for a person.
    pub hold: Option<Hold>,
    /// What was counted; refused if somebody else counted meanwhile.
    pub notes: Vec<NoteChange>,
    /// The account was stopped by it: the owner is told this, subject and text.
    pub letter: Option<(String, String)>,
}

/// Of a message that is not even held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this account sent more than it may, and {0} of its messages wait for the owner of this server already: ask the owner to release them"
)]
pub struct OverBudget(pub u32);

/// Says what becomes of a message to so many recipients elsewhere, of whom some are new to the account.
pub(super) async fn govern(
    store: &Store,
    budgets: &Budgets,
    (holder, address): (HolderId, &str),
    counts: (u32, u32),
    now: i64,
) -> Result<Result<Governed, OverBudget>, StoreError> {
    let (account_read, server_read) = (store.note(NoteKind::Budget, &key(holder)).await?, store.note(NoteKind::Budget, SERVER_KEY).await?);
    let (mut account, mut server) = (tally(account_read.as_ref())?, tally(server_read.as_ref())?);
    let server_before = server.clone();
    let ruling = rule(&mut account, &mut server, budgets, counts, now);
    let mut governed = Governed { notes: vec![note(key(holder), &account, account_read)], ..Governed::default() };
    if server != server_before {
        governed.notes.push(note(SERVER_KEY.to_vec(), &server, server_read));
    }
    match ruling {
        Ruling::Free => {}
        Ruling::Held(stop) => governed.hold = Some(stop.hold(now)),
        Ruling::Stops(stop) => {
            tracing::warn!(account = address, why = stop.text, "an account is stopped: its mail is held");
            governed.hold = Some(stop.hold(now));
            governed.letter = Some(letter(address, &stop));
        }
        Ruling::Refused(held) => return Ok(Err(OverBudget(held))),
    }
    Ok(Ok(governed))
}

/// Counts what came of recipients of an account's message; stops the account if most of its mail fails.
pub async fn count_results(
    store: &Store,
    budgets: &Budgets,
    holder: HolderId,
    counts: (u32, u32),
    now: i64,
) -> Result<Governed, StoreError> {
    let Some(known) = store.account(holder).await?.filter(|_| counts != (0, 0)) else { return Ok(Governed::default()) };
    let read = store.note(NoteKind::Budget, &key(holder)).await?;
    let mut account = tally(read.as_ref())?;
    let stop = rule_failures(&mut account, budgets, counts, now);
    if let Some(stop) = &stop {
        tracing::warn!(account = known.address, why = stop.text, "an account is stopped: its mail is held");
    }
    let letter = stop.as_ref().map(|stop| letter(&known.address, stop));
    Ok(Governed { hold: None, notes: vec![note(key(holder), &account, read)], letter })
}

/// What an account sent, and whether it is stopped.
pub async fn standing(store: &Store, holder: HolderId) -> Result<Tally, StoreError> {
    tally(store.note(NoteKind::Budget, &key(holder)).await?.as_ref())
}

/// Lets an account go on with a whole budget, and releases what was held of it; says how many messages that were.
pub async fn release(store: &Store, holder: HolderId) -> Result<usize, StoreError> {
    let fresh = Tally::default().to_bytes();
    // A budget of all that is used up would stop it again at once.
    let notes = [key(holder), SERVER_KEY.to_vec()].map(|key| NoteChange::put(NoteKind::Budget, key, fresh.clone()));
    store.commit(Change::Notes(notes.into())).await?;
    let (mut next, mut released) = (0, 0);
    loop {
        let rows = store.queued_from(next, PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(released) };
        next = last.saturating_add(1);
        for (id, row) in &rows {
            let governs = row.hold.as_ref().is_some_and(|hold| hold.why != HoldReason::Asked);
            if row.account == Some(holder) && governs {
                released += usize::from(free(store, *id).await?);
            }
        }
    }
}

/// Takes the hold off a message, whatever its account sent; whether there was one.
pub async fn free(store: &Store, id: u64) -> Result<bool, StoreError> {
    store.alter_queued(id, |read| read.hold.is_some().then(|| Queued { hold: None, released: true, ..read.clone() })).await
}

fn key(holder: HolderId) -> Vec<u8> {
    [&b"a"[..], &holder.0.to_be_bytes()].concat()
}

fn tally(note: Option<&Bytes>) -> Result<Tally, StoreError> {
    Ok(note.map(|note| Tally::from_bytes(note)).transpose()?.unwrap_or_default())
}

fn note(key: Vec<u8>, tally: &Tally, read: Option<Bytes>) -> NoteChange {
    NoteChange::put(NoteKind::Budget, key, tally.to_bytes()).if_still(read)
}

fn letter(address: &str, stop: &Stop) -> (String, String) {
    let text = format!(
        "The account {address} was stopped: {}.\n\n\
         Its mail to other servers is still accepted, but it waits in the queue and nothing of it leaves. Mail between the\n\
         accounts of this server and all that comes in go on as before.\n\n\
         If this was not {address}, somebody has a password of the account. Set a new one and take back its app passwords:\n\n\
         \x20   {AS_SERVER} account password {address}\n    {AS_SERVER} account list\n    \
         {AS_SERVER} account app-password {address} --revoke NAME\n\n\
         Look at what waits, and delete what nobody wrote:\n\n    {AS_SERVER} queue list\n    \
         {AS_SERVER} queue delete --account {address} --silent\n\n\
         If all is well, let it leave:\n\n    {AS_SERVER} queue release --account {address}\n\n\
         The limits stand in the section [queue] of the configuration.\n",
        stop.text
    );
    (format!("Mail of {address} is held"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets() -> Budgets {
        let account = Budget { messages_per_hour: 3, messages_per_day: 5, recipients_per_hour: 10, recipients_per_day: 20 };
        let server = Budget { messages_per_hour: 4, ..account.clone() };
        Budgets { account, server, new_recipients_per_day: 8, failures_per_hour: 4, held_max: 2 }
    }

    #[test]
    fn every_limit_stops_the_account_and_says_which() {
        /// Messages, one after the other: seconds, recipients, of whom new.
        type Messages = &'static [(i64, u32, u32)];
        let table: [(Messages, Option<&str>); 9] = [
            (&[(0, 1, 0), (1, 1, 0), (2, 1, 0)], None),
            (&[(0, 1, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0)], Some("more than 3 messages within an hour")),
            (&[(0, 1, 0), (1, 1, 0), (2, 1, 0), (3_600, 1, 0), (3_601, 1, 0)], None),
            (&[(0, 1, 0), (1, 1, 0), (2, 1, 0), (3_600, 1, 0), (3_601, 1, 0), (7_200, 1, 0)], Some("more than 5 messages within a day")),
            (&[(0, 10, 0)], None),
            (&[(0, 11, 0)], Some("more than 10 recipients within an hour")),
            (&[(0, 10, 0), (3_600, 10, 0), (7_200, 1, 0)], Some("more than 20 recipients within a day")),
            (&[(0, 8, 8), (86_400, 8, 8)], None),
            (&[(0, 5, 5), (3_600, 5, 4)], Some("more than 8 recipients within a day whom the account never wrote to")),
        ];
        for (messages, stopped) in table {
            let (mut account, mut server) = (Tally::default(), Tally::default());
            let mut last = Ruling::Free;
            for (now, recipients, new) in messages {
                assert_eq!(last, Ruling::Free, "{messages:?}");
                let budgets = Budgets { server: Budgets::default().server, ..budgets() };
                last = rule(&mut account, &mut server, &budgets, (*recipients, *new), *now);
                assert_eq!(Tally::from_bytes(&account.to_bytes()).unwrap(), account);
            }
            match (last, stopped) {
                (Ruling::Free, None) => {}
                (Ruling::Stops(stop), Some(text)) => assert_eq!(stop.text, text),
                other => panic!("{messages:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn all_accounts_have_a_budget_together() {
        let mut server = Tally::default();
        let mut accounts = [Tally::default(), Tally::default()];
        for n in 0..4 {
            assert_eq!(rule(&mut accounts[n % 2], &mut server, &budgets(), (1, 0), 5), Ruling::Free);
        }
        let Ruling::Stops(stop) = rule(&mut accounts[0], &mut server, &budgets(), (1, 0), 5) else { panic!() };
        assert_eq!(stop.text, "more than 4 messages within an hour from all accounts together");
        assert!(accounts[1].stopped.is_none(), "one account is stopped, not all");
    }

    #[test]
    fn a_stopped_account_holds_so_many_and_is_then_refused_whatever_the_hour() {
        let (mut account, mut server) = (Tally::default(), Tally::default());
        assert!(matches!(rule(&mut account, &mut server, &budgets(), (99, 0), 5), Ruling::Stops(_)));
        assert!(matches!(rule(&mut account, &mut server, &budgets(), (1, 0), 90_000), Ruling::Held(_)));
        assert_eq!(rule(&mut account, &mut server, &budgets(), (1, 0), 90_000), Ruling::Refused(2));
        assert!(OverBudget(2).to_string().contains("2 of its messages wait"));
    }

    #[test]
    fn an_account_most_of_whose_mail_fails_is_stopped() {
        let mut account = Tally::default();
        assert_eq!(rule_failures(&mut account, &budgets(), (3, 3), 5), None, "a few failures are nothing");
        assert_eq!(rule_failures(&mut account, &budgets(), (1, 1), 6), None, "as many arrive");
        assert_eq!(rule_failures(&mut account, &budgets(), (0, 3), 3_700), None, "another hour");
        let stop = rule_failures(&mut account, &budgets(), (0, 1), 3_701).unwrap();
        assert_eq!((stop.why, stop.text.as_str()), (HoldReason::Failures, "other servers refused 4 of its 4 recipients within an hour"));
        assert_eq!(rule_failures(&mut account, &budgets(), (0, 9), 3_702), None, "the owner is told once");
    }
}
