//! Walking a table to its end, whatever is damaged in it.
//!
//! An engine reports damage for a read as a whole: a page with one bad block gives nothing. So a page that fails is read
//! again row by row, and what still fails is passed over: where it ends is sought by halving the keys between. Knows engines only by their trait.

use crate::store::engine::{Engine, Row};
use crate::store::keys::{self, Table};

/// Octets by which keys are told apart while the end of a gap is sought: more than our longest keys of numbers and hashes
/// have. Of names that are longer, others may be passed over with a damaged one.
const WIDTH: usize = 72;
/// Rows whose keys differ by noughts at their end; more of them in a line are taken for a block.
const ROWS_IN_A_LINE_MAX: usize = 4;
/// What keys of numbers have.
const KEY_BYTES_USUAL: usize = 24;

/// What comes next of a table.
#[derive(Debug)]
pub(super) enum Step {
    /// Rows in their order, at least one.
    Rows(Vec<Row>),
    /// Rows that cannot be read, from this key on; why.
    Gap(Vec<u8>, String),
}

/// The rows of a range.
pub(super) struct Rows<'a> {
    engine: &'a dyn Engine,
    table: Table,
    /// The first key that was not looked at; none at the end.
    next: Option<Vec<u8>>,
    end: Vec<u8>,
    page: usize,
    /// So many rows are read one by one, since a page of them failed.
    alone: usize,
}

impl<'a> Rows<'a> {
    /// All of a table, so many at a time.
    pub fn all(engine: &'a dyn Engine, table: Table, page: usize) -> Self {
        // No key is longer, and none begins with more than 64 octets of 255.
        Self::between(engine, table, Vec::new(), vec![u8::MAX; 64], page)
    }

    /// Those whose keys begin so.
    pub fn below(engine: &'a dyn Engine, table: Table, prefix: &[u8], page: usize) -> Self {
        Self::between(engine, table, prefix.to_vec(), keys::after(prefix), page)
    }

    fn between(engine: &'a dyn Engine, table: Table, start: Vec<u8>, end: Vec<u8>, page: usize) -> Self {
        Self { engine, table, next: Some(start), end, page, alone: 0 }
    }

    /// Goes on at this key.
    pub fn skip_to(&mut self, key: Vec<u8>) {
        self.next = (key < self.end).then_some(key);
    }

    /// The next rows, or the next gap.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            let start = self.next.take()?;
            let limit = if self.alone > 0 { 1 } else { self.page };
            match self.engine.range(self.table, &start, &self.end, limit).await {
                Ok(rows) => {
                    self.alone = self.alone.saturating_sub(1);
                    let (last, _) = rows.last()?;
                    self.next = Some(successor(last));
                    return Some(Step::Rows(rows));
                }
                Err(_) if limit > 1 => {
                    self.alone = self.page;
                    self.next = Some(start);
                }
                Err(error) => {
                    self.next = self.after_gap(&start).await;
                    return Some(Step::Gap(start, error.to_string()));
                }
            }
        }
    }

    /// Where to go on behind what cannot be read; none if nothing follows.
    async fn after_gap(&self, start: &[u8]) -> Option<Vec<u8>> {
        // A block that cannot be read fails whatever is asked of it, a row only where it is asked for. The row may be the
        // very first, and so may be the one behind it.
        let mut first = start.to_vec();
        let mut behind = successor(&first);
        for _ in 0..ROWS_IN_A_LINE_MAX {
            if self.reads_until(&first, &behind).await {
                break;
            }
            first = std::mem::replace(&mut behind, successor(&successor(&first)));
        }
        let next = match self.reads_until(&first, &behind).await {
            true if first != start => first,
            true => self.after_bad_row(start).await,
            false => self.after_bad_block(start).await,
        };
        (next < self.end).then_some(next)
    }

    /// The key behind the first row that cannot be read: the lowest at which a range has to end to fail.
    async fn after_bad_row(&self, start: &[u8]) -> Vec<u8> {
        let (mut good, mut bad) = (start.to_vec(), self.end.clone());
        for _ in 0..WIDTH * 8 {
            let middle = middle(&good, &bad, WIDTH);
            if middle <= good || middle >= bad {
                break;
            }
            if self.reads_until(start, &middle).await { good = middle } else { bad = middle }
        }
        // The row's key is that without some of the noughts behind it.
        let digits = bad.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        for length in digits..WIDTH {
            let candidate = bad.get(..length).unwrap_or(&bad);
            if !self.reads_until(start, candidate).await {
                return candidate.to_vec();
            }
        }
        bad
    }

    /// A key from which on rows can be read, as near as it can be found: ever farther, then half way back.
    async fn after_bad_block(&self, start: &[u8]) -> Vec<u8> {
        let mut bad = start.to_vec();
        let mut padded = start.to_vec();
        padded.resize(start.len().max(KEY_BYTES_USUAL), 0);
        // The next key, the next with another last octet, with another one before that, and so on.
        let wider = (1..=padded.len()).rev().filter_map(|length| padded.get(..length)).map(keys::after);
        let mut good = self.end.clone();
        for candidate in std::iter::once(successor(start)).chain(wider).filter(|key| *key < self.end) {
            if self.is_readable(&candidate).await {
                good = candidate;
                break;
            }
            bad = bad.max(candidate);
        }
        for _ in 0..WIDTH * 8 {
            let middle = middle(&bad, &good, WIDTH);
            if middle <= bad || middle >= good {
                break;
            }
            if self.is_readable(&middle).await { good = middle } else { bad = middle }
        }
        good
    }

    /// Is there no row in this range, or one that can be read?
    async fn reads_until(&self, start: &[u8], end: &[u8]) -> bool {
        self.engine.range(self.table, start, end, 1).await.is_ok()
    }

    async fn is_readable(&self, key: &[u8]) -> bool {
        self.reads_until(key, &self.end).await
    }
}

