//! One connection to a host that takes mail: from its greeting over STARTTLS and login to messages and goodbye.
//!
//! Stands on mail-send's `SmtpClient` for the connection, TLS and login, and adds what it has not: replies with a
//! limit, a time for each stage, groups of commands (RFC 2920), and a message that is never in memory as a whole.
//! What the other side says is believed as far as a reply goes, and no further.

use super::super::carrier::{Said, Status, Verdict};
use super::body::Stuffing;
use super::limits::{BLOCK_BYTES, Limits, RECIPIENTS_PER_GROUP_MAX};
use super::offer::Offer;
use super::orders::Orders;
use super::reply::{NoReply, Replies, Reply, clean};
use super::security::{Demand, Remark, Security};
use crate::store::BodyReader;
use mail_send::{Credentials, SmtpClient};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection with or without TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Wire for T {}

/// Why no conversation came about, or why it ended.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection, or it broke, or what came over it was no SMTP.
    Line { text: String, slow: bool },
    /// The host said no, to us as such.
    Refused(Reply),
    /// TLS is demanded and not offered, or the host would not begin it.
    NoTls(String),
    /// TLS failed.
    Handshake { error: Option<rustls::Error>, text: String },
    /// It is ourselves.
    Loop,
    /// The message cannot be read here.
    Here(String),
}

impl Trouble {
    fn line(no_reply: NoReply, stage: &str) -> Self {
        match no_reply {
            NoReply::Gone(why) => Self::Line { text: format!("the connection was lost after {stage}: {}", clean(&why)), slow: false },
            NoReply::Slow => Self::Line { text: format!("no reply in time to {stage}"), slow: true },
            NoReply::Garbage => Self::Line { text: format!("the reply to {stage} was none of SMTP"), slow: false },
        }
    }

    /// RFC 3463.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Line { slow: true, .. } => Status(4, 4, 1),
            Self::Line { .. } => Status(4, 4, 2),
            Self::Refused(reply) => reply.status(),
            Self::NoTls(_) | Self::Handshake { .. } => Status(4, 7, 5),
            Self::Loop => Status(5, 4, 6),
            Self::Here(_) => Status(4, 3, 0),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Line { text, .. } | Self::NoTls(text) | Self::Handshake { text, .. } => text.clone(),
            Self::Refused(reply) => reply.text(),
            Self::Here(why) => format!("the message cannot be read here: {why}"),
            Self::Loop => "the host is this server itself: mail would go in circles".to_owned(),
        }
    }
}

/// How a conversation begins.
pub(super) struct Beginning<'a> {
    /// The name we give ourselves.
    pub own_name: &'a str,
    pub host: &'a str,
    pub address: SocketAddr,
    pub demand: &'a Demand,
    /// TLS failed before and is not demanded: without it.
    pub in_clear: bool,
    /// TLS from the first byte (RFC 8314).
    pub implicit_tls: bool,
    /// Name and password.
    pub login: Option<&'a (String, String)>,
}

/// A conversation that can take messages.
pub(super) struct Conversation {
    client: SmtpClient<Box<dyn Wire>>,
    replies: Replies,
    limits: Limits,
    /// As in its MX record.
    pub host: String,
    pub offer: Offer,
    pub tls: bool,
    /// What was wrong with its certificate, though it was let pass.
    pub remark: Option<rustls::Error>,
    /// The last message left something behind that RSET must clear.
    dirty: bool,
    /// The host said goodbye or broke off.
    over: bool,
}

/// What came of a message: for each recipient of the orders.
pub(super) struct Handed {
    pub verdicts: Vec<Verdict>,
    /// Another host may be tried for those that are deferred: nobody has the message, nor can have it.
    pub untouched: bool,
}

