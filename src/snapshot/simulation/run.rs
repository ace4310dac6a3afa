//! Runs one history.

use super::actors::Actor;
use super::chance::Chance;
use super::clock::Clock;
use super::faults::{Faults, Hits, Kind};
use super::history::{History, Task};
use super::oracle::{Promises, Verdict, verify};
use super::schedule::Schedule;
use super::store::{Call, Handle, World};
use crate::repo::determined;
use crate::repo::id::DomainId;
use crate::repo::keys::{Bundle, Opened, Sharing, bundle};
use crate::repo::repository::AnyRepo;
use crate::repo::sabotage::{self, Fence};
use crate::repo::store::Store;
use crate::repo::store::retry::{Backoff, RetryingStore};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// In one history of so many, somebody checks and repairs.
const REPAIRS: u64 = 4;

/// In one history of so many, backups take checkpoints; the seeds are those that this leaves …
const CHECKPOINTS: u64 = 5;
/// … over, none of which is one whose story is told in the tests: they stay the histories that they were.
const CHECKPOINTS_REST: u64 = 3;

/// What came of a history.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What was found in the end.
    pub(super) verdict: Verdict,
    /// Every call to the store.
    pub(super) calls: Vec<Call>,
    /// What each task came to, by actor.
    pub(super) told: Vec<(usize, String)>,
    /// The faults that happened.
    pub(super) hits: Hits,
    /// Backups that reported success.
    pub(super) reported: u64,
    /// Checkpoints that were committed.
    pub(super) checkpoints: u64,
}

/// The credentials, made once: the keys are the same in every history.
fn bundles() -> &'static [Bundle; 4] {
    static BUNDLES: OnceLock<[Bundle; 4]> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        determined::begin(Some(7));
        let read = bundle::create_repository();
        let bundles = [
            read.new_full(),
            read.new_full(),
            read.new_write_only(Sharing::Alone),
            read.new_write_only(Sharing::With(DomainId::SHARED)),
        ];
        determined::begin(None);
        bundles
    })
}

/// The keys of a credential.
fn keys(credential: usize) -> Opened {
    bundles()[credential].open().expect("a bundle that was just made can be opened")
}

/// Runs the history of a seed; `off` is a fence that is taken away. Caches lie below `folder`, which is emptied.
pub(super) fn run(seed: u64, off: Option<Fence>, folder: &Path) -> Outcome {
    let mut chance = Chance::new(seed);
    let mut history = History::generate(&mut chance);
    if seed % REPAIRS == 1 {
        history = history.with_repairs(&mut chance);
    }
    // A stream of its own: what is chosen otherwise doesn't depend on it.
    let takes = seed % CHECKPOINTS == CHECKPOINTS_REST;
    let checkpoints = takes.then(|| Chance::new(determined::mix(!seed)));
    run_with(&history, &mut chance, checkpoints, off, folder)
}

/// Runs a history without checkpoints.
pub(super) fn run_history(history: &History, chance: &mut Chance, off: Option<Fence>, folder: &Path) -> Outcome {
    run_with(history, chance, None, off, folder)
}

/// Runs a history.
fn run_with(
    history: &History,
    chance: &mut Chance,
    mut checkpoints: Option<Chance>,
    off: Option<Fence>,
    folder: &Path,
) -> Outcome {
    let _ = std::fs::remove_dir_all(folder);
    bundles();
    let actors = history.scripts.len();
    let clocks: Vec<i64> = history.scripts.iter().map(|script| script.clock).collect();
    let mut faults = Faults::new(chance.fork(), history.faults, actors);
    clocks.iter().filter(|clock| **clock != 0).for_each(|_| faults.hit(Kind::Clock));
    let world = World::new(Schedule::new(chance.fork(), actors, &history.points), Clock::new(&clocks), faults, actors);
    let promises: Arc<Mutex<Promises>> = Arc::default();
    let caches = folder.join("caches");
    let mut cast: Vec<Actor> = (0..actors)
        .map(|number| {
            let handle = Arc::new(Handle { world: Arc::clone(&world), actor: number });
            let store: Arc<dyn Store> = Arc::new(RetryingStore::with_sleep(handle, Backoff::default(), |_| {}));
            let cache = caches.join(number.to_string());
            let credential = keys(history.scripts[number].credential);
            Actor {
                number,
                repo: Arc::new(AnyRepo::over(credential, store, cache.clone())),
                world: Arc::clone(&world),
                promises: Arc::clone(&promises),
                chance: chance.fork(),
                cache,
                caches: caches.clone(),
                seen: super::content::Seen::new(),
                checkpoints: checkpoints.as_mut().map(Chance::fork),
            }
        })
        .collect();
    let told: Mutex<Vec<(usize, String)>> = Mutex::default();
    let tell = |number: usize, what: String| told.lock().unwrap_or_else(PoisonError::into_inner).push((number, what));
    // Before: one after the other, in this thread.
    determined::begin(Some(chance.number()));
    sabotage::switch_off(off);
    let mut next = vec![0; actors];
    for &number in &history.order {
        world.lock().schedule.begin(&[number]);
        let task = &history.scripts[number].before[next[number]];
        next[number] += 1;
        tell(number, cast[number].act(task));
    }
    at_once(&world, &mut cast, history, off, chance.number(), &tell);
    // After: the process that died stays dead, and what comes late has come.
    {
        let mut state = world.lock();
        state.faults.on = false;
        state.settle_all();
    }
    for (number, script) in history.scripts.iter().enumerate() {
        for task in &script.after {
            world.lock().schedule.begin(&[number]);
            tell(number, cast[number].act(task));
        }
    }
    drop(cast);
    let promises = promises.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut verdict = verify(&world, keys(0), &folder.join("oracle"), &promises);
    determined::begin(None);
    sabotage::switch_off(None);
    let mut state = world.lock();
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdict.losses.extend(told.iter().filter(|(_, what)| what.starts_with("panic")).map(|(_, what)| what.clone()));
    let mut hits = state.faults.hits;
    hits[Kind::Suspended as usize] += state.schedule.suspensions;
    let (calls, checkpoints) = (std::mem::take(&mut state.calls), state.checkpoints);
    Outcome { verdict, calls, told, hits, reported: promises.reported.len() as u64, checkpoints }
}

/// All actors at once, each in a thread, of which one goes on at a time.
fn at_once(
    world: &Arc<World>,
    cast: &mut [Actor],
    history: &History,
    off: Option<Fence>,
    seed: u64,
    tell: &(dyn Fn(usize, String) + Sync),
) {
    let busy: Vec<usize> = (0..cast.len()).filter(|&number| !history.scripts[number].during.is_empty()).collect();
    {
        let mut state = world.lock();
        state.schedule.begin(&busy);
        state.faults.on = true;
    }
    std::thread::scope(|scope| {
        for actor in cast.iter_mut().filter(|actor| busy.contains(&actor.number)) {
            let number = actor.number;
            let tasks: &[Task] = &history.scripts[number].during;
            scope.spawn(move || {
                determined::begin(Some(determined::mix(seed ^ number as u64)));
                sabotage::switch_off(off);
                drop(world.wait_for_turn(world.lock(), number));
                for task in tasks {
                    let done = catch_unwind(AssertUnwindSafe(|| actor.act(task)));
                    tell(number, done.unwrap_or_else(|_| format!("panic in {task:?}")));
                    if world.lock().schedule.is_dead(number) {
                        break;
                    }
                }
                world.leave(number);
            });
        }
    });
}
