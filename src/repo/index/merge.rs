//! Several tables into one, in constant memory.

use super::IndexError;
use super::distinct::Distinct;
use super::file::{Medium, SectionReader};
use super::table::Table;
use super::table_writer::TableWriter;
use std::path::Path;

/// What is called with a key and its values.
pub(super) type EachKey<'e, const K: usize, const V: usize, T> = dyn FnMut(&[u8; K], &[[u8; V]]) -> T + 'e;

/// A table that is read from front to back.
struct Input<'a, const K: usize, const V: usize> {
    table: &'a Table<K, V>,
    reader: SectionReader<'a>,
    head: Option<([u8; K], [u8; V])>,
}

impl<'a, const K: usize, const V: usize> Input<'a, K, V> {
    fn new(table: &'a Table<K, V>) -> Result<Self, IndexError> {
        let mut input = Self { table, reader: table.reader(), head: None };
        input.advance()?;
        Ok(input)
    }

    /// Goes to the next record; at the end makes sure that all that was read is what was written.
    fn advance(&mut self) -> Result<(), IndexError> {
        let path = self.table.guard().path();
        let bytes = self.reader.peek(Table::<K, V>::WIDTH).map_err(IndexError::io(path))?;
        self.head = bytes.split_first_chunk().and_then(|(key, rest)| Some((*key, *rest.first_chunk()?)));
        self.reader.consume(Table::<K, V>::WIDTH);
        if self.head.is_some() {
            return Ok(());
        }
        let whole = std::mem::replace(&mut self.reader, self.table.empty_reader());
        let hash = whole.finish().map_err(IndexError::io(path))?;
        if hash.as_bytes() == self.table.records_hash() { Ok(()) } else { Err(IndexError::damaged(path)) }
    }
}

/// Merges `tables`, the newest first, into one of those records that `keep` wants; of equal records one stays.
pub(super) fn merge<const K: usize, const V: usize>(
    medium: Medium,
    folder: &Path,
    kind: &str,
    tables: &[impl AsRef<Table<K, V>>],
    keep: &dyn Fn(&[u8; K], &[u8; V]) -> bool,
) -> Result<Table<K, V>, IndexError> {
    let most = tables.iter().map(|table| table.as_ref().len()).fold(0, u64::saturating_add);
    let mut writer = TableWriter::create_on(medium, folder, most)?;
    walk(tables, &mut |key, values| {
        values.iter().filter(|value| keep(key, value)).try_for_each(|value| writer.push(key, value))
    })?;
    writer.finish(kind)
}

/// Calls `each` for every key of `tables`, the newest first, in ascending order, with its values, the newest first.
pub(super) fn walk<const K: usize, const V: usize>(
    tables: &[impl AsRef<Table<K, V>>],
    each: &mut EachKey<'_, K, V, Result<(), IndexError>>,
) -> Result<(), IndexError> {
    let mut inputs = tables.iter().map(|table| Input::new(table.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let mut last_key = None;
    let mut values: Distinct<V> = Distinct::default();
    // Among equal keys `min_by_key` takes the first input: the newest. There are few inputs, so no heap.
    while let Some((key, input)) =
        inputs.iter_mut().filter_map(|input| Some((input.head?.0, input))).min_by_key(|(key, _)| *key)
    {
        let Some((_, value)) = input.head else { break };
        if last_key != Some(key) {
            if let Some(last) = last_key {
                each(&last, values.as_slice())?;
            }
            last_key = Some(key);
            values.clear();
        }
        values.push(value);
        input.advance()?;
    }
    last_key.map_or(Ok(()), |last| each(&last, values.as_slice()))
}
