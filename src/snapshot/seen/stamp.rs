//! What tells, without reading a file, whether it changed.

use crate::repo::cbor::Time;

/// A file's times must be further than this from the moment its reading began: 2 s, the coarsest clock of a file system
/// (FAT).
const RACY_NANOSECONDS: u128 = 2_000_000_000;

/// What the file system says of a file; a file whose stamp is the same is taken to have the same content.
///
/// The device number isn't part of it: on btrfs, overlayfs, NFS and device-mapper volumes it may be another one after
/// each mount, and all files would be read again. Two devices that were swapped under one path differ in inodes and
/// ctimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// When the content was changed last, as anyone may set it.
    pub mtime: Time,
    /// When anything was changed last; only the kernel sets it.
    pub ctime: Time,
    /// The inode's number.
    pub inode: u64,
}

impl Stamp {
    /// Whether a change while or shortly after the file was read, from `read_began` on, could have left the same stamp.
    ///
    /// So it is when a time lies within 2 s of that moment, before or after: clocks of file systems are coarse.
    pub fn is_racy(&self, read_began: Time) -> bool {
        let began = nanoseconds(read_began);
        [self.mtime, self.ctime].into_iter().any(|time| nanoseconds(time).abs_diff(began) <= RACY_NANOSECONDS)
    }
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_racy_around_the_read() {
        let time = |nanoseconds: i64| Time {
            seconds: nanoseconds.div_euclid(1_000_000_000),
            nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap(),
        };
        let old = time(-1_000_000_000_000);
        let racy = |mtime, ctime| Stamp { size: 1, mtime, ctime, inode: 1 }.is_racy(time(500));
        assert!(!racy(old, old));
        for near in [-1_999_999_500, 0, 500, 2_000_000_500] {
            assert!(racy(time(near), old), "{near}");
            assert!(racy(old, time(near)), "{near}");
        }
        assert!(!racy(time(-1_999_999_501), old));
        assert!(!racy(time(2_000_000_501), old));
        let end = Time { seconds: i64::MIN, nanoseconds: 0 };
        assert!(
            !Stamp { size: 1, mtime: end, ctime: end, inode: 1 }.is_racy(Time { seconds: i64::MAX, nanoseconds: 0 })
        );
    }
}
