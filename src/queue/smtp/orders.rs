//! What we tell a host about a message, given what it offers: MAIL and RCPT lines, or why a recipient cannot be served.
//!
//! Nothing is sent that the host did not say it takes: 8-bit text (RFC 6152), binary (RFC 3030), UTF-8 in addresses and
//! header (RFC 6531), large messages (RFC 1870). Where a message turns out to need less than was declared, it goes out
//! with less; where it does not, its sender is told.

use super::super::carrier::Status;
use super::body::Nature;
use super::offer::Offer;
use crate::store::{Queued, QueuedRecipient};
use stoa_smtp::to_xtext;

/// RFC 3030 BODY=BINARYMIME as [`Queued::content`] writes it.
const BINARY: u8 = 2;

/// RFC 3461 §4.1: each bit of [`QueuedRecipient::notify`].
const NOTIFY: [(u8, &str); 4] = [(1, "NEVER"), (2, "SUCCESS"), (4, "FAILURE"), (8, "DELAY")];

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orders {
    /// With CRLF.
    pub mail: String,
    /// For each recipient its line with CRLF, or why there is none.
    pub recipients: Vec<Result<String, Refused>>,
    /// With BDAT as it is, and not with DATA.
    pub binary: bool,
}

/// This host cannot have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: Status,
    pub text: String,
}

fn refused(status: Status, text: impl Into<String>) -> Refused {
    Refused { status, text: text.into() }
}

/// Must the message be looked through to know what it needs? Seldom, since most hosts offer what it may need.
pub(super) fn needs_a_look(offer: &Offer, message: &Queued) -> bool {
    !offer.eight_bit || message.content == BINARY && !offer.binary || message.smtputf8 && !offer.smtputf8
}

/// What is to be said of this message, whose octets are `size`; `nature` is there if [`needs_a_look`] says so.
pub(super) fn orders(
    offer: &Offer,
    message: &Queued,
    recipients: &[&QueuedRecipient],
    size: u64,
    nature: Option<Nature>,
) -> Result<Orders, Refused> {
    if let Some(Some(size_max)) = offer.size.filter(|max| max.is_some_and(|max| size > max)) {
        return Err(refused(Status(5, 3, 4), format!("the message has {size} octets and the host takes at most {size_max}")));
    }
    let binary = message.content == BINARY && nature.is_none_or(|nature| nature.binary);
    let body = body(offer, binary, nature)?;
    let utf8 = message.smtputf8 && offer.smtputf8;
    if message.smtputf8 && !utf8 && nature.is_some_and(|nature| nature.header_8bit) {
        return Err(refused(Status(5, 6, 7), "the message's header is internationalized and the host does not take that (SMTPUTF8)"));
    }
    let mut mail = format!("MAIL FROM:<{}>", address(&message.reverse_path, utf8)?);
    if offer.size.is_some() {
        mail.push_str(&format!(" SIZE={size}"));
    }
    mail.push_str(body);
    if utf8 {
        mail.push_str(" SMTPUTF8");
    }
    if offer.dsn {
        mail.push_str(match message.ret {
            1 => " RET=FULL",
            2 => " RET=HDRS",
            _ => "",
        });
        if let Some(id) = &message.envelope_id {
            mail.push_str(&format!(" ENVID={}", to_xtext(id)));
        }
    }
    mail.push_str("\r\n");
    let recipients = recipients.iter().map(|recipient| rcpt(offer, recipient, utf8)).collect();
    Ok(Orders { mail, recipients, binary })
}

fn body(offer: &Offer, binary: bool, nature: Option<Nature>) -> Result<&'static str, Refused> {
    match (binary, offer.binary, offer.eight_bit) {
        (true, true, _) => Ok(" BODY=BINARYMIME"),
        // RFC 3030 §3: never without the host's word.
        (true, false, _) => Err(refused(Status(5, 6, 3), "the message is binary and the host does not take that (BINARYMIME)")),
        // RFC 6152 §2: it may hold 8-bit text; a message of 7 bits may be declared so.
        (false, _, true) => Ok(" BODY=8BITMIME"),
        (false, _, false) if nature.is_some_and(|nature| nature.eight_bit) => {
            Err(refused(Status(5, 6, 3), "the message holds 8-bit text and the host does not take that (8BITMIME)"))
        }
        (false, _, false) => Ok(""),
    }
}

