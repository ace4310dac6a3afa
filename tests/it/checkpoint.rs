//! Long runs: what is done so far can be restored, the next run goes on from there, and nothing that goes wrong with a checkpoint harms the run.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

pub mod long;
mod segments;

use crate::intercept::Intercepted;
use crate::prune::{at_once, try_prune};
use crate::world::{NAME, Portrait, World, everything_into, noise, portrait};
use bytes::Bytes;
use nightsafe::repo::clock::Clock;
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::keys::{KeyFile, Secret};
use nightsafe::repo::record::{self, Pins};
use nightsafe::repo::repository::{AnyRepo, CacheDir, open};
use nightsafe::repo::store::local::LocalStore;
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::repo::store::{Listed, Store, StoreError, StoreErrorKind};
use nightsafe::snapshot::backup::{BackupError, BackupOptions, BackupSummary, FilesSource, backup};
use nightsafe::snapshot::checkpoint::Cadence;
use nightsafe::snapshot::forget::{ForgetPlan, execute};
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::policy::{self, Candidate, Count, Options, Policy, Rule, Unit};
use nightsafe::snapshot::prune::PruneOptions;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::snapshots::{Filter, Selector, Snapshot, snapshots};
use nightsafe::snapshot::tree::path::SafePath;
use nightsafe::snapshot::tree::problem::ProblemKind;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A line on which a byte takes its time, by a clock that nothing else moves; and that is cut each night.
pub struct SlowLine {
    inner: Arc<MemoryStore>,
    /// By how many nanoseconds a byte moves the clock.
    nanoseconds_per_byte: u64,
    clock: Arc<AtomicU64>,
    /// Bytes of packs that arrived.
    arrived: AtomicU64,
    /// Bytes of packs that may still arrive tonight.
    left: Mutex<u64>,
    cut: Arc<AtomicBool>,
    /// By how many seconds manifests seem older than they are.
    older: AtomicU64,
}

impl SlowLine {
    fn new(world: &World, nanoseconds_per_byte: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: world.store.clone(),
            nanoseconds_per_byte,
            clock: Arc::default(),
            arrived: AtomicU64::new(0),
            left: Mutex::new(u64::MAX),
            cut: Arc::default(),
            older: AtomicU64::new(0),
        })
    }

    fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Clock::of(move || Duration::from_nanos(clock.load(Ordering::SeqCst)))
    }

    /// A night begins, in which so many bytes of packs arrive at most.
    fn begin(&self, bytes: u64) {
        *self.left.lock().unwrap() = bytes;
        self.cut.store(false, Ordering::SeqCst);
    }

    fn alive(&self, key: &str) -> Result<(), StoreError> {
        let error = || StoreError::new(StoreErrorKind::Other, key, self.inner.url()).because("it was killed");
        if self.cut.load(Ordering::SeqCst) { Err(error()) } else { Ok(()) }
    }
}

impl Store for SlowLine {
    fn url(&self) -> &str {
        self.inner.url()
    }
    fn connections(&self) -> usize {
        1
    }
    fn create_root(&self) -> Result<(), StoreError> {
        self.inner.create_root()
    }
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.alive(key)?;
        if key.starts_with("packs/") {
            let length = bytes.len() as u64;
            let mut left = self.left.lock().unwrap();
            match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => self.cut.store(true, Ordering::SeqCst),
            }
            drop(left);
            self.alive(key)?;
            self.arrived.fetch_add(length, Ordering::SeqCst);
        }
        self.clock.fetch_add(bytes.len() as u64 * self.nanoseconds_per_byte, Ordering::SeqCst);
        self.inner.put(key, bytes)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.alive(key)?;
        self.inner.get(key, limit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.alive(key)?;
        self.inner.get_range(key, offset, length)
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.alive(key)?;
        self.inner.length(key)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        self.alive(prefix)?;
        let older = self.older.load(Ordering::SeqCst).cast_signed();
        self.inner.list(prefix, &mut |listed| {
            let older = if prefix.starts_with(key::SNAPSHOTS) { older } else { 0 };
            each(Listed { modified: listed.modified.map(|modified| modified - older), ..listed });
        })
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.alive(key)?;
        self.inner.delete(key)
    }
}

