//! Reading a regular file: the same that was looked at, only its data, and with an eye on whether it changes meanwhile.

use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::parts::FileParts;
use crate::snapshot::source::xattrs::{XattrFault, XattrReader};
use crate::snapshot::tree::check::MAX_EXTENTS;
use crate::snapshot::tree::entry::{EntryType, Xattr};
use crate::snapshot::tree::reference::Extent;
use rustix::fs::{Advice, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Holes shorter than this, a block of most file systems, are read as data.
const MIN_HOLE: u64 = 4 << 10;
/// Holes shorter than this are read as data in a file that would have more than [`MAX_FINE`] extents otherwise. (Restoring makes holes of their zeros again.)
const MIN_COARSE_HOLE: u64 = 64 << 10;
/// Most extents that are remembered for the sake of short holes.
const MAX_FINE: usize = 4_096;

/// A file that couldn't be opened for reading.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another file, or none of the regular kind, is now where it was.
    #[error("it was replaced after it was found")]
    Replaced,
    /// The system refused.
    #[error("open: {0}")]
    Open(#[source] io::Error),
}

/// A read that failed, and where; comes wrapped in the [`io::Error`] of a [`Read`].
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {source}")]
pub struct ReadFault {
    /// Where in the file.
    pub offset: u64,
    /// What the system said.
    pub source: io::Error,
}

/// What was really read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The size of the file that the bytes make up, holes included.
    pub size: u64,
    /// The data extents, if the file is sparse; the bytes that were read are theirs.
    pub extents: Option<Vec<Extent>>,
    /// Whether the file changed since it was looked at.
    pub changed: bool,
}

/// Reads the data of a file: all of it, or of a sparse one only what isn't a hole.
///
/// It ends where the file ended when it was opened, so a file that grows all the time is read up to a point; one that was cut off in between ends early.
/// [`FileReader::finish`] says which it was.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    before: Metadata,
    /// When it was opened.
    size: u64,
    is_sparse: bool,
    /// What is to be read; one extent if the file isn't sparse.
    extents: Vec<Extent>,
    current: usize,
    /// Bytes of the current extent that have been read.
    done: u64,
}

impl FileReader {
    /// Opens the regular file `name` in `dir`, which must still be the one that `expected` describes.
    pub fn open(dir: BorrowedFd<'_>, name: &[u8], expected: &Metadata) -> Result<Self, OpenError> {
        // Without blocking, lest something that isn't a regular file any more is waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open_quietly(dir, name, flags).map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => OpenError::Replaced,
            other => OpenError::Open(other.into()),
        })?;
        let now = Metadata::of_open(&file).map_err(OpenError::Open)?;
        if now.kind != EntryType::File || !now.is_same_file(expected) {
            return Err(OpenError::Replaced);
        }
        // Only advice: a file system that doesn't take it is read without.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        let holes =
            if now.allocated < now.size { data_extents(&file, now.size).map_err(OpenError::Open)? } else { None };
        let whole = Extent { offset: 0, length: now.size };
        let is_sparse = holes.is_some();
        let extents = holes.unwrap_or_else(|| if now.size > 0 { vec![whole] } else { Vec::new() });
        // What differs since the walk counts as a change too: the entry has the walk's metadata.
        Ok(Self { file: file.into(), before: *expected, size: now.size, is_sparse, extents, current: 0, done: 0 })
    }

    /// The extended attributes of the file that is open, and those that couldn't be read.
    pub fn xattrs(&self) -> (Vec<Xattr>, Vec<XattrFault>) {
        XattrReader::default().read_open(self.file.as_fd())
    }

    /// The data extents, if the file is sparse.
    pub fn extents(&self) -> Option<&[Extent]> {
        self.is_sparse.then_some(self.extents.as_slice())
    }

    /// How many bytes there are to be read, if nothing changes.
    pub fn stream_len(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }

    /// The last bytes of the file, `most` at most, whatever has been read.
    pub fn tail(&self, most: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.size).map_or(most, |size| size.min(most));
        let mut tail = vec![0; length];
        self.file.read_exact_at(&mut tail, self.size - length as u64)?;
        Ok(tail)
    }

    /// The same file, to be read in any order beside this.
    pub fn beside(&self) -> io::Result<FileParts> {
        Ok(self.file.try_clone()?.into())
    }

    /// Whether the file changed since it was looked at: its size, mtime or ctime did.
    pub fn changed(&self) -> io::Result<bool> {
        Ok(self.before.differs(&Metadata::of_open(&self.file)?))
    }

    /// What was read, once [`Read::read`] has returned 0.
    pub fn finish(mut self) -> io::Result<Finished> {
        let changed = self.changed()?;
        let ended_early = self.current < self.extents.len();
        if ended_early {
            self.extents.truncate(self.current + 1);
            if let Some(last) = self.extents.last_mut() {
                last.length = self.done;
            }
            self.extents.retain(|extent| extent.length > 0);
        }
        let end_of_data = self.extents.last().and_then(Extent::end).unwrap_or(0);
        let size = if ended_early { end_of_data } else { self.size };
        Ok(Finished { size, extents: self.is_sparse.then_some(self.extents), changed: changed || ended_early })
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(extent) = self.extents.get(self.current) else { return Ok(0) };
        let offset = extent.offset + self.done;
        let left = usize::try_from(extent.length - self.done).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let got = match self.file.read_at(&mut buffer[..room], offset) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(source) => return Err(io::Error::new(source.kind(), ReadFault { offset, source })),
        };
        self.done += got as u64;
        if self.done == extent.length {
            self.current += 1;
            self.done = 0;
        }
        Ok(got)
    }
}

