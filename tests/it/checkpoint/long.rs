//! Files, streams and dumps that take longer than a night: what is stored of one stays although no snapshot can show it yet.

use super::{Lockstep, MIB, SlowLine, all_the_time, checkpoints, options, prune_until_stopped};
use crate::expand::gzip;
use crate::prune::{at_once, packs, try_prune};
use crate::world::{NAME, World, everything_into, noise, noisy_text, portrait};
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Condemned};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::backup::{BackupError, BackupOptions, BackupSummary, backup, now};
use nightsafe::snapshot::checkpoint::Cadence;
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::prune;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::snapshots::{Snapshot, snapshots};
use nightsafe::snapshot::source::pipe::{Input, PipeFrom, PipeSource};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::ProblemKind;
use nightsafe::snapshot::unfinished::KEPT_FOR;
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
    assert!(held.len() > 1, "{} of {}", held.len(), taken.len());
    assert!(held.iter().all(|found| *found == compressed));
    let lacks = |path: &str| {
        let lacks = |snapshot: &&Snapshot| snapshot.manifest.problems.iter().any(|p| p.path.to_string() == path);
        taken.iter().filter(lacks).count()
    };
    assert_eq!(lacks("/stdin"), taken.len() - held.len(), "which say so");
    assert!(lacks(&format!("/{NAME}")) >= lacks("/stdin"), "files come behind it");
}

/// By default: not before 45 minutes are over, and then at the next occasion.
#[test]
fn a_checkpoint_is_taken_every_45_minutes() {
    let world = World::new();
    // Ten minutes for a pack of 16 MiB.
    let line = SlowLine::new(&world, 600_000_000_000 / (16 * MIB));
    let times: Mutex<Vec<Duration>> = Mutex::default();
    let clock = line.clock();
    let monitor = Times { progress: Progress::default(), now: &|| clock.now(), noted: &times };
    let streams = vec![stream("large", &noise(usize::try_from(170 * MIB).unwrap()))];
    let checkpoints = Cadence { clock: line.clock(), ..Cadence::default() };
    let options = BackupOptions { files: Vec::new(), streams, ..options(&world, checkpoints) };
    backup(&world.repo_over(line.clone()), &options, &monitor).unwrap();
    let minutes: Vec<u64> = times.into_inner().unwrap().iter().map(|time| time.as_secs() / 60).collect();
    // Some packs are on their way when one is due.
    assert!(matches!(minutes[..], [45..=75, 90..=150]), "{minutes:?}");
}

/// Notes when checkpoints are taken.
struct Times<'t> {
    progress: Progress,
    now: &'t (dyn Fn() -> Duration + Sync),
    noted: &'t Mutex<Vec<Duration>>,
}

impl Monitor for Times<'_> {
    fn progress(&self) -> &Progress {
        &self.progress
    }
    fn checkpoint(&self, _: RunId, _: u64, _: u64) {
        self.noted.lock().unwrap().push((self.now)());
    }
}

/// A run that was killed in a stream, of which checkpoints tell and that a prune took for dead.
fn killed() -> (World, RunId) {
    let world = World::new();
    world.write("kept", noise(100_000));
    world.back_up();
    let line = SlowLine::new(&world, 1);
    line.begin(TONIGHT);
    let checkpoints = Cadence { every: Some(Duration::ZERO), clock: line.clock() };
    let streams = vec![stream("large", &noise(usize::try_from(14 * MIB).unwrap()))];
    let options = BackupOptions { files: Vec::new(), streams, ..options(&world, checkpoints) };
    assert!(backup(&world.repo_over(line), &options, &Silent::default()).is_err());
    let run = super::checkpoints(&world)[0].manifest.checkpoint_of.unwrap();
    prune_until_stopped(&world, run);
    try_prune(&world, &at_once()).unwrap();
    (world, run)
}

/// The packs of a run.
fn packs_of(world: &World, run: RunId) -> BTreeSet<PackId> {
    packs(world).into_iter().filter(|pack| pack.run == run).collect()
}

