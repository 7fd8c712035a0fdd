//! What verification keeps of a message that streams by: its header as it came, and hashes of its body.
//!
//! Pure; takes bytes from strangers in pieces of any size. Holds a header of limited size and no body, so that verifying
//! costs no memory for a message's size. Of a header that is too long, or has too many fields, nothing can be proven.

use super::body::BodyHasher;
use mail_auth::arc;
use mail_auth::dkim::{Canonicalization, Signature};
use stoa_mime::{Address, address, header};

/// Octets of a header. Long ones have some 30 KB, and most servers refuse more than this.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;

/// Fields of a header. Mail that passed many lists has two hundred; a signature costs work for each.
pub const FIELDS_MAX: usize = 1_000;

/// Authors that are looked at; with more, nobody can say whom the message is from.
const AUTHORS_MAX: usize = 100;

/// A message on its way.
pub struct Witness {
    header: Vec<u8>,
    /// Where in the header the current line begins.
    line: usize,
    place: Place,
    too_long: bool,
    simple: Option<BodyHasher>,
    relaxed: Option<BodyHasher>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
}

/// A whole message, as far as proofs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    header: Vec<u8>,
    pub(super) too_long: bool,
    simple: Option<[u8; 32]>,
    relaxed: Option<[u8; 32]>,
}

/// Whom a header names as author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authors {
    /// From fields.
    pub fields: usize,
    /// The addresses in them, `local@domain`, the domain in lower case and in A-labels (RFC 5890 §2.3.2.1).
    pub addresses: Vec<String>,
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}

impl Witness {
    /// At the start of a message.
    pub fn new() -> Self {
        Self { header: Vec::new(), line: 0, place: Place::Header, too_long: false, simple: None, relaxed: None }
    }

    /// Reads on.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.place == Place::Header && !bytes.is_empty() {
            let length = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let (segment, rest) = bytes.split_at(length);
            self.header_segment(segment);
            bytes = rest;
        }
        for hasher in [&mut self.simple, &mut self.relaxed].into_iter().flatten() {
            hasher.push(bytes);
        }
    }

    /// A line of the header or a part of one.
    fn header_segment(&mut self, segment: &[u8]) {
        if self.header.len() + segment.len() > HEADER_BYTES_MAX {
            // The rest does not matter: what this header says is not believed.
            (self.too_long, self.place) = (true, Place::Body);
            return;
        }
        self.header.extend_from_slice(segment);
        if segment.last() != Some(&b'\n') {
            return;
        }
        if matches!(self.header.get(self.line..), Some(b"\r\n" | b"\n")) {
            self.header.truncate(self.line);
            self.end_header();
        }
        self.line = self.header.len();
    }

    /// What the signatures ask for is hashed, and no more.
    fn end_header(&mut self) {
        self.place = Place::Body;
        self.too_long |= header::fields(&self.header).count() > FIELDS_MAX;
        if self.too_long {
            return;
        }
        let body_forms: Vec<Canonicalization> = header::fields(&self.header)
            .filter_map(|field| match field.name.to_ascii_lowercase().as_slice() {
                b"dkim-signature" => Signature::parse(field.raw).ok().map(|signature| signature.cb),
                b"arc-message-signature" => arc::Signature::parse(field.raw).ok().map(|signature| signature.cb),
                _ => None,
            })
            .collect();
        let hasher = |form| body_forms.contains(&form).then(|| BodyHasher::new(form));
        (self.simple, self.relaxed) = (hasher(Canonicalization::Simple), hasher(Canonicalization::Relaxed));
    }

    /// Ends the message.
    pub fn finish(mut self) -> Witnessed {
        if self.place == Place::Header {
            self.end_header();
        }
        let Self { header, too_long, simple, relaxed, .. } = self;
        Witnessed { header, too_long, simple: simple.map(BodyHasher::finish), relaxed: relaxed.map(BodyHasher::finish) }
    }
}

