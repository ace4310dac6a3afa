//! A store that reads and doesn't write: for `--dry-run`.

use crate::repo::store::{Listed, Store, StoreError};
use bytes::Bytes;
use std::sync::Arc;

/// Passes everything through but writes and deletions, which succeed and do nothing.
pub struct DryRun(pub Arc<dyn Store>);

impl Store for DryRun {
    fn url(&self) -> &str {
        self.0.url()
    }
    fn connections(&self) -> usize {
        self.0.connections()
    }
    fn create_root(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn put(&self, _: &str, _: &Bytes) -> Result<(), StoreError> {
        Ok(())
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.0.get(key, limit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.0.get_range(key, offset, length)
    }
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.0.length(key)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        self.0.list(prefix, each)
    }
    fn delete(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}
