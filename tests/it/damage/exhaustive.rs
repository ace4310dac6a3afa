//! Every damage of a kind, one at a time, to a repository of a few kilobytes that holds each kind of object: every bit, every length, every object gone, swapped, replaced and copied.
//!
//! What must hold in each case: what is restored is right or isn't there, and what isn't there is named; and a check of the data notices the change, but for those that [`Small::is_unseen`] lists.
//! The suite tries every so many cases; `cargo test --test it exhaustive -- --ignored` tries all (TMPDIR on a tmpfs makes it quicker), with `NIGHTSAFE_DAMAGE_STRIDE=3 NIGHTSAFE_DAMAGE_OFFSET=1`
//! every third bit and length from the second on, and nothing else.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stdout, reason = "totals are for docs/reliability.md")]

use crate::world::{NAME, Portrait, World, everything_into, noise, portrait};
use nightsafe::repo::format::{MARKER, key};
use nightsafe::repo::gc::sweep::put_census;
use nightsafe::repo::gc::tombstone::{bury_run, put_by_admin};
use nightsafe::repo::id::{CredentialId, PackHash, PackId, RunId};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Pins, Stop, Tombstone};
use nightsafe::repo::repository::{AnyRepo, CacheDir, Full, Repo, open};
use nightsafe::repo::store::Store;
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::check::{CheckOptions, CheckReport, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::notes;
use nightsafe::snapshot::restore::restore;
use nightsafe::snapshot::snapshots::{load, snapshots};
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// In the suite, of so many cases one is tried. A prime, so that every bit of a byte comes up.
const STRIDE: usize = 997;

/// The repository, and what must come out of it.
struct Small {
    world: World,
    objects: BTreeMap<String, Vec<u8>>,
    /// The forgotten one last.
    snapshots: Vec<(RunId, Portrait)>,
    /// Of a run that never committed.
    dead: RunId,
}

/// One damage.
#[derive(Debug, Clone)]
enum Case {
    Flip {
        key: String,
        bit: usize,
    },
    Cut {
        key: String,
        length: usize,
    },
    Remove(String),
    Swap(String, String),
    /// The first has the bytes of the second.
    Replace(String, String),
    /// Under a name that wasn't there.
    Copy {
        of: String,
        name: String,
    },
}

/// What came of a case.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    /// All snapshots came back.
    exact: bool,
    /// A check said something, or the repository couldn't be opened.
    noticed: bool,
    /// What was said names an object that was changed.
    named: bool,
}

impl Small {
    fn new() -> Self {
        let world = World::new();
        world.write("a", noise(300));
        world.write("folder/b", noise(150));
        world.write(".env", "KEY=value\n");
        std::os::unix::fs::symlink("a", world.source().join("link")).unwrap();
        let mut snapshots = Vec::new();
        for night in 0..3 {
            world.write("folder/c", noise(200 + night));
            let id = world.back_up().snapshot.unwrap();
            snapshots.push((id, portrait(&world.source())));
        }
        let repo = world.repo();
        let dead = repo.keys().new_run();
        put_by_admin(&repo, &key::stop(dead), &Stop { needs: Needs::NONE, time: now() }).unwrap();
        bury_run(&repo, dead, now()).unwrap();
        let seen = snapshots.iter().map(|(id, _)| *id).collect();
        put_census(&repo, &seen, now()).unwrap();
        let forgotten = snapshots[2].0;
        put_by_admin(&repo, &key::forgotten(forgotten), &Tombstone { needs: Needs::NONE, time: now(), dead: false })
            .unwrap();
        let all = nightsafe::snapshot::snapshots::snapshots(&repo).unwrap();
        notes::write(&repo, &all.notes.retag(snapshots[0].0, &[], &["kept".to_owned()], now()).unwrap()).unwrap();
        let packs = world.objects("packs/").into_keys().filter_map(|key| key::parse_pack(&key)).take(1).collect();
        let pins = key::pins(snapshots[1].0, 0);
        let sealed = record::seal_record(repo.keys(), &pins, &Pins { needs: Needs::NONE, packs });
        world.store.put(&pins, &sealed.into()).unwrap();
        let objects = world.objects("").into_keys().map(|key| (key.clone(), world.bytes(&key))).collect();
        Self { world, objects, snapshots, dead }
    }

    fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    /// Every bit and every length.
    fn bytes(&self) -> impl Iterator<Item = Case> {
        self.objects.iter().flat_map(|(key, bytes)| {
            let flips = (0..bytes.len() * 8).map(|bit| Case::Flip { key: key.clone(), bit });
            let cuts = (0..bytes.len()).map(|length| Case::Cut { key: key.clone(), length });
            flips.chain(cuts)
        })
    }

    /// Everything that needs no change within an object.
    fn whole(&self) -> Vec<Case> {
        let keys = self.keys();
        let mut cases: Vec<Case> = keys.iter().cloned().map(Case::Remove).collect();
        for (n, one) in keys.iter().enumerate() {
            for other in keys.iter().filter(|other| *other != one) {
                cases.push(Case::Replace(one.clone(), other.clone()));
            }
            cases.extend(keys[n + 1..].iter().map(|other| Case::Swap(one.clone(), other.clone())));
            cases.extend(self.new_names().into_iter().map(|name| Case::Copy { of: one.clone(), name }));
        }
        cases
    }

    /// A name of each kind that isn't there: of a run of this credential, and of one that has packs.
    fn new_names(&self) -> Vec<String> {
        let repo = self.world.repo();
        let (run, known) = (repo.keys().new_run(), self.snapshots[0].0);
        let pack = |run| key::pack(PackId { run, hash: PackHash::from_bytes(noise(32).try_into().unwrap()) });
        vec![
            key::credential(CredentialId::from_bytes(noise(16).try_into().unwrap())),
            key::run(run),
            pack(run),
            pack(known),
            key::segment(run, 0),
            key::segment(known, 9),
            key::pins(run, 0),
            key::snapshot(run),
            key::snapshot(self.dead),
            key::stop(run),
            key::forgotten(run),
            key::forgotten(known),
            key::gc(run),
            key::note(run, 0),
        ]
    }

