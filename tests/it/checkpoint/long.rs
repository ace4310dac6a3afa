//! Files, streams and dumps that take longer than a night: what is stored of one stays although no snapshot can show it yet.

use super::{Lockstep, MIB, SlowLine, all_the_time, checkpoints, options, prune_until_stopped};
use crate::expand::gzip;
use crate::prune::{at_once, packs, try_prune};
use crate::world::{NAME, World, everything_into, noise, noisy_text, portrait};
use nightsafe::snapshot::backup::{BackupError, BackupOptions, BackupSummary, backup};
use nightsafe::snapshot::checkpoint::Cadence;
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::snapshots::Snapshot;
use nightsafe::snapshot::source::pipe::{Input, PipeFrom, PipeSource};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::ProblemKind;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What arrives in a night.
const TONIGHT: u64 = 10 * MIB;

/// Backs up night after night over a line that is cut each night, and prunes by day, which takes the run for dead that was killed. Gives the end, and how many bytes of packs arrived.
pub fn until_done(
    world: &World,
    once: &dyn Fn(&Arc<SlowLine>) -> Result<BackupSummary, BackupError>,
) -> (BackupSummary, u64) {
    let line = SlowLine::new(world, 1);
    for night in 1.. {
        assert!(night < 12, "it doesn't come to an end: {} bytes arrived", line.arrived.load(Ordering::SeqCst));
        line.begin(TONIGHT);
        let known = checkpoints(world).len();
        if let Ok(summary) = once(&line) {
            assert!(night > 2, "it was to take some nights");
            return (summary, line.arrived.load(Ordering::SeqCst));
        }
        let taken = checkpoints(world);
        assert!(taken.len() > known, "night {night} has a checkpoint");
        let last = taken.last().unwrap();
        assert!(last.manifest.problems.iter().any(|problem| problem.kind == ProblemKind::NotReached));
        let run = last.manifest.checkpoint_of.unwrap();
        let mine = || packs(world).into_iter().filter(|pack| pack.run == run).collect::<Vec<_>>();
        let stored = mine();
        assert!(!stored.is_empty(), "night {night}");
        // Two nights later nobody would have waited for it any more.
        prune_until_stopped(world, run);
        try_prune(world, &at_once()).unwrap();
        // But for what no segment names yet.
        assert!(mine().len() + 1 >= stored.len(), "night {night}: {} of {}", mine().len(), stored.len());
    }
    unreachable!()
}

/// A run that was killed while it read a file of which a night's line carries a part began from nothing each night, once prunes took the dead runs' packs away: nothing referred to them. It never came to an end.
#[test]
fn a_file_that_takes_nights_gets_further_each_night() {
    let world = World::new();
    world.write("large", noise(usize::try_from(28 * MIB).unwrap()));
    let before = portrait(&world.source());
    let known = AtomicUsize::new(0);
    let (done, arrived) = until_done(&world, &|line| {
        let lockstep = Lockstep::with(24, usize::MAX, Arc::clone(&line.cut));
        let monitor = Lockstep { known: known.load(Ordering::SeqCst), ..lockstep };
        let result = backup(&world.repo_over(line.clone()), &options(&world, all_the_time()), &monitor);
        known.store(monitor.in_the_last.load(Ordering::SeqCst), Ordering::SeqCst);
        result
    });
    assert_eq!(done.state, State::Complete);
    assert!(arrived < 28 * MIB * 5 / 4, "{arrived}");
    assert_eq!(world.restored(done.snapshot.unwrap()), before);
    assert!(checkpoints(&world).iter().all(|checkpoint| checkpoint.manifest.statistics.files == 0));
}

/// As somebody pipes it in: no more than so many bytes at once.
struct Slowly(Cursor<Vec<u8>>);

impl Read for Slowly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(256 << 10);
        self.0.read(&mut buffer[..length])
    }
}

fn stream(name: &str, bytes: &[u8]) -> PipeSource {
    let from = PipeFrom::Input(Input::new(Slowly(Cursor::new(bytes.to_vec()))));
    PipeSource { name: "stdin".to_owned(), file: name.to_owned(), from, no_expand: false, secrets: Vec::new() }
}

fn restored(world: &World, snapshot: &Snapshot, name: &str) -> Option<Vec<u8>> {
    let target = world.fresh();
    let path = SafePath::parse(b"stdin").unwrap();
    let options = everything_into(target.clone());
    restore::restore(&world.repo(), snapshot, Some(&path), &options, &Silent::default()).ok()?;
    std::fs::read(target.join(name)).ok()
}

#[test]
fn a_stream_that_takes_nights_gets_further_each_night() {
    let world = World::new();
    let bytes = noise(usize::try_from(28 * MIB).unwrap());
    let now_and_then = |line: &Arc<SlowLine>| Cadence { every: Some(Duration::ZERO), clock: line.clock() };
    let (done, arrived) = until_done(&world, &|line| {
        let streams = vec![stream("large", &bytes)];
        let options = BackupOptions { files: Vec::new(), streams, ..options(&world, now_and_then(line)) };
        backup(&world.repo_over(line.clone()), &options, &Silent::default())
    });
    assert!(arrived < 28 * MIB * 5 / 4, "{arrived}");
    let snapshot = nightsafe::snapshot::snapshots::load(&world.repo(), done.snapshot.unwrap()).unwrap();
    assert!(restored(&world, &snapshot, "large").is_some_and(|found| found == bytes));
}

/// A checkpoint that was taken while files were read held the content of a compressed stream that had come in before them as if that were the file: its compression was undone, and what makes it again was left out.
#[test]
fn a_checkpoint_holds_compressed_streams_as_they_came() {
    let world = World::new();
    for n in 0..4 {
        world.write(&format!("{n}"), noise(200_000));
    }
    let compressed = gzip(noisy_text(6_000_000).as_bytes(), 6);
    let options = BackupOptions { streams: vec![stream("text.gz", &compressed)], ..options(&world, all_the_time()) };
    let done = backup(&world.repo(), &options, &Lockstep::of(usize::MAX)).unwrap();
    assert!(done.statistics.containers > 0, "{:?}", done.statistics);
    let taken = checkpoints(&world);
    let held: Vec<Vec<u8>> = taken.iter().filter_map(|checkpoint| restored(&world, checkpoint, "text.gz")).collect();
    assert!(held.len() > 1 && held.len() < taken.len(), "{} of {}", held.len(), taken.len());
    assert!(held.iter().all(|found| *found == compressed));
    let lacks = |path: &str| {
        let lacks = |snapshot: &&Snapshot| snapshot.manifest.problems.iter().any(|p| p.path.to_string() == path);
        taken.iter().filter(lacks).count()
    };
    assert_eq!(lacks("/stdin"), taken.len() - held.len(), "which say so");
    assert_eq!(taken.first().map(|first| first.manifest.statistics.files), Some(0), "the first came while it was read");
    assert!(lacks(&format!("/{NAME}")) >= lacks("/stdin"), "files come behind it");
}
