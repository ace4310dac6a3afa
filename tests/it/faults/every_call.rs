//! A fault of every kind at every store call of a backup, a restore and a check, once and lasting: exact data or an error that names the object, nothing
//! committed that isn't whole, and the next run succeeds. The totals are printed; those of all cases stand in `docs/reliability.md`.
#![expect(clippy::print_stdout, reason = "totals for the documents")]

use crate::world::{NAME, Portrait, World, everything_into, noise, portrait};
use nightsafe::repo::id::RunId;
use nightsafe::repo::repository::{AnyRepo, CacheDir, Full, Repo, open};
use nightsafe::repo::store::faulty::{Fault, FaultyStore};
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::retry::{Backoff, RetryingStore};
use nightsafe::repo::store::{Listed, Store, StoreErrorKind};
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::snapshots::{load, snapshots};
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

/// Every so many cases one is tried in the suite; the test that is ignored tries all.
const STRIDE: usize = 11;

const OPERATIONS: [Operation; 7] = [
    Operation::Put,
    Operation::Get,
    Operation::GetRange,
    Operation::Length,
    Operation::List,
    Operation::Delete,
    Operation::Settle,
];

/// What is run over the store that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Backup,
    Restore,
    Check,
}

/// What goes wrong, as the table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An error without effect that may pass, of a service: it's tried again.
    Before,
    /// The same, after the effect.
    After,
    /// An error of a disk: nobody tries again.
    Disk,
    /// A put that stores a part and fails.
    Torn,
    /// A put that stores a part, or nothing, and succeeds.
    Silent,
    /// A read that comes back shorter.
    Short,
    /// A read that comes back empty.
    Empty,
    /// A read with a wrong bit.
    Flipped,
}

const KINDS: [Kind; 8] =
    [Kind::Before, Kind::After, Kind::Disk, Kind::Torn, Kind::Silent, Kind::Short, Kind::Empty, Kind::Flipped];

impl Kind {
    /// The faults of this kind that an operation can have.
    fn faults(self, operation: Operation) -> Vec<Fault> {
        let reads = matches!(operation, Operation::Get | Operation::GetRange);
        let puts = operation == Operation::Put;
        match self {
            Self::Before => vec![Fault::Before(StoreErrorKind::Transient)],
            Self::After => vec![Fault::After(StoreErrorKind::Transient)],
            Self::Disk => vec![Fault::Before(StoreErrorKind::Other), Fault::After(StoreErrorKind::Other)],
            Self::Torn if puts => vec![Fault::Torn(0), Fault::Torn(100)],
            Self::Silent if puts => vec![Fault::TornSilently(0), Fault::TornSilently(500)],
            Self::Short if reads => vec![Fault::ShortRead(1), Fault::ShortRead(16)],
            Self::Empty if reads => vec![Fault::ShortRead(usize::MAX)],
            Self::Flipped if reads => vec![Fault::Flipped(0), Fault::Flipped(1_003)],
            _ => Vec::new(),
        }
    }

    /// Whether the store is a service, whose calls are tried again, or a folder.
    fn is_tried_again(self) -> bool {
        matches!(self, Self::Before | Self::After | Self::Torn)
    }
}

/// One case.
#[derive(Debug, Clone, Copy)]
struct Case {
    verb: Verb,
    kind: Kind,
    operation: Operation,
    nth: u64,
    fault: Fault,
    lasts: bool,
}

/// How a run ended.
enum Ended {
    /// All is as it should be.
    Exact,
    /// It ended, and named what isn't.
    Named(String),
    /// It failed.
    Failed(String),
}

/// An error with all that is below it.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

/// A repository with two snapshots and a change since.
struct Scene {
    world: World,
    first: RunId,
    second: RunId,
    portraits: BTreeMap<RunId, Portrait>,
    now: Portrait,
}