/// Opens without leaving a trace in the access time, where that is allowed.
pub fn open_quietly(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        answer => answer,
    }
}

/// Where a file of `size` bytes has data; nothing if it has no holes worth the name, or the file system can't tell.
///
/// A file that has too many holes to remember may have a single extent, which tells no more than that there are holes.
fn data_extents(file: &OwnedFd, size: u64) -> io::Result<Option<Vec<Extent>>> {
    let whole = Extent { offset: 0, length: size };
    match extents_between(file, size, MIN_HOLE, MAX_FINE)? {
        Scan::Extents(extents) => Ok((extents != [whole]).then_some(extents)),
        Scan::Unknown => Ok(None),
        Scan::TooMany(_) => match extents_between(file, size, MIN_COARSE_HOLE, MAX_EXTENTS)? {
            Scan::Extents(extents) => Ok(Some(extents)),
            Scan::TooMany(mut extents) => {
                if let Some(last) = extents.last_mut() {
                    last.length = size - last.offset;
                }
                Ok(Some(extents))
            }
            Scan::Unknown => Ok(None),
        },
    }
}

/// What came of looking for holes.
enum Scan {
    Extents(Vec<Extent>),
    /// These, and more.
    TooMany(Vec<Extent>),
    /// The file system can't tell.
    Unknown,
}

/// Where the next data of a file begins, from `at`, and where the hole behind it does, or `size`. `None` if only a hole is left before `size`.
///
/// # Errors
/// `EINVAL` or `EOPNOTSUPP` where the file system can't tell.
pub fn next_data(file: impl AsFd, at: u64, size: u64) -> rustix::io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
        Ok(start) if start < size => start,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error),
    };
    match rustix::fs::seek(&file, SeekFrom::Hole(start)) {
        Ok(end) => Ok(Some((start, end.min(size)))),
        // Cut off in between: reading will find out.
        Err(Errno::NXIO) => Ok(Some((start, size))),
        Err(error) => Err(error),
    }
}

