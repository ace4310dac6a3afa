//! A store in which something happens before each object is written or read as a whole.

use bytes::Bytes;
use nightsafe::repo::store::{Listed, Store, StoreError};
use std::sync::Arc;

/// What happens: given the store behind, the key and the bytes. An error is the answer, and nothing is written.
type BeforePut = dyn Fn(&dyn Store, &str, &Bytes) -> Result<(), StoreError> + Send + Sync;

/// The same of a read, given the key.
type BeforeGet = dyn Fn(&str) -> Result<(), StoreError> + Send + Sync;

pub(crate) struct Intercepted {
    inner: Arc<dyn Store>,
    before_put: Box<BeforePut>,
    before_get: Box<BeforeGet>,
}

impl Intercepted {
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        before_put: impl Fn(&dyn Store, &str, &Bytes) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, before_put: Box::new(before_put), before_get: Box::new(|_| Ok(())) }
    }

    pub(crate) fn of_gets(
        inner: Arc<dyn Store>,
        before_get: impl Fn(&str) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_get: Box::new(before_get), ..Self::new(inner, |_, _, _| Ok(())) }
    }
}

impl Store for Intercepted {
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
        (self.before_put)(&*self.inner, key, bytes)?;
        self.inner.put(key, bytes)
    }
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        (self.before_get)(key)?;
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
    fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle()
    }
}
