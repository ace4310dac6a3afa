//! Pruning a storage that has no room left.

use crate::prune::{assert_restores, at_once, forget, night, pruned};
use crate::world::{World, noise};
use bytes::Bytes;
use nightsafe::repo::store::{Listed, Store, StoreError, StoreErrorKind};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::prune::prune;
use std::sync::Arc;

/// The storage is full: a pruner gives up its reserve, writes nothing else, and makes room.
#[test]
fn a_full_store_can_be_pruned() {
    let world = World::new();
    world.write("goes", noise(600_000));
    let (first, _) = night(&world);
    std::fs::remove_file(world.source().join("goes")).unwrap();
    world.write("stays", noise(100_000));
    let second = night(&world);
    pruned(&world); // puts the reserve
    assert!(world.objects("").contains_key("reserve"));
    forget(&world, first);
    let store = Arc::new(FullStore { inner: world.store.clone(), room: 0 });
    let report = prune(&world.repo_over(store), &at_once(), &Silent::default()).unwrap();
    assert!(report.bytes_freed > 500_000, "{report:?}");
    assert_eq!(report.packs_rewritten, 0);
    assert_restores(&world, &[second]);
}

/// A few canaries find room, the record of what is condemned doesn't.
#[test]
fn a_store_that_is_full_but_for_some_bytes_can_be_pruned() {
    let world = World::new();
    world.write("goes", noise(600_000));
    let (first, _) = night(&world);
    std::fs::remove_file(world.source().join("goes")).unwrap();
    world.write("stays", noise(100_000));
    let second = night(&world);
    pruned(&world);
    forget(&world, first);
    let store = Arc::new(FullStore { inner: world.store.clone(), room: 16 });
    let report = prune(&world.repo_over(store), &at_once(), &Silent::default()).unwrap();
    assert!(report.bytes_freed > 500_000, "{report:?}");
    assert_restores(&world, &[second]);
}

/// Has room for nothing longer than `room` bytes while the reserve is there, and none for packs at all.
struct FullStore {
    inner: Arc<dyn Store>,
    room: usize,
}

impl Store for FullStore {
    fn url(&self) -> &str {
        self.inner.url()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create_root(&self) -> Result<(), StoreError> {
        self.inner.create_root()
    }
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let is_tight = bytes.len() > self.room && self.inner.length("reserve")?.is_some();
        if key.starts_with("packs/") || is_tight {
            return Err(StoreError::new(StoreErrorKind::Full, key, self.url()));
        }
        self.inner.put(key, bytes)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.inner.get(key, limit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, offset, length)
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.inner.length(key)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
}
