//! A message on its way past: its header is kept, its body is hashed in its relaxed form.

use super::body::RelaxedBody;
use super::field::{Signer, Unsigned};
use super::selection::{Selection, select};
use sha2::{Digest, Sha256};

/// What is held of a header. Real ones have some 10 KB; what a message with a longer one says is not vouched for.
pub const HEADER_BYTES_MAX: usize = 512 * 1024;

/// Why a message cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSignable {
    /// See [`HEADER_BYTES_MAX`].
    #[error("its header is longer than {HEADER_BYTES_MAX} octets")]
    HeaderTooLong,
    /// RFC 6376 §5.4: From must be signed.
    #[error("it has no From field")]
    NoFrom,
    /// All of a kind are signed, or a second reader could be shown another than the first.
    #[error("it has more than {0} fields of one kind")]
    TooManyFields(usize),
}

/// Takes a message piece by piece.
#[derive(Debug, Default)]
pub struct Reader {
    header: Vec<u8>,
    /// Octets of the header before which there is no empty line.
    looked_at: usize,
    in_body: bool,
    too_long: bool,
    body: RelaxedBody,
    hash: Sha256,
}

/// What of a message can be signed.
#[derive(Debug, Clone)]
pub struct Content {
    header: Vec<u8>,
    body_hash: [u8; 32],
}

impl Reader {
    /// At the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.too_long {
            return;
        }
        if self.in_body {
            return self.hash_body(bytes);
        }
        self.header.extend_from_slice(bytes);
        match header_end(&self.header, self.looked_at) {
            Some((end, body)) => {
                self.in_body = true;
                let rest = self.header.split_off(body);
                self.header.truncate(end);
                self.hash_body(&rest);
            }
            None => self.looked_at = self.header.len().saturating_sub(2),
        }
        self.too_long = self.header.len() > HEADER_BYTES_MAX;
    }

    /// The whole message.
    pub fn finish(mut self) -> Result<Content, NotSignable> {
        if self.too_long {
            return Err(NotSignable::HeaderTooLong);
        }
        let hash = &mut self.hash;
        self.body.finish(&mut |bytes: &[u8]| hash.update(bytes));
        Ok(Content { header: self.header, body_hash: self.hash.finalize().into() })
    }

    fn hash_body(&mut self, bytes: &[u8]) {
        let hash = &mut self.hash;
        self.body.feed(bytes, &mut |bytes: &[u8]| hash.update(bytes));
    }
}

/// Where the header ends and where the body begins: on both sides of the first empty line at or after `from`.
fn header_end(header: &[u8], from: usize) -> Option<(usize, usize)> {
    let empty_line = |at: usize| match header.get(at..)? {
        [b'\n', ..] => Some((at, at + 1)),
        [b'\r', b'\n', ..] => Some((at, at + 2)),
        _ => None,
    };
    if from == 0
        && let Some(found) = empty_line(0)
    {
        return Some(found);
    }
    let ends = header.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).find_map(empty_line)
}

impl Content {
    /// SHA-256 of the body in its relaxed form.
    pub fn body_hash(&self) -> &[u8; 32] {
        &self.body_hash
    }

    /// The raw header fields.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The fields that keys have to sign, one for each signer, in their order.
    pub fn unsigned(&self, signers: &[Signer<'_>]) -> Result<Vec<Unsigned>, NotSignable> {
        let Selection { names, canonical } = select(&self.header)?;
        Ok(signers.iter().map(|signer| Unsigned::new(signer, &names, &canonical, &self.body_hash)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pieces: &[&[u8]]) -> Result<Content, NotSignable> {
        let mut reader = Reader::new();
        pieces.iter().for_each(|piece| reader.feed(piece));
        reader.finish()
    }

    #[test]
    fn header_and_body_are_told_apart_wherever_a_message_is_cut() {
        let cases = [
            ("A: b\r\nC: d\r\n\r\nbody\r\n", "A: b\r\nC: d\r\n", "body\r\n"),
            ("A: b\n\nbody\n", "A: b\n", "body\r\n"),
            ("A: b\r\n", "A: b\r\n", ""),
            ("A: b", "A: b", ""),
            ("\r\nbody", "", "body\r\n"),
            ("\nbody\r\n \r\n", "", "body\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n", ""),
            ("A: b\r\n\n\r\n x", "A: b\r\n", "\r\n x\r\n"),
            ("A:\r\r\nb\r\n\r\nc", "A:\r\r\nb\r\n", "c\r\n"),
            ("", "", ""),
        ];
        for (message, header, body) in cases {
            for cut in 0..=message.len() {
                let (one, two) = message.as_bytes().split_at(cut);
                let content = content(&[one, two]).unwrap();
                assert_eq!(content.header(), header.as_bytes(), "{message:?} at {cut}");
                assert_eq!(content.body_hash().as_slice(), Sha256::digest(body).as_slice(), "{message:?} at {cut}");
            }
        }
    }

    #[test]
    fn an_endless_header_is_not_held() {
        let mut reader = Reader::new();
        for _ in 0..HEADER_BYTES_MAX / 1_000 * 3 {
            reader.feed(&[b'x'; 1_000]);
        }
        assert!(reader.header.len() < HEADER_BYTES_MAX + 2_000);
        assert_eq!(reader.finish().unwrap_err(), NotSignable::HeaderTooLong);
    }
}
