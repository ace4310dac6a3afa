//! A wrapper that breaks chosen calls, for tests of what happens then.

use super::operation::Operation;
use super::{Listed, Store, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before(StoreErrorKind),
    /// It takes effect and then fails: the answer got lost.
    After(StoreErrorKind),
    /// A put stores only the first so many bytes, then fails as [`StoreErrorKind::Transient`]: a service whose writes aren't atomic. Other calls: as [`Fault::Before`].
    Torn(usize),
    /// A put stores only the first so many bytes *and succeeds*: a lying disk. With 0, the file of length zero that a crash leaves on some file systems.
    TornSilently(usize),
    /// A get or range comes back so many bytes shorter, without an error.
    ShortRead(usize),
    /// The bit of this number (modulo the length) is wrong in what a get or range returns, or in what a put stores.
    Flipped(usize),
    /// A listing leaves out the objects from this one on, without an error.
    ShortListing(usize),
}

/// A store whose calls fail by plan.
///
/// Calls of an operation are counted from 0. What isn't planned goes through.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: BTreeMap<(Operation, u64), Fault>,
    /// By operation: from which call on all go wrong, and how.
    lasting: BTreeMap<Operation, (u64, Fault)>,
    /// The calls that went wrong.
    struck: Vec<(Operation, String)>,
    calls: BTreeMap<Operation, u64>,
    total: u64,
    /// From this call on (of all operations) everything fails.
    dead_from: Option<u64>,
}

impl FaultyStore {
    /// Wraps `inner` with no fault planned.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Makes call number `nth` of `operation` (counted from 0 over the store's life) go wrong.
    pub fn plan(&self, operation: Operation, nth: u64, fault: Fault) {
        self.lock().plan.insert((operation, nth), fault);
    }

    /// Makes call number `nth` of `operation` and all after it go wrong, until [`FaultyStore::recover`].
    pub fn plan_from(&self, operation: Operation, nth: u64, fault: Fault) {
        self.lock().lasting.insert(operation, (nth, fault));
    }

    /// Makes the next call of `operation` go wrong.
    pub fn plan_next(&self, operation: Operation, fault: Fault) {
        let mut state = self.lock();
        let nth = state.calls.get(&operation).copied().unwrap_or(0);
        state.plan.insert((operation, nth), fault);
    }

    /// Makes every call fail, without effect, once `calls` calls of any operation were made: the process was killed, the network went away.
    pub fn die_after(&self, calls: u64) {
        self.lock().dead_from = Some(calls);
    }

    /// Forgets all plans.
    pub fn recover(&self) {
        let mut state = self.lock();
        state.plan.clear();
        state.lasting.clear();
        state.dead_from = None;
    }

    /// How many calls of `operation` were made, failed ones included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.lock().calls.get(&operation).copied().unwrap_or(0)
    }

    /// The calls that went wrong so far, with their keys (or prefixes), in their order.
    pub fn struck(&self) -> Vec<(Operation, String)> {
        self.lock().struck.clone()
    }

    /// How many calls were made in all.
    pub fn total_calls(&self) -> u64 {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says how it shall go wrong.
    fn count(&self, operation: Operation, key: &str) -> Option<Fault> {
        let mut state = self.lock();
        let state = &mut *state;
        let nth = state.calls.entry(operation).or_default();
        let lasting = state.lasting.get(&operation).filter(|(from, _)| from <= nth).map(|(_, fault)| *fault);
        let planned = state.plan.get(&(operation, *nth)).copied().or(lasting);
        *nth += 1;
        state.total += 1;
        let fault = match state.dead_from {
            Some(calls) if state.total > calls => Some(Fault::Before(StoreErrorKind::Transient)),
            _ => planned,
        };
        if fault.is_some() {
            state.struck.push((operation, key.to_owned()));
        }
        fault
    }

    fn failed(&self, kind: StoreErrorKind, key: &str) -> StoreError {
        StoreError::new(kind, key, self.inner.url()).because("a planned fault")
    }

    /// Runs a call that can only fail or lose its answer.
    fn run<T>(
        &self,
        operation: Operation,
        key: &str,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.count(operation, key) {
            Some(Fault::Before(kind)) => Err(self.failed(kind, key)),
            Some(Fault::Torn(_)) => Err(self.failed(StoreErrorKind::Transient, key)),
            Some(Fault::After(kind)) => call().and(Err(self.failed(kind, key))),
            _ => call(),
        }
    }

    /// Runs a call that returns bytes.
    fn read(
        &self,
        operation: Operation,
        key: &str,
        call: impl FnOnce() -> Result<Bytes, StoreError>,
    ) -> Result<Bytes, StoreError> {
        match self.count(operation, key) {
            Some(Fault::Before(kind)) => Err(self.failed(kind, key)),
            Some(Fault::Torn(_)) => Err(self.failed(StoreErrorKind::Transient, key)),
            Some(Fault::After(kind)) => call().and(Err(self.failed(kind, key))),
            Some(Fault::ShortRead(missing)) => call().map(|bytes| bytes.slice(..bytes.len().saturating_sub(missing))),
            Some(Fault::Flipped(bit)) => call().map(|bytes| flip(&bytes, bit)),
            _ => call(),
        }
    }
}

