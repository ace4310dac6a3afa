//! A directory into which is restored.
//!
//! Names are single components, checked at every call; directories are opened with `O_NOFOLLOW`. So no call leaves the directory, and `openat2` with
//! `RESOLVE_BENEATH`, which not every kernel and sandbox has, would add nothing. Where something is removed, `RESOLVE_NO_XDEV` does: it tells mount points.

use crate::snapshot::source::listing::Listing;
use crate::snapshot::source::metadata::{Identity, Metadata};
use crate::snapshot::target::node::{NewNode, Pinned};
use crate::snapshot::target::writer::{self, NewFile, temporary_name};
use crate::snapshot::tree::check::is_name;
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::SafePath;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, makedev};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What new directories may be used for until their own mode is set: by their owner alone. The sticky bit, which nobody needs on a directory that is closed to
/// all others, marks it as one that isn't finished, so that a restore which goes on after an interruption knows its own.
const PRIVATE_DIRECTORY: Mode = Mode::RWXU.union(Mode::SVTX);

/// An open directory that is restored into.
///
/// What creates something overwrites nothing: where something of the name exists, it fails with [`io::ErrorKind::AlreadyExists`]. What replaces or removes says
/// so in its name.
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
        let child = self.child(name)?;
        let user = rustix::process::geteuid().as_raw();
        if !is_made_by(user, child.metadata()?.uid, || writer::owner_of_new(&self.fd))? {
            return Err(io::Error::other("another program put a folder of somebody else in its place"));
        }
        // In a folder with the setgid bit it has that, too, which would make it another mode than the one that tells it from finished ones.
        child.close()?;
        Ok(child)
    }

    /// Opens a directory in this one, and creates it if there is nothing of that name. Tells whether it did.
    pub fn child_or_create(&self, name: &[u8]) -> io::Result<(Self, bool)> {
        match self.create_child(name) {
            Ok(child) => Ok((child, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((self.child(name)?, false)),
            Err(error) => Err(error),
        }
    }

    /// Creates a directory in the place of something else, which is removed, and opens it. There is no moment without either where the system can exchange names.
    ///
    /// A directory that is in the way must be empty.
    pub fn create_child_over(&self, name: &[u8]) -> io::Result<Self> {
        let name = checked(name)?;
        let temporary = temporary_name()?;
        let child = self.create_child(temporary.as_bytes()).inspect_err(|_| {
            // It may have been made, and then not be opened.
            let _ = self.remove_directory(temporary.as_bytes());
        })?;
        let exchanged = rustix::fs::renameat_with(&self.fd, &temporary, &self.fd, name, RenameFlags::EXCHANGE);
        let placed = match exchanged {
            Ok(()) => return self.remove_any(temporary.as_bytes()).map(|()| child),
            Err(Errno::INVAL | Errno::NOSYS) => self.remove_any(name).and_then(|()| {
                let flags = RenameFlags::NOREPLACE;
                match rustix::fs::renameat_with(&self.fd, &temporary, &self.fd, name, flags) {
                    // An empty directory of that name may have come meanwhile; nothing else can be replaced by a directory.
                    Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(&self.fd, &temporary, &self.fd, name)?),
                    answer => Ok(answer?),
                }
            }),
            Err(error) => Err(error.into()),
        };
        if placed.is_err() {
            let _ = self.remove_directory(temporary.as_bytes());
        }
        placed.map(|()| child)
    }

    /// Opens a directory in this one, unless another file system or a part of one is mounted there: then this fails with [`Errno::XDEV`].
    pub fn child_of_same_mount(&self, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.fd, checked(name)?, flags, Mode::empty(), within) {
            Ok(fd) => Ok(Self { fd }),
            // Linux before 5.6, and sandboxes that don't know the call.
            Err(Errno::NOSYS | Errno::PERM) => {
                let child = self.child(name)?;
                if child.mount()? == self.mount()? { Ok(child) } else { Err(Errno::XDEV.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The number of the mount that this directory is reached by.
    fn mount(&self) -> io::Result<u64> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()))?;
        let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        number.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "the system doesn't tell mount points"))
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

    /// What this directory is.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::of_open(&self.fd)
    }

    /// What it is known by.
    pub fn identity(&self) -> io::Result<Identity> {
        self.metadata().map(|metadata| metadata.identity())
    }

    /// Whether this directory is one that a restore made and didn't finish: closed to others, marked, and of whoever runs this.
    pub fn is_unfinished(&self) -> io::Result<bool> {
        let metadata = self.metadata()?;
        let own = metadata.uid == rustix::process::geteuid().as_raw();
        Ok(own && metadata.mode == PRIVATE_DIRECTORY.as_raw_mode())
    }

    /// Sets its mode.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode))?)
    }

    /// Marks it so.
    pub fn mark_unfinished(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.fd, PRIVATE_DIRECTORY)?)
    }

    /// Marks it so, where the file system has modes and this user may set them; else it stays as it is, and what is wrong with its mode is told when it gets its own.
    pub fn close(&self) -> io::Result<()> {
        match self.mark_unfinished() {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::OPNOTSUPP)) => Ok(()),
            answer => answer,
        }
    }

    /// [`close`](Self::close), if its owner may not change what is in it: an earlier restore gave it its mode already, and this one goes on in it.
    pub fn reopen(&self) -> io::Result<()> {
        if self.metadata()?.mode & 0o300 == 0o300 { Ok(()) } else { self.close() }
    }

    /// The names in it, sorted.
    pub fn names(&self) -> io::Result<Listing> {
        // By a descriptor of its own, since one is read from only once.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?;
        match Listing::read(fd.as_fd()) {
            (names, None) => Ok(names),
            (_, Some(error)) => Err(error),
        }
    }

    /// Holds on to what has this name, whatever it is; a link isn't followed.
    pub fn pin(&self, name: &[u8]) -> io::Result<Pinned> {
        Pinned::new(self.fd.as_fd(), checked(name)?)
    }

    /// Begins a symbolic link that has no name of its own yet.
    pub fn new_link(&self, target: &[u8]) -> io::Result<NewNode> {
        NewNode::new(self.try_clone()?, |dir, name| dir.create_link(name, target))
    }

    /// Begins a pipe, a socket or a device that has no name of its own yet.
    pub fn new_special(&self, entry: &Entry) -> io::Result<NewNode> {
        NewNode::new(self.try_clone()?, |dir, name| dir.create_special(name, entry))
    }

    /// Another handle of the same directory.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
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

    /// Gives what is pinned another name, here; a symbolic link gets the name itself.
    pub fn create_hard_link(&self, name: &[u8], file: &Pinned) -> io::Result<()> {
        file.link(self.fd.as_fd(), checked(name)?)
    }

    /// Gives what is pinned another name, here, in the place of what had that name before, which must not be a directory.
    pub fn hard_link_over(&self, name: &[u8], file: &Pinned) -> io::Result<()> {
        let name = checked(name)?;
        let temporary = temporary_name()?;
        file.link(self.fd.as_fd(), temporary.as_bytes())?;
        let renamed = rustix::fs::renameat(&self.fd, &temporary, &self.fd, name);
        // Also if that went well: both names stay if they are of one file already.
        let _ = rustix::fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
        Ok(renamed?)
    }

    /// Removes a name of whatever it is; a directory must be empty.
    pub fn remove_any(&self, name: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::empty()) {
            // POSIX has EPERM for a directory, Linux EISDIR.
            Err(Errno::ISDIR | Errno::PERM) => self.remove_directory(name),
            answer => Ok(answer?),
        }
    }

    /// Keeps other processes from locking it as long as this handle, or a clone of it, is open (flock(2)). Tells whether it could: not if another has. Where the file system has no locks of folders nobody is kept
    /// from anything.
    pub fn lock(&self) -> bool {
        rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
    }

    /// Lets others lock it. A child that hasn't begun its program yet has a copy of the handle, so closing it isn't enough.
    pub fn unlock(&self) {
        let _ = rustix::fs::flock(&self.fd, FlockOperation::Unlock);
    }

    /// Removes what a killed process left under temporary names. What can't be removed stays: its name says what it is.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| writer::is_temporary_name(name)) {
            let _ = self.remove_any(name);
        }
        Ok(())
    }

    /// Removes a name of anything but a directory.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Waits until the names in this directory are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
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

