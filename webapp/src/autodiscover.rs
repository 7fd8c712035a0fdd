//! Autodiscover: how Outlook asks for the settings of a mail address, and what it is told.
//!
//! The older form, "plain old XML", is a POST of a few elements; [`address`] finds the one that matters in it and [`xml`]
//! answers. The newer form ([`json`]) only tells where the older one is. Neither says whether the address has an account.

use askama::Template;

use crate::autoconfig::is_xml_character;
use crate::{MailServer, Security, rendered};

/// Where Outlook looks, on the mail domain and on `autodiscover.` in front of it, in the spellings that its versions use.
pub const PATHS: [&str; 3] = ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"];

/// Where newer versions ask first; an address may follow in the path.
pub const JSON_PATH: &str = "/autodiscover/autodiscover.json";

/// What the answer is served as.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// The names of the two forms of the answer; nothing is fetched from there.
const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const SETTINGS: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// An address has at most 254 characters (RFC 5321 §4.5.3.1.3), each of which may stand as a reference.
const ADDRESS_BYTES_MAX: usize = 2048;

/// What a mail program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name to log in with, if the program said whose settings it wants.
    pub login: Option<String>,
    /// Where mail is read.
    pub imap: Vec<MailServer>,
    /// Where mail is handed in.
    pub submission: Vec<MailServer>,
}

#[derive(Template)]
#[template(path = "autodiscover.xml")]
struct Answer<'a> {
    settings: &'a Settings,
    envelope: &'static str,
    form: &'static str,
}

#[derive(Template)]
#[template(path = "autodiscover-error.xml")]
struct Refusal {
    envelope: &'static str,
    code: u16,
    message: &'static str,
}

/// The answer for these settings.
pub fn xml(settings: &Settings) -> String {
    rendered(&Answer { settings, envelope: ENVELOPE, form: SETTINGS }).chars().filter(|&c| is_xml_character(c)).collect()
}

/// The answer to what cannot be understood.
pub fn invalid() -> String {
    rendered(&Refusal { envelope: ENVELOPE, code: 600, message: "Invalid Request" })
}

/// The answer for an address of a domain that is not kept here.
pub fn not_here() -> String {
    rendered(&Refusal { envelope: ENVELOPE, code: 500, message: "The email address can't be found." })
}

/// The newer form's answer: the URL of the older one.
pub fn json(url: &str) -> String {
    format!("{{\"Protocol\":\"AutodiscoverV1\",\"Url\":{}}}", json_text(url))
}

/// The newer form's answer to who asks for anything else.
pub fn json_refusal() -> String {
    "{\"ErrorCode\":\"ProtocolNotSupported\",\"ErrorMessage\":\"Only AutodiscoverV1 is offered.\"}".to_owned()
}

/// RFC 8259 §7.
fn json_text(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() || c == '<' => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json + "\""
}

/// The text of the element `EMailAddress` of a request, whatever else the request is: this reads no other XML.
pub fn address(request: &str) -> Option<String> {
    let (_, rest) = request.split_once("<EMailAddress>")?;
    let (text, _) = rest.split_once("</EMailAddress>")?;
    if text.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let mut address = String::new();
    let mut rest = text.trim();
    while let Some((before, reference)) = rest.split_once('&') {
        let (name, after) = reference.split_once(';')?;
        address.push_str(before);
        address.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "apos" => '\'',
            "quot" => '"',
            _ => return None,
        });
        rest = after;
    }
    Some(address + rest).filter(|address| !address.contains(['<', '>']) && !address.chars().any(char::is_control))
}

/// The format's own word.
fn encryption(security: &Security) -> &'static str {
    match security {
        Security::Tls => "SSL",
        Security::StartTls => "TLS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>
<EMailAddress>john&amp;co@example.org</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>"#;

    #[test]
    fn the_address_is_found() {
        assert_eq!(address(REQUEST).as_deref(), Some("john&co@example.org"));
        assert_eq!(address("<EMailAddress> a@b </EMailAddress>").as_deref(), Some("a@b"));
    }

    #[test]
    fn what_is_odd_is_refused() {
        let long = format!("<EMailAddress>{}</EMailAddress>", "a".repeat(ADDRESS_BYTES_MAX + 1));
        for request in [
            "",
            "<EMailAddress>a@b",
            "</EMailAddress><EMailAddress>",
            "<EMailAddress>&xxe;</EMailAddress>",
            "<EMailAddress>&#60;</EMailAddress>",
            "<EMailAddress>a&b</EMailAddress>",
            "<EMailAddress><b>a@b</b></EMailAddress>",
            "<EMailAddress>a&lt;b@c</EMailAddress>",
            "<EMailAddress>a\u{7}@b</EMailAddress>",
            long.as_str(),
        ] {
            assert_eq!(address(request), None, "{request}");
        }
    }

    #[test]
    fn servers_are_told_with_their_security() {
        let server = |port, security| MailServer { host: "mail.example.org".into(), port, security };
        let settings = Settings {
            login: Some("john@example.org".into()),
            imap: vec![server(993, Security::Tls)],
            submission: vec![server(587, Security::StartTls)],
        };
        let text = xml(&settings);
        let wants = [
            "<Action>settings</Action>",
            "<Type>IMAP</Type>",
            "<Server>mail.example.org</Server>",
            "<Port>993</Port>",
            "<LoginName>john@example.org</LoginName>",
            "<Encryption>SSL</Encryption>",
            "<Type>SMTP</Type>",
            "<Port>587</Port>",
            "<Encryption>TLS</Encryption>",
        ];
        let mut rest = text.as_str();
        for want in wants {
            let (_, after) = rest.split_once(want).unwrap_or_else(|| panic!("no {want} in\n{rest}"));
            rest = after;
        }
        assert!(!xml(&Settings { login: None, ..settings }).contains("LoginName"));
        assert!(invalid().contains("<ErrorCode>600</ErrorCode>") && not_here().contains("<ErrorCode>500</ErrorCode>"));
    }

    #[test]
    fn json_is_escaped() {
        assert_eq!(json("https://a/b"), r#"{"Protocol":"AutodiscoverV1","Url":"https://a/b"}"#);
        assert!(json("a\"\\\n<").ends_with(r#""a\"\\\u000a\u003c"}"#), "{}", json("a\"\\\n<"));
    }
}