    /// The objects after a damage, and the keys that it concerns.
    fn damaged(&self, case: &Case) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
        let mut objects = self.objects.clone();
        let bytes = |key: &String| self.objects[key].clone();
        let keys = match case {
            Case::Flip { key, bit } => {
                objects.get_mut(key).unwrap()[bit / 8] ^= 1 << (bit % 8);
                vec![key.clone()]
            }
            Case::Cut { key, length } => {
                objects.get_mut(key).unwrap().truncate(*length);
                vec![key.clone()]
            }
            Case::Remove(key) => {
                objects.remove(key);
                vec![key.clone()]
            }
            Case::Swap(one, other) => {
                objects.insert(one.clone(), bytes(other));
                objects.insert(other.clone(), bytes(one));
                vec![one.clone(), other.clone()]
            }
            Case::Replace(one, other) => {
                objects.insert(one.clone(), bytes(other));
                vec![one.clone()]
            }
            Case::Copy { of, name } => {
                objects.insert(name.clone(), bytes(of));
                vec![name.clone()]
            }
        };
        (objects, keys)
    }

    /// Tries a case with caches that nobody used before.
    fn attempt(&self, case: &Case) -> Outcome {
        let (objects, changed) = self.damaged(case);
        let store = Arc::new(MemoryStore::new());
        for (key, bytes) in objects {
            store.put(&key, &bytes.into()).unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let repo = match open(store, &self.world.secret, &CacheDir::new(scratch.path().join("cache"))) {
            Ok(AnyRepo::Full(repo)) => repo,
            Ok(AnyRepo::WriteOnly(_)) => panic!("another credential"),
            Err(error) => {
                let named = changed.iter().any(|key| error.to_string().contains(key.as_str()));
                return Outcome { exact: false, noticed: true, named };
            }
        };
        let lost = self.lost(&repo, scratch.path(), case);
        let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
        let (noticed, said) = match check(&repo, &options, &Silent::default()) {
            Ok(report) => (!report.errors.is_empty() || !report.warnings.is_empty(), words(&report)),
            Err(error) => (true, error.to_string()),
        };
        let hides = self.is_unseen(case) && lost.iter().all(|(id, _)| *id == self.snapshots[2].0);
        assert!(lost.is_empty() || noticed || hides, "{case:?}: {lost:?} are lost, and a check says nothing");
        Outcome { exact: lost.is_empty(), noticed, named: changed.iter().any(|key| said.contains(key.as_str())) }
    }

    /// Restores all snapshots. What comes back is right, and what doesn't was named, or the restore failed. Gives what doesn't.
    fn lost(&self, repo: &Repo<Full>, scratch: &Path, case: &Case) -> BTreeSet<(RunId, String)> {
        let mut lost = BTreeSet::new();
        // What is offered: perhaps the forgotten one as well, if it's the tombstone that is damaged. It's restored as long as it's there.
        if let Ok(all) = snapshots(repo) {
            let known = |id: &RunId| self.snapshots.iter().any(|(known, _)| known == id);
            assert!(all.list.iter().all(|snapshot| known(&snapshot.id)), "{case:?}: a snapshot that nobody took");
        }
        for (n, (id, expected)) in self.snapshots.iter().enumerate() {
            let Ok(snapshot) = load(repo, *id) else {
                lost.insert((*id, String::new()));
                continue;
            };
            let target = scratch.join(n.to_string());
            let path = SafePath::parse(NAME.as_bytes()).unwrap();
            let result = restore(repo, &snapshot, Some(&path), &everything_into(target.clone()), &Silent::default());
            let mut found = if target.exists() { portrait(&target) } else { Portrait::new() };
            let is_marker = |path: &Path| path.to_string_lossy().starts_with(".nightsafe-restore-");
            found.retain(|path, _| !is_marker(path));
            for (path, facts) in &found {
                let wanted =
                    expected.get(path).unwrap_or_else(|| panic!("{case:?}: {} was never there", path.display()));
                assert_eq!(
                    (facts.size, &facts.content),
                    (wanted.size, &wanted.content),
                    "{case:?}: {}",
                    path.display()
                );
            }
            let missing: Vec<String> = expected
                .keys()
                .filter(|path| !found.contains_key(*path))
                .map(|path| Path::new(NAME).join(path).to_string_lossy().into_owned())
                .collect();
            match result {
                Ok(summary) => {
                    assert!(missing.is_empty() || !summary.problems.is_empty(), "{case:?}: {missing:?} aren't named");
                    assert!(!missing.is_empty() || found == *expected, "{case:?}: attributes differ");
                }
                Err(error) => assert!(!missing.is_empty(), "{case:?}: {error}, although nothing is missing"),
            }
            lost.extend(missing.into_iter().map(|path| (*id, path)));
        }
        lost
    }

    /// Whether a change can't be noticed by anybody who has nothing but the repository, or needn't be.
    fn is_unseen(&self, case: &Case) -> bool {
        let Case::Remove(key) = case else { return false };
        // Records that may be there or not: other objects don't say that they were. Nor does anything need the packs that only the forgotten snapshot does.
        let optional = [key::RUNS, key::PINS, key::INDEX, key::STOPS, key::GC, key::NOTES, key::FORGOTTEN];
        let (forgotten, _) = self.snapshots[2];
        optional.iter().any(|prefix| key.starts_with(prefix))
            || *key == key::snapshot(forgotten)
            || key::parse_pack(key).is_some_and(|pack| pack.run == forgotten)
    }
}

/// All that a check says.
fn words(report: &CheckReport) -> String {
    let errors = report.errors.iter().map(|damage| format!("{}: {}\n", damage.object, damage.what));
    errors.chain(report.warnings.iter().map(|warning| format!("{warning}\n"))).collect()
}