impl Conversation {
    /// Connects and comes as far as MAIL.
    pub(super) async fn begin(beginning: &Beginning<'_>, security: &Security, limits: &Limits) -> Result<Self, Trouble> {
        let client = SmtpClient::connect(beginning.address, limits.connect).await.map_err(|error| no_connection(&error))?;
        _ = client.stream.set_nodelay(true);
        let mut fresh = Opening { client, replies: Replies::default(), limits, beginning };
        if beginning.implicit_tls {
            let (client, remark) = fresh.secure(security).await?;
            let mut conversation = Self::with(client, beginning, *limits, true, remark);
            conversation.greeted().await?;
            conversation.hello(beginning.own_name).await?;
            return conversation.log_in(beginning).await;
        }
        let offer = fresh.greet().await?;
        if beginning.in_clear || !offer.starttls {
            if beginning.demand.needs_tls() {
                return Err(Trouble::NoTls("the host does not offer STARTTLS, but its domain demands TLS".to_owned()));
            }
            let client = SmtpClient { stream: Box::new(fresh.client.stream) as Box<dyn Wire>, timeout: limits.command };
            let mut conversation = Self::with(client, beginning, *limits, false, Remark::default());
            (conversation.offer, conversation.replies) = (offer, fresh.replies);
            return Ok(conversation);
        }
        fresh.ask_for_tls().await?;
        // Whatever stands behind the reply in clear is dropped with its reader.
        let (client, remark) = fresh.secure(security).await?;
        let mut conversation = Self::with(client, beginning, *limits, true, remark);
        conversation.hello(beginning.own_name).await?;
        conversation.log_in(beginning).await
    }

    fn with(client: SmtpClient<Box<dyn Wire>>, beginning: &Beginning<'_>, limits: Limits, tls: bool, remark: Remark) -> Self {
        let remark = remark.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        Self {
            client,
            replies: Replies::default(),
            limits,
            host: beginning.host.to_owned(),
            offer: Offer::default(),
            tls,
            remark,
            dirty: false,
            over: false,
        }
    }

    /// Can it take another message?
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    async fn greeted(&mut self) -> Result<(), Trouble> {
        let reply = self.replies.next(&mut self.client.stream, self.limits.greeting).await;
        accepted(reply.map_err(|gone| Trouble::line(gone, "the connection"))?).map(|_| ())
    }

    async fn hello(&mut self, own_name: &str) -> Result<(), Trouble> {
        let reply = self.ask(&format!("EHLO {own_name}\r\n"), "EHLO").await?;
        self.offer = Offer::of(&accepted(reply)?);
        Ok(())
    }

    /// Logs in with mail-send, which wants to have heard the offer itself.
    async fn log_in(mut self, beginning: &Beginning<'_>) -> Result<Self, Trouble> {
        let Some((name, secret)) = beginning.login else { return Ok(self) };
        let failed = |error: mail_send::Error| match error {
            mail_send::Error::AuthenticationFailed(reply) | mail_send::Error::UnexpectedReply(reply) => {
                // A password is put right by the owner, so mail waits for that.
                Trouble::Line { text: clean(&format!("the smarthost refused the login: {} {}", reply.code, reply.message)), slow: false }
            }
            error => Trouble::Line { text: clean(&format!("login at the smarthost failed: {error}")), slow: false },
        };
        let offer = self.client.ehlo(beginning.own_name).await.map_err(failed)?;
        let credentials = Credentials::Plain { username: name.clone(), secret: secret.clone() };
        self.client.authenticate(&credentials, &offer).await.map_err(failed)?;
        Ok(self)
    }

    /// Hands a message over to the recipients of the orders.
    pub(super) async fn hand_over(&mut self, orders: &Orders, content: &BodyReader) -> Handed {
        let mut turn = Turn { verdicts: orders.recipients.iter().map(|line| refused(line, &self.host)).collect(), accepted: Vec::new() };
        let outcome = self.transaction(orders, content, &mut turn).await;
        let untouched = !matches!(outcome, Outcome::Sent);
        if let Outcome::Broken(trouble) = &outcome {
            self.over = true;
            turn.decide_rest(&self.said(trouble.status(), trouble.text()));
        }
        let lost = self.said(Status(4, 3, 0), "this server could not go on".to_owned());
        turn.decide_rest(&lost);
        Handed { verdicts: turn.verdicts.into_iter().flatten().collect(), untouched }
    }