/// The same objects in a store of their own.
fn copy(store: &MemoryStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::new();
    let mut keys = Vec::new();
    store.list("", &mut |Listed { key, .. }| keys.push(key)).unwrap();
    for key in &keys {
        copy.put(key, &store.get(key, u64::MAX).unwrap()).unwrap();
    }
    Arc::new(copy)
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let mut portraits = BTreeMap::new();
        let mut night = || {
            let id = world.back_up().snapshot.unwrap();
            portraits.insert(id, portrait(&world.source()));
            id
        };
        world.write("kept", noise(30_000));
        world.write("folder/changed", noise(40_000));
        world.write("folder/small", "small");
        let first = night();
        world.write("folder/changed", noise(40_000));
        world.write(".env", "KEY=value\n");
        let second = night();
        world.write("folder/changed", noise(40_000));
        world.write("new", noise(10_000));
        let now = portrait(&world.source());
        Self { world, first, second, portraits, now }
    }

    /// As a host that has no cache: more is asked of the store.
    fn lose_cache(&self) {
        let _ = std::fs::remove_dir_all(self.world.cache());
    }

    fn open(&self, store: Arc<dyn Store>) -> Result<Repo<Full>, Ended> {
        match open(store, &self.world.secret, &CacheDir::new(self.world.cache())) {
            Ok(AnyRepo::Full(repo)) => Ok(repo),
            Ok(AnyRepo::WriteOnly(_)) => panic!("a full credential opened as write-only"),
            Err(error) => Err(Ended::Failed(told(&error))),
        }
    }

    fn run(&self, verb: Verb, store: Arc<dyn Store>, target: &Path) -> Ended {
        let repo = match self.open(store) {
            Ok(repo) => repo,
            Err(ended) => return ended,
        };
        match verb {
            Verb::Backup => match self.world.try_back_up(&repo) {
                Ok(summary) => {
                    assert_eq!(summary.problems, [], "a fault of the store is no problem of the source");
                    Ended::Exact
                }
                Err(error) => Ended::Failed(told(&error)),
            },
            Verb::Restore => self.restore(&repo, target),
            Verb::Check => {
                let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
                match check(&repo, &options, &Silent::default()) {
                    Ok(report) if report.errors.is_empty() && report.snapshots == 2 => Ended::Exact,
                    Ok(report) => Ended::Named(format!("{report:?}")),
                    Err(error) => Ended::Failed(told(&error)),
                }
            }
        }
    }

    fn restore(&self, repo: &Repo<Full>, target: &Path) -> Ended {
        let snapshot = match load(repo, self.second) {
            Ok(snapshot) => snapshot,
            Err(error) => return Ended::Failed(told(&error)),
        };
        let path = SafePath::parse(NAME.as_bytes()).unwrap();
        let options = everything_into(target.to_owned());
        match restore::restore(repo, &snapshot, Some(&path), &options, &Silent::default()) {
            Ok(summary) if summary.problems.is_empty() => {
                assert_eq!(portrait(target), self.portraits[&self.second]);
                Ended::Exact
            }
            Ok(summary) => {
                Ended::Named(summary.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            }
            Err(error) => Ended::Failed(told(&error)),
        }
    }

    /// Whatever is under a real name in the target is what the snapshot holds.
    fn assert_no_wrong_bytes(&self, target: &Path, what: &dyn fmt::Display) {
        if !target.exists() {
            return;
        }
        let good = &self.portraits[&self.second];
        for (path, facts) in portrait(target) {
            if facts.size.is_some() && !path.to_string_lossy().contains(".nightsafe-restore-") {
                assert_eq!(
                    Some(&facts.content),
                    good.get(&path).map(|good| &good.content),
                    "{what}: {}",
                    path.display()
                );
            }
        }
    }

    /// What must hold once the store has recovered.
    fn assert_whole(&self, store: &Arc<MemoryStore>, case: &Case, ended: &Ended, target: &Path) {
        let what = format!("{case:?}");
        let repo = self.world.repo_over(store.clone());
        if case.verb == Verb::Restore && !matches!(ended, Ended::Exact) {
            let ended = self.restore(&repo, target);
            assert!(matches!(ended, Ended::Exact), "{what}: the same restore, typed again");
        }
        let restored = |id: RunId| {
            let target = self.world.fresh();
            let path = SafePath::parse(NAME.as_bytes()).unwrap();
            let snapshot = load(&repo, id).unwrap_or_else(|error| panic!("{what}: {}", told(&error)));
            let options = everything_into(target.clone());
            let summary = restore::restore(&repo, &snapshot, Some(&path), &options, &Silent::default());
            assert_eq!(summary.unwrap_or_else(|error| panic!("{what}: {}", told(&error))).problems, [], "{what}");
            let portrait = portrait(&target);
            std::fs::remove_dir_all(target).unwrap();
            portrait
        };
        if case.verb == Verb::Backup {
            let next = self.world.try_back_up(&repo).unwrap_or_else(|error| panic!("{what}: {}", told(&error)));
            let next = next.snapshot.unwrap();
            // Whatever is listed restores.
            for snapshot in snapshots(&repo).unwrap().list {
                let good = self.portraits.get(&snapshot.id).unwrap_or(&self.now);
                assert!(snapshot.id != next || good == &self.now);
                assert_eq!(&restored(snapshot.id), good, "{what}");
            }
        }
        if case.verb == Verb::Check {
            let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
            let errors = check(&repo, &options, &Silent::default()).unwrap().errors;
            assert_eq!(errors, [], "{what}");
            assert!(restored(self.first) == self.portraits[&self.first], "{what}");
        }
    }

    /// How many calls of each kind a verb makes when nothing fails.
    fn calls(&self, verb: Verb) -> Vec<(Operation, u64)> {
        self.lose_cache();
        let store = Arc::new(FaultyStore::new(copy(&self.world.store)));
        let target = self.world.fresh();
        assert!(matches!(self.run(verb, store.clone(), &target), Ended::Exact));
        OPERATIONS.into_iter().map(|operation| (operation, store.calls(operation))).collect()
    }

    fn cases(&self, verb: Verb) -> Vec<Case> {
        let mut cases = Vec::new();
        for (operation, count) in self.calls(verb) {
            for nth in 0..count {
                for kind in KINDS {
                    for fault in kind.faults(operation) {
                        cases.extend([false, true].map(|lasts| Case { verb, kind, operation, nth, fault, lasts }));
                    }
                }
            }
        }
        cases
    }

    /// Runs one case; gives how it ended.
    fn try_case(&self, case: &Case) -> Ended {
        self.lose_cache();
        let inner = copy(&self.world.store);
        let faulty = Arc::new(FaultyStore::new(inner.clone()));
        if case.lasts {
            faulty.plan_from(case.operation, case.nth, case.fault);
        } else {
            faulty.plan(case.operation, case.nth, case.fault);
        }
        let store: Arc<dyn Store> = if case.kind.is_tried_again() {
            Arc::new(RetryingStore::with_sleep(faulty.clone(), Backoff::default(), |_| {}))
        } else {
            faulty.clone()
        };
        let target = self.world.fresh();
        let ended = self.run(case.verb, store, &target);
        let struck = faulty.struck();
        faulty.recover();
        self.assert_no_wrong_bytes(&target, &format!("{case:?}"));
        match &ended {
            Ended::Exact => {}
            Ended::Named(text) | Ended::Failed(text) => {
                let is_named = struck.iter().any(|(_, key)| names(text, key));
                assert!(is_named, "{case:?}: {text}\ndoesn't name any of {struck:?}");
            }
        }
        if is_passing(case) {
            assert!(matches!(ended, Ended::Exact), "{case:?}: what passes is tried again");
        }
        self.assert_whole(&inner, case, &ended, &target);
        let _ = std::fs::remove_dir_all(&target);
        ended
    }
}

