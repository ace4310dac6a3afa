//! Frame number → frame id, so that a known chunk takes 4 bytes for its frame instead of 32.
//!
//! Numbers are given out in turn and never again for another frame. They are kept in files of up to 262,144 ids that
//! are merged when there are too many: `"nsnumber"`, first number `u32`, count `u32`, the ids, BLAKE3 of all before. An
//! id of zeros: the number was reserved and its frame never closed.

use super::IndexError;
use super::file::{CacheFile, Medium, Section, SectionReader, Unfinished};
use super::table;
use crate::repo::id::FrameId;
use memmap2::Mmap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

const MAGIC: &[u8; 8] = b"nsnumber";
const HEADER_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// More files than this are merged into one when the state is written.
const MOST_FILES: usize = 8;
/// Most ids in files that are in memory because the disk doesn't take them: 128 MiB.
const MOST_HELD: u64 = 4 << 20;
/// Ids in memory before the older half is written to a file: 16 MiB.
const MOST_FRESH: usize = 1 << 19;
const KIND: &str = "numbers";
const UNSET: [u8; FrameId::LEN] = [0; FrameId::LEN];

/// The ids of numbered frames. Usable from many threads.
#[derive(Debug)]
pub struct FrameNumbers {
    folder: PathBuf,
    most_fresh: usize,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// One after the other from number 0 on.
    pieces: Vec<Piece>,
    /// The ids behind the pieces.
    fresh: Vec<[u8; FrameId::LEN]>,
}

/// Ids in a file, mapped into memory.
#[derive(Debug)]
struct Piece {
    first: u32,
    count: u32,
    map: Mmap,
    file: File,
    guard: CacheFile,
}

impl Inner {
    /// The first number in memory.
    fn first_fresh(&self) -> u32 {
        self.pieces.last().map_or(0, |piece| piece.first + piece.count)
    }

    /// How many ids are in files that are in memory.
    fn held(&self) -> u64 {
        let held = self.pieces.iter().filter(|piece| piece.guard.is_in_memory());
        held.map(|piece| u64::from(piece.count)).sum()
    }

    fn len(&self) -> u64 {
        u64::from(self.first_fresh()) + self.fresh.len() as u64
    }

    fn slot(&mut self, number: u32) -> Option<&mut [u8; FrameId::LEN]> {
        let at = number.checked_sub(self.first_fresh())?;
        self.fresh.get_mut(at as usize)
    }
}

