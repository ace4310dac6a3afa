//! Owner, mode, extended attributes and times of what was restored.
//!
//! The order matters: changing the owner clears setuid bits and capabilities; a user's own attributes can be written only while the mode still allows it; access control lists
//! refine the mode; and whatever is done to a file changes its times.

use crate::repo::cbor::Time;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::source::xattrs;
use crate::snapshot::target::node::Pinned;
use crate::snapshot::tree::entry::{Entry, EntryType, Xattr};
use crate::snapshot::tree::path::escape_name;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

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

/// What is restored besides content. By default nothing that lends rights to whoever runs a file, or that the system trusts.
#[derive(Debug, Clone, Copy)]
pub struct AttributeOptions {
    /// Whose the files become.
    pub ownership: Ownership,
    /// Whether extended attributes and access control lists are restored.
    pub xattrs: bool,
    /// Whether files get their setuid and setgid bits. (The setgid bit of a directory lends nothing and always comes back.)
    pub set_id: bool,
    /// Whether `security.*` (capabilities, labels) and `trusted.*` are among the extended attributes that are restored.
    pub security_xattrs: bool,
}

impl AttributeOptions {
    /// All that there is.
    pub fn everything() -> Self {
        Self { set_id: true, security_xattrs: true, ..Self::default() }
    }
}

impl Default for AttributeOptions {
    fn default() -> Self {
        Self { ownership: Ownership::default(), xattrs: true, set_id: false, security_xattrs: false }
    }
}

/// What wasn't restored because nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Files without their setuid and setgid bits.
    pub set_ids: u64,
    /// Extended attributes.
    pub xattrs: u64,
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
    /// Setuid and setgid bits, which a file doesn't get without its owner and group.
    SetId,
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
            Self::SetId => f.write_str("setuid and setgid bits"),
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
    /// Whatever else: a link itself, never what it links to; a pipe, a socket, a device, which aren't opened.
    Pinned(&'a Pinned),
}

/// Restores attributes, and remembers names of owners.
#[derive(Debug)]
pub struct AttributeWriter {
    options: AttributeOptions,
    owners: Owners,
    left_out: LeftOut,
    /// Whether owners can be compared: who isn't root can't give files away.
    is_root: bool,
}