/// Whether a fault passes so that trying again helps.
fn is_passing(case: &Case) -> bool {
    !case.lasts && matches!(case.kind, Kind::Before | Kind::After)
}

/// Whether a message names an object: by its key, by the id that is its name, or by that of the run that wrote it.
fn names(text: &str, key: &str) -> bool {
    let name = key.trim_end_matches('/').rsplit('/').next().unwrap_or(key);
    let run = name.rsplit_once('-').map_or("", |(run, _)| run);
    let is_told = |id: &str| id.len() > 8 && text.contains(id);
    text.contains(key) || !name.is_empty() && text.contains(name) || is_told(run)
}

/// Tries one case of every `stride`, and prints the totals.
fn try_cases(stride: usize) {
    let scene = Scene::new();
    let mut totals: BTreeMap<(Verb, Kind, bool), [usize; 4]> = BTreeMap::new();
    let mut broken = Vec::new();
    for verb in [Verb::Backup, Verb::Restore, Verb::Check] {
        // Another part of the cases each time.
        let begin = usize::try_from(u64::from_le_bytes(noise(8).try_into().unwrap()) % stride as u64).unwrap();
        for case in scene.cases(verb).iter().skip(begin).step_by(stride) {
            // All that goes wrong is told at the end.
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| scene.try_case(case)));
            let Ok(ended) = outcome else {
                broken.push(format!("{case:?}"));
                continue;
            };
            let row = totals.entry((verb, case.kind, case.lasts)).or_default();
            row[0] += 1;
            row[match ended {
                Ended::Exact => 1,
                Ended::Named(_) => 2,
                Ended::Failed(_) => 3,
            }] += 1;
        }
    }
    println!("| verb | fault | lasts | cases | exact | named, went on | failed cleanly |");
    for ((verb, kind, lasts), [cases, exact, named, failed]) in &totals {
        println!("| {verb:?} | {kind:?} | {lasts} | {cases} | {exact} | {named} | {failed} |");
    }
    let sum = |column: usize| totals.values().map(|row| row[column]).sum::<usize>();
    println!("| all | | | {} | {} | {} | {} |", sum(0), sum(1), sum(2), sum(3));
    assert!(broken.is_empty(), "{} cases, see above: {broken:#?}", broken.len());
    assert!(sum(1) > 0 && sum(3) > 0, "faults that pass, and faults that don't");
}

#[test]
fn a_fault_of_each_kind_at_each_call() {
    try_cases(STRIDE);
}

/// All cases: minutes.
#[test]
#[ignore = "minutes; a part of the cases is tried by the test above"]
fn a_fault_of_each_kind_at_each_call_in_full() {
    try_cases(1);
}