impl FrameNumbers {
    /// No numbers yet; files will lie in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), most_fresh: MOST_FRESH, inner: RwLock::default() }
    }

    /// The numbers of these files, in this order; fails if any isn't whole or they leave a gap.
    pub(super) fn open(folder: &Path, names: &[String]) -> Result<Self, IndexError> {
        let mut inner = Inner::default();
        for name in names {
            let path = folder.join(name);
            let piece = Piece::open(&path)?;
            if piece.first != inner.first_fresh() {
                return Err(IndexError::damaged(&path));
            }
            inner.pieces.push(piece);
        }
        Ok(Self { folder: folder.to_owned(), most_fresh: MOST_FRESH, inner: RwLock::new(inner) })
    }

    /// How many numbers were given out: also the next one.
    pub fn len(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no number was given out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the frame with this number; `None` if the number wasn't given out or the frame not closed yet.
    pub fn get(&self, number: u32) -> Option<FrameId> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let id = if number >= inner.first_fresh() {
            *inner.fresh.get((number - inner.first_fresh()) as usize)?
        } else {
            let after = inner.pieces.partition_point(|piece| piece.first <= number);
            inner.pieces.get(after.checked_sub(1)?)?.get(number)?
        };
        (id != UNSET).then_some(FrameId::from_bytes(id))
    }

    /// Gives `frame` a number. A frame may have several.
    pub fn push(&self, frame: &FrameId) -> Result<u32, IndexError> {
        self.give_out(*frame.as_bytes())
    }

    /// A number for a frame that isn't closed yet, so that its chunks can be known before its id is.
    pub fn reserve(&self) -> Result<u32, IndexError> {
        self.give_out(UNSET)
    }

    /// Says which frame a reserved number stands for, once.
    ///
    /// Returns false, and changes nothing, if the number wasn't reserved, was set already, or the index was committed since: it then
    /// stands for no frame for good, and its chunks aren't known.
    pub fn set(&self, number: u32, frame: &FrameId) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        match inner.slot(number) {
            Some(slot) if *slot == UNSET => {
                *slot = *frame.as_bytes();
                true
            }
            _ => false,
        }
    }

    fn give_out(&self, id: [u8; FrameId::LEN]) -> Result<u32, IndexError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.fresh.len() >= self.most_fresh && inner.fresh.len().is_multiple_of(self.most_fresh / 4) {
            // Those whose frames are still open stay, and what is behind them, where `set` finds them: 32 bytes each until they are closed.
            let closed = inner.fresh.iter().take_while(|id| **id != UNSET).count().min(self.most_fresh / 2);
            if closed >= self.most_fresh / 4 {
                match self.write_fresh(Medium::Disk, &mut inner, closed) {
                    // Without room on the disk a cache isn't kept, and the run goes on.
                    Err(IndexError::Io { .. }) if inner.held() < MOST_HELD => {
                        self.write_fresh(Medium::Memory, &mut inner, closed)?;
                    }
                    written => written?,
                }
            }
        }
        // The last number is never given out, so that a piece's end is a number too.
        let number = u32::try_from(inner.len()).ok().filter(|number| *number < u32::MAX);
        let number = number.ok_or_else(|| IndexError::TooMany { path: self.folder.clone(), what: "frames" })?;
        inner.fresh.push(id);
        Ok(number)
    }

    /// Writes all ids to files on the disk and returns their names, in order.
    pub(super) fn flush(&self) -> Result<Vec<String>, IndexError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let count = inner.fresh.len();
        if count > 0 {
            self.write_fresh(Medium::Disk, &mut inner, count)?;
        }
        if inner.pieces.len() > MOST_FILES || inner.held() > 0 {
            let merged = self.write_piece(Medium::Disk, 0, inner.first_fresh(), |section, file| {
                inner.pieces.iter().try_for_each(|piece| piece.copy_to(section, file))
            })?;
            inner.pieces = vec![merged];
        }
        Ok(inner.pieces.iter().map(|piece| piece.guard.name()).collect())
    }

    /// From now on a state names the files.
    pub(super) fn mark_listed(&self, names: &[String]) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        for piece in inner.pieces.iter().filter(|piece| names.contains(&piece.guard.name())) {
            piece.guard.mark_listed();
        }
    }

    /// Moves the `count` oldest ids in memory to a file.
    fn write_fresh(&self, medium: Medium, inner: &mut Inner, count: usize) -> Result<(), IndexError> {
        let length = u32::try_from(count).unwrap_or(u32::MAX); // at most `most_fresh`
        let piece = self.write_piece(medium, inner.first_fresh(), length, |section, file| {
            let push = |id| section.push(file, id).map_err(IndexError::io(&self.folder));
            inner.fresh[..count].iter().map(|id| &id[..]).try_for_each(push)
        })?;
        inner.fresh.drain(..count);
        inner.pieces.push(piece);
        Ok(())
    }

    /// Writes a file of `count` ids, which `ids` pushes.
    fn write_piece(
        &self,
        medium: Medium,
        first: u32,
        count: u32,
        ids: impl FnOnce(&mut Section, &File) -> Result<(), IndexError>,
    ) -> Result<Piece, IndexError> {
        let temporary = Unfinished::new(&self.folder, medium)?;
        let file = temporary.as_file();
        let mut section = Section::new(0);
        let header = [&MAGIC[..], &first.to_le_bytes(), &count.to_le_bytes()].concat();
        section.push(file, &header).map_err(IndexError::io(&self.folder))?;
        ids(&mut section, file)?;
        let (end, hash) = section.finish(file).map_err(IndexError::io(&self.folder))?;
        file.write_all_at(hash.as_bytes(), end).map_err(IndexError::io(&self.folder))?;
        let (guard, file) = CacheFile::keep(temporary, &self.folder, KIND)?;
        let map = table::map(&file).map_err(IndexError::io(guard.path()))?;
        Ok(Piece { first, count, map, file, guard })
    }
}

