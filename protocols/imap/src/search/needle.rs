//! A text that is looked for, folded: RFC 9051 §6.4.4 asks for substrings without regard to case.

use crate::fold::fold;
use memchr::memmem::Finder;

/// A folded text, ready to be looked for; boxed, since what makes it ready takes far more room than most criteria.
#[derive(Debug, Clone)]
pub(super) struct Needle(Box<Finder<'static>>);

impl Needle {
    /// Of a text in any case.
    pub fn new(text: &str) -> Self {
        Self(Box::new(Finder::new(fold(text).as_bytes()).into_owned()))
    }

    /// In octets, once folded.
    pub fn len(&self) -> usize {
        self.0.needle().len()
    }

    /// Whether a folded text contains it; the empty one is everywhere.
    pub fn is_in(&self, folded: &str) -> bool {
        self.0.find(folded.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count() {
        let table = [
            ("Grüße", "GRÜSSE aus", true),
            ("GRÜ", "grüße", true),
            ("ΟΔΟΣ", "οδος", true),
            ("при", "ПРИВЕТ", true),
            ("", "", true),
            ("a b", "A  B", false),
        ];
        for (needle, text, want) in table {
            assert_eq!(Needle::new(needle).is_in(&fold(text)), want, "{needle} in {text}");
        }
    }
}
