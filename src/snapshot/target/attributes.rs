//! Owner, mode, extended attributes and times of what was restored.
//!
//! The order matters: changing the owner clears setuid bits and capabilities; a user's own attributes can be written only while the mode still allows it; access control lists
//! refine the mode; and whatever is done to a file changes its times.

use crate::repo::cbor::Time;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::source::xattrs;
use crate::snapshot::tree::entry::{Entry, EntryType, Xattr};
use crate::snapshot::tree::path::escape_name;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The bits that lend the owner's or the group's rights to whoever runs a file.
const SET_ID: u32 = 0o6000;

/// Whose the restored files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// The recorded numbers.
    #[default]
    Numbers,
    /// The numbers that the recorded names have on this host; the recorded numbers where a name is absent or not known here.
    Names,
    /// Left as they are: those of whoever restores.
    Keep,
}

/// What is restored besides content.
#[derive(Debug, Clone, Copy)]
pub struct AttributeOptions {
    /// Whose the files become.
    pub ownership: Ownership,
    /// Whether extended attributes and access control lists are restored.
    pub xattrs: bool,
}

impl Default for AttributeOptions {
    fn default() -> Self {
        Self { ownership: Ownership::default(), xattrs: true }
    }
}

/// One attribute that couldn't be restored.
#[derive(Debug, thiserror::Error)]
#[error("{attribute}: {source}")]
pub struct AttributeFault {
    /// Which.
    pub attribute: Attribute,
    /// Why.
    pub source: io::Error,
}

/// What can be restored besides content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Owner and group.
    Owner,
    /// Permission bits.
    Mode,
    /// The extended attribute of this name; empty for their list.
    Xattr(Vec<u8>),
    /// When the content changed last.
    Mtime,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Mode => f.write_str("mode"),
            Self::Xattr(name) => write!(f, "extended attribute {}", escape_name(name)),
            Self::Mtime => f.write_str("time of last change"),
        }
    }
}

/// What attributes are given to.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A file or directory that is open for reading or writing, with or without a name.
    Open(BorrowedFd<'a>),
    /// What has this name in this directory; never what it may link to. The name is a single component.
    At(BorrowedFd<'a>, &'a [u8]),
}

/// Restores attributes, and remembers names of owners.
#[derive(Debug)]
pub struct AttributeWriter {
    options: AttributeOptions,
    owners: Owners,
}

impl AttributeWriter {
    /// Restores what `options` say.
    pub fn new(options: AttributeOptions) -> Self {
        Self { options, owners: Owners::default() }
    }

    /// Gives `subject` the attributes of `entry`, all that is possible; what isn't comes back by name. Directories come after what is in them, whose creation changes their time.
    ///
    /// Setuid and setgid bits are left out where the file doesn't belong to the recorded owner and group. Extended attributes that the entry doesn't have are removed, but for `security.*`,
    /// which the system gives by itself.
    pub fn apply(&mut self, subject: Subject<'_>, entry: &Entry) -> Vec<AttributeFault> {
        let mut faults = Faults(Vec::new());
        let wanted = self.wanted_owner(entry);
        if self.options.ownership != Ownership::Keep {
            faults.note(Attribute::Owner, change_owner(subject, wanted));
        }
        let is_users = |xattr: &&Xattr| xattr.name.starts_with(b"user.");
        if self.options.xattrs {
            remove_others(subject, entry, &mut faults);
            set_xattrs(subject, entry.xattrs.iter().filter(is_users), &mut faults);
        }
        let mode = match subject.metadata() {
            Ok(now) if (now.uid, now.gid) != wanted => entry.mode & !SET_ID,
            _ => entry.mode,
        };
        if entry.kind != EntryType::Symlink {
            faults.note(Attribute::Mode, subject.set_mode(mode));
        }
        if self.options.xattrs {
            set_xattrs(subject, entry.xattrs.iter().filter(|xattr| !is_users(xattr)), &mut faults);
        }
        faults.note(Attribute::Mtime, subject.set_mtime(entry.mtime));
        verify(subject, entry, &mut faults);
        faults.0
    }

    fn wanted_owner(&mut self, entry: &Entry) -> (u32, u32) {
        if self.options.ownership != Ownership::Names {
            return (entry.uid, entry.gid);
        }
        let uid = entry.user.as_deref().and_then(|name| self.owners.uid(name));
        let gid = entry.group.as_deref().and_then(|name| self.owners.gid(name));
        (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid))
    }
}

/// What couldn't be done.
struct Faults(Vec<AttributeFault>);

impl Faults {
    fn note(&mut self, attribute: Attribute, result: io::Result<()>) {
        self.0.extend(result.err().map(|source| AttributeFault { attribute, source }));
    }

    fn has(&self, attribute: &Attribute) -> bool {
        self.0.iter().any(|fault| fault.attribute == *attribute)
    }
}

