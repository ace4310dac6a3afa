//! A tree of everything a file system can hold.

use super::is_root;
use crate::tree::build_odd_tree;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

pub fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let mtime = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

/// Fills a new folder with all of it.
pub fn build(base: &Path) {
    std::fs::create_dir(base).unwrap();
    build_odd_tree(base);
    build_names(&base.join("names"));
    build_times(&base.join("times"));
    build_links(&base.join("links"));
    build_deep(base);
    build_closed(&base.join("closed"));
    build_rights(&base.join("rights"));
    build_sparse(&base.join("sparse files"));
    // Into which nothing can be put, not even by its owner.
    set_mode(base, 0o555);
    set_mtime(base, -62_135_596_800 / 64, 123_456_789);
}

/// A name for every byte but `/` and NUL, alone where that can be, and of the greatest length.
fn build_names(base: &Path) {
    std::fs::create_dir(base).unwrap();
    for byte in (1..=255u8).filter(|&byte| byte != b'/') {
        let alone: &[u8] = if byte == b'.' { b"..." } else { &[byte] };
        for name in [alone, &[byte; 255]] {
            std::fs::write(base.join(OsStr::from_bytes(name)), [byte]).unwrap();
        }
    }
}

/// Times that a file system may hold or not: whatever it made of them must come back.
fn build_times(base: &Path) {
    std::fs::create_dir(base).unwrap();
    let times = [
        i64::from(i32::MIN),
        -1,
        0,
        i64::from(i32::MAX) + 1,
        // 2262, where nanoseconds since 1970 exceed 64 bits; the last second of ext4; the year 10000; and one that has no name.
        i64::MAX / 1_000_000_000 + 1,
        15_032_385_535,
        253_402_300_800,
        1 << 40,
    ];
    for seconds in times {
        for nanoseconds in [0, 1, 999_999_999] {
            let path = base.join(format!("{seconds}.{nanoseconds}"));
            match nanoseconds {
                0 => std::fs::write(&path, "").unwrap(),
                1 => std::fs::create_dir(&path).unwrap(),
                _ => symlink("nowhere", &path).unwrap(),
            }
            set_mtime(&path, seconds, nanoseconds);
        }
    }
}

