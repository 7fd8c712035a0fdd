//! The DKIM-Signature field (RFC 6376 §3.5): before a key signed it, and after.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of a line of the field, tab and line end included: RFC 5322 §2.1.1 asks for 78 at most.
const LINE_OCTETS: usize = 76;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSA with SHA-256 (RFC 6376 §3.3.1).
    Rsa,
    /// Ed25519 of a SHA-256 (RFC 8463 §3).
    Ed25519,
}

impl Algorithm {
    /// Its name in `a=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }
}

/// In whose name a key signs.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The domain, in ASCII (RFC 8616).
    pub domain: &'a str,
    /// Under which name below `_domainkey` its key is published.
    pub selector: &'a str,
    /// How.
    pub algorithm: Algorithm,
    /// When, in seconds since 1970.
    pub time: i64,
}

/// A field that waits for its signature.
#[derive(Debug, Clone)]
pub struct Unsigned {
    field: String,
    input: Vec<u8>,
}

impl Unsigned {
    pub(super) fn new(signer: &Signer<'_>, names: &[&str], fields: &[u8], body_hash: &[u8; 32]) -> Self {
        let Signer { domain, selector, algorithm, time } = signer;
        let mut field = Folded(format!("DKIM-Signature: v=1; a={}; c=relaxed/relaxed;", algorithm.name()));
        field.tag(&format!("d={domain};"));
        field.tag(&format!("s={selector};"));
        field.tag(&format!("t={time};"));
        for (n, name) in names.iter().enumerate() {
            let (lead, end) = (if n == 0 { "h=" } else { "" }, if n + 1 == names.len() { ";" } else { ":" });
            let piece = format!("{lead}{name}{end}");
            if n == 0 { field.tag(&piece) } else { field.piece(&piece) }
        }
        field.tag(&format!("bh={};", STANDARD.encode(body_hash)));
        // On a line of its own, so that the signature can be folded like the rest.
        field.fold();
        field.piece("b=");
        let mut input = fields.to_vec();
        // RFC 6376 §3.7: the field itself comes last, with an empty b= and without a line end.
        let (name, value) = field.0.split_once(':').unwrap_or((&field.0, ""));
        input.extend(relaxed_field(name.as_bytes(), value.as_bytes()));
        Self { field: field.0, input }
    }

    /// The octets that the key must sign.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// The whole field, with its line end.
    pub fn sign(self, signature: &[u8]) -> String {
        let mut field = Folded(self.field);
        for character in STANDARD.encode(signature).chars() {
            field.piece(character.encode_utf8(&mut [0; 4]));
        }
        field.0.push_str("\r\n");
        field.0
    }
}

/// A field that is folded while it is written.
struct Folded(String);

impl Folded {
    /// A tag, with a space before it or on a new line.
    fn tag(&mut self, tag: &str) {
        if self.column() + 1 + tag.len() > LINE_OCTETS {
            self.fold();
        } else {
            self.0.push(' ');
        }
        self.0.push_str(tag);
    }

    /// What follows without a space.
    fn piece(&mut self, piece: &str) {
        if self.column() + piece.len() > LINE_OCTETS {
            self.fold();
        }
        self.0.push_str(piece);
    }

    fn fold(&mut self) {
        self.0.push_str("\r\n\t");
    }

    fn column(&self) -> usize {
        self.0.len() - self.0.rfind('\n').map_or(0, |end| end + 1)
    }
}

/// A field in its relaxed form (RFC 6376 §3.4.2), without a line end.
pub fn relaxed_field(name: &[u8], raw: &[u8]) -> Vec<u8> {
    let mut form = name.trim_ascii_end().to_ascii_lowercase();
    form.push(b':');
    let start = form.len();
    let mut space = false;
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => space = true,
            // Unfolded: the ends of lines go, the white space after them stays.
            b'\n' => {}
            b'\r' if bytes.peek() == Some(&b'\n') => {}
            _ => {
                if std::mem::take(&mut space) && form.len() > start {
                    form.push(b' ');
                }
                form.push(byte);
            }
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    #[test]
    fn the_form_of_a_field() {
        let table = [
            // RFC 6376 §3.4.5.
            ("A", " X\r\n", "a:X"),
            ("B ", " Y\t\r\n\tZ  \r\n", "b:Y Z"),
            ("Subject", "", "subject:"),
            ("Subject", " \r\n \r\n", "subject:"),
            ("X-y", "a\n b\r", "x-y:a b\r"),
            ("T", "\r\n é  ü\r\n", "t:é ü"),
        ];
        for (name, raw, form) in table {
            assert_eq!(String::from_utf8(relaxed_field(name.as_bytes(), raw.as_bytes())).unwrap(), form);
        }
    }

    #[test]
    fn a_field_names_what_it_signs_and_stays_within_its_lines() {
        let mut reader = Reader::new();
        reader.feed(b"From: a@example.org\r\nSubject: x\r\n\r\nhello \r\n \r\n");
        let signer = Signer { domain: "example.org", selector: "s20261125r", algorithm: Algorithm::Rsa, time: 1_795_000_000 };
        let unsigned = reader.finish().unwrap().unsigned(&[signer]).unwrap().remove(0);
        let tags = "dkim-signature:v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s20261125r; t=1795000000; \
                    h=From:From:To:Cc:Subject:Subject:Date: Message-ID:MIME-Version:Content-Type:Content-Transfer-Encoding; bh=";
        let input = String::from_utf8(unsigned.input().to_vec()).unwrap();
        assert!(input.starts_with("from:a@example.org\r\nsubject:x\r\ndkim-signature:v=1;"), "{input}");
        assert!(input.contains(tags) && input.ends_with("; b="), "{input}");
        let field = unsigned.sign(&[7; 256]);
        assert!(field.lines().all(|line| line.len() <= LINE_OCTETS), "{field}");
        assert!(field.ends_with("\r\n") && !field.trim_end().contains("\r\n\r\n"));
        // What a verifier makes of the field without its signature is what was signed.
        let (name, value) = field.split_once(':').unwrap();
        let empty = format!("{}b=", value.rsplit_once("b=").unwrap().0);
        assert!(input.ends_with(&String::from_utf8(relaxed_field(name.as_bytes(), empty.as_bytes())).unwrap()));
    }

    #[test]
    fn a_long_domain_has_a_line_of_its_own() {
        let domain = format!("{}.example", "x".repeat(63));
        let mut reader = Reader::new();
        reader.feed(b"From: a\r\n\r\n");
        let signer = Signer { domain: &domain, selector: "s", algorithm: Algorithm::Ed25519, time: 0 };
        let unsigned = reader.finish().unwrap().unsigned(&[signer]).unwrap().remove(0);
        assert!(unsigned.sign(&[0; 64]).contains(&format!(";\r\n\td={domain};\r\n\ts=s;")));
    }
}
