//! What can be wrong with a configuration, in words that say how to put it right.
//!
//! Three passes, each of which needs the one before: the file against the defaults (keys and kinds of values),
//! the values themselves (addresses and words), and their meaning (names and ranges).

use super::acme::CHALLENGES;
use super::mta_sts::MODES;
use super::{Abuse, Config, Queue};
use crate::doors::http::mta_sts::MAX_AGE_SECONDS_MAX;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use stoa_smtp::Address;
use toml::{Table, Value};

/// Keys that take one of a few words.
const WORDS: [(&str, &[&str]); 3] =
    [("mta_sts.mode", &MODES), ("log.format", &["text", "json"]), ("log.level", &["error", "warn", "info", "debug", "trace"])];

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

/// All that is wrong; an error with a line for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let lead = if n == 0 { "" } else { "\n" };
            write!(f, "{lead}{}", problem.0)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// Goes on if nothing is wrong.
    pub(super) fn or_else<T>(self, next: impl FnOnce() -> Result<T, Problems>) -> Result<T, Problems> {
        if self.0.is_empty() { next() } else { Err(self) }
    }

    /// The text is not TOML.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Problems {
        let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        Problems(vec![Problem(format!("line {line}: {}", error.message()))])
    }

    /// A value of the right kind that says nothing we know; what is wrong with a word is found before.
    pub(super) fn meaning(error: &toml::de::Error) -> Problems {
        // The second line of what is displayed names the key.
        let shown = error.to_string();
        let key = shown.lines().find_map(|line| line.trim().strip_prefix("in `")?.strip_suffix('`'));
        let key = key.map_or(String::new(), |key| format!("{key}: "));
        Problems(vec![Problem(format!("{key}{}", error.message()))])
    }

    pub(super) fn add(&mut self, key: &str, value: impl fmt::Display, allowed: impl fmt::Display) {
        self.0.push(Problem(format!("{key} = {value}: {allowed}")));
    }

    /// Finds keys that do not exist and values of the wrong kind.
    pub(super) fn compare(&mut self, own: &Table, all: &Table) {
        self.compare_below("", own, all);
    }

    fn compare_below(&mut self, above: &str, own: &Table, all: &Table) {
        for (name, value) in own {
            let key = format!("{above}{name}");
            match (all.get(name), value) {
                (None, _) => self.0.push(Problem(format!("{key}: there is no such key{}", alternatives(above, all)))),
                (Some(Value::Table(all)), Value::Table(own)) => self.compare_below(&format!("{key}."), own, all),
                (Some(default), value) => self.compare_kind(&key, value, default),
            }
        }
    }

    fn compare_kind(&mut self, key: &str, value: &Value, default: &Value) {
        if !value.same_type(default) {
            self.add(key, value, format_args!("this must be {}", kind(default)));
        } else if value.as_integer().is_some_and(|n| n < 0) {
            self.add(key, value, "this must not be negative");
        } else if value.as_array().is_some_and(|list| list.iter().any(|item| !is_item(item, default))) {
            self.add(key, value, format_args!("this must be {}", kind(default)));
        } else if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == key) {
            if !value.as_str().is_some_and(|word| words.contains(&word)) {
                self.add(key, value, format_args!("this must be {}", choice(words)));
            }
        } else if key == "acme.challenges" {
            let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            for text in texts.filter(|text| !CHALLENGES.contains(text)) {
                self.add(key, quoted(text), format_args!("this must be {}", choice(&CHALLENGES)));
            }
        } else if key.starts_with("listen.") || key == "dns.servers" {
            let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            for text in texts.filter(|text| text.parse::<SocketAddr>().is_err()) {
                self.add(key, quoted(text), "this must be an address and a port, such as \"0.0.0.0:25\" or \"[::]:25\"");
            }
        }
    }

    /// Checks what each value means.
    pub(super) fn check(&mut self, config: &Config) {
        self.check_names(config);
        self.check_abuse(&config.abuse);
        self.check_acme(config);
        config.verify.check(self);
        self.check_ranges(config);
        self.check_smarthost(config);
    }

    fn check_smarthost(&mut self, config: &Config) {
        let queue = &config.queue;
        if queue.smarthost.is_empty() {
            return;
        }
        let is_host = |host: &str| is_domain(host) || host.parse::<std::net::IpAddr>().is_ok();
        if !queue.smarthost().is_some_and(|(host, port)| is_host(host) && port != 0) {
            self.add("queue.smarthost", quoted(&queue.smarthost), "this must be a host and a port, such as \"mail.example.net:465\"");
        }
        if queue.smarthost_login.is_empty() != queue.smarthost_password_file.as_os_str().is_empty() {
            let login = quoted(&queue.smarthost_login);
            self.add("queue.smarthost_login", login, "a login needs a smarthost_password_file, and a password file a login");
        }
    }

    fn check_names(&mut self, config: &Config) {
        if !is_domain(&config.hostname) || !config.hostname.contains('.') {
            self.add("hostname", quoted(&config.hostname), "this must be the full name of this host, such as \"mail.example.org\"");
        }
        if config.domains.is_empty() {
            self.add("domains", "[]", "this must name one mail domain at least, such as [\"example.org\"]");
        }
        for domain in config.domains.iter().filter(|domain| !is_domain(domain)) {
            self.add("domains", quoted(domain), "this is not a domain such as \"example.org\"");
        }
        for domain in config.signing.rsa_only_destinations.iter().filter(|domain| !is_domain(domain)) {
            self.add("signing.rsa_only_destinations", quoted(domain), "this is not a domain such as \"example.org\"");
        }
    }

    fn check_abuse(&mut self, abuse: &Abuse) {
        self.within("abuse.connections_per_minute_max", abuse.connections_per_minute_max.into(), 10..=1_000_000);
        self.within("abuse.failed_logins_per_hour_max", abuse.failed_logins_per_hour_max.into(), 3..=1_000_000);
        self.within("abuse.failed_logins_per_day_max", abuse.failed_logins_per_day_max.into(), 3..=1_000_000);
        self.within("abuse.unknown_recipients_per_hour_max", abuse.unknown_recipients_per_hour_max.into(), 3..=1_000_000);
        // RFC 5321 §4.5.3.2 lets a client give up after five minutes.
        self.within("abuse.tarpit_seconds_max", abuse.tarpit_seconds_max, 0..=120);
        self.within("abuse.first_time_delay_seconds", abuse.first_time_delay_seconds, 0..=120);
        self.within("abuse.greylisting_seconds", abuse.greylisting_seconds.unsigned_abs(), 1..=86_400);
        self.within("abuse.junk_score", abuse.junk_score.unsigned_abs().into(), 1..=1_000);
        for list in abuse.blocklists.iter().filter(|list| !is_domain(list)) {
            self.add("abuse.blocklists", quoted(list), "this is not the name of a list, such as \"zen.example.net\"");
        }
    }

    fn check_acme(&mut self, config: &Config) {
        let acme = &config.acme;
        // RFC 8555 §6.1: an authority is spoken to over HTTPS alone.
        let host = acme.directory_url.strip_prefix("https://").and_then(|rest| rest.split(['/', ':']).next());
        if host.is_none_or(|host| host.is_empty()) || acme.directory_url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let allowed =
                "this must be an address of the web that begins with https://, such as \"https://acme-v02.api.letsencrypt.org/directory\"";
            self.add("acme.directory_url", quoted(&acme.directory_url), allowed);
        }
        if !acme.contact.is_empty() && Address::parse(&acme.contact).is_none() {
            self.add("acme.contact", quoted(&acme.contact), "this must be a mail address such as \"john@example.org\", or empty");
        }
        if acme.challenges.is_empty() {
            self.add("acme.challenges", "[]", format_args!("this must name one at least of {}", choice(&CHALLENGES)));
        }
    }

    fn check_ranges(&mut self, config: &Config) {
        const MB: u64 = 1 << 20;
        let (limits, store) = (&config.limits, &config.store);
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        // A message must leave room for the 4 GiB that a size of RFC822.SIZE can say.
        self.within("queue.smtp_port", config.queue.smtp_port.into(), 1..=65_535);
        self.within("queue.https_port", config.queue.https_port.into(), 1..=65_535);
        self.check_sending(&config.queue);
        self.within("dns.timeout_seconds", config.dns.timeout_seconds, 1..=60);
        self.within("dns.attempts", config.dns.attempts, 0..=10);
        self.within("limits.message_bytes_max", limits.message_bytes_max, 64 << 10..=2048 * MB);
        self.within("limits.recipients_max", number(limits.recipients_max), 100..=100_000);
        self.within("limits.connections_max", number(limits.connections_max), 10..=1_000_000);
        self.within("limits.connections_per_address_max", number(limits.connections_per_address_max), 1..=1_000_000);
        self.within("limits.argon2_at_once_max", number(limits.argon2_at_once_max), 1..=64);
        if config.signing.rotate_days != 0 {
            self.within("signing.rotate_days", config.signing.rotate_days, super::signing::ROTATE_DAYS);
        }
        // Shorter, and an attacker who waits a day has the policy forgotten.
        self.within("mta_sts.max_age_seconds", config.mta_sts.max_age_seconds, 86_400..=MAX_AGE_SECONDS_MAX);
        self.within("timeouts.shutdown_seconds", config.timeouts.shutdown_seconds, 0..=600);
        self.within("store.cache_bytes", number(store.cache_bytes), MB..=64 << 30);
        self.within("store.write_buffer_bytes", number(store.write_buffer_bytes), MB..=1 << 30);
        self.within("store.write_buffers_bytes", number(store.write_buffers_bytes), MB..=64 << 30);
        self.within("store.open_files_max", u64::try_from(store.open_files_max).unwrap_or(0), 64..=100_000);
    }

    fn check_sending(&mut self, queue: &Queue) {
        const YEAR_SECONDS: u64 = 31_536_000;
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        if queue.retry_seconds.is_empty() {
            self.add("queue.retry_seconds", "[]", "this must name one pause at least, such as [300, 900]");
        }
        for pause in &queue.retry_seconds {
            self.within("queue.retry_seconds", pause.unsigned_abs(), 1..=604_800);
        }
        self.within("queue.patience_percent", queue.patience_percent.into(), 1..=100);
        self.within("queue.give_up_seconds", queue.give_up_seconds.unsigned_abs(), 1..=YEAR_SECONDS);
        self.within("queue.give_up_reports_seconds", queue.give_up_reports_seconds.unsigned_abs(), 1..=YEAR_SECONDS);
        self.within("queue.delay_notice_seconds", queue.delay_notice_seconds.unsigned_abs(), 1..=YEAR_SECONDS);
        self.within("queue.connections_max", number(queue.connections_max), 1..=1_000);
        self.within("queue.connections_per_destination_max", number(queue.connections_per_destination_max), 1..=100);
        self.within("queue.messages_per_connection_max", number(queue.messages_per_connection_max), 1..=100_000);
        let budgets = [
            ("queue.messages_per_destination_and_minute_max", queue.messages_per_destination_and_minute_max),
            ("queue.account_messages_per_hour_max", queue.account_messages_per_hour_max),
            ("queue.account_messages_per_day_max", queue.account_messages_per_day_max),
            ("queue.account_recipients_per_hour_max", queue.account_recipients_per_hour_max),
            ("queue.account_recipients_per_day_max", queue.account_recipients_per_day_max),
            ("queue.account_new_recipients_per_day_max", queue.account_new_recipients_per_day_max),
            ("queue.account_failures_per_hour_max", queue.account_failures_per_hour_max),
            ("queue.account_held_messages_max", queue.account_held_messages_max),
            ("queue.server_messages_per_hour_max", queue.server_messages_per_hour_max),
            ("queue.server_messages_per_day_max", queue.server_messages_per_day_max),
            ("queue.server_recipients_per_hour_max", queue.server_recipients_per_hour_max),
            ("queue.server_recipients_per_day_max", queue.server_recipients_per_day_max),
        ];
        for (key, value) in budgets {
            self.within(key, value.into(), 1..=10_000_000);
        }
    }

    fn within(&mut self, key: &str, value: u64, allowed: RangeInclusive<u64>) {
        if !allowed.contains(&value) {
            self.add(key, value, format_args!("this must be from {} to {}", allowed.start(), allowed.end()));
        }
    }
}

