//! The snapshots of a repository, and how people name one of them.

use crate::repo::cbor::Time;
use crate::repo::envelope;
use crate::repo::error::RepoError;
use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::id::RunId;
use crate::repo::keys::Role;
use crate::repo::needs;
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;
use crate::snapshot::manifest::{Manifest, OpenPart, SealedPart, State};
use crate::snapshot::notes::{Notes, notes};
use crate::snapshot::tombstone::{Tombstones, tombstones};
use crate::snapshot::tree::path::SafePath;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its id, which is that of the run that made it.
    pub id: RunId,
    /// The record of that run.
    pub manifest: Manifest,
    /// The hash of the manifest object.
    pub hash: [u8; 32],
    /// Whether a credential that may only write made it.
    pub write_only: bool,
    /// When the store received it, in seconds since the epoch, if that is known.
    pub stored: Option<i64>,
    /// Its tags: those of the manifest, and what notes add and take away.
    pub tags: Vec<String>,
    /// Whether a note protects it.
    pub protected: bool,
}

impl Snapshot {
    /// When it was taken.
    pub fn time(&self) -> Time {
        self.manifest.time
    }

    /// Whether it holds all that it should.
    pub fn is_complete(&self) -> bool {
        self.manifest.state == State::Complete
    }
}

/// Snapshots, and what is said of them.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// Those that can be used, oldest first.
    pub list: Vec<Snapshot>,
    /// Those that can't, and why.
    pub unreadable: Vec<(RunId, String)>,
    /// What notes say.
    pub notes: Notes,
    /// Objects in the place of a tombstone that can't be read, and why: their snapshots count as not forgotten.
    pub odd_tombstones: BTreeMap<String, String>,
    /// All whose manifests are listed, whatever became of them.
    pub listed: BTreeSet<RunId>,
}

/// Loads all snapshots that aren't forgotten.
pub fn snapshots(repo: &Repo<Full>) -> Result<Snapshots, RepoError> {
    let there = there(repo)?;
    let Tombstones { valid, unreadable } = tombstones(repo, &there.keys().copied().collect())?;
    let snapshots = load_those(repo, &there, |id| !valid.contains_key(&id))?;
    Ok(Snapshots { odd_tombstones: unreadable, ..snapshots })
}

/// Loads the snapshots that were forgotten and are still there; with each, since when, in seconds since the epoch.
pub fn forgotten(repo: &Repo<Full>) -> Result<(Snapshots, HashMap<RunId, i64>), RepoError> {
    let there = there(repo)?;
    let Tombstones { valid, unreadable } = tombstones(repo, &there.keys().copied().collect())?;
    let snapshots = load_those(repo, &there, |id| valid.get(&id).is_some_and(|tombstone| !tombstone.dead))?;
    let since = valid.into_iter().map(|(id, tombstone)| (id, tombstone.since)).collect();
    Ok((Snapshots { odd_tombstones: unreadable, ..snapshots }, since))
}

/// The manifests that are listed, and when the store says that each was written.
pub fn there(repo: &Repo<Full>) -> Result<BTreeMap<RunId, Option<i64>>, RepoError> {
    let mut found = BTreeMap::new();
    repo.store().list(key::SNAPSHOTS, &mut |listed| {
        found.extend(key::parse_run(key::SNAPSHOTS, &listed.key).map(|id| (id, listed.modified)));
    })?;
    Ok(found)
}