impl AttributeWriter {
    /// Restores what `options` say.
    pub fn new(options: AttributeOptions) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self { options, owners: Owners::default(), left_out: LeftOut::default(), is_root }
    }

    /// What wasn't restored so far because nobody asked for it.
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Gives `subject` the attributes of `entry`, all that is possible; what isn't comes back by name. Directories come after what is in them, whose creation changes their time.
    ///
    /// Setuid and setgid bits are left out where the file doesn't belong to the recorded owner and group. Extended attributes that the entry doesn't have are removed, but for `security.*`,
    /// which the system gives by itself, and `trusted.*` where that isn't restored.
    pub fn apply(&mut self, subject: Subject<'_>, entry: &Entry) -> Vec<AttributeFault> {
        let mut faults = Faults(Vec::new());
        let owner = self.wanted_owner(entry);
        if self.options.ownership != Ownership::Keep {
            faults.note(Attribute::Owner, change_owner(subject, owner));
        }
        let is_asked_for = |xattr: &&Xattr| self.options.security_xattrs || !lends_rights(&xattr.name);
        let is_users = |xattr: &&Xattr| xattr.name.starts_with(b"user.");
        let xattrs = || entry.xattrs.iter().filter(is_asked_for);
        if self.options.xattrs {
            remove_others(subject, entry, self.options.security_xattrs, &mut faults);
            set_xattrs(subject, xattrs().filter(is_users), &mut faults);
        }
        let mut mode = self.wanted_mode(entry);
        let lends = entry.kind != EntryType::Directory && mode & SET_ID != 0;
        if lends && subject.metadata().is_ok_and(|now| (now.uid, now.gid) != owner) {
            mode &= !SET_ID;
            faults.note(Attribute::SetId, Err(Errno::PERM.into()));
        }
        if entry.kind != EntryType::Symlink {
            faults.note(Attribute::Mode, subject.set_mode(mode));
        }
        if self.options.xattrs {
            set_xattrs(subject, xattrs().filter(|xattr| !is_users(xattr)), &mut faults);
            self.left_out.xattrs += (entry.xattrs.len() - xattrs().count()) as u64;
        }
        self.left_out.set_ids += u64::from(self.wanted_mode(entry) != entry.mode);
        faults.note(Attribute::Mtime, subject.set_mtime(entry.mtime));
        verify(subject, entry, mode, &mut faults);
        faults.0
    }

    /// Sets the time of the last change again, after something in a directory changed it.
    pub fn touch(subject: Subject<'_>, entry: &Entry) -> io::Result<()> {
        subject.set_mtime(entry.mtime)
    }

    /// Gives something that exists already the attributes of `entry`, as [`apply`](Self::apply) does: also where its mode stands in the way of some of them.
    pub fn mend(&mut self, pinned: &Pinned, entry: &Entry) -> Vec<AttributeFault> {
        let subject = Subject::Pinned(pinned);
        if entry.kind == EntryType::File && !self.is_root && self.options.xattrs {
            // A user's own attributes take the right to write. What can't be opened shows in what fails then.
            let _ = subject.set_mode(0o600);
        }
        self.apply(subject, entry)
    }

    /// Whether something has owner, mode and time of `entry`, as far as they are asked for and whoever asks. See [`agree`](Self::agree).
    pub fn has_all(&mut self, entry: &Entry, now: &Metadata) -> bool {
        let owned = self.options.ownership == Ownership::Keep || (now.uid, now.gid) == self.wanted_owner(entry);
        let mode = now.kind == EntryType::Symlink || now.mode == self.wanted_mode(entry);
        owned && mode && now.mtime == entry.mtime
    }

    /// Whether something has the extended attributes of `entry` already, and no others, as far as they are asked for.
    pub fn agree_in_xattrs(&self, entry: &Entry, pinned: &Pinned) -> io::Result<bool> {
        if !self.options.xattrs {
            return Ok(true);
        }
        let names = Subject::Pinned(pinned).list_xattrs()?;
        let is_known = |name: &[u8]| entry.xattrs.iter().any(|xattr| xattr.name == name);
        if names.split(|&b| b == 0).any(|name| xattrs::is_kept(name) && !lends_rights(name) && !is_known(name)) {
            return Ok(false);
        }
        let is_asked_for = |name: &[u8]| xattrs::is_kept(name) && (self.options.security_xattrs || !lends_rights(name));
        Ok(entry.xattrs.iter().filter(|xattr| is_asked_for(&xattr.name)).all(|xattr| {
            let mut value = vec![0; xattr.value.len() + 1];
            let read = rustix::fs::getxattr(pinned.path(), xattr.name.as_slice(), &mut *value);
            read.is_ok_and(|length| value[..length] == xattr.value)
        }))
    }

    /// Whether something has the attributes of `entry` already, as far as that shows without asking for extended ones: mode and time, and if root asks the owner.
    pub fn agree(&mut self, entry: &Entry, now: &Metadata) -> bool {
        let owned = !self.is_root
            || self.options.ownership == Ownership::Keep
            || (now.uid, now.gid) == self.wanted_owner(entry);
        // Without the owner there are no such bits either.
        let bits = if self.is_root { 0o7777 } else { !SET_ID };
        let mode = now.kind == EntryType::Symlink || now.mode & bits == self.wanted_mode(entry) & bits;
        owned && mode && now.mtime == entry.mtime
    }

    /// The mode, without what isn't asked for.
    fn wanted_mode(&self, entry: &Entry) -> u32 {
        if self.options.set_id || entry.kind == EntryType::Directory { entry.mode } else { entry.mode & !SET_ID }
    }

    /// The owner and group that an entry gets.
    pub fn wanted_owner(&mut self, entry: &Entry) -> (u32, u32) {
        if self.options.ownership != Ownership::Names {
            return (entry.uid, entry.gid);
        }
        let uid = entry.user.as_deref().and_then(|name| self.owners.uid(name));
        let gid = entry.group.as_deref().and_then(|name| self.owners.gid(name));
        (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid))
    }
}