/// The key that follows directly.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// The key half way between two, as numbers of so many octets.
fn middle(low: &[u8], high: &[u8], width: usize) -> Vec<u8> {
    let digit = |key: &[u8], at: usize| u32::from(key.get(at).copied().unwrap_or(0));
    let mut sum = vec![0u32; width + 1];
    let mut carry = 0;
    for at in (0..width).rev() {
        let total = digit(low, at) + digit(high, at) + carry;
        sum[at + 1] = total & 0xff;
        carry = total >> 8;
    }
    sum[0] = carry;
    // Halved from the top, what is left over goes to the next octet.
    let mut left = sum[0];
    sum.iter()
        .skip(1)
        .map(|octet| {
            let total = left << 8 | octet;
            left = total & 1;
            (total >> 1) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::memory::Memory;
    use crate::store::engine::{Batch, Committed, EngineError, Future, Sync};
    use bytes::Bytes;
    use proptest::prelude::*;

    /// An engine of which some keys cannot be read.
    struct Damaged(Memory, Vec<Vec<u8>>);

    impl Engine for Damaged {
        fn get<'a>(&'a self, table: Table, key: &'a [u8]) -> Future<'a, Result<Option<Bytes>, EngineError>> {
            self.0.get(table, key)
        }

        fn multi_get<'a>(&'a self, table: Table, keys: &'a [Vec<u8>]) -> Future<'a, Result<Vec<Option<Bytes>>, EngineError>> {
            self.0.multi_get(table, keys)
        }

        fn range<'a>(&'a self, table: Table, start: &'a [u8], end: &'a [u8], limit: usize) -> Future<'a, Result<Vec<Row>, EngineError>> {
            Box::pin(async move {
                let rows = self.0.range(table, start, end, limit).await?;
                let is_bad = rows.iter().any(|(key, _)| self.1.iter().any(|bad| bad == key));
                if is_bad { Err(EngineError::Failed("a bad block".to_owned())) } else { Ok(rows) }
            })
        }

        fn commit(&self, batch: Batch, sync: Sync) -> Future<'_, Committed> {
            self.0.commit(batch, sync)
        }

        fn checkpoint<'a>(&'a self, path: &'a std::path::Path) -> Future<'a, Result<(), EngineError>> {
            self.0.checkpoint(path)
        }
    }

    async fn walk(engine: &dyn Engine, page: usize) -> (Vec<Bytes>, usize) {
        let (mut read, mut gaps) = (Vec::new(), 0);
        let mut rows = Rows::all(engine, Table::Meta, page);
        while let Some(step) = rows.next().await {
            match step {
                Step::Rows(rows) => read.extend(rows.into_iter().map(|(key, _)| key)),
                Step::Gap(..) => gaps += 1,
            }
        }
        (read, gaps)
    }

    proptest! {
        /// Every row that can be read is read, once and in order, whichever others cannot.
        #[test]
        fn nothing_but_the_damage_is_passed_over(
            keys in prop::collection::btree_map(prop::collection::vec(0u8..3, 1..5), any::<bool>(), 1..40),
            page in 1usize..9,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let memory = Memory::new();
                let mut batch = Batch::default();
                keys.keys().for_each(|key| batch.put(Table::Meta, key.clone(), vec![1]));
                assert!(matches!(memory.commit(batch, Sync::Now).await, Committed::Done));
                let bad: Vec<Vec<u8>> = keys.iter().filter(|(_, bad)| **bad).map(|(key, _)| key.clone()).collect();
                let engine = Damaged(memory, bad.clone());
                let (read, gaps) = walk(&engine, page).await;
                let good: Vec<Vec<u8>> = keys.iter().filter(|(_, bad)| !**bad).map(|(key, _)| key.clone()).collect();
                assert_eq!(read, good);
                assert!(gaps <= bad.len() && (gaps > 0) != bad.is_empty(), "{gaps}");
            });
        }
    }

    #[test]
    fn half_way() {
        assert_eq!(middle(&[1], &[3], 1), [2]);
        assert_eq!(middle(&[1], &[2], 2), [1, 128]);
        assert_eq!(middle(&[255, 255], &[255, 255], 2), [255, 255]);
        assert_eq!(middle(&[0], &[1, 0, 1], 3), [0, 128, 0]);
    }
}
