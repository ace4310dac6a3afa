//! The store: a flat key → bytes service under one URL.
//!
//! # Contract
//!
//! Every implementation keeps it, and one conformance suite (`tests/it/store/`) is run over all of them.
//!
//! - **Keys** are relative paths as [`check_key`] wants them: components of `[a-z0-9.-]` separated by `/`, none of which begins with a dot, the
//!   last not ending in `.tmp`. Every call refuses another key with [`StoreErrorKind::Other`] before it does anything.
//! - **Objects are written once.** [`Store::put`] of a key that exists with the same bytes succeeds (so a retry is harmless); with other bytes it fails with
//!   [`StoreErrorKind::Exists`], and the old bytes stay. Two puts of one key with different bytes *at the same time* are told apart only where the service can: folders
//!   (hard links), S3, GCS and Azure (conditional writes) can; services where an object is moved into place (`sftp`, `webdav`, OpenDAL's `fs`) can't, and keep the later.
//! - **Whole or absent.** After `put` returned, the object is durable (as far as the service makes it so) and a `get` by anyone sees all of its bytes; after it failed, the object is
//!   absent, or whole (a lost answer), never a part of it under its key.
//! - **Listings** that start after a `put` returned include it. They may come in any order, name each key once and omit nothing else; what isn't an object of ours
//!   (temporary files, other names, symbolic links) is not listed. If a listing fails, `each` may have seen a part of it.
//! - **Empty objects** don't occur in a repository; services may refuse them.
//! - **A missing object** is [`StoreErrorKind::NotFound`]. **A missing root** (folder or bucket; an unmounted disk) is [`StoreErrorKind::RootMissing`], from every
//!   call including `list`; nothing but [`Store::create_root`] creates it.
//! - **Ranges** are exact: a `get_range` that can't give all bytes asked for is an error ([`StoreErrorKind::Short`]), never fewer bytes.
//! - **Delete** of an absent key succeeds.
//! - **Errors** name the key and the store's URL, which never holds a secret. [`StoreError::is_transient`] says whether trying again may help; the stores that
//!   [`url::open`] makes have done so already.
//! - All methods may be called from many threads at once, but not from within an asynchronous task.
//!
//! # Implementations
//!
//! | module | what |
//! | --- | --- |
//! | [`local`] | a folder |
//! | [`opendal`] | everything that OpenDAL reaches |
//! | [`memory`] | for tests |
//! | [`retry`], [`record`], [`faulty`] | wrappers: tries again; writes down every call; breaks chosen calls |
//!
//! [`url`] finds the store for a URL, [`probe`] tries what this contract promises.

pub mod dry_run;
pub mod faulty;
pub mod key;
pub mod local;
pub mod memory;
pub mod opendal;
pub mod operation;
pub mod probe;
pub mod record;
pub mod retry;
pub mod url;

pub use key::check_key;

use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// What a listing tells of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The object's key.
    pub key: String,
    /// Its length in bytes.
    pub length: u64,
    /// When the store says it was written, in seconds since the epoch, where it says so.
    pub modified: Option<i64>,
}

/// A flat key → bytes service; see the [module's](self) contract.
pub trait Store: Send + Sync {
    /// The URL, for people: without secrets.
    fn url(&self) -> &str;

    /// How many calls should be under way at once.
    fn connections(&self) -> usize;

    /// Creates the root if it's missing; only `init` calls this.
    fn create_root(&self) -> Result<(), StoreError>;

    /// Writes an object, durably and whole.
    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError>;

    /// All bytes of an object; at most `limit`, else [`StoreErrorKind::TooLong`] before they are read.
    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError>;

    /// `length` bytes of an object from `offset` on.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError>;

    /// The length of an object; `None` if there is none.
    fn length(&self, key: &str) -> Result<Option<u64>, StoreError>;

    /// Calls `each` for every object whose key begins with `prefix` (a folder: empty, or ending in `/`), in all depths.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError>;

    /// Removes an object.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Makes durable what listings and reads have shown so far, whoever wrote it: a put that was killed half-way, or that is still under way, may have made an object
    /// visible that a power loss would take away. Called before something is written that relies on what others wrote.
    ///
    /// Services that show only what is durable have nothing to do. Wrappers must pass it on.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes unfinished files older than `age` that a crash has left, and says how many there were. Services that show only whole objects keep none where this would see them.
    ///
    /// A writer holds its temporary file for the seconds that one object takes, so a day is a safe age.
    fn remove_stale_temporaries(&self, _age: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub struct StoreError {
    /// What went wrong.
    pub kind: StoreErrorKind,
    /// The object concerned; empty when it was the root or a listing of all.
    pub key: String,
    /// The store's URL.
    pub url: String,
    /// What the layer below said.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// The folder or bucket isn't there: perhaps a disk that isn't mounted.
    RootMissing,
    /// The object exists with other bytes.
    Exists,
    /// Fewer bytes than asked for.
    Short,
    /// More bytes than the limit.
    TooLong,
    /// Not allowed.
    Denied,
    /// No space or quota left.
    Full,
    /// No answer in time, too many requests, connection lost: may pass.
    Transient,
    /// Anything else.
    Other,
}

impl StoreError {
    /// An error about the object `key` of the store at `url`.
    pub fn new(kind: StoreErrorKind, key: &str, url: &str) -> Self {
        Self { kind, key: key.to_owned(), url: url.to_owned(), source: None }
    }

    /// The same, with what the layer below said.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether trying the same call again may help.
    pub fn is_transient(&self) -> bool {
        self.kind == StoreErrorKind::Transient
    }
}

impl StoreErrorKind {
    /// Whether it tells of one object that can't be had, as opposed to the store.
    pub const fn is_of_object(self) -> bool {
        matches!(self, Self::Short | Self::TooLong | Self::Other)
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::RootMissing => "the repository's folder or bucket is missing",
            Self::Exists => "exists with other content",
            Self::Short => "shorter than expected",
            Self::TooLong => "longer than allowed",
            Self::Denied => "permission denied",
            Self::Full => "no space left",
            Self::Transient => "no answer",
            Self::Other => "failed",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.url, self.kind),
            key => write!(f, "{}: {key}: {}", self.url, self.kind),
        }
    }
}
