//! What the tests of the engine share: a repository in some store, folders to back up, and portraits of folders to compare them by.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use nightsafe::repo::cbor::Time;
use nightsafe::repo::id::RunId;
use nightsafe::repo::keys::{KdfParams, KeyFile, Label, Secret};
use nightsafe::repo::repository::{AnyRepo, CacheDir, CreateOptions, Full, Repo, open};
use nightsafe::repo::store::memory::MemoryStore;
use nightsafe::repo::store::{Listed, Store};
use nightsafe::snapshot::backup::{BackupError, BackupOptions, BackupSummary, FilesSource, backup};
use nightsafe::snapshot::monitor::{Monitor, Progress, Silent};
use nightsafe::snapshot::restore::{self, RestoreError, RestoreOptions, RestoreSummary};
use nightsafe::snapshot::snapshots::{Snapshot, load};
use nightsafe::snapshot::target::attributes::AttributeOptions;
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name that [`World::back_up`] gives the folder in snapshots.
pub const NAME: &str = "data";

/// A repository in memory, and folders beside it.
pub struct World {
    pub store: Arc<MemoryStore>,
    pub secret: Arc<Secret>,
    folder: tempfile::TempDir,
}

/// The monitor of somebody who wants an end at once.
#[derive(Default)]
pub struct Impatient(Silent);

impl Monitor for Impatient {
    fn progress(&self) -> &Progress {
        self.0.progress()
    }
    fn interrupted(&self) -> bool {
        true
    }
}

pub fn label() -> Label {
    Label { text: "test".to_owned(), created: Time { seconds: 0, nanoseconds: 0 }, host: "here".to_owned() }
}

/// The cheapest derivation that there is.
pub fn kdf() -> KdfParams {
    KdfParams::new(8, 1, 1).unwrap()
}

/// Random bytes, which nothing compresses and nothing else holds.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// As many random hex digits: they shrink to half at best.
pub fn noisy_text(length: usize) -> String {
    let digit = |byte: &u8| char::from_digit(u32::from(byte & 15), 16);
    noise(length).iter().filter_map(digit).collect()
}

impl World {
    /// An empty repository, and an empty folder to back up.
    pub fn new() -> Self {
        Self::opened_by(Arc::new(Secret::KeyFile(KeyFile::generate())))
    }

    /// An empty repository that this secret opens.
    pub fn opened_by(secret: Arc<Secret>) -> Self {
        let world = Self { store: Arc::new(MemoryStore::new()), secret, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.source()).unwrap();
        let options = CreateOptions { kdf: kdf(), label: label(), cache: CacheDir::new(world.cache()) };
        Repo::create(world.store.clone(), &world.secret, &options).unwrap();
        world
    }

    /// The folder that is backed up.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// Where caches are.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Writes a file below the folder that is backed up.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A folder that doesn't exist yet.
    pub fn fresh(&self) -> PathBuf {
        let name = u64::from_le_bytes(noise(8).try_into().unwrap());
        self.folder.path().join(format!("fresh-{name}"))
    }

    /// The repository.
    pub fn repo(&self) -> Repo<Full> {
        self.repo_over(self.store.clone())
    }

    /// The repository, through another view of its store.
    pub fn repo_over(&self, store: Arc<dyn Store>) -> Repo<Full> {
        match open(store, &self.secret, &CacheDir::new(self.cache())).unwrap() {
            AnyRepo::Full(repo) => repo,
            AnyRepo::WriteOnly(_) => panic!("a full credential opened as write-only"),
        }
    }

    /// What is backed up.
    pub fn options(&self) -> BackupOptions {
        BackupOptions {
            files: vec![FilesSource {
                name: Some(NAME.to_owned()),
                paths: vec![self.source()],
                ..FilesSource::default()
            }],
            host: "here".to_owned(),
            zone: "UTC".to_owned(),
            ..BackupOptions::default()
        }
    }

    /// Backs the folder up, which must succeed.
    pub fn back_up(&self) -> BackupSummary {
        self.try_back_up(&self.repo()).unwrap()
    }

    /// Backs the folder up into `repo`.
    pub fn try_back_up(&self, repo: &Repo<Full>) -> Result<BackupSummary, BackupError> {
        backup(repo, &self.options(), &Silent::default())
    }

    /// Restores a snapshot; gives the folder too.
    pub fn try_restore(&self, id: RunId) -> (PathBuf, Result<RestoreSummary, RestoreError>) {
        let target = self.fresh();
        let repo = self.repo();
        let path = SafePath::parse(NAME.as_bytes()).unwrap();
        let result = restore::restore(
            &repo,
            &self.snapshot(id),
            Some(&path),
            &everything_into(target.clone()),
            &Silent::default(),
        );
        (target, result)
    }

    /// Restores a snapshot, which must succeed, and looks at what came back.
    pub fn restored(&self, id: RunId) -> Portrait {
        let (target, result) = self.try_restore(id);
        assert_eq!(result.unwrap().problems, []);
        let portrait = portrait(&target);
        std::fs::remove_dir_all(target).unwrap();
        portrait
    }

    /// A snapshot's record.
    pub fn snapshot(&self, id: RunId) -> Snapshot {
        load(&self.repo(), id).unwrap()
    }

    /// All objects below `prefix`, with their lengths.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let mut each = |Listed { key, length, .. }| {
            found.insert(key, length);
        };
        self.store.list(prefix, &mut each).unwrap();
        found
    }

    /// The bytes of an object.
    pub fn bytes(&self, key: &str) -> Vec<u8> {
        self.store.get(key, u64::MAX).unwrap().to_vec()
    }

    /// Puts an object back.
    pub fn put_back(&self, key: &str, bytes: Vec<u8>) {
        self.store.put(key, &bytes.into()).unwrap();
    }

    /// Puts other bytes in an object's place, as a failing disk would.
    pub fn replace(&self, key: &str, bytes: Vec<u8>) {
        self.store.delete(key).unwrap();
        self.store.put(key, &bytes.into()).unwrap();
    }
}

/// Into an empty or new folder, with all that there is.
pub fn everything_into(target: PathBuf) -> RestoreOptions {
    RestoreOptions { attributes: AttributeOptions::everything(), special: true, ..RestoreOptions::into(target) }
}

/// What a file or folder is, as far as a backup has to bring it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: Option<u64>,
    /// The hash of a file's bytes; a link's target.
    pub content: Vec<u8>,
    /// The first name of the same file.
    pub first_name: Option<PathBuf>,
}

/// All that is in a folder, the folder itself included.
pub type Portrait = BTreeMap<PathBuf, Facts>;

/// Looks at a folder.
pub fn portrait(folder: &Path) -> Portrait {
    let mut portrait = Portrait::new();
    let mut first_names = HashMap::new();
    look(folder, Path::new(""), &mut portrait, &mut first_names);
    portrait
}

fn look(folder: &Path, at: &Path, portrait: &mut Portrait, first_names: &mut HashMap<u64, PathBuf>) {
    let path = folder.join(at);
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    let content = if metadata.is_file() {
        blake3::hash(&std::fs::read(&path).unwrap()).as_bytes().to_vec()
    } else if metadata.is_symlink() {
        std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let shared = !metadata.is_dir() && metadata.nlink() > 1;
    let first_name = shared.then(|| first_names.entry(metadata.ino()).or_insert_with(|| at.to_owned()).clone());
    let facts = Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        size: metadata.is_file().then(|| metadata.size()),
        content,
        first_name,
    };
    portrait.insert(at.to_owned(), facts);
    if metadata.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            look(folder, &at.join(name), portrait, first_names);
        }
    }
}
