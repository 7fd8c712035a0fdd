//! Parts without their Content-Transfer-Encoding (RFC 3516 §4.2, §4.3).
//!
//! How a part is encoded is read from its own header, also of messages whose summary knows nothing of it. What comes out is
//! measured in a first pass, since a literal begins with its length and only `~{n}` may hold NUL; a second pass sends it.
//! Both take the octets as they are read, so that memory does not grow with the part.
//!
//! Only a leaf is encoded (RFC 9051 §6.4.5): a multipart, a message within, and the whole message go out as they stand.

use super::item::{Partial, cut};
use std::ops::Range;
use stoa_mime::content;
use stoa_mime::header::fields;
use stoa_mime::parameter;
use stoa_mime::transfer::{Decoder, Encoding};

/// A part's encoding that nobody here knows: the request fails with UNKNOWN-CTE (RFC 3516 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEncoding;

/// What is to be decoded, and what was found out about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoding {
    numbers: Vec<u32>,
    partial: Option<Partial>,
    range: Range<u64>,
    form: Form,
    len: u64,
    has_nul: bool,
}

/// How the octets of a part become those a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Form {
    encoding: Encoding,
    /// RFC 3516 §4.3: lines of text end with CRLF, however they are stored.
    lines: bool,
}

impl Form {
    /// Of a leaf with this header.
    pub(super) fn of(header: &[u8]) -> Result<Self, UnknownEncoding> {
        let value = |name: &str| fields(header).find(|field| field.is(name)).map(|field| field.value().into_owned());
        let encoding = match value("Content-Transfer-Encoding").and_then(|value| content::encoding(&value)).as_deref() {
            None | Some("7bit" | "8bit" | "binary") => Encoding::Identity,
            Some("base64") => Encoding::Base64,
            Some("quoted-printable") => Encoding::QuotedPrintable,
            Some(_) => return Err(UnknownEncoding),
        };
        let lines = match value("Content-Type").and_then(|value| content::content_type(&value)) {
            None => true,
            Some(kind) if kind.kind == "text" => {
                let charset = parameter(&kind.parameters, "charset").unwrap_or_default().to_ascii_lowercase();
                // There a line end has more octets than one, and LF alone is half of a letter.
                !["utf-16", "utf-32", "iso-10646-ucs"].iter().any(|wide| charset.starts_with(wide))
            }
            Some(_) => false,
        };
        Ok(Self { encoding, lines })
    }
}

impl Decoding {
    pub(super) fn new(numbers: Vec<u32>, partial: Option<Partial>, range: Range<u64>, form: Form) -> Self {
        Self { numbers, partial, range, form, len: 0, has_nul: false }
    }

    /// Where the octets to be decoded lie in the message.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// A pass over them.
    pub fn pass(&self) -> Pass {
        Pass {
            decoder: Decoder::new(self.form.encoding),
            lines: self.form.lines,
            after_cr: false,
            at: 0,
            wanted: cut(0..u64::MAX, self.partial),
        }
    }

    /// Takes note of what a first pass gave.
    pub fn note(&mut self, decoded: &[u8]) {
        self.len += decoded.len() as u64;
        self.has_nul |= memchr::memchr(0, decoded).is_some();
    }

    /// Octets that a client gets.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn has_nul(&self) -> bool {
        self.has_nul
    }

    pub(super) fn is_of(&self, numbers: &[u32], partial: Option<Partial>) -> bool {
        self.numbers == numbers && self.partial == partial
    }
}

/// Octets of a part on their way to the client.
#[derive(Debug)]
pub struct Pass {
    decoder: Decoder,
    lines: bool,
    after_cr: bool,
    /// How many came out so far, and which of them are wanted.
    at: u64,
    wanted: Range<u64>,
}

impl Pass {
    /// Reads on; gives what is wanted of what comes out.
    pub fn feed(&mut self, stored: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::with_capacity(stored.len());
        self.decoder.decode(stored, &mut decoded);
        self.pass(decoded)
    }

    /// What the end leaves.
    pub fn finish(mut self) -> Vec<u8> {
        let mut decoded = Vec::new();
        std::mem::replace(&mut self.decoder, Decoder::new(Encoding::Identity)).finish(&mut decoded);
        self.pass(decoded)
    }