fn build_links(base: &Path) {
    std::fs::create_dir_all(base.join("a/b")).unwrap();
    std::fs::create_dir(base.join("z")).unwrap();
    // Slashes keep the components short enough; the system takes 4,095 bytes.
    symlink("0123456/".repeat(512).trim_end_matches('/'), base.join("longest")).unwrap();
    assert_eq!(std::fs::read_link(base.join("longest")).unwrap().as_os_str().len(), 4_095);
    symlink("../../../../../../etc/passwd", base.join("out")).unwrap();
    symlink("/", base.join("root")).unwrap();
    symlink("z", base.join("to a folder")).unwrap();
    rustix::fs::mkfifoat(CWD, base.join("z/pipe"), Mode::from_raw_mode(0o622)).unwrap();
    rustix::fs::mknodat(CWD, base.join("z/socket"), FileType::Socket, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::write(base.join("z/file"), vec![1; 100_000]).unwrap();
    for (name, other) in [
        ("z/pipe", "a/pipe"),
        ("z/socket", "a/b/socket"),
        ("longest", "a/b/link"),
        ("z/file", "a/file"),
        ("z/file", "file"),
    ] {
        std::fs::hard_link(base.join(name), base.join(other)).unwrap();
    }
    if is_root() {
        for (name, kind) in [("char", FileType::CharacterDevice), ("block", FileType::BlockDevice)] {
            let device = rustix::fs::makedev(4_000, 1_000_000);
            rustix::fs::mknodat(CWD, base.join("z").join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
            std::fs::hard_link(base.join("z").join(name), base.join("a/b").join(name)).unwrap();
        }
    }
}

/// Paths longer than `PATH_MAX`, with a file, a link and another name of the file at their end.
fn build_deep(base: &Path) {
    let mut dir: OwnedFd = File::open(base).unwrap().into();
    for depth in 0..100 {
        let name = if depth == 0 { "deep".to_owned() } else { format!("{depth:060}") };
        rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let file = rustix::fs::openat(&dir, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    File::from(file).write_all_at(&[3; 5_000], 0).unwrap();
    rustix::fs::symlinkat("file", &dir, "link").unwrap();
    rustix::fs::linkat(&dir, "file", &dir, "other", AtFlags::empty()).unwrap();
}

/// Folders that their owner may not write to, or nobody else may read, with something in them.
fn build_closed(base: &Path) {
    for (name, mode) in
        [("read only", 0o500), ("private", 0o700), ("search only", 0o711), ("sticky", 0o1777), ("group", 0o2775)]
    {
        std::fs::create_dir_all(base.join(name).join("inner")).unwrap();
        std::fs::write(base.join(name).join("file"), name).unwrap();
        std::fs::write(base.join(name).join("inner/file"), name).unwrap();
        set_mode(&base.join(name).join("inner"), mode);
        set_mode(&base.join(name), mode);
    }
    // Only root can look into these.
    if is_root() {
        std::fs::create_dir(base.join("nothing")).unwrap();
        std::fs::write(base.join("nothing/file"), "").unwrap();
        set_mode(&base.join("nothing"), 0);
    }
    set_mode(base, 0o555);
}

/// An access control list: version, then (tag, permissions, id) of owner, users, group, groups, mask, others.
fn acl(user: u32, permissions: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [
        (0x01u16, 7, none),
        (0x02, permissions, user),
        (0x04, 5, none),
        (0x08, permissions, user + 1),
        (0x10, permissions | 5, none),
        (0x20, 5, none),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Access control lists of both kinds, capabilities, and attributes of everything that may have some.
fn build_rights(base: &Path) {
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::lsetxattr(base.join(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    std::fs::create_dir_all(base.join("folder/inner")).unwrap();
    std::fs::write(base.join("folder/before"), "").unwrap();
    set("folder", "system.posix_acl_access", &acl(1_000, 7));
    set("folder", "system.posix_acl_default", &acl(2_000, 4));
    // What is made now inherits; what was there hasn't, and must not when it comes back.
    std::fs::write(base.join("folder/after"), "").unwrap();
    std::fs::create_dir(base.join("folder/heir")).unwrap();
    set("folder/inner", "user.long", &[7; 3_000]);
    set("folder/before", &format!("user.{}", "n".repeat(250)), b"");
    if is_root() {
        // cap_net_bind_service, effective, with a namespace's root (version 3) and without (version 2).
        let v2 = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        std::fs::write(base.join("capable"), "").unwrap();
        set("capable", "security.capability", &v2);
        std::os::unix::fs::chown(base.join("folder/after"), Some(4_294_967_294), Some(4_294_967_294)).unwrap();
        std::fs::write(base.join("lends"), "").unwrap();
        std::os::unix::fs::chown(base.join("lends"), Some(33), Some(44)).unwrap();
        set_mode(&base.join("lends"), 0o7755);
    }
}

/// Files with holes at the start, in the middle and at the end, large and of single blocks.
pub fn build_sparse(base: &Path) {
    std::fs::create_dir(base).unwrap();
    let file = |name: &str, size: u64, pieces: &[(u64, usize)]| {
        let file = File::create(base.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in pieces {
            file.write_all_at(&vec![9; *length], *offset).unwrap();
        }
    };
    let mib = 1 << 20;
    file("nothing but a hole", 3 * mib, &[]);
    file("a terabyte", 1 << 40, &[(512 << 30, 10)]);
    file("hole at the start", 2 * mib, &[(mib, 1 << 20)]);
    file("hole in the middle", 2 * mib, &[(0, 5_000), (2 * mib - 5_000, 5_000)]);
    file("hole at the end", 2 * mib + 1, &[(0, 10_000)]);
    file("a small hole", 20 << 10, &[(0, 8 << 10), (16 << 10, 4 << 10)]);
    let many: Vec<(u64, usize)> = (0..300).map(|n| (n * (32 << 10), 4 << 10)).collect();
    file("many holes", 300 * (32 << 10), &many);
    // More than are remembered one by one.
    let crowd: Vec<(u64, usize)> = (0..5_000).map(|n| (n * (8 << 10), 1)).collect();
    file("a crowd of holes", 5_000 * (8 << 10), &crowd);
    file("dense", 300_000, &[(0, 300_000)]);
}
