//! Every key is documented and used, and what is wrong is said well.

use super::*;

const SMALLEST: &str = "hostname = 'mail.example.org'\ndomains = ['example.org']\n";

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_names_host_and_domain() {
    let config = Config::parse(SMALLEST).unwrap();
    assert_eq!(config.primary_domain(), "example.org");
    assert_eq!(config.listen.imaps, ["[::]:993".parse().unwrap()]);
    assert_eq!(config.log, Log { format: LogFormat::Text, level: LogLevel::Info });
}

#[test]
fn the_default_store_is_the_engines_own_default() {
    assert_eq!(RocksConfig::from(&Config::parse(SMALLEST).unwrap().store), RocksConfig::default());
}

/// No field of [`Config`] has a default of its own and none may be unknown: so the file has exactly the fields.
#[test]
fn the_default_file_has_every_field_and_no_other() {
    toml::from_str::<Config>(DEFAULT).unwrap();
}

#[test]
fn every_key_is_documented() {
    let lines: Vec<&str> = DEFAULT.lines().collect();
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
        assert!(lines[n - 1].starts_with("# "), "{line} has no comment");
    }
}

#[test]
fn an_own_value_wins_and_leaves_its_neighbours() {
    let config = Config::parse(&format!("{SMALLEST}[listen]\nimap = []\nsmtp = ['127.0.0.1:25', '[::1]:25']")).unwrap();
    assert!(config.listen.imap.is_empty());
    assert_eq!(config.listen.smtp.len(), 2);
    assert_eq!(config.listen.https.len(), 1);
}

#[test]
fn files_count_from_the_directory_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    std::fs::write(&file, format!("{SMALLEST}data_directory = 'data'\n[tls]\nkey_file = '/etc/key.pem'")).unwrap();
    let config = Config::read(&file).unwrap();
    assert_eq!(config.data_directory, dir.path().join("data"));
    assert_eq!(config.tls.key_file, Path::new("/etc/key.pem"));
    assert_eq!(config.tls.certificate_file, dir.path().join("tls/certificate.pem"));
}