/// Whether an extended attribute of this name is one that the system trusts.
pub fn lends_rights(name: &[u8]) -> bool {
    name.starts_with(b"security.") || name.starts_with(b"trusted.")
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
fn remove_others(subject: Subject<'_>, entry: &Entry, trusted: bool, faults: &mut Faults) {
    let names = match subject.list_xattrs() {
        Ok(names) => names,
        Err(error) => return faults.note(Attribute::Xattr(Vec::new()), Err(error)),
    };
    let is_other = |name: &&[u8]| {
        let is_known = entry.xattrs.iter().any(|xattr| xattr.name == *name);
        let is_left = name.starts_with(b"security.") || (!trusted && lends_rights(name));
        xattrs::is_kept(name) && !is_left && !is_known
    };
    for name in names.split(|&b| b == 0).filter(is_other) {
        faults.note(Attribute::Xattr(name.to_vec()), subject.remove_xattr(name));
    }
}

/// Looks whether the system did what it was asked: some clear bits or round times without saying so.
fn verify(subject: Subject<'_>, entry: &Entry, mode: u32, faults: &mut Faults) {
    let Ok(now) = subject.metadata() else { return };
    let differs = |message: String| Err(io::Error::other(message));
    if now.mode != mode && entry.kind != EntryType::Symlink && !faults.has(&Attribute::Mode) {
        faults.note(Attribute::Mode, differs(format!("{:04o} instead of {mode:04o}", now.mode)));
    }
    if now.mtime != entry.mtime && !faults.has(&Attribute::Mtime) {
        faults.note(Attribute::Mtime, differs("the file system can't hold it".to_owned()));
    }
}

impl Subject<'_> {
    fn metadata(self) -> io::Result<Metadata> {
        match self {
            Self::Open(fd) => Metadata::of_open(fd),
            Self::Pinned(pinned) => pinned.metadata(),
        }
    }

    fn set_owner(self, uid: Option<Uid>, gid: Gid) -> io::Result<()> {
        Ok(match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, Some(gid)),
            Self::Pinned(pinned) => rustix::fs::chownat(pinned, "", uid, Some(gid), AtFlags::EMPTY_PATH),
        }?)
    }

    fn set_mode(self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => Ok(rustix::fs::fchmod(fd, mode)?),
            Self::Pinned(pinned) if pinned.metadata()?.kind == EntryType::Symlink => Err(Errno::LOOP.into()),
            Self::Pinned(pinned) => Ok(rustix::fs::chmod(pinned.path(), mode)?),
        }
    }

    fn set_mtime(self, mtime: Time) -> io::Result<()> {
        let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let mtime = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
        let times = Timestamps { last_access: unchanged, last_modification: mtime };
        Ok(match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times),
            Self::Pinned(pinned) => rustix::fs::utimensat(CWD, pinned.path(), &times, AtFlags::empty()),
        }?)
    }

    fn list_xattrs(self) -> io::Result<Vec<u8>> {
        let mut names = vec![0; 64 << 10];
        let listed = match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, &mut *names),
            Self::Pinned(pinned) => rustix::fs::listxattr(pinned.path(), &mut *names),
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
            Self::Pinned(pinned) => rustix::fs::setxattr(pinned.path(), name, &xattr.value, flags),
        }?)
    }

    fn remove_xattr(self, name: &[u8]) -> io::Result<()> {
        Ok(match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::Pinned(pinned) => rustix::fs::removexattr(pinned.path(), name),
        }?)
    }
}
