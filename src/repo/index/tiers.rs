//! A map that grows beyond memory: what is new in a table in memory, the rest in sorted files.
//!
//! A key may have several values; the newest, which is the one inserted last, comes first. Inserting a record that
//! exists makes it the newest.
//!
//! When the part in memory is full it is set aside and written as a [`Table`] while others go on reading and inserting.
//! When there are more than [`MOST_TABLES`] tables, the newest are merged as long as the next older one isn't larger
//! than all of them together, so that every record is rewritten a few times only, however many there are. Lookups go
//! from new to old and see every record at any time.
//!
//! Where the folder's disk has no room, or can't be written to for another reason, tables are kept in memory, up to [`MOST_HELD`]: a
//! backup or restore doesn't end because a cache can't be kept. Only then spilling fails.

use super::IndexError;
use super::distinct::Distinct;
use super::file::Medium;
use super::memory::Memory;
use super::merge::{EachKey, merge, walk};
use super::table::Table;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// More tables than this are merged.
const MOST_TABLES: usize = 8;

/// Bytes of records that are held in memory before they are written to a file. A hash map takes up to 1.7 times as
/// much, and while one is written a second one fills: at most about 28 MiB.
const MEMORY_BYTES: usize = 8 << 20;

/// Most bytes of tables that are in memory because the disk doesn't take them; while some are merged it's up to twice as much.
/// That is the index of some 5 million chunks: without a disk, no larger one can be had.
const MOST_HELD: u64 = 128 << 20;

/// A map of `K`-byte hashes to `V`-byte values, usable from many threads.
#[derive(Debug)]
pub struct Tiers<const K: usize, const V: usize> {
    folder: PathBuf,
    kind: &'static str,
    /// Records in memory that call for spilling.
    spill_at: u64,
    /// Bytes of tables that may be in memory.
    most_held: u64,
    /// Records in `Live::memory`.
    fresh: AtomicU64,
    /// Locked before a shard of the memory, never the other way round. Held for writing only to exchange parts, never
    /// during I/O.
    live: RwLock<Live<K, V>>,
    /// Held by whoever spills or merges; locked before `live`.
    work: Mutex<()>,
}

/// What lookups go through, in this order.
#[derive(Debug)]
struct Live<const K: usize, const V: usize> {
    memory: Memory<K, V>,
    /// What is being written to a file.
    aside: Option<Arc<Memory<K, V>>>,
    /// The newest first.
    tables: Vec<Arc<Table<K, V>>>,
}

impl<const K: usize, const V: usize> Live<K, V> {
    /// The newest value below the memory.
    fn get_older(&self, key: &[u8; K]) -> Option<[u8; V]> {
        let aside = self.aside.as_ref().and_then(|aside| aside.read(key).get(key));
        aside.or_else(|| self.tables.iter().find_map(|table| table.get(key)))
    }
}

impl<const K: usize, const V: usize> Tiers<K, V> {
    /// An empty map whose files will lie in `folder` and end in `.kind`.
    pub fn new(folder: &Path, kind: &'static str) -> Self {
        Self::with_tables(folder, kind, Vec::new())
    }

    /// The map of the tables with these names in `folder`, the newest first. Fails if any isn't whole.
    pub fn open(folder: &Path, kind: &'static str, names: &[String]) -> Result<Self, IndexError> {
        let open = |name: &String| Ok(Arc::new(Table::open(&folder.join(name))?));
        Ok(Self::with_tables(folder, kind, names.iter().map(open).collect::<Result<_, IndexError>>()?))
    }

    fn with_tables(folder: &Path, kind: &'static str, tables: Vec<Arc<Table<K, V>>>) -> Self {
        Self {
            folder: folder.to_owned(),
            kind,
            spill_at: (MEMORY_BYTES / (K + V)) as u64,
            most_held: MOST_HELD,
            fresh: AtomicU64::new(0),
            live: RwLock::new(Live { memory: Memory::default(), aside: None, tables }),
            work: Mutex::new(()),
        }
    }

