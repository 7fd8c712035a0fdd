//! What a FETCH asks for, as clients write it (RFC 3501 §9 and RFC 9051 §9; RFC 3516 §7, RFC 7162 §7, RFC 8474 §7, RFC 8514 §5,
//! RFC 8970 §6).
//!
//! Reads bytes from strangers. An item that nobody knows is named in the answer; the rest of the command is bad syntax.

use super::item::{Binary, Item, Partial, Stored};
use super::section::{Fields, Section, What};
use super::{Fault, ITEMS_MAX};
use crate::grammar::Cursor;
use crate::limits::COSTLY_ITEMS_MAX;
use crate::sequence::SequenceSet;
use stoa_mailbox::ModSeq;

/// The arguments of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub set: SequenceSet,
    pub items: Items,
    /// Only messages that changed after it.
    pub changed_since: Option<ModSeq>,
    /// What went since then, too.
    pub vanished: bool,
}

/// Items, each of them once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Items {
    pub(super) list: Vec<Item>,
    pub(super) sets_seen: bool,
}

impl Items {
    /// How many cost a pass over a part or a header.
    fn costly(&self) -> usize {
        self.list.iter().filter(|item| item.picks()).count()
    }

    fn push(&mut self, (item, sets_seen): Asked) {
        self.sets_seen |= sets_seen;
        if !self.list.contains(&item) {
            self.list.push(item);
        }
    }
}

/// An item, and whether asking for it sets `\Seen`.
type Asked = (Item, bool);

const BAD: Fault = Fault::new("Syntax error in the arguments");

/// SP sequence-set SP items [SP "(" fetch-modifier *(SP fetch-modifier) ")"] CRLF
pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Request, Fault> {
    let set = cursor.space().then(|| SequenceSet::read(&mut cursor)).flatten().ok_or(BAD)?;
    need(cursor.space())?;
    let items = items(&mut cursor)?;
    let mut request = Request { set, items, changed_since: None, vanished: false };
    if cursor.space() {
        modifiers(&mut cursor, &mut request)?;
    }
    need(cursor.end_of_command())?;
    Ok(request)
}

fn need(there: bool) -> Result<(), Fault> {
    there.then_some(()).ok_or(BAD)
}

/// RFC 3501 §9: "ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"
pub(super) fn items(cursor: &mut Cursor<'_>) -> Result<Items, Fault> {
    let mut items = Items::default();
    if cursor.byte(b'(') {
        let mut count = 0;
        while !cursor.byte(b')') || count == 0 {
            need(count == 0 || cursor.space())?;
            items.push(item(cursor)?);
            count += 1;
            if count > ITEMS_MAX {
                return Err(Fault::new("Too many items"));
            }
        }
        if items.costly() > COSTLY_ITEMS_MAX {
            return Err(Fault::new("Too many BINARY and HEADER.FIELDS items at once"));
        }
        return Ok(items);
    }
    match shorthand(cursor) {
        Some(several) => several.iter().for_each(|item| items.push((item.clone(), false))),
        None => items.push(item(cursor)?),
    }
    Ok(items)
}