/// A checkpoint whenever something new was stored.
fn all_the_time() -> Cadence {
    Cadence { every: Some(Duration::ZERO), ..Cadence::default() }
}

fn options(world: &World, checkpoints: Cadence) -> BackupOptions {
    BackupOptions { checkpoints, ..world.options() }
}

fn back_up(world: &World, store: Arc<dyn Store>, checkpoints: Cadence) -> Result<BackupSummary, BackupError> {
    backup(&world.repo_over(store), &options(world, checkpoints), &Silent::default())
}

/// Which threads read files: not the one that walks, nor the one that counts for the time left, which asks for the counters before anything else.
struct Threads {
    walker: ThreadId,
    known: Mutex<HashMap<ThreadId, bool>>,
}

impl Threads {
    fn new() -> Self {
        Self { walker: std::thread::current().id(), known: Mutex::default() }
    }

    /// Whether the calling thread reads; `if_new`: if it wasn't heard of before.
    fn is_reader(&self, if_new: bool) -> bool {
        let id = std::thread::current().id();
        id != self.walker && *self.known.lock().unwrap().entry(id).or_insert(if_new)
    }
}

/// Lets readers go on only as fast as checkpoints are taken, or fail to be: so many chunks for each. So there are some, whatever this machine is busy with.
struct Lockstep {
    progress: Progress,
    threads: Threads,
    /// How many chunks are read for a checkpoint.
    per: usize,
    /// How many chunks wait like that.
    most: usize,
    /// So many chunks are known, and nobody waits with them: nothing new is no reason for a checkpoint.
    known: usize,
    chunks: AtomicUsize,
    checkpoints: AtomicUsize,
    /// How many chunks were read before the last checkpoint.
    in_the_last: AtomicUsize,
    /// The store is gone: nobody waits any more.
    over: Arc<AtomicBool>,
}

impl Lockstep {
    /// A checkpoint for each of the first chunks.
    fn of(most: usize) -> Self {
        Self::with(1, most, Arc::default())
    }

    fn with(per: usize, most: usize, over: Arc<AtomicBool>) -> Self {
        Self {
            progress: Progress::default(),
            threads: Threads::new(),
            per,
            most,
            known: 0,
            chunks: AtomicUsize::new(0),
            checkpoints: AtomicUsize::new(0),
            in_the_last: AtomicUsize::new(0),
            over,
        }
    }
}

impl Monitor for Lockstep {
    fn progress(&self) -> &Progress {
        self.threads.is_reader(false);
        &self.progress
    }
    fn warning(&self, _: &str) {
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
    }
    fn checkpoint(&self, _: RunId, _: u64, _: u64) {
        self.in_the_last.store(self.chunks.load(Ordering::SeqCst).saturating_sub(1), Ordering::SeqCst);
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
    }
    fn interrupted(&self) -> bool {
        if !self.threads.is_reader(true) {
            return false;
        }
        let nth = self.chunks.fetch_add(1, Ordering::SeqCst).saturating_sub(self.known);
        let early = || nth < self.most && self.checkpoints.load(Ordering::SeqCst) < nth / self.per;
        !soon(|| !early() || self.over.load(Ordering::SeqCst))
    }
}

