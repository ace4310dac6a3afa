//! The part of a map that is in memory: what was inserted lately.

use super::IndexError;
use super::file::Medium;
use super::table::Table;
use super::table_writer::TableWriter;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Parts with a lock of their own, each holding the keys whose first 4 bits are its number.
const SHARDS: usize = 16;

/// Records in memory, for many threads.
#[derive(Debug)]
pub(super) struct Memory<const K: usize, const V: usize> {
    shards: [RwLock<Shard<K, V>>; SHARDS],
}

/// The records of some keys. The hash is the standard, keyed one: ids come from trailers too, so they aren't all
/// honest.
#[derive(Debug)]
pub(super) struct Shard<const K: usize, const V: usize> {
    newest: HashMap<[u8; K], [u8; V]>,
    /// Further values, the newest first; few keys have any.
    older: HashMap<[u8; K], Vec<[u8; V]>>,
}

impl<const K: usize, const V: usize> Default for Memory<K, V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::new(Shard { newest: HashMap::new(), older: HashMap::new() })) }
    }
}

impl<const K: usize, const V: usize> Memory<K, V> {
    /// The shard of `key`, to read. A panic elsewhere leaves a shard whole: each of its changes is complete in itself.
    pub(super) fn read(&self, key: &[u8; K]) -> RwLockReadGuard<'_, Shard<K, V>> {
        self.shards[usize::from(key[0] >> 4)].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of `key`, to change.
    pub(super) fn write(&self, key: &[u8; K]) -> RwLockWriteGuard<'_, Shard<K, V>> {
        self.shards[usize::from(key[0] >> 4)].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all records, `count` or fewer, as a table.
    pub(super) fn write_table(
        &self,
        medium: Medium,
        folder: &Path,
        kind: &str,
        count: u64,
    ) -> Result<Table<K, V>, IndexError> {
        let mut writer = TableWriter::create_on(medium, folder, count)?;
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let mut keys: Vec<_> = shard.newest.keys().collect();
            keys.sort_unstable();
            for key in keys {
                for value in shard.all(key) {
                    writer.push(key, &value)?;
                }
            }
        }
        writer.finish(kind)
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        let count = |shard: &RwLock<Shard<K, V>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            (shard.newest.len() + shard.older.values().map(Vec::len).sum::<usize>()) as u64
        };
        self.shards.iter().map(count).sum()
    }
}

impl<const K: usize, const V: usize> Shard<K, V> {
    /// The newest value of `key`.
    pub(super) fn get(&self, key: &[u8; K]) -> Option<[u8; V]> {
        self.newest.get(key).copied()
    }

    /// All values of `key`, the newest first.
    pub(super) fn all(&self, key: &[u8; K]) -> impl Iterator<Item = [u8; V]> {
        let older = self.older.get(key).map(Vec::as_slice).unwrap_or_default();
        self.get(key).into_iter().chain(older.iter().copied())
    }

    /// Makes `value` the newest of `key`; returns whether that is a record more.
    pub(super) fn insert(&mut self, key: &[u8; K], value: &[u8; V]) -> bool {
        let before = match self.newest.entry(*key) {
            Entry::Vacant(entry) => {
                entry.insert(*value);
                return true;
            }
            Entry::Occupied(mut entry) => entry.insert(*value),
        };
        if before == *value {
            return false;
        }
        let older = self.older.entry(*key).or_default();
        let known = older.iter().position(|old| old == value);
        if let Some(at) = known {
            older.remove(at);
        }
        older.insert(0, before);
        known.is_none()
    }
}
