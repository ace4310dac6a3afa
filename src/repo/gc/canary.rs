//! Canaries: objects that are put where a listing is about to be relied on, and must be in it.
//!
//! A pruner acts on what listings do *not* show: no snapshot, no pin, no run. A listing that is cut short, empty or out of date would show less than there is. Each prefix gets an object
//! of our own whose key sorts behind all others, so a listing without it is none to act on. Readers ignore keys that don't fit.

use crate::repo::format::key;
use crate::repo::gc::error::GcError;
use crate::repo::id::RunId;
use crate::repo::store::{Listed, Store};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// The prefixes whose listings a pruner relies on.
const PREFIXES: [&str; 4] = [key::RUNS, key::PINS, key::SNAPSHOTS, key::GC];
/// What the name of a canary begins with.
const NAME: &str = "zz-";
/// Canaries that somebody left are removed at this age, in seconds.
const LEFT_AGE: i64 = 24 * 60 * 60;
/// How often a listing that may lag is looked at again.
const LOOKS: u32 = 8;

/// The canaries of one prune; removed when it ends.
pub struct Canaries<'s> {
    store: &'s dyn Store,
    gid: RunId,
    round: u32,
    lag: Duration,
    placed: Vec<String>,
    /// When the store says that the last canary was written, in seconds since the epoch.
    now: Option<i64>,
}

impl<'s> Canaries<'s> {
    /// Puts the first ones. `lag` is how long listings of this store may lag behind.
    pub fn place(store: &'s dyn Store, gid: RunId, lag: Duration) -> Result<Self, GcError> {
        let mut canaries = Self { store, gid, round: 0, lag, placed: Vec::new(), now: None };
        canaries.renew()?;
        Ok(canaries)
    }

    /// None at all, for whoever only wants to know what would be done: listings are taken as they come.
    pub fn none(store: &'s dyn Store, gid: RunId) -> Self {
        Self { store, gid, round: 0, lag: Duration::ZERO, placed: Vec::new(), now: None }
    }

    /// Puts new ones: listings from now on must be younger than this.
    pub fn renew(&mut self) -> Result<(), GcError> {
        self.round += 1;
        for prefix in PREFIXES {
            let key = self.key(prefix);
            self.store.put(&key, &Bytes::from_static(NAME.as_bytes()))?;
            self.placed.push(key);
        }
        Ok(())
    }

    fn key(&self, prefix: &str) -> String {
        format!("{prefix}{NAME}{}-{}", self.gid, self.round)
    }

    /// The store's own clock, as far as it tells: seconds since the epoch.
    pub const fn now(&self) -> Option<i64> {
        self.now
    }

    /// Lists what is under one of the prefixes, canaries left out. Fails unless the listing shows the one that was put last.
    pub fn list(&mut self, prefix: &'static str) -> Result<Vec<Listed>, GcError> {
        let mine = self.key(prefix);
        let began = Instant::now();
        loop {
            let (mut found, mut left, mut seen) = (Vec::new(), Vec::new(), None);
            self.store.list(prefix, &mut |listed| {
                if listed.key == mine {
                    seen = Some(listed.modified);
                } else if listed.key[prefix.len()..].starts_with(NAME) {
                    left.push(listed);
                } else {
                    found.push(listed);
                }
            })?;
            if self.round == 0 {
                return Ok(found);
            }
            if let Some(modified) = seen {
                self.now = self.now.max(modified);
                self.sweep(&left);
                return Ok(found);
            }
            if began.elapsed() >= self.lag * 2 {
                return Err(GcError::Listing { prefix });
            }
            std::thread::sleep(self.lag / LOOKS);
        }
    }

    /// Removes what crashed prunes left.
    fn sweep(&self, left: &[Listed]) {
        let is_old = |listed: &&Listed| {
            self.now.zip(listed.modified).is_some_and(|(now, then)| now.saturating_sub(then) > LEFT_AGE)
        };
        for listed in left.iter().filter(is_old) {
            let _ = self.store.delete(&listed.key); // a courtesy
        }
    }
}

impl Drop for Canaries<'_> {
    fn drop(&mut self) {
        for key in &self.placed {
            let _ = self.store.delete(key); // what stays is removed by a later prune
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::CredentialId;
    use crate::repo::store::faulty::{Fault, FaultyStore};
    use crate::repo::store::memory::MemoryStore;
    use crate::repo::store::operation::Operation;
    use std::sync::Arc;

    #[test]
    fn a_listing_without_the_canary_is_none_to_act_on() {
        let inner = Arc::new(MemoryStore::new());
        let store = FaultyStore::new(inner.clone());
        let run = RunId::new(CredentialId::from_bytes([1; 16]), [2; 16]);
        store.put(&key::run(run), &Bytes::from_static(b"x")).unwrap();
        let mut canaries = Canaries::place(&store, run, Duration::ZERO).unwrap();
        let listed = canaries.list(key::RUNS).unwrap();
        assert_eq!(listed.into_iter().map(|listed| listed.key).collect::<Vec<_>>(), [key::run(run)]);
        assert!(canaries.now().is_some());
        for shown in [0, 1] {
            store.plan_next(Operation::List, Fault::ShortListing(shown));
            assert!(matches!(canaries.list(key::RUNS), Err(GcError::Listing { prefix: key::RUNS })));
        }
        canaries.renew().unwrap();
        assert_eq!(canaries.list(key::RUNS).unwrap().len(), 1, "older canaries aren't shown");
        drop(canaries);
        let mut left = Vec::new();
        inner.list("", &mut |listed| left.push(listed.key)).unwrap();
        assert_eq!(left, [key::run(run)]);
    }
}