/// Waits until something is so; gives whether it was within five minutes: a machine that was busy with builds took more than one for a checkpoint.
fn soon(is_so: impl Fn() -> bool) -> bool {
    for _ in 0..150_000 {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// A backup in which a checkpoint is taken after each of so many chunks.
fn back_up_in_steps(world: &World, store: Arc<dyn Store>, most: usize) -> Result<BackupSummary, BackupError> {
    backup(&world.repo_over(store), &options(world, all_the_time()), &Lockstep::of(most))
}

/// The checkpoints that are there, the oldest first.
fn checkpoints(world: &World) -> Vec<Snapshot> {
    let mut all = snapshots(&world.repo()).unwrap().list;
    all.retain(|snapshot| snapshot.manifest.checkpoint_of.is_some());
    all.sort_by_key(|snapshot| snapshot.manifest.sequence);
    all
}

/// Restores a checkpoint and compares it: each file that it holds is the whole file, and it holds as many as it says. Gives how many.
fn assert_holds_a_part(world: &World, checkpoint: &Snapshot, before: &Portrait) -> u64 {
    assert_eq!(checkpoint.manifest.state, State::Incomplete);
    assert!(checkpoint.manifest.problems.iter().any(|problem| problem.kind == ProblemKind::NotReached));
    let target = world.fresh();
    let path = SafePath::parse(NAME.as_bytes()).unwrap();
    let restored =
        restore::restore(&world.repo(), checkpoint, Some(&path), &everything_into(target.clone()), &Silent::default());
    let Ok(summary) = restored else {
        assert_eq!(checkpoint.manifest.statistics.files, 0, "{restored:?}");
        return 0; // not even the folder was begun
    };
    assert_eq!(summary.problems, []);
    let mut files = 0;
    for (path, facts) in portrait(&target) {
        if facts.size.is_some() {
            let whole = &before[&path];
            // Another name of it may not have been reached.
            assert_eq!(
                (&facts.content, facts.size, facts.mode, facts.mtime),
                (&whole.content, whole.size, whole.mode, whole.mtime),
                "{}",
                path.display()
            );
            files += 1;
        } else {
            assert!(before.contains_key(&path), "{}", path.display());
        }
    }
    assert_eq!(files, checkpoint.manifest.statistics.files);
    std::fs::remove_dir_all(target).unwrap();
    files
}

/// A backup over the line, with a checkpoint at least for each so many chunks of some 64 KiB.
fn over_the_line(world: &World, line: &Arc<SlowLine>, chunks: usize) -> Result<BackupSummary, BackupError> {
    let monitor = Lockstep::with(chunks, usize::MAX, Arc::clone(&line.cut));
    let repo = world.repo_over(line.clone());
    backup(&repo, &options(world, all_the_time()), &monitor)
}

/// A first upload that is killed each night after a part of it. All of what arrived is used: what is uploaded in all is what there is, and not that times the nights.
#[test]
fn a_first_upload_gets_further_each_night() {
    const FILES: u64 = 48;
    const TONIGHT: u64 = 20 * MIB;
    let world = World::new();
    for n in 0..FILES {
        world.write(&format!("folder-{}/{n:02}", n / 8), noise(usize::try_from(MIB).unwrap()));
    }
    let before = portrait(&world.source());
    // Files that have just changed are read again, whatever is known of them.
    std::thread::sleep(Duration::from_millis(2_100));
    let line = SlowLine::new(&world, 1);
    let (mut nights, mut restorable) = (0, 0);
    let done = loop {
        nights += 1;
        assert!(nights < 12, "it doesn't come to an end");
        line.begin(TONIGHT);
        let known = checkpoints(&world).len();
        let result = over_the_line(&world, &line, 64);
        if let Ok(summary) = result {
            break summary;
        }
        let taken = checkpoints(&world);
        assert!(taken.len() > known, "a checkpoint every night");
        let last = taken.last().unwrap();
        let files = assert_holds_a_part(&world, last, &before);
        assert!(files > restorable, "{files} files after night {nights}, {restorable} before");
        restorable = files;
        try_prune(&world, &at_once()).unwrap();
        assert_holds_a_part(&world, last, &before);
    };
    let (arrived, all) = (line.arrived.load(Ordering::SeqCst), FILES * MIB);
    // Three if nothing were wasted; a pack that is on its way when the line is cut has to be sent again.
    assert!((3..=6).contains(&nights), "{nights} nights, {arrived} bytes");
    assert!(arrived < all + all / 10, "{arrived} of {all}");
    assert_eq!(done.state, State::Complete);
    // What the last checkpoint held wasn't read again.
    assert!(done.statistics.files_unmodified >= restorable, "{:?}, {restorable}", done.statistics);
    assert!(done.statistics.bytes_read <= (FILES - restorable) * MIB, "{:?}, {restorable}", done.statistics);
    assert_eq!(world.restored(done.snapshot.unwrap()), before);
}

/// A prune that takes the killed run for dead removes what no checkpoint keeps, and nothing else; the next run pins what is left of it before it reads anything.
#[test]
fn what_a_checkpoint_holds_survives_a_prune_that_takes_its_run_for_dead() {
    let world = World::new();
    for n in 0..12 {
        world.write(&format!("{n:02}"), noise(usize::try_from(MIB).unwrap()));
    }
    let before = portrait(&world.source());
    let line = SlowLine::new(&world, 1);
    line.begin(9 * MIB);
    assert!(over_the_line(&world, &line, 24).is_err());
    let last = checkpoints(&world).pop().unwrap();
    assert!(assert_holds_a_part(&world, &last, &before) > 0);
    let run = last.manifest.checkpoint_of.unwrap();
    prune_until_stopped(&world, run);
    // What the dead run stored is looked at by the prune after the one that took it for dead.
    try_prune(&world, &at_once()).unwrap();
    assert_holds_a_part(&world, &last, &before);
    let left: BTreeSet<PackId> = crate::prune::packs(&world).into_iter().filter(|pack| pack.run == run).collect();
    let pinned = pinned_by_the_next(&world);
    assert!(!left.is_empty() && pinned.is_superset(&left), "{pinned:?} {left:?}");
    let done = world.back_up();
    assert_eq!(world.restored(done.snapshot.unwrap()), before);
    assert_eq!(done.state, State::Complete);
}

/// Prunes until the run is taken for dead: ages are in whole seconds, and one of none is not too old.
fn prune_until_stopped(world: &World, run: RunId) {
    let impatient = PruneOptions { stale_after: Duration::ZERO, ..at_once() };
    let is_stopped = || {
        try_prune(world, &impatient).unwrap();
        world.objects("stops/").contains_key(&key::stop(run))
    };
    assert!(soon(is_stopped), "it was never taken for dead");
}

/// What a run pins first, which is killed after that.
fn pinned_by_the_next(world: &World) -> BTreeSet<PackId> {
    let pinned: Arc<Mutex<Option<BTreeSet<PackId>>>> = Arc::default();
    let (seen, repo) = (Arc::clone(&pinned), world.repo());
    let store = Intercepted::new(world.store.clone(), move |_, key, bytes| {
        if !key.starts_with("pins/") {
            return Ok(());
        }
        let (pins, _) = record::open_record::<Pins>(&**repo.keys(), key, bytes).unwrap();
        seen.lock().unwrap().get_or_insert_with(|| pins.packs.into_iter().collect());
        Err(StoreError::new(StoreErrorKind::Other, key, "memory").because("it was killed"))
    });
    assert!(back_up(world, Arc::new(store), Cadence::default()).is_err());
    let pinned = pinned.lock().unwrap().clone();
    pinned.unwrap_or_default()
}

/// Folders in folders, names of one file, links, a secret, an empty folder; a checkpoint wherever one can be taken. Each holds whole files alone, and the snapshot in the end is that of a run without any.
#[test]
fn each_checkpoint_holds_exactly_what_it_lists() {
    let world = World::new();
    for n in 0..24_usize {
        world.write(&format!("{}/{}/{n:02}", n / 9, n / 3), noise(5_000 + n * 997));
        world.write(&format!("{}/{}/{n:02}-small", n / 9, n / 3), "small");
    }
    world.write("1/.env", "SECRET=hunter2hunter2");
    std::fs::create_dir(world.source().join("2/empty")).unwrap();
    std::fs::hard_link(world.source().join("0/0/00"), world.source().join("2/other-name")).unwrap();
    std::os::unix::fs::symlink("nowhere", world.source().join("1/link")).unwrap();
    let before = portrait(&world.source());
    let summary = back_up_in_steps(&world, world.store.clone(), usize::MAX).unwrap();
    assert_eq!((summary.state, &summary.problems[..]), (State::Complete, &[][..]));
    assert_eq!(world.restored(summary.snapshot.unwrap()), before);
    let taken = checkpoints(&world);
    assert!(taken.len() >= 20, "only {}", taken.len());
    let mut held = 0;
    for checkpoint in &taken {
        assert_eq!(checkpoint.manifest.checkpoint_of, summary.snapshot);
        let files = assert_holds_a_part(&world, checkpoint, &before);
        assert!(files >= held, "a later checkpoint holds what an earlier one held");
        held = files;
    }
    assert!(held > 20, "{held}");
    // They continue the credential's sequence, one after the other, and the snapshot comes last.
    let all = snapshots(&world.repo()).unwrap();
    let mut by_sequence: Vec<&Snapshot> = all.list.iter().collect();
    by_sequence.sort_by_key(|snapshot| snapshot.manifest.sequence);
    for (n, pair) in by_sequence.windows(2).enumerate() {
        assert_eq!(pair[1].manifest.sequence, n as u64 + 1);
        assert_eq!(pair[1].manifest.previous, Some(pair[0].hash));
    }
    assert_eq!(by_sequence.last().map(|snapshot| snapshot.id), summary.snapshot);
    let latest: Selector = "latest".parse().unwrap();
    assert_eq!(all.resolve(&latest, &Filter::default()).unwrap().0.id, summary.snapshot.unwrap());
    assert_eq!(world.objects("runs/").len(), 1 + taken.len(), "a run each");
    assert!(world.objects("pins/").is_empty(), "and none of them left pins");
}

/// Holds back whoever reads a large file, as a slow disk would, until a checkpoint was taken.
struct SlowDisk {
    progress: Progress,
    threads: Threads,
    /// How often the walk was asked to go on.
    asked: AtomicUsize,
    /// So often it's asked before all of it was walked.
    entries: usize,
    checkpoints: AtomicUsize,
    read: AtomicUsize,
}

impl Monitor for SlowDisk {
    fn progress(&self) -> &Progress {
        self.threads.is_reader(false);
        &self.progress
    }
    fn warning(&self, text: &str) {
        panic!("{text}");
    }
    fn checkpoint(&self, _: RunId, _: u64, _: u64) {
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
    }
    fn interrupted(&self) -> bool {
        if !self.threads.is_reader(true) {
            self.asked.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        // The first chunk is put when all has been walked, the second when a checkpoint was taken.
        !match self.read.fetch_add(1, Ordering::SeqCst) {
            0 => soon(|| self.asked.load(Ordering::SeqCst) > self.entries),
            1 => soon(|| self.checkpoints.load(Ordering::SeqCst) > 0),
            _ => true,
        }
    }
}

/// A file that takes all night doesn't keep what was read besides from being restorable: it's left out, whole.
#[test]
fn a_file_that_is_being_read_is_left_out_and_holds_nothing_up() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        return; // it takes another reader
    }
    let world = World::new();
    world.write("a-large-one", noise(3_000_000));
    for n in 0..30 {
        world.write(&format!("folder/{n:02}"), format!("small {n}"));
    }
    let before = portrait(&world.source());
    let monitor = SlowDisk {
        progress: Progress::default(),
        threads: Threads::new(),
        asked: AtomicUsize::new(0),
        entries: 104, // all of what is walked and counted, and each of the small files that is done
        checkpoints: AtomicUsize::new(0),
        read: AtomicUsize::new(0),
    };
    let done = backup(&world.repo(), &options(&world, all_the_time()), &monitor).unwrap();
    assert_eq!(world.restored(done.snapshot.unwrap()), before);
    let first = checkpoints(&world).into_iter().next().unwrap();
    assert!(assert_holds_a_part(&world, &first, &before) > 0);
    let lacks: Vec<String> = first.manifest.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert!(lacks.contains(&"/data/a-large-one".to_owned()), "{lacks:?}");
}

/// Some files that are stored in frames, in folders.
fn some_files(world: &World) -> Portrait {
    for n in 0..12 {
        world.write(&format!("{n:02}/file"), noise(50_000));
    }
    portrait(&world.source())
}

/// How a put goes wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Before,
    After,
    Torn,
}