/// Whether a directory that was just made, and opened by its name, is the one that was made: who replaced it meanwhile could only do that by one of their own.
///
/// It belongs to `user`, or to whom the file system gives whatever is new: NFS takes root for nobody (`root_squash`), FAT and CIFS know one owner only. `owner_of_new` finds out
/// who that is.
fn is_made_by(user: u32, owner: u32, owner_of_new: impl FnOnce() -> io::Result<u32>) -> io::Result<bool> {
    Ok(owner == user || owner == owner_of_new()?)
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
            assert!(root.pin(name).is_err() && root.create_child_over(name).is_err() && root.remove_any(name).is_err());
            let pinned = root.pin(b"a").unwrap();
            assert!(root.create_hard_link(name, &pinned).is_err() && root.hard_link_over(name, &pinned).is_err());
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_of_somebody_else_is_told_from_one_that_the_file_system_gives_away() {
        let (root, nobody, other) = (0, 65_534, 1_000);
        let squashed = || Ok(nobody);
        assert!(is_made_by(root, root, || panic!("not asked for")).unwrap());
        assert!(is_made_by(root, nobody, squashed).unwrap(), "root_squash");
        assert!(!is_made_by(root, other, squashed).unwrap());
        assert!(!is_made_by(root, other, || Ok(root)).unwrap());
        assert!(is_made_by(root, other, || Err(io::ErrorKind::StorageFull.into())).is_err());
        let dir = tempfile::tempdir().unwrap();
        let folder = Directory::open(dir.path()).unwrap();
        assert_eq!(writer::owner_of_new(&folder.fd).unwrap(), rustix::process::geteuid().as_raw());
        assert!(folder.names().unwrap().is_empty(), "what was asked with is gone");
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
        assert!(exists(root.create_hard_link(b"there", &root.pin(b"there").unwrap())));
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

    #[test]
    fn directories_take_the_place_of_others_and_know_that_they_are_new() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        symlink("/etc", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        std::fs::create_dir_all(dir.path().join("full/sub")).unwrap();
        for name in [&b"file"[..], b"link", b"empty"] {
            let child = root.create_child_over(name).unwrap();
            assert_eq!(child.identity().unwrap(), root.child(name).unwrap().identity().unwrap());
            assert!(child.is_unfinished().unwrap());
        }
        assert!(root.create_child_over(b"absent").is_err());
        assert!(!root.child(b"full").unwrap().is_unfinished().unwrap());
        assert_eq!(root.names().unwrap().iter().collect::<Vec<_>>(), [&b"empty"[..], b"file", b"full", b"link"]);
        assert!(root.child_of_same_mount(b"full").is_ok());
        let top = Directory::open(Path::new("/")).unwrap();
        let proc = top.child_of_same_mount(b"proc");
        assert!(proc.is_err_and(|error| error.raw_os_error() == Some(Errno::XDEV.raw_os_error())));
        assert_ne!(top.mount().unwrap(), top.child(b"proc").unwrap().mount().unwrap());
    }

    #[test]
    fn what_is_pinned_is_linked_whatever_has_its_name_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path()).unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("first"), "first").unwrap();
        let pinned = root.pin(b"first").unwrap();
        std::fs::rename(at("first"), at("moved")).unwrap();
        std::fs::write(at("first"), "planted").unwrap();
        root.create_hard_link(b"second", &pinned).unwrap();
        root.hard_link_over(b"first", &pinned).unwrap();
        root.hard_link_over(b"first", &pinned).unwrap();
        for name in ["first", "second", "moved"] {
            assert_eq!(std::fs::read(at(name)).unwrap(), b"first", "{name}");
        }
        assert_eq!(root.names().unwrap().len(), 3, "nothing temporary is left");
        symlink("nowhere", at("link")).unwrap();
        root.create_hard_link(b"link to it", &root.pin(b"link").unwrap()).unwrap();
        assert_eq!(std::fs::read_link(at("link to it")).unwrap(), Path::new("nowhere"));
    }
}
