//! The patterns of LIST and LSUB (RFC 3501 §6.3.8): `*` stands for anything, `%` for anything within a level.
//!
//! Matching costs the length of the pattern times that of the name, whatever a stranger writes: all places where
//! the pattern may stand are followed at once, none is tried again.

use crate::names::is_inbox;

/// Does this name match? Both are text; the first level is compared without case where it is INBOX (§5.1).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let folded = if is_inbox(name.split('/').next().unwrap_or_default()) { "INBOX".len() } else { 0 };
    // Whether the pattern's first n characters match what was read of the name.
    let mut alive = vec![false; pattern.len() + 1];
    if let Some(start) = alive.first_mut() {
        *start = true;
    }
    pass_wildcards(&pattern, &mut alive);
    let mut next = alive.clone();
    for (at, character) in name.chars().enumerate() {
        next.fill(false);
        for (place, expected) in pattern.iter().enumerate().filter(|(place, _)| alive.get(*place) == Some(&true)) {
            let stays = *expected == '*' || (*expected == '%' && character != '/');
            let same = *expected == character || (at < folded && expected.eq_ignore_ascii_case(&character));
            let moves = same && !matches!(expected, '*' | '%');
            if let Some(slot) = next.get_mut(if moves { place + 1 } else { place }) {
                *slot |= stays || moves;
            }
        }
        pass_wildcards(&pattern, &mut next);
        std::mem::swap(&mut alive, &mut next);
    }
    alive.last() == Some(&true)
}

/// A wildcard may stand for nothing.
fn pass_wildcards(pattern: &[char], alive: &mut [bool]) {
    for (place, _) in pattern.iter().enumerate().filter(|(_, character)| matches!(character, '*' | '%')) {
        if alive.get(place) == Some(&true)
            && let Some(next) = alive.get_mut(place + 1)
        {
            *next = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards() {
        let table = [
            ("*", "a/b", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a/*", "a/b/c", true),
            ("a*", "a", true),
            ("*c", "a/b/c", true),
            ("%c", "a/b/c", false),
            ("a%/c", "ab/c", true),
            ("*%", "a/b", true),
            ("%*b%", "a/bc", true),
            ("", "", true),
            ("", "a", false),
            ("inbox", "INBOX", true),
            ("InBox/%", "INBOX/x", true),
            ("inbox/X", "INBOX/x", false),
            ("inboxes", "Inboxes", false),
            ("%日%", "台日本", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_wildcards_cost_no_more() {
        assert!(!matches(&"*a%".repeat(300), &"a/".repeat(200)));
    }

    /// The plainest definition there is; exponential.
    fn plainly(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            ([c @ ('*' | '%'), rest @ ..], name) => {
                plainly(rest, name) || matches!(name, [first, after @ ..] if (*c == '*' || *first != '/') && plainly(pattern, after))
            }
            ([c, rest @ ..], [first, after @ ..]) => c == first && plainly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_plain_definition_says(pattern in "[ab/*%]{0,7}", name in "[ab/]{0,8}") {
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(matches(&pattern, &name), plainly(&p, &n));
        }
    }
}
