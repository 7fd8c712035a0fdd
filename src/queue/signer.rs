//! Who signs what leaves: with the keys of our domains, when it is handed over, so that keys may change while mail waits.

use crate::store::{BodyReader, StoreError};
use crate::trust::signing::Keyring;
use bytes::Bytes;

/// Makes signatures.
pub trait Signer: Send + Sync + 'static {
    /// Header lines with CRLF that go in front of this content on its way to a destination; empty if there is no key for
    /// the domain. After an error the message waits.
    fn signatures(
        &self,
        domain: &str,
        destination: &str,
        content: &BodyReader,
        now: i64,
    ) -> impl Future<Output = Result<Bytes, StoreError>> + Send;
}

impl Signer for Keyring {
    async fn signatures(&self, domain: &str, destination: &str, content: &BodyReader, now: i64) -> Result<Bytes, StoreError> {
        Self::signatures(self, domain, destination, content, now).await
    }
}
