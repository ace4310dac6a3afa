//! Files of the index: written once under a random name, and removed when no state names them.

use super::IndexError;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that are gathered before they are written, or read at once.
pub(super) const BLOCK: usize = 256 << 10;

/// Prefix of files that are still being written.
pub(super) const UNFINISHED: &str = "tmp-";

/// Where a file of the index is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    /// In the index's folder.
    Disk,
    /// In memory alone, for as long as this process lives: where the disk has no room.
    Memory,
}

/// A finished file of the index. Dropping it removes the file, unless it was listed in a state.
#[derive(Debug)]
pub(super) struct CacheFile {
    /// Its path; of one in memory, the folder that it would have been in.
    path: PathBuf,
    medium: Medium,
    listed: AtomicBool,
}

impl CacheFile {
    /// A file that a state names.
    pub(super) const fn listed(path: PathBuf) -> Self {
        Self { path, medium: Medium::Disk, listed: AtomicBool::new(true) }
    }

    /// Gives a finished temporary file its name: 32 random hex digits and `kind`. One in memory gets none.
    pub(super) fn keep(temporary: Unfinished, folder: &Path, kind: &str) -> Result<(Self, File), IndexError> {
        let unlisted = |path, medium| Self { path, medium, listed: AtomicBool::new(false) };
        match temporary {
            Unfinished::Named(temporary) => {
                let path = folder.join(random_name(folder, kind)?);
                let file = temporary.persist_noclobber(&path).map_err(|error| IndexError::io(&path)(error.error))?;
                Ok((unlisted(path, Medium::Disk), file))
            }
            Unfinished::InMemory(file) => Ok((unlisted(folder.to_owned(), Medium::Memory), file)),
        }
    }

    /// Whether it is in memory, so that no state can list it.
    pub(super) fn is_in_memory(&self) -> bool {
        self.medium == Medium::Memory
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name within its folder, for the state.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// From now on a state names the file, so it stays.
    pub(super) fn mark_listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }
}

impl Drop for CacheFile {
    fn drop(&mut self) {
        if self.medium == Medium::Disk && !*self.listed.get_mut() {
            // If it stays, the sweep of a later commit takes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file of the index that is being written.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// Under a temporary name.
    Named(tempfile::NamedTempFile),
    /// Without a name, in memory.
    InMemory(File),
}

impl Unfinished {
    /// An empty one.
    pub(super) fn new(folder: &Path, medium: Medium) -> Result<Self, IndexError> {
        match medium {
            Medium::Disk => temporary(folder).map(Self::Named),
            Medium::Memory => {
                let made = rustix::fs::memfd_create("nightsafe index", rustix::fs::MemfdFlags::CLOEXEC);
                Ok(Self::InMemory(made.map_err(|error| IndexError::io(folder)(error.into()))?.into()))
            }
        }
    }

    /// The file, to write to.
    pub(super) fn as_file(&self) -> &File {
        match self {
            Self::Named(temporary) => temporary.as_file(),
            Self::InMemory(file) => file,
        }
    }
}

/// An empty temporary file in `folder`, mode 0600, that vanishes unless it is kept.
pub(super) fn temporary(folder: &Path) -> Result<tempfile::NamedTempFile, IndexError> {
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).map_err(IndexError::io(folder))
}

fn random_name(folder: &Path, kind: &str) -> Result<String, IndexError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| IndexError::io(folder)(error.into()))?;
    Ok(format!("{:032x}.{kind}", u128::from_le_bytes(bytes)))
}

/// Whether `name` may be that of a file of the index: no path, nothing hidden.
pub(super) fn is_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(random, kind)| {
        random.len() == 32
            && random.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
            && !kind.is_empty()
            && kind.bytes().all(|c| c.is_ascii_lowercase())
    })
}

/// A part of a file that is written from its start on, in large blocks, and hashed.
pub(super) struct Section {
    at: u64,
    pending: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Section {
    /// A section that begins at offset `at`.
    pub(super) fn new(at: u64) -> Self {
        Self { at, pending: Vec::with_capacity(BLOCK + 256), hasher: blake3::Hasher::new() }
    }

    pub(super) fn push(&mut self, file: &File, bytes: &[u8]) -> std::io::Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BLOCK { self.flush(file) } else { Ok(()) }
    }

    fn flush(&mut self, file: &File) -> std::io::Result<()> {
        file.write_all_at(&self.pending, self.at)?;
        self.hasher.update(&self.pending);
        self.at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is left; returns the offset behind the section and its hash.
    pub(super) fn finish(mut self, file: &File) -> std::io::Result<(u64, blake3::Hash)> {
        self.flush(file)?;
        Ok((self.at, self.hasher.finalize()))
    }
}

/// A part of a file that is read from its start on, in large blocks, and hashed.
///
/// Not through the map: what is read once from end to end shouldn't count as this process's memory.
pub(super) struct SectionReader<'a> {
    file: &'a File,
    at: u64,
    left: u64,
    held: Vec<u8>,
    used: usize,
    hasher: blake3::Hasher,
}

