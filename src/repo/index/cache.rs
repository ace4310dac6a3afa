//! The local index as a whole: the file `state` names the live files of all parts, so they always belong together.

use super::file::{self, CacheFile};
use super::{FrameIndex, FrameNumbers, IndexError, KnownChunks, PackTable};
use crate::repo::cbor;
use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The file that names the live ones.
const STATE: &str = "state";
/// Before and behind the record in it: what it is, and its BLAKE3.
const MAGIC: &[u8; 8] = b"nsindex\x03";
const HASH_LEN: usize = 32;
/// Files that no state names are removed at this age. Younger ones may belong to a process that hasn't committed yet.
const ORPHAN_AGE: Duration = Duration::from_hours(48);

/// The record in the file `state`.
#[derive(Debug, Clone, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct State {
    /// What the index is of.
    #[cbor(n(1), with = "minicbor::bytes")]
    binding: [u8; 32],
    #[n(2)]
    packs: String,
    #[n(3)]
    numbers: Vec<String>,
    #[n(4)]
    frames: Vec<String>,
    #[n(5)]
    known: Vec<String>,
}

impl State {
    /// The names of all files.
    fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.packs).chain(&self.numbers).chain(&self.frames).chain(&self.known)
    }

    /// The state in `folder`; `None` if there is none.
    fn read(folder: &Path) -> Result<Option<Self>, IndexError> {
        let path = folder.join(STATE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(IndexError::io(&path))?,
        };
        let parse = || {
            let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LEN)?)?;
            if blake3::hash(content).as_bytes() != hash {
                return None;
            }
            let state: Self = cbor::decode("index state", content.strip_prefix(MAGIC)?).ok()?;
            let clean = state.names().all(|name| file::is_name(name));
            clean.then_some(state)
        };
        parse().map(Some).ok_or_else(|| IndexError::damaged(&path))
    }

    /// Replaces the state in `folder`.
    fn write(&self, folder: &Path) -> Result<(), IndexError> {
        let path = folder.join(STATE);
        let mut bytes = [&MAGIC[..], &cbor::encode(self)].concat();
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let mut temporary = file::temporary(folder)?;
        // No fsync here or for any other file: what a power failure leaves is found out by the checksums and made anew.
        temporary.write_all(&bytes).map_err(IndexError::io(&path))?;
        temporary.persist(&path).map_err(|error| IndexError::io(&path)(error.error))?;
        Ok(())
    }
}

/// What was found on opening.
#[derive(Debug)]
pub enum Found {
    /// All that was committed last.
    Whole,
    /// Nothing, or an index of something else: everything has to be read from the repository again.
    Nothing,
    /// Something that can't be used, which counts as nothing; worth a warning.
    Damaged(IndexError),
    /// Not even a folder, and none can be made: nothing will be kept.
    NoFolder(IndexError),
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The next process finds what is in the index now.
    Yes,
    /// Another process committed meanwhile and removed files that this index consists of; the other's index stays.
    Superseded,
}

/// The local index in one folder.
#[derive(Debug)]
pub struct IndexCache {
    /// The packs.
    pub packs: PackTable,
    /// The numbers of frames.
    pub numbers: FrameNumbers,
    /// Where frames are.
    pub frames: FrameIndex,
    /// Where chunks are.
    pub known: KnownChunks,
    folder: PathBuf,
    binding: [u8; 32],
    /// Files that this process found in a state or put into one; held while committing.
    listed: Mutex<HashSet<String>>,
}