    /// Spills at so few records that tests see many tables.
    #[cfg(test)]
    pub(super) fn spilling_at(mut self, records: u64) -> Self {
        self.spill_at = records;
        self
    }

    /// Keeps so few bytes of tables in memory that tests see the end of it.
    #[cfg(test)]
    pub(super) fn holding(mut self, bytes: u64) -> Self {
        self.most_held = bytes;
        self
    }

    /// The newest value of `key`.
    pub fn get(&self, key: &[u8; K]) -> Option<[u8; V]> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = live.memory.read(key).get(key);
        fresh.or_else(|| live.get_older(key))
    }

    /// All values of `key`, the newest first.
    pub fn all(&self, key: &[u8; K]) -> Vec<[u8; V]> {
        let mut values = Distinct::default();
        let mut add = |value| values.push(value);
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.memory.read(key).all(key).for_each(&mut add);
        if let Some(aside) = &live.aside {
            aside.read(key).all(key).for_each(&mut add);
        }
        live.tables.iter().flat_map(|table| table.all(key)).for_each(&mut add);
        values.into_vec()
    }

    /// Makes `value` the newest of `key`.
    ///
    /// Fails when memory was full and couldn't be spilled, to the disk or to other memory; the record is in the map all the same.
    pub fn insert(&self, key: &[u8; K], value: &[u8; V]) -> Result<(), IndexError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let more = live.memory.write(key).insert(key, value);
        drop(live);
        self.inserted(more)
    }

    /// Inserts `value` unless `key` has one; returns the newest one that it had. Of several threads with one key, one
    /// inserts.
    ///
    /// Fails as [`insert`](Self::insert) does.
    pub fn insert_if_absent(&self, key: &[u8; K], value: &[u8; V]) -> Result<Option<[u8; V]>, IndexError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = live.memory.read(key).get(key);
        if let Some(found) = fresh.or_else(|| live.get_older(key)) {
            return Ok(Some(found));
        }
        // While `live` is held nothing moves to the older parts, so only the shard needs another look.
        let mut shard = live.memory.write(key);
        if let Some(found) = shard.get(key) {
            return Ok(Some(found));
        }
        let more = shard.insert(key, value);
        drop(shard);
        drop(live);
        self.inserted(more).map(|()| None)
    }

    fn inserted(&self, more: bool) -> Result<(), IndexError> {
        if more && self.fresh.fetch_add(1, Ordering::Relaxed) + 1 >= self.spill_at {
            self.spill(self.spill_at)?;
        }
        Ok(())
    }

    /// Writes what is in memory to files on the disk, and returns the names of all, the newest first, for [`open`](Self::open).
    pub fn flush(&self) -> Result<Vec<String>, IndexError> {
        self.spill(1)?;
        self.write_held()?;
        Ok(self.tables().iter().map(|table| table.guard().name()).collect())
    }

    /// From now on a state names the tables called `names`, so they outlive the map.
    pub(super) fn mark_listed(&self, names: &[String]) {
        for table in self.tables() {
            if names.contains(&table.guard().name()) {
                table.guard().mark_listed();
            }
        }
    }

    /// Keeps only the records that `keep` wants, in one table.
    ///
    /// Records that are inserted meanwhile stay. `keep` must not change this map.
    pub fn retain(&self, keep: &dyn Fn(&[u8; K], &[u8; V]) -> bool) -> Result<(), IndexError> {
        self.spill(1)?;
        let _work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.tables().len();
        self.merge_newest(Medium::Disk, count, keep)
    }

    /// Calls `each` for every key, in ascending order, with its values, the newest first. What is inserted meanwhile may be missed.
    pub fn scan(&self, each: &mut EachKey<'_, K, V, ()>) -> Result<(), IndexError> {
        self.spill(1)?;
        walk(&self.tables(), &mut |key, values| {
            each(key, values);
            Ok(())
        })
    }

    /// How many records the files hold, counting those that newer tables hold again.
    pub fn records(&self) -> u64 {
        self.tables().iter().map(|table| table.len()).sum::<u64>() + self.fresh.load(Ordering::Relaxed)
    }

    fn tables(&self) -> Vec<Arc<Table<K, V>>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).tables.clone()
    }

    /// Spills if there are `least` records in memory; merges if there are then too many tables.
    fn spill(&self, least: u64) -> Result<(), IndexError> {
        let _work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_aside()?; // left by an attempt that failed
        if self.fresh.load(Ordering::Relaxed) < least {
            return Ok(()); // another thread did it
        }
        {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            let memory = std::mem::take(&mut live.memory);
            live.aside = Some(Arc::new(memory));
            // An insertion that isn't counted yet is counted later: once too often, which does no harm.
            self.fresh.store(0, Ordering::Relaxed);
        }
        self.write_aside()?;
        self.merge_tiers()
    }

    /// Writes what was set aside as the newest table.
    fn write_aside(&self) -> Result<(), IndexError> {
        let aside = self.live.read().unwrap_or_else(PoisonError::into_inner).aside.clone();
        let Some(aside) = aside else { return Ok(()) };
        let write = |medium| aside.write_table(medium, &self.folder, self.kind, aside.count());
        let table = match write(Medium::Disk) {
            // What it will take isn't known to the byte; that of one table more or less doesn't matter.
            Err(error @ IndexError::Io { .. }) if self.held() >= self.most_held => return Err(error),
            Err(IndexError::Io { .. }) => write(Medium::Memory)?,
            written => written?,
        };
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.tables.insert(0, Arc::new(table));
        live.aside = None;
        Ok(())
    }

    /// Merges when there are too many tables.
    fn merge_tiers(&self) -> Result<(), IndexError> {
        let sizes: Vec<u64> = self.tables().iter().map(|table| table.len()).collect();
        match to_merge(&sizes) {
            0 => Ok(()),
            count => match self.merge_newest(Medium::Disk, count, &|_, _| true) {
                Err(IndexError::Io { .. }) if self.are_held(count) => {
                    self.merge_newest(Medium::Memory, count, &|_, _| true)
                }
                // Many tables are slower than few, no more.
                Err(IndexError::Io { .. }) => Ok(()),
                merged => merged,
            },
        }
    }

    /// Bytes of the tables that are in memory.
    fn held(&self) -> u64 {
        let tables = self.tables();
        tables.iter().filter(|table| table.guard().is_in_memory()).map(|table| table.bytes()).sum()
    }

    /// Whether the `count` newest tables are all in memory.
    fn are_held(&self, count: usize) -> bool {
        self.tables().iter().take(count).all(|table| table.guard().is_in_memory())
    }

    /// Writes the tables that are in memory to the disk, as one, with those between them.
    fn write_held(&self) -> Result<(), IndexError> {
        let _work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        match self.tables().iter().rposition(|table| table.guard().is_in_memory()) {
            Some(oldest) => self.merge_newest(Medium::Disk, oldest + 1, &|_, _| true),
            None => Ok(()),
        }
    }

    /// Replaces the `count` newest tables by one. The caller holds `work`, so no other thread changes the list.
    fn merge_newest(
        &self,
        medium: Medium,
        count: usize,
        keep: &dyn Fn(&[u8; K], &[u8; V]) -> bool,
    ) -> Result<(), IndexError> {
        let tables = self.tables();
        let merged = merge(medium, &self.folder, self.kind, &tables[..count], keep)?;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.tables.splice(..count, [Arc::new(merged)]);
        // The old tables are unmapped by `tables` going away, after the lock.
        drop(live);
        Ok(())
    }
}

