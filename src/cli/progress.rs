//! How far a long command has come, for a person at a terminal; and amounts as a person says them.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(2);

/// Tells on standard error, if a person reads it.
pub(super) struct Progress {
    is_seen: bool,
    told: Instant,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { is_seen: std::io::stderr().is_terminal(), told: Instant::now() }
    }

    /// Tells where it is now, unless that was told just before.
    pub(super) fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.is_seen && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            _ = writeln!(std::io::stderr(), "{}", text());
        }
    }
}

/// An amount of bytes, such as `1.5 GB`.
pub(super) fn amount(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut amount = bytes as f64 / 1_000.0;
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    for unit in units {
        // 999.95 would be written with four digits.
        if amount < 999.95 || unit == "TB" {
            return format!("{amount:.1} {unit}");
        }
        amount /= 1_000.0;
    }
    String::new()
}

/// A number and what is counted, such as `1 file` or `2 files`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A moment, such as `2026-11-25 13:51:00 UTC`.
pub(super) fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let table =
            [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (1_536_000_000, "1.5 GB")];
        for (bytes, text) in table {
            assert_eq!(amount(bytes), text);
        }
        assert_eq!(amount(5_000_000_000_000_000), "5000.0 TB");
        assert_eq!((count(1, "file", "files"), count(0, "file", "files")), ("1 file".to_owned(), "0 files".to_owned()));
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13:20 UTC");
    }
}