impl IndexCache {
    /// Opens the index in `folder`, which is created (mode 0700) if it's missing.
    ///
    /// `binding` says what it is an index of: a hash of repository, store and domain. What belongs to another is not
    /// used. Every file is read once (see [`Table`](super::Table)); what can't be read counts as damaged. Where the folder
    /// can't be made or written to, the index is in memory, as far as that reaches, and a commit fails.
    pub fn open(folder: &Path, binding: [u8; 32]) -> (Self, Found) {
        let empty = |listed| Self::empty(folder, binding, listed);
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            return (empty(HashSet::new()), Found::NoFolder(IndexError::io(folder)(error)));
        }
        let state = match State::read(folder) {
            Ok(Some(state)) => state,
            Ok(None) => return (empty(HashSet::new()), Found::Nothing),
            Err(error) => return (empty(HashSet::new()), Found::Damaged(error)),
        };
        let listed: HashSet<String> = state.names().cloned().collect();
        if state.binding != binding {
            return (empty(listed), Found::Nothing);
        }
        match Self::open_parts(folder, &state, binding) {
            Ok(index) => (index, Found::Whole),
            Err(error) => (empty(listed), Found::Damaged(error)),
        }
    }

    /// An empty index that replaces the one in the same folder when it's committed.
    #[must_use]
    pub fn anew(&self) -> Self {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self::empty(&self.folder, self.binding, listed)
    }

    fn empty(folder: &Path, binding: [u8; 32], listed: HashSet<String>) -> Self {
        Self {
            packs: PackTable::new(folder),
            numbers: FrameNumbers::new(folder),
            frames: FrameIndex::new(folder),
            known: KnownChunks::new(folder),
            folder: folder.to_owned(),
            binding,
            listed: Mutex::new(listed),
        }
    }

    fn open_parts(folder: &Path, state: &State, binding: [u8; 32]) -> Result<Self, IndexError> {
        Ok(Self {
            packs: PackTable::open(folder, &state.packs)?,
            numbers: FrameNumbers::open(folder, &state.numbers)?,
            frames: FrameIndex::open(folder, &state.frames)?,
            known: KnownChunks::open(folder, &state.known)?,
            folder: folder.to_owned(),
            binding,
            listed: Mutex::new(state.names().cloned().collect()),
        })
    }

    /// Makes what is in the index what the next process finds. Other threads may go on using the index; what they
    /// insert meanwhile is in it or not.
    ///
    /// Numbers that are reserved and not set then stand for no frame for good: see [`FrameNumbers::set`].
    pub fn commit(&self) -> Result<Committed, IndexError> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        // What refers is written before what is referred to: chunks, then frames, then the numbers of frames and packs.
        // Marks are taken first of all, since they promise that what they speak of was inserted.
        let indexed = self.packs.indexed();
        let known = self.known.tiers().flush()?;
        let frames = self.frames.tiers().flush()?;
        let numbers = self.numbers.flush()?;
        let packs = self.packs.save(&indexed)?;
        let state = State { binding: self.binding, packs: packs.name(), numbers, frames, known };
        if !state.names().all(|name| self.folder.join(name).exists()) {
            return Ok(Committed::Superseded);
        }
        state.write(&self.folder)?;
        self.mark_listed(&packs, &state);
        let names: HashSet<String> = state.names().cloned().collect();
        for gone in listed.difference(&names) {
            let _ = fs::remove_file(self.folder.join(gone)); // else the sweep takes it
        }
        *listed = names;
        sweep(&self.folder, &listed);
        Ok(Committed::Yes)
    }

    fn mark_listed(&self, packs: &CacheFile, state: &State) {
        packs.mark_listed();
        self.numbers.mark_listed(&state.numbers);
        self.frames.tiers().mark_listed(&state.frames);
        self.known.tiers().mark_listed(&state.known);
    }
}

