//! `[queue]`: how mail for other hosts leaves.

use crate::delivery::governor::{Budget, Budgets};
use crate::queue::{Limits, Schedule};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How mail for other hosts leaves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// `host:port` that takes all mail; empty: each domain's own hosts.
    pub smarthost: String,
    /// The name to log in with there; empty: without a login.
    pub smarthost_login: String,
    /// Its first line is the password.
    pub smarthost_password_file: PathBuf,
    /// Where other hosts take mail.
    pub smtp_port: u16,
    /// Where other hosts have policies and take reports.
    pub https_port: u16,
    /// Authorities besides the usual ones; empty: none.
    pub extra_ca_file: PathBuf,
    /// Whether IPv6 is used if the machine has it.
    pub ipv6: bool,
    /// How long other hosts may take, in percent of what RFC 5321 §4.5.3.2 asks for.
    pub patience_percent: u32,
    /// After each attempt.
    pub retry_seconds: Vec<i64>,
    /// After its acceptance.
    pub give_up_seconds: i64,
    /// Of a report.
    pub give_up_reports_seconds: i64,
    /// Until its sender is told that it takes long.
    pub delay_notice_seconds: i64,
    /// To all destinations together.
    pub connections_max: usize,
    /// To one destination.
    pub connections_per_destination_max: usize,
    /// One after the other.
    pub messages_per_connection_max: usize,
    /// To one destination.
    pub messages_per_destination_and_minute_max: u32,
    /// Of one account.
    pub account_messages_per_hour_max: u32,
    /// Of one account.
    pub account_messages_per_day_max: u32,
    /// Of one account.
    pub account_recipients_per_hour_max: u32,
    /// Of one account.
    pub account_recipients_per_day_max: u32,
    /// Of one account, whom it never wrote to.
    pub account_new_recipients_per_day_max: u32,
    /// Of one account, before it is asked whether most of them fail.
    pub account_failures_per_hour_max: u32,
    /// Of an account that was stopped.
    pub account_held_messages_max: u32,
    /// Of all accounts together.
    pub server_messages_per_hour_max: u32,
    /// Of all accounts together.
    pub server_messages_per_day_max: u32,
    /// Of all accounts together.
    pub server_recipients_per_hour_max: u32,
    /// Of all accounts together.
    pub server_recipients_per_day_max: u32,
}

impl Queue {
    /// The file of authorities besides the usual ones.
    pub fn extra_authorities(&self) -> Option<&Path> {
        Some(self.extra_ca_file.as_path()).filter(|file| !file.as_os_str().is_empty())
    }

    /// When what is tried.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            retry: self.retry_seconds.clone(),
            give_up: self.give_up_seconds,
            give_up_reports: self.give_up_reports_seconds,
            delay_notice: self.delay_notice_seconds,
        }
    }

    /// How much at the same time.
    pub fn limits(&self) -> Limits {
        Limits {
            connections_max: self.connections_max,
            connections_per_destination_max: self.connections_per_destination_max,
            messages_per_connection_max: self.messages_per_connection_max,
            messages_per_minute_max: self.messages_per_destination_and_minute_max,
        }
    }

    /// How much accounts may send.
    pub fn budgets(&self) -> Budgets {
        Budgets {
            account: Budget {
                messages_per_hour: self.account_messages_per_hour_max,
                messages_per_day: self.account_messages_per_day_max,
                recipients_per_hour: self.account_recipients_per_hour_max,
                recipients_per_day: self.account_recipients_per_day_max,
            },
            server: Budget {
                messages_per_hour: self.server_messages_per_hour_max,
                messages_per_day: self.server_messages_per_day_max,
                recipients_per_hour: self.server_recipients_per_hour_max,
                recipients_per_day: self.server_recipients_per_day_max,
            },
            new_recipients_per_day: self.account_new_recipients_per_day_max,
            failures_per_hour: self.account_failures_per_hour_max,
            held_max: self.account_held_messages_max,
        }
    }

    /// Host and port of the smarthost.
    pub fn smarthost(&self) -> Option<(&str, u16)> {
        let (host, port) = self.smarthost.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host, port.parse().ok()?))
    }
}
