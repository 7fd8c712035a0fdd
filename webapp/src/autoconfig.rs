//! The file by which a mail program configures itself.
//!
//! Mozilla's autoconfig format, version 1.1, which Thunderbird and others fetch from
//! [`PATH`] on the host of a mail address. It names servers and how to log in, no account, so that
//! anyone may read it.

use askama::Template;

use crate::{MailServer, Security, rendered};

/// Where mail programs look, on the mail domain itself and on `autoconfig.` in front of it.
pub const PATH: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";

/// What the file is served as.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// All that a mail program must know of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// The mail domain, such as `example.org`.
    pub domain: String,
    /// How the provider is called in the account's settings.
    pub display_name: String,
    /// Where mail is read; programs take the first that they can use.
    pub imap: Vec<MailServer>,
    /// Where mail is handed in; programs take the first that they can use.
    pub submission: Vec<MailServer>,
}

/// The file's text.
pub fn xml(settings: &MailSettings) -> String {
    // XML 1.0 §2.2 has no way to write most control characters, not even escaped.
    rendered(&File { settings }).chars().filter(|&c| is_xml_character(c)).collect()
}

#[derive(Template)]
#[template(path = "autoconfig.xml")]
struct File<'a> {
    settings: &'a MailSettings,
}

/// The format's own word for a connection's security.
fn socket_type(security: &Security) -> &'static str {
    match security {
        Security::Tls => "SSL",
        Security::StartTls => "STARTTLS",
    }
}

/// XML 1.0 §2.2: Char = #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]
pub(crate) fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> MailSettings {
        let server = |port, security| MailServer { host: "mail.example.org".into(), port, security };
        MailSettings {
            domain: "example.org".into(),
            display_name: "Example".into(),
            imap: vec![server(993, Security::Tls), server(143, Security::StartTls)],
            submission: vec![server(465, Security::Tls)],
        }
    }

    #[test]
    fn names_servers_in_order_with_their_security() {
        let text = xml(&settings());
        let wants = [
            r#"<clientConfig version="1.1">"#,
            r#"<emailProvider id="example.org">"#,
            "<domain>example.org</domain>",
            r#"<incomingServer type="imap">"#,
            "<port>993</port>",
            "<socketType>SSL</socketType>",
            "<username>%EMAILADDRESS%</username>",
            "<authentication>password-cleartext</authentication>",
            "<port>143</port>",
            "<socketType>STARTTLS</socketType>",
            r#"<outgoingServer type="smtp">"#,
            "<port>465</port>",
        ];
        let mut rest = text.as_str();
        for want in wants {
            let (_, after) = rest.split_once(want).unwrap_or_else(|| panic!("no {want} in\n{rest}"));
            rest = after;
        }
    }

    #[test]
    fn control_characters_are_left_out() {
        let text = xml(&MailSettings { display_name: "a\0b\u{1b}c\u{FFFE}d".into(), ..settings() });
        assert!(text.contains("<displayName>abcd</displayName>"));
    }
}
