//! The seam between the queue and the world: who hands a message over, and what came of it.
//!
//! The queue decides what is due and what a verdict leads to; a [`Carrier`] knows DNS, TLS policy and SMTP, and
//! decides nothing. A line is a way to one destination that takes one message after another.

use crate::store::{BodyReader, Queued};
use std::fmt;
use std::sync::Arc;

/// A message for some recipients of one destination.
pub struct Parcel {
    /// Its number in the queue.
    pub id: u64,
    /// The envelope; of its recipients those of [`Parcel::recipients`] are meant.
    pub message: Arc<Queued>,
    /// Indices of the envelope's recipients.
    pub recipients: Vec<usize>,
    /// All octets as they go out, signatures included.
    pub content: BodyReader,
}

/// RFC 3463: class, subject and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub u16, pub u16);

impl Status {
    /// Does it say that no mail gets there now, whatever the message and its recipient? RFC 3463 §3.5: network and routing;
    /// §3.4: X.3.2, the host takes no messages; §3.8: X.7.4 and X.7.5, its security is not what it must be.
    pub fn is_of_the_destination(self) -> bool {
        matches!((self.1, self.2), (4, _) | (3, 2) | (7, 4 | 5))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What somebody said of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// RFC 3463.
    pub status: Status,
    /// The other host's reply with its code, or our own words for what happened.
    pub text: String,
    /// The host that replied, or that was tried; `None` if it came to none.
    pub host: Option<String>,
}

/// What came of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The other host has it. `dsn` says whether it will report success itself (RFC 3461 §5.2.2).
    Delivered {
        /// Its reply.
        said: Said,
        /// It offers DSN and was told what is wanted.
        dsn: bool,
    },
    /// It never will.
    Failed(Said),
    /// Not now.
    Deferred(Said),
}

/// Hands messages over to other hosts.
pub trait Carrier: Send + Sync + 'static {
    /// A way to a destination.
    type Line: Send;

    /// Where mail for this domain (or address literal) goes: what has the same route shares lines and parcels. A carrier
    /// that hands everything to one host says so here.
    fn route(&self, domain: &str) -> String {
        domain.to_owned()
    }

    /// A way along this route, in ASCII; it connects when the first message comes.
    fn line(&self, route: &str) -> Self::Line;

    /// Hands a message over; one verdict for each recipient of the parcel, in order. Hosts are tried in their order, so a
    /// deferral that [`Status::is_of_the_destination`] is one of them all, and nothing else is tried there for a while.
    /// Returns within the limits of the protocol's timeouts.
    fn hand_over(&self, line: &mut Self::Line, parcel: &Parcel) -> impl Future<Output = Vec<Verdict>> + Send;

    /// Says goodbye.
    fn close(&self, line: Self::Line) -> impl Future<Output = ()> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_all_mail_from_a_destination_and_what_one_message_only() {
        for (status, all) in
            [((4, 4, 1), true), ((4, 3, 2), true), ((4, 7, 5), true), ((4, 2, 2), false), ((4, 7, 1), false), ((4, 3, 0), false)]
        {
            assert_eq!(Status(status.0, status.1, status.2).is_of_the_destination(), all, "{status:?}");
        }
    }
}