    async fn transaction(&mut self, orders: &Orders, content: &BodyReader, turn: &mut Turn) -> Outcome {
        if turn.waiting().is_empty() {
            return Outcome::Unsent;
        }
        if std::mem::replace(&mut self.dirty, true)
            && let Err(trouble) = self.ask("RSET\r\n", "RSET").await.and_then(accepted)
        {
            return Outcome::Broken(trouble);
        }
        let data = match self.envelope(orders, turn).await {
            Ok(data) => data,
            Err(trouble) => return Outcome::Broken(trouble),
        };
        if turn.accepted.is_empty() {
            // RFC 2920 §3.1: a host that waits for a message to nobody gets an empty one.
            if data.is_some_and(|reply| reply.code == 354) && self.ask(".\r\n", "the message").await.is_err() {
                self.over = true;
            }
            return Outcome::Unsent;
        }
        let sent = if orders.binary { self.chunks(content).await } else { self.data(data, content).await };
        match sent {
            Ok(reply) => {
                // RFC 5321 §3.3, RFC 3030 §2: a host that refuses DATA or a chunk may keep the transaction open.
                self.dirty = !reply.is_positive();
                self.over |= reply.code == 421;
                turn.decide_accepted(&self.verdict(&reply));
                // Whoever said no does not have it; who said yes must not get it from another host again.
                if reply.is_positive() { Outcome::Sent } else { Outcome::Unsent }
            }
            Err(Unfinished::Before(trouble)) => Outcome::Broken(trouble),
            Err(Unfinished::AtTheEnd(trouble)) => {
                // RFC 1047: it may have the message. Told apart from all else, so that no second host gets it now.
                self.over = true;
                turn.decide_accepted(&Verdict::Deferred(self.said(trouble.status(), trouble.text())));
                Outcome::Sent
            }
        }
    }

    /// MAIL, RCPT and, unless chunks follow, DATA; gives the reply to DATA if it was sent along with the others.
    async fn envelope(&mut self, orders: &Orders, turn: &mut Turn) -> Result<Option<Reply>, Trouble> {
        let mut group = orders.mail.clone();
        let mut mail_is_open = true;
        let waiting = turn.waiting();
        let group_size = if self.offer.pipelining { RECIPIENTS_PER_GROUP_MAX } else { 1 };
        if !self.offer.pipelining {
            let reply = self.ask(&std::mem::take(&mut group), "MAIL").await?;
            mail_is_open = false;
            if !self.mail_accepted(&reply, turn) {
                return Ok(None);
            }
        }
        for recipients in waiting.chunks(group_size) {
            let last = recipients.last() == waiting.last();
            recipients.iter().filter_map(|at| orders.recipients.get(*at)?.as_ref().ok()).for_each(|line| group.push_str(line));
            let with_data = last && self.offer.pipelining && !orders.binary;
            if with_data {
                group.push_str("DATA\r\n");
            }
            self.write(std::mem::take(&mut group).as_bytes()).await?;
            // All replies are read before any counts: those behind a refused MAIL are refusals, too.
            let mail = if std::mem::take(&mut mail_is_open) { Some(self.reply("MAIL").await?) } else { None };
            let mut replies = Vec::new();
            for _ in recipients {
                replies.push(self.reply("RCPT").await?);
            }
            let data = if with_data { Some(self.reply_within("DATA", self.limits.data_start).await?) } else { None };
            if mail.is_some_and(|mail| !self.mail_accepted(&mail, turn)) {
                return Ok(data);
            }
            for (at, reply) in recipients.iter().zip(replies) {
                self.over |= reply.code == 421;
                match self.verdict(&reply) {
                    Verdict::Delivered { .. } => turn.accepted.push(*at),
                    // RFC 5321 §4.5.3.1.10: some hosts say so for good when it is only too many at once.
                    Verdict::Failed(said) if is_too_many(&reply) && !turn.accepted.is_empty() => {
                        turn.decide(*at, Verdict::Deferred(Said { status: temporary(said.status), ..said }));
                    }
                    verdict => turn.decide(*at, verdict),
                }
            }
            if self.over {
                turn.accepted.clear();
                return Err(Trouble::Line { text: "the host closed the connection with 421".to_owned(), slow: false });
            }
            if last {
                return Ok(data);
            }
        }
        Ok(None)
    }

