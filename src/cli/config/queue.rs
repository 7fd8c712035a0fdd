//! `[queue]`: how mail for other hosts leaves.

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
}

impl Queue {
    /// The file of authorities besides the usual ones.
    pub fn extra_authorities(&self) -> Option<&Path> {
        Some(self.extra_ca_file.as_path()).filter(|file| !file.as_os_str().is_empty())
    }

    /// Host and port of the smarthost.
    pub fn smarthost(&self) -> Option<(&str, u16)> {
        let (host, port) = self.smarthost.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host, port.parse().ok()?))
    }
}
