//! Address lists as IMAP tells them (RFC 5322 §3.4 and §4.4).
//!
//! Reads unfolded values from strangers in one pass. What breaks the grammar still gives an entry: words without "@"
//! become a local part without host, semicolons part addresses as commas do, groups are always closed.

use crate::part::Address;
use crate::structured::{Cursor, is_space};

/// The addresses of an unfolded value; `max` entries and group marks at most, the rest is left out.
pub fn list(value: &[u8], max: usize) -> Vec<Address> {
    let mut reader =
        Reader { cursor: Cursor::new(value), entry: Entry::default(), in_group: false, may_name: false, addresses: Vec::new() };
    // One is kept free for the end of a group.
    while reader.addresses.len() + 1 < max && reader.step() {}
    if reader.in_group {
        reader.addresses.push(Address::GroupEnd);
    }
    reader.addresses
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    entry: Entry,
    in_group: bool,
    /// Whether a comment may still name the last address: it has no name, and no comma came yet.
    may_name: bool,
    addresses: Vec<Address>,
}

/// What came since the last comma.
#[derive(Default)]
struct Entry {
    /// With single spaces where there was space: a display name, perhaps.
    phrase: Vec<u8>,
    /// Without space: an addr-spec, perhaps.
    spec: Vec<u8>,
    /// Where in `spec` the last "@" outside quotes is.
    at: Option<usize>,
    space: bool,
    comment: Option<Vec<u8>>,
}

impl Entry {
    fn add(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.space) && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(bytes);
        self.spec.extend_from_slice(bytes);
    }
}

impl Reader<'_> {
    /// Takes one lexical token; false at the end.
    fn step(&mut self) -> bool {
        let Some(byte) = self.cursor.peek() else {
            self.close();
            return false;
        };
        if let Some(text) = self.cursor.quoted() {
            self.entry.add(&text);
        } else if let Some(literal) = self.cursor.literal() {
            self.entry.add(literal);
        } else if let Some(text) = self.cursor.comment() {
            self.comment(text);
        } else if is_space(byte) {
            self.cursor.take_while(is_space);
            self.entry.space = true;
        } else {
            self.cursor.take();
            self.mark(byte);
        }
        true
    }

    /// A byte that is none of quotes, comments and space.
    fn mark(&mut self, byte: u8) {
        match byte {
            b',' => self.close(),
            b';' => {
                self.close();
                if std::mem::take(&mut self.in_group) {
                    self.addresses.push(Address::GroupEnd);
                }
            }
            b':' if !self.in_group && self.entry.at.is_none() => {
                let name = std::mem::take(&mut self.entry).phrase;
                (self.in_group, self.may_name) = (true, false);
                self.addresses.push(Address::GroupStart(name));
            }
            b'<' => self.angle(),
            // Left over from quotes or brackets that do not close.
            b'"' | b'>' => {}
            b'@' => {
                self.entry.at = Some(self.entry.spec.len());
                self.entry.add(b"@");
            }
            _ => {
                self.entry.add(&[byte]);
                let atom = self.cursor.take_while(|byte| !is_space(byte) && !b",;:<>\"()[]@".contains(&byte));
                self.entry.add(atom);
            }
        }
    }

    /// RFC 5322 §3.4: angle-addr = "<" addr-spec ">"; §4.4: obs-angle-addr = "<" obs-route addr-spec ">".
    fn angle(&mut self) {
        let before = std::mem::take(&mut self.entry);
        let (mut spec, mut at, mut route) = (Vec::new(), None, None);
        while let Some(byte) = self.cursor.peek() {
            if let Some(text) = self.cursor.quoted() {
                spec.extend(text);
                continue;
            }
            if let Some(literal) = self.cursor.literal() {
                spec.extend_from_slice(literal);
                continue;
            }
            if self.cursor.comment().is_some() {
                continue;
            }
            let in_route = route.is_none() && spec.first() == Some(&b'@');
            match byte {
                // Without ">", the entry ends as any other; the mark is left for it.
                b';' => break,
                b',' if !in_route => break,
                _ => self.cursor.take(),
            };
            match byte {
                b'>' => break,
                b':' if in_route => (route, at) = (Some(std::mem::take(&mut spec)), None),
                b'@' => {
                    at = Some(spec.len());
                    spec.push(byte);
                }
                _ if is_space(byte) => {}
                _ => spec.push(byte),
            }
        }
        let (local, host) = parted(spec, at);
        let name = Some(before.phrase).filter(|name| !name.is_empty()).or(before.comment);
        self.may_name = name.is_none();
        self.addresses.push(Address::Mailbox { name, route, local, host });
    }

    /// A comment names the address it stands in or right after.
    fn comment(&mut self, text: Vec<u8>) {
        self.entry.space = true;
        let text = text.trim_ascii().to_vec();
        match self.addresses.last_mut() {
            Some(Address::Mailbox { name, .. }) if self.may_name && self.entry.spec.is_empty() => {
                *name = Some(text);
                self.may_name = false;
            }
            _ => self.entry.comment = Some(text),
        }
    }

    /// Ends an entry that had no angle brackets.
    fn close(&mut self) {
        let Entry { phrase, spec, at, comment, .. } = std::mem::take(&mut self.entry);
        self.may_name = false;
        if spec.is_empty() {
            return;
        }
        let (local, host) = if at.is_some() { parted(spec, at) } else { (phrase, Vec::new()) };
        self.addresses.push(Address::Mailbox { name: comment, route: None, local, host });
    }
}