/// Every object that a checkpoint writes, each in every way: the run goes on, says so, and its snapshot is whole.
#[test]
fn a_checkpoint_that_fails_harms_nothing() {
    // Of `runs/` the first is the run's own; pins and manifests of this first backup are those of checkpoints.
    for (prefix, nth) in [("runs/", 1), ("pins/", 0), ("snapshots/", 0)] {
        for wrong in [Wrong::Before, Wrong::After, Wrong::Torn] {
            let world = World::new();
            let before = some_files(&world);
            let count = AtomicUsize::new(0);
            let store = Intercepted::new(world.store.clone(), move |inner, key, bytes| {
                if !key.starts_with(prefix) || count.fetch_add(1, Ordering::SeqCst) != nth {
                    return Ok(());
                }
                match wrong {
                    Wrong::Before => {}
                    Wrong::After => inner.put(key, bytes)?,
                    Wrong::Torn => inner.put(key, &bytes.slice(..bytes.len() / 2))?,
                }
                Err(StoreError::new(StoreErrorKind::Other, key, "memory").because("a planned fault"))
            });
            let done = back_up_in_steps(&world, Arc::new(store), 4).unwrap();
            assert_eq!(done.state, State::Complete, "{prefix} {wrong:?}");
            let id = done.snapshot.unwrap();
            assert_eq!(world.restored(id), before, "{prefix} {wrong:?}");
            let all = snapshots(&world.repo()).unwrap();
            assert_eq!(all.unreadable.len(), usize::from(prefix == "snapshots/" && matches!(wrong, Wrong::Torn)));
            // Also one whose answer was lost is in the sequence, once.
            let sequences: BTreeSet<u64> = all.list.iter().map(|snapshot| snapshot.manifest.sequence).collect();
            assert_eq!(sequences, (0..all.list.len() as u64).collect(), "{prefix} {wrong:?}");
            let last = all.list.iter().max_by_key(|snapshot| snapshot.manifest.sequence).unwrap();
            assert_eq!(last.id, id);
            for checkpoint in checkpoints(&world) {
                assert_holds_a_part(&world, &checkpoint, &before);
            }
            if all.unreadable.is_empty() {
                // Nothing is left behind that a prune couldn't read.
                try_prune(&world, &at_once()).unwrap();
            }
        }
    }
}