impl Witnessed {
    /// The header without the empty line that ends it; none of one that is too long to be believed.
    pub fn header(&self) -> Option<&[u8]> {
        (!self.too_long).then_some(&self.header)
    }

    /// The hash of the body, if a signature asked for it.
    pub fn body_hash(&self, form: Canonicalization) -> Option<&[u8; 32]> {
        match form {
            Canonicalization::Simple => self.simple.as_ref(),
            Canonicalization::Relaxed => self.relaxed.as_ref(),
        }
    }

    /// The authors; of a header that is too long, as far as it was read.
    pub fn authors(&self) -> Authors {
        let fields: Vec<_> = header::fields(&self.header).filter(|field| field.is("From")).collect();
        let addresses = fields.iter().flat_map(|field| address::list(&field.value(), AUTHORS_MAX)).filter_map(|address| match address {
            Address::Mailbox { local, host, .. } => {
                let (local, host) = (String::from_utf8_lossy(&local).into_owned(), String::from_utf8_lossy(&host).into_owned());
                Some(format!("{local}@{}", a_label(&host)))
            }
            Address::GroupStart(_) | Address::GroupEnd => None,
        });
        Authors { fields: fields.len(), addresses: addresses.collect() }
    }
}

/// A domain in lower case and in A-labels; what is no domain stays as it is and is equal to none.
pub fn a_label(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() { domain.to_ascii_lowercase() } else { idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witnessed(pieces: &[&[u8]]) -> Witnessed {
        let mut witness = Witness::new();
        pieces.iter().for_each(|piece| witness.push(piece));
        witness.finish()
    }

    const SIGNED: &[u8] =
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.b; s=c; h=from; bh=AA==; b=AA==\r\nFrom: x@y\r\n\r\nbody\r\n";

    #[test]
    fn any_cut_gives_the_same_and_only_what_is_asked_for_is_hashed() {
        let whole = witnessed(&[SIGNED]);
        assert!(whole.body_hash(Canonicalization::Relaxed).is_some() && whole.body_hash(Canonicalization::Simple).is_none());
        assert!(whole.header().unwrap().ends_with(b"From: x@y\r\n"));
        for cut in 0..SIGNED.len() {
            let (one, two) = SIGNED.split_at(cut);
            assert_eq!(witnessed(&[one, two]), whole, "{cut}");
        }
        assert_eq!(witnessed(&[b"From: x@y"]).header(), Some(&b"From: x@y"[..]));
    }

    #[test]
    fn a_header_past_its_limits_proves_nothing() {
        let long = [b"X: ".as_slice(), &vec![b'x'; HEADER_BYTES_MAX], b"\r\n", SIGNED].concat();
        let many = ["X: y\r\n".repeat(FIELDS_MAX).as_bytes(), SIGNED].concat();
        for message in [long, many] {
            let witnessed = witnessed(&[&message]);
            assert_eq!((witnessed.header(), witnessed.body_hash(Canonicalization::Relaxed)), (None, None));
        }
    }

    #[test]
    fn who_wrote_it() {
        let table: [(&str, usize, &[&str]); 5] = [
            ("From: A <x@Y.Example>\r\n", 1, &["x@y.example"]),
            ("From: x@b\u{fc}cher.example\r\n", 1, &["x@xn--bcher-kva.example"]),
            ("From: x@y, z@y\r\nFROM: a@b\r\n", 2, &["x@y", "z@y", "a@b"]),
            ("From: \"x@y\" <a@b>\r\n", 1, &["a@b"]),
            ("Subject: x\r\n", 0, &[]),
        ];
        for (header, fields, addresses) in table {
            let authors = witnessed(&[header.as_bytes()]).authors();
            assert_eq!(authors, Authors { fields, addresses: addresses.iter().map(|a| (*a).to_owned()).collect() }, "{header}");
        }
    }
}
