//! Pack number ↔ pack: the one part of the local index that is held in memory as a whole.
//!
//! About 160 bytes a pack. A TB in packs of 32 MiB is 30,000 packs: 5 MB.

use super::IndexError;
use super::file::{CacheFile, Medium, Unfinished};
use crate::repo::codec::Cursor;
use crate::repo::id::{PackHash, PackId, RunId};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

const MAGIC: &[u8; 8] = b"nspacks\x02";
const KIND: &str = "packs";
const HASH_LEN: usize = 32;
/// Bytes of a row in the file: run, hash, length, trailer length, flags.
const ROW_LEN: usize = 20 + 32 + 8 + 4 + 1;

/// Which of a pack's contents are in the rest of the local index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Indexed {
    /// Its frames are in the [`FrameIndex`](super::FrameIndex).
    pub frames: bool,
    /// Its chunks are in [`KnownChunks`](super::KnownChunks), or there are none that this client could know.
    pub chunks: bool,
    /// What is there comes from the pack's own trailer, which belongs to it by its name, and not from a segment alone.
    pub trailer: bool,
}

impl Indexed {
    /// All of it.
    pub const ALL: Self = Self { frames: true, chunks: true, trailer: true };
    /// Its frames, as a segment tells them.
    pub const FRAMES: Self = Self { frames: true, chunks: false, trailer: false };
    /// That it holds no chunks that this client could know.
    pub const NO_CHUNKS: Self = Self { frames: false, chunks: true, trailer: false };

    const fn bits(self) -> u8 {
        self.frames as u8 | (self.chunks as u8) << 1 | (self.trailer as u8) << 2
    }

    const fn of_bits(bits: u8) -> Self {
        Self { frames: bits & 1 != 0, chunks: bits & 2 != 0, trailer: bits & 4 != 0 }
    }
}

/// What is known of a pack without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackRow {
    /// The pack.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// The length of its trailer in bytes (t in `docs/format.md`); 0 as long as it isn't known.
    pub trailer: u32,
    /// What else of it is in the local index.
    pub indexed: Indexed,
}

/// The packs that the local index knows, by number and by id. Usable from many threads.
///
/// A pack stays in the table when it is gone from the repository: which packs there are, only a listing says.
#[derive(Debug)]
pub struct PackTable {
    folder: PathBuf,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: Vec<PackRow>,
    numbers: HashMap<PackId, u32>,
}

impl PackTable {
    /// No packs; the file will lie in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), inner: RwLock::default() }
    }

    /// The packs of this file; fails if it isn't whole.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, IndexError> {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(IndexError::io(&path))?;
        let inner = decode(&bytes).ok_or_else(|| IndexError::damaged(&path))?;
        Ok(Self { folder: folder.to_owned(), inner: RwLock::new(inner) })
    }

    /// How many packs there are; their numbers are below it.
    pub fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pack with this number.
    pub fn get(&self, number: u32) -> Option<PackRow> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).rows.get(number as usize).copied()
    }

    /// The number of a pack.
    pub fn number(&self, id: &PackId) -> Option<u32> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).numbers.get(id).copied()
    }

    /// The number of a pack, which is added if it's new; otherwise its length is replaced, and the trailer's unless it
    /// is 0.
    pub fn add(&self, id: PackId, length: u64, trailer: u32) -> Result<u32, IndexError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(inner.rows.len());
        let next = next.map_err(|_| IndexError::TooMany { path: self.folder.clone(), what: "packs" })?;
        let number = *inner.numbers.entry(id).or_insert(next);
        if number == next {
            inner.rows.push(PackRow { id, length, trailer, indexed: Indexed::default() });
        } else if let Some(row) = inner.rows.get_mut(number as usize) {
            row.length = length;
            row.trailer = if trailer == 0 { row.trailer } else { trailer };
        }
        Ok(number)
    }

    /// Notes what of the pack is in the local index: call it *after* that was inserted. What was noted before stays.
    pub fn mark(&self, number: u32, indexed: Indexed) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = inner.rows.get_mut(number as usize) {
            row.indexed.frames |= indexed.frames;
            row.indexed.chunks |= indexed.chunks;
            row.indexed.trailer |= indexed.trailer;
        }
    }

    /// All packs with their numbers.
    pub fn rows(&self) -> Vec<(u32, PackRow)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        (0..).zip(inner.rows.iter().copied()).collect()
    }

    /// What is marked as indexed by now, by number.
    pub(super) fn indexed(&self) -> Vec<Indexed> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.rows.iter().map(|row| row.indexed).collect()
    }

    /// Writes all packs to a new file. Those that aren't in `indexed`, or not so marked there, count as not indexed:
    /// what was marked since may not be in the other files.
    pub(super) fn save(&self, indexed: &[Indexed]) -> Result<CacheFile, IndexError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::with_capacity(MAGIC.len() + inner.rows.len() * ROW_LEN + HASH_LEN);
        bytes.extend_from_slice(MAGIC);
        for (i, row) in inner.rows.iter().enumerate() {
            let indexed = indexed.get(i).copied().unwrap_or_default();
            bytes.extend_from_slice(row.id.run.as_bytes());
            bytes.extend_from_slice(row.id.hash.as_bytes());
            bytes.extend_from_slice(&row.length.to_le_bytes());
            bytes.extend_from_slice(&row.trailer.to_le_bytes());
            bytes.push(indexed.bits());
        }
        drop(inner);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let temporary = Unfinished::new(&self.folder, Medium::Disk)?;
        temporary.as_file().write_all(&bytes).map_err(IndexError::io(&self.folder))?;
        Ok(CacheFile::keep(temporary, &self.folder, KIND)?.0)
    }
}

