//! A directory into which is restored.
//!
//! Names are single components, checked at every call; directories are opened with `O_NOFOLLOW`. So no call leaves the directory, and `openat2` with
//! `RESOLVE_BENEATH`, which not every kernel and sandbox has, would add nothing.

use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::target::writer::NewFile;
use crate::snapshot::tree::check::is_name;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What new directories may be used for until their own mode is set: by their owner alone.
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;

/// An open directory that is restored into.
///
/// Nothing here overwrites anything: where something of the name exists, calls fail with [`io::ErrorKind::AlreadyExists`].
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens the directory that a person named; links on the way are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a directory in this one; a link to one isn't followed and fails.
    pub fn child(&self, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(&self.fd, checked(name)?, flags, Mode::empty())? })
    }

    /// Creates a directory in this one, for its owner alone as yet, and opens it.
    pub fn create_child(&self, name: &[u8]) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.fd, checked(name)?, PRIVATE_DIRECTORY)?;
        self.child(name)
    }

    /// Opens a directory in this one, and creates it if there is nothing of that name. Tells whether it did.
    pub fn child_or_create(&self, name: &[u8]) -> io::Result<(Self, bool)> {
        match self.create_child(name) {
            Ok(child) => Ok((child, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((self.child(name)?, false)),
            Err(error) => Err(error),
        }
    }

    /// Opens the directory at `path` below this one, one component at a time.
    pub fn descend(&self, path: &SafePath) -> io::Result<Self> {
        let mut directory = Self { fd: self.fd.try_clone()? };
        for name in path.components() {
            directory = directory.child(name)?;
        }
        Ok(directory)
    }

    /// What there is of this name; nothing if there is none.
    pub fn look(&self, name: &[u8]) -> io::Result<Option<Metadata>> {
        match Metadata::of(self.fd.as_fd(), checked(name)?) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a file that has no name yet.
    ///
    /// `entry` tells its size and data extents and must have passed [`Entry::check`].
    pub fn new_file(&self, entry: &Entry) -> io::Result<NewFile> {
        NewFile::new(self.fd.try_clone()?, entry)
    }

    /// Creates a symbolic link.
    pub fn create_link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.fd, checked(name)?)?)
    }

    /// Creates a pipe, a socket (that nobody listens at) or a device; nothing else.
    pub fn create_special(&self, name: &[u8], entry: &Entry) -> io::Result<()> {
        let kind = match entry.kind {
            EntryType::Fifo => FileType::Fifo,
            EntryType::Socket => FileType::Socket,
            EntryType::CharacterDevice => FileType::CharacterDevice,
            EntryType::BlockDevice => FileType::BlockDevice,
            EntryType::File | EntryType::Directory | EntryType::Symlink => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a special file"));
            }
        };
        let device = entry.device.map_or(0, |(major, minor)| makedev(major, minor));
        Ok(rustix::fs::mknodat(&self.fd, checked(name)?, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    /// Gives the file `old` in the directory `from` another name, here; a symbolic link gets the name itself.
    pub fn create_hard_link(&self, name: &[u8], from: &Self, old: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::linkat(&from.fd, checked(old)?, &self.fd, checked(name)?, AtFlags::empty())?)
    }

    /// Removes a name of anything but a directory.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Waits until everything written to the file system of this directory is on the disk.
    pub fn sync_file_system(&self) -> io::Result<()> {
        match rustix::fs::syncfs(&self.fd) {
            Err(Errno::NOSYS) => {
                rustix::fs::sync();
                Ok(())
            }
            answer => Ok(answer?),
        }
    }
}

/// The name, if it can't lead anywhere else.
fn checked(name: &[u8]) -> io::Result<&[u8]> {
    let error = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a directory entry");
    is_name(name).then_some(name).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_names_lead_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(inside.path().join("a/b")).unwrap();
        symlink(outside.path(), inside.path().join("out")).unwrap();
        symlink(outside.path(), inside.path().join("a/out")).unwrap();
        let root = Directory::open(inside.path()).unwrap();
        assert!(root.descend(&"a/b".parse().unwrap()).is_ok());
        assert!(root.descend(&SafePath::top()).is_ok());
        for path in ["out", "a/out", "a/out/x"] {
            assert!(root.descend(&path.parse().unwrap()).is_err(), "{path}");
        }
        assert!(root.child_or_create(b"out").is_err());
        for name in [&b".."[..], b".", b"", b"a/b", b"a\0", b"/etc"] {
            assert!(root.child(name).is_err() && root.create_child(name).is_err() && root.look(name).is_err());
            assert!(root.create_link(name, b"x").is_err() && root.remove(name).is_err());
            assert!(root.create_hard_link(b"new", &root, name).is_err());
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("there"), "old").unwrap();
        let exists = |result: io::Result<()>| result.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
        let fifo = Entry::new("there", EntryType::Fifo);
        assert!(exists(root.create_link(b"there", b"x")));
        assert!(exists(root.create_special(b"there", &fifo)));
        assert!(exists(root.create_hard_link(b"there", &root, b"there")));
        assert!(exists(root.create_child(b"there").map(drop)));
        assert!(root.create_special(b"new", &Entry::new("new", EntryType::File)).is_err());
        assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"old");
        assert!(root.create_child(b"sub").is_ok());
        assert!(matches!(root.child_or_create(b"sub"), Ok((_, false))));
        assert!(matches!(root.child_or_create(b"sub2"), Ok((_, true))));
        assert!(root.remove(b"sub").is_err());
        assert!(root.remove_directory(b"sub").is_ok());
        assert_eq!(root.look(b"sub").unwrap(), None);
    }
}