/// What a checkpoint keeps besides what it holds goes when the checkpoint is forgotten, or a month is over.
#[test]
fn what_a_checkpoint_keeps_does_not_stay_for_ever() {
    let of = |world: &World, run| packs_of(world, run).len();
    // With all of its checkpoints forgotten.
    let (world, run) = killed();
    assert!(of(&world, run) > 3);
    for checkpoint in checkpoints(&world) {
        crate::prune::forget(&world, checkpoint.id);
    }
    try_prune(&world, &at_once()).unwrap();
    assert_eq!(of(&world, run), 0);
    // A month later, by the store's clock.
    let (world, run) = killed();
    let report = try_prune(&world, &at_once()).unwrap();
    assert!(report.packs_held + 2 >= of(&world, run) as u64 && report.frames_missing == 0, "{report:?}");
    let before = of(&world, run);
    let line = SlowLine::new(&world, 0);
    line.older.store(KEPT_FOR.as_secs() + 60, Ordering::SeqCst);
    let repo = world.repo_over(line);
    let silent = Silent::default();
    prune::plan(&repo, &at_once(), false, &silent).unwrap().execute(&silent).unwrap();
    // Those with the checkpoints' trees stay.
    assert!(of(&world, run) < before && checkpoints(&world).len() > 1);
}

/// No run relies on a pack that somebody condemned, so the next run can't go on from it: it goes although a checkpoint tells of its run, and the others stay.
#[test]
fn condemned_packs_of_an_unfinished_run_go() {
    let (world, run) = killed();
    let before = packs_of(&world, run);
    assert!(before.len() > 4, "{before:?}");
    // A pruner that was killed before it deleted: its record stands.
    let condemned: Vec<PackId> = before.iter().copied().take(before.len() / 2).collect();
    let (repo, gid) = (world.repo(), world.repo().keys().new_run());
    let census = snapshots(&repo).unwrap().list.iter().map(|snapshot| snapshot.id).collect();
    let body = Condemned { needs: Needs::NONE, time: now(), condemned: condemned.clone(), kept: vec![], census };
    let sealed = record::seal_admin_record(repo.read_keys(), &key::gc(gid), &body);
    world.store.put(&key::gc(gid), &sealed.into()).unwrap();
    let report = try_prune(&world, &at_once()).unwrap();
    let after = packs_of(&world, run);
    assert!(condemned.iter().all(|pack| !after.contains(pack)), "{report:?}");
    assert!(before.iter().all(|pack| condemned.contains(pack) || after.contains(pack)), "{report:?}");
    assert!(report.packs_removed > 0 && report.packs_held > 0 && report.frames_missing == 0, "{report:?}");
}

/// A run that committed and whose snapshot was forgotten has ended, also when a prune has removed the manifest: its tombstone says so. What only that snapshot needed goes, though checkpoints of the run are there.
#[test]
fn a_run_whose_snapshot_was_forgotten_keeps_nothing() {
    let (world, run) = killed();
    // As if it had come to its end: the tombstone is that of a forgotten snapshot, and its manifest is gone with it.
    world.store.delete(&key::forgotten(run)).unwrap();
    let held = try_prune(&world, &at_once()).unwrap();
    let before = packs_of(&world, run);
    assert!(held.packs_held > 0 && before.len() > 3, "without a tombstone it's unfinished: {held:?}");
    world.store.delete(&key::forgotten(run)).unwrap();
    crate::prune::forget(&world, run);
    let report = try_prune(&world, &at_once()).unwrap();
    assert!(packs_of(&world, run).len() < before.len() && report.packs_held == 0, "{report:?}");
    assert!(super::checkpoints(&world).len() > 1, "they are there");
}

/// The manifest of a run that was declared dead, whose upload arrives later: it's no snapshot, so the run hasn't ended and the next one may go on from what it stored.
#[test]
fn a_manifest_that_came_too_late_ends_no_run() {
    let (world, run) = killed();
    let before = packs_of(&world, run);
    world.store.put(&key::snapshot(run), &b"it came too late".to_vec().into()).unwrap();
    let report = try_prune(&world, &at_once()).unwrap();
    assert!(report.packs_held > 0, "{report:?}");
    assert_eq!(packs_of(&world, run), before);
}
