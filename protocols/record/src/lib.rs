//! Versioned records with numbered fields: the values of all tables, and what they embed.
//!
//! A record is a version byte, then fields: a varint `number << 1 | kind`, then a varint (kind 0), or a varint
//! length and bytes (kind 1). A field may repeat. Unknown fields are passed over, so that a field can be
//! added without a new version; a record of a newer version than the reader knows is refused.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("it has version {found}, this program knows up to {known}")]
    Newer {
        /// In the record.
        found: u8,
        /// The newest that the reader knows.
        known: u8,
    },
    /// The bytes end within a field.
    #[error("it ends too early")]
    Truncated,
    /// Not text.
    #[error("field {0} is not UTF-8")]
    NotText(u32),
    /// Not there, or not of the right size.
    #[error("field {0} is missing")]
    Missing(u32),
}

/// Builds a record.
pub struct Writer(Vec<u8>);

const NUMBER: u64 = 0;
const BYTES: u64 = 1;

impl Writer {
    /// An empty record of this version.
    pub fn new(version: u8) -> Self {
        Self(vec![version])
    }

    /// Adds a number.
    #[must_use]
    pub fn u64(mut self, field: u32, value: u64) -> Self {
        self.varint(u64::from(field) << 1 | NUMBER);
        self.varint(value);
        self
    }

    /// Adds a number that may be negative; small ones of either sign stay short.
    #[must_use]
    pub fn i64(self, field: u32, value: i64) -> Self {
        self.u64(field, (value << 1 ^ value >> 63) as u64)
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.varint(u64::from(field) << 1 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn str(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// The record.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, value: u64) {
        write_varint(&mut self.0, value);
    }
}

/// Adds a number of one octet for each seven bits, the lowest first; for what is packed within a field.
pub fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Records have a dozen fields, but for those of lists.
const FIELDS_USUAL: usize = 16;

/// Reads a record.
pub struct Reader<'a> {
    fields: Vec<(u32, Value<'a>)>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    /// Reads a record of version `known` or older.
    pub fn parse(bytes: &'a [u8], known: u8) -> Result<Self, RecordError> {
        let (&found, mut rest) = bytes.split_first().ok_or(RecordError::Truncated)?;
        if found > known {
            return Err(RecordError::Newer { found, known });
        }
        let mut fields = Vec::with_capacity(FIELDS_USUAL);
        while !rest.is_empty() {
            let tag = read_varint(&mut rest)?;
            let number = read_varint(&mut rest)?;
            let value = if tag & 1 == BYTES {
                let length = usize::try_from(number).map_err(|_| RecordError::Truncated)?;
                let (value, after) = rest.split_at_checked(length).ok_or(RecordError::Truncated)?;
                rest = after;
                Value::Bytes(value)
            } else {
                Value::Number(number)
            };
            fields.push((u32::try_from(tag >> 1).map_err(|_| RecordError::Truncated)?, value));
        }
        Ok(Self { fields })
    }

    /// The first number of this field.
    pub fn u64(&self, field: u32) -> Result<Option<u64>, RecordError> {
        self.first(field, number)
    }

    /// The same, where it fits.
    pub fn u32(&self, field: u32) -> Result<Option<u32>, RecordError> {
        self.u64(field)?.map(|n| n.try_into().map_err(|_| RecordError::Missing(field))).transpose()
    }

    /// The inverse of [`Writer::i64`].
    pub fn i64(&self, field: u32) -> Result<Option<i64>, RecordError> {
        Ok(self.u64(field)?.map(|n| (n >> 1) as i64 ^ -((n & 1) as i64)))
    }

    /// The first bytes of this field.
    pub fn bytes(&self, field: u32) -> Result<Option<&'a [u8]>, RecordError> {
        self.first(field, bytes)
    }

    /// The first text of this field.
    pub fn str(&self, field: u32) -> Result<Option<&'a str>, RecordError> {
        self.bytes(field)?.map(|b| std::str::from_utf8(b).map_err(|_| RecordError::NotText(field))).transpose()
    }

    /// All numbers of this field, in order.
    pub fn all_u64(&self, field: u32) -> Result<std::vec::IntoIter<u64>, RecordError> {
        self.all(field, number)
    }

    /// All bytes of this field, in order.
    pub fn all_bytes(&self, field: u32) -> Result<std::vec::IntoIter<&'a [u8]>, RecordError> {
        self.all(field, bytes)
    }

    /// Every field that holds bytes, in the order in which they were written.
    pub fn all_byte_fields(&self) -> Result<impl Iterator<Item = (u32, &'a [u8])> + '_, RecordError> {
        Ok(self.fields.iter().filter_map(|(field, value)| match value {
            Value::Bytes(bytes) => Some((*field, *bytes)),
            Value::Number(_) => None,
        }))
    }

    /// The first value of a field, which must be of the kind that `read` takes.
    fn first<T>(&self, field: u32, read: impl Fn(Value<'a>) -> Option<T>) -> Result<Option<T>, RecordError> {
        match self.fields.iter().find(|(f, _)| *f == field) {
            Some((_, value)) => read(*value).map(Some).ok_or(RecordError::Missing(field)),
            None => Ok(None),
        }
    }

    /// The values of a field, all of which must be of the kind that `read` takes.
    fn all<T>(&self, field: u32, read: impl Fn(Value<'a>) -> Option<T>) -> Result<std::vec::IntoIter<T>, RecordError> {
        let values = self.fields.iter().filter(|(f, _)| *f == field).map(|(_, value)| read(*value));
        let values = values.collect::<Option<Vec<T>>>().ok_or(RecordError::Missing(field))?;
        Ok(values.into_iter())
    }
}

fn number(value: Value<'_>) -> Option<u64> {
    if let Value::Number(number) = value { Some(number) } else { None }
}

fn bytes(value: Value<'_>) -> Option<&[u8]> {
    if let Value::Bytes(bytes) = value { Some(bytes) } else { None }
}

/// Takes a number that [`write_varint`] wrote.
pub fn read_varint(rest: &mut &[u8]) -> Result<u64, RecordError> {
    if let [byte @ ..0x80, after @ ..] = *rest {
        *rest = after;
        return Ok(u64::from(*byte));
    }
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(RecordError::Truncated)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), signed in any::<i64>(), bytes in any::<Vec<u8>>(), field in 1..1000u32) {
            let written = Writer::new(1).u64(field, number).i64(field + 1, signed).bytes(field + 2, &bytes).bytes(field + 2, b"x").finish();
            let record = Reader::parse(&written, 1).unwrap();
            prop_assert_eq!(record.u64(field).unwrap(), Some(number));
            prop_assert_eq!(record.i64(field + 1).unwrap(), Some(signed));
            prop_assert_eq!(record.all_bytes(field + 2).unwrap().collect::<Vec<_>>(), vec![bytes.as_slice(), b"x"]);
            prop_assert_eq!(record.u64(field + 3).unwrap(), None);
        }

        #[test]
        fn garbage_is_an_error_or_a_record_but_never_a_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(record) = Reader::parse(&bytes, 255) {
                let _ = (record.u64(1).is_ok(), record.str(2).is_ok(), record.u32(3).is_ok());
            }
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let record = Writer::new(2).finish();
        assert_eq!(Reader::parse(&record, 1).err(), Some(RecordError::Newer { found: 2, known: 1 }));
    }
}
