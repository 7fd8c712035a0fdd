//! Hashes of a message's body as DKIM sees it (RFC 6376 §3.4.3 and §3.4.4), while it streams by.
//!
//! Pure; holds a block of octets, whatever the body's size. Written here since mail-auth wants the whole message and takes
//! a last line of white space alone for content where RFC 6376 §3.4.4 says `relaxed`.

use mail_auth::dkim::Canonicalization;
use sha2::{Digest, Sha256};

/// Octets that are gathered before they are hashed: calls cost more than octets.
const BLOCK_BYTES: usize = 4_096;

/// A body that is being hashed.
pub struct BodyHasher {
    relaxed: bool,
    hasher: Sha256,
    block: Vec<u8>,
    /// Line ends that were seen but may be the last ones.
    line_ends: u64,
    /// White space that may be the last of its line.
    space: bool,
    /// CR whose LF was not seen yet.
    cr: bool,
    /// Whether any octet counted.
    is_empty: bool,
}

impl BodyHasher {
    /// At the start of a body.
    pub fn new(canonicalization: Canonicalization) -> Self {
        let relaxed = canonicalization == Canonicalization::Relaxed;
        let block = Vec::with_capacity(BLOCK_BYTES);
        Self { relaxed, hasher: Sha256::new(), block, line_ends: 0, space: false, cr: false, is_empty: true }
    }

    /// Reads on, in pieces of any size.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            let mut used = 1;
            match first {
                b'\n' if self.cr => {
                    (self.cr, self.space) = (false, false);
                    self.line_ends += 1;
                }
                _ if self.cr => {
                    // A CR alone is an octet like others; the one at hand is looked at anew.
                    self.cr = false;
                    self.content(b"\r");
                    used = 0;
                }
                b'\r' => self.cr = true,
                b' ' | b'\t' if self.relaxed => self.space = true,
                _ => {
                    let end = if self.relaxed { memchr::memchr3(b'\r', b' ', b'\t', bytes) } else { memchr::memchr(b'\r', bytes) };
                    used = end.unwrap_or(bytes.len());
                    self.content(bytes.get(..used).unwrap_or_default());
                }
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// The hash of the whole body.
    pub fn finish(mut self) -> [u8; 32] {
        if self.cr {
            self.content(b"\r");
        }
        // RFC 6376 §3.4.3: no line ends at the end, or many, are one. §3.4.4: of an empty body none.
        if !self.is_empty || !self.relaxed {
            self.write(b"\r\n");
        }
        self.hasher.update(&self.block);
        self.hasher.finalize().into()
    }

    /// Octets that count, and so does what was held back before them.
    fn content(&mut self, bytes: &[u8]) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.write(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.write(b" ");
        }
        self.write(bytes);
        self.is_empty = false;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            self.hasher.update(&self.block);
            self.block.clear();
        }
        if bytes.len() > BLOCK_BYTES {
            self.hasher.update(bytes);
        } else {
            self.block.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(canonicalization: Canonicalization, pieces: &[&[u8]]) -> [u8; 32] {
        let mut hasher = BodyHasher::new(canonicalization);
        pieces.iter().for_each(|piece| hasher.push(piece));
        hasher.finish()
    }

    #[test]
    fn what_a_body_counts_as() {
        // Each body, and what it is in simple and in relaxed form.
        let table = [
            ("", "\r\n", ""),
            ("\r\n\r\n", "\r\n", ""),
            ("a", "a\r\n", "a\r\n"),
            ("a\r\n\r\n\r\n", "a\r\n", "a\r\n"),
            // RFC 6376 §3.4.5.
            (" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"),
            // A last line of white space alone is an empty line.
            ("a\r\n \t", "a\r\n \t\r\n", "a\r\n"),
            ("a\r\n \r\n", "a\r\n \r\n", "a\r\n"),
            ("a\r\n \r\n\t\r\nb \r\n", "a\r\n \r\n\t\r\nb \r\n", "a\r\n\r\n\r\nb\r\n"),
            (" ", " \r\n", ""),
            ("\r\n \r\n", "\r\n \r\n", ""),
            ("a\rb\nc \r d\r", "a\rb\nc \r d\r\r\n", "a\rb\nc \r d\r\r\n"),
        ];
        for (body, simple, relaxed) in table {
            for (canonicalization, expected) in [(Canonicalization::Simple, simple), (Canonicalization::Relaxed, relaxed)] {
                let expected: [u8; 32] = Sha256::digest(expected).into();
                assert_eq!(hash(canonicalization, &[body.as_bytes()]), expected, "{body:?} {canonicalization:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(body in "([a-c \t]{0,3}(\r\n|\r|\n|)){0,12}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let body = body.into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
            for canonicalization in [Canonicalization::Simple, Canonicalization::Relaxed] {
                prop_assert_eq!(hash(canonicalization, &pieces), hash(canonicalization, &[&body]));
            }
        }
    }
}
