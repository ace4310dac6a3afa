//! Every service that OpenDAL reaches.
//!
//! The only file with asynchronous code: it owns a runtime, of which there is one in a process, and waits for each call on the caller's thread. OpenDAL's own
//! retries are not used, because they turn a failed `fsync` into success; [`retry`](super::retry) repeats whole calls instead.
//!
//! # A missing root
//!
//! - Folders (`fs`, `sftp`, `webdav`, drives): OpenDAL creates a missing root without a word, when it connects or when it writes. So it is given the service's
//!   top as root, the repository's folder is a prefix of all keys, and it is looked for before each write, deletion and listing and after each "not found".
//! - Buckets: S3, GCS, Azure say in their answers that the bucket is missing, except where an answer has no body (the length of an object, a deletion). Before the
//!   first such answer is believed, a listing is asked for. B2 and Swift don't tell it from other errors ([`StoreErrorKind::Other`]).
//!
//! # Whole objects
//!
//! Object stores show an object when it is whole. `fs`, `sftp`, `webdav`, `azdls` and `azfile` show what was written so far, so there it goes to
//! `<random>.tmp` beside its place and is moved when its length is right; the move replaces an object that came meanwhile. `ftp` and `webhdfs` can't do
//! that: a torn object is removed if the connection lives, else `check` finds it.
//!
//! Whether an object survives a crash of the *server* is the service's affair: OpenDAL doesn't ask `sftp` or `webdav` servers to synchronise.

mod failure;
mod open;
mod service;

pub(super) use self::open::Place;
pub use self::service::is_secret;
pub(super) use self::service::{Root, SERVICES, Service, feature_of};

use self::failure::{Secrets, is_unsupported, kind_of};
use super::key::{self, require_key, require_prefix};
use super::{Listed, Store, StoreError, StoreErrorKind, check_key};
use ::opendal::{Entry, ErrorKind, Operator};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a call may take besides moving bytes, unless a test says otherwise.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes a second below which a transfer counts as stuck.
const SLOWEST: u64 = 64 * 1024;

/// The runtime of all stores; made when the first call is.
static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().thread_name("nightsafe-store").enable_all().build());

/// A store behind OpenDAL. It doesn't retry.
pub struct OpenDalStore {
    operator: Operator,
    /// The repository's folder below the operator's root: empty, or ending in `/`.
    prefix: String,
    url: String,
    root: Root,
    moves: bool,
    connections: usize,
    /// How long a call may take besides moving bytes.
    patience: Duration,
    secrets: Secrets,
    /// Whether writes are made conditional on there being no object.
    conditional: AtomicBool,
    /// Whether a bucket was seen.
    root_seen: AtomicBool,
}

impl OpenDalStore {
    /// A store over any operator whose writes are whole or absent, its root being a bucket: for tests.
    pub fn over(operator: Operator, url: &str) -> Self {
        Self {
            conditional: AtomicBool::new(operator.info().capability().write_with_if_not_exists),
            operator,
            prefix: String::new(),
            url: url.to_owned(),
            root: Root::Bucket(""),
            moves: false,
            connections: 4,
            patience: PATIENCE,
            secrets: Secrets::default(),
            root_seen: AtomicBool::new(false),
        }
    }