    /// Is nothing wanted of what is still to come?
    pub fn is_over(&self) -> bool {
        self.at >= self.wanted.end
    }

    fn pass(&mut self, decoded: Vec<u8>) -> Vec<u8> {
        let mut decoded = if self.lines { self.with_crlf(decoded) } else { decoded };
        let start = self.at;
        self.at += decoded.len() as u64;
        let place = |end: u64| usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(decoded.len());
        let (from, to) = (place(self.wanted.start), place(self.wanted.end));
        decoded.truncate(to);
        decoded.drain(..from.min(to));
        decoded
    }

    /// Every LF after a CR, also over the edge of what comes at once.
    fn with_crlf(&mut self, text: Vec<u8>) -> Vec<u8> {
        let mut before = self.after_cr;
        self.after_cr = text.last().map_or(before, |&byte| byte == b'\r');
        let (mut out, mut rest) = (Vec::new(), text.as_slice());
        while let Some((line, after)) = memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1)) {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            out.extend_from_slice(text);
            let has_cr = if text.is_empty() { before } else { text.ends_with(b"\r") };
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            (rest, before) = (after, false);
        }
        if out.is_empty() {
            return text;
        }
        out.extend_from_slice(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(header: &str, body: &[u8], partial: Option<Partial>, piece: usize) -> Vec<u8> {
        let decoding = Decoding::new(vec![1], partial, 0..body.len() as u64, Form::of(header.as_bytes()).unwrap());
        let (mut pass, mut out) = (decoding.pass(), Vec::new());
        for piece in body.chunks(piece) {
            out.extend(pass.feed(piece));
        }
        out.extend(pass.finish());
        out
    }

    #[test]
    fn forms() {
        let table: [(&str, &[u8], &[u8]); 9] = [
            ("", b"a\nb\r\nc", b"a\r\nb\r\nc"),
            ("Content-Type: text/html\r\n", b"\n\n", b"\r\n\r\n"),
            ("Content-Type: image/png\r\nContent-Transfer-Encoding: BASE64\r\n", b"AAoN\r\nCg==", b"\0\n\r\n"),
            ("Content-Transfer-Encoding: base64\r\n", b"YQpi\r\nDQoK", b"a\r\nb\r\n\r\n"),
            ("Content-Type: text/plain; charset=UTF-16LE\r\nContent-Transfer-Encoding: base64\r\n", b"CgAK", b"\n\0\n"),
            ("Content-Transfer-Encoding: quoted-printable\r\n", b"=0A=0D=0A=\r\nx", b"\r\n\r\nx"),
            ("Content-Transfer-Encoding: binary\r\nContent-Type: a/b\r\n", b"\0\n", b"\0\n"),
            ("Content-Type: nonsense\r\nContent-Transfer-Encoding:\r\n", b"\n", b"\r\n"),
            ("Content-Transfer-Encoding: 8bit (really)\r\nContent-Transfer-Encoding: base64\r\n", b"QQ==", b"QQ=="),
        ];
        for (header, body, want) in table {
            for piece in [1, 2, 1000] {
                assert_eq!(decoded(header, body, None, piece), want, "{header} by {piece}");
            }
        }
        for unknown in ["x-uuencode", "bas64", "base64x"] {
            assert_eq!(Form::of(format!("Content-Transfer-Encoding: {unknown}\r\n").as_bytes()), Err(UnknownEncoding));
        }
    }

    proptest! {
        #[test]
        fn partials_are_cut_from_what_is_decoded(
            body in "[A-Za-z0-9+/=\\r\\n]{0,60}",
            origin in 0..50u32,
            count in 1..50u32,
            piece in 1..9usize,
            quoted in any::<bool>(),
        ) {
            let header = format!("Content-Transfer-Encoding: {}\r\n", if quoted { "quoted-printable" } else { "base64" });
            let whole = decoded(&header, body.as_bytes(), None, 1000);
            let (from, to) = ((origin as usize).min(whole.len()), ((origin + count) as usize).min(whole.len()));
            let part = decoded(&header, body.as_bytes(), Some(Partial { origin, count }), piece);
            prop_assert_eq!(part, &whole[from..to]);
        }
    }
}