/// What came of many cases.
#[derive(Debug, Default)]
struct Totals {
    cases: u64,
    exact: u64,
    noticed: u64,
    named: u64,
    /// Changes that went unnoticed and may.
    unseen: Vec<Case>,
    wrong: Vec<String>,
}

/// Tries cases by two threads.
fn attempt_all(small: &Small, cases: &[Case]) -> Totals {
    let (next, totals) = (AtomicUsize::new(0), Mutex::new(Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| small.attempt(case)));
                    let mut totals = totals.lock().unwrap();
                    totals.cases += 1;
                    let Ok(outcome) = outcome else {
                        totals.wrong.push(format!("{case:?}: a panic"));
                        continue;
                    };
                    totals.exact += u64::from(outcome.exact);
                    totals.noticed += u64::from(outcome.noticed);
                    totals.named += u64::from(outcome.named);
                    match outcome.noticed {
                        false if small.is_unseen(case) => totals.unseen.push(case.clone()),
                        false => totals.wrong.push(format!("{case:?}: nobody noticed")),
                        true if !outcome.named && !may_be_unnamed(case) => {
                            totals.wrong.push(format!("{case:?}: what is said doesn't name it"));
                        }
                        true => {}
                    }
                }
            });
        }
    });
    totals.into_inner().unwrap()
}

/// Which object is wrong can't be told where it's the one that opens all others, or where it's gone with all that tells of it.
fn may_be_unnamed(case: &Case) -> bool {
    let opens = |key: &String| key.starts_with(key::CREDENTIALS) || key == MARKER;
    match case {
        Case::Flip { key, .. } | Case::Cut { key, .. } => opens(key),
        Case::Remove(key) => opens(key) || key.starts_with(key::PACKS),
        Case::Swap(one, other) => opens(one) || opens(other),
        Case::Replace(one, _) => opens(one),
        Case::Copy { .. } => false,
    }
}

fn report(what: &str, totals: &Totals) {
    println!(
        "{what}: {} cases, {} exact, {} noticed, {} named, {} unseen",
        totals.cases,
        totals.exact,
        totals.noticed,
        totals.named,
        totals.unseen.len()
    );
    let wrong = &totals.wrong[..totals.wrong.len().min(40)];
    assert!(wrong.is_empty(), "{what}: {} wrong: {wrong:#?}", totals.wrong.len());
}

/// Every `stride`-th case, from one that differs from run to run unless it's told.
fn some(cases: impl Iterator<Item = Case>, stride: usize, from: Option<usize>) -> Vec<Case> {
    let from = from.unwrap_or_else(|| usize::from(noise(1)[0])) % stride;
    cases.skip(from).step_by(stride).collect()
}

/// What the environment says.
fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn damage_anywhere_gives_exact_data_or_an_error_and_a_check_notices() {
    let small = Small::new();
    let intact = small.attempt(&Case::Copy { of: MARKER.to_owned(), name: "other".to_owned() });
    assert_eq!(intact, Outcome { exact: true, noticed: false, named: false }, "nothing is wrong with it");
    report("bytes", &attempt_all(&small, &some(small.bytes(), STRIDE, None)));
    report("objects", &attempt_all(&small, &some(small.whole().into_iter(), 17, None)));
}

#[test]
#[ignore = "an hour: every bit of a repository"]
fn exhaustive_damage() {
    let (stride, from) = (number("NIGHTSAFE_DAMAGE_STRIDE").unwrap_or(1), number("NIGHTSAFE_DAMAGE_OFFSET"));
    let small = Small::new();
    let size: usize = small.objects.values().map(Vec::len).sum();
    println!("{} objects of {size} bytes", small.objects.len());
    if from.unwrap_or(0) == 0 {
        let totals = attempt_all(&small, &small.whole());
        totals.unseen.iter().for_each(|case| println!("unseen: {case:?}"));
        report("objects", &totals);
    }
    for flips in [true, false] {
        let cases = small.bytes().filter(|case| matches!(case, Case::Flip { .. }) == flips);
        let totals = attempt_all(&small, &some(cases, stride, from));
        report(if flips { "flips" } else { "cuts" }, &totals);
    }
}
