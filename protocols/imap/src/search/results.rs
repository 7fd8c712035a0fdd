//! What a search is to tell of what it found, and how that is written: SEARCH, SORT and ESEARCH (RFC 9051 §7.3.4, RFC 4731,
//! RFC 4466 §2.6.2).
//!
//! Takes hits in the order in which they are told, numbers or UIDs alike. Pure.

use crate::grammar::Cursor;
use stoa_mailbox::{ModSeq, Uid, UidSet};

/// The options of RETURN (RFC 4731 §3.1, RFC 5182 §2.1, RFC 9394 §3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Returns {
    min: bool,
    max: bool,
    all: bool,
    count: bool,
    partial: Option<Partial>,
    /// What is found is what `$` names from now on.
    pub save: bool,
}

/// A piece of what is found, by places from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partial {
    from: u32,
    to: u32,
    /// Counted from the end.
    backwards: bool,
}

/// What was found, as it is to be told.
pub(crate) struct Found<'a> {
    pub tag: &'a str,
    pub by_uid: bool,
    /// Numbers or UIDs, in order.
    pub hits: &'a [u32],
    /// RFC 7162 §3.1.5: the highest of those told, if a key asked for mod-sequences.
    pub modseq: Option<ModSeq>,
}

impl Returns {
    /// RFC 4731 §3.1: without any option; RFC 9051 §6.4.4: also without RETURN.
    pub const ALL: Self = Self { min: false, max: false, all: true, count: false, partial: None, save: false };

    /// RFC 9051 §9: "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
    pub fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        (cursor.space() && cursor.byte(b'(')).then_some(())?;
        let (mut returns, mut first) = (Self::default(), true);
        while !cursor.byte(b')') {
            (std::mem::take(&mut first) || cursor.space()).then_some(())?;
            match cursor.atom()?.to_ascii_uppercase().as_str() {
                "MIN" => returns.min = true,
                "MAX" => returns.max = true,
                "ALL" => returns.all = true,
                "COUNT" => returns.count = true,
                "SAVE" => returns.save = true,
                // RFC 9394 §3.1: once only.
                "PARTIAL" if returns.partial.is_none() && cursor.space() => returns.partial = Some(Partial::read(cursor)?),
                _ => return None,
            }
        }
        // RFC 9394 §3.1: one or the other.
        let both = returns.all && returns.partial.is_some();
        (!both).then_some(if first { Self::ALL } else { returns })
    }

    /// Is nothing to be told (RFC 5182 §2.1)?
    fn is_silent(self) -> bool {
        !(self.min || self.max || self.all || self.count || self.partial.is_some())
    }

    /// Those that are saved (RFC 5182 §2.4) and whose mod-sequences count (RFC 4731 §3.2): of MIN, MAX and PARTIAL alone
    /// what they tell, else all.
    pub fn chosen(self, found: &[Uid]) -> Vec<&[Uid]> {
        if self.all || self.count || self.is_silent() {
            return vec![found];
        }
        let partial = self.partial.map(|partial| partial.of(found));
        let min = self.min.then(|| found.get(..1).unwrap_or_default());
        let max = self.max.then(|| found.len().checked_sub(1).and_then(|last| found.get(last..)).unwrap_or_default());
        [min, max, partial].into_iter().flatten().collect()
    }

    /// RFC 9051 §9: "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data); nothing if only SAVE was asked for.
    pub fn write(self, out: &mut Vec<u8>, found: &Found<'_>) {
        if self.is_silent() {
            return;
        }
        let mut line = format!("* ESEARCH (TAG \"{}\")", found.tag);
        let mut add = |data: String| line.push_str(&data);
        if found.by_uid {
            add(" UID".to_owned());
        }
        // RFC 4731 §3.1: of nothing, only the count is told.
        if let (Some(first), Some(last)) = (found.hits.first(), found.hits.last()) {
            add(if self.min { format!(" MIN {first}") } else { String::new() });
            add(if self.max { format!(" MAX {last}") } else { String::new() });
            add(if self.all { format!(" ALL {}", set(found.hits)) } else { String::new() });
        }
        if let Some(partial) = self.partial {
            let piece = partial.of(found.hits);
            let piece = if piece.is_empty() { "NIL".to_owned() } else { set(piece) };
            add(format!(" PARTIAL ({partial} {piece})"));
        }
        if self.count {
            add(format!(" COUNT {}", found.hits.len()));
        }
        if let Some(modseq) = found.modseq {
            add(format!(" MODSEQ {modseq}"));
        }
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
    }
}

impl Partial {
    /// RFC 9394 §4: partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let backwards = cursor.is_next(b'-');
        let mut end = || {
            let sign = cursor.byte(b'-');
            let number = cursor.number().filter(|number| *number > 0 && sign == backwards)?;
            Some((number, cursor.byte(b':')))
        };
        let (from, true) = end()? else { return None };
        let (to, false) = end()? else { return None };
        Some(Self { from, to, backwards })
    }

    /// The piece that is there.
    fn of(self, hits: &[u32]) -> &[u32] {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).min(hits.len());
        let (low, high) = (place(self.from.min(self.to) - 1), place(self.from.max(self.to)));
        let piece = if self.backwards { hits.len() - high..hits.len() - low } else { low..high };
        hits.get(piece).unwrap_or_default()
    }
}

impl std::fmt::Display for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.backwards { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.from, self.to)
    }
}

