//! A wrapper that tries again what may pass.
//!
//! Whole calls are repeated, so it relies on the contract's promises that make this harmless: a put of what is there already succeeds, a delete of what is gone too.

use super::{Listed, Store, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How often and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries in all, the first included; at least one is made.
    pub tries: u32,
    /// The wait after the first try; it doubles after each further one.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Five tries over about 15 to 30 s: long enough for a service that restarts or throttles, short enough to be told of one that is down.
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_secs(2), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after try number `attempt` (from 0): between half of the doubled wait and all of it, so that many writers don't come back at once.
    /// `chance` is the random part, of 0 to 255.
    fn wait(self, attempt: u32, chance: u8) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(self.longest);
        whole / 2 + whole.saturating_mul(u32::from(chance)) / 510
    }
}

/// All tries failed.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {tries} tries")]
pub struct GaveUp {
    /// How many were made.
    pub tries: u32,
    /// How the last one failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What waits between two tries.
type Sleep = dyn Fn(Duration) + Send + Sync;

/// A store that tries again, and then again later, what failed for the moment ([`StoreError::is_transient`]).
pub struct RetryingStore {
    inner: Arc<dyn Store>,
    backoff: Backoff,
    sleep: Box<Sleep>,
}

impl RetryingStore {
    /// Repeats the calls on `inner` that fail for the moment.
    pub fn new(inner: Arc<dyn Store>, backoff: Backoff) -> Self {
        Self::with_sleep(inner, backoff, std::thread::sleep)
    }

    /// The same with another way to wait, for tests.
    pub fn with_sleep(
        inner: Arc<dyn Store>,
        backoff: Backoff,
        sleep: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Self {
        Self { inner, backoff, sleep: Box::new(sleep) }
    }

    fn retry<T>(&self, mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            let error = match call() {
                Err(error) if error.is_transient() => error,
                outcome => return outcome,
            };
            tries += 1;
            if tries >= self.backoff.tries {
                return Err(give_up(error, tries));
            }
            let mut chance = [u8::MAX];
            // Without randomness the longest wait does as well.
            let _ = getrandom::fill(&mut chance);
            (self.sleep)(self.backoff.wait(tries - 1, chance[0]));
        }
    }
}

/// The last error, saying how often it was tried.
fn give_up(mut error: StoreError, tries: u32) -> StoreError {
    let source = error.source.take().unwrap_or_else(|| "no reason given".into());
    error.because(GaveUp { tries, source })
}

impl Store for RetryingStore {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn create_root(&self) -> Result<(), StoreError> {
        self.retry(|| self.inner.create_root())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.retry(|| self.inner.put(key, bytes))
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.retry(|| self.inner.get(key, limit))
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.retry(|| self.inner.get_range(key, offset, length))
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.retry(|| self.inner.length(key))
    }

    /// The listing is gathered before `each` sees any of it, so that a second try doesn't name keys twice.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let listed = self.retry(|| {
            let mut listed = Vec::new();
            self.inner.list(prefix, &mut |object| listed.push(object))?;
            Ok(listed)
        })?;
        listed.into_iter().for_each(each);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.retry(|| self.inner.delete(key))
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.retry(|| self.inner.settle())
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreErrorKind;
    use super::super::faulty::{Fault, FaultyStore};
    use super::super::memory::MemoryStore;
    use super::super::operation::Operation;
    use super::*;
    use std::sync::Mutex;

    const TRANSIENT: Fault = Fault::Before(StoreErrorKind::Transient);

    struct Setup {
        faulty: Arc<FaultyStore>,
        waits: Arc<Mutex<Vec<Duration>>>,
        store: RetryingStore,
    }

    fn setup() -> Setup {
        let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let waits = Arc::new(Mutex::new(Vec::new()));
        let noted = waits.clone();
        let store = RetryingStore::with_sleep(faulty.clone(), Backoff::default(), move |wait| {
            noted.lock().unwrap().push(wait);
        });
        Setup { faulty, waits, store }
    }

    #[test]
    fn what_passes_is_tried_again_with_growing_waits() {
        let Setup { faulty, waits, store } = setup();
        (0..4).for_each(|nth| faulty.plan(Operation::Put, nth, TRANSIENT));
        store.put("a", &Bytes::from_static(b"a")).unwrap();
        assert_eq!(faulty.calls(Operation::Put), 5);
        let seconds = [2, 4, 8, 16];
        for (wait, whole) in waits.lock().unwrap().iter().zip(seconds) {
            assert!((Duration::from_secs(whole) / 2..=Duration::from_secs(whole)).contains(wait), "{wait:?}");
        }
        assert_eq!(waits.lock().unwrap().len(), 4);
    }

    #[test]
    fn it_gives_up_and_says_so() {
        let Setup { faulty, store, .. } = setup();
        (0..9).for_each(|nth| faulty.plan(Operation::Get, nth, TRANSIENT));
        let error = store.get("a", 1).unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.source.unwrap().to_string(), "gave up after 5 tries");
        assert_eq!(faulty.calls(Operation::Get), 5);
    }

    #[test]
    fn other_errors_are_final() {
        let Setup { faulty, waits, store } = setup();
        faulty.plan(Operation::Delete, 0, Fault::Before(StoreErrorKind::Denied));
        assert_eq!(store.delete("a").unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(faulty.calls(Operation::Delete), 1);
        assert_eq!(*waits.lock().unwrap(), []);
    }

    #[test]
    fn a_lost_answer_is_success() {
        let Setup { faulty, store, .. } = setup();
        faulty.plan(Operation::Put, 0, Fault::After(StoreErrorKind::Transient));
        store.put("a", &Bytes::from_static(b"a")).unwrap();
        assert_eq!(faulty.calls(Operation::Put), 2);
        assert_eq!(store.get("a", 1).unwrap(), "a");
    }

    #[test]
    fn a_listing_tried_again_names_each_key_once() {
        let Setup { faulty, store, .. } = setup();
        store.put("a", &Bytes::from_static(b"a")).unwrap();
        faulty.plan(Operation::List, 0, Fault::After(StoreErrorKind::Transient));
        let mut keys = Vec::new();
        store.list("", &mut |listed| keys.push(listed.key)).unwrap();
        assert_eq!(keys, ["a"]);
    }

    #[test]
    fn waits_stay_within_their_bounds() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(0, 0), Duration::from_secs(1));
        assert_eq!(backoff.wait(0, 255), Duration::from_secs(2));
        assert_eq!(backoff.wait(60, 255), Duration::from_secs(30));
    }
}
