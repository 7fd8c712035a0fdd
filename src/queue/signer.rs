//! Who signs what leaves: with the keys of our domains, when it is handed over, so that keys may change while mail waits.

use crate::store::BodyReader;
use bytes::Bytes;

/// Makes signatures.
pub trait Signer: Send + Sync + 'static {
    /// Header lines with CRLF that go in front of this content on its way to a destination; empty if there is no key for
    /// the domain. An error is a sentence for the log; the message waits.
    fn signatures(&self, domain: &str, destination: &str, content: &BodyReader) -> impl Future<Output = Result<Bytes, String>> + Send;
}

/// Has no keys.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned;

impl Signer for Unsigned {
    async fn signatures(&self, _: &str, _: &str, _: &BodyReader) -> Result<Bytes, String> {
        Ok(Bytes::new())
    }
}