/// RFC 3501 §7.2.5: "SEARCH" *(SP nz-number), and RFC 5256 §4 the same with "SORT"; RFC 7162 §7: [SP "(" "MODSEQ" SP mod-sequence-value ")"]
pub(crate) fn write_plain(out: &mut Vec<u8>, name: &str, found: &Found<'_>) {
    out.extend_from_slice(format!("* {name}").as_bytes());
    for hit in found.hits {
        out.extend_from_slice(format!(" {hit}").as_bytes());
    }
    if let Some(modseq) = found.modseq {
        out.extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// sequence-set, in the order of the hits: those that follow one another are a range.
fn set(hits: &[u32]) -> String {
    if hits.is_sorted() {
        return hits.iter().copied().collect::<UidSet>().to_string();
    }
    let ranges = hits.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let print = |range: &[u32]| match range {
        [first, .., last] => format!("{first}:{last}"),
        _ => range.first().map(ToString::to_string).unwrap_or_default(),
    };
    ranges.map(print).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(wire: &str) -> Option<Returns> {
        Returns::read(&mut Cursor::new(wire.as_bytes()))
    }

    fn written(options: &str, hits: &[u32]) -> String {
        let mut out = Vec::new();
        returns(options).unwrap().write(&mut out, &Found { tag: "a", by_uid: false, hits, modseq: None });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn options_that_are_none() {
        for wire in
            ["", " ", " (", " (MIN", " (MIN,MAX)", " (BEST)", " ( MIN)", " (MIN )", " (PARTIAL)", " (PARTIAL 0:1)", " (PARTIAL 1:-1)"]
                .iter()
                .chain(&[
                    " (PARTIAL 1)",
                    " (PARTIAL -1:2)",
                    " (PARTIAL 1:2:3)",
                    " (PARTIAL 1:2 PARTIAL 1:2)",
                    " (ALL PARTIAL 1:2)",
                    " (UPDATE)",
                ])
        {
            assert_eq!(returns(wire), None, "{wire}");
        }
        assert_eq!(returns(" ()"), Some(Returns::ALL));
        assert_eq!(returns(" (all all)"), Some(Returns::ALL));
    }

    #[test]
    fn esearch_responses() {
        let table: [(&str, &[u32], &str); 18] = [
            (" ()", &[2, 3, 4, 9], " ALL 2:4,9"),
            (" ()", &[], ""),
            (" (MIN MAX COUNT ALL)", &[2, 3], " MIN 2 MAX 3 ALL 2:3 COUNT 2"),
            (" (MIN MAX COUNT ALL)", &[], " COUNT 0"),
            (" (MIN)", &[7], " MIN 7"),
            (" (MAX)", &[], ""),
            // In the order of SORT.
            (" (MIN MAX ALL)", &[5, 6, 3, 2, 1, 4_294_967_295], " MIN 5 MAX 4294967295 ALL 5:6,3,2,1,4294967295"),
            (" (PARTIAL 1:2)", &[5, 6, 7], " PARTIAL (1:2 5:6)"),
            (" (PARTIAL 2:1)", &[5, 6, 7], " PARTIAL (2:1 5:6)"),
            (" (PARTIAL 3:9)", &[5, 6, 7], " PARTIAL (3:9 7)"),
            (" (PARTIAL 4:9)", &[5, 6, 7], " PARTIAL (4:9 NIL)"),
            (" (PARTIAL -1:-2)", &[5, 6, 7], " PARTIAL (-1:-2 6:7)"),
            (" (PARTIAL -3:-2)", &[5, 6, 7], " PARTIAL (-3:-2 5:6)"),
            (" (PARTIAL -4:-9)", &[5, 6, 7], " PARTIAL (-4:-9 NIL)"),
            (" (PARTIAL -2:-4294967295)", &[5, 6, 7], " PARTIAL (-2:-4294967295 5:6)"),
            (" (PARTIAL 1:4294967295 COUNT)", &[], " PARTIAL (1:4294967295 NIL) COUNT 0"),
            (" (SAVE COUNT)", &[5], " COUNT 1"),
            (" (ALL SAVE)", &[5], " ALL 5"),
        ];
        for (options, hits, want) in table {
            assert_eq!(written(options, hits), format!("* ESEARCH (TAG \"a\"){want}\r\n"), "{options}");
        }
        assert_eq!(written(" (SAVE)", &[5]), "");
    }

    /// RFC 5182 §2.4, RFC 9394 §3.4.
    #[test]
    fn what_is_saved() {
        let table = [
            ("SAVE", "5:8"),
            ("SAVE MIN", "5"),
            ("MAX SAVE", "8"),
            ("SAVE MIN MAX", "5,8"),
            ("SAVE ALL MIN", "5:8"),
            ("SAVE COUNT MAX", "5:8"),
            ("SAVE PARTIAL 2:3", "6:7"),
            ("SAVE PARTIAL -1:-1 MIN", "5,8"),
        ];
        for (options, want) in table {
            let chosen = returns(&format!(" ({options})")).unwrap().chosen(&[5, 6, 7, 8]).concat();
            assert_eq!(UidSet::from_ranges(chosen.into_iter().map(|uid| uid..=uid)).to_string(), want, "{options}");
            assert!(returns(&format!(" ({options})")).unwrap().chosen(&[]).concat().is_empty());
        }
    }

    #[test]
    fn plain_responses() {
        for (hits, modseq, want) in [
            (&[][..], None, "* SEARCH\r\n"),
            (&[2, 4_294_967_295], None, "* SEARCH 2 4294967295\r\n"),
            (&[2], Some(9), "* SEARCH 2 (MODSEQ 9)\r\n"),
        ] {
            let mut out = Vec::new();
            write_plain(&mut out, "SEARCH", &Found { tag: "a", by_uid: false, hits, modseq });
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