    /// The same with another limit on how long a call may take besides moving bytes: for tests.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn error(&self, kind: StoreErrorKind, key: &str) -> StoreError {
        StoreError::new(kind, key, &self.url)
    }

    fn failed(&self, key: &str, error: &::opendal::Error) -> StoreError {
        self.error(kind_of(error), key).because(self.secrets.hide(error))
    }

    /// Nothing was heard for so long.
    fn silent(&self, key: &str, patience: Duration) -> StoreError {
        self.error(StoreErrorKind::Transient, key).because(format!("no answer for {} s", patience.as_secs_f64()))
    }

    fn path(&self, key: &str) -> String {
        [&self.prefix, key].concat()
    }

    /// Waits for a call that moves `bytes`.
    fn wait<T>(&self, key: &str, bytes: u64, call: impl Future<Output = T>) -> Result<T, StoreError> {
        let runtime = RUNTIME.as_ref().map_err(|error| {
            self.error(StoreErrorKind::Other, key).because(format!("no asynchronous runtime: {error}"))
        })?;
        let patience = self.patience + Duration::from_secs(bytes / SLOWEST);
        // Services have panicked on answers they didn't expect (`sftp`: on names that aren't UTF-8).
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { tokio::time::timeout(patience, call).await })
        }));
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(self.silent(key, patience)),
            Err(_) => Err(self.error(StoreErrorKind::Other, key).because("the service's client panicked")),
        }
    }

    /// Waits for a call whose errors mean what they say.
    fn run<T>(&self, key: &str, bytes: u64, call: impl Future<Output = ::opendal::Result<T>>) -> Result<T, StoreError> {
        self.wait(key, bytes, call)?.map_err(|error| self.failed(key, &error))
    }

    /// Whether the root is there. A bucket that was seen isn't looked for again.
    fn require_root(&self, key: &str) -> Result<(), StoreError> {
        let missing = || self.error(StoreErrorKind::RootMissing, key);
        match self.root {
            Root::Folder if self.prefix.is_empty() => Ok(()),
            Root::Folder => match self.wait(key, 0, self.operator.stat(&self.prefix))? {
                Ok(status) if status.is_dir() => Ok(()),
                Ok(_) => Err(missing().because("it is not a folder")),
                // `NotADirectory`, or what stands for it: a folder asked for is a file.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(missing()),
                Err(error) => Err(match self.failed(key, &error) {
                    error if error.kind == StoreErrorKind::NotFound => {
                        StoreError { kind: StoreErrorKind::RootMissing, ..error }
                    }
                    error => error,
                }),
            },
            Root::Bucket(_) if self.root_seen.load(Ordering::Relaxed) => Ok(()),
            Root::Bucket(_) => {
                let first = async {
                    let mut lister = self.operator.lister_with(&self.prefix).limit(1).await?;
                    lister.try_next().await
                };
                // A listing of nothing in a bucket succeeds, so "not found" is the bucket.
                self.run(key, 0, first).map_err(|error| match error.kind {
                    StoreErrorKind::NotFound => StoreError { kind: StoreErrorKind::RootMissing, ..error },
                    _ => error,
                })?;
                self.root_seen.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Why reading failed: `error`, or that there is no such object, or no root.
    fn explain(&self, key: &str, error: StoreError) -> StoreError {
        let absent = match error.kind {
            StoreErrorKind::NotFound => true,
            // A folder of that name: reading it fails in many ways.
            StoreErrorKind::Transient | StoreErrorKind::Other if self.root == Root::Folder => {
                matches!(self.length_at(key, &self.path(key)), Ok(None))
            }
            _ => false,
        };
        if !absent {
            return error;
        }
        self.require_root(key).err().unwrap_or(StoreError { kind: StoreErrorKind::NotFound, ..error })
    }

    /// The length of what is at `path`, if it is an object.
    fn length_at(&self, key: &str, path: &str) -> Result<Option<u64>, StoreError> {
        match self.run(key, 0, self.operator.stat(path)) {
            Ok(status) => Ok((!status.is_dir()).then(|| status.content_length())),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Success if the object that is there, `length` bytes long, is the same.
    fn accept_existing(&self, key: &str, bytes: &Bytes, length: u64) -> Result<(), StoreError> {
        let same = length == bytes.len() as u64 && self.read(key, length)? == *bytes;
        if same { Ok(()) } else { Err(self.error(StoreErrorKind::Exists, key)) }
    }

    /// Writes an object where writes are whole or absent.
    fn put_directly(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let path = self.path(key);
        let conditional = self.conditional.load(Ordering::Relaxed);
        let write = self.operator.write_with(&path, bytes.clone()).if_not_exists(conditional);
        match self.wait(key, bytes.len() as u64, write.into_future())? {
            Ok(_) => {}
            Err(error) if conditional && is_unsupported(&error) => {
                self.conditional.store(false, Ordering::Relaxed);
                return self.put_directly(key, bytes);
            }
            Err(error) => {
                let error = self.failed(key, &error);
                return match error.kind {
                    // Someone was faster.
                    StoreErrorKind::Exists => match self.length_at(key, &path)? {
                        Some(length) => self.accept_existing(key, bytes, length),
                        None => Err(self.error(StoreErrorKind::Transient, key).because("it exists and can't be found")),
                    },
                    // Writing finds no object missing, only a bucket.
                    StoreErrorKind::NotFound => Err(StoreError { kind: StoreErrorKind::RootMissing, ..error }),
                    _ => Err(error),
                };
            }
        }
        self.require_length(key, &path, bytes)
    }

    /// Writes an object under another name, and moves it when it is whole.
    fn put_moving(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let temporary = key::temporary_name().map_err(|error| self.error(StoreErrorKind::Other, key).because(error))?;
        let folder = key.rfind('/').map_or("", |slash| &key[..=slash]);
        let (path, temporary) = (self.path(key), self.path(&[folder, &temporary].concat()));
        let written = self
            .run(key, bytes.len() as u64, self.operator.write_with(&temporary, bytes.clone()).into_future())
            .and_then(|_| self.require_length(key, &temporary, bytes))
            .and_then(|()| self.run(key, 0, self.operator.rename(&temporary, &path)));
        if written.is_err() {
            // If this fails too, a file is left that listings hide.
            let _ = self.run(key, 0, self.operator.delete(&temporary));
        }
        written.map_err(|error| match error.kind {
            // The root went away, or a folder on the way.
            StoreErrorKind::NotFound => {
                self.require_root(key).err().unwrap_or(StoreError { kind: StoreErrorKind::Transient, ..error })
            }
            _ => error,
        })
    }

    /// Whether all bytes have arrived at `path`; fewer are removed, so that another try finds no object.
    fn require_length(&self, key: &str, path: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let wanted = bytes.len() as u64;
        let found = self.length_at(key, path)?;
        match found {
            Some(length) if length == wanted => return Ok(()),
            Some(length) if length < wanted => self.run(key, 0, self.operator.delete(path))?,
            _ => {}
        }
        let found = found.map_or("nothing".to_owned(), |length| format!("{length} bytes"));
        Err(self.error(StoreErrorKind::Transient, key).because(format!("{found} found after a write of {wanted}")))
    }

    /// All of an object, if it's not longer than `limit`.
    ///
    /// The limit is mostly far more than the object has, so it says little of how long a service may be silent: nothing may be awaited for longer than the patience.
    fn read(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        let path = self.path(key);
        let call = async {
            let begun = async {
                let mut stream = self.operator.reader(&path).await?.into_stream(..).await?;
                let announced = match stream.metadata().await {
                    Ok(metadata) => metadata.content_length(),
                    // Some services don't tell before they send.
                    Err(error) if error.kind() == ErrorKind::Unsupported => {
                        self.operator.stat(&path).await?.content_length()
                    }
                    Err(error) => return Err(error),
                };
                Ok::<_, ::opendal::Error>((stream, announced))
            };
            let Ok(begun) = tokio::time::timeout(self.patience, begun).await else {
                return Ok(Err(self.silent(key, self.patience)));
            };
            let (mut stream, announced) = begun?;
            let mut bytes = Vec::new();
            if announced > limit || bytes.try_reserve_exact(usize::try_from(announced).unwrap_or(usize::MAX)).is_err() {
                return Ok(Err(self.error(StoreErrorKind::TooLong, key)));
            }
            loop {
                let Ok(more) = tokio::time::timeout(self.patience, stream.try_next()).await else {
                    return Ok(Err(self.silent(key, self.patience)));
                };
                let Some(more) = more? else { break };
                if bytes.len() as u64 + more.len() as u64 > limit {
                    return Ok(Err(self.error(StoreErrorKind::TooLong, key)));
                }
                more.for_each(|part| bytes.extend_from_slice(&part));
            }
            // An answer that ended early; 0 is announced where the length isn't known.
            let whole = announced == 0 || bytes.len() as u64 == announced;
            let cut = || self.error(StoreErrorKind::Transient, key).because("the answer ended early");
            Ok(if whole { Ok(bytes.into()) } else { Err(cut()) })
        };
        match self.run(key, limit, call) {
            Ok(outcome) => outcome,
            Err(error) => Err(self.explain(key, error)),
        }
    }

    /// An entry of a listing as an object of ours, if it is one.
    async fn listed(&self, entry: Entry) -> ::opendal::Result<Option<Listed>> {
        let (path, mut metadata) = entry.into_parts();
        let Some(key) = path.strip_prefix(&self.prefix) else { return Ok(None) };
        if metadata.is_dir() || check_key(key).is_err() {
            return Ok(None);
        }
        if metadata.content_length() == 0 || !metadata.is_file() {
            // The listing doesn't tell the length: no object of ours is empty.
            metadata = match self.operator.stat(&path).await {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // removed meanwhile
                Err(error) => return Err(error),
            };
        }
        let modified = metadata.last_modified().map(|time| time.into_inner().as_second());
        Ok(Some(Listed { key: key.to_owned(), length: metadata.content_length(), modified }))
    }
}

impl Store for OpenDalStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn create_root(&self) -> Result<(), StoreError> {
        if self.root == Root::Folder && !self.prefix.is_empty() {
            self.run("", 0, self.operator.create_dir(&self.prefix))?;
        }
        self.require_root("")
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        require_key(key, &self.url)?;
        // Also for buckets: there are servers that create a missing one.
        self.require_root(key)?;
        // Also where writes are conditional: servers that imitate S3 may ignore the condition.
        match self.length_at(key, &self.path(key))? {
            Some(length) => self.accept_existing(key, bytes, length),
            None if self.moves => self.put_moving(key, bytes),
            None => self.put_directly(key, bytes),
        }
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        require_key(key, &self.url)?;
        self.read(key, limit)
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        require_key(key, &self.url)?;
        let short = || self.error(StoreErrorKind::Short, key);
        let end = offset.checked_add(length).ok_or_else(short)?;
        let path = self.path(key);
        let read = if length == 0 {
            Ok(Bytes::new()) // no service can be asked for it
        } else {
            let call = self.operator.read_with(&path).range(offset..end);
            self.run(key, length, call.into_future()).map(|buffer| buffer.to_bytes())
        };
        match read {
            Ok(bytes) if length > 0 && bytes.len() as u64 == length => Ok(bytes),
            Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::RootMissing) => Err(error),
            // The object may be too short: services say so in many ways, or not at all.
            other => match self.length(key)? {
                None => Err(self.error(StoreErrorKind::NotFound, key)),
                Some(there) if there < end => Err(short()),
                Some(_) if length == 0 => Ok(Bytes::new()),
                Some(_) => Err(other.err().unwrap_or_else(|| self.error(StoreErrorKind::Transient, key))),
            },
        }
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        require_key(key, &self.url)?;
        let length = self.length_at(key, &self.path(key))?;
        if length.is_none() {
            self.require_root(key)?;
        }
        Ok(length)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        require_prefix(prefix, &self.url)?;
        self.require_root(prefix)?;
        let path = self.path(prefix);
        let lister = self.operator.lister_with(&path).recursive(true);
        let mut lister = match self.run(prefix, 0, lister.into_future()) {
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(()), // no such folder
            other => other?,
        };
        let mut begun = false;
        loop {
            let next = async {
                match lister.try_next().await? {
                    Some(entry) => Ok(Some(self.listed(entry).await?)),
                    None => Ok(None),
                }
            };
            match self.run(prefix, 0, next) {
                Ok(Some(listed)) => {
                    begun = true;
                    listed.into_iter().for_each(&mut *each);
                }
                Ok(None) => return Ok(()),
                Err(error) if error.kind == StoreErrorKind::NotFound && !begun => return Ok(()),
                // A folder was removed under the listing, which may have missed more than that folder.
                Err(error) if error.kind == StoreErrorKind::NotFound => {
                    return Err(StoreError { kind: StoreErrorKind::Transient, ..error });
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        require_key(key, &self.url)?;
        self.require_root(key)?;
        let path = self.path(key);
        match self.run(key, 0, self.operator.delete(&path)) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            // A folder of that name, perhaps, which services refuse to remove in many ways.
            Err(error) if !error.is_transient() || self.root == Root::Folder => match self.length_at(key, &path) {
                Ok(None) => Ok(()),
                _ => Err(error),
            },
            other => other,
        }
    }
}