/// How many of the newest tables to merge, given the sizes of all, the newest first; 0 if there are few enough.
fn to_merge(sizes: &[u64]) -> usize {
    if sizes.len() <= MOST_TABLES {
        return 0;
    }
    let (mut count, mut sum) = (0, 0u64);
    for &size in sizes {
        // Tables hold at most 2³² − 1 records.
        if sum.saturating_add(size) > u64::from(u32::MAX) || (count >= 2 && size > sum) {
            break;
        }
        (count, sum) = (count + 1, sum + size);
    }
    if count < 2 { 0 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Barrier;
    use std::thread;

    fn key(i: u16) -> [u8; 16] {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(&i.to_le_bytes()).as_bytes()[..16]);
        key
    }

    /// The definition: for each key its values, the one inserted last first.
    type Naive = BTreeMap<u16, Vec<[u8; 1]>>;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16, u8),
        InsertIfAbsent(u16, u8),
        Flush,
        Reopen,
        Retain(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            40 => (0..60u16, 0..4u8).prop_map(|(key, value)| Step::Insert(key, value)),
            40 => (0..600u16, 0..4u8).prop_map(|(key, value)| Step::InsertIfAbsent(key, value)),
            3 => Just(Step::Flush),
            1 => Just(Step::Reopen),
            1 => (0..4u8).prop_map(Step::Retain),
        ]
    }

    fn put(naive: &mut Naive, key: u16, value: [u8; 1]) {
        let values = naive.entry(key).or_default();
        values.retain(|old| *old != value);
        values.insert(0, value);
    }

    proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]
            #[test]
            fn agrees_with_a_naive_map(steps in prop::collection::vec(step(), 0..500), spill_at in 1u64..12) {
                let folder = tempfile::tempdir().unwrap();
                let mut tiers = Tiers::<16, 1>::new(folder.path(), "test").spilling_at(spill_at);
                let mut naive = Naive::new();
                for step in steps {
                    match step {
                        Step::Insert(i, value) => {
                            tiers.insert(&key(i), &[value]).unwrap();
                            put(&mut naive, i, [value]);
                        }
                        Step::InsertIfAbsent(i, value) => {
                            let found = tiers.insert_if_absent(&key(i), &[value]).unwrap();
                            prop_assert_eq!(found, naive.get(&i).map(|values| values[0]));
                            naive.entry(i).or_insert_with(|| vec![[value]]);
                        }
                        Step::Flush => drop(tiers.flush().unwrap()),
                        Step::Reopen => {
                            let names = tiers.flush().unwrap();
                            tiers.mark_listed(&names);
                            tiers = Tiers::open(folder.path(), "test", &names).unwrap().spilling_at(spill_at);
                        }
                        Step::Retain(unwanted) => {
                            tiers.retain(&|_, value| value[0] != unwanted).unwrap();
                            for values in naive.values_mut() {
    values.retain(|value| value[0] != unwanted);
    }
                            naive.retain(|_, values| !values.is_empty());
                        }
                    }
                    prop_assert!(tiers.tables().len() <= MOST_TABLES);
                }
                for i in 0..600 {
                    let expected = naive.get(&i).cloned().unwrap_or_default();
                    prop_assert_eq!(tiers.get(&key(i)), expected.first().copied());
                    prop_assert_eq!(tiers.all(&key(i)), expected);
                }
            }

            #[test]
            fn few_tables_remain_and_few_merges_are_large(spills in prop::collection::vec(1u64..1_000, 0..400)) {
                let (mut sizes, mut written) = (Vec::new(), 0);
                for &spill in &spills {
                    sizes.insert(0, spill);
                    let count = to_merge(&sizes);
                    let sum = sizes.splice(..count, []).sum();
                    if count > 0 {
                        sizes.insert(0, sum);
                        written += sum;
                    }
                    prop_assert!(sizes.len() <= MOST_TABLES);
                }
                prop_assert!(written <= 5 * spills.iter().sum::<u64>());
            }
        }

    #[test]
    fn tables_that_together_are_too_large_stay_apart() {
        let half = u64::from(u32::MAX / 2 + 1);
        assert_eq!(to_merge(&[half; 9]), 0);
        assert_eq!(to_merge(&[1, 1, half, half, half, half, half, half, half]), 2);
        assert_eq!(to_merge(&[1; 9]), 9);
        assert_eq!(to_merge(&[1; 8]), 0);
    }

    #[test]
    fn threads_agree_on_who_inserted() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = Tiers::<16, 1>::new(folder.path(), "test").spilling_at(50);
        let start = Barrier::new(4);
        let inserted = |thread: u8| {
            start.wait();
            let absent = |i: &u16| {
                let found = tiers.insert_if_absent(&key(*i), &[thread]).unwrap();
                let now = tiers.get(&key(*i)).unwrap();
                assert_eq!(now, found.unwrap_or([thread]), "what was answered stays");
                found.is_none()
            };
            (0..2_000).filter(absent).count()
        };
        let total: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || inserted(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 2_000, "each key by exactly one thread");
        assert!((0..2_000).all(|i| tiers.all(&key(i)).len() == 1));
    }

    #[test]
    fn what_could_not_be_spilled_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        let tiers = Tiers::<16, 1>::new(&path, "test").spilling_at(3).holding(0);
        tiers.insert(&key(0), &[0]).unwrap();
        tiers.insert(&key(1), &[1]).unwrap();
        assert!(matches!(tiers.insert(&key(2), &[2]), Err(IndexError::Io { .. })));
        assert!(tiers.insert(&key(3), &[3]).is_ok(), "memory has room again");
        assert!(tiers.flush().is_err());
        assert!((0..4).all(|i| tiers.get(&key(i)).is_some()));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(tiers.flush().unwrap().len(), 2);
        assert!((0..4u8).all(|i| tiers.get(&key(i.into())) == Some([i])));
    }

    /// Once, a full disk of the cache ended backups and restores, although the cache is a hint.
    #[test]
    fn without_a_disk_tables_are_in_memory_and_reach_the_disk_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        let tiers = Tiers::<16, 1>::new(&path, "test").spilling_at(3);
        let values = |tiers: &Tiers<16, 1>| (0..200).map(|i| tiers.all(&key(i))).collect::<Vec<_>>();
        for i in 0..200 {
            tiers.insert(&key(i), &[1]).unwrap();
            tiers.insert(&key(i / 2), &[2]).unwrap();
        }
        assert!(tiers.held() > 0 && tiers.tables().len() <= MOST_TABLES, "they are merged, too");
        let before = values(&tiers);
        assert_eq!((before[7].len(), before[150].len()), (2, 1));
        let mut scanned = 0;
        tiers.scan(&mut |_, values| scanned += values.len()).unwrap();
        assert_eq!(scanned, 300);
        assert!(matches!(tiers.flush(), Err(IndexError::Io { .. })), "nothing that a state could list");
        assert_eq!(values(&tiers), before);
        std::fs::create_dir(&path).unwrap();
        let names = tiers.flush().unwrap();
        tiers.mark_listed(&names);
        assert_eq!((tiers.held(), values(&tiers)), (0, before.clone()));
        assert_eq!(values(&Tiers::open(&path, "test", &names).unwrap()), before);
    }

    #[test]
    fn memory_holds_no_more_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = Tiers::<16, 1>::new(&folder.path().join("gone"), "test").spilling_at(10).holding(4_000);
        let failed = (0..2_000).position(|i| tiers.insert(&key(i), &[0]).is_err()).unwrap();
        assert!((20..1_000).contains(&failed), "{failed}");
        assert!((4_000..10_000).contains(&tiers.held()), "{}", tiers.held());
    }

    #[test]
    fn merged_tables_and_unlisted_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let tiers = Tiers::<16, 1>::new(folder.path(), "test").spilling_at(1);
        for i in 0..=8 {
            tiers.insert(&key(i), &[0]).unwrap();
        }
        assert_eq!((tiers.tables().len(), files()), (1, 1));
        drop(tiers);
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_damaged_table_stops_a_merge() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = Tiers::<16, 1>::new(folder.path(), "test").spilling_at(100);
        tiers.insert(&key(0), &[0]).unwrap();
        let path = folder.path().join(&tiers.flush().unwrap()[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
            &bytes,
            0,
        )
        .unwrap();
        assert!(matches!(tiers.retain(&|_, _| true), Err(IndexError::Damaged { .. })));
    }
}