fn rcpt(offer: &Offer, recipient: &QueuedRecipient, utf8: bool) -> Result<String, Refused> {
    let mut line = format!("RCPT TO:<{}>", address(&recipient.address, utf8)?);
    if offer.dsn {
        let wanted: Vec<&str> = NOTIFY.iter().filter(|(bit, _)| recipient.notify & bit != 0).map(|(_, word)| *word).collect();
        if !wanted.is_empty() {
            line.push_str(&format!(" NOTIFY={}", wanted.join(",")));
        }
        if let Some(original) = recipient.original.as_deref().and_then(|original| original_recipient(original, utf8)) {
            line.push_str(&format!(" ORCPT={original}"));
        }
    }
    line.push_str("\r\n");
    Ok(line)
}

/// An address as it goes out: with SMTPUTF8 as it is, else in ASCII, its domain in A-labels (RFC 5890).
fn address(address: &str, utf8: bool) -> Result<String, Refused> {
    if address.contains(|c: char| c.is_control()) {
        return Err(refused(Status(5, 1, 3), "the address holds control characters"));
    }
    if utf8 || address.is_ascii() {
        return Ok(address.to_owned());
    }
    let ascii = address.rsplit_once('@').filter(|(local, _)| local.is_ascii());
    let ascii = ascii.and_then(|(local, domain)| Some(format!("{local}@{}", idna::domain_to_ascii(domain).ok()?)));
    ascii.ok_or_else(|| {
        refused(Status(5, 6, 7), format!("the address {address} is internationalized and the host does not take that (SMTPUTF8)"))
    })
}

