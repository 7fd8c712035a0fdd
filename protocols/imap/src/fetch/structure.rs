//! BODY and BODYSTRUCTURE on the wire (RFC 3501 §7.4.2, §9).
//!
//! Takes the parts that a stranger's message turned out to have. Recursion goes as deep as the parts lie,
//! `stoa_mime::limits::DEPTH_MAX` at most.

use super::envelope;
use crate::write::{nstring, number, quoted};
use stoa_mime::{Content, Part};

/// RFC 3501 §9: body = "(" (body-type-1part / body-type-mpart) ")", with extension data for BODYSTRUCTURE.
pub(crate) fn printed(part: &Part, extended: bool) -> Vec<u8> {
    let mut out = Vec::new();
    body(&mut out, part, extended);
    out
}

fn body(out: &mut Vec<u8>, part: &Part, extended: bool) {
    out.push(b'(');
    match &part.content {
        Content::Multipart(parts) if !parts.is_empty() => multipart(out, part, parts, extended),
        content => single(out, part, content, extended),
    }
    out.push(b')');
}

/// body-type-mpart = 1*body SP media-subtype [SP body-fld-param …]
fn multipart(out: &mut Vec<u8>, part: &Part, parts: &[Part], extended: bool) {
    parts.iter().for_each(|part| body(out, part, extended));
    out.push(b' ');
    quoted(out, part.content_type.subtype.as_bytes());
    if extended {
        out.push(b' ');
        parameters(out, &part.content_type.parameters);
        extension(out, part);
    }
}

/// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-fld-md5 …]
fn single(out: &mut Vec<u8>, part: &Part, content: &Content, extended: bool) {
    let (kind, subtype) = media_type(part, content);
    quoted(out, kind.as_bytes());
    out.push(b' ');
    quoted(out, subtype.as_bytes());
    out.push(b' ');
    parameters(out, &part.content_type.parameters);
    for text in [&part.description.id, &part.description.text] {
        out.push(b' ');
        nstring(out, text.as_deref());
    }
    out.push(b' ');
    // RFC 2045 §6.1: what is said of an encoding that is not named.
    quoted(out, part.description.encoding.as_deref().unwrap_or("7bit").as_bytes());
    octets(out, part.body.end.saturating_sub(part.body.start));
    match content {
        Content::Message(message) if (kind, subtype) == ("message", "rfc822") => {
            out.push(b' ');
            envelope::print(out, message.description.envelope.as_deref().unwrap_or(&stoa_mime::Envelope::default()));
            out.push(b' ');
            body(out, message, extended);
            octets(out, part.body_lines);
        }
        _ if kind == "text" => octets(out, part.body_lines),
        _ => {}
    }
    if extended {
        out.push(b' ');
        nstring(out, part.description.md5.as_deref());
        extension(out, part);
    }
}

/// A client reads from the type what comes after it, so a type that promises parts goes only to a part that has them.
/// A message/global (RFC 6532 §3.7) has basic fields alone in RFC 3501.
fn media_type<'a>(part: &'a Part, content: &Content) -> (&'a str, &'a str) {
    match (part.content_type.kind.as_str(), part.content_type.subtype.as_str()) {
        ("message", "rfc822") if !matches!(content, Content::Message(_)) => ("application", "octet-stream"),
        ("multipart", _) => ("application", "octet-stream"),
        named => named,
    }
}

/// SP number, which has 32 bits: a message is below 4 GiB.
fn octets(out: &mut Vec<u8>, count: u64) {
    out.push(b' ');
    number(out, count.min(u32::MAX.into()));
}

/// body-fld-param = "(" string SP string *(SP string SP string) ")" / nil
fn parameters(out: &mut Vec<u8>, parameters: &[(String, Vec<u8>)]) {
    if parameters.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (place, (name, value)) in parameters.iter().enumerate() {
        out.push(if place == 0 { b'(' } else { b' ' });
        quoted(out, name.as_bytes());
        out.push(b' ');
        quoted(out, value);
    }
    out.push(b')');
}

/// SP body-fld-dsp SP body-fld-lang SP body-fld-loc
fn extension(out: &mut Vec<u8>, part: &Part) {
    let description = &part.description;
    out.push(b' ');
    match &description.disposition {
        Some((kind, named)) => {
            out.push(b'(');
            quoted(out, kind.as_bytes());
            out.push(b' ');
            parameters(out, named);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    match description.languages.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => quoted(out, one.as_bytes()),
        several => {
            for (place, tag) in several.iter().enumerate() {
                out.push(if place == 0 { b'(' } else { b' ' });
                quoted(out, tag.as_bytes());
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, description.location.as_deref());
}