    /// What is said of MAIL is said of all recipients.
    fn mail_accepted(&mut self, reply: &Reply, turn: &mut Turn) -> bool {
        if !reply.is_positive() {
            self.over |= reply.code == 421;
            let verdict = self.verdict(reply);
            turn.waiting().into_iter().for_each(|at| turn.decide(at, verdict.clone()));
        }
        reply.is_positive()
    }

    /// The message after DATA, dots stuffed.
    async fn data(&mut self, sent_along: Option<Reply>, content: &BodyReader) -> Result<Reply, Unfinished> {
        let go = match sent_along {
            Some(reply) => reply,
            None => {
                self.write(b"DATA\r\n").await?;
                self.reply_within("DATA", self.limits.data_start).await?
            }
        };
        if go.code != 354 {
            // RFC 5321 §4.3.2 knows no positive reply here but 354.
            let odd = || Trouble::Line { text: format!("the host answered DATA with {}", go.text()), slow: false };
            return if go.code >= 400 { Ok(go) } else { Err(odd().into()) };
        }
        let (mut stuffing, mut out, mut at) = (Stuffing::new(), Vec::new(), 0);
        let end = self.deadline(content.size());
        while at < content.size() {
            let block = self.block(content, at).await?;
            out.clear();
            stuffing.push(&block, &mut out);
            if let Err(trouble) = self.write_by(&out, end).await {
                return self.last_word(trouble).await;
            }
            at += block.len() as u64;
        }
        out.clear();
        stuffing.finish(&mut out);
        self.write_by(&out, end).await.map_err(Unfinished::AtTheEnd)?;
        self.reply_within("the message", self.limits.data_end).await.map_err(Unfinished::AtTheEnd)
    }

    /// The message as it is, in chunks (RFC 3030).
    async fn chunks(&mut self, content: &BodyReader) -> Result<Reply, Unfinished> {
        let end = self.deadline(content.size());
        let mut at = 0;
        loop {
            let block = self.block(content, at).await?;
            at += block.len() as u64;
            let last = at >= content.size();
            let command = format!("BDAT {}{}\r\n", block.len(), if last { " LAST" } else { "" });
            let written = async {
                self.write_by(command.as_bytes(), end).await?;
                self.write_by(&block, end).await
            };
            match (written.await, last) {
                (Ok(()), _) => {}
                (Err(trouble), true) => return Err(Unfinished::AtTheEnd(trouble)),
                (Err(trouble), false) => return self.last_word(trouble).await,
            }
            let patience = if last { self.limits.data_end } else { self.limits.data_block };
            let reply = self.reply_within("BDAT", patience).await;
            let reply = reply.map_err(if last { Unfinished::AtTheEnd } else { Unfinished::Before })?;
            if last || !reply.is_positive() {
                return Ok(reply);
            }
        }
    }

    /// Some of the message. If the store cannot give it, the connection ends without an end of the message: half of one
    /// must never count as one.
    async fn block(&mut self, content: &BodyReader, at: u64) -> Result<bytes::Bytes, Unfinished> {
        match content.read(at..content.size().min(at + BLOCK_BYTES)).await {
            Ok(block) if !block.is_empty() || content.size() == 0 => Ok(block),
            Ok(_) => Err(Trouble::Here("it ends early".to_owned()).into()),
            Err(error) => Err(Trouble::Here(error.to_string()).into()),
        }
    }

    /// A host that breaks off in the middle of a message may have said why.
    async fn last_word(&mut self, trouble: Trouble) -> Result<Reply, Unfinished> {
        self.over = true;
        match self.replies.next(&mut self.client.stream, self.limits.quit).await {
            Ok(reply) if reply.code >= 400 => Ok(reply),
            _ => Err(trouble.into()),
        }
    }

