//! `[acme]`: whether the server fetches its certificate by itself, and from whom (RFC 8555).

use crate::net::acme::Kind;
use serde::Deserialize;
use std::path::PathBuf;

/// The words of `acme.challenges`.
pub(super) const CHALLENGES: [&str; 3] = ["tls-alpn-01", "http-01", "dns-01"];

/// A certificate that comes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Whether it does; the owner agrees to the authority's terms with it.
    pub enabled: bool,
    /// The authority.
    pub directory_url: String,
    /// The mail address that the authority may write to; empty for none.
    pub contact: String,
    /// How the authority verifies names, the preferred way first.
    pub challenges: Vec<Kind>,
    /// Authorities that sign the certificate of `directory_url` itself, in PEM; empty for those that browsers know.
    pub ca_file: PathBuf,
}