/// A store that is cut for good at any call of the first checkpoint, as by kill -9: what was there is whole, and the next run succeeds by itself.
#[test]
fn a_run_that_is_killed_in_the_middle_of_a_checkpoint_leaves_nothing_to_mend() {
    let mut cuts = 0;
    for cut in 0.. {
        let world = World::new();
        let before = some_files(&world);
        let (calls, over) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let monitor = Lockstep::with(1, 2, Arc::clone(&over));
        let store = Intercepted::new(world.store.clone(), move |_, key, _| {
            let nth = calls.fetch_add(1, Ordering::SeqCst);
            let error = || StoreError::new(StoreErrorKind::Other, key, "memory").because("it was killed");
            over.fetch_or(nth >= cut, Ordering::SeqCst);
            if nth >= cut { Err(error()) } else { Ok(()) }
        });
        let killed = backup(&world.repo_over(Arc::new(store)), &options(&world, all_the_time()), &monitor);
        for checkpoint in checkpoints(&world) {
            assert_holds_a_part(&world, &checkpoint, &before);
        }
        if killed.is_ok() || cut > 14 {
            break;
        }
        cuts += 1;
        let done = back_up(&world, world.store.clone(), Cadence::default()).unwrap();
        assert_eq!(world.restored(done.snapshot.unwrap()), before, "cut at put {cut}");
    }
    assert!(cuts > 6, "only {cuts}");
}

