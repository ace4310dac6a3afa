//! Pruning a storage that has no room left.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::intercept::Intercepted;
use crate::prune::{assert_restores, at_once, forget, night, pruned};
use crate::world::{Portrait, World, noise};
use nightsafe::repo::id::RunId;
use nightsafe::repo::store::{StoreError, StoreErrorKind};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::{PruneReport, prune};
use std::sync::Arc;

/// A repository with a reserve, in which much is forgotten, and the night that stays.
fn half_forgotten() -> (World, (RunId, Portrait)) {
    let world = World::new();
    world.write("goes", noise(600_000));
    let (first, _) = night(&world);
    std::fs::remove_file(world.source().join("goes")).unwrap();
    world.write("stays", noise(100_000));
    let second = night(&world);
    pruned(&world); // puts the reserve
    assert!(world.objects("").contains_key("reserve"));
    forget(&world, first);
    (world, second)
}

/// Prunes where there is room for nothing longer than `room` bytes while the reserve is there, and none for packs at all.
fn pruned_with(world: &World, room: usize) -> PruneReport {
    let store = Intercepted::new(world.store.clone(), move |inner, key, bytes| {
        let is_tight = bytes.len() > room && inner.length("reserve")?.is_some();
        if key.starts_with("packs/") || is_tight {
            return Err(StoreError::new(StoreErrorKind::Full, key, inner.url()));
        }
        Ok(())
    });
    prune(&world.repo_over(Arc::new(store)), &at_once(), &Silent::default()).unwrap()
}

/// The storage is full: a pruner gives up its reserve, writes nothing else, and makes room.
#[test]
fn a_full_store_can_be_pruned() {
    let (world, second) = half_forgotten();
    let report = pruned_with(&world, 0);
    assert!(report.bytes_freed > 500_000, "{report:?}");
    assert_eq!(report.packs_rewritten, 0);
    assert_restores(&world, &[second]);
}

/// A few canaries find room, the record of what is condemned doesn't.
#[test]
fn a_store_that_is_full_but_for_some_bytes_can_be_pruned() {
    let (world, second) = half_forgotten();
    let report = pruned_with(&world, 16);
    assert!(report.bytes_freed > 500_000, "{report:?}");
    assert_restores(&world, &[second]);
}