/// RFC 3501 §6.4.5.
fn shorthand(cursor: &mut Cursor<'_>) -> Option<&'static [Item]> {
    const FULL: [Item; 5] = [Item::Flags, Item::InternalDate, Item::Size, Item::Envelope, Item::Body];
    let named = |cursor: &mut Cursor<'_>, name| cursor.keyword(name);
    match () {
        () if named(cursor, "FAST") => FULL.get(..3),
        () if named(cursor, "ALL") => FULL.get(..4),
        () if named(cursor, "FULL") => Some(&FULL),
        () => None,
    }
}

/// fetch-att
fn item(cursor: &mut Cursor<'_>) -> Result<Asked, Fault> {
    let name = cursor.label().ok_or(BAD)?;
    let item = match name.to_ascii_uppercase().as_str() {
        "UID" => Item::Uid,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "ENVELOPE" => Item::Envelope,
        "BODYSTRUCTURE" => Item::Structure,
        "MODSEQ" => Item::ModSeq,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "SAVEDATE" => Item::SaveDate,
        "PREVIEW" => Item::Preview { lazy: lazy(cursor) },
        "RFC822.SIZE" => Item::Size,
        "RFC822" => return Ok((Item::Stored(Stored::named("RFC822", Section::WHOLE)), true)),
        "RFC822.TEXT" => return Ok((Item::Stored(Stored::named("RFC822.TEXT", Section::TEXT)), true)),
        "RFC822.HEADER" => Item::Stored(Stored::named("RFC822.HEADER", Section::HEADER)),
        "BODY" if cursor.is_next(b'[') => return Ok((body(cursor)?, true)),
        "BODY" => Item::Body,
        "BODY.PEEK" => body(cursor)?,
        "BINARY" => return Ok((binary(cursor)?, true)),
        "BINARY.PEEK" => binary(cursor)?,
        "BINARY.SIZE" => Item::BinarySize(part(cursor)?),
        "ALL" | "FULL" | "FAST" => return Err(Fault::new("ALL, FULL and FAST stand alone")),
        _ => return Err(Fault(format!("No such item: {name}").into())),
    };
    Ok((item, false))
}

/// RFC 8970 §6: SP "(" "LAZY" ")"; what else is in parentheses belongs to FETCH.
fn lazy(cursor: &mut Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    let found = ahead.space() && ahead.byte(b'(') && ahead.keyword("LAZY") && ahead.byte(b')');
    if found {
        *cursor = ahead;
    }
    found
}

/// section ["<" number "." nz-number ">"]
fn body(cursor: &mut Cursor<'_>) -> Result<Item, Fault> {
    let section = section(cursor)?;
    Ok(Item::Stored(Stored::of(section, partial(cursor)?)))
}

/// RFC 3516 §7: section-binary ["<" number "." nz-number ">"]
fn binary(cursor: &mut Cursor<'_>) -> Result<Item, Fault> {
    let numbers = part(cursor)?;
    Ok(Item::Binary(Binary { numbers, partial: partial(cursor)? }))
}

/// RFC 3516 §7: section-binary = "[" [section-part] "]"
fn part(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, Fault> {
    match section(cursor)? {
        Section { numbers, what: What::All } => Ok(numbers),
        _ => Err(Fault::new("BINARY takes the numbers of a part, or nothing")),
    }
}

/// RFC 3501 §9: section = "[" [section-spec] "]"
fn section(cursor: &mut Cursor<'_>) -> Result<Section, Fault> {
    need(cursor.byte(b'['))?;
    let (mut numbers, mut words) = (Vec::new(), Vec::new());
    for word in cursor.label().into_iter().flat_map(|label| label.split('.')) {
        match nz_number(word) {
            Some(number) if words.is_empty() => numbers.push(number),
            _ => words.push(word.to_ascii_uppercase()),
        }
    }
    let what = match words.join(".").as_str() {
        "" if words.is_empty() => What::All,
        "HEADER" => What::Header,
        "TEXT" => What::Text,
        // RFC 3501 §6.4.5: MIME must be prefixed by numbers.
        "MIME" if !numbers.is_empty() => What::Mime,
        "HEADER.FIELDS" => What::Fields(Fields::new(header_list(cursor)?, false)),
        "HEADER.FIELDS.NOT" => What::Fields(Fields::new(header_list(cursor)?, true)),
        _ => return Err(Fault::new("No such section")),
    };
    need(cursor.byte(b']'))?;
    Ok(Section { numbers, what })
}

/// nz-number = digit-nz *DIGIT
fn nz_number(word: &str) -> Option<u32> {
    (!word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit())).then(|| word.parse().ok())?
}

/// SP header-list = SP "(" astring *(SP astring) ")"
fn header_list(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    need(cursor.space() && cursor.byte(b'('))?;
    let mut names = Vec::new();
    loop {
        names.push(cursor.astring().ok_or(BAD)?.into_owned());
        if cursor.byte(b')') {
            return Ok(names);
        }
        need(cursor.space())?;
    }
}

fn partial(cursor: &mut Cursor<'_>) -> Result<Option<Partial>, Fault> {
    if !cursor.byte(b'<') {
        return Ok(None);
    }
    let origin = cursor.number().ok_or(BAD)?;
    need(cursor.byte(b'.'))?;
    let count = cursor.number().filter(|&count| count > 0).ok_or(BAD)?;
    need(cursor.byte(b'>'))?;
    Ok(Some(Partial { origin, count }))
}

/// RFC 7162 §7: "(" "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" … ")"
///
/// 0, which is no mod-sequence, asks for all: programs that know nothing yet begin so, and nothing is won by refusing.
fn modifiers(cursor: &mut Cursor<'_>, request: &mut Request) -> Result<(), Fault> {
    need(cursor.byte(b'('))?;
    loop {
        if cursor.keyword("CHANGEDSINCE") {
            request.changed_since = Some(cursor.space().then(|| cursor.modseq()).flatten().ok_or(BAD)?);
        } else if cursor.keyword("VANISHED") {
            request.vanished = true;
        } else {
            return Err(Fault::new("No such modifier of FETCH"));
        }
        if cursor.byte(b')') {
            return Ok(());
        }
        need(cursor.space())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_codec::CommandCodec;
    use imap_codec::encode::Encoder;
    use imap_types::command::{Command, CommandBody};
    use imap_types::fetch::{MessageDataItemName as Name, Part, Section as Named};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn asked(items: &str) -> Result<Items, String> {
        read(Cursor::new(format!(" 1 {items}\r\n").as_bytes())).map(|request| request.items).map_err(|fault| fault.0.into_owned())
    }

    #[test]
    fn what_is_bad_is_said() {
        let table = [
            ("X-GM-MSGID", "No such item: X-GM-MSGID"),
            ("(FLAGS SNIPPET (LAZY=FUZZY))", "No such item: SNIPPET"),
            ("(UID ALL)", "ALL, FULL and FAST stand alone"),
            ("BODY[1.FOO]", "No such section"),
            ("BODY[MIME]", "No such section"),
            ("BODY[0]", "No such section"),
            ("BODY[01]", "No such section"),
            ("BODY[1.]", "No such section"),
            ("BODY[1.TEXT.2]", "No such section"),
            ("BODY[4294967296]", "No such section"),
            ("BINARY[1.MIME]", "BINARY takes*"),
            ("BINARY.SIZE[TEXT]", "BINARY takes*"),
            ("BINARY.SIZE[1]<0.5>", "Syntax*"),
            ("BINARY", "Syntax*"),
            ("BODY.PEEK", "Syntax*"),
            ("BODY[]<0.0>", "Syntax*"),
            ("BODY[]<0>", "Syntax*"),
            ("BODY[HEADER.FIELDS ()]", "Syntax*"),
            ("BODY[HEADER.FIELDS]", "Syntax*"),
            ("()", "Syntax*"),
            ("(UID FLAGS", "Syntax*"),
            ("(UID  FLAGS)", "Syntax*"),
            ("UID FLAGS", "Syntax*"),
            ("", "Syntax*"),
            ("FLAGS (CHANGEDSINCE)", "Syntax*"),
            ("FLAGS (CHANGEDSINCE 9223372036854775808)", "Syntax*"),
            ("FLAGS ()", "No such modifier*"),
            ("PREVIEW (EAGER)", "No such modifier*"),
        ];
        for (items, want) in table {
            let got = asked(items).unwrap_err();
            assert!(want.strip_suffix('*').map_or(got == want, |start| got.starts_with(start)), "{items}: {got}");
        }
        assert_eq!(asked(&format!("({})", vec!["UID"; ITEMS_MAX + 1].join(" "))), Err("Too many items".to_owned()));
        let passes = |count: usize| (0..count).map(|origin| format!("BINARY.PEEK[1]<{origin}.1>")).collect::<Vec<_>>().join(" ");
        assert!(asked(&format!("({})", passes(COSTLY_ITEMS_MAX))).is_ok());
        assert!(asked(&format!("({})", passes(COSTLY_ITEMS_MAX + 1))).unwrap_err().starts_with("Too many BINARY"));
    }

    #[test]
    fn items_of_all_standards() {
        let all = asked(
            "(uid PREVIEW PREVIEW (LAZY) ModSeq EMAILID THREADID SAVEDATE BINARY.PEEK[1.2]<3.4> BINARY.SIZE[1] Uid \
             BODY.PEEK[HEADER.FIELDS ({2+}\r\na( \"b c\" D)] RFC822.HEADER)",
        )
        .unwrap();
        assert_eq!((all.list.len(), all.sets_seen), (11, false));
        for (items, sets_seen) in [("BINARY[1]", true), ("(BODY.PEEK[] BODY[])", true), ("RFC822.TEXT", true), ("BODY", false)] {
            assert_eq!(asked(items).unwrap().sets_seen, sets_seen, "{items}");
        }
        let read = |wire: &str| read(Cursor::new(wire.as_bytes())).unwrap();
        let request = read(" 1:* PREVIEW (CHANGEDSINCE 12 VANISHED)\r\n");
        assert_eq!((request.changed_since, request.vanished), (Some(12), true));
        assert_eq!(request.items.list, [Item::Preview { lazy: false }]);
        assert_eq!(read(" $ (PREVIEW (LAZY)) (CHANGEDSINCE 0)\r\n").items.list, [Item::Preview { lazy: true }]);
    }

    fn name() -> impl Strategy<Value = Name<'static>> {
        let number = || any::<u32>().prop_filter_map("zero", NonZeroU32::new);
        let part = move || prop::collection::vec(number(), 1..4).prop_map(|numbers| Part(numbers.try_into().unwrap()));
        let fields = || {
            prop::collection::vec("[ -~]{1,6}", 1..4)
                .prop_map(|names| names.into_iter().map(|name| name.try_into().unwrap()).collect::<Vec<_>>().try_into().unwrap())
        };
        let section = prop_oneof![
            part().prop_map(Named::Part),
            prop::option::of(part()).prop_map(Named::Header),
            prop::option::of(part()).prop_map(Named::Text),
            part().prop_map(Named::Mime),
            (prop::option::of(part()), fields()).prop_map(|(part, names)| Named::HeaderFields(part, names)),
            (prop::option::of(part()), fields()).prop_map(|(part, names)| Named::HeaderFieldsNot(part, names)),
        ];
        let plain = prop::sample::select(vec![
            Name::Uid,
            Name::Flags,
            Name::InternalDate,
            Name::Rfc822Size,
            Name::Envelope,
            Name::Body,
            Name::BodyStructure,
            Name::ModSeq,
            Name::Rfc822,
            Name::Rfc822Header,
            Name::Rfc822Text,
        ]);
        let partial = || prop::option::of((any::<u32>(), number()));
        prop_oneof![
            plain,
            (prop::option::of(section), partial(), any::<bool>()).prop_map(|(section, partial, peek)| Name::BodyExt {
                section,
                partial,
                peek
            }),
        ]
    }

    /// What the codec means, in our words.
    fn meant(name: &Name<'_>) -> Asked {
        let numbers = |part: Option<&Part>| part.map_or_else(Vec::new, |part| part.0.as_ref().iter().map(|number| number.get()).collect());
        let fields =
            |names: &[imap_types::core::AString<'_>], not| Fields::new(names.iter().map(|name| name.as_ref().to_vec()).collect(), not);
        match name {
            Name::Uid => (Item::Uid, false),
            Name::Flags => (Item::Flags, false),
            Name::InternalDate => (Item::InternalDate, false),
            Name::Rfc822Size => (Item::Size, false),
            Name::Envelope => (Item::Envelope, false),
            Name::Body => (Item::Body, false),
            Name::BodyStructure => (Item::Structure, false),
            Name::ModSeq => (Item::ModSeq, false),
            Name::Rfc822 => (Item::Stored(Stored::named("RFC822", Section::WHOLE)), true),
            Name::Rfc822Header => (Item::Stored(Stored::named("RFC822.HEADER", Section::HEADER)), false),
            Name::Rfc822Text => (Item::Stored(Stored::named("RFC822.TEXT", Section::TEXT)), true),
            Name::BodyExt { section, partial, peek } => {
                let (part, what) = match section {
                    None => (None, What::All),
                    Some(Named::Part(part)) => (Some(part), What::All),
                    Some(Named::Header(part)) => (part.as_ref(), What::Header),
                    Some(Named::Text(part)) => (part.as_ref(), What::Text),
                    Some(Named::Mime(part)) => (Some(part), What::Mime),
                    Some(Named::HeaderFields(part, names)) => (part.as_ref(), What::Fields(fields(names.as_ref(), false))),
                    Some(Named::HeaderFieldsNot(part, names)) => (part.as_ref(), What::Fields(fields(names.as_ref(), true))),
                };
                let partial = partial.map(|(origin, count)| Partial { origin, count: count.get() });
                (Item::Stored(Stored::of(Section { numbers: numbers(part), what }, partial)), !peek)
            }
            other => panic!("{other:?}"),
        }
    }

    fn written(names: &[Name<'_>]) -> String {
        let body = CommandBody::fetch("1", names.to_vec(), false).unwrap();
        let wire = CommandCodec::new().encode(&Command::new("a", body).unwrap()).dump();
        String::from_utf8(wire).unwrap().strip_prefix("a FETCH 1 ").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    }

    proptest! {
        /// What the codec writes is understood, as the codec means it.
        #[test]
        fn agrees_with_the_codec(names in prop::collection::vec(name(), 1..5)) {
            let read = asked(&written(&names)).unwrap();
            let mut meant_all = Items::default();
            names.iter().for_each(|name| meant_all.push(meant(name)));
            prop_assert_eq!(read, meant_all);
        }

        #[test]
        fn noise_never_panics(wire in prop_oneof!["[ -~]{0,40}", "( 1 )?\\(?(BODY|BINARY|UID|PREVIEW)(.PEEK)?\\[?[0-9A-Z. ()<>]{0,20}\\]?(\r\n)?"]) {
            let _ = read(Cursor::new(wire.as_bytes()));
        }
    }
}
