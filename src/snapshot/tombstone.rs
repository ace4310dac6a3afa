//! Tombstones: the snapshots that were forgotten (`docs/format.md`, section 9).
//!
//! A tombstone only hides. What it hides stays until a pruner finds it old enough, by the store's time of the tombstone.

use crate::repo::error::RepoError;
use crate::repo::fetch;
use crate::repo::format::key;
use crate::repo::id::RunId;
use crate::repo::record::Tombstone;
use crate::repo::repository::{Full, Repo};
use crate::repo::store::Listed;
use crate::repo::view::in_parallel;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// What is known of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// When it was written, in seconds since the epoch: by the store's clock, or as it claims where the store doesn't say.
    pub since: i64,
    /// Whether it is that of a run that was declared dead, so that there was no snapshot.
    pub dead: bool,
}

/// The tombstones of these snapshots that the admin key signed. Others hide nothing. Those of snapshots whose manifests are gone aren't read: they stay for ever.
pub fn tombstones(repo: &Repo<Full>, of: &BTreeSet<RunId>) -> Result<HashMap<RunId, Forgotten>, RepoError> {
    let mut listed = Vec::new();
    repo.store().list(key::FORGOTTEN, &mut |object| {
        let run = key::parse_run(key::FORGOTTEN, &object.key).filter(|run| of.contains(run));
        listed.extend(run.map(|id| (id, object)));
    })?;
    let found: Mutex<HashMap<RunId, Forgotten>> = Mutex::default();
    in_parallel(repo.store().connections(), &listed, &|(id, object): &(RunId, Listed)| {
        if let Some(tombstone) = fetch::by_admin::<_, Tombstone>(repo, &object.key)? {
            let since = object.modified.unwrap_or(tombstone.time.seconds);
            let forgotten = Forgotten { since, dead: tombstone.dead };
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, forgotten);
        }
        Ok::<(), RepoError>(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}
