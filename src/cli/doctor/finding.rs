//! What was found: how bad it is, what it is, why it matters, and what to type or paste.

use serde::Serialize;

/// The longest record of ours, a DKIM key, has some 500 characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// What a finding is about; also the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Area {
    Machine,
    Address,
    Incoming,
    Outgoing,
    Encryption,
    Programs,
}

impl Area {
    pub const ALL: [Area; 6] = [Self::Machine, Self::Address, Self::Incoming, Self::Outgoing, Self::Encryption, Self::Programs];

    pub fn heading(self) -> &'static str {
        match self {
            Self::Machine => "This machine",
            Self::Address => "Its addresses and names",
            Self::Incoming => "Mail that comes",
            Self::Outgoing => "Mail that goes",
            Self::Encryption => "Encryption",
            Self::Programs => "Mail programs",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Severity {
    /// Mail is lost, refused or in danger: something must be done.
    Wrong,
    /// It works, and could be better.
    Better,
    /// What could not be found out, or cannot from here.
    Remark,
    /// As it should be.
    Good,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Better => "better",
            Self::Remark => "note",
            Self::Good => "good",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    /// Stays the same from day to day for the same trouble of the same thing, such as `spf-missing example.org`.
    pub id: String,
    pub area: Area,
    pub severity: Severity,
    /// What is so, in a sentence.
    pub what: String,
    /// Why it matters; empty for what is good.
    pub why: &'static str,
    /// What to do about it; empty if nothing can be done.
    #[serde(rename = "do")]
    pub todo: String,
    /// What to type or paste for it, line by line.
    pub paste: Vec<String>,
}

impl Finding {
    fn new(area: Area, severity: Severity, id: String, what: String, why: &'static str) -> Finding {
        Finding { id: plain(&id), area, severity, what: plain(&what), why, todo: String::new(), paste: Vec::new() }
    }

    pub fn wrong(area: Area, id: String, what: String, why: &'static str) -> Finding {
        Self::new(area, Severity::Wrong, id, what, why)
    }

    pub fn better(area: Area, id: String, what: String, why: &'static str) -> Finding {
        Self::new(area, Severity::Better, id, what, why)
    }

    pub fn remark(area: Area, id: String, what: String) -> Finding {
        Self::new(area, Severity::Remark, id, what, "")
    }

    /// `id` is what it would be called if it were not good.
    pub fn good(area: Area, what: String) -> Finding {
        Self::new(area, Severity::Good, String::new(), what, "")
    }

    /// What to do, and what to type or paste for it.
    pub fn fix(mut self, todo: impl Into<String>, paste: impl IntoIterator<Item = String>) -> Finding {
        self.todo = plain(&todo.into());
        self.paste = paste.into_iter().map(|line| plain(&line)).collect();
        self
    }
}

/// What strangers wrote into DNS is shown at a terminal and in a letter: it must not steer either, nor fill them.
fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown: String = text.chars().take(TEXT_CHARS_MAX).map(|c| if steers(c) { '?' } else { c }).collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_steers_no_terminal_and_fills_no_letter() {
        let hostile = format!("a\u{1b}[2J\r\nSubject: x\u{202e}b{}", "c".repeat(10_000));
        let finding = Finding::wrong(Area::Outgoing, "x".into(), hostile.clone(), "why").fix(hostile.clone(), [hostile]);
        for text in [&finding.what, &finding.todo, &finding.paste[0]] {
            assert!(text.starts_with("a?[2J??Subject: x?bccc") && text.chars().count() == TEXT_CHARS_MAX + 1, "{text}");
        }
    }
}