#[test]
fn what_is_wrong_names_key_value_and_what_is_allowed() {
    let cases: &[(&str, &[&str])] = &[
        ("hostname = 'localhost'", &["hostname = \"localhost\"", "full name"]),
        ("hostname = 'mail example'", &["hostname = \"mail example\""]),
        ("domains = []", &["domains = []", "[\"example.org\"]"]),
        ("domains = ['example.org', 'exam ple']", &["domains = \"exam ple\"", "not a domain"]),
        ("domains = ['192.0.2.1']", &["domains = \"192.0.2.1\"", "not a domain"]),
        ("domains = 'example.org'", &["domains = \"example.org\"", "a list of texts"]),
        ("domains = [1]", &["domains = [1]", "a list of texts"]),
        ("host = 'x'", &["host: there is no such key", "hostname"]),
        ("limits.message_bytes_max = 1", &["limits.message_bytes_max = 1", "from 65536 to 2147483648"]),
        ("limits.recipients_max = -1", &["limits.recipients_max = -1", "negative"]),
        ("limits.connections_max = '9'", &["limits.connections_max = \"9\"", "a whole number"]),
        ("limits = 3", &["limits = 3", "a table of keys"]),
        ("limits.messages_max = 3", &["limits.messages_max: there is no such key", "limits.message_bytes_max"]),
        ("listen.smtp = ['mail:25']", &["listen.smtp", "mail:25", "such as"]),
        ("listen.smtp = '0.0.0.0:25'", &["listen.smtp", "a list of texts"]),
        ("log.level = 'loud'", &["log.level = \"loud\": this must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\""]),
        ("log.format = 'xml'", &["log.format = \"xml\": this must be \"text\" or \"json\""]),
        ("log.format = true", &["log.format = true", "a text in quotes"]),
        ("acme.enabled = 1", &["acme.enabled = 1", "true or false"]),
        ("acme.directory_url = 'http://ca.example/dir'", &["acme.directory_url = \"http://ca.example/dir\"", "https://"]),
        ("acme.directory_url = 'https://'", &["acme.directory_url", "https://"]),
        ("acme.contact = 'mailto:a@b.example c'", &["acme.contact", "a mail address"]),
        ("acme.challenges = ['tls-sni-01']", &["acme.challenges = \"tls-sni-01\"", "\"tls-alpn-01\", \"http-01\" or \"dns-01\""]),
        ("acme.challenges = []", &["acme.challenges = []", "one at least"]),
        ("mta_sts.mode = 'strict'", &["mta_sts.mode = \"strict\": this must be \"testing\", \"enforce\" or \"none\""]),
        ("mta_sts.max_age_seconds = 60", &["mta_sts.max_age_seconds = 60", "from 86400 to 31557600"]),
        ("store.open_files_max = 3", &["store.open_files_max = 3", "from 64"]),
        ("store.open_files_max = 3000000000", &["store.open_files_max"]),
        ("timeouts.shutdown_seconds = 1000", &["timeouts.shutdown_seconds = 1000", "from 0 to 600"]),
        ("limits.argon2_at_once_max = 0", &["limits.argon2_at_once_max = 0", "from 1"]),
        ("hostname", &["line 3"]),
        ("hostname = 'a.b'\nhostname = 'a.c'", &["line 4"]),
    ];
    for (text, wants) in cases {
        let key = text.split([' ', '.']).next().unwrap();
        let kept: Vec<&str> = SMALLEST.lines().map(|line| if line.starts_with(key) { "# taken out" } else { line }).collect();
        let kept = format!("{}\n", kept.join("\n"));
        let message = refused(&format!("{kept}{text}\n"));
        for want in *wants {
            assert!(message.contains(want), "no {want:?} in {message:?} for {text:?}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let message = refused("host = 1\ndomains = 2\n[log]\nlevel = 3\ncolour = 4\n");
    assert_eq!(message.lines().count(), 4, "{message}");
    assert_eq!(refused("").lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Config::read(&dir.path().join(FILE_NAME)).unwrap_err().to_string();
    assert!(missing.contains("stoa.toml") && missing.contains("`stoa init` makes one"), "{missing}");
    let directory = Config::read(dir.path()).unwrap_err().to_string();
    assert!(!directory.contains("stoa init"), "{directory}");
    let forbidden = unreadable(dir.path(), &ErrorKind::PermissionDenied.into()).to_string();
    assert!(forbidden.contains("sudo -u"), "{forbidden}");
}

#[test]
fn a_smarthost_needs_a_port_and_a_login_a_password() {
    for (text, want) in [
        ("[queue]\nsmarthost = 'mail.example.net'", "such as \"mail.example.net:465\""),
        ("[queue]\nsmarthost = 'a b:25'", "such as \"mail.example.net:465\""),
        ("[queue]\nsmarthost = 'mail.example.net:465'\nsmarthost_login = 'me'", "needs a smarthost_password_file"),
    ] {
        let message = refused(&format!("{SMALLEST}\n{text}\n"));
        assert!(message.contains(want), "{message}");
    }
    let config = Config::parse(&format!("{SMALLEST}\n[queue]\nsmarthost = '[::1]:587'\n")).unwrap();
    assert_eq!(config.queue.smarthost(), Some(("::1", 587)));
}

#[test]
fn the_defaults_of_the_queue_are_those_of_the_program() {
    let queue = Config::parse(SMALLEST).unwrap().queue;
    assert_eq!(queue.schedule(), crate::queue::Schedule::default());
    assert_eq!(queue.limits(), crate::queue::Limits::default());
    assert_eq!(queue.budgets(), crate::delivery::governor::Budgets::default());
    for (text, want) in [
        ("[queue]\nretry_seconds = ['5 minutes']", "a list of whole numbers"),
        ("[queue]\nretry_seconds = []", "one pause at least"),
        ("[queue]\nretry_seconds = [300, 0]", "queue.retry_seconds = 0: this must be from 1"),
        ("[queue]\naccount_messages_per_day_max = 0", "queue.account_messages_per_day_max = 0"),
    ] {
        let message = refused(&format!("{SMALLEST}\n{text}\n"));
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn names_are_compared_as_smtp_does() {
    let config = Config::parse("hostname = \"Mail.Example.ORG\"\ndomains = [\"Example.org\", \"b\u{fc}cher.example\"]").unwrap();
    assert_eq!(
        (config.hostname.as_str(), config.domains.as_slice()),
        ("mail.example.org", &["example.org", "xn--bcher-kva.example"].map(String::from)[..])
    );
}
