//! Status responses (RFC 3501 §7.1) and their codes (RFC 5530 and others): the one list of all of them.
//!
//! Whatever a text contains, nothing but the response's own CRLF reaches the wire: control characters and
//! non-ASCII become `?`.

use crate::questions::{Refusal, RefusalCode};
use std::borrow::Cow;

/// The outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Ok,
    No,
    Bad,
    Bye,
}

/// A status response, tagged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub condition: Condition,
    /// Without brackets; empty for none.
    pub code: Cow<'static, str>,
    /// For people.
    pub text: Cow<'static, str>,
}

macro_rules! responses {
    ($($(#[$doc:meta])* $name:ident = $condition:ident $code:literal $text:literal;)*) => {
        impl Response {
            $($(#[$doc])* pub(crate) const $name: Self = Self {
                condition: Condition::$condition, code: Cow::Borrowed($code), text: Cow::Borrowed($text),
            };)*
        }
    };
}

responses! {
    OK = Ok "" "Done";
    LOGGED_OUT = Ok "" "Until next time";
    CLOSED = Ok "CLOSED" "The mailbox is not open any more";
    BEGIN_TLS = Ok "" "Begin TLS now";
    BEGIN_COMPRESSION = Ok "" "Compressed from here on";
    READ_WRITE = Ok "READ-WRITE" "Selected";
    READ_ONLY = Ok "READ-ONLY" "Selected for reading only";
    NOTHING_TO_DO = Ok "" "No such messages, nothing done";

    GOODBYE = Bye "" "Goodbye";
    GOING_DOWN = Bye "UNAVAILABLE" "The server is going down; come back soon";
    TIMED_OUT = Bye "" "Idle for too long";
    TOO_MANY_ERRORS = Bye "" "Too many errors";
    TOO_MANY_FAILURES = Bye "" "Too many failed logins";
    FLOOD = Bye "" "Too much at once";
    /// RFC 2180 §3.3: what was selected is gone, and nothing said about it would be true.
    MAILBOX_GONE = Bye "" "The selected mailbox was deleted";

    PRIVACY_REQUIRED = No "PRIVACYREQUIRED" "Use STARTTLS first";
    LOGIN_DENIED = No "AUTHENTICATIONFAILED" "Wrong name or password";
    LOGIN_UNAVAILABLE = No "UNAVAILABLE" "Cannot check passwords now; try again later";
    UNKNOWN_MECHANISM = No "" "No such mechanism here";
    COMPRESSION_ACTIVE = No "COMPRESSIONACTIVE" "IMAP compresses already";
    MAILBOX_READ_ONLY = No "READ-ONLY" "The mailbox is open for reading only";
    EXPUNGE_ISSUED = No "EXPUNGEISSUED" "These messages are gone";
    INBOX_STAYS = No "CANNOT" "INBOX can be neither made nor deleted";
    BAD_NAME = No "CANNOT" "Not a mailbox name: modified UTF-7 in its one form is asked for";
    UNUSABLE_NAME = No "CANNOT" "No mailbox can have this name";
    ONE_USE_ONLY = No "USEATTR" "A mailbox has one use at most here";
    BAD_CHARSET = No "BADCHARSET (UTF-8 US-ASCII)" "Unknown charset";
    TOO_BIG = No "TOOBIG" "The message is too big";
    EMPTY_MESSAGE = No "CANNOT" "The message is empty";
    NUL_IN_MESSAGE = No "CANNOT" "Only a binary literal may contain NUL";
    TOO_MANY_MESSAGES = No "LIMIT" "Too many messages at once: send fewer in one command";
    TOO_MANY_KEYWORDS = No "LIMIT" "Too many keywords, or too long ones";
    TOO_MANY_WILDCARDS = No "LIMIT" "Too many wildcards in a pattern";
    TOO_MANY_NAMES = No "LIMIT" "Too many names for one answer: list them level by level";
    TOO_MANY_TEXTS = No "LIMIT" "Too many texts to look for";
    LOCAL_ERROR = No "SERVERBUG" "Something went wrong here";

    BAD_SYNTAX = Bad "" "Syntax error";
    BAD_ARGUMENTS = Bad "" "Syntax error in the arguments";
    UNKNOWN_COMMAND = Bad "" "Unknown command";
    NOT_SUPPORTED = Bad "" "Not supported";
    LOG_IN_FIRST = Bad "" "Log in first";
    LOGGED_IN_ALREADY = Bad "" "You are logged in already";
    SELECT_FIRST = Bad "" "Select a mailbox first";
    BARE_LINE_END = Bad "" "A line must end with CRLF, and CR or LF must not occur alone";
    COMMAND_TOO_LONG = Bad "" "The command is too long";
    TOO_MANY_LITERALS = Bad "" "Too many literals";
    AUTH_CANCELLED = Bad "" "Authentication cancelled";
    BAD_RESPONSE = Bad "" "Not the response that the mechanism asks for";
    NO_SUCH_NUMBER = Bad "" "No message has such a number";
    UNKNOWN_ALGORITHM = Bad "" "Unknown way to put threads together";
    UNKNOWN_KEY = Bad "" "Unknown search key";
    NOT_TEXT = Bad "" "A text that is looked for must be UTF-8";
    SEARCH_TOO_DEEP = Bad "" "These search keys are nested too deep";
    BAD_FLAG = Bad "" "Not a flag that can be set";
    UNKNOWN_COMPRESSION = Bad "" "Only DEFLATE is known here";
    UTF8_NOT_ENABLED = Bad "" "ENABLE UTF8=ACCEPT first";
    AFTER_MESSAGE = Bad "" "After a message comes another one, or the end of the line";
    TLS_ON_ALREADY = Bad "" "TLS is on already";
    EXPECTED_DONE = Bad "" "DONE was expected";
}

impl Response {
    /// The same with other words.
    pub(crate) fn text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// The same with another code.
    pub(crate) fn code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), ..self }
    }

    /// RFC 3501 §9: (tag / "*") SP ("OK" / "NO" / "BAD" / "BYE") SP ["[" code "]" SP] text CRLF
    pub(crate) fn write(&self, out: &mut Vec<u8>, tag: &str) {
        let condition = match self.condition {
            Condition::Ok => "OK",
            Condition::No => "NO",
            Condition::Bad => "BAD",
            Condition::Bye => "BYE",
        };
        let code = if self.code.is_empty() { String::new() } else { format!("[{}] ", self.code) };
        out.extend_from_slice(format!("{tag} {condition} {code}{}\r\n", printable(&self.text)).as_bytes());
    }
}