/// The data between holes of at least `min_hole` bytes.
fn extents_between(file: &OwnedFd, size: u64, min_hole: u64, most: usize) -> io::Result<Scan> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let (start, end) = match next_data(file, at, size) {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Scan::Unknown),
            Err(error) => return Err(error.into()),
        };
        let is_full = extents.len() == most;
        match extents.last_mut() {
            Some(last) if start.saturating_sub(at) < min_hole => last.length = end - last.offset,
            Some(_) if is_full => return Ok(Scan::TooMany(extents)),
            None if start < min_hole => extents.push(Extent { offset: 0, length: end }),
            _ => extents.push(Extent { offset: start, length: end - start }),
        }
        at = end;
    }
    match extents.last_mut() {
        Some(last) if size - at.min(size) < min_hole => last.length = size - last.offset,
        None if size < min_hole => extents.push(Extent { offset: 0, length: size }),
        _ => {}
    }
    Ok(Scan::Extents(extents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn open(path: &Path) -> FileReader {
        let dir = File::open(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().as_encoded_bytes();
        let metadata = Metadata::of(dir.as_fd(), name).unwrap();
        FileReader::open(dir.as_fd(), name, &metadata).unwrap()
    }

    /// Writes each piece at its offset into a file of `size`; the rest are holes.
    fn sparse(path: &Path, size: u64, pieces: &[(u64, &[u8])]) {
        let file = File::create(path).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
    }

    /// The file that the reader's bytes and extents make up.
    fn rebuilt(mut reader: FileReader) -> (Vec<u8>, Finished) {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        let finished = reader.finish().unwrap();
        let Some(extents) = &finished.extents else { return (bytes, finished) };
        let mut file = vec![0; usize::try_from(finished.size).unwrap()];
        let mut rest = &bytes[..];
        for extent in extents {
            let (data, later) = rest.split_at(usize::try_from(extent.length).unwrap());
            file[usize::try_from(extent.offset).unwrap()..][..data.len()].copy_from_slice(data);
            rest = later;
        }
        assert!(rest.is_empty());
        (file, finished)
    }

    #[test]
    fn holes_are_not_read_and_small_ones_are_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let data = [7; 4096];
        for (size, at) in [
            (1 << 20, &[0][..]),
            (1 << 20, &[512 << 10]),
            (1 << 20, &[(1 << 20) - 4096]),
            (1 << 20, &[0, 8192, 256 << 10]),
            (1 << 20, &[]),
            (8192, &[]),
            ((1 << 20) + 17, &[128 << 10, 700 << 10]),
            (1 << 20, &[8 << 10, 24 << 10, 32 << 10]),
            (4000, &[]),
        ] {
            let pieces: Vec<(u64, &[u8])> = at.iter().map(|&at| (at, &data[..])).collect();
            sparse(&path, size, &pieces);
            let reader = open(&path);
            let stream_len = reader.stream_len();
            let (bytes, finished) = rebuilt(reader);
            assert_eq!(bytes, std::fs::read(&path).unwrap(), "{size} {at:?}");
            assert_eq!((finished.size, finished.changed), (size, false));
            assert!(size >= MIN_HOLE || finished.extents.is_none());
            assert!(size < MIN_HOLE || stream_len < size, "{size} {at:?} reads its holes");
            let holes_apart = |pair: &[Extent]| pair[1].offset - pair[0].end().unwrap() >= MIN_HOLE;
            assert!(finished.extents.iter().all(|extents| extents.windows(2).all(holes_apart)));
        }
    }

    #[test]
    fn a_file_with_too_many_holes_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let pieces = MAX_EXTENTS as u64 + 10;
        let spread = |spacing: u64, pieces: u64| {
            let file = File::create(&path).unwrap();
            for i in 0..pieces {
                file.write_all_at(b"x", i * spacing).unwrap();
            }
            open(&path).extents().map(<[_]>::to_vec)
        };
        let extents = spread(2 * MIN_COARSE_HOLE, pieces).unwrap();
        assert_eq!(extents.len(), MAX_EXTENTS);
        assert_eq!(extents.last().unwrap().end(), Some((pieces - 1) * 2 * MIN_COARSE_HOLE + 1));
        // Many short holes: a few are remembered, more are read; that there are any is always told.
        let few = MAX_FINE as u64 - 1;
        assert_eq!(spread(2 * MIN_HOLE, few).unwrap().len(), MAX_FINE - 1);
        let many = 2 * few;
        assert_eq!(spread(2 * MIN_HOLE, many).unwrap(), [Extent { offset: 0, length: (many - 1) * 2 * MIN_HOLE + 1 }]);
    }

    #[test]
    fn growth_is_left_out_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "before").unwrap();
        let reader = open(&path);
        File::options().append(true).open(&path).unwrap().write_all_at(b" and after", 6).unwrap();
        let (bytes, finished) = rebuilt(reader);
        assert_eq!(bytes, b"before");
        assert_eq!(finished, Finished { size: 6, extents: None, changed: true });
    }

    #[test]
    fn what_was_cut_off_while_it_was_read_has_the_size_that_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "longer than it will be").unwrap();
        let reader = open(&path);
        File::options().write(true).open(&path).unwrap().set_len(6).unwrap();
        let (bytes, finished) = rebuilt(reader);
        assert_eq!(bytes, b"longer");
        assert_eq!(finished, Finished { size: 6, extents: None, changed: true });

        sparse(&path, 1 << 20, &[(0, b"a"), (512 << 10, b"bcd")]);
        let reader = open(&path);
        File::options().write(true).open(&path).unwrap().set_len((512 << 10) + 2).unwrap();
        let (bytes, finished) = rebuilt(reader);
        assert_eq!(bytes, std::fs::read(&path).unwrap());
        assert!(finished.changed);

        sparse(&path, 1 << 20, &[(0, b"a"), (512 << 10, b"bcd")]);
        let reader = open(&path);
        File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        let (bytes, finished) = rebuilt(reader);
        assert_eq!(bytes, std::fs::read(&path).unwrap());
        assert!(finished.changed);
    }

    #[test]
    fn a_file_that_was_replaced_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "first").unwrap();
        let folder = File::open(dir.path()).unwrap();
        let metadata = Metadata::of(folder.as_fd(), b"f").unwrap();
        let attempt = || FileReader::open(folder.as_fd(), b"f", &metadata);
        assert!(attempt().is_ok());

        std::fs::write(dir.path().join("g"), "second").unwrap();
        std::fs::rename(dir.path().join("g"), &path).unwrap();
        assert!(matches!(attempt(), Err(OpenError::Replaced)), "by another file");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(attempt(), Err(OpenError::Replaced)), "by a link");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(&folder, "f", Mode::RUSR).unwrap();
        assert!(matches!(attempt(), Err(OpenError::Replaced)), "by a pipe, which isn't waited for");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(attempt(), Err(OpenError::Open(_))), "by nothing");
    }
}
