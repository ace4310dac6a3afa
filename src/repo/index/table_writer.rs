//! Writing of a [`Table`], in constant memory.

use super::IndexError;
use super::file::{CacheFile, Medium, Section, Unfinished};
use super::table::{BUCKET_KEYS, HEADER_LEN, Header, LINE_LEN, Table, bucket_of, filter_insert};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A table in the making. Dropping it instead of [`finish`](Self::finish) leaves nothing.
pub struct TableWriter<const K: usize, const V: usize> {
    folder: PathBuf,
    file: Unfinished,
    header: Header,
    lines: Section,
    records: Section,
    /// The line of `bucket`.
    line: [u8; LINE_LEN],
    bucket: u32,
    last_key: [u8; K],
}

impl<const K: usize, const V: usize> TableWriter<K, V> {
    /// Begins a table of at most `most` records in `folder`; 4,294,967,295 is the limit.
    pub fn create(folder: &Path, most: u64) -> Result<Self, IndexError> {
        Self::create_on(Medium::Disk, folder, most)
    }

    /// The same, on the disk or in memory.
    pub(super) fn create_on(medium: Medium, folder: &Path, most: u64) -> Result<Self, IndexError> {
        let () = Table::<K, V>::WIDTHS_FIT;
        let too_many = |_| IndexError::TooMany { path: folder.to_owned(), what: "records" };
        let most = u32::try_from(most).map_err(too_many)?;
        let buckets = u32::try_from(u64::from(most).div_ceil(BUCKET_KEYS).max(1)).map_err(too_many)?;
        let widths = |n: usize| u16::try_from(n).unwrap_or(u16::MAX); // WIDTHS_FIT holds
        let header = Header {
            key_len: widths(K),
            value_len: widths(V),
            buckets,
            count: 0,
            lines_hash: [0; 32],
            records_hash: [0; 32],
        };
        let records = Section::new(header.records_at());
        Ok(Self {
            folder: folder.to_owned(),
            file: Unfinished::new(folder, medium)?,
            header,
            lines: Section::new(HEADER_LEN as u64),
            records,
            line: [0; LINE_LEN],
            bucket: 0,
            last_key: [0; K],
        })
    }

    /// Appends a record. Keys must not descend; of several with one key the newest comes first.
    pub fn push(&mut self, key: &[u8; K], value: &[u8; V]) -> Result<(), IndexError> {
        debug_assert!(self.last_key <= *key, "keys must not descend");
        self.last_key = *key;
        self.go_to(bucket_of(key, self.header.buckets))?;
        filter_insert(&mut self.line, key);
        let write =
            |records: &mut Section, file, bytes| records.push(file, bytes).map_err(IndexError::io(&self.folder));
        write(&mut self.records, self.file.as_file(), key)?;
        write(&mut self.records, self.file.as_file(), value)?;
        self.header.count += 1;
        Ok(())
    }

    /// Writes the lines before that of `bucket`.
    fn go_to(&mut self, bucket: u32) -> Result<(), IndexError> {
        while self.bucket < bucket {
            self.lines.push(self.file.as_file(), &self.line).map_err(IndexError::io(&self.folder))?;
            self.bucket += 1;
            self.line = [0; LINE_LEN];
            // `create` allowed only so many.
            let first = u32::try_from(self.header.count).unwrap_or(u32::MAX);
            self.line[..4].copy_from_slice(&first.to_le_bytes());
        }
        Ok(())
    }

