//! The page that helps people set up a mail program: they type their address and get what their program wants.
//!
//! It looks nothing up: who has no account here gets the same page as who has one.

use askama::Template;

use crate::{Audience, MailServer, rendered};

/// Where the page is, with the address as the query's `address`.
pub const PATH: &str = "/mail-setup";

/// A square of dark and light modules that a phone's camera reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrCode {
    /// Modules of one side, with the light border.
    pub side: usize,
    /// The dark modules as the data of an SVG path, each a unit wide.
    pub path: String,
}

/// What a page for one address shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForAddress {
    /// The address.
    pub address: String,
    /// Where its profile for Apple's devices is, on this server, if it has one.
    pub profile: Option<String>,
    /// The same with the server's name, for a phone.
    pub qr: Option<QrCode>,
}

/// The page at [`PATH`].
#[derive(Clone, Debug, Template)]
#[template(path = "setup.html")]
pub struct SetupPage {
    /// The mail domain, such as `example.org`.
    pub domain: String,
    /// What was typed; it may be anything.
    pub typed: String,
    /// What is wrong with it, in a sentence.
    pub problem: Option<String>,
    /// What to show, if nothing is.
    pub found: Option<ForAddress>,
    /// Where mail is read, the preferred way first.
    pub imap: Vec<MailServer>,
    /// Where mail is handed in, the preferred way first.
    pub submission: Vec<MailServer>,
    /// Whether this is the demo.
    pub demo: bool,
}

impl SetupPage {
    /// The finished page, in HTML.
    pub fn render(&self) -> String {
        rendered(self)
    }

    fn title(&self) -> String {
        match &self.found {
            Some(found) => format!("Set up mail for {}", found.address),
            None => format!("Set up mail at {}", self.domain),
        }
    }

    fn audience(&self) -> Audience {
        if self.demo { Audience::ThisMachine } else { Audience::Public }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    fn page() -> SetupPage {
        SetupPage {
            domain: "example.org".into(),
            typed: String::new(),
            problem: None,
            found: None,
            imap: vec![MailServer { host: "mail.example.org".into(), port: 993, security: Security::Tls }],
            submission: vec![MailServer { host: "mail.example.org".into(), port: 465, security: Security::Tls }],
            demo: false,
        }
    }

    #[test]
    fn first_it_asks_for_the_address() {
        let html = page().render();
        assert!(html.contains(r#"<form method="get" action="/mail-setup">"#) && html.contains("Set up mail at example.org"));
        assert!(!html.contains("993") && !html.contains("<svg"));
    }

    #[test]
    fn then_it_shows_what_each_program_wants() {
        let qr = QrCode { side: 29, path: "M4 4h7v1h-7z".into() };
        let profile = "/mail-setup/profile.mobileconfig?address=john%40example.org";
        let found = ForAddress { address: "john@example.org".into(), profile: Some(profile.into()), qr: Some(qr) };
        let html = SetupPage { found: Some(found), typed: "john@example.org".into(), ..page() }.render();
        for part in [
            "993",
            "465",
            "SSL/TLS",
            "Thunderbird",
            "Outlook",
            profile,
            r#"viewBox="0 0 29 29""#,
            "M4 4h7v1h-7z",
            r#"value="john@example.org""#,
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_the_field() {
        let html = SetupPage { problem: Some("That is no address.".into()), typed: "john".into(), ..page() }.render();
        assert!(html.contains(r#"aria-describedby="problem""#) && html.contains(r#"id="problem""#) && html.contains("That is no address."));
    }
}
