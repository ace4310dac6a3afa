//! Where names lead: folders that are swapped for links meanwhile, and paths that are too long for the system.

use super::{deleting, into_existing, set_mtime};
use crate::world::{World, everything_into, noise, portrait};
use nightsafe::snapshot::monitor::{Monitor, Progress};
use nightsafe::snapshot::restore::Overwrite;
use nightsafe::snapshot::target::directory::Directory;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Directories, 300 in each other, with names of 60 bytes: longer than any path that the system takes.
#[test]
fn paths_longer_than_the_system_takes_come_back() {
    let world = World::new();
    let name = [b'n'; 60];
    let fill = |base: &Path, content: &[u8]| {
        let mut at = Directory::open(base).unwrap();
        for _ in 0..300 {
            at = at.create_child(&name).unwrap();
            let path =
                format!("/proc/self/fd/{}/file", std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&at)));
            std::fs::write(path, content).unwrap();
        }
    };
    fill(&world.source(), b"deep");
    let id = world.night();
    let target = world.fresh();
    let check = |content: &[u8]| {
        let mut at = Directory::open(&target).unwrap();
        for _ in 0..300 {
            at = at.child(&name).unwrap();
            let mut found = Vec::new();
            std::io::Read::read_to_end(&mut at.pin(b"file").unwrap().open_file().unwrap(), &mut found).unwrap();
            assert_eq!((found.as_slice(), at.names().unwrap().iter().any(|name| name == b"extra")), (content, false));
        }
    };
    let summary = world.run(id, &everything_into(target.clone())).unwrap();
    assert_eq!((summary.problems, summary.files, summary.directories), (vec![], 300, 300));
    check(b"deep");
    // And over what exists, with something to delete at the end.
    let mut at = Directory::open(&target).unwrap();
    for _ in 0..300 {
        at = at.child(&name).unwrap();
    }
    let mut extra = at.create_child(b"extra").unwrap();
    for _ in 0..300 {
        extra = extra.create_child(&name).unwrap();
    }
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!((summary.problems, summary.overwritten, summary.deleted), (vec![], 300, 301));
    check(b"deep");
    for path in [world.source(), target] {
        assert!(Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
    }
}

/// Swaps folders for links to another one until it's told to stop.
fn swap(target: &Path, away: &Path, outside: &Path, stop: &AtomicBool) -> usize {
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        for name in ["0", "1/inner", "2", "3/inner/most"] {
            let (here, there) = (target.join(name), away.join(name.replace('/', "-")));
            if std::fs::rename(&here, &there).is_err() {
                continue;
            }
            let _ = symlink(outside, &here);
            std::thread::yield_now();
            swaps += 1;
            // What the restore made there meanwhile goes out of the way.
            if std::fs::remove_file(&here).is_err() {
                let _ = std::fs::remove_dir_all(&here);
            }
            let _ = std::fs::rename(&there, &here);
        }
    }
    swaps
}

/// Folders in folders, with files, other names of one, and links.
fn fill(world: &World) {
    for top in 0..4 {
        for n in 0..12 {
            for folder in [format!("{top}"), format!("{top}/inner"), format!("{top}/inner/most")] {
                world.write(&format!("{folder}/{n}"), noise(300));
            }
        }
        std::fs::hard_link(world.source().join("0/0"), world.source().join(format!("{top}/inner/linked"))).unwrap();
        symlink("0", world.source().join(format!("{top}/inner/most/symlink"))).unwrap();
    }
}

/// Two folders beside the target: one outside, with files of these names in each of its folders, and an empty one.
fn beside(world: &World, names: &[&str]) -> (PathBuf, PathBuf) {
    let (outside, away) = (world.fresh(), world.fresh());
    std::fs::create_dir(&away).unwrap();
    std::fs::create_dir_all(outside.join("inner/most")).unwrap();
    for folder in ["", "inner", "inner/most"] {
        for name in names {
            std::fs::write(outside.join(folder).join(name), "outside").unwrap();
        }
        set_mtime(&outside.join(folder), 1_100_000_000);
    }
    set_mtime(&outside.join("inner"), 1_100_000_000);
    set_mtime(&outside, 1_100_000_000);
    (outside, away)
}

