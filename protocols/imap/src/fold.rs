//! How texts are made alike before they are compared or sorted: as i;unicode-casemap asks (RFC 5051 §2), and a little more.
//!
//! Each letter by itself becomes its compatibility decomposition and then lower case by way of upper case, so that `ß` is
//! `ss`, a final sigma one like any other, and a ligature its letters. RFC 5051 goes by one-to-one mappings into title case,
//! which tell apart what this does not. Marks are not put in order and neighbours not looked at: text may be cut
//! between any two letters and is folded all the same.

use std::sync::LazyLock;
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
        let (ascii, other) = rest.split_at_checked(ascii_start(rest)).unwrap_or((rest, ""));
        let from = folded.len();
        folded.push_str(ascii);
        if let Some(added) = folded.get_mut(from..) {
            added.make_ascii_lowercase();
        }
        let end = other.bytes().position(|byte| byte.is_ascii()).unwrap_or(other.len());
        let (letters, after) = other.split_at_checked(end).unwrap_or((other, ""));
        letters.chars().for_each(|letter| fold_letter(letter, folded));
        rest = after;
    }
}

/// Octets before the first letter that is not ASCII.
fn ascii_start(text: &str) -> usize {
    const AT_ONCE: usize = 64;
    let whole = text.as_bytes().chunks(AT_ONCE).take_while(|chunk| chunk.is_ascii()).map(<[u8]>::len).sum();
    let rest = text.as_bytes().get(whole..).unwrap_or_default();
    whole + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// Letters below this are those of most texts in Latin, Greek, Cyrillic and Armenian.
const KNOWN_LETTERS: usize = 0x590;

/// What each of them becomes, in UTF-8: octets and their number.
static KNOWN: LazyLock<Vec<([u8; 7], usize)>> = LazyLock::new(|| {
    let known = |letter: char| {
        let (mut text, mut octets) = (String::new(), [0; 7]);
        fold_slowly(letter, &mut text);
        let place = octets.get_mut(..text.len());
        let fits = place.map(|place| place.copy_from_slice(text.as_bytes())).is_some();
        (octets, if fits { text.len() } else { usize::MAX })
    };
    (0..KNOWN_LETTERS).map(|number| u32::try_from(number).ok().and_then(char::from_u32).map_or(([0; 7], usize::MAX), known)).collect()
});

fn fold_letter(letter: char, folded: &mut String) {
    let known = usize::try_from(u32::from(letter)).ok().and_then(|number| KNOWN.get(number));
    match known.and_then(|(octets, length)| octets.get(..*length)).and_then(|octets| str::from_utf8(octets).ok()) {
        Some(text) => folded.push_str(text),
        None => fold_slowly(letter, folded),
    }
}

fn fold_slowly(letter: char, folded: &mut String) {
    decompose_compatible(letter, |letter| folded.extend(letter.to_uppercase().flat_map(char::to_lowercase)));
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
