//! What waits until a restore has walked through its snapshot, beyond what memory is kept for.

use crate::world::{World, everything_into, noise};
use std::os::unix::fs::{FileExt, MetadataExt};

/// A sparse file with as many holes as are remembered finely: 64 KiB of extents in each entry that names it.
const EXTENTS: u64 = 4_000;
/// So many further names of it have more of them than are kept.
const NAMES: usize = 275;

/// Once, the extents of each further name were kept, however many there were; now those that don't fit are looked up in the snapshot again.
#[test]
fn names_that_wait_without_room_are_looked_up_again() {
    let world = World::new();
    let first = world.source().join("000");
    let file = std::fs::File::create(&first).unwrap();
    let block = noise(4_096);
    for n in 0..EXTENTS {
        file.write_all_at(&block, 3 * n * 4_096).unwrap();
    }
    drop(file);
    for n in 1..=NAMES {
        std::fs::hard_link(&first, world.source().join(format!("{n:03}"))).unwrap();
    }
    let id = world.night();
    let target = world.fresh();
    let summary = world.run(id, &everything_into(target.clone())).unwrap();
    assert_eq!(summary.problems, []);
    let inodes = (0..=NAMES).map(|n| std::fs::metadata(target.join(format!("{n:03}"))).unwrap().ino());
    let inodes: std::collections::BTreeSet<u64> = inodes.collect();
    assert_eq!(inodes.len(), 1, "one file");
    assert!(std::fs::read(target.join("275")).unwrap() == std::fs::read(&first).unwrap());
}