/// The packs in the bytes of a file.
fn decode(bytes: &[u8]) -> Option<Inner> {
    let mut cursor = Cursor::new("pack table", bytes);
    let hash = cursor.bytes_from_end(HASH_LEN).ok()?;
    if blake3::hash(cursor.rest()).as_bytes() != hash || cursor.array::<8>().ok()? != *MAGIC {
        return None;
    }
    let mut inner = Inner::default();
    while !cursor.rest().is_empty() {
        let run = RunId::from_bytes(cursor.array().ok()?);
        let hash = PackHash::from_bytes(cursor.array().ok()?);
        let length = u64::from_le_bytes(cursor.array().ok()?);
        let (trailer, flags) = (cursor.u32().ok()?, cursor.u8().ok()?);
        let indexed = Indexed::of_bits(flags);
        let id = PackId { run, hash };
        let number = u32::try_from(inner.rows.len()).ok()?;
        if inner.numbers.insert(id, number).is_some() {
            return None;
        }
        inner.rows.push(PackRow { id, length, trailer, indexed });
    }
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(i: u8) -> PackId {
        PackId { run: RunId::from_bytes([i; 20]), hash: PackHash::from_bytes([i ^ 1; 32]) }
    }

    fn saved(table: &PackTable) -> (PathBuf, String) {
        let file = table.save(&table.indexed()).unwrap();
        file.mark_listed();
        (file.path().to_owned(), file.name())
    }

    #[test]
    fn packs_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let table = PackTable::new(folder.path());
        assert_eq!(table.add(id(1), 100, 0).unwrap(), 0);
        assert_eq!(table.add(id(2), 200, 20).unwrap(), 1);
        assert_eq!(table.add(id(1), 101, 10).unwrap(), 0);
        assert_eq!(table.add(id(1), 101, 0).unwrap(), 0);
        table.mark(1, Indexed::FRAMES);
        table.mark(1, Indexed::NO_CHUNKS);
        table.mark(7, Indexed::default());
        let (_, name) = saved(&table);
        for table in [table, PackTable::open(folder.path(), &name).unwrap()] {
            let none = Indexed::default();
            assert_eq!(table.get(0), Some(PackRow { id: id(1), length: 101, trailer: 10, indexed: none }));
            let both = Indexed { frames: true, chunks: true, trailer: false };
            assert_eq!(table.get(1), Some(PackRow { id: id(2), length: 200, trailer: 20, indexed: both }));
            assert_eq!((table.get(2), table.len()), (None, 2));
            assert_eq!((table.number(&id(2)), table.number(&id(3))), (Some(1), None));
            assert_eq!(table.rows().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
        }
    }

    /// Marks that are younger than the files they speak of mustn't be saved with them.
    #[test]
    fn later_marks_are_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let table = PackTable::new(folder.path());
        table.add(id(1), 100, 0).unwrap();
        let early = table.indexed();
        table.add(id(2), 100, 0).unwrap();
        table.mark(0, Indexed::ALL);
        table.mark(1, Indexed::ALL);
        let file = table.save(&early).unwrap();
        let table = PackTable::open(folder.path(), &file.name()).unwrap();
        assert_eq!(table.len(), 2);
        assert!(table.rows().iter().all(|(_, row)| row.indexed == Indexed::default()));
    }

    #[test]
    fn every_flipped_byte_and_every_missing_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let table = PackTable::new(folder.path());
        table.add(id(1), 100, 0).unwrap();
        table.add(id(2), 100, 0).unwrap();
        let (path, name) = saved(&table);
        super::super::file::assert_every_damage_is_noticed(&path, || {
            matches!(PackTable::open(folder.path(), &name), Err(IndexError::Damaged { .. }))
        });
    }
}
