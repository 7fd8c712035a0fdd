//! The whole report around what is returned: header, the person's part, the machine's part (RFC 6522 §3).

use crate::text::{ascii, field, quoted_printable, tame};
use crate::{Action, Report, Returned};
use stoa_mime::date::{self, Date};

/// Of a text of somebody else in the report's own header.
const HEADER_CHARS_MAX: usize = 900;

/// Seconds since 1970 as a field has them, in UTC.
pub(crate) fn moment(seconds: i64) -> String {
    date::format(Date { seconds, offset_minutes: 0 })
}

impl Report<'_> {
    /// All up to what is returned.
    pub fn head(&self) -> Vec<u8> {
        let mut out = self.header();
        let part = |out: &mut String, kind: &str, encoding: &str| {
            out.push_str(&format!("\r\n--{}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n", self.boundary));
        };
        let text = self.human();
        if text.is_ascii() {
            part(&mut out, "text/plain; charset=us-ascii", "7bit");
            out.push_str(&text);
        } else {
            part(&mut out, "text/plain; charset=utf-8", "quoted-printable");
            out.push_str(&quoted_printable(&text));
        }
        // RFC 6533 §4: raw UTF-8 stands in a part of its own kind.
        match self.utf8 {
            true => part(&mut out, "message/global-delivery-status; charset=utf-8", "8bit"),
            false => part(&mut out, "message/delivery-status", "7bit"),
        }
        out.push_str(&self.machine());
        let (kind, encoding) = self.returned_type();
        part(&mut out, kind, encoding);
        out.into_bytes()
    }

    /// All after what is returned.
    pub fn tail(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    /// Does what [`Report::head`] and the returned part hold need 8BITMIME?
    pub fn is_eight_bit(&self) -> bool {
        self.utf8 || matches!(self.returned, Returned::Message { eight_bit: true })
    }

    fn header(&self) -> String {
        let mut out = field("From", &format!("Mail delivery at {} <{}>", self.reporter, self.from));
        out.push_str(&field("To", &format!("<{}>", self.to)));
        out.push_str(&field("Subject", self.title()));
        out.push_str(&field("Date", &moment(self.now)));
        out.push_str(&field("Message-ID", &format!("<{}>", self.message_id)));
        if let Some(about) = self.about.filter(|about| is_message_id(about)) {
            out.push_str(&field("In-Reply-To", about));
            out.push_str(&field("References", about));
        }
        // RFC 3834 §5: nobody's program answers this.
        out.push_str(&field("Auto-Submitted", "auto-replied"));
        out.push_str(&field("MIME-Version", "1.0"));
        let kind = format!("multipart/report; report-type=delivery-status; boundary=\"{}\"", self.boundary);
        out.push_str(&field("Content-Type", &kind));
        out.push_str(&field("Content-Transfer-Encoding", if self.is_eight_bit() { "8bit" } else { "7bit" }));
        out
    }

    /// The worst of what is told.
    pub(crate) fn worst(&self) -> Action {
        self.recipients.iter().map(|recipient| recipient.action).min().unwrap_or(Action::Relayed)
    }

    fn title(&self) -> &'static str {
        match self.worst() {
            Action::Failed => "Your message could not be delivered",
            Action::Delayed => "Your message is not delivered yet",
            Action::Delivered => "Your message was delivered",
            Action::Relayed | Action::Expanded => "Your message was handed on",
        }
    }

    /// RFC 6522 §3 and RFC 6533 §5 name the kinds.
    fn returned_type(&self) -> (&'static str, &'static str) {
        match (self.returned, self.utf8) {
            (Returned::Message { .. }, true) => ("message/global", "8bit"),
            (Returned::Message { eight_bit: true }, false) => ("message/rfc822", "8bit"),
            (Returned::Message { eight_bit: false }, false) => ("message/rfc822", "7bit"),
            (Returned::Header, true) => ("message/global-headers; charset=utf-8", "8bit"),
            (Returned::Header, false) => ("text/rfc822-headers", "7bit"),
        }
    }
}

/// Fit for a header of ours: one pair of brackets, nothing that ends a line.
fn is_message_id(text: &str) -> bool {
    let inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inside
        .is_some_and(|id| !id.is_empty() && id.len() <= HEADER_CHARS_MAX && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b)))
}

/// The header of a message that begins so, ready to be returned; without `utf8` in ASCII. Whole lines only: the end of
/// one that was cut off is left out. Every line ends with CRLF.
pub fn headers_only(beginning: &[u8], utf8: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(beginning);
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { break };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let line: String = line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        out.push_str(&if utf8 { line } else { ascii(&line) });
        out.push_str("\r\n");
    }
    out.into_bytes()
}

/// What stands in a field of the machine's part, of any length.
pub(crate) fn value(text: &str, utf8: bool) -> String {
    let text = tame(text, HEADER_CHARS_MAX);
    if utf8 { text } else { ascii(&text.replace('…', "...")) }
}