fn load_those(
    repo: &Repo<Full>,
    there: &BTreeMap<RunId, Option<i64>>,
    wanted: impl Fn(RunId) -> bool,
) -> Result<Snapshots, RepoError> {
    let listed = there.keys().copied().collect();
    let mut snapshots = Snapshots { notes: notes(repo)?, listed, ..Snapshots::default() };
    for (&id, &stored) in there.iter().filter(|(id, _)| wanted(**id)) {
        match load(repo, id) {
            Ok(snapshot) => {
                let tags = snapshots.notes.tags(id, &snapshot.manifest.tags);
                let protected = snapshots.notes.protects(id);
                snapshots.list.push(Snapshot { stored, tags, protected, ..snapshot });
            }
            Err(RepoError::Damaged { why, .. }) => snapshots.unreadable.push((id, why)),
            // Removed meanwhile; or withheld, and then it counts as gone.
            Err(RepoError::Store(error)) if error.kind == StoreErrorKind::NotFound => {
                snapshots.listed.remove(&id);
            }
            // Whoever may write can put it there, and must not keep anybody from the others.
            Err(RepoError::Store(error)) if error.kind == StoreErrorKind::TooLong => {
                snapshots.unreadable.push((id, error.kind.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    snapshots.list.sort_by_key(|snapshot| (snapshot.time(), snapshot.manifest.sequence, snapshot.id));
    Ok(snapshots)
}

/// Loads one snapshot, as its manifest tells it: without notes.
pub fn load(repo: &Repo<Full>, id: RunId) -> Result<Snapshot, RepoError> {
    let key = key::snapshot(id);
    let bytes = repo.store().get(&key, MAX_OBJECT)?;
    let damaged = |why: &dyn std::fmt::Display| RepoError::damaged(&key, why);
    let envelope = envelope::open_manifest(repo.read_keys(), id, &bytes).map_err(|why| damaged(&why.fault))?;
    let sealed = envelope.open_sealed_part(repo.read_keys()).map_err(|why| damaged(&why.fault))?;
    let open: OpenPart = needs::decode("manifest", envelope.open_part()).map_err(|why| damaged(&why))?;
    let sealed: SealedPart = needs::decode("manifest", &sealed).map_err(|why| damaged(&why))?;
    sealed.root.check_top().map_err(|why| damaged(&why))?;
    if !open.has_rightful_checkpoint(id) {
        return Err(damaged(&"it claims to be a checkpoint, and is complete or of a run of another credential"));
    }
    let manifest = Manifest::join(open, sealed);
    Ok(Snapshot {
        id,
        hash: *blake3::hash(&bytes).as_bytes(),
        write_only: envelope.signer().role() == Role::WriteOnly,
        stored: None,
        tags: manifest.tags.clone(),
        protected: false,
        manifest,
    })
}

/// The manifests of `dead` snapshots that nothing needs any more: all but the newest that a credential wrote, whose sequence the next one continues.
pub fn superseded(
    repo: &Repo<Full>,
    dead: &BTreeSet<RunId>,
    others: &BTreeSet<RunId>,
) -> Result<Vec<RunId>, RepoError> {
    let mut newest: HashMap<[u8; 4], (u64, RunId)> = HashMap::new();
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    for &run in dead.union(others) {
        let Some(sequence) = sequence_of(repo, run)? else { continue };
        let place = newest.entry(run.credential_part()).or_insert((sequence, run));
        *place = (*place).max((sequence, run));
    }
    let stays: HashSet<RunId> = newest.into_values().map(|(_, run)| run).collect();
    Ok(dead.iter().filter(|run| !stays.contains(run)).copied().collect())
}

/// The number of a manifest among those of its credential; `None` if it can't be told.
fn sequence_of(repo: &Repo<Full>, run: RunId) -> Result<Option<u64>, RepoError> {
    match repo.store().get(&key::snapshot(run), MAX_OBJECT) {
        Ok(bytes) => {
            let envelope = envelope::open_manifest(repo.read_keys(), run, &bytes).ok();
            let open = envelope.and_then(|envelope| needs::decode::<OpenPart>("manifest", envelope.open_part()).ok());
            Ok(open.map(|open| open.sequence))
        }
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::TooLong) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which snapshots come into question.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this app.
    pub app: Option<String>,
    /// Only of this host.
    pub host: Option<String>,
    /// Only with all of these tags.
    pub tags: Vec<String>,
}

impl Filter {
    /// Whether a snapshot comes into question.
    pub fn admits(&self, snapshot: &Snapshot) -> bool {
        let open = &snapshot.manifest;
        self.app.as_ref().is_none_or(|app| open.app.as_ref() == Some(app))
            && self.host.as_ref().is_none_or(|host| open.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }
}

/// What a person wrote to name a snapshot: `latest`, `latest:APP` or a prefix of an id, each perhaps followed by `:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    which: Which,
    /// The path inside the snapshot.
    pub path: Option<SafePath>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Latest { app: Option<String> },
    Prefix(String),
}

/// A name that no snapshot, or more than one, answers to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It isn't written as a name of a snapshot is.
    #[error("{0:?} doesn't name a snapshot: write an id, `latest` or `latest:APP`, and `:/PATH` for a path inside it")]
    Syntax(String),
    /// No snapshot answers.
    #[error("no snapshot matches {selector:?}")]
    NotFound {
        /// What was written.
        selector: String,
    },
    /// Several ids begin like that.
    #[error("{selector:?} is the beginning of {} ids", candidates.len())]
    Ambiguous {
        /// What was written.
        selector: String,
        /// The ids.
        candidates: Vec<RunId>,
    },
    /// `latest` could be of any of these hosts.
    #[error("`{selector}` would mix snapshots of {} hosts", list.len())]
    MixedHosts {
        /// What was written.
        selector: String,
        /// The hosts, and the newest complete snapshot of each.
        list: Vec<(String, RunId)>,
    },
}

impl std::str::FromStr for Selector {
    type Err = ResolveError;

    fn from_str(text: &str) -> Result<Self, ResolveError> {
        let syntax = || ResolveError::Syntax(text.to_owned());
        let (name, path) = match text.split_once(":/") {
            Some((name, path)) => (name, Some(SafePath::parse(path.as_bytes()).map_err(|_| syntax())?)),
            None => (text, None),
        };
        let which = match name.split_once(':') {
            None if name == "latest" => Which::Latest { app: None },
            Some(("latest", app)) if !app.is_empty() => Which::Latest { app: Some(app.to_owned()) },
            None if !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') => {
                Which::Prefix(name.to_ascii_lowercase())
            }
            _ => return Err(syntax()),
        };
        Ok(Self { which, path })
    }
}

impl Snapshots {
    /// The snapshot that a selector names, and the path inside it. `latest` is the newest complete one, and never mixes hosts.
    pub fn resolve(&self, selector: &Selector, filter: &Filter) -> Result<(&Snapshot, Option<SafePath>), ResolveError> {
        let snapshot = match &selector.which {
            Which::Latest { app } => self.latest(app.as_deref(), filter),
            Which::Prefix(prefix) => self.by_prefix(prefix),
        };
        Ok((snapshot?, selector.path.clone()))
    }

    fn latest(&self, app: Option<&str>, filter: &Filter) -> Result<&Snapshot, ResolveError> {
        let of_app = |snapshot: &&Snapshot| app.is_none_or(|app| snapshot.manifest.app.as_deref() == Some(app));
        let admitted = self.list.iter().filter(|s| s.is_complete() && filter.admits(s)).filter(of_app);
        let candidates: Vec<&Snapshot> = admitted.collect();
        let selector = app.map_or_else(|| "latest".to_owned(), |app| format!("latest:{app}"));
        let hosts: BTreeMap<&String, RunId> = candidates.iter().map(|s| (&s.manifest.host, s.id)).collect();
        if hosts.len() > 1 {
            let list = hosts.into_iter().map(|(host, id)| (host.clone(), id)).collect();
            return Err(ResolveError::MixedHosts { selector, list });
        }
        candidates.last().copied().ok_or(ResolveError::NotFound { selector })
    }

    /// By the beginning of the whole id, or of its random part, which is what tables show.
    fn by_prefix(&self, prefix: &str) -> Result<&Snapshot, ResolveError> {
        let matches = |id: RunId| id.to_string().starts_with(prefix) || id.random_part().starts_with(prefix);
        let mut found = self.list.iter().filter(|snapshot| matches(snapshot.id));
        let first = found.next().ok_or_else(|| ResolveError::NotFound { selector: prefix.to_owned() })?;
        let others: Vec<RunId> = found.map(|snapshot| snapshot.id).collect();
        if others.is_empty() {
            return Ok(first);
        }
        let candidates = std::iter::once(first.id).chain(others).collect();
        Err(ResolveError::Ambiguous { selector: prefix.to_owned(), candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_people_write_them() {
        let path = |text: &str| Some(SafePath::parse(text.as_bytes()).unwrap());
        let parse = |text: &str| text.parse::<Selector>();
        assert_eq!(parse("latest"), Ok(Selector { which: Which::Latest { app: None }, path: None }));
        let app = Some("shop".to_owned());
        assert_eq!(parse("latest:shop"), Ok(Selector { which: Which::Latest { app: app.clone() }, path: None }));
        assert_eq!(parse("latest:shop:/a/b"), Ok(Selector { which: Which::Latest { app }, path: path("a/b") }));
        assert_eq!(parse("latest:/etc"), Ok(Selector { which: Which::Latest { app: None }, path: path("etc") }));
        assert_eq!(parse("3F2K:/x:y"), Ok(Selector { which: Which::Prefix("3f2k".into()), path: path("x:y") }));
        for wrong in ["", ":", "latest:", "a:b", "a b", "x:/../y", ":/a"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
