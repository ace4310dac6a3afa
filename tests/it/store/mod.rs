//! The stores: one conformance suite over all of them, and what is particular to each.

#![expect(clippy::unwrap_used, reason = "what fails in a test shall fail the test")]
#![expect(clippy::print_stdout, reason = "the test runner shows it where a test failed or was skipped")]

mod conformance;
mod local;
mod opendal;
pub mod remote;

use conformance::{Case, check};
use nightsafe::repo::store::faulty::FaultyStore;
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::repo::store::record::RecordingStore;
use nightsafe::repo::store::retry::{Backoff, RetryingStore};
use std::sync::Arc;

#[test]
fn memory_conforms() {
    check(&|| {
        let store = Arc::new(MemoryStore::without_root());
        let same = store.clone();
        Case { remove_root: Some(Box::new(move || same.remove_root())), ..Case::new(store) }
    });
}

#[test]
fn a_recording_store_conforms() {
    check(&|| Case::new(Arc::new(RecordingStore::new(Arc::new(MemoryStore::without_root())))));
}

#[test]
fn a_faulty_store_without_faults_conforms() {
    check(&|| Case::new(Arc::new(FaultyStore::new(Arc::new(MemoryStore::without_root())))));
}

#[test]
fn a_retrying_store_conforms() {
    check(&|| Case::new(Arc::new(RetryingStore::new(Arc::new(MemoryStore::without_root()), Backoff::default()))));
}
