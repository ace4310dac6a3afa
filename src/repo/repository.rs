//! Making and opening repositories. What may be done with one depends on the credential, and the types say so: a [`Repo<WriteOnly>`] has
//! nothing that reads content back.

use crate::repo::cache_fault::CacheFault;
use crate::repo::error::RepoError;
use crate::repo::format::{self, MARKER};
use crate::repo::id::{CredentialId, DomainId, RepositoryId};
use crate::repo::keys::credential::{CredentialError, Method};
use crate::repo::keys::ring::{self, RingError};
use crate::repo::keys::{DomainKeys, KdfParams, Label, Opened, ReadKeys, Role, Secret, Sharing, WriteKeys, bundle};
use crate::repo::store::probe::{self, Probe};
use crate::repo::store::{Store, StoreErrorKind};
use crate::repo::witness::Witness;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Access of a full credential: everything.
pub struct Full {
    read: ReadKeys,
}

/// Access of a write-only credential: backs up and deduplicates, reads nothing back.
pub struct WriteOnly(());

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Full {}
    impl Sealed for super::WriteOnly {}
}

/// What a credential may do: [`Full`] or [`WriteOnly`].
pub trait Access: sealed::Sealed + Send + Sync {
    /// The keys of another domain than the credential's own, for those who may have them.
    fn foreign_domain(&self, domain: DomainId) -> Option<DomainKeys>;
}

impl Access for Full {
    fn foreign_domain(&self, domain: DomainId) -> Option<DomainKeys> {
        Some(self.read.domain(domain))
    }
}

impl Access for WriteOnly {
    fn foreign_domain(&self, _: DomainId) -> Option<DomainKeys> {
        None
    }
}

/// The folder under which each repository gets a folder of its own for its caches.
#[derive(Debug, Clone)]
pub struct CacheDir {
    folder: PathBuf,
    fault: CacheFault,
}

impl CacheDir {
    /// The folder for all caches. It needn't exist, and may be impossible to make.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, fault: CacheFault::default() }
    }

    /// The same folder, and what keeps a cache in it from being written is noted here.
    #[must_use]
    pub fn telling(self, fault: CacheFault) -> Self {
        Self { fault, ..self }
    }

    /// The folder for one repository behind one URL: a copy of a repository elsewhere may hold other packs.
    fn for_repository(&self, id: RepositoryId, url: &str) -> PathBuf {
        let url_hash = blake3::hash(url.as_bytes()).to_hex();
        self.folder.join(format!("{id}-{}", &url_hash[..16]))
    }
}

/// An open repository.
pub struct Repo<A: Access> {
    store: Arc<dyn Store>,
    keys: Arc<WriteKeys>,
    access: A,
    cache: PathBuf,
    cache_fault: CacheFault,
    witness: Option<Arc<Witness>>,
}

/// A repository as whatever its credential allows.
#[expect(clippy::large_enum_variant, reason = "one of it exists, and is taken apart at once")]
pub enum AnyRepo {
    /// Opened with a full credential.
    Full(Repo<Full>),
    /// Opened with a write-only credential.
    WriteOnly(Repo<WriteOnly>),
}

/// How a repository is made.
pub struct CreateOptions {
    /// Costs of deriving a key from a passphrase.
    pub kdf: KdfParams,
    /// What people will see of the first credential.
    pub label: Label,
    /// Where caches go.
    pub cache: CacheDir,
}

/// `nightsafe.json`: says that here is a repository. Not trusted.
#[derive(Serialize, Deserialize)]
struct Marker {
    nightsafe: u32,
    repository: String,
}

/// The repository id that the marker claims.
fn read_marker(store: &dyn Store) -> Result<String, RepoError> {
    let bytes = store.get(MARKER, 4096).map_err(|error| match error.kind {
        StoreErrorKind::NotFound | StoreErrorKind::RootMissing => {
            RepoError::NoRepository { url: store.url().to_owned() }
        }
        _ => error.into(),
    })?;
    let marker: Marker = serde_json::from_slice(&bytes).map_err(|why| RepoError::damaged(MARKER, why))?;
    if marker.nightsafe == u32::from(format::VERSION) {
        Ok(marker.repository)
    } else {
        let why =
            format!("format version {} is not known to this nightsafe; a newer one may read it", marker.nightsafe);
        Err(RepoError::damaged(MARKER, why))
    }
}

