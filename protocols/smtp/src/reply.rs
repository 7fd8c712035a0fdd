//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 3463, RFC 2034): the one list of all of them.
//!
//! A text of several lines becomes a multi-line reply. Whatever a text contains, nothing but the reply's own
//! CRLFs reaches the wire: other control characters and non-ASCII become `?`.

use std::borrow::Cow;

/// A reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// RFC 3463; absent from the greeting and from replies to EHLO, 334 and 354.
    pub enhanced: Option<(u8, u16, u16)>,
    /// For people; lines are parted by `\n`.
    pub text: Cow<'static, str>,
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $code:literal $class:literal . $subject:literal . $detail:literal $text:literal;)*) => {
        impl Reply {
            $($(#[$doc])* pub const $name: Self = Self {
                code: $code, enhanced: Some(($class, $subject, $detail)), text: Cow::Borrowed($text),
            };)*
        }
    };
}

replies! {
    /// A command did what it should.
    OK = 250 2 . 0 . 0 "OK";
    /// The message is stored.
    STORED = 250 2 . 0 . 0 "Message accepted";
    /// MAIL was accepted.
    SENDER_OK = 250 2 . 1 . 0 "Sender OK";
    /// RCPT was accepted.
    RECIPIENT_OK = 250 2 . 1 . 5 "Recipient OK";
    /// VRFY says neither yes nor no (RFC 5321 §3.5.3).
    CANNOT_VERIFY = 252 2 . 0 . 0 "Cannot verify the user, but will take a message and try to deliver it";
    /// HELP.
    HELP = 214 2 . 0 . 0 "";
    /// QUIT.
    BYE = 221 2 . 0 . 0 "Bye";
    /// STARTTLS.
    READY_FOR_TLS = 220 2 . 0 . 0 "Ready to start TLS";
    /// AUTH succeeded.
    AUTHENTICATED = 235 2 . 7 . 0 "Authentication successful";

    /// The server stops.
    GOING_DOWN = 421 4 . 3 . 2 "The server is going down; try again later";
    /// RFC 5321 §4.5.3.2.7.
    TIMED_OUT = 421 4 . 4 . 2 "Timed out waiting for you";
    /// The peer does not speak SMTP, or probes.
    TOO_MANY_ERRORS = 421 4 . 7 . 0 "Too many errors";
    /// The peer guesses passwords.
    TOO_MANY_FAILURES = 421 4 . 7 . 0 "Too many failed authentications";
    /// The peer reads out a list of names.
    TOO_MANY_UNKNOWN = 450 4 . 7 . 1 "Too many unknown recipients from your address; try again in an hour";
    /// RFC 6647 §2.1.
    GREYLISTED = 450 4 . 7 . 1 "Try again in a few minutes";
    /// Something here went wrong; it may pass.
    LOCAL_ERROR = 451 4 . 3 . 0 "Local error; try again later";
    /// The disk or a quota is full.
    NO_ROOM = 452 4 . 3 . 1 "Not enough room; try again later";
    /// Send the rest in another transaction.
    TOO_MANY_RECIPIENTS = 452 4 . 5 . 3 "Too many recipients; send the others another time";
    /// The account sent more than it may.
    OVER_BUDGET = 452 4 . 5 . 3 "Too much mail from this account; try again later";
    /// RFC 3463 §3.8: a policy cannot be read now.
    POLICY_UNKNOWN = 451 4 . 7 . 1 "The author's domain cannot be asked now; try again later";
    /// Nobody can say now whether the password is right.
    AUTH_UNAVAILABLE = 454 4 . 7 . 0 "Temporary authentication failure";

    /// No such command.
    UNKNOWN_COMMAND = 500 5 . 5 . 1 "Command not recognized";
    /// A line that is not made of printable text.
    BAD_LINE = 500 5 . 5 . 2 "Syntax error";
    /// CR or LF alone in a command line.
    BARE_LINE_END = 500 5 . 5 . 2 "A line must end with CRLF, and CR or LF must not occur alone";
    /// A command line past the limit.
    LINE_TOO_LONG = 500 5 . 5 . 2 "Line too long";
    /// RFC 4954 §6.
    AUTH_LINE_TOO_LONG = 500 5 . 5 . 6 "Authentication line too long";
    /// Arguments that the grammar does not know.
    BAD_ARGUMENTS = 501 5 . 5 . 4 "Syntax error in arguments";
    /// The reverse-path is no path.
    BAD_SENDER = 501 5 . 1 . 7 "Bad sender address";
    /// The forward-path is no path.
    BAD_RECIPIENT = 501 5 . 1 . 3 "Bad recipient address";
    /// Not base64, or not what the mechanism needs.
    BAD_RESPONSE = 501 5 . 5 . 2 "Bad authentication response";
    /// The client sent `*`.
    AUTH_CANCELLED = 501 5 . 7 . 0 "Authentication cancelled";
    /// A command of the standard that this server does not offer.
    NOT_OFFERED = 502 5 . 5 . 1 "Command not offered";
    /// A good command at the wrong time.
    BAD_SEQUENCE = 503 5 . 5 . 1 "Bad sequence of commands";
    /// AUTH with a mechanism that is not offered.
    UNKNOWN_MECHANISM = 504 5 . 5 . 4 "Authentication mechanism not offered";
    /// RFC 3207 §4.
    TLS_REQUIRED = 530 5 . 7 . 0 "Must issue a STARTTLS command first";
    /// RFC 4954 §6.
    AUTH_REQUIRED = 530 5 . 7 . 0 "Authentication required";
    /// Wrong, unknown or not allowed.
    AUTH_DENIED = 535 5 . 7 . 8 "Authentication credentials invalid";
    /// RFC 4954 §6.
    AUTH_NEEDS_TLS = 538 5 . 7 . 11 "Encryption required for authentication; issue STARTTLS first";
    /// No such recipient here.
    UNKNOWN_RECIPIENT = 550 5 . 1 . 1 "No such recipient here";
    /// Not for us, and the sender is none of ours.
    NO_RELAY = 550 5 . 7 . 1 "Relaying denied";
    /// RFC 9989 §5.4: the author's domain wants it refused.
    REFUSED_BY_POLICY = 550 5 . 7 . 1 "The author's domain asks to refuse this message";
    /// The sender address is not the account's.
    SENDER_NOT_OWNED = 550 5 . 7 . 1 "This sender address does not belong to your account";
    /// RFC 5321 §2.3.8.
    BARE_LINE_END_IN_CONTENT = 550 5 . 6 . 0 "The message contains bare CR or LF; lines must end with CRLF";
    /// SIZE, DATA or BDAT past the limit.
    TOO_LARGE = 552 5 . 3 . 4 "Message too large";
    /// RFC 6531 §3.5.
    NEEDS_SMTPUTF8 = 553 5 . 6 . 7 "This address needs SMTPUTF8";
    /// DATA or BDAT, but no recipient was accepted.
    NO_RECIPIENTS = 554 5 . 5 . 1 "No valid recipients";
    /// RFC 5782 §2.
    ON_A_BLOCKLIST = 554 5 . 7 . 1 "Your address is on a block list";
    /// RFC 5321 §6.3.
    MAIL_LOOP = 554 5 . 4 . 6 "This message goes round in circles";
    /// An ESMTP parameter that is not offered.
    UNKNOWN_PARAMETER = 555 5 . 5 . 4 "Parameter not recognized";
}