fn printable(text: &str) -> String {
    let mut text: String = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    if text.is_empty() {
        text.push('.');
    }
    // At the beginning a bracket would be read as a code.
    if text.starts_with('[') {
        text.replace_range(..1, "(");
    }
    text
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            None => "",
            Some(RefusalCode::TryCreate) => "TRYCREATE",
            Some(RefusalCode::NonExistent) => "NONEXISTENT",
            Some(RefusalCode::AlreadyExists) => "ALREADYEXISTS",
            Some(RefusalCode::Cannot) => "CANNOT",
            Some(RefusalCode::UseAttr) => "USEATTR",
            Some(RefusalCode::HasChildren) => "HASCHILDREN",
            Some(RefusalCode::NoPerm) => "NOPERM",
            Some(RefusalCode::OverQuota) => "OVERQUOTA",
            Some(RefusalCode::Limit) => "LIMIT",
            Some(RefusalCode::TooBig) => "TOOBIG",
            Some(RefusalCode::Unavailable) => "UNAVAILABLE",
            Some(RefusalCode::ExpungeIssued) => "EXPUNGEISSUED",
            Some(RefusalCode::UnknownCte) => "UNKNOWN-CTE",
            Some(RefusalCode::ServerBug) => "SERVERBUG",
        };
        Self { condition: Condition::No, code: code.into(), text: refusal.text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_on_the_wire() {
        let table = [
            (Response::OK, "a OK Done\r\n"),
            (Response::READ_ONLY, "a OK [READ-ONLY] Selected for reading only\r\n"),
            (Response::OK.text("x\r\ny\u{e9}"), "a OK x??y?\r\n"),
            (Response::OK.text("[ALERT] x"), "a OK (ALERT] x\r\n"),
            (Response::OK.text(""), "a OK .\r\n"),
        ];
        for (response, wire) in table {
            let mut out = Vec::new();
            response.write(&mut out, "a");
            assert_eq!(String::from_utf8(out).unwrap(), wire);
        }
    }
}