/// The id of the repository that the store says it holds. Not trusted: for looks at a store without any key.
pub fn marked_id(store: &dyn Store) -> Result<RepositoryId, RepoError> {
    read_marker(store)?.parse().map_err(|why| RepoError::damaged(MARKER, why))
}

/// Opens a repository with a passphrase or key file.
pub fn open(store: Arc<dyn Store>, secret: &Secret, cache: &CacheDir) -> Result<AnyRepo, RepoError> {
    open_witnessed(store, secret, cache, None)
}

/// Opens a repository that must be the one that `witness` knows, if it knows one; from then on the repository tells it what is seen.
pub fn open_witnessed(
    store: Arc<dyn Store>,
    secret: &Secret,
    cache: &CacheDir,
    witness: Option<Arc<Witness>>,
) -> Result<AnyRepo, RepoError> {
    let marked: Option<RepositoryId> = read_marker(&*store)?.parse().ok();
    let known = witness.as_ref().map(|witness| witness.repositories()).unwrap_or_default();
    let expected = marked.filter(|marked| known.contains(marked)).or_else(|| known.first().copied()).or(marked);
    let hint = cache.folder.join(format!("credential-{}", &blake3::hash(store.url().as_bytes()).to_hex()[..16]));
    let last: Option<CredentialId> = std::fs::read_to_string(&hint).ok().and_then(|text| text.trim().parse().ok());
    // Where two repositories were mixed, the same password may open both.
    let opened = ring::open_any(&*store, secret, last, expected)?;
    let (Opened::Full(keys, _) | Opened::WriteOnly(keys)) = &opened;
    witness.as_ref().map_or(Ok(()), |witness| witness.recognize(keys.repository()))?;
    if last != Some(keys.credential()) {
        // A hint that saves a key derivation; that it can't be kept is no reason to fail.
        let _ =
            std::fs::create_dir_all(&cache.folder).and_then(|()| std::fs::write(&hint, keys.credential().to_string()));
    }
    let folder = cache.for_repository(keys.repository(), store.url());
    Ok(AnyRepo::of(opened, store, folder, (cache.fault.clone(), witness)))
}

impl AnyRepo {
    /// What a credential that was opened may do with a store.
    fn of(
        opened: Opened,
        store: Arc<dyn Store>,
        cache: PathBuf,
        (cache_fault, witness): (CacheFault, Option<Arc<Witness>>),
    ) -> Self {
        match opened {
            Opened::Full(write, read) => {
                let (keys, access) = (Arc::new(write), Full { read });
                Self::Full(Repo { store, keys, access, cache, cache_fault, witness })
            }
            Opened::WriteOnly(write) => {
                let (keys, access) = (Arc::new(write), WriteOnly(()));
                Self::WriteOnly(Repo { store, keys, access, cache, cache_fault, witness })
            }
        }
    }

    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        match self {
            Self::Full(repo) => repo.id(),
            Self::WriteOnly(repo) => repo.id(),
        }
    }
}

impl<A: Access> Repo<A> {
    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        self.keys.repository()
    }

    /// The store it's in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The credential it was opened with.
    pub fn credential(&self) -> CredentialId {
        self.keys.credential()
    }

    /// The folder for caches of this repository.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What kept a cache of this repository from being written, if anything did.
    pub fn cache_fault(&self) -> &CacheFault {
        &self.cache_fault
    }

    /// What this host remembers of the repository, if it's to remember anything.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_deref()
    }

    /// The keys that every credential has.
    pub fn keys(&self) -> &Arc<WriteKeys> {
        &self.keys
    }

    /// The keys of a domain, if this credential may have them: always those of its own, and of all with a full one.
    pub fn with_domain<T>(&self, domain: DomainId, work: impl FnOnce(&DomainKeys) -> T) -> Option<T> {
        if domain == self.keys.domain().id() {
            return Some(work(self.keys.domain()));
        }
        self.access.foreign_domain(domain).map(|keys| work(&keys))
    }

    /// The same repository through another view of its store.
    #[must_use]
    pub fn over(self, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        Self { store: wrap(self.store), ..self }
    }
}

#[cfg(test)]
impl AnyRepo {
    /// What a credential that was opened already may do with a store.
    pub(crate) fn over(opened: Opened, store: Arc<dyn Store>, cache: PathBuf) -> Self {
        Self::of(opened, store, cache, (CacheFault::default(), None))
    }
}

