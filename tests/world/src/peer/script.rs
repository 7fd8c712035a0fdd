//! What a scripted mail server does at each stage of a conversation.

use crate::Certificate;
use std::time::Duration;

/// What a modern server offers.
const OFFERS: [&str; 6] = ["SIZE 20000000", "8BITMIME", "SMTPUTF8", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES"];

/// Where in a conversation something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The client has connected.
    Banner,
    /// EHLO or HELO, before and after STARTTLS.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake; a reply cannot be given here.
    Handshake,
    /// AUTH, with all that was asked for.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT, whoever the recipient is.
    AnyRcpt,
    /// RCPT for this address.
    Rcpt(&'static str),
    /// DATA.
    Data,
    /// The message has come, by its final dot or its last chunk.
    Message,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// What the server does instead of the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Replies so: one line or several, without the last line end. After 421 the server hangs up (RFC 5321 §3.8).
    Reply(&'static str),
    /// Waits, then goes on as usual.
    Wait(Duration),
    /// Says nothing more, and waits for the client to go.
    Silence,
    /// Hangs up.
    Drop,
    /// Says what is no reply.
    Garbage,
    /// Begins a reply of several lines and never ends it.
    EndlessReply,
    /// Begins a line and never ends it.
    EndlessLine,
}

/// What a server offers and where it departs from the usual.
#[derive(Clone)]
pub struct Script {
    offers: Vec<String>,
    pub(super) certificate: Option<Certificate>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    stage: Stage,
    act: Act,
    /// How often it still holds; always, if there is no number.
    left: Option<usize>,
}

impl Script {
    /// A server that offers the usual extensions but no TLS, and takes everything.
    pub fn new() -> Script {
        Script { offers: OFFERS.map(str::to_owned).into(), certificate: None, rules: Vec::new() }
    }

    /// Offers STARTTLS and shows this certificate.
    pub fn tls(mut self, certificate: &Certificate) -> Script {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Offers this, too: `CHUNKING`, say, or `AUTH PLAIN`.
    pub fn offering(mut self, extension: &str) -> Script {
        self.offers.push(extension.to_owned());
        self
    }

    /// Does not offer the extension of this keyword.
    pub fn without(mut self, keyword: &str) -> Script {
        self.offers.retain(|offer| offer.split(' ').next() != Some(keyword));
        self
    }

    /// Does this at that stage, each time. Of two rules for one stage the first counts as long as it lasts.
    pub fn at(mut self, stage: Stage, act: Act) -> Script {
        self.rules.push(Rule { stage, act, left: None });
        self
    }

    /// Does this at that stage, but only so many times.
    pub fn first(mut self, times: usize, stage: Stage, act: Act) -> Script {
        self.rules.push(Rule { stage, act, left: Some(times) });
        self
    }

    /// What is to be done now, if it is not the usual.
    pub(super) fn take(&mut self, stage: Stage, recipient: Option<&str>) -> Option<Act> {
        let holds = |rule: &&mut Rule| rule.left != Some(0) && applies(rule.stage, stage, recipient);
        let rule = self.rules.iter_mut().find(holds)?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.act)
    }

    /// The usual reply to EHLO.
    pub(super) fn greeting(&self, in_tls: bool) -> String {
        let starttls = (self.certificate.is_some() && !in_tls).then_some("STARTTLS");
        let mut lines = vec!["peer.test"];
        lines.extend(self.offers.iter().map(String::as_str).chain(starttls));
        let last = lines.len() - 1;
        let marked = lines.iter().enumerate().map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }));
        marked.collect::<Vec<_>>().join("\r\n")
    }
}

impl Default for Script {
    fn default() -> Script {
        Script::new()
    }
}

fn applies(rule: Stage, stage: Stage, recipient: Option<&str>) -> bool {
    match rule {
        Stage::Rcpt(address) => recipient.is_some_and(|recipient| recipient.eq_ignore_ascii_case(address)),
        rule => rule == stage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_as_often_as_it_says() {
        let mut script = Script::new().first(2, Stage::Mail, Act::Drop).at(Stage::Mail, Act::Silence);
        let acts: Vec<_> = (0..4).map(|_| script.take(Stage::Mail, None)).collect();
        assert_eq!(acts, [Some(Act::Drop), Some(Act::Drop), Some(Act::Silence), Some(Act::Silence)]);
        assert_eq!(script.take(Stage::Quit, None), None);
    }

    #[test]
    fn a_recipient_has_rules_of_its_own() {
        let mut script = Script::new().at(Stage::Rcpt("a@b.test"), Act::Drop);
        assert_eq!(script.take(Stage::AnyRcpt, Some("A@b.test")), Some(Act::Drop));
        assert_eq!(script.take(Stage::AnyRcpt, Some("c@b.test")), None);
        assert_eq!(script.take(Stage::Mail, None), None);
    }

    #[test]
    fn what_is_offered_is_written_down() {
        let script = Script::new().without("SIZE").without("SMTPUTF8").offering("CHUNKING").without("DSN");
        let want = "250-peer.test\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING";
        assert_eq!(script.greeting(false), want);
    }
}
