//! A store in memory: for tests, and for `memory:`.

use super::key::{require_key, require_prefix};
use super::{Listed, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The URL of each of them.
pub const URL: &str = "memory:";

/// Objects in a map; gone with the value.
pub struct MemoryStore {
    /// `None` while there is no root.
    objects: Mutex<Option<BTreeMap<String, Object>>>,
}

struct Object {
    bytes: Bytes,
    /// Seconds since the epoch; none if the clock is before it.
    modified: Option<i64>,
}

impl MemoryStore {
    /// An empty store that has its root.
    pub fn new() -> Self {
        Self { objects: Mutex::new(Some(BTreeMap::new())) }
    }

    /// A store whose root is missing until [`Store::create_root`].
    pub fn without_root() -> Self {
        Self { objects: Mutex::new(None) }
    }

    /// Takes the root away with all in it, as an unmounted disk would.
    pub fn remove_root(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, Object>>> {
        // No code that holds the lock leaves the map half changed.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the objects if `key` is a key and there is a root.
    fn with<T>(
        &self,
        key: &str,
        work: impl FnOnce(&mut BTreeMap<String, Object>) -> Result<T, StoreErrorKind>,
    ) -> Result<T, StoreError> {
        require_key(key, URL)?;
        let mut objects = self.lock();
        let outcome = match objects.as_mut() {
            Some(objects) => work(objects),
            None => Err(StoreErrorKind::RootMissing),
        };
        outcome.map_err(|kind| StoreError::new(kind, key, URL))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn url(&self) -> &str {
        URL
    }

    fn connections(&self) -> usize {
        4 // enough for tests to run several calls at once
    }

    fn create_root(&self) -> Result<(), StoreError> {
        self.lock().get_or_insert_default();
        Ok(())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let modified = now.and_then(|now| i64::try_from(now.as_secs()).ok());
        self.with(key, |objects| match objects.entry(key.to_owned()) {
            Entry::Occupied(there) if there.get().bytes == *bytes => Ok(()),
            Entry::Occupied(_) => Err(StoreErrorKind::Exists),
            Entry::Vacant(free) => {
                free.insert(Object { bytes: bytes.clone(), modified });
                Ok(())
            }
        })
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.with(key, |objects| {
            let object = objects.get(key).ok_or(StoreErrorKind::NotFound)?;
            if object.bytes.len() as u64 > limit {
                return Err(StoreErrorKind::TooLong);
            }
            Ok(object.bytes.clone())
        })
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.with(key, |objects| {
            let bytes = &objects.get(key).ok_or(StoreErrorKind::NotFound)?.bytes;
            let end = offset.checked_add(length).ok_or(StoreErrorKind::Short)?;
            match (usize::try_from(offset), usize::try_from(end)) {
                (Ok(offset), Ok(end)) if end <= bytes.len() => Ok(bytes.slice(offset..end)),
                _ => Err(StoreErrorKind::Short),
            }
        })
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.with(key, |objects| Ok(objects.get(key).map(|object| object.bytes.len() as u64)))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        require_prefix(prefix, URL)?;
        let listed: Vec<_> = {
            let objects = self.lock();
            let objects = objects.as_ref().ok_or_else(|| StoreError::new(StoreErrorKind::RootMissing, prefix, URL))?;
            objects
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, object)| Listed {
                    key: key.clone(),
                    length: object.bytes.len() as u64,
                    modified: object.modified,
                })
                .collect()
        };
        // Not under the lock: `each` may call the store.
        listed.into_iter().for_each(each);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.with(key, |objects| {
            objects.remove(key);
            Ok(())
        })
    }
}