/// Sets owner and group; the group alone if only that is allowed.
fn change_owner(subject: Subject<'_>, (uid, gid): (u32, u32)) -> io::Result<()> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no owner or group can have that number"));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let result = subject.set_owner(Some(uid), gid);
    if result.is_err() {
        let _ = subject.set_owner(None, gid);
    }
    result
}

fn set_xattrs<'x>(subject: Subject<'_>, xattrs: impl Iterator<Item = &'x Xattr>, faults: &mut Faults) {
    for xattr in xattrs {
        let unknown = || io::Error::new(io::ErrorKind::Unsupported, "of a kind that isn't restored");
        let result = if xattrs::is_kept(&xattr.name) { subject.set_xattr(xattr) } else { Err(unknown()) };
        faults.note(Attribute::Xattr(xattr.name.clone()), result);
    }
}

/// Removes the attributes that the file has and the entry hasn't: such as lists inherited from the directory's default.
fn remove_others(subject: Subject<'_>, entry: &Entry, faults: &mut Faults) {
    let names = match subject.list_xattrs() {
        Ok(names) => names,
        Err(error) => return faults.note(Attribute::Xattr(Vec::new()), Err(error)),
    };
    let is_other = |name: &&[u8]| {
        let is_known = entry.xattrs.iter().any(|xattr| xattr.name == *name);
        xattrs::is_kept(name) && !name.starts_with(b"security.") && !is_known
    };
    for name in names.split(|&b| b == 0).filter(is_other) {
        faults.note(Attribute::Xattr(name.to_vec()), subject.remove_xattr(name));
    }
}

/// Looks whether the system did what it was asked: some clear bits or round times without saying so.
fn verify(subject: Subject<'_>, entry: &Entry, faults: &mut Faults) {
    let Ok(now) = subject.metadata() else { return };
    let differs = |message: String| Err(io::Error::other(message));
    if now.mode != entry.mode && entry.kind != EntryType::Symlink && !faults.has(&Attribute::Mode) {
        let because =
            if now.mode == entry.mode & !SET_ID { ": without the owner, no setuid and setgid bits" } else { "" };
        faults.note(Attribute::Mode, differs(format!("{:04o} instead of {:04o}{because}", now.mode, entry.mode)));
    }
    if now.mtime != entry.mtime && !faults.has(&Attribute::Mtime) {
        faults.note(Attribute::Mtime, differs("the file system can't hold it".to_owned()));
    }
}

impl Subject<'_> {
    fn metadata(self) -> io::Result<Metadata> {
        match self {
            Self::Open(fd) => Metadata::of_open(fd),
            Self::At(dir, name) => Metadata::of(dir, name),
        }
    }

    fn set_owner(self, uid: Option<Uid>, gid: Gid) -> io::Result<()> {
        Ok(match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, Some(gid)),
            Self::At(dir, name) => rustix::fs::chownat(dir, name, uid, Some(gid), AtFlags::SYMLINK_NOFOLLOW),
        }?)
    }

    fn set_mode(self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        let (dir, name) = match self {
            Self::Open(fd) => return Ok(rustix::fs::fchmod(fd, mode)?),
            Self::At(dir, name) => (dir, name),
        };
        // A descriptor that only names the file pins it, so that what is changed by way of it can't be a link's target.
        let pin = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if Metadata::of_open(&pin)?.kind == EntryType::Symlink {
            return Err(Errno::LOOP.into());
        }
        Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", pin.as_fd().as_raw_fd()), mode)?)
    }

    fn set_mtime(self, mtime: Time) -> io::Result<()> {
        let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let mtime = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
        let times = Timestamps { last_access: unchanged, last_modification: mtime };
        Ok(match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times),
            Self::At(dir, name) => rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        }?)
    }

    fn list_xattrs(self) -> io::Result<Vec<u8>> {
        let mut names = vec![0; 64 << 10];
        let listed = match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, &mut *names),
            Self::At(dir, name) => rustix::fs::llistxattr(xattrs::path_in(dir, name), &mut *names),
        };
        match listed {
            Ok(length) => names.truncate(length),
            Err(Errno::OPNOTSUPP) => names.clear(),
            Err(error) => return Err(error.into()),
        }
        Ok(names)
    }

    fn set_xattr(self, xattr: &Xattr) -> io::Result<()> {
        let (name, flags) = (xattr.name.as_slice(), XattrFlags::empty());
        Ok(match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, &xattr.value, flags),
            Self::At(dir, file) => rustix::fs::lsetxattr(xattrs::path_in(dir, file), name, &xattr.value, flags),
        }?)
    }

    fn remove_xattr(self, name: &[u8]) -> io::Result<()> {
        Ok(match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::At(dir, file) => rustix::fs::lremovexattr(xattrs::path_in(dir, file), name),
        }?)
    }
}