/// `bytes` with one bit changed.
fn flip(bytes: &Bytes, bit: usize) -> Bytes {
    let mut changed = BytesMut::from(&bytes[..]);
    if !changed.is_empty() {
        let bit = bit % (8 * changed.len());
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    changed.freeze()
}

impl Store for FaultyStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn create_root(&self) -> Result<(), StoreError> {
        self.run(Operation::CreateRoot, "", || self.inner.create_root())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let first = |length: usize| bytes.slice(..length.min(bytes.len()));
        match self.count(Operation::Put, key) {
            Some(Fault::Before(kind)) => Err(self.failed(kind, key)),
            Some(Fault::After(kind)) => self.inner.put(key, bytes).and(Err(self.failed(kind, key))),
            Some(Fault::Torn(length)) => {
                self.inner.put(key, &first(length)).and(Err(self.failed(StoreErrorKind::Transient, key)))
            }
            Some(Fault::TornSilently(length)) => self.inner.put(key, &first(length)),
            Some(Fault::Flipped(bit)) => self.inner.put(key, &flip(bytes, bit)),
            _ => self.inner.put(key, bytes),
        }
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::Get, key, || self.inner.get(key, limit))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::GetRange, key, || self.inner.get_range(key, offset, length))
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.run(Operation::Length, key, || self.inner.length(key))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let fault = self.count(Operation::List, prefix);
        let most = if let Some(Fault::ShortListing(most)) = fault { most } else { usize::MAX };
        if let Some(Fault::Before(kind)) = fault {
            return Err(self.failed(kind, prefix));
        }
        let mut seen = 0;
        self.inner.list(prefix, &mut |listed| {
            if seen < most {
                each(listed);
            }
            seen += 1;
        })?;
        match fault {
            Some(Fault::After(kind)) => Err(self.failed(kind, prefix)),
            _ => Ok(()),
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.run(Operation::Delete, key, || self.inner.delete(key))
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.run(Operation::Settle, "", || self.inner.settle())
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    fn stores() -> (Arc<MemoryStore>, FaultyStore) {
        let inner = Arc::new(MemoryStore::new());
        (inner.clone(), FaultyStore::new(inner))
    }

    #[test]
    fn the_planned_call_fails_and_no_other() {
        let (inner, store) = stores();
        store.plan(Operation::Put, 1, Fault::Before(StoreErrorKind::Full));
        store.put("a", &Bytes::from_static(b"a")).unwrap();
        assert_eq!(store.put("b", &Bytes::from_static(b"b")).unwrap_err().kind, StoreErrorKind::Full);
        assert_eq!(inner.length("b").unwrap(), None);
        store.put("b", &Bytes::from_static(b"b")).unwrap();
        assert_eq!(store.calls(Operation::Put), 3);
    }

    #[test]
    fn a_lost_answer_has_its_effect_and_a_torn_write_a_part_of_it() {
        let (inner, store) = stores();
        store.plan_next(Operation::Put, Fault::After(StoreErrorKind::Transient));
        assert!(store.put("a", &Bytes::from_static(b"abc")).unwrap_err().is_transient());
        assert_eq!(inner.get("a", 9).unwrap(), "abc");
        store.plan_next(Operation::Put, Fault::Torn(2));
        assert!(store.put("b", &Bytes::from_static(b"abc")).unwrap_err().is_transient());
        assert_eq!(inner.get("b", 9).unwrap(), "ab");
        store.plan_next(Operation::Put, Fault::TornSilently(0));
        store.put("c", &Bytes::from_static(b"abc")).unwrap();
        assert_eq!(inner.length("c").unwrap(), Some(0));
    }

    #[test]
    fn reads_come_back_short_or_flipped() {
        let (inner, store) = stores();
        inner.put("a", &Bytes::from_static(b"abc")).unwrap();
        store.plan_next(Operation::Get, Fault::ShortRead(1));
        assert_eq!(store.get("a", 9).unwrap(), "ab");
        store.plan_next(Operation::GetRange, Fault::Flipped(8));
        assert_eq!(store.get_range("a", 0, 3).unwrap(), "acc");
        assert_eq!(store.get("a", 9).unwrap(), "abc");
        store.plan_next(Operation::List, Fault::ShortListing(0));
        let mut seen = 0;
        store.list("", &mut |_| seen += 1).unwrap();
        assert_eq!(seen, 0);
    }

    #[test]
    fn what_lasts_goes_on_until_the_store_recovers() {
        let (_, store) = stores();
        store.plan_from(Operation::Delete, 1, Fault::Before(StoreErrorKind::Denied));
        store.delete("a").unwrap();
        store.delete("b").unwrap_err();
        store.delete("c").unwrap_err();
        let struck = ["b", "c"].map(|key| (Operation::Delete, key.to_owned()));
        assert_eq!(store.struck(), struck);
        store.recover();
        store.delete("d").unwrap();
    }

    #[test]
    fn after_its_death_nothing_goes_through() {
        let (inner, store) = stores();
        store.die_after(1);
        store.put("a", &Bytes::from_static(b"a")).unwrap();
        store.put("b", &Bytes::from_static(b"b")).unwrap_err();
        store.delete("a").unwrap_err();
        store.list("", &mut |_| {}).unwrap_err();
        assert_eq!((inner.length("a").unwrap(), inner.length("b").unwrap()), (Some(1), None));
        store.recover();
        store.delete("a").unwrap();
    }
}
