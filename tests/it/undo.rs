//! Forgotten snapshots come back under a new id, as long as their grace lasts and their data is there.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{World, noise, portrait};
use nightsafe::repo::format::key;
use nightsafe::repo::id::{PackId, RunId};
use nightsafe::repo::needs::Needs;
use nightsafe::repo::record::{self, Condemned, Tombstone};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::backup::now;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::notes::{self, notes};
use nightsafe::snapshot::prune::{PruneOptions, prune};
use nightsafe::snapshot::undo::{UndoError, UndoOptions, undo};
use std::time::Duration;

fn forget(world: &World, run: RunId, dead: bool) {
    let store_key = key::forgotten(run);
    let tombstone = Tombstone { needs: Needs::NONE, time: now(), dead };
    let sealed = record::seal_admin_record(world.repo().read_keys(), &store_key, &tombstone);
    world.store.put(&store_key, &sealed.into()).unwrap();
}

fn bring_back(world: &World, run: RunId, grace: Duration) -> Result<RunId, UndoError> {
    let options = UndoOptions { now: now(), grace, host: "here".to_owned() };
    undo(&world.repo(), run, &options, &Silent::default())
}

const HOUR: Duration = Duration::from_hours(1);

fn at_once() -> PruneOptions {
    PruneOptions { grace: Duration::ZERO, max_delete: 100, ..PruneOptions::at(now()) }
}

#[test]
fn a_forgotten_snapshot_comes_back_and_stays() {
    let world = World::new();
    world.write("folder/file", noise(700_000));
    world.write(".env", b"SECRET=1");
    let first = world.back_up().snapshot.unwrap();
    let before = portrait(&world.source());
    world.write("folder/file", noise(700_000));
    world.back_up();
    assert!(matches!(bring_back(&world, first, HOUR), Err(UndoError::NotForgotten(_))));
    let protects = notes(&world.repo()).unwrap().reprotect(first, true, now()).unwrap();
    notes::write(&world.repo(), &protects).unwrap();
    forget(&world, first, false);
    let again = bring_back(&world, first, HOUR).unwrap();
    assert_ne!(again, first);
    assert!(notes(&world.repo()).unwrap().protects(again), "what was said of it still holds");
    assert!(world.objects("pins/").is_empty());
    prune(&world.repo(), &at_once(), &Silent::default()).unwrap();
    assert_eq!(world.restored(again), before);
    let snapshot = world.snapshot(again);
    assert_eq!(snapshot.manifest.brings_back, Some(first));
    // Forgotten and brought back once more, it's still the first one's content.
    forget(&world, again, false);
    let third = bring_back(&world, again, HOUR).unwrap();
    assert_eq!(world.snapshot(third).manifest.brings_back, Some(first));
}

#[test]
fn what_is_gone_or_about_to_go_does_not_come_back() {
    let world = World::new();
    world.write("file", noise(700_000));
    let first = world.back_up().snapshot.unwrap();
    let packs: Vec<PackId> = world.objects("packs/").keys().filter_map(|key| key::parse_pack(key)).collect();
    world.write("file", noise(700_000));
    world.back_up();
    forget(&world, first, false);
    assert!(matches!(bring_back(&world, first, Duration::ZERO), Err(UndoError::TooLate { .. })));
    // A pruner condemned its packs and is just about to delete them.
    let repo = world.repo();
    let gid = key::gc(repo.keys().new_run());
    let body = Condemned { needs: Needs::NONE, time: now(), condemned: packs, kept: vec![], census: vec![] };
    world.store.put(&gid, &record::seal_admin_record(repo.read_keys(), &gid, &body).into()).unwrap();
    assert!(matches!(bring_back(&world, first, HOUR), Err(UndoError::Gone { frames: 1.., .. })));
    assert_eq!(world.objects("snapshots/").len(), 2, "nothing was committed");
    world.store.delete(&gid).unwrap();
    prune(&world.repo(), &at_once(), &Silent::default()).unwrap();
    bring_back(&world, first, HOUR).unwrap_err();
    let unknown = repo.keys().new_run();
    assert!(matches!(bring_back(&world, unknown, HOUR), Err(UndoError::NotFound(_))));
}

/// The tombstone of a run that was declared dead forgets no snapshot: a manifest that came too late isn't brought back.
#[test]
fn runs_that_were_declared_dead_stay_dead() {
    let world = World::new();
    world.write("file", noise(1_000));
    let run = world.back_up().snapshot.unwrap();
    forget(&world, run, true);
    assert!(matches!(bring_back(&world, run, HOUR), Err(UndoError::NotFound(_))));
}
