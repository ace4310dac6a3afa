//! Dumps that are made anew each night: what of them is as it was isn't proven again.

use super::{DUMPS, rows, zip};
use crate::world::{World, portrait};
use nightsafe::chunker::expand::Outcome;
use nightsafe::snapshot::backup::{BackupOptions, backup};
use nightsafe::snapshot::monitor::{Monitor, Progress};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A name for the dump.
const NAME: &str = "chinook.dump";
/// Where its header tells the seconds of the time when it was begun, and the minutes.
const SECONDS: usize = 17;
const MINUTES: usize = 22;

/// What came of containers; may change a file as soon as somebody has looked at it.
#[derive(Default)]
struct Watch {
    progress: Progress,
    outcomes: Mutex<Vec<Outcome>>,
    changes: Option<PathBuf>,
    has_changed: AtomicBool,
}

impl Monitor for Watch {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn container(&self, _path: &[u8], _bytes: u64, _stream: Option<u64>, outcome: &Outcome) {
        self.outcomes.lock().unwrap().push(outcome.clone());
    }

    fn interrupted(&self) -> bool {
        if let Some(path) = &self.changes
            && !self.has_changed.swap(true, Ordering::Relaxed)
        {
            change(path);
        }
        false
    }
}

/// Changes a bit in the middle of the dump.
fn change(path: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let at = DUMPS[0].1.len() as u64 / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

/// Backs up; what came of the only container. All must be there.
fn back_up(world: &World, options: &BackupOptions, watch: Watch) -> Outcome {
    let summary = backup(&world.repo(), options, &watch).unwrap();
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
    let mut outcomes = watch.outcomes.into_inner().unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// Only a dump whose bytes were all known used to be spared; one that is made anew has another time in its head, and the tables of yesterday.
#[test]
fn tables_that_are_as_they_were_are_not_proven_again() {
    let world = World::new();
    let mut dump = DUMPS[0].1.to_vec();
    let mut night = |at: usize, options: &BackupOptions| {
        dump[at] ^= 1;
        world.write(NAME, &dump);
        back_up(&world, options, Watch::default())
    };
    let options = world.options();
    let first = night(SECONDS, &options);
    assert_eq!(first.known, 0);
    let second = night(SECONDS, &options);
    assert_eq!((second.undone, &second.left), (first.undone, &first.left));
    assert!(second.known >= 3, "{second:?}");
    assert_eq!(night(MINUTES, &BackupOptions { no_cache: true, ..options.clone() }).known, 0, "when all is to be read");
    assert_eq!(night(SECONDS, &options).known, second.known);
    // It's believed as long as nobody touches it.
    let cache = world.repo().cache().join("proofs-2");
    let mut bytes = std::fs::read(&cache).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&cache, bytes).unwrap();
    assert_eq!(night(SECONDS, &options).known, 0);
    assert_eq!(night(SECONDS, &options).known, second.known, "it was made anew");
}

/// Exports of applications have other times in their headers each night.
#[test]
fn members_that_are_as_they_were_are_not_proven_again() {
    let world = World::new();
    let (tickets, users) = (rows(40_000).concat(), rows(9_000).concat());
    let night = |time: u32, users: &str| {
        let members = [("data/tickets.json", tickets.as_bytes(), 6), ("data/users.json", users.as_bytes(), 6)];
        world.write("export.zip", zip(&members, time));
        back_up(&world, &world.options(), Watch::default())
    };
    assert_eq!(night(1, &users).known, 0);
    let second = night(2, &users.replacen("0\t", "00\t", 1));
    assert_eq!((second.undone, second.known), (2, 1));
    assert_eq!(night(3, &users).known, 2);
}

#[test]
fn a_dump_that_changes_behind_the_look_is_read_again() {
    let world = World::new();
    world.write(NAME, DUMPS[0].1);
    let options = world.options();
    back_up(&world, &options, Watch::default());
    let path = world.source().join(NAME);
    // So that it isn't known as a whole.
    let mut dump = DUMPS[0].1.to_vec();
    dump[SECONDS] ^= 1;
    world.write(NAME, &dump);
    let watch = Watch { changes: Some(path.clone()), ..Watch::default() };
    back_up(&world, &options, watch);
    assert_ne!(std::fs::read(path).unwrap(), dump, "it was changed");
}
