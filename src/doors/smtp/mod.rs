//! The SMTP door: who may send, who is here, and where a message goes.
//!
//! Answers a conversation's questions from the server's state. A stranger may send to whoever is here; an account may
//! send to anybody, in its own names only. Reads what strangers say of themselves and believes none of it. A message is
//! called stored after the store's sync, never before. Standards are in `protocols/smtp`; RFC 6409 for accounts.

mod refusals;
mod scrutiny;

use super::Services;
use crate::delivery::{Intake, PathProof, Received, Resolved};
use crate::net::{Connection, Door, Ended, Outbox, Patience, drive};
use crate::store::StoreError;
use crate::trust::Trust;
use crate::trust::guard::Greylisted;
use refusals::{Refused, failed, not_delivered};
use scrutiny::Scrutiny;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use stoa_smtp::{Address, Answer, Client, Config, Envelope, Question, Reply, ReversePath, Role, Server};
use stoa_srs::NotOurs;
use tokio::sync::watch;

/// RFC 5321 §4.5.3.2.7 asks for five minutes at least.
const COMMAND_SECONDS: u64 = 300;
/// RFC 5321 §4.5.3.2.5 lets a sender take three minutes for a block.
const DATA_SECONDS: u64 = 180;
/// Breaches of the protocol: a person at a keyboard makes a few, a probe makes many.
const BAD_COMMANDS_MAX: u32 = 20;

