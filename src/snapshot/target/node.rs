//! Links, pipes, sockets and devices in the making, and a hold on what has a name already.

use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::target::directory::Directory;
use crate::snapshot::target::writer::{rename_new, temporary_name};
use crate::snapshot::tree::entry::EntryType;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A hold on one file of any type, by a descriptor that only names it: nothing is opened, no link followed, and what is asked or changed by way of it is that
/// file, whatever its name stands for meanwhile.
#[derive(Debug)]
pub struct Pinned {
    fd: OwnedFd,
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Pinned {
    /// Of what has this name, which must be checked, in `dir`.
    pub(super) fn new(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(dir, name, flags, Mode::empty())? })
    }

    /// What it is.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::of_open(&self.fd)
    }

    /// Where it leads, if it is a symbolic link.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.fd, "", Vec::new())?.into_bytes())
    }

    /// Opens a regular file for reading; fails for anything else, without having opened it.
    pub fn open_file(&self) -> io::Result<File> {
        if self.metadata()?.kind != EntryType::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = self.path();
        // A read for comparison leaves no trace in the access time, where that is allowed.
        let opened = match rustix::fs::openat(CWD, &path, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => rustix::fs::openat(CWD, &path, flags, Mode::empty()),
            answer => answer,
        };
        Ok(opened?.into())
    }

    /// The path by which calls that only take paths reach it: the system goes from there to the file itself, be it a link.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// Gives it another name, which must be checked, in `dir`.
    pub(super) fn link(&self, dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        match rustix::fs::linkat(CWD, self.path(), dir, name, AtFlags::SYMLINK_FOLLOW) {
            // Without /proc, for which a privilege is needed.
            Err(Errno::NOENT) => Ok(rustix::fs::linkat(&self.fd, "", dir, name, AtFlags::EMPTY_PATH)?),
            answer => Ok(answer?),
        }
    }
}

/// A symbolic link, pipe, socket or device under a temporary name, `.nightsafe-<random>.tmp`, until it has its attributes. Dropped before it was placed, it leaves
/// nothing behind.
#[derive(Debug)]
pub struct NewNode {
    dir: Directory,
    temporary: Option<String>,
    pinned: Pinned,
}

impl NewNode {
    pub(super) fn new(dir: Directory, create: impl Fn(&Directory, &[u8]) -> io::Result<()>) -> io::Result<Self> {
        let temporary = temporary_name()?;
        create(&dir, temporary.as_bytes())?;
        let pinned = dir.pin(temporary.as_bytes()).inspect_err(|_| {
            let _ = dir.remove(temporary.as_bytes());
        })?;
        let node = Self { dir, temporary: Some(temporary), pinned };
        // What gets attributes must be what was just made, and not what somebody put in its place.
        let metadata = node.pinned.metadata()?;
        let own = metadata.links == 1 && !matches!(metadata.kind, EntryType::File | EntryType::Directory);
        let replaced = || io::Error::other("another program replaced it");
        own.then_some(node).ok_or_else(replaced)
    }

    /// What its attributes are given to.
    pub const fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    /// Gives it its name; fails if there is something of that name.
    pub fn place(mut self, name: &[u8]) -> io::Result<Pinned> {
        let Some(temporary) = self.temporary.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let renamed = rename_new(self.dir.as_fd(), &temporary, name);
        // Dropping removes what is still there.
        self.temporary = (!matches!(renamed, Ok(true))).then_some(temporary);
        renamed?;
        self.dir.pin(name)
    }

    /// Gives it its name, in the place of what had that name before, which must not be a directory; there is no moment without either.
    pub fn place_over(mut self, name: &[u8]) -> io::Result<Pinned> {
        let Some(temporary) = self.temporary.take() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = rustix::fs::renameat(&self.dir, &temporary, &self.dir, name) {
            self.temporary = Some(temporary);
            return Err(error.into());
        }
        self.dir.pin(name)
    }
}

impl Drop for NewNode {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing is lost if that fails: the name says what it is.
            let _ = self.dir.remove(temporary.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tree::entry::Entry;

    #[test]
    fn links_and_pipes_appear_at_once_and_overwrite_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("there"), "old").unwrap();
        assert!(root.new_link(b"x").unwrap().place(b"there").is_err());
        assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"old");
        root.new_link(b"x").unwrap().place_over(b"there").unwrap();
        assert_eq!(root.pin(b"there").unwrap().read_link().unwrap(), b"x");
        root.new_special(&Entry::new("p", EntryType::Fifo)).unwrap().place(b"p").unwrap();
        assert!(root.pin(b"p").unwrap().open_file().is_err(), "a pipe isn't opened, which would wait");
        assert!(root.new_special(&Entry::new("p", EntryType::Fifo)).unwrap().place(b"p").is_err());
        drop(root.new_link(b"x").unwrap());
        assert_eq!(root.names().unwrap().len(), 2, "nothing temporary is left");
    }
}
