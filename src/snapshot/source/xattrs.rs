//! Extended attributes, read without opening the file, or of one that is open anyway.
//!
//! `/proc/self/fd/N/NAME` names an entry of the open directory N for the calls that only take paths; the last component isn't followed. (`getxattrat` came with Linux 6.13.)
//!
//! Kept are `user.*`, `trusted.*` (which only root sees), `security.*` (capabilities, labels), `btrfs.*` (properties) and POSIX ACLs, which appear as `system.posix_acl_access` and
//! `system.posix_acl_default`. Left out is what a file system computes or what means nothing elsewhere: all other `system.*` (NFS, CIFS and NTFS views of permissions),
//! `security.evm` (bound to the inode), and namespaces that aren't named here.

use crate::repo::format::MAX_XATTR;
use crate::snapshot::tree::check::MAX_XATTR_NAME;
use crate::snapshot::tree::entry::Xattr;
use crate::snapshot::tree::path::escape_name;
use crate::snapshot::tree::problem::ProblemKind;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Longest list of names that Linux gives: `XATTR_LIST_MAX`.
const MAX_LIST: usize = 64 << 10;
/// Most bytes of all extended attributes of one file; XFS would allow more.
pub const MAX_XATTRS: usize = 4 << 20;

/// Whether an extended attribute of this name is kept.
pub fn is_kept(name: &[u8]) -> bool {
    let spaces: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"btrfs."];
    match name {
        b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        b"security.evm" => false,
        _ => spaces.iter().any(|space| name.starts_with(space)),
    }
}

/// The path by which calls without a directory argument reach `name` in `dir`.
pub fn path_in(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

/// Whether `/proc` is there, without which extended attributes can't be read or written.
pub fn is_possible() -> bool {
    rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXISTS).is_ok()
}

/// Extended attributes that couldn't be read.
#[derive(Debug)]
pub struct XattrFault {
    /// What kind of problem it is.
    pub kind: ProblemKind,
    /// What went wrong, for people.
    pub message: String,
}

impl XattrFault {
    fn new(what: &str, error: &io::Error) -> Self {
        Self { kind: ProblemKind::of(error), message: format!("{what}: {error}") }
    }
}

/// Reads extended attributes; holds the room that the calls need.
#[derive(Debug)]
pub struct XattrReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for XattrReader {
    fn default() -> Self {
        Self { names: vec![0; MAX_LIST], value: vec![0; MAX_XATTR] }
    }
}

impl XattrReader {
    /// The extended attributes of `name` in `dir` that are kept, sorted by name, and those that couldn't be read.
    pub fn read(&mut self, dir: BorrowedFd<'_>, name: &[u8]) -> (Vec<Xattr>, Vec<XattrFault>) {
        let path = path_in(dir, name);
        self.gather(
            |names| rustix::fs::llistxattr(&*path, names),
            |name, value| rustix::fs::lgetxattr(&*path, name, value),
        )
    }

    /// Those of an open file, whatever its name stands for meanwhile; that takes no `/proc`.
    pub fn read_open(&mut self, file: BorrowedFd<'_>) -> (Vec<Xattr>, Vec<XattrFault>) {
        self.gather(|names| rustix::fs::flistxattr(file, names), |name, value| rustix::fs::fgetxattr(file, name, value))
    }

    /// What these calls give.
    fn gather(
        &mut self,
        list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
        get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
    ) -> (Vec<Xattr>, Vec<XattrFault>) {
        let listed = match list(&mut self.names) {
            Ok(listed) => listed,
            // A file system without extended attributes.
            Err(Errno::OPNOTSUPP) => return (Vec::new(), Vec::new()),
            Err(error) => return (Vec::new(), vec![XattrFault::new("list extended attributes", &error.into())]),
        };
        let (mut found, mut faults, mut total) = (Vec::new(), Vec::new(), 0);
        for name in self.names[..listed].split(|&b| b == 0).filter(|name| is_kept(name)) {
            match get(name, &mut self.value) {
                _ if name.len() > MAX_XATTR_NAME => faults.push(too_long(name)),
                Ok(length) if total + name.len() + length > MAX_XATTRS => faults.push(too_long(name)),
                Ok(length) => {
                    total += name.len() + length;
                    found.push(Xattr { name: name.to_vec(), value: self.value[..length].to_vec() });
                }
                // Removed in between.
                Err(Errno::NODATA) => {}
                Err(Errno::RANGE | Errno::TOOBIG) => faults.push(too_long(name)),
                Err(error) => {
                    let what = format!("read extended attribute {}", escape_name(name));
                    faults.push(XattrFault::new(&what, &error.into()));
                }
            }
        }
        found.sort_unstable();
        found.dedup_by(|a, b| a.name == b.name);
        (found, faults)
    }
}

fn too_long(name: &[u8]) -> XattrFault {
    let message = format!("extended attribute {} is too long to be stored", escape_name(name));
    XattrFault { kind: ProblemKind::TooLong, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    /// Once, those of a file that took another one's place were asked for by its name, through `/proc`: without that they were missing, and by then the name
    /// could stand for a third file.
    #[test]
    fn those_of_an_open_file_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let set = |name: &str, value: &[u8]| {
            std::fs::write(at(name), name).unwrap();
            rustix::fs::setxattr(at(name), "user.which", value, rustix::fs::XattrFlags::empty())
        };
        if set("a", b"first").is_err() {
            return; // a file system without them
        }
        set("b", b"second").unwrap();
        let (folder, file) = (File::open(dir.path()).unwrap(), File::open(at("a")).unwrap());
        std::fs::rename(at("b"), at("a")).unwrap();
        let values = |(xattrs, faults): (Vec<Xattr>, Vec<XattrFault>)| {
            assert!(faults.is_empty(), "{faults:?}");
            let of_users = xattrs.into_iter().filter(|xattr| xattr.name.starts_with(b"user."));
            of_users.map(|xattr| xattr.value).collect::<Vec<_>>()
        };
        let mut reader = XattrReader::default();
        assert_eq!(values(reader.read_open(file.as_fd())), [b"first"]);
        assert_eq!(values(reader.read(folder.as_fd(), b"a")), [b"second"]);
    }

    #[test]
    fn what_file_systems_compute_is_left_out() {
        for name in
            ["user.a", "trusted.overlay.opaque", "security.capability", "security.selinux", "system.posix_acl_access"]
        {
            assert!(is_kept(name.as_bytes()), "{name}");
        }
        for name in ["system.nfs4_acl", "system.cifs_acl", "security.evm", "ceph.dir.layout", "user", "", "lustre.lov"]
        {
            assert!(!is_kept(name.as_bytes()), "{name}");
        }
    }
}
