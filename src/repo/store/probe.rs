//! Tries whether a store keeps what it must promise: `init` and `prune` ask before they rely on it.

use super::{Store, StoreError, StoreErrorKind, key};
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, Instant};

/// Where probes go. A folder of its own, so that looking for a probe doesn't list the repository; readers ignore the name.
const FOLDER: &str = "probe/";

/// Bytes of a probe: more than one block or packet, so that a range from the middle is one.
const LENGTH: usize = 20_000;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether a second put with other bytes was refused, as folders and most object stores do. Where it isn't, keys that are never reused (all but
    /// `nightsafe.json`) are the only protection.
    pub refuses_overwriting: bool,
    /// What each step took, in their order.
    pub steps: Vec<(Step, Duration)>,
}

/// One thing that a store must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Store an object.
    Put,
    /// Give it back as it was.
    Get,
    /// Give back a part of it.
    GetRange,
    /// Tell its length.
    Length,
    /// List it.
    List,
    /// Take a second put of the same bytes as success.
    PutAgain,
    /// Keep the first bytes when others are put, or replace them whole.
    PutOther,
    /// Remove it, so that it is neither found nor listed.
    Delete,
}

/// Why a store won't do.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A call failed.
    #[error("the store could not {step} a probe object")]
    Failed {
        /// What was tried.
        step: Step,
        /// How it failed.
        source: StoreError,
    },
    /// A call succeeded and its result was wrong.
    #[error("{url} does not keep its promise: could not {step} a probe object: {what}")]
    Broken {
        /// What was tried.
        step: Step,
        /// What came out.
        what: &'static str,
        /// The store.
        url: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "write",
            Self::Get => "read back",
            Self::GetRange => "read a part of",
            Self::Length => "get the length of",
            Self::List => "list",
            Self::PutAgain => "write again",
            Self::PutOther => "protect",
            Self::Delete => "remove",
        })
    }
}

/// Writes, reads, lists and removes a random object.
///
/// Whatever happens, the attempt is made to remove it.
pub fn probe(store: &dyn Store) -> Result<Probe, ProbeError> {
    let unready = |error: std::io::Error| {
        let source = StoreError::new(StoreErrorKind::Other, "", store.url()).because(error);
        ProbeError::Failed { step: Step::Put, source }
    };
    let mut bytes = vec![0; LENGTH];
    key::fill_random(&mut bytes).map_err(unready)?;
    let key = FOLDER.to_owned() + &key::random_name().map_err(unready)?;
    let mut probing = Probing { store, key, bytes: bytes.into(), steps: Vec::new() };
    match probing.run() {
        Ok(refuses_overwriting) => Ok(Probe { refuses_overwriting, steps: probing.steps }),
        Err(error) => {
            // The first error is the one to tell.
            let _ = store.delete(&probing.key);
            Err(error)
        }
    }
}

struct Probing<'a> {
    store: &'a dyn Store,
    key: String,
    bytes: Bytes,
    steps: Vec<(Step, Duration)>,
}

impl Probing<'_> {
    /// All steps; whether overwriting was refused.
    fn run(&mut self) -> Result<bool, ProbeError> {
        let length = LENGTH as u64;
        self.step(Step::Put, |store, key, bytes| store.put(key, bytes).map(|()| None))?;
        self.step(Step::Get, |store, key, bytes| {
            let same = store.get(key, length)? == *bytes;
            Ok((!same).then_some("other bytes came back"))
        })?;
        self.step(Step::GetRange, |store, key, bytes| {
            let same =
                store.get_range(key, length / 3, length / 2)? == bytes.slice(LENGTH / 3..LENGTH / 3 + LENGTH / 2);
            Ok((!same).then_some("other bytes came back"))
        })?;
        self.step(Step::Length, |store, key, _| {
            Ok((store.length(key)? != Some(length)).then_some("the length is another"))
        })?;
        self.step(Step::List, |store, key, _| match listed_length(store, key)? {
            None => Ok(Some("the listing doesn't show it")),
            Some(listed) => Ok((listed != length).then_some("the listing shows another length")),
        })?;
        self.step(Step::PutAgain, |store, key, bytes| store.put(key, bytes).map(|()| None))?;
        let refuses = self.put_other()?;
        self.step(Step::Delete, |store, key, _| {
            store.delete(key)?;
            if store.length(key)?.is_some() {
                return Ok(Some("it is still there"));
            }
            Ok(listed_length(store, key)?.map(|_| "it is still listed"))
        })?;
        Ok(refuses)
    }

    /// Puts other bytes; whether that was refused.
    fn put_other(&mut self) -> Result<bool, ProbeError> {
        let mut refused = false;
        self.step(Step::PutOther, |store, key, bytes| {
            let other = Bytes::from(bytes.iter().map(|byte| !byte).collect::<Vec<_>>());
            refused = match store.put(key, &other) {
                Ok(()) => false,
                Err(error) if error.kind == StoreErrorKind::Exists => true,
                Err(error) => return Err(error),
            };
            let expected = if refused { bytes } else { &other };
            let there = store.get(key, bytes.len() as u64)?;
            Ok((there != *expected).then_some("a second write with other bytes left neither the old nor the new"))
        })?;
        Ok(refused)
    }

    fn step(
        &mut self,
        step: Step,
        call: impl FnOnce(&dyn Store, &str, &Bytes) -> Result<Option<&'static str>, StoreError>,
    ) -> Result<(), ProbeError> {
        let start = Instant::now();
        let broken = call(self.store, &self.key, &self.bytes).map_err(|source| ProbeError::Failed { step, source })?;
        self.steps.push((step, start.elapsed()));
        match broken {
            None => Ok(()),
            Some(what) => Err(ProbeError::Broken { step, what, url: self.store.url().to_owned() }),
        }
    }
}

fn listed_length(store: &dyn Store, key: &str) -> Result<Option<u64>, StoreError> {
    let mut length = None;
    store.list(FOLDER, &mut |listed| {
        if listed.key == key {
            length = Some(listed.length);
        }
    })?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::super::faulty::{Fault, FaultyStore};
    use super::super::memory::MemoryStore;
    use super::super::operation::Operation;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_good_store_passes_and_is_left_empty() {
        let store = MemoryStore::new();
        let probe = probe(&store).unwrap();
        assert!(probe.refuses_overwriting);
        assert_eq!(probe.steps.len(), 8);
        store.list("", &mut |listed| panic!("{listed:?} is left")).unwrap();
    }

    #[test]
    fn each_broken_promise_is_named_and_the_probe_removed() {
        for (operation, fault, broken) in [
            (Operation::Put, Fault::TornSilently(9), Step::Get),
            (Operation::Put, Fault::Flipped(77), Step::Get),
            (Operation::Get, Fault::ShortRead(1), Step::Get),
            (Operation::GetRange, Fault::Flipped(5), Step::GetRange),
            (Operation::List, Fault::ShortListing(0), Step::List),
        ] {
            let inner = Arc::new(MemoryStore::new());
            let store = FaultyStore::new(inner.clone());
            store.plan(operation, 0, fault);
            let error = probe(&store).unwrap_err();
            assert!(matches!(error, ProbeError::Broken { step, .. } if step == broken), "{fault:?}: {error:?}");
            inner.list("", &mut |listed| panic!("{listed:?} is left")).unwrap();
        }
    }

    #[test]
    fn a_failing_call_is_named() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        store.plan(Operation::Delete, 0, Fault::Before(StoreErrorKind::Denied));
        let error = probe(&store).unwrap_err();
        assert_eq!(error.to_string(), "the store could not remove a probe object");
    }
}
