//! A file in the making: without a name until it is complete.

use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::reference::Extent;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// What a new file may be used for until its own mode is set: by its owner alone.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Bytes of a block of most file systems: what is less than one takes up no less.
const BLOCK: usize = 4 << 10;

/// A file that is being restored.
///
/// The bytes of its stream are written by [`Write`] or, in any order, by [`NewFile::write_at`]; then [`NewFile::complete`] gives it its size, and [`NewFile::place`] its name. Dropped before
/// that, it leaves nothing behind; a process that is killed leaves nothing either, where the file system has `O_TMPFILE`, and else a file
/// `.nightsafe-<random>.tmp`.
#[derive(Debug)]
pub struct NewFile {
    dir: OwnedFd,
    file: File,
    /// Its name so far, where it couldn't be made without.
    temporary: Option<String>,
    size: u64,
    /// Whether blocks of zeros stay holes.
    is_sparse: bool,
    /// Where its data goes, each with the place in the stream at which it begins.
    extents: Vec<(u64, Extent)>,
    stream_len: u64,
    position: u64,
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl NewFile {
    pub(super) fn new(dir: OwnedFd, entry: &Entry) -> io::Result<Self> {
        let size = entry.size.unwrap_or(0);
        let whole = [Extent { offset: 0, length: size }];
        let mut extents = Vec::new();
        let mut stream_len = 0u64;
        for extent in entry.extents.as_deref().unwrap_or(&whole).iter().filter(|extent| extent.length > 0) {
            extents.push((stream_len, *extent));
            let end = extent.end().filter(|&end| end <= size);
            stream_len = end.and_then(|_| stream_len.checked_add(extent.length)).ok_or_else(beyond)?;
        }
        let (file, temporary) = create(&dir)?;
        let is_sparse = entry.extents.is_some();
        Ok(Self { dir, file, temporary, size, is_sparse, extents, stream_len, position: 0 })
    }

    /// Writes bytes of the stream, from `position` in the stream on; of a sparse file they go where its extents are.
    pub fn write_at(&self, mut position: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let next = self.extents.partition_point(|(start, _)| *start <= position);
            let (start, extent) = next.checked_sub(1).and_then(|i| self.extents.get(i)).ok_or_else(beyond)?;
            let within = position - start;
            let room = extent.length.checked_sub(within).filter(|&room| room > 0).ok_or_else(beyond)?;
            let (now, later) = bytes.split_at(usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len())));
            self.put(now, extent.offset + within)?;
            position += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Writes bytes to their place in the file. Zeros needn't be written to a new file: in a sparse one they make up the holes that were too short to be remembered.
    fn put(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while self.is_sparse && !bytes.is_empty() {
            let until =
                usize::try_from(BLOCK as u64 - offset % BLOCK as u64).map_or(bytes.len(), |n| n.min(bytes.len()));
            let mut end = until;
            if bytes[..until].iter().any(|&byte| byte != 0) {
                // As much as there is up to the next block of zeros, at once.
                let blocks = bytes[until..].chunks(BLOCK);
                end += blocks.take_while(|block| block.iter().any(|&byte| byte != 0)).map(<[u8]>::len).sum::<usize>();
                self.file.write_all_at(&bytes[..end], offset)?;
            }
            bytes = &bytes[end..];
            offset += end as u64;
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Gives the file its size, holes included.
    ///
    /// The caller has verified the content that it wrote; here is only looked whether all of it was, if it was written in order.
    pub fn complete(&mut self) -> io::Result<()> {
        if self.position != 0 && self.position != self.stream_len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content is shorter than the file"));
        }
        self.file.set_len(self.size)
    }

    /// Waits until the file is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The file, to be read.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name; fails if there is something of that name.
    pub fn place(mut self, name: &[u8]) -> io::Result<File> {
        match self.temporary.take() {
            None => self.link(name)?,
            Some(temporary) => {
                let renamed = rename_new(self.dir.as_fd(), &temporary, name);
                // Dropping removes what is still there.
                self.temporary = (!matches!(renamed, Ok(true))).then_some(temporary);
                renamed?;
            }
        }
        self.file.try_clone()
    }

    /// Gives the file its name, in the place of what had that name before, which must not be a directory; there is no moment without either.
    pub fn place_over(mut self, name: &[u8]) -> io::Result<File> {
        let temporary = if let Some(temporary) = self.temporary.take() {
            temporary
        } else {
            let temporary = temporary_name()?;
            self.link(temporary.as_bytes())?;
            temporary
        };
        if let Err(error) = rustix::fs::renameat(&self.dir, &temporary, &self.dir, name) {
            self.temporary = Some(temporary);
            return Err(error.into());
        }
        self.file.try_clone()
    }

    /// Gives a file without a name its first.
    fn link(&self, name: &[u8]) -> io::Result<()> {
        // By way of /proc, since AT_EMPTY_PATH asks for a privilege; that only where there is no /proc.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match rustix::fs::linkat(CWD, &path, &self.dir, name, AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::NOENT) => Ok(rustix::fs::linkat(&self.file, "", &self.dir, name, AtFlags::EMPTY_PATH)?),
            answer => Ok(answer?),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_at(self.position, bytes)?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing is lost if that fails: the name says what it is.
            let _ = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "more content than the file has room for")
}

/// A file in `dir`, without a name where that is possible.
fn create(dir: &OwnedFd) -> io::Result<(File, Option<String>)> {
    match rustix::fs::openat(dir, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, PRIVATE_FILE) {
        Ok(file) => Ok((file.into(), None)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => create_named(dir),
        Err(error) => Err(error.into()),
    }
}

/// Whose a new file in `dir` is. It's asked of a file that nobody else can have put there, and which is gone after that.
pub(super) fn owner_of_new(dir: &OwnedFd) -> io::Result<u32> {
    let (file, temporary) = create(dir)?;
    if let Some(temporary) = temporary {
        rustix::fs::unlinkat(dir, temporary, AtFlags::empty())?;
    }
    Ok(Metadata::of_open(&file)?.uid)
}

fn create_named(dir: &OwnedFd) -> io::Result<(File, Option<String>)> {
    let name = temporary_name()?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &name, flags, PRIVATE_FILE)?;
    Ok((file.into(), Some(name)))
}

/// Gives what is `temporary` the name `name`, which must be free. Tells whether its temporary name is gone.
pub(super) fn rename_new(dir: BorrowedFd<'_>, temporary: &str, name: &[u8]) -> io::Result<bool> {
    match rustix::fs::renameat_with(dir, temporary, dir, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(dir, temporary, dir, name, AtFlags::empty())?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(true),
    }
}

/// A name that nothing else has: 128 random bits. It's used with calls that fail where the name exists.
pub(super) fn temporary_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = String::from(".nightsafe-");
    for byte in random {
        write!(name, "{byte:02x}").map_err(io::Error::other)?;
    }
    name.push_str(".tmp");
    Ok(name)
}

