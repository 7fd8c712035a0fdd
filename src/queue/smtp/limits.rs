//! How long and how much: everything that a host which takes our mail may cost. Tests hand in shorter times.

use std::time::Duration;

/// Times for each stage of a dialogue (RFC 5321 §4.5.3.2), and how many hosts are tried.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection. What does not answer in half a minute is not there.
    pub connect: Duration,
    /// RFC 5321 §4.5.3.2.1: until the host greets.
    pub greeting: Duration,
    /// For all hosts of a domain together, until one of them can take a message: some have many addresses and are slow.
    pub all_hosts: Duration,
    /// For TLS to come up.
    pub handshake: Duration,
    /// §4.5.3.2.2 and .3: for the reply to EHLO, STARTTLS, MAIL and each RCPT.
    pub command: Duration,
    /// §4.5.3.2.4: for the reply to DATA.
    pub data_start: Duration,
    /// §4.5.3.2.5: for each block of the message to be taken.
    pub data_block: Duration,
    /// §4.5.3.2.6: for the reply to the end of the message, which the host may need to store it.
    pub data_end: Duration,
    /// For the reply to QUIT, which nobody needs.
    pub quit: Duration,
    /// Octets per second that a host must take on the whole, or it holds us up for days.
    pub bytes_per_second_min: u64,
    /// Hosts of one domain in one attempt.
    pub hosts_max: usize,
    /// Addresses of all its hosts in one attempt.
    pub addresses_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(300),
            all_hosts: Duration::from_secs(900),
            handshake: Duration::from_secs(60),
            command: Duration::from_secs(300),
            data_start: Duration::from_secs(120),
            data_block: Duration::from_secs(180),
            data_end: Duration::from_secs(600),
            quit: Duration::from_secs(10),
            bytes_per_second_min: 4096,
            hosts_max: 8,
            addresses_max: 12,
        }
    }
}

/// No wait is cut below this, or a busy machine of ours would look like a slow host.
const WAIT_MIN: Duration = Duration::from_secs(1);

impl Limits {
    /// The same with all times cut to this many percent.
    pub fn with_patience(self, percent: u32) -> Self {
        let cut = |time: Duration| (time * percent / 100).max(WAIT_MIN.min(time));
        Self {
            connect: cut(self.connect),
            greeting: cut(self.greeting),
            all_hosts: cut(self.all_hosts),
            handshake: cut(self.handshake),
            command: cut(self.command),
            data_start: cut(self.data_start),
            data_block: cut(self.data_block),
            data_end: cut(self.data_end),
            quit: cut(self.quit),
            ..self
        }
    }
}

/// Octets of one reply, all its lines together. RFC 5321 §4.5.3.1.5 allows 512 a line.
pub(super) const REPLY_BYTES_MAX: usize = 16 << 10;

/// Characters of a reply that are kept for reports.
pub(super) const REPLY_CHARS_KEPT_MAX: usize = 500;

/// Recipients in one group of commands: their commands and replies fit into any window of TCP (RFC 2920 §3.1).
pub(super) const RECIPIENTS_PER_GROUP_MAX: usize = 40;

/// Recipients in one transaction: RFC 5321 §4.5.3.1.8 lets a host take no more. The message is sent again for others.
pub(super) const RECIPIENTS_PER_TRANSACTION_MAX: usize = 100;

/// Octets of a message that are written at a time.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_cuts_every_wait_but_not_to_nothing() {
        let usual = Limits::default();
        let cut = usual.with_patience(10);
        assert_eq!((cut.greeting, cut.data_end, cut.quit), (Duration::from_secs(30), Duration::from_secs(60), Duration::from_secs(1)));
        assert_eq!((cut.hosts_max, cut.bytes_per_second_min), (usual.hosts_max, usual.bytes_per_second_min));
        let same = usual.with_patience(100);
        assert_eq!((same.connect, same.greeting, same.command), (usual.connect, usual.greeting, usual.command));
        let short = Limits { command: Duration::from_millis(5), ..usual }.with_patience(1);
        assert_eq!(short.command, Duration::from_millis(5), "what is shorter already stays");
    }
}
