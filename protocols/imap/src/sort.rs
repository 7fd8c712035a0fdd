//! SORT: messages in another order than the mailbox's (RFC 5256 §3, RFC 5957).
//!
//! Takes of each message what its criteria go by, and keeps no more of it. Texts are compared as [`crate::fold`] makes them
//! alike. Pure; headers come from strangers.

use crate::fold::fold;
use crate::grammar::Cursor;
use crate::search::Hit;
use crate::subject::{BaseSubject, beginning};
use std::cmp::Ordering;
use stoa_mailbox::Uid;
use stoa_mime::Address;
use stoa_mime::header::fields;
use stoa_mime::{address, words};

/// What to sort by, the first before all others; none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criteria(Vec<Criterion>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Criterion {
    by: By,
    /// RFC 5256 §3: of this one alone.
    reverse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// INTERNALDATE.
    Arrival,
    /// The Date field.
    Date,
    Size,
    Subject,
    /// The local part of the first address of a field.
    Address(&'static str),
    /// What a mail program shows of it (RFC 5957 §3).
    Display(&'static str),
}

impl Criteria {
    /// RFC 5256 §5: "(" sort-key *(SP sort-key) ")", sort-key = ["REVERSE" SP] "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO";
    /// RFC 5957 §4: / "DISPLAYFROM" / "DISPLAYTO"
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        cursor.byte(b'(').then_some(())?;
        let mut criteria: Vec<Criterion> = Vec::new();
        loop {
            let reverse = cursor.keyword("REVERSE");
            (!reverse || cursor.space()).then_some(())?;
            let by = By::named(&cursor.atom()?.to_ascii_uppercase())?;
            // Where messages are the same by it once, they are the second time.
            if !criteria.iter().any(|criterion| criterion.by == by) {
                criteria.push(Criterion { by, reverse });
            }
            if cursor.byte(b')') {
                return Some(Self(criteria));
            }
            cursor.space().then_some(())?;
        }
    }

    /// Must the header of a message be known?
    pub(crate) fn need_headers(&self) -> bool {
        self.0.iter().any(|criterion| !matches!(criterion.by, By::Arrival | By::Size))
    }
}

impl By {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ARRIVAL" => Self::Arrival,
            "CC" => Self::Address("Cc"),
            "DATE" => Self::Date,
            "FROM" => Self::Address("From"),
            "SIZE" => Self::Size,
            "SUBJECT" => Self::Subject,
            "TO" => Self::Address("To"),
            "DISPLAYFROM" => Self::Display("From"),
            "DISPLAYTO" => Self::Display("To"),
            _ => return None,
        })
    }

    fn value(self, hit: &Hit<'_>) -> Value {
        match self {
            Self::Arrival => Value::Number(hit.entry.received),
            Self::Date => Value::Number(hit.moment()),
            Self::Size => Value::Number(hit.entry.size.into()),
            Self::Subject => text(&hit.subject().text),
            Self::Address(field) => text(&first_address(hit, field).map(local).unwrap_or_default()),
            Self::Display(field) => text(&first_address(hit, field).map(shown).unwrap_or_default()),
        }
    }
}

/// Messages that are being sorted.
#[derive(Debug)]
pub(crate) struct Sorter {
    criteria: Criteria,
    messages: Vec<(Vec<Value>, Uid)>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Box<str>),
}

impl Sorter {
    pub fn new(criteria: Criteria) -> Self {
        Self { criteria, messages: Vec::new() }
    }

    /// Takes the next message of the mailbox.
    pub fn add(&mut self, hit: &Hit<'_>) {
        let values = self.criteria.0.iter().map(|criterion| criterion.by.value(hit)).collect();
        self.messages.push((values, hit.entry.uid));
    }

    /// RFC 5256 §3: what is the same by all criteria stays in the order of the mailbox, whatever is reversed.
    pub fn finish(mut self) -> Vec<Uid> {
        let criteria = self.criteria.0;
        let compare = |one: &[Value], other: &[Value]| {
            let orders = criteria.iter().zip(one.iter().zip(other)).map(|(criterion, (one, other))| {
                let order = one.cmp(other);
                if criterion.reverse { order.reverse() } else { order }
            });
            orders.fold(Ordering::Equal, Ordering::then)
        };
        self.messages.sort_by(|(one, _), (other, _)| compare(one, other));
        self.messages.into_iter().map(|(_, uid)| uid).collect()
    }
}

impl Hit<'_> {
    /// RFC 5256 §2.2: when it was sent, else when it came.
    pub(crate) fn moment(&self) -> i64 {
        self.sent.map_or(self.entry.received, |sent| sent.seconds)
    }

    pub(crate) fn subject(&self) -> BaseSubject {
        BaseSubject::of(&self.field("Subject").map(|value| words::decode(&value)).unwrap_or_default())
    }

    /// The first field of this name, unfolded.
    pub(crate) fn field(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        fields(self.header).find(|field| field.is(name)).map(|field| field.value())
    }
}

fn text(text: &str) -> Value {
    Value::Text(fold(beginning(text)).into_boxed_str())
}

