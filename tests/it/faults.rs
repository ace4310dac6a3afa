//! A store that fails: at each call of a backup, before it, after it or in the middle of it. Whatever the backup says is true, what is
//! committed restores, and the next backup succeeds.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod every_call;
pub(crate) mod hang;

use crate::world::{Portrait, World, noise, portrait};
use nightsafe::repo::error::RepoError;
use nightsafe::repo::store::StoreErrorKind;
use nightsafe::repo::store::faulty::{Fault, FaultyStore};
use nightsafe::repo::store::operation::Operation;
use nightsafe::snapshot::backup::BackupError;
use nightsafe::snapshot::snapshots::snapshots;
use std::sync::Arc;

const OPERATIONS: [Operation; 6] =
    [Operation::Put, Operation::Get, Operation::GetRange, Operation::Length, Operation::List, Operation::Delete];

/// A repository with one snapshot and a change since.
struct Scene {
    world: World,
    store: Arc<FaultyStore>,
    before: Portrait,
    after: Portrait,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        world.write("kept", noise(30_000));
        world.write("folder/changed", noise(40_000));
        world.back_up();
        let before = portrait(&world.source());
        world.write("folder/changed", noise(40_000));
        world.write(".env", "KEY=value\n");
        let after = portrait(&world.source());
        // As a host that lost its cache: more is asked of the store.
        std::fs::remove_dir_all(world.cache()).unwrap();
        let store = Arc::new(FaultyStore::new(world.store.clone()));
        Self { world, store, before, after }
    }

    /// Backs up over the store that fails; what must hold afterwards. Says whether the backup succeeded.
    fn run(&self, plan: impl FnOnce(&FaultyStore), what: &str) -> bool {
        let repo = self.world.repo_over(self.store.clone());
        plan(&self.store);
        let result = self.world.try_back_up(&repo);
        self.store.recover();
        if let Ok(summary) = &result {
            assert_eq!(self.world.restored(summary.snapshot.unwrap()), self.after, "{what}");
        }
        // Whatever is listed restores; the first snapshot is what it was.
        let all = snapshots(&self.world.repo()).unwrap();
        assert_eq!(self.world.restored(all.list[0].id), self.before, "{what}");
        for snapshot in &all.list[1..] {
            assert_eq!(self.world.restored(snapshot.id), self.after, "{what}");
        }
        let next = self.world.back_up();
        assert_eq!(self.world.restored(next.snapshot.unwrap()), self.after, "{what}: the backup after it");
        result.is_ok()
    }
}

/// How many calls of each kind a backup makes when nothing fails.
fn calls() -> Vec<(Operation, u64)> {
    let scene = Scene::new();
    let repo = scene.world.repo_over(scene.store.clone());
    let before = OPERATIONS.map(|operation| scene.store.calls(operation));
    scene.world.try_back_up(&repo).unwrap();
    OPERATIONS
        .into_iter()
        .zip(before)
        .map(|(operation, before)| (operation, scene.store.calls(operation) - before))
        .collect()
}

/// Breaks call number `nth` of those to come.
fn break_call(store: &FaultyStore, operation: Operation, nth: u64, fault: Fault) {
    store.plan(operation, store.calls(operation) + nth, fault);
}

#[test]
fn errors_and_lost_answers_at_each_call() {
    let transient = StoreErrorKind::Transient;
    let mut failed = 0;
    for (operation, count) in calls() {
        for nth in 0..count {
            for fault in [Fault::Before(transient), Fault::After(transient)] {
                let what = format!("{operation:?} {nth} {fault:?}");
                let succeeded = Scene::new().run(|store| break_call(store, operation, nth, fault), &what);
                // What is only a courtesy or a hint may fail: removing pins, reading others' trailers and manifests again.
                assert!(!succeeded || operation != Operation::Put, "{what}");
                failed += u32::from(!succeeded);
            }
        }
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn writes_that_stop_in_the_middle() {
    let puts = calls().into_iter().find(|(operation, _)| *operation == Operation::Put).unwrap().1;
    for nth in 0..puts {
        for length in [0, 1, 200] {
            let what = format!("put {nth} torn at {length}");
            let succeeded =
                Scene::new().run(|store| break_call(store, Operation::Put, nth, Fault::Torn(length)), &what);
            assert!(!succeeded, "{what}");
        }
    }
}

/// A disk that says that it has written what it hasn't: noticed at the last look, where the run depends on it.
#[test]
fn packs_that_were_silently_cut_short_are_stored_again() {
    let puts = calls().into_iter().find(|(operation, _)| *operation == Operation::Put).unwrap().1;
    for nth in 0..puts {
        let scene = Scene::new();
        let repo = scene.world.repo_over(scene.store.clone());
        break_call(&scene.store, Operation::Put, nth, Fault::TornSilently(500));
        let result = scene.world.try_back_up(&repo);
        scene.store.recover();
        match result {
            Ok(summary) => assert_eq!(scene.world.restored(summary.snapshot.unwrap()), scene.after, "put {nth}"),
            // Pins and manifests are read back, since others act on them.
            Err(BackupError::Repo(RepoError::Damaged { key, .. })) => {
                assert!(key.starts_with("pins/") || key.starts_with("snapshots/"), "put {nth}: {key}");
            }
            Err(error) => panic!("put {nth}: {error}"),
        }
    }
}

/// The process is killed, or the network goes away for good.
#[test]
fn a_backup_that_dies_at_any_point_leaves_a_good_repository() {
    let total: u64 = calls().iter().map(|(_, count)| count).sum();
    for after in 0..=total {
        let succeeded =
            Scene::new().run(|store| store.die_after(store.total_calls() + after), &format!("death after {after}"));
        assert!(!succeeded || after + 2 >= total, "after {after} of {total}");
    }
}

/// Answers that are wrong: bits that flip and listings that lack something on the way back.
#[test]
fn wrong_answers_make_no_wrong_snapshots() {
    for (operation, count) in calls() {
        for nth in 0..count {
            for fault in [Fault::Flipped(1_003), Fault::ShortRead(1), Fault::ShortListing(0)] {
                let reads = matches!(operation, Operation::Get | Operation::GetRange);
                if if matches!(fault, Fault::ShortListing(_)) { operation == Operation::List } else { reads } {
                    Scene::new().run(
                        |store| break_call(store, operation, nth, fault),
                        &format!("{operation:?} {nth} {fault:?}"),
                    );
                }
            }
        }
    }
}
