//! What there is in a folder, found out by system calls alone: the oracle of these tests. It goes by descriptors of directories, since paths may be longer than the system
//! takes.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, SeekFrom};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// All that a backup has to bring back of an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    pub mode: u32,
    pub owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    size: u64,
    /// A file's hash, a link's target.
    content: Vec<u8>,
    /// Where a file has data.
    data: Vec<(u64, u64)>,
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// The first name of the same file, and how many there are.
    names: Option<(Vec<u8>, u64)>,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mode, owner, mtime, device, size, data, .. } = self;
        let (content, names) = (self.content.escape_ascii().to_string(), self.names.as_ref());
        let content = &content[..content.len().min(60)];
        let names = names.map(|(name, count)| format!("{count} names, first {}", name.escape_ascii()));
        let data = if data.len() > 8 { format!("{} extents", data.len()) } else { format!("{data:?}") };
        let xattrs = &self.xattrs;
        write!(f, "{mode:o} {owner:?} {mtime:?} dev {device} size {size} {content} data {data} {xattrs:?} {names:?}")
    }
}

impl Facts {
    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == 0o040_000
    }

    pub fn is_file(&self) -> bool {
        self.kind() == 0o100_000
    }

    pub fn is_device(&self) -> bool {
        matches!(self.kind(), 0o020_000 | 0o060_000)
    }

    /// Whether this is the same file, but for its attributes and names; of anything else, whether it is of the same kind.
    pub fn has_the_bytes_of(&self, other: &Self) -> bool {
        let bytes = |facts: &Self| (facts.size, facts.content.clone());
        self.kind() == other.kind() && (!self.is_file() || bytes(self) == bytes(other))
    }

    pub fn has_holes(&self) -> bool {
        self.is_file() && self.data.iter().map(|(start, end)| end - start).sum::<u64>() < self.size
    }
}

/// Entries by their paths; the top has the empty one.
pub type Survey = BTreeMap<Vec<u8>, Facts>;

/// Looks at all that is in a folder, and at itself.
pub fn survey(folder: &Path) -> Survey {
    let dir = File::open(folder).unwrap();
    let (mut found, mut names) = (Survey::new(), HashMap::new());
    look(dir.as_fd(), b".", b"", &mut found, &mut names);
    found
}

fn look(
    dir: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    found: &mut Survey,
    first_names: &mut HashMap<(u64, u64), Vec<u8>>,
) {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let kind = stat.st_mode & 0o170_000;
    let is_shared = kind != 0o040_000 && stat.st_nlink > 1;
    let first = || first_names.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec()).clone();
    let names = is_shared.then(first).map(|first| (first, stat.st_nlink));
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(rustix::fs::openat(dir, name, flags, Mode::empty()).unwrap())
    };
    let mut facts = Facts {
        mode: stat.st_mode,
        owner: (stat.st_uid, stat.st_gid),
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
        device: stat.st_rdev,
        size: if kind == 0o100_000 { u64::try_from(stat.st_size).unwrap() } else { 0 },
        content: Vec::new(),
        data: Vec::new(),
        xattrs: xattrs(dir, name),
        names,
    };
    let mut below = Vec::new();
    let mut directory = None;
    match kind {
        0o040_000 => {
            let fd = OwnedFd::from(open());
            below = names_in(&fd);
            directory = Some(fd);
        }
        0o100_000 => {
            let file = open();
            facts.data = data_of(&file, facts.size);
            facts.content = hash_of(&file, &facts.data);
        }
        0o120_000 => facts.content = rustix::fs::readlinkat(dir, name, Vec::new()).unwrap().into_bytes(),
        _ => {}
    }
    found.insert(path.to_vec(), facts);
    for name in below {
        let path = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        look(directory.as_ref().unwrap().as_fd(), &name, &path, found, first_names);
    }
}

fn names_in(directory: &OwnedFd) -> Vec<Vec<u8>> {
    let entries = Dir::read_from(directory).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
    let mut names: Vec<_> = entries.filter(|name| name != b"." && name != b"..").collect();
    names.sort();
    names
}

/// Where a file has data, as the file system tells.
fn data_of(file: &File, size: u64) -> Vec<(u64, u64)> {
    let (mut data, mut at) = (Vec::new(), 0);
    while at < size {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else { break };
        at = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap();
        data.push((start, at));
    }
    data
}

/// The hash of what isn't a hole; where that is, is compared by itself.
fn hash_of(file: &File, data: &[(u64, u64)]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for (start, end) in data {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        file.read_exact_at(&mut bytes, *start).unwrap();
        hasher.update(&bytes);
    }
    hasher.finalize().as_bytes().to_vec()
}

fn xattrs(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<(String, Vec<u8>)> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(&*path, &mut *names).unwrap();
    let read = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(&*path, name, &mut *value).unwrap();
        (String::from_utf8(name.to_vec()).unwrap(), value[..length].to_vec())
    };
    let mut found: Vec<_> =
        names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(read).collect();
    found.sort();
    found
}