impl Repo<Full> {
    /// Makes a repository with one full credential, after a look at whether the store keeps its promises.
    pub fn create(store: Arc<dyn Store>, secret: &Secret, options: &CreateOptions) -> Result<(Self, Probe), RepoError> {
        store.create_root()?;
        match read_marker(&*store) {
            Err(RepoError::NoRepository { .. }) => {}
            Ok(_) | Err(RepoError::Damaged { .. }) => {
                return Err(RepoError::AlreadyExists { url: store.url().to_owned() });
            }
            Err(error) => return Err(error),
        }
        let probe = probe::probe(&*store)?;
        let read = bundle::create_repository();
        let bundle = read.new_full();
        ring::add(&*store, &read, &bundle, secret, options.kdf, &options.label)?;
        let opened = bundle.open().map_err(|why| RepoError::damaged("credentials/", why))?;
        let Opened::Full(write, read) = opened else {
            return Err(RepoError::damaged("credentials/", "the first credential isn't a full one"));
        };
        let marker = Marker { nightsafe: u32::from(format::VERSION), repository: write.repository().to_string() };
        let json = serde_json::to_vec(&marker).map_err(|why| RepoError::damaged(MARKER, why))?;
        store.put(MARKER, &Bytes::from(json))?;
        let cache = options.cache.for_repository(write.repository(), store.url());
        let (keys, access, cache_fault) = (Arc::new(write), Full { read }, options.cache.fault.clone());
        Ok((Self { store, keys, access, cache, cache_fault, witness: None }, probe))
    }

    /// The keys that only a full credential has.
    pub fn read_keys(&self) -> &ReadKeys {
        &self.access.read
    }

    /// All credentials.
    pub fn credentials(&self) -> Result<Vec<CredentialInfo>, RepoError> {
        let found = ring::list(&*self.store)?;
        let info = |found: ring::Found| CredentialInfo {
            id: found.id,
            current: found.id == self.credential(),
            what: found.object.and_then(|object| {
                object.verify(self.read_keys().authority())?;
                Ok(CredentialFacts {
                    role: object.role(),
                    method: object.method(),
                    label: object.label(self.read_keys())?,
                })
            }),
        };
        Ok(found.into_iter().map(info).collect())
    }

    /// Adds a full credential.
    pub fn add_credential(&self, secret: &Secret, label: &Label, kdf: KdfParams) -> Result<CredentialId, RepoError> {
        Ok(ring::add(&*self.store, self.read_keys(), &self.read_keys().new_full(), secret, kdf, label)?)
    }

    /// Adds a credential that can write and read nothing, with a domain of its own: it deduplicates with itself only.
    pub fn add_write_only(&self, secret: &Secret, label: &Label, kdf: KdfParams) -> Result<CredentialId, RepoError> {
        let bundle = self.read_keys().new_write_only(Sharing::Alone);
        Ok(ring::add(&*self.store, self.read_keys(), &bundle, secret, kdf, label)?)
    }

    /// Removes a credential; the last full one stays.
    pub fn remove_credential(&self, id: CredentialId) -> Result<(), RepoError> {
        Ok(ring::remove(&*self.store, self.read_keys(), id)?)
    }

    /// Replaces the credential that the repository was opened with by a new one with another secret.
    pub fn change_secret(&self, secret: &Secret, label: &Label, kdf: KdfParams) -> Result<CredentialId, RepoError> {
        Ok(ring::replace(&*self.store, self.read_keys(), self.credential(), secret, kdf, label)?)
    }
}

/// A credential in a list.
#[derive(Debug, Clone)]
pub struct CredentialInfo {
    /// Its id.
    pub id: CredentialId,
    /// Whether the repository was opened with it.
    pub current: bool,
    /// What is known of it, or why it can't be used.
    pub what: Result<CredentialFacts, CredentialError>,
}

/// What is known of a credential.
#[derive(Debug, Clone)]
pub struct CredentialFacts {
    /// What it may do.
    pub role: Role,
    /// How it's opened.
    pub method: Method,
    /// What people see of it.
    pub label: Label,
}

impl From<RingError> for RepoError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::WrongSecret { .. } => Self::WrongSecret,
            RingError::Store(error) => Self::Store(error),
            other => Self::Ring(other),
        }
    }
}