    /// When a message of this size must be gone.
    fn deadline(&self, size: u64) -> Instant {
        Instant::now() + self.limits.data_block + Duration::from_secs(size / self.limits.bytes_per_second_min.max(1))
    }

    async fn ask(&mut self, command: &str, stage: &str) -> Result<Reply, Trouble> {
        self.write(command.as_bytes()).await?;
        self.reply(stage).await
    }

    async fn reply(&mut self, stage: &str) -> Result<Reply, Trouble> {
        self.reply_within(stage, self.limits.command).await
    }

    async fn reply_within(&mut self, stage: &str, patience: Duration) -> Result<Reply, Trouble> {
        self.replies.next(&mut self.client.stream, patience).await.map_err(|gone| Trouble::line(gone, stage))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.write_by(bytes, Instant::now() + self.limits.data_block).await
    }

    async fn write_by(&mut self, bytes: &[u8], end: Instant) -> Result<(), Trouble> {
        let stream = &mut self.client.stream;
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let end = end.min(Instant::now() + self.limits.data_block);
        match tokio::time::timeout_at(end, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Line { text: format!("the connection was lost: {error}"), slow: false }),
            Err(_) => Err(Trouble::Line { text: "the host does not take what is sent".to_owned(), slow: true }),
        }
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        let said = self.said(reply.status(), reply.text());
        match reply.code / 100 {
            2 => Verdict::Delivered { said, dsn: self.offer.dsn },
            5 => Verdict::Failed(said),
            _ => Verdict::Deferred(Said { status: of_one_message(reply.code, temporary(said.status)), ..said }),
        }
    }

    fn said(&self, status: Status, text: String) -> Said {
        Said { status, text, host: Some(self.host.clone()) }
    }

    /// Says goodbye, whether or not anybody listens.
    pub(super) async fn quit(mut self) {
        if self.over {
            return;
        }
        let goodbye = async {
            self.client.stream.write_all(b"QUIT\r\n").await?;
            self.client.stream.flush().await?;
            _ = self.replies.next(&mut self.client.stream, self.limits.quit).await;
            self.client.stream.shutdown().await
        };
        _ = tokio::time::timeout(self.limits.quit, goodbye).await;
    }
}

/// A connection without TLS yet.
struct Opening<'a> {
    client: SmtpClient<TcpStream>,
    replies: Replies,
    limits: &'a Limits,
    beginning: &'a Beginning<'a>,
}

impl Opening<'_> {
    async fn greet(&mut self) -> Result<Offer, Trouble> {
        let greeting = self.replies.next(&mut self.client.stream, self.limits.greeting).await;
        let greeting = accepted(greeting.map_err(|gone| Trouble::line(gone, "the connection"))?)?;
        let own_name = self.beginning.own_name;
        let named = |reply: &Reply| reply.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
        let reply = self.ask(&format!("EHLO {own_name}\r\n"), "EHLO").await?;
        // RFC 5321 §3.2: an old host that does not know EHLO is asked with HELO, and then offers nothing.
        let (reply, offer) = if reply.is_permanent() {
            let reply = accepted(self.ask(&format!("HELO {own_name}\r\n"), "HELO").await?)?;
            (reply, Offer::default())
        } else {
            let reply = accepted(reply)?;
            let offer = Offer::of(&reply);
            (reply, offer)
        };
        if named(&greeting).eq_ignore_ascii_case(own_name) && named(&reply).eq_ignore_ascii_case(own_name) {
            return Err(Trouble::Loop);
        }
        Ok(offer)
    }

    async fn ask_for_tls(&mut self) -> Result<(), Trouble> {
        let reply = self.ask("STARTTLS\r\n", "STARTTLS").await?;
        if reply.is_positive() { Ok(()) } else { Err(Trouble::NoTls(format!("the host refused to begin TLS: {}", reply.text()))) }
    }

    async fn ask(&mut self, command: &str, stage: &str) -> Result<Reply, Trouble> {
        let writing = self.client.stream.write_all(command.as_bytes());
        match tokio::time::timeout(self.limits.command, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Trouble::line(NoReply::Gone(error.to_string()), stage)),
            Err(_) => return Err(Trouble::line(NoReply::Slow, stage)),
        }
        let reply = self.replies.next(&mut self.client.stream, self.limits.command).await;
        reply.map_err(|gone| Trouble::line(gone, stage))
    }

    async fn secure(self, security: &Security) -> Result<(SmtpClient<Box<dyn Wire>>, Remark), Trouble> {
        let failed = |error: rustls::Error| Trouble::Handshake { text: format!("TLS failed: {error}"), error: Some(error) };
        let Beginning { demand, host, .. } = self.beginning;
        let (connector, remark) = security.connector(demand).map_err(failed)?;
        let client = SmtpClient { timeout: self.limits.handshake, ..self.client };
        // An address literal stands in brackets; in a certificate it does not.
        let literal = super::hosts::literal(host).map(|address| address.to_string());
        let name = literal.as_deref().unwrap_or_else(|| demand.server_name(host));
        let secured = client.into_tls(&connector, name).await.map_err(|error| match error {
            mail_send::Error::Tls(error) => failed(*error),
            error => Trouble::Handshake { error: None, text: format!("TLS failed: {}", clean(&error.to_string())) },
        })?;
        Ok((SmtpClient { stream: Box::new(secured.stream) as Box<dyn Wire>, timeout: self.limits.command }, remark))
    }
}