impl Piece {
    /// Opens a file that is to stay, and reads it once to compare the checksum.
    fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(IndexError::io(path))?;
        let length = file.metadata().map_err(IndexError::io(path))?.len();
        let damaged = || IndexError::damaged(path);
        let hashed = length.checked_sub(HASH_LEN as u64).ok_or_else(damaged)?;
        let hash = SectionReader::new(&file, 0, hashed).finish().map_err(IndexError::io(path))?;
        let map = table::map(&file).map_err(IndexError::io(path))?;
        let parse = || {
            let mut cursor = crate::repo::codec::Cursor::new("frame numbers", &map);
            let magic = cursor.array::<8>().ok()?;
            let (first, count) = (cursor.u32().ok()?, cursor.u32().ok()?);
            first.checked_add(count)?;
            let sum = cursor.bytes_from_end(HASH_LEN).ok()?;
            let whole = magic == *MAGIC
                && sum == hash.as_bytes()
                && cursor.rest().len() as u64 == u64::from(count) * FrameId::LEN as u64;
            whole.then_some((first, count))
        };
        let (first, count) = parse().ok_or_else(damaged)?;
        Ok(Self { first, count, map, file, guard: CacheFile::listed(path.to_owned()) })
    }

    fn get(&self, number: u32) -> Option<[u8; FrameId::LEN]> {
        let at = number.checked_sub(self.first).filter(|at| *at < self.count)?;
        let at = HEADER_LEN + at as usize * FrameId::LEN;
        self.map.get(at..at + FrameId::LEN)?.try_into().ok()
    }

    /// Appends the ids to `section`.
    fn copy_to(&self, section: &mut Section, to: &File) -> Result<(), IndexError> {
        let mut left = u64::from(self.count) * FrameId::LEN as u64;
        let mut reader = SectionReader::new(&self.file, HEADER_LEN as u64, left);
        while left > 0 {
            let bytes = reader.peek(1).map_err(IndexError::io(self.guard.path()))?;
            section.push(to, bytes).map_err(IndexError::io(self.guard.path()))?;
            let length = bytes.len();
            left = left.saturating_sub(length as u64);
            reader.consume(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(i: u32) -> FrameId {
        FrameId::from_bytes(*blake3::hash(&i.to_le_bytes()).as_bytes())
    }

    fn small(folder: &Path) -> FrameNumbers {
        FrameNumbers { most_fresh: 10, ..FrameNumbers::new(folder) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn numbers_keep_their_meaning(steps in prop::collection::vec(0u8..20, 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let mut numbers = small(folder.path());
            let mut naive: Vec<Option<FrameId>> = Vec::new();
            for step in steps {
                let next = u32::try_from(naive.len()).unwrap();
                match step {
                    0..=13 => {
                        prop_assert_eq!(numbers.push(&frame(next)).unwrap(), next);
                        naive.push(Some(frame(next)));
                    }
                    14 | 15 => {
                        prop_assert_eq!(numbers.reserve().unwrap(), next);
                        naive.push(None);
                    }
                    16 | 17 => {
                        let last = next.saturating_sub(u32::from(step - 16));
                        if numbers.set(last, &frame(last)) {
                            prop_assert_eq!(naive[last as usize], None);
                            naive[last as usize] = Some(frame(last));
                        }
                    }
                    _ => {
                        let names = numbers.flush().unwrap();
                        prop_assert!(names.len() <= MOST_FILES);
                        numbers.mark_listed(&names);
                        if step == 19 {
                            numbers = FrameNumbers { most_fresh: 10, ..FrameNumbers::open(folder.path(), &names).unwrap() };
                        }
                    }
                }
            }
            prop_assert_eq!(numbers.len(), naive.len() as u64);
            for (i, expected) in naive.iter().enumerate() {
                prop_assert_eq!(numbers.get(u32::try_from(i).unwrap()), *expected);
            }
            prop_assert_eq!(numbers.get(u32::try_from(naive.len()).unwrap()), None);
            prop_assert_eq!(numbers.get(u32::MAX), None);
        }
    }

    #[test]
    fn a_number_is_set_once() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = small(folder.path());
        let number = numbers.reserve().unwrap();
        assert_eq!(numbers.get(number), None);
        assert!(numbers.set(number, &frame(1)));
        assert!(!numbers.set(number, &frame(2)));
        assert!(!numbers.set(number + 1, &frame(2)), "not given out");
        assert_eq!(numbers.get(number), Some(frame(1)));
        let late = numbers.reserve().unwrap();
        numbers.flush().unwrap();
        assert!(!numbers.set(late, &frame(3)), "written as a number without a frame");
    }

    /// Once, a full disk of the cache ended backups and restores, although the cache is a hint.
    #[test]
    fn without_a_disk_numbers_are_in_memory_and_reach_the_disk_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        let numbers = small(&path);
        for i in 0..100 {
            assert_eq!(numbers.push(&frame(i)).unwrap(), i);
        }
        assert!(numbers.inner.read().unwrap().held() > 0);
        assert!(matches!(numbers.flush(), Err(IndexError::Io { .. })));
        assert!((0..100).all(|i| numbers.get(i) == Some(frame(i))));
        std::fs::create_dir(&path).unwrap();
        let names = numbers.flush().unwrap();
        numbers.mark_listed(&names);
        let again = FrameNumbers::open(&path, &names).unwrap();
        assert!((0..100).all(|i| numbers.get(i) == Some(frame(i)) && again.get(i) == Some(frame(i))));
    }

    #[test]
    fn every_flipped_byte_and_every_missing_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = small(folder.path());
        for i in 0..5 {
            numbers.push(&frame(i)).unwrap();
        }
        let names = numbers.flush().unwrap();
        numbers.mark_listed(&names);
        drop(numbers);
        let path = folder.path().join(&names[0]);
        super::super::file::assert_every_damage_is_noticed(&path, || {
            matches!(FrameNumbers::open(folder.path(), &names), Err(IndexError::Damaged { .. }))
        });
        let twice = [names[0].clone(), names[0].clone()];
        assert!(FrameNumbers::open(folder.path(), &twice).is_err(), "a gap");
    }
}
