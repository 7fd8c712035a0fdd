//! What FETCH writes: bytes, and places at which octets of stored messages belong.

use super::binary::Decoding;
use crate::write::{literal_start, replace_nul};
use std::ops::Range;
use stoa_mailbox::MessageId;

/// Responses to any number of messages. Once its pieces are sent in order, [`Output::clear`] makes it ready for the next.
#[derive(Debug, Default)]
pub struct Output {
    pub(super) bytes: Vec<u8>,
    bodies: Vec<Body>,
}

#[derive(Debug)]
struct Body {
    /// After so many of `bytes`.
    at: usize,
    octets: Octets,
}

#[derive(Debug)]
enum Octets {
    Stored(MessageId, Range<u64>),
    Decoded(Decoding),
}

/// What to send next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// These octets of a stored message, each chunk through [`fit_for_wire`]. Their number is already promised to the
    /// client: who cannot read all of them must close the connection.
    Body {
        /// Which message.
        message: MessageId,
        /// Octets from its start.
        range: Range<u64>,
    },
    /// What a second pass gives, as it is: NUL was counted with.
    Decoded(&'a Decoding),
}

/// Makes octets of a message such as IMAP can carry: NUL, which no literal may have, becomes 0x80 (as with Dovecot).
pub fn fit_for_wire(chunk: &mut [u8]) {
    replace_nul(chunk);
}

impl Output {
    /// How many bytes it holds, without those of stored messages.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Was nothing written?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let starts = std::iter::once(0).chain(self.bodies.iter().map(|body| body.at));
        let bodies = self.bodies.iter().map(Some).chain(std::iter::once(None));
        starts.zip(bodies).flat_map(|(start, body)| {
            let end = body.map_or(self.bytes.len(), |body| body.at);
            let bytes = self.bytes.get(start..end).filter(|bytes| !bytes.is_empty()).map(Piece::Bytes);
            let body = body.map(|body| match &body.octets {
                Octets::Stored(message, range) => Piece::Body { message: *message, range: range.clone() },
                Octets::Decoded(decoding) => Piece::Decoded(decoding),
            });
            bytes.into_iter().chain(body)
        })
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bodies.clear();
    }

    pub(super) fn copy(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
    }

    /// A string of these octets of a message.
    pub(super) fn body(&mut self, message: MessageId, range: Range<u64>) {
        if range.is_empty() {
            return self.bytes.extend_from_slice(b"\"\"");
        }
        literal_start(&mut self.bytes, range.end - range.start);
        self.bodies.push(Body { at: self.bytes.len(), octets: Octets::Stored(message, range) });
    }

    /// RFC 3516 §4.3: a string, unless there is NUL in it, so that a client learns of NUL without looking.
    pub(super) fn decoded(&mut self, decoding: &Decoding) {
        if decoding.len() == 0 {
            return self.bytes.extend_from_slice(b"\"\"");
        }
        if decoding.has_nul() {
            self.bytes.push(b'~');
        }
        literal_start(&mut self.bytes, decoding.len());
        self.bodies.push(Body { at: self.bytes.len(), octets: Octets::Decoded(decoding.clone()) });
    }

    /// Do octets of messages belong between its bytes?
    pub fn has_bodies(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// How much was written, for [`Output::back_to`].
    pub fn mark(&self) -> (usize, usize) {
        (self.bytes.len(), self.bodies.len())
    }

    /// Forgets what was written since.
    pub fn back_to(&mut self, (bytes, bodies): (usize, usize)) {
        self.bytes.truncate(bytes);
        self.bodies.truncate(bodies);
    }
}
