//! Texts that are to stand in DNS for a while, such as the answer to a certificate authority (RFC 8555 §8.4).
//!
//! A [`Texts`] is shared by whoever needs such a text and the port that answers for DNS. A text is there until its
//! [`PostedText`] is dropped, so nothing is left behind when an order fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that is posted now, by name in lower case.
#[derive(Debug, Default)]
pub struct Texts {
    board: Mutex<BTreeMap<String, Vec<String>>>,
}

/// Keeps one text posted until it is dropped.
#[derive(Debug)]
#[must_use = "what was posted is taken down with this"]
pub struct PostedText {
    texts: Arc<Texts>,
    name: String,
    text: String,
}

impl Texts {
    /// Posts a text under a name, such as `_acme-challenge.example.org`, beside those that are there.
    pub fn post(self: &Arc<Self>, name: &str, text: &str) -> PostedText {
        let (name, text) = (name.to_ascii_lowercase(), text.to_owned());
        self.board().entry(name.clone()).or_default().push(text.clone());
        PostedText { texts: Arc::clone(self), name, text }
    }

    /// The texts under a name.
    pub fn of(&self, name: &str) -> Vec<String> {
        self.board().get(name).cloned().unwrap_or_default()
    }

    fn board(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PostedText {
    fn drop(&mut self) {
        let mut board = self.texts.board();
        let Some(texts) = board.get_mut(&self.name) else { return };
        if let Some(at) = texts.iter().position(|text| *text == self.text) {
            texts.swap_remove(at);
        }
        if texts.is_empty() {
            board.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_texts_of_a_name_stand_side_by_side_until_each_is_taken_down() {
        let texts = Arc::new(Texts::default());
        let (one, two) = (texts.post("_Acme.example.org", "1"), texts.post("_acme.example.org", "2"));
        assert_eq!(texts.of("_acme.example.org"), ["1", "2"]);
        drop(one);
        assert_eq!(texts.of("_acme.example.org"), ["2"]);
        drop(two);
        assert!(texts.board().is_empty());
    }
}
