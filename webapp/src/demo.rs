//! The demo's page: send a message as an invented outsider, and see where it arrives.

use askama::Template;
use serde::Deserialize;

use crate::{Audience, rendered};

/// The page at `/demo`. It is for the loopback address alone; whoever serves it must see to that.
#[derive(Clone, Debug, Template)]
#[template(path = "demo.html")]
pub struct DemoPage {
    /// The owner's address, whose mailboxes the page shows.
    pub owner: String,
    /// The token that proves that a form came from this page.
    pub csrf: String,
    /// What became of the last message, if one was just sent.
    pub notice: Option<Notice>,
    /// What the form holds when it opens.
    pub form: DemoForm,
    /// The owner's INBOX, newest first.
    pub inbox: Vec<MessageLine>,
    /// Mail to the outside world, which the demo catches; newest first.
    pub outside: Vec<MessageLine>,
}

/// How an attempt to send went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether the message was accepted.
    pub ok: bool,
    /// One sentence about it, such as the server's own reply.
    pub text: String,
}

/// The fields of the message to send. A missing field is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DemoForm {
    /// The sender's address.
    pub from: String,
    /// The recipient's address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The body, as the browser sends it: lines end in CRLF.
    pub text: String,
}

/// What `POST /demo` carries, as `application/x-www-form-urlencoded`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DemoPost {
    /// The token from [`DemoPage::csrf`], to be compared before anything else is done.
    pub csrf: String,
    /// The message.
    #[serde(flatten)]
    pub form: DemoForm,
}

/// One message in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageLine {
    /// The sender's name or address.
    pub from: String,
    /// The subject, decoded; may be empty.
    pub subject: String,
    /// When it arrived, for people to read.
    pub date: String,
    /// The beginning of its text.
    pub preview: String,
    /// Whether nobody has read it yet.
    pub unread: bool,
}

impl DemoPage {
    /// The finished page, in HTML.
    pub fn render(&self) -> String {
        rendered(self)
    }

    fn title(&self) -> &'static str {
        "Try it: send a message"
    }

    fn audience(&self) -> Audience {
        Audience::ThisMachine
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    fn page() -> DemoPage {
        DemoPage {
            owner: "socrates@stoa.localhost".into(),
            csrf: "token-1".into(),
            notice: None,
            form: DemoForm::default(),
            inbox: Vec::new(),
            outside: Vec::new(),
        }
    }

    fn line(subject: &str, unread: bool) -> MessageLine {
        MessageLine { from: "Crito".into(), subject: subject.into(), unread, ..MessageLine::default() }
    }

    #[test]
    fn the_form_posts_its_token_and_labels_its_fields() {
        let html = page().render();
        assert!(html.contains(r#"<form method="post" action="/demo""#));
        assert!(html.contains(r#"<input type="hidden" name="csrf" value="token-1">"#));
        for field in ["from", "to", "subject", "text"] {
            assert!(html.contains(&format!(r#"<label for="{field}">"#)), "{field} has no label");
            assert!(html.contains(&format!(r#"id="{field}" name="{field}""#)), "{field} has no field");
        }
    }

    #[test]
    fn empty_mailboxes_say_so() {
        let html = page().render();
        assert!(html.contains("No messages yet."));
        assert!(html.contains("Nothing was sent to the outside yet."));
    }

    #[test]
    fn messages_keep_their_order_and_an_empty_subject_is_named() {
        let html = DemoPage { inbox: vec![line("Second", true), line("", false)], ..page() }.render();
        assert!(html.find("Second") < html.find("(no subject)"));
        assert_eq!(html.matches("unread").count(), 2, "one class and one word, for one message");
    }

    #[test]
    fn a_notice_is_announced_by_how_it_went() {
        let notice = |ok| DemoPage { notice: Some(Notice { ok, text: "250 OK".into() }), ..page() }.render();
        assert!(notice(true).contains(r#"role="status""#));
        assert!(notice(false).contains(r#"role="alert""#));
    }

    #[test]
    fn text_keeps_its_first_empty_line() {
        // HTML drops one line break after <textarea>, so the template has to bring its own.
        let form = DemoForm { text: "\nlater".into(), ..DemoForm::default() };
        assert!(DemoPage { form, ..page() }.render().contains(">\n\nlater</textarea>"));
    }

    #[test]
    fn a_post_is_read_with_missing_fields() {
        let pairs = [("csrf", "token-1"), ("to", "socrates@stoa.localhost")];
        let post = DemoPost::deserialize(MapDeserializer::<_, Error>::new(pairs.into_iter())).unwrap();
        assert_eq!(post.csrf, "token-1");
        assert_eq!(post.form, DemoForm { to: "socrates@stoa.localhost".into(), ..DemoForm::default() });
    }
}