/// Whether this is a name that a temporary file of a restore may have.
pub fn is_temporary_name(name: &[u8]) -> bool {
    let random = name.strip_prefix(b".nightsafe-").and_then(|rest| rest.strip_suffix(b".tmp"));
    random.is_some_and(|hex| hex.len() == 32 && hex.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tree::entry::EntryType;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt;

    fn entry(size: u64, extents: Option<Vec<Extent>>) -> Entry {
        Entry { size: Some(size), extents, ..Entry::new("f", EntryType::File) }
    }

    /// New files in `dir`: without a name, and with a temporary one.
    fn both(dir: &tempfile::TempDir, entry: &Entry) -> [NewFile; 2] {
        let fd = || OwnedFd::from(File::open(dir.path()).unwrap());
        let unnamed = NewFile::new(fd(), entry).unwrap();
        let mut named = NewFile::new(fd(), entry).unwrap();
        let (file, temporary) = create_named(&fd()).unwrap();
        (named.file, named.temporary) = (file, temporary);
        [unnamed, named]
    }

    #[test]
    fn files_appear_whole_and_overwrite_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (mut first, mut second) in both(&dir, &entry(5, None)).into_iter().zip(both(&dir, &entry(5, None))) {
            first.write_all(b"first").unwrap();
            first.complete().unwrap();
            first.place(b"f").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"first");
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            second.write_all(b"other").unwrap();
            second.complete().unwrap();
            assert_eq!(second.place(b"f").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(&path).unwrap(), b"first");
            std::fs::remove_file(&path).unwrap();
        }
        for mut over in both(&dir, &entry(5, None)) {
            std::fs::write(&path, "before").unwrap();
            over.write_all(b"after").unwrap();
            over.complete().unwrap();
            over.place_over(b"f").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"after");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn dropped_files_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for mut file in both(&dir, &entry(5, None)) {
            file.write_all(b"dro").unwrap();
            assert!(file.complete().is_err(), "too short");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn too_much_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [mut file, _] = both(&dir, &entry(2, None));
        assert!(file.write_all(b"abc").is_err());
        let [file, _] = both(&dir, &entry(0, None));
        assert!(file.write_at(0, b"").is_ok() && file.write_at(0, b"a").is_err());
        let [file, _] = both(&dir, &entry(9, Some(vec![Extent { offset: 2, length: 3 }])));
        assert!(
            file.write_at(2, b"a").is_ok()
                && file.write_at(2, b"ab").is_err()
                && file.write_at(u64::MAX, b"a").is_err()
        );
        let fd = OwnedFd::from(File::open(dir.path()).unwrap());
        assert!(NewFile::new(fd, &entry(9, Some(vec![Extent { offset: 2, length: u64::MAX }]))).is_err());
    }

    #[test]
    fn zeros_of_a_sparse_file_become_holes() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..300_000).map(|i| u8::from(i / 10_000 % 3 == 1)).collect();
        let whole = vec![Extent { offset: 0, length: 300_000 }];
        let mut blocks = Vec::new();
        for (name, extents) in [("dense", None), ("sparse", Some(whole))] {
            let [mut file, _] = both(&dir, &entry(300_000, extents));
            for piece in content.chunks(777) {
                file.write_all(piece).unwrap();
            }
            file.complete().unwrap();
            file.place(name.as_bytes()).unwrap();
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), content, "{name}");
            blocks.push(std::fs::metadata(dir.path().join(name)).unwrap().blocks());
        }
        assert!(blocks[1] * 3 < blocks[0] * 2, "{blocks:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn streams_go_where_the_extents_are(
            gaps in prop::collection::vec((1u64..40, 1u64..40), 0..6), tail in 0u64..30, piece in 1usize..50, backwards: bool,
        ) {
            let (mut extents, mut expected, mut stream) = (Vec::new(), Vec::new(), Vec::new());
            for (gap, length) in gaps {
                expected.resize(expected.len() + usize::try_from(gap).unwrap(), 0);
                extents.push(Extent { offset: expected.len() as u64, length });
                let data: Vec<u8> = (0..length).map(|i| u8::try_from(i + length).unwrap()).collect();
                expected.extend_from_slice(&data);
                stream.extend_from_slice(&data);
            }
            expected.resize(expected.len() + usize::try_from(tail).unwrap(), 0);
            let dir = tempfile::tempdir().unwrap();
            let fd = OwnedFd::from(File::open(dir.path()).unwrap());
            let mut file = NewFile::new(fd, &entry(expected.len() as u64, Some(extents))).unwrap();
            let mut pieces: Vec<(usize, &[u8])> = stream.chunks(piece).enumerate().map(|(i, bytes)| (i * piece, bytes)).collect();
            if backwards {
                pieces.reverse();
                for (at, bytes) in pieces {
                    file.write_at(at as u64, bytes).unwrap();
                }
            } else {
                file.write_all(&stream).unwrap();
            }
            file.complete().unwrap();
            file.place(b"f").unwrap();
            prop_assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), expected);
        }
    }
}