    /// Completes the file and opens it. `kind` ends its name. It vanishes with the table unless a state lists it.
    pub fn finish(mut self, kind: &str) -> Result<Table<K, V>, IndexError> {
        // The last line only says where the last bucket ends.
        self.go_to(self.header.buckets)?;
        let file = self.file.as_file();
        self.lines.push(file, &self.line).map_err(IndexError::io(&self.folder))?;
        let (_, lines_hash) = self.lines.finish(file).map_err(IndexError::io(&self.folder))?;
        let (_, records_hash) = self.records.finish(file).map_err(IndexError::io(&self.folder))?;
        self.header.lines_hash = *lines_hash.as_bytes();
        self.header.records_hash = *records_hash.as_bytes();
        file.write_all_at(&self.header.encode(), 0).map_err(IndexError::io(&self.folder))?;
        let (guard, file) = CacheFile::keep(self.file, &self.folder, kind)?;
        Table::from_file(file, guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;

    /// A key of 16 bytes that is spread evenly, or all in one bucket.
    fn key(i: u32, even: bool) -> [u8; 16] {
        let mut key = [0xee; 16];
        if even {
            key.copy_from_slice(&blake3::hash(&i.to_le_bytes()).as_bytes()[..16]);
        } else {
            key[12..].copy_from_slice(&i.to_be_bytes());
        }
        key
    }

    fn written(folder: &Path, records: &BTreeMap<[u8; 16], Vec<[u8; 3]>>, most: u64) -> Table<16, 3> {
        let mut writer = TableWriter::create(folder, most).unwrap();
        for (key, values) in records {
            for value in values {
                writer.push(key, value).unwrap();
            }
        }
        writer.finish("test").unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn tables_hold_what_was_written(numbers in prop::collection::vec((0u32..3_000, any::<[u8; 3]>()), 0..2_000), even: bool, spare in 0u64..1_000) {
            let folder = tempfile::tempdir().unwrap();
            let mut records = BTreeMap::<_, Vec<_>>::new();
            for (i, value) in &numbers {
                records.entry(key(*i, even)).or_default().push(*value);
            }
            let table = written(folder.path(), &records, numbers.len() as u64 + spare);
            prop_assert_eq!(table.len(), numbers.len() as u64);
            table.guard().mark_listed();
            let path = table.guard().path().to_owned();
            for table in [table, Table::open(&path).unwrap()] {
                for i in 0..3_000 {
                    let expected = records.get(&key(i, even)).cloned().unwrap_or_default();
                    prop_assert_eq!(table.get(&key(i, even)), expected.first().copied());
                    prop_assert_eq!(table.all(&key(i, even)).collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    #[test]
    fn a_record_is_found_at_either_end_of_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        let records = [([0; 16], vec![*b"low"]), ([0xff; 16], vec![*b"top"])].into();
        let table = written(folder.path(), &records, 1_000);
        assert_eq!((table.get(&[0; 16]), table.get(&[0xff; 16])), (Some(*b"low"), Some(*b"top")));
        assert_eq!(table.get(&[1; 16]), None);
    }

    /// A damaged file must count as absent; that a byte matters nowhere would be as good.
    #[test]
    fn every_flipped_byte_and_every_missing_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let records = (0..50).map(|i| (key(i, true), vec![*b"abc"])).collect();
        let table = written(folder.path(), &records, 50);
        table.guard().mark_listed();
        let path = table.guard().path().to_owned();
        drop(table);
        super::super::file::assert_every_damage_is_noticed(&path, || {
            matches!(Table::<16, 3>::open(&path), Err(IndexError::Damaged { .. }))
        });
        assert!(matches!(Table::<16, 4>::open(&path), Err(IndexError::Damaged { .. })), "other widths");
    }

    /// Whoever makes the checksums fit may make lookups miss, not panic.
    #[test]
    fn positions_that_lead_nowhere_find_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let records = (0..200).map(|i| (key(i, true), vec![*b"abc"])).collect();
        let table = written(folder.path(), &records, 200);
        table.guard().mark_listed();
        let path = table.guard().path().to_owned();
        let mut bytes = fs::read(&path).unwrap();
        let header = HEADER_LEN;
        for line in bytes[header..header + 6 * LINE_LEN].chunks_exact_mut(LINE_LEN) {
            line.fill(0xff);
        }
        let mut forged = Header {
            key_len: 16,
            value_len: 3,
            buckets: 5,
            count: 200,
            lines_hash: *blake3::hash(&bytes[header..header + 6 * LINE_LEN]).as_bytes(),
            records_hash: *table.records_hash(),
        };
        bytes[..header].copy_from_slice(&forged.encode());
        fs::write(&path, &bytes).unwrap();
        let table = Table::<16, 3>::open(&path).unwrap();
        for i in 0..400 {
            assert_eq!(table.get(&key(i, true)), None);
        }
        forged.count = u64::MAX / 2;
        bytes[..header].copy_from_slice(&forged.encode());
        fs::write(&path, &bytes).unwrap();
        assert!(Table::<16, 3>::open(&path).is_err());
    }

    #[test]
    fn the_filter_stops_most_absent_keys() {
        let folder = tempfile::tempdir().unwrap();
        let records = (0..20_000).map(|i| (key(i, true), vec![*b"abc"])).collect();
        let table = written(folder.path(), &records, 20_000);
        let passed = (20_000..40_000).filter(|i| table.passes(&key(*i, true))).count();
        assert!(passed < 200, "{passed} of 20,000 absent keys passed");
        assert!((0..20_000).all(|i| table.passes(&key(i, true))));
    }

    #[test]
    fn too_many_records_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = TableWriter::<16, 3>::create(folder.path(), 1 << 32).map(drop);
        assert!(matches!(outcome, Err(IndexError::TooMany { .. })));
    }

    #[test]
    fn an_unfinished_table_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(TableWriter::<16, 3>::create(folder.path(), 1).unwrap());
        drop(written(folder.path(), &BTreeMap::new(), 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