/// Local part and host around the "@" at this place.
fn parted(mut spec: Vec<u8>, at: Option<usize>) -> (Vec<u8>, Vec<u8>) {
    let host = at.and_then(|at| spec.get(at + 1..)).unwrap_or_default().to_vec();
    if let Some(at) = at {
        spec.truncate(at);
    }
    (spec, host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `name/route/local@host`, with `-` for what is not there, and `[name`, `]` for groups.
    fn shown(value: &str) -> String {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let option = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("-".to_owned(), text);
        let one = |address: &Address| match address {
            Address::Mailbox { name, route, local, host } => format!("{}/{}/{}@{}", option(name), option(route), text(local), text(host)),
            Address::GroupStart(name) => format!("[{}", text(name)),
            Address::GroupEnd => "]".to_owned(),
        };
        list(value.as_bytes(), 100).iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn lists() {
        let table = [
            ("", ""),
            ("a@b", "-/-/a@b"),
            ("John Q. Public  <jqp@x.org>, <b@c>", "John Q. Public/-/jqp@x.org | -/-/b@c"),
            (r#""Joe \"Q.\" Public, Jr." <j@x>"#, r#"Joe "Q." Public, Jr./-/j@x"#),
            ("a@b (Ann Bee), c@d", "Ann Bee/-/a@b | -/-/c@d"),
            ("<a@b> (Ann)", "Ann/-/a@b"),
            ("Ann <a@b> (x), c@d", "Ann/-/a@b | -/-/c@d"),
            (r#""a b@c"@d"#, "-/-/a b@c@d"),
            ("<@a,@b:c@d>", "-/@a,@b/c@d"),
            ("x@[127.0.0.1]", "-/-/x@[127.0.0.1]"),
            ("A Group:Ed <e@x>,j@y,J <d@z>;", "[A Group | Ed/-/e@x | -/-/j@y | J/-/d@z | ]"),
            ("Undisclosed recipients:;", "[Undisclosed recipients | ]"),
            ("(a) Hidden : , n@x,,(b) ; c@d", "[Hidden | -/-/n@x | ] | -/-/c@d"),
            ("john . doe @ x . org", "-/-/john.doe@x.org"),
            // What breaks the grammar.
            ("just a name", "-/-/just a name@"),
            ("John <>", "John/-/@"),
            ("John <a@b", "John/-/a@b"),
            ("John <a@b, c@d", "John/-/a@b | -/-/c@d"),
            ("\"John <a@b>", "John/-/a@b"),
            ("a@b; c@d", "-/-/a@b | -/-/c@d"),
            ("<a@b> <c@d>", "-/-/a@b | -/-/c@d"),
            ("G: a@b", "[G | -/-/a@b | ]"),
            ("a@b@c", "-/-/a@b@c"),
            (",,;", ""),
        ];
        for (value, want) in table {
            assert_eq!(shown(value), want, "{value}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list("a@b,".repeat(100_000).as_bytes(), 50).len(), 49);
        assert_eq!(list("a:;".repeat(100_000).as_bytes(), 50).len(), 50);
        assert_eq!(list(b"a@b", 0), []);
        for mark in ["(", "[", "\"", "<", ":", "\\\"", "<[", "<\""] {
            list(mark.repeat(300_000).as_bytes(), 1000);
        }
    }

    proptest! {
        #[test]
        fn groups_are_balanced(value in "[ab@<>:;,\"()\\[\\]\\\\ .]{0,40}", max in 0_usize..9) {
            let addresses = list(value.as_bytes(), max);
            prop_assert!(addresses.len() <= max);
            let mut open = false;
            for address in &addresses {
                match address {
                    Address::GroupStart(_) => prop_assert!(!std::mem::replace(&mut open, true)),
                    Address::GroupEnd => prop_assert!(std::mem::replace(&mut open, false)),
                    Address::Mailbox { .. } => {}
                }
            }
            prop_assert!(!open);
        }
    }
}
