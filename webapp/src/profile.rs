//! A configuration profile for Apple's devices: one mail account, ready but for its password.
//!
//! A property list as iPhones, iPads and Macs take it from the web. It is not signed, so the device says "not verified" and
//! asks before it installs it, and then asks for the password, which is not in it. Its UUIDs are given: the same address
//! gets the same ones, so that a profile that is installed again replaces itself.

use askama::Template;

use crate::autoconfig::is_xml_character;
use crate::{MailServer, rendered};

/// Where the profile is, with the address as the query's `address`.
pub const PATH: &str = "/mail-setup/profile.mobileconfig";

/// What the profile is served as.
pub const CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// The name of the grammar, which devices know; nothing is fetched from there.
const DOCTYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "profile.xml")]
pub struct Profile {
    /// The mail address, which is also the name to log in with.
    pub address: String,
    /// The mail domain.
    pub domain: String,
    /// The domain the other way round, such as `org.example`: profiles are named so.
    pub reversed: String,
    /// Where mail is read.
    pub imap: MailServer,
    /// Where mail is handed in.
    pub submission: MailServer,
    /// Names the profile; a UUID in capitals.
    pub profile_uuid: String,
    /// Names the account in it.
    pub account_uuid: String,
}

impl Profile {
    /// The profile's text.
    pub fn xml(&self) -> String {
        let body: String = rendered(self).chars().filter(|&c| is_xml_character(c)).collect();
        format!("{DECLARATION}{DOCTYPE}{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    #[test]
    fn the_account_is_whole_and_has_no_password() {
        let server = |port| MailServer { host: "mail.example.org".into(), port, security: Security::Tls };
        let profile = Profile {
            address: "john&co@example.org".into(),
            domain: "example.org".into(),
            reversed: "org.example".into(),
            imap: server(993),
            submission: server(465),
            profile_uuid: "P".into(),
            account_uuid: "A".into(),
        };
        let text = profile.xml();
        assert!(text.starts_with("<?xml") && text.contains("<!DOCTYPE plist"));
        for (key, value) in [
            ("EmailAddress", "<string>john&#38;co@example.org</string>"),
            ("IncomingMailServerHostName", "<string>mail.example.org</string>"),
            ("IncomingMailServerPortNumber", "<integer>993</integer>"),
            ("IncomingMailServerUseSSL", "<true/>"),
            ("OutgoingMailServerPortNumber", "<integer>465</integer>"),
            ("OutgoingPasswordSameAsIncomingPassword", "<true/>"),
            ("PayloadType", "<string>com.apple.mail.managed</string>"),
        ] {
            assert!(text.contains(&format!("<key>{key}</key>\n{value}")), "no {key} {value} in\n{text}");
        }
        assert!(!text.contains("<key>IncomingPassword</key>") && !text.contains("<key>OutgoingPassword</key>"));
    }
}
