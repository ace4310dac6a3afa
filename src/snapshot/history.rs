//! The manifests that a credential has written: the next one continues their sequence.
//!
//! Manifests never change, so what was read of one is kept in the cache; only new ones are fetched.

use crate::repo::cbor::{self, Time};
use crate::repo::envelope;
use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::{PackId, RunId};
use crate::repo::repository::{Access, Repo};
use crate::repo::store::StoreErrorKind;
use crate::snapshot::manifest::{OpenPart, State};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What is kept of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OwnManifest {
    /// The run that wrote it.
    #[n(0)]
    pub run: RunId,
    /// Its number.
    #[n(1)]
    pub sequence: u64,
    /// The hash of the object.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// When it was taken.
    #[n(3)]
    pub time: Time,
    /// The host.
    #[n(4)]
    pub host: String,
    /// The app.
    #[n(5)]
    pub app: Option<String>,
    /// Whether it's complete.
    #[n(6)]
    pub state: State,
    /// How many files it holds.
    #[n(7)]
    pub files: u64,
    /// Their bytes.
    #[n(8)]
    pub bytes: u64,
    /// The run of which it's a checkpoint.
    #[n(9)]
    pub checkpoint_of: Option<RunId>,
}

impl OwnManifest {
    /// What is kept of a manifest with this open part.
    pub fn of(run: RunId, hash: [u8; 32], open: &OpenPart) -> Self {
        Self {
            run,
            sequence: open.sequence,
            hash,
            time: open.time,
            host: open.host.clone(),
            app: open.app.clone(),
            state: open.state,
            files: open.statistics.files,
            bytes: open.statistics.bytes,
            checkpoint_of: open.checkpoint_of,
        }
    }
}

/// What the cache file holds.
#[derive(Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Kept {
    /// All manifests of the credential.
    #[n(0)]
    pub manifests: Vec<OwnManifest>,
    /// The packs of others that the last snapshot made here relies on: what the next one will rely on too.
    #[n(1)]
    pub reach: Vec<PackId>,
}

impl Kept {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let body = cbor::encode(self);
        [blake3::hash(&body).as_bytes(), &body[..]].concat()
    }

    /// What the bytes of a file hold, if it's whole.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (hash, body) = bytes.split_first_chunk::<32>()?;
        (blake3::hash(body) == *hash).then_some(())?;
        cbor::decode("history", body).ok()
    }
}

/// The manifests of one credential.
pub struct History {
    manifests: BTreeMap<RunId, OwnManifest>,
    /// Packs that the last snapshot made here reaches, where that is known.
    pub reach: Vec<PackId>,
    /// All manifests in the repository, also those of other credentials.
    pub listed: BTreeSet<RunId>,
    file: PathBuf,
}

impl History {
    /// Reads the manifests that the repository's credential wrote.
    pub fn load<A: Access>(repo: &Repo<A>) -> Result<Self, RepoError> {
        let file = repo.cache().join(format!("history-{}", repo.credential()));
        let kept = std::fs::read(&file).ok().and_then(|bytes| Kept::decode(&bytes)).unwrap_or_default();
        let mut known: BTreeMap<RunId, OwnManifest> = kept.manifests.into_iter().map(|m| (m.run, m)).collect();
        let mut listed = BTreeSet::new();
        let prefix = key::SNAPSHOTS;
        repo.store().list(prefix, &mut |object| listed.extend(key::parse_run(prefix, &object.key)))?;
        let own: Vec<RunId> = listed.iter().copied().filter(|run| run.belongs_to(repo.credential())).collect();
        let mut history = Self { manifests: BTreeMap::new(), reach: kept.reach, listed, file };
        for run in own {
            let manifest = match known.remove(&run) {
                Some(manifest) => Some(manifest),
                None => fetch(repo, run)?,
            };
            history.manifests.extend(manifest.map(|manifest| (run, manifest)));
        }
        Ok(history)
    }

    /// The manifest with the highest number.
    pub fn last(&self) -> Option<&OwnManifest> {
        self.manifests.values().max_by_key(|manifest| (manifest.sequence, manifest.run))
    }

    /// The number of the next one. (A stolen credential can claim any.)
    pub fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.sequence.saturating_add(1))
    }

    /// The snapshot that a new one of this app on this host continues: the newest, of those that a run took on its way the last.
    pub fn parent(&self, host: &str, app: Option<&str>) -> Option<&OwnManifest> {
        let of_same = self.manifests.values().filter(|m| m.host == host && m.app.as_deref() == app);
        of_same.max_by_key(|manifest| (manifest.time, manifest.sequence, manifest.run))
    }

    /// Adds a manifest that was committed, and keeps all for the next time. A cache that can't be written costs time only.
    pub fn add(&mut self, manifest: OwnManifest, reach: Vec<PackId>) {
        self.manifests.insert(manifest.run, manifest);
        self.reach = reach;
        let kept = Kept { manifests: self.manifests.values().cloned().collect(), reach: self.reach.clone() };
        let temporary = self.file.with_extension(format!("{}.tmp", std::process::id()));
        let _ = std::fs::write(&temporary, kept.encode()).and_then(|()| std::fs::rename(&temporary, &self.file));
    }
}

/// Reads the open part of one manifest. One that can't be used counts for nothing here; `check` reports it.
fn fetch<A: Access>(repo: &Repo<A>, run: RunId) -> Result<Option<OwnManifest>, RepoError> {
    let key = key::snapshot(run);
    let bytes = match repo.store().get(&key, MAX_OBJECT) {
        Ok(bytes) => bytes,
        // Removed meanwhile, or nothing that a program wrote.
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::TooLong) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(envelope) = envelope::open_manifest(&**repo.keys(), run, &bytes) else { return Ok(None) };
    let Ok(open) = cbor::decode::<OpenPart>("manifest", envelope.open_part()) else { return Ok(None) };
    let hash = *blake3::hash(&bytes).as_bytes();
    Ok(Some(OwnManifest::of(run, hash, &open)))
}