/// RFC 3461 §4.2: `addr-type ";" xtext`; what is not ASCII has type `utf-8` and escapes of its own (RFC 6533 §3).
fn original_recipient(original: &str, utf8: bool) -> Option<String> {
    let (kind, address) = original.split_once(';')?;
    let is_unicode = kind.eq_ignore_ascii_case("utf-8");
    if !is_unicode && address.is_ascii() {
        return Some(format!("{kind};{}", to_xtext(address)));
    }
    let mut escaped = String::new();
    for c in address.chars() {
        match c {
            // One of this type came with its escapes.
            '\\' if is_unicode => escaped.push(c),
            '!'..='~' if !matches!(c, '+' | '=' | '\\') => escaped.push(c),
            c if !c.is_ascii() && !c.is_control() && utf8 => escaped.push(c),
            c => escaped.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    Some(format!("utf-8;{escaped}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BodyRef;
    use bytes::Bytes;

    fn message(content: u8, smtputf8: bool) -> Queued {
        Queued {
            reverse_path: "a@one.test".to_owned(),
            prefix: Bytes::new(),
            body: BodyRef { hash: [0; 32], size: 0 },
            ret: 2,
            envelope_id: Some("x y".to_owned()),
            accepted: 0,
            smtputf8,
            content,
            hold: None,
            signer: None,
            account: None,
            released: false,
            recipients: Vec::new(),
        }
    }

    fn recipient(address: &str) -> QueuedRecipient {
        QueuedRecipient {
            address: address.to_owned(),
            notify: 6,
            original: Some("rfc822;b@two.test".to_owned()),
            next_attempt: 0,
            attempts: 0,
            last: None,
            delay_told: false,
            done: None,
        }
    }

    fn all() -> Offer {
        Offer { eight_bit: true, smtputf8: true, dsn: true, chunking: true, binary: true, size: Some(Some(1000)), ..Offer::default() }
    }

    fn told(offer: &Offer, message: &Queued, to: &str, nature: Nature) -> Result<(String, Result<String, Refused>), Refused> {
        let recipient = recipient(to);
        let nature = needs_a_look(offer, message).then_some(nature);
        let mut orders = orders(offer, message, &[&recipient], 900, nature)?;
        Ok((orders.mail.trim_end().to_owned(), orders.recipients.remove(0).map(|line| line.trim_end().to_owned())))
    }

    #[test]
    fn what_is_offered_is_used() {
        let (mail, rcpt) = told(&all(), &message(1, true), "b@two.test", Nature::default()).unwrap();
        assert_eq!(mail, "MAIL FROM:<a@one.test> SIZE=900 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+20y");
        assert_eq!(rcpt.unwrap(), "RCPT TO:<b@two.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@two.test");
        let (mail, _) = told(&all(), &message(2, false), "b@two.test", Nature::default()).unwrap();
        assert!(mail.contains("BODY=BINARYMIME"), "{mail}");
    }

    #[test]
    fn the_original_recipient_is_written_as_the_next_host_reads_it() {
        let table = [
            ("rfc822;john+tag@x.example", true, "rfc822;john+2Btag@x.example"),
            ("rfc822;a=b@x.example", false, "rfc822;a+3Db@x.example"),
            ("rfc822;b\u{e9}@x.example", true, "utf-8;b\u{e9}@x.example"),
            ("rfc822;b\u{e9}@x.example", false, "utf-8;b\\x{E9}@x.example"),
            ("utf-8;b\\x{E9}@x.example", false, "utf-8;b\\x{E9}@x.example"),
            ("rfc822;a\r\nQUIT", false, "rfc822;a+0D+0AQUIT"),
        ];
        for (original, utf8, line) in table {
            assert_eq!(original_recipient(original, utf8).as_deref(), Some(line), "{original}");
        }
    }

    #[test]
    fn what_is_not_offered_is_not_said() {
        let (mail, rcpt) = told(&Offer::default(), &message(1, true), "b@two.test", Nature::default()).unwrap();
        assert_eq!((mail.as_str(), rcpt.unwrap().as_str()), ("MAIL FROM:<a@one.test>", "RCPT TO:<b@two.test>"));
    }

    #[test]
    fn eight_bits_and_binary_are_never_sent_unasked() {
        let eight_bit = Nature { eight_bit: true, ..Nature::default() };
        let refused = told(&Offer::default(), &message(0, false), "b@two.test", eight_bit).unwrap_err();
        assert_eq!(refused.status, Status(5, 6, 3));
        let offer = Offer { binary: false, ..all() };
        let binary = Nature { binary: true, ..Nature::default() };
        assert_eq!(told(&offer, &message(2, false), "b@two.test", binary).unwrap_err().status, Status(5, 6, 3));
        // Declared binary, and plain text after all.
        let (mail, _) = told(&offer, &message(2, false), "b@two.test", Nature::default()).unwrap();
        assert!(mail.contains("BODY=8BITMIME"), "{mail}");
    }

    #[test]
    fn utf8_is_sent_where_it_is_taken_and_avoided_where_it_can_be() {
        let offer = Offer { smtputf8: false, ..all() };
        let (_, rcpt) = told(&all(), &message(0, true), "b\u{e9}@b\u{fc}cher.test", Nature::default()).unwrap();
        assert!(rcpt.unwrap().starts_with("RCPT TO:<b\u{e9}@b\u{fc}cher.test>"));
        let (mail, rcpt) = told(&offer, &message(0, true), "b@b\u{fc}cher.test", Nature::default()).unwrap();
        assert!(!mail.contains("SMTPUTF8") && rcpt.unwrap().starts_with("RCPT TO:<b@xn--bcher-kva.test>"), "{mail}");
        let (_, rcpt) = told(&offer, &message(0, true), "b\u{e9}@two.test", Nature::default()).unwrap();
        assert_eq!(rcpt.unwrap_err().status, Status(5, 6, 7));
        let header = Nature { header_8bit: true, eight_bit: true, binary: false };
        assert_eq!(told(&offer, &message(0, true), "b@two.test", header).unwrap_err().status, Status(5, 6, 7));
    }

    #[test]
    fn a_message_that_is_too_large_is_not_begun() {
        let offer = Offer { size: Some(Some(899)), ..all() };
        assert_eq!(told(&offer, &message(0, false), "b@two.test", Nature::default()).unwrap_err().status, Status(5, 3, 4));
    }

    #[test]
    fn no_line_carries_another() {
        let (_, rcpt) = told(&all(), &message(0, false), "b@two.test>\r\nRCPT TO:<c@two.test", Nature::default()).unwrap();
        assert_eq!(rcpt.unwrap_err().status, Status(5, 1, 3));
        let mut evil = message(0, false);
        evil.envelope_id = Some("a\r\nQUIT".to_owned());
        assert!(told(&all(), &evil, "b@two.test", Nature::default()).unwrap().0.ends_with(" ENVID=a+0D+0AQUIT"));
    }
}
