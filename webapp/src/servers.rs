//! A mail server as a mail program has to know it.

/// How a connection is made secret. There is no third way: passwords are taken under TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314 §3), the preferred way.
    Tls,
    /// A plain connection that turns to TLS by command before anybody logs in.
    StartTls,
}

impl Security {
    /// The word that mail programs use in their settings.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tls => "SSL/TLS",
            Self::StartTls => "STARTTLS",
        }
    }
}

/// One way to reach a mail service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// The host's name, which its certificate covers.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How the connection is made secret.
    pub security: Security,
}
