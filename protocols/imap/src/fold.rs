//! How texts are made alike before they are compared or sorted: as i;unicode-casemap asks (RFC 5051 §2), and a little more.
//!
//! Each letter by itself becomes its compatibility decomposition and then lower case by way of upper case, so that `ß` is
//! `ss`, a final sigma one like any other, and a ligature its letters. RFC 5051 goes by one-to-one mappings into title case,
//! which tell apart what this does not. Marks are not put in order and neighbours not looked at: text may be cut
//! between any two letters and is folded all the same.

use unicode_normalization::char::decompose_compatible;

/// The text, folded.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// Appends the text, folded.
pub(crate) fn fold_into(text: &str, folded: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (ascii, other) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        let from = folded.len();
        folded.push_str(ascii);
        if let Some(added) = folded.get_mut(from..) {
            added.make_ascii_lowercase();
        }
        let end = other.bytes().position(|byte| byte.is_ascii()).unwrap_or(other.len());
        let (letters, after) = other.split_at_checked(end).unwrap_or((other, ""));
        letters.chars().for_each(|letter| decompose_compatible(letter, |letter| push(letter, folded)));
        rest = after;
    }
}

fn push(letter: char, folded: &mut String) {
    if letter.is_ascii() {
        return folded.push(letter.to_ascii_lowercase());
    }
    letter.to_uppercase().flat_map(char::to_lowercase).for_each(|letter| folded.push(letter));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn alike() {
        let table = [
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("привет", "ПРИВЕТ"),
            ("Grün", "GRU\u{308}N"),
            ("ﬁne", "FINE"),
            ("ｗｉｄｅ", "Wide"),
            ("㎏", "KG"),
            ("ǅ", "dž"),
            ("\u{212b}", "å"),
            ("한국", "\u{1112}\u{1161}\u{11ab}국"),
            ("aB", "Ab"),
        ];
        for (one, other) in table {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn not_alike() {
        for (one, other) in [("Grün", "Grun"), ("a b", "ab"), ("日", "本")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn text_may_be_cut_anywhere(one in "\\PC{0,12}", other in "\\PC{0,12}") {
            prop_assert_eq!(fold(&one) + &fold(&other), fold(&format!("{one}{other}")));
        }

        #[test]
        fn what_is_folded_stays(text in "\\PC{0,12}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }

        #[test]
        fn case_does_not_count(text in "\\PC{0,12}") {
            prop_assert_eq!(fold(&text.to_uppercase()), fold(&text));
        }
    }
}
