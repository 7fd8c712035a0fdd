//! A header block as fields: their names, their raw values, and where they lie (RFC 5322 §2.2).
//!
//! Reads bytes from strangers and passes over lines that are no field. A line ends with CR LF or a lone LF; an empty
//! line ends the block. Copies nothing until a value is unfolded.

use std::borrow::Cow;
use std::ops::Range;

/// One field of a header block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Before the colon, without space.
    pub name: &'a [u8],
    /// After the colon, with line ends within and at the end.
    pub raw: &'a [u8],
    /// All of it in the block, with its line end.
    pub range: Range<usize>,
}

impl<'a> Field<'a> {
    /// Whether it has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value without line ends and without space around it.
    pub fn value(&self) -> Cow<'a, [u8]> {
        unfold(self.raw)
    }
}

/// The fields of a block in order. Lines that are no field, such as the `From ` line of mbox files, are passed over.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { block, at: 0 }
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let start = self.at;
            let first = self.line()?;
            if matches!(first, b"\r\n" | b"\n" | b"\r") {
                self.at = self.block.len();
                return None;
            }
            while matches!(self.block.get(self.at), Some(b' ' | b'\t')) {
                self.line()?;
            }
            let whole = self.block.get(start..self.at)?;
            if let Some((name, raw)) = split(whole) {
                return Some(Field { name, raw, range: start..self.at });
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// The next line with its end; none at the end of the block.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = self.block.get(self.at..)?;
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        self.at += length;
        rest.get(..length).filter(|line| !line.is_empty())
    }
}

/// RFC 5322 §2.2: field-name ":" field-body, where §4.5 allows space before the colon.
fn split(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', field)?;
    let (name, raw) = field.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    let proper = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80);
    proper.then_some((name, raw.get(1..)?))
}

/// RFC 5322 §2.2.3: takes the line ends away and leaves the white space after them; trims both ends.
pub fn unfold(raw: &[u8]) -> Cow<'_, [u8]> {
    let raw = raw.trim_ascii();
    if memchr::memchr(b'\n', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        text.extend_from_slice(line);
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_block() {
        let block = b"From me Mon Jan 1 00:00:00\r\nA: 1\r\nnot a field\r\nB : x\r\n y\n\tz\r\nC:\r\n\r\nD: body\r\n";
        let found: Vec<_> = fields(block).map(|field| (field.name.to_vec(), field.value().into_owned(), field.range)).collect();
        let want = [(b"A".to_vec(), b"1".to_vec(), 28..34), (b"B".to_vec(), b"x y\tz".to_vec(), 47..61), (b"C".to_vec(), vec![], 61..65)];
        assert_eq!(found, want);
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        let found: Vec<_> = fields(b"A: 1\r\n 2").map(|field| field.value().into_owned()).collect();
        assert_eq!(found, [b"1 2".to_vec()]);
        assert_eq!(fields(b"").count(), 0);
    }
}