impl<'a> SectionReader<'a> {
    /// Reads `length` bytes from offset `at` on.
    pub(super) fn new(file: &'a File, at: u64, length: u64) -> Self {
        Self { file, at, left: length, held: Vec::new(), used: 0, hasher: blake3::Hasher::new() }
    }

    /// The next bytes, of which there are at least `width` unless the section is over; nothing is consumed.
    pub(super) fn peek(&mut self, width: usize) -> std::io::Result<&[u8]> {
        if self.held.len() - self.used < width && self.left > 0 {
            self.held.drain(..self.used);
            self.used = 0;
            let old = self.held.len();
            let more = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
            self.held.resize(old + more, 0);
            self.file.read_exact_at(&mut self.held[old..], self.at)?;
            self.hasher.update(&self.held[old..]);
            self.at += more as u64;
            self.left -= more as u64;
        }
        Ok(&self.held[self.used..])
    }

    /// Consumes `width` bytes that were peeked at.
    pub(super) fn consume(&mut self, width: usize) {
        self.used = (self.used + width).min(self.held.len());
    }

    /// The hash of the section, the rest of which is read.
    pub(super) fn finish(mut self) -> std::io::Result<blake3::Hash> {
        while self.left > 0 {
            self.used = self.held.len();
            self.peek(1)?;
        }
        Ok(self.hasher.finalize())
    }
}

/// Flips a bit of each byte of a file in turn, cuts it to each length and makes it longer; each time `is_refused` must
/// hold.
#[cfg(test)]
pub(super) fn assert_every_damage_is_noticed(path: &Path, is_refused: impl Fn() -> bool) {
    let good = fs::read(path).expect("readable");
    let file = File::options().write(true).open(path).expect("writable");
    assert!(!is_refused(), "undamaged");
    for (at, byte) in (0u64..).zip(&good) {
        file.write_all_at(&[byte ^ 1 << (at % 8)], at).expect("writable");
        assert!(is_refused(), "byte {at}");
        file.write_all_at(&[*byte], at).expect("writable");
    }
    assert!(!is_refused(), "mended");
    file.write_all_at(b"more", good.len() as u64).expect("writable");
    assert!(is_refused(), "longer");
    for length in (0..good.len() as u64).rev() {
        file.set_len(length).expect("writable");
        assert!(is_refused(), "length {length}");
    }
    file.write_all_at(&good, 0).expect("writable");
    assert!(!is_refused(), "mended");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_cannot_lead_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_name(&random_name(folder.path(), "frames").unwrap()));
        let hex = "0123456789abcdef".repeat(2);
        for bad in ["", ".", "..", "state", &hex, &format!("{hex}./x"), &format!("../{hex}.a"), &format!("{hex}.")] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn files_vanish_unless_listed() {
        let folder = tempfile::tempdir().unwrap();
        let keep =
            |medium| CacheFile::keep(Unfinished::new(folder.path(), medium).unwrap(), folder.path(), "a").unwrap().0;
        let file = keep(Medium::Disk);
        let path = file.path().to_owned();
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
        let file = keep(Medium::Disk);
        let path = file.path().to_owned();
        file.mark_listed();
        drop(file);
        assert!(path.exists());
        let in_memory = keep(Medium::Memory);
        assert!(in_memory.is_in_memory());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it has no name");
        drop(in_memory);
        assert!(path.exists());
    }

    #[test]
    fn sections_are_read_as_written() {
        let file = tempfile::tempfile().unwrap();
        let mut section = Section::new(100);
        let bytes: Vec<u8> = (0..900_000u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
        for piece in bytes.chunks(7_001) {
            section.push(&file, piece).unwrap();
        }
        let (end, hash) = section.finish(&file).unwrap();
        assert_eq!(end, 100 + 900_000);
        assert_eq!(hash, blake3::hash(&bytes));
        let mut reader = SectionReader::new(&file, 100, 900_000);
        for expected in bytes.chunks(9) {
            assert_eq!(&reader.peek(9).unwrap()[..expected.len()], expected);
            reader.consume(9);
        }
        assert!(reader.peek(9).unwrap().is_empty());
        assert_eq!(reader.finish().unwrap(), hash);
        assert_eq!(SectionReader::new(&file, 100, 900_000).finish().unwrap(), hash);
        assert!(SectionReader::new(&file, 100, 900_001).finish().is_err());
    }
}