/// A laptop that was closed for days: a pruner took the run for dead. The next checkpoint finds out, rather than the commit, and the run begins again.
#[test]
fn a_run_that_was_declared_dead_begins_again_at_the_next_checkpoint() {
    let world = Arc::new(World::new());
    let before = some_files(&world);
    let (pruning, manifests) = (Arc::clone(&world), AtomicUsize::new(0));
    let store = Intercepted::new(world.store.clone(), move |_, key, _| {
        // Before the second checkpoint is committed: there is a snapshot, so that there is something to prune.
        if key.starts_with("snapshots/") && manifests.fetch_add(1, Ordering::SeqCst) == 1 {
            let run = checkpoints(&pruning)[0].manifest.checkpoint_of.unwrap();
            prune_until_stopped(&pruning, run);
        }
        Ok(())
    });
    let done = back_up_in_steps(&world, Arc::new(store), 3).unwrap();
    assert_eq!(done.state, State::Complete);
    assert_eq!(world.restored(done.snapshot.unwrap()), before);
    let all = checkpoints(&world);
    let runs: BTreeSet<RunId> = all.iter().filter_map(|snapshot| snapshot.manifest.checkpoint_of).collect();
    for checkpoint in &all {
        assert_holds_a_part(&world, checkpoint, &before);
    }
    let dead = runs.iter().find(|run| Some(**run) != done.snapshot).expect("the first one isn't the one that ended");
    assert!(world.objects("stops/").contains_key(&key::stop(*dead)));
    assert!(!world.objects("snapshots/").contains_key(&key::snapshot(*dead)), "it never came to its commit");
}