/// The recipients of one message while their verdicts come in.
struct Turn {
    verdicts: Vec<Option<Verdict>>,
    /// The host said yes to them.
    accepted: Vec<usize>,
}

impl Turn {
    fn waiting(&self) -> Vec<usize> {
        self.verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_none()).map(|(at, _)| at).collect()
    }

    fn decide(&mut self, at: usize, verdict: Verdict) {
        if let Some(place) = self.verdicts.get_mut(at) {
            place.get_or_insert(verdict);
        }
    }

    fn decide_accepted(&mut self, verdict: &Verdict) {
        std::mem::take(&mut self.accepted).into_iter().for_each(|at| self.decide(at, verdict.clone()));
    }

    fn decide_rest(&mut self, said: &Said) {
        let deferred = Verdict::Deferred(Said { status: temporary(said.status), ..said.clone() });
        self.waiting().into_iter().for_each(|at| self.decide(at, deferred.clone()));
    }
}

enum Outcome {
    /// The message was sent to its end.
    Sent,
    /// It was not, and the conversation can go on.
    Unsent,
    /// It was not, and the conversation is over.
    Broken(Trouble),
}

enum Unfinished {
    /// The host cannot have the message.
    Before(Trouble),
    /// It may have it.
    AtTheEnd(Trouble),
}

impl From<Trouble> for Unfinished {
    fn from(trouble: Trouble) -> Self {
        Self::Before(trouble)
    }
}

fn accepted(reply: Reply) -> Result<Reply, Trouble> {
    if reply.is_positive() { Ok(reply) } else { Err(Trouble::Refused(reply)) }
}

fn refused(line: &Result<String, super::orders::Refused>, host: &str) -> Option<Verdict> {
    let refused = line.as_ref().err()?;
    Some(Verdict::Failed(Said { status: refused.status, text: refused.text.clone(), host: Some(host.to_owned()) }))
}

fn is_too_many(reply: &Reply) -> bool {
    reply.code == 552 && matches!(reply.status(), Status(5, 0, 0) | Status(5, 5, 3))
}

/// A host that puts off one message may mean a way behind itself, as a smarthost does: that is no word about the host.
fn of_one_message(code: u16, status: Status) -> Status {
    if code != 421 && status.is_of_the_destination() { Status(4, 0, 0) } else { status }
}

fn temporary(status: Status) -> Status {
    Status(4, status.1, status.2)
}

fn no_connection(error: &mail_send::Error) -> Trouble {
    match error {
        mail_send::Error::Timeout => Trouble::Line { text: "the host does not answer".to_owned(), slow: true },
        error => Trouble::Line { text: format!("no connection: {error}"), slow: true },
    }
}
