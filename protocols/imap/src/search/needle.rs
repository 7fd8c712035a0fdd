//! A text that is looked for, and how texts are made alike before they are compared.
//!
//! RFC 3501 §6.4.4 asks for substrings without regard to case. Letters are folded one by one, without looking at their
//! neighbours, so that text can be cut between any two letters and found all the same.

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

/// In lower case; a sigma at the end of a word is one like any other.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).map(|letter| if letter == 'ς' { 'σ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count() {
        let table = [
            ("Grüße", "GRÜSSE aus", false),
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
