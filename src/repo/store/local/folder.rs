//! The root folder, held open, and the ways down from it.

use super::super::key;
use super::synchronise;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Directories are opened to be read and synchronised, never through a link.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A root folder.
pub(super) struct Folder {
    root: OwnedFd,
    /// Device and inode: which folder it is. They stay the same as long as it is held open.
    identity: (u64, u64),
    /// Directories (as `a/`, `a/b/`) whose entry in their parent this process has made durable.
    settled: Mutex<HashSet<String>>,
}

/// A regular file met on a walk.
pub(super) struct Found<'a> {
    /// Its directory: empty, or ending in `/`.
    pub(super) folder: &'a str,
    /// Its length in bytes.
    pub(super) length: u64,
    /// When it was written, in seconds since the epoch.
    pub(super) modified: i64,
}

/// What [`Folder::walk`] calls: with the open directory, the file's name in it, and what it is.
type Visit<'a> = dyn FnMut(&OwnedFd, &str, &Found<'_>) -> rustix::io::Result<()> + 'a;

/// Whether an error from [`Folder::open`] means that there is no such folder.
pub(super) fn is_missing(error: Errno) -> bool {
    // NODEV, NXIO: a mount point whose file system went away.
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO | Errno::NOTCONN)
}

impl Folder {
    /// Opens what is at `path` now; a link to a folder counts as that folder.
    pub(super) fn open(path: &Path) -> rustix::io::Result<Self> {
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let root = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        let status = rustix::fs::fstat(&root)?;
        Ok(Self { root, identity: (status.st_dev, status.st_ino), settled: Mutex::default() })
    }

    /// The same folder by a descriptor that only names it, which the system refuses to synchronise.
    #[cfg(test)]
    pub(super) fn that_cannot_be_synchronised(path: &Path) -> rustix::io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { root, ..Self::open(path)? })
    }

    /// Whether both are one folder.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// The directory that holds the object `key`, and its name there. With `create`, missing directories are created, and all on the way made durable.
    pub(super) fn directory_of<'k>(&self, key: &'k str, create: bool) -> rustix::io::Result<(OwnedFd, &'k str)> {
        let (folder, name) = match key.rfind('/') {
            Some(slash) => key.split_at(slash + 1),
            None => ("", key),
        };
        Ok((self.directory(folder, create)?, name))
    }

    /// Opens `folder` (empty, or ending in `/`).
    fn directory(&self, folder: &str, create: bool) -> rustix::io::Result<OwnedFd> {
        let mut directory = open_below(&self.root, ".")?;
        let mut passed = 0;
        for name in folder.split_terminator('/') {
            passed += name.len() + 1;
            let next = match open_below(&directory, name) {
                Err(Errno::NOENT) if create => {
                    match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(super::FOLDER_MODE)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    open_below(&directory, name)?
                }
                other => other?,
            };
            if create && let Err(error) = self.settle(&folder[..passed], &directory) {
                // Synchronising it again may succeed without its entry being written, so it has to be made again. One that holds something stays.
                let _ = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR);
                return Err(error);
            }
            directory = next;
        }
        Ok(directory)
    }

    /// Makes everything durable that was written to the file system of this folder.
    pub(super) fn synchronise_all(&self) -> rustix::io::Result<()> {
        match rustix::io::retry_on_intr(|| rustix::fs::syncfs(&self.root)) {
            Err(Errno::NOSYS) => {
                rustix::fs::sync();
                Ok(())
            }
            answer => answer,
        }
    }

    /// Makes the entry of `folder` in its `parent` durable, once in a process. That it exists proves nothing: another process may have created it and be about to crash.
    fn settle(&self, folder: &str, parent: &OwnedFd) -> rustix::io::Result<()> {
        let settled = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if !settled().contains(folder) {
            synchronise(parent)?;
            settled().insert(folder.to_owned());
        }
        Ok(())
    }

    /// Visits every regular file below `prefix` (empty, or ending in `/`), in all depths; there may be no such directory. Directories whose names aren't
    /// components of keys are left out, as are names that aren't text.
    pub(super) fn walk(&self, prefix: &str, visit: &mut Visit<'_>) -> rustix::io::Result<()> {
        let mut ahead = vec![prefix.to_owned()];
        while let Some(folder) = ahead.pop() {
            let directory = match self.directory(&folder, false) {
                // Never there, gone meanwhile, or a link in its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                other => other?,
            };
            visit_directory(&directory, &folder, &mut ahead, visit)?;
        }
        Ok(())
    }
}

/// Visits the files of one directory and notes the directories in it.
fn visit_directory(
    directory: &OwnedFd,
    folder: &str,
    ahead: &mut Vec<String>,
    visit: &mut Visit<'_>,
) -> rustix::io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !key::is_component(name) || matches!(entry.file_type(), FileType::Symlink) {
            continue;
        }
        let status = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue, // removed meanwhile
            other => other?,
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => ahead.push([folder, name, "/"].concat()),
            FileType::RegularFile => {
                let length = u64::try_from(status.st_size).unwrap_or(0);
                visit(directory, name, &Found { folder, length, modified: status.st_mtime })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn open_below(directory: &impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()))
}
