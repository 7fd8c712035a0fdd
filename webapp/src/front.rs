//! The front page: what this server is, and what to enter in a mail program.

use askama::Template;

use crate::{Audience, MailServer, rendered};

/// The page at `/`.
#[derive(Clone, Debug, Template)]
#[template(path = "front.html")]
pub struct FrontPage {
    /// The mail domain, such as `example.org`.
    pub domain: String,
    /// Where mail is read, the preferred way first.
    pub imap: Vec<MailServer>,
    /// Where mail is handed in, the preferred way first.
    pub submission: Vec<MailServer>,
    /// Whether the certificate is signed by an authority that no mail program knows yet.
    pub ca_note: bool,
    /// Whether this is the demo, which has a page to try mail with.
    pub demo: bool,
}

impl FrontPage {
    /// The finished page, in HTML.
    pub fn render(&self) -> String {
        rendered(self)
    }

    fn title(&self) -> String {
        format!("The personal server of {}", self.domain)
    }

    fn audience(&self) -> Audience {
        // The demo listens on the loopback address alone.
        if self.demo { Audience::ThisMachine } else { Audience::Public }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    fn page() -> FrontPage {
        FrontPage {
            domain: "example.org".into(),
            imap: vec![MailServer { host: "mail.example.org".into(), port: 993, security: Security::Tls }],
            submission: vec![MailServer { host: "mail.example.org".into(), port: 587, security: Security::StartTls }],
            ca_note: false,
            demo: false,
        }
    }

    #[test]
    fn lists_every_server() {
        let html = page().render();
        for part in ["mail.example.org", ">993<", ">587<", "SSL/TLS", "STARTTLS", "name@example.org"] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }

    #[test]
    fn only_the_demo_links_to_its_page() {
        assert!(!page().render().contains("/demo"));
        assert!(FrontPage { demo: true, ..page() }.render().contains(r#"href="/demo""#));
    }

    #[test]
    fn the_badge_tells_the_demo_from_the_real_server() {
        assert!(page().render().contains("<strong>Public:</strong> anyone can see this page"));
        assert!(FrontPage { demo: true, ..page() }.render().contains("only this computer can see this page"));
    }

    #[test]
    fn the_certificate_is_explained_where_it_is_strange() {
        assert!(!page().render().contains("authority"));
        assert!(FrontPage { ca_note: true, ..page() }.render().contains("authority"));
    }
}