/// Sources come one after the other: what a checkpoint says of those that it doesn't hold, and of those that it holds.
#[test]
fn a_checkpoint_says_which_sources_it_lacks() {
    let world = World::new();
    let sources = ["alpha", "beta", "gamma"].map(|name| {
        for n in 0..4 {
            world.write(&format!("{name}/{n}"), noise(30_000));
        }
        FilesSource { name: Some(name.to_owned()), paths: vec![world.source().join(name)], ..FilesSource::default() }
    });
    let options = BackupOptions { files: sources.to_vec(), ..options(&world, all_the_time()) };
    let done = backup(&world.repo(), &options, &Lockstep::of(usize::MAX)).unwrap();
    assert_eq!(done.state, State::Complete);
    let taken = checkpoints(&world);
    let states = |snapshot: &Snapshot| snapshot.manifest.sources.iter().map(|source| source.state).collect::<Vec<_>>();
    assert!(taken.iter().all(|checkpoint| states(checkpoint).contains(&State::Incomplete)));
    assert!(taken.iter().any(|checkpoint| states(checkpoint)[0] == State::Complete), "alpha was done by then");
    let lacks: BTreeSet<String> = taken[0].manifest.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert!(lacks.contains("/beta") && lacks.contains("/gamma"), "{lacks:?}");
}

/// Rules: a checkpoint whose run came further goes at the next `forget`, whatever its tags; one of a run that was killed stays until a complete snapshot is taken after it; neither counts.
#[test]
fn checkpoints_that_are_overtaken_are_forgotten() {
    let world = World::new();
    some_files(&world);
    // Killed right after its second checkpoint.
    let (manifests, killed) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    // Readers needn't wait for a third one.
    let monitor = Lockstep::with(1, 4, Arc::clone(&killed));
    let store = Intercepted::new(world.store.clone(), move |_, key, _| {
        let nth = manifests.fetch_add(usize::from(key.starts_with("snapshots/")), Ordering::SeqCst);
        let error = || StoreError::new(StoreErrorKind::Other, key, "memory").because("it was killed");
        killed.fetch_or(nth >= 2, Ordering::SeqCst);
        if nth >= 2 { Err(error()) } else { Ok(()) }
    });
    let repo = world.repo_over(Arc::new(store));
    assert!(backup(&repo, &options(&world, all_the_time()), &monitor).is_err());
    let of_killed = checkpoints(&world);
    assert_eq!(of_killed.len(), 2);
    let rules = || Policy::new([Rule::Newest(Unit::Snapshot, Count::All), Rule::Tags(vec!["nightly".into()])]);
    let planned = || {
        ForgetPlan::by_policy(&snapshots(&world.repo()).unwrap(), &Filter::default(), &rules(), &Options::default())
            .ids()
    };
    let last = of_killed.last().unwrap().id;
    let others: BTreeSet<RunId> = of_killed.iter().map(|snapshot| snapshot.id).filter(|id| *id != last).collect();
    assert_eq!(planned().into_iter().collect::<BTreeSet<_>>(), others, "the last one is all there is");
    let tagged = BackupOptions { tags: vec!["nightly".into()], ..options(&world, all_the_time()) };
    let done = backup(&world.repo(), &tagged, &Silent::default()).unwrap();
    let all: BTreeSet<RunId> = checkpoints(&world).iter().map(|snapshot| snapshot.id).collect();
    assert!(all.contains(&last));
    assert_eq!(planned().into_iter().collect::<BTreeSet<_>>(), all, "a complete snapshot stands for all of them");
    let found = snapshots(&world.repo()).unwrap();
    let candidates: Vec<Candidate> = found.list.iter().map(Candidate::from).collect();
    assert_eq!(policy::overtaken(&candidates, &Options::default()), all, "listings say the same");
    let plan = ForgetPlan::by_policy(&found, &Filter::default(), &rules(), &Options::default());
    execute(&world.repo(), &plan, nightsafe::snapshot::backup::now()).unwrap();
    let left: Vec<RunId> = snapshots(&world.repo()).unwrap().list.iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(left, [done.snapshot.unwrap()]);
}