fn first_address(hit: &Hit<'_>, field: &str) -> Option<Address> {
    // One place more than one address takes, as groups are closed.
    hit.field(field).and_then(|value| address::list(&value, 2).into_iter().next())
}

/// RFC 5256 §3: addr-mailbox.
fn local(address: Address) -> String {
    match address {
        Address::Mailbox { local: bytes, .. } | Address::GroupStart(bytes) => words::decode(&bytes),
        Address::GroupEnd => String::new(),
    }
}

/// RFC 5957 §3: the display name or else mailbox "@" host; of a group, its name.
fn shown(address: Address) -> String {
    match address {
        Address::Mailbox { name: Some(name), .. } if !name.trim_ascii().is_empty() => words::decode(&name),
        Address::Mailbox { local, host, .. } if host.is_empty() => words::decode(&local),
        Address::Mailbox { local, host, .. } => format!("{}@{}", words::decode(&local), words::decode(&host)),
        Address::GroupStart(name) => words::decode(&name),
        Address::GroupEnd => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_mailbox::{Entry, Flags};
    use stoa_mime::date;

    fn criteria(wire: &str) -> Option<Criteria> {
        Criteria::read(&mut Cursor::new(wire.as_bytes()))
    }

    /// Headers, with the size and INTERNALDATE of each message.
    const MESSAGES: [(&str, u32, i64); 6] = [
        ("From: \"Zoe\" <ann@b.example>\r\nTo: x: c@d;\r\nSubject: Re: beta\r\nDate: Thu, 1 Jan 1970 00:10:00 +0000\r\n", 30, 5),
        ("From: bob@a.example\r\nTo: =?utf-8?q?=C3=84rger?= <z@d>\r\nSubject: Alpha\r\nDate: Thu, 1 Jan 1970 00:09:00 +0000\r\n", 20, 6),
        ("From: ANN@c.example\r\nCc: m@n, a@n\r\nSubject: [x] BETA (fwd)\r\n", 10, 7),
        ("Subject: \r\nDate: nonsense\r\n", 30, 1),
        (
            "From: =?utf-8?q?=C3=89mile?= <\"carl\"@c>\r\nSubject: =?utf-8?q?=C3=A9t=C3=A9?=\r\nDate: Thu, 1 Jan 1970 01:08:00 +0100\r\n",
            40,
            8,
        ),
        ("From: <bob@z.example>\r\nTo: b@c\r\nSubject: \u{c9}T\u{c9}\r\nDate: Thu, 1 Jan 1970 00:10:00 +0000\r\n", 50, 9),
    ];

    fn sorted(wire: &str) -> Vec<Uid> {
        let criteria = criteria(wire).unwrap_or_else(|| panic!("{wire}"));
        let mut sorter = Sorter::new(criteria);
        for (uid, (header, size, received)) in (1..).zip(MESSAGES) {
            let entry = Entry { uid, size, message: 1, modseq: 1, flags: Flags::NONE, received, saved: 0 };
            let date = fields(header.as_bytes()).find(|field| field.is("Date")).and_then(|field| date::parse(&field.value()));
            sorter.add(&Hit { entry: &entry, header: header.as_bytes(), sent: date });
        }
        sorter.finish()
    }

    #[test]
    fn orders() {
        let table = [
            ("(ARRIVAL)", [4, 1, 2, 3, 5, 6]),
            ("(REVERSE ARRIVAL)", [6, 5, 3, 2, 1, 4]),
            ("(SIZE)", [3, 2, 1, 4, 5, 6]),
            ("(REVERSE SIZE)", [6, 5, 1, 4, 2, 3]),
            // Without a date, by INTERNALDATE.
            ("(DATE)", [4, 3, 5, 2, 1, 6]),
            ("(reverse date)", [1, 6, 2, 5, 3, 4]),
            ("(SUBJECT)", [4, 2, 1, 3, 5, 6]),
            ("(SUBJECT REVERSE DATE)", [4, 2, 1, 3, 6, 5]),
            ("(REVERSE SUBJECT SIZE)", [5, 6, 3, 1, 2, 4]),
            ("(FROM)", [4, 1, 3, 2, 6, 5]),
            ("(FROM FROM REVERSE FROM)", [4, 1, 3, 2, 6, 5]),
            ("(CC)", [1, 2, 4, 5, 6, 3]),
            ("(TO)", [3, 4, 5, 6, 1, 2]),
            ("(DISPLAYFROM)", [4, 3, 2, 6, 5, 1]),
            ("(DISPLAYTO)", [3, 4, 5, 2, 6, 1]),
        ];
        for (wire, want) in table {
            assert_eq!(sorted(wire), want, "{wire}");
        }
    }

    #[test]
    fn what_is_no_order() {
        for wire in ["", "DATE", "()", "(DATE", "(REVERSE)", "(REVERSE REVERSE DATE)", "(AGE)", "(DATE,SIZE)", "(DATE )"] {
            assert_eq!(criteria(wire), None, "{wire}");
        }
    }
}