/// Leads one conversation to its end.
pub fn serve(
    services: Arc<Services>,
    role: Role,
    connection: Connection,
    tls_available: bool,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = Ended> {
    let config = Config {
        role,
        hostname: services.delivery.names().hostname.clone(),
        peer: connection.peer.ip().to_canonical(),
        size_max: services.limits.message_bytes_max,
        recipients_max: services.limits.recipients_max,
        tls_available,
        tls_on: connection.tls_facts().is_some(),
        auth_nonce: super::nonce(),
        command_seconds: COMMAND_SECONDS,
        data_seconds: DATA_SECONDS,
        bad_commands_max: BAD_COMMANDS_MAX,
    };
    let door = SmtpDoor { peer: config.peer, services, account: None, scrutiny: None, message: None };
    drive(Server::new(config, Instant::now()), door, connection, shutdown, Patience::default())
}

struct SmtpDoor {
    services: Arc<Services>,
    peer: IpAddr,
    account: Option<Trust>,
    /// Of the message that a stranger begins, once somebody here gets it.
    scrutiny: Option<Scrutiny>,
    message: Option<Message>,
}

/// A message that is on its way in.
struct Message {
    id: u64,
    envelope: Envelope,
    intake: Result<Intake, StoreError>,
    scrutiny: Option<Scrutiny>,
}

impl Door<Server> for SmtpDoor {
    async fn ask(&mut self, question: Question) -> Answer {
        let answer = match question {
            Question::Authenticate(question) => self.authenticate(question).await,
            Question::Sender { reverse_path, client, .. } => self.sender(&reverse_path, &client).await,
            Question::Recipient { address, reverse_path, client } => self.recipient(&address, &reverse_path, &client).await,
            Question::BeginBody(envelope) => Ok(self.begin(envelope)),
            Question::EndBody => self.end().await,
            Question::AbortBody => {
                if let Some(Message { intake: Ok(intake), .. }) = self.message.take() {
                    intake.discard().await;
                }
                Ok(Answer::Accept)
            }
        };
        answer.unwrap_or_else(|Refused(reply)| Answer::Refuse(reply))
    }

    async fn body(&mut self, chunk: Vec<u8>) {
        let Some(message) = &mut self.message else { return };
        if let Some(scrutiny) = &mut message.scrutiny {
            scrutiny.push(&chunk);
        }
        if let Ok(intake) = &mut message.intake
            && let Err(error) = intake.push(&chunk).await
        {
            message.intake = Err(error);
        }
    }

    async fn stream(&mut self, query: Infallible, _: &mut Outbox) -> io::Result<Answer> {
        match query {}
    }

    async fn event(&mut self) -> Infallible {
        std::future::pending().await
    }
}

impl SmtpDoor {
    async fn authenticate(&mut self, question: stoa_sasl::Question) -> Result<Answer, Refused> {
        let answer = self.services.sign_in(question, self.peer, "submission").await;
        if let stoa_sasl::Answer::Granted { account } | stoa_sasl::Answer::ScramGranted { account, .. } = &answer {
            self.account = self.services.account(account).await.map_err(failed)?;
        }
        Ok(Answer::Authentication(answer))
    }

    /// RFC 6409 §6.1: an account sends in its own names. Reports have the null reverse-path, whoever sends them.
    async fn sender(&mut self, reverse_path: &ReversePath, client: &Client) -> Result<Answer, Refused> {
        self.scrutiny = None;
        let Some(account) = self.account.as_ref().and_then(Trust::account) else { return self.stranger(client).await };
        let ReversePath::Address(address) = reverse_path else { return Ok(Answer::Accept) };
        if self.services.delivery.owns(account, address).await.map_err(failed)? {
            return Ok(Answer::Accept);
        }
        tracing::info!(peer = %client.peer, account = client.account, %address, "refused a sender that is not the account's");
        Err(Refused(Reply::SENDER_NOT_OWNED.text(format!("{address} is not an address of your account; send as one that you own"))))
    }

    /// A stranger begins a message.
    async fn stranger(&self, client: &Client) -> Result<Answer, Refused> {
        let Some(blocklists) = &self.services.blocklists else { return Ok(Answer::Accept) };
        let Some(list) = blocklists.listing(client.peer).await else { return Ok(Answer::Accept) };
        tracing::info!(peer = %client.peer, list, "refused a sender that is on a block list");
        let text = format!("The address {} is on the block list {list}; ask there to be removed", client.peer);
        Err(Refused(Reply::ON_A_BLOCKLIST.text(text)))
    }

    async fn recipient(&mut self, address: &Address, reverse_path: &ReversePath, client: &Client) -> Result<Answer, Refused> {
        if self.account.is_none() && !self.services.guard.hears_recipients(client.peer, Instant::now()) {
            tracing::info!(peer = %client.peer, %address, "put off a recipient: too many from there were unknown");
            return Err(Refused(Reply::TOO_MANY_UNKNOWN));
        }
        if let Some(sender) = self.services.delivery.returned(address, super::now()) {
            let answer = self.take_return(address, reverse_path, client, sender.err()).await?;
            self.look_at(reverse_path, client);
            return Ok(answer);
        }
        let refusal = match self.services.delivery.recipient(address).await.map_err(failed)? {
            Resolved::Local(_) if self.account.is_some() => return Ok(Answer::Accept),
            Resolved::Local(_) => {
                let answer = self.greylist(address, reverse_path, client).await?;
                self.look_at(reverse_path, client);
                return Ok(answer);
            }
            Resolved::Elsewhere if self.account.is_some() => return Ok(Answer::Accept),
            Resolved::Elsewhere => Reply::NO_RELAY,
            Resolved::Unknown => {
                // Who signed in mistypes and shall see it at once.
                if self.account.is_none() {
                    tokio::time::sleep(self.services.guard.recipient_unknown(client.peer, Instant::now())).await;
                }
                Reply::UNKNOWN_RECIPIENT.text(format!("There is no {address} here; check the address"))
            }
        };
        tracing::info!(peer = %client.peer, %address, code = refusal.code, "refused a recipient");
        Err(Refused(refusal))
    }

    /// A return address of ours takes reports, which have the null reverse-path, and leads to whom they are for.
    async fn take_return(
        &self,
        address: &Address,
        reverse_path: &ReversePath,
        client: &Client,
        problem: Option<NotOurs>,
    ) -> Result<Answer, Refused> {
        let text = match problem {
            None if *reverse_path == ReversePath::Null => return Ok(Answer::Accept),
            None => "this return address takes reports alone; write to the author of the mail".to_owned(),
            Some(reason) => reason.to_string(),
        };
        tracing::info!(peer = %client.peer, %address, text, "refused a return address");
        if self.account.is_none() {
            tokio::time::sleep(self.services.guard.recipient_unknown(client.peer, Instant::now())).await;
        }
        Err(Refused(Reply::UNKNOWN_RECIPIENT.text(text)))
    }

    /// While the stranger goes on, DNS is asked about it: not before somebody here gets the message.
    fn look_at(&mut self, reverse_path: &ReversePath, client: &Client) {
        if let (Some(verifier), None, None) = (&self.services.verifier, &self.account, &self.scrutiny) {
            self.scrutiny = Some(Scrutiny::begin(verifier, reverse_path, client, super::now()));
        }
    }

    /// Where the owner wants it, a stranger has to come again.
    async fn greylist(&self, address: &Address, reverse_path: &ReversePath, client: &Client) -> Result<Answer, Refused> {
        let Some(greylist) = &self.services.greylist else { return Ok(Answer::Accept) };
        let asked = greylist.ask(client.peer, &reverse_path.to_string(), &address.to_string(), super::now()).await;
        match asked.map_err(failed)? {
            Greylisted::Passed => Ok(Answer::Accept),
            Greylisted::Wait(seconds) => {
                tracing::info!(peer = %client.peer, %address, seconds, "asked a stranger to come again");
                let text = format!("You write here for the first time; try again in {seconds} seconds");
                Err(Refused(Reply::GREYLISTED.text(text)))
            }
        }
    }

    fn begin(&mut self, envelope: Envelope) -> Answer {
        let (delivery, now) = (&self.services.delivery, super::now());
        let id = delivery.new_id(now);
        let intake = Ok(delivery.intake(id, &envelope, now));
        self.message = Some(Message { id, envelope, intake, scrutiny: self.scrutiny.take() });
        Answer::Accept
    }

    /// Whoever writes to somebody for the first time waits for the answer. Programs that send junk seldom do, and those who
    /// go away before it comes have delivered nothing.
    async fn let_strangers_wait(&self, envelope: &Envelope, trust: &Trust) -> Result<(), Refused> {
        let delay = self.services.limits.first_time_delay;
        if !delay.is_zero() && self.services.delivery.is_first_letter(envelope, trust).await.map_err(failed)? {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<Answer, Refused> {
        let Message { id, envelope, intake, scrutiny } = self.message.take().ok_or(Refused(Reply::LOCAL_ERROR))?;
        let mut intake = intake.map_err(failed)?;
        let name = format!("{id:016x}");
        let mut trust = self.account.clone().unwrap_or_else(|| Trust::of_stranger().from_peer(self.peer));
        let (mut is_junk, mut doubt, mut path) = (false, 0, PathProof::default());
        if let Some(scrutiny) = scrutiny {
            match scrutiny.end(self.peer, &name, self.services.delivery.names()).await {
                Ok(judged) => {
                    intake.add_trace(&judged.fields);
                    (trust, is_junk, doubt, path) = (judged.trust, judged.is_junk, judged.doubt, judged.path);
                }
                Err(refused) => {
                    intake.discard().await;
                    return Err(refused);
                }
            }
        }
        self.let_strangers_wait(&envelope, &trust).await?;
        let message = Received { is_junk, doubt, path, ..intake.finish().await.map_err(failed)? };
        let bytes = message.body.reference().size;
        let delivered = self.services.delivery.deliver(id, &envelope, &trust, message, super::now()).await;
        let (peer, recipients, from) = (envelope.client.peer, envelope.recipients.len(), &envelope.reverse_path);
        match delivered {
            Ok(()) => {
                tracing::info!(%peer, id = name, %from, recipients, bytes, "accepted a message");
                Ok(Answer::Stored { id: name })
            }
            Err(reason) => {
                tracing::info!(%peer, id = name, %from, recipients, bytes, %reason, "refused a message");
                Err(not_delivered(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests;