/// Another process that may write to the target swaps folders for links, all the time: nothing beyond the links is ever touched.
#[test]
fn folders_swapped_for_links_lead_nowhere() {
    let world = World::new();
    fill(&world);
    let id = world.night();
    // Outside is all that a restore would write, change or delete if it followed a link.
    let (outside, away) = beside(&world, &["0", "1", "5", "extra", "linked"]);
    let before = portrait(&outside);
    let target = world.copy_of(id);
    let stop = AtomicBool::new(false);
    let (swaps, runs) = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&target, &away, &outside, &stop));
        let begun = Instant::now();
        let mut runs = 0;
        while begun.elapsed() < Duration::from_secs(6) {
            let options = match runs % 3 {
                0 => into_existing(&target, Overwrite::Always),
                1 => deleting(&target, Overwrite::Always),
                _ => deleting(&target, Overwrite::IfChanged),
            };
            // It may fail at whatever is swapped just then.
            let _ = world.run(id, &options);
            let _ = world.plan(id, &options);
            assert_eq!(portrait(&outside), before, "run {runs}");
            runs += 1;
        }
        stop.store(true, Ordering::Relaxed);
        (swapper.join().unwrap(), runs)
    });
    assert!(swaps > 100 && runs > 3, "{swaps} swaps, {runs} runs");
    assert_eq!(portrait(&outside), before);
    let summary = world.run(id, &deleting(&target, Overwrite::Always)).unwrap();
    assert_eq!(summary.problems, []);
    assert_eq!(portrait(&target), portrait(&world.source()));
}

/// Swaps a folder for a link at one moment of a restore: when it asks for the so-manieth time whether it shall go on.
struct SwapsOnce<'a> {
    progress: Progress,
    target: &'a Path,
    away: &'a Path,
    outside: &'a Path,
    at: usize,
    asked: AtomicUsize,
    swapped: AtomicUsize,
}

impl Monitor for SwapsOnce<'_> {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn interrupted(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::SeqCst) == self.at {
            // The innermost first: those that have been made by now.
            for (n, name) in FOLDERS.iter().enumerate() {
                let here = self.target.join(name);
                if std::fs::rename(&here, self.away.join(n.to_string())).is_ok() {
                    symlink(self.outside, &here).unwrap();
                    self.swapped.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        false
    }
}

/// What is swapped.
const FOLDERS: [&str; 6] = ["3/inner/most", "2/inner/most", "1/inner", "0/inner", "2", "0"];

/// The folders that a restore has just made are swapped for links to outside, at every third moment of it, and stay so: whatever it was about to write there goes into the folder that it had made, which another
/// process moved away, or nowhere.
#[test]
fn folders_just_made_are_swapped_for_links_at_each_moment() {
    let world = World::new();
    fill(&world);
    let id = world.night();
    // Outside is nothing that would be in the way: what a restore that followed a link would make there is seen.
    let (outside, away) = beside(&world, &["witness"]);
    std::fs::remove_dir(&away).unwrap();
    let before = portrait(&outside);
    let (mut swapped, mut noticed) = (0, 0);
    for at in (0..).step_by(3) {
        let target = world.fresh();
        std::fs::create_dir(&away).unwrap();
        let monitor = SwapsOnce {
            progress: Progress::default(),
            target: &target,
            away: &away,
            outside: &outside,
            at,
            asked: AtomicUsize::new(0),
            swapped: AtomicUsize::new(0),
        };
        let result = world.run_watched(id, &everything_into(target.clone()), &monitor);
        assert_eq!(portrait(&outside), before, "at moment {at}");
        let now = monitor.swapped.into_inner();
        swapped += now;
        noticed += usize::from(!result.is_ok_and(|summary| summary.problems.is_empty()));
        std::fs::remove_dir_all(&away).unwrap();
        std::fs::remove_dir_all(&target).unwrap();
        if monitor.asked.into_inner() <= at {
            break;
        }
    }
    assert!(
        swapped > 100 && noticed > 20,
        "{swapped} folders were swapped; {noticed} restores said that something was wrong"
    );
}

/// Another process swaps the folders of an empty target as soon as they are made, all the time.
#[test]
fn folders_of_an_empty_target_are_swapped_all_the_time() {
    let world = World::new();
    fill(&world);
    let id = world.night();
    // Outside is nothing that would be in the way: what a restore that followed a link would make there is seen.
    let (outside, away) = beside(&world, &["witness"]);
    let before = portrait(&outside);
    let (mut swaps, mut runs) = (0, 0);
    while swaps < 500 {
        let target = world.fresh();
        let stop = AtomicBool::new(false);
        swaps += std::thread::scope(|scope| {
            let swapper = scope.spawn(|| swap(&target, &away, &outside, &stop));
            // It may fail at whatever is swapped just then, and is typed again meanwhile.
            for _ in 0..2 {
                let _ = world.run(id, &everything_into(target.clone()));
            }
            stop.store(true, Ordering::Relaxed);
            swapper.join().unwrap()
        });
        assert_eq!(portrait(&outside), before, "run {runs}");
        std::fs::remove_dir_all(&target).unwrap();
        std::fs::remove_dir_all(&away).unwrap();
        std::fs::create_dir(&away).unwrap();
        runs += 1;
        assert!(runs < 2_000, "only {swaps} folders were swapped in {runs} restores");
    }
    let target = world.fresh();
    let summary = world.run(id, &everything_into(target.clone())).unwrap();
    assert_eq!(summary.problems, []);
    assert_eq!(portrait(&target), portrait(&world.source()));
}
