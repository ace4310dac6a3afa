//! What the file system says of a file, asked for by the descriptor of its directory and its name, never following a link.

use crate::repo::cbor::Time;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::tree::entry::{Entry, EntryType, Xattr};
use rustix::fs::{AtFlags, FileType, StatxFlags, major, makedev, minor};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of the blocks that file systems count, whatever their own are: stat(2).
const BLOCK: u64 = 512;

/// What a file is known by, whatever its name is meanwhile.
///
/// When a file is gone its inode's number may be given to the next one; the time of creation, where the file system knows it, tells the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    btime: Option<Time>,
}

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryType,
    /// The 12 permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that it takes up: fewer than its size when it is sparse or compressed.
    pub allocated: u64,
    /// When the content changed last.
    pub mtime: Time,
    /// When anything about it changed last.
    pub ctime: Time,
    /// When it was created, where the file system knows.
    pub btime: Option<Time>,
    /// Its number in its file system.
    pub inode: u64,
    /// The device of its file system.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
    /// Major and minor number, if it is a device.
    pub rdev: (u32, u32),
}

impl Metadata {
    /// Metadata of `name` in the directory `dir`; a symbolic link is described itself.
    pub fn of(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        Self::ask(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
    }

    /// Metadata of what was opened.
    pub fn of_open(file: impl AsFd) -> io::Result<Self> {
        Self::ask(file.as_fd(), b"", AtFlags::EMPTY_PATH)
    }

    fn ask(dir: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Self> {
        match rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME) {
            Ok(stat) => from_statx(&stat),
            // Kernels before 4.11, and sandboxes that don't know the call.
            Err(Errno::NOSYS) => from_stat(&rustix::fs::statat(dir, name, flags)?),
            Err(error) => Err(error.into()),
        }
    }

    /// What stands for a directory that exists in the snapshot alone: mode 755, owner 0, times at the epoch.
    pub const fn synthetic() -> Self {
        let epoch = Time { seconds: 0, nanoseconds: 0 };
        Self {
            kind: EntryType::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            allocated: 0,
            mtime: epoch,
            ctime: epoch,
            btime: None,
            inode: 0,
            device: 0,
            links: 1,
            rdev: (0, 0),
        }
    }

    /// What the file is known by.
    pub const fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode, btime: self.btime }
    }

    /// Whether both describe the same file, perhaps at different times.
    pub const fn is_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode && self.device == other.device
    }

    /// Whether the content may differ: size, mtime or ctime do.
    pub fn differs(&self, other: &Self) -> bool {
        (self.size, self.mtime, self.ctime) != (other.size, other.mtime, other.ctime)
    }

    /// Names the file among those of one run, if it has several names: the first 8 bytes of a hash of device and inode.
    ///
    /// A file may be removed during the run and its inode given to another, so what has the same group is one file only if the contents agree too.
    pub fn link_group(&self) -> Option<[u8; 8]> {
        if self.links < 2 || self.kind == EntryType::Directory {
            return None;
        }
        let mut hasher = blake3::Hasher::new_derive_key("nightsafe 1 hard-link group");
        hasher.update(&self.device.to_le_bytes()).update(&self.inode.to_le_bytes());
        let mut group = [0; 8];
        hasher.finalize_xof().fill(&mut group);
        Some(group)
    }

    /// The entry that describes the file, but for its content (fields 15 to 18 and 20 of the format, and the size of a directory, which is that of
    /// its stream).
    pub fn entry(&self, name: &[u8], target: Option<Vec<u8>>, xattrs: Vec<Xattr>, owners: &mut Owners) -> Entry {
        Entry {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            user: owners.user(self.uid),
            group: owners.group(self.gid),
            size: self.kind.has_stream().then_some(if self.kind == EntryType::File { self.size } else { 0 }),
            mtime: self.mtime,
            ctime: Some(self.ctime),
            btime: self.btime,
            target,
            device: self.kind.is_device().then_some(self.rdev),
            link_group: self.link_group(),
            xattrs,
            ..Entry::new(name, self.kind)
        }
    }
}

/// Where the symbolic link `name` in `dir` leads.
pub fn read_link(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

fn from_statx(stat: &rustix::fs::Statx) -> io::Result<Metadata> {
    let time = |t: &rustix::fs::StatxTimestamp| time(t.tv_sec, u64::from(t.tv_nsec));
    let has_btime = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    Ok(Metadata {
        kind: kind(u32::from(stat.stx_mode))?,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        allocated: stat.stx_blocks.saturating_mul(BLOCK),
        mtime: time(&stat.stx_mtime),
        ctime: time(&stat.stx_ctime),
        btime: has_btime.then(|| time(&stat.stx_btime)),
        inode: stat.stx_ino,
        device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        links: u64::from(stat.stx_nlink),
        rdev: (stat.stx_rdev_major, stat.stx_rdev_minor),
    })
}

/// The fields' types differ between architectures, so conversions that are none on one are needed on another.
#[expect(clippy::useless_conversion, reason = "types differ between architectures")]
fn from_stat(stat: &rustix::fs::Stat) -> io::Result<Metadata> {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Metadata {
        kind: kind(stat.st_mode)?,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: count(stat.st_size.into()),
        allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK),
        mtime: time(stat.st_mtime.into(), u64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        ctime: time(stat.st_ctime.into(), u64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        btime: None,
        inode: stat.st_ino.into(),
        device: stat.st_dev.into(),
        links: stat.st_nlink.into(),
        rdev: (major(stat.st_rdev.into()), minor(stat.st_rdev.into())),
    })
}

/// Damaged file systems have told of more nanoseconds than a second has.
fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time { seconds, nanoseconds: u32::try_from(nanoseconds.min(999_999_999)).unwrap_or(0) }
}

fn kind(mode: u32) -> io::Result<EntryType> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(EntryType::File),
        FileType::Directory => Ok(EntryType::Directory),
        FileType::Symlink => Ok(EntryType::Symlink),
        FileType::Fifo => Ok(EntryType::Fifo),
        FileType::Socket => Ok(EntryType::Socket),
        FileType::CharacterDevice => Ok(EntryType::CharacterDevice),
        FileType::BlockDevice => Ok(EntryType::BlockDevice),
        FileType::Unknown => Err(io::Error::new(io::ErrorKind::Unsupported, "a type of file that isn't known")),
    }
}
