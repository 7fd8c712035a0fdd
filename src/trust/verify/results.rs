//! What verification found, as values, and as the words of an Authentication-Results field (RFC 8601).
//!
//! Pure. Names and addresses in it are what strangers said; here they are made harmless: nothing in them can end a line,
//! a comment or a result.

use super::dmarc::Dmarc;
use super::spf;
use super::witness::Authors;
use std::fmt;
use std::net::IpAddr;

/// What is known of a connection and the envelope, before the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Who is connected.
    pub peer: IpAddr,
    /// Does a name of the peer lead back to it (RFC 8601 §3)?
    pub iprev: Iprev,
    /// What it calls itself.
    pub helo: String,
    /// SPF of that.
    pub helo_spf: spf::Answer,
    /// Whom reports go to, `local@domain`; empty for the null reverse-path.
    pub mail_from: String,
    /// SPF of that; of the null reverse-path that of postmaster at what the peer calls itself (RFC 7208 §2.4).
    pub mail_from_spf: spf::Answer,
}

/// RFC 8601 §2.7.3.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum Iprev {
    /// The name that leads back.
    Pass(String),
    Fail,
    TempError,
    /// The address has no name.
    PermError,
}

/// What came of one DKIM signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The result.
    pub outcome: SignatureOutcome,
    /// `d=`, in lower case; empty if it is no name.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `a=`; empty where the signature could not be read.
    pub algorithm: &'static str,
    /// Why it is not a pass; empty if it is.
    pub reason: &'static str,
}

/// RFC 8601 §2.7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum SignatureOutcome {
    Pass,
    Fail,
    /// Such signatures are not accepted here.
    Policy,
    Neutral,
    TempError,
    PermError,
}

/// What came of the ARC chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arc {
    /// The result.
    pub outcome: ArcOutcome,
    /// Of a chain that holds: who sealed it last, in lower case.
    pub sealer: Option<String>,
    /// Of a chain that holds: the raw value of the last ARC-Authentication-Results.
    pub said: Vec<u8>,
    /// Why it does not hold; empty if it does.
    pub reason: &'static str,
}

/// RFC 8617 §10.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words of the RFC")]
pub enum ArcOutcome {
    None,
    Pass,
    Fail,
    TempError,
}

/// All that was found about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// About who brought it.
    pub connection: Connection,
    /// About its signatures.
    pub signatures: Vec<Signature>,
    /// About its ARC chain.
    pub arc: Arc,
    /// About what its author's domain wants.
    pub dmarc: Dmarc,
    /// Whom it names as author.
    pub authors: Authors,
    /// The header is longer than is read, so it may name others.
    pub header_is_cut: bool,
    /// The list that it names (RFC 2919 §3), in lower case.
    pub list_id: Option<String>,
}

impl fmt::Display for SignatureOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

impl fmt::Display for ArcOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
        })
    }
}

impl Connection {
    /// Each result in the words of RFC 8601 §2.2, resinfo.
    pub fn words(&self) -> Vec<String> {
        let peer = value(&self.peer.to_string());
        let iprev = match &self.iprev {
            Iprev::Pass(name) => format!("iprev=pass{} policy.iprev={peer}", comment(name)),
            Iprev::Fail => format!("iprev=fail{} policy.iprev={peer}", comment("its name does not lead back")),
            Iprev::TempError => format!("iprev=temperror policy.iprev={peer}"),
            Iprev::PermError => format!("iprev=permerror{} policy.iprev={peer}", comment("it has no name")),
        };
        let mail_from = if self.mail_from.is_empty() { "<>".to_owned() } else { self.mail_from.clone() };
        let spf = |answer: &spf::Answer, what: &str, who: &str| {
            format!("spf={}{} smtp.{what}={}", answer.outcome, comment(answer.explanation.as_deref().unwrap_or_default()), value(who))
        };
        vec![iprev, spf(&self.mail_from_spf, "mailfrom", &mail_from), spf(&self.helo_spf, "helo", &self.helo)]
    }
}

impl Results {
    /// Each result in the words of RFC 8601 §2.2, resinfo.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.connection.words();
        words.extend(self.signatures.iter().map(signature_words));
        if self.signatures.is_empty() {
            words.push("dkim=none".to_owned());
        }
        words.push(self.dmarc.words());
        let sealer = self.arc.sealer.as_deref().map(|sealer| format!(" header.d={}", value(sealer))).unwrap_or_default();
        words.push(format!("arc={}{}{sealer}", self.arc.outcome, comment(self.arc.reason)));
        words
    }

    /// The whole field with CRLF, in the name of this server (RFC 8601 §2.2).
    pub fn field(&self, authserv_id: &str) -> String {
        format!("Authentication-Results: {};\r\n\t{}\r\n", value(authserv_id), self.words().join(";\r\n\t"))
    }
}

fn signature_words(signature: &Signature) -> String {
    let mut words = format!("dkim={}{}", signature.outcome, comment(signature.reason));
    for (name, text) in [("d", signature.domain.as_str()), ("s", &signature.selector), ("a", signature.algorithm)] {
        if !text.is_empty() {
            words.push_str(&format!(" header.{name}={}", value(text)));
        }
    }
    words
}

/// RFC 8601 §2.2: pvalue = [CFWS] ( value / [ [ local-part ] "@" ] domain-name ) [CFWS]; value of RFC 2045 §5.1 is a token
/// or a quoted string.
pub(super) fn value(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push('?'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// RFC 5322 §3.2.2: a comment with a space before it; nothing for no text.
pub(super) fn comment(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let harmless = |c: char| if matches!(c, ' '..='~') && !matches!(c, '(' | ')' | '\\') { c } else { '?' };
    format!(" ({})", text.chars().map(harmless).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_stranger_says_ends_a_value_or_a_comment() {
        let table = [
            ("a@b.example", "a@b.example"),
            ("2001:db8::7", "\"2001:db8::7\""),
            ("", "\"\""),
            ("<>", "\"<>\""),
            ("a\"b\\c@d", "\"a\\\"b\\\\c@d\""),
            ("a; dmarc=pass\r\nX: y", "\"a; dmarc=pass??X: y\""),
            ("b\u{fc}cher@d", "\"b\u{fc}cher@d\""),
        ];
        for (text, expected) in table {
            assert_eq!(value(text), expected);
        }
        assert_eq!(comment("no) x (y\\\r\n\u{fc}"), " (no? x ?y????)");
        assert_eq!(comment(""), "");
    }
}
