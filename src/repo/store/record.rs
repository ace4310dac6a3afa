//! A wrapper that writes down every call, for tests that count what an algorithm asks of the store.

use super::operation::Operation;
use super::{Listed, Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One call that has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which method.
    pub operation: Operation,
    /// The key or prefix; empty for the root.
    pub key: String,
    /// Bytes that went up or came down; for a listing the number of objects.
    pub amount: u64,
    /// Offset and length, of [`Operation::GetRange`].
    pub range: Option<(u64, u64)>,
    /// How it failed, if it did.
    pub failed: Option<StoreErrorKind>,
}

/// A store and the calls made on it, in the order in which they returned.
pub struct RecordingStore {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<Call>>,
}

impl RecordingStore {
    /// Records the calls on `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// All calls so far; the record begins anew.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.lock())
    }

    /// How many calls of `operation` concerned keys (or prefixes) that begin with `prefix`.
    pub fn count(&self, operation: Operation, prefix: &str) -> usize {
        self.matching(operation, prefix).len()
    }

    /// The keys of these calls, in order.
    pub fn keys(&self, operation: Operation, prefix: &str) -> Vec<String> {
        self.matching(operation, prefix).into_iter().map(|call| call.key).collect()
    }

    /// The bytes that these calls moved.
    pub fn amount(&self, operation: Operation, prefix: &str) -> u64 {
        self.matching(operation, prefix).iter().map(|call| call.amount).sum()
    }

    fn matching(&self, operation: Operation, prefix: &str) -> Vec<Call> {
        let fits = |call: &&Call| call.operation == operation && call.key.starts_with(prefix);
        self.lock().iter().filter(fits).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that has returned `outcome`.
    fn note<T>(
        &self,
        operation: Operation,
        key: &str,
        amount: impl FnOnce(&T) -> u64,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.note_range(operation, key, None, amount, outcome)
    }

    fn note_range<T>(
        &self,
        operation: Operation,
        key: &str,
        range: Option<(u64, u64)>,
        amount: impl FnOnce(&T) -> u64,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (amount, failed) = match &outcome {
            Ok(value) => (amount(value), None),
            Err(error) => (0, Some(error.kind)),
        };
        self.lock().push(Call { operation, key: key.to_owned(), amount, range, failed });
        outcome
    }
}

impl Store for RecordingStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn create_root(&self) -> Result<(), StoreError> {
        self.note(Operation::CreateRoot, "", |()| 0, self.inner.create_root())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.note(Operation::Put, key, |()| bytes.len() as u64, self.inner.put(key, bytes))
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.note(Operation::Get, key, |bytes| bytes.len() as u64, self.inner.get(key, limit))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let outcome = self.inner.get_range(key, offset, length);
        self.note_range(Operation::GetRange, key, Some((offset, length)), |bytes| bytes.len() as u64, outcome)
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.note(Operation::Length, key, |_| 0, self.inner.length(key))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let mut objects = 0;
        let outcome = self.inner.list(prefix, &mut |listed| {
            objects += 1;
            each(listed);
        });
        self.note(Operation::List, prefix, |()| objects, outcome)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.note(Operation::Delete, key, |()| 0, self.inner.delete(key))
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    #[test]
    fn calls_are_counted_with_their_keys_bytes_and_outcomes() {
        let store = RecordingStore::new(Arc::new(MemoryStore::new()));
        store.put("packs/0a/x", &Bytes::from_static(b"12345")).unwrap();
        store.put("packs/0a/x", &Bytes::from_static(b"other")).unwrap_err();
        store.get_range("packs/0a/x", 1, 3).unwrap();
        store.list("packs/", &mut |_| {}).unwrap();
        assert_eq!(store.count(Operation::Put, "packs/"), 2);
        assert_eq!(store.count(Operation::Put, "index/"), 0);
        assert_eq!(store.amount(Operation::Put, ""), 5);
        let calls = store.take();
        assert_eq!(calls[1].failed, Some(StoreErrorKind::Exists));
        assert_eq!((calls[2].range, calls[2].amount), (Some((1, 3)), 3));
        assert_eq!((calls[3].operation, calls[3].amount), (Operation::List, 1));
        assert_eq!(store.calls(), []);
    }
}