/// Removes what processes left that were killed, or whose index another one replaced. What can't be removed stays.
fn sweep(folder: &Path, live: &HashSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let ours = name.starts_with(file::UNFINISHED) || file::is_name(&name);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        // A file from the future is young.
        let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if ours && !live.contains(&name) && age.is_some_and(|age| age > ORPHAN_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::{ChunkId, FrameId, PackHash, PackId, RunId};
    use crate::repo::index::{ChunkPlace, FramePlace, Indexed};

    const BINDING: [u8; 32] = [1; 32];

    fn open(folder: &Path) -> (IndexCache, Found) {
        IndexCache::open(folder, BINDING)
    }

    fn chunk(i: u8) -> ChunkId {
        ChunkId::from_bytes([i; 16])
    }

    /// Puts a chunk in a frame in a pack into the index.
    fn add(index: &IndexCache, i: u8) {
        let (frame, hash) = (FrameId::from_bytes([i; 32]), PackHash::from_bytes([i; 32]));
        let pack = index.packs.add(PackId { run: RunId::from_bytes([i; 20]), hash }, 1000, 100).unwrap();
        index
            .frames
            .insert(
                &frame,
                &FramePlace { pack, offset: 140, stored: 10, raw: 10, class: 0, partial: false, first: 0, count: 1 },
            )
            .unwrap();
        let number = index.numbers.push(&frame).unwrap();
        index.known.insert_if_absent(&chunk(i), ChunkPlace { frame: number, ordinal: 0, length: 1 }).unwrap();
        index.packs.mark(pack, Indexed::ALL);
    }

    /// The pack that holds the chunk, if it is known; panics if the parts don't belong together.
    fn has(index: &IndexCache, i: u8) -> bool {
        let Some(place) = index.known.get(&chunk(i)) else { return false };
        let frame = index.numbers.get(place.frame).unwrap();
        assert_eq!(frame, FrameId::from_bytes([i; 32]));
        let pack = index.frames.get(&frame).unwrap().pack;
        assert_eq!(index.packs.get(pack).unwrap().id.hash, PackHash::from_bytes([i; 32]));
        true
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_committed_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/here");
        let (index, found) = open(&path);
        assert!(matches!(found, Found::Nothing));
        for i in 1..30 {
            add(&index, i);
            if i % 2 == 0 {
                assert_eq!(index.commit().unwrap(), Committed::Yes);
            }
        }
        drop(index);
        let (index, found) = open(&path);
        assert!(matches!(found, Found::Whole));
        assert!((1..29).all(|i| has(&index, i)));
        assert!(!has(&index, 29), "not committed");
        assert!(files(&path).len() <= 2 + 3 * 8, "no file is left over");
        let (index, found) = IndexCache::open(&path, [2; 32]);
        assert!(matches!(found, Found::Nothing), "another repository's");
        assert!(!has(&index, 1));
        assert_eq!(index.commit().unwrap(), Committed::Yes);
        assert_eq!(files(&path).len(), 2, "the other's files are gone");
    }

    #[test]
    fn a_missing_or_damaged_file_makes_all_absent() {
        let folder = tempfile::tempdir().unwrap();
        let (index, _) = open(folder.path());
        add(&index, 1);
        index.commit().unwrap();
        drop(index);
        let all = files(folder.path());
        assert_eq!(all.len(), 5);
        for path in all {
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 1;
            for bad in [None, Some(&bad[..]), Some(b"")] {
                match bad {
                    Some(bad) => fs::write(&path, bad).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let (index, found) = open(folder.path());
                assert!(!matches!(found, Found::Whole), "{}", path.display());
                assert!(!has(&index, 1) && index.packs.is_empty() && index.numbers.is_empty());
            }
            fs::write(&path, &good).unwrap();
            assert!(has(&open(folder.path()).0, 1));
        }
        fs::remove_file(&files(folder.path())[0]).unwrap();
        let (index, _) = open(folder.path());
        add(&index, 2);
        assert_eq!(index.commit().unwrap(), Committed::Yes);
        assert!(has(&open(folder.path()).0, 2), "made anew");
    }

    #[test]
    fn the_state_cannot_name_files_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("../{}.packs", "0".repeat(32));
        State { binding: BINDING, packs: name, ..State::default() }.write(folder.path()).unwrap();
        assert!(matches!(open(folder.path()).1, Found::Damaged(_)));
    }

    /// Two processes that begin with the same index: never a mixture of both.
    #[test]
    fn the_last_of_two_processes_wins_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = open(folder.path());
        add(&first, 1);
        first.commit().unwrap();
        let (one, _) = open(folder.path());
        let (other, _) = open(folder.path());
        add(&one, 2);
        add(&other, 3);
        one.commit().unwrap();
        assert_eq!(other.commit().unwrap(), Committed::Yes);
        assert!(has(&one, 1) && has(&one, 2), "goes on working");
        let (index, found) = open(folder.path());
        assert!(matches!(found, Found::Whole));
        assert!(has(&index, 1) && !has(&index, 2) && has(&index, 3));
    }

    #[test]
    fn a_process_whose_files_were_removed_does_not_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = open(folder.path());
        add(&first, 1);
        first.commit().unwrap();
        let (one, _) = open(folder.path());
        let (other, _) = open(folder.path());
        add(&one, 2);
        one.known.retain(&|_, _| true).unwrap();
        one.commit().unwrap();
        add(&other, 3);
        assert_eq!(other.commit().unwrap(), Committed::Superseded);
        assert!(has(&other, 1) && has(&other, 3), "goes on working");
        drop(other);
        let (index, found) = open(folder.path());
        assert!(matches!(found, Found::Whole));
        assert!(has(&index, 1) && has(&index, 2) && !has(&index, 3));
    }

    /// Once, a run ended where no folder for its cache could be made.
    #[test]
    fn without_a_folder_the_index_works_and_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file/below");
        fs::write(folder.path().join("file"), "").unwrap();
        let (index, found) = open(&path);
        assert!(matches!(found, Found::NoFolder(IndexError::Io { .. })), "{found:?}");
        add(&index, 1);
        assert!(matches!(index.commit(), Err(IndexError::Io { .. })));
        add(&index, 2);
        assert!(has(&index, 1) && has(&index, 2));
        fs::remove_file(folder.path().join("file")).unwrap();
        fs::create_dir_all(&path).unwrap();
        assert_eq!(index.commit().unwrap(), Committed::Yes, "once there is one");
        let (index, found) = open(&path);
        assert!(matches!(found, Found::Whole) && has(&index, 1) && has(&index, 2));
    }

    #[test]
    fn only_old_orphans_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - ORPHAN_AGE - Duration::from_mins(1);
        let random = "0".repeat(32);
        for (name, time) in [("tmp-old", old), ("tmp-new", SystemTime::now()), ("letter.txt", old)] {
            fs::File::create(folder.path().join(name)).unwrap().set_modified(time).unwrap();
        }
        fs::File::create(folder.path().join(format!("{random}.frames"))).unwrap().set_modified(old).unwrap();
        open(folder.path()).0.commit().unwrap();
        let left: Vec<_> = files(folder.path()).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(left.len(), 4, "the state, its pack table, and: {left:?}");
        assert!(left.contains(&"tmp-new".into()) && left.contains(&"letter.txt".into()));
    }

    #[test]
    fn parts_are_usable_from_many_threads() {
        fn check<T: Send + Sync>() {}
        check::<IndexCache>();
    }
}