/// What could have been meant: all keys at this place, which are few.
fn alternatives(above: &str, all: &Table) -> String {
    let keys: Vec<String> = all.keys().map(|name| format!("{above}{name}")).collect();
    format!("; there are {}", keys.join(", "))
}

/// What a list may hold: what its default holds, and texts if that is empty.
fn is_item(item: &Value, default: &Value) -> bool {
    if is_list_of_numbers(default) { item.as_integer().is_some_and(|n| n >= 0) } else { item.is_str() }
}

fn is_list_of_numbers(value: &Value) -> bool {
    value.as_array().and_then(|list| list.first()).is_some_and(Value::is_integer)
}

fn kind(default: &Value) -> &'static str {
    match default {
        Value::Array(_) if is_list_of_numbers(default) => "a list of whole numbers, such as [300, 900]",
        Value::String(_) => "a text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Array(_) => "a list of texts, such as [\"…\", \"…\"]",
        Value::Table(_) => "a table of keys",
        Value::Boolean(_) => "true or false",
        Value::Float(_) => "a number",
        Value::Datetime(_) => "a date",
    }
}

fn choice(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The same grammar that SMTP takes in an address; an IP address is not a name, with brackets or without (RFC 1123 §2.1).
pub(crate) fn is_domain(text: &str) -> bool {
    let last_is_number = text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    !text.starts_with('[') && !last_is_number && Address::parse(&format!("a@{text}")).is_some()
}
