//! What a header block says of its part: content type, description, envelope (RFC 2045, RFC 2183, RFC 3282, RFC 5322).
//!
//! Reads bytes from strangers. Of a field that occurs twice the first counts, but address lists are joined, since
//! programs that may not write two of them still do.

use crate::address;
use crate::header::{Field, fields};
use crate::limits::LANGUAGES_MAX;
use crate::parameters;
use crate::part::{Address, ContentType, Description, Envelope, Parameters};
use crate::structured::{Cursor, is_token};

/// RFC 2045 §5.1: type "/" subtype *(";" parameter), unfolded. None if it does not begin so.
pub fn content_type(value: &[u8]) -> Option<ContentType> {
    let mut cursor = Cursor::new(value);
    let kind = token(&mut cursor)?;
    cursor.skip_space();
    if !cursor.accept(b'/') {
        return None;
    }
    let subtype = token(&mut cursor)?;
    Some(ContentType { kind, subtype, parameters: parameters::read(&mut cursor) })
}

/// RFC 2183 §2: disposition-type *(";" disposition-parm), unfolded. None if it does not begin so.
pub fn disposition(value: &[u8]) -> Option<(String, Parameters)> {
    let mut cursor = Cursor::new(value);
    let kind = token(&mut cursor)?;
    Some((kind, parameters::read(&mut cursor)))
}

/// RFC 3282 §2: Content-Language = *(Language-Tag ","), with comments, unfolded.
pub fn languages(value: &[u8]) -> Vec<String> {
    let (mut cursor, mut tags) = (Cursor::new(value), Vec::new());
    while cursor.peek().is_some() && tags.len() < LANGUAGES_MAX {
        match token(&mut cursor) {
            Some(tag) => tags.push(tag),
            None => drop(cursor.take()),
        }
    }
    tags
}

/// RFC 2045 §6.1: mechanism = token, in lower case.
pub fn encoding(value: &[u8]) -> Option<String> {
    token(&mut Cursor::new(value))
}

/// The next token, in lower case.
fn token(cursor: &mut Cursor) -> Option<String> {
    cursor.skip_space();
    let token = cursor.take_while(is_token);
    (!token.is_empty()).then(|| String::from_utf8_lossy(token).to_ascii_lowercase())
}

/// Where nothing is said (RFC 2045 §5.2); without the parameter, since nothing is sure.
pub(crate) fn plain_text() -> ContentType {
    ContentType { kind: "text".to_owned(), subtype: "plain".to_owned(), parameters: Vec::new() }
}

/// What a part is for which nothing else may be said, as of RFC 2045 §6.4.
pub(crate) fn opaque() -> ContentType {
    ContentType { kind: "application".to_owned(), subtype: "octet-stream".to_owned(), parameters: Vec::new() }
}

/// Reads the fields of a block that describe a part. The type is none where the field is missing; a broken one is
/// [`plain_text`].
pub(crate) fn describe(block: &[u8]) -> (Option<ContentType>, Description) {
    let (mut kind, mut description) = (None, Description::default());
    for field in fields(block) {
        let name = field.name.to_ascii_lowercase();
        match name.as_slice() {
            b"content-type" if kind.is_none() => kind = Some(content_type(&field.value()).unwrap_or_else(plain_text)),
            b"content-id" => first(&mut description.id, &field),
            b"content-description" => first(&mut description.text, &field),
            b"content-md5" => first(&mut description.md5, &field),
            b"content-location" => first(&mut description.location, &field),
            b"content-transfer-encoding" if description.encoding.is_none() => description.encoding = encoding(&field.value()),
            b"content-disposition" if description.disposition.is_none() => description.disposition = disposition(&field.value()),
            b"content-language" if description.languages.is_empty() => description.languages = languages(&field.value()),
            _ => {}
        }
    }
    (kind, description)
}

/// The envelope of a message with this header block. Takes from `addresses_left` what its lists hold.
pub(crate) fn envelope(block: &[u8], addresses_left: &mut usize) -> Envelope {
    let mut envelope = Envelope::default();
    for field in fields(block) {
        let name = field.name.to_ascii_lowercase();
        match name.as_slice() {
            b"date" => first(&mut envelope.date, &field),
            b"subject" => first(&mut envelope.subject, &field),
            b"in-reply-to" => first(&mut envelope.in_reply_to, &field),
            b"message-id" => first(&mut envelope.message_id, &field),
            b"from" => join(&mut envelope.from, &field, addresses_left),
            b"sender" => join(&mut envelope.sender, &field, addresses_left),
            b"reply-to" => join(&mut envelope.reply_to, &field, addresses_left),
            b"to" => join(&mut envelope.to, &field, addresses_left),
            b"cc" => join(&mut envelope.cc, &field, addresses_left),
            b"bcc" => join(&mut envelope.bcc, &field, addresses_left),
            _ => {}
        }
    }
    envelope
}

fn first(text: &mut Option<Vec<u8>>, field: &Field) {
    text.get_or_insert_with(|| field.value().into_owned());
}

fn join(list: &mut Vec<Address>, field: &Field, left: &mut usize) {
    let more = address::list(&field.value(), *left);
    *left -= more.len();
    list.extend(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let shown = |value: &str| content_type(value.as_bytes()).map(|it| (format!("{}/{}", it.kind, it.subtype), it.parameters.len()));
        assert_eq!(shown("Text/HTML; charset=utf-8"), Some(("text/html".into(), 1)));
        assert_eq!(shown("(a) text (b) / (c) plain (d)"), Some(("text/plain".into(), 0)));
        assert_eq!(shown("image/png name=x"), Some(("image/png".into(), 1)));
        for broken in ["", "text", "text/", "/plain", "; a=b"] {
            assert_eq!(shown(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_description() {
        let block = b"Content-ID: <a@b>\r\ncontent-transfer-encoding: BASE64 (x)\r\nContent-Disposition: Attachment;\r\n filename=a\r\n\
            Content-Language: de, EN (x)\r\nContent-ID: <second>\r\nContent-: x\r\n";
        let (kind, description) = describe(block);
        assert_eq!(kind, None);
        assert_eq!(description.id, Some(b"<a@b>".to_vec()));
        assert_eq!(description.encoding.as_deref(), Some("base64"));
        assert_eq!(description.disposition, Some(("attachment".into(), vec![("filename".into(), b"a".to_vec())])));
        assert_eq!(description.languages, ["de", "en"]);
    }

    #[test]
    fn lists_are_joined_and_bounded() {
        let mut left = 5;
        let envelope = envelope(b"To: a@b\r\nTo: c@d\r\nCc: e@f, g@h, i@j\r\nSubject: a\r\n b\r\n", &mut left);
        assert_eq!((envelope.to.len(), envelope.cc.len(), left), (2, 2, 1));
        assert_eq!(envelope.subject, Some(b"a b".to_vec()));
    }
}
