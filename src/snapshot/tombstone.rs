//! Tombstones: the snapshots that were forgotten (`docs/format.md`, section 9).
//!
//! A tombstone only hides. What it hides stays until a pruner finds it old enough, by the store's time of the tombstone.

use crate::repo::error::RepoError;
use crate::repo::format::key;
use crate::repo::gc::tombstone::{accounts_for, tombstone};
use crate::repo::id::RunId;
use crate::repo::repository::{Access, Full, Repo};
use crate::repo::store::Listed;
use crate::repo::view::in_parallel;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// What is known of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// When it was written, in seconds since the epoch: by the store's clock, or as it claims where the store doesn't say.
    pub since: i64,
    /// Whether it is that of a run that was declared dead, so that there was no snapshot.
    pub dead: bool,
}

/// Tombstones, by what they are of.
#[derive(Debug, Default)]
pub struct Tombstones {
    /// Those that hide their snapshots.
    pub valid: HashMap<RunId, Forgotten>,
    /// By their keys, objects that can't be read, and why not.
    pub unreadable: BTreeMap<String, String>,
}

/// The tombstones of these snapshots that the admin key signed, and which objects in the place of one can't be read, and why. Those and others hide nothing: whoever may write could hide what
/// is there with them, or keep everybody from all of it. Those of snapshots whose manifests are gone aren't read: they stay for ever.
pub fn tombstones(repo: &Repo<Full>, of: &BTreeSet<RunId>) -> Result<Tombstones, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::FORGOTTEN, &mut |object| {
        let run = key::parse_run(key::FORGOTTEN, &object.key).filter(|run| of.contains(run));
        listed.extend(run.map(|id| (id, object)));
    })?;
    let found: Mutex<Tombstones> = Mutex::default();
    in_parallel(repo.store().connections(), &listed, &|(id, object): &(RunId, Listed)| {
        let tombstone = readable(tombstone(repo, *id))?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        match tombstone {
            Ok(Some(tombstone)) => {
                let since = object.modified.unwrap_or(tombstone.time.seconds);
                found.valid.insert(*id, Forgotten { since, dead: tombstone.dead });
            }
            Ok(None) => {}
            Err(why) => drop(found.unreadable.insert(object.key.clone(), why)),
        }
        Ok::<(), RepoError>(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Whether tombstones account for the manifest of this run, if it's gone. What can't be read accounts for nothing.
pub fn is_accounted_for<A: Access>(repo: &Repo<A>, run: RunId) -> Result<bool, RepoError> {
    Ok(readable(accounts_for(repo, run))?.unwrap_or(false))
}

/// What was read; or why just this object can't be, as opposed to the repository.
pub fn readable<T>(read: Result<T, RepoError>) -> Result<Result<T, String>, RepoError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(RepoError::Damaged { why, .. }) => Ok(Err(why)),
        Err(RepoError::Store(error)) if error.kind.is_of_object() => Ok(Err(error.kind.to_string())),
        Err(error) => Err(error),
    }
}