/// What people see: the list calls it a checkpoint, a restore of it says what wasn't reached and ends with 3, and once its backup has come to its end the list leaves it out.
#[test]
fn the_program_says_what_a_checkpoint_is() {
    let scene = crate::binary::Scene::new();
    for n in 0..6 {
        std::fs::write(scene.at("source").join(format!("{n}")), noise(40_000)).unwrap();
    }
    let key = std::fs::read_to_string(scene.at("key")).unwrap();
    let secret = Secret::KeyFile(KeyFile::parse(&key).unwrap());
    let puts = AtomicUsize::new(0);
    let store = Intercepted::new(Arc::new(LocalStore::new(&scene.at("repository"))), move |_, key, _| {
        let is_second = key.starts_with("snapshots/") && puts.fetch_add(1, Ordering::SeqCst) == 1;
        let killed = || StoreError::new(StoreErrorKind::Other, key, "local").because("it was killed");
        if is_second { Err(killed()) } else { Ok(()) }
    });
    let AnyRepo::Full(repo) = open(Arc::new(store), &secret, &CacheDir::new(scene.at("other-cache"))).unwrap() else {
        panic!("a full key");
    };
    let source = FilesSource { name: Some("data".into()), paths: vec![scene.at("source")], ..FilesSource::default() };
    let options =
        BackupOptions { files: vec![source], host: "here".into(), zone: "UTC".into(), ..BackupOptions::default() };
    // The second checkpoint, or the snapshot itself, can't be committed; either way one checkpoint is there.
    let rare = Cadence { every: Some(Duration::ZERO), clock: Clock::default() };
    let _ = backup(&repo, &BackupOptions { checkpoints: rare, ..options }, &Lockstep::of(2));
    let list = scene.run(["snapshots", "--json"]).json();
    let checkpoint = list.as_array().unwrap().iter().find(|entry| !entry["checkpoint_of"].is_null()).unwrap().clone();
    let id = checkpoint["id"].as_str().unwrap().to_owned();
    assert_eq!(checkpoint["state"], "incomplete");
    let target = scene.at("restored");
    let said = scene.run(["restore", &id, "--target", target.to_str().unwrap()]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.out.contains("This is a checkpoint of a backup that went on"), "{said:?}");
    assert!(said.out.contains("not reached"), "{said:?}");
    let source = scene.at("source");
    let done =
        scene.run(["backup", "--as", "data", "--host", "here", "--checkpoint", "never", source.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let listed = scene.run(["snapshots"]);
    assert!(!listed.out.contains("checkpoint") && listed.err.contains("not shown"), "{listed:?}");
    let forgotten = scene.run(["forget", "--keep-last", "9", "--json"]);
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert!(forgotten.out.contains("a later snapshot stands for it"), "{forgotten:?}");
    let list = scene.run(["snapshots", "--json"]).json();
    assert!(list.as_array().unwrap().iter().all(|entry| entry["id"] != id.as_str()), "{list}");
}

/// A dry run once stored all that it said that it would store; only the manifest was left out. It writes nothing now, and so takes no checkpoints; neither does a run in which nothing new was stored, however long it takes.
#[test]
fn no_checkpoint_without_something_new() {
    let world = World::new();
    some_files(&world);
    let dry = BackupOptions { dry_run: true, ..options(&world, all_the_time()) };
    let objects = world.objects("");
    let would = backup(&world.repo(), &dry, &Silent::default()).unwrap();
    assert!(would.statistics.stored_added > 600_000 && would.statistics.packs_added > 0, "{:?}", would.statistics);
    assert_eq!(world.objects(""), objects);
    back_up(&world, world.store.clone(), Cadence { every: None, ..Cadence::default() }).unwrap();
    back_up(&world, world.store.clone(), all_the_time()).unwrap();
    assert_eq!(world.objects("snapshots/").len(), 2, "both complete");
    assert!(checkpoints(&world).is_empty());
}