impl Reply {
    /// Go on with the content of the message.
    pub const START_CONTENT: Self = Self::plain(354, Cow::Borrowed("Send the message; end it with a line of one dot"));

    /// A reply without an enhanced code.
    pub const fn plain(code: u16, text: Cow<'static, str>) -> Self {
        Self { code, enhanced: None, text }
    }

    /// The same codes with other words.
    pub fn text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Whether the peer broke the protocol, which it may do only so often.
    pub(crate) fn blames_the_protocol(&self) -> bool {
        matches!(self.code, 500..=504 | 555)
    }

    /// RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
    pub fn to_wire(&self) -> Vec<u8> {
        let enhanced = self.enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail} ")).unwrap_or_default();
        let mut wire = String::new();
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            let line: String = line.trim_end_matches('\r').chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
            wire.push_str(&format!("{}{mark}{enhanced}{line}\r\n", self.code));
        }
        wire.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_on_the_wire() {
        let table = [
            (Reply::OK, "250 2.0.0 OK\r\n"),
            (Reply::OK.text("a\nb"), "250-2.0.0 a\r\n250 2.0.0 b\r\n"),
            (Reply::plain(334, "".into()), "334 \r\n"),
            (Reply::OK.text("a\rb\u{e9}\r\n250 c"), "250-2.0.0 a?b?\r\n250 2.0.0 250 c\r\n"),
        ];
        for (reply, wire) in table {
            assert_eq!(String::from_utf8(reply.to_wire()).unwrap(), wire);
        }
    }
}
